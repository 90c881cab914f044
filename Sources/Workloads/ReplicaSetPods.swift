import ControllerKit
import KubeTypes
import Synchronization
import Wire

/// What the ReplicaSet rules need to know of a pod.
struct PodFacts: Sendable, Equatable, Claimable {
  var header: ObjectHeader
  var phase: String
  /// Empty until it is scheduled.
  var nodeName: String
  var isReady: Bool
  /// When it became ready, or stopped being so.
  var readyTransition: Timestamp?
  /// The largest restart count of its containers.
  var restarts: Int64
  /// `controller.kubernetes.io/pod-deletion-cost` (KEP-2255); absent or invalid is zero.
  var deletionCost: Int64

  init(_ object: Object) {
    let json = object.json()
    let status = json["status"]
    header = object.header
    phase = status?["phase"]?.string ?? "Pending"
    nodeName = json.at("spec", "nodeName")?.string ?? ""
    let ready = status?["conditions"]?.array?.first { $0["type"]?.string == "Ready" }
    isReady = ready?["status"]?.string == "True"
    readyTransition = ready?["lastTransitionTime"]?.string.flatMap(Timestamp.init(rfc3339:))
    restarts = 0
    for list in ["initContainerStatuses", "containerStatuses"] {
      for container in status?[list]?.array ?? [] { restarts = max(restarts, container["restartCount"]?.int ?? 0) }
    }
    let cost = json.at("metadata", "annotations", "controller.kubernetes.io/pod-deletion-cost")?.string
    deletionCost = cost.flatMap(Int64.init) ?? 0
  }

  var uid: String { header.uid }
  var isFinished: Bool { phase == "Succeeded" || phase == "Failed" }
  var claimLabels: [String: String] { header.labels }
  var isBeingDeleted: Bool { header.deletionTimestamp != nil }

  /// When the pod counts as available; `nil` when it is not ready.
  func availableAt(minReadySeconds: Int64) -> Timestamp? {
    guard isReady else { return nil }
    if minReadySeconds <= 0 { return Timestamp(microseconds: .min) }
    return readyTransition?.adding(.seconds(minReadySeconds))
  }
}

/// The facts of each pod, decoded once per version: a ReplicaSet of a thousand pods is looked at after every change of
/// one of them.
final class PodFactsCache: Sendable {
  private let known = Mutex<[String: PodFacts]>([:])

  func facts(_ pod: Object) -> PodFacts {
    let known = known.withLock { $0[pod.header.uid] }
    if let known, known.header.resourceVersion == pod.header.resourceVersion { return known }
    let facts = PodFacts(pod)
    self.known.withLock { $0[facts.uid] = facts }
    return facts
  }

  func forget(uid: String) { known.withLock { $0[uid] = nil } }
}

/// The order in which pods are given up (`controller.ActivePodsWithRanks`): the first one goes first.
///
/// Ages are compared by the logarithm of their length (KEP-2185), so that pods of about the same age go in an order that
/// does not depend on it. Ties end with the uid, which makes the order total.
struct PodDeletionRank: Comparable {
  private let parts: [Int64]
  private let uid: String

  /// - Parameter neighbours: how many pods of the same owner are on the pod's node.
  init(_ pod: PodFacts, neighbours: Int, now: Timestamp) {
    let phaseOrder: [String: Int64] = ["Pending": 0, "Unknown": 1, "Running": 2]
    parts = [
      pod.nodeName.isEmpty ? 0 : 1,
      phaseOrder[pod.phase] ?? 0,
      pod.isReady ? 1 : 0,
      pod.deletionCost,
      -Int64(neighbours),
      pod.isReady ? Self.age(pod.readyTransition, now) : 0,
      -pod.restarts,
      Self.age(Timestamp(rfc3339: pod.header.creationTimestamp), now),
    ]
    uid = pod.uid
  }

  static func < (a: PodDeletionRank, b: PodDeletionRank) -> Bool {
    for (left, right) in zip(a.parts, b.parts) where left != right { return left < right }
    return a.uid < b.uid
  }

  /// The binary logarithm of the age in microseconds; -1 for none.
  private static func age(_ since: Timestamp?, _ now: Timestamp) -> Int64 {
    guard let since, since < now else { return -1 }
    return Int64(Int64.bitWidth - 1 - (now.microseconds - since.microseconds).leadingZeroBitCount)
  }
}
