import APIServer
import ControllerKit
import Glibc
import KubeClient
import LinuxSystem
import Logging
import Schema
import Store
import Synchronization
import Telemetry
import Wire

import struct KubeTypes.ObjectHeader

/// How a server is started. Addresses are texts as people write them.
struct ServerOptions: Sendable {
  var roles = Set(Capability.Role.allCases)
  var bind = "127.0.0.1"
  /// 0 for a free one.
  var port = 6443
  var podRange = "10.244.0.0/24"
  var serviceRange = "10.96.0.0/16"
  var nodePorts = 30000...32767
  var acceptsLoss = false
  /// Where the objects are; `nil` for the data directory.
  var datastore: EtcdOptions?
  /// Of all capabilities, whichever run.
  var settings: CapabilitySettings = [:]
  /// This program, for the data plane.
  var executable = "/proc/self/exe"
}

/// The API server and the capabilities put together: what they are is told by the data directory's list.
final class Composition: Sendable {
  private let data: DataDirectory
  private let options: ServerOptions
  private let lock: FileLock
  private let sockets: GivenSockets
  private let time: any TimeSource
  private let logger = Logger(label: "apus")
  private let store: Store
  private let server: APIServer
  private let informers: InformerSet
  private let holding: MachineHolding
  /// Those that run, with what was made of them.
  private let running: [(capability: Capability, parts: CapabilityParts)]
  /// What the record tells: how this server was started, and earlier ones as far as this one does not say it.
  private let settings: CapabilitySettings

  /// Who reads for the informers: they are shared, and the garbage collector follows every kind. It can write nothing.
  static let informerIdentity = ComponentIdentity.user(
    "system:apus:informers", [.init(verbs: ["list", "watch"], group: "*", resources: ["*"])])

  /// By which a socket can be given for the API.
  static let listenerName = "api"

