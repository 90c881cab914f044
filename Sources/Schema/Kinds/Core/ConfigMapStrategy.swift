import Wire

extension KindStrategy {
  static let configMap = KindStrategy(
    .core("ConfigMap"), validate: { $0.configMap($1, old: $2) },
    cells: { ["Data": .int(Int64($0.size("data") + $0.size("binaryData")))] })
}

extension Validator {
  fileprivate mutating func configMap(_ map: JSON, old: JSON?) {
    var bytes = 0
    let text = map["data"]?.object
    for name in ["data", "binaryData"] {
      for member in map.members(name) {
        check(FieldPath.of(name)[key: member.key], member.key, Names.configKey)
        if name == "binaryData", text?.index(of: member.key) != nil {
          invalid(FieldPath.of(name)[key: member.key], .string(member.key), "duplicate of key present in data")
        }
        let size = member.value.string?.utf8.count ?? 0
        bytes += member.key.utf8.count + (name == "data" ? size : size / 4 * 3)
      }
    }
    if bytes > Self.dataBytesMax { report(.tooLong(.root, Self.dataBytesMax)) }
    immutableData(map, old, "binaryData")
  }
}
