import ControllerKit
import KubeClient
import KubeTypes
import LinuxSystem
import Store
import Testing
import Wire

@testable import APIServer

/// H4 at the API: the cluster's own addresses are nobody's to take.
@Suite struct AddressAdmissionTests {
  private func service(_ name: String, _ spec: JSON = [:]) -> JSON {
    var spec = spec
    if spec["ports"] == nil { spec["ports"] = [["port": 53, "protocol": "UDP"]] }
    return ["metadata": ["name": .string(name)], "spec": spec]
  }

  @Test(arguments: [
    ("10.96.0.1", "range of the cluster addresses"), ("10.96.0.10", "range of the cluster addresses"),
    ("10.96.0.77", "range of the cluster addresses"), ("10.244.0.1", "range of the pods"),
    ("10.244.0.99", "range of the pods"), ("127.0.0.1", "loopback"), ("0.0.0.0", "unspecified"),
    ("169.254.169.254", "link-local"), ("224.0.0.1", "multicast"),
  ])
  func externalAddresses(address: String, reason: String) async throws {
    try await Fixture.run { fixture in
      let body = service("thief", ["externalIPs": ["10.9.9.9", .string(address)]])
      let error = await refusal { _ = try await fixture.create("services", body) }
      #expect(error?.code == 422 && error?.reason == .invalid)
      #expect(error?.details?.causes.first?.field == "spec.externalIPs[1]")
      #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
      // Nor by an update or a patch.
      _ = try await fixture.create("services", service("thief", ["externalIPs": ["10.9.9.9"]]))
      for type in [PatchType.merge, .strategicMerge] {
        let patch: JSON = ["spec": ["externalIPs": [.string(address)]]]
        #expect(await refusal { _ = try await fixture.patch("services", "thief", type, patch) }?.code == 422)
      }
      #expect(try await fixture.get("services", "thief").at("spec", "externalIPs") == ["10.9.9.9"])
      // A load balancer's status is checked, too.
      let status: JSON = ["status": ["loadBalancer": ["ingress": [["ip": .string(address)]]]]]
      let balanced = await refusal {
        _ = try await fixture.patch("services", "thief", .merge, status, subresource: "status")
      }
      #expect(balanced?.details?.causes.first?.field == "status.loadBalancer.ingress[0].ip")
    }
  }

  @Test func theMachinesAddressIsForNodePorts() async throws {
    try await Fixture.run { fixture in
      let own = try #require(IPAddress("192.0.2.7"))
      let services = try #require(IPRanges("10.96.0.0/24"))
      let admission = ServiceAdmission(
        allocator: try ServiceAllocator(
          ranges: services, nodePorts: 30000...32767, store: fixture.store, identifiers: IdentifierSource(),
          reader: Fixture.reader),
        cluster: { ClusterAddresses(pods: nil, services: services, machine: [own]) })
      func request(_ object: JSON, subresource: String = "") throws -> AdmissionRequest {
        AdmissionRequest(
          operation: .create, kind: try fixture.client.service.kind(Fixture.resource("services")),
          namespace: "default", name: "s", subresource: subresource, context: RequestContext(user: .anonymous),
          object: object, old: nil)
      }
      var named = try request(service("s", ["externalIPs": ["192.0.2.7"]]))
      #expect(throws: KubeError.self) { try admission.admit(&named) }
      named.endReservations()
      var balanced = try request(service("s"), subresource: "status")
      balanced.object["status"] = ["loadBalancer": ["ingress": [["ip": "192.0.2.7"]]]]
      try admission.admit(&balanced)
    }
  }

  @Test(arguments: ["10.96.0.10", "10.96.0.1"])
  func clusterAddressesThatHaveAnOwner(address: String) async throws {
    try await Fixture.run { fixture in
      let error = await refusal {
        _ = try await fixture.create("services", service("thief", ["clusterIP": .string(address)]))
      }
      #expect(error?.code == 422)
      #expect(error?.details?.causes.first?.field == "spec.clusterIPs")
      // Not even in the moment in which the API's own Service is gone.
      try await fixture.delete("services", "kubernetes")
      let again = await refusal {
        _ = try await fixture.create("services", service("thief", ["clusterIP": .string(address)]))
      }
      #expect(again?.message.contains("address of") == true || again?.message.contains("allocated") == true)
    }
  }

  /// A Service from before the rule: everything else of it can be changed, and the address goes.
  @Test func whatIsStoredStaysWritable() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.create("services", service("old"))
      let key = "services/default/old"
      var stored = try JSON.parse(try #require(fixture.store.get(key)).value)
      stored["spec"]?["externalIPs"] = ["10.96.0.10", "127.0.0.1"]
      stored["metadata"]?["resourceVersion"] = nil
      try await fixture.overwrite(key, stored)
      let labelled = try await fixture.patch("services", "old", .merge, ["metadata": ["labels": ["a": "b"]]])
      #expect(labelled.at("spec", "externalIPs") == ["10.96.0.10", "127.0.0.1"])
      let more: JSON = ["spec": ["externalIPs": ["10.96.0.10", "127.0.0.1", "10.96.0.11"]]]
      #expect(await refusal { _ = try await fixture.patch("services", "old", .merge, more) }?.code == 422)
      _ = try await fixture.patch("services", "old", .merge, ["spec": ["externalIPs": []]])
      #expect(
        await refusal {
          _ = try await fixture.patch("services", "old", .merge, ["spec": ["externalIPs": ["10.96.0.10"]]])
        }?.code == 422)
    }
  }
}

extension Fixture {
  /// Puts an object into the store as an earlier version would have left it.
  fileprivate func overwrite(_ key: String, _ object: JSON) async throws {
    let (bytes, revisionAt) = Canonical.encode(object)
    _ = try await store.commit([
      .put(key, value: bytes, revisionAt: revisionAt, header: ObjectHeader(object))
    ])
  }
}
