import Wire

extension KindStrategy {
  static let serviceCIDR = KindStrategy(
    .v1("networking.k8s.io", "ServiceCIDR"), validate: { $0.serviceRange($1, old: $2) },
    cells: { row in
      ["CIDRs": .string((row.spec["cidrs"]?.array ?? []).compactMap(\.string).joined(separator: ","))]
    })
}

extension Validator {
  fileprivate mutating func serviceRange(_ range: JSON, old: JSON?) {
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
}
