/// Declarations that were linked together, and their kinds.
struct LinkedDeclarations: Sendable {
  /// What one file declares.
  struct File: Sendable {
    var groupVersion: GroupVersion
    var groupPriority: Int
    var versionPriority: Int
    /// As declared, also those that are only exchanged.
    var kinds: [KindSchema]
  }

  let files: [File]
  let names: DeclaredNames

  static func parse(_ sources: [(name: String, text: String)]) throws(SchemaError) -> [SchemaDeclaration] {
    var declarations: [SchemaDeclaration] = []
    for source in sources { declarations.append(try DeclarationParser.parse(source.text, file: source.name)) }
    return declarations
  }

  /// - Parameters:
  ///   - strategies: those of other kinds are left out.
  ///   - base: what the declarations may name beside what they declare.
  ///   - definition: what the kinds belong to when they can go again.
  init(
    declarations: [SchemaDeclaration], strategies: [KindStrategy], base: DeclaredNames, definition: String?
  ) throws(SchemaError) {
    var strategyOf: [GroupVersionKind: KindStrategy] = [:]
    for (index, strategy) in strategies.enumerated() {
      guard strategyOf.updateValue(strategy, forKey: strategy.kind) == nil else {
        throw SchemaError(file: "strategies", line: index + 1, message: "`\(strategy.kind)` has two")
      }
    }
    var linker = Linker(base: base)
    try linker.declare(declarations)
    try linker.link(declarations)
    names = linker.names

    // An object may be stored in the form of any version that has been the stored one, by its `apiVersion`.
    var storedForms: [GroupVersionKind: [String: KindConversion]] = [:]
    for strategy in strategies {
      guard let conversion = strategy.conversion, conversion.storage.group == strategy.kind.group else { continue }
      storedForms[conversion.storage, default: [:]][strategy.kind.apiVersion] = conversion
    }
    var files: [File] = []
    for declaration in declarations {
      var kinds: [KindSchema] = []
      for structure in declaration.structs where structure.isKind {
        guard let root = linker.names.structs["\(declaration.alias).\(structure.name)"] else { continue }
        let groupVersion = declaration.groupVersion
        let kind = GroupVersionKind(
          group: groupVersion.group, version: groupVersion.version, kind: structure.name)
        let strategy = strategyOf[kind] ?? KindStrategy(kind)
        kinds.append(
          KindSchema(
            groupVersion: groupVersion, kind: structure.name, resource: structure.resource,
            singular: structure.singular, shortNames: structure.shortNames, categories: structure.categories,
            isNamespaced: structure.isNamespaced, verbs: structure.verbs ?? KindSchema.defaultVerbs,
            subresources: structure.subresources, columns: structure.columns, root: root, strategy: strategy,
            storedForms: storedForms[strategy.conversion?.storage ?? kind] ?? [:], definition: definition))
      }
      files.append(
        File(
          groupVersion: declaration.groupVersion, groupPriority: declaration.groupPriority,
          versionPriority: declaration.versionPriority, kinds: kinds))
    }
    self.files = files
    try checkStrategies(strategies)
  }

  var kinds: [KindSchema] { files.flatMap(\.kinds) }

  func kind(_ kind: GroupVersionKind) -> KindSchema? {
    for file in files where file.groupVersion == kind.groupVersion {
      if let found = file.kinds.first(where: { $0.kind == kind.kind }) { return found }
    }
    return nil
  }

  // MARK: Strategies

  /// What strategies name has to be there: a conversion that led elsewhere, or a field that is nowhere, would be found by a
  /// request only.
  private func checkStrategies(_ strategies: [KindStrategy]) throws(SchemaError) {
    for (index, strategy) in strategies.enumerated() where kind(strategy.kind) != nil {
      if let problem = problem(strategy) {
        throw SchemaError(file: "strategies", line: index + 1, message: "`\(strategy.kind)` \(problem)")
      }
    }
  }

  private func problem(_ strategy: KindStrategy) -> String? {
    let storage = strategy.conversion?.storage ?? strategy.kind
    guard let stored = kind(storage) else { return "is stored as `\(storage)`, which is not declared" }
    if let conversion = strategy.conversion {
      if stored === kind(strategy.kind) || stored.conversion != nil {
        return "is stored as `\(storage)`, which is not stored as it is"
      }
      if conversion.resource != stored.groupVersionResource {
        return "is stored at `\(conversion.resource)`, and `\(storage)` at `\(stored.groupVersionResource)`"
      }
    }
    var names: Set<String> = []
    for field in strategy.selectableFields {
      if !names.insert(field.name).inserted { return "can be selected by `\(field.name)` twice" }
      for path in field.place.paths where !Self.has(path[...], .structure(stored.root)) {
        return "can be selected by `\(field.name)`, but `\(storage)` has no field `\(path.joined(separator: "."))`"
      }
    }
    return nil
  }

  private static func has(_ path: ArraySlice<String>, _ type: TypeSchema) -> Bool {
    guard let name = path.first else { return true }
    switch type {
    case .structure(let structure): return structure.field(name).map { has(path.dropFirst(), $0.type) } ?? false
    case .map(let element): return has(path.dropFirst(), element)
    case .any, .object: return true
    default: return false
    }
  }

  // MARK: Definitions

