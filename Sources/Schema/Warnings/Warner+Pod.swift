import Wire

extension Warner {
  private static let bytes = ["memory", "ephemeral-storage"]
  private static let lists = ["initContainers", "containers", "ephemeralContainers"]

  /// A pod or a pod template, which stands at the path.
  mutating func pod(_ pod: JSON, _ path: FieldPath) {
    let spec = pod["spec"] ?? [:]
    let here = path["spec"]
    outdated(pod, spec, path)
    volumes(spec, here)
    doubles(spec.elements("hostAliases"), "ip", here["hostAliases"])
    let secrets = spec.elements("imagePullSecrets")
    doubles(secrets, "name", here["imagePullSecrets"])
    for (index, secret) in secrets.enumerated() where secret.text("name").isEmpty {
      warn(here["imagePullSecrets"][index]["name"], "invalid empty name \"\"")
    }
    wholeBytes(spec["overhead"], Self.bytes, here["overhead"])
    for list in Self.lists {
      for (index, container) in spec.elements(list).enumerated() {
        for amounts in ["limits", "requests"] {
          wholeBytes(
            container.at("resources", amounts), Self.bytes, here[list][index]["resources"][amounts])
        }
        variables(container.elements("env"), here[list][index]["env"])
      }
    }
    ports(spec, here)
    if let grace = spec["terminationGracePeriodSeconds"]?.int, grace < 0 {
      warn(
        here["terminationGracePeriodSeconds"], "must be >= 0; negative values are invalid and will be treated as 1")
    }
    selectors(spec, here)
  }

  // MARK: What no longer works

  private static let outdatedAnnotations = [
    "scheduler.alpha.kubernetes.io/critical-pod":
      "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    "security.alpha.kubernetes.io/sysctls": "non-functional in v1.11+; use the \"sysctls\" field instead",
    "security.alpha.kubernetes.io/unsafe-sysctls": "non-functional in v1.11+; use the \"sysctls\" field instead",
  ]
  private static let seccomp = "seccomp.security.alpha.kubernetes.io/pod"
  private static let seccompPrefix = "container.seccomp.security.alpha.kubernetes.io/"
  private static let outdatedLabels = [
    "beta.kubernetes.io/arch": "deprecated since v1.14; use \"kubernetes.io/arch\" instead",
    "beta.kubernetes.io/os": "deprecated since v1.14; use \"kubernetes.io/os\" instead",
    "failure-domain.beta.kubernetes.io/region": "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    "failure-domain.beta.kubernetes.io/zone": "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    "beta.kubernetes.io/instance-type": "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
  ]

  private mutating func outdated(_ pod: JSON, _ spec: JSON, _ path: FieldPath) {
    let notes = path["metadata"]["annotations"]
    for member in pod["metadata"]?.members("annotations") ?? [] {
      if let text = Self.outdatedAnnotations[member.key] { warn(notes[key: member.key], text) }
      let isSeccomp =
        member.key == Self.seccomp && spec.at("securityContext", "seccompProfile") == nil
        || member.key.hasPrefix(Self.seccompPrefix) && !hasSeccomp(member.key.dropFirst(Self.seccompPrefix.count), spec)
      if isSeccomp {
        warn(notes[key: member.key], "non-functional in v1.27+; use the \"seccompProfile\" field instead")
      }
    }
    for member in spec.members("nodeSelector") {
      if let text = Self.outdatedLabels[member.key] { warn(path["spec"]["nodeSelector"][key: member.key], text) }
    }
    let spread = path["spec"]["topologySpreadConstraints"]
    for (index, constraint) in spec.elements("topologySpreadConstraints").enumerated() {
      let key = constraint.text("topologyKey")
      if let text = Self.outdatedLabels[key] { warn(spread[index]["topologyKey"], "\(key) is \(text)") }
    }
  }

  private func hasSeccomp(_ container: Substring, _ spec: JSON) -> Bool {
    Self.lists.contains { list in
      spec.elements(list).contains {
        $0.text("name") == container && $0.at("securityContext", "seccompProfile") != nil
      }
    }
  }

