import Content
import Distribution
import HTTP
import Logging
import NIOCore
import NIOPosix
import OCI
import Synchronization
import Telemetry
import Wire

/// Hands out what other registries have, and keeps it.
///
/// What is kept is in repositories of a host of its own in the content store: an image of which a client took only a part
/// is no image of the node. Blobs are shared with everything else all the same.
final class PullThrough: Sendable {
  /// The host of the kept repositories in the content store.
  static let host = "upstream.apus"
  /// Tags whose age is remembered.
  private static let checkedMax = 10_000

  /// Where a repository of this registry comes from.
  struct Target: Sendable, Hashable {
    /// In the content store.
    var local: Repository
    /// At the other registry.
    var remote: Repository
    var credentials: Credentials?
    var freshness: Duration
  }

  /// A blob that is here, or that is coming.
  enum Blob: Sendable {
    case stored(BlobFile)
    case coming(Flight, size: Int64)
  }

  private struct ManifestKey: Hashable {
    var repository: Repository
    var reference: ManifestReference
  }

  private struct BlobKey: Hashable {
    var repository: Repository
    var digest: Digest
  }

  private struct State {
    var checked: [ManifestKey: Timestamp] = [:]
    var manifests: [ManifestKey: Task<ManifestRecord?, any Error>] = [:]
    var blobs: [BlobKey: Task<Flight, any Error>] = [:]
  }

