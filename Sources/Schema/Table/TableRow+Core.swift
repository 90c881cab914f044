import Wire

extension TableRow {
  var pod: [String: JSON] {
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

  var node: [String: JSON] {
    let conditions = status["conditions"]?.array ?? []
    var states: [String] = []
    if let ready = conditions.first(where: { $0["type"]?.string == "Ready" }) {
      states.append(ready["status"]?.string == "True" ? "Ready" : "NotReady")
    } else {
      states.append("Unknown")
    }
    if spec["unschedulable"]?.bool == true { states.append("SchedulingDisabled") }
    let roles = (object.at("metadata", "labels")?.object?.members ?? []).compactMap { label -> String? in
      label.key.hasPrefix("node-role.kubernetes.io/") ? String(label.key.dropFirst(24)) : nil
    }.sorted()
    func address(_ type: String) -> JSON {
      text((status["addresses"]?.array ?? []).first { $0["type"]?.string == type }?["address"])
    }
    let info = status["nodeInfo"]
    return [
      "Status": .string(states.joined(separator: ",")),
      "Roles": .string(roles.isEmpty ? "<none>" : roles.joined(separator: ",")),
      "Version": text(info?["kubeletVersion"], or: ""), "Internal-IP": address("InternalIP"),
      "External-IP": address("ExternalIP"), "OS-Image": text(info?["osImage"], or: "<unknown>"),
      "Kernel-Version": text(info?["kernelVersion"], or: "<unknown>"),
      "Container-Runtime": text(info?["containerRuntimeVersion"], or: "<unknown>"),
    ]
  }

  var service: [String: JSON] {
    let type = spec["type"]?.string ?? "ClusterIP"
    let ports = (spec["ports"]?.array ?? []).map { port in
      let node = count(port["nodePort"])
      return "\(count(port["port"]))\(node > 0 ? ":\(node)" : "")/\(port["protocol"]?.string ?? "TCP")"
    }
    let external = (spec["externalIPs"]?.array ?? []).compactMap(\.string)
    let ingress = (status.at("loadBalancer", "ingress")?.array ?? []).compactMap {
      $0["ip"]?.string ?? $0["hostname"]?.string
    }
    let externalText =
      switch type {
      case "ExternalName": spec["externalName"]?.string ?? ""
      case "LoadBalancer" where ingress.isEmpty && external.isEmpty: "<pending>"
      case "LoadBalancer": (ingress + external).joined(separator: ",")
      default: external.isEmpty ? "<none>" : external.joined(separator: ",")
      }
    let selected = labels(spec["selector"])
    return [
      "Type": .string(type), "Cluster-IP": text(spec["clusterIP"]), "External-IP": .string(externalText),
      "Port(s)": .string(ports.isEmpty ? "<none>" : ports.joined(separator: ",")),
      "Selector": .string(selected.isEmpty ? "<none>" : selected.joined(separator: ",")),
    ]
  }

  var endpointsText: String {
    var found: [String] = []
    for subset in object["subsets"]?.array ?? [] {
      for address in subset["addresses"]?.array ?? [] {
        let ip = address["ip"]?.string ?? ""
        let ports = subset["ports"]?.array ?? []
        found += ports.isEmpty ? [ip] : ports.map { "\(ip):\(count($0["port"]))" }
      }
    }
    return shortened(found)
  }

  /// The first three, and how many more there are.
  func shortened(_ items: [String]) -> String {
    if items.isEmpty { return "<none>" }
    if items.count <= 3 { return items.joined(separator: ",") }
    return items[..<3].joined(separator: ",") + " + \(items.count - 3) more..."
  }

  var endpointSlice: [String: JSON] {
    let ports = (object["ports"]?.array ?? []).map { text($0["port"], or: "<unset>").string ?? "" }
    let addresses = (object["endpoints"]?.array ?? []).flatMap { $0["addresses"]?.array ?? [] }.compactMap(\.string)
    return [
      "AddressType": text(object["addressType"]),
      "Ports": .string(ports.isEmpty ? "<unset>" : shortened(ports)),
      "Endpoints": .string(addresses.isEmpty ? "<unset>" : shortened(addresses)),
    ]
  }

  var event: [String: JSON] {
    let target = object["involvedObject"] ?? object["regarding"]
    // The two groups that serve events call some fields differently.
    func either(_ name: String, _ other: String) -> JSON? { object[name] ?? object[other] }
    let first = either("firstTimestamp", "deprecatedFirstTimestamp")?.string ?? object["eventTime"]?.string
    let last =
      object.at("series", "lastObservedTime")?.string ?? either("lastTimestamp", "deprecatedLastTimestamp")?.string
      ?? object["eventTime"]?.string
    let source = either("source", "deprecatedSource")
    let component =
      source?["component"]?.string ?? either("reportingComponent", "reportingController")?.string ?? ""
    let host = source?["host"]?.string ?? ""
    let seen = object.at("series", "count")?.int ?? either("count", "deprecatedCount")?.int ?? 1
    return [
      "Last Seen": .string(since(last)), "First Seen": .string(since(first)), "Type": text(object["type"], or: ""),
      "Reason": text(object["reason"], or: ""),
      "Object": .string("\((target?["kind"]?.string ?? "").lowercased())/\(target?["name"]?.string ?? "")"),
      "Subobject": text(target?["fieldPath"], or: ""),
      "Source": .string(host.isEmpty ? component : "\(component), \(host)"),
      "Message": .string(
        (object["message"]?.string ?? object["note"]?.string ?? "").replacing("\n", with: " ")),
      "Count": .string("\(seen)"),
    ]
  }

  var claim: [String: JSON] {
    let isTerminating = object.at("metadata", "deletionTimestamp") != nil
    return [
      "Status": isTerminating ? "Terminating" : text(status["phase"]), "Volume": text(spec["volumeName"], or: ""),
      "Capacity": text(status.at("capacity", "storage"), or: ""),
      "Access Modes": .string(accessModes(status["accessModes"])),
      "StorageClass": text(spec["storageClassName"], or: ""),
      "VolumeAttributesClass": text(spec["volumeAttributesClassName"], or: "<unset>"),
      "VolumeMode": text(spec["volumeMode"], or: "Filesystem"),
    ]
  }

  var volume: [String: JSON] {
    let claim = spec["claimRef"]
    let isTerminating = object.at("metadata", "deletionTimestamp") != nil
    return [
      "Capacity": text(spec.at("capacity", "storage"), or: ""),
      "Access Modes": .string(accessModes(spec["accessModes"])),
      "Reclaim Policy": text(spec["persistentVolumeReclaimPolicy"], or: ""),
      "Status": isTerminating ? "Terminating" : text(status["phase"]),
      "Claim": .string(claim.map { "\($0["namespace"]?.string ?? "")/\($0["name"]?.string ?? "")" } ?? ""),
      "StorageClass": text(spec["storageClassName"], or: ""), "Reason": text(status["reason"], or: ""),
      "VolumeAttributesClass": text(spec["volumeAttributesClassName"], or: "<unset>"),
      "VolumeMode": text(spec["volumeMode"], or: "Filesystem"),
    ]
  }

  private func accessModes(_ modes: JSON?) -> String {
    (modes?.array ?? []).compactMap(\.string).map {
      switch $0 {
      case "ReadWriteOnce": "RWO"
      case "ReadOnlyMany": "ROX"
      case "ReadWriteMany": "RWX"
      case "ReadWriteOncePod": "RWOP"
      default: $0
      }
    }.joined(separator: ",")
  }
}
