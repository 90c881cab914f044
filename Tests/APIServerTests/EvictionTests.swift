import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Store
import Synchronization
import Testing
import Wire

@testable import APIServer

/// Evictions and the budgets that they take from.
@Suite struct EvictionTests {
  private static func pod(_ fixture: Fixture, _ name: String, phase: String = "Running", isReady: Bool = true)
    async throws
  {
    var pod = Fixture.pod(name, node: "n")
    pod["metadata"]?["labels"] = ["app": "web"]
    var created = try await fixture.create("pods", pod).json()
    created["status"]?["phase"] = .string(phase)
    created["status"]?["conditions"] = [["type": "Ready", "status": isReady ? "True" : "False"]]
    _ = try await fixture.update("pods", name, created, subresource: "status")
  }

  private static func budget(
    _ fixture: Fixture, _ name: String = "b", allowed: Int64, spec: JSON = [:], status: JSON = [:]
  ) async throws {
    var whole: JSON = ["minAvailable": 1, "selector": ["matchLabels": ["app": "web"]]]
    for (key, value) in spec.object?.members ?? [] { whole[key] = value }
    var budget = try await fixture.create(
      "poddisruptionbudgets", ["metadata": ["name": .string(name)], "spec": whole]
    ).json()
    var filled: JSON = [
      "observedGeneration": 1, "disruptionsAllowed": .int(allowed), "currentHealthy": 2, "desiredHealthy": 1,
      "expectedPods": 2,
    ]
    for (key, value) in status.object?.members ?? [] { filled[key] = value }
    budget["status"] = filled
    _ = try await fixture.update("poddisruptionbudgets", name, budget, subresource: "status")
  }

  private static func evict(_ client: LocalClient, _ name: String, options: JSON? = nil, dryRun: Bool = false)
    async throws
  {
    var body: JSON = ["apiVersion": "policy/v1", "kind": "Eviction", "metadata": ["name": .string(name)]]
    body["deleteOptions"] = options
    _ = try await client.create(
      Fixture.resource("pods"), namespace: "default", name: name, subresource: "eviction", body: body,
      options: WriteOptions(dryRun: dryRun))
  }

  private static func isDeleted(_ fixture: Fixture, _ name: String) async throws -> Bool {
    try await fixture.get("pods", name).at("metadata", "deletionTimestamp") != nil
  }

