import ArgumentParser
import ControllerKit
import Glibc
import LinuxSystem
import Logging
import Telemetry
import Wire

struct Up: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "up", abstract: "Start the server and, unless --role says otherwise, the node in the foreground.",
    discussion: """
      Needs root: it makes containers and networks. Stop it with Ctrl-C or `apus down`: the containers run on, and the
      next `apus up` on the same data takes them over as they are.

        sudo apus up
        sudo apus up --data /srv/apus --port 7443
      """)

  @OptionGroup var options: DataOptions

  @Option(
    help: ArgumentHelp(
      "server: the API and its controllers, without containers and networks; all: with a node, too.",
      valueName: "server|all"))
  var role = ServerRole.all

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

  @Option(
    help: ArgumentHelp(
      "The socket of another container runtime (containerd, CRI-O), which runs the pods and has the images.",
      valueName: "unix:///path"))
  var containerRuntimeEndpoint: String?

  @Flag(
    help: """
      Start although objects of the state are damaged or missing, without them. What depended on them may be ended.
      """)
  var acceptLoss = false

  @OptionGroup var datastoreOptions: DatastoreOptions

  @Option(help: "trace, debug, info, notice, warning, error or critical.")
  var logLevel = Logger.Level.warning

  func validate() throws {
    guard role != .node else {
      throw ValidationError(
        """
        --role node is not built: a node cannot join a server over the network yet. The API server reaches a node's logs, \
        exec and port-forward in its own process only, all pods have addresses of one range whose first address is the \
        API's, and images come from the server's own store. Give --role server or --role all
        """)
    }
    guard (0...65535).contains(port) else { throw ValidationError("--port takes 0 to 65535, not \(port)") }
    do throws(ClusterRangesError) { _ = try ClusterRanges(pods: podRange, services: serviceRange) } catch {
      throw ValidationError("--pod-range, --service-range: \(error)")
    }
    guard ClosedRange(ports: nodePorts) != nil else {
      throw ValidationError("--node-ports takes low-high, not '\(nodePorts)'")
    }
    if try datastoreOptions.etcd != nil, acceptLoss {
      throw ValidationError(
        "--accept-loss is for the store in the data directory: of an etcd that is damaged, restore a snapshot")
    }
    let settings = serverOptions.settings
    for capability in Capabilities.all {
      if let refusal = capability.refusal(settings) { throw ValidationError(refusal) }
    }
  }

  /// What the options say, for all capabilities.
  var serverOptions: ServerOptions {
    ServerOptions(
      roles: role.roles, bind: bind, port: port, podRange: podRange, serviceRange: serviceRange,
      nodePorts: ClosedRange(ports: nodePorts) ?? 30000...32767, acceptsLoss: acceptLoss,
      // Checked before.
      datastore: (try? datastoreOptions.etcd) ?? nil,
      settings: [
        "nodeName": (nodeName ?? Composition.hostname).lowercased(), "bridgeName": bridge, "podCIDR": podRange,
        "serviceCIDR": serviceRange, "registry": registry, "runtime": runtime,
        "containerRuntimeEndpoint": containerRuntimeEndpoint ?? "", "lazyPull": String(lazyPull),
      ], executable: Self.executable)
  }

  /// This program's file; when that was removed, what the kernel keeps of it.
  private static var executable: String {
    let link = "/proc/self/exe"
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink(link, &buffer, buffer.count)
    let path = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return access(path, X_OK) == 0 ? path : link
  }

  func run() async throws {
    let began = ContinuousClock.now
    let time = SystemClock()
    let level = logLevel
    LoggingSystem.bootstrap { StandardErrorLog(label: $0, level: level, time: time) }
    try await Terminal.reporting {
      let given = try SocketActivation.take()
      guard geteuid() == 0 else {
        throw Failure("apus up makes containers, networks and folders below /run and needs root: sudo apus up")
      }
      let signals = try TerminationSignal.caught()
      let stopped = Task { await signals.wait() }
      let data = try options.data
      let composition: Composition
      do {
        composition = try await Composition(serverOptions, data: data, time: time, given: given, stopped: stopped)
      } catch is CancellationError {
        return Terminal.say("apus stopped while it stood by.")
      }
      try await composition.run(began: began) { record in
        let registry = record.settings["registry"].flatMap { $0 == "none" ? nil : ", registry at \($0)" } ?? ""
        Terminal.say(
          "\(Terminal.green("apus \(Version.apus) is ready")) after \(record.readyAfterMilliseconds) ms at \(record.url)"
            + registry + "\n  export KUBECONFIG=\(data.kubeconfig)")
        ServiceManager.notify("READY=1")
      } until: {
        let signal = await stopped.value
        Logger(label: "apus").notice("stopping", metadata: ["signal": .stringConvertible(signal)])
        ServiceManager.notify("STOPPING=1")
      }
      Terminal.say(
        "apus stopped; the containers run on. Start again with `apus up`, or remove all with `apus down --purge`.")
    }
  }
}

/// Which parts of Apus a process is.
enum ServerRole: String, ExpressibleByArgument, CaseIterable {
  case server, node, all

  var roles: Set<Capability.Role> {
    switch self {
    case .server: [.server]
    case .node: [.node]
    case .all: Set(Capability.Role.allCases)
    }
  }
}

extension Logger.Level: @retroactive ExpressibleByArgument {}
