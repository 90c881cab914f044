import Wire

extension Validator {
  /// KEP-2433 and KEP-3015.
  private static let trafficDistributions = ["PreferClose", "PreferSameNode", "PreferSameZone"]

  /// What Kubernetes allows a ConfigMap or a Secret to hold.
  private static let dataBytesMax = 1 << 20

  mutating func core(_ kind: String, _ object: JSON, old: JSON?, subresource: String) {
    switch kind {
    case "Pod": pod(object, old: old, subresource: subresource)
    case "PodTemplate": podTemplate(object["template"] ?? [:], .of("template"))
    case "Service": service(object, old: old)
    case "ConfigMap": configMap(object, old: old)
    case "Secret": secret(object, old: old)
    case "Node": node(object)
    case "Endpoints": endpoints(object, old: old)
    case "Event": event(object, old: old, .core)
    case "ReplicationController":
      let path = FieldPath.of("spec")
      guard let spec = object["spec"] else { return required(path) }
      notNegative(spec, path, "replicas", "minReadySeconds")
      if spec.isAbsentOrEmpty("selector") { required(path["selector"]) }
      guard let template = spec["template"] else { return required(path["template"]) }
      alwaysRestarts(template, path["template"], "ReplicationController")
      let labels = template.at("metadata", "labels")
      if spec.members("selector").contains(where: { labels?[$0.key] != $0.value }) {
        invalid(
          path["template"]["metadata"]["labels"], labels ?? [:], "`selector` does not match template `labels`")
      }
      podTemplate(template, path["template"])
    case "PersistentVolumeClaim": persistentVolumeClaim(object, old: old)
    case "ResourceQuota":
      for member in object["spec"]?.members("hard") ?? [] {
        if let quantity = Quantity(member.value.string ?? ""), quantity < .zero {
          invalid(FieldPath.of("spec", "hard")[key: member.key], member.value, "must be greater than or equal to 0")
        }
      }
    case "Binding":
      if object.at("target", "name")?.string?.isEmpty ?? true { required(.of("target", "name")) }
    default: break
    }
  }

  private mutating func service(_ service: JSON, old: JSON?) {
    let path = FieldPath.of("spec")
    guard let spec = service["spec"] else { return required(path) }
    let type = spec.text("type")
    let isHeadless = spec.text("clusterIP") == "None"
    let ports = spec.elements("ports")
    if ports.isEmpty, !isHeadless, type != "ExternalName" { required(path["ports"]) }
    var names = Set<String>()
    var numbers = Set<String>()
    var nodePorts = Set<String>()
    for (index, port) in ports.enumerated() {
      let here = path["ports"][index]
      let name = port.text("name")
      if name.isEmpty {
        if ports.count > 1 { required(here["name"]) }
      } else {
        check(here["name"], name, Names.dns1123Label)
        if !names.insert(name).inserted { duplicate(here["name"], .string(name)) }
      }
      self.port(here["port"], port["port"] ?? 0)
      if let target = port["targetPort"], type != "ExternalName" { portOrName(here["targetPort"], target) }
      let kind = port.text("protocol")
      if !numbers.insert("\(kind)/\(port["port"]?.int ?? 0)").inserted {
        duplicate(here, ["port": port["port"] ?? 0, "protocol": .string(kind)])
      }
      if let node = port["nodePort"], node.int != 0 {
        if type == "ClusterIP" || type == "ExternalName" {
          forbidden(here["nodePort"], "may not be used when `type` is '\(type)'")
        }
        if !nodePorts.insert("\(kind)/\(node.int ?? 0)").inserted { duplicate(here["nodePort"], node) }
      }
      if let application = port["appProtocol"]?.string { check(here["appProtocol"], application, Names.qualifiedName) }
    }
    labels(spec["selector"], path["selector"])
    serviceAddresses(spec, path, type: type, old: old)
    loadBalancer(service["status"], old: old)
    if isHeadless, type == "NodePort" || type == "LoadBalancer" {
      invalid(path["clusterIPs"][0], "None", "may not be set to 'None' for \(type) services")
    }
    if let timeout = spec.at("sessionAffinityConfig", "clientIP", "timeoutSeconds"),
      !(1...86_400).contains(timeout.int ?? 0)
    {
      invalid(
        path["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"], timeout, "must be between 1 and 86400, inclusive")
    }
    if let distribution = spec["trafficDistribution"]?.string, !Self.trafficDistributions.contains(distribution) {
      notSupported(path["trafficDistribution"], .string(distribution), Self.trafficDistributions)
    }
    guard let before = old?["spec"] else { return }
    serviceFamilyChange(spec, before, path)
  }

