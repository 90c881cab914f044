import ControllerKit
import KubeTypes
import Wire

/// All that the Deployment rules look at.
struct DeploymentSnapshot: Sendable {
  var deployment: Deployment
  var selector: Selector
  /// ReplicaSets that this Deployment controls.
  var replicaSets: [ReplicaSet]
  /// ReplicaSets of the namespace that nobody controls and that the selector matches.
  var orphans: [ReplicaSet] = []
  /// Pods that have not finished, by the uid of their ReplicaSet; `Recreate` waits for those of the old ones.
  var unfinishedPods: [String: Int] = [:]
  var now: Timestamp
}

enum DeploymentAction: Sendable, Equatable {
  case adopt(ReplicaSet, Deployment)
  case release(ReplicaSet, Deployment)
  case create(ReplicaSet, Deployment)
  /// Writes a ReplicaSet's size and annotations, guarded by `resourceVersion`. `scaledFrom` is its size before, when
  /// that changes.
  case update(ReplicaSet, scaledFrom: Int64?, Deployment)
  /// Removes a ReplicaSet of the history, guarded by `resourceVersion`.
  case delete(ReplicaSet)
  /// Writes `status`, guarded by `resourceVersion`.
  case updateStatus(Deployment)
  /// Writes the annotation `deployment.kubernetes.io/revision`.
  case setRevision(String, Deployment)
  case warnThatAllIsSelected(Deployment)
}

extension ReplicaSet: Claimable {
  public var claimLabels: [String: String] { metadata.labels }
  public var isBeingDeleted: Bool { metadata.deletionTimestamp != nil }
}

/// A ReplicaSet while a plan is made.
struct PlannedReplicaSet: Sendable {
  var object: ReplicaSet
  /// The size in the API.
  let sizeBefore: Int64
  /// The size as planned.
  var size: Int64
  let replicas: Int64
  let ready: Int64
  /// At most the planned size: of pods that are to go, none counts.
  private let reportedAvailable: Int64
  let createdAt: String
  /// Whether annotations or `minReadySeconds` were changed.
  var isChanged = false
  /// Whether it is not in the API yet.
  var isNew = false

  init(_ object: ReplicaSet) {
    self.object = object
    sizeBefore = object.spec.replicas ?? 1
    size = sizeBefore
    replicas = object.status.replicas ?? 0
    ready = object.status.readyReplicas ?? 0
    reportedAvailable = object.status.availableReplicas ?? 0
    createdAt = object.metadata.creationTimestamp ?? ""
  }

  var available: Int64 { max(0, min(reportedAvailable, size)) }
  /// Whether its pods are known to be no more than its size in the API: it was shrunk and has not given up the surplus
  /// yet otherwise.
  var isSettled: Bool {
    replicas <= sizeBefore && object.metadata.generation ?? 0 <= object.status.observedGeneration ?? 0
  }
  var name: String { object.metadata.name ?? "" }
  var uid: String { object.metadata.uid ?? "" }

  func annotation(_ key: String) -> String? { object.json.at("metadata", "annotations", key)?.string }

  mutating func setAnnotation(_ key: String, _ value: String) -> Bool {
    if annotation(key) == value { return false }
    object.metadata.annotations[key] = value
    isChanged = true
    return true
  }

  /// Its number in the history; zero when it has none.
  /// One that has no next is somebody's text, and no revision.
  var revision: Int64 {
    let number = annotation(DeploymentAnnotation.revision).flatMap(Int64.init) ?? 0
    return (0..<Int64.max).contains(number) ? number : 0
  }
}

/// Annotations that `kubectl rollout` reads (`pkg/controller/deployment/util`).
enum DeploymentAnnotation {
  static let revision = "deployment.kubernetes.io/revision"
  /// Revisions that a ReplicaSet had before it was rolled back to.
  static let revisionHistory = "deployment.kubernetes.io/revision-history"
  static let desiredReplicas = "deployment.kubernetes.io/desired-replicas"
  static let maxReplicas = "deployment.kubernetes.io/max-replicas"
  /// In bytes.
  static let revisionHistoryMax = 2000

  /// Annotations of a Deployment that are not copied to its ReplicaSets.
  static let notCopied: Set<String> = [
    "kubectl.kubernetes.io/last-applied-configuration", revision, revisionHistory, desiredReplicas, maxReplicas,
    "deprecated.deployment.rollback.to",
  ]
}

/// The numbers that a Deployment's spec sets for its rollout.
struct RolloutLimits: Sendable, Equatable {
  let replicas: Int64
  let isRollingUpdate: Bool
  /// How many pods more than `replicas` there may be.
  let maxSurge: Int64
  /// How many pods less than `replicas` may be available.
  let maxUnavailable: Int64