  private static let outdatedVolumes = [
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+", "gitRepo": "deprecated in v1.11",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+", "rbd": "deprecated in v1.28, non-functional in v1.31+",
  ]

  private mutating func volumes(_ spec: JSON, _ path: FieldPath) {
    for (index, volume) in spec.elements("volumes").enumerated() {
      let here = path["volumes"][index]
      for member in volume.object?.members ?? [] {
        if let text = Self.outdatedVolumes[member.key] { warn(here[member.key], text) }
      }
      claim(
        volume.at("ephemeral", "volumeClaimTemplate", "spec"), here["ephemeral"]["volumeClaimTemplate"]["spec"])
    }
  }

  // MARK: What stands there twice

  private mutating func doubles(_ elements: [JSON], _ key: String, _ path: FieldPath) {
    var seen = Set<String>()
    for (index, element) in elements.enumerated() where !seen.insert(element.text(key)).inserted {
      warn(path[index][key], "duplicate \(key) \"\(element.text(key))\"")
    }
  }

  /// A variable may be defined again by itself (`PATH=$(PATH):/x`); any other second definition hides the first.
  private mutating func variables(_ variables: [JSON], _ path: FieldPath) {
    var seen = Set<String>()
    for (index, variable) in variables.enumerated() {
      let name = variable.text("name")
      guard !seen.insert(name).inserted else { continue }
      let itself = "$(\(name))"
      let value = variable.text("value")
      if variable.has("valueFrom") || value == itself || !value.contains(itself) {
        warn(path[index], "hides previous definition of \"\(name)\", which may be dropped when using apply")
      }
    }
  }

  private mutating func ports(_ spec: JSON, _ path: FieldPath) {
    var known: [String: [(path: FieldPath, port: JSON)]] = [:]
    for list in Self.lists {
      for (index, container) in spec.elements(list).enumerated() {
        for (position, port) in container.elements("ports").enumerated() {
          let here = path[list][index]["ports"][position]
          let host = port["hostPort"]?.int ?? 0
          if !port.text("hostIP").isEmpty, host == 0 { warn(here, "hostIP set without hostPort: \(port.text)") }
          let key = "\(port["containerPort"]?.int ?? 0)/\(port.text("protocol"))"
          let others = known[key] ?? []
          for other in others {
            if let how = Self.clash(port, other.port) { warn(here, "\(how) port definition with \(other.path)") }
          }
          // Thousands of equal ports are compared with a few only.
          if others.count < 16 { known[key, default: []].append((here, port)) }
        }
      }
    }
  }

  /// How two definitions of one container port get into each other's way.
  private static func clash(_ port: JSON, _ other: JSON) -> String? {
    let (host, otherHost) = (port["hostPort"]?.int ?? 0, other["hostPort"]?.int ?? 0)
    let (address, otherAddress) = (port.text("hostIP"), other.text("hostIP"))
    if host == otherHost, address == otherAddress { return "duplicate" }
    if host == 0 || otherHost == 0 { return "overlapping" }
    return host == otherHost && address.isEmpty != otherAddress.isEmpty ? "dangerously ambiguous" : nil
  }

  // MARK: What matches nothing

  private mutating func selectors(_ spec: JSON, _ path: FieldPath) {
    let text = "a null labelSelector results in matching no pod"
    let spread = path["topologySpreadConstraints"]
    for (index, constraint) in spec.elements("topologySpreadConstraints").enumerated()
    where !constraint.has("labelSelector") {
      warn(spread[index]["labelSelector"], text)
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
      guard let affinity = spec.at("affinity", kind) else { continue }
      let required = "requiredDuringSchedulingIgnoredDuringExecution"
      let preferred = "preferredDuringSchedulingIgnoredDuringExecution"
      let here = path["affinity"][kind]
      for (index, term) in affinity.elements(required).enumerated() where !term.has("labelSelector") {
        warn(here[required][index]["labelSelector"], text)
      }
      for (index, term) in affinity.elements(preferred).enumerated()
      where term["podAffinityTerm"]?.has("labelSelector") != true {
        warn(here[preferred][index]["podAffinityTerm"]["labelSelector"], text)
      }
    }
  }
}
