import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Telemetry
import Testing
import Wire

@testable import Workloads

private func podJSON(
  _ name: String, ip: String = "10.0.0.1", labels: [String: String] = ["app": "web"], ready: Bool = true,
  terminating: Bool = false, phase: String = "Running", ports: [JSON] = [], more ips: [String] = [],
  hostname: String? = nil, subdomain: String? = nil
) -> JSON {
  var metadata: JSON = [
    "name": .string(name), "namespace": "default", "uid": .string("u-\(name)"),
    "labels": .object(JSONObject(uniqueMembers: labels.map { (key: $0.key, value: .string($0.value)) })),
  ]
  if terminating { metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z" }
  var spec: JSON = ["nodeName": "n1", "containers": [["name": "c", "ports": .array(ports)]]]
  spec["hostname"] = hostname.map { .string($0) }
  spec["subdomain"] = subdomain.map { .string($0) }
  var status: JSON = [
    "phase": .string(phase), "conditions": [["type": "Ready", "status": ready ? "True" : "False"]],
  ]
  if !ip.isEmpty {
    status["podIP"] = .string(ip)
    status["podIPs"] = .array(([ip] + ips).map { ["ip": .string($0)] })
  }
  return ["apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status]
}

private func makePod(_ json: JSON) throws -> EndpointPod { try #require(EndpointPod(Pod(json: json))) }

private func serviceJSON(_ change: (inout JSON) -> Void = { _ in }) -> JSON {
  var json: JSON = [
    "apiVersion": "v1", "kind": "Service",
    "metadata": ["name": "web", "namespace": "default", "uid": "u-svc", "labels": ["team": "a"]],
    "spec": [
      "selector": ["app": "web"], "clusterIP": "10.1.0.1", "ipFamilies": ["IPv4"],
      "ports": [["name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"]],
    ],
  ]
  change(&json)
  return json
}

private func makeService(_ change: (inout JSON) -> Void = { _ in }) throws -> EndpointService {
  try #require(EndpointService(KubeTypes.Service(json: serviceJSON(change))))
}

/// Applies actions as the API server would.
private func applied(_ actions: [EndpointSlicePlan.Action], to slices: [EndpointSlice]) -> [EndpointSlice] {
  var result = slices
  for action in actions {
    switch action {
    case .create(var slice):
      slice.metadata.name = "web-\(result.count + 1)-\(slice.endpoints.count)"
      slice.metadata.uid = "u-slice-\(result.count + 1)"
      result.append(slice)
    case .update(let slice):
      if let at = result.firstIndex(where: { $0.metadata.name == slice.metadata.name }) { result[at] = slice }
    case .delete(let key, _): result.removeAll { $0.metadata.name == key.name }
    }
  }
  return result
}

@Suite struct EndpointSlicePlanTests {
  private func plan(_ service: EndpointService, _ pods: [EndpointPod], _ slices: [EndpointSlice] = [])
    -> [EndpointSlicePlan.Action]
  {
    EndpointSlicePlan.plan(.init(service: service, pods: pods, zones: ["n1": "z1"], slices: slices))
  }

  @Test func aSliceSaysEverything() throws {
    let actions = plan(try makeService(), [try makePod(podJSON("a"))])
    guard case .create(let slice)? = actions.first, actions.count == 1 else {
      Issue.record("\(actions)")
      return
    }
    #expect(slice.addressType == "IPv4")
    #expect(slice.metadata.generateName == "web-")
    #expect(
      slice.metadata.labels == [
        "team": "a", "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
      ])
    #expect(slice.metadata.ownerReferences.first?.uid == "u-svc")
    #expect(slice.json["ports"] == [["name": "http", "protocol": "TCP", "port": 8080]])
    #expect(
      slice.json["endpoints"] == [
        [
          "addresses": ["10.0.0.1"], "conditions": ["ready": true, "serving": true, "terminating": false],
          "nodeName": "n1", "zone": "z1",
          "targetRef": ["kind": "Pod", "namespace": "default", "name": "a", "uid": "u-a"],
        ]
      ])
    #expect(plan(try makeService(), [try makePod(podJSON("a"))], applied(actions, to: [])).isEmpty)
  }

  @Test(
    arguments: [
      (true, false, false, [true, true, false]), (false, false, false, [false, false, false]),
      (true, true, false, [false, true, true]), (false, true, false, [false, false, true]),
      (false, false, true, [true, false, false]), (true, true, true, [true, true, true]),
    ] as [(Bool, Bool, Bool, [Bool])])
  func conditions(ready: Bool, terminating: Bool, publishes: Bool, expected: [Bool]) throws {
    let service = try makeService { $0["spec"]?["publishNotReadyAddresses"] = .bool(publishes) }
    let pod = try makePod(podJSON("a", ready: ready, terminating: terminating))
    let endpoint = EndpointSlicePlan.endpoint(pod, address: "10.0.0.1", service, zone: nil)
    let conditions = endpoint.conditions
    #expect([conditions?.ready, conditions?.serving, conditions?.terminating] == expected.map { $0 })
  }

  @Test func namedPortsMakeGroups() throws {
    let service = try makeService { $0["spec"]?["ports"] = [["name": "http", "port": 80, "targetPort": "web"]] }
    let pods = [
      try makePod(podJSON("a", ip: "10.0.0.1", ports: [["name": "web", "containerPort": 1]])),
      try makePod(podJSON("b", ip: "10.0.0.2", ports: [["name": "web", "containerPort": 2]])),
      try makePod(podJSON("c", ip: "10.0.0.3", ports: [["name": "web", "containerPort": 2]])),
      try makePod(podJSON("d", ip: "10.0.0.4")),
    ]
    let slices = applied(plan(service, pods), to: [])
    #expect(slices.map { $0.endpoints.count }.sorted() == [1, 1, 2])
    #expect(slices.first { $0.endpoints.count == 2 }?.ports.first?.port == 2)
  }

  @Test func targetPortDefaultsToPort() throws {
    let pod = try makePod(podJSON("a"))
    #expect(pod.targetPort(of: ServicePort(json: ["port": 80])) == 80)
    #expect(pod.targetPort(of: ServicePort(json: ["port": 80, "targetPort": 0])) == 80)
    #expect(pod.targetPort(of: ServicePort(json: ["port": 80, "targetPort": "x"])) == nil)
  }

  @Test func readinessChangesOnlyItsSlice() throws {
    let service = try makeService()
    var pods = try (0..<250).map { try makePod(podJSON("p\(1000 + $0)", ip: "10.0.\($0 / 250).\($0 % 250)")) }
    let slices = applied(plan(service, pods), to: [])
    #expect(slices.map { $0.endpoints.count } == [100, 100, 50])
    pods[120] = try makePod(podJSON("p1120", ip: "10.0.0.120", ready: false))
    let actions = plan(service, pods, slices)
    #expect(actions.count == 1)
    // Two go, three come: the holes are filled before anything else.
    pods.removeFirst(2)
    pods += try (0..<3).map { try makePod(podJSON("q\($0)", ip: "10.0.9.\($0)")) }
    let after = applied(plan(service, pods, slices), to: slices)
    #expect(after.count == 3)
    #expect(after.map { $0.endpoints.count }.reduce(0, +) == 251)
    #expect(plan(service, pods, after).isEmpty)
  }

  @Test func anEmptySliceStaysAndIsUsedAgain() throws {
    let service = try makeService()
    let pod = try makePod(podJSON("a"))
    let first = applied(plan(service, []), to: [])
    #expect(first.count == 1)
    #expect(first[0].endpoints.isEmpty)
    #expect(plan(service, [], first).isEmpty)
    let filled = applied(plan(service, [pod], first), to: first)
    #expect(filled.map { $0.metadata.name } == first.map { $0.metadata.name })
    #expect(filled[0].endpoints.count == 1)
    #expect(filled[0].ports.count == 1)
    let emptied = applied(plan(service, [], filled), to: filled)
    #expect(emptied.count == 1)
    #expect(emptied[0].endpoints.isEmpty)
  }

  @Test func dualStack() throws {
    let service = try makeService { $0["spec"]?["ipFamilies"] = ["IPv6", "IPv4"] }
    let pod = try makePod(podJSON("a", more: ["fd00::1"]))
    let slices = applied(plan(service, [pod]), to: [])
    #expect(Set(slices.compactMap(\.addressType)) == ["IPv4", "IPv6"])
    #expect(slices.first { $0.addressType == "IPv6" }?.endpoints.first?.addresses == ["fd00::1"])
  }

  @Test func headlessServicesNameTheirPods() throws {
    let service = try makeService { $0["spec"]?["clusterIP"] = "None" }
    let pods = [
      try makePod(podJSON("a", hostname: "first", subdomain: "web")),
      try makePod(podJSON("b", ip: "10.0.0.2", hostname: "second", subdomain: "other")),
    ]
    let slice = applied(plan(service, pods), to: [])[0]
    #expect(slice.endpoints.map(\.hostname) == ["first", nil])
    #expect(slice.metadata.labels["service.kubernetes.io/headless"] == "")
  }

  @Test func labelsFollowTheService() throws {
    let slices = applied(plan(try makeService(), [try makePod(podJSON("a"))]), to: [])
    let renamed = try makeService { $0["metadata"]?["labels"] = ["team": "b"] }
    let after = applied(plan(renamed, [try makePod(podJSON("a"))], slices), to: slices)
    #expect(after.count == 1)
    #expect(after[0].metadata.labels["team"] == "b")
  }

  /// Random pods come and go: the slices always hold exactly the endpoints, none is over-full, and a second look finds
  /// nothing to do.
  @Test(arguments: [1, 2, 3, 4] as [UInt64])
  func converges(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let service = try makeService { $0["spec"]?["ports"] = [["name": "http", "port": 80, "targetPort": "web"]] }
    var slices: [EndpointSlice] = []
    for _ in 0..<30 {
      let pods = try (0..<Int.random(in: 0...260, using: &random)).compactMap { index -> EndpointPod? in
        if Int.random(in: 0..<4, using: &random) == 0 { return nil }
        let port = Int64.random(in: 1...2, using: &random)
        return try makePod(
          podJSON(
            "p\(1000 + index)", ip: "10.0.\(index / 250).\(index % 250)", ready: Bool.random(using: &random),
            ports: [["name": "web", "containerPort": .int(port)]]))
      }
      slices = applied(plan(service, pods, slices), to: slices)
      let uids = slices.flatMap { $0.endpoints.compactMap { $0.targetRef?.uid } }
      #expect(uids.sorted() == pods.map(\.uid).sorted(), "seed \(seed)")
      #expect(slices.allSatisfy { $0.endpoints.count <= 100 }, "seed \(seed)")
      #expect(slices.count <= 6, "seed \(seed)")
      #expect(plan(service, pods, slices).isEmpty, "seed \(seed)")
    }
  }
}

@Suite struct EndpointsTests {
  @Test func readyAndNotReady() throws {
    let pods = [
      try makePod(podJSON("b", ip: "10.0.0.2")), try makePod(podJSON("a", ip: "10.0.0.1")),
      try makePod(podJSON("c", ip: "10.0.0.3", ready: false)),
      try makePod(podJSON("d", ip: "10.0.0.4", terminating: true)),
    ]
    let (subsets, isTruncated) = EndpointsReconciler.subsets(try makeService(), pods)
    #expect(!isTruncated)
    #expect(subsets.count == 1)
    #expect(subsets[0].addresses.map(\.ip) == ["10.0.0.1", "10.0.0.2"])
    #expect(subsets[0].notReadyAddresses.map(\.ip) == ["10.0.0.3"])
    #expect(subsets[0].json["ports"] == [["name": "http", "port": 8080, "protocol": "TCP"]])
  }

  @Test func portsMakeSubsets() throws {
    let service = try makeService { $0["spec"]?["ports"] = [["name": "http", "port": 80, "targetPort": "web"]] }
    let pods = [
      try makePod(podJSON("a", ports: [["name": "web", "containerPort": 1]])),
      try makePod(podJSON("b", ip: "10.0.0.2", ports: [["name": "web", "containerPort": 2]])),
      try makePod(podJSON("c", ip: "10.0.0.3")),
    ]
    #expect(EndpointsReconciler.subsets(service, pods).0.map { $0.ports.first?.port } == [1, 2])
  }

  @Test func atMostAThousandAddresses() throws {
    let pods = try (0..<1002).map {
      try makePod(podJSON("p\($0)", ip: "10.0.\($0 / 250).\($0 % 250)", ready: $0 != 0))
    }
    let (subsets, isTruncated) = EndpointsReconciler.subsets(try makeService(), pods)
    #expect(isTruncated)
    #expect(subsets[0].addresses.count == 1000)
    #expect(subsets[0].notReadyAddresses.isEmpty)
  }

  @Test func endedPodsAndPodsWithoutAddressHaveNone() {
    #expect(EndpointPod(Pod(json: podJSON("a", phase: "Succeeded"))) == nil)
    #expect(EndpointPod(Pod(json: podJSON("a", phase: "Failed"))) == nil)
    #expect(EndpointPod(Pod(json: podJSON("a", ip: ""))) == nil)
  }

  @Test func servicesOfOthers() {
    #expect(EndpointService(KubeTypes.Service(json: serviceJSON { $0["spec"]?["selector"] = nil })) == nil)
    #expect(EndpointService(KubeTypes.Service(json: serviceJSON { $0["spec"]?["type"] = "ExternalName" })) == nil)
  }

  @Test func onlyServicesThatAreConcernedAreVisited() {
    let index = EndpointPodIndex()
    index.serviceChanged(nil, Object(serviceJSON()))
    let other = serviceJSON {
      $0["metadata"]?["name"] = "db"
      $0["spec"]?["selector"] = ["app": "db"]
    }
    index.serviceChanged(nil, Object(other))
    let web = ObjectKey(namespace: "default", name: "web")
    let first = Object(podJSON("a"))
    #expect(index.podChanged(nil, first) == [web])
    // A restart count, or whatever else endpoints do not show.
    var json = podJSON("a")
    json["status"]?["containerStatuses"] = [["restartCount": 1]]
    let second = Object(json)
    #expect(index.podChanged(first, second) == [])
    let moved = Object(podJSON("a", labels: ["app": "db"]))
    #expect(Set(index.podChanged(second, moved)) == [web, ObjectKey(namespace: "default", name: "db")])
    #expect(index.pods(of: web) == [])
    #expect(index.podChanged(moved, nil) == [ObjectKey(namespace: "default", name: "db")])
  }
}

@Suite(.timeLimit(.minutes(1))) struct EndpointControllerTests {
  @Test func followsPodsAndRepairs() async throws {
    let services = GroupVersionResource(group: "", version: "v1", resource: "services")
    let pods = NamespaceReconciler.pods
    let slices = EndpointSliceReconciler.resource
    let endpoints = EndpointsReconciler.resource
    let server = MemoryServer()
    let time = ManualTime()
    let informers = InformerSet(client: server, time: time)
    let controllers = endpointControllers(
      clients: { _ in server }, informers: informers, metrics: Metrics(), time: time, seed: 1)
    server.put(services, serviceJSON())
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try? await informers.run() }
      for controller in controllers { group.addTask { try? await controller.run() } }
      group.addTask {
        while !Task.isCancelled {
          time.advance(by: .milliseconds(100))
          await Task.yield()
        }
      }
      @Sendable func ready(_ list: [JSON]) -> [Bool?] {
        list.flatMap { $0["endpoints"]?.array ?? [] }.map { $0.at("conditions", "ready")?.bool }
      }
      await server.wait(for: slices) { $0.count == 1 }
      server.put(pods, podJSON("a", ready: false))
      await server.wait(for: slices) { $0.count == 1 && ready($0) == [false] }
      server.put(pods, podJSON("a"))
      await server.wait(for: slices) { $0.count == 1 && ready($0) == [true] }
      await server.wait(for: endpoints) { list in
        list.first?["subsets"]?.array?.first?["addresses"]?.array?.count == 1
      }
      // Somebody deletes the slice.
      let name = try #require(server.all(slices).first).header.name
      _ = try await server.delete(slices, namespace: "default", name: name, options: .init())
      await server.wait(for: slices) { $0.count == 1 && ready($0) == [true] }
      _ = try await server.delete(services, namespace: "default", name: "web", options: .init())
      await server.wait(for: endpoints) { $0.isEmpty }
      group.cancelAll()
    }
  }
}
