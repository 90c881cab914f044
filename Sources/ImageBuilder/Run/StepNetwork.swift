import CLinux
import Glibc
import LinuxSystem

/// The network of one step: a namespace of its own, with a way out by `slirp4netns`, which passes the step's connections
/// on as connections of its own.
///
/// The machine's loopback stays out of reach, where services listen that ask nobody who they are. `slirp4netns` refuses its
/// own address for it (`--disable-host-loopback`), but connects to 127.0.0.0/8 for whoever sends such a packet: a socket
/// that is bound to the interface does, without any right. So the namespace has no route for that, and steps have no
/// CAP_NET_RAW to make packets without a route.
///
/// `slirp4netns` ends when this process does, in whatever way: it watches a pipe that we hold.
final class StepNetwork: Sendable {
  /// The namespace.
  let path: String
  private let folder: String
  private let log: String
  private let process: ProcessHandle
  private let ready: AsyncDescriptor
  private let hold: AsyncDescriptor

  /// Where the machine's resolver answers in there, also one that listens on the machine's loopback: the first one with
  /// an IPv4 address.
  static let resolver = "10.0.2.3"
  static let program = "slirp4netns"

  private init(
    folder: String, log: String, process: ProcessHandle, ready: AsyncDescriptor, hold: AsyncDescriptor
  ) {
    path = "\(folder)/net"
    self.folder = folder
    self.log = log
    self.process = process
    self.ready = ready
    self.hold = hold
  }

  /// Makes the namespace and starts the way out, which `waitUntilReady` waits for.
  ///
  /// - Parameters:
  ///   - folder: of the step; everything is below it, and what a killed build leaves goes with it.
  ///   - bundle: the step's folder in memory.
  static func start(in folder: String, bundle: String) async throws(BuildError) -> StepNetwork {
    let folder = "\(folder)/network"
    do throws(SystemError) {
      // `ping` needs no raw socket then.
      try await Namespaces.create(
        [.network], folder: folder, hostname: nil, sysctls: ["net.ipv4.ping_group_range": "0 2147483647"])
      do throws(SystemError) {
        try await Namespaces.inNetwork("\(folder)/net") { () throws(SystemError) in
          guard clinux_confine_loopback() == 0 else { throw .last("make 127.0.0.0/8 unreachable") }
        }
        return try spawn(folder: folder, log: "\(bundle)/network.log")
      } catch {
        try? await Namespaces.remove(folder: folder)
        throw error
      }
    } catch {
      if error.errno == ENOENT, error.operation.hasPrefix("find \(program) ") {
        throw BuildError(
          .unsupported,
          "RUN needs the program \(program) for its network: install the package \(program), or build with "
            + "--network=none, or with --network=host, which lets steps reach everything that this machine reaches")
      }
      throw BuildError(error)
    }
  }

  private static func spawn(folder: String, log: String) throws(SystemError) -> StepNetwork {
    let output = open(log, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard output >= 0 else { throw .last("create \(log)") }
    defer { close(output) }
    let ready = try Pipe()
    defer { close(ready.writeEnd) }
    let readyReader = try AsyncDescriptor(owning: ready.readEnd)
    let hold = try Pipe()
    defer { close(hold.readEnd) }
    let holdWriter = try AsyncDescriptor(owning: hold.writeEnd)
    let process = try Subprocess.spawn(
      program,
      [
        "--configure", "--mtu=65520", "--disable-host-loopback", "--enable-sandbox", "--enable-seccomp",
        "--ready-fd=3", "--exit-fd=4", "--netns-type=path", "\(folder)/net", "tap0",
      ],
      descriptors: [
        .init(from: output, to: 1), .init(from: output, to: 2), .init(from: ready.writeEnd, to: 3),
        .init(from: hold.readEnd, to: 4),
      ], newSession: true)
    return StepNetwork(folder: folder, log: log, process: process, ready: readyReader, hold: holdWriter)
  }

  func waitUntilReady() async throws(BuildError) {
    do throws(SystemError) {
      let answer = try await ready.read(deadline: .now + .seconds(10))
      if !answer.isEmpty { return }
    } catch {
      if error.errno == ECANCELED { throw .cancelled }
      guard error.errno == ETIMEDOUT else { throw BuildError(error) }
    }
    let said = try? await blocking { [log] () throws(BuildError) -> String in
      let bytes = (try? DurableFile.read(log, limit: 1 << 20)) ?? []
      let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
      return lines.suffix(3).joined(separator: "; ")
    }
    throw BuildError(
      .system,
      "the step's network did not come up: \(Self.program): \(said ?? ""); --network=none and --network=host do without"
    )
  }

  /// Ends the way out and lets the namespace go. The step's processes have ended.
  func end() async {
    hold.close()
    ready.close()
    // What is cleared away here must be gone before the step's folder is, cancelled or not.
    let process = process
    await Task {
      if await process.wait(deadline: .now + .seconds(5)) == nil {
        process.signal(SIGKILL)
        _ = await process.wait(deadline: .now + .seconds(5))
      }
    }.value
    // What cannot be let go now goes with the build's folder.
    try? await Namespaces.remove(folder: folder)
  }

  /// A step's `/etc/resolv.conf` made of the machine's. Pure.
  ///
  /// Name servers on its loopback are asked by `resolver`, which asks the machine's first one that has an IPv4 address.
  /// Those with an IPv6 address are out of reach. When there are no others, the step has none: the C library asks
  /// 127.0.0.1 then, which is the step's own and refuses at once, instead of waiting for an answer that never comes.
  static func resolverConfiguration(_ machine: [UInt8]) -> (text: [UInt8], hasServer: Bool) {
    var configuration = ResolverConfiguration(parsing: machine)
    var servers: [String] = []
    for named in configuration.nameservers {
      var address = in_addr()
      guard inet_pton(AF_INET, named, &address) == 1 else { continue }
      let highest = UInt32(bigEndian: address.s_addr) >> 24
      // The machine's own, whatever machine asks.
      let isInside = highest == 127 || highest == 0
      let server = isInside ? resolver : named
      if !servers.contains(server) { servers.append(server) }
    }
    configuration.nameservers = servers
    return (Array(configuration.text.utf8), !servers.isEmpty)
  }
}
