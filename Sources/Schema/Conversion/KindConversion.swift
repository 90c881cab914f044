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
  /// What the fields that can be selected by are called in the store.
  public let selectableFields: [String: String]
  private let servedKind: GroupVersionKind
  private let toStorage: @Sendable (inout JSON) -> Void
  private let fromStorage: @Sendable (inout JSON) -> Void

  init(
    served: GroupVersionKind, storage: GroupVersionKind, resource: String, selectableFields: [String: String] = [:],
    toStorage: @escaping @Sendable (inout JSON) -> Void, fromStorage: @escaping @Sendable (inout JSON) -> Void
  ) {
    servedKind = served
    self.storage = storage
    self.resource = GroupVersionResource(group: storage.group, version: storage.version, resource: resource)
    self.selectableFields = selectableFields
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

  /// The conversion of a kind; `nil` for one that is stored as it is.
  static func of(_ kind: GroupVersionKind) -> KindConversion? { all.first { $0.servedKind == kind } }

  private static let all: [KindConversion] = [.events, .autoscalers]
}

extension KindConversion {
  /// The events of newer recorders are those of older ones under other names (KEP-383).
  fileprivate static let events: KindConversion = {
    let names: [(served: String, stored: String)] = [
      ("regarding", "involvedObject"), ("note", "message"),
      ("reportingController", "reportingComponent"), ("deprecatedSource", "source"),
      ("deprecatedFirstTimestamp", "firstTimestamp"), ("deprecatedLastTimestamp", "lastTimestamp"),
      ("deprecatedCount", "count"),
    ]
    let toStorage = Dictionary(uniqueKeysWithValues: names.map { ($0.served, $0.stored) })
    let fromStorage = Dictionary(uniqueKeysWithValues: names.map { ($0.stored, $0.served) })
    var fields = ["reportingController": "reportingComponent"]
    for part in ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"] {
      fields["regarding.\(part)"] = "involvedObject.\(part)"
    }
    return KindConversion(
      served: GroupVersionKind(group: "events.k8s.io", version: "v1", kind: "Event"),
      storage: GroupVersionKind(group: "", version: "v1", kind: "Event"), resource: "events", selectableFields: fields,
      toStorage: { $0.rename(toStorage) }, fromStorage: { $0.rename(fromStorage) })
  }()
}

extension JSON {
  fileprivate mutating func rename(_ names: [String: String]) {
    guard case .object(let object) = self else { return }
    self = .object(
      JSONObject(uniqueMembers: object.members.map { (key: names[$0.key] ?? $0.key, value: $0.value) }))
  }
}
