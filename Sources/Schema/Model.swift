import Wire

/// The type of a field, as a declaration gives it.
public indirect enum TypeSchema: Sendable {
  /// A string; with an enumeration when its values are known.
  case string(EnumSchema?)
  case bool
  case int32
  case int64
  case double
  /// Base64 in JSON.
  case bytes
  /// `resource.Quantity`: a string, or a number, which is kept as a string.
  case quantity
  /// A whole number or a string.
  case intOrString
  /// `metav1.Time`: RFC 3339, or null.
  case time
  /// `metav1.MicroTime`: RFC 3339 with six decimals, or null.
  case microTime
  /// `metav1.Duration`: a Go duration string.
  case duration
  /// Any JSON value.
  case any
  /// An object of which nothing is known (`runtime.RawExtension`, `FieldsV1`).
  case object
  case list(TypeSchema)
  /// An object with keys that are data.
  case map(TypeSchema)
  case structure(StructSchema)
}

extension TypeSchema {
  /// The struct that this type is, or that its elements are.
  public var structure: StructSchema? {
    switch self {
    case .structure(let structure): structure
    case .list(let element), .map(let element): element.structure
    default: nil
    }
  }
}

/// The known values of a string type.
public struct EnumSchema: Sendable {
  public let name: String
  public let values: [String]
  /// Other values are allowed too; the list is documentation.
  public let isOpen: Bool
}

/// How a list is merged by server-side apply, and what must be unique in it.
public enum ListType: Sendable, Equatable {
  case atomic
  case set
  case map(keys: [String])
}

/// How strategic merge patch treats a field.
public struct PatchStrategy: Sendable, Equatable {
  /// Lists are merged by element instead of being replaced.
  public var mergesElements = false
  /// The member by which elements of a merged list are matched; `nil` for lists of scalars.
  public var mergeKey: String?
  /// The value is replaced as a whole.
  public var replaces = false
  /// A patch of this value may carry `$retainKeys`.
  public var retainsKeys = false
}

/// One field of a struct. Fields of embedded structs stand among those of the struct that embeds them, as in JSON.
///
/// A class, so that walks over the declarations pass on one reference and not a dozen.
public final class FieldSchema: Sendable {
  /// As in JSON.
  public let name: String
  public let type: TypeSchema
  /// The protobuf field number; 0 when the field has none.
  public let number: Int
  /// The numbers of the embedded messages around the field, outermost first; empty for a field of the struct itself.
  public let embedding: [Int]
  /// Absent and empty differ (a pointer in Go).
  public let isPointer: Bool
  /// The empty value is not written.
  public let omitsEmpty: Bool
  /// OpenAPI names the field as required.
  public let isRequired: Bool
  /// Validation refuses the empty string.
  public let isNonEmpty: Bool
  public let patch: PatchStrategy
  public let listType: ListType
  /// A map or struct that server-side apply replaces as a whole.
  public let isAtomic: Bool
  /// The value that an absent field gets.
  public let defaultValue: JSON?
  /// One sentence; empty when there is none.
  public let description: String

  init(
    name: String, type: TypeSchema, number: Int, embedding: [Int], isPointer: Bool, omitsEmpty: Bool, isRequired: Bool,
    isNonEmpty: Bool, patch: PatchStrategy, listType: ListType, isAtomic: Bool, defaultValue: JSON?, description: String
  ) {
    self.name = name
    self.type = type
    self.number = number
    self.embedding = embedding
    self.isPointer = isPointer
    self.omitsEmpty = omitsEmpty
    self.isRequired = isRequired
    self.isNonEmpty = isNonEmpty
    self.patch = patch
    self.listType = listType
    self.isAtomic = isAtomic
    self.defaultValue = defaultValue
    self.description = description
  }

  func embedded(in number: Int) -> FieldSchema {
    FieldSchema(
      name: name, type: type, number: self.number, embedding: [number] + embedding, isPointer: isPointer,
      omitsEmpty: omitsEmpty, isRequired: isRequired, isNonEmpty: isNonEmpty, patch: patch, listType: listType,
      isAtomic: isAtomic, defaultValue: defaultValue, description: description)
  }
}

/// An object with known members.
///
/// Types may refer to themselves, so a struct is made first and gets its fields while the loader links the
/// declarations.
// Safe to share: the loader fills `fields` before it hands out the registry, and nothing changes them afterwards.
public final class StructSchema: @unchecked Sendable {
  public let name: String
  /// The group and version of the declaration that the struct stands in.
  public let groupVersion: GroupVersion
  /// One sentence; empty when there is none.
  public let description: String
  public private(set) var fields: [FieldSchema] = []
  private var positions: [String: Int] = [:]
  /// Whether a default stands in the declarations here or below; the walk that fills defaults skips the rest.
  private(set) var hasDefaultsBelow = false
  /// The fields that an object gets when they are absent.
  private(set) var fieldsWithDefaults: [FieldSchema] = []
  /// The fields that validation refuses when they are empty.
  private(set) var nonEmptyFields: [FieldSchema] = []
  /// Whether the declarations restrict values here or below; the walk that checks them skips the rest.
  private(set) var hasChecksBelow = false

  init(name: String, groupVersion: GroupVersion, description: String) {
    self.name = name
    self.groupVersion = groupVersion
    self.description = description
  }

  func link(_ fields: [FieldSchema]) {
    self.fields = fields
    positions = Dictionary(uniqueKeysWithValues: fields.enumerated().map { ($1.name, $0) })
    nonEmptyFields = fields.filter(\.isNonEmpty)
    fieldsWithDefaults = fields.filter { $0.defaultValue != nil || $0.isZeroFilled }
  }

