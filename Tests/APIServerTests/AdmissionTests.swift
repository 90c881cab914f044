import ControllerKit
import KubeClient
import KubeTypes
import Schema
import TestKit
import Testing
import Wire

@testable import APIServer

@Suite struct AdmissionTests {
  @Test func podsGetTheirAccountAndToken() async throws {
    try await Fixture.run { fixture in
      let pod = try await fixture.create("pods", Fixture.pod("p")).json()
      #expect(pod.at("spec", "serviceAccountName") == "default")
      let volume = try #require(pod.at("spec", "volumes")?.array?.first)
      #expect(volume["name"]?.string?.hasPrefix("kube-api-access-") == true)
      #expect(volume.at("projected", "sources")?.array?.count == 3)
      let mount = try #require(pod.at("spec", "containers")?.array?.first?["volumeMounts"]?.array?.first)
      #expect(mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount")
      #expect(pod.at("status", "phase") == "Pending")
      #expect(pod.at("spec", "tolerations")?.array?.count == 2)
      #expect(pod.at("spec", "priority") == 0)

      var quiet = Fixture.pod("q")
      quiet["spec"]?["automountServiceAccountToken"] = false
      let bare = try await fixture.create("pods", quiet).json()
      #expect(bare.at("spec", "volumes") == nil)

      var stranger = Fixture.pod("r")
      stranger["spec"]?["serviceAccountName"] = "nobody"
      let body = stranger
      let refused = await refusal { _ = try await fixture.create("pods", body) }
      #expect(refused?.message.contains("serviceaccount \"nobody\" not found") == true)
    }
  }

  /// U12
  @Test func whoeverCreatesWhatNothingActsOnIsWarned() throws {
    func kind(_ group: String, _ version: String, _ kind: String) throws -> KindSchema {
      try #require(SchemaRegistry.builtin.kind(GroupVersionKind(group: group, version: version, kind: kind)))
    }
    func warnings(
      _ kind: KindSchema, _ object: JSON, old: JSON? = nil, subresource: String = ""
    ) throws -> [String] {
      var request = AdmissionRequest(
        operation: old == nil ? .create : .update, kind: kind, namespace: "default", name: "a",
        subresource: subresource, context: RequestContext(user: .internal), object: object, old: old)
      try UnservedKindWarning().admit(&request)
      return request.warnings
    }
    let (job, service) = (try kind("batch", "v1", "Job"), try kind("", "v1", "Service"))
    #expect(try warnings(job, [:]) == ["no controller of apus acts on this Job yet: it gets no pods"])
    #expect(try warnings(job, [:], old: [:]).isEmpty)
    #expect(try warnings(job, [:], subresource: "status").isEmpty)
    #expect(try warnings(try kind("apps", "v1", "Deployment"), [:]).isEmpty)
    let (plain, balanced): (JSON, JSON) = (["spec": ["type": "ClusterIP"]], ["spec": ["type": "LoadBalancer"]])
    #expect(try warnings(service, plain).isEmpty)
    #expect(try warnings(service, balanced).count == 1)
    #expect(try warnings(service, balanced, old: plain).count == 1)
    #expect(try warnings(service, balanced, old: balanced).isEmpty)
    for (group, name) in UnservedKinds.kinds {
      #expect(SchemaRegistry.builtin.kinds.contains { $0.group == group && $0.kind == name }, "\(name)")
    }
  }

  @Test func priorityFollowsTheClass() async throws {
    try await Fixture.run { fixture in
      var pod = Fixture.pod("p")
      pod["spec"]?["priorityClassName"] = "system-cluster-critical"
      let created = try await fixture.create("pods", pod).json()
      #expect(created.at("spec", "priority") == 2_000_000_000)
      pod["spec"]?["priorityClassName"] = "none"
      pod["metadata"]?["name"] = "q"
      let body = pod
      #expect(await refusal { _ = try await fixture.create("pods", body) }?.code == 403)
    }
  }

  @Test func qualityOfServiceFollowsTheResources() {
    func spec(_ resources: JSON...) -> JSON {
      ["containers": .array(resources.map { ["resources": $0] })]
    }
    let full: JSON = ["limits": ["cpu": "1", "memory": "1Gi"], "requests": ["cpu": "1000m", "memory": "1024Mi"]]
    #expect(PodStatusDefaults.qualityOfService(spec([:])) == "BestEffort")
    #expect(PodStatusDefaults.qualityOfService(spec(full)) == "Guaranteed")
    #expect(PodStatusDefaults.qualityOfService(spec(full, [:])) == "Burstable")
    #expect(PodStatusDefaults.qualityOfService(spec(["requests": ["cpu": "1"]])) == "Burstable")
  }

  @Test func eventsExpire() async throws {
    try await Fixture.run { fixture in
      let event: JSON = [
        "metadata": ["name": "e"], "involvedObject": ["kind": "Pod", "namespace": "default", "name": "p"],
        "reason": "Tested", "message": "m",
      ]
      _ = try await fixture.create("events", event)
      let expiry = EventExpiry(client: fixture.client, time: fixture.clock)
      await expiry.removeExpired()
      _ = try await fixture.get("events", "e")
      fixture.clock.advance(.seconds(3700))
      await expiry.removeExpired()
      #expect(await refusal { _ = try await fixture.get("events", "e") }?.code == 404)
    }
  }

  private func service(_ name: String, _ spec: JSON = [:]) -> JSON {
    var spec = spec
    if spec["ports"] == nil { spec["ports"] = [["port": 80]] }
    return ["metadata": ["name": .string(name)], "spec": spec]
  }