  @Test func anEvictionTakesFromItsBudget() async throws {
    try await Fixture.run { fixture in
      for name in ["a", "b"] { try await Self.pod(fixture, name) }
      try await Self.budget(fixture, allowed: 1)
      // A trial takes nothing.
      try await Self.evict(fixture.client, "a", dryRun: true)
      #expect(try await fixture.get("poddisruptionbudgets", "b").at("status", "disruptionsAllowed") == 1)
      #expect(try await !Self.isDeleted(fixture, "a"))

      try await Self.evict(fixture.client, "a")
      #expect(try await Self.isDeleted(fixture, "a"))
      let status = try #require(try await fixture.get("poddisruptionbudgets", "b")["status"])
      #expect(status["disruptionsAllowed"] == 0)
      #expect(status["disruptedPods"] == ["a": .string(fixture.clock.now().rfc3339)])
      let condition = try #require(status["conditions"]?.array?.first)
      #expect(condition["type"] == "DisruptionAllowed" && condition["status"] == "False")

      let refused = await refusal { try await Self.evict(fixture.client, "b") }
      #expect(refused?.code == 429)
      #expect(refused?.details?.causes.first?.reason == "DisruptionBudget")
      #expect(
        refused?.details?.causes.first?.message == "The disruption budget b needs 1 healthy pods and has 2 currently")
      #expect(try await !Self.isDeleted(fixture, "b"))
      // Once it is being deleted it takes nothing more.
      try await Self.evict(fixture.client, "a")
      #expect(
        try await fixture.get("poddisruptionbudgets", "b").at("status", "disruptedPods")?.object?.count == 1)
    }
  }

  @Test func ofManyAtOneTimeAsManyGoAsAreAllowed() async throws {
    try await Fixture.run { fixture in
      let names = (0..<12).map { "p\($0)" }
      for name in names { try await Self.pod(fixture, name) }
      try await Self.budget(fixture, allowed: 5)
      let client = fixture.client
      let codes = await withTaskGroup(of: Int.self) { group in
        for name in names {
          group.addTask { await refusal { try await Self.evict(client, name) }?.code ?? 201 }
        }
        var codes: [Int: Int] = [:]
        for await code in group { codes[code, default: 0] += 1 }
        return codes
      }
      #expect(codes == [201: 5, 429: 7])
      let status = try #require(try await fixture.get("poddisruptionbudgets", "b")["status"])
      #expect(status["disruptionsAllowed"] == 0)
      let taken = (status["disruptedPods"]?.object?.members ?? []).map(\.key)
      var deleted: [String] = []
      for name in names { if try await Self.isDeleted(fixture, name) { deleted.append(name) } }
      #expect(Set(taken) == Set(deleted) && deleted.count == 5)
    }
  }

  @Test func aBudgetThatIsNotReckonedYetAllowsNothing() async throws {
    try await Fixture.run { fixture in
      try await Self.pod(fixture, "a")
      try await Self.budget(fixture, allowed: 1, status: ["observedGeneration": 0])
      let refused = await refusal { try await Self.evict(fixture.client, "a") }
      #expect(refused?.code == 429 && refused?.details?.retryAfterSeconds == 10)
      #expect(refused?.details?.causes.first?.message.contains("still being processed") == true)
    }
  }

  @Test func twoBudgetsForOnePodAreAMistake() async throws {
    try await Fixture.run { fixture in
      try await Self.pod(fixture, "a")
      for name in ["b", "c"] { try await Self.budget(fixture, name, allowed: 1) }
      let refused = await refusal { try await Self.evict(fixture.client, "a") }
      #expect(refused?.code == 500)
      #expect(refused?.message.hasPrefix("This pod has more than one PodDisruptionBudget") == true)
      for name in ["b", "c"] {
        #expect(try await fixture.get("poddisruptionbudgets", name).at("status", "disruptionsAllowed") == 1)
      }
    }
  }

  @Test func podsThatDoNotCountTakeNothing() async throws {
    try await Fixture.run { fixture in
      try await Self.budget(fixture, allowed: 0)
      // What has not begun or is over, and what is not ready while enough others are.
      for (name, phase, isReady) in [
        ("pending", "Pending", false), ("over", "Succeeded", false), ("ill", "Running", false),
      ] {
        try await Self.pod(fixture, name, phase: phase, isReady: isReady)
        try await Self.evict(fixture.client, name)
      }
      #expect(try await fixture.get("poddisruptionbudgets", "b").at("status", "disruptedPods") == nil)
      // Too few are healthy: the ones that are not may be about to be.
      try await fixture.delete("poddisruptionbudgets", "b")
      try await Self.budget(fixture, allowed: 0, status: ["currentHealthy": 0])
      try await Self.pod(fixture, "waiting", isReady: false)
      #expect(await refusal { try await Self.evict(fixture.client, "waiting") }?.code == 429)
      try await fixture.delete("poddisruptionbudgets", "b")
      try await Self.budget(
        fixture, allowed: 0, spec: ["unhealthyPodEvictionPolicy": "AlwaysAllow"], status: ["currentHealthy": 0])
      try await Self.evict(fixture.client, "waiting")
      #expect(try await Self.isDeleted(fixture, "waiting"))
    }
  }

  /// A client takes "not found" for the pod's end.
  @Test func aBudgetThatGoesMeanwhileGuardsNothing() async throws {
    let removal = Mutex<(@Sendable () -> Void)?>(nil)
    let admission = RecordingAdmission { seen in
      guard seen.operation == .update, seen.resource == "poddisruptionbudgets" else { return false }
      let pending = removal.withLock { removal in
        defer { removal = nil }
        return removal
      }
      pending?()
      return false
    }
    try await Fixture.run(admission: [admission]) { fixture in
      try await Self.pod(fixture, "a")
      try await Self.budget(fixture, allowed: 1)
      let store = fixture.store
      let entry = try #require(store.get("policy/poddisruptionbudgets/default/b"))
      let isGone = Mutex(false)
      removal.withLock {
        $0 = {
          // It is in the queue before what the eviction writes.
          let last = JSON.object(["kind": "PodDisruptionBudget", "metadata": ["name": "b", "namespace": "default"]])
          let operation = ResourceService.removing(last, key: entry.key, expecting: .revision(entry.revision))
          store.commit([operation]) { result in
            if case .success = result { isGone.withLock { $0 = true } }
          }
        }
      }
      try await Self.evict(fixture.client, "a")
      #expect(isGone.withLock { $0 })
      #expect(try await Self.isDeleted(fixture, "a"))
    }
  }

  @Test func whatIsAskedOfTheDeletionHolds() async throws {
    try await Fixture.run { fixture in
      try await Self.pod(fixture, "a")
      try await Self.budget(fixture, allowed: 1)
      for precondition: JSON in [["uid": "other"], ["resourceVersion": "1"]] {
        let refused = await refusal {
          try await Self.evict(fixture.client, "a", options: ["preconditions": precondition])
        }
        #expect(refused?.code == 409)
      }
      let renamed = await refusal {
        _ = try await fixture.client.create(
          Fixture.resource("pods"), namespace: "default", name: "a", subresource: "eviction",
          body: ["metadata": ["name": "b"]], options: WriteOptions())
      }
      #expect(renamed?.code == 400)
      #expect(try await fixture.get("poddisruptionbudgets", "b").at("status", "disruptionsAllowed") == 1)
      try await Self.evict(fixture.client, "a", options: ["gracePeriodSeconds": 7])
      #expect(try await fixture.get("pods", "a").at("metadata", "deletionGracePeriodSeconds") == 7)
    }
  }

  /// What is asked to be tried, or to hold, in a form that nobody knows is no plain deletion.
  @Test(arguments: [
    (#"{"dryRun":["all"]}"#, 422), (#"{"dryRun":["All","x"]}"#, 422), (#"{"dryRun":"All"}"#, 400),
    (#"{"preconditions":{"uid":5}}"#, 400), (#"{"preconditions":"x"}"#, 400), (#"{"gracePeriodSeconds":"1"}"#, 400),
    ("[]", 400), (#""x""#, 400),
  ])
  func whatCannotBeReadDeletesNothing(text: String, code: Int) async throws {
    try await Fixture.run { fixture in
      try await Self.pod(fixture, "a")
      let options = try JSON.parse(Array(text.utf8))
      #expect(await refusal { try await Self.evict(fixture.client, "a", options: options) }?.code == code)
      #expect(try await !Self.isDeleted(fixture, "a"))
    }
  }

  @Test func aPodWithoutLabelsIsNoBudgets() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.create("pods", Fixture.pod("bare", node: "n"))
      try await Self.budget(fixture, allowed: 0, spec: ["selector": [:]])
      try await Self.evict(fixture.client, "bare")
      #expect(try await Self.isDeleted(fixture, "bare"))
    }
  }

  @Test func aBudgetThatCannotBeReadMayBeThePods() async throws {
    try await Fixture.run { fixture in
      try await Self.pod(fixture, "a")
      try await fixture.put("policy/poddisruptionbudgets/default/b", "{", namespace: "default", name: "b")
      #expect(await refusal { try await Self.evict(fixture.client, "a") }?.code == 500)
      #expect(try await !Self.isDeleted(fixture, "a"))
    }
  }
}
