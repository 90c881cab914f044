import Wire

extension KindStrategy {
  static let controllerRevision = KindStrategy(
    .v1("apps", "ControllerRevision"),
    validate: { validator, object, _ in validator.notNegative(.of("revision"), object["revision"]) },
    cells: { row in
      let owners = row.object.at("metadata", "ownerReferences")?.array ?? []
      let owner = owners.first { $0["controller"]?.bool == true }
      return [
        "Controller": .string(
          owner.map { "\(($0["kind"]?.string ?? "").lowercased())/\($0["name"]?.string ?? "")" } ?? "<none>"),
        "Revision": .int(row.count(row.object["revision"])),
      ]
    })
}
