import ArgumentParser
import ControllerKit
import Glibc
import LinuxSystem
import Synchronization

/// The other servers of this machine, and what is left for one more.
struct Neighbours {
  let data: DataDirectory

  /// Whether nothing of a claim's owner is left: no data, no server, no process.
  static func isAbandoned(_ claim: MachineClaim) -> Bool {
    if claim.isServed { return false }
    if DirectoryMark.read(DataDirectory(path: claim.directory))?.identity == claim.identity { return false }
    guard let layout = try? CgroupLayout.current() else { return false }
    return Cgroup(layout, path: claim.cgroup).processes().isEmpty
  }

  /// Why a server cannot have what another one has, and what to do instead.
  func explain(_ error: MachineClaimError) -> Failure {
    let owner = error.owner
    let data1 = owner.directory
    let hint: String
    if owner.isServed {
      hint = "It is left as it is. Use that one, or start this one beside it:\n  \(beside())"
    } else if access(data1, F_OK) == 0 {
      hint = """
        Its containers may run on, and use them. Start that one: apus up --data \(data1)
        or remove it with all its containers and data: apus down --purge --data \(data1)
        or start this one beside it:
          \(beside())
        """
    } else {
      hint = """
        Its data directory is gone, and processes of it still run (cgroup \(owner.cgroup)).
        End them: apus down --purge --data \(data1)
        """
    }
    return Failure("\(error).\n\(hint)", code: .dataInUse)
  }

  /// Why a port cannot be listened on; `nil` when nobody listens there.
  ///
  /// - Parameter instead: options that use another port.
  func explain(port: Int, instead: (Int) -> String) -> Failure? {
    let holders = TCPListeners.processes(on: port).filter { $0.processID != getpid() }
    let server = holders.first { $0.processID != 1 || $0.name != "systemd" }
    guard let holder = server ?? holders.first else { return nil }
    let owner = data.claims.all().first { claim in
      claim.isServed && holders.contains { $0.processID == claim.processID }
    }
    if let owner {
      return Failure(
        """
        port \(port) is taken by the Apus server of \(owner.directory) (process \(owner.processID)), which is left as it is.
        Use that one, or start this one beside it:
          \(beside())
        """)
    }
    let other = instead(Self.freePort(from: port + 1))
    // A service manager waits there for a service's first connection.
    let remedy =
      server == nil
      ? "stop its socket unit (systemctl list-sockets) or start the service of that unit" : "stop it"
    return Failure(
      "port \(port) is taken by process \(holder.processID) (\(holder.name)): \(remedy), or give another port: \(other)"
    )
  }

  /// A command that starts one more server, with what nobody has.
  func beside() -> String {
    let others = data.claims.all()
    for number in 1..<100 {
      let options = data.capabilities.flatMap { $0.optionsBeside(number) }
      let candidate = MachineClaim(
        directory: data.path, identity: "", processID: 0, processStart: 0,
        networkNamespace: (try? MachineClaims.networkNamespace()) ?? "", things: options.compactMap(\.claim),
        cgroup: "",
        runDirectory: "")
      let isFree =
        others.allSatisfy { $0.directory == data.path || candidate.overlap(with: $0).isEmpty }
        && !candidate.things.contains { $0.kind == .name && if_nametoindex($0.value) != 0 }
      guard isFree else { continue }
      return
        (["apus up --data \(data.path) --port \(Self.freePort(from: 6443 + 1000 * number))"]
        + options.map { "\($0.option) \($0.value)" }).joined(separator: " ")
    }
    let names = data.capabilities.flatMap { $0.optionsBeside(1) }.map(\.option)
    return "apus up --data \(data.path) with \((["--port"] + names).joined(separator: ", ")) of its own"
  }

  static func freePort(from first: Int) -> Int {
    let taken = TCPListeners.ports()
    return (first...65535).first { !taken.contains($0) } ?? first
  }
}

/// A port that cannot be listened on.
struct PortTaken: Error {
  var port: Int
  /// Options that use another port.
  var instead: @Sendable (Int) -> String
  /// What is said when nobody is seen on the port.
  var otherwise: String
}

/// What this server has taken of the machine, from before it touches anything.
final class MachineHolding: Sendable {
  /// Other owners whose things are this one's now.
  let inherited: Set<String>
  private let data: DataDirectory
  private let isNew: Bool
  private let touched = Mutex(false)

  /// - Parameter settings: those with which the server starts.
  /// - Throws: naming the server that has some of it, and what to do instead.
  init(mark: DirectoryMark, data: DataDirectory, settings: CapabilitySettings) throws {
    self.data = data
    let earlier = data.claims.claim(of: data.path)
    // What an earlier server of this owner has may still be there: only a purge or a reboot takes it away.
    let known = earlier.flatMap { $0.identity == mark.identity ? $0.settings : nil } ?? [:]
    let settings = known.merging(settings) { $1 }
    let claim = MachineClaim(
      directory: data.path, identity: mark.identity, processID: getpid(),
      processStart: ProcessWatch.startTime(of: getpid()) ?? 0,
      networkNamespace: try MachineClaims.networkNamespace(),
      things: data.footprints(settings, owner: mark.identity).flatMap(\.claims), cgroup: "/\(data.cgroup)",
      runDirectory: data.runtime, settings: settings)
    do {
      (isNew, inherited) = try data.claims.take(claim, isAbandoned: Neighbours.isAbandoned)
    } catch let error as MachineClaimError {
      throw Neighbours(data: data).explain(error)
    }
  }

  /// Whether the machine has been touched, or may have been by an earlier server.
  var isTouched: Bool { !isNew || touched.withLock { $0 } }

  /// From here on things of the machine are made.
  func touch() { touched.withLock { $0 = true } }

  /// For a start that failed before anything was touched: the claim would only be in others' way.
  func giveBack() {
    guard isNew else { return }
    try? data.claims.release(data.path)
  }
}
