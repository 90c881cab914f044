import Wire

extension KindStrategy {
  static let ingressClass = KindStrategy(
    .v1("networking.k8s.io", "IngressClass"),
    defaults: { ingressClass in
      ingressClass.modify("spec") { spec in spec.modify("parameters") { $0.setDefault("scope", "Cluster") } }
    },
    cells: { $0.ingressClass })
}

extension TableRow {
  fileprivate var ingressClass: [String: JSON] {
    let parameters = spec["parameters"]
    let kind = parameters?["kind"]?.string ?? ""
    let group = parameters?["apiGroup"]?.string ?? ""
    return [
      "Controller": text(spec["controller"]),
      "Parameters": parameters == nil
        ? "<none>"
        : .string("\(kind)\(group.isEmpty ? "" : ".\(group)")/\(parameters?["name"]?.string ?? "")"),
    ]
  }
}
