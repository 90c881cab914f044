import Wire

extension Validator {
  /// - Parameters:
  ///   - volumes: the pod's volumes by name, with the kind of their source.
  ///   - gracePeriod: the pod's, in seconds.
  mutating func container(
    _ container: JSON, _ path: FieldPath, _ volumes: [String: String], list: String, isHostNetwork: Bool,
    gracePeriod: Int64
  ) {
    let image = container.text("image")
    if image.isEmpty {
      required(path["image"])
    } else if image.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F }) {
      invalid(path["image"], .string(image), "must not have leading or trailing whitespace, nor any inside")
    }
    ports(container.elements("ports"), path["ports"], isHostNetwork: isHostNetwork)
    environment(container, path)
    mounts(container, path, volumes)
    devices(container, path, volumes)
    if let resources = container["resources"] { self.resources(resources, path["resources"]) }
    probes(container, path, list: list)
    if let lifecycle = container["lifecycle"] {
      for hook in ["postStart", "preStop"] {
        guard let handler = lifecycle[hook] else { continue }
        self.handler(handler, path["lifecycle"][hook])
        if let sleep = handler.at("sleep", "seconds")?.int, !(0...max(gracePeriod, 0)).contains(sleep) {
          invalid(
            path["lifecycle"][hook]["sleep"], .int(sleep),
            "must be non-negative and less than terminationGracePeriodSeconds (\(gracePeriod))")
        }
      }
    }
    if let context = container["securityContext"] { securityContext(context, path["securityContext"]) }
    let message = container.text("terminationMessagePath")
    if !message.isEmpty, !message.hasPrefix("/") {
      invalid(path["terminationMessagePath"], .string(message), "must be an absolute path")
    }
  }

  private mutating func ports(_ ports: [JSON], _ path: FieldPath, isHostNetwork: Bool) {
    var names = Set<String>()
    for (index, port) in ports.enumerated() {
      let here = path[index]
      let name = port.text("name")
      if !name.isEmpty {
        check(here["name"], name, Names.portName)
        if !names.insert(name).inserted { duplicate(here["name"], .string(name)) }
      }
      let number = port["containerPort"]?.int ?? 0
      if number == 0 { required(here["containerPort"]) } else { self.port(here["containerPort"], .int(number)) }
      if let host = port["hostPort"], host.int != 0 {
        self.port(here["hostPort"], host)
        if isHostNetwork, host.int != number {
          invalid(here["hostPort"], host, "must match `containerPort` when `hostNetwork` is true")
        }
      }
      let address = port.text("hostIP")
      if !address.isEmpty, !Names.isIPAddress(address) {
        invalid(here["hostIP"], .string(address), "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
      } else if !address.isEmpty, let parsed = IPAddress(address), let refusal = AddressClass(parsed).hostRefusal {
        invalid(here["hostIP"], .string(address), refusal)
      }
    }
  }

  private mutating func environment(_ container: JSON, _ path: FieldPath) {
    for (index, variable) in container.elements("env").enumerated() {
      let here = path["env"][index]
      let name = variable.text("name")
      if !name.isEmpty { check(here["name"], name, Names.environmentVariable) }
      guard let source = variable["valueFrom"], let members = source.object else { continue }
      if !variable.text("value").isEmpty {
        invalid(here["valueFrom"], "", "may not be specified when `value` is not empty")
      }
      switch members.count {
      case 0:
        invalid(
          here["valueFrom"], "",
          "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`")
      case 1: break
      default: invalid(here["valueFrom"], "", "may not have more than one field specified at a time")
      }
      if let field = source["fieldRef"] {
        fieldReference(field, here["valueFrom"]["fieldRef"], Self.environmentFields, isMapAllowed: true)
      }
      if let resource = source["resourceFieldRef"] {
        resourceReference(resource, here["valueFrom"]["resourceFieldRef"])
      }
      for name in ["configMapKeyRef", "secretKeyRef"] {
        guard let reference = source[name] else { continue }
        if reference.text("name").isEmpty { required(here["valueFrom"][name]["name"]) }
        if !reference.text("key").isEmpty {
          check(here["valueFrom"][name]["key"], reference.text("key"), Names.configKey)
        }
      }
    }
    for (index, source) in container.elements("envFrom").enumerated() {
      let here = path["envFrom"][index]
      let prefix = source.text("prefix")
      if !prefix.isEmpty { check(here["prefix"], prefix, Names.environmentVariable) }
      let references = ["configMapRef", "secretRef"].filter { source.has($0) }
      if references.isEmpty {
        invalid(here, "", "must specify one of: `configMapRef` or `secretRef`")
      } else if references.count > 1 {
        invalid(here, "", "may not have more than one field specified at a time")
      }
      for name in references where source[name]?.text("name").isEmpty ?? true { required(here[name]["name"]) }
    }
  }

  private static let environmentFields = [
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
    "status.hostIPs", "status.podIP", "status.podIPs",
  ]
  static let volumeFields = [
    "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid",
  ]

  mutating func fieldReference(_ field: JSON, _ path: FieldPath, _ allowed: [String], isMapAllowed: Bool) {
    let text = field.text("fieldPath")
    if text.isEmpty { return required(path["fieldPath"]) }
    if let bracket = text.firstIndex(of: "["), text.hasSuffix("']"), text[bracket...].hasPrefix("['"), isMapAllowed {
      let map = text[..<bracket]
      let key = String(text[bracket...].dropFirst(2).dropLast(2))
      if map == "metadata.labels" || map == "metadata.annotations" {
        return check(path["fieldPath"], map == "metadata.labels" ? key : key.lowercased(), Names.qualifiedName)
      }
    }
    if !allowed.contains(text) { notSupported(path["fieldPath"], .string(text), allowed) }
  }

  mutating func resourceReference(_ reference: JSON, _ path: FieldPath) {
    let resource = reference.text("resource")
    if resource.isEmpty { return required(path["resource"]) }
    let allowed = [
      "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",
      "requests.memory",
    ]
    if !allowed.contains(resource), !resource.contains("hugepages-") {
      notSupported(path["resource"], .string(resource), allowed)
    }
  }

  private mutating func mounts(_ container: JSON, _ path: FieldPath, _ volumes: [String: String]) {
    var paths = Set<String>()
    for (index, mount) in container.elements("volumeMounts").enumerated() {
      let here = path["volumeMounts"][index]
      let name = mount.text("name")
      if !name.isEmpty, volumes[name] == nil { report(.notFound(here["name"], .string(name))) }
      let target = mount.text("mountPath")
      if !target.isEmpty {
        if !paths.insert(target).inserted { invalid(here["mountPath"], .string(target), "must be unique") }
        if target.contains(":") { invalid(here["mountPath"], .string(target), "must not contain ':'") }
      }
      for field in ["subPath", "subPathExpr"] {
        let part = mount.text(field)
        if !part.isEmpty { descendingPath(part, here[field]) }
      }
      if !mount.text("subPath").isEmpty, !mount.text("subPathExpr").isEmpty {
        invalid(
          here["subPathExpr"], .string(mount.text("subPathExpr")), "subPathExpr and subPath are mutually exclusive")
      }
      if mount.text("mountPropagation") == "Bidirectional",
        container.at("securityContext", "privileged")?.bool != true
      {
        forbidden(
          here["mountPropagation"], "Bidirectional mount propagation is available only to privileged containers")
      }
    }
  }

  /// Volumes that a container gets as block devices.
  private mutating func devices(_ container: JSON, _ path: FieldPath, _ volumes: [String: String]) {
    let devices = container.elements("volumeDevices")
    if devices.isEmpty { return }
    let mounted = Set(container.elements("volumeMounts").map { $0.text("name") })
    for (index, device) in devices.enumerated() {
      let here = path["volumeDevices"][index]
      let name = device.text("name")
      switch volumes[name] {
      case nil: if !name.isEmpty { report(.notFound(here["name"], .string(name))) }
      case "persistentVolumeClaim"?, "ephemeral"?: break
      default:
        invalid(
          here["name"], .string(name),
          "can only use volume source type of PersistentVolumeClaim or Ephemeral for "
            + "block mode")
      }
      if mounted.contains(name) { invalid(here["name"], .string(name), "must not already exist in volumeMounts") }
      let target = device.text("devicePath")
      if target.isEmpty {
        required(here["devicePath"])
      } else {
        if target.split(separator: "/").contains("..") {
          invalid(here["devicePath"], .string(target), "can not contain backsteps ('..')")
        }
      }
    }
  }

  /// A path below a volume's root.
  mutating func descendingPath(_ text: String, _ path: FieldPath) {
    if text.hasPrefix("/") { invalid(path, .string(text), "must be a relative path") }
    if text.split(separator: "/").contains("..") { invalid(path, .string(text), "must not contain '..'") }
  }

  mutating func resources(_ resources: JSON, _ path: FieldPath) {
    let limits = resources["limits"]
    for member in limits?.object?.members ?? [] { quantity(member, path["limits"]) }
    for member in resources.members("requests") {
      quantity(member, path["requests"])
      guard let request = Quantity(member.value.string ?? ""), let text = limits?[member.key]?.string,
        let limit = Quantity(text)
      else { continue }
      if request > limit {
        invalid(
          path["requests"], member.value, "must be less than or equal to \(member.key) limit of \(text)")
      } else if request != limit, Self.isExtended(member.key) {
        invalid(path["requests"], member.value, "must be equal to \(member.key) limit of \(text)")
      }
    }
  }

  /// An amount of a resource.
  mutating func quantity(_ member: JSONObject.Member, _ path: FieldPath) {
    let here = path[key: member.key]
    if !["cpu", "memory", "ephemeral-storage"].contains(member.key), !member.key.hasPrefix("hugepages-") {
      if !member.key.contains("/") {
        invalid(here, .string(member.key), "must be a standard resource type or fully qualified")
        invalid(here, .string(member.key), "must be a standard resource for containers")
      } else {
        check(here, member.key, Names.qualifiedName)
      }
    }
    guard let quantity = Quantity(member.value.string ?? "") else { return }
    if quantity < .zero { invalid(here, member.value, "must be greater than or equal to 0") }
    if Self.isExtended(member.key), quantity.nanos % 1_000_000_000 != 0 {
      invalid(here, member.value, "must be an integer")
    }
  }

  private static func isExtended(_ resource: String) -> Bool {
    resource.contains("/") || resource.hasPrefix("hugepages-")
  }

  private mutating func probes(_ container: JSON, _ path: FieldPath, list: String) {
    let isSidecar = list == "initContainers" && container.text("restartPolicy") == "Always"
    for name in ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] where container.has(name) {
      if list == "ephemeralContainers" {
        forbidden(path[name], "cannot be set for an Ephemeral Container")
      } else if list == "initContainers", !isSidecar {
        forbidden(path[name], "may not be set for init containers without restartPolicy=Always")
      }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
      guard let probe = container[name] else { continue }
      let here = path[name]
      handler(probe, here)
      notNegative(
        probe, here, "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
      if name != "readinessProbe", let count = probe["successThreshold"], count.int != 1 {
        invalid(here["successThreshold"], count, "must be 1")
      }
      if let grace = probe["terminationGracePeriodSeconds"] {
        if name == "readinessProbe" {
          invalid(here["terminationGracePeriodSeconds"], grace, "must not be set for readinessProbes")
        } else {
          atLeast(1, here["terminationGracePeriodSeconds"], grace)
        }
      }
    }
  }

  private mutating func handler(_ handler: JSON, _ path: FieldPath) {
    let actions = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"].filter { handler.has($0) }
    if actions.isEmpty { return required(path, "must specify a handler type") }
    for extra in actions.dropFirst() { forbidden(path[extra], "may not specify more than 1 handler type") }
    let here = path[actions[0]]
    let action = handler[actions[0]] ?? [:]
    switch actions[0] {
    case "exec": if action.elements("command").isEmpty { required(here["command"]) }
    case "httpGet":
      portOrName(here["port"], action["port"])
      for (index, header) in action.elements("httpHeaders").enumerated() {
        let name = header.text("name")
        if !Self.isHeaderName(name) {
          invalid(
            here["httpHeaders"][index]["name"], .string(name),
            "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
              + "validation is '[-A-Za-z0-9]+')")
        }
      }
    case "tcpSocket": portOrName(here["port"], action["port"])
    case "grpc": port(here["port"], action["port"] ?? 0)
    default: break
    }
  }

  private static func isHeaderName(_ name: String) -> Bool {
    !name.isEmpty
      && name.utf8.allSatisfy { byte in
        (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: "-")
      }
  }

  private mutating func securityContext(_ context: JSON, _ path: FieldPath) {
    securityIdentity(context, path)
    guard context["allowPrivilegeEscalation"]?.bool == false else { return }
    if context["privileged"]?.bool == true {
      invalid(path, "", "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
    }
    let added = context["capabilities"]?.elements("add").compactMap(\.string) ?? []
    if added.contains(where: { $0 == "CAP_SYS_ADMIN" || $0 == "SYS_ADMIN" }) {
      invalid(
        path, "", "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN")
    }
  }
}
