import KubeTypes
import Schema
import Wire

/// The calls of `KubeClient` for generated kinds. Namespace and name of an object that is written are read from its
/// metadata.
extension KubeClient {
  public func get<K: KubeKind>(_ kind: K.Type, namespace: String? = nil, name: String) async throws -> K {
    try await get(K.resource, namespace: namespace, name: name).decode(kind)
  }

  /// The whole list, page after page when `options.limit` is set.
  public func list<K: KubeKind>(
    _ kind: K.Type, namespace: String? = nil, options: ListOptions = ListOptions()
  ) async throws -> [K] {
    var options = options
    var items: [K] = []
    repeat {
      let page = try await list(K.resource, namespace: namespace, options: options)
      items += page.items.map { $0.decode(kind) }
      options.continueToken = page.continueToken
    } while !options.continueToken.isEmpty
    return items
  }

  /// The server chooses the name when the object has only `generateName`.
  public func create<K: KubeKind>(_ object: K, options: WriteOptions = WriteOptions()) async throws -> K {
    try await create(
      K.resource, namespace: object.namespaceOrNil, name: nil, subresource: nil, body: object.json, options: options
    ).decode()
  }

  /// Fails with `conflict` when the object has a `resourceVersion` that is not the newest.
  public func update<K: KubeKind>(_ object: K, options: WriteOptions = WriteOptions()) async throws -> K {
    try await update(
      K.resource, namespace: object.namespaceOrNil, name: object.name, subresource: nil, body: object.json,
      options: options
    ).decode()
  }

  /// Writes `status` and nothing else; guarded as `update` is.
  public func updateStatus<K: KubeKind>(_ object: K, options: WriteOptions = WriteOptions()) async throws -> K {
    try await update(
      K.resource, namespace: object.namespaceOrNil, name: object.name, subresource: "status", body: object.json,
      options: options
    ).decode()
  }

  public func patch<K: KubeKind>(
    _ kind: K.Type, namespace: String? = nil, name: String, subresource: String? = nil, type: PatchType = .merge,
    body: JSON, options: WriteOptions = WriteOptions()
  ) async throws -> K {
    try await patch(
      K.resource, namespace: namespace, name: name, subresource: subresource, type: type, body: body, options: options
    ).decode()
  }

  @discardableResult
  public func delete<K: KubeKind>(
    _ kind: K.Type, namespace: String? = nil, name: String, options: DeleteOptions = DeleteOptions()
  ) async throws -> K {
    try await delete(K.resource, namespace: namespace, name: name, options: options).decode()
  }
}

extension KubeKind {
  fileprivate var name: String { json.at("metadata", "name")?.string ?? "" }

  fileprivate var namespaceOrNil: String? {
    guard Self.isNamespaced, let namespace = json.at("metadata", "namespace")?.string, !namespace.isEmpty else {
      return nil
    }
    return namespace
  }
}
