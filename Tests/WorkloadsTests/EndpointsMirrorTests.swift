import ControllerKit
import KubeTypes
import Testing
import Wire

@testable import Workloads

/// Endpoints made by hand reach the service table, which reads slices only.
@Suite struct EndpointsMirrorTests {
  private func endpoints(_ subsets: String, labels: JSON = ["team": "a"], annotations: JSON = [:]) throws -> Endpoints {
    Endpoints(json: [
      "apiVersion": "v1", "kind": "Endpoints",
      "metadata": [
        "name": "db", "namespace": "default", "uid": "u-endpoints", "labels": labels, "annotations": annotations,
      ], "subsets": try JSON.parse(subsets),
    ])
  }

  private func service(_ spec: JSON = ["clusterIP": "10.96.0.20", "ports": [["port": 5432]]]) -> KubeTypes.Service {
    KubeTypes.Service(json: ["metadata": ["name": "db", "namespace": "default", "uid": "u-service"], "spec": spec])
  }

  private func plan(_ endpoints: Endpoints, _ service: KubeTypes.Service?, _ slices: [EndpointSlice] = [])
    -> (writes: [EndpointSlicePlan.Action], warnings: [String])
  {
    let actions = EndpointsMirrorReconciler.plan(.init(endpoints: endpoints, service: service, slices: slices)).actions
    var writes: [EndpointSlicePlan.Action] = []
    var warnings: [String] = []
    for action in actions {
      switch action {
      case .write(let action):
        #expect(action.owner == "u-endpoints")
        writes.append(action.step)
      case .warn(_, let reason, _): warnings.append(reason)
      }
    }
    return (writes, warnings)
  }

  private func created(_ actions: [EndpointSlicePlan.Action]) -> [EndpointSlice] {
    actions.compactMap { if case .create(let slice) = $0 { slice } else { nil } }
  }

  private static let one = """
    [{"addresses":[{"ip":"10.1.1.1","hostname":"a","nodeName":"n1"}],"notReadyAddresses":[{"ip":"10.1.1.2"}],
      "ports":[{"name":"pg","port":5432,"protocol":"TCP"}]}]
    """

  @Test func aSliceSaysWhatTheEndpointsSay() throws {
    let annotations: JSON = ["note": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"]
    let slices = created(plan(try endpoints(Self.one, annotations: annotations), service()).writes)
    let slice = try #require(slices.first)
    #expect(slices.count == 1)
    #expect(slice.metadata.generateName == "db-")
    #expect(
      slice.metadata.labels == [
        "team": "a", "kubernetes.io/service-name": "db",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
      ])
    #expect(slice.metadata.annotations == ["note": "x"])
    #expect(slice.metadata.ownerReferences.first?.kind == "Endpoints")
    #expect(slice.metadata.ownerReferences.first?.controller == true)
    #expect(slice.addressType == "IPv4")
    #expect(slice.ports.first?.port == 5432 && slice.ports.first?.name == "pg")
    #expect(slice.endpoints.map(\.addresses) == [["10.1.1.1"], ["10.1.1.2"]])
    #expect(slice.endpoints.map { $0.conditions?.ready } == [true, false])
    #expect(slice.endpoints[0].hostname == "a" && slice.endpoints[0].nodeName == "n1")
  }

  @Test func onlyThoseOfAServiceWithoutASelector() throws {
    let good = try endpoints(Self.one)
    #expect(!plan(good, service()).writes.isEmpty)
    #expect(plan(good, nil).writes.isEmpty)
    #expect(plan(good, service(["selector": ["a": "b"], "clusterIP": "10.96.0.20"])).writes.isEmpty)
    #expect(plan(good, service(["type": "ExternalName", "externalName": "x"])).writes.isEmpty)
    let skipped: JSON = ["endpointslice.kubernetes.io/skip-mirror": "true"]
    #expect(plan(try endpoints(Self.one, labels: skipped), service()).writes.isEmpty)
    let managed: JSON = ["endpoints.kubernetes.io/managed-by": "endpoint-controller"]
    #expect(plan(try endpoints(Self.one, labels: managed), service()).writes.isEmpty)
    let leader: JSON = ["control-plane.alpha.kubernetes.io/leader": "{}"]
    #expect(plan(try endpoints(Self.one, annotations: leader), service()).writes.isEmpty)
  }

  @Test func aChangeIsAnUpdateAndTheEndADeletion() throws {
    var slice = try #require(created(plan(try endpoints(Self.one), service()).writes).first)
    slice.metadata.name = "db-x"
    slice.metadata.uid = "u-slice"
    #expect(plan(try endpoints(Self.one), service(), [slice]).writes.isEmpty)
    let other = Self.one.replacing("10.1.1.2", with: "10.1.1.3")
    guard case .update(let updated)? = plan(try endpoints(other), service(), [slice]).writes.first else {
      Issue.record("no update")
      return
    }
    #expect(updated.endpoints.map(\.addresses) == [["10.1.1.1"], ["10.1.1.3"]])
    // Another port is another group; the slice is used again, so that there is never none.
    let port = Self.one.replacing("5432", with: "5433")
    guard case .update(let moved)? = plan(try endpoints(port), service(), [slice]).writes.first else {
      Issue.record("no update")
      return
    }
    #expect(moved.metadata.name == "db-x" && moved.ports.first?.port == 5433)
    let deletion = EndpointSlicePlan.Action.delete(ObjectKey(namespace: "default", name: "db-x"), uid: "u-slice")
    #expect(plan(try endpoints("[]"), service(), [slice]).writes == [deletion])
    #expect(plan(try endpoints(Self.one), nil, [slice]).writes == [deletion])
  }

  @Test func subsetsAndFamilies() throws {
    let subsets = """
      [{"addresses":[{"ip":"10.1.1.1"},{"ip":"2001:db8::1"}],"ports":[{"name":"a","port":1}]},
       {"addresses":[{"ip":"10.1.1.1"}],"ports":[{"name":"a","port":2}]},
       {"addresses":[{"ip":"10.1.1.2"},{"ip":"10.1.1.1"}],"ports":[{"name":"a","port":1}]}]
      """
    let slices = created(plan(try endpoints(subsets), service()).writes)
    #expect(slices.map { $0.addressType } == ["IPv4", "IPv4", "IPv6"])
    #expect(
      slices.map { $0.endpoints.map(\.addresses) } == [
        [["10.1.1.1"], ["10.1.1.2"]], [["10.1.1.1"]], [["2001:db8::1"]],
      ])
  }

  @Test func aThousandOfASubsetAndNoMore() throws {
    let list = (0..<1200).map { "{\"ip\":\"10.1.\($0 / 200).\(1 + $0 % 200)\"}" }.joined(separator: ",")
    let (writes, warnings) = plan(try endpoints("[{\"addresses\":[\(list)],\"ports\":[{\"port\":1}]}]"), service())
    let slices = created(writes)
    #expect(slices.count == 10 && slices.allSatisfy { $0.endpoints.count == 100 })
    #expect(warnings == ["TooManyAddressesToMirror"])
  }

  /// In the store from before the API refused them (H5): the others are mirrored, and nobody tries the refused for ever.
  @Test(arguments: ["127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1", "::ffff:127.0.0.1", "nonsense"])
  func whatMayNotBeTranslatedIsNotMirrored(address: String) throws {
    let subsets = Self.one.replacing("10.1.1.2", with: address)
    let (writes, warnings) = plan(try endpoints(subsets), service())
    #expect(created(writes).flatMap { $0.endpoints.map(\.addresses) } == [["10.1.1.1"]])
    #expect(warnings == ["InvalidEndpointAddress"])
  }
}
