import ControllerKit
import KubeTypes
import Testing
import Wire

@testable import Workloads

@Suite struct ReplicaSetPlanTests {
  private let now = Timestamp(seconds: 1_800_000_000)

  private func replicaSet(_ replicas: Int64, minReadySeconds: Int64? = nil) -> ReplicaSet {
    var replicaSet = ReplicaSet()
    replicaSet.metadata.name = "web"
    replicaSet.metadata.namespace = "shop"
    replicaSet.metadata.uid = "rs"
    replicaSet.metadata.generation = 4
    replicaSet.spec.json = [
      "replicas": .int(replicas), "selector": ["matchLabels": ["app": "web"]],
      "template": [
        "metadata": ["labels": ["app": "web", "tier": "front"], "annotations": ["note": "x"]],
        "spec": ["nodeSelector": [:]],
      ],
    ]
    replicaSet.spec.minReadySeconds = minReadySeconds
    return replicaSet
  }

  private func pod(
    _ name: String, labels: [String: String] = ["app": "web", "tier": "front"], node: String = "n1",
    phase: String = "Running", readyFor: Int? = 100, restarts: Int64 = 0, cost: Int64 = 0, age: Int = 1000,
    isBeingDeleted: Bool = false
  ) -> PodFacts {
    var pod = PodFacts(Object([:]))
    pod.header.name = name
    pod.header.uid = name
    pod.header.labels = labels
    pod.header.creationTimestamp = now.adding(.seconds(-age)).rfc3339
    pod.header.deletionTimestamp = isBeingDeleted ? now.rfc3339 : nil
    pod.nodeName = node
    pod.phase = phase
    pod.isReady = readyFor != nil
    pod.readyTransition = readyFor.map { now.adding(.seconds(-$0)) }
    pod.restarts = restarts
    pod.deletionCost = cost
    return pod
  }

  private func plan(
    _ replicaSet: ReplicaSet, _ pods: [PodFacts], change: (inout ReplicaSetSnapshot) -> Void = { _ in }
  ) throws -> Plan<ReplicaSetAction> {
    var snapshot = ReplicaSetSnapshot(
      replicaSet: replicaSet, selector: try Selector(labelSelector: replicaSet.spec.json["selector"]), pods: pods,
      now: now)
    change(&snapshot)
    return ReplicaSetRules.plan(snapshot)
  }

  private func newStatus(_ plan: Plan<ReplicaSetAction>) -> ReplicaSetStatus? {
    for case .updateStatus(let replicaSet) in plan.actions { return replicaSet.status }
    return nil
  }

  private func victims(_ plan: Plan<ReplicaSetAction>) -> [String] {
    for case .delete(let pods, _) in plan.actions { return pods.map(\.uid) }
    return []
  }

  @Test func missingPodsAreCreated() throws {
    let set = replicaSet(5)
    let plan = try plan(set, [pod("a"), pod("b", isBeingDeleted: true), pod("c", phase: "Failed")])
    #expect(plan.actions.first == .create(count: 4, set))
    #expect(newStatus(plan)?.replicas == 1)
  }

  /// What the API server will refuse again is not asked for again until the ReplicaSet is another.
  @Test func aHopelessCreateWaitsForAnotherGeneration() throws {
    var set = replicaSet(2)
    let failure = ReplicaSetFailure(reason: "FailedCreate", message: "invalid", hopelessGeneration: 4)
    let told = try plan(set, [pod("a")]) { $0.failure = failure }
    #expect(newStatus(told)?.conditions.first { $0.type == "ReplicaFailure" }?.message == "invalid")
    #expect(told.actions.count == 1)
    set.metadata.generation = 5
    let again = try plan(set, [pod("a")]) { $0.failure = failure }
    #expect(again.actions.contains(.create(count: 1, set)))
    // What is too many still goes.
    set.metadata.generation = 4
    #expect(try victims(plan(set, [pod("a"), pod("b"), pod("c")]) { $0.failure = failure }).count == 1)
  }

  @Test func noMoreThanABurstAtOnce() throws {
    let set = replicaSet(2000)
    #expect(try plan(set, []).actions.first == .create(count: 500, set))
  }

  @Test func statusCounts() throws {
    let plan = try plan(
      replicaSet(4, minReadySeconds: 30),
      [
        pod("a", readyFor: 60), pod("b", readyFor: 10), pod("c", labels: ["app": "web"], readyFor: nil),
        pod("d", readyFor: 25),
      ])
    let status = try #require(newStatus(plan))
    #expect(status.replicas == 4 && status.fullyLabeledReplicas == 3 && status.readyReplicas == 3)
    #expect(status.availableReplicas == 1 && status.observedGeneration == 4)
    // Looked at again when the next one has been ready for long enough.
    #expect(plan.requeueAfter == .seconds(5))
  }