  /// What an update may change of addresses and families (`validateUpgradeDowngradeClusterIPs`,
  /// `validateUpgradeDowngradeIPFamilies`): the first of each stays for as long as the Service is one with an address; a
  /// second one comes and goes.
  private mutating func serviceFamilyChange(_ spec: JSON, _ before: JSON, _ path: FieldPath) {
    guard before.text("type") != "ExternalName", spec.text("type") != "ExternalName" else { return }
    let wasHeadless = before.text("clusterIP") == "None"
    let isHeadless = spec.text("clusterIP") == "None"
    if wasHeadless, isHeadless { return }
    func list(_ spec: JSON, _ field: String, _ single: String = "") -> [JSON] {
      let all = spec.elements(field)
      return all.isEmpty && !spec.text(single).isEmpty ? [.string(spec.text(single))] : all
    }
    func check(_ field: String, _ old: [JSON], _ new: [JSON], _ single: String) {
      if new.isEmpty, !old.isEmpty {
        return invalid(path[field][0], .array(new), "primary \(single) can not be unset")
      }
      for index in old.indices where index < new.count && old[index] != new[index] {
        invalid(path[field][index], new[index], "may not change once set")
      }
      if new.count == 1, old.count > 1, spec.text("ipFamilyPolicy") != "SingleStack" {
        invalid(
          path["ipFamilyPolicy"], .string(spec.text("ipFamilyPolicy")),
          "must be set to 'SingleStack' when releasing the secondary \(single)")
      }
    }
    check("clusterIPs", list(before, "clusterIPs", "clusterIP"), list(spec, "clusterIPs", "clusterIP"), "clusterIP")
    if !wasHeadless, !isHeadless {
      check("ipFamilies", list(before, "ipFamilies"), list(spec, "ipFamilies"), "ipFamily")
    }
  }

  private mutating func serviceAddresses(_ spec: JSON, _ path: FieldPath, type: String, old: JSON?) {
    let address = spec.text("clusterIP")
    if type == "ExternalName" {
      if !address.isEmpty { forbidden(path["clusterIPs"], "may not be set for ExternalName services") }
      let name = spec.text("externalName")
      if name.isEmpty {
        required(path["externalName"])
      } else {
        check(path["externalName"], name.hasSuffix(".") ? String(name.dropLast()) : name, Names.dns1123Subdomain)
      }
    }
    let all = spec.elements("clusterIPs")
    let addresses = all.isEmpty && !address.isEmpty ? [.string(address)] : all
    lazy var before = KnownAddresses(old?["spec"], "clusterIP", "clusterIPs")
    for (index, item) in addresses.enumerated() where type != "ExternalName" {
      let text = item.string ?? ""
      // Only the first one says that there is none.
      if index == 0, text == "None" || text.isEmpty { continue }
      translated(path["clusterIPs"][index], text, known: before)
    }
    if let first = all.first, !address.isEmpty, first.string != address {
      invalid(path["clusterIPs"], .array(all), "first value must match `clusterIP`")
    }
    lazy var external = KnownAddresses(old?["spec"], "externalIPs")
    for (index, address) in spec.elements("externalIPs").enumerated() {
      translated(path["externalIPs"][index], address.string ?? "", known: external)
    }
    for (index, range) in spec.elements("loadBalancerSourceRanges").enumerated()
    where !Names.isCIDR(range.string ?? "") {
      invalid(path["loadBalancerSourceRanges"][index], range, "must be a valid CIDR value, (e.g. 10.9.8.0/24)")
    }
    if spec.has("externalTrafficPolicy"), type == "ClusterIP", spec.elements("externalIPs").isEmpty {
      invalid(
        path["externalTrafficPolicy"], .string(spec.text("externalTrafficPolicy")),
        "may only be set for externally-accessible services")
    }
  }

  private mutating func configMap(_ map: JSON, old: JSON?) {
    var bytes = 0
    let text = map["data"]?.object
    for name in ["data", "binaryData"] {
      for member in map.members(name) {
        check(FieldPath.of(name)[key: member.key], member.key, Names.configKey)
        if name == "binaryData", text?.index(of: member.key) != nil {
          invalid(FieldPath.of(name)[key: member.key], .string(member.key), "duplicate of key present in data")
        }
        let size = member.value.string?.utf8.count ?? 0
        bytes += member.key.utf8.count + (name == "data" ? size : size / 4 * 3)
      }
    }
    if bytes > Self.dataBytesMax { report(.tooLong(.root, Self.dataBytesMax)) }
    immutableData(map, old, "binaryData")
  }

