import Wire

extension KindSchema {
  /// The columns of the kind's table: those that it declares, else name and age.
  public var tableColumns: [ColumnSchema] { columns.isEmpty ? Self.plainColumns : columns }

  private static let plainColumns = [
    ColumnSchema(name: "Name", type: "string", format: "name", priority: 0, description: "The object's name."),
    ColumnSchema(name: "Age", type: "string", format: "", priority: 0, description: "The time since its creation."),
  ]

  /// The cells of an object under the kind's columns, as `kubectl get` shows them.
  ///
  /// A column whose name the kind's strategy does not know is empty, except for those that every object has.
  public func tableRow(_ object: JSON, now: Timestamp) -> [JSON] {
    let row = TableRow(object: object, now: now)
    let cells = strategy.cells?(row) ?? [:]
    return tableColumns.map { column in
      if let cell = cells[column.name] { return cell }
      switch column.name {
      case "Name": return row.meta("name")
      case "Age": return .string(row.age)
      case "Created At": return row.meta("creationTimestamp")
      default: return column.type == "integer" ? 0 : ""
      }
    }
  }
}

/// One object on its way into a table. It has what the cells of several kinds are made of.
package struct TableRow {
  package let object: JSON
  package let now: Timestamp

  /// A member of the metadata; empty when there is none.
  package func meta(_ name: String) -> JSON { object.at("metadata", name) ?? "" }
  package var spec: JSON { object["spec"] ?? .null }
  package var status: JSON { object["status"] ?? .null }
  package var age: String { since(object.at("metadata", "creationTimestamp")?.string) }

  /// A value as text, or `none`.
  package func text(_ value: JSON?, or none: String = "<none>") -> JSON {
    switch value {
    case .string(let text) where !text.isEmpty: .string(text)
    case .int(let number): .string("\(number)")
    case .bool(let flag): .string("\(flag)")
    default: .string(none)
    }
  }

  /// A whole number; 0 when there is none.
  package func count(_ value: JSON?) -> Int64 { value?.int ?? 0 }

  /// The time since an RFC 3339 time, in the two largest units that say something.
  package func since(_ text: String?) -> String {
    guard let text, let time = Timestamp(rfc3339: text) else { return "<unknown>" }
    return Self.human(now.since(time))
  }

  /// As `kubectl` writes durations: `90s`, `5m30s`, `3h5m`, `2d4h`, `3y20d`.
  package static func human(_ duration: Duration) -> String {
    let seconds = duration.components.seconds
    if seconds < -1 { return "<invalid>" }
    if seconds < 0 { return "0s" }
    if seconds < 120 { return "\(seconds)s" }
    let minutes = seconds / 60
    func pair(_ large: Int64, _ unit: String, _ small: Int64, _ smallUnit: String) -> String {
      small == 0 ? "\(large)\(unit)" : "\(large)\(unit)\(small)\(smallUnit)"
    }
    if minutes < 10 { return pair(minutes, "m", seconds % 60, "s") }
    if minutes < 180 { return "\(minutes)m" }
    let hours = minutes / 60
    if hours < 8 { return pair(hours, "h", minutes % 60, "m") }
    if hours < 48 { return "\(hours)h" }
    let days = hours / 24
    if hours < 192 { return pair(days, "d", hours % 24, "h") }
    if days < 730 { return "\(days)d" }
    if days < 365 * 8 { return pair(days / 365, "y", days % 365, "d") }
    return "\(days / 365)y"
  }

  /// Labels or a label selector as one text.
  package func selector(_ selector: JSON?) -> JSON {
    var parts = labels(selector?["matchLabels"])
    for expression in selector?["matchExpressions"]?.array ?? [] {
      let key = expression["key"]?.string ?? ""
      let values = (expression["values"]?.array ?? []).compactMap(\.string).sorted().joined(separator: ",")
      switch expression["operator"]?.string {
      case "In": parts.append("\(key) in (\(values))")
      case "NotIn": parts.append("\(key) notin (\(values))")
      case "Exists": parts.append(key)
      case "DoesNotExist": parts.append("!\(key)")
      default: break
      }
    }
    return .string(parts.isEmpty ? "<none>" : parts.joined(separator: ","))
  }

  /// Labels as `key=value`, sorted.
  package func labels(_ labels: JSON?) -> [String] {
    (labels?.object?.members ?? []).map { "\($0.key)=\($0.value.string ?? "")" }.sorted()
  }

  /// The names and images of a pod template's containers.
  package func containers(_ podSpec: JSON?) -> (names: JSON, images: JSON) {
    let containers = podSpec?["containers"]?.array ?? []
    return (
      .string(containers.compactMap { $0["name"]?.string }.joined(separator: ",")),
      .string(containers.compactMap { $0["image"]?.string }.joined(separator: ","))
    )
  }

  /// The first three, and how many more there are.
  package func shortened(_ items: [String]) -> String {
    if items.isEmpty { return "<none>" }
    if items.count <= 3 { return items.joined(separator: ",") }
    return items[..<3].joined(separator: ",") + " + \(items.count - 3) more..."
  }

  /// Access modes of volumes, as people write them.
  func accessModes(_ modes: JSON?) -> String {
    (modes?.array ?? []).compactMap(\.string).map {
      switch $0 {
      case "ReadWriteOnce": "RWO"
      case "ReadOnlyMany": "ROX"
      case "ReadWriteMany": "RWX"
      case "ReadWriteOncePod": "RWOP"
      default: $0
      }
    }.joined(separator: ",")
  }

  /// The condition of a type.
  package func condition(_ type: String) -> JSON? {
    (status["conditions"]?.array ?? []).first { $0["type"]?.string == type }
  }

  /// How many members a map of the object has.
  package func size(_ member: String) -> Int { object[member]?.object?.count ?? 0 }
}
