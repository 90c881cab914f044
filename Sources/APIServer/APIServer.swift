import ControllerKit
import Glibc
import HTTP
import KubeClient
import KubeTypes
import LinuxSystem
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Schema
import Store
import Synchronization
import Telemetry
import Wire

/// How a server is set up. Addresses are texts as people write them.
public struct APIServerConfiguration: Sendable {
  /// Keys and certificates go to `pki` below it.
  public var dataDirectory: String
  /// The address to listen on; `0.0.0.0` for all.
  public var bindAddress: String
  /// 0 for any free port.
  public var port: Int
  /// The address under which pods reach this server: it becomes the endpoint of the Service `kubernetes`.
  public var advertiseAddress: String
  /// The range of cluster addresses, or one of each family with a comma between: the first one goes first.
  public var serviceRange: String
  /// The range of the pods, or one of each family: no Service may take an address of it.
  public var podRange: String
  public var nodePorts: ClosedRange<Int>
  public var clusterDomain: String
  public var hostname: String
  /// Of Apus, for `/version`.
  public var version: String
  /// Event loops.
  public var threads: Int
  /// Static bearer tokens, `token,user,uid,"group,group"` per line.
  public var tokenFile: String?
  /// Fingerprints of the keys that the data directory was filled with (`PKI.load`); `nil` when it is new.
  public var madeKeys: [String: String]?
  /// Of names and uids that the server makes; `nil` for the system's.
  package var randomNumbers: (any RandomNumberGenerator & Sendable)?
  /// What the capabilities add: who they are, their rules about writes, and their paths.
  package var identities: [CapabilityIdentity] = []
  package var components: [ComponentIdentity] = []
  package var admission: [any AdmissionStep] = []
  package var routes: [CapabilityRoute] = []

  public init(
    dataDirectory: String, bindAddress: String = "127.0.0.1", port: Int = 6443, advertiseAddress: String,
    serviceRange: String = "10.96.0.0/16", podRange: String = "10.244.0.0/24",
    nodePorts: ClosedRange<Int> = 30000...32767, clusterDomain: String = "cluster.local", hostname: String,
    version: String, threads: Int = 2, tokenFile: String? = nil
  ) {
    self.dataDirectory = dataDirectory
    self.bindAddress = bindAddress
    self.port = port
    self.advertiseAddress = advertiseAddress
    self.serviceRange = serviceRange
    self.podRange = podRange
    self.nodePorts = nodePorts
    self.clusterDomain = clusterDomain
    self.hostname = hostname
    self.version = version
    self.threads = threads
    self.tokenFile = tokenFile
  }
}

/// The Kubernetes API over HTTPS and, for the parts of this process, without it.
public final class APIServer: Sendable {
  /// The API for this process itself, with every right. It works from `init` on; the objects that a cluster starts with are
  /// there after `bootstrap` or `start`.
  public let client: LocalClient
  /// Keys and certificates.
  public let pki: PKI

  private let configuration: APIServerConfiguration
  private let ranges: IPRanges
  private let group: MultiThreadedEventLoopGroup
  let server: HTTPServer
  let router: Router
  private let health: HealthChecks
  private let logger: Logger
  private let isReady = Atomic(false)
  private let port = Mutex<Int?>(nil)
  private let upkeep = Mutex<[Task<Void, Never>]>([])
  private let time: any TimeSource
  let addresses: ServiceAddressKeeper

