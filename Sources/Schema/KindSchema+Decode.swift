public import Wire

/// What decoding found.
public struct DecodeReport: Sendable, Equatable {
  /// Paths of members that the kind does not have, in their order; they were removed.
  public var unknownFields: [String] = []
  /// Values of a wrong type or form. An object with any must be refused.
  public var errors: [FieldError] = []

  /// At most this many of each are kept; one mistake is often made in every element of a list.
  static let countMax = 64

  /// What `fieldValidation=Strict` refuses and `Warn` warns of: `unknown field "spec.foo"`.
  public var unknownFieldMessages: [String] { unknownFields.map { "unknown field \"\($0)\"" } }
}

extension KindSchema {
  /// Brings an object that came from outside into canonical form.
  ///
  /// Members that the kind does not have are removed and reported; values of a wrong type are reported; nulls and
  /// empty values of `omitempty` fields are removed; times, quantities and byte strings are checked, and times and
  /// quantities are rewritten in canonical form. This is what a decode into Go's structs followed by an encode does.
  public func decode(_ json: inout JSON) -> DecodeReport {
    root.decode(&json)
  }
}

extension StructSchema {
  /// Like `KindSchema.decode`, for a part of an object.
  public func decode(_ json: inout JSON) -> DecodeReport {
    var decoder = SchemaDecoder()
    decoder.decode(&json, self)
    return decoder.report
  }
}

private struct SchemaDecoder {
  enum Step {
    case name(String)
    case index(Int)
    case key(String)
  }

  enum Outcome {
    case keep
    case remove
  }

  var report = DecodeReport()
  /// Text is made of it only when there is something to report.
  var path: [Step] = []

  mutating func decode(_ json: inout JSON, _ structure: StructSchema) {
    guard case .object(var object) = json else {
      mismatch(json, "an object")
      return
    }
    json = .null
    var removed: [Int] = []
    for index in 0..<object.count {
      let name = object.members[index].key
      path.append(.name(name))
      if let position = structure.position(name) {
        let field = structure.fields[position]
        var outcome = Outcome.keep
        object.update(at: index) { outcome = decode(member: &$0, field) }
        if outcome == .remove { removed.append(index) }
      } else {
        if report.unknownFields.count < DecodeReport.countMax { report.unknownFields.append(pathText) }
        removed.append(index)
      }
      path.removeLast()
    }
    if !removed.isEmpty {
      var index = 0
      var next = 0
      object.removeAll { _ in
        defer { index += 1 }
        guard next < removed.count, removed[next] == index else { return false }
        next += 1
        return true
      }
    }
    json = .object(object)
  }

  private mutating func decode(member json: inout JSON, _ field: FieldSchema) -> Outcome {
    if case .null = json {
      if case .any = field.type { return .keep }
      return .remove
    }
    decode(&json, field.type)
    // A pointer keeps its zero value; so do structs and those types whose zero value Go writes.
    guard field.omitsEmpty, !field.isPointer, json.isEmptyValue else { return .keep }
    switch field.type {
    case .structure, .quantity, .intOrString, .any, .object: return .keep
    default: return .remove
    }
  }

