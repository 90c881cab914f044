import Wire

/// Every kind that the server knows, linked from their declarations. Immutable.
public final class SchemaRegistry: Sendable {
  /// The served kinds, in the order of discovery: groups by falling priority, then as declared.
  public let kinds: [KindSchema]
  /// Served groups and versions by falling priority; the preferred version of a group comes first.
  public let groupVersions: [GroupVersion]
  private let byKind: [GroupVersionKind: KindSchema]
  private let byResource: [GroupVersionResource: KindSchema]
  private let structs: [String: StructSchema]

  /// The kinds that are built in.
  public static let builtin: SchemaRegistry = {
    do { return try SchemaRegistry(sources: BuiltinSchemas.sources) } catch {
      // The text is compiled in, and a test loads it.
      fatalError("the built-in schemas are broken: \(error)")
    }
  }()

  /// The kinds that are built in and others beside them. Both may name the other's structs.
  ///
  /// - Parameter strategies: what the declarations of the others cannot say. Each must belong to one of these.
  package static func builtin(
    and sources: [(name: String, text: String)], strategies: [KindStrategy] = []
  ) throws(SchemaError) -> SchemaRegistry {
    if sources.isEmpty, strategies.isEmpty { return builtin }
    let registry = try SchemaRegistry(
      sources: BuiltinSchemas.sources + sources, strategies: KindStrategy.builtin + strategies)
    for (index, strategy) in strategies.enumerated() where registry.kind(strategy.kind) == nil {
      throw SchemaError(file: "strategies", line: index + 1, message: "no declaration of `\(strategy.kind)`")
    }
    return registry
  }

  /// Parses and links declarations. Those of built-in kinds get their strategies.
  ///
  /// - Parameter sources: name and text of each file; the name is what errors call it.
  public convenience init(sources: [(name: String, text: String)]) throws(SchemaError) {
    try self.init(sources: sources, strategies: KindStrategy.builtin)
  }

  private convenience init(
    sources: [(name: String, text: String)], strategies: [KindStrategy]
  ) throws(SchemaError) {
    var declarations: [SchemaDeclaration] = []
    for source in sources {
      declarations.append(try DeclarationParser.parse(source.text, file: source.name))
    }
    try self.init(declarations: declarations, strategies: strategies)
  }

  private init(declarations: [SchemaDeclaration], strategies: [KindStrategy]) throws(SchemaError) {
    var strategyOf: [GroupVersionKind: KindStrategy] = [:]
    for (index, strategy) in strategies.enumerated() {
      guard strategyOf.updateValue(strategy, forKey: strategy.kind) == nil else {
        throw SchemaError(file: "strategies", line: index + 1, message: "`\(strategy.kind)` has two")
      }
    }
    var linker = Linker()
    try linker.declare(declarations)
    try linker.link(declarations)
    structs = linker.structs

    let ordered = declarations.enumerated().sorted {
      let (a, b) = ($0.element, $1.element)
      return (b.groupPriority, a.groupVersion.group, b.versionPriority, $0.offset)
        < (a.groupPriority, b.groupVersion.group, a.versionPriority, $1.offset)
    }.map(\.element)
    var kinds: [KindSchema] = []
    var groupVersions: [GroupVersion] = []
    var byKind: [GroupVersionKind: KindSchema] = [:]
    var byResource: [GroupVersionResource: KindSchema] = [:]
    for declaration in ordered {
      for structure in declaration.structs where structure.isKind {
        guard let root = structs["\(declaration.alias).\(structure.name)"] else { continue }
        let kind = KindSchema(structure, declaration, root: root, strategyOf)
        byKind[kind.groupVersionKind] = kind
        guard kind.isServed else { continue }
        kinds.append(kind)
        byResource[kind.groupVersionResource] = kind
        if groupVersions.last != kind.groupVersion { groupVersions.append(kind.groupVersion) }
      }
    }
    self.kinds = kinds
    self.groupVersions = groupVersions
    self.byKind = byKind
    self.byResource = byResource
  }

