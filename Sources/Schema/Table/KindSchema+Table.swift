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
  /// A column whose name no rule of the kind knows is empty, except for those that every object has.
  public func tableRow(_ object: JSON, now: Timestamp) -> [JSON] {
    let row = TableRow(object: object, now: now)
    let cells = group.isEmpty || TableRow.groups.contains(group) ? row.cells(kind: kind) : [:]
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

/// One object on its way into a table.
struct TableRow {
  static let groups: Set<String> = [
    "apps", "batch", "autoscaling", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io",
    "scheduling.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "certificates.k8s.io", "node.k8s.io",
    "events.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io",
    "flowcontrol.apiserver.k8s.io", "resource.k8s.io", "storagemigration.k8s.io",
  ]

  let object: JSON
  let now: Timestamp

  func meta(_ name: String) -> JSON { object.at("metadata", name) ?? "" }
  var spec: JSON { object["spec"] ?? .null }
  var status: JSON { object["status"] ?? .null }
  var age: String { since(object.at("metadata", "creationTimestamp")?.string) }

  func text(_ value: JSON?, or none: String = "<none>") -> JSON {
    switch value {
    case .string(let text) where !text.isEmpty: .string(text)
    case .int(let number): .string("\(number)")
    case .bool(let flag): .string("\(flag)")
    default: .string(none)
    }
  }

  func count(_ value: JSON?) -> Int64 { value?.int ?? 0 }

  /// The time since an RFC 3339 time, in the two largest units that say something.
  func since(_ text: String?) -> String {
    guard let text, let time = Timestamp(rfc3339: text) else { return "<unknown>" }
    return Self.human(now.since(time))
  }

  /// As `kubectl` writes durations: `90s`, `5m30s`, `3h5m`, `2d4h`, `3y20d`.
  static func human(_ duration: Duration) -> String {
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
  func selector(_ selector: JSON?) -> JSON {
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

  func labels(_ labels: JSON?) -> [String] {
    (labels?.object?.members ?? []).map { "\($0.key)=\($0.value.string ?? "")" }.sorted()
  }

  /// The names and images of a pod template's containers.
  func containers(_ podSpec: JSON?) -> (names: JSON, images: JSON) {
    let containers = podSpec?["containers"]?.array ?? []
    return (
      .string(containers.compactMap { $0["name"]?.string }.joined(separator: ",")),
      .string(containers.compactMap { $0["image"]?.string }.joined(separator: ","))
    )
  }

  func cells(kind: String) -> [String: JSON] {
    switch kind {
    case "Pod": pod
    case "Node": node
    case "Service": service
    case "Endpoints": ["Endpoints": .string(endpointsText)]
    case "Namespace": ["Status": text(status["phase"])]
    case "ConfigMap": ["Data": .int(Int64(size("data") + size("binaryData")))]
    case "Secret": ["Type": text(object["type"]), "Data": .int(Int64(size("data")))]
    case "Event": event
    case "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController": workload(kind)
    case "Job": job
    case "CronJob": cronJob
    case "EndpointSlice": endpointSlice
    case "PersistentVolumeClaim": claim
    case "PersistentVolume": volume
    default: fields(of: kind)
    }
  }

  func size(_ member: String) -> Int { object[member]?.object?.count ?? 0 }
}
