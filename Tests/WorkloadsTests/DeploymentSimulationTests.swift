import ControllerKit
import KubeTypes
import Testing
import Wire

@testable import Workloads

/// Runs the Deployment and ReplicaSet rules against a model of the cluster, in a random order, on fresh and on outdated
/// snapshots.
@Suite struct DeploymentSimulationTests {
  /// Pods become ready and never fail: then the promises of a rolling update hold at every moment.
  @Test(arguments: 1...60)
  func healthyRolloutKeepsItsPromises(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let replicas = Int64.random(in: 1...12, using: &random)
    let choices: [IntOrString] = ["25%", "0%", "50%", "100%", 1, 2, 0, "33%"]
    var model = DeploymentModel(
      makeDeployment(
        replicas: replicas, surge: choices.randomElement(using: &random) ?? 1,
        unavailable: choices.randomElement(using: &random) ?? 0))
    expectSettles(&model, seed)
    let limits = RolloutLimits(model.deployment.spec)
    var outdated = model.snapshot

    for step in 0..<400 {
      switch Int.random(in: 0..<12, using: &random) {
      case 0 where step % 40 == 0: model.setImage("v\(Int.random(in: 2...4, using: &random))")
      case 1, 2, 3: model.syncDeployment()
      case 4: model.apply(DeploymentRules.plan(outdated))
      case 5: outdated = model.snapshot
      case 6, 7, 8:
        if let name = model.replicaSets.keys.sorted().randomElement(using: &random) {
          let snapshot = try #require(model.replicaSetSnapshot(name))
          check(ReplicaSetRules.plan(snapshot), snapshot, seed)
          model.syncReplicaSet(name)
        }
      case 9, 10:
        let starting = model.pods.values.filter { !$0.isReady && !$0.isBeingDeleted }.map(\.uid).sorted()
        if let uid = starting.randomElement(using: &random) { model.setReady(uid, true) }
      default:
        let ending = model.pods.values.filter(\.isBeingDeleted).map(\.uid).sorted()
        if let uid = ending.randomElement(using: &random) { model.remove(uid) }
        model.now = model.now.adding(.milliseconds(Int.random(in: 0..<3000, using: &random)))
      }
      #expect(
        Int64(model.availablePods) >= limits.replicas - limits.maxUnavailable,
        "seed \(seed), step \(step): \(model.availablePods) available")
      #expect(
        model.totalSize <= limits.replicas + limits.maxSurge, "seed \(seed), step \(step): size \(model.totalSize)")
      let active = model.pods.values.count { !$0.isBeingDeleted }
      #expect(Int64(active) <= limits.replicas + limits.maxSurge, "seed \(seed), step \(step): \(active) pods")
    }
    expectSettles(&model, seed)
    expectDone(model, seed)
  }

  /// Pods fail, users scale, pause, resume and roll back. No step makes things worse than allowed, and in the end all is
  /// as declared.
  @Test(arguments: 1...60)
  func disturbedRolloutConverges(seed: UInt64) throws {
    var random = SeededRandom(seed: seed &* 7919)
    var model = DeploymentModel(
      makeDeployment(
        replicas: 4, surge: .int(Int64.random(in: 0...3, using: &random)),
        unavailable: .int(Int64.random(in: 0...3, using: &random)),
        recreate: seed % 5 == 0))
    var outdated = model.snapshot
    for _ in 0..<400 {
      switch Int.random(in: 0..<40, using: &random) {
      case 0: model.setImage("v\(Int.random(in: 1...5, using: &random))")
      case 1:
        let replicas = Int64.random(in: 0...9, using: &random)
        model.edit { $0.spec.replicas = replicas }
      case 2: model.edit { $0.spec.paused = !($0.spec.paused ?? false) }
      case 3...14:
        let snapshot = model.snapshot
        check(DeploymentRules.plan(snapshot), snapshot, seed)
        model.syncDeployment()
      case 15: outdated = model.snapshot
      case 16, 17: model.apply(DeploymentRules.plan(outdated))
      case 18...28:
        if let name = model.replicaSets.keys.sorted().randomElement(using: &random) {
          let snapshot = try #require(model.replicaSetSnapshot(name))
          check(ReplicaSetRules.plan(snapshot), snapshot, seed)
          model.syncReplicaSet(name)
        }
      case 29...34:
        if let uid = model.pods.keys.sorted().randomElement(using: &random) {
          model.setReady(uid, Int.random(in: 0..<4, using: &random) > 0)
        }
      case 35:
        if let uid = model.pods.keys.sorted().randomElement(using: &random) { model.pods[uid]?.phase = "Failed" }
      default:
        for uid in model.pods.values.filter({ $0.isBeingDeleted || $0.isFinished }).map(\.uid) { model.remove(uid) }
        model.now = model.now.adding(.seconds(Int.random(in: 0..<30, using: &random)))
      }
    }
    if model.deployment.spec.paused ?? false { model.edit { $0.spec.paused = false } }
    expectSettles(&model, seed)
    expectDone(model, seed)
  }

  private func expectSettles(_ model: inout DeploymentModel, _ seed: UInt64) {
    let isSettled = model.settle()
    #expect(isSettled, "seed \(seed)")
  }

  /// A ReplicaSet never deletes more than its surplus and never makes more than it lacks.
  private func check(_ plan: Plan<ReplicaSetAction>, _ snapshot: ReplicaSetSnapshot, _ seed: UInt64) {
    let active = snapshot.pods.count { !$0.isBeingDeleted && !$0.isFinished }
    let wanted = Int(snapshot.replicaSet.spec.replicas ?? 1)
    for action in plan.actions {
      switch action {
      case .create(let count, _): #expect(count == wanted - active, "seed \(seed)")
      case .delete(let pods, _): #expect(pods.count == active - wanted, "seed \(seed)")
      default: break
      }
    }
  }

  /// No step of a rolling update grows beyond the surge, or gives up available pods below the minimum.
  private func check(_ plan: Plan<DeploymentAction>, _ snapshot: DeploymentSnapshot, _ seed: UInt64) {
    let limits = RolloutLimits(snapshot.deployment.spec)
    let wasScaled = snapshot.replicaSets.contains { replicaSet in
      let desired = replicaSet.json.at("metadata", "annotations", DeploymentAnnotation.desiredReplicas)?.string
      return replicaSet.spec.replicas ?? 0 > 0 && desired != String(limits.replicas)
    }
    guard limits.isRollingUpdate, !wasScaled else { return }
    var sets: [String: ReplicaSet] = [:]
    for replicaSet in snapshot.replicaSets { sets[replicaSet.metadata.name ?? ""] = replicaSet }
    func size() -> Int64 { sets.values.reduce(0) { $0 + ($1.spec.replicas ?? 0) } }
    func available() -> Int64 {
      sets.values.reduce(0) { $0 + min($1.status.availableReplicas ?? 0, $1.spec.replicas ?? 0) }
    }
    let before = (size: size(), available: available())
    for action in plan.actions {
      switch action {
      case .create(let replicaSet, _), .update(let replicaSet, _, _): sets[replicaSet.metadata.name ?? ""] = replicaSet
      default: break
      }
    }
    #expect(size() <= max(before.size, limits.replicas + limits.maxSurge), "seed \(seed)")
    #expect(available() >= min(before.available, limits.replicas - limits.maxUnavailable), "seed \(seed)")
  }

  private func expectDone(_ model: DeploymentModel, _ seed: UInt64) {
    let replicas = model.deployment.spec.replicas ?? 1
    let active = model.replicaSets.values.filter { $0.spec.replicas ?? 0 > 0 }
    #expect(active.count == (replicas == 0 ? 0 : 1), "seed \(seed)")
    #expect(model.totalSize == replicas, "seed \(seed)")
    #expect(model.availablePods == Int(replicas) && model.pods.count == Int(replicas), "seed \(seed)")
    for replicaSet in active {
      #expect(DeploymentHash.isSameTemplate(replicaSet.spec.template, model.deployment.spec.template), "seed \(seed)")
    }
    let status = model.deployment.status
    #expect(status.updatedReplicas ?? 0 == replicas && status.availableReplicas ?? 0 == replicas, "seed \(seed)")
    #expect(status.unavailableReplicas == nil && status.observedGeneration == model.deployment.metadata.generation)
    #expect(model.condition("Progressing")?.reason == "NewReplicaSetAvailable", "seed \(seed)")
    #expect(model.condition("Available")?.status == "True", "seed \(seed)")
    #expect(model.replicaSets.count <= 11, "seed \(seed)")
  }
}
