import Wire

extension KindStrategy {
  static let resourceQuota = KindStrategy(
    .core("ResourceQuota"),
    validate: { validator, object, _ in
      for member in object["spec"]?.members("hard") ?? [] {
        guard let quantity = Quantity(member.value.string ?? ""), quantity < .zero else { continue }
        validator.invalid(
          FieldPath.of("spec", "hard")[key: member.key], member.value, "must be greater than or equal to 0")
      }
    },
    cells: { $0.quota }, countsGeneration: false, returnsDeleted: true)
}

extension TableRow {
  fileprivate var quota: [String: JSON] {
    var requests: [String] = []
    var limits: [String] = []
    for (name, hard) in (status["hard"] ?? spec["hard"])?.object?.members ?? [] {
      let used = text(status["used"]?[name], or: "0").string ?? ""
      let part = "\(name): \(used)/\(text(hard, or: "").string ?? "")"
      if name.hasPrefix("limits.") { limits.append(part) } else { requests.append(part) }
    }
    return [
      "Request": .string(requests.sorted().joined(separator: ", ")),
      "Limit": .string(limits.sorted().joined(separator: ", ")),
    ]
  }
}
