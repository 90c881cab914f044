import KubeTypes
import Schema
import Synchronization

/// Which objects name which owners, by uid. Only objects with owners are in it, and only their place: the rest stays in
/// the informers.
final class GarbageGraph: Sendable {
  /// Where an object is.
  struct Place: Sendable, Hashable {
    /// `deployments.apps`.
    var resource: String
    var key: ObjectKey
    var uid: String

    var slot: Slot { Slot(resource: resource, key: key) }
  }

  /// Where one object after the other can be: what the collector is asked about. Two objects of one name are one
  /// question, so that they are never worked on at the same time.
  struct Slot: Sendable, Hashable, CustomStringConvertible {
    /// `deployments.apps`.
    var resource: String
    var key: ObjectKey

    var description: String { "\(resource) \(key)" }
  }

  /// By the owner's uid, then by the dependent's.
  private let dependents = Mutex<[String: [String: Place]]>([:])

  func update(_ place: Place, from old: [OwnerReference], to new: [OwnerReference]) {
    if old.isEmpty && new.isEmpty { return }
    dependents.withLock { dependents in
      for owner in old.compactMap(\.uid) {
        dependents[owner]?[place.uid] = nil
        if dependents[owner]?.isEmpty == true { dependents[owner] = nil }
      }
      for owner in new.compactMap(\.uid) { dependents[owner, default: [:]][place.uid] = place }
    }
  }

  /// Sorted by place.
  func dependents(of uid: String) -> [Place] {
    let places = dependents.withLock { $0[uid].map { Array($0.values) } ?? [] }
    return places.sorted { ($0.resource, $0.key) < ($1.resource, $1.key) }
  }

  /// Every object that names an owner.
  var all: [Place] { dependents.withLock { Array(Set($0.values.flatMap(\.values))) } }

  /// Forgets the objects of a resource as dependents.
  ///
  /// - Returns: the uids of their owners.
  func forget(_ resource: String) -> Set<String> {
    dependents.withLock { dependents in
      var owners: Set<String> = []
      for (owner, places) in dependents {
        let rest = places.filter { $0.value.resource != resource }
        if rest.count == places.count { continue }
        owners.insert(owner)
        dependents[owner] = rest.isEmpty ? nil : rest
      }
      return owners
    }
  }

  func hasDependents(_ uid: String) -> Bool { dependents.withLock { $0[uid] != nil } }
}
