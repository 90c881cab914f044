import APIServer
import ArgumentParser
import ControllerKit
import Distribution
import Glibc
import KubeClient
import LinuxSystem
import Logging
import NIOSSL
import Node
import OCI
import PodNetwork
import Registry
import Scheduler
import Schema
import Store
import Synchronization
import Telemetry
import Wire
import Workloads

import struct KubeTypes.ObjectHeader

struct Up: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "up", abstract: "Start the server and the node in the foreground.",
    discussion: """
      Needs root: it makes containers and networks. Stop it with Ctrl-C or `apus down`: the containers run on, and the
      next `apus up` on the same data takes them over as they are.

        sudo apus up
        sudo apus up --data /srv/apus --port 7443
      """)

  @OptionGroup var options: DataOptions

  @Option(help: "The address the API listens on, besides the node's own on the pod bridge.")
  var bind = "127.0.0.1"

  @Option(help: "The port of the API; 0 for a free one.")
  var port = 6443

  @Option(
    help: ArgumentHelp(
      """
      The range of the pods' addresses, of IPv4 or IPv6, or one of each with a comma between: the first one goes first.
      """, valueName: "cidr[,cidr]"))
  var podRange = "10.244.0.0/24"

  @Option(
    help: ArgumentHelp(
      """
      The range of the services' addresses, or one of each family that the pods have: the first one goes first.
      """, valueName: "cidr[,cidr]"))
  var serviceRange = "10.96.0.0/16"

  @Option(help: ArgumentHelp("The range of the NodePort services' ports.", valueName: "low-high"))
  var nodePorts = "30000-32767"

  @Option(
    help: ArgumentHelp(
      "Where the image registry listens, or none. Plain HTTP on 127.0.0.1, else TLS by the API's certificate.",
      valueName: "address:port"))
  var registry = "127.0.0.1:5000"

  @Option(help: ArgumentHelp("The node's name (default: the host's name).", valueName: "name"))
  var nodeName: String?

  @Option(help: ArgumentHelp("The name of the pods' bridge.", valueName: "name"))
  var bridge = "apus0"

  @Flag(help: "Start containers of eStargz images while their layers are still being fetched.")
  var lazyPull = false

  @Option(help: ArgumentHelp("The OCI runtime: crun or runc.", valueName: "path"))
  var runtime = "crun"

  @Flag(
    help: """
      Start although objects of the state are damaged or missing, without them. What depended on them may be ended.
      """)
  var acceptLoss = false

  @Option(help: "trace, debug, info, notice, warning, error or critical.")
  var logLevel = Logger.Level.warning

  func validate() throws {
    guard (0...65535).contains(port) else { throw ValidationError("--port takes 0 to 65535, not \(port)") }
    do throws(ClusterRangesError) { _ = try ClusterRanges(pods: podRange, services: serviceRange) } catch {
      throw ValidationError("--pod-range, --service-range: \(error)")
    }
    guard nodePortRange != nil else { throw ValidationError("--node-ports takes low-high, not '\(nodePorts)'") }
    guard registry == "none" || RegistryConfiguration.address(registry) != nil else {
      throw ValidationError("--registry takes address:port or none, not '\(registry)'")
    }
    guard (1...15).contains(bridge.utf8.count) else {
      throw ValidationError("--bridge takes an interface name of at most 15 characters, not '\(bridge)'")
    }
  }

  /// The host of the URL that clients on this machine use.
  fileprivate var clientHost: String {
    if bind == "0.0.0.0" || bind == "::" { return "127.0.0.1" }
    return bind.contains(":") ? "[\(bind)]" : bind
  }

  private var nodePortRange: ClosedRange<Int>? {
    let bounds = nodePorts.split(separator: "-").compactMap { Int($0) }
    guard bounds.count == 2, 1 <= bounds[0], bounds[0] <= bounds[1], bounds[1] <= 65535 else { return nil }
    return bounds[0]...bounds[1]
  }

  func run() async throws {
    let began = ContinuousClock.now
    let time = SystemClock()
    let level = logLevel
    LoggingSystem.bootstrap { StandardErrorLog(label: $0, level: level, time: time) }
    try await Terminal.reporting {
      guard geteuid() == 0 else { throw Failure("apus up makes containers and networks and needs root: sudo apus up") }
      let signals = try TerminationSignal.caught()
      let platform = try await Platform(options: self, data: options.data, time: time)
      try await platform.run(until: signals, began: began)
    }
  }

  /// The parts put together. The one place that knows them all.
  final class Platform: Sendable {
    private let data: DataDirectory
    private let lock: FileLock
    private let time: SystemClock
    private let logger = Logger(label: "apus")
    private let nodeName: String
    private let store: Store
    private let server: APIServer
    private let network: PodNetwork
    private let node: Node
    private let content: ContentStore
    private let registryClient: RegistryClient
    private let registry: Registry?
    private let services: [(name: String, service: any Service)]
    private let configuration: Up
    private let networkConfiguration: PodNetworkConfiguration
    private let ranges: ClusterRanges
    private let holding: MachineHolding

    init(options: Up, data: DataDirectory, time: SystemClock) async throws {
      self.data = data
      self.time = time
      configuration = options
      // Before anything is made in it.
      try data.refuseEarlierName()
      try DirectoryMark.check(data)
      lock = try data.lock()
      // Before anything is written: a start that is refused changes nothing.
      let identity = try data.identity()
      let mark = try DirectoryMark.take(data)
      try identity.begin()
      // Linked on another processor while this one reads the state.
      async let schemas = SchemaRegistry.builtin
      store = try Self.store(data, identity, acceptsLoss: options.acceptLoss)
      for notice in identity.notices + store.notices { logger.warning("\(notice)") }
      let hostname = Self.hostname()
      nodeName = (options.nodeName ?? hostname).lowercased()
      ranges = try ClusterRanges(pods: options.podRange, services: options.serviceRange)
      let seed = UInt64.random(in: .min ... .max)

      let nodeName = nodeName
      let streams = LocalStreams()
      let metrics = Metrics()
      let served = await schemas
      var serverConfiguration = APIServerConfiguration(
        dataDirectory: data.path, bindAddress: options.bind, port: options.port,
        advertiseAddress: ranges.apiEndpoint.description,
        serviceRange: options.serviceRange, podRange: options.podRange,
        nodePorts: options.nodePortRange ?? 30000...32767, hostname: hostname, version: Version.apus)
      serverConfiguration.madeKeys = identity.isNew ? nil : identity.keys
      server = try APIServer(
        configuration: serverConfiguration, store: store, schemas: served, time: time, metrics: metrics,
        logger: Logger(label: "apus.api"),
        nodeStreams: { $0 == nodeName ? streams.node : nil })
      try Self.settle(identity, cluster: store.cluster, keys: server.pki.fingerprints, logger)
      let client = server.client
      content = try ContentStore.open(root: data.images, time: time)
      registryClient = try RegistryAccess.client()
      registry = try Self.registry(
        options.registry, data: data, content: content, client: registryClient, pki: server.pki, time: time)
      let informers = InformerSet(client: client, time: time)

      var networkConfiguration = PodNetworkConfiguration(
        nodeName: nodeName, podCIDR: options.podRange, serviceCIDR: options.serviceRange,
        bridgeName: options.bridge, cniDirectory: data.cni, stateDirectory: data.network)
      networkConfiguration.owner = mark.identity
      self.networkConfiguration = networkConfiguration
      network = PodNetwork(configuration: networkConfiguration, client: client, informers: informers, time: time)

      let engine = try await Self.engine(options.runtime)
      // Before the first look at containers: their cgroups and folders are among what is taken.
      holding = try MachineHolding(mark: mark, data: data, network: networkConfiguration)
      let runtime: CrunRuntime
      do {
        runtime = try await CrunRuntime.open(
          Self.runtimeConfiguration(options.runtime, data: data), time: time)
      } catch {
        holding.giveBack()
        throw error
      }
      var nodeConfiguration = NodeConfiguration(
        name: nodeName, dataDirectory: data.node, runDirectory: data.runtime)
      nodeConfiguration.nodeIPs = ranges.gateways.map(\.description)
      nodeConfiguration.podCIDRs = ranges.pods.all.map(\.description)
      nodeConfiguration.serviceCIDR = options.serviceRange
      nodeConfiguration.clusterDNS = ranges.nameServers[0].description
      nodeConfiguration.apiServerHost = ranges.services.primary[ClusterAddresses.apiIndex].description
      nodeConfiguration.version = Version.kubernetes
      nodeConfiguration.imageCredentialsPath = data.imageCredentials
      if options.lazyPull {
        nodeConfiguration.lazyPull = LazyPullPolicy(
          command: [Self.executable, LazyLayerCommand.name], cgroup: "/\(data.cgroup)/lazy")
      }
      (nodeConfiguration.runtimeName, nodeConfiguration.runtimeVersion) = engine
      node = Node(
        configuration: nodeConfiguration, client: client, runtime: runtime,
        images: ImageStore(content), registry: registryClient, time: time, seed: seed)
      streams.node = node

      services =
        [
          ("network", network as any Service), ("node", node), ("informers", informers),
          ("scheduler", Scheduler(client: client, informers: informers, time: time, seed: seed)),
        ]
        + Workloads.services(
          client: client, informers: informers, resources: Self.servedResources,
          rootCertificate: server.pki.authority.certificate,
          time: time, seed: seed
        ).enumerated().map { ("workloads.\($0.offset)", $0.element) }
    }

    func run(until signals: TerminationSignal, began: ContinuousClock.Instant) async throws {
      guard let statistics = ProcessStatistics(getpid()) else { throw Failure("/proc/\(getpid()) cannot be read") }
      func url(port: Int) -> String { "https://\(configuration.clientHost):\(port)" }
      var record = ServerRecord(
        processID: getpid(), processStart: statistics.startTicks, url: url(port: configuration.port),
        startedAt: time.now(), readyAfterMilliseconds: 0, runtime: configuration.runtime,
        bridgeName: configuration.bridge, podCIDR: configuration.podRange, serviceCIDR: configuration.serviceRange)
      let port: Int
      do {
        // The network is touched last: a server that cannot listen leaves no trace.
        record.registry = try await listenForRegistry()
        port = try await server.start { [self, record] in
          try await holding.checkBridge(networkConfiguration)
          // Before the network: a purge after a failed start has to know what to remove.
          try record.write(to: data.serverRecord)
          try await network.prepare()
        }
      } catch {
        throw failure(of: error)
      }
      record.url = url(port: port)
      try DurableFile.write(Array(server.kubeconfig(server: record.url).utf8), to: data.kubeconfig, mode: 0o600)
      try DurableFile.write(
        Array(server.nameServerKubeconfig(server: record.url).utf8), to: data.nameServerKubeconfig, mode: 0o600)
      let elapsed = ContinuousClock.now - began
      record.readyAfterMilliseconds =
        elapsed.components.seconds * 1000 + elapsed.components.attoseconds / 1_000_000_000_000_000
      try record.write(to: data.serverRecord)
      Terminal.say(
        "\(Terminal.green("apus \(Version.apus) is ready")) after \(record.readyAfterMilliseconds) ms at \(record.url)"
          + (record.registry.map { ", registry at \($0)" } ?? "")
          + "\n  export KUBECONFIG=\(data.kubeconfig)")
      ServiceManager.notify("READY=1")

      // Another cluster, address, certificate or range, and the name server of an earlier run has to go.
      let cluster = try await server.client.get(
        GroupVersionResource(group: "", version: "v1", resource: "namespaces"), namespace: nil, name: "kube-system")
      let identity = DataDirectory.shortHash(
        of: [cluster.header.uid, record.url, server.pki.nameServer.certificate, record.podCIDR, record.serviceCIDR]
          .joined(separator: "\n"))
      let supervisor = Supervisor(time: time, logger: logger)
      await withTaskGroup(of: Void.self) { group in
        group.addTask { [server] in await supervisor.run("api", ServerService(server: server)) }
        let names = NameServerProcess(
          command: [Self.executable, NameServerCommand.name, "--data", data.path, "--identity", identity],
          identity: identity, stateDirectory: data.network, cgroup: data.nameServerCgroup,
          address: ranges.nameServers[0].description, time: time)
        for (name, service) in services + [("names", names)] {
          group.addTask { await supervisor.run(name, service) }
        }
        if let registry {
          group.addTask { [logger, data] in await Self.serve(registry, following: data.registryConfiguration, logger) }
        }
        let signal = await signals.wait()
        logger.notice("stopping", metadata: ["signal": .stringConvertible(signal)])
        ServiceManager.notify("STOPPING=1")
        group.cancelAll()
        await group.waitForAll()
      }
      await server.shutdown()
      await registry?.shutdown()
      registryClient.close()
      content.close()
      store.close()
      withExtendedLifetime(lock) {}
      Terminal.say(
        "apus stopped; the containers run on. Start again with `apus up`, or remove all with `apus down --purge`.")
    }

    /// - Returns: where the registry listens; `nil` when there is none.
    private func listenForRegistry() async throws -> String? {
      guard let registry else { return nil }
      do {
        return "\(registry.configuration.host):\(try await registry.start())"
      } catch {
        let port = registry.configuration.port
        if let taken = Neighbours().explain(port: port, option: "--registry", data: data) { throw taken }
        throw Failure("the image registry \(error); give another --registry ADDRESS:PORT, or --registry none")
      }
    }

    /// What is said of a start that failed; what it took of the machine and did not touch is given back.
    private func failure(of error: any Error) -> any Error {
      if !holding.isTouched { holding.giveBack() }
      guard let refusal = error as? APIServerError,
        let taken = Neighbours().explain(port: configuration.port, option: "--port", data: data)
      else { return error }
      return Failure("\(refusal.message): \(taken.message)", code: taken.code)
    }

    /// The registry of this store's images; `nil` when none is wanted.
    private static func registry(
      _ address: String, data: DataDirectory, content: ContentStore, client: RegistryClient, pki: PKI,
      time: SystemClock
    ) throws -> Registry? {
      guard let (host, port) = RegistryConfiguration.address(address) else { return nil }
      var configuration = RegistryConfiguration()
      if access(data.registryConfiguration, F_OK) == 0 {
        configuration = try .load(path: data.registryConfiguration, over: configuration)
      }
      (configuration.host, configuration.port) = (host, port)
      configuration.stateDirectory = data.registry
      var tls: NIOSSLContext?
      // Clients speak plain HTTP to a registry on their own machine, and to no other.
      if host != "localhost", host != "::1", !host.hasPrefix("127.") {
        var served = TLSConfiguration.makeServerConfiguration(
          certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(pki.serving.certificate.utf8)).map {
            .certificate($0)
          }, privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(pki.serving.privateKey.utf8), format: .pem)))
        served.minimumTLSVersion = .tlsv12
        served.applicationProtocols = ["http/1.1"]
        tls = try NIOSSLContext(configuration: served)
      }
      return try Registry(
        configuration: configuration, content: content, client: client, tls: tls, time: time,
        // Its own: each server's /metrics serves what that server counts.
        metrics: Metrics(), logger: Logger(label: "apus.registry"))
    }

    private static func serve(_ registry: Registry, following file: String, _ logger: Logger) async {
      var base = RegistryConfiguration()
      (base.host, base.port) = (registry.configuration.host, registry.configuration.port)
      base.stateDirectory = registry.configuration.stateDirectory
      await withTaskGroup(of: Void.self) { [base] group in
        group.addTask {
          do { try await registry.run() } catch {
            logger.critical("the registry ended", metadata: ["error": "\(error)"])
          }
        }
        group.addTask {
          do {
            try await registry.follow(configurationFile: file, over: base)
          } catch is CancellationError {
          } catch {
            logger.error("the registry's configuration is not followed", metadata: ["error": "\(error)"])
          }
        }
      }
    }

    /// What garbage collection and the deletion of namespaces have to look through.
    private static var servedResources: [ServedResource] {
      SchemaRegistry.builtin.kinds.filter { $0.verbs.contains("list") && $0.verbs.contains("watch") }.map {
        ServedResource($0.groupVersionResource, kind: $0.kind, isNamespaced: $0.isNamespaced)
      }
    }

    /// This program's file; when that was removed, what the kernel keeps of it.
    private static var executable: String {
      let link = "/proc/self/exe"
      var buffer = [CChar](repeating: 0, count: 4096)
      let count = readlink(link, &buffer, buffer.count)
      let path = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
      return access(path, X_OK) == 0 ? path : link
    }

    private static func hostname() -> String {
      var buffer = [CChar](repeating: 0, count: 256)
      gethostname(&buffer, buffer.count - 1)
      let name = buffer.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
      return name.isEmpty ? "localhost" : name
    }

    /// Name and version of the OCI runtime, as the first line of its `--version` gives them.
    private static func engine(_ path: String) async throws -> (name: String, version: String) {
      let output: ProcessResult
      do {
        output = try await Subprocess.run(path, ["--version"], timeout: .seconds(10))
      } catch {
        throw Failure("the OCI runtime \(path) does not run (\(error)). Install the package crun, or give --runtime")
      }
      let words =
        String(decoding: output.stdout, as: UTF8.self).split(separator: "\n").first?.split(separator: " ") ?? []
      return (words.first.map(String.init) ?? "oci", words.last.map(String.init) ?? "unknown")
    }

    static func runtimeConfiguration(_ runtime: String, data: DataDirectory) -> CrunRuntime.Configuration {
      var configuration = CrunRuntime.Configuration(
        stateDirectory: data.containers, runDirectory: data.runtime, networkConfigurationDirectory: data.cni)
      configuration.runtimePath = runtime
      configuration.cgroupRoot = data.cgroup
      return configuration
    }

    private static func store(
      _ data: DataDirectory, _ identity: DataIdentity, acceptsLoss: Bool
    ) throws(Failure) -> Store {
      var options = StoreOptions()
      options.reserveBytes = 8 << 20
      options.acceptsLoss = acceptsLoss
      // The store gives an id to a database of an earlier version, which has none.
      let id = identity.cluster ?? identity.candidate
      do {
        return try Store.open(
          directory: data.state, options: options,
          expected: identity.isNew ? .new(cluster: id) : .existing(cluster: identity.cluster, otherwise: id),
          verify: { _ = try JSON.parse($0) }, header: { try ObjectHeader(parsing: $0) })
      } catch {
        throw explain(error, data: data)
      }
    }

    /// A mark that is missing can wait when the disk is full: the others tell the same.
    private static func settle(
      _ identity: DataIdentity, cluster: String, keys: [String: String], _ logger: Logger
    ) throws(SystemError) {
      do {
        try identity.settle(cluster: cluster, keys: keys)
      } catch {
        guard !identity.isNew, error.isDiskFull else { throw error }
        logger.warning("the data directory's marks are not complete", metadata: ["error": "\(error)"])
      }
    }

    /// What is wrong with the store, and what to do.
    private static func explain(_ error: StoreError, data: DataDirectory) -> Failure {
      switch error {
      case .lost:
        Failure(
          "\(error), but \(data.path) was filled before: its objects are lost.\n\(DataIdentityError.restore)")
      case .foreign:
        Failure("\(error).\nPut back the folders of one cluster. Nothing was changed, and containers that run go on.")
      case .damaged:
        Failure(
          """
          \(error)
          Restore \(data.state)/ from a backup. To go on without what is lost: apus up --accept-loss, which keeps the damaged
          database in \(data.state)/damaged/; what depended on what is lost may be ended. Nothing was changed, and
          containers that run go on.
          """)
      case .corrupt:
        Failure(
          """
          \(error).
          Restore \(data.state)/ from a backup. apus up --accept-loss goes on with what can still be read, if anything \
          can; what is lost may end what depended on it. Nothing was changed, and containers that run go on.
          """)
      default: Failure("\(data.state): \(error)")
      }
    }
  }
}

/// The node for the API server, which is made before it. Until it is set, the node is not there.
private final class LocalStreams: Sendable {
  private let streams = Mutex<(any NodeStreams)?>(nil)

  var node: (any NodeStreams)? {
    get { streams.withLock { $0 } }
    set { streams.withLock { $0 = newValue } }
  }
}

/// The API server under the supervisor.
private struct ServerService: Service {
  let server: APIServer

  func run() async throws { try await server.run() }
}

extension Logger.Level: @retroactive ExpressibleByArgument {}
