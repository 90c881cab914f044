import KubeClient
import Schema
import Wire

/// Reads protobuf bodies. Several kubectl commands (`create`, `auth can-i`, `delete`) send nothing else.
///
/// A body is `6b 38 73 00`, then `runtime.Unknown {1: TypeMeta {1: apiVersion, 2: kind}, 2: raw message}`; the field
/// numbers of the message stand in the schemas. The result is the JSON that the same object would have been.
struct ProtobufBody {
  private static let magic: [UInt8] = [0x6B, 0x38, 0x73, 0x00]
  private static let depthMax = 64
  private static let mapCountMax = 20_000

  /// Why bytes are no such body.
  struct Malformed: Error {
    var message: String
    init(_ message: String) { self.message = message }
  }

  private enum Value {
    case number(UInt64)
    case bytes(ArraySlice<UInt8>)
  }

  /// - Throws: 400 with what is wrong.
  static func parse(_ bytes: [UInt8], _ schemas: SchemaRegistry) throws(KubeError) -> JSON {
    do {
      guard bytes.starts(with: magic) else { throw Malformed("it does not begin with 6b 38 73 00") }
      var apiVersion = ""
      var kindName = ""
      var raw: ArraySlice<UInt8> = []
      try forEachField(bytes[magic.count...]) { number, value in
        switch (number, value) {
        case (1, .bytes(let meta)):
          try forEachField(meta) { number, value in
            guard case .bytes(let text) = value else { return }
            if number == 1 { apiVersion = String(decoding: text, as: UTF8.self) }
            if number == 2 { kindName = String(decoding: text, as: UTF8.self) }
          }
        case (2, .bytes(let message)): raw = message
        default: break
        }
      }
      guard let groupVersion = GroupVersion(apiVersion: apiVersion) else {
        throw Malformed("its apiVersion \"\(apiVersion)\" is none")
      }
      let kind =
        schemas.kind(GroupVersionKind(group: groupVersion.group, version: groupVersion.version, kind: kindName))
        // The options kinds belong to every group.
        ?? schemas.kind(GroupVersionKind(group: "meta.k8s.io", version: "v1", kind: kindName))
        ?? schemas.kind(GroupVersionKind(group: "", version: "v1", kind: kindName))
      guard let kind else { throw Malformed("no kind \"\(kindName)\" is registered in version \"\(apiVersion)\"") }
      var object: JSONObject = ["apiVersion": .string(apiVersion), "kind": .string(kindName)]
      try message(raw, kind.root.fields.map { ($0, 0) }, into: &object, depth: 0)
      return .object(object)
    } catch let error as Malformed {
      throw .badRequest("the protobuf body cannot be read: \(error.message)")
    } catch {
      throw .badRequest("the protobuf body cannot be read")
    }
  }

  // MARK: The wire format (protobuf.dev/programming-guides/encoding)

