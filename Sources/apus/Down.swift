import ArgumentParser
import CLinux
import ControllerKit
import Glibc
import LinuxSystem

struct Down: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "down", abstract: "Stop the server; with --purge, remove everything.",
    discussion: """
      The containers run on and serve without the server, and the next `apus up` takes them over. With --purge the
      containers, networks, mounts, cgroups and all data are removed, and what could not be removed is listed. That is
      asked first; where nobody can be asked, as in a script, --yes answers.
      """)

  @OptionGroup var options: DataOptions

  @Flag(help: "Remove all containers, networks and data. There is no way back.")
  var purge = false

  @Flag(help: "With --purge: do not ask.")
  var yes = false

  func run() async throws {
    try await Terminal.reporting {
      let data = try options.data
      let record = ServerRecord.read(data.serverRecord)
      var plan: PurgePlan?
      if purge {
        guard geteuid() == 0 else { throw Failure("--purge needs root: sudo apus down --purge") }
        // Before anything is stopped.
        try refuseWhatStartsAgain(record)
        let wanted = try PurgePlan(data: data)
        if !yes { try wanted.confirm() }
        plan = wanted
      }
      let recorded = record.flatMap { $0.isAlive ? $0.processID : nil }
      if let process = recorded ?? plan?.server {
        Terminal.note("stopping the server, process \(process)")
        try await stop(process)
      } else if !purge {
        throw Failure("no server runs on \(data.path)", code: .noServer)
      }
      guard let plan else {
        Terminal.note("stopped; the containers run on")
        if let port = givenPort(record) {
          Terminal.note(
            "systemd keeps port \(port) and starts it again at the next connection, which the node's data plane makes; to keep "
              + "it down: systemctl stop apus.socket apus-registry.socket apus.service")
        }
        return
      }
      try await Purge(data: data, record: record, plan: plan).run()
    }
  }

  /// A purge would be followed by a new cluster in the folder that it has emptied.
  private func refuseWhatStartsAgain(_ record: ServerRecord?) throws {
    guard let port = givenPort(record) else { return }
    throw Failure(
      """
      systemd keeps port \(port) and would start the server again while its data are removed. Stop the units first:
        sudo systemctl disable --now apus.socket apus-registry.socket apus.service
      """)
  }

  /// The recorded API port, when the service manager has its socket.
  private func givenPort(_ record: ServerRecord?) -> Int? {
    guard let port = record?.port,
      TCPListeners.processes(on: port).contains(where: { $0.processID == 1 && $0.name == "systemd" })
    else { return nil }
    return port
  }

  private func stop(_ processID: Int32) async throws {
    // The pidfd is opened before the signal: it cannot come to mean a later process of the same id.
    let descriptor = clinux_pidfd_open(processID)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    guard clinux_pidfd_send_signal(descriptor, SIGTERM) == 0 || errno == ESRCH else {
      throw Failure("process \(processID) cannot be stopped (\(String(cString: strerror(errno)))): sudo apus down")
    }
    let hasEnded = try await DedicatedThread.run { () throws(SystemError) -> Bool in
      var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      return poll(&poller, 1, 30_000) > 0
    }
    guard hasEnded else { throw Failure("the server did not stop within 30 s; see its log, or kill -9 \(processID)") }
  }
}

/// Takes a data directory's containers, network, mounts, cgroups and files away, by the footprints of the capabilities.
struct Purge {
  let data: DataDirectory
  let record: ServerRecord?
  let plan: PurgePlan

  func run() async throws {
    // Held to the end: no server may start on what is being removed.
    let lock = try data.lock()
    let mark = try plan.mark(data)
    defer { withExtendedLifetime(lock) {} }

    let footprints = try await plan.footprints(of: data, record: record, mark: mark)
    let place = data.place(owner: mark.identity)
    // Before its cgroup goes.
    try await DataPlaneProcess.stop(data.capabilities.flatMap(\.dataPlane), place: place)
    // In the order in which they stop what those before them need.
    for footprint in footprints.reversed() { try await footprint.release { Terminal.note($0) } }
    let tables = footprints.flatMap(\.tables)
    if !tables.isEmpty {
      // Deleting needs a table to be there: so it is made first, in the same transaction.
      let commands = tables.map { "add table \($0)\ndelete table \($0)\n" }.joined()
      try await Self.run("nft", ["-f", "-"], stdin: Array(commands.utf8))
    }
    // A link's addresses and routes go with it.
    for link in footprints.flatMap(\.links) where if_nametoindex(link) != 0 {
      try await Self.run("ip", ["link", "del", "dev", link])
    }
    if let layout = try? CgroupLayout.current() {
      let root = Cgroup(layout, path: "/\(data.cgroup)")
      try await root.kill(deadline: .now + .seconds(10))
      try root.remove()
    }
    try Mount.unmountTree(data.runtime)
    try Directory.removeTree(data.runtime)
    let kept = try plan.removeFiles(of: data, mark: mark)
    try data.claims.release(data.path)
    if kept.isEmpty, let link = data.link { unlink(link) }

    let left = try await leftovers(footprints)
    guard left.isEmpty else {
      throw Failure("could not remove:\n  " + left.joined(separator: "\n  "))
    }
    if kept.isEmpty {
      Terminal.note("removed \(data.path): no container, mount, cgroup, network rule or interface is left")
    } else {
      Terminal.note(
        "removed what Apus kept in \(data.path): no container, mount, cgroup, network rule or interface is left\n"
          + "left as it is: \(DirectoryMark.listed(kept))")
    }
  }

  /// What is still there, as the kernel tells it.
  private func leftovers(_ footprints: [Footprint]) async throws -> [String] {
    var left = try MountInfo.current().filter {
      plan.isOurs(mount: $0.mountPoint) || $0.isAtOrBelow(data.runtime)
    }.map { "mount \($0.mountPoint)" }
    for hierarchy in (try? CgroupLayout.current())?.mountPoints ?? [] {
      let path = "\(hierarchy)/\(data.cgroup)"
      if access(path, F_OK) == 0 { left.append("cgroup \(path)") }
    }
    for path in [data.runtime, data.mark] where access(path, F_OK) == 0 { left.append(path) }
    left += footprints.flatMap(\.links).filter { if_nametoindex($0) != 0 }.map { "interface \($0)" }
    let tables = footprints.flatMap(\.tables)
    if !tables.isEmpty {
      let listed = String(decoding: try await Self.run("nft", ["list", "tables"]), as: UTF8.self).split(separator: "\n")
      left += tables.filter { listed.contains("table \($0)") }.map { "nftables table \($0)" }
    }
    for footprint in footprints { left += try await footprint.leftovers() }
    return left
  }

  /// Runs a program that must succeed.
  @discardableResult
  private static func run(_ program: String, _ arguments: [String], stdin: [UInt8]? = nil) async throws -> [UInt8] {
    let result = try await Subprocess.run(program, arguments, stdin: stdin)
    guard result.status == .exited(0) else {
      let words = String(decoding: result.stderr.prefix(2000), as: UTF8.self)
      throw Failure("\(program) \(arguments.joined(separator: " ")) failed (\(result.status)): \(words)")
    }
    return result.stdout
  }
}
