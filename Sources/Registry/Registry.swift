import Content
import Distribution
import Glibc
import HTTP
import LinuxSystem
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import OCI
import Synchronization
import Telemetry
import Wire

/// An OCI registry (distribution specification 1.1, and Docker's registry API V2 where clients use it) on the content
/// store of this machine: what is pushed here is an image of the node at once, and what is built here can be pulled.
///
/// Several registries may stand on one store, in one process or in several.
public final class Registry: Sendable {
  let content: ContentStore
  let client: RegistryClient
  let time: any TimeSource
  let logger: Logger
  let metrics: RegistryMetrics
  let pool: NIOThreadPool
  /// For password hashes, which must not take the store's threads.
  private let hashing = NIOThreadPool(numberOfThreads: 2)
  let authenticator: Authenticator
  let events: EventQueue
  let replicator: Replicator
  let pullThrough: PullThrough
  let repair: Repair
  /// Blobs that are being compared with their digests for requests that want a part of one.
  let verifications = Mutex<[Digest: Task<Void, any Error>]>([:])

  private let group: any EventLoopGroup
  private let ownGroup: MultiThreadedEventLoopGroup?
  private let tls: NIOSSLContext?
  private let state: Mutex<State>
  /// Says that the configuration has changed.
  private let changes: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)

  private struct State {
    var configuration: RegistryConfiguration
    var server: HTTPServer?
    var admission: RequestAdmission?
    var port: Int?
  }

  /// Threads for calls of the store and for password hashes.
  private static let blockingThreads = 16

  /// - Parameters:
  ///   - content: open, and closed by the caller after `shutdown`.
  ///   - client: for upstream registries and replicas.
  ///   - tls: with the certificate to serve; `nil` for plain HTTP.
  ///   - group: runs the connections; `nil` for one of the registry's own.
  /// - Throws: `RegistryConfigurationError` for a configuration that cannot work.
  public init(
    configuration: RegistryConfiguration, content: ContentStore, client: RegistryClient, tls: NIOSSLContext? = nil,
    time: any TimeSource, metrics: Metrics, logger: Logger, group: (any EventLoopGroup)? = nil
  ) throws(RegistryConfigurationError) {
    let key = try Self.tokenKey(configuration.stateDirectory)
    self.content = content
    self.client = client
    self.time = time
    self.logger = logger
    self.tls = tls
    let own = group == nil ? MultiThreadedEventLoopGroup(numberOfThreads: configuration.threads) : nil
    ownGroup = own
    self.group = group ?? own ?? MultiThreadedEventLoopGroup.singleton
    pool = NIOThreadPool(numberOfThreads: Self.blockingThreads)
    self.metrics = RegistryMetrics(metrics)
    state = Mutex(State(configuration: configuration))
    changes = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    authenticator = Authenticator(
      configuration: configuration, tokenKey: key, pool: hashing, time: time)
    events = EventQueue(group: self.group, time: time, logger: logger, metrics: self.metrics)
    replicator = Replicator(
      content: content, client: client, time: time, pool: pool, logger: logger, metrics: self.metrics)
    pullThrough = PullThrough(
      content: content, client: client, time: time, pool: pool, logger: logger, metrics: self.metrics)
    repair = Repair(content: content, client: client, pool: pool, logger: logger, metrics: self.metrics)
    events.configure(configuration.notifications)
    replicator.configure(configuration.replicas)
  }

  /// The configuration that counts now.
  public var configuration: RegistryConfiguration { state.withLock { $0.configuration } }

  /// The port that is listened on; `nil` before `start`.
  public var port: Int? { state.withLock { $0.port } }

  /// Binds the socket, makes the registry's names known to the content store, and serves from then on.
  ///
  /// - Parameter socket: one that listens already at the configured address; the registry's from here on.
  /// - Returns: the port.
  @discardableResult
  public func start(on socket: OwnedDescriptor? = nil) async throws -> Int {
    if let port { return port }
    pool.start()
    hashing.start()
    let configuration = self.configuration
    let admission = RequestAdmission(limits: configuration.limits, logger: logger) { [weak self] request in
      guard let self else { return Reply(RegistryError(.unavailable, "the registry is stopping")) }
      return await self.answer(request)
    }
    let server = HTTPServer(
      group: group, tls: tls, limits: HTTPServerLimits(configuration.limits), drainTimeout: .seconds(10),
      handler: admission)
    let port: Int
    do {
      if let socket {
        port = Int(try await server.listen(on: socket).port)
      } else {
        port = try await server.listen(host: configuration.host, port: configuration.port)
      }
    } catch {
      await shutdown()
      // The system's words, not those of the calls that led there.
      let reason = (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
      throw RegistryConfigurationError("cannot listen on \(configuration.host):\(configuration.port): \(reason)")
    }
    state.withLock { state in
      state.server = server
      state.admission = admission
      state.port = port
    }
    metrics.observeConnections { [weak server] in server?.connectionCount ?? 0 }
    events.setSource("//\(configuration.host):\(port)")
    try await publish(configuration, port: port)
    return port
  }

  /// Takes over another configuration while requests go on. Address, threads and state directory stay as they are.
  ///
  /// - Throws: and nothing has changed, when the store does not take it.
  public func reload(_ configuration: RegistryConfiguration) async throws {
    var configuration = configuration
    let port = self.port
    let old = self.configuration
    (configuration.host, configuration.port) = (old.host, old.port)
    (configuration.stateDirectory, configuration.threads) = (old.stateDirectory, old.threads)
    if let port { try await publish(configuration, port: port) }
    authenticator.configure(configuration)
    events.configure(configuration.notifications)
    replicator.configure(configuration.replicas)
    let (server, admission) = state.withLock { state in
      state.configuration = configuration
      return (state.server, state.admission)
    }
    server?.limits = HTTPServerLimits(configuration.limits)
    admission?.setLimits(configuration.limits)
    pullThrough.review()
    changes.continuation.yield()
    logger.notice("configuration reloaded")
  }

  /// What the store has to know: under which names images of this registry are pulled, and the quotas.
  private func publish(_ configuration: RegistryConfiguration, port: Int) async throws(RegistryError) {
    var names = configuration.names
    var hosts = [configuration.host.contains(":") ? "[\(configuration.host)]" : configuration.host]
    if ["127.0.0.1", "::1", "0.0.0.0", "::"].contains(configuration.host) { hosts = ["localhost", "127.0.0.1"] }
    for host in hosts { names.append("\(host):\(port)") }
    let quotas = configuration.quotas.map { RepositoryQuota(prefix: $0.prefix, bytesMax: $0.bytesMax) }
    let limits = UploadLimits(configuration.limits)
    let listeners = Set(configuration.replicas.filter(\.deletions).map(\.name))
    try await blocking { [content, names] () throws(OCIError) in
      try content.setRegistryHosts(names)
      try content.setQuotas(quotas)
      try content.setDeletionListeners(listeners)
      content.setUploadLimits(limits)
    }
  }

  /// Serves, replicates, notifies, collects and scrubs until the task is cancelled; then shuts down.
  public func run() async throws {
    do {
      try await start()
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await self.events.run() }
        group.addTask { try await self.replicator.run() }
        group.addTask { try await self.pullThrough.evict { self.configuration.limits.upstreamBytesMax } }
        group.addTask { try await self.repair.run { self.configuration } }
        group.addTask { try await self.keepUp() }
        try await group.waitForAll()
      }
    } catch is CancellationError {
    } catch {
      await shutdown()
      throw error
    }
    await shutdown()
  }

  /// The upkeep of each configuration in turn.
  private func keepUp() async throws {
    let upkeep = Upkeep(registry: self)
    while true {
      try Task.checkCancellation()
      await withTaskGroup(of: Void.self) { group in
        group.addTask { await upkeep.collect() }
        group.addTask { await upkeep.scrub() }
        // Ends with a change or with the task.
        for await _ in changes.stream { break }
        group.cancelAll()
      }
    }
  }

  /// Stops listening, lets requests finish, and stops the threads. May be called more than once.
  public func shutdown() async {
    let server = state.withLock { state in
      defer { state.server = nil }
      return state.server
    }
    await server?.shutdown()
    pullThrough.cancelAll()
    for task in verifications.withLock({ Array($0.values) }) { task.cancel() }
    try? await pool.shutdownGracefully()
    try? await hashing.shutdownGracefully()
    try? await ownGroup?.shutdownGracefully()
  }

  /// Runs a call of the store on the registry's threads.
  func blocking<T: Sendable>(
    _ body: @escaping @Sendable () throws(OCIError) -> T
  ) async throws(RegistryError) -> T {
    try await pool.calling(body)
  }

  /// The key that signs tokens: kept, so that tokens outlive a restart.
  private static func tokenKey(_ directory: String?) throws(RegistryConfigurationError) -> [UInt8] {
    var generator = SystemRandomNumberGenerator()
    var fresh: [UInt8] = []
    while fresh.count < 32 { fresh.append(UInt8.random(in: .min ... .max, using: &generator)) }
    guard let directory else { return fresh }
    let path = "\(directory)/token.key"
    do {
      try Directory.create(directory, mode: 0o700)
      if access(path, F_OK) != 0 { try DurableFile.write(fresh, to: path, mode: 0o600) }
      let key = try DurableFile.read(path, limit: 1 << 10)
      guard key.count >= 32 else {
        throw RegistryConfigurationError("\(path) has less than 32 bytes; remove it, and a new one is made")
      }
      return key
    } catch let error as RegistryConfigurationError {
      throw error
    } catch {
      throw RegistryConfigurationError("the registry's token key: \(error)")
    }
  }
}

extension UploadLimits {
  fileprivate init(_ limits: RegistryConfiguration.Limits) {
    self.init()
    (countMax, repositoryCountMax) = (limits.uploadsMax, limits.repositoryUploadsMax)
    (bytesMax, repositoryBytesMax) = (limits.uploadBytesMax, limits.repositoryUploadBytesMax)
    idleMax = limits.uploadLifetime
  }
}

extension NIOThreadPool {
  /// Runs a call of the content store on one of the pool's threads.
  func calling<T: Sendable>(_ body: @escaping @Sendable () throws(OCIError) -> T) async throws(RegistryError) -> T {
    let result: Result<T, OCIError>
    do {
      result = try await runIfActive { () -> Result<T, OCIError> in
        do throws(OCIError) { return .success(try body()) } catch { return .failure(error) }
      }
    } catch {
      throw RegistryError(.unavailable, "the registry is stopping")
    }
    do { return try result.get() } catch { throw RegistryError(error) }
  }
}
