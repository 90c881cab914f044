import Wire

/// What declarations can name, by the names that they give (`core.PodSpec`).
struct DeclaredNames: Sendable {
  var structs: [String: StructSchema] = [:]
  var enums: [String: EnumSchema] = [:]
}

/// Looks up the names in declarations.
struct Linker {
  /// What was linked before. It may be named and is not changed: others read it meanwhile.
  private let base: DeclaredNames
  /// What is being linked.
  private(set) var names = DeclaredNames()
  private var declared: [String: (StructDeclaration, SchemaDeclaration)] = [:]

  init(base: DeclaredNames) { self.base = base }

  private static let builtin: [String: TypeSchema] = [
    "string": .string(nil), "bool": .bool, "int32": .int32, "int64": .int64, "float64": .double, "bytes": .bytes,
    "Quantity": .quantity, "IntOrString": .intOrString, "Time": .time, "MicroTime": .microTime,
    "Duration": .duration, "any": .any, "object": .object,
  ]

  mutating func declare(_ declarations: [SchemaDeclaration]) throws(SchemaError) {
    for declaration in declarations {
      for item in declaration.enums {
        guard names.enums.updateValue(item.schema, forKey: "\(declaration.alias).\(item.schema.name)") == nil else {
          throw SchemaError(file: declaration.file, line: item.line, message: "`\(item.schema.name)` is declared twice")
        }
      }
      for item in declaration.structs {
        let name = "\(declaration.alias).\(item.name)"
        guard names.structs[name] == nil else {
          throw SchemaError(file: declaration.file, line: item.line, message: "`\(item.name)` is declared twice")
        }
        names.structs[name] = StructSchema(
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
        self.names.structs["\(declaration.alias).\(item.name)"]?.link(fields)
      }
    }
    markWhatIsBelow()
  }

  /// Marks the structs below which a default or a restriction stands, until nothing changes any more.
  private func markWhatIsBelow() {
    var changed = true
    while changed {
      changed = false
      for structure in names.structs.values {
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
        guard case .named(let name) = field.type else { throw failure(field, "unknown struct in `...`") }
        let qualified = qualified(name, declaration)
        if let (inner, file) = declared[qualified] {
          fields += try self.fields(of: inner, in: file, depth: depth + 1).map { $0.embedded(in: field.number) }
        } else if let inner = base.structs[qualified] {
          fields += inner.fields.map { $0.embedded(in: field.number) }
        } else {
          throw failure(field, "unknown struct in `...`")
        }
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
      if let structure = names.structs[name] ?? base.structs[name] { return .structure(structure) }
      return (names.enums[name] ?? base.enums[name]).map { .string($0) }
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
