import Wire

extension Validator {
  /// What Kubernetes allows a ConfigMap or a Secret to hold.
  static let dataBytesMax = 1 << 20

  /// The contents of a ConfigMap or a Secret that says that it never changes.
  mutating func immutableData(_ new: JSON, _ old: JSON?, _ other: String) {
    guard let old, old["immutable"]?.bool == true else { return }
    if new["immutable"]?.bool != true { forbidden(.of("immutable"), "field is immutable when `immutable` is set") }
    for name in ["data", other] where new[name] ?? [:] != old[name] ?? [:] {
      // The contents may be secret: they are not repeated in the message.
      forbidden(.of(name), "field is immutable when `immutable` is set")
    }
  }
}
