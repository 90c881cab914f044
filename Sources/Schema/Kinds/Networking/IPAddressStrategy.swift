import Wire

extension KindStrategy {
  static let ipAddress = KindStrategy(
    .v1("networking.k8s.io", "IPAddress"),
    nameProblems: { Names.isIPAddress($0) ? [] : ["must be a valid IP address"] },
    validate: { $0.address($1, old: $2) }, cells: { $0.address })
}

extension Validator {
  fileprivate mutating func address(_ address: JSON, old: JSON?) {
    let path = FieldPath.of("spec", "parentRef")
    guard let parent = address.at("spec", "parentRef") else { return required(path) }
    for field in ["resource", "name"] { checkRequired(path[field], parent.text(field), Names.pathSegment) }
    if !parent.text("group").isEmpty { check(path["group"], parent.text("group"), Names.dns1123Subdomain) }
    if !parent.text("namespace").isEmpty { check(path["namespace"], parent.text("namespace"), Names.pathSegment) }
    if let before = old?.at("spec", "parentRef") { immutable(path, parent, before) }
  }
}

extension TableRow {
  fileprivate var address: [String: JSON] {
    let parent = spec["parentRef"]
    let parts = ["resource", "group"].compactMap { parent?[$0]?.string }.filter { !$0.isEmpty }
    let names = ["namespace", "name"].compactMap { parent?[$0]?.string }.filter { !$0.isEmpty }
    return ["ParentRef": .string((([parts.joined(separator: ".")] + names).joined(separator: "/")))]
  }
}
