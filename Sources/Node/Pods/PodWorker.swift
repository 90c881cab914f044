import Containers
import ControllerKit
import KubeClient
import KubeTypes
import Logging
import Wire

/// Brings one pod to what its object asks for, and reports how it is.
///
/// One task observes, plans and acts, again and again; everything that happens meanwhile (a change of the object, the
/// end of a container, a probe's verdict) changes the state below and wakes it.
actor PodWorker {
  let context: NodeContext
  let uid: String
  let key: ObjectKey
  var pod: Pod
  var intent: PodSnapshot.Intent = .run
  private var predecessor: PodWorker?
  private let rejection: PodAdmission.Rejection?

  /// By name.
  var containers: [String: PodContainer]
  /// By the image's name, as the pod has it: containers with the same image share its pulls.
  var pullBackoffs: [String: PullBackoff] = [:]

  var sandbox: Sandbox?
  var sandboxRetry: Retry?
  var volumes: VolumeManager.Prepared?
  var volumeRetry: Retry?
  var hasVolumes: Bool
  /// A ConfigMap, Secret or token of a volume changed.
  var mustRefreshVolumes = false
  var lastRefresh: Timestamp

  var isFinished = false
  /// How the pod has ended, once that was said.
  var endedPhase: String?
  var failure: (phase: String, reason: String, message: String)?
  let startTime: Timestamp
  private var isRecorded = false

  // The status (PodWorker+Status).
  var knownStatus: JSON
  var knownRevision: Int64
  var wanted: JSON?
  var lastWritten: JSON?
  var lastWrittenRevision: Int64 = 0
  var statusTask: Task<Void, Never>?

  /// Something unexpected went wrong: nothing is planned before.
  private var hold: Retry?
  var random: SeededRandom

  /// Fired by whatever the plan may depend on.
  private let changed = Signal()
  private(set) var isOver = false
  private var finishWaiters: [CheckedContinuation<Void, Never>] = []
  /// Called on every change of a container, for those who follow its log.
  private var listeners: [Int: @Sendable () -> Void] = [:]
  private var nextListener = 0

  /// - Parameters:
  ///   - containers: what the runtime has of this pod from before.
  ///   - predecessor: an earlier pod of the same name, whose end is waited for: a name is never held by two.
  ///   - rejection: why the pod must not run here.
  init(
    context: NodeContext, pod: Pod, containers: [ContainerState] = [], sandbox: Sandbox? = nil,
    predecessor: PodWorker? = nil, rejection: PodAdmission.Rejection? = nil, seed: UInt64
  ) {
    self.context = context
    self.pod = pod
    self.predecessor = predecessor
    self.rejection = rejection
    let uid = pod.metadata.uid ?? ""
    self.uid = uid
    key = ObjectKey(namespace: pod.metadata.namespace ?? "", name: pod.metadata.name ?? "")
    random = SeededRandom(seed: seed)
    self.sandbox = sandbox
    hasVolumes = context.volumes.hasVolumes(uid)
    let now = context.time.now()
    lastRefresh = now
    let status = pod.json["status"] ?? [:]
    knownStatus = status
    knownRevision = pod.metadata.resourceVersion.flatMap { Int64($0) } ?? 0
    startTime = status["startTime"]?.string.flatMap { Timestamp(rfc3339: $0) } ?? now
    if pod.metadata.deletionTimestamp != nil { intent = .delete }
    let phase = status["phase"]?.string
    isFinished = phase == "Succeeded" || phase == "Failed"
    if isFinished, let phase, let reason = status["reason"]?.string {
      failure = (phase, reason, status["message"]?.string ?? "")
    }
    if let rejection {
      isFinished = true
      failure = ("Failed", rejection.reason, "Pod was rejected: \(rejection.message)")
    }
    self.containers = PodContainer.adopted(containers, pod: pod, scheme: context.scheme, now: now)
  }

  // MARK: - What happens

  /// The object changed.
  func update(_ new: Pod) {
    precondition(new.metadata.uid ?? "" == uid, "a pod is taken for another one of its name")
    let revision = new.metadata.resourceVersion.flatMap { Int64($0) } ?? 0
    guard revision >= knownRevision else { return }
    // Files of the downward API hold them.
    if new.metadata.labels != pod.metadata.labels || new.metadata.annotations != pod.metadata.annotations {
      mustRefreshVolumes = true
    }
    pod = new
    noteStatus(new.json["status"] ?? [:], revision: revision)
    if new.metadata.deletionTimestamp != nil, intent == .run { intent = .delete }
    followImages()
    wake()
  }

  private func followImages() {
    for (container, _) in allContainers {
      let name = container.name ?? ""
      containers[name]?.specified(name, image: container.image)
    }
  }

  /// The object is no longer in the API.
  func gone() {
    intent = .gone
    wake()
  }

  func referencesChanged() {
    mustRefreshVolumes = true
    for (name, container) in containers where container.failure?.reason == .createContainerConfigError {
      containers[name]?.retries(at: context.time.now())
    }
    volumeRetry?.at = context.time.now()
    wake()
  }

  /// A container ended. It counts as ended with its last words, which are read in the background: whoever tells of ends
  /// tells those of other pods next.
  func containerExited(_ event: RuntimeEvent) {
    precondition(event.podUID == uid, "a pod is told of another one's container")
    guard containers[event.name]?[event.containerID]?.ends() == true,
      let run = containers[event.name]?[event.containerID]
    else { return }
    Task {
      let message = await terminationMessage(of: run, container: event.name, exitCode: event.exitCode)
      containers[event.name]?[event.containerID]?.ended(event, message: message)
      wake()
    }
  }

  func wake() {
    changed.fire()
    for listener in listeners.values { listener() }
  }

  func listen(_ listener: @escaping @Sendable () -> Void) -> Int {
    nextListener += 1
    listeners[nextListener] = listener
    return nextListener
  }

  func stopListening(_ id: Int) { listeners[id] = nil }

  func waitUntilOver() async {
    if isOver { return }
    await withCheckedContinuation { finishWaiters.append($0) }
  }

  // MARK: - The loop

  /// Until the pod is gone, or the task is cancelled: containers then go on running.
  func run() async {
    if let predecessor {
      await predecessor.waitUntilOver()
      self.predecessor = nil
    }
    for (container, _) in allContainers {
      if let run = containers[container.name ?? ""]?.latest { startProbes(run, of: container, isAdopted: true) }
    }
    // The object may have changed while no server was there.
    followImages()
    if let rejection { event(.warning, rejection.reason, rejection.message) }
    await readLastWords()
    while !isOver, !Task.isCancelled { await step() }
    for name in containers.keys { containers[name]?.stopWork() }
    statusTask?.cancel()
    context.references.release(uid)
    isOver = true
    for waiter in finishWaiters { waiter.resume() }
    finishWaiters = []
  }

  /// Those of containers that ended while no server was there: the plan may remove them.
  private func readLastWords() async {
    for (name, container) in containers {
      for run in container.runs where run.status == .exited && run.message == nil && !run.isRemembered {
        let message = await terminationMessage(of: run, container: name, exitCode: run.exitCode)
        containers[name]?[run.id]?.message = message
      }
    }
  }

  private func step() async {
    // What has happened by now is seen.
    changed.clear()
    let now = context.time.now()
    if intent != .run || isFinished {
      for name in containers.keys { containers[name]?.dropPreparation() }
    }
    if let hold, now < hold.at {
      publishStatus(now: now)
      await pause(until: hold.at)
      return
    }
    let plan = PodPlanner.plan(snapshot(now: now))
    if let outcome = plan.outcome, !isFinished { finished(outcome) }
    publishStatus(now: now)
    if !plan.actions.isEmpty {
      await withTaskGroup { group in
        for action in plan.actions { group.addTask { await self.perform(action) } }
      }
      return
    }
    if intent == .run, !isFinished, volumes != nil {
      let isDue = volumes?.refreshAt.map { now >= $0 } ?? false
      if mustRefreshVolumes || isDue {
        await refreshVolumes()
        return
      }
    }
    var wakeAt = plan.wakeAt
    if let refreshAt = volumes?.refreshAt, intent == .run { wakeAt = wakeAt.map { min($0, refreshAt) } ?? refreshAt }
    await pause(until: wakeAt)
  }

  private func pause(until time: Timestamp?) async {
    let timer = time.map { time in
      let duration = max(.zero, time.since(context.time.now()))
      return Task { [context, changed] in
        try? await context.time.sleep(for: duration)
        if !Task.isCancelled { changed.fire() }
      }
    }
    // Throws when the worker is cancelled, which the loop sees.
    try? await changed.wait()
    timer?.cancel()
  }

  /// An action failed for a reason that the plan does not know of: wait before planning anew.
  func holdOn(_ error: any Error, during what: String) {
    let now = context.time.now()
    var hold = self.hold ?? Retry(at: now)
    hold.failed(now: now, using: &random)
    self.hold = hold
    context.log.warning(
      "pod action failed, will retry", metadata: ["pod": "\(key)", "action": "\(what)", "error": "\(describe(error))"])
  }

  func release() { hold = nil }

  private func finished(_ outcome: PodPlan.Outcome) {
    isFinished = true
    if outcome == .deadlineExceeded {
      failure = ("Failed", "DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
      event(.normal, "DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
    }
    isRecorded = false
  }

  /// Somebody else may say that the pod has ended, such as an eviction: what still runs of it is stopped.
  func noteEnd(_ status: JSON) {
    guard !isFinished, let phase = PodStatusBuilder.endedPhase(of: status) else { return }
    isFinished = true
    endedPhase = phase
    failure = (phase, status["reason"]?.string ?? "", status["message"]?.string ?? "")
    isRecorded = false
  }

  func finish() {
    isOver = true
    wake()
  }

  // MARK: - Views of the state

  var allContainers: [(container: Container, role: PodSnapshot.Container.Role)] {
    pod.spec.initContainers.map { ($0, $0.restartPolicy == "Always" ? .sidecar : .initialization) }
      + pod.spec.containers.map { ($0, .main) }
  }

  nonisolated func describeIdentity() -> String { "\(key.name)_\(key.namespace)(\(uid))" }

  func container(_ name: String) -> Container? { allContainers.first { $0.container.name == name }?.container }

  func name(ofRun id: String) -> String? { containers.first { $0.value[id] != nil }?.key }

  var restartPolicy: PodSnapshot.RestartPolicy {
    pod.spec.restartPolicy.flatMap(PodSnapshot.RestartPolicy.init(rawValue:)) ?? .always
  }

  var gracePeriod: Int64 {
    let grace =
      intent == .run
      ? pod.spec.terminationGracePeriodSeconds ?? 30
      : pod.metadata.deletionGracePeriodSeconds ?? (intent == .gone ? 1 : pod.spec.terminationGracePeriodSeconds ?? 30)
    return max(1, grace)
  }

  func snapshot(now: Timestamp) -> PodSnapshot {
    var snapshot = PodSnapshot(now: now)
    snapshot.intent = intent
    snapshot.restartPolicy = restartPolicy
    snapshot.gracePeriodSeconds = gracePeriod
    snapshot.deadline = pod.spec.activeDeadlineSeconds.map { startTime.adding(.seconds($0)) }
    snapshot.isFinished = isFinished
    snapshot.hasVolumes = hasVolumes
    if volumes != nil {
      snapshot.volumes = .ready
    } else if let volumeRetry {
      snapshot.volumes = .failed(retryAt: volumeRetry.at)
    }
    if let sandbox {
      snapshot.sandbox = sandbox.isReady ? .ready(createdAt: sandbox.createdAt) : .lost
    } else if let sandboxRetry {
      snapshot.sandbox = .failed(retryAt: sandboxRetry.at)
    }
    let sandboxCreatedAt = sandbox?.isReady == true ? sandbox?.createdAt : nil
    for (container, role) in allContainers {
      let name = container.name ?? ""
      snapshot.containers.append(
        (containers[name] ?? PodContainer()).snapshot(name, role, sandboxCreatedAt: sandboxCreatedAt))
    }
    return snapshot
  }

  /// Where the pod's containers are reached and what it is told of itself.
  var podIPs: [String] {
    if pod.spec.hostNetwork == true { return context.configuration.nodeIPs }
    return sandbox?.isReady == true ? sandbox?.ips ?? [] : []
  }

  func event(_ type: EventType, _ reason: String, _ message: String, container: String? = nil) {
    var field = ""
    if let container {
      let isInitial = pod.spec.initContainers.contains { $0.name == container }
      field = isInitial ? "spec.initContainers{\(container)}" : "spec.containers{\(container)}"
    }
    context.events.record(
      type,
      regarding: EventSubject(
        kind: "Pod", apiVersion: "v1", namespace: key.namespace, name: key.name, uid: uid, fieldPath: field),
      reason: reason, message: message)
  }

  /// Keeps a copy of the pod on disk, so that it runs on, is restarted and comes back while the API is away.
  func record() async {
    guard !isRecorded, intent == .run else { return }
    isRecorded = true
    var copy = pod.json
    copy["status"] = wanted ?? knownStatus
    await PodRecord.write(
      copy, of: uid, to: context.configuration.recordPath(uid), on: context.lanes.records, log: context.log)
  }
}
