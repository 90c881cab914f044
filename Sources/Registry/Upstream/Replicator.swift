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

  private final class Lane: Sendable {
    let replica: RegistryConfiguration.Replica
    let backlog = Mutex(Backlog())
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
    var failures = 0
    for await _ in lane.wake.stream {
      while !Task.isCancelled {
        do {
          guard try await step(lane) else { break }
          failures = 0
        } catch {
          if Task.isCancelled { return }
          failures += 1
          metrics.replications.increment("failed")
          let delay = min(Duration.seconds(300), .seconds(1) * (1 << min(failures - 1, 10)))
          logger.warning(
            "replication failed; it is tried again",
            metadata: ["replica": "\(lane.replica.name)", "error": "\(error)", "delay": "\(delay)"])
          try? await time.sleep(for: delay)
        }
        observe()
      }
      if Task.isCancelled { return }
    }
  }

  /// Does one thing; returns whether there was one.
  private func step(_ lane: Lane) async throws -> Bool {
    if lane.backlog.withLock({ $0.needsAll }) {
      lane.backlog.withLock { $0.needsAll = false }
      do {
        try await markEverything(lane)
      } catch {
        lane.backlog.withLock { $0.needsAll = true }
        throw error
      }
    }
    // Before the copies: an image that cannot be copied must not hold them up.
    if lane.replica.deletions, try await delete(lane) { return true }
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

  /// Makes the oldest deletion at the replica; returns whether there was one.
  private func delete(_ lane: Lane) async throws -> Bool {
    let name = lane.replica.name
    let found = try await pool.calling { [content] () throws(OCIError) -> (deletion: Deletion, isBack: Bool)? in
      guard let deletion = try content.deletions(for: name, limit: 1).first else { return nil }
      let record = try content.manifest(deletion.reference, in: Repository(path: deletion.repository))
      return (deletion, record != nil)
    }
    guard let (deletion, isBack) = found else { return false }
    let key = Key(repository: deletion.repository, reference: deletion.reference)
    if lane.wants(key) {
      if isBack {
        lane.mark(key)
      } else {
        try await delete(key, lane.replica)
      }
    }
    try await pool.calling { [content] () throws(OCIError) in try content.acknowledge(deletion) }
    return true
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
  fileprivate func remote(_ repository: String) -> Repository {
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