  private static func varint(_ bytes: ArraySlice<UInt8>, _ at: inout Int) throws -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while at < bytes.endIndex, shift < 70 {
      let byte = bytes[at]
      at += 1
      if shift < 64 { value |= UInt64(byte & 0x7F) << shift }
      if byte < 0x80 { return value }
      shift += 7
    }
    throw Malformed("a number is cut off")
  }

  private static func forEachField(
    _ bytes: ArraySlice<UInt8>, _ body: (_ number: Int, _ value: Value) throws -> Void
  ) throws {
    var at = bytes.startIndex
    func fixed(_ count: Int) throws -> UInt64 {
      guard bytes.endIndex - at >= count else { throw Malformed("a number is cut off") }
      var value: UInt64 = 0
      for index in 0..<count { value |= UInt64(bytes[at + index]) << (8 * UInt64(index)) }
      at += count
      return value
    }
    while at < bytes.endIndex {
      let key = try varint(bytes, &at)
      let number = Int(truncatingIfNeeded: key >> 3)
      switch key & 7 {
      case 0: try body(number, .number(try varint(bytes, &at)))
      case 1: try body(number, .number(try fixed(8)))
      case 2:
        let length = try varint(bytes, &at)
        guard length <= UInt64(bytes.endIndex - at) else { throw Malformed("field \(number) is cut off") }
        let end = at + Int(length)
        let value = bytes[at..<end]
        at = end
        try body(number, .bytes(value))
      case 5: try body(number, .number(try fixed(4)))
      default: throw Malformed("field \(number) has the unknown wire type \(key & 7)")
      }
    }
  }

  // MARK: Messages

  /// Reads a message's fields into `object`.
  ///
  /// - Parameter fields: each with the number of embedded messages around it that have been entered already.
  private static func message(
    _ bytes: ArraySlice<UInt8>, _ fields: [(field: FieldSchema, entered: Int)], into object: inout JSONObject,
    depth: Int
  ) throws {
    guard depth <= depthMax else { throw Malformed("messages nest deeper than \(depthMax) levels") }
    var result = object
    try forEachField(bytes) { number, value in
      var embedded: [(field: FieldSchema, entered: Int)] = []
      for (field, entered) in fields {
        if field.embedding.count == entered {
          if field.number == number, field.number != 0 {
            try add(value, field, to: &result, depth: depth)
            return
          }
        } else if field.embedding[entered] == number {
          embedded.append((field, entered + 1))
        }
      }
      if !embedded.isEmpty, case .bytes(let inner) = value {
        try message(inner, embedded, into: &result, depth: depth + 1)
      }
    }
    object = result
  }

  private static func add(_ value: Value, _ field: FieldSchema, to object: inout JSONObject, depth: Int) throws {
    switch field.type {
    case .list(let element):
      // Taken out of the object first, so that adding to it does not copy it.
      var list: [JSON] = []
      if let at = object.index(of: field.name) {
        object.update(at: at) { value in
          if case .array(let elements) = value { list = elements }
          value = .null
        }
      }
      if case .bytes(let packed) = value, isNumber(element) {
        var at = packed.startIndex
        while at < packed.endIndex { list.append(try scalar(.number(try varint(packed, &at)), element, depth)) }
      } else {
        list.append(try scalar(value, element, depth))
      }
      object[field.name] = .array(list)
    case .map(let element):
      guard case .bytes(let entry) = value else { throw Malformed("\(field.name) is no map entry") }
      var key = ""
      var content: JSON?
      try forEachField(entry) { number, value in
        if number == 1, case .bytes(let text) = value { key = String(decoding: text, as: UTF8.self) }
        if number == 2 { content = try scalar(value, element, depth) }
      }
      let added = try content ?? scalar(.bytes([]), element, depth)
      var map = JSONObject()
      if let at = object.index(of: field.name) {
        object.update(at: at) { value in
          if case .object(let members) = value { map = members }
          value = .null
        }
      }
      map[key] = added
      // Each key is looked up in turn.
      guard map.count <= mapCountMax else { throw Malformed("\(field.name) has more than \(mapCountMax) entries") }
      object[field.name] = .object(map)
    default: object[field.name] = try scalar(value, field.type, depth)
    }
  }

  private static func isNumber(_ type: TypeSchema) -> Bool {
    switch type {
    case .bool, .int32, .int64, .double: true
    default: false
    }
  }

  private static func scalar(_ value: Value, _ type: TypeSchema, _ depth: Int) throws -> JSON {
    switch (type, value) {
    case (.string, .bytes(let bytes)):
      guard let text = String(validating: bytes, as: UTF8.self) else { throw Malformed("a string is not UTF-8") }
      return .string(text)
    case (.bool, .number(let number)): return .bool(number != 0)
    case (.int32, .number(let number)): return .int(Int64(Int32(truncatingIfNeeded: number)))
    case (.int64, .number(let number)): return .int(Int64(bitPattern: number))
    case (.double, .number(let number)): return .double(Double(bitPattern: number))
    case (.bytes, .bytes(let bytes)): return .string(Base64.encode(Array(bytes)))
    case (.structure(let structure), .bytes(let bytes)):
      var object = JSONObject()
      try message(bytes, structure.fields.map { ($0, 0) }, into: &object, depth: depth + 1)
      return .object(object)
    case (.list(let element), .bytes(let bytes)):
      // A list where a value must be a message (`ExtraValue`): `{1: repeated}`.
      var list: [JSON] = []
      try forEachField(bytes) { number, value in
        if number == 1 { list.append(try scalar(value, element, depth + 1)) }
      }
      return .array(list)
    case (.quantity, .bytes(let bytes)):
      var text = "0"
      try forEachField(bytes) { number, value in
        if number == 1, case .bytes(let content) = value { text = String(decoding: content, as: UTF8.self) }
      }
      return .string(text)
    case (.intOrString, .bytes(let bytes)):
      var isString = false
      var number: Int64 = 0
      var text = ""
      try forEachField(bytes) { field, value in
        switch (field, value) {
        case (1, .number(let kind)): isString = kind == 1
        case (2, .number(let content)): number = Int64(Int32(truncatingIfNeeded: content))
        case (3, .bytes(let content)): text = String(decoding: content, as: UTF8.self)
        default: break
        }
      }
      return isString ? .string(text) : .int(number)
    case (.time, .bytes(let bytes)): return try time(bytes).map { .string($0.rfc3339) } ?? .null
    case (.microTime, .bytes(let bytes)): return try time(bytes).map { .string($0.rfc3339Micro) } ?? .null
    case (.duration, .bytes(let bytes)):
      var nanoseconds: Int64 = 0
      try forEachField(bytes) { number, value in
        if number == 1, case .number(let content) = value { nanoseconds = Int64(bitPattern: content) }
      }
      return .string(GoDuration.format(.nanoseconds(nanoseconds)))
    case (.any, .bytes(let bytes)), (.object, .bytes(let bytes)):
      var raw: ArraySlice<UInt8> = []
      try forEachField(bytes) { number, value in
        if number == 1, case .bytes(let content) = value { raw = content }
      }
      if raw.isEmpty { return .null }
      guard let json = try? JSON.parse(Array(raw)) else { throw Malformed("embedded JSON cannot be read") }
      return json
    default: throw Malformed("a field has the wrong wire type")
    }
  }

  /// The zero time is no time.
  private static func time(_ bytes: ArraySlice<UInt8>) throws -> Timestamp? {
    var seconds: Int64 = 0
    var nanoseconds: Int64 = 0
    try forEachField(bytes) { number, value in
      guard case .number(let content) = value else { return }
      if number == 1 { seconds = Int64(bitPattern: content) }
      if number == 2 { nanoseconds = Int64(Int32(truncatingIfNeeded: content)) }
    }
    if seconds == 0, nanoseconds == 0 { return nil }
    // Years 1 to 9999, as `google.protobuf.Timestamp` has it.
    guard (-62_135_596_800...253_402_300_799).contains(seconds) else { throw Malformed("a time is out of range") }
    return Timestamp(microseconds: seconds * 1_000_000 + nanoseconds / 1000)
  }
}
