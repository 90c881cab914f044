import Wire

extension Validator {
  mutating func others(_ group: String, _ kind: String, _ object: JSON, old: JSON?) {
    switch (group, kind) {
    case ("discovery.k8s.io", "EndpointSlice"): endpointSlice(object, old: old)
    case ("events.k8s.io", "Event"): event(object, old: old, .events)
    case ("coordination.k8s.io", "Lease"):
      let path = FieldPath.of("spec")
      atLeast(1, path["leaseDurationSeconds"], object.at("spec", "leaseDurationSeconds"))
      notNegative(path["leaseTransitions"], object.at("spec", "leaseTransitions"))
    case ("rbac.authorization.k8s.io", "Role"), ("rbac.authorization.k8s.io", "ClusterRole"):
      policyRules(object.elements("rules"), isNamespaced: kind == "Role")
    case ("rbac.authorization.k8s.io", "RoleBinding"), ("rbac.authorization.k8s.io", "ClusterRoleBinding"):
      roleBinding(object, old: old, isCluster: kind == "ClusterRoleBinding")
    case ("scheduling.k8s.io", "PriorityClass"):
      let name = object.at("metadata", "name")?.string ?? ""
      if let value = object["value"], let number = value.int, number > 1_000_000_000, !name.hasPrefix("system-") {
        forbidden(
          .of("value"),
          "maximum allowed value of a user defined priority is 1000000000")
      }
      if let old { immutable(.of("value"), object["value"], old["value"]) }
    case ("storage.k8s.io", "StorageClass"):
      if let old {
        for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
          if object[field] != old[field] { forbidden(.of(field), "updates to \(field) are forbidden.") }
        }
      }
    case ("policy", "PodDisruptionBudget"):
      let path = FieldPath.of("spec")
      labelSelector(object.at("spec", "selector"), path["selector"])
      if object.at("spec", "minAvailable") != nil, object.at("spec", "maxUnavailable") != nil {
        invalid(path, object["spec"] ?? [:], "minAvailable and maxUnavailable cannot be both set")
      }
    case ("autoscaling", "HorizontalPodAutoscaler"): autoscaler(object)
    case ("networking.k8s.io", "Ingress"): ingress(object)
    case ("networking.k8s.io", "IPAddress"): address(object, old: old)
    case ("networking.k8s.io", "ServiceCIDR"): serviceRange(object, old: old)
    case ("node.k8s.io", "RuntimeClass"): runtimeClass(object, old: old)
    case ("networking.k8s.io", "NetworkPolicy"):
      labelSelector(object.at("spec", "podSelector"), .of("spec", "podSelector"))
    case ("authorization.k8s.io", "SubjectAccessReview"), ("authorization.k8s.io", "LocalSubjectAccessReview"),
      ("authorization.k8s.io", "SelfSubjectAccessReview"):
      let spec = object["spec"] ?? [:]
      if spec.has("resourceAttributes") == spec.has("nonResourceAttributes") {
        let problem = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        invalid(.of("spec", "resourceAttributes"), spec["resourceAttributes"] ?? .null, problem)
      }
    default: break
    }
  }

  private mutating func endpointSlice(_ slice: JSON, old: JSON?) {
    let type = slice.text("addressType")
    if !type.isEmpty, !["FQDN", "IPv4", "IPv6"].contains(type) {
      notSupported(.of("addressType"), .string(type), ["FQDN", "IPv4", "IPv6"])
    }
    if let old { immutable(.of("addressType"), slice["addressType"], old["addressType"]) }
    let endpoints = slice.elements("endpoints")
    lazy var known = KnownAddresses(slice: old)
    if endpoints.count > 1000 { report(.tooMany(.of("endpoints"), endpoints.count, 1000)) }
    for (index, endpoint) in endpoints.enumerated() {
      let path = FieldPath.of("endpoints")[index]["addresses"]
      let addresses = endpoint.elements("addresses")
      if addresses.isEmpty { required(path, "must contain at least 1 address") }
      if addresses.count > 100 { report(.tooMany(path, addresses.count, 100)) }
      for (position, address) in addresses.enumerated() {
        let text = address.string ?? ""
        switch type {
        case "IPv4":
          if Names.isIPv4(text) {
            translated(path[position], text, known: known)
          } else {
            invalid(path[position], address, "must be a valid IPv4 address, (e.g. 10.9.8.7)")
          }
        case "IPv6":
          if Names.isIPv6(text) {
            translated(path[position], text, known: known)
          } else {
            invalid(path[position], address, "must be a valid IPv6 address, (e.g. 2001:db8::ffff)")
          }
        case "FQDN": check(path[position], text, Names.dns1123Subdomain)
        default: break
        }
      }
      if let host = endpoint["hostname"]?.string {
        check(FieldPath.of("endpoints")[index]["hostname"], host, Names.dns1123Label)
      }
    }
    let ports = slice.elements("ports")
    if ports.count > 20_000 { report(.tooMany(.of("ports"), ports.count, 20_000)) }
    var names = Set<String>()
    for (index, port) in ports.enumerated() {
      let path = FieldPath.of("ports")[index]
      let name = port.text("name")
      if !name.isEmpty { check(path["name"], name, Names.dns1123Label) }
      if !names.insert(name).inserted { duplicate(path["name"], .string(name)) }
      if let number = port["port"] { self.port(path["port"], number) }
    }
  }

  private mutating func policyRules(_ rules: [JSON], isNamespaced: Bool) {
    for (index, rule) in rules.enumerated() {
      let path = FieldPath.of("rules")[index]
      if rule.elements("verbs").isEmpty { required(path["verbs"], "verbs must contain at least one value") }
      let isURL = !rule.elements("nonResourceURLs").isEmpty
      let hasGroups = !rule.elements("apiGroups").isEmpty
      let hasResources = !rule.elements("resources").isEmpty
      if isURL {
        if isNamespaced {
          invalid(
            path["nonResourceURLs"], rule["nonResourceURLs"] ?? .null,
            "namespaced rules cannot apply to non-resource URLs")
        }
        if hasGroups || hasResources || !rule.elements("resourceNames").isEmpty {
          invalid(
            path["nonResourceURLs"], rule["nonResourceURLs"] ?? .null,
            "rules cannot apply to both regular resources and non-resource URLs")
        }
      } else {
        if !hasGroups { required(path["apiGroups"], "resource rules must supply at least one api group") }
        if !hasResources { required(path["resources"], "resource rules must supply at least one resource") }
      }
    }
  }

  private mutating func roleBinding(_ binding: JSON, old: JSON?, isCluster: Bool) {
    let group = "rbac.authorization.k8s.io"
    let reference = binding["roleRef"] ?? [:]
    let path = FieldPath.of("roleRef")
    if reference.text("apiGroup") != group {
      notSupported(path["apiGroup"], .string(reference.text("apiGroup")), [group])
    }
    let kinds = isCluster ? ["ClusterRole"] : ["ClusterRole", "Role"]
    if !kinds.contains(reference.text("kind")) {
      notSupported(path["kind"], .string(reference.text("kind")), kinds)
    }
    checkRequired(path["name"], reference.text("name"), Names.pathSegment)
    for (index, subject) in binding.elements("subjects").enumerated() {
      let here = FieldPath.of("subjects")[index]
      if subject.text("name").isEmpty { required(here["name"]) }
      switch subject.text("kind") {
      case "ServiceAccount":
        if !subject.text("name").isEmpty { check(here["name"], subject.text("name"), Names.dns1123Subdomain) }
        if !subject.text("apiGroup").isEmpty {
          notSupported(here["apiGroup"], .string(subject.text("apiGroup")), [""])
        }
        if subject.text("namespace").isEmpty, isCluster { required(here["namespace"]) }
      case "User", "Group":
        if subject.text("apiGroup") != group {
          notSupported(here["apiGroup"], .string(subject.text("apiGroup")), [group])
        }
      default: notSupported(here["kind"], .string(subject.text("kind")), ["ServiceAccount", "User", "Group"])
      }
    }
    if let old, old["roleRef"] != reference {
      invalid(path, reference, "cannot change roleRef")
    }
  }

  private mutating func autoscaler(_ autoscaler: JSON) {
    let path = FieldPath.of("spec")
    let spec = autoscaler["spec"] ?? [:]
    atLeast(0, path["minReplicas"], spec["minReplicas"])
    let limit = spec["maxReplicas"]?.int ?? 0
    if limit < 1 {
      invalid(path["maxReplicas"], .int(limit), "must be greater than 0")
    } else if limit < spec["minReplicas"]?.int ?? 1 {
      invalid(path["maxReplicas"], .int(limit), "must be greater than or equal to `minReplicas`")
    }
    for field in ["kind", "name"] where spec["scaleTargetRef"]?.text(field).isEmpty ?? true {
      required(path["scaleTargetRef"][field])
    }
  }

  private mutating func address(_ address: JSON, old: JSON?) {
    let path = FieldPath.of("spec", "parentRef")
    guard let parent = address.at("spec", "parentRef") else { return required(path) }
    for field in ["resource", "name"] { checkRequired(path[field], parent.text(field), Names.pathSegment) }
    if !parent.text("group").isEmpty { check(path["group"], parent.text("group"), Names.dns1123Subdomain) }
    if !parent.text("namespace").isEmpty { check(path["namespace"], parent.text("namespace"), Names.pathSegment) }
    if let before = old?.at("spec", "parentRef") { immutable(path, parent, before) }
  }

  private mutating func serviceRange(_ range: JSON, old: JSON?) {
    let path = FieldPath.of("spec", "cidrs")
    let ranges = range["spec"]?.elements("cidrs").compactMap(\.string) ?? []
    if ranges.isEmpty { required(path, "at least one CIDR required") }
    if ranges.count > 2 { invalid(path, .array(ranges.map { .string($0) }), "may only hold up to 2 values") }
    for (index, text) in ranges.enumerated() where !Names.isCIDR(text) {
      invalid(path[index], .string(text), "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")
    }
    if ranges.count == 2, ranges[0].contains(":") == ranges[1].contains(":") {
      invalid(path, .array(ranges.map { .string($0) }), "may specify no more than one IP for each IP family")
    }
    // A second family may be added; what is there stays.
    let before = old?["spec"]?.elements("cidrs").compactMap(\.string) ?? []
    if !ranges.starts(with: before) { immutable(path, range["spec"]?["cidrs"], old?["spec"]?["cidrs"]) }
  }

  private mutating func runtimeClass(_ runtimeClass: JSON, old: JSON?) {
    let handler = runtimeClass.text("handler")
    if !handler.isEmpty { check(.of("handler"), handler, Names.dns1123Label) }
    if let old { immutable(.of("handler"), runtimeClass["handler"], old["handler"]) }
    for member in runtimeClass["overhead"]?.members("podFixed") ?? [] { quantity(member, .of("overhead", "podFixed")) }
    guard let scheduling = runtimeClass["scheduling"] else { return }
    let path = FieldPath.of("scheduling")
    labels(scheduling["nodeSelector"], path["nodeSelector"])
    for (index, toleration) in scheduling.elements("tolerations").enumerated() {
      self.toleration(toleration, path["tolerations"][index])
    }
  }

  private mutating func ingress(_ ingress: JSON) {
    let path = FieldPath.of("spec")
    let spec = ingress["spec"] ?? [:]
    if spec.isAbsentOrEmpty("rules"), !spec.has("defaultBackend") {
      invalid(path, spec["rules"] ?? [], "either `defaultBackend` or `rules` must be specified")
    }
    if let backend = spec["defaultBackend"] { self.backend(backend, path["defaultBackend"]) }
    for (index, rule) in spec.elements("rules").enumerated() {
      let here = path["rules"][index]
      let host = rule.text("host")
      if Names.isIPAddress(host) {
        invalid(here["host"], .string(host), "must be a DNS name, not an IP address")
      } else if !host.isEmpty {
        check(here["host"], host.hasPrefix("*.") ? String(host.dropFirst(2)) : host, Names.dns1123Subdomain)
      }
      guard let http = rule["http"] else { continue }
      let paths = http.elements("paths")
      if paths.isEmpty { required(here["http"]["paths"]) }
      for (position, item) in paths.enumerated() {
        let at = here["http"]["paths"][position]
        let type = item.text("pathType")
        let text = item.text("path")
        if type == "Exact" || type == "Prefix" {
          if !text.hasPrefix("/") { invalid(at["path"], .string(text), "must be an absolute path") }
        } else if type.isEmpty {
          required(at["pathType"], "pathType must be specified")
        } else if type != "ImplementationSpecific" {
          notSupported(at["pathType"], .string(type), ["Exact", "ImplementationSpecific", "Prefix"])
        }
        backend(item["backend"] ?? [:], at["backend"])
      }
    }
  }

  private mutating func backend(_ backend: JSON, _ path: FieldPath) {
    guard let service = backend["service"] else {
      if !backend.has("resource") { required(path, "must specify either `service` or `resource`") }
      return
    }
    if backend.has("resource") { invalid(path, "", "cannot set both resource and service backends") }
    checkRequired(path["service"]["name"], service.text("name"), Names.dns1035Label)
    let port = service["port"] ?? [:]
    let number = port["number"]?.int ?? 0
    if !port.text("name").isEmpty, number != 0 {
      invalid(path, "", "cannot set both port name & port number")
    } else if !port.text("name").isEmpty {
      check(path["service"]["port"]["name"], port.text("name"), Names.portName)
    } else if number == 0 {
      required(path, "port name or number is required")
    } else {
      self.port(path["service"]["port"]["number"], .int(number))
    }
  }
}
