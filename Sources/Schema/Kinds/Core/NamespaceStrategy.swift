import Wire

extension KindStrategy {
  static let namespace = KindStrategy(
    .core("Namespace"), nameProblems: Names.dns1123Label, defaults: Defaults.namespace,
    cells: { ["Status": $0.text($0.status["phase"])] }, selectableFields: ["status.phase"], countsGeneration: false,
    // The namespace's own finalizers go through its subresource.
    prepareUpdate: { namespace, current in namespace["spec"] = current["spec"] },
    markDeleted: { namespace in
      namespace["metadata"]?["deletionGracePeriodSeconds"] = nil
      namespace["status"]?["phase"] = "Terminating"
    },
    isHeld: { $0.at("spec", "finalizers")?.array?.isEmpty == false })
}

extension Defaults {
  fileprivate static func namespace(_ namespace: inout JSON) {
    namespace.modifyOrMake("status") { $0.setDefault("phase", "Active") }
    // Lets selectors choose a namespace by its name; nobody can take the label away.
    let name = namespace.at("metadata", "name")?.string ?? ""
    guard !name.isEmpty else { return }
    namespace.modify("metadata") { metadata in
      metadata.modifyOrMake("labels") { $0["kubernetes.io/metadata.name"] = .string(name) }
    }
  }
}
