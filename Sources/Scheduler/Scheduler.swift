import ControllerKit
import KubeClient
import KubeTypes
import Logging
import Schema
import Synchronization
import Telemetry
import Wire

/// Gives every pod that names it in `spec.schedulerName` and has no node yet a node, through the pod's `binding`
/// subresource. What it decides on is kube-scheduler's default profile without preemption.
///
/// Informer changes keep a compact picture of nodes and pods (`ClusterState`) up to date; a pod is decoded once per
/// change of it and never per decision. Decisions are made one after the other, each on a snapshot of that picture and
/// without its lock, so that no informer waits for one that counts many pods. Bindings are written side by side, and a
/// placed pod counts from the decision on and not from the answer.
public final class Scheduler: ControllerKit.Service {
  /// `spec.schedulerName`, and the component of the events.
  public static let name = "default-scheduler"
  /// Writes that may be under way at the same time: enough to fill the store's group commits.
  static let writesMax = 64

  private struct State {
    var cluster = ClusterState()
    var queue = SchedulingQueue()
    var random: SeededRandom
    var writes = 0
    /// When the timers that run will fire.
    var timers: [Timestamp] = []
  }

  /// What the loop has to do outside of the lock.
  private enum Step {
    case bind(Attempt, node: String)
    case report(PodInfo, message: String, isNews: Bool)
  }

  private struct Attempt {
    var pod: PodInfo
    /// When the pod came into the queue.
    var addedAt: Timestamp
    /// Counts this one.
    var number: Int
    var began: ContinuousClock.Instant
  }

  typealias Decide = @Sendable (PodInfo, ClusterSnapshot, inout SeededRandom) -> Decision

  private let client: any KubeClient
  private let decide: Decide
  private let time: any TimeSource
  private let informers: [Informer]
  private let events: EventRecorder
  private let state: Mutex<State>
  private let metrics: SchedulerMetrics
  private let wakeUp = Signal()
  private let log = Logger(label: "apus.scheduler")

  private static let pods = GroupVersionResource(group: "", version: "v1", resource: "pods")

  /// Subscribes to the informers of pods, nodes, namespaces and persistent volume claims; they must not run yet.
  ///
  /// - Parameters:
  ///   - metrics: where attempts and waiting pods are counted.
  ///   - seed: for the choice between nodes that are equally good.
  public convenience init(
    client: any KubeClient, informers: InformerSet, metrics: Metrics, time: any TimeSource, seed: UInt64
  ) {
    self.init(
      client: client, informers: informers, metrics: metrics, time: time, seed: seed, decide: SchedulingCycle.decide)
  }

  /// - Parameter decide: chooses a node; tests look in at that moment.
  init(
    client: any KubeClient, informers: InformerSet, metrics: Metrics, time: any TimeSource, seed: UInt64,
    decide: @escaping Decide
  ) {
    func informer(_ resource: String) -> Informer {
      informers.informer(for: GroupVersionResource(group: "", version: "v1", resource: resource))
    }
    self.client = client
    self.decide = decide
    self.time = time
    let nodes = informer("nodes")
    let namespaces = informer("namespaces")
    let claims = informer("persistentvolumeclaims")
    let pods = informer("pods")
    self.informers = [nodes, namespaces, claims, pods]
    events = EventRecorder(client: client, component: Self.name, time: time)
    state = Mutex(State(random: SeededRandom(seed: seed)))
    self.metrics = SchedulerMetrics(metrics, profile: Self.name)
    self.metrics.collect(metrics) { [weak self] in self?.state.withLock { $0.queue.counts() } ?? [:] }

    nodes.onChange { [weak self] old, new in self?.nodeChanged(old, new) }
    namespaces.onChange { [weak self] old, new in
      guard let self, let name = (new ?? old)?.header.name else { return }
      self.change { cluster in cluster.setNamespace(name, labels: new?.header.labels) }
    }
    claims.onChange { [weak self] old, new in
      guard let self, let key = (new ?? old)?.header.key else { return }
      let isBound = new.map { $0.decode(PersistentVolumeClaim.self).status.phase == "Bound" }
      self.change { cluster in cluster.setClaim(key, isBound: isBound) }
    }
    pods.onChange { [weak self] old, new in self?.podChanged(old, new) }
  }

