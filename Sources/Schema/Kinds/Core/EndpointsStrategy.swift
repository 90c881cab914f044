import Wire

extension KindStrategy {
  static let endpoints = KindStrategy(
    .core("Endpoints"),
    defaults: { endpoints in
      endpoints.modifyElements("subsets") { subset in
        subset.modifyElements("ports") { $0.setDefault("protocol", "TCP") }
      }
    },
    validate: { $0.endpoints($1, old: $2) }, cells: { ["Endpoints": .string($0.endpointsText)] })
}

extension Validator {
  fileprivate mutating func endpoints(_ endpoints: JSON, old: JSON?) {
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
}

extension TableRow {
  fileprivate var endpointsText: String {
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
}
