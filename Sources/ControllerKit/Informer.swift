import KubeClient
import KubeTypes
import Logging
import Schema
import Synchronization
import Wire

/// A local copy of a collection, kept up to date by list and watch.
///
/// Reads are answered from memory and may be behind the server; `revision` tells how far. Handlers are called one at a
/// time, in the order of the changes, after the copy has been changed, on the informer's task: they must be short and
/// must not block (they usually enqueue a key).
public final class Informer: Sendable, Service {
  public typealias Handler = @Sendable (_ old: Object?, _ new: Object?) -> Void

  public let resource: GroupVersionResource
  private let namespace: String?
  private let fieldSelector: String
  private let client: any KubeClient
  private let time: any TimeSource
  private let log: Logger

  private struct State {
    var cache = InformerCache()
    var handlers: [Handler] = []
    var isDelivering = false
    /// Its resource is served no more.
    var isEnded = false
  }

  /// Held while handlers are called: one that is added meanwhile is told everything once.
  private let delivery = Mutex<Void>(())

  private let state = Mutex(State())
  private let synced = Gate()

  /// - Parameters:
  ///   - namespace: `nil` for cluster-scoped resources and for all namespaces.
  ///   - fieldSelector: as in the URL, such as `spec.nodeName=a`; empty for all.
  public init(
    client: any KubeClient, resource: GroupVersionResource, namespace: String? = nil, fieldSelector: String = "",
    time: any TimeSource
  ) {
    self.client = client
    self.resource = resource
    self.namespace = namespace
    self.fieldSelector = fieldSelector
    self.time = time
    log = Logger(label: "apus.informer.\(resource.groupResource)")
  }

  /// Adds a handler. It is called with every object that is there (`old` is `nil`), here for what is in the copy already, and
  /// then with every change; `new` is `nil` for a removal. An object that was replaced by another one of the same name is
  /// reported as a removal and an addition. A handler adds none to the informer that calls it.
  public func onChange(_ handler: @escaping Handler) {
    delivery.withLock { _ in
      let objects = state.withLock { state in
        state.handlers.append(handler)
        return state.cache.list(namespace: nil)
      }
      for object in objects { handler(nil, object) }
    }
  }

  /// Its resource is served no more: the run that there is empties the copy, tells its handlers so, and returns. Nobody waits
  /// for its first list.
  func end() {
    state.withLock { $0.isEnded = true }
    synced.open()
  }

  public func get(_ key: ObjectKey) -> Object? { state.withLock { $0.cache.get(key) } }

  /// Sorted by key.
  public func list(namespace: String? = nil) -> [Object] { state.withLock { $0.cache.list(namespace: namespace) } }

  /// Keeps an index from now on. One that is asked for is added then, over all objects at once: whoever knows earlier
  /// adds it before the first list.
  public func add(_ index: InformerIndex) { state.withLock { $0.cache.add(index) } }

  /// The objects that an index has under a value, sorted by key.
  public func list(by index: InformerIndex, _ value: String) -> [Object] {
    state.withLock { $0.cache.list(by: index, value) }
  }

  /// How many objects an index has under a value.
  public func count(by index: InformerIndex, _ value: String) -> Int {
    state.withLock { $0.cache.table(index)[value].count }
  }

  /// The values under which an index has objects, sorted.
  public func values(of index: InformerIndex) -> [String] { state.withLock { $0.cache.table(index).values.sorted() } }

  /// The objects whose controlling owner has this uid, sorted by key.
  public func list(controlledBy uid: String) -> [Object] { list(by: .controller, uid) }

  /// The objects of a namespace that no controller owns, sorted by key.
  public func orphans(in namespace: String) -> [Object] { list(by: .uncontrolled, namespace) }

  public var count: Int { state.withLock { $0.cache.count } }

  /// Every write to this collection up to this revision is in the copy.
  public var revision: Int64 { state.withLock { $0.cache.revision } }

