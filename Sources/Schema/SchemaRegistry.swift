/// The kinds that a server knows at one moment, linked from their declarations. Immutable: `KindRegistry` has the present
/// one.
public final class SchemaRegistry: Sendable {
  /// The served kinds, in the order of discovery: groups by falling priority, then as declared.
  public let kinds: [KindSchema]
  /// Served groups and versions by falling priority; the preferred version of a group comes first.
  public let groupVersions: [GroupVersion]
  /// How many changes have led to it; 0 for the kinds that a server starts with.
  public let generation: Int
  private let byKind: [GroupVersionKind: KindSchema]
  private let byResource: [GroupVersionResource: KindSchema]
  private let structs: [String: StructSchema]
  /// The kinds that are there from the start. All definitions may name their structs.
  private let base: LinkedDeclarations
  /// What was added, in its order.
  private let definitions: [(name: String, linked: LinkedDeclarations)]

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
    let base = try LinkedDeclarations(
      declarations: LinkedDeclarations.parse(sources), strategies: strategies, base: DeclaredNames(), definition: nil)
    self.init(base: base, definitions: [], generation: 0)
  }

  private init(base: LinkedDeclarations, definitions: [(name: String, linked: LinkedDeclarations)], generation: Int) {
    self.base = base
    self.definitions = definitions
    self.generation = generation
    structs = definitions.reduce(into: base.names.structs) { all, definition in
      all.merge(definition.linked.names.structs) { first, _ in first }
    }
    let files = base.files + definitions.flatMap(\.linked.files)
    // Several definitions may share a group, and need not agree on its place: it has the highest that any gives it.
    var groupPriority: [String: Int] = [:]
    var versionPriority: [GroupVersion: Int] = [:]
    for file in files {
      groupPriority[file.groupVersion.group] = max(groupPriority[file.groupVersion.group] ?? .min, file.groupPriority)
      versionPriority[file.groupVersion] = max(versionPriority[file.groupVersion] ?? .min, file.versionPriority)
    }
    func group(_ file: LinkedDeclarations.File) -> Int { groupPriority[file.groupVersion.group] ?? 0 }
    func version(_ file: LinkedDeclarations.File) -> Int { versionPriority[file.groupVersion] ?? 0 }
    let ordered = files.enumerated().sorted {
      let (a, b) = ($0.element, $1.element)
      if group(a) != group(b) { return group(a) > group(b) }
      if a.groupVersion.group != b.groupVersion.group { return a.groupVersion.group < b.groupVersion.group }
      if version(a) != version(b) { return version(a) > version(b) }
      return (a.groupVersion.version, $0.offset) < (b.groupVersion.version, $1.offset)
    }.map(\.element)
    var kinds: [KindSchema] = []
    var groupVersions: [GroupVersion] = []
    var byKind: [GroupVersionKind: KindSchema] = [:]
    var byResource: [GroupVersionResource: KindSchema] = [:]
    for file in ordered {
      for kind in file.kinds {
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

  /// Whether this very kind is served: another of the same name, which replaced it, is not the same.
  package func serves(_ kind: KindSchema) -> Bool { byResource[kind.groupVersionResource] === kind }

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

  // MARK: Changes

  /// The names of what was added.
  package var definitionNames: [String] { definitions.map(\.name) }

  /// The same with a definition more. What was linked stays as it is: the kinds of the result are those of this one and the
  /// definition's.
  func adding(_ definition: KindDefinition) throws(KindError) -> SchemaRegistry {
    guard !definitions.contains(where: { $0.name == definition.name }) else {
      throw KindError(.exists, "`\(definition.name)` is there already")
    }
    let linked = try link(definition, beside: definitions)
    return SchemaRegistry(
      base: base, definitions: definitions + [(definition.name, linked)], generation: generation + 1)
  }

  /// The same with another definition in the place of the one of its name.
  func replacing(_ definition: KindDefinition) throws(KindError) -> SchemaRegistry {
    guard let index = definitions.firstIndex(where: { $0.name == definition.name }) else {
      throw KindError(.unknown, "`\(definition.name)` was not added")
    }
    var changed = definitions
    changed.remove(at: index)
    changed.insert((definition.name, try link(definition, beside: changed)), at: index)
    return SchemaRegistry(base: base, definitions: changed, generation: generation + 1)
  }

  /// The same without a definition.
  func removing(_ name: String) throws(KindError) -> SchemaRegistry {
    guard definitions.contains(where: { $0.name == name }) else { throw KindError(.unknown, "`\(name)` was not added") }
    return SchemaRegistry(base: base, definitions: definitions.filter { $0.name != name }, generation: generation + 1)
  }

  private func link(
    _ definition: KindDefinition, beside others: [(name: String, linked: LinkedDeclarations)]
  ) throws(KindError) -> LinkedDeclarations {
    let linked: LinkedDeclarations
    do throws(SchemaError) {
      let declarations = try LinkedDeclarations.parse(definition.sources)
      linked = try LinkedDeclarations(
        declarations: declarations, strategies: definition.strategies, base: base.names, definition: definition.name)
    } catch {
      throw KindError(.invalid, "\(error)")
    }
    try linked.checkDefinition(strategies: definition.strategies, knows: { base.kind($0) != nil })
    try linked.checkNames(areFreeOf: base, in: "the built-in kinds")
    for (name, other) in others { try linked.checkNames(areFreeOf: other, in: "`\(name)`") }
    return linked
  }
}
