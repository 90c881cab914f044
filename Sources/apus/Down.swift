import ArgumentParser
import CLinux
import Glibc
import LinuxSystem
import Node
import PodNetwork
import Store
import Wire

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
        return
      }
      try await Purge(data: data, record: record, plan: plan).run()
    }
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

/// Takes a data directory's containers, network, mounts, cgroups and files away.
struct Purge {
  let data: DataDirectory
  let record: ServerRecord?
  let plan: PurgePlan

  func run() async throws {
    // Held to the end: no server may start on what is being removed.
    let lock = try data.lock()
    let mark = try plan.mark(data)
    defer { withExtendedLifetime(lock) {} }

    let runtime = try await CrunRuntime.open(
      Up.Platform.runtimeConfiguration(record?.runtime ?? "crun", data: data), time: SystemClock())
    let podUIDs = Set(try await runtime.sandboxes().map(\.podUID) + runtime.containers().map(\.podUID))
    if !podUIDs.isEmpty { Terminal.note("removing \(podUIDs.count) pods") }
    try await NodeAgent.removeLazyImages(store: data.images, runDirectory: data.runtime)
    // Before its cgroup goes.
    try await NameServerProcess.stop(stateDirectory: data.network, cgroup: data.nameServerCgroup)
    try await runtime.removeEverything()
    let network = try await plan.network(of: data, record: record, mark: mark)
    if let network { try await PodNetwork.cleanup(configuration: network) }
    try Mount.unmountTree(data.runtime)
    try Directory.removeTree(data.runtime)
    let kept = try plan.removeFiles(of: data, mark: mark)
    try MachineClaims().release(data.path)
    if kept.isEmpty, let link = data.link { unlink(link) }

    let left = try await leftovers(network)
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
  private func leftovers(_ network: PodNetworkConfiguration?) async throws -> [String] {
    var left = try MountInfo.current().filter {
      plan.isOurs(mount: $0.mountPoint, of: data) || $0.isAtOrBelow(data.runtime)
    }.map { "mount \($0.mountPoint)" }
    for hierarchy in try CgroupLayout.current().mountPoints {
      let path = "\(hierarchy)/\(data.cgroup)"
      if access(path, F_OK) == 0 { left.append("cgroup \(path)") }
    }
    for path in [data.runtime, data.mark] where access(path, F_OK) == 0 { left.append(path) }
    if let network { left += try await PodNetwork.leftovers(configuration: network) }
    return left
  }
}
