import Content
import Distribution
import Logging
import NIOPosix
import OCI
import Synchronization
import Telemetry
import Wire

/// Copies what is pushed here to other registries.
///
/// Level-triggered: a push marks its tag, a worker for each replica compares and copies. What was marked when the process
/// ended is found again by comparing everything at the start, so nothing has to be kept. A deletion leaves nothing to
/// compare: the content store keeps it, for replicas that want to know, until it has been made there.
final class Replicator: Sendable {
  /// What is to be brought to a replica.
  struct Key: Sendable, Hashable {
    var repository: String
    var reference: ManifestReference
  }

  /// Marks of one replica at one time; with more, everything is compared instead.
  static let marksMax = 100_000

  private struct Backlog {
    var order: ArraySlice<Key> = []
    var marked: Set<Key> = []
    var needsAll = true
  }

  /// How far a lane is with the deletions.
  private struct Deletions {
    /// The last one that failed: those behind it come first, so that one that cannot be made holds up no other.
    var failed: Deletion?
    /// Failures since one was made.
    var failures = 0
    /// After a failure none is tried for a time; copies go on.
    var isPaused = false
  }

  private final class Lane: Sendable {
    let replica: RegistryConfiguration.Replica
    let backlog = Mutex(Backlog())
    let deletions = Mutex(Deletions())
    /// Says that there is something in the backlog.
    let wake: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)
    /// Ends when the replica is not wanted any more.
    let life: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)

    init(_ replica: RegistryConfiguration.Replica) {
      self.replica = replica
      wake = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
      life = AsyncStream.makeStream()
      wake.continuation.yield()
    }

    func wants(_ key: Key) -> Bool {
      guard replica.repositories.contains(where: { $0.matches(key.repository) }) else { return false }
      switch key.reference {
      case .tag(let tag): return replica.tags.contains { $0.matches(tag) }
      case .digest: return true
      }
    }

    func mark(_ key: Key) {
      backlog.withLock { backlog in
        guard backlog.marked.count < Replicator.marksMax else {
          backlog.needsAll = true
          return
        }
        if backlog.marked.insert(key).inserted { backlog.order.append(key) }
      }
      wake.continuation.yield()
    }

    func markAll() {
      backlog.withLock { $0.needsAll = true }
      wake.continuation.yield()
    }
  }

  private let content: ContentStore
  private let client: RegistryClient
  private let time: any TimeSource
  private let pool: NIOThreadPool
  private let logger: Logger
  private let metrics: RegistryMetrics
  private let lanes = Mutex<[Lane]>([])
  private let started: (stream: AsyncStream<Lane>, continuation: AsyncStream<Lane>.Continuation)

  init(
    content: ContentStore, client: RegistryClient, time: any TimeSource, pool: NIOThreadPool, logger: Logger,
    metrics: RegistryMetrics
  ) {
    self.content = content
    self.client = client
    self.time = time
    self.pool = pool
    self.logger = logger
    self.metrics = metrics
    started = AsyncStream.makeStream()
  }

  func configure(_ replicas: [RegistryConfiguration.Replica]) {
    let (new, old) = lanes.withLock { lanes in
      var before = lanes
      var new: [Lane] = []
      lanes = replicas.map { replica in
        if let index = before.firstIndex(where: { $0.replica == replica }) { return before.remove(at: index) }
        let lane = Lane(replica)
        new.append(lane)
        return lane
      }
      return (new, before)
    }
    for lane in old { lane.life.continuation.finish() }
    observe()
    for lane in new { started.continuation.yield(lane) }
  }

  /// A manifest was stored. Never waits.
  ///
  /// - Parameter isReferrer: it has a subject, and so matters without a tag.
  func pushed(_ repository: String, _ digest: Digest, tags: [String], isReferrer: Bool) {
    var keys = tags.map { Key(repository: repository, reference: .tag($0)) }
    if isReferrer { keys.append(Key(repository: repository, reference: .digest(digest))) }
    for lane in lanes.withLock({ $0 }) {
      for key in keys where lane.wants(key) { lane.mark(key) }
    }
    observe()
  }

  /// A tag or a manifest was deleted. Never waits.
  func deleted() {
    for lane in lanes.withLock({ $0 }) where lane.replica.deletions { lane.wake.continuation.yield() }
  }

  private func observe() {
    metrics.replicaQueue.set(
      to: Double(lanes.withLock { $0 }.reduce(0) { $0 + $1.backlog.withLock { $0.marked.count } }))
  }

  /// Copies until the task is cancelled.
  func run() async throws {
    await withTaskGroup(of: Void.self) { group in
      for await lane in started.stream {
        group.addTask { await alive(as: lane.life.stream) { await self.serve(lane) } }
      }
      group.cancelAll()
    }
    try Task.checkCancellation()
  }

  private func serve(_ lane: Lane) async {
    await withDiscardingTaskGroup { group in
      var failures = 0
      for await _ in lane.wake.stream {
        while !Task.isCancelled {
          do {
            try await compareAll(lane)
            // Before the copies: an image that cannot be copied must not hold them up, nor they the images.
            switch await delete(lane) {
            case .made: continue
            case .failed(let delay):
              group.addTask { [time] in
                guard (try? await time.sleep(for: delay)) != nil else { return }
                lane.deletions.withLock { $0.isPaused = false }
                lane.wake.continuation.yield()
              }
            case .none: break
            }
            guard try await copy(lane) else { break }
            failures = 0
          } catch {
            if Task.isCancelled { break }
            failures += 1
            let delay = delay(after: failures)
            noteFailure(of: "replication", lane, error, delay)
            try? await time.sleep(for: delay)
          }
          observe()
        }
        if Task.isCancelled { break }
      }
      group.cancelAll()
    }
  }

  private func delay(after failures: Int) -> Duration {
    min(Duration.seconds(300), .seconds(1) * (1 << min(failures - 1, 10)))
  }

  private func noteFailure(of what: String, _ lane: Lane, _ error: any Error, _ delay: Duration) {
    metrics.replications.increment("failed")
    logger.warning(
      "\(what) failed; it is tried again",
      metadata: ["replica": "\(lane.replica.name)", "error": "\(error)", "delay": "\(delay)"])
  }

  /// Marks everything, when that is due.
  private func compareAll(_ lane: Lane) async throws {
    let isDue = lane.backlog.withLock { backlog in
      defer { backlog.needsAll = false }
      return backlog.needsAll
    }
    guard isDue else { return }
    do {
      try await markEverything(lane)
    } catch {
      lane.backlog.withLock { $0.needsAll = true }
      throw error
    }
  }

  /// Copies the next thing that is marked; returns whether there was one.
  private func copy(_ lane: Lane) async throws -> Bool {
    // Taken out before the copy: a push meanwhile marks it again.
    let next = lane.backlog.withLock { backlog -> Key? in
      guard let key = backlog.order.popFirst() else { return nil }
      backlog.marked.remove(key)
      return key
    }
    guard let next else { return false }
    do {
      try await copy(next, lane)
    } catch {
      // At the end: one bad image must not stop the others.
      lane.mark(next)
      throw error
    }
    return true
  }

  // MARK: Deletions

  private enum Deleted {
    case none, made
    /// Deletions wait for so long.
    case failed(Duration)
  }

  /// Makes the next deletion at the replica.
  private func delete(_ lane: Lane) async -> Deleted {
    let (failed, isPaused) = lane.deletions.withLock { ($0.failed, $0.isPaused) }
    guard lane.replica.deletions, !isPaused else { return .none }
    var tried: Deletion?
    do {
      guard let deletion = try await nextDeletion(lane.replica.name, after: failed) else { return .none }
      tried = deletion
      try await delete(deletion, lane)
      lane.deletions.withLock { $0.failures = 0 }
      return .made
    } catch {
      if Task.isCancelled { return .none }
      let failures = lane.deletions.withLock { state in
        if let tried { state.failed = tried }
        state.failures += 1
        state.isPaused = true
        return state.failures
      }
      let delay = delay(after: failures)
      noteFailure(of: "the replication of a deletion", lane, error, delay)
      return .failed(delay)
    }
  }

  /// The first one behind the one that failed; from the beginning again after the last.
  private func nextDeletion(_ name: String, after failed: Deletion?) async throws -> Deletion? {
    try await pool.calling { [content] () throws(OCIError) in
      if let failed, let next = try content.deletions(for: name, after: failed, limit: 1).first { return next }
      return try content.deletions(for: name, limit: 1).first
    }
  }

  private func delete(_ deletion: Deletion, _ lane: Lane) async throws {
    let key = Key(repository: deletion.repository, reference: deletion.reference)
    if lane.wants(key) {
      let isBack = try await pool.calling { [content] () throws(OCIError) in
        do throws(OCIError) {
          return try content.manifest(key.reference, in: Repository(path: key.repository)) != nil
        } catch {
          // Damaged, but there.
          guard error.code == .corrupt else { throw error }
          return true
        }
      }
      if isBack {
        lane.mark(key)
      } else {
        try await delete(key, lane.replica)
      }
    }
    try await pool.calling { [content] () throws(OCIError) in try content.acknowledge(deletion) }
  }

  private func delete(_ key: Key, _ replica: RegistryConfiguration.Replica) async throws {
    do throws(DistributionError) {
      try await client.deleteManifest(
        key.reference, in: replica.remote(key.repository), credentials: replica.credentials)
      metrics.replications.increment("deleted")
    } catch {
      if error.code == .notFound { return metrics.replications.increment("absent") }
      // A refusal stays one. Credentials may be put right.
      if error.isRetriable || error.code == .unauthorized || error.code == .cancelled { throw error }
      metrics.replications.increment("refused")
      logger.error(
        "a replica refuses a deletion; it is given up",
        metadata: [
          "replica": "\(replica.name)", "repository": "\(key.repository)", "reference": "\(key.reference)",
          "error": "\(error)",
        ])
    }
  }

  // MARK: Copies

  /// Every tag of every repository that the replica wants, and the referrers of what they name.
  private func markEverything(_ lane: Lane) async throws {
    var repositoryMark: String?
    while true {
      let after = repositoryMark
      let repositories = try await pool.calling { [content] () throws(OCIError) in
        try content.repositories(host: "", after: after, limit: 1000)
      }
      for repository in repositories where lane.replica.repositories.contains(where: { $0.matches(repository.path) }) {
        var tagMark: String?
        while true {
          let after = tagMark
          let tags = try await pool.calling { [content] () throws(OCIError) in
            try content.tags(in: repository, after: after, limit: 1000)
          }
          for tag in tags {
            let key = Key(repository: repository.path, reference: .tag(tag))
            if lane.wants(key) { lane.mark(key) }
          }
          guard tags.count == 1000 else { break }
          tagMark = tags.last
        }
      }
      guard repositories.count == 1000 else { return }
      repositoryMark = repositories.last?.path
    }
  }

  private func copy(_ key: Key, _ lane: Lane) async throws {
    let repository = Repository(path: key.repository)
    let record = try await pool.calling { [content] () throws(OCIError) in
      try content.manifest(key.reference, in: repository)
    }
    // Deleted meanwhile: there is nothing to copy.
    guard let record else { return }
    let replica = lane.replica
    guard try await isMissing(record, key, replica) else {
      metrics.replications.increment("present")
      return
    }
    var text = replica.remote(key.repository).description
    switch key.reference {
    case .tag(let tag): text += ":\(tag)"
    case .digest(let digest): text += "@\(digest)"
    }
    try await client.push(
      .digest(record.digest), in: repository, of: content, to: try Reference(parsing: text), withReferrers: true,
      credentials: replica.credentials)
    metrics.replications.increment("copied")
  }

  /// Whether the replica lacks the manifest, or one that is about it.
  private func isMissing(
    _ record: ManifestRecord, _ key: Key, _ replica: RegistryConfiguration.Replica
  ) async throws -> Bool {
    let (remote, credentials) = (replica.remote(key.repository), replica.credentials)
    let head = try await client.manifestHead(key.reference, in: remote, credentials: credentials)
    if head?.digest != record.digest { return true }
    var mark: Int64? = 0
    while let after = mark {
      let page = try await pool.calling { [content] () throws(OCIError) in
        try content.referrers(to: record.digest, in: Repository(path: key.repository), after: after)
      }
      for referrer in page.descriptors {
        let head = try await client.manifestHead(.digest(referrer.digest), in: remote, credentials: credentials)
        if head == nil { return true }
      }
      mark = page.next
    }
    return false
  }
}

extension RegistryConfiguration.Replica {
  /// Where a repository of ours is there.
  func remote(_ repository: String) -> Repository {
    Repository(host: registry, path: path.isEmpty ? repository : "\(path)/\(repository)")
  }

  var credentials: Credentials? { Credentials(username: username, password: password) }
}

extension RegistryConfiguration.Upstream {
  var credentials: Credentials? { Credentials(username: username, password: password) }
}

extension Credentials {
  fileprivate init?(username: String?, password: String?) {
    guard let username, let password else { return nil }
    self = .basic(username: username, password: password)
  }
}
