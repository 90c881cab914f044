import Wire

extension KindStrategy {
  static let endpointSlice = KindStrategy(
    .v1("discovery.k8s.io", "EndpointSlice"),
    defaults: { slice in
      slice.modifyElements("ports") { port in
        port.setDefault("name", "")
        port.setDefault("protocol", "TCP")
      }
    },
    validate: { $0.endpointSlice($1, old: $2) }, cells: { $0.endpointSlice })
}

extension Validator {
  fileprivate mutating func endpointSlice(_ slice: JSON, old: JSON?) {
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
}

extension TableRow {
  fileprivate var endpointSlice: [String: JSON] {
    let ports = (object["ports"]?.array ?? []).map { text($0["port"], or: "<unset>").string ?? "" }
    let addresses = (object["endpoints"]?.array ?? []).flatMap { $0["addresses"]?.array ?? [] }.compactMap(\.string)
    return [
      "AddressType": text(object["addressType"]),
      "Ports": .string(ports.isEmpty ? "<unset>" : shortened(ports)),
      "Endpoints": .string(addresses.isEmpty ? "<unset>" : shortened(addresses)),
    ]
  }
}