  /// - Parameters:
  ///   - store: open, and closed by the caller after `shutdown`.
  ///   - kinds: what is served; it follows their changes.
  ///   - nodeStreams: the node that runs a pod, by its name; `nil` when it cannot be reached.
  /// - Throws: `APIServerError` for a configuration that cannot work and for files that cannot be written.
  public init(
    configuration: APIServerConfiguration, store: Store, kinds: KindRegistry,
    time: any TimeSource, metrics: Metrics, logger: Logger,
    nodeStreams: @escaping @Sendable (_ nodeName: String) -> (any NodeStreams)?
  ) throws {
    let ranges: IPRanges
    do throws(ClusterRangesError) {
      ranges = try ClusterRanges(pods: configuration.podRange, services: configuration.serviceRange).services
    } catch {
      throw APIServerError(error.description)
    }
    self.configuration = configuration
    self.ranges = ranges
    self.logger = logger
    self.time = time
    let domain = configuration.clusterDomain
    pki = try PKI.load(
      directory: configuration.dataDirectory + "/pki",
      dnsNames: [
        "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.\(domain)",
        configuration.hostname,
      ],
      addresses: (["127.0.0.1", "::1"] + ranges.all.map { $0[ClusterAddresses.apiIndex].description } + [
        configuration.bindAddress, configuration.advertiseAddress,
      ]).filter { $0 != "0.0.0.0" && $0 != "::" },
      identities: configuration.identities.map(\.name), now: time.now(), made: configuration.madeKeys)
    for notice in pki.notices { logger.warning("\(notice)") }

    let identifiers = configuration.randomNumbers.map { IdentifierSource($0) } ?? IdentifierSource()
    let reader = StoredObjectReader(metrics: metrics, logger: logger)
    let rbac = try RBAC(store: store, reader: reader)
    let allocator = try ServiceAllocator(
      ranges: ranges, nodePorts: configuration.nodePorts, store: store, identifiers: identifiers, reader: reader)
    let issuer = "https://kubernetes.default.svc.\(domain)"
    var tokens: [String: UserInfo] = [:]
    if let file = configuration.tokenFile {
      do {
        tokens = try Authenticator.parseTokens(
          String(decoding: try DurableFile.read(file, limit: 1 << 20), as: UTF8.self))
      } catch {
        throw APIServerError("cannot read the token file \(file)", cause: "\(error)")
      }
    }
    let authenticator = Authenticator(
      store: store, issuer: TokenIssuer(key: pki.tokenKey, issuer: issuer), staticTokens: tokens, audiences: [issuer])
    let steps: [any AdmissionStep] = [
      NamespaceLifecycle(store: store), NamespaceDefaults(), RBACEscalation(rbac: rbac),
      ServiceAccountAdmission(store: store, identifiers: identifiers),
      PriorityAdmission(classes: try PriorityClasses(store: store, reader: reader)),
      RuntimeClassAdmission(store: store), DefaultTolerations(), PodStatusDefaults(), JobSelectorAdmission(),
      ServiceAdmission(allocator: allocator, cluster: Self.ownAddresses(configuration, services: ranges)),
      UnservedKindWarning(),
    ]
    let admission = AdmissionChain(steps: steps + configuration.admission)
    let service = ResourceService(
      store: store, kinds: kinds, admission: admission, time: time, identifiers: identifiers,
      metrics: ServiceMetrics(metrics, store: store, kinds: kinds), logger: logger)
    let subresources = Subresources(service: service, authenticator: authenticator, rbac: rbac)
    group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.threads)
    client = LocalClient(
      service: service, subresources: subresources, loops: group,
      refusals: ComponentRefusals(metrics: metrics, logger: logger))
    addresses = ServiceAddressKeeper(client: client, allocator: allocator, store: store, time: time)