  /// `maxSurge` is rounded up and `maxUnavailable` down; when both are zero, one pod may be unavailable, or nothing would
  /// ever move (`ResolveFenceposts`).
  init(_ spec: DeploymentSpec) {
    replicas = spec.replicas ?? 1
    isRollingUpdate = spec.strategy?.type != "Recreate"
    guard isRollingUpdate else {
      maxSurge = 0
      maxUnavailable = 0
      return
    }
    let update = spec.strategy?.rollingUpdate
    let surge = max(0, (update?.maxSurge ?? "25%").scaled(of: replicas, roundingUp: true) ?? 0)
    var unavailable = max(0, (update?.maxUnavailable ?? "25%").scaled(of: replicas, roundingUp: false) ?? 0)
    if surge == 0, unavailable == 0 { unavailable = 1 }
    maxSurge = surge
    maxUnavailable = min(unavailable, replicas)
  }
}

/// The Deployment rules (`pkg/controller/deployment`): one value per plan, which collects what is to be done.
struct DeploymentRules {
  let deployment: Deployment
  let name: String
  let limits: RolloutLimits
  let now: Timestamp
  let unfinishedPods: [String: Int]
  var status: DeploymentStatus
  /// Old ReplicaSets, the oldest first.
  var old: [PlannedReplicaSet]
  /// The ReplicaSet of the present template.
  var new: PlannedReplicaSet?
  var deletions: [ReplicaSet] = []
  var revision: String?
  var plan = Plan<DeploymentAction>()

  static func plan(_ snapshot: DeploymentSnapshot) -> Plan<DeploymentAction> {
    var rules = DeploymentRules(snapshot)
    rules.run(snapshot)
    return rules.plan
  }

  private init(_ snapshot: DeploymentSnapshot) {
    deployment = snapshot.deployment
    name = deployment.metadata.name ?? ""
    limits = RolloutLimits(deployment.spec)
    now = snapshot.now
    unfinishedPods = snapshot.unfinishedPods
    status = deployment.status
    old = []
  }

  var isPaused: Bool { deployment.spec.paused ?? false }
  private var isBeingDeleted: Bool { deployment.metadata.deletionTimestamp != nil }

  private mutating func run(_ snapshot: DeploymentSnapshot) {
    if snapshot.selector.isEmpty {
      plan.actions.append(.warnThatAllIsSelected(deployment))
      if (status.observedGeneration ?? 0) < deployment.metadata.generation ?? 0 {
        status.observedGeneration = deployment.metadata.generation
        writeStatus()
      }
      return
    }
    let hasOrphans = claim(snapshot)
    // What is adopted may be the ReplicaSet that would be made now: the next pass sees it with its owner.
    if hasOrphans { return }

    if isBeingDeleted {
      updateCounters()
      return writeStatus()
    }
    updatePausedCondition()
    adoptNew()
    if isPaused || isScaled {
      scale()
      if isPaused { cleanUpHistory() }
      emit()
      updateCounters()
      return writeStatus()
    }
    if limits.isRollingUpdate { rollOut() } else { recreate() }
    emit()
    updateCounters()
    updateProgress()
    writeStatus()
  }

  // MARK: The ReplicaSets

  /// Finds the ReplicaSets that belong here; returns whether there are others to adopt.
  private mutating func claim(_ snapshot: DeploymentSnapshot) -> Bool {
    let claims = Claims(
      owned: snapshot.replicaSets, orphans: snapshot.orphans, selector: snapshot.selector,
      isOwnerBeingDeleted: isBeingDeleted)
    old += claims.kept.map { PlannedReplicaSet($0) }
    plan.actions += claims.released.map { .release($0, deployment) }
    // The new one is the oldest that has the present template: after a collision there may be two.
    old.sort { ($0.createdAt, $0.name) < ($1.createdAt, $1.name) }
    let index = old.firstIndex { DeploymentHash.isSameTemplate($0.object.spec.template, deployment.spec.template) }
    new = index.map { old.remove(at: $0) }

    plan.actions += claims.adopted.map { .adopt($0, deployment) }
    return !claims.adopted.isEmpty
  }

  /// Brings the annotations of an existing new ReplicaSet up to date.
  private mutating func adoptNew() {
    guard var replicaSet = new else { return }
    setAnnotations(&replicaSet, isCreated: false)
    let minReadySeconds = deployment.spec.minReadySeconds ?? 0
    if replicaSet.object.spec.minReadySeconds ?? 0 != minReadySeconds {
      replicaSet.object.spec.minReadySeconds = minReadySeconds
      replicaSet.isChanged = true
    }
    new = replicaSet
    revision = replicaSet.annotation(DeploymentAnnotation.revision)
    if hasProgressDeadline, condition("Progressing") == nil {
      setCondition("Progressing", .yes, "FoundNewReplicaSet", "Found new replica set \"\(replicaSet.name)\"")
    }
  }

