import Wire

extension Validator {
  /// A pod template of a workload.
  ///
  /// - Parameter claims: the claims that its controller adds as volumes of the same name.
  mutating func podTemplate(_ template: JSON, _ path: FieldPath, claims: [JSON] = []) {
    labels(template.at("metadata", "labels"), path["metadata"]["labels"])
    for annotation in template["metadata"]?.members("annotations") ?? [] {
      for problem in Names.qualifiedName(annotation.key.lowercased()) {
        invalid(path["metadata"]["annotations"], .string(annotation.key), problem)
      }
    }
    podSpec(template["spec"] ?? [:], path["spec"], claims: claims)
    if !template.isAbsentOrEmptyBelow("spec", "ephemeralContainers") {
      forbidden(path["spec"]["ephemeralContainers"], "ephemeral containers not allowed in pod template")
    }
  }

  mutating func podSpec(_ spec: JSON, _ path: FieldPath, claims: [JSON] = []) {
    var volumes = volumes(spec.elements("volumes"), path["volumes"])
    for claim in claims {
      if let name = claim.at("metadata", "name")?.string { volumes[name] = "persistentVolumeClaim" }
    }
    var names = Set<String>()
    let containers = spec.elements("containers")
    if containers.isEmpty { required(path["containers"]) }
    let isHostNetwork = spec["hostNetwork"]?.bool == true
    for list in ["containers", "initContainers", "ephemeralContainers"] {
      for (index, container) in spec.elements(list).enumerated() {
        let here = path[list][index]
        let name = container.text("name")
        if !name.isEmpty {
          check(here["name"], name, Names.dns1123Label)
          // The declarations check each list; here the same name stands in two lists.
          if !names.insert(name).inserted { duplicate(here["name"], .string(name)) }
        }
        self.container(
          container, here, volumes, list: list, isHostNetwork: isHostNetwork,
          gracePeriod: spec["terminationGracePeriodSeconds"]?.int ?? 30)
      }
    }
    hostPorts(containers, path["containers"])
    if spec["hostUsers"]?.bool == false {
      for shared in ["hostNetwork", "hostPID", "hostIPC"] where spec[shared]?.bool == true {
        forbidden(path[shared], "when `hostUsers` is false")
      }
    }
    podScheduling(spec, path)
    podIdentity(spec, path)
    podSecurity(spec["securityContext"] ?? [:], path["securityContext"], spec)
    operatingSystem(spec, path)
  }