  @Test func unchangedStatusIsNotWritten() throws {
    var set = replicaSet(1)
    set.status = try #require(newStatus(plan(set, [pod("a")])))
    #expect(try plan(set, [pod("a")]).actions.isEmpty)
  }

  @Test func orderOfDeletion() throws {
    // Each pod goes before the next one, for one reason each.
    let order = [
      pod("unscheduled", node: "", phase: "Pending", readyFor: nil),
      pod("pending", phase: "Pending", readyFor: nil),
      pod("unknown", phase: "Unknown", readyFor: nil),
      pod("not ready", readyFor: nil),
      pod("cheap", cost: -5),
      pod("crowded", node: "n2"),
      pod("ready since now", readyFor: 2),
      pod("restarted", restarts: 3),
      pod("young", age: 200),
      pod("a"), pod("b"),
    ]
    for count in 1..<order.count {
      let plan = try plan(replicaSet(Int64(order.count - count)), order.reversed()) {
        $0.neighbours = ["n1": 1, "n2": 2]
      }
      #expect(victims(plan) == order.prefix(count).map(\.uid))
    }
  }

  @Test func deletedPodsAreNotDeletedForAnotherReason() throws {
    let plan = try plan(replicaSet(1), [pod("a"), pod("b"), pod("c")]) { $0.deleting = ["a", "b"] }
    #expect(victims(plan).isEmpty)
    #expect(newStatus(plan)?.replicas == 1)
  }

  @Test func podsAreAdoptedAndReleased() throws {
    let set = replicaSet(2)
    let stray = pod("stray", labels: ["app": "debug"])
    let orphan = pod("orphan")
    let plan = try plan(set, [pod("a"), stray]) { $0.orphans = [orphan, self.pod("dying", isBeingDeleted: true)] }
    #expect(plan.actions.prefix(2) == [.release(stray, set), .adopt(orphan, set)])
    #expect(newStatus(plan)?.replicas == 2)
    #expect(plan.actions.count == 3)
  }

  @Test func replicaSetThatIsDeletedMakesNoPods() throws {
    var set = replicaSet(3)
    set.metadata.deletionTimestamp = now.rfc3339
    let plan = try plan(set, [pod("stray", labels: [:])]) { $0.orphans = [self.pod("orphan")] }
    #expect(plan.actions.count == 1 && newStatus(plan)?.replicas == 0)
  }

  @Test func failureIsToldBeforeTheNextAttempt() throws {
    var set = replicaSet(2)
    let failure = ReplicaSetFailure(reason: "FailedCreate", message: "exceeded quota")
    let first = try plan(set, []) { $0.failure = failure }
    guard case .updateStatus(let told)? = first.actions.first else {
      Issue.record("the failure is not told first")
      return
    }
    #expect(told.status.conditions.first?.reason == "FailedCreate")
    set = told
    let second = try plan(set, []) { $0.failure = failure }
    #expect(second.actions == [.create(count: 2, set)])
    let third = try plan(set, [pod("a"), pod("b")]) { $0.failure = failure }
    #expect(newStatus(third)?.conditions.isEmpty == true)
  }

  @Test func podOfTheTemplate() {
    let pod = Pod(json: ReplicaSetReconciler.pod(from: replicaSet(1)))
    #expect(pod.metadata.generateName == "web-" && pod.metadata.namespace == "shop" && pod.metadata.name == nil)
    #expect(pod.metadata.labels == ["app": "web", "tier": "front"] && pod.metadata.annotations == ["note": "x"])
    #expect(
      pod.metadata.ownerReferences.first?.uid == "rs" && pod.metadata.ownerReferences.first?.blockOwnerDeletion == true)
  }

  @Test func factsOfAPod() {
    let facts = PodFacts(
      Object([
        "metadata": ["name": "a", "annotations": ["controller.kubernetes.io/pod-deletion-cost": "7"]],
        "spec": ["nodeName": "n1"],
        "status": [
          "phase": "Running",
          "conditions": [["type": "Ready", "status": "True", "lastTransitionTime": "2027-01-15T08:00:00Z"]],
          "containerStatuses": [["restartCount": 2], ["restartCount": 5]],
        ],
      ]))
    #expect(facts.isReady && facts.restarts == 5 && facts.deletionCost == 7 && facts.nodeName == "n1")
    #expect(facts.readyTransition == Timestamp(seconds: 1_800_000_000))
    #expect(facts.availableAt(minReadySeconds: 10) == Timestamp(seconds: 1_800_000_010))
  }
}