  /// - Parameters:
  ///   - given: sockets to serve on, by the names of the listeners.
  ///   - stopped: ends when the server is to stop: until then it may have to wait for its turn to lead.
  /// - Throws: `CancellationError` when it is stopped while it waits.
  init(
    _ options: ServerOptions, data: DataDirectory, time: any TimeSource,
    given: [(name: String, descriptor: OwnedDescriptor)] = [], stopped: Task<Int32, Never>? = nil
  ) async throws {
    self.data = data
    self.options = options
    self.time = time
    let capabilities = data.capabilities
    let chosen = capabilities.filter { !$0.roles.isDisjoint(with: options.roles) }
    let names = Set(chosen.flatMap(\.settings))
    let started = options.settings.filter { names.contains($0.key) }
    let listeners = chosen.flatMap { $0.footprint(data.place(owner: ""), started).listeners }
    sockets = try GivenSockets(given, for: [Self.listenerName] + listeners.map(\.name))
    // Before anything is made in it.
    try data.refuseEarlierName()
    try DirectoryMark.check(data)
    lock = try data.lock()
    // Before anything is written: a start that is refused changes nothing.
    let recorded = try data.checkDatastore(options.datastore)
    let identity = try data.identity(isStoreElsewhere: options.datastore != nil)
    if let etcd = options.datastore, !identity.isNew, identity.cluster == nil, recorded?.place != etcd.place {
      // Else the keys would be taken for those of whatever cluster is there.
      throw Failure(
        """
        \(data.path) has keys and does not say which cluster they are of: copy the whole folder pki/ of the other server, \
        \(data.keys)/cluster with it. Nothing was changed.
        """)
    }
    let mark = try DirectoryMark.take(data)
    // Linked on another processor while this one reads the state.
    async let linked = SchemaRegistry.builtin(
      and: capabilities.flatMap(\.kinds), strategies: capabilities.flatMap(\.strategies))
    if let etcd = options.datastore {
      store = try await Self.store(etcd, data, identity, time, logger, stopped)
      if let recorded, recorded.place != etcd.place {
        logger.warning("the objects were in \(recorded.place), and are in \(etcd.place) now")
      }
    } else {
      try identity.begin()
      store = try Self.store(data, identity, acceptsLoss: options.acceptsLoss)
    }
    do {
      for notice in identity.notices + store.notices { logger.warning("\(notice)") }

      let earlier = ServerRecord.read(data.serverRecord)?.settings ?? [:]
      settings = earlier.merging(started) { $1 }

      let nodes = NodesHere()
      let metrics = Metrics()
      let kinds = KindRegistry(try await linked)
      var configuration = APIServerConfiguration(
        dataDirectory: data.path, bindAddress: options.bind, port: options.port,
        advertiseAddress: chosen.lazy.compactMap { $0.advertisedAddress(started) }.first ?? options.bind,
        serviceRange: options.serviceRange, podRange: options.podRange, nodePorts: options.nodePorts,
        hostname: Self.hostname, version: Version.apus)
      configuration.madeKeys = identity.isNew ? nil : identity.keys
      // Of those that do not run, too: what is stored is of their kinds, and a certificate that comes and goes is a puzzle.
      configuration.identities = capabilities.flatMap(\.identities)
      configuration.components = [Self.informerIdentity] + capabilities.flatMap(\.components)
      configuration.admission = capabilities.flatMap(\.admission)
      configuration.routes = capabilities.flatMap(\.routes)
      server = try APIServer(
        configuration: configuration, store: store, kinds: kinds, time: time, metrics: metrics,
        logger: Logger(label: "apus.api"), nodeStreams: { nodes[$0] })
      try Self.settle(identity, cluster: store.cluster, keys: server.pki.fingerprints, logger)
      if let etcd = options.datastore { try data.recordDatastore(etcd.place) }

      // Before the first look at containers: their cgroups and folders are among what is taken.
      holding = try MachineHolding(mark: mark, data: data, settings: started)
      informers = InformerSet(client: server.client(as: Self.informerIdentity), time: time, kinds: kinds)
      let context = CapabilityContext(
        place: data.place(owner: mark.identity), settings: started, earlierSettings: earlier,
        clients: { [server] in server.client(as: $0) },
        informers: informers, kinds: kinds, rootCertificate: server.pki.authority.certificate,
        servingCertificate: server.pki.serving.certificate, servingKey: server.pki.serving.privateKey, metrics: metrics,
        time: time, seed: UInt64.random(in: .min ... .max), executable: options.executable, version: Version.apus,
        kubernetesVersion: Version.kubernetes, inheritedOwners: holding.inherited, shared: SharedValues(),
        sockets: sockets)
      var running: [(capability: Capability, parts: CapabilityParts)] = []
      do {
        for capability in chosen { running.append((capability, try await capability.start(context))) }
      } catch {
        holding.giveBack()
        throw error
      }
      for (name, node) in running.flatMap(\.parts.nodes) { nodes[name] = node }
      self.running = running
    } catch {
      // Another server, or the next start, need not wait for the end of a lease.
      await store.closed()
      throw error
    }
  }

  /// Listens, serves until the closure returns, and stops; containers and the data plane run on.
  ///
  /// - Parameters:
  ///   - began: when the start began.
  ///   - ready: called once clients are answered.
  func run(
    began: ContinuousClock.Instant, ready: (ServerRecord) -> Void, until stopped: @Sendable () async -> Void
  ) async throws {
    do {
      try await serve(began, ready, stopped)
    } catch {
      await store.closed()
      throw error
    }
    await store.closed()
    withExtendedLifetime(lock) {}
  }