  /// `SetNewReplicaSetAnnotations`.
  private func setAnnotations(_ replicaSet: inout PlannedReplicaSet, isCreated: Bool) {
    for (key, value) in deployment.metadata.annotations.sorted(by: { $0.key < $1.key })
    where !DeploymentAnnotation.notCopied.contains(key) {
      _ = replicaSet.setAnnotation(key, value)
    }
    let before = replicaSet.annotation(DeploymentAnnotation.revision)
    let next = (old.map(\.revision).max() ?? 0) + 1
    // A later revision than `next` is kept: the old ReplicaSet that made it so high may have been removed meanwhile.
    if replicaSet.revision < next {
      _ = replicaSet.setAnnotation(DeploymentAnnotation.revision, String(next))
      // A ReplicaSet that was rolled back to remembers which revisions it was.
      if let before, !before.isEmpty {
        let history = replicaSet.annotation(DeploymentAnnotation.revisionHistory) ?? ""
        var revisions = history.split(separator: ",").map(String.init) + [before]
        while revisions.joined(separator: ",").utf8.count > DeploymentAnnotation.revisionHistoryMax {
          revisions.removeFirst()
        }
        _ = replicaSet.setAnnotation(DeploymentAnnotation.revisionHistory, revisions.joined(separator: ","))
      }
    }
    if isCreated { setSizeAnnotations(&replicaSet) }
  }

  /// The sizes by which a later change of `spec.replicas` is noticed and shared out.
  private func setSizeAnnotations(_ replicaSet: inout PlannedReplicaSet) {
    _ = replicaSet.setAnnotation(DeploymentAnnotation.desiredReplicas, String(limits.replicas))
    _ = replicaSet.setAnnotation(DeploymentAnnotation.maxReplicas, String(limits.replicas + limits.maxSurge))
  }

  /// Plans the ReplicaSet for the present template.
  mutating func createNew() {
    let hash = DeploymentHash.hash(deployment.spec.template, collisions: status.collisionCount)
    var object = ReplicaSet()
    object.metadata.name = "\(name)-\(hash)"
    object.metadata.namespace = deployment.metadata.namespace
    object.metadata.ownerReferences = [.controller(of: deployment)]
    var template = deployment.spec.template
    template.metadata.labels[DeploymentHash.label] = hash
    object.metadata.labels = template.metadata.labels
    object.spec.replicas = 0
    object.spec.minReadySeconds = deployment.spec.minReadySeconds
    object.spec.selector = deployment.spec.selector
    object.spec.selector?.matchLabels[DeploymentHash.label] = hash
    object.spec.template = template

    var planned = PlannedReplicaSet(object)
    planned.isNew = true
    planned.size = newSize(for: planned)
    setAnnotations(&planned, isCreated: true)
    revision = planned.annotation(DeploymentAnnotation.revision)
    new = planned
    if hasProgressDeadline {
      setCondition("Progressing", .yes, "NewReplicaSetCreated", "Created new replica set \"\(planned.name)\"")
    }
  }

  // MARK: Results

  mutating func resize(old index: Int, to size: Int64) {
    assert(size >= 0, "a ReplicaSet gets fewer pods than none")
    old[index].size = size
    setSizeAnnotations(&old[index])
  }

  mutating func resizeNew(to size: Int64) {
    guard var replicaSet = new else { return }
    assert(size >= 0, "a ReplicaSet gets fewer pods than none")
    replicaSet.size = size
    setSizeAnnotations(&replicaSet)
    new = replicaSet
  }

  private mutating func emit() {
    for replicaSet in [new].compactMap({ $0 }) + old
    where replicaSet.isChanged || replicaSet.size != replicaSet.sizeBefore {
      var object = replicaSet.object
      object.spec.replicas = replicaSet.size
      if replicaSet.isNew {
        plan.actions.append(.create(object, deployment))
      } else {
        let before = replicaSet.size == replicaSet.sizeBefore ? nil : replicaSet.sizeBefore
        plan.actions.append(.update(object, scaledFrom: before, deployment))
      }
    }
    plan.actions += deletions.map { .delete($0) }
  }

  private mutating func writeStatus() {
    if status.json != deployment.status.json {
      var updated = deployment
      updated.status = status
      plan.actions.append(.updateStatus(updated))
    }
    // After the status, since it changes the Deployment's resourceVersion.
    if let revision, deployment.json.at("metadata", "annotations", DeploymentAnnotation.revision)?.string != revision {
      plan.actions.append(.setRevision(revision, deployment))
    }
  }

  /// Removes old ReplicaSets without pods beyond `revisionHistoryLimit`, the oldest revision first.
  mutating func cleanUpHistory() {
    guard let limit = deployment.spec.revisionHistoryLimit, limit < Int64(Int32.max) else { return }
    let candidates = old.filter { $0.object.metadata.deletionTimestamp == nil }
    let surplus = candidates.count - Int(clamping: limit)
    guard surplus > 0 else { return }
    let sorted = candidates.sorted { ($0.revision, $0.createdAt, $0.name) < ($1.revision, $1.createdAt, $1.name) }
    for replicaSet in sorted.prefix(surplus) {
      let metadata = replicaSet.object.metadata
      guard replicaSet.replicas == 0, replicaSet.size == 0, replicaSet.sizeBefore == 0,
        metadata.generation ?? 0 <= replicaSet.object.status.observedGeneration ?? 0
      else { continue }
      deletions.append(replicaSet.object)
    }
  }
}
