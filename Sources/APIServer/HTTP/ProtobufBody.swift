import KubeClient
import Protobuf
import Schema
import Wire

/// Reads protobuf bodies. Several kubectl commands (`create`, `auth can-i`, `delete`) send nothing else.
///
/// A body is `6b 38 73 00`, then `runtime.Unknown {1: TypeMeta {1: apiVersion, 2: kind}, 2: raw message}`; the field
/// numbers of the message stand in the schemas. The result is the JSON that the same object would have been.
struct ProtobufBody {
  static let magic: [UInt8] = [0x6B, 0x38, 0x73, 0x00]
  private static let depthMax = 64
  private static let mapCountMax = 20_000

  /// - Throws: 400 with what is wrong.
  static func parse(_ bytes: [UInt8], _ schemas: SchemaRegistry) throws(KubeError) -> JSON {
    do {
      guard bytes.starts(with: magic) else { throw ProtobufError("it does not begin with 6b 38 73 00") }
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
        throw ProtobufError("its apiVersion \"\(apiVersion)\" is none")
      }
      let kind =
        schemas.kind(GroupVersionKind(group: groupVersion.group, version: groupVersion.version, kind: kindName))
        // The options kinds belong to every group.
        ?? schemas.kind(GroupVersionKind(group: "meta.k8s.io", version: "v1", kind: kindName))
        ?? schemas.kind(GroupVersionKind(group: "", version: "v1", kind: kindName))
      guard let kind else { throw ProtobufError("no kind \"\(kindName)\" is registered in version \"\(apiVersion)\"") }
      // A schema's parts have other forms in protobuf than the declaration says (`ProtobufLayout`).
      guard kind.group != "apiextensions.k8s.io" else {
        throw KubeError.unsupportedMediaType(
          ["application/json", "application/yaml"], "protobuf is not read for the group \(kind.group)")
      }
      var object: JSONObject = ["apiVersion": .string(apiVersion), "kind": .string(kindName)]
      try message(raw, kind.root.fields.map { ($0, 0) }, into: &object, depth: 0)
      return .object(object)
    } catch let error as KubeError {
      throw error
    } catch let error as ProtobufError {
      throw .badRequest("the protobuf body cannot be read: \(error.message)")
    } catch {
      throw .badRequest("the protobuf body cannot be read")
    }
  }

  private static func forEachField(
    _ bytes: ArraySlice<UInt8>, _ body: (_ number: Int, _ value: ProtobufField.Value) throws -> Void
  ) throws {
    var reader = ProtobufReader(bytes)
    while let field = try reader.next() { try body(field.number, field.value) }
  }

  // MARK: Messages

  /// Reads a message's fields into `object`.
  ///
  /// - Parameter fields: each with the number of embedded messages around it that have been entered already.
  private static func message(
    _ bytes: ArraySlice<UInt8>, _ fields: [(field: FieldSchema, entered: Int)], into object: inout JSONObject,
    depth: Int
  ) throws {
    guard depth <= depthMax else { throw ProtobufError("messages nest deeper than \(depthMax) levels") }
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

  private static func add(_ value: ProtobufField.Value, _ field: FieldSchema, to object: inout JSONObject, depth: Int)
    throws
  {
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
        var reader = ProtobufReader(packed)
        while !reader.isAtEnd { list.append(try scalar(.number(try reader.varint()), element, depth)) }
      } else {
        list.append(try scalar(value, element, depth))
      }
      object[field.name] = .array(list)
    case .map(let element):
      guard case .bytes(let entry) = value else { throw ProtobufError("\(field.name) is no map entry") }
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
      guard map.count <= mapCountMax else { throw ProtobufError("\(field.name) has more than \(mapCountMax) entries") }
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

  private static func scalar(_ value: ProtobufField.Value, _ type: TypeSchema, _ depth: Int) throws -> JSON {
    switch (type, value) {
    case (.string, .bytes(let bytes)):
      guard let text = String(validating: bytes, as: UTF8.self) else { throw ProtobufError("a string is not UTF-8") }
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
      guard let json = try? JSON.parse(Array(raw)) else { throw ProtobufError("embedded JSON cannot be read") }
      return json
    default: throw ProtobufError("a field has the wrong wire type")
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
    guard (-62_135_596_800...253_402_300_799).contains(seconds) else { throw ProtobufError("a time is out of range") }
    return Timestamp(microseconds: seconds * 1_000_000 + nanoseconds / 1000)
  }
}
