public import Wire

/// How a kind that is served in another form than it is stored in is read and written.
///
/// An object has one form in the store, whichever kind it is written through, so that everybody sees the same ones. A
/// round trip, from the store and back, loses nothing.
public struct KindConversion: Sendable {
  /// The kind that is stored.
  public let storage: GroupVersionKind
  /// Its resource: that of the keys in the store.
  public let resource: GroupVersionResource
  private let servedKind: GroupVersionKind
  private let toStorage: @Sendable (inout JSON) -> Void
  private let fromStorage: @Sendable (inout JSON) -> Void

  /// - Parameters:
  ///   - served: the kind whose form is converted.
  ///   - resource: the stored kind's.
  ///   - toStorage: makes the stored form of the served one; `apiVersion` and `kind` follow by themselves.
  package init(
    served: GroupVersionKind, storage: GroupVersionKind, resource: String,
    toStorage: @escaping @Sendable (inout JSON) -> Void, fromStorage: @escaping @Sendable (inout JSON) -> Void
  ) {
    servedKind = served
    self.storage = storage
    self.resource = GroupVersionResource(group: storage.group, version: storage.version, resource: resource)
    self.toStorage = toStorage
    self.fromStorage = fromStorage
  }

  /// The stored form of an object that was decoded as the served kind.
  public func stored(_ object: JSON) -> JSON { convert(object, to: storage, toStorage) }

  /// The served form of a stored object.
  public func served(_ object: JSON) -> JSON { convert(object, to: servedKind, fromStorage) }

  private func convert(_ object: JSON, to kind: GroupVersionKind, _ body: (inout JSON) -> Void) -> JSON {
    var object = object
    body(&object)
    object["apiVersion"] = .string(GroupVersion(group: kind.group, version: kind.version).description)
    object["kind"] = .string(kind.kind)
    return object
  }
}
