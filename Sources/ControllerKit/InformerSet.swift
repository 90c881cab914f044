import KubeClient
import Schema
import Synchronization
import Wire

/// One informer per resource, shared by every controller that asks for it.
public final class InformerSet: Sendable, Service {
  private let client: any KubeClient
  private let time: any TimeSource
  private let informers = Mutex<[GroupVersionResource: Informer]>([:])
  private let added: AsyncStream<Informer>
  private let add: AsyncStream<Informer>.Continuation

  public init(client: any KubeClient, time: any TimeSource) {
    self.client = client
    self.time = time
    // Holds one element per resource.
    (added, add) = AsyncStream.makeStream()
  }

  /// The informer of all namespaces. One that is asked for while the set runs is started at once.
  public func informer(for resource: GroupVersionResource) -> Informer {
    informers.withLock { informers in
      if let informer = informers[resource] { return informer }
      let informer = Informer(client: client, resource: resource, time: time)
      informers[resource] = informer
      add.yield(informer)
      return informer
    }
  }

  /// Runs all informers; once in the life of a set.
  public func run() async throws {
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
    for informer in informers.withLock({ Array($0.values) }) { try await informer.waitUntilSynced() }
  }
}
