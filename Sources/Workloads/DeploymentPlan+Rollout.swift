import KubeTypes
import Wire

/// How the sizes of the ReplicaSets move.
extension DeploymentRules {
  private var allSets: [PlannedReplicaSet] { old + [new].compactMap { $0 } }
  private var totalSize: Int64 { allSets.reduce(0) { $0 + $1.size } }

  /// Whether `spec.replicas` was changed since a ReplicaSet was sized.
  var isScaled: Bool {
    allSets.contains { replicaSet in
      guard replicaSet.size > 0,
        let desired = replicaSet.annotation(DeploymentAnnotation.desiredReplicas).flatMap(Int64.init)
      else { return false }
      return desired != limits.replicas
    }
  }

  /// What the new ReplicaSet may grow to (`NewRSNewReplicas`).
  ///
  /// Unlike in Kubernetes it waits until the old ones have given up what they were told to: then not only the sizes but
  /// also the pods are never more than `maxSurge` allows.
  func newSize(for replicaSet: PlannedReplicaSet) -> Int64 {
    guard limits.isRollingUpdate else { return limits.replicas }
    guard old.allSatisfy(\.isSettled) else { return replicaSet.size }
    let room = limits.replicas + limits.maxSurge - (old.reduce(0) { $0 + $1.size } + replicaSet.size)
    guard room > 0 else { return replicaSet.size }
    return replicaSet.size + max(0, min(room, limits.replicas - replicaSet.size))
  }

  // MARK: Rolling update

  /// One step: either the new ReplicaSet grows, or old ones shrink, never both, so that each step is decided on what the
  /// one before has come to.
  mutating func rollOut() {
    if new == nil {
      createNew()
      return
    }
    if growNew() { return }
    if shrinkOld() { return }
    if isComplete(status) { cleanUpHistory() }
  }

  private mutating func growNew() -> Bool {
    guard let replicaSet = new, replicaSet.size != limits.replicas else { return false }
    let size = replicaSet.size > limits.replicas ? limits.replicas : newSize(for: replicaSet)
    guard size != replicaSet.size else { return false }
    resizeNew(to: size)
    return true
  }

  private mutating func shrinkOld() -> Bool {
    guard let new, old.contains(where: { $0.size > 0 }) else { return false }
    let minAvailable = limits.replicas - limits.maxUnavailable
    // Pods of the new ReplicaSet that are not available yet are as good as not there.
    let mayGo = totalSize - minAvailable - (new.size - new.available)
    guard mayGo > 0 else { return false }

    // Pods that are not available serve nobody: they go first.
    var gone: Int64 = 0
    for index in old.indices where gone < mayGo {
      let unhealthy = old[index].size - old[index].available
      guard unhealthy > 0 else { continue }
      let count = min(mayGo - gone, unhealthy)
      resize(old: index, to: old[index].size - count)
      gone += count
    }

    let surplus = allSets.reduce(0) { $0 + $1.available } - minAvailable
    var shrunk: Int64 = 0
    for index in old.indices where shrunk < surplus && gone + shrunk < mayGo {
      let count = min(old[index].size, surplus - shrunk, mayGo - gone - shrunk)
      guard count > 0 else { continue }
      resize(old: index, to: old[index].size - count)
      shrunk += count
    }
    return gone + shrunk > 0
  }

  // MARK: Recreate

  /// All old pods have to be gone before the first new one is made.
  mutating func recreate() {
    var isShrinking = false
    for index in old.indices where old[index].size > 0 {
      resize(old: index, to: 0)
      isShrinking = true
    }
    if isShrinking { return }
    let hasOldPods =
      old.contains { $0.replicas > 0 }
      || unfinishedPods.contains { uid, count in uid != new?.uid && count > 0 }
    if hasOldPods { return }
    if new == nil {
      createNew()
      return
    }
    if let size = new?.size, size != limits.replicas {
      resizeNew(to: limits.replicas)
      return
    }
    if isComplete(status) { cleanUpHistory() }
  }

  // MARK: Scaling

  /// `spec.replicas` was changed: shares the change out among the ReplicaSets that have pods, in proportion to their
  /// sizes, so that a rollout that goes wrong does not get all the new pods.
  mutating func scale() {
    let active = old.indices.filter { old[$0].size > 0 }
    let isNewActive = new.map { $0.size > 0 } ?? false

    switch active.count + (isNewActive ? 1 : 0) {
    case 0:
      // None has pods: the newest gets them.
      if new != nil {
        resizeNew(to: limits.replicas)
      } else if let newest = old.indices.last {
        resize(old: newest, to: limits.replicas)
      }
      return
    case 1:
      if isNewActive { resizeNew(to: limits.replicas) } else { resize(old: active[0], to: limits.replicas) }
      return
    default: break
    }

    if let new, new.size == limits.replicas, new.available == limits.replicas,
      new.annotation(DeploymentAnnotation.desiredReplicas) == String(limits.replicas)
    {
      for index in active { resize(old: index, to: 0) }
      return
    }
    if limits.isRollingUpdate {
      scaleInProportion(active, isNewActive)
    } else if !isPaused {
      recreate()
    }
  }

  private mutating func scaleInProportion(_ active: [Int], _ isNewActive: Bool) {
    // The new ReplicaSet has the index -1.
    var members: [(index: Int, size: Int64, age: Int, fraction: Int64)] = []
    for (age, index) in active.enumerated() {
      members.append((index, old[index].size, age, fraction(of: old[index])))
    }
    if isNewActive, let new { members.append((-1, new.size, age(of: new, among: active), fraction(of: new))) }

    let allowed = limits.replicas > 0 ? limits.replicas + limits.maxSurge : 0
    let change = allowed - members.reduce(0) { $0 + $1.size }
    // The larger go first; of the same size, the newer grow first and the older shrink first.
    members.sort { a, b in
      if a.size != b.size { return a.size > b.size }
      if a.age != b.age { return change > 0 ? a.age > b.age : a.age < b.age }
      return a.index < b.index
    }
    var added: Int64 = 0
    for position in members.indices where change != 0 {
      let allowed = change - added
      let share = change > 0 ? min(members[position].fraction, allowed) : max(members[position].fraction, allowed)
      members[position].size += share
      added += share
    }
    if !members.isEmpty { members[0].size = max(0, members[0].size + change - added) }
    for member in members {
      if member.index < 0 { resizeNew(to: member.size) } else { resize(old: member.index, to: member.size) }
    }
  }

  /// Its place among the old ones by age. A ReplicaSet that was rolled back to is new and may be the oldest.
  private func age(of replicaSet: PlannedReplicaSet, among active: [Int]) -> Int {
    active.count { (old[$0].createdAt, old[$0].name) < (replicaSet.createdAt, replicaSet.name) }
  }

  /// By how much a ReplicaSet changes when all change in the same proportion (`getReplicaSetFraction`).
  private func fraction(of replicaSet: PlannedReplicaSet) -> Int64 {
    if limits.replicas == 0 { return -replicaSet.size }
    let annotated = replicaSet.annotation(DeploymentAnnotation.maxReplicas).flatMap(Int64.init) ?? 0
    let before = annotated != 0 ? annotated : deployment.status.replicas ?? 0
    guard before > 0 else { return 0 }
    let size = Double(replicaSet.size) * Double(limits.replicas + limits.maxSurge) / Double(before)
    // The annotation is anybody's to write.
    return Int64(min(size, Double(Int32.max)).rounded(.toNearestOrAwayFromZero)) - replicaSet.size
  }
}
