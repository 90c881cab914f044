import Wire

extension KindStrategy {
  static let binding = KindStrategy(
    .core("Binding"),
    validate: { validator, object, _ in
      if object.at("target", "name")?.string?.isEmpty ?? true { validator.required(.of("target", "name")) }
    })
}
