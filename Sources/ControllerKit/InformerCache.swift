import KubeTypes

/// An informer's objects with their indexes, and what a list or an event changes in them.
struct InformerCache {
  struct Change {
    var old: Object?
    var new: Object?
  }

  private var namespaces: [String: [String: Object]] = [:]
  private var tables = [IndexTable(.controller), IndexTable(.uncontrolled)]
  /// Sorted lists that have been asked for since the last change, by namespace.
  private var sorted: [String: [Object]] = [:]
  /// The revision up to which everything has been seen.
  private(set) var revision: Int64 = 0

  func get(_ key: ObjectKey) -> Object? { namespaces[key.namespace]?[key.name] }

  var count: Int { namespaces.values.reduce(0) { $0 + $1.count } }

  mutating func list(namespace: String?) -> [Object] {
    guard let namespace else {
      var all: [Object] = []
      for namespace in namespaces.keys.sorted() { all += list(namespace: namespace) }
      return all
    }
    if let known = sorted[namespace] { return known }
    let objects = (namespaces[namespace] ?? [:]).values.sorted { $0.header.name < $1.header.name }
    sorted[namespace] = objects
    return objects
  }

  /// Keeps an index from now on; it is built over what is there.
  mutating func add(_ index: InformerIndex) {
    if tables.contains(where: { $0.index.name == index.name }) { return }
    var table = IndexTable(index)
    for objects in namespaces.values {
      for object in objects.values { table.insert(object) }
    }
    tables.append(table)
  }

  mutating func table(_ index: InformerIndex) -> IndexTable {
    add(index)
    guard let table = tables.first(where: { $0.index.name == index.name }) else {
      preconditionFailure("an index that was added is not there")
    }
    return table
  }

  /// Sorted by key.
  mutating func list(by index: InformerIndex, _ value: String) -> [Object] {
    table(index)[value].sorted().compactMap(get)
  }

  /// Takes a complete list. Objects whose version is known cause no change; an object that was replaced by another one
  /// of the same name is a removal and an addition.
  mutating func replace(with objects: [Object], revision: Int64) -> [Change] {
    var changes: [Change] = []
    let listed = Set(objects.map(\.header.key))
    for object in list(namespace: nil) where !listed.contains(object.header.key) {
      remove(object)
      changes.append(Change(old: object, new: nil))
    }
    for object in objects {
      let old = get(object.header.key)
      if let old, old.header.uid == object.header.uid, old.header.resourceVersion == object.header.resourceVersion {
        continue
      }
      changes += put(object)
    }
    self.revision = revision
    return changes
  }

  /// Takes an added or modified object. What is not newer than what is known is ignored: after a reconnection the same
  /// event may come again.
  mutating func upsert(_ object: Object) -> [Change] {
    revision = max(revision, object.header.resourceVersion)
    if let old = get(object.header.key), old.header.resourceVersion >= object.header.resourceVersion { return [] }
    return put(object)
  }

  mutating func delete(_ object: Object) -> [Change] {
    revision = max(revision, object.header.resourceVersion)
    guard let old = get(object.header.key), old.header.resourceVersion <= object.header.resourceVersion else {
      return []
    }
    remove(old)
    return [Change(old: old, new: nil)]
  }

  mutating func bookmark(revision: Int64) { self.revision = max(self.revision, revision) }

  private mutating func put(_ object: Object) -> [Change] {
    let key = object.header.key
    let old = get(key)
    if let old { remove(old) }
    namespaces[key.namespace, default: [:]][key.name] = object
    sorted[key.namespace] = nil
    for at in tables.indices { tables[at].insert(object) }
    if let old, old.header.uid != object.header.uid {
      return [Change(old: old, new: nil), Change(old: nil, new: object)]
    }
    return [Change(old: old, new: object)]
  }

  private mutating func remove(_ object: Object) {
    let key = object.header.key
    namespaces[key.namespace]?[key.name] = nil
    if namespaces[key.namespace]?.isEmpty == true { namespaces[key.namespace] = nil }
    sorted[key.namespace] = nil
    for at in tables.indices { tables[at].remove(object) }
  }
}
