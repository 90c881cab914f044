import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Synchronization
import Telemetry
import Testing
import Wire

@testable import Workloads

private let namespaces = NamespaceReconciler.resource
private let pods = NamespaceReconciler.pods
private let configMaps = RootCAReconciler.resource
private let accounts = ServiceAccountReconciler.resource

private func namespace(_ name: String, terminating: Bool = false) -> JSON {
  var metadata: JSON = ["name": .string(name), "uid": .string("u-\(name)"), "resourceVersion": "1"]
  if terminating { metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z" }
  return [
    "apiVersion": "v1", "kind": "Namespace", "metadata": metadata, "spec": ["finalizers": ["kubernetes"]],
    "status": ["phase": terminating ? "Terminating" : "Active"],
  ]
}

private func header(_ name: String, terminating: Bool = false, finalizers: [String] = []) -> ObjectHeader {
  var metadata: JSON = ["name": .string(name), "namespace": "blue", "uid": .string("u-\(name)")]
  if terminating { metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z" }
  metadata["finalizers"] = .array(finalizers.map { .string($0) })
  return ObjectHeader(["metadata": metadata])
}

@Suite(.timeLimit(.minutes(1))) struct NamespaceControllerTests {
  private let time = ManualTime()

  private func plan(
    _ content: [NamespaceReconciler.Content], terminating: Bool = true, failures: [String] = [], followed: Bool = true
  ) -> Plan<NamespaceReconciler.Action> {
    let informer = Informer(client: MemoryServer(), resource: namespaces, time: time)
    let reconciler = NamespaceReconciler(
      client: MemoryServer(), namespaces: informer, resources: { [pods, configMaps] }, isFollowed: { true },
      time: time)
    return reconciler.plan(
      NamespaceReconciler.Snapshot(
        namespace: Namespace(json: namespace("blue", terminating: terminating)), content: content,
        failures: failures, isFollowed: followed, now: time.now()))
  }

  @Test func activeNamespacesStay() {
    #expect(plan([], terminating: false).actions.isEmpty)
  }

  @Test func podsGoFirst() {
    let content = [
      NamespaceReconciler.Content(resource: configMaps, objects: [header("c")]),
      NamespaceReconciler.Content(resource: pods, objects: [header("p"), header("q", terminating: true)]),
    ]
    #expect(
      plan(content).actions == [.delete(pods, ObjectKey(namespace: "blue", name: "p"), uid: "u-p")])
    #expect(
      plan([content[0]]).actions == [.delete(configMaps, ObjectKey(namespace: "blue", name: "c"), uid: "u-c")])
  }

  @Test func saysWhatItWaitsFor() throws {
    let content = [
      NamespaceReconciler.Content(
        resource: configMaps, objects: [header("c", terminating: true, finalizers: ["example.com/keep"])])
    ]
    let plan = plan(content)
    guard case .updateStatus(let updated) = try #require(plan.actions.first) else {
      Issue.record("no status")
      return
    }
    let conditions = Dictionary(
      uniqueKeysWithValues: updated.status.conditions.map { ($0.type ?? "", $0.message ?? "") })
    #expect(
      conditions["NamespaceContentRemaining"] == "Some resources are remaining: configmaps has 1 resource instances")
    #expect(
      conditions["NamespaceFinalizersRemaining"]
        == "Some content in the namespace has finalizers remaining: example.com/keep in 1 resource instances")
    // Informers tell when it goes.
    #expect(plan.requeueAfter == NamespaceReconciler.backstop)
  }

  @Test func looksAgainSoonWhereNoInformerTells() {
    let content = [NamespaceReconciler.Content(resource: configMaps, objects: [header("c")])]
    #expect(plan(content).requeueAfter == NamespaceReconciler.changePause)
    #expect(plan([], failures: ["widgets.example.com: out of order"]).requeueAfter == NamespaceReconciler.failurePause)
    let held = [NamespaceReconciler.Content(resource: configMaps, objects: [header("c", terminating: true)])]
    #expect(plan(held, followed: false).requeueAfter == NamespaceReconciler.failurePause)
  }

  @Test func onlyChangesThatCanLetItGoConcernIt() {
    let held = header("c", terminating: true, finalizers: ["example.com/keep"])
    let free = header("c", terminating: true)
    #expect(NamespaceReconciler.concerns(held, nil))
    #expect(NamespaceReconciler.concerns(nil, held))
    #expect(NamespaceReconciler.concerns(held, free))
    #expect(NamespaceReconciler.concerns(held, header("d", finalizers: ["example.com/keep"])))
    #expect(!NamespaceReconciler.concerns(header("c", finalizers: ["example.com/keep"]), held))
    #expect(!NamespaceReconciler.concerns(free, free))
  }

  @Test func anEmptyNamespaceIsFinalized() {
    let actions = plan([]).actions
    #expect(actions.count == 1)
    guard case .finalize(let namespace)? = actions.first else {
      Issue.record("not finalized")
      return
    }
    #expect(namespace.spec.json["finalizers"] == [])
  }

  @Test func nothingIsFinalizedBlindly() {
    let actions = plan([], failures: ["widgets.example.com: out of order"]).actions
    #expect(!actions.contains { if case .finalize = $0 { true } else { false } })
    #expect(actions.count == 1)
  }

  /// What a namespace waits for is told by the informer of its kind, long before the backstop.
  @Test func theEndOfAnyObjectIsFollowed() async throws {
    let server = MemoryServer()
    server.put(namespaces, namespace("blue"))
    server.put(configMaps, ["metadata": ["name": "held", "namespace": "blue", "finalizers": ["example.com/wait"]]])
    let time = time
    let limit = Mutex<Timestamp?>(nil)
    try await withControllers(server, step: .milliseconds(1), until: { limit.withLock { $0 } }) {
      await server.wait(for: accounts) { $0.count == 1 }
      _ = try await server.delete(namespaces, namespace: nil, name: "blue", options: .init())
      await server.wait(for: namespaces) { list in
        list.contains { $0.at("status", "conditions")?.array?.isEmpty == false }
      }
      // From here on the time goes on for half of the backstop only.
      limit.withLock { $0 = time.now().adding(NamespaceReconciler.backstop / 2) }
      var object = try #require(server.object(configMaps, ObjectKey(namespace: "blue", name: "held"))).json()
      object["metadata"]?["finalizers"] = []
      server.put(configMaps, object)
      await server.wait(for: namespaces) { $0.isEmpty }
    }
  }

  /// A kind that cannot be listed in all namespaces holds up no deletion: what is in this one is looked at again until it is
  /// gone.
  @Test func anInformerWithoutAListHoldsNothingUp() async throws {
    let server = MemoryServer()
    server.put(namespaces, namespace("blue"))
    server.put(pods, ["metadata": ["name": "p", "namespace": "blue", "finalizers": ["example.com/wait"]]])
    server.silence(pods)
    let time = time
    let limit = Mutex<Timestamp?>(nil)
    try await withControllers(server, until: { limit.withLock { $0 } }) {
      await server.wait(for: accounts) { $0.count == 1 }
      _ = try await server.delete(namespaces, namespace: nil, name: "blue", options: .init())
      await server.wait(for: namespaces) { list in
        list.contains { $0.at("status", "conditions")?.array?.isEmpty == false }
      }
      // From here on the time goes on for half of the backstop only.
      limit.withLock { $0 = time.now().adding(NamespaceReconciler.backstop / 2) }
      var pod = try #require(server.all(pods).first).json()
      pod["metadata"]?["finalizers"] = []
      server.put(pods, pod)
      await server.wait(for: namespaces) { $0.isEmpty }
    }
  }

  /// - Parameters:
  ///   - step: how far the time goes on at once.
  ///   - until: when it stops; `nil` for never.
  private func withControllers(
    _ server: MemoryServer, step: Duration = .milliseconds(100),
    until: @escaping @Sendable () -> Timestamp? = { nil }, _ body: @Sendable @escaping () async throws -> Void
  ) async throws {
    let time = time
    let informers = InformerSet(client: server, time: time)
    let resources = ServedResources(
      [(pods, "Pod"), (configMaps, "ConfigMap"), (accounts, "ServiceAccount")].map {
        ServedResource($0.0, kind: $0.1, isNamespaced: true)
      })
    let services: [any ControllerKit.Service] = [
      namespaceController(
        client: server, informers: informers, resources: resources, metrics: Metrics(), time: time,
        seed: 1),
      serviceAccountController(client: server, informers: informers, metrics: Metrics(), time: time, seed: 2),
      rootCAController(
        client: server, informers: informers, certificate: "PEM", metrics: Metrics(), time: time, seed: 3),
    ]
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try? await informers.run() }
      for service in services { group.addTask { try? await service.run() } }
      group.addTask {
        while !Task.isCancelled {
          if until().map({ time.now() < $0 }) ?? true { time.advance(by: step) }
          await Task.yield()
        }
      }
      try await body()
      group.cancelAll()
    }
  }

  @Test func everyNamespaceGetsItsAccountAndCertificate() async throws {
    let server = MemoryServer()
    server.put(namespaces, namespace("blue"))
    try await withControllers(server) {
      let account = ObjectKey(namespace: "blue", name: "default")
      let certificate = ObjectKey(namespace: "blue", name: "kube-root-ca.crt")
      await server.wait(for: accounts) { $0.count == 1 }
      await server.wait(for: configMaps) { $0.first?.at("data", "ca.crt") == "PEM" }
      // What is deleted comes back, and what is changed is repaired.
      _ = try await server.delete(accounts, namespace: "blue", name: account.name, options: .init())
      await server.wait(for: accounts) { $0.count == 1 }
      var changed = try #require(server.object(configMaps, certificate)).json()
      changed["data"]?["ca.crt"] = "FALSE"
      changed["data"]?["more"] = "x"
      server.put(configMaps, changed)
      await server.wait(for: configMaps) { $0.first?["data"] == ["ca.crt": "PEM"] }
      _ = try await server.delete(configMaps, namespace: "blue", name: certificate.name, options: .init())
      await server.wait(for: configMaps) { $0.count == 1 }
    }
  }

  @Test func deletionEmptiesTheNamespace() async throws {
    let server = MemoryServer()
    server.put(namespaces, namespace("blue"))
    server.put(namespaces, namespace("red"))
    server.put(pods, ["metadata": ["name": "p", "namespace": "blue", "finalizers": ["example.com/wait"]]])
    server.put(configMaps, ["metadata": ["name": "mine", "namespace": "blue"]])
    server.put(configMaps, ["metadata": ["name": "other", "namespace": "red"]])
    try await withControllers(server) {
      await server.wait(for: accounts) { $0.count == 2 }
      _ = try await server.delete(namespaces, namespace: nil, name: "blue", options: .init())
      await server.wait(for: pods) { $0.first?.at("metadata", "deletionTimestamp") != nil }
      await server.wait(for: namespaces) { list in
        list.contains { $0.at("status", "conditions")?.array?.isEmpty == false }
      }
      #expect(server.object(configMaps, ObjectKey(namespace: "blue", name: "mine")) != nil)
      var pod = try #require(server.all(pods).first).json()
      pod["metadata"]?["finalizers"] = []
      server.put(pods, pod)
      await server.wait(for: namespaces) { $0.count == 1 }
      #expect(server.all(configMaps).allSatisfy { $0.header.namespace == "red" })
      #expect(server.all(accounts).count == 1)
    }
  }
}
