import Wire

/// What the worker knows of one attempt of one container.
struct ContainerRun: Sendable, Equatable {
  enum Status: Sendable, Equatable {
    case created
    case running
    case exited
  }

  var id: String
  var attempt: Int
  var status: Status
  var image: String
  var imageID: String
  var createdAt: Timestamp
  var startedAt: Timestamp?
  var finishedAt: Timestamp?
  var exitCode: Int32 = 0
  var signal: Int32?
  var isOOMKilled = false
  var isLost = false
  /// What the container left behind when it ended.
  var message = ""
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
  var condemned: PodSnapshot.Condemnation?
  var stop: PodSnapshot.Stop?

  var isReplaced: Bool { condemned?.isReplacement == true }

  init(id: String, attempt: Int, status: Status, image: String, imageID: String, createdAt: Timestamp) {
    self.id = id
    self.attempt = attempt
    self.status = status
    self.image = image
    self.imageID = imageID
    self.createdAt = createdAt
  }

  /// A container that the runtime has from before.
  init(_ state: ContainerState) {
    id = state.id
    attempt = state.attempt
    switch state.status {
    case .created: status = .created
    case .running: status = .running
    case .exited: status = .exited
    }
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
      signal = ended["signal"]?.int.map { Int32(clamping: $0) }
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

  mutating func exited(_ event: RuntimeEvent) {
    guard status != .exited else { return }
    status = .exited
    finishedAt = event.finishedAt
    exitCode = event.exitCode
    signal = event.signal
    isOOMKilled = event.oomKilled
    isLost = event.isLost
    isReady = false
  }

  func terminated(scheme: String) -> PodStatusInput.Terminated {
    let reason: String
    if isLost {
      reason = "ContainerStatusUnknown"
    } else if isOOMKilled {
      reason = "OOMKilled"
    } else {
      reason = exitCode == 0 ? "Completed" : "Error"
    }
    return PodStatusInput.Terminated(
      exitCode: exitCode, signal: nil, reason: reason,
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
