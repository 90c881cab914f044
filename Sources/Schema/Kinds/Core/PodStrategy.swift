import Wire

extension KindStrategy {
  static let pod = KindStrategy(
    .core("Pod"), defaults: Defaults.pod, validate: { $0.pod($1, old: $2) },
    // Pods are updated often, and seldom by people.
    warn: { if $2 == nil { $0.pod($1, .root) } }, cells: { $0.pod },
    selectableFields: [
      "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
      SelectableField("spec.hostNetwork", absent: "false"), "status.phase", "status.podIP", "status.nominatedNodeName",
    ],
    gracePeriod: { pod, asked in
      let phase = pod.at("status", "phase")?.string
      let isBound = pod.at("spec", "nodeName")?.string?.isEmpty == false
      // Nothing runs that would need the time.
      if !isBound || phase == "Succeeded" || phase == "Failed" { return 0 }
      return asked ?? pod.at("spec", "terminationGracePeriodSeconds")?.int ?? 30
    }, returnsDeleted: true)
}

extension Defaults {
  /// Those of a pod template, and what only a pod itself gets.
  fileprivate static func pod(_ pod: inout JSON) {
    pod.modifyOrMake("spec") { spec in
      for list in ["initContainers", "containers"] {
        spec.modifyElements(list) { container in
          container.modify("resources", requestsFromLimits)
        }
      }
      spec.setDefault("enableServiceLinks", true)
      podSpec(&spec)
    }
  }

  /// A container that says what it may use at most, and not what it needs, needs as much.
  private static func requestsFromLimits(_ resources: inout JSON) {
    let limits = resources.members("limits")
    guard !limits.isEmpty else { return }
    resources.modifyOrMake("requests") { requests in
      for limit in limits { requests.setDefault(limit.key, limit.value) }
    }
  }
}

extension Validator {
  /// A pod; `old` is the stored one.
  fileprivate mutating func pod(_ pod: JSON, old: JSON?) {
    let path = FieldPath.of("spec")
    guard let spec = pod["spec"] else { return required(path) }
    podSpec(spec, path)
    if let old, subresource.isEmpty { podUpdate(pod, old, path) }
    if old == nil, !pod.isAbsentOrEmptyBelow("spec", "ephemeralContainers") {
      forbidden(path["ephemeralContainers"], "cannot be set on create")
    }
    if subresource == "status" { podAddresses(pod["status"], old: old) }
  }

  /// The addresses that a node reports for a pod: Services would lead to them.
  private mutating func podAddresses(_ status: JSON?, old: JSON?) {
    let path = FieldPath.of("status", "podIPs")
    let before = old?["status"]
    lazy var known = KnownAddresses(
      list: (before?["podIPs"]?.array ?? []) + [["ip": before?["podIP"] ?? .null]], "ip")
    let list = status?["podIPs"]?.array ?? []
    for (index, item) in list.enumerated() { translated(path[index]["ip"], item.text("ip"), known: known) }
    let first = status?.text("podIP") ?? ""
    if list.isEmpty, !first.isEmpty { translated(.of("status", "podIP"), first, known: known) }
  }

  // MARK: Updates

  private static let podUpdateDetail =
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    + "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    + "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"

  private mutating func podUpdate(_ pod: JSON, _ old: JSON, _ path: FieldPath) {
    guard var new = pod["spec"], let old = old["spec"] else { return }
    for list in ["containers", "initContainers"] {
      let count = (new.elements(list).count, old.elements(list).count)
      if count.0 != count.1 {
        return forbidden(path[list], "pod updates may not add or remove containers")
      }
      let images = old.elements(list).map { $0["image"] }
      var index = 0
      new.modifyElements(list) { container in
        if container.text("image").isEmpty { return }
        container["image"] = images[index]
        index += 1
      }
    }
    if let deadline = old["activeDeadlineSeconds"] {
      if let seconds = new["activeDeadlineSeconds"]?.int {
        if seconds > deadline.int ?? 0 {
          invalid(
            path["activeDeadlineSeconds"], .int(seconds),
            "must be less than or equal to previous value: \(deadline.int ?? 0)")
        }
      } else {
        invalid(path["activeDeadlineSeconds"], .null, "must not update from a positive integer to nil value")
      }
    }
    new["activeDeadlineSeconds"] = old["activeDeadlineSeconds"]
    tolerations(&new, old, path["tolerations"])
    if old["terminationGracePeriodSeconds"]?.int ?? 0 < 0, new["terminationGracePeriodSeconds"]?.int == 1 {
      new["terminationGracePeriodSeconds"] = old["terminationGracePeriodSeconds"]
    }
    let gates = (new.elements("schedulingGates"), old.elements("schedulingGates"))
    if !gates.1.isEmpty {
      if gates.0.contains(where: { !gates.1.contains($0) }) {
        forbidden(path["schedulingGates"], "only deletion is allowed, but found new scheduling gate")
      }
      // A pod that waits at a gate may still be told where to go.
      for field in ["schedulingGates", "nodeSelector", "affinity"] { new[field] = old[field] }
    }
    guard new != old else { return }
    let names = Set((new.object?.keys ?? []) + (old.object?.keys ?? []))
    let changed = names.filter { new[$0] != old[$0] }.sorted().map { "spec.\($0)" }.joined(separator: ", ")
    forbidden(path, "\(Self.podUpdateDetail); changed: \(changed)")
  }