  private let content: ContentStore
  private let client: RegistryClient
  private let time: any TimeSource
  private let pool: NIOThreadPool
  private let logger: Logger
  private let metrics: RegistryMetrics
  private let state = Mutex(State())
  private let reviewCount = Atomic(0)
  /// Says that more is kept, or that less may be.
  private let grown: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)

  /// What was asked for within this time is not evicted: its pull may still be going on.
  private static let inUse = Duration.seconds(900)

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
    grown = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// The upstream with the longest prefix of the name.
  static func target(_ repository: String, _ upstreams: [RegistryConfiguration.Upstream]) -> Target? {
    let matching = upstreams.filter { repository.hasPrefix($0.prefix + "/") }
    guard let upstream = matching.max(by: { $0.prefix.utf8.count < $1.prefix.utf8.count }) else { return nil }
    var path = String(repository.dropFirst(upstream.prefix.count + 1))
    if !upstream.path.isEmpty {
      path = "\(upstream.path)/\(path)"
    } else if upstream.registry == "docker.io", !path.contains("/") {
      path = "library/\(path)"
    }
    return Target(
      local: Repository(host: host, path: repository), remote: Repository(host: upstream.registry, path: path),
      credentials: upstream.credentials, freshness: upstream.freshness)
  }

  // MARK: Manifests

  /// `nil` when upstream does not have it either.
  func manifest(_ reference: ManifestReference, _ target: Target) async throws(RegistryError) -> ManifestRecord? {
    let key = ManifestKey(repository: target.local, reference: reference)
    let local = try await kept(reference, target)
    if let local {
      // A digest cannot change.
      if case .digest = reference { return hit(local) }
      let checked = state.withLock { $0.checked[key] }
      if let checked, time.now().since(checked) < target.freshness { return hit(local) }
    }
    let task = state.withLock { state -> Task<ManifestRecord?, any Error> in
      if let task = state.manifests[key] { return task }
      let task = Task { [self] in
        defer { self.state.withLock { $0.manifests[key] = nil } }
        return try await fetch(reference, target, local: local)
      }
      state.manifests[key] = task
      return task
    }
    do {
      return try await task.value
    } catch let error as RegistryError {
      throw error
    } catch let error as DistributionError {
      // Better an image of yesterday than none, when upstream is out of reach.
      if let local, error.isRetriable {
        metrics.upstreamHits.increment("stale")
        logger.warning("upstream is out of reach; a kept tag is served", metadata: ["error": "\(error)"])
        return local
      }
      throw RegistryError(error)
    } catch {
      throw RegistryError(.unavailable, "the upstream registry cannot be asked now")
    }
  }

  /// The manifest that is here; none when the disk has damaged it, so that it is fetched again.
  private func kept(
    _ reference: ManifestReference, _ target: Target
  ) async throws(RegistryError) -> ManifestRecord? {
    try await pool.calling { [content] () throws(OCIError) in
      let record = try unlessDamaged { () throws(OCIError) in try content.manifest(reference, in: target.local) }
      if let record { try content.touch(record.digest, in: target.local) }
      return record
    }
  }

  private func hit(_ record: ManifestRecord) -> ManifestRecord {
    metrics.upstreamHits.increment("hit")
    return record
  }

  private func fetch(
    _ reference: ManifestReference, _ target: Target, local: ManifestRecord?
  ) async throws -> ManifestRecord? {
    let head: ManifestHead?
    do {
      head = try await client.manifestHead(reference, in: target.remote, credentials: target.credentials)
    } catch {
      guard error.code == .notFound else { throw error }
      head = nil
    }
    guard let head else {
      metrics.upstreamHits.increment("missing")
      return nil
    }
    var known: ManifestRecord?
    if let digest = head.digest { known = try await kept(.digest(digest), target) }
    let tags: [String] = if case .tag(let tag) = reference { [tag] } else { [] }
    let (bytes, mediaType, digest): ([UInt8], String, Digest)
    if let known {
      (bytes, mediaType, digest) = (known.bytes, known.mediaType, known.digest)
    } else {
      let remote = try await client.manifest(
        head.digest.map { .digest($0) } ?? reference, in: target.remote, credentials: target.credentials)
      (bytes, mediaType, digest) = (remote.bytes, remote.mediaType, remote.digest)
    }
    metrics.upstreamHits.increment(known == nil ? "miss" : "checked")
    let record = try await pool.calling { [content] () throws(OCIError) in
      try content.putManifest(
        bytes, mediaType: mediaType, digest: digest, tags: tags, in: target.local, requiring: .nothing,
        linksOnlyOwn: true)
    }
    state.withLock { state in
      if state.checked.count >= Self.checkedMax { state.checked.removeAll() }
      state.checked[ManifestKey(repository: target.local, reference: reference)] = time.now()
    }
    return record
  }

  // MARK: Blobs

  /// The size of a blob; `nil` when upstream does not have it either.
  func blobSize(_ digest: Digest, _ target: Target) async throws(RegistryError) -> Int64? {
    let local = try await pool.calling { [content] () throws(OCIError) in
      try content.blobSize(digest, in: target.local)
    }
    if let local { return local }
    do {
      return try await client.blobSize(digest, in: target.remote, credentials: target.credentials)
    } catch {
      if error.code == .notFound { return nil }
      throw RegistryError(error)
    }
  }

  /// A blob: one that is not here yet is fetched once, however many ask for it.
  func blob(_ digest: Digest, _ target: Target) async throws(RegistryError) -> Blob? {
    let local = try await pool.calling { [content] () throws(OCIError) -> BlobFile? in
      // Asking for the size is using it. What the disk has damaged is fetched again.
      guard try content.isLinked(digest, in: target.local) else { return nil }
      return try unlessDamaged { () throws(OCIError) in try content.openSoundBlob(digest, in: target.local) }
    }
    if let local {
      metrics.upstreamHits.increment("hit")
      return .stored(local)
    }
    let key = BlobKey(repository: target.local, digest: digest)
    let (task, isFirst) = state.withLock { state -> (Task<Flight, any Error>, Bool) in
      if let task = state.blobs[key] { return (task, false) }
      let task = Task { [self] in
        do {
          return try await take(digest, target, key)
        } catch {
          self.state.withLock { $0.blobs[key] = nil }
          throw error
        }
      }
      state.blobs[key] = task
      return (task, true)
    }
    do {
      let flight = try await task.value
      metrics.upstreamHits.increment(isFirst ? "miss" : "shared")
      if let size = flight.size { return .coming(flight, size: size) }
      // Without a size there is no head to answer with before the end.
      try await flight.stored()
      let file = try await pool.calling { [content] () throws(OCIError) in
        try content.openBlob(digest, in: target.local)
      }
      return file.map { .stored($0) }
    } catch let error as RegistryError {
      throw error
    } catch let error as DistributionError {
      if error.code == .notFound { return nil }
      throw RegistryError(error)
    } catch {
      throw RegistryError(.unavailable, "the upstream registry cannot be asked now")
    }
  }

  private func take(_ digest: Digest, _ target: Target, _ key: BlobKey) async throws -> Flight {
    let stream = try await client.blob(digest, in: target.remote, credentials: target.credentials)
    let flight = Flight(size: stream.size)
    flight.start { [self] in
      defer { state.withLock { $0.blobs[key] = nil } }
      let (writer, lease) = try await pool.calling { [content] () throws(OCIError) in
        (try content.newBlob(digest.algorithm), try content.lease(for: .seconds(3600)))
      }
      defer { lease.release() }
      do {
        while let buffer = try await stream.next() {
          try await pool.calling { () throws(OCIError) in
            try buffer.withReadable { (bytes: UnsafeRawBufferPointer) throws(OCIError) in try writer.write(bytes) }
          }
          flight.offer(buffer)
        }
        try await pool.calling { [content] () throws(OCIError) in
          _ = try writer.commit(expecting: digest, lease: lease)
          _ = try content.link(digest, in: target.local)
        }
        grown.continuation.yield()
      } catch {
        writer.cancel()
        logger.warning("a blob could not be fetched", metadata: ["digest": "\(digest)", "error": "\(error)"])
        throw error
      }
    }
    return flight
  }

  /// What is coming: the bytes while they come, the rest from the store. The last piece waits until all are known to be
  /// right: a client must not take for whole what the upstream registry has damaged.
  func send(
    _ flight: Flight, size: Int64, _ digest: Digest, _ target: Target,
    write: @Sendable (ByteBuffer) async throws -> Void
  ) async throws {
    var sent: Int64 = 0
    var held: ByteBuffer?
    for await buffer in flight.listen() {
      if let held { try await write(held) }
      held = buffer
      sent += Int64(buffer.readableBytes)
    }
    try await flight.stored()
    if let held { try await write(held) }
    guard sent < size else { return }
    let file = try await pool.calling { [content] () throws(OCIError) in
      try content.openBlob(digest, in: target.local)
    }
    guard let file else { throw RegistryError.blobUnknown(digest) }
    try await ServedBlob(file: file, pool: pool).send(sent..<size, write: write)
  }

  // MARK: The bound

  /// Keeps what is kept within its bound until the task is cancelled: after each fetch, and when `review` is called.
  func evict(bytesMax: @escaping @Sendable () -> Int64) async throws {
    for await _ in grown.stream {
      do {
        let report = try await pool.calling { [content] () throws(OCIError) in
          try content.evict(host: Self.host, bytesMax: bytesMax(), idle: Self.inUse)
        }
        metrics.evicted.increment(by: Double(report.bytes))
      } catch {
        logger.error("the cache of upstream registries could not be made smaller", metadata: ["error": "\(error)"])
      }
      reviewCount.add(1, ordering: .relaxed)
    }
    try Task.checkCancellation()
  }

  /// How often the bound has been looked at.
  var reviews: Int { reviewCount.load(ordering: .relaxed) }

  /// Time has gone by, or the bound is another one.
  func review() { grown.continuation.yield() }

  /// Ends what is being fetched.
  func cancelAll() {
    let (manifests, blobs) = state.withLock { state in
      (Array(state.manifests.values), Array(state.blobs.values))
    }
    for task in manifests { task.cancel() }
    for task in blobs {
      task.cancel()
      Task { try? await task.value.cancel() }
    }
  }
}

