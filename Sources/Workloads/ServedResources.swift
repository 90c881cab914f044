import ControllerKit
import Schema
import Synchronization

/// A resource that the garbage collector and the deletion of namespaces must know of. One version of each resource is
/// enough.
public struct ServedResource: Sendable, Hashable {
  public var resource: GroupVersionResource
  public var kind: String
  public var isNamespaced: Bool

  public init(_ resource: GroupVersionResource, kind: String, isNamespaced: Bool) {
    self.resource = resource
    self.kind = kind
    self.isNamespaced = isNamespaced
  }
}

/// What is served and can be followed, one version of each resource: the first, which clients prefer.
package final class ServedResources: Sendable {
  /// Told of all of them, at first and after each change; by one thread at a time, which must not be held up.
  typealias Follower = @Sendable (_ resources: [ServedResource]) -> Void

  private let resources: Mutex<[ServedResource]>
  /// Held while followers are told.
  private let followers = Mutex<[Follower]>([])

  init(_ resources: [ServedResource]) { self.resources = Mutex(Self.distinct(resources)) }

  /// Those that a registry has from now on.
  convenience init(_ kinds: KindRegistry) {
    self.init([])
    kinds.observe { [weak self] _, new in self?.set(Self.followed(new)) }
  }

  var current: [ServedResource] { resources.withLock { $0 } }

  func follow(_ follower: @escaping Follower) {
    followers.withLock { followers in
      followers.append(follower)
      follower(current)
    }
  }

  func set(_ resources: [ServedResource]) {
    followers.withLock { followers in
      let new = Self.distinct(resources)
      let isChanged = self.resources.withLock { old in
        defer { old = new }
        return old != new
      }
      if isChanged { for follower in followers { follower(new) } }
    }
  }

  private static func followed(_ schemas: SchemaRegistry) -> [ServedResource] {
    schemas.kinds.filter { $0.verbs.contains("list") && $0.verbs.contains("watch") }.map {
      ServedResource($0.groupVersionResource, kind: $0.kind, isNamespaced: $0.isNamespaced)
    }
  }

  /// An object in two versions is one object.
  private static func distinct(_ resources: [ServedResource]) -> [ServedResource] {
    var seen: Set<String> = []
    return resources.filter { seen.insert($0.resource.groupResource).inserted }
  }
}
