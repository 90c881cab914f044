import Schema
import Synchronization

/// How the objects of a kind are written as protobuf: its declaration, made ready for the walk over their JSON.
final class ProtobufLayout: Sendable {
  /// How one value is written.
  indirect enum Coding: Sendable {
    case string, bytes, bool, int32, int64, double, quantity, intOrString, time, duration, raw
    case list(Coding)
    case map(Coding)
    /// By its place in `messages`.
    case message(Int)
  }

  /// A class, so that the walk passes on one reference.
  final class Field: Sendable {
    /// The member's name in JSON.
    let name: [UInt8]
    let number: Int
    /// The numbers of the embedded messages around it, outermost first.
    let embedding: [Int]
    let coding: Coding

    init(_ field: FieldSchema, _ coding: Coding) {
      name = Array(field.name.utf8)
      number = field.number
      embedding = field.embedding
      self.coding = coding
    }
  }

  let kind: KindSchema
  /// What its objects say of themselves. Those of the group of what all groups share are of the version of the core.
  let apiVersion: String
  /// The first one is the object's.
  let messages: [[Field]]
  /// `metadata` alone, for `PartialObjectMetadata`.
  let metadata: [Field]

  /// `nil` when a field of the kind has no number, or a form of its own in protobuf that is not known here.
  init?(_ kind: KindSchema) {
    var builder = Builder()
    guard builder.place(of: kind.root) != nil else { return nil }
    self.kind = kind
    apiVersion = kind.group == "meta.k8s.io" ? kind.version : kind.groupVersion.description
    messages = builder.messages
    metadata = builder.messages[0].filter { $0.name.elementsEqual("metadata".utf8) }
  }

  private struct Builder {
    var messages: [[Field]] = []
    /// Structs may refer to themselves: a place is taken before the fields are known.
    private var places: [ObjectIdentifier: Int] = [:]

    mutating func place(of structure: StructSchema) -> Int? {
      if let place = places[ObjectIdentifier(structure)] { return place }
      let place = messages.count
      places[ObjectIdentifier(structure)] = place
      messages.append([])
      var fields: [Field] = []
      for field in structure.fields {
        // What an object is, is said around it.
        if field.number == 0, field.name == "apiVersion" || field.name == "kind" { continue }
        guard field.number > 0, !structure.hasOtherForm(field), let coding = coding(field.type) else { return nil }
        fields.append(Field(field, coding))
      }
      messages[place] = fields
      return place
    }

    private mutating func coding(_ type: TypeSchema) -> Coding? {
      switch type {
      case .string: .string
      case .bool: .bool
      case .int32: .int32
      case .int64: .int64
      case .double: .double
      case .bytes: .bytes
      case .quantity: .quantity
      case .intOrString: .intOrString
      case .time, .microTime: .time
      case .duration: .duration
      case .any, .object: .raw
      case .list(let element): coding(element).map { .list($0) }
      case .map(let element): coding(element).map { .map($0) }
      case .structure(let structure): place(of: structure).map { .message($0) }
      }
    }
  }
}

extension StructSchema {
  /// Whether the field is one of several things in JSON (a schema, or a boolean, or a list), and a message of its own for
  /// that in protobuf.
  fileprivate func hasOtherForm(_ field: FieldSchema) -> Bool {
    name == "JSONSchemaProps"
      && ["items", "additionalItems", "additionalProperties", "dependencies"].contains(field.name)
  }
}

/// The layouts that were asked for.
final class ProtobufLayouts: Sendable {
  private let known = Mutex<[ObjectIdentifier: ProtobufLayout]>([:])

  /// `nil` for a kind that has no form in protobuf.
  func of(_ kind: KindSchema) -> ProtobufLayout? {
    // A layout keeps its kind: no other one can be at its place.
    if let layout = known.withLock({ $0[ObjectIdentifier(kind)] }) { return layout }
    guard let layout = ProtobufLayout(kind) else { return nil }
    known.withLock { $0[ObjectIdentifier(kind)] = layout }
    return layout
  }
}
