import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Store
import Synchronization
import Telemetry
import Testing
import Wire

// KubeTypes generates the wire form of the same name.
import struct KubeClient.DeleteOptions

@testable import APIServer

/// Parts of this process have the rights that they declare, and no others.
@Suite struct ComponentTests {
  private static let baker = ComponentIdentity.controller(
    "baker",
    [
      .init(verbs: ["create", "get", "patch"], resources: ["configmaps"]),
      .init(verbs: ["patch"], resources: ["pods/status"]), .events,
    ])
  private static let user = "system:serviceaccount:kube-system:baker"
  private static let configMaps = Fixture.resource("configmaps")
  private static let secrets = Fixture.resource("secrets")
  private static let pods = Fixture.resource("pods")

  private static func rbac(_ resource: String) -> GroupVersionResource {
    GroupVersionResource(group: "rbac.authorization.k8s.io", version: "v1", resource: resource)
  }

  private static func configMap(_ name: String) -> JSON { ["metadata": ["name": .string(name)], "data": ["a": "1"]] }

  private static func create(
    _ client: LocalClient, _ resource: GroupVersionResource, _ body: JSON, namespace: String? = "default",
    name: String? = nil, subresource: String? = nil
  ) async throws {
    _ = try await client.create(
      resource, namespace: namespace, name: name, subresource: subresource, body: body, options: WriteOptions())
  }