  private func serve(
    _ began: ContinuousClock.Instant, _ ready: (ServerRecord) -> Void, _ stopped: @Sendable () async -> Void
  ) async throws {
    guard let statistics = ProcessStatistics(getpid()) else { throw Failure("/proc/\(getpid()) cannot be read") }
    var record = ServerRecord(
      processID: getpid(), processStart: statistics.startTicks, url: url(port: options.port), startedAt: time.now(),
      readyAfterMilliseconds: 0, settings: settings)
    let port: Int
    var isGiven = false
    do {
      // The machine is touched last: a server that cannot listen leaves no trace.
      for part in running { record.settings.merge(try await part.parts.listen()) { $1 } }
      let socket = try sockets.take(Self.listenerName, host: options.bind, port: options.port)
      isGiven = socket != nil
      try sockets.finish()
      port = try await server.start(on: socket) { [self, record] in
        for part in running { try await part.parts.check() }
        holding.touch()
        // Before anything of the machine: a purge after a failed start has to know what to remove.
        try record.write(to: data.serverRecord)
        for part in running { try await part.parts.prepare() }
      }
    } catch {
      throw failure(of: error, isGiven: isGiven)
    }
    record.url = url(port: port)
    try DurableFile.write(Array(server.kubeconfig(server: record.url).utf8), to: data.kubeconfig, mode: 0o600)
    for identity in running.flatMap(\.capability.identities) {
      let path = data.place(owner: "").path(identity.kubeconfig)
      try Directory.createPrivate(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]))
      try DurableFile.write(Array(server.kubeconfig(server: record.url, of: identity).utf8), to: path, mode: 0o600)
    }
    let elapsed = ContinuousClock.now - began
    record.readyAfterMilliseconds =
      elapsed.components.seconds * 1000 + elapsed.components.attoseconds / 1_000_000_000_000_000
    try record.write(to: data.serverRecord)
    ready(record)

    let services = try await services(url: record.url)
    let supervisor = Supervisor(time: time, logger: logger)
    await withTaskGroup(of: Void.self) { group in
      for (name, service) in services { group.addTask { await supervisor.run(name, service) } }
      group.addTask { [time] in _ = await ProgramPages.forget(time) }
      await stopped()
      group.cancelAll()
      await group.waitForAll()
    }
    await server.shutdown()
    for part in running.reversed() { await part.parts.stop() }
  }

  private func url(port: Int) -> String {
    // The host of the URL that clients on this machine use.
    let isEverywhere = options.bind == "0.0.0.0" || options.bind == "::"
    let host = isEverywhere ? "127.0.0.1" : options.bind.contains(":") ? "[\(options.bind)]" : options.bind
    return "https://\(host):\(port)"
  }

  /// Everything that runs until the server stops, with its name for the log.
  private func services(url: String) async throws -> [(name: String, service: any Service)] {
    var services: [(name: String, service: any Service)] = [
      ("api", ServerService(server: server)), ("informers", informers),
    ]
    for (capability, parts) in running {
      services += parts.services.enumerated().map { index, service in
        (parts.services.count == 1 ? capability.name : "\(capability.name).\(index)", service)
      }
    }
    let cluster = try await server.client.get(
      GroupVersionResource(group: "", version: "v1", resource: "namespaces"), namespace: nil, name: "kube-system")
    let parts = running.flatMap(\.capability.dataPlane)
    if !parts.isEmpty {
      // Another cluster, address, certificate, setting or version, and the data plane of an earlier run is out of date.
      let certificates = parts.map { server.pki.identities[$0.identity]?.certificate ?? "" }
      let own = running.map(\.capability).filter { !$0.dataPlane.isEmpty }.flatMap(\.settings).map {
        settings[$0] ?? ""
      }
      let marks = [Version.apus, cluster.header.uid, url] + parts.map(\.name) + certificates + own
      let token = DataDirectory.shortHash(of: marks.joined(separator: "\n"))
      let command = [options.executable] + DataPlaneCommand.arguments(parts, data: data, token: token)
      services.append(
        (
          DataPlane.name,
          DataPlaneProcess(
            parts, place: data.place(owner: ""), settings: settings, command: command, token: token, time: time)
        ))
    }
    return services
  }

  /// What is said of a start that failed; what it took of the machine and did not touch is given back.
  ///
  /// - Parameter isGiven: whether the API's port was given, and is others' for that reason only.
  private func failure(of error: any Error, isGiven: Bool) -> any Error {
    if !holding.isTouched { holding.giveBack() }
    let neighbours = Neighbours(data: data)
    if let taken = error as? PortTaken {
      return neighbours.explain(port: taken.port, instead: taken.instead) ?? Failure(taken.otherwise)
    }
    guard !isGiven, let refusal = error as? APIServerError,
      let taken = neighbours.explain(port: options.port, instead: { "--port \($0)" })
    else { return error }
    return Failure("\(refusal.message): \(taken.message)", code: taken.code)
  }

  static var hostname: String {
    var buffer = [CChar](repeating: 0, count: 256)
    gethostname(&buffer, buffer.count - 1)
    let name = buffer.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
    return name.isEmpty ? "localhost" : name
  }

  private static func store(
    _ data: DataDirectory, _ identity: DataIdentity, acceptsLoss: Bool
  ) throws(Failure) -> Store {
    var options = StoreOptions()
    options.reserveBytes = 8 << 20
    options.acceptsLoss = acceptsLoss
    do {
      return try Store.open(
        directory: data.state, options: options, expected: expectation(identity),
        verify: { _ = try JSON.parse($0) }, header: { try ObjectHeader(parsing: $0) })
    } catch {
      throw explain(error, data: data)
    }
  }

  private static func expectation(_ identity: DataIdentity) -> Store.Expectation {
    // The store gives an id to a database of an earlier version, which has none.
    let id = identity.cluster ?? identity.candidate
    return identity.isNew ? .new(cluster: id) : .existing(cluster: identity.cluster, otherwise: id)
  }

  /// Waits for this server's turn to lead.
  private static func store(
    _ etcd: EtcdOptions, _ data: DataDirectory, _ identity: DataIdentity, _ time: any TimeSource, _ logger: Logger,
    _ stopped: Task<Int32, Never>?
  ) async throws -> Store {
    let opening = Task { () async -> Result<Store, StoreError> in
      do throws(StoreError) {
        return .success(
          try await Store.open(
            etcd: etcd, expected: expectation(identity), name: serverName, time: time,
            header: { try ObjectHeader(parsing: $0) },
            waiting: { reason in
              Terminal.note("apus: \(reason)")
              // A service manager must not give it up: standing by is its work.
              ServiceManager.notify("READY=1\nSTATUS=\(reason)")
            },
            lost: endWithoutAnswer
          ) { () throws(StoreError) in
            do throws(SystemError) { try identity.begin() } catch { throw .io(error.description) }
          })
      } catch {
        return .failure(error)
      }
    }
    if let stopped {
      Task {
        _ = await stopped.value
        opening.cancel()
      }
    }
    switch await opening.value {
    case .success(let store): return store
    case .failure(.closed): throw CancellationError()
    case .failure(let error): throw explain(error, etcd, data)
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

  /// What is wrong with the store in an etcd, and what to do.
  private static func explain(_ error: StoreError, _ etcd: EtcdOptions, _ data: DataDirectory) -> Failure {
    switch error {
    case .lost:
      Failure(
        """
        \(error), but \(data.path) was filled before: its objects are lost, or somewhere else.
        If they are under another address or prefix, give that one; if they are in a data directory, copy them (apus datastore \
        copy); else restore a snapshot of the etcd. Nothing was changed, and containers that run go on.
        """)
    case .foreign:
      Failure(
        """
        \(error).
        Give the address or prefix of this cluster's etcd. Nothing was changed, and containers that run go on.
        """)
    case .damaged, .corrupt:
      Failure(
        """
        \(error)
        Restore a snapshot of the etcd. Nothing was changed, and containers that run go on.
        """)
    case .diskFull:
      Failure(
        "\(etcd.place) has no space left: raise its quota, or free space and disarm its alarm (etcdctl alarm disarm)")
    default: Failure("\(error)")
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

/// The nodes of this process for the API server, which is made before them. Until one is set, it is not there.
private final class NodesHere: Sendable {
  private let nodes = Mutex<[String: any NodeStreams]>([:])

  subscript(name: String) -> (any NodeStreams)? {
    get { nodes.withLock { $0[name] } }
    set { nodes.withLock { $0[name] = newValue } }
  }
}

/// The API server under the supervisor.
private struct ServerService: Service {
  let server: APIServer

  func run() async throws { try await server.run() }
}
