import Containers
import Wire

/// What a pod's status is made of. Made by `PodWorker`.
struct PodStatusInput: Sendable {
  struct Terminated: Sendable, Equatable {
    var exitCode: Int32
    /// `Completed`, `Error`, `OOMKilled`, `ContainerStatusUnknown`.
    var reason: String
    var message: String
    var startedAt: Timestamp?
    var finishedAt: Timestamp?
    /// With its scheme.
    var containerID: String

    var json: JSON {
      var json: JSON = ["exitCode": .int(Int64(exitCode))]
      if !reason.isEmpty { json["reason"] = .string(reason) }
      if !message.isEmpty { json["message"] = .string(message) }
      json["startedAt"] = startedAt.map { .string($0.rfc3339) } ?? .null
      json["finishedAt"] = finishedAt.map { .string($0.rfc3339) } ?? .null
      if !containerID.isEmpty { json["containerID"] = .string(containerID) }
      return json
    }
  }

  enum State: Sendable, Equatable {
    case waiting(reason: String, message: String)
    case running(startedAt: Timestamp)
    case terminated(Terminated)

    var json: JSON {
      switch self {
      case .waiting(let reason, let message):
        message.isEmpty
          ? ["waiting": ["reason": .string(reason)]]
          : ["waiting": ["reason": .string(reason), "message": .string(message)]]
      case .running(let startedAt): ["running": ["startedAt": .string(startedAt.rfc3339)]]
      case .terminated(let end): ["terminated": end.json]
      }
    }
  }

  struct Container: Sendable, Equatable {
    var name: String
    var role: PodSnapshot.Container.Role
    var state: State
    var last: Terminated?
    var restartCount: Int
    var image: String
    var imageID = ""
    /// With its scheme; empty before the first run.
    var containerID = ""
    /// Passed its startup probe and its `postStart` hook.
    var isStarted = false
    /// Passes its readiness probe, or has none.
    var isReady = false
    /// It ended because its specification changed, and starts anew whatever the restart policy says.
    var isBeingReplaced = false
    /// It ended too often, and waits.
    var isBackingOff = false
    /// Whom its first process runs as; `nil` before the first run.
    var user: ResolvedUser?
    /// Needed for the phase: the last way it ended, if it is waiting to be started again.
    var hasRun: Bool { last != nil }
  }

  var now: Timestamp
  var restartPolicy: PodSnapshot.RestartPolicy
  var hostIPs: [String]
  var podIPs: [String]
  var startTime: Timestamp
  var isSandboxReady: Bool
  /// In the order of the specification, init containers first.
  var containers: [Container]
  var readinessGates: [String]
  /// The pod is over, whatever its containers say: deleted, evicted or past its deadline.
  var isTerminating = false
  /// `phase`, `reason` and `message` of a pod that the node ended.
  var failure: (phase: String, reason: String, message: String)?
  /// How the pod was reported to have ended.
  var endedPhase: String?
  /// `metadata.generation`.
  var generation: Int64?
  /// The status that the API or the record on disk has: transition times and foreign conditions come from there.
  var previous: JSON
}

extension PodStatusInput.Terminated {
  /// As a container's status has it; `nil` without an exit code.
  init?(status json: JSON?) {
    guard let json, let exitCode = json["exitCode"]?.int else { return nil }
    self.init(
      exitCode: Int32(clamping: exitCode), reason: json["reason"]?.string ?? "",
      message: json["message"]?.string ?? "",
      startedAt: json["startedAt"]?.string.flatMap { Timestamp(rfc3339: $0) },
      finishedAt: json["finishedAt"]?.string.flatMap { Timestamp(rfc3339: $0) },
      containerID: json["containerID"]?.string ?? "")
  }
}

/// Makes a pod's status as kubelet reports it (`pkg/kubelet/status/generate.go`, `kubelet_pods.go`). Pure.
enum PodStatusBuilder {
  static func build(_ input: PodStatusInput) -> JSON {
    // A pod that has ended stays ended, as it ended, whatever anybody writes.
    let phase =
      input.endedPhase ?? endedPhase(of: input.previous) ?? input.failure?.phase ?? Self.phase(of: input)

    var status: JSON = [:]
    if let generation = input.generation { status["observedGeneration"] = .int(generation) }
    status["phase"] = .string(phase)
    status["conditions"] = .array(conditions(input, phase: phase))
    if let failure = input.failure {
      if !failure.message.isEmpty { status["message"] = .string(failure.message) }
      if !failure.reason.isEmpty { status["reason"] = .string(failure.reason) }
    }
    if let first = input.hostIPs.first {
      status["hostIP"] = .string(first)
      status["hostIPs"] = .array(input.hostIPs.map { ["ip": .string($0)] })
    }
    if let first = input.podIPs.first {
      status["podIP"] = .string(first)
      status["podIPs"] = .array(input.podIPs.map { ["ip": .string($0)] })
    }
    status["startTime"] = .string(input.startTime.rfc3339)
    let initial = input.containers.filter { $0.role != .main }
    if !initial.isEmpty { status["initContainerStatuses"] = .array(initial.map(json)) }
    let main = input.containers.filter { $0.role == .main }
    if !main.isEmpty { status["containerStatuses"] = .array(main.map(json)) }
    if let quality = input.previous["qosClass"] { status["qosClass"] = quality }
    return status
  }