  @Test func whatItDeclaresItMayAndAdmissionSeesWhoItIs() async throws {
    let admission = RecordingAdmission()
    try await Fixture.run(admission: [admission], components: [Self.baker]) { fixture in
      let client = fixture.server.client(as: Self.baker)
      try await Self.create(client, Self.configMaps, Self.configMap("bread"))
      _ = try await client.get(Self.configMaps, namespace: "default", name: "bread")
      _ = try await client.patch(
        Self.configMaps, namespace: "default", name: "bread", subresource: nil, type: .merge,
        body: ["data": ["a": "2"]], options: WriteOptions())
      // In every namespace: its role is bound in the cluster.
      try await Self.create(client, Self.configMaps, Self.configMap("bread"), namespace: "kube-system")
      _ = try await fixture.create("pods", Fixture.pod("p"))
      _ = try await client.patch(
        Self.pods, namespace: "default", name: "p", subresource: "status", type: .merge,
        body: ["status": ["message": "baked"]], options: WriteOptions())
      #expect(admission.seen("configmaps", "bread").map(\.user) == [Self.user, Self.user, Self.user])
      #expect(
        try await fixture.get("configmaps", "bread").at("metadata", "creationTimestamp")?.string?.isEmpty == false)
      #expect(!fixture.metrics.exposition().contains("apus_component_refusals_total{"))
    }
  }

  @Test func whatItDoesNotDeclareIsRefusedLoudly() async throws {
    try await Fixture.run(components: [Self.baker]) { fixture in
      let client = fixture.server.client(as: Self.baker)
      _ = try await fixture.create("secrets", ["metadata": ["name": "s"]])
      _ = try await fixture.create("pods", Fixture.pod("p"))
      _ = try await fixture.configMap("c")
      let attempts: [(String, String, () async throws -> Void)] = [
        ("get", "secrets", { _ = try await client.get(Self.secrets, namespace: "default", name: "s") }),
        ("list", "secrets", { _ = try await client.list(Self.secrets, namespace: nil, options: ListOptions()) }),
        (
          "watch", "secrets",
          {
            _ = try await client.watch(
              Self.secrets, namespace: "default", options: ListOptions(fieldSelector: "metadata.name=s"))
          }
        ),
        ("list", "configmaps", { _ = try await client.list(Self.configMaps, namespace: nil, options: ListOptions()) }),
        (
          "update", "configmaps",
          {
            _ = try await client.update(
              Self.configMaps, namespace: "default", name: "c", subresource: nil, body: Self.configMap("c"),
              options: WriteOptions())
          }
        ),
        (
          "delete", "configmaps",
          { _ = try await client.delete(Self.configMaps, namespace: "default", name: "c", options: DeleteOptions()) }
        ),
        // The object is not its status, and another subresource is neither.
        (
          "patch", "pods",
          {
            _ = try await client.patch(
              Self.pods, namespace: "default", name: "p", subresource: nil, type: .merge,
              body: ["metadata": ["labels": ["a": "b"]]], options: WriteOptions())
          }
        ),
        (
          "create", "pods/eviction",
          { try await Self.create(client, Self.pods, ["metadata": ["name": "p"]], name: "p", subresource: "eviction") }
        ),
        (
          "create", "serviceaccounts/token",
          {
            try await Self.create(
              client, Fixture.resource("serviceaccounts"), ["spec": [:]], name: "default", subresource: "token")
          }
        ),
        (
          "create", "clusterroles.rbac.authorization.k8s.io",
          { try await Self.create(client, Self.rbac("clusterroles"), ["metadata": ["name": "x"]], namespace: nil) }
        ),
        (
          "get", "namespaces",
          { _ = try await client.get(Fixture.resource("namespaces"), namespace: nil, name: "default") }
        ),
      ]
      for (verb, resource, attempt) in attempts {
        let error = await refusal(attempt)
        #expect(error?.code == 403 && error?.isMissingRight == true, "\(verb) \(resource)")
        #expect(error?.message.contains("User \"\(Self.user)\" cannot \(verb) resource") == true, "\(verb) \(resource)")
        let series = "{user=\"\(Self.user)\",verb=\"\(verb)\",resource=\"\(resource)\"} 1"
        #expect(fixture.metrics.exposition().contains("apus_component_refusals_total" + series), "\(verb) \(resource)")
      }
      #expect(try await fixture.get("configmaps", "c").at("metadata", "labels") != ["a": "b"])
    }
  }

  /// Who may write roles and bindings grants nothing that he does not have, in this process neither.
  @Test func nobodyGrantsWhatItDoesNotHave() async throws {
    let clerk = ComponentIdentity.controller(
      "clerk",
      [
        .init(
          verbs: ["create", "patch"], group: "rbac.authorization.k8s.io",
          resources: ["clusterroles", "clusterrolebindings"]),
        .init(verbs: ["get"], resources: ["configmaps"]),
      ])
    try await Fixture.run(components: [clerk]) { fixture in
      let client = fixture.server.client(as: clerk)
      func role(_ name: String, _ resource: String) -> JSON {
        [
          "metadata": ["name": .string(name)],
          "rules": [["verbs": ["get"], "apiGroups": [""], "resources": [.string(resource)]]],
        ]
      }
      try await Self.create(client, Self.rbac("clusterroles"), role("harmless", "configmaps"), namespace: nil)
      let granted = await refusal {
        try await Self.create(client, Self.rbac("clusterroles"), role("more", "secrets"), namespace: nil)
      }
      #expect(granted?.code == 403 && granted?.message.contains("not currently held") == true)
      let bound = await refusal {
        try await Self.create(
          client, Self.rbac("clusterrolebindings"),
          [
            "metadata": ["name": "up"],
            "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"],
            "subjects": [["kind": "ServiceAccount", "name": "clerk", "namespace": "kube-system"]],
          ], namespace: nil)
      }
      #expect(bound?.code == 403 && bound?.message.contains("not currently held") == true)
      // A rule about what is written, and no missing right: it can be another for the next write.
      #expect(granted?.isMissingRight == false && bound?.isMissingRight == false)
    }
  }

  /// As with a data directory of a version that had no such roles, too.
  @Test func itsRoleIsMadeAndRepairedByTheStart() async throws {
    try await Fixture.run(components: [Self.baker]) { fixture in
      let client = fixture.server.client(as: Self.baker)
      let role = Self.baker.role
      #expect(role == "system:controller:baker")
      func isRefused() async -> Bool {
        await refusal { _ = try await client.get(Self.configMaps, namespace: "default", name: "absent") }?.code == 403
      }
      func patch(_ resource: String, _ body: JSON) async throws {
        _ = try await fixture.client.patch(
          Self.rbac(resource), namespace: nil, name: role, subresource: nil, type: .merge, body: body,
          options: WriteOptions())
      }
      #expect(await !isRefused())
      // Removed altogether.
      for resource in ["clusterroles", "clusterrolebindings"] {
        _ = try await fixture.client.delete(
          Self.rbac(resource), namespace: nil, name: role, options: DeleteOptions())
      }
      #expect(await isRefused())
      try await fixture.server.bootstrap(port: 6443)
      #expect(await !isRefused())
      // Emptied, with a rule of somebody's own, which stays.
      let own: JSON = ["verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]]
      try await patch("clusterroles", ["rules": [own]])
      try await patch("clusterrolebindings", ["subjects": []])
      #expect(await isRefused())
      try await fixture.server.bootstrap(port: 6443)
      #expect(await !isRefused())
      let repaired = try await fixture.client.get(Self.rbac("clusterroles"), namespace: nil, name: role).json()
      #expect(repaired["rules"]?.array?.first == own)
      // What is whole is not written again.
      let before = repaired.at("metadata", "resourceVersion")
      try await fixture.server.bootstrap(port: 6443)
      let after = try await fixture.client.get(Self.rbac("clusterroles"), namespace: nil, name: role).json()
      #expect(after.at("metadata", "resourceVersion") == before)
      // Another role is bound under the name.
      _ = try await fixture.client.delete(
        Self.rbac("clusterrolebindings"), namespace: nil, name: role, options: DeleteOptions())
      try await Self.create(
        fixture.client, Self.rbac("clusterrolebindings"),
        [
          "metadata": ["name": .string(role)],
          "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:discovery"],
          "subjects": [["kind": "ServiceAccount", "name": "baker", "namespace": "kube-system"]],
        ], namespace: nil)
      #expect(await isRefused())
      try await fixture.server.bootstrap(port: 6443)
      #expect(await !isRefused())
      // Kept as people want it.
      try await patch(
        "clusterroles",
        ["metadata": ["annotations": ["rbac.authorization.kubernetes.io/autoupdate": "false"]], "rules": []])
      try await fixture.server.bootstrap(port: 6443)
      #expect(await isRefused())
    }
  }

  /// A role that cannot be put right is no reason not to serve: here a binding that a finalizer holds.
  @Test func whatCannotBePutRightIsLeftForLater() async throws {
    let role = "system:controller:baker"
    try await Fixture.run(components: [Self.baker]) { fixture in
      let bindings = Self.rbac("clusterrolebindings")
      _ = try await fixture.client.delete(bindings, namespace: nil, name: role, options: DeleteOptions())
      try await Self.create(
        fixture.client, bindings,
        [
          "metadata": ["name": .string(role), "finalizers": ["example.org/hold"]],
          "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:discovery"],
        ], namespace: nil)
      try await fixture.server.bootstrap(port: 6443)
      let held = try await fixture.client.get(bindings, namespace: nil, name: role).json()
      #expect(held.at("metadata", "deletionTimestamp") != nil && held.at("roleRef", "name") == "system:discovery")
      _ = try await fixture.client.patch(
        bindings, namespace: nil, name: role, subresource: nil, type: .merge,
        body: ["metadata": ["finalizers": nil]], options: WriteOptions())
      try await fixture.server.bootstrap(port: 6443)
      let made = try await fixture.client.get(bindings, namespace: nil, name: role).json()
      #expect(made.at("roleRef", "name") == .string(role))
    }
  }

  /// Deleted, and spoilt: each is noticed, and others' objects are not.
  @Test func whatIsDoneToTheRightsOfPartsIsNoticed() async throws {
    var configuration = APIServerConfiguration(
      dataDirectory: "", advertiseAddress: "127.0.0.1", hostname: "test", version: "0")
    configuration.components = [Self.baker]
    let keys = Bootstrap.ownPolicyKeys(configuration)
    try await Fixture.run(components: [Self.baker]) { fixture in
      let role = "rbac.authorization.k8s.io/clusterroles/system:controller:baker"
      #expect(keys == [role, role.replacing("clusterroles", with: "clusterrolebindings")])
      let patch: JSON = ["rules": []]
      for resource in ["clusterroles", "clusterrolebindings"] {
        for isDeleted in [false, true] {
          let (calls, called) = AsyncStream<Void>.makeStream()
          let keeper = BootstrapKeeper(store: fixture.store, time: fixture.clock, policy: keys, isDue: false) { _ in
            called.yield()
            return true
          }
          let watches = fixture.store.watchCount
          let task = Task { await keeper.run() }
          while fixture.store.watchCount < watches + 7 { await Task.yield() }
          let name = "system:controller:baker"
          if isDeleted {
            _ = try await fixture.client.delete(
              Self.rbac(resource), namespace: nil, name: name, options: DeleteOptions())
          } else {
            _ = try await fixture.client.patch(
              Self.rbac(resource), namespace: nil, name: name, subresource: nil, type: .merge,
              body: resource == "clusterroles" ? patch : ["subjects": []], options: WriteOptions())
          }
          for await _ in calls { break }
          task.cancel()
          await task.value
        }
      }
    }
  }

  /// An administrator may have meant it: each object that is put right is told with what was wrong, and nothing else is.
  @Test func whatIsPutRightIsTold() async throws {
    let log = RecordingLog()
    let fixture = try Fixture(components: [Self.baker], logger: log.logger)
    func told(_ body: () async throws -> Void) async throws -> [String] {
      log.lines.withLock { $0 = [] }
      try await body()
      return log.lines.withLock { $0 }
    }
    let role = Self.baker.role
    let first = try await told { try await fixture.server.bootstrap(port: 6443) }
    #expect(first == [])
    _ = try await fixture.client.patch(
      Self.rbac("clusterroles"), namespace: nil, name: "view", subresource: nil, type: .merge, body: ["rules": []],
      options: WriteOptions())
    _ = try await fixture.client.patch(
      Self.rbac("clusterrolebindings"), namespace: nil, name: role, subresource: nil, type: .merge,
      body: ["subjects": []], options: WriteOptions())
    let repaired = try await told { try await fixture.server.bootstrap(port: 6443) }.sorted()
    #expect(repaired.count == 2 && repaired.allSatisfy { $0.hasPrefix("warning ") && $0.contains("autoupdate=false") })
    #expect(repaired.contains { $0.contains("object=clusterroles/view") && $0.contains("lacks the rules [{") })
    #expect(
      repaired.contains {
        $0.contains("object=clusterrolebindings/\(role)") && $0.contains("lacks the subjects [{")
          && $0.contains("baker")
      })
    let again = try await told { try await fixture.server.bootstrap(port: 6443) }
    #expect(again == [])
    // While the server runs, what was deleted is told of, too.
    _ = try await fixture.client.delete(
      Self.rbac("clusterroles"), namespace: nil, name: role, options: DeleteOptions())
    let made = try await told {
      let isWhole = try await fixture.server.keep(port: 6443, attempt: 1)
      #expect(isWhole)
    }
    #expect(made.count == 1 && made.first?.contains("object=clusterroles/\(role)") == true)
    #expect(made.first?.hasPrefix("warning ") == true)
    await fixture.close()
  }

  /// A binding that a finalizer holds for days: it is deleted once, and told of less and less often.
  @Test func whatWaitsForSomebodyFillsNoLog() async throws {
    let log = RecordingLog()
    let fixture = try Fixture(components: [Self.baker], logger: log.logger)
    let bindings = Self.rbac("clusterrolebindings")
    try await fixture.server.bootstrap(port: 6443)
    _ = try await fixture.client.delete(bindings, namespace: nil, name: Self.baker.role, options: DeleteOptions())
    try await Self.create(
      fixture.client, bindings,
      [
        "metadata": ["name": .string(Self.baker.role), "finalizers": ["example.org/hold"]],
        "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:discovery"],
      ], namespace: nil)
    log.lines.withLock { $0 = [] }
    for attempt in 1...16 {
      let isWhole = try await fixture.server.keep(port: 6443, attempt: attempt)
      #expect(!isWhole)
    }
    let lines = log.lines.withLock { $0 }
    #expect(lines.count(where: { $0.hasPrefix("warning ") }) == 1)
    let errors = lines.filter { $0.hasPrefix("error ") }
    #expect(errors.count == 5)
    #expect(
      errors.allSatisfy { $0.contains("it binds ClusterRole system:discovery") && $0.contains("example.org/hold") })
    await fixture.close()
  }

  /// Against somebody who deletes again and again it does one thing in a second, and what cannot be put right is tried less
  /// and less often.
  @Test func theKeeperKeepsAPace() async throws {
    try await Fixture.run { fixture in
      let key = "rbac.authorization.k8s.io/clusterroles/watched"
      let role: JSON = [
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": ["name": "watched"],
        "rules": [],
      ]
      let resource = Self.rbac("clusterroles")
      let (client, store) = (fixture.client, fixture.store)
      let clock = PacingClock(sleepsMax: 10)
      let keeper = BootstrapKeeper(store: store, time: clock, policy: [key], isDue: true) { attempt in
        clock.log.withLock { $0.append("try \(attempt)") }
        // The first six times it cannot be done; then somebody undoes it each time.
        let tries = clock.log.withLock { log in log.count(where: { $0.hasPrefix("try") }) }
        guard tries > 6 else { return false }
        try await Self.create(client, resource, role, namespace: nil)
        _ = try await client.delete(resource, namespace: nil, name: "watched", options: DeleteOptions())
        while store.deliveredRevision < store.revision { await Task.yield() }
        return true
      }
      await keeper.run()
      #expect(
        clock.log.withLock { $0 } == [
          "try 1", "1.0 seconds", "try 2", "2.0 seconds", "try 3", "4.0 seconds", "try 4", "8.0 seconds", "try 5",
          "16.0 seconds", "try 6", "16.0 seconds", "try 7", "1.0 seconds", "try 1", "1.0 seconds", "try 1",
          "1.0 seconds", "try 1", "1.0 seconds",
        ])
    }
  }

  /// As with a data directory of a version that had no such role, whose disk is full: who is to empty it can.
  @Test func aFullDiskKeepsNobodyFromItsRights() async throws {
    let isShort = Mutex(false)
    let disk = MemoryDisk(isShort: { isShort.withLock { $0 } })
    let before = try Fixture(disk: disk)
    try await before.server.bootstrap(port: 6443)
    await before.close()
    isShort.withLock { $0 = true }
    let fixture = try Fixture(components: [Self.baker], disk: disk)
    try await fixture.server.bootstrap(port: 6443)
    let client = fixture.server.client(as: Self.baker)
    let allowed = await refusal { _ = try await client.get(Self.configMaps, namespace: "default", name: "absent") }
    #expect(allowed?.code == 404)
    // Nobody else gets at the reserve, the server's own client neither.
    for client in [client, fixture.client] {
      let refused = await refusal { try await Self.create(client, Self.configMaps, Self.configMap("a")) }
      #expect(refused?.code == 507)
    }
    await fixture.close()
  }

  /// It fails closed: a component that nobody gave a role may do nothing.
  @Test func whoIsNotListedMayDoNothing() async throws {
    try await Fixture.run { fixture in
      let stranger = fixture.server.client(as: Self.baker)
      for attempt in [
        { _ = try await stranger.list(Self.configMaps, namespace: nil, options: ListOptions()) },
        { try await Self.create(stranger, Self.configMaps, Self.configMap("a")) },
      ] as [() async throws -> Void] {
        #expect(await refusal(attempt)?.isMissingRight == true)
      }
    }
  }

  @Test func aNodeIsOfItsGroupWhateverItsName() async throws {
    let rules: [CapabilityIdentity.Rule] = [.init(verbs: ["list"], resources: ["pods"])]
    try await Fixture.run(components: [.node("", rules)]) { fixture in
      let node = fixture.server.client(as: .node("pear", rules))
      let list = try await node.list(Self.pods, namespace: nil, options: ListOptions())
      #expect(list.items.isEmpty)
      let error = await refusal { try await Self.create(node, Self.pods, Fixture.pod("p")) }
      #expect(error?.message.contains("User \"system:node:pear\" cannot create resource \"pods\"") == true)
    }
  }
}

/// A clock on which nobody waits, until somebody has slept often enough.
private final class PacingClock: TimeSource {
  let log = Mutex<[String]>([])
  private let sleepsMax: Int
  private let sleeps = Mutex(0)

  init(sleepsMax: Int) { self.sleepsMax = sleepsMax }

  func now() -> Timestamp { Timestamp(seconds: 0) }

  func sleep(for duration: Duration) async throws {
    log.withLock { $0.append("\(duration)") }
    let count = sleeps.withLock { sleeps in
      sleeps += 1
      return sleeps
    }
    if count == sleepsMax { throw CancellationError() }
  }
}