  private var isEnded: Bool { state.withLock { $0.isEnded } }

  public var isSynced: Bool { synced.isOpen }

  /// Waits for the first complete list, handlers included. Throws `CancellationError`.
  public func waitUntilSynced() async throws { try await synced.wait() }

  /// Lists, watches (anew at each run), resumes a watch that ended from the last revision seen, and lists again when that revision is gone.
  /// Failures are retried with back-off for as long as the task lives, or until the resource is served no more.
  public func run() async throws {
    let backoff = Backoff(first: .milliseconds(50), longest: .seconds(30))
    var random = SeededRandom(name: resource.description)
    var failures = 0
    var needsList = true
    while true {
      try Task.checkCancellation()
      if isEnded { return deliver { $0.replace(with: [], revision: $0.revision) } }
      do {
        if needsList {
          try await relist()
          needsList = false
        }
        try await watch(failures: &failures)
      } catch {
        try Task.checkCancellation()
        failures += 1
        if let error = error as? KubeError {
          needsList = needsList || Self.needsList(after: error)
          // The first time is the normal course of things after a long pause.
          if failures == 1, error.reason == .expired || error.reason == .gone { continue }
        }
        log.log(
          level: failures > 3 ? .warning : .debug, "list or watch failed, will retry",
          metadata: ["error": "\(error)", "failures": "\(failures)"])
      }
      if failures > 0, !isEnded { try await time.sleep(for: backoff.delay(failures: failures, using: &random)) }
    }
  }

  /// Whether the watch cannot go on where it was. When the server went away, an older state may come back with it, from a
  /// backup: then its revisions are not those that were seen.
  private static func needsList(after error: KubeError) -> Bool {
    switch error.reason {
    case .expired, .gone, .serviceUnavailable: true
    default: error.details?.causes.contains { $0.reason == "ResourceVersionTooLarge" } ?? false
    }
  }

  private func relist() async throws {
    var items: [Object] = []
    var options = ListOptions(fieldSelector: fieldSelector, limit: 2000)
    var revision = ""
    repeat {
      let page = try await client.list(resource, namespace: namespace, options: options)
      items += page.items
      // All pages are of the revision of the first one.
      if revision.isEmpty { revision = page.resourceVersion }
      options.continueToken = page.continueToken
    } while !options.continueToken.isEmpty
    let number = Int64(revision) ?? 0
    deliver { $0.replace(with: items, revision: number) }
    synced.open()
  }

  /// Watches until the stream ends. `failures` goes back to zero as soon as the watch is of use.
  private func watch(failures: inout Int) async throws {
    let options = ListOptions(
      fieldSelector: fieldSelector, resourceVersion: String(revision), allowWatchBookmarks: true)
    let start = time.now()
    for try await event in try await client.watch(resource, namespace: namespace, options: options) {
      failures = 0
      switch event {
      case .added(let object), .modified(let object): deliver { $0.upsert(object) }
      case .deleted(let object): deliver { $0.delete(object) }
      case .bookmark(let revision):
        state.withLock { $0.cache.bookmark(revision: Int64(revision) ?? 0) }
      }
    }
    // A server that closes at once and without an event is not to be asked in a tight loop.
    failures = time.now().since(start) > .seconds(1) ? 0 : failures + 1
  }

  private func deliver(_ change: (inout InformerCache) -> [InformerCache.Change]) {
    state.withLock { state in
      // Two at a time would tell changes in another order than they were made in.
      precondition(!state.isDelivering, "an informer runs twice")
      state.isDelivering = true
    }
    delivery.withLock { _ in
      let (changes, handlers) = state.withLock { (change(&$0.cache), $0.handlers) }
      for change in changes {
        precondition(
          change.old == nil || change.new == nil || change.old?.header.uid == change.new?.header.uid,
          "one object is told as the change of another")
        for handler in handlers { handler(change.old, change.new) }
      }
    }
    state.withLock { $0.isDelivering = false }
  }
}