  /// What waits does so by the clock that nobody sets: when a wall clock is set back, it would wait for as long.
  private func uptime() -> Timestamp { Timestamp(microseconds: 0).adding(time.uptime()) }

  // MARK: Changes

  private func change(_ body: (inout ClusterState) -> ClusterChange) {
    let now = uptime()
    state.withLock { state in
      let changes = body(&state.cluster)
      state.queue.wake(changes, now: now)
    }
    wakeUp.fire()
  }

  func nodeChanged(_ old: Object?, _ new: Object?) {
    if let new {
      let node = new.decode(Node.self)
      change { $0.setNode(node) }
    } else if let old {
      change { $0.removeNode(old.header.name) }
    }
  }

  func podChanged(_ old: Object?, _ new: Object?) {
    // A pod that was replaced by one of the same name between two lists.
    if let old, let new, old.header.uid != new.header.uid { podChanged(old, nil) }
    guard let new else {
      if let old { forget(old.header.uid) }
      return
    }
    if let old, Self.isReportOfPlaced(old, new) { return }
    if Self.isForeign(new) { return forget(new.header.uid) }
    let json = new.json()
    let pod = PodInfo(Pod(json: json))
    let now = uptime()
    state.withLock { state in
      var changes: ClusterChange = []
      if pod.isTerminal {
        state.queue.remove(pod.uid)
        changes = state.cluster.remove(pod.uid)
      } else if !pod.nodeName.isEmpty {
        state.queue.remove(pod.uid)
        changes = state.cluster.place(pod)
      } else if pod.isPending(for: Self.name) {
        changes = state.cluster.unplace(pod.uid)
        // Our own report of a failed attempt changes only the status, and is no reason for another one.
        let isKnown = state.queue.items[pod.uid] != nil
        if !isKnown || Self.isScheduledAnew(old, new, json) { state.queue.add(pod, now: now) }
      } else {
        state.queue.remove(pod.uid)
        changes = state.cluster.remove(pod.uid)
      }
      state.queue.wake(changes, now: now)
    }
    wakeUp.fire()
  }

  /// The pod is gone, or another scheduler's: it neither waits nor takes room.
  private func forget(_ uid: String) {
    let now = uptime()
    let hasMadeRoom = state.withLock { state in
      state.queue.remove(uid)
      let changes = state.cluster.remove(uid)
      state.queue.wake(changes, now: now)
      return !changes.isEmpty
    }
    if hasMadeRoom { wakeUp.fire() }
  }

  /// Whether only the status changed of a pod that has its node: it tells nothing here until the pod has ended.
  private static func isReportOfPlaced(_ old: Object, _ new: Object) -> Bool {
    guard new.header.generation > 0, old.header.generation == new.header.generation,
      old.header.labels == new.header.labels, old.header.deletionTimestamp == new.header.deletionTimestamp,
      let node = JSON.scalar(at: ["spec", "nodeName"], of: new.bytes), !node.isEmpty
    else { return false }
    return JSON.scalar(at: ["spec", "nodeName"], of: old.bytes) == node
      && JSON.scalar(at: ["status", "phase"], of: old.bytes) == JSON.scalar(at: ["status", "phase"], of: new.bytes)
  }

  /// Whether the pod has no node and waits for another scheduler to give it one.
  private static func isForeign(_ pod: Object) -> Bool {
    guard let scheduler = JSON.scalar(at: ["spec", "schedulerName"], of: pod.bytes), scheduler != name else {
      return false
    }
    return (JSON.scalar(at: ["spec", "nodeName"], of: pod.bytes) ?? "").isEmpty
  }

