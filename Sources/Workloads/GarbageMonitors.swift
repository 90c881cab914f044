import ControllerKit
import Schema
import Synchronization

/// The informers that the garbage collector learns from, one for each resource that is served.
final class GarbageMonitors: Sendable {
  struct State: Sendable {
    /// By `deployments.apps`.
    var informers: [String: Informer] = [:]
    var resources: [String: ServedResource] = [:]
    /// By group and kind: an owner may be named in another version than the one that is watched.
    var kinds: [GarbageCollectorReconciler.GroupKind: ServedResource] = [:]

    /// A resource whose objects are not known yet; `nil` when all are.
    var unsynced: String? { informers.filter { !$0.value.isSynced }.keys.min() }
  }

  struct Change {
    /// The names of those that are followed no more.
    var removed: [String] = []
    var added: [(name: String, informer: Informer)] = []
    /// Of those that were added.
    var kinds: [GarbageCollectorReconciler.GroupKind] = []
  }

  private let ignored: Set<String>
  private let state = Mutex(State())

  init(ignored: Set<String>) { self.ignored = ignored }

  var current: State { state.withLock { $0 } }

  func change(to resources: [ServedResource], by set: InformerSet) -> Change {
    let followed = resources.filter { !ignored.contains($0.resource.groupResource) }
    return state.withLock { state in
      var change = Change()
      let old = state
      state = State()
      for resource in followed {
        let name = resource.resource.groupResource
        let kind = GarbageCollectorReconciler.GroupKind(group: resource.resource.group, kind: resource.kind)
        state.resources[name] = resource
        state.kinds[kind] = resource
        if old.resources[name] == resource, let informer = old.informers[name] {
          state.informers[name] = informer
          continue
        }
        let informer = set.informer(for: resource.resource)
        state.informers[name] = informer
        change.added.append((name, informer))
        change.kinds.append(kind)
      }
      change.removed = old.resources.keys.filter { state.resources[$0] != old.resources[$0] }.sorted()
      return change
    }
  }
}