  private mutating func tolerations(_ new: inout JSON, _ old: JSON, _ path: FieldPath) {
    let before = old.elements("tolerations")
    let after = new.elements("tolerations")
    // Only the time may change in a toleration that is there.
    func identity(_ toleration: JSON) -> JSON {
      var toleration = toleration
      toleration["tolerationSeconds"] = nil
      return toleration
    }
    let kept = after.map(identity)
    if before.contains(where: { !kept.contains(identity($0)) }) {
      forbidden(path, "existing toleration can not be modified except its tolerationSeconds")
    }
    new["tolerations"] = old["tolerations"]
  }
}

extension TableRow {
  fileprivate var pod: [String: JSON] {
    let statuses = (status["containerStatuses"]?.array ?? []) + sidecarStatuses
    let ready = statuses.filter { $0["ready"]?.bool == true }.count
    let (reason, restarts, lastRestart) = podSummary
    var restartsText = "\(restarts)"
    if restarts > 0, let lastRestart { restartsText += " (\(since(lastRestart)) ago)" }
    let gates = spec["readinessGates"]?.array ?? []
    let conditions = status["conditions"]?.array ?? []
    let passed = gates.filter { gate in
      conditions.contains { $0["type"] == gate["conditionType"] && $0["status"]?.string == "True" }
    }.count
    return [
      "Ready": .string("\(ready)/\((spec["containers"]?.array ?? []).count + sidecars.count)"),
      "Status": .string(reason),
      "Restarts": .string(restartsText), "IP": text(status["podIP"]), "Node": text(spec["nodeName"]),
      "Nominated Node": text(status["nominatedNodeName"]),
      "Readiness Gates": .string(gates.isEmpty ? "<none>" : "\(passed)/\(gates.count)"),
    ]
  }

  /// Init containers that run beside the others (`restartPolicy: Always`).
  private var sidecars: [JSON] {
    (spec["initContainers"]?.array ?? []).filter { $0["restartPolicy"]?.string == "Always" }
  }

  private var sidecarStatuses: [JSON] {
    let names = sidecars.map { $0["name"] }
    return (status["initContainerStatuses"]?.array ?? []).filter { names.contains($0["name"]) }
  }

  /// What the STATUS column says, how often containers were restarted, and when the last one ended.
  private var podSummary: (reason: String, restarts: Int64, lastRestart: String?) {
    var reason = status["reason"]?.string ?? status["phase"]?.string ?? "Unknown"
    let isGated = status["conditions"]?.array?.contains {
      $0["type"]?.string == "PodScheduled" && $0["reason"]?.string == "SchedulingGated"
    }
    if isGated == true { reason = "SchedulingGated" }
    var restarts: Int64 = 0
    var lastRestart: String?
    func note(_ container: JSON) {
      restarts += count(container["restartCount"])
      if let finished = container.at("lastState", "terminated", "finishedAt")?.string {
        lastRestart = max(lastRestart ?? "", finished)
      }
    }
    func ended(_ terminated: JSON) -> String {
      if let reason = terminated["reason"]?.string, !reason.isEmpty { return reason }
      let signal = count(terminated["signal"])
      return signal != 0 ? "Signal:\(signal)" : "ExitCode:\(count(terminated["exitCode"]))"
    }

    var isInitializing = false
    let initStatuses = status["initContainerStatuses"]?.array ?? []
    let initCount = spec["initContainers"]?.array?.count ?? 0
    for (index, container) in initStatuses.enumerated() {
      note(container)
      let isSidecar = sidecars.contains { $0["name"] == container["name"] }
      if let terminated = container.at("state", "terminated") {
        if count(terminated["exitCode"]) == 0 { continue }
        reason = "Init:" + ended(terminated)
      } else if isSidecar, container["started"]?.bool == true {
        continue
      } else if let waiting = container.at("state", "waiting", "reason")?.string, waiting != "PodInitializing" {
        reason = "Init:" + waiting
      } else {
        reason = "Init:\(index)/\(initCount)"
      }
      isInitializing = true
      break
    }
    // What became of sidecars after the pod's initialization does not hide what became of the pod.
    let isInitialized = (status["conditions"]?.array ?? []).contains {
      $0["type"]?.string == "Initialized" && $0["status"]?.string == "True"
    }
    if !isInitializing || isInitialized {
      restarts = 0
      lastRestart = nil
      var hasRunning = false
      for container in (status["containerStatuses"]?.array ?? []).reversed() {
        note(container)
        if let waiting = container.at("state", "waiting", "reason")?.string, !waiting.isEmpty {
          reason = waiting
        } else if let terminated = container.at("state", "terminated") {
          reason = ended(terminated)
        } else if container["ready"]?.bool == true, container.at("state", "running") != nil {
          hasRunning = true
        }
      }
      for container in sidecarStatuses { note(container) }
      // One container has ended while others run on.
      if reason == "Completed", hasRunning {
        let isReady = (status["conditions"]?.array ?? []).contains {
          $0["type"]?.string == "Ready" && $0["status"]?.string == "True"
        }
        reason = isReady ? "Running" : "NotReady"
      }
    }
    if object.at("metadata", "deletionTimestamp") != nil {
      if status["reason"]?.string == "NodeLost" {
        reason = "Unknown"
      } else if status["phase"]?.string != "Failed", status["phase"]?.string != "Succeeded" {
        reason = "Terminating"
      }
    }
    return (reason, restarts, lastRestart)
  }
}