  /// The kind, also one that is only exchanged, such as `DeleteOptions`.
  public func kind(_ kind: GroupVersionKind) -> KindSchema? { byKind[kind] }

  /// The kind that is served at a resource.
  public func resource(_ resource: GroupVersionResource) -> KindSchema? { byResource[resource] }

  /// The served kinds of a group and version, as declared.
  public func kinds(in groupVersion: GroupVersion) -> [KindSchema] {
    kinds.filter { $0.groupVersion == groupVersion }
  }

  /// A struct by the name that declarations give it, such as `core.PodSpec`.
  public func structure(_ name: String) -> StructSchema? { structs[name] }

  /// Every struct with its name in the declarations (`core.PodSpec`), sorted by name.
  public var structures: [(name: String, schema: StructSchema)] {
    structs.sorted { $0.key < $1.key }.map { (name: $0.key, schema: $0.value) }
  }
}

extension KindSchema {
  static let defaultVerbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]

  fileprivate convenience init(
    _ structure: StructDeclaration, _ declaration: SchemaDeclaration, root: StructSchema,
    _ strategies: [GroupVersionKind: KindStrategy]
  ) {
    let (groupVersion, name) = (declaration.groupVersion, structure.name)
    let kind = GroupVersionKind(group: groupVersion.group, version: groupVersion.version, kind: name)
    self.init(
      groupVersion: groupVersion, kind: name, resource: structure.resource,
      singular: structure.singular, shortNames: structure.shortNames, categories: structure.categories,
      isNamespaced: structure.isNamespaced, verbs: structure.verbs ?? Self.defaultVerbs,
      subresources: structure.subresources, columns: structure.columns, root: root,
      strategy: strategies[kind] ?? KindStrategy(kind))
  }
}

/// Looks up the names in declarations.
private struct Linker {
  var structs: [String: StructSchema] = [:]
  private var enums: [String: EnumSchema] = [:]
  private var declared: [String: (StructDeclaration, SchemaDeclaration)] = [:]

  private static let builtin: [String: TypeSchema] = [
    "string": .string(nil), "bool": .bool, "int32": .int32, "int64": .int64, "float64": .double, "bytes": .bytes,
    "Quantity": .quantity, "IntOrString": .intOrString, "Time": .time, "MicroTime": .microTime,
    "Duration": .duration, "any": .any, "object": .object,
  ]

  mutating func declare(_ declarations: [SchemaDeclaration]) throws(SchemaError) {
    for declaration in declarations {
      for item in declaration.enums {
        guard enums.updateValue(item.schema, forKey: "\(declaration.alias).\(item.schema.name)") == nil else {
          throw SchemaError(file: declaration.file, line: item.line, message: "`\(item.schema.name)` is declared twice")
        }
      }
      for item in declaration.structs {
        let name = "\(declaration.alias).\(item.name)"
        guard structs[name] == nil else {
          throw SchemaError(file: declaration.file, line: item.line, message: "`\(item.name)` is declared twice")
        }
        structs[name] = StructSchema(
          name: item.name, groupVersion: declaration.groupVersion, description: item.description)
        declared[name] = (item, declaration)
      }
    }
  }

  mutating func link(_ declarations: [SchemaDeclaration]) throws(SchemaError) {
    for declaration in declarations {
      for item in declaration.structs {
        var fields = try self.fields(of: item, in: declaration, depth: 0)
        if item.isKind {
          let typeMeta = ["apiVersion", "kind"].map { name in
            FieldDeclaration(
              name: name, type: .named("string"), number: 0, line: item.line,
              description: name == "kind"
                ? "The kind of the object." : "The group and version of the kind, such as apps/v1.")
          }
          for field in typeMeta.reversed() {
            fields.insert(FieldSchema(field, type: .string(nil)), at: 0)
          }
        }
        var names = Set<String>()
        for field in fields where !names.insert(field.name).inserted {
          throw SchemaError(
            file: declaration.file, line: item.line, message: "`\(item.name)` has two fields `\(field.name)`")
        }
        structs["\(declaration.alias).\(item.name)"]?.link(fields)
      }
    }
    markWhatIsBelow()
  }