  private mutating func podIdentity(_ spec: JSON, _ path: FieldPath) {
    if let deadline = spec["activeDeadlineSeconds"], let seconds = deadline.int,
      !(1...Int64(Int32.max)).contains(seconds)
    {
      invalid(path["activeDeadlineSeconds"], deadline, "must be between 1 and 2147483647, inclusive")
    }
    if let grace = spec["terminationGracePeriodSeconds"], let seconds = grace.int, seconds < 0 {
      invalid(path["terminationGracePeriodSeconds"], grace, "must be greater than or equal to 0")
    }
    for (field, rule) in [
      ("serviceAccountName", Names.dns1123Subdomain), ("nodeName", Names.dns1123Subdomain),
      ("hostname", Names.dns1123Label), ("subdomain", Names.dns1123Label),
      ("runtimeClassName", Names.dns1123Subdomain), ("priorityClassName", Names.dns1123Subdomain),
    ] as [(String, (String) -> [String])] {
      let text = spec.text(field)
      if !text.isEmpty { check(path[field], text, rule) }
    }
    if spec.text("dnsPolicy") == "None", spec["dnsConfig"]?.elements("nameservers").isEmpty ?? true {
      required(path["dnsConfig"]["nameservers"], "must provide at least one DNS nameserver when `dnsPolicy` is None")
    }
    if let config = spec["dnsConfig"] {
      let servers = config.elements("nameservers")
      if servers.count > 3 {
        invalid(path["dnsConfig"]["nameservers"], .array(servers), "must not have more than 3 nameservers")
      }
      for (index, server) in servers.enumerated() where !Names.isIPAddress(server.string ?? "") {
        invalid(path["dnsConfig"]["nameservers"][index], server, "must be valid IP address")
      }
      let searches = config.elements("searches")
      if searches.count > 32 {
        invalid(path["dnsConfig"]["searches"], .array(searches), "must not have more than 32 search paths")
      }
    }
    for (index, alias) in spec.elements("hostAliases").enumerated() {
      let here = path["hostAliases"][index]
      let address = alias.text("ip")
      if !address.isEmpty, !Names.isIPAddress(address) {
        invalid(here["ip"], .string(address), "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
      }
      for (position, name) in alias.elements("hostnames").enumerated() {
        check(here["hostnames"][position], name.string ?? "", Names.dns1123Subdomain)
      }
    }
    if spec["shareProcessNamespace"]?.bool == true, spec["hostPID"]?.bool == true {
      invalid(path["shareProcessNamespace"], true, "ShareProcessNamespace and HostPID cannot both be enabled")
    }
  }

  private mutating func podScheduling(_ spec: JSON, _ path: FieldPath) {
    labels(spec["nodeSelector"], path["nodeSelector"])
    for (index, toleration) in spec.elements("tolerations").enumerated() {
      self.toleration(toleration, path["tolerations"][index])
    }
    if !spec.elements("schedulingGates").isEmpty, !spec.text("nodeName").isEmpty {
      forbidden(path["nodeName"], "cannot be set until all schedulingGates have been cleared")
    }
    for (index, gate) in spec.elements("schedulingGates").enumerated() where !gate.text("name").isEmpty {
      check(path["schedulingGates"][index]["name"], gate.text("name"), Names.qualifiedName)
    }
    for (index, gate) in spec.elements("readinessGates").enumerated() {
      check(path["readinessGates"][index]["conditionType"], gate.text("conditionType"), Names.qualifiedName)
    }
    topologySpread(spec.elements("topologySpreadConstraints"), path["topologySpreadConstraints"])
    guard let affinity = spec["affinity"] else { return }
    let here = path["affinity"]
    let required = "requiredDuringSchedulingIgnoredDuringExecution"
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    if let node = affinity["nodeAffinity"] {
      if let selector = node[required] {
        nodeSelectorTerms(selector.elements("nodeSelectorTerms"), here["nodeAffinity"][required]["nodeSelectorTerms"])
      }
      for (index, term) in node.elements(preferred).enumerated() {
        weight(term, here["nodeAffinity"][preferred][index])
        nodeSelectorTerm(term["preference"] ?? [:], here["nodeAffinity"][preferred][index]["preference"])
      }
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
      guard let pods = affinity[kind] else { continue }
      for (index, term) in pods.elements(required).enumerated() {
        podAffinityTerm(term, here[kind][required][index])
      }
      for (index, term) in pods.elements(preferred).enumerated() {
        weight(term, here[kind][preferred][index])
        podAffinityTerm(term["podAffinityTerm"] ?? [:], here[kind][preferred][index]["podAffinityTerm"])
      }
    }
  }

  private mutating func topologySpread(_ constraints: [JSON], _ path: FieldPath) {
    var seen = Set<String>()
    for (index, constraint) in constraints.enumerated() {
      let here = path[index]
      if let skew = constraint["maxSkew"], (skew.int ?? 0) <= 0 {
        invalid(here["maxSkew"], skew, "must be greater than zero")
      }
      let action = constraint.text("whenUnsatisfiable")
      let pair = "{\(constraint.text("topologyKey")), \(action)}"
      if !seen.insert(pair).inserted { duplicate(here["{topologyKey, whenUnsatisfiable}"], .string(pair)) }
      if let domains = constraint["minDomains"] {
        if (domains.int ?? 0) <= 0 { invalid(here["minDomains"], domains, "must be greater than zero") }
        if action != "DoNotSchedule" {
          invalid(
            here["minDomains"], domains,
            "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not \(action)")
        }
      }
      labelSelector(constraint["labelSelector"], here["labelSelector"])
      let selected = Set(
        (constraint["labelSelector"]?.members("matchLabels").map(\.key) ?? [])
          + (constraint["labelSelector"]?.elements("matchExpressions").map { $0.text("key") } ?? []))
      for (position, key) in constraint.elements("matchLabelKeys").enumerated() {
        check(here["matchLabelKeys"][position], key.string ?? "", Names.qualifiedName)
        if selected.contains(key.string ?? "") {
          invalid(here["matchLabelKeys"][position], key, "exists in both matchLabelKeys and labelSelector")
        }
      }
    }
  }

  /// What a pod of one operating system may not ask for.
  private mutating func operatingSystem(_ spec: JSON, _ path: FieldPath) {
    let system = spec.at("os", "name")?.string ?? ""
    guard !system.isEmpty else { return }
    guard system == "linux" || system == "windows" else {
      return notSupported(path["os"]["name"], .string(system), ["linux", "windows"])
    }
    let isLinux = system == "linux"
    func refused(_ context: JSON?, _ fields: [String]) -> [String] {
      isLinux ? ["windowsOptions"].filter { context?.has($0) == true } : fields.filter { context?.has($0) == true }
    }
    let detail =
      isLinux ? "windows options cannot be set for a linux pod" : "cannot be set for a windows pod"
    if !isLinux {
      for field in ["hostPID", "hostIPC", "hostUsers", "shareProcessNamespace"] where spec.has(field) {
        forbidden(path[field], detail)
      }
    }
    for field in refused(spec["securityContext"], Self.linuxPodSecurity) {
      forbidden(path["securityContext"][field], detail)
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
      for (index, container) in spec.elements(list).enumerated() {
        for field in refused(container["securityContext"], Self.linuxContainerSecurity) {
          forbidden(path[list][index]["securityContext"][field], detail)
        }
      }
    }
  }

  private static let linuxPodSecurity = [
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls", "runAsUser",
    "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy",
  ]
  private static let linuxContainerSecurity = [
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged",
    "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
  ]

  private mutating func weight(_ term: JSON, _ path: FieldPath) {
    if let weight = term["weight"], !(1...100).contains(weight.int ?? 0) {
      invalid(path["weight"], weight, "must be in the range 1-100")
    }
  }

  private mutating func podAffinityTerm(_ term: JSON, _ path: FieldPath) {
    labelSelector(term["labelSelector"], path["labelSelector"])
    labelSelector(term["namespaceSelector"], path["namespaceSelector"])
    let key = term.text("topologyKey")
    if !key.isEmpty { check(path["topologyKey"], key, Names.qualifiedName) }
  }

  mutating func nodeSelectorTerms(_ terms: [JSON], _ path: FieldPath) {
    if terms.isEmpty { required(path, "must have at least one node selector term") }
    for (index, term) in terms.enumerated() { nodeSelectorTerm(term, path[index]) }
  }

  private mutating func nodeSelectorTerm(_ term: JSON, _ path: FieldPath) {
    for list in ["matchExpressions", "matchFields"] {
      for (index, requirement) in term.elements(list).enumerated() {
        let here = path[list][index]
        let count = requirement.elements("values").count
        switch requirement.text("operator") {
        case "In", "NotIn":
          if count == 0 { required(here["values"], "must be specified when `operator` is 'In' or 'NotIn'") }
        case "Exists", "DoesNotExist":
          if count > 0 {
            forbidden(here["values"], "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
          }
        case "Gt", "Lt":
          if count != 1 { required(here["values"], "must be specified single value when `operator` is 'Lt' or 'Gt'") }
        default: break
        }
        let key = requirement.text("key")
        if list == "matchExpressions", !key.isEmpty { check(here["key"], key, Names.qualifiedName) }
        if list == "matchFields", !key.isEmpty, key != "metadata.name" {
          invalid(here["key"], .string(key), "not a valid field selector key")
        }
      }
    }
  }

  mutating func toleration(_ toleration: JSON, _ path: FieldPath) {
    let key = toleration.text("key")
    let kind = toleration.text("operator")
    if !key.isEmpty { check(path["key"], key, Names.qualifiedName) }
    if key.isEmpty, kind != "Exists" {
      invalid(
        path["operator"], .string(kind),
        "operator must be Exists when `key` is empty, which means \"match all values and all keys\"")
    }
    if kind == "Exists", !toleration.text("value").isEmpty {
      invalid(path["operator"], .string(kind), "value must be empty when `operator` is 'Exists'")
    } else if kind != "Exists" {
      check(path["value"], toleration.text("value"), Names.labelValue)
    }
    if toleration.has("tolerationSeconds"), toleration.text("effect") != "NoExecute" {
      invalid(
        path["effect"], .string(toleration.text("effect")), "effect must be 'NoExecute' when `tolerationSeconds` is set"
      )
    }
  }

  private mutating func podSecurity(_ context: JSON, _ path: FieldPath, _ spec: JSON) {
    securityIdentity(context, path)
    if let group = context["fsGroup"], (group.int ?? 0) < 0 || (group.int ?? 0) > Int64(Int32.max) {
      invalid(path["fsGroup"], group, "must be between 0 and 2147483647, inclusive")
    }
    for (index, group) in context.elements("supplementalGroups").enumerated() where (group.int ?? 0) < 0 {
      invalid(path["supplementalGroups"][index], group, "must be between 0 and 2147483647, inclusive")
    }
    var names = Set<String>()
    for (index, sysctl) in context.elements("sysctls").enumerated() {
      let here = path["sysctls"][index]["name"]
      let name = sysctl.text("name")
      guard !name.isEmpty else { continue }
      check(here, name, Names.sysctl)
      let dotted = String(name.map { $0 == "/" ? "." : $0 })
      if !names.insert(dotted).inserted { duplicate(here, .string(name)) }
      if dotted.hasPrefix("net."), spec["hostNetwork"]?.bool == true {
        invalid(here, .string(name), "may not be specified when 'hostNetwork' is true")
      } else if Self.isOfIPC(dotted), spec["hostIPC"]?.bool == true {
        invalid(here, .string(name), "may not be specified when 'hostIPC' is true")
      }
    }
  }

  /// Whether a kernel parameter belongs to the IPC namespace (`namespaces(7)`).
  private static func isOfIPC(_ name: String) -> Bool {
    name == "kernel.sem" || ["kernel.shm", "kernel.msg", "fs.mqueue."].contains(where: name.hasPrefix)
  }

  /// Users, groups and seccomp profiles: the same for pods and containers.
  mutating func securityIdentity(_ context: JSON, _ path: FieldPath) {
    for field in ["runAsUser", "runAsGroup"] {
      if let value = context[field], let id = value.int, !(0...Int64(Int32.max)).contains(id) {
        invalid(path[field], value, "must be between 0 and 2147483647, inclusive")
      }
    }
    if let profile = context["seccompProfile"] {
      let local = profile.text("localhostProfile")
      if profile.text("type") == "Localhost", local.isEmpty {
        required(path["seccompProfile"]["localhostProfile"], "must be set when seccomp type is Localhost")
      } else if profile.text("type") != "Localhost", !local.isEmpty {
        invalid(
          path["seccompProfile"]["localhostProfile"], .string(local),
          "can only be set when seccomp type is Localhost")
      } else if local.hasPrefix("/") || local.split(separator: "/").contains("..") {
        invalid(path["seccompProfile"]["localhostProfile"], .string(local), "must be a relative path without '..'")
      }
    }
  }

  private mutating func hostPorts(_ containers: [JSON], _ path: FieldPath) {
    var seen = Set<String>()
    for (index, container) in containers.enumerated() {
      for (position, port) in container.elements("ports").enumerated() {
        guard let number = port["hostPort"]?.int, number > 0 else { continue }
        let identity = "\(port.text("protocol"))/\(port.text("hostIP"))/\(number)"
        if !seen.insert(identity).inserted {
          duplicate(path[index]["ports"][position]["hostPort"], .string(identity))
        }
      }
    }
  }
}
