import KubeClient
import KubeTypes
import NIOCore
import Schema
import Store
import Testing
import Wire

@testable import APIServer

/// What a client of Kubernetes relies on beyond what the documentation of its API says.
@Suite struct UpstreamBehaviourTests {
  private static func resource(_ group: String, _ name: String) -> GroupVersionResource {
    GroupVersionResource(group: group, version: "v1", resource: name)
  }

  private static let events = resource("", "events")
  private static let newEvents = resource("events.k8s.io", "events")
  private static let jobs = resource("batch", "jobs")
  private static let classes = resource("node.k8s.io", "runtimeclasses")
  private static let ranges = resource("networking.k8s.io", "servicecidrs")

  private func create(
    _ fixture: Fixture, _ resource: GroupVersionResource, _ body: JSON, in namespace: String? = "default"
  ) async throws -> JSON {
    try await fixture.client.create(
      resource, namespace: namespace, name: nil, subresource: nil, body: body, options: WriteOptions()
    ).json()
  }

  /// The allocator hears of writes from the store's watches.
  private func settle(_ fixture: Fixture) async {
    while fixture.store.deliveredRevision < fixture.store.revision { await Task.yield() }
  }

  // MARK: Services that change

  private func service(_ name: String, _ spec: JSON) -> JSON { ["metadata": ["name": .string(name)], "spec": spec] }

  private static let twoPorts: JSON = [
    ["name": "http", "port": 80, "nodePort": 30080], ["name": "metrics", "port": 9090],
  ]