  func markDefaultsBelow() { hasDefaultsBelow = true }
  func markChecksBelow() { hasChecksBelow = true }

  /// The field of a JSON member name.
  public func field(_ name: String) -> FieldSchema? { positions[name].map { fields[$0] } }

  /// The position in `fields` of a JSON member name.
  func position(_ name: String) -> Int? { positions[name] }
}

/// A column of the server-side Table.
public struct ColumnSchema: Sendable {
  public let name: String
  /// `string`, `integer`, `boolean`, `date`, `number`.
  public let type: String
  /// `name` for the object's own name, else empty.
  public let format: String
  /// 0 is always shown, 1 with `-o wide` only.
  public let priority: Int
  public let description: String
}

/// A part of a resource with a URL of its own, such as `status`.
public struct SubresourceSchema: Sendable {
  public let name: String
  public let verbs: [String]
  /// What is exchanged there, when it is not the object itself.
  public let kind: GroupVersionKind?
}

/// A top-level kind.
public final class KindSchema: Sendable {
  public let groupVersion: GroupVersion
  public let kind: String
  /// The plural name in the URL; empty for a kind that is only ever exchanged (`DeleteOptions`, `Scale`).
  public let resource: String
  public let singular: String
  public let shortNames: [String]
  public let categories: [String]
  public let isNamespaced: Bool
  public let verbs: [String]
  public let subresourceSchemas: [SubresourceSchema]
  public let columns: [ColumnSchema]
  public let root: StructSchema
  /// What cannot be declared.
  package let strategy: KindStrategy
  /// Whether `status` is written through a URL of its own.
  package let hasStatusSubresource: Bool
  /// Whether `metadata.generation` counts the changes of the specification.
  package let tracksGeneration: Bool
  /// The members that every object has although they may be empty: Go writes structs that are no pointers.
  let constantMembers: [String]
  /// How objects come from the forms of other versions, in which they may be stored, into the stored one; by `apiVersion`.
  private let storedForms: [String: KindConversion]
  /// The definition that the kind goes with (`KindDefinition.name`); `nil` when it is there for as long as the server.
  package let definition: String?

  init(
    groupVersion: GroupVersion, kind: String, resource: String, singular: String, shortNames: [String],
    categories: [String], isNamespaced: Bool, verbs: [String], subresources: [SubresourceSchema],
    columns: [ColumnSchema], root: StructSchema, strategy: KindStrategy, storedForms: [String: KindConversion],
    definition: String?
  ) {
    self.groupVersion = groupVersion
    self.kind = kind
    self.resource = resource
    self.singular = singular
    self.shortNames = shortNames
    self.categories = categories
    self.isNamespaced = isNamespaced
    self.verbs = verbs
    subresourceSchemas = subresources
    self.columns = columns
    self.root = root
    self.strategy = strategy
    self.storedForms = storedForms
    self.definition = definition
    hasStatusSubresource = subresources.contains { $0.name == "status" }
    tracksGeneration = strategy.countsGeneration && root.field("spec") != nil && root.field("status") != nil
    constantMembers = root.fields.compactMap { field in
      guard case .structure = field.type, !field.isPointer else { return nil }
      return field.name
    }
  }

  // MARK: Forms

  /// Whether objects may be stored in the form of another version than the stored one, from when that one was it.
  package var hasStoredForms: Bool { !storedForms.isEmpty }

  /// Whether objects may have to be converted to be served.
  package var isConverted: Bool { strategy.conversion != nil || hasStoredForms }

  /// An object of the store in the form that its kind is stored in now.
  package func stored(_ object: JSON) -> JSON {
    guard hasStoredForms, let form = storedForms[object["apiVersion"]?.string ?? ""] else { return object }
    return form.stored(object)
  }

  /// The same for bytes; `nil` when they are in that form already.
  package func stored(_ bytes: [UInt8]) -> [UInt8]? {
    guard hasStoredForms, storedForms[JSON.scalar(at: ["apiVersion"], of: bytes) ?? ""] != nil,
      let object = try? JSON.parse(bytes)
    else { return nil }
    return stored(object).serialized()
  }

  /// The bytes of an object of the store as this kind serves them; `nil` when as they are.
  package func served(_ bytes: [UInt8]) -> [UInt8]? {
    guard isConverted, JSON.scalar(at: ["apiVersion"], of: bytes) != groupVersion.description,
      let object = try? JSON.parse(bytes)
    else { return nil }
    let stored = stored(object)
    return (strategy.conversion?.served(stored) ?? stored).serialized()
  }
}

extension KindSchema {
  public var group: String { groupVersion.group }
  public var version: String { groupVersion.version }
  public var listKind: String { kind + "List" }
  public var subresources: [String] { subresourceSchemas.map(\.name) }
  public var description: String { root.description }
  /// How objects of the kind are stored; `nil` when as they are served.
  public var conversion: KindConversion? { strategy.conversion }
  public var groupVersionKind: GroupVersionKind {
    GroupVersionKind(group: group, version: version, kind: kind)
  }
  public var groupVersionResource: GroupVersionResource {
    GroupVersionResource(group: group, version: version, resource: resource)
  }
  /// Whether the kind has a URL of its own.
  public var isServed: Bool { !resource.isEmpty }

  public func subresource(_ name: String) -> SubresourceSchema? {
    subresourceSchemas.first { $0.name == name }
  }
}

/// Why a declaration cannot be read, and where.
public struct SchemaError: Error, Equatable, Sendable, CustomStringConvertible {
  public var file: String
  /// The line, from 1.
  public var line: Int
  public var message: String

  public var description: String { "\(file):\(line): \(message)" }
}
