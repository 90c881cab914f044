import Wire

extension KindStrategy {
  /// Events as older recorders write them, and as all are stored.
  static let event = KindStrategy(
    .core("Event"), validate: { $0.event($1, old: $2, .core) }, cells: { $0.event },
    selectableFields: subjectFields.map { SelectableField("involvedObject.\($0)") } + [
      "reason", "reportingComponent",
      // An event of a newer recorder names its component elsewhere.
      SelectableField("source", at: "source.component", "reportingComponent"), "type",
    ])

  /// The same events as newer recorders write them.
  static let eventsEvent = KindStrategy(
    .v1("events.k8s.io", "Event"), validate: { $0.event($1, old: $2, .events) }, cells: { $0.event },
    conversion: .events,
    selectableFields: subjectFields.map { SelectableField("regarding.\($0)", at: "involvedObject.\($0)") } + [
      "reason", SelectableField("reportingController", at: "reportingComponent"), "type",
    ])

  private static let subjectFields = [
    "kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath",
  ]
}

extension Validator {
  /// The names of an Event's fields in the group that it is written through.
  fileprivate struct EventFields {
    let subject: String
    let message: String
    let reporter: String
    /// Those that only older recorders may fill.
    let outdated: [String]

    static let core = EventFields(
      subject: "involvedObject", message: "message", reporter: "reportingComponent", outdated: [])
    static let events = EventFields(
      subject: "regarding", message: "note", reporter: "reportingController",
      outdated: ["deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedCount", "deprecatedSource"])
  }

  private static let eventTextBytesMax = 128
  private static let eventNoteBytesMax = 1024

  /// Events of newer recorders have an `eventTime` and say who reports what; those of older ones need not
  /// (`pkg/apis/core/validation/events.go`).
  fileprivate mutating func event(_ event: JSON, old: JSON?, _ fields: EventFields) {
    let isNew = event["eventTime"]?.string != nil
    eventPlace(event, fields, isNew: isNew)
    if isNew { eventReport(event, fields) }
    guard !fields.outdated.isEmpty else { return }
    if let old {
      let fixed = [
        fields.subject, "reason", fields.message, "type", "eventTime", "action", "related", fields.reporter,
        "reportingInstance",
      ]
      for field in fixed + fields.outdated { immutable(.of(field), event[field], old[field]) }
      if event["series"] != old["series"] { eventSeries(event) }
      return
    }
    eventSeries(event)
    if !isNew { required(.of("eventTime")) }
    let type = event.text("type")
    if type != "Normal", type != "Warning" { invalid(.of("type"), "", "has invalid value: \(type)") }
    for field in fields.outdated where !event.isAbsentOrEmpty(field) { invalid(.of(field), "", "needs to be unset") }
  }

  private mutating func eventPlace(_ event: JSON, _ fields: EventFields, isNew: Bool) {
    let namespace = event.at("metadata", "namespace")?.string ?? ""
    let subject = event.at(fields.subject, "namespace")?.string ?? ""
    // What belongs to no namespace is told of in `default`, or by newer recorders in `kube-system`.
    let isRight =
      subject.isEmpty
      ? namespace.isEmpty || namespace == "default" || isNew && namespace == "kube-system"
      : isNew || namespace == subject
    if !isRight { invalid(.of(fields.subject, "namespace"), .string(subject), "does not match event.namespace") }
  }

  private mutating func eventReport(_ event: JSON, _ fields: EventFields) {
    checkRequired(.of(fields.reporter), event.text(fields.reporter), Names.qualifiedName)
    for field in ["reportingInstance", "action", "reason"] {
      let text = event.text(field)
      if text.isEmpty { required(.of(field)) }
      if text.utf8.count > Self.eventTextBytesMax {
        invalid(.of(field), "", "can have at most \(Self.eventTextBytesMax) characters")
      }
    }
    if event.text(fields.message).utf8.count > Self.eventNoteBytesMax {
      invalid(.of(fields.message), "", "can have at most \(Self.eventNoteBytesMax) characters")
    }
  }

  private mutating func eventSeries(_ event: JSON) {
    guard let series = event["series"] else { return }
    if (series["count"]?.int ?? 0) < 2 { invalid(.of("series", "count"), "", "should be at least 2") }
    if series["lastObservedTime"]?.string == nil { required(.of("series", "lastObservedTime")) }
  }
}

extension TableRow {
  fileprivate var event: [String: JSON] {
    let target = object["involvedObject"] ?? object["regarding"]
    // The two groups that serve events call some fields differently.
    func either(_ name: String, _ other: String) -> JSON? { object[name] ?? object[other] }
    let first = either("firstTimestamp", "deprecatedFirstTimestamp")?.string ?? object["eventTime"]?.string
    let last =
      object.at("series", "lastObservedTime")?.string ?? either("lastTimestamp", "deprecatedLastTimestamp")?.string
      ?? object["eventTime"]?.string
    let source = either("source", "deprecatedSource")
    let component =
      source?["component"]?.string ?? either("reportingComponent", "reportingController")?.string ?? ""
    let host = source?["host"]?.string ?? ""
    let seen = object.at("series", "count")?.int ?? either("count", "deprecatedCount")?.int ?? 1
    return [
      "Last Seen": .string(since(last)), "First Seen": .string(since(first)), "Type": text(object["type"], or: ""),
      "Reason": text(object["reason"], or: ""),
      "Object": .string("\((target?["kind"]?.string ?? "").lowercased())/\(target?["name"]?.string ?? "")"),
      "Subobject": text(target?["fieldPath"], or: ""),
      "Source": .string(host.isEmpty ? component : "\(component), \(host)"),
      "Message": .string(
        (object["message"]?.string ?? object["note"]?.string ?? "").replacing("\n", with: " ")),
      "Count": .string("\(seen)"),
    ]
  }
}

extension KindConversion {
  /// The events of newer recorders are those of older ones under other names (KEP-383).
  fileprivate static let events: KindConversion = {
    let names: [(served: String, stored: String)] = [
      ("regarding", "involvedObject"), ("note", "message"),
      ("reportingController", "reportingComponent"), ("deprecatedSource", "source"),
      ("deprecatedFirstTimestamp", "firstTimestamp"), ("deprecatedLastTimestamp", "lastTimestamp"),
      ("deprecatedCount", "count"),
    ]
    let toStorage = Dictionary(uniqueKeysWithValues: names.map { ($0.served, $0.stored) })
    let fromStorage = Dictionary(uniqueKeysWithValues: names.map { ($0.stored, $0.served) })
    return KindConversion(
      served: .v1("events.k8s.io", "Event"), storage: .core("Event"), resource: "events",
      toStorage: { $0.rename(toStorage) }, fromStorage: { $0.rename(fromStorage) })
  }()
}

extension JSON {
  fileprivate mutating func rename(_ names: [String: String]) {
    guard case .object(let object) = self else { return }
    self = .object(
      JSONObject(uniqueMembers: object.members.map { (key: names[$0.key] ?? $0.key, value: $0.value) }))
  }
}
