import Wire

extension KindStrategy {
  static let ingress = KindStrategy(
    .v1("networking.k8s.io", "Ingress"),
    defaults: { ingress in ingress.modifyOrMake("status") { $0.setDefault("loadBalancer", [:]) } },
    validate: { validator, object, _ in validator.ingress(object) },
    warn: { warner, object, old in if old == nil { warner.ingress(object) } }, cells: { $0.ingress })
}

extension Validator {
  fileprivate mutating func ingress(_ ingress: JSON) {
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

extension Warner {
  fileprivate mutating func ingress(_ ingress: JSON) {
    guard ingress.at("metadata", "annotations", "kubernetes.io/ingress.class") != nil else { return }
    warn(
      "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead")
  }
}

extension TableRow {
  fileprivate var ingress: [String: JSON] {
    let hosts = (spec["rules"]?.array ?? []).compactMap { $0["host"]?.string }
    let addresses = (status.at("loadBalancer", "ingress")?.array ?? []).compactMap {
      $0["ip"]?.string ?? $0["hostname"]?.string
    }
    let ports = (spec["tls"]?.array ?? []).isEmpty ? "80" : "80, 443"
    return [
      "Class": text(spec["ingressClassName"]), "Hosts": .string(hosts.isEmpty ? "*" : shortened(hosts)),
      "Address": .string(addresses.joined(separator: ",")), "Ports": .string(ports),
    ]
  }
}
