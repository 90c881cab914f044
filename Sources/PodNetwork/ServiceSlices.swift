import KubeClient
import KubeTypes

/// EndpointSlices by the service that they belong to: an informer has no such index.
struct ServiceSlices {
  /// What became of a slice. Made before a lock is taken: it decodes.
  struct Change {
    fileprivate var before: (service: ObjectKey, slice: ObjectKey)?
    fileprivate var after: (service: ObjectKey, slice: ObjectKey, content: EndpointSlice)?

    /// - Parameters:
    ///   - old: `nil` for a new slice.
    ///   - new: `nil` for one that was deleted.
    init(_ old: Object?, _ new: Object?) {
      if let old, let service = Self.service(of: old) { before = (service, old.header.key) }
      if let new, let service = Self.service(of: new) {
        after = (service, new.header.key, new.decode(EndpointSlice.self))
      }
    }

    /// Of which the endpoints may be others now.
    var services: Set<ObjectKey> { Set([before?.service, after?.service].compactMap { $0 }) }

    private static func service(of slice: Object) -> ObjectKey? {
      slice.header.labels[ServiceProxy.serviceNameLabel].map {
        ObjectKey(namespace: slice.header.namespace, name: $0)
      }
    }
  }

  private var slices: [ObjectKey: [ObjectKey: EndpointSlice]] = [:]

  mutating func apply(_ change: Change) {
    if let before = change.before {
      slices[before.service]?[before.slice] = nil
      if slices[before.service]?.isEmpty == true { slices[before.service] = nil }
    }
    if let after = change.after { slices[after.service, default: [:]][after.slice] = after.content }
  }

  /// A service's slices in the order of their names.
  subscript(service: ObjectKey) -> [EndpointSlice] {
    slices[service]?.sorted { $0.key < $1.key }.map(\.value) ?? []
  }
}
