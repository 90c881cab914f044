import Schema
import Store
import Synchronization
import Telemetry

/// What the server counts of its store and of its watches. What a request passes costs two looks at the clock and a few
/// additions; what can be read off the store is read when somebody asks.
final class ServiceMetrics: Sendable {
  /// From a write's handing over to the store to its answer, with its wait for others and for the disk.
  private let commits: Histogram
  private let watchEvents: Counter
  private let openWatches = Atomic(0)

  init(_ metrics: Metrics, store: Store, kinds: KindRegistry) {
    commits = metrics.histogram(
      "apus_store_commit_duration_seconds",
      help: "Time from handing a write to the store to its answer, failed ones included.",
      buckets: [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5])
    watchEvents = metrics.counter("apiserver_watch_events_total", help: "Events sent to watching clients.")
    let watches = metrics.gauge(
      "apiserver_longrunning_requests", help: "Requests under way that last as long as their client wants.",
      labels: ["verb"])
    let objects = metrics.gauge(
      "apiserver_storage_objects", help: "Stored objects by resource.", labels: ["resource"])
    let revision = metrics.gauge("apus_store_revision", help: "The newest revision.")
    let oldest = metrics.gauge(
      "apus_store_oldest_revision", help: "The oldest revision that a watch or a list may begin at.")
    let storeWatches = metrics.gauge(
      "apus_store_watches", help: "Watches of the store: those of clients and those of the server's own parts.")
    metrics.onCollect { [weak self] in
      guard let self else { return }
      watches.set("watch", to: Double(openWatches.load(ordering: .relaxed)))
      revision.set(to: Double(store.revision))
      oldest.set(to: Double(store.oldestRevision))
      storeWatches.set(to: Double(store.watchCount))
      for kind in kinds.current.kinds where kind.conversion == nil && kind.verbs.contains("list") {
        guard let page = try? store.list(prefix: StoreKey.prefix(kind), limit: 1) else { continue }
        objects.set(
          kind.groupVersionResource.groupResource, to: Double(page.entries.count + (page.remaining ?? 0)))
      }
    }
  }

  func committed(since start: ContinuousClock.Instant) {
    commits.observe(seconds: (ContinuousClock.now - start) / .seconds(1))
  }

  func sent(events: Int) { if events > 0 { watchEvents.increment(by: Double(events)) } }

  /// Counts a watch for as long as the value is kept.
  func watch() -> OpenWatch { OpenWatch(self) }

  final class OpenWatch: Sendable {
    private let metrics: ServiceMetrics

    fileprivate init(_ metrics: ServiceMetrics) {
      self.metrics = metrics
      metrics.openWatches.add(1, ordering: .relaxed)
    }

    deinit { metrics.openWatches.subtract(1, ordering: .relaxed) }
  }
}