  @Test func addressesAreGivenOnce() async throws {
    try await Fixture.run(range: "10.96.0.0/28") { fixture in
      var seen: Set<String> = []
      var failure: KubeError?
      for number in 0..<16 {
        do {
          let created = try await fixture.create("services", service("s\(number)")).json()
          let address = try #require(created.at("spec", "clusterIP")?.string)
          #expect(seen.insert(address).inserted)
          #expect(!["10.96.0.0", "10.96.0.1", "10.96.0.10", "10.96.0.15"].contains(address))
        } catch {
          failure = error as? KubeError
        }
      }
      #expect(seen.count == 12)
      #expect(failure?.message.contains("range") == true)
      // A deleted Service gives its address back.
      let address = try await fixture.get("services", "s3").at("spec", "clusterIP")
      try await fixture.delete("services", "s3")
      let again = try await fixture.create("services", service("again")).json()
      #expect(again.at("spec", "clusterIP") == address)
    }
  }

  @Test func chosenAddressesAreHonouredOrRefused() async throws {
    try await Fixture.run { fixture in
      let chosen = try await fixture.create("services", service("chosen", ["clusterIP": "10.96.0.20"])).json()
      #expect(chosen.at("spec", "clusterIPs") == ["10.96.0.20"])
      let body = service("other", ["clusterIP": "10.96.0.20"])
      let taken = await refusal { _ = try await fixture.create("services", body) }
      #expect(taken?.message.contains("provided IP is already allocated") == true)
      let outside = service("far", ["clusterIP": "10.97.0.10"])
      #expect(await refusal { _ = try await fixture.create("services", outside) }?.code == 422)
      let headless = try await fixture.create("services", service("none", ["clusterIP": "None"])).json()
      #expect(headless.at("spec", "clusterIPs") == ["None"])
    }
  }

  @Test func aFailedWriteGivesItsReservationBack() async throws {
    try await Fixture.run { fixture in
      let body = service("a", ["clusterIP": "10.96.0.20"])
      _ = try await fixture.create("services", body, dryRun: true)
      _ = try await fixture.create("services", service("b", ["clusterIP": "10.96.0.20"]))
      // The name exists: the reservation of this attempt must not stay.
      let clash = service("b", ["clusterIP": "10.96.0.21"])
      #expect(await refusal { _ = try await fixture.create("services", clash) }?.reason == .alreadyExists)
      _ = try await fixture.create("services", service("c", ["clusterIP": "10.96.0.21"]))
    }
  }

  @Test func nodePortsAreKeptAcrossUpdates() async throws {
    try await Fixture.run { fixture in
      let created = try await fixture.create("services", service("a", ["type": "NodePort"])).json()
      let port = try #require(created.at("spec", "ports")?.array?.first?["nodePort"]?.int)
      #expect((30000...32767).contains(port))
      var update = created
      update["spec"]?["ports"] = [["port": 80, "protocol": "TCP"]]
      update["spec"]?["clusterIP"] = nil
      update["spec"]?["clusterIPs"] = nil
      let kept = try await fixture.update("services", "a", update)
      #expect(kept.at("spec", "ports")?.array?.first?["nodePort"]?.int == port)
      #expect(kept.at("spec", "clusterIP") == created.at("spec", "clusterIP"))
      let body = service("b", ["type": "NodePort", "ports": [["port": 80, "nodePort": .int(port)]]])
      #expect(await refusal { _ = try await fixture.create("services", body) }?.code == 422)
    }
  }

  @Test func tokensAreBoundToPods() async throws {
    try await Fixture.run { fixture in
      let pod = try await fixture.create("pods", Fixture.pod("p"))
      let request: JSON = [
        "spec": ["boundObjectRef": ["kind": "Pod", "apiVersion": "v1", "name": "p", "uid": .string(pod.header.uid)]]
      ]
      let token = try await fixture.client.create(
        Fixture.resource("serviceaccounts"), namespace: "default", name: "default", subresource: "token", body: request,
        options: WriteOptions()
      ).json().at("status", "token")
      func review() async throws -> JSON {
        try await fixture.client.create(
          Fixture.resource("tokenreviews"), namespace: nil, name: nil, subresource: nil,
          body: ["spec": ["token": token ?? .null]], options: WriteOptions()
        ).json()
      }
      let valid = try await review()
      #expect(valid.at("status", "user", "username") == "system:serviceaccount:default:default")
      try await fixture.delete("pods", "p")
      #expect(try await review().at("status", "authenticated") == false)
    }
  }

  @Test func aFailedWriteDoesNotFreeWhatAnotherOfTheSameServiceHas() async throws {
    try await Fixture.run { fixture in
      let allocator = try ServiceAllocator(
        ranges: try #require(IPRanges("10.96.0.0/24")), nodePorts: 30000...32767, store: fixture.store,
        identifiers: IdentifierSource(SeededGenerator(seed: 1)), reader: Fixture.reader)
      // Two writes of one Service want the same port; one is stored, the other fails afterwards.
      #expect(allocator.reserve(port: 30500, for: "default/s") && allocator.reserve(port: 30500, for: "default/s"))
      _ = try await fixture.create(
        "services",
        ["metadata": ["name": "s"], "spec": ["type": "NodePort", "ports": [["port": 80, "nodePort": 30500]]]])
      allocator.endReservations(addresses: [], ports: [30500], of: "default/s")
      allocator.endReservations(addresses: [], ports: [30500], of: "default/s")
      #expect(!allocator.reserve(port: 30500, for: "default/other"))
      try await fixture.delete("services", "s")
      #expect(allocator.reserve(port: 30500, for: "default/other"))
      allocator.endReservations(addresses: [], ports: [30500], of: "default/other")
      #expect(allocator.reserve(port: 30500, for: "default/third"))
    }
  }
}
