import Wire

extension KindStrategy {
  static let podTemplate = KindStrategy(
    .core("PodTemplate"), defaults: Defaults.podTemplate,
    validate: { validator, object, _ in validator.podTemplate(object["template"] ?? [:], .of("template")) },
    warn: { $0.template($1["template"], $2?["template"], .of("template")) },
    cells: { row in
      let template = row.containers(row.object.at("template", "spec"))
      let labels = row.labels(row.object.at("template", "metadata", "labels"))
      return [
        "Containers": template.names, "Images": template.images, "Pod Labels": .string(labels.joined(separator: ",")),
      ]
    }, returnsDeleted: true)
}