  private mutating func decode(_ json: inout JSON, _ type: TypeSchema) {
    switch type {
    case .structure(let structure): decode(&json, structure)
    case .string: if case .string = json {} else { mismatch(json, "a string") }
    case .bool: if case .bool = json {} else { mismatch(json, "a boolean") }
    case .int64: whole(&json, in: Int64.min...Int64.max, "a 64-bit whole number")
    case .int32: whole(&json, in: Int64(Int32.min)...Int64(Int32.max), "a 32-bit whole number")
    case .double: if json.number == nil { mismatch(json, "a number") }
    case .intOrString:
      switch json {
      case .string: break
      case .int, .double: whole(&json, in: Int64(Int32.min)...Int64(Int32.max), "a 32-bit whole number or a string")
      default: mismatch(json, "a whole number or a string")
      }
    case .quantity: quantity(&json)
    case .time: time(&json, length: 20) { $0.rfc3339 }
    case .microTime: time(&json, length: 27) { $0.rfc3339Micro }
    case .duration:
      guard case .string(let text) = json else { return mismatch(json, "a duration such as \"1m30s\"") }
      if GoDuration.parse(text) == nil { invalid(json, "must be a duration such as \"1m30s\"") }
    case .bytes:
      guard case .string(let text) = json else { return mismatch(json, "a base64 string") }
      // The value may be secret: it is not repeated in the message.
      if Base64.decode(text) == nil { invalid(.string("<base64>"), "must be base64 (RFC 4648, with padding)") }
    case .any: break
    case .object: if case .object = json {} else { mismatch(json, "an object") }
    case .list(let element):
      guard case .array(var elements) = json else { return mismatch(json, "a list") }
      json = .null
      for index in elements.indices {
        path.append(.index(index))
        if elements[index].isNull { elements[index] = Self.zero(element) }
        decode(&elements[index], element)
        path.removeLast()
      }
      json = .array(elements)
    case .map(let element):
      guard case .object(var object) = json else { return mismatch(json, "an object") }
      json = .null
      for index in 0..<object.count {
        path.append(.key(object.members[index].key))
        object.update(at: index) {
          if $0.isNull { $0 = Self.zero(element) }
          decode(&$0, element)
        }
        path.removeLast()
      }
      json = .object(object)
    }
  }

  /// What null means as an element: Go's zero value.
  private static func zero(_ type: TypeSchema) -> JSON {
    switch type {
    case .string, .bytes: ""
    case .bool: false
    case .int32, .int64, .double, .intOrString: 0
    case .quantity: "0"
    case .structure, .map, .object: [:]
    case .list: []
    case .time, .microTime, .duration, .any: nil
    }
  }

  private mutating func whole(_ json: inout JSON, in range: ClosedRange<Int64>, _ expected: String) {
    guard let value = json.int else { return mismatch(json, expected) }
    guard range.contains(value) else { return invalid(json, "must be \(expected)") }
    json = .int(value)
  }

  private mutating func quantity(_ json: inout JSON) {
    let text: String
    switch json {
    case .string(let value): text = value
    case .int(let value): text = "\(value)"
    case .double(let value): text = "\(value)"
    default: return mismatch(json, "a quantity such as \"100m\" or \"64Mi\"")
    }
    guard let canonical = QuantityText.canonical(text) else {
      return invalid(json, "must be a quantity such as \"100m\", \"1.5\" or \"64Mi\"")
    }
    if case .string = json, canonical == text { return }
    json = .string(canonical)
  }

  /// - Parameter length: how long the canonical text is; a text of that length in UTC stays as it is.
  private mutating func time(_ json: inout JSON, length: Int, _ canonical: (Timestamp) -> String) {
    guard case .string(let text) = json else { return mismatch(json, "a time (RFC 3339)") }
    guard let time = Timestamp(rfc3339: text) else {
      return invalid(json, "must be a time in RFC 3339, such as \"2026-01-31T08:30:00Z\"")
    }
    guard text.utf8.count != length || text.utf8.last != UInt8(ascii: "Z") else { return }
    let inUTC = canonical(time)
    // An offset can lead out of the years that can be written.
    guard Timestamp(rfc3339: inUTC) != nil else { return invalid(json, "must be in the years 0000 to 9999 of UTC") }
    json = .string(inUTC)
  }

  private mutating func mismatch(_ json: JSON, _ expected: String) {
    let found =
      json.isNull
      ? "null"
      : json.typeName == "array" || json.typeName == "object"
        ? "an \(json.typeName)"
        : "a \(json.typeName)"
    // Whole objects are not repeated in messages.
    let shown: JSON
    switch json {
    case .object, .array: shown = .string(json.typeName)
    default: shown = json
    }
    report(FieldError(type: .typeInvalid, path: pathText, value: shown, detail: "expected \(expected), found \(found)"))
  }

  private mutating func invalid(_ json: JSON, _ detail: String) {
    report(FieldError(type: .invalid, path: pathText, value: json, detail: detail))
  }

  private mutating func report(_ error: FieldError) {
    if report.errors.count < DecodeReport.countMax { report.errors.append(error) }
  }

  private var pathText: String {
    var text = ""
    for step in path {
      switch step {
      case .name(let name): text += text.isEmpty ? name : ".\(name)"
      case .index(let index): text += "[\(index)]"
      case .key(let key): text += ".\(key)"
      }
    }
    return text
  }
}