/// A blob on its way into the store. One listener gets the bytes as they come, as long as it keeps pace; everybody can wait
/// for the end.
final class Flight: Sendable {
  /// Of the blob; `nil` when upstream does not say.
  let size: Int64?

  /// Pieces that wait for the listener. When it falls behind further, it reads on from the store afterwards: a slow client
  /// neither fills the memory nor holds up the others.
  private static let piecesMax = 32

  private struct State {
    var task: Task<Void, any Error>?
    var hasListener = false
  }

  private let state = Mutex(State())
  private let pieces: (stream: AsyncStream<ByteBuffer>, continuation: AsyncStream<ByteBuffer>.Continuation)

  init(size: Int64?) {
    self.size = size
    pieces = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.piecesMax))
  }

  fileprivate func start(_ body: @escaping @Sendable () async throws -> Void) {
    let task = Task { [self] in
      defer { pieces.continuation.finish() }
      try await body()
    }
    state.withLock { $0.task = task }
  }

  fileprivate func offer(_ buffer: ByteBuffer) {
    if case .dropped = pieces.continuation.yield(buffer) { pieces.continuation.finish() }
  }

  /// The bytes from the front; for a second listener none.
  fileprivate func listen() -> AsyncStream<ByteBuffer> {
    let isFirst = state.withLock { state in
      defer { state.hasListener = true }
      return !state.hasListener
    }
    return isFirst ? pieces.stream : AsyncStream { $0.finish() }
  }

  /// Waits until the blob is stored.
  func stored() async throws {
    let task = state.withLock { $0.task }
    try await task?.value
  }

  fileprivate func cancel() { state.withLock { $0.task }?.cancel() }
}

/// What a read gives; `nil` when the disk has damaged it, which is as if it were not here.
private func unlessDamaged<T>(_ read: () throws(OCIError) -> T?) throws(OCIError) -> T? {
  do throws(OCIError) {
    return try read()
  } catch {
    guard error.code == .corrupt else { throw error }
    return nil
  }
}

extension ByteBuffer {
  /// As `withUnsafeReadableBytes`, with the error's type.
  func withReadable<Failure: Error>(_ body: (UnsafeRawBufferPointer) throws(Failure) -> Void) throws(Failure) {
    let result: Result<Void, Failure> = withUnsafeReadableBytes { bytes in
      do throws(Failure) { return .success(try body(bytes)) } catch { return .failure(error) }
    }
    try result.get()
  }
}
