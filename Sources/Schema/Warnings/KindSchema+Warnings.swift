public import Wire

extension KindSchema {
  /// What an object that may be stored probably does not mean to say; clients show it as `Warning:` (KEP-1693).
  ///
  /// - Parameter old: the stored object when this is an update.
  public func warnings(_ object: JSON, old: JSON?) -> [String] {
    var warner = Warner()
    strategy.warn?(&warner, object, old)
    return warner.warnings
  }
}

/// Collects warnings about one object. The rules are those of Kubernetes (`pkg/api/*/warnings.go`). It has
/// what kinds share; each kind's own are in its file.
package struct Warner {
  private(set) var warnings: [String] = []

  /// More than anybody reads, and than an answer carries.
  private static let countMax = 64

  /// About one field.
  package mutating func warn(_ path: FieldPath, _ text: String) {
    if warnings.count < Self.countMax { warnings.append("\(path): \(text)") }
  }

  /// About the object as a whole.
  package mutating func warn(_ text: String) {
    if warnings.count < Self.countMax { warnings.append(text) }
  }

  /// A workload's pods, when they are new or have changed.
  mutating func workload(_ object: JSON, _ old: JSON?) {
    template(object.at("spec", "template"), old?.at("spec", "template"), .of("spec", "template"))
  }

  mutating func template(_ template: JSON?, _ old: JSON?, _ path: FieldPath) {
    guard let template, template.object != nil, template != old else { return }
    pod(template, path)
  }

  /// The pods of a Job are called after it.
  mutating func podBaseName(_ object: JSON) {
    let problems = Names.dns1123Label(object.at("metadata", "name")?.string ?? "")
    guard !problems.isEmpty else { return }
    warn(
      .of("metadata", "name"),
      "this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: "
        + "[\(problems.joined(separator: " "))]")
  }

  mutating func claim(_ spec: JSON?, _ path: FieldPath) {
    for list in ["requests", "limits"] {
      wholeBytes(spec?.at("resources", list), ["storage"], path["resources"][list])
    }
  }

  /// Amounts of bytes that are no whole numbers, such as `1.1Gi`.
  package mutating func wholeBytes(_ amounts: JSON?, _ names: [String], _ path: FieldPath) {
    for name in names {
      guard let text = amounts?[name]?.string, let quantity = Quantity(text), quantity.nanos % 1_000_000_000 != 0 else {
        continue
      }
      warn(path[key: name], "fractional byte value \"\(text)\" is invalid, must be an integer")
    }
  }
}