  @Test(
    arguments: [
      [["name": "http", "port": 80, "nodePort": 30080], ["name": "metrics", "port": 9091]],
      [["name": "http", "port": 80, "nodePort": 30080]],
      [["name": "http", "port": 81], ["name": "metrics", "port": 9090], ["name": "more", "port": 1]],
      [["name": "renamed", "port": 80, "nodePort": 30080], ["name": "metrics", "port": 9090]],
    ] as [JSON])
  func nodePortsGoWithTheirType(ports: JSON) async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.create("services", service("s", ["type": "NodePort", "ports": Self.twoPorts]))
      var update = try await fixture.get("services", "s")
      update["spec"]?["type"] = "ClusterIP"
      update["spec"]?["ports"] = ports
      let changed = try await fixture.update("services", "s", update)
      #expect(changed.at("spec", "ports")?.array?.contains { $0["nodePort"] != nil } == false)
      #expect(changed.at("spec", "externalTrafficPolicy") == nil)
      // The port is free again.
      await settle(fixture)
      _ = try await fixture.create(
        "services", service("t", ["type": "NodePort", "ports": [["port": 80, "nodePort": 30080]]]))
    }
  }

  @Test func newNodePortsAreRefusedWhereThereAreNone() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.create("services", service("s", ["type": "NodePort", "ports": Self.twoPorts]))
      var update = try await fixture.get("services", "s")
      update["spec"]?["type"] = "ClusterIP"
      update["spec"]?["ports"] = [["name": "http", "port": 80, "nodePort": 30081]]
      let body = update
      let failure = await refusal { _ = try await fixture.update("services", "s", body) }
      #expect(failure?.message.contains("spec.ports[0].nodePort: Forbidden: may not be used") == true)
    }
  }

  @Test func loadBalancersBecomePlain() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.create(
        "services",
        service(
          "s",
          [
            "type": "LoadBalancer", "externalTrafficPolicy": "Local", "loadBalancerClass": "example.com/lb",
            "ports": [["name": "a", "port": 80], ["name": "b", "port": 81]],
          ]))
      var update = try await fixture.get("services", "s")
      update["spec"]?["type"] = "ClusterIP"
      var ports = try #require(update.at("spec", "ports")?.array)
      ports[0]["port"] = 8080
      update["spec"]?["ports"] = .array(ports)
      let changed = try await fixture.update("services", "s", update)
      for field in ["externalTrafficPolicy", "loadBalancerClass", "allocateLoadBalancerNodePorts"] {
        #expect(changed.at("spec", field) == nil, "\(field)")
      }
      #expect(changed.at("spec", "ports")?.array?.allSatisfy { $0["nodePort"] == nil } == true)
      #expect(changed.at("spec", "clusterIP") == update.at("spec", "clusterIP"))
    }
  }

  @Test func aPortKeepsItsNodePortByItsName() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.create("services", service("s", ["type": "NodePort", "ports": Self.twoPorts]))
      var update = try await fixture.get("services", "s")
      let before = update.at("spec", "ports")?.array?[1]["nodePort"]
      update["spec"]?["ports"] = [["name": "metrics", "port": 9999], ["name": "new", "port": 1]]
      let ports = try await fixture.update("services", "s", update).at("spec", "ports")?.array
      #expect(ports?[0]["nodePort"] == before && ports?[1]["nodePort"] != before)
    }
  }

  @Test(
    arguments: [
      (["ipFamilies": ["IPv6"]], "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster"),
      (
        ["ipFamilyPolicy": "RequireDualStack"],
        "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services"
      ),
      (
        ["ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"]],
        "spec.ipFamilies[1]: Invalid value: \"IPv6\": not configured on this cluster"
      ),
      (["ipFamilies": ["IPv4", "IPv6"]], "when multiple IP families are specified"),
      (["ipFamilies": ["IPv4", "IPv4"], "ipFamilyPolicy": "PreferDualStack"], "Duplicate value: \"IPv4\""),
      (["clusterIP": "fd00::1"], "spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: IPv6 is not configured"),
      (["clusterIP": "None", "selector": ["a": "b"], "ipFamilies": ["IPv6"]], "not configured on this cluster"),
    ] as [(JSON, String)])
  func familiesThatTheClusterHasNot(spec: JSON, message: String) async throws {
    try await Fixture.run { fixture in
      var spec = spec
      spec["ports"] = [["port": 80]]
      let body = service("s", spec)
      let failure = await refusal { _ = try await fixture.create("services", body) }
      #expect(failure?.code == 422 && failure?.message.contains(message) == true, "\(String(describing: failure))")
    }
  }

  @Test func familiesThatItHas() async throws {
    try await Fixture.run { fixture in
      let preferred = try await fixture.create(
        "services", service("s", ["ipFamilyPolicy": "PreferDualStack", "ports": [["port": 80]]])
      ).json()
      #expect(preferred.at("spec", "ipFamilies") == ["IPv4"])
      // Whoever fills in the endpoints himself may use both.
      let open = try await fixture.create("services", service("o", ["clusterIP": "None"])).json()
      #expect(open.at("spec", "ipFamilyPolicy") == "RequireDualStack")
      #expect(open.at("spec", "ipFamilies") == ["IPv4", "IPv6"])
      var update = try await fixture.get("services", "s")
      update["spec"]?["ipFamilyPolicy"] = nil
      #expect(try await fixture.update("services", "s", update).at("spec", "ipFamilyPolicy") == "PreferDualStack")
    }
  }

  // MARK: Generations

  @Test func onlyUsersMoveTheGeneration() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.create("pods", Fixture.pod("p"))
      _ = try await fixture.client.create(
        Fixture.resource("pods"), namespace: "default", name: "p", subresource: "binding",
        body: ["metadata": ["name": "p"], "target": ["kind": "Node", "name": "n"]], options: WriteOptions())
      #expect(try await fixture.get("pods", "p").at("metadata", "generation") == 1)
      _ = try await fixture.patch("pods", "p", .merge, ["status": ["phase": "Running"]], subresource: "status")
      _ = try await fixture.patch("pods", "p", .merge, ["metadata": ["labels": ["a": "b"]]])
      #expect(try await fixture.get("pods", "p").at("metadata", "generation") == 1)
      _ = try await fixture.patch(
        "pods", "p", .strategicMerge, ["spec": ["containers": [["name": "c", "image": "i:2"]]]])
      #expect(try await fixture.get("pods", "p").at("metadata", "generation") == 2)
    }
  }

  @Test func subresourcesKeepMetadata() async throws {
    try await Fixture.run { fixture in
      let requests = Self.resource("certificates.k8s.io", "certificatesigningrequests")
      _ = try await create(
        fixture, requests,
        [
          "metadata": ["name": "r"],
          "spec": ["request": "eA==", "signerName": "example.com/s", "usages": ["digital signature"]],
        ], in: nil)
      let approved = try await fixture.client.patch(
        requests, namespace: nil, name: "r", subresource: "approval", type: .merge,
        body: [
          "metadata": ["annotations": ["patched": "yes"]], "spec": ["signerName": "other.com/s"],
          "status": ["certificate": "eA==", "conditions": [["type": "Approved", "status": "True"]]],
        ], options: WriteOptions()
      ).json()
      #expect(approved.at("metadata", "annotations", "patched") == "yes")
      #expect(approved.at("status", "conditions")?.array?.count == 1)
      #expect(approved.at("status", "certificate") == nil && approved.at("spec", "signerName") == "example.com/s")
      let namespace = try await fixture.create("namespaces", ["metadata": ["name": "n"]]).json()
      var update = namespace
      update["metadata"]?["labels"]?["a"] = "b"
      update["spec"]?["finalizers"] = ["kubernetes", "example.com/f"]
      let finalized = try await fixture.update("namespaces", "n", update, subresource: "finalize")
      #expect(finalized.at("metadata", "labels", "a") == "b")
      #expect(finalized.at("spec", "finalizers")?.array?.count == 2)
    }
  }

  // MARK: Jobs

  private static let job: JSON = [
    "metadata": ["name": "j"],
    "spec": ["template": ["spec": ["restartPolicy": "Never", "containers": [["name": "c", "image": "i:1"]]]]],
  ]

  @Test func jobsGetTheirSelector() async throws {
    try await Fixture.run { fixture in
      let made = try await create(fixture, Self.jobs, Self.job)
      let uid = made.at("metadata", "uid")
      #expect(made.at("spec", "selector", "matchLabels") == ["batch.kubernetes.io/controller-uid": uid ?? .null])
      let labels = made.at("spec", "template", "metadata", "labels")
      #expect(labels?["controller-uid"] == uid && labels?["batch.kubernetes.io/controller-uid"] == uid)
      #expect(labels?["job-name"] == "j" && labels?["batch.kubernetes.io/job-name"] == "j")
      // An update that leaves them out, as `apply` does, changes nothing.
      let patched = try await fixture.client.patch(
        Self.jobs, namespace: "default", name: "j", subresource: nil, type: .merge,
        body: ["metadata": ["labels": ["a": "b"]]],
        options: WriteOptions()
      ).json()
      #expect(patched.at("spec", "selector") == made.at("spec", "selector"))
    }
  }

  @Test func jobsWithGeneratedNamesToo() async throws {
    try await Fixture.run { fixture in
      var job = Self.job
      job["metadata"] = ["generateName": "j-"]
      let made = try await create(fixture, Self.jobs, job)
      #expect(made.at("spec", "template", "metadata", "labels", "job-name") == made.at("metadata", "name"))
    }
  }

  @Test func chosenSelectors() async throws {
    try await Fixture.run { fixture in
      var job = Self.job
      job["spec"]?["selector"] = ["matchLabels": ["a": "b"]]
      let refused = job
      let failure = await refusal { _ = try await create(fixture, Self.jobs, refused) }
      #expect(failure?.code == 422)
      job["spec"]?["manualSelector"] = true
      job["spec"]?["template"]?["metadata"] = ["labels": ["a": "b"]]
      let made = try await create(fixture, Self.jobs, job)
      #expect(made.at("spec", "template", "metadata", "labels") == ["a": "b"])
    }
  }

  // MARK: RuntimeClasses

  private func runtimeClass(_ fixture: Fixture) async throws {
    _ = try await create(
      fixture, Self.classes,
      [
        "metadata": ["name": "sandboxed"], "handler": "kata",
        "overhead": ["podFixed": ["cpu": "250m", "memory": "64Mi"]],
        "scheduling": [
          "nodeSelector": ["sandbox": "kata"], "tolerations": [["key": "kata", "operator": "Exists"]],
        ],
      ], in: nil)
  }

  private func pod(_ name: String, _ spec: JSON) -> JSON {
    var pod = Fixture.pod(name)
    for member in spec.object?.members ?? [] { pod["spec"]?[member.key] = member.value }
    return pod
  }

  @Test func anUnknownClassIsRefused() async throws {
    try await Fixture.run { fixture in
      let body = pod("p", ["runtimeClassName": "nope"])
      let failure = await refusal { _ = try await fixture.create("pods", body) }
      #expect(failure?.code == 403)
      #expect(failure?.message == "pods \"p\" is forbidden: pod rejected: RuntimeClass \"nope\" not found")
      // Deleted ones are unknown, too.
      try await runtimeClass(fixture)
      _ = try await fixture.client.delete(Self.classes, namespace: nil, name: "sandboxed", options: DeleteOptions())
      let other = pod("p", ["runtimeClassName": "sandboxed"])
      #expect(await refusal { _ = try await fixture.create("pods", other) }?.code == 403)
    }
  }

  @Test func aClassBringsItsOverheadAndItsPlace() async throws {
    try await Fixture.run { fixture in
      try await runtimeClass(fixture)
      let made = try await fixture.create("pods", pod("p", ["runtimeClassName": "sandboxed"])).json()
      #expect(made.at("spec", "overhead") == ["cpu": "250m", "memory": "64Mi"])
      #expect(made.at("spec", "nodeSelector") == ["sandbox": "kata"])
      #expect(made.at("spec", "tolerations")?.array?.contains { $0["key"] == "kata" } == true)
    }
  }

  @Test(
    arguments: [
      (["runtimeClassName": "sandboxed", "overhead": ["cpu": "1"]], "doesn't match RuntimeClass's defined Overhead"),
      (["overhead": ["cpu": "1"]], "Pod Overhead set without corresponding RuntimeClass"),
      (["runtimeClassName": "sandboxed", "nodeSelector": ["sandbox": "gvisor"]], "conflict: runtimeClass.scheduling"),
    ] as [(JSON, String)])
  func whatDoesNotGoWithAClass(spec: JSON, message: String) async throws {
    try await Fixture.run { fixture in
      try await runtimeClass(fixture)
      let body = pod("p", spec)
      let failure = await refusal { _ = try await fixture.create("pods", body) }
      #expect(failure?.code == 403 && failure?.message.contains(message) == true, "\(String(describing: failure))")
    }
  }

  // MARK: Nodes

  @Test func aNodeBringsItsStatus() async throws {
    try await Fixture.run { fixture in
      let node: JSON = [
        "metadata": ["name": "n"],
        "status": [
          "capacity": ["cpu": "4", "pods": "110"],
          "conditions": [["type": "Ready", "status": "True", "reason": "KubeletReady"]],
        ],
      ]
      let made = try await fixture.create("nodes", node).json()
      #expect(made.at("status", "capacity") == ["cpu": "4", "pods": "110"])
      #expect(made.at("status", "conditions")?.array?.count == 1)
      #expect(made["spec"]?.object != nil)
      // Afterwards it is written through its subresource alone.
      var update = made
      update["status"] = ["capacity": ["cpu": "8"]]
      #expect(try await fixture.update("nodes", "n", update).at("status", "capacity", "cpu") == "4")
      // The status of other kinds is not theirs who create them.
      var pod = Fixture.pod("p")
      pod["status"] = ["phase": "Running"]
      #expect(try await fixture.create("pods", pod).json().at("status", "phase") == "Pending")
    }
  }

  // MARK: Cluster addresses

  @Test func everyClusterAddressHasARecord() async throws {
    try await Fixture.run { fixture in
      func records() throws -> [String: String?] {
        let entries = try fixture.store.list(prefix: ServiceAddressRecord.prefix).entries
        return Dictionary(uniqueKeysWithValues: entries.map { ($0.header.name, ServiceAddressRecord.owner($0)) })
      }
      let keeper = fixture.server.addresses
      func keep() async throws {
        await settle(fixture)
        keeper.noteAll()
        try await keeper.keep()
      }
      try await keep()
      #expect(try records() == ["10.96.0.1": "default/kubernetes"])
      let range = try await fixture.client.get(Self.ranges, namespace: nil, name: "kubernetes").json()
      #expect(range.at("spec", "cidrs") == ["10.96.0.0/24"])
      #expect(range.at("status", "conditions")?.array?.first?["status"] == "True")

      _ = try await fixture.create("services", service("s", ["clusterIP": "10.96.0.20", "ports": [["port": 80]]]))
      _ = try await fixture.create("services", service("headless", ["clusterIP": "None"]))
      try await keep()
      #expect(try records() == ["10.96.0.1": "default/kubernetes", "10.96.0.20": "default/s"])

      // Another Service gets the address of one that is gone.
      try await fixture.delete("services", "s")
      _ = try await fixture.create("services", service("t", ["clusterIP": "10.96.0.20", "ports": [["port": 80]]]))
      try await keep()
      #expect(try records()["10.96.0.20"] == "default/t")
      try await fixture.delete("services", "t")
      try await keep()
      #expect(try records().count == 1)
    }
  }

  @Test func addressesThatPeopleTook() async throws {
    try await Fixture.run(range: "10.96.0.0/28") { fixture in
      for last in 2...13 where last != 10 {
        _ = try await create(
          fixture, ServiceAddressRecord.resource,
          [
            "metadata": ["name": .string("10.96.0.\(last)")],
            "spec": ["parentRef": ["group": "example.com", "resource": "things", "name": "x"]],
          ], in: nil)
      }
      let made = try await fixture.create("services", service("s", ["ports": [["port": 80]]])).json()
      #expect(made.at("spec", "clusterIP") == "10.96.0.14")
      let body = service("t", ["clusterIP": "10.96.0.3", "ports": [["port": 80]]])
      #expect(await refusal { _ = try await fixture.create("services", body) }?.code == 422)
      // They are nobody's to tidy away.
      await settle(fixture)
      fixture.server.addresses.noteAll()
      try await fixture.server.addresses.keep()
      #expect(try fixture.store.list(prefix: ServiceAddressRecord.prefix).entries.count == 13)
    }
  }

  @Test func rangesThatAreNotServedSaySo() async throws {
    try await Fixture.run { fixture in
      _ = try await create(
        fixture, Self.ranges, ["metadata": ["name": "more"], "spec": ["cidrs": ["10.97.0.0/24"]]], in: nil)
      try await fixture.server.addresses.keep()
      let more = try await fixture.client.get(Self.ranges, namespace: nil, name: "more").json()
      #expect(more.at("status", "conditions")?.array?.first?["status"] == "False")
    }
  }

  // MARK: Events

  private static let newEvent: JSON = [
    "metadata": ["name": "new"], "eventTime": "2026-01-01T12:00:00.000000Z", "reason": "Scheduled", "note": "on n1",
    "type": "Normal", "action": "Binding", "reportingController": "example.com/scheduler", "reportingInstance": "s-1",
    "regarding": ["kind": "Pod", "namespace": "default", "name": "p", "apiVersion": "v1"],
  ]
  private static let oldEvent: JSON = [
    "metadata": ["name": "old"], "reason": "Pulled", "message": "image", "type": "Warning", "count": 3,
    "involvedObject": ["kind": "Pod", "namespace": "default", "name": "p"], "source": ["component": "kubelet"],
    "firstTimestamp": "2026-01-01T11:00:00Z", "lastTimestamp": "2026-01-01T11:30:00Z",
  ]

  @Test func eventsAreOneCollection() async throws {
    try await Fixture.run { fixture in
      let made = try await create(fixture, Self.newEvents, Self.newEvent)
      #expect(made["apiVersion"] == "events.k8s.io/v1" && made["note"] == "on n1")
      _ = try await create(fixture, Self.events, Self.oldEvent)

      let core = try await fixture.client.get(Self.events, namespace: "default", name: "new").json()
      #expect(core["apiVersion"] == "v1" && core["message"] == "on n1" && core.at("involvedObject", "name") == "p")
      #expect(core["reportingComponent"] == "example.com/scheduler" && core["note"] == nil)
      let other = try await fixture.client.get(Self.newEvents, namespace: "default", name: "old").json()
      #expect(other["apiVersion"] == "events.k8s.io/v1" && other["note"] == "image")
      #expect(other["deprecatedCount"] == 3 && other["deprecatedFirstTimestamp"] == "2026-01-01T11:00:00Z")
      #expect(other.at("deprecatedSource", "component") == "kubelet" && other.at("regarding", "kind") == "Pod")
      #expect(other.at("metadata", "resourceVersion")?.string?.isEmpty == false)

      for resource in [Self.events, Self.newEvents] {
        let list = try await fixture.client.list(resource, namespace: "default", options: ListOptions())
        #expect(list.items.map(\.header.name).sorted() == ["new", "old"])
        #expect(
          list.items.allSatisfy {
            $0.json()["apiVersion"] == .string(resource.group.isEmpty ? "v1" : "events.k8s.io/v1")
          })
      }
      let name = await refusal {
        _ = try await create(fixture, Self.events, ["metadata": ["name": "new"], "involvedObject": [:]])
      }
      #expect(name?.reason == .alreadyExists)
    }
  }

  @Test func eventsAreWrittenThroughEither() async throws {
    try await Fixture.run { fixture in
      _ = try await create(fixture, Self.newEvents, Self.newEvent)
      let series: JSON = ["count": 2, "lastObservedTime": "2026-01-01T12:05:00.000000Z"]
      let patched = try await fixture.client.patch(
        Self.newEvents, namespace: "default", name: "new", subresource: nil, type: .merge, body: ["series": series],
        options: WriteOptions()
      ).json()
      #expect(patched["series"] == series && patched["note"] == "on n1")
      let core = try await fixture.client.patch(
        Self.events, namespace: "default", name: "new", subresource: nil, type: .merge, body: ["message": "changed"],
        options: WriteOptions()
      ).json()
      #expect(core["message"] == "changed" && core["series"] == series)
      var update = try await fixture.client.get(Self.newEvents, namespace: "default", name: "new").json()
      #expect(update["note"] == "changed")
      // What the newer API fixes, it fixes for everybody who uses it.
      update["note"] = "again"
      let body = update
      let failure = await refusal {
        _ = try await fixture.client.update(
          Self.newEvents, namespace: "default", name: "new", subresource: nil, body: body, options: WriteOptions())
      }
      #expect(failure?.message.contains("note: Invalid value: \"again\": field is immutable") == true)
      _ = try await fixture.client.delete(Self.newEvents, namespace: "default", name: "new", options: DeleteOptions())
      #expect(
        await refusal { _ = try await fixture.client.get(Self.events, namespace: "default", name: "new") }?.code == 404)
    }
  }

  @Test func selectorsUseEachOnesNames() async throws {
    try await Fixture.run { fixture in
      _ = try await create(fixture, Self.newEvents, Self.newEvent)
      _ = try await create(fixture, Self.events, Self.oldEvent)
      func names(_ resource: GroupVersionResource, _ fields: String) async throws -> [String] {
        try await fixture.client.list(resource, namespace: nil, options: ListOptions(fieldSelector: fields)).items
          .map(\.header.name).sorted()
      }
      #expect(try await names(Self.newEvents, "regarding.name=p") == ["new", "old"])
      #expect(try await names(Self.events, "involvedObject.name=p") == ["new", "old"])
      #expect(try await names(Self.newEvents, "reportingController=example.com/scheduler") == ["new"])
      #expect(try await names(Self.events, "source=kubelet") == ["old"])
      let failure = await refusal { _ = try await names(Self.newEvents, "involvedObject.name=p") }
      #expect(failure?.message == "field label not supported: involvedObject.name")
    }
  }

  @Test func watchersSeeTheirOwnForm() async throws {
    try await Fixture.run { fixture in
      let core = try await fixture.client.watch(Self.events, namespace: nil, options: ListOptions())
      let newer = try await fixture.client.watch(Self.newEvents, namespace: nil, options: ListOptions())
      _ = try await create(fixture, Self.newEvents, Self.newEvent)
      for (stream, version) in [(core, "v1"), (newer, "events.k8s.io/v1")] {
        for try await event in stream {
          guard case .added(let object) = event else { continue }
          #expect(object.json()["apiVersion"] == .string(version))
          break
        }
      }
    }
  }

  @Test func encodedLinesAreThoseOfTheirKind() async throws {
    try await Fixture.run { fixture in
      _ = try await create(fixture, Self.newEvents, Self.newEvent)
      let encoder = WatchEncoder(.json)
      let entry = try #require(fixture.store.get("events/default/new"))
      for resource in [Self.events, Self.newEvents, Self.events] {
        let kind = try fixture.client.service.kind(resource)
        let notice = WatchNotice.added(entry).served(as: kind)
        let line = String(buffer: encoder.event(notice, kind: kind, status: nil))
        #expect(line.contains("\"apiVersion\":\"\(kind.groupVersion)\""), "\(line)")
      }
    }
  }

  @Test func strictEventsAreRefusedInTheirOwnWords() async throws {
    try await Fixture.run { fixture in
      var event = Self.newEvent
      event["eventTime"] = nil
      event["note"] = .string(String(repeating: "x", count: 2000))
      let body = event
      let failure = await refusal { _ = try await create(fixture, Self.newEvents, body) }
      #expect(failure?.message.hasPrefix("Event.events.k8s.io \"new\" is invalid") == true)
      #expect(failure?.message.contains("eventTime: Required value") == true)
    }
  }

  // MARK: Autoscalers

  private static let autoscaler: JSON = [
    "metadata": ["name": "h", "annotations": ["mine": "yes"]],
    "spec": [
      "scaleTargetRef": ["kind": "Deployment", "name": "d", "apiVersion": "apps/v1"], "maxReplicas": 5,
      "metrics": [
        [
          "type": "Resource",
          "resource": ["name": "memory", "target": ["type": "AverageValue", "averageValue": "1Gi"]],
        ],
        [
          "type": "Resource",
          "resource": ["name": "cpu", "target": ["type": "Utilization", "averageUtilization": 60]],
        ],
      ], "behavior": ["scaleDown": ["stabilizationWindowSeconds": 10]],
    ],
  ]

  private static func autoscalers(_ version: String) -> GroupVersionResource {
    GroupVersionResource(group: "autoscaling", version: version, resource: "horizontalpodautoscalers")
  }

  @Test func autoscalersOfTheOldVersionLoseNothing() async throws {
    try await Fixture.run { fixture in
      let made = try await create(fixture, Self.autoscalers("v2"), Self.autoscaler)
      var old = try await fixture.client.get(Self.autoscalers("v1"), namespace: "default", name: "h").json()
      #expect(old["apiVersion"] == "autoscaling/v1" && old.at("spec", "targetCPUUtilizationPercentage") == 60)
      #expect(old.at("spec", "metrics") == nil && old.at("metadata", "annotations", "mine") == "yes")
      let list = try await fixture.client.list(Self.autoscalers("v1"), namespace: nil, options: ListOptions())
      #expect(list.items.map { $0.json()["apiVersion"] } == ["autoscaling/v1"])
      // Written back as it is, nothing is another.
      old = try await fixture.client.update(
        Self.autoscalers("v1"), namespace: "default", name: "h", subresource: nil, body: old, options: WriteOptions()
      ).json()
      old["spec"]?["targetCPUUtilizationPercentage"] = 70
      _ = try await fixture.client.update(
        Self.autoscalers("v1"), namespace: "default", name: "h", subresource: nil, body: old, options: WriteOptions())
      let new = try await fixture.client.get(Self.autoscalers("v2"), namespace: "default", name: "h").json()
      #expect(new["apiVersion"] == "autoscaling/v2" && new.at("spec", "behavior") == made.at("spec", "behavior"))
      let metrics = try #require(new.at("spec", "metrics")?.array)
      #expect(metrics.count == 2)
      #expect(metrics.contains { $0.at("resource", "target", "averageUtilization") == 70 })
      #expect(metrics.contains { $0.at("resource", "name") == "memory" })
      #expect(new.at("metadata", "annotations") == ["mine": "yes"])
    }
  }

  @Test func theOldVersionsOwnFieldsAreStoredInTheNew() async throws {
    try await Fixture.run { fixture in
      var body = Self.autoscaler
      body["spec"]?["metrics"] = nil
      body["spec"]?["behavior"] = nil
      body["spec"]?["targetCPUUtilizationPercentage"] = 50
      let made = try await create(fixture, Self.autoscalers("v1"), body)
      #expect(made.at("spec", "targetCPUUtilizationPercentage") == 50)
      let new = try await fixture.client.get(Self.autoscalers("v2"), namespace: "default", name: "h").json()
      #expect(
        new.at("spec", "metrics")?.array?.map { $0.at("resource", "target", "averageUtilization") } == [50])
      // What an annotation smuggles in is checked as what it stands for.
      body["metadata"] = [
        "name": "i", "annotations": ["autoscaling.alpha.kubernetes.io/metrics": "[{\"type\":1}]"],
      ]
      let smuggled = body
      #expect(await refusal { _ = try await create(fixture, Self.autoscalers("v1"), smuggled) }?.code == 400)
    }
  }

  // MARK: Words

  @Test func unsupportedSelectorsAreNotToldTwice() async throws {
    try await Fixture.run { fixture in
      func failure(_ options: ListOptions) async -> String? {
        await refusal { _ = try await fixture.client.list(Fixture.resource("pods"), namespace: nil, options: options) }?
          .message
      }
      #expect(await failure(ListOptions(fieldSelector: "spec.foo=1")) == "field label not supported: spec.foo")
      #expect(
        await failure(ListOptions(fieldSelector: "spec.foo"))
          == "invalid selector: 'spec.foo'; can't understand 'spec.foo'")
    }
  }

  @Test func aPatchSaysWhichPathIsAbsent() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.create("deployments", Fixture.deployment("d"))
      let failure = await refusal {
        _ = try await fixture.patch(
          "deployments", "d", .json, [["op": "add", "path": "/spec/template/spec/tolerations/-", "value": [:]]])
      }
      #expect(failure?.code == 422)
      #expect(failure?.message.hasSuffix("operation 0: nothing at /spec/template/spec/tolerations") == true)
      let patched = try await fixture.patch(
        "deployments", "d", .json,
        [
          ["op": "test", "path": "/spec/paused", "value": nil],
          ["op": "replace", "path": "/spec/template/spec/containers/-1/image", "value": "i:2"],
        ]
      )
      #expect(patched.at("spec", "template", "spec", "containers")?.array?.first?["image"] == "i:2")
    }
  }

  @Test func aMapThatIsTooLarge() async throws {
    try await Fixture.run { fixture in
      let text = String(repeating: "x", count: (1 << 20) + 1)
      let failure = await refusal {
        _ = try await fixture.create("configmaps", ["metadata": ["name": "big"], "data": ["a": .string(text)]])
      }
      #expect(
        failure?.message == "ConfigMap \"big\" is invalid: []: Too long: may not be more than 1048576 bytes")
      #expect(failure?.details?.causes.first?.field == "[]")
    }
  }

  @Test func unknownFieldsComeBeforeRepeatedOnes() async throws {
    try await Fixture.run { fixture in
      let kind = try fixture.client.service.kind(Fixture.resource("deployments"))
      let text = #"""
        {"apiVersion":"apps/v1","kind":"Deployment","spec":{"paused":true,"paused":false,"foo":1,"bar":1,"bar":2,
         "template":{"spec":{"containers":[{"name":"c","image":"a","image":"b","x":{"y":1,"y":2}}]}}}}
        """#
      var duplicates: [String] = []
      var object = try JSON.parse(Array(text.utf8), duplicates: &duplicates)
      let problems = try fixture.client.service.decode(&object, kind, .warn, duplicates: duplicates)
      #expect(
        problems == [
          "unknown field \"spec.foo\"", "unknown field \"spec.bar\"",
          "unknown field \"spec.template.spec.containers[0].x\"", "duplicate field \"spec.paused\"",
          "duplicate field \"spec.template.spec.containers[0].image\"",
        ])
    }
  }

  @Test func warningsAreWholeAndDifferent() {
    var reply = Reply(json: [:])
    reply.add(warnings: ["a \"b\" c\\", "a \"b\" c\\", String(repeating: "x", count: 300)])
    let told = reply.headers.filter { $0.0 == "Warning" }.map(\.1)
    #expect(told.count == 2)
    #expect(told[0] == #"299 - "a \"b\" c\\""#)
    #expect(told[1].count == 300 + 8)
    var full = Reply(json: [:])
    full.add(warnings: (0..<100).map { "\($0) " + String(repeating: "x", count: 300) })
    let cut = full.headers.map(\.1.count)
    #expect(cut.count == 16 && cut.allSatisfy { $0 == 256 + 8 })
  }

  // MARK: What upstream's own suite found

  @Test func aWriteOfTheStatusKeepsTheLabelsOfADeployment() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.create("deployments", Fixture.deployment("d"))
      _ = try await fixture.patch("deployments", "d", .merge, ["metadata": ["labels": ["l": "1"]]])
      let changed = try await fixture.patch(
        "deployments", "d", .merge,
        ["metadata": ["labels": ["l": "2"], "annotations": ["a": "2"]], "status": ["replicas": 3]],
        subresource: "status")
      #expect(changed.at("metadata", "labels", "l")?.string == "1")
      #expect(changed.at("metadata", "annotations", "a")?.string == "2")
      #expect(changed.at("status", "replicas")?.int == 3)
    }
  }

  /// Nobody has said what becomes of the pods of one: they stay. Whoever says something gets it.
  @Test(
    arguments: [(nil, ["orphan"]), (.background, nil), (.foreground, ["foregroundDeletion"])]
      as [(
        PropagationPolicy?, [String]?
      )])
  func deletedReplicationControllersOrphanTheirPods(policy: PropagationPolicy?, finalizers: [String]?) async throws {
    try await Fixture.run { fixture in
      let template: JSON = [
        "metadata": ["labels": ["a": "b"]], "spec": ["containers": [["name": "c", "image": "i:1"]]],
      ]
      _ = try await fixture.create(
        "replicationcontrollers",
        ["metadata": ["name": "r"], "spec": ["replicas": 1, "selector": ["a": "b"], "template": template]])
      try await fixture.delete("replicationcontrollers", "r", DeleteOptions(propagationPolicy: policy))
      guard let finalizers else {
        let gone = await refusal { _ = try await fixture.get("replicationcontrollers", "r") }
        #expect(gone?.code == 404)
        return
      }
      let left = try await fixture.get("replicationcontrollers", "r")
      #expect(left.at("metadata", "finalizers")?.array?.compactMap(\.string) == finalizers)
      _ = try await fixture.patch("replicationcontrollers", "r", .merge, ["metadata": ["finalizers": .null]])
    }
  }

  @Test(
    arguments: [
      (["hostUsers": false, "hostNetwork": true], "spec.hostNetwork: Forbidden: when `hostUsers` is false"),
      (
        ["ephemeralContainers": [["name": "e", "image": "i"]]],
        "spec.ephemeralContainers: Forbidden: cannot be set on create"
      ),
      (
        [
          "terminationGracePeriodSeconds": 5,
          "containers": [["name": "c", "image": "i", "lifecycle": ["preStop": ["sleep": ["seconds": 6]]]]],
        ],
        "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 6: must be non-negative and less than "
          + "terminationGracePeriodSeconds (5)"
      ),
    ] as [(JSON, String)])
  func podsThatContradictThemselves(spec: JSON, problem: String) async throws {
    try await Fixture.run { fixture in
      var body = Fixture.pod("p")
      for (key, value) in spec.object?.members ?? [] { body["spec"]?[key] = value }
      let pod = body
      let failure = await refusal { _ = try await fixture.create("pods", pod) }
      #expect(failure?.message.contains(problem) == true, "\(failure?.message ?? "")")
    }
  }

  @Test func unknownTrafficDistributionsAreRefused() async throws {
    try await Fixture.run { fixture in
      let body = service("s", ["ports": [["port": 80]], "trafficDistribution": "Foo"])
      let failure = await refusal { _ = try await fixture.create("services", body) }
      #expect(failure?.message.contains("spec.trafficDistribution: Unsupported value: \"Foo\"") == true)
      _ = try await fixture.create(
        "services", service("t", ["ports": [["port": 80]], "trafficDistribution": "PreferClose"]))
    }
  }
}
