import Containers
import Wire

/// What the worker knows of one attempt of one container, and how that changes. Apart from IO, but for the work in the
/// background that it has: that is cancelled when it ends.
struct ContainerRun: Sendable, Equatable {
  let id: String
  let attempt: Int
  private(set) var status: ContainerState.Status
  var image: String
  var imageID: String
  var createdAt: Timestamp
  var startedAt: Timestamp?
  var finishedAt: Timestamp?
  var exitCode: Int32 = 0
  var isOOMKilled = false
  var isLost = false
  /// What the container left behind when it ended; `nil` as long as nobody has looked.
  var message: String?
  var terminationMessageFile: String?
  var stopSignal: Int32 = Signals.terminate
  /// Whom its first process runs as.
  var user: ResolvedUser?
  /// Not in the runtime any more: known from the pod's status only.
  var isRemembered = false

  /// Passed its startup probe and its `postStart` hook.
  var isStarted = false
  /// Passes its readiness probe, or the health check of its image, or has neither.
  var isReady = false
  /// The health check of its image that stands in for a readiness probe.
  var health: HealthCheck?
  private(set) var condemned: PodSnapshot.Condemnation?
  private(set) var stop: PodSnapshot.Stop?
  /// It has ended, and its last words are being read.
  private(set) var isEnding = false
  /// It was made and will not be started: only to be removed, and never counted as a run.
  private(set) var isAbandoned = false
  /// An event told of the wait after its end.
  var isBackoffTold = false
  /// Probes and hooks.
  var tasks: [Task<Void, Never>] = []

  var isReplaced: Bool { condemned?.isReplacement == true }

  /// One that was just made.
  init(id: String, attempt: Int, image: String, imageID: String, createdAt: Timestamp) {
    self.id = id
    self.attempt = attempt
    status = .created
    self.image = image
    self.imageID = imageID
    self.createdAt = createdAt
  }

  /// A container that the runtime has from before.
  init(_ state: ContainerState) {
    id = state.id
    attempt = state.attempt
    status = state.status
    isAbandoned = state.status == .created
    image = state.image
    imageID = state.imageID
    createdAt = state.createdAt
    startedAt = state.startedAt
    finishedAt = state.finishedAt
    exitCode = state.exitCode ?? (state.status == .exited ? 137 : 0)
    isOOMKilled = state.oomKilled
    isLost = state.isLost
    terminationMessageFile = state.terminationMessageFile
    user = state.user
    health = HealthCheck(label: state.labels[HealthCheck.label])
    stopSignal = state.labels[ContainerSpecBuilder.stopSignalLabel].flatMap { Int32($0) } ?? Signals.terminate
  }

  /// The last run that a container status tells of, when the runtime has none: after a reboot, or after the pod ended.
  /// A container that ran then is lost.
  init?(status json: JSON, scheme: String, now: Timestamp) {
    guard let containerID = json["containerID"]?.string, containerID.hasPrefix(scheme) else { return nil }
    id = String(containerID.dropFirst(scheme.utf8.count))
    // Anybody with the right to write a status may have written it.
    attempt = Int(Int32(clamping: max(0, json["restartCount"]?.int ?? 0)))
    status = .exited
    image = json["image"]?.string ?? ""
    imageID = json["imageID"]?.string ?? ""
    user = json.at("user", "linux").flatMap(ResolvedUser.init(json:))
    createdAt = Timestamp(seconds: 0)
    isRemembered = true
    let ended = json.at("state", "terminated") ?? json.at("lastState", "terminated")
    if let ended, json.at("state", "running") == nil {
      exitCode = Int32(clamping: ended["exitCode"]?.int ?? 0)
      isOOMKilled = ended["reason"]?.string == "OOMKilled"
      isLost = ended["reason"]?.string == "ContainerStatusUnknown"
      message = ended["message"]?.string ?? ""
      startedAt = ended["startedAt"]?.string.flatMap { Timestamp(rfc3339: $0) }
      finishedAt = ended["finishedAt"]?.string.flatMap { Timestamp(rfc3339: $0) } ?? now
    } else {
      startedAt = json.at("state", "running", "startedAt")?.string.flatMap { Timestamp(rfc3339: $0) }
      finishedAt = now
      exitCode = 137
      isLost = true
    }
  }

  // MARK: - What happens to it (what answers says whether that changed something)