  /// How a pod with this status has ended; `nil` when it has not.
  static func endedPhase(of status: JSON?) -> String? {
    let phase = status?["phase"]?.string
    return phase == "Succeeded" || phase == "Failed" ? phase : nil
  }

  private static func isReady(_ container: PodStatusInput.Container) -> Bool {
    switch container.state {
    case .running: container.role != .initialization && container.isStarted && container.isReady
    case .terminated(let end): container.role == .initialization && end.exitCode == 0
    case .waiting: false
    }
  }

  private static func json(_ container: PodStatusInput.Container) -> JSON {
    var isRunning = false
    if case .running = container.state { isRunning = true }
    var json: JSON = [
      "name": .string(container.name), "state": container.state.json,
      "lastState": container.last.map { ["terminated": $0.json] } ?? [:],
      "ready": .bool(isReady(container)), "restartCount": .int(Int64(container.restartCount)),
      "image": .string(container.image), "imageID": .string(container.imageID),
    ]
    if !container.containerID.isEmpty { json["containerID"] = .string(container.containerID) }
    json["started"] = .bool(isRunning && container.isStarted)
    if let user = container.user { json["user"] = ["linux": user.json] }
    return json
  }

  // MARK: - Phase

  /// `getPhase` in `pkg/kubelet/kubelet_pods.go`.
  static func phase(of input: PodStatusInput) -> String {
    var pendingInit = 0
    var failedInit = 0
    for container in input.containers where container.role != .main {
      switch container.state {
      case .running:
        if container.role == .initialization || !container.isStarted { pendingInit += 1 }
      case .terminated(let end):
        if container.role == .initialization, end.exitCode != 0 { failedInit += 1 }
      case .waiting:
        if container.role == .initialization, let last = container.last, last.exitCode != 0 {
          failedInit += 1
        } else {
          pendingInit += 1
        }
      }
    }
    var running = 0
    var waiting = 0
    var stopped = 0
    var succeeded = 0
    for container in input.containers where container.role == .main {
      switch container.state {
      case .running: running += 1
      case .terminated(let end):
        stopped += 1
        if end.exitCode == 0 { succeeded += 1 }
      case .waiting where container.isBeingReplaced: running += 1
      case .waiting: if container.hasRun { stopped += 1 } else { waiting += 1 }
      }
    }
    // Main containers that have started prove that initialization is over, also when a sidecar is down for a moment.
    if running + stopped > 0, waiting == 0 { pendingInit = 0 }
    let restarts = input.isTerminating ? .never : input.restartPolicy
    if failedInit > 0, restarts == .never { return "Failed" }
    if pendingInit > 0 || failedInit > 0 && running + stopped == 0 { return "Pending" }
    if waiting > 0 { return stopped > 0 || running > 0 && input.isTerminating ? "Running" : "Pending" }
    if running > 0 { return "Running" }
    guard stopped > 0 else { return "Pending" }
    if restarts == .always { return "Running" }
    if stopped == succeeded { return "Succeeded" }
    return restarts == .never ? "Failed" : "Running"
  }

  // MARK: - Conditions

  private struct Condition {
    var type: String
    var isTrue: Bool
    var reason = ""
    var message = ""
  }

  private static func conditions(_ input: PodStatusInput, phase: String) -> [JSON] {
    let conditions = [
      Condition(type: "PodReadyToStartContainers", isTrue: input.isSandboxReady),
      initialized(input, phase: phase),
      ready(input, phase: phase),
      containersReady(input, phase: phase),
      Condition(type: "PodScheduled", isTrue: true),
    ]
    return conditions.map { json($0, input) }
  }

