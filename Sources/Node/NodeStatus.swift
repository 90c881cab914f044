import KubeTypes
import OCI
import Wire

/// Builds the Node object and its status. Pure.
struct NodeStatusBuilder: Sendable {
  let configuration: NodeConfiguration
  let facts: MachineFacts

  /// Names of images that the status lists; as kubelet.
  static let imagesMax = 50

  /// Labels that the node keeps on its object.
  var labels: [String: String] {
    [
      "kubernetes.io/hostname": configuration.name, "kubernetes.io/os": "linux",
      "kubernetes.io/arch": facts.architecture, "beta.kubernetes.io/os": "linux",
      "beta.kubernetes.io/arch": facts.architecture,
    ]
  }

  /// What the API server needs to create the Node.
  var object: JSON {
    let labels = labels.sorted { $0.key < $1.key }.map { (key: $0.key, value: JSON.string($0.value)) }
    return [
      "apiVersion": "v1", "kind": "Node",
      "metadata": ["name": .string(configuration.name), "labels": .object(JSONObject(uniqueMembers: labels))],
      "spec": ranges,
    ]
  }

  /// The ranges of the node's pods, as its specification tells them.
  var ranges: JSON {
    let all = configuration.podCIDRs.map { JSON.string($0) }
    return ["podCIDR": all.first ?? .null, "podCIDRs": .array(all)]
  }

  var capacity: [String: Quantity] {
    var capacity = facts.capacity
    capacity["pods"] = Quantity(Int64(configuration.maxPods))
    return capacity
  }

  /// - Parameters:
  ///   - problem: why the node cannot run pods; `nil` when it can.
  ///   - previous: the status in the API: times of transitions come from there.
  func status(now: Timestamp, pressure: Pressure, problem: String?, images: [OCI.Image], previous: JSON) -> JSON {
    let amounts = Self.quantities(capacity)
    func condition(_ type: String, _ isTrue: Bool, _ reason: String, _ message: String) -> JSON {
      let status = isTrue ? "True" : "False"
      let old = previous["conditions"]?.array?.first { $0["type"]?.string == type }
      var transition: JSON = .string(now.rfc3339)
      if old?["status"]?.string == status, let time = old?["lastTransitionTime"] { transition = time }
      return [
        "type": .string(type), "status": .string(status), "lastHeartbeatTime": .string(now.rfc3339),
        "lastTransitionTime": transition, "reason": .string(reason), "message": .string(message),
      ]
    }
    let conditions: [JSON] = [
      condition(
        "MemoryPressure", pressure.memory,
        pressure.memory ? "KubeletHasInsufficientMemory" : "KubeletHasSufficientMemory",
        pressure.memory ? "kubelet has insufficient memory available" : "kubelet has sufficient memory available"),
      condition(
        "DiskPressure", pressure.disk, pressure.disk ? "KubeletHasDiskPressure" : "KubeletHasNoDiskPressure",
        pressure.disk ? "kubelet has disk pressure" : "kubelet has no disk pressure"),
      condition(
        "PIDPressure", pressure.processes,
        pressure.processes ? "KubeletHasInsufficientPID" : "KubeletHasSufficientPID",
        pressure.processes ? "kubelet has insufficient PID available" : "kubelet has sufficient PID available"),
      condition(
        "Ready", problem == nil, problem == nil ? "KubeletReady" : "KubeletNotReady",
        problem ?? "kubelet is posting ready status"),
    ]
    let largest = images.sorted { $0.size > $1.size }.prefix(Self.imagesMax)
    let imageList: [JSON] = largest.map { image in
      let names = image.names.isEmpty ? [image.digest.description] : image.names
      return ["names": .array(names.map { .string($0) }), "sizeBytes": .int(image.size)]
    }
    let handlers: [JSON] = configuration.runtimeHandlers.map { handler in ["name": .string(handler)] }
    var status: JSON = [
      "capacity": amounts, "allocatable": amounts, "conditions": .array(conditions),
      "addresses": .array(
        configuration.nodeIPs.map { ["type": "InternalIP", "address": .string($0)] }
          + [["type": "Hostname", "address": .string(configuration.name)]]),
      "nodeInfo": [
        "machineID": .string(facts.machineID), "systemUUID": .string(facts.machineID), "bootID": .string(facts.bootID),
        "kernelVersion": .string(facts.kernelVersion), "osImage": .string(facts.osImage),
        "containerRuntimeVersion": .string("\(configuration.runtimeName)://\(configuration.runtimeVersion)"),
        "kubeletVersion": .string(configuration.version), "kubeProxyVersion": .string(configuration.version),
        "operatingSystem": "linux", "architecture": .string(facts.architecture),
      ],
      "images": .array(imageList),
      "runtimeHandlers": .array(handlers),
      "features": ["supplementalGroupsPolicy": true],
    ]
    if configuration.kubeletPort > 0 {
      status["daemonEndpoints"] = ["kubeletEndpoint": ["Port": .int(Int64(configuration.kubeletPort))]]
    }
    return status
  }

  static func quantities(_ amounts: [String: Quantity]) -> JSON {
    .object(
      JSONObject(
        uniqueMembers: amounts.sorted { $0.key < $1.key }.map { entry in
          // Memory is shown in Ki, as everybody expects it.
          let isKibi = entry.key == "memory" || entry.key == "ephemeral-storage"
          let text = isKibi && entry.value.value % 1024 == 0 ? "\(entry.value.value / 1024)Ki" : entry.value.description
          return (key: entry.key, value: .string(text))
        }))
  }

  /// Whether something other than heartbeats changed.
  static func differs(_ status: JSON, from previous: JSON) -> Bool {
    for (key, value) in status.object?.members ?? [] {
      guard key == "conditions" else {
        if previous[key] != value && !(value.array?.isEmpty == true && previous[key] == nil) { return true }
        continue
      }
      for condition in value.array ?? [] {
        let type = condition["type"]?.string
        let old = previous["conditions"]?.array?.first { $0["type"]?.string == type }
        for name in ["status", "reason", "message"] where old?[name] != condition[name] { return true }
      }
    }
    return false
  }
}