  private static func isScheduledAnew(_ old: Object?, _ new: Object, _ json: JSON) -> Bool {
    guard let old else { return true }
    return old.header.labels != new.header.labels || old.json()["spec"] != json["spec"]
  }

  // MARK: The loop

  public func run() async throws {
    for informer in informers { try await informer.waitUntilSynced() }
    // Those of an earlier run ended with it.
    state.withLock { $0.timers = [] }
    try await withThrowingDiscardingTaskGroup { group in
      while true {
        while let step = nextStep() {
          switch step {
          case .bind(let attempt, let node): group.addTask { await self.bind(attempt, to: node) }
          case .report(let pod, let message, let isNews):
            group.addTask { await self.report(pod, message: message, isNews: isNews) }
          }
        }
        if let (delay, at) = nextTimer() {
          group.addTask {
            try await self.time.sleep(for: delay)
            self.timerFired(at: at)
          }
        }
        try await wakeUp.wait()
      }
    }
  }

  private func nextStep() -> Step? {
    while let (item, decision, began) = decideNext() {
      if let step = settle(item, decision, began: began) { return step }
    }
    return nil
  }

  /// Takes the next pod and chooses its node. The lock is held only to take the snapshot, which is given up with the
  /// return: the changes that follow copy nothing.
  private func decideNext() -> (SchedulingQueue.Item, Decision, ContinuousClock.Instant)? {
    let now = uptime()
    let began = ContinuousClock.now
    let taken = state.withLock { state -> (SchedulingQueue.Item, ClusterSnapshot, UInt64)? in
      state.queue.advance(to: now)
      guard state.writes < Self.writesMax, let item = state.queue.next() else { return nil }
      return (item, state.cluster.snapshot, state.random.next())
    }
    guard let (item, cluster, seed) = taken else { return nil }
    var random = SeededRandom(seed: seed)
    let decision = decide(item.pod, cluster, &random)
    metrics.decided(in: ContinuousClock.now - began)
    return (item, decision, began)
  }

  /// Takes a decision over into the picture as it is by now. What has changed meanwhile counts as having come after the
  /// decision, as what the informers have yet to tell does.
  ///
  /// - Returns: what is to be written; `nil` when the decision is no longer of use.
  private func settle(
    _ item: SchedulingQueue.Item, _ decision: Decision, began: ContinuousClock.Instant
  ) -> Step? {
    let now = uptime()
    return state.withLock { state in
      let pod = item.pod
      // It has gone, or has got its node; or it was that and has come anew.
      guard let current = state.queue.items[pod.uid], current.place == .inFlight else { return nil }
      guard current.pod === pod else {
        state.queue.again(pod.uid)
        return nil
      }
      switch decision {
      case .node(let node):
        guard state.cluster.snapshot.nodes[node]?.exists == true else {
          state.queue.again(pod.uid)
          return nil
        }
        state.writes += 1
        state.cluster.assume(pod, on: node)
        let attempt = Attempt(pod: pod, addedAt: item.addedAt, number: item.attempts + 1, began: began)
        return .bind(attempt, node: node)
      case .unschedulable(let failure):
        state.writes += 1
        let changes = failure.rules.reduce(into: ClusterChange()) { $0.formUnion($1.liftedBy) }
        state.queue.reject(pod.uid, liftedBy: changes, now: now)
        let message = failure.message
        state.queue.setReported(pod.uid, message: message)
        metrics.ended(.unschedulable, began: began)
        return .report(pod, message: message, isNews: item.reportedMessage != message)
      }
    }
  }

  /// The delay until the queue has something to do, when no timer that is early enough runs.
  private func nextTimer() -> (Duration, Timestamp)? {
    let now = uptime()
    return state.withLock { state in
      guard let at = state.queue.nextAlarm() else { return nil }
      if state.timers.contains(where: { $0 <= at }) { return nil }
      state.timers.append(at)
      return (max(at.since(now), .zero), at)
    }
  }