  /// The transition time changes with the status only.
  private static func json(_ condition: Condition, _ input: PodStatusInput) -> JSON {
    let status = condition.isTrue ? "True" : "False"
    let old = input.previous["conditions"]?.array?.first { $0["type"]?.string == condition.type }
    var transition: JSON = .string(input.now.rfc3339)
    if let old, old["status"]?.string == status, let time = old["lastTransitionTime"], !time.isNull {
      transition = time
    }
    var json: JSON = ["type": .string(condition.type), "status": .string(status), "lastProbeTime": .null]
    json["lastTransitionTime"] = transition
    // A strategic merge keeps what is not named: what was there and no longer holds is taken away.
    if !condition.reason.isEmpty {
      json["reason"] = .string(condition.reason)
    } else if old?["reason"] != nil {
      json["reason"] = .null
    }
    if !condition.message.isEmpty {
      json["message"] = .string(condition.message)
    } else if old?["message"] != nil {
      json["message"] = .null
    }
    if let generation = input.generation { json["observedGeneration"] = .int(generation) }
    return json
  }

  private static func initialized(_ input: PodStatusInput, phase: String) -> Condition {
    var incomplete: [String] = []
    for container in input.containers where container.role != .main {
      switch container.role {
      case .sidecar: if !container.isStarted && phase == "Pending" { incomplete.append(container.name) }
      default: if !isReady(container) { incomplete.append(container.name) }
      }
    }
    if phase == "Succeeded" { return Condition(type: "Initialized", isTrue: true, reason: "PodCompleted") }
    // Once main containers run, the records of init containers may be gone.
    let mainRuns = input.containers.contains { container in
      guard container.role == .main else { return false }
      if case .waiting = container.state { return container.hasRun }
      return true
    }
    if incomplete.isEmpty || mainRuns { return Condition(type: "Initialized", isTrue: true) }
    return Condition(
      type: "Initialized", isTrue: false, reason: "ContainersNotInitialized",
      message: "containers with incomplete status: [\(incomplete.joined(separator: " "))]")
  }

  private static func containersReady(_ input: PodStatusInput, phase: String) -> Condition {
    if phase == "Succeeded" {
      return Condition(type: "ContainersReady", isTrue: false, reason: "PodCompleted")
    }
    if phase == "Failed" { return Condition(type: "ContainersReady", isTrue: false, reason: "PodFailed") }
    let unready = input.containers.filter { $0.role != .initialization && !isReady($0) }.map(\.name)
    if unready.isEmpty { return Condition(type: "ContainersReady", isTrue: true) }
    return Condition(
      type: "ContainersReady", isTrue: false, reason: "ContainersNotReady",
      message: "containers with unready status: [\(unready.joined(separator: " "))]")
  }

  private static func ready(_ input: PodStatusInput, phase: String) -> Condition {
    var condition = containersReady(input, phase: phase)
    condition.type = "Ready"
    guard condition.isTrue else { return condition }
    var messages: [String] = []
    for gate in input.readinessGates {
      let found = input.previous["conditions"]?.array?.first { $0["type"]?.string == gate }
      if let found {
        let status = found["status"]?.string ?? ""
        if status != "True" {
          messages.append("the status of pod readiness gate \"\(gate)\" is not \"True\", but \(status)")
        }
      } else {
        messages.append("corresponding condition of pod readiness gate \"\(gate)\" does not exist.")
      }
    }
    if messages.isEmpty { return condition }
    return Condition(
      type: "Ready", isTrue: false, reason: "ReadinessGatesNotReady", message: messages.joined(separator: ", "))
  }

  // MARK: - Change

  /// Whether a pod's status may follow another one that this node made: ended is ended, and restarts only grow.
  static func mayFollow(_ status: JSON, _ earlier: JSON) -> Bool {
    if let ended = endedPhase(of: earlier), ended != status["phase"]?.string { return false }
    for list in ["initContainerStatuses", "containerStatuses"] {
      for container in status[list]?.array ?? [] {
        let before = earlier[list]?.array?.first { $0["name"] == container["name"] }
        if let count = before?["restartCount"]?.int, count > container["restartCount"]?.int ?? 0 { return false }
      }
    }
    return true
  }

  /// Whether writing `status` over `current` would change something: members that `status` does not name, and
  /// conditions of other types, do not count.
  static func differs(_ status: JSON, from current: JSON) -> Bool {
    for (key, value) in status.object?.members ?? [] {
      if key == "conditions" {
        for condition in value.array ?? [] {
          let type = condition["type"]?.string
          guard let other = current["conditions"]?.array?.first(where: { $0["type"]?.string == type }) else {
            return true
          }
          for (name, part) in condition.object?.members ?? [] where (other[name] ?? .null) != part { return true }
        }
      } else if (current[key] ?? .null) != value {
        return true
      }
    }
    return false
  }
}
