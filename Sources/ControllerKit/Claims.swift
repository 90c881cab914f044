import KubeClient
import KubeTypes
import Schema
import Wire

/// What an owner can claim by its selector.
public protocol Claimable {
  var claimLabels: [String: String] { get }
  var isBeingDeleted: Bool { get }
}

/// Which objects an owner keeps, lets go, and takes, by its selector (`BaseControllerRefManager` of kube-controller-manager).
/// Pure; `OwnerReferenceWriter` carries it out.
public struct Claims<Element: Claimable> {
  /// Its own that the selector matches.
  public private(set) var kept: [Element] = []
  /// Its own that the selector no longer matches; what is being deleted is not let go.
  public private(set) var released: [Element] = []
  /// Those of nobody that the selector matches and that are there to stay.
  public private(set) var adopted: [Element] = []

  /// - Parameters:
  ///   - owned: what names the owner as its controller.
  ///   - orphans: what nobody controls.
  ///   - isOwnerBeingDeleted: such an owner changes nothing.
  public init(owned: [Element], orphans: [Element], selector: Selector, isOwnerBeingDeleted: Bool) {
    for element in owned {
      if selector.matches(element.claimLabels) {
        kept.append(element)
      } else if !element.isBeingDeleted, !isOwnerBeingDeleted {
        released.append(element)
      }
    }
    if isOwnerBeingDeleted { return }
    adopted = orphans.filter { !$0.isBeingDeleted && selector.matches($0.claimLabels) }
  }
}

/// Writes the owner references by which a controller of one kind owns objects. Each write is guarded by the object's
/// `resourceVersion`: owners that somebody else has set are not lost.
public struct OwnerReferenceWriter: Sendable {
  private let client: any KubeClient
  private let kind: GroupVersionKind
  private let resource: GroupVersionResource
  private let options: WriteOptions

  /// - Parameters:
  ///   - kind: the owners'.
  ///   - resource: theirs, too.
  public init(
    client: any KubeClient, kind: GroupVersionKind, resource: GroupVersionResource, options: WriteOptions
  ) {
    self.client = client
    self.kind = kind
    self.resource = resource
    self.options = options
  }

  /// Makes `owner` the controller of an object, unless the owner has gone meanwhile: the informer's may be gone, and
  /// another one may have its name.
  public func adopt(_ object: ObjectHeader, of objects: GroupVersionResource, by owner: ObjectHeader) async throws {
    let live = try await client.get(resource, namespace: owner.namespace, name: owner.name).header
    guard live.uid == owner.uid, live.deletionTimestamp == nil else { return }
    let reference = OwnerReference.controller(kind, name: owner.name, uid: owner.uid)
    try await set(object.ownerReferences + [reference], of: object, objects)
  }

  public func release(_ object: ObjectHeader, of objects: GroupVersionResource, from owner: ObjectHeader) async throws {
    try await set(object.ownerReferences.filter { $0.uid != owner.uid }, of: object, objects)
  }

  private func set(
    _ owners: [OwnerReference], of object: ObjectHeader, _ objects: GroupVersionResource
  ) async throws {
    _ = try await client.patch(
      objects, namespace: object.namespace, name: object.name, subresource: nil, type: .merge,
      body: [
        "metadata": [
          "uid": .string(object.uid), "resourceVersion": .string(String(object.resourceVersion)),
          "ownerReferences": .array(owners.map(\.json)),
        ]
      ], options: options)
  }
}
