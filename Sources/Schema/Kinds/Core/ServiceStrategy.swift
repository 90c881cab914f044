import Wire

extension KindStrategy {
  static let service = KindStrategy(
    .core("Service"), nameProblems: Names.dns1035Label, defaults: Defaults.service,
    validate: { $0.service($1, old: $2) }, cells: { $0.service }, selectableFields: ["spec.clusterIP", "spec.type"],
    countsGeneration: false, returnsDeleted: true)
}

extension Defaults {
  fileprivate static func service(_ service: inout JSON) {
    service.modifyOrMake("spec") { spec in
      spec.setDefault("sessionAffinity", "None")
      if spec.text("sessionAffinity") == "ClientIP" {
        spec.modifyOrMake("sessionAffinityConfig") { config in
          config.modifyOrMake("clientIP") { $0.setDefault("timeoutSeconds", 10_800) }
        }
      } else {
        spec["sessionAffinityConfig"] = nil
      }
      spec.setDefault("type", "ClusterIP")
      spec.modifyElements("ports") { port in
        port.setDefault("protocol", "TCP")
        if port.isAbsentOrEmpty("targetPort"), let number = port["port"] { port["targetPort"] = number }
      }
      let type = spec.text("type")
      if type == "NodePort" || type == "LoadBalancer" { spec.setDefault("externalTrafficPolicy", "Cluster") }
      if type == "LoadBalancer" { spec.setDefault("allocateLoadBalancerNodePorts", true) }
      if type != "ExternalName" { spec.setDefault("internalTrafficPolicy", "Cluster") }
    }
    service.modifyOrMake("status") { $0.setDefault("loadBalancer", [:]) }
  }
}

extension Validator {
  /// KEP-2433 and KEP-3015.
  private static let trafficDistributions = ["PreferClose", "PreferSameNode", "PreferSameZone"]

  fileprivate mutating func service(_ service: JSON, old: JSON?) {
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

  /// What a load balancer has put into the status of a Service (`ValidateLoadBalancerStatus`).
  private mutating func loadBalancer(_ status: JSON?, old: JSON?) {
    let path = FieldPath.of("status", "loadBalancer", "ingress")
    lazy var known = KnownAddresses(list: old?.at("status", "loadBalancer", "ingress")?.array ?? [], "ip")
    for (index, ingress) in (status?.at("loadBalancer", "ingress")?.array ?? []).enumerated() {
      let ip = ingress.text("ip")
      if !ip.isEmpty { translated(path[index]["ip"], ip, known: known) }
      if ip.isEmpty, let mode = ingress["ipMode"] {
        invalid(path[index]["ipMode"], mode, "may not be used when `ip` is not set")
      }
      let host = ingress.text("hostname")
      if Names.isIPAddress(host) {
        invalid(path[index]["hostname"], .string(host), "must be a DNS name, not an IP address")
      } else if !host.isEmpty {
        check(path[index]["hostname"], host, Names.dns1123Subdomain)
      }
    }
  }
}

extension TableRow {
  fileprivate var service: [String: JSON] {
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
}
