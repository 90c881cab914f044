import KubeTypes
import Store
import Synchronization
import Wire

/// The PriorityClasses by name: each pod that is made asks for one, and changes are rare. They follow the store, so that
/// whoever has made a class can use it at once.
final class PriorityClasses: Sendable {
  struct PriorityClass: Sendable, Equatable {
    var name: String
    var value: Int64
    var preemptionPolicy: String
  }

  private struct State {
    var classes: [String: PriorityClass] = [:]
    /// Names of those that say that they are for pods that name none. There should be one, but nothing enforces it.
    var globalDefaults: Set<String> = []

    mutating func set(_ name: String, _ json: JSON?) {
      let isDefault = json?["globalDefault"]?.bool == true
      classes[name] = json.map {
        PriorityClass(
          name: name, value: $0["value"]?.int ?? 0,
          preemptionPolicy: $0["preemptionPolicy"]?.string ?? "PreemptLowerPriority")
      }
      if isDefault { globalDefaults.insert(name) } else { globalDefaults.remove(name) }
    }
  }

  private static let prefix = "scheduling.k8s.io/priorityclasses/"
  private let state = Mutex(State())
  private let watch = Mutex<Store.Watch?>(nil)

  /// Reads what is stored and follows it until the store closes.
  init(store: Store, reader: StoredObjectReader) throws {
    let page = try store.list(prefix: Self.prefix)
    for entry in page.entries {
      let json = reader.read(entry)
      state.withLock { $0.set(entry.header.name, json) }
    }
    let watch = try store.follow(prefix: Self.prefix, after: page.revision) { [weak self] signal in
      guard case .events(let events) = signal, let self else { return }
      for event in events {
        let json = event.kind == .delete ? nil : reader.read(event.entry)
        state.withLock { $0.set(event.entry.header.name, json) }
      }
    }
    self.watch.withLock { $0 = watch }
  }

  subscript(name: String) -> PriorityClass? { state.withLock { $0.classes[name] } }

  /// The class of pods that name none: of several the lowest one.
  var globalDefault: PriorityClass? {
    state.withLock { state in
      state.globalDefaults.compactMap { state.classes[$0] }.min { ($0.value, $0.name) < ($1.value, $1.name) }
    }
  }
}
