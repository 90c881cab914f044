import Schema
public import Wire

/// What the platform needs to know of any object without decoding it.
public struct ObjectHeader: Sendable, Equatable {
  public var namespace: String
  public var name: String
  public var uid: String
  /// The store's revision at the last write.
  public var resourceVersion: Int64
  public var generation: Int64
  public var creationTimestamp: String
  public var deletionTimestamp: String?
  public var labels: [String: String]
  public var finalizers: [String]
  public var ownerReferences: [OwnerReference]

  /// Reads `metadata`; what is absent is empty.
  public init(_ object: JSON) { self.init(metadata: object["metadata"]) }

  /// Reads the header out of an object's bytes without decoding the rest.
  public init(parsing bytes: [UInt8]) throws(JSONError) {
    self.init()
    if !HeaderScanner.scan(bytes, into: &self) { self = try Self(decoding: bytes) }
  }

  /// The same by the parser: `HeaderScanner` leaves to it what is not in the usual form.
  init(decoding bytes: [UInt8]) throws(JSONError) {
    self.init(metadata: try JSON.parse(member: "metadata", of: bytes))
  }

  /// A header without content.
  init() {
    namespace = ""
    name = ""
    uid = ""
    resourceVersion = 0
    generation = 0
    creationTimestamp = ""
    deletionTimestamp = nil
    labels = [:]
    finalizers = []
    ownerReferences = []
  }

  private init(metadata meta: JSON?) {
    namespace = meta?["namespace"]?.string ?? ""
    name = meta?["name"]?.string ?? ""
    uid = meta?["uid"]?.string ?? ""
    resourceVersion = meta?["resourceVersion"]?.string.flatMap(Int64.init) ?? 0
    generation = meta?["generation"]?.int ?? 0
    creationTimestamp = meta?["creationTimestamp"]?.string ?? ""
    deletionTimestamp = meta?["deletionTimestamp"]?.string
    labels = [:]
    for (key, value) in meta?["labels"]?.object?.members ?? [] { labels[key] = value.string }
    finalizers = meta?["finalizers"]?.array?.compactMap(\.string) ?? []
    ownerReferences = meta?["ownerReferences"]?.array?.map(OwnerReference.init(json:)) ?? []
  }
}

/// One version of an object: its canonical JSON bytes and its header. Immutable and shared: the store, the watchers and
/// the informers hold the same one.
public final class Object: Sendable {
  public let header: ObjectHeader
  /// Canonical JSON with `apiVersion`, `kind` and `metadata.resourceVersion`.
  public let bytes: [UInt8]

  public init(header: ObjectHeader, bytes: [UInt8]) {
    self.header = header
    self.bytes = bytes
  }

  /// Parses the bytes; for a client that got them from the network.
  public convenience init(parsing bytes: [UInt8]) throws(JSONError) {
    self.init(header: ObjectHeader(try JSON.parse(bytes)), bytes: bytes)
  }

  public convenience init(_ json: JSON) {
    self.init(header: ObjectHeader(json), bytes: json.serialized())
  }

  /// Decodes the bytes at each call: keep the result while it is needed.
  ///
  /// The bytes were checked when the object was made; an object that does not parse reads as empty.
  public func json() -> JSON { (try? JSON.parse(bytes)) ?? .object(JSONObject()) }

  /// Decodes into a typed view.
  public func decode<K: KubeKind>(_ kind: K.Type = K.self) -> K { K(json: json()) }
}

/// Namespace and name; the key that reconcilers work on. The namespace is empty for cluster-scoped objects.
public struct ObjectKey: Sendable, Hashable, Comparable, CustomStringConvertible {
  public var namespace: String
  public var name: String

  public init(namespace: String = "", name: String) {
    self.namespace = namespace
    self.name = name
  }

  public static func < (a: ObjectKey, b: ObjectKey) -> Bool {
    (a.namespace, a.name) < (b.namespace, b.name)
  }

  /// `namespace/name`, or the name alone.
  public var description: String { namespace.isEmpty ? name : "\(namespace)/\(name)" }
}

extension ObjectHeader {
  public var key: ObjectKey { ObjectKey(namespace: namespace, name: name) }

  /// The owner that manages this object (`controller: true`).
  public var controller: OwnerReference? { ownerReferences.first { $0.controller == true } }
}