  private func timerFired(at: Timestamp) {
    state.withLock { state in
      if let index = state.timers.firstIndex(of: at) { state.timers.remove(at: index) }
      // The timer counts monotonic time: what was due then is due, whatever the wall clock says by now.
      state.queue.advance(to: at)
    }
    wakeUp.fire()
  }

  private func finishWrite(_ body: (inout ClusterState, inout SchedulingQueue) -> Void) {
    state.withLock { state in
      state.writes -= 1
      precondition(state.writes >= 0, "a write ended twice")
      body(&state.cluster, &state.queue)
    }
    wakeUp.fire()
  }

  // MARK: Writes

  private func bind(_ attempt: Attempt, to node: String) async {
    let pod = attempt.pod
    let binding: JSON = [
      "apiVersion": "v1", "kind": "Binding",
      "metadata": [
        "name": .string(pod.key.name), "namespace": .string(pod.key.namespace), "uid": .string(pod.uid),
      ],
      "target": ["apiVersion": "v1", "kind": "Node", "name": .string(node)],
    ]
    do {
      _ = try await client.create(
        Self.pods, namespace: pod.key.namespace, name: pod.key.name, subresource: "binding", body: binding,
        options: WriteOptions(fieldManager: Self.name))
      metrics.ended(.scheduled, began: attempt.began)
      metrics.bound(after: uptime().since(attempt.addedAt), attempts: attempt.number)
      // The assumption stays until the informer shows the pod on its node, or gone.
      finishWrite { _, _ in }
      events.record(
        .normal, regarding: subject(pod), reason: "Scheduled",
        message: "Successfully assigned \(pod.key) to \(node)")
    } catch {
      if !Task.isCancelled { metrics.ended(.error, began: attempt.began) }
      let now = uptime()
      finishWrite { cluster, queue in
        let changes = cluster.forget(pod.uid)
        // When the pod is bound or gone already, the informer takes it out of the queue.
        queue.retry(pod.uid, now: now)
        queue.wake(changes, now: now)
      }
      if Task.isCancelled { return }
      let reason = (error as? KubeError)?.reason
      if reason == .notFound || reason == .conflict {
        log.debug("binding refused", metadata: ["pod": "\(pod.key)", "node": "\(node)", "error": "\(error)"])
        return
      }
      log.warning("binding failed", metadata: ["pod": "\(pod.key)", "node": "\(node)", "error": "\(error)"])
      events.record(
        .warning, regarding: subject(pod), reason: "FailedScheduling", message: "binding rejected: \(error)")
    }
  }

  /// Says why the pod has no node. The status is written only when the reason changed.
  private func report(_ pod: PodInfo, message: String, isNews: Bool) async {
    defer { finishWrite { _, _ in } }
    events.record(.warning, regarding: subject(pod), reason: "FailedScheduling", message: message)
    guard isNews else { return }
    let condition: JSON = [
      "type": "PodScheduled", "status": "False", "lastProbeTime": nil,
      "lastTransitionTime": .string(time.now().rfc3339), "reason": "Unschedulable", "message": .string(message),
    ]
    do {
      _ = try await client.patch(
        Self.pods, namespace: pod.key.namespace, name: pod.key.name, subresource: "status", type: .strategicMerge,
        body: ["metadata": ["uid": .string(pod.uid)], "status": ["conditions": [condition]]],
        options: WriteOptions(fieldManager: Self.name))
    } catch {
      if Task.isCancelled { return }
      // Written again with the next attempt.
      state.withLock { $0.queue.setReported(pod.uid, message: nil) }
      log.debug("status not written", metadata: ["pod": "\(pod.key)", "error": "\(error)"])
    }
  }

  private func subject(_ pod: PodInfo) -> EventSubject {
    EventSubject(
      kind: "Pod", apiVersion: "v1", namespace: pod.key.namespace, name: pod.key.name, uid: pod.uid)
  }
}
