import Wire

extension KindStrategy {
  static let customResourceDefinition = KindStrategy(
    .v1("apiextensions.k8s.io", "CustomResourceDefinition"), defaults: Defaults.customResourceDefinition,
    metadataKeptByStatus: ["labels", "annotations"])
}

extension Defaults {
  fileprivate static func customResourceDefinition(_ definition: inout JSON) {
    definition.modify("spec") { spec in
      spec.modify("names") { names in
        let kind = names.text("kind")
        guard !kind.isEmpty else { return }
        names.setDefault("singular", .string(kind.lowercased()))
        names.setDefault("listKind", .string(kind + "List"))
      }
      spec.modifyOrMake("conversion") { $0.setDefault("strategy", "None") }
    }
  }
}
