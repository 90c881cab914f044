import KubeClient
import Schema
import Synchronization
import Wire

/// One informer per resource, shared by every controller that asks for it.
public final class InformerSet: Sendable, Service {
  private let client: any KubeClient
  private let time: any TimeSource

  private struct State {
    var informers: [GroupVersionResource: Informer] = [:]
    /// To the present run, which holds one element per resource.
    var added: AsyncStream<Informer>.Continuation?
  }

  private let state = Mutex(State())

  /// - Parameter kinds: the informer of a resource that they lose is ended and forgotten.
  public init(client: any KubeClient, time: any TimeSource, kinds: KindRegistry? = nil) {
    self.client = client
    self.time = time
    kinds?.observe { [weak self] old, new in
      for kind in old?.kinds ?? [] where new.resource(kind.groupVersionResource) == nil {
        self?.remove(kind.groupVersionResource)
      }
    }
  }

  private func remove(_ resource: GroupVersionResource) {
    state.withLock { $0.informers.removeValue(forKey: resource) }?.end()
  }

  /// The informer of all namespaces. One that is asked for while the set runs is started at once.
  public func informer(for resource: GroupVersionResource) -> Informer {
    state.withLock { state in
      if let informer = state.informers[resource] { return informer }
      let informer = Informer(client: client, resource: resource, time: time)
      state.informers[resource] = informer
      state.added?.yield(informer)
      return informer
    }
  }

  /// Runs all informers.
  public func run() async throws {
    // A stream of its own for each run: one whose reader was cancelled has ended for ever.
    let (added, add) = AsyncStream<Informer>.makeStream()
    state.withLock { state in
      precondition(state.added == nil, "a set of informers runs twice")
      state.added = add
      for informer in state.informers.values { add.yield(informer) }
    }
    defer { state.withLock { $0.added = nil } }
    try await withThrowingDiscardingTaskGroup { group in
      for await informer in added {
        group.addTask { try await informer.run() }
      }
      // The stream ends only by cancellation.
      group.cancelAll()
    }
  }

  /// Waits until every informer that has been asked for so far has its first list.
  public func waitUntilSynced() async throws {
    for informer in state.withLock({ Array($0.informers.values) }) { try await informer.waitUntilSynced() }
  }
}