    let health = HealthChecks([
      HealthChecks.Check(name: "ping", isLiveness: true) { nil }
    ])
    self.health = health
    router = Router(
      rest: RESTHandler(
        service: service, subresources: subresources, rbac: rbac,
        pods: PodConnections(service: service, nodeStreams: nodeStreams),
        proxies: ProxyConnections(service: service, nodeStreams: nodeStreams)),
      authenticator: authenticator, rbac: rbac, documents: DocumentCache(kinds), health: health, time: time,
      version: Self.version(configuration.version), metrics: metrics, routes: configuration.routes)
    server = HTTPServer(
      group: group, tls: try Self.tls(pki), limits: .apiServer, drainTimeout: .seconds(5),
      handler: RequestHandler(router: router, logger: logger))
    let connections = metrics.gauge("apiserver_connections", help: "Open client connections.")
    metrics.onCollect { [weak server] in connections.set(to: Double(server?.connectionCount ?? 0)) }
  }

  private static func ownAddresses(
    _ configuration: APIServerConfiguration, services: IPRanges
  ) -> @Sendable () -> ClusterAddresses {
    let pods = IPRanges(configuration.podRange)
    let bound = [configuration.bindAddress, configuration.advertiseAddress].compactMap { IPAddress($0) }
    return {
      ClusterAddresses(pods: pods, services: services, machine: bound + HostAddresses.towardsTheWorld())
    }
  }

  /// TLS 1.2 and later, with optional client certificates.
  private static func tls(_ pki: PKI) throws(APIServerError) -> NIOSSLContext {
    do {
      var configuration = TLSConfiguration.makeServerConfiguration(
        certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(pki.serving.certificate.utf8)).map {
          .certificate($0)
        }, privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(pki.serving.privateKey.utf8), format: .pem)))
      configuration.minimumTLSVersion = .tlsv12
      // A client that closes without TLS's goodbye, as many do, must not hold up the server's end.
      configuration.shutdownTimeout = .milliseconds(250)
      configuration.applicationProtocols = HTTPServer.applicationProtocols
      configuration.trustRoots = .certificates(
        try NIOSSLCertificate.fromPEMBytes(Array(pki.authority.certificate.utf8)))
      configuration.certificateVerification = .optionalVerification
      return try NIOSSLContext(configuration: configuration)
    } catch {
      throw APIServerError("the serving certificate cannot be used", cause: "\(error)")
    }
  }

  /// What `/version` says. The API is that of Kubernetes 1.33, which is what clients decide by.
  private static func version(_ version: String) -> JSON {
    [
      "major": "1", "minor": "33", "gitVersion": .string("v1.33.0+apus.\(version)"), "gitCommit": "",
      "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "swiftc",
      "platform": .string("linux/\(architecture)"),
    ]
  }

  private static var architecture: String {
    #if arch(arm64)
      "arm64"
    #else
      "amd64"
    #endif
  }

  /// The API for a component of this process, with the rights that it declares: they are given by `bootstrap` or `start`.
  package func client(as identity: ComponentIdentity) -> LocalClient { client.client(as: identity.user) }

  /// A condition of `/readyz`; with `isLiveness` of `/livez` too. `problem` says what is wrong, or `nil`.
  public func addHealthCheck(
    _ name: String, isLiveness: Bool = false, problem: @escaping @Sendable () -> String?
  ) {
    health.add(HealthChecks.Check(name: name, isLiveness: isLiveness, problem: problem))
  }

  /// Creates the objects that a cluster starts with, binds the socket, and serves from then on.
  ///
  /// - Parameters:
  ///   - socket: one that listens already at the first address; the server's from here on.
  ///   - makingReachable: called once the first address is bound, and makes the advertised one, so that a server whose port
  ///     is taken has changed nothing.
  /// - Returns: the port.
  @discardableResult
  public func start(
    on socket: OwnedDescriptor? = nil, makingReachable: () async throws -> Void = {}
  ) async throws -> Int {
    if let port = port.withLock({ $0 }) { return port }
    health.add(
      HealthChecks.Check(name: "poststarthook/bootstrap", isLiveness: false) { [weak self] in
        self?.isReady.load(ordering: .acquiring) == true ? nil : "not finished"
      })
    let bound: Int
    if let socket {
      bound = Int(try await server.listen(on: socket).port)
    } else {
      bound = try await listen(on: configuration.bindAddress, port: configuration.port)
    }
    try await makingReachable()
    // Pods reach the API at the advertised address, clients at the other.
    // A wildcard of IPv4 is not one of IPv6; the other way round it is, since Linux maps them.
    let isCovered =
      configuration.bindAddress == "::"
      || configuration.bindAddress == "0.0.0.0" && !configuration.advertiseAddress.contains(":")
    if !isCovered, configuration.advertiseAddress != configuration.bindAddress {
      _ = try await listen(on: configuration.advertiseAddress, port: bound)
    }
    port.withLock { $0 = bound }
    let isBootstrapped = try await bootstrapUnlessFull(port: bound)
    let events = EventExpiry(client: client, time: time)
    let keeper = BootstrapKeeper(
      store: client.service.store, time: time, policy: Bootstrap.ownPolicyKeys(configuration), isDue: !isBootstrapped
    ) { [weak self] attempt in
      try await self?.keep(port: bound, attempt: attempt) ?? true
    }
    let addresses = addresses
    upkeep.withLock {
      $0 = [Task { await events.run() }, Task { await keeper.run() }, Task { await addresses.run() }]
    }
    isReady.store(true, ordering: .releasing)
    return bound
  }

  private func listen(on host: String, port: Int) async throws(APIServerError) -> Int {
    do {
      return try await server.listen(host: host, port: port)
    } catch {
      // The system's words, not those of the calls that led there.
      let code = (error as? IOError)?.errnoCode
      throw APIServerError(
        "cannot listen on \(host):\(port)", cause: code.map { String(cString: strerror($0)) } ?? "\(error)")
    }
  }

  /// Creates what is missing of the objects that a cluster starts with.
  ///
  /// - Parameter port: where this server can be reached, for the endpoints of the Service `kubernetes`.
  func bootstrap(port: Int) async throws {
    do { _ = try await runBootstrap(port: port) } catch { throw Self.bootstrapError(error) }
  }

  private func runBootstrap(port: Int) async throws -> Bool { try await objects(attempt: 0).run(port: port) }

  private func objects(attempt: Int) -> Bootstrap {
    Bootstrap(client: client, configuration: configuration, ranges: ranges, logger: logger, attempt: attempt)
  }

  /// Brings back what is missing while the server runs.
  func keep(port: Int, attempt: Int) async throws -> Bool {
    let objects = objects(attempt: attempt)
    do {
      return try await objects.run(port: port)
    } catch let error as KubeError {
      if objects.isTold {
        logger.error(
          "objects that the cluster starts with are missing",
          metadata: ["error": "\(error)", "attempt": "\(attempt)"])
      }
      throw error
    }
  }

  private static func bootstrapError(_ error: any Error) -> APIServerError {
    APIServerError("cannot create the objects that the cluster starts with", cause: "\(error)")
  }

  /// On a full disk what is missing has to wait, and what is there is served.
  ///
  /// - Returns: whether everything is there.
  private func bootstrapUnlessFull(port: Int) async throws -> Bool {
    do {
      return try await runBootstrap(port: port)
    } catch let error as KubeError where error.code == 507 {
      logger.error("objects that the cluster starts with are missing", metadata: ["error": "\(error)"])
      return false
    } catch {
      throw Self.bootstrapError(error)
    }
  }

  /// Serves until the task is cancelled, then shuts down.
  public func run() async throws {
    try await start()
    let (stream, continuation) = AsyncStream<Void>.makeStream()
    await withTaskCancellationHandler {
      for await _ in stream {}
    } onCancel: {
      continuation.finish()
    }
    await shutdown()
  }

  /// Stops listening, ends watches, lets requests finish, and stops the event loops.
  public func shutdown() async {
    for task in upkeep.withLock({ $0 }) { task.cancel() }
    await server.shutdown()
    try? await group.shutdownGracefully()
  }

  /// The administrator's kubeconfig, with its private key.
  ///
  /// - Parameter server: the URL, such as `https://127.0.0.1:6443`.
  public func kubeconfig(server: String) -> String {
    Kubeconfig.render(
      server: server, authority: pki.authority.certificate, identity: pki.admin, user: "kubernetes-admin")
  }

  /// The kubeconfig of a capability's identity, with its private key; it must be one of the configuration's.
  package func kubeconfig(server: String, of identity: CapabilityIdentity) -> String {
    guard let signed = pki.identities[identity.name] else {
      preconditionFailure("the identity \(identity.name) is none of the configuration's")
    }
    return Kubeconfig.render(
      server: server, authority: pki.authority.certificate, identity: signed, user: identity.user)
  }
}
