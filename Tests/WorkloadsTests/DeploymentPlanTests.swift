import ControllerKit
import KubeTypes
import Testing
import Wire

@testable import Workloads

@Suite struct DeploymentPlanTests {
  private func annotation(_ replicaSet: ReplicaSet?, _ key: String) -> String? {
    replicaSet?.metadata.annotations[key]
  }

  private func expectSettles(_ model: inout DeploymentModel) {
    let isSettled = model.settle()
    #expect(isSettled)
  }

  @Test func limitsRoundSurgeUpAndUnavailableDown() {
    let table: [(Int64, IntOrString, IntOrString, Int64, Int64)] = [
      (3, "25%", "25%", 1, 0), (10, "25%", "25%", 3, 2), (1, "25%", "25%", 1, 0), (4, 0, 0, 0, 1), (4, 1, 0, 1, 0),
      (5, "0%", "10%", 0, 1), (3, 0, 7, 0, 3), (0, "25%", "25%", 0, 0),
    ]
    for (replicas, surge, unavailable, maxSurge, maxUnavailable) in table {
      let limits = RolloutLimits(makeDeployment(replicas: replicas, surge: surge, unavailable: unavailable).spec)
      #expect(
        limits.maxSurge == maxSurge && limits.maxUnavailable == maxUnavailable, "\(replicas) \(surge) \(unavailable)")
    }
    let recreate = RolloutLimits(makeDeployment(recreate: true).spec)
    #expect(recreate.maxSurge == 0 && recreate.maxUnavailable == 0 && !recreate.isRollingUpdate)
  }

  /// Percentages and annotations are anybody's to write: no number of them may end the server.
  @Test func numbersWithoutBoundsDoNotTrap() {
    let limits = RolloutLimits(
      makeDeployment(replicas: 1, surge: "9223372036854775807%", unavailable: "9223372036854775807%").spec)
    #expect(limits.maxSurge == Int64(Int32.max) && limits.maxUnavailable == 1)
    var model = DeploymentModel(makeDeployment(replicas: 3, surge: "9223372036854775807%", unavailable: 0))
    expectSettles(&model)

    for (text, revision) in [
      ("9223372036854775807", 0), ("-1", 0), ("x", 0), ("7", 7), ("3546343826724305832", 3_546_343_826_724_305_832),
    ] as [(String, Int64)] {
      var replicaSet = ReplicaSet(json: ["metadata": ["name": "a"], "spec": ["replicas": 2_147_483_647], "status": [:]])
      replicaSet.metadata.annotations = [
        DeploymentAnnotation.revision: text, DeploymentAnnotation.maxReplicas: "1",
        DeploymentAnnotation.desiredReplicas: "1",
      ]
      #expect(PlannedReplicaSet(replicaSet).revision == revision)
    }
  }

  @Test func firstReplicaSet() throws {
    var deployment = makeDeployment()
    deployment.metadata.annotations = ["team": "a", "kubectl.kubernetes.io/last-applied-configuration": "{}"]
    let model = DeploymentModel(deployment)
    let plan = DeploymentRules.plan(model.snapshot)
    guard case .create(let replicaSet, _)? = plan.actions.first else {
      Issue.record("no ReplicaSet is created")
      return
    }
    let hash = DeploymentHash.hash(deployment.spec.template, collisions: nil)
    #expect(replicaSet.metadata.name == "web-\(hash)" && hash.utf8.count == 10)
    #expect(replicaSet.metadata.labels == ["app": "web", "pod-template-hash": hash])
    #expect(replicaSet.spec.template.metadata.labels == ["app": "web", "pod-template-hash": hash])
    #expect(replicaSet.spec.selector?.matchLabels == ["app": "web", "pod-template-hash": hash])
    #expect(replicaSet.spec.replicas == 3)
    #expect(
      replicaSet.metadata.annotations == [
        "team": "a", "deployment.kubernetes.io/revision": "1", "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
      ])
    let owner = try #require(replicaSet.metadata.ownerReferences.first)
    #expect(owner.uid == "deployment-uid" && owner.controller == true && owner.kind == "Deployment")
    #expect(plan.actions.last == .setRevision("1", deployment))

    var after = model
    after.apply(plan)
    #expect(after.condition("Progressing")?.reason == "NewReplicaSetCreated")
    #expect(after.condition("Progressing")?.message == "Created new replica set \"web-\(hash)\"")
    #expect(after.condition("Available")?.reason == "MinimumReplicasUnavailable")
    #expect(after.deployment.status.unavailableReplicas == 3)
    #expect(plan.requeueAfter == .seconds(601))
  }

  @Test func rolloutReportsItsSteps() {
    var model = DeploymentModel(makeDeployment(surge: 1, unavailable: 0))
    expectSettles(&model)
    #expect(model.condition("Progressing")?.reason == "NewReplicaSetAvailable")
    let old = model.replicaSet(image: "v1")?.metadata.name ?? ""
    #expect(model.condition("Progressing")?.message == "ReplicaSet \"\(old)\" has successfully progressed.")
    #expect(model.condition("Available")?.message == "Deployment has minimum availability.")
    model.events = []
    model.setImage("v2")
    expectSettles(&model)
    let new = model.replicaSet(image: "v2")?.metadata.name ?? ""
    #expect(
      model.events == [
        "Scaled up \(new) from 0 to 1", "Scaled \(old) from 3 to 2", "Scaled \(new) from 1 to 2",
        "Scaled \(old) from 2 to 1", "Scaled \(new) from 2 to 3", "Scaled \(old) from 1 to 0",
      ])
    #expect(model.deployment.metadata.annotations[DeploymentAnnotation.revision] == "2")
  }

  @Test func settledDeploymentCausesNoWrites() {
    var model = DeploymentModel(makeDeployment())
    expectSettles(&model)
    let plan = DeploymentRules.plan(model.snapshot)
    #expect(plan.actions.isEmpty && plan.requeueAfter == nil)
  }

  @Test func undoTakesTheOldReplicaSetAgain() {
    var model = DeploymentModel(makeDeployment())
    expectSettles(&model)
    model.setImage("v2")
    expectSettles(&model)
    model.setImage("v1")
    expectSettles(&model)
    #expect(model.replicaSets.count == 2)
    let restored = model.replicaSet(image: "v1")
    #expect(annotation(restored, DeploymentAnnotation.revision) == "3")
    #expect(annotation(restored, DeploymentAnnotation.revisionHistory) == "1")
    #expect(restored?.spec.replicas == 3)
    #expect(model.deployment.metadata.annotations[DeploymentAnnotation.revision] == "3")
    model.setImage("v2")
    expectSettles(&model)
    model.setImage("v1")
    expectSettles(&model)
    #expect(annotation(model.replicaSet(image: "v1"), DeploymentAnnotation.revisionHistory) == "1,3")
    #expect(annotation(model.replicaSet(image: "v1"), DeploymentAnnotation.revision) == "5")
  }

  @Test func historyIsLimited() {
    var model = DeploymentModel(makeDeployment())
    model.edit { $0.spec.revisionHistoryLimit = 2 }
    for version in 1...6 {
      model.setImage("v\(version)")
      expectSettles(&model)
    }
    let revisions = model.replicaSets.values.compactMap { annotation($0, DeploymentAnnotation.revision) }.sorted()
    #expect(revisions == ["4", "5", "6"])
  }

  @Test func pausedDeploymentScalesButDoesNotRollOut() {
    var model = DeploymentModel(makeDeployment())
    expectSettles(&model)
    model.edit { $0.spec.paused = true }
    model.setImage("v2")
    model.edit { $0.spec.replicas = 5 }
    expectSettles(&model)
    #expect(model.replicaSets.count == 1 && model.replicaSet(image: "v1")?.spec.replicas == 5)
    #expect(model.condition("Progressing")?.reason == "DeploymentPaused")
    #expect(model.condition("Progressing")?.status == "Unknown")
    model.edit { $0.spec.paused = nil }
    model.syncDeployment()
    #expect(model.condition("Progressing")?.reason == "NewReplicaSetCreated")
    expectSettles(&model)
    #expect(model.replicaSet(image: "v2")?.spec.replicas == 5)
  }

  @Test func resumeIsTold() {
    var model = DeploymentModel(makeDeployment())
    model.edit { $0.spec.paused = true }
    model.syncDeployment()
    #expect(model.replicaSets.isEmpty)
    #expect(model.condition("Progressing")?.message == "Deployment is paused")
  }

  @Test func rolloutThatMakesNoProgressIsReported() {
    var model = DeploymentModel(makeDeployment(surge: 1, unavailable: 0))
    expectSettles(&model)
    model.setImage("broken")
    model.syncDeployment()
    // Once for the pod, once for the status.
    for name in model.replicaSets.keys.sorted() + model.replicaSets.keys.sorted() { model.syncReplicaSet(name) }
    model.syncDeployment()
    #expect(model.condition("Progressing")?.reason == "ReplicaSetUpdated")
    let requeue = DeploymentRules.plan(model.snapshot).requeueAfter
    #expect(requeue == .seconds(601))
    model.now = model.now.adding(.seconds(602))
    model.syncDeployment()
    let name = model.replicaSet(image: "broken")?.metadata.name ?? ""
    #expect(model.condition("Progressing")?.status == "False")
    #expect(model.condition("Progressing")?.reason == "ProgressDeadlineExceeded")
    #expect(model.condition("Progressing")?.message == "ReplicaSet \"\(name)\" has timed out progressing.")
    #expect(model.condition("Available")?.status == "True")
    #expect(model.deployment.status.unavailableReplicas == 1 && model.deployment.status.availableReplicas == 3)
    // A broken rollout does not take the working pods.
    #expect(model.replicaSet(image: "v1")?.spec.replicas == 3)
    #expect(DeploymentRules.plan(model.snapshot).requeueAfter == nil)
  }

  @Test func scalingInTheMiddleIsSharedOut() {
    var model = DeploymentModel(makeDeployment(replicas: 10, surge: 3, unavailable: 2))
    expectSettles(&model)
    model.setImage("broken")
    for _ in 0..<10 {
      model.syncDeployment()
      for name in model.replicaSets.keys.sorted() { model.syncReplicaSet(name) }
    }
    // The example of the Kubernetes documentation: 8 of 10 remain, 5 new ones are stuck.
    #expect(model.replicaSet(image: "v1")?.spec.replicas == 8 && model.replicaSet(image: "broken")?.spec.replicas == 5)
    model.edit { $0.spec.replicas = 15 }
    model.syncDeployment()
    #expect(model.replicaSet(image: "v1")?.spec.replicas == 11 && model.replicaSet(image: "broken")?.spec.replicas == 7)
    #expect(annotation(model.replicaSet(image: "v1"), DeploymentAnnotation.desiredReplicas) == "15")
    #expect(annotation(model.replicaSet(image: "broken"), DeploymentAnnotation.maxReplicas) == "18")
    model.edit { $0.spec.replicas = 0 }
    model.syncDeployment()
    #expect(model.totalSize == 0)
  }

  @Test func recreateWaitsForTheOldPods() {
    var model = DeploymentModel(makeDeployment(recreate: true))
    expectSettles(&model)
    model.setImage("v2")
    model.syncDeployment()
    #expect(model.replicaSet(image: "v1")?.spec.replicas == 0 && model.replicaSets.count == 1)
    for name in model.replicaSets.keys.sorted() { model.syncReplicaSet(name) }
    model.syncDeployment()
    // They are still stopping.
    #expect(model.pods.values.allSatisfy(\.isBeingDeleted) && model.replicaSets.count == 1)
    for uid in model.pods.keys { model.remove(uid) }
    for name in model.replicaSets.keys.sorted() { model.syncReplicaSet(name) }
    model.syncDeployment()
    #expect(model.replicaSet(image: "v2")?.spec.replicas == 3)
    expectSettles(&model)
  }

  @Test func unhealthyOldPodsGoFirst() {
    var model = DeploymentModel(makeDeployment(replicas: 3, surge: 1, unavailable: 1))
    model.setImage("v1")
    model.syncDeployment()
    let first = model.replicaSets.keys.sorted()[0]
    model.syncReplicaSet(first)
    model.syncReplicaSet(first)
    for uid in model.pods.keys.sorted().prefix(1) { model.setReady(uid, true) }
    model.syncReplicaSet(first)
    // One of three works; a new version comes.
    model.setImage("v2")
    for _ in 0..<3 { model.syncDeployment() }
    #expect(model.replicaSet(image: "v1")?.spec.replicas == 2)
    expectSettles(&model)
  }

  @Test func collisionGivesAnotherName() {
    var model = DeploymentModel(makeDeployment())
    let hash = DeploymentHash.hash(model.deployment.spec.template, collisions: nil)
    var squatter = ReplicaSet()
    squatter.metadata.name = "web-\(hash)"
    squatter.spec.json = ["replicas": 0, "template": ["metadata": ["labels": ["app": "other"]]]]
    model.replicaSets["web-\(hash)"] = squatter
    model.syncDeployment()
    #expect(model.deployment.status.collisionCount == 1)
    model.syncDeployment()
    let second = DeploymentHash.hash(model.deployment.spec.template, collisions: 1)
    #expect(second != hash && model.replicaSets["web-\(second)"] != nil)
  }

  @Test func failureOfReplicaSetIsShown() {
    var model = DeploymentModel(makeDeployment())
    model.syncDeployment()
    let name = model.replicaSets.keys.sorted()[0]
    model.replicaSets[name]?.status.json["conditions"] = [
      ["type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"]
    ]
    model.syncDeployment()
    #expect(model.condition("ReplicaFailure")?.reason == "FailedCreate")
    #expect(model.condition("ReplicaFailure")?.message == "exceeded quota")
    model.replicaSets[name]?.status.conditions = []
    model.syncDeployment()
    #expect(model.condition("ReplicaFailure") == nil)
  }

  @Test func orphanIsAdoptedBeforeAnythingElse() {
    let model = DeploymentModel(makeDeployment())
    var orphan = ReplicaSet()
    orphan.metadata.name = "web-old"
    orphan.metadata.labels = ["app": "web"]
    var stranger = orphan
    stranger.metadata.labels = ["app": "other"]
    var snapshot = model.snapshot
    snapshot.orphans = [orphan, stranger]
    snapshot.replicaSets = [stranger]
    let plan = DeploymentRules.plan(snapshot)
    #expect(plan.actions == [.release(stranger, model.deployment), .adopt(orphan, model.deployment)])
  }

  @Test func deploymentThatIsDeletedOnlyCounts() {
    var model = DeploymentModel(makeDeployment())
    expectSettles(&model)
    model.edit { $0.metadata.deletionTimestamp = "2027-01-15T08:00:00Z" }
    model.setImage("v2")
    let plan = DeploymentRules.plan(model.snapshot)
    #expect(plan.actions.count == 1)
    guard case .updateStatus? = plan.actions.first else {
      Issue.record("expected a status")
      return
    }
  }

  @Test func emptySelectorIsRefusedWithAWarning() {
    var model = DeploymentModel(makeDeployment())
    model.edit { $0.json["spec"]?["selector"] = [:] }
    let plan = DeploymentRules.plan(model.snapshot)
    #expect(plan.actions.first == .warnThatAllIsSelected(model.deployment) && plan.actions.count == 2)
  }

  @Test func withoutDeadlineThereIsNoProgressingCondition() {
    var model = DeploymentModel(makeDeployment())
    model.edit { $0.spec.progressDeadlineSeconds = nil }
    expectSettles(&model)
    #expect(model.condition("Progressing") == nil && model.condition("Available") != nil)
  }

  @Test func minReadySecondsAndAnnotationsReachTheReplicaSet() {
    var model = DeploymentModel(makeDeployment())
    expectSettles(&model)
    model.edit {
      $0.spec.minReadySeconds = 7
      $0.metadata.annotations["kubernetes.io/change-cause"] = "tuning"
    }
    model.syncDeployment()
    let replicaSet = model.replicaSet(image: "v1")
    #expect(replicaSet?.spec.minReadySeconds == 7)
    #expect(annotation(replicaSet, "kubernetes.io/change-cause") == "tuning")
  }

  @Test func hashDependsOnContentAndNotOnOrder() {
    let a = PodTemplateSpec(json: ["metadata": ["labels": ["a": "1", "b": "2"]], "spec": ["x": 1, "y": [1, 2]]])
    let b = PodTemplateSpec(json: [
      "spec": ["y": [1, 2], "x": 1], "metadata": ["labels": ["b": "2", "pod-template-hash": "zz", "a": "1"]],
    ])
    let c = PodTemplateSpec(json: ["metadata": ["labels": ["a": "1", "b": "2"]], "spec": ["x": 1, "y": [2, 1]]])
    #expect(DeploymentHash.hash(a, collisions: nil) == DeploymentHash.hash(b, collisions: nil))
    #expect(DeploymentHash.isSameTemplate(a, b) && !DeploymentHash.isSameTemplate(a, c))
    #expect(DeploymentHash.hash(a, collisions: nil) != DeploymentHash.hash(c, collisions: nil))
    #expect(DeploymentHash.hash(a, collisions: nil) != DeploymentHash.hash(a, collisions: 1))
  }
}