  /// What has to hold for kinds that come while a server runs.
  ///
  /// - Parameter knows: whether a kind is there from the start.
  func checkDefinition(strategies: [KindStrategy], knows: (GroupVersionKind) -> Bool) throws(KindError) {
    if !kinds.contains(where: \.isServed) { throw KindError(.invalid, "no kind is declared with a `@resource`") }
    for strategy in strategies where kind(strategy.kind) == nil {
      throw KindError(.invalid, "no declaration of `\(strategy.kind)`")
    }
    for kind in kinds {
      try Self.checkNames(of: kind)
      for subresource in kind.subresourceSchemas {
        guard let exchanged = subresource.kind, self.kind(exchanged) == nil, !knows(exchanged) else { continue }
        throw KindError(
          .invalid, "`\(kind.groupVersionKind)`: `\(subresource.name)` exchanges `\(exchanged)`, which is not declared")
      }
    }
    try checkVersions()
  }

  /// As CustomResourceDefinitions are checked (`pkg/apis/apiextensions/validation`).
  private static func checkNames(of kind: KindSchema) throws(KindError) {
    func check(_ what: String, _ name: String, _ problems: [String]) throws(KindError) {
      guard let problem = problems.first else { return }
      throw KindError(.invalid, "`\(kind.groupVersionKind)`: the \(what) \"\(name)\" is not valid: \(problem)")
    }
    guard !kind.group.isEmpty else {
      throw KindError(.invalid, "`\(kind.groupVersionKind)`: a kind cannot be added to the core group")
    }
    try check("group", kind.group, Names.dns1123Subdomain(kind.group))
    try check("version", kind.version, Names.dns1035Label(kind.version))
    try check("kind", kind.kind, Names.dns1035Label(kind.kind.lowercased()))
    guard kind.isServed else { return }
    try check("resource", kind.resource, Names.dns1035Label(kind.resource))
    try check("singular name", kind.singular, Names.dns1035Label(kind.singular))
    for name in kind.shortNames { try check("short name", name, Names.dns1035Label(name)) }
  }

  /// The versions of a kind are one collection, which is stored in one form.
  private func checkVersions() throws(KindError) {
    var seen: [GroupVersionKind: KindSchema] = [:]
    for kind in kinds where kind.isServed {
      guard let other = seen.updateValue(kind, forKey: kind.versionless) else { continue }
      if kind.resource != other.resource || kind.singular != other.singular {
        throw KindError(
          .invalid,
          "`\(kind.groupVersionKind)` has the resource `\(kind.resource)` (`\(kind.singular)`), and "
            + "`\(other.groupVersionKind)` has `\(other.resource)` (`\(other.singular)`)")
      }
      if kind.isNamespaced != other.isNamespaced {
        throw KindError(
          .invalid, "one of `\(kind.groupVersionKind)` and `\(other.groupVersionKind)` is in namespaces, the other not")
      }
    }
    for (versionless, versions) in Dictionary(grouping: kinds, by: \.versionless) {
      let stored = versions.filter { $0.conversion == nil }
      let name = versionless.group.isEmpty ? versionless.kind : "\(versionless.kind).\(versionless.group)"
      guard stored.count == 1 else {
        throw KindError(
          .invalid,
          "one version of `\(name)` has to be the stored one, which has no conversion; these are "
            + "\(stored.count): \(stored.map(\.version).sorted().joined(separator: ", "))")
      }
      for version in versions {
        guard let storage = version.conversion?.storage, storage != stored[0].groupVersionKind else { continue }
        throw KindError(
          .invalid, "`\(version.groupVersionKind)` is stored as `\(storage)`, which is no version of the same kind")
      }
    }
  }

  /// Within a group, resources (with their singular and short names) and kinds (with their lists) are called differently.
  ///
  /// - Parameter owner: whose the others are, for the error.
  func checkNames(areFreeOf other: LinkedDeclarations, in owner: String) throws(KindError) {
    for file in files {
      let neighbours = other.files.filter { $0.groupVersion.group == file.groupVersion.group }.flatMap(\.kinds)
      let kindNames = Set(neighbours.flatMap { [$0.kind, $0.listKind] })
      let resourceNames = Set(neighbours.filter(\.isServed).flatMap(\.resourceNames))
      for kind in file.kinds {
        if let taken = [kind.kind, kind.listKind].first(where: kindNames.contains) {
          throw KindError(.taken, "the kind `\(taken)` of \(kind.group) is taken by \(owner)")
        }
        if let taken = kind.isServed ? kind.resourceNames.first(where: resourceNames.contains) : nil {
          throw KindError(.taken, "the resource name `\(taken)` of \(kind.group) is taken by \(owner)")
        }
      }
    }
    // The documents of a version, and other declarations, find structs by these.
    let structNames = Set(other.names.structs.values.map(\.qualifiedName))
    for (name, structure) in names.structs.sorted(by: { $0.key < $1.key }) {
      if other.names.structs[name] != nil || structNames.contains(structure.qualifiedName) {
        throw KindError(.taken, "the struct `\(name)` of \(structure.groupVersion) is taken by \(owner)")
      }
    }
    for name in names.enums.keys.sorted() where other.names.enums[name] != nil {
      throw KindError(.taken, "the enumeration `\(name)` is taken by \(owner)")
    }
  }
}

extension KindSchema {
  static let defaultVerbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]

  /// The same for all versions.
  fileprivate var versionless: GroupVersionKind { GroupVersionKind(group: group, version: "", kind: kind) }

  fileprivate var resourceNames: [String] { [resource, singular] + shortNames }
}

extension StructSchema {
  fileprivate var qualifiedName: String { "\(groupVersion).\(name)" }
}