  /// Marks the structs below which a default or a restriction stands, until nothing changes any more.
  private func markWhatIsBelow() {
    var changed = true
    while changed {
      changed = false
      for structure in structs.values {
        if !structure.hasDefaultsBelow,
          structure.fields.contains(where: {
            $0.defaultValue != nil || $0.isZeroFilled || $0.type.structure?.hasDefaultsBelow == true
          })
        {
          structure.markDefaultsBelow()
          changed = true
        }
        if !structure.hasChecksBelow,
          structure.fields.contains(where: { $0.isNonEmpty || $0.hasUniqueKeys || $0.type.isChecked })
        {
          structure.markChecksBelow()
          changed = true
        }
      }
    }
  }

  private func fields(
    of item: StructDeclaration, in declaration: SchemaDeclaration, depth: Int
  ) throws(SchemaError) -> [FieldSchema] {
    func failure(_ field: FieldDeclaration, _ message: String) -> SchemaError {
      SchemaError(file: declaration.file, line: field.line, message: message)
    }
    var fields: [FieldSchema] = []
    for field in item.fields {
      if field.name.isEmpty {
        guard depth < 4 else { throw failure(field, "structs embed one another more than four levels deep") }
        guard case .named(let name) = field.type, let (inner, file) = declared[qualified(name, declaration)] else {
          throw failure(field, "unknown struct in `...`")
        }
        fields += try self.fields(of: inner, in: file, depth: depth + 1).map { $0.embedded(in: field.number) }
        continue
      }
      guard let type = resolve(field.type, declaration) else {
        throw failure(field, "unknown type of field `\(field.name)`")
      }
      if case .map(let keys) = field.listType {
        guard case .list(.structure) = type else {
          throw failure(field, "`keys=` needs a list of structs")
        }
        if keys.isEmpty { throw failure(field, "`keys=` needs at least one name") }
      }
      fields.append(FieldSchema(field, type: type))
    }
    return fields
  }

  private func qualified(_ name: String, _ declaration: SchemaDeclaration) -> String {
    name.utf8.contains(UInt8(ascii: ".")) ? name : "\(declaration.alias).\(name)"
  }

  private func resolve(_ reference: TypeReference, _ declaration: SchemaDeclaration) -> TypeSchema? {
    switch reference {
    case .list(let element): return resolve(element, declaration).map { .list($0) }
    case .map(let element): return resolve(element, declaration).map { .map($0) }
    case .named(let name):
      if let type = Self.builtin[name] { return type }
      let name = qualified(name, declaration)
      if let structure = structs[name] { return .structure(structure) }
      return enums[name].map { .string($0) }
    }
  }
}

extension FieldSchema {
  fileprivate convenience init(_ field: FieldDeclaration, type: TypeSchema) {
    self.init(
      name: field.name, type: type, number: field.number, embedding: [], isPointer: field.isPointer,
      omitsEmpty: field.omitsEmpty, isRequired: field.isRequired, isNonEmpty: field.isNonEmpty, patch: field.patch,
      listType: field.listType, isAtomic: field.isAtomic, defaultValue: field.defaultValue,
      description: field.description)
  }

  fileprivate var hasUniqueKeys: Bool { if case .map = listType { true } else { false } }

  /// A required scalar that Go writes even when it is zero. Clients with strict models (the Python one) rely on it.
  var isZeroFilled: Bool {
    guard isRequired, !omitsEmpty, !isPointer else { return false }
    switch type {
    case .string, .bool, .int32, .int64, .double: return true
    default: return false
    }
  }
}
