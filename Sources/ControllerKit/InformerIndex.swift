import KubeTypes

/// What an informer's objects can be asked for by besides their key, such as the node of a pod (client-go's `Indexer`).
public struct InformerIndex: Sendable {
  /// Two indexes of one informer with the same name are the same.
  public let name: String
  let values: @Sendable (Object) -> [String]

  /// - Parameter values: under what an object is found; it can be nothing, or several values, each once. Pure: it is asked
  ///   again when the object goes.
  public init(_ name: String, values: @escaping @Sendable (Object) -> [String]) {
    self.name = name
    self.values = values
  }

  /// By the uid of the owner that manages the object.
  public static let controller = InformerIndex("controller") { object in
    object.header.controller.map { [$0.uid ?? ""] } ?? []
  }

  /// By the namespace, the objects that no owner manages.
  public static let uncontrolled = InformerIndex("uncontrolled") { object in
    object.header.controller == nil ? [object.header.namespace] : []
  }

  public static let uid = InformerIndex("uid") { [$0.header.uid] }
}

/// An index with the keys of the objects that are there.
struct IndexTable {
  let index: InformerIndex
  private var keys: [String: Set<ObjectKey>] = [:]

  init(_ index: InformerIndex) { self.index = index }

  mutating func insert(_ object: Object) {
    for value in index.values(object) { keys[value, default: []].insert(object.header.key) }
  }

  mutating func remove(_ object: Object) {
    for value in index.values(object) {
      keys[value]?.remove(object.header.key)
      if keys[value]?.isEmpty == true { keys[value] = nil }
    }
  }

  subscript(value: String) -> Set<ObjectKey> { keys[value] ?? [] }

  var values: Dictionary<String, Set<ObjectKey>>.Keys { keys.keys }
}