  /// It is found in the status of before the server's start. What was reported stays: ready until a probe says otherwise,
  /// so that traffic goes on, and what it left behind.
  mutating func recall(_ json: JSON, scheme: String) {
    if json["containerID"]?.string == scheme + id {
      isStarted = json["started"]?.bool ?? false
      isReady = json["ready"]?.bool ?? false
      startedAt = json.at("state", "running", "startedAt")?.string.flatMap { Timestamp(rfc3339: $0) } ?? startedAt
    }
    guard status == .exited else { return }
    for state in ["state", "lastState"] {
      guard let end = json.at(state, "terminated"), end["containerID"]?.string == scheme + id else { continue }
      message = end["message"]?.string ?? ""
    }
  }

  /// It was started, and may have ended since.
  mutating func started(at now: Timestamp, isStarted: Bool, isReady: Bool) {
    startedAt = now
    guard status == .created else { return }
    status = .running
    self.isStarted = isStarted
    self.isReady = isReady
  }

  /// It could not be started, whatever it did meanwhile.
  mutating func abandoned() {
    isAbandoned = true
    status = .created
  }

  mutating func passedStartup() -> Bool {
    defer { isStarted = true }
    return !isStarted
  }

  mutating func probed(isReady: Bool) -> Bool {
    guard status == .running, self.isReady != isReady else { return false }
    self.isReady = isReady
    return true
  }

  /// Something asks for its end. It stays ready until it has ended, or its readiness probe fails: conditions follow
  /// containers, not intentions.
  @discardableResult
  mutating func condemn(_ condemnation: PodSnapshot.Condemnation) -> Bool {
    guard status == .running, condemned == nil else { return false }
    condemned = condemnation
    return true
  }

  /// Its end begins, with its hook if it can still run one.
  mutating func stops(at now: Timestamp, gracePeriodSeconds: Int64, hasHook: Bool) -> Bool {
    guard status == .running, stop == nil else { return false }
    stop = PodSnapshot.Stop(since: now, gracePeriodSeconds: gracePeriodSeconds, isHookDone: !hasHook || isEnding)
    return true
  }

  mutating func hookEnded() { stop?.isHookDone = true }

  /// The polite signal is about to be sent: this one.
  mutating func terminates(at now: Timestamp) -> Int32? {
    guard status == .running else { return nil }
    precondition(stop != nil, "a container is terminated whose end has not begun")
    stop?.terminatedAt = now
    return stopSignal
  }

  /// The deadly signal is about to be sent.
  mutating func kills(at now: Timestamp) -> Bool {
    guard status == .running else { return false }
    if stop == nil { stop = PodSnapshot.Stop(since: now, gracePeriodSeconds: 0) }
    stop?.killedAt = now
    return true
  }

  /// Its end was told. It counts as ended with its last words; nothing is asked of it meanwhile.
  mutating func ends() -> Bool {
    guard status != .exited, !isEnding, !isAbandoned else { return false }
    isEnding = true
    stopTasks()
    return true
  }

  mutating func ended(_ event: RuntimeEvent, message: String) {
    isEnding = false
    self.message = message
    // Other things may have happened to it while the message was read.
    guard status != .exited, !isAbandoned else { return }
    status = .exited
    finishedAt = event.finishedAt
    exitCode = event.exitCode
    isOOMKilled = event.oomKilled
    isLost = event.isLost
    isReady = false
  }

  /// The runtime has forgotten it; what it was stays in the status.
  mutating func forgotten(at now: Timestamp) {
    stopTasks()
    isRemembered = true
    guard status != .exited else { return }
    status = .exited
    isLost = true
    exitCode = 137
    finishedAt = now
  }

  mutating func stopTasks() {
    for task in tasks { task.cancel() }
    tasks = []
  }

  // MARK: - Views of it

  func terminated(scheme: String) -> PodStatusInput.Terminated {
    let reason: String
    if isLost {
      reason = "ContainerStatusUnknown"
    } else if isOOMKilled {
      reason = "OOMKilled"
    } else {
      reason = exitCode == 0 ? "Completed" : "Error"
    }
    let message = message ?? ""
    return PodStatusInput.Terminated(
      exitCode: exitCode, reason: reason,
      message: isLost && message.isEmpty ? "The container could not be located when the pod was terminated" : message,
      startedAt: startedAt, finishedAt: finishedAt, containerID: scheme + id)
  }

  /// - Parameter sandboxCreatedAt: `nil` when there is no sandbox.
  func snapshot(sandboxCreatedAt: Timestamp?) -> PodSnapshot.Run {
    let status: PodSnapshot.Run.Status =
      switch self.status {
      case .created: .created
      case .running: .running
      case .exited: .exited(code: exitCode, at: finishedAt ?? createdAt)
      }
    let isCurrent = sandboxCreatedAt.map { createdAt >= $0 } ?? false
    return PodSnapshot.Run(
      id: id, attempt: attempt, status: status, isCurrent: isCurrent && !isRemembered, isStarted: isStarted,
      condemned: condemned, stop: stop)
  }
}
