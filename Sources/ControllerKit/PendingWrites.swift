import KubeTypes
import Synchronization

/// What a controller has created and deleted and its informer has not yet shown, so that it never acts twice on one
/// reason.
///
/// Kubernetes' controllers count what they expect to see and wait, for at most five minutes. Here the answers to the
/// writes are kept by uid and laid over the informer's list: a created object is there at once, and a deleted one is
/// known to be going. Resource versions of one server are ordered, so an informer that has reached a write's
/// version has seen it, and the entry goes without any timeout.
public final class PendingWrites: Sendable {
  private struct Pending {
    var created: [Object] = []
    /// Uids.
    var deleted: Set<String> = []
  }

  private let pending = Mutex<[String: Pending]>([:])

  public init() {}

  /// Notes the answer to a create.
  /// - Parameter owner: the uid of the object on whose behalf it was made.
  public func created(_ object: Object, owner: String) {
    pending.withLock { $0[owner, default: Pending()].created.append(object) }
  }

  /// Notes that a delete was accepted.
  public func deleted(uid: String, owner: String) {
    pending.withLock { _ = $0[owner, default: Pending()].deleted.insert(uid) }
  }

  /// The owner is gone.
  public func forget(owner: String) {
    pending.withLock { $0[owner] = nil }
  }

  /// The informer's objects of `owner` with what it does not show yet, and the uids of those that are being deleted.
  /// Entries that the informer shows are dropped.
  public func overlay(on informer: Informer, owner: String) -> (objects: [Object], deleting: Set<String>) {
    // The revision is read first: the list is then at least as new.
    let revision = informer.revision
    var objects = informer.list(controlledBy: owner)
    let deleting: Set<String> = pending.withLock { pending in
      guard var entry = pending[owner] else { return [] }
      let listed = Set(objects.map(\.header.uid))
      entry.created.removeAll { $0.header.resourceVersion <= revision || listed.contains($0.header.uid) }
      objects += entry.created
      let known = listed.union(entry.created.map(\.header.uid))
      entry.deleted.formIntersection(known)
      pending[owner] = entry.created.isEmpty && entry.deleted.isEmpty ? nil : entry
      return entry.deleted
    }
    return (objects, deleting)
  }
}
