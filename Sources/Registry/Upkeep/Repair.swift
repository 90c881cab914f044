import Content
import Distribution
import Logging
import NIOPosix
import OCI
import Telemetry

/// Brings blobs that were found damaged again from where there is a copy: the upstream registry that they are kept from, or
/// a replica.
final class Repair: Sendable {
  /// A place that may have a copy.
  struct Source: Sendable {
    var repository: Repository
    var credentials: Credentials?
  }

  private let content: ContentStore
  private let client: RegistryClient
  private let pool: NIOThreadPool
  private let logger: Logger
  private let metrics: RegistryMetrics
  /// What waits. Beyond the bound it is brought by the next scrub or push.
  private let found: (stream: AsyncStream<Digest>, continuation: AsyncStream<Digest>.Continuation)

  init(
    content: ContentStore, client: RegistryClient, pool: NIOThreadPool, logger: Logger, metrics: RegistryMetrics
  ) {
    self.content = content
    self.client = client
    self.pool = pool
    self.logger = logger
    self.metrics = metrics
    found = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1000))
  }

  /// Blobs are damaged. Never waits.
  func noticed(_ digests: [Digest]) {
    for digest in digests { found.continuation.yield(digest) }
  }

  /// Repairs until the task is cancelled.
  func run(configuration: @escaping @Sendable () -> RegistryConfiguration) async throws {
    for await digest in found.stream {
      do {
        try await mend(digest, configuration())
      } catch {
        if Task.isCancelled { break }
        logger.warning("a damaged blob could not be repaired", metadata: ["digest": "\(digest)", "error": "\(error)"])
      }
    }
    try Task.checkCancellation()
  }

  private func mend(_ digest: Digest, _ configuration: RegistryConfiguration) async throws {
    let damage = try await pool.calling { [content] () throws(OCIError) in try content.damage(digest) }
    guard let damage else { return }
    var failure: (any Error)?
    for source in Self.sources(of: damage.repositories, configuration) {
      do {
        try await fetch(digest, isManifest: damage.isManifest, from: source)
        metrics.repaired.increment()
        logger.notice(
          "a damaged blob was repaired", metadata: ["digest": "\(digest)", "from": "\(source.repository)"])
        return
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
  }

  /// Where the content of repositories is, too: what is kept of an upstream registry is there, what was pushed here is at
  /// the replicas that want it.
  static func sources(of repositories: [Repository], _ configuration: RegistryConfiguration) -> [Source] {
    repositories.flatMap { repository -> [Source] in
      if repository.host == PullThrough.host {
        let target = PullThrough.target(repository.path, configuration.upstreams)
        return target.map { [Source(repository: $0.remote, credentials: $0.credentials)] } ?? []
      }
      guard repository.host.isEmpty else { return [] }
      return configuration.replicas.filter { replica in
        replica.repositories.contains { $0.matches(repository.path) }
      }.map { Source(repository: $0.remote(repository.path), credentials: $0.credentials) }
    }
  }

  private func fetch(_ digest: Digest, isManifest: Bool, from source: Source) async throws {
    let lease = try await pool.calling { [content] () throws(OCIError) in try content.lease(for: .seconds(3600)) }
    defer { lease.release() }
    if isManifest {
      let remote = try await client.manifest(
        .digest(digest), in: source.repository, credentials: source.credentials)
      try await pool.calling { [content] () throws(OCIError) in
        _ = try content.storeBlob(remote.bytes, expecting: digest, lease: lease)
      }
      return
    }
    let stream = try await client.blob(digest, in: source.repository, credentials: source.credentials)
    let writer = try await pool.calling { [content] () throws(OCIError) in try content.newBlob(digest.algorithm) }
    do {
      while let buffer = try await stream.next() {
        try await pool.calling { () throws(OCIError) in
          try buffer.withReadable { (bytes: UnsafeRawBufferPointer) throws(OCIError) in try writer.write(bytes) }
        }
      }
      try await pool.calling { () throws(OCIError) in _ = try writer.commit(expecting: digest, lease: lease) }
    } catch {
      writer.cancel()
      throw error
    }
  }
}