  private mutating func secret(_ secret: JSON, old: JSON?) {
    var bytes = 0
    for member in secret.members("data") {
      check(FieldPath.of("data")[key: member.key], member.key, Names.configKey)
      bytes += (member.value.string?.utf8.count ?? 0) / 4 * 3
    }
    if bytes > Self.dataBytesMax { report(.tooLong(.of("data"), Self.dataBytesMax)) }
    let data = secret["data"]
    let needed: [String]
    switch secret.text("type") {
    case "kubernetes.io/dockercfg": needed = [".dockercfg"]
    case "kubernetes.io/dockerconfigjson": needed = [".dockerconfigjson"]
    case "kubernetes.io/ssh-auth": needed = ["ssh-privatekey"]
    case "kubernetes.io/tls": needed = ["tls.crt", "tls.key"]
    case "kubernetes.io/basic-auth":
      needed = []
      if data?.has("username") != true, data?.has("password") != true {
        required(FieldPath.of("data")[key: "username"])
        required(FieldPath.of("data")[key: "password"])
      }
    case "kubernetes.io/service-account-token":
      needed = []
      if secret.at("metadata", "annotations", "kubernetes.io/service-account.name") == nil {
        required(FieldPath.of("metadata", "annotations")[key: "kubernetes.io/service-account.name"])
      }
    default: needed = []
    }
    for key in needed where data?.has(key) != true { required(FieldPath.of("data")[key: key]) }
    if let old, old["type"] != secret["type"] { immutable(.of("type"), secret["type"], old["type"]) }
    immutableData(secret, old, "type")
  }

  private mutating func immutableData(_ new: JSON, _ old: JSON?, _ other: String) {
    guard let old, old["immutable"]?.bool == true else { return }
    if new["immutable"]?.bool != true { forbidden(.of("immutable"), "field is immutable when `immutable` is set") }
    for name in ["data", other] where new[name] ?? [:] != old[name] ?? [:] {
      // The contents may be secret: they are not repeated in the message.
      forbidden(.of(name), "field is immutable when `immutable` is set")
    }
  }

  private mutating func node(_ node: JSON) {
    let path = FieldPath.of("spec", "taints")
    var seen = Set<String>()
    for (index, taint) in (node["spec"]?.elements("taints") ?? []).enumerated() {
      let key = taint.text("key")
      if !key.isEmpty { check(path[index]["key"], key, Names.qualifiedName) }
      check(path[index]["value"], taint.text("value"), Names.labelValue)
      if !seen.insert("\(key):\(taint.text("effect"))").inserted {
        report(
          FieldError(
            type: .duplicate, path: path[index].description, value: taint,
            detail: "taints must be unique by key and effect pair"))
      }
    }
  }

  private mutating func endpoints(_ endpoints: JSON, old: JSON?) {
    lazy var known = KnownAddresses(endpoints: old)
    for (index, subset) in endpoints.elements("subsets").enumerated() {
      let path = FieldPath.of("subsets")[index]
      if subset.isAbsentOrEmpty("addresses"), subset.isAbsentOrEmpty("notReadyAddresses") {
        required(path, "must specify `addresses` or `notReadyAddresses`")
      }
      for list in ["addresses", "notReadyAddresses"] {
        for (position, address) in subset.elements(list).enumerated() {
          let text = address.text("ip")
          // That there is none is said by the declaration.
          if !text.isEmpty { translated(path[list][position]["ip"], text, known: known) }
        }
      }
      for (position, port) in subset.elements("ports").enumerated() {
        self.port(path["ports"][position]["port"], port["port"] ?? 0)
      }
    }
  }

  mutating func persistentVolumeClaim(_ claim: JSON, old: JSON?) {
    let path = FieldPath.of("spec")
    guard let spec = claim["spec"] else { return required(path) }
    if spec.elements("accessModes").isEmpty { required(path["accessModes"], "at least 1 access mode is required") }
    if let storage = spec.at("resources", "requests", "storage") {
      if let quantity = Quantity(storage.string ?? ""), quantity <= .zero {
        invalid(path["resources"]["requests"][key: "storage"], storage, "must be greater than zero")
      }
    } else {
      required(path["resources"][key: "storage"])
    }
    labelSelector(spec["selector"], path["selector"])
    guard let before = old?["spec"] else { return }
    for field in ["accessModes", "selector", "storageClassName", "volumeMode"] where before.has(field) {
      immutable(path[field], spec[field], before[field])
    }
    if before.has("volumeName") { immutable(path["volumeName"], spec["volumeName"], before["volumeName"]) }
  }
}
