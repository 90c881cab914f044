import Wire

extension Validator {
  /// The names of an Event's fields in the group that it is written through.
  struct EventFields {
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
  mutating func event(_ event: JSON, old: JSON?, _ fields: EventFields) {
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
