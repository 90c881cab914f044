import ArgumentParser
import Glibc
import LinuxSystem
import PodNetwork
import Synchronization

/// The other servers of this machine, and what is left for one more.
struct Neighbours {
  let claims: MachineClaims

  init(claims: MachineClaims = MachineClaims()) { self.claims = claims }

  /// Whether nothing of a claim's owner is left: no data, no server, no process.
  static func isAbandoned(_ claim: MachineClaim) -> Bool {
    if claim.isServed { return false }
    if DirectoryMark.read(DataDirectory(path: claim.directory))?.identity == claim.identity { return false }
    guard let layout = try? CgroupLayout.current() else { return false }
    return Cgroup(layout, path: claim.cgroup).processes().isEmpty
  }

  /// Why a server cannot have what another one has, and what to do instead.
  func explain(_ error: MachineClaimError, data: DataDirectory) -> Failure {
    let owner = error.owner
    let data1 = owner.directory
    let hint: String
    if owner.isServed {
      hint = "It is left as it is. Use that one, or start this one beside it:\n  \(besides(data))"
    } else if access(data1, F_OK) == 0 {
      hint = """
        Its containers may run on, and use them. Start that one: apus up --data \(data1)
        or remove it with all its containers and data: apus down --purge --data \(data1)
        or start this one beside it:
          \(besides(data))
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
  func explain(port: Int, option: String, data: DataDirectory) -> Failure? {
    guard let holder = TCPListeners.process(on: port, otherThan: getpid()) else { return nil }
    if let owner = claims.all().first(where: { $0.processID == holder.processID && $0.isServed }) {
      return Failure(
        """
        port \(port) is taken by the Apus server of \(owner.directory) (process \(holder.processID)), which is left as it is.
        Use that one, or start this one beside it:
          \(besides(data))
        """)
    }
    let free = Self.freePort(from: port + 1)
    let other = option == "--registry" ? "--registry 127.0.0.1:\(free), or --registry none" : "\(option) \(free)"
    return Failure(
      "port \(port) is taken by process \(holder.processID) (\(holder.name)): stop it, or give another port: \(other)")
  }

  /// A command that starts one more server, with what nobody has.
  func besides(_ data: DataDirectory) -> String {
    let others = claims.all()
    for number in 1..<100 {
      let candidate = MachineClaim(
        directory: data.path, identity: "", processID: 0, processStart: 0,
        networkNamespace: (try? MachineClaims.networkNamespace()) ?? "", bridge: "apus\(number)",
        podRange: "10.\(244 - number).0.0/24", serviceRange: "10.\(96 - number % 96).0.0/16", cgroup: "",
        runDirectory: "")
      let isFree = others.allSatisfy { $0.directory == data.path || candidate.overlap(with: $0).isEmpty }
      guard isFree, if_nametoindex(candidate.bridge) == 0 else { continue }
      return "apus up --data \(data.path) --port \(Self.freePort(from: 6443 + 1000 * number))"
        + " --registry 127.0.0.1:\(Self.freePort(from: 5000 + number)) --bridge \(candidate.bridge)"
        + " --pod-range \(candidate.podRange) --service-range \(candidate.serviceRange)"
    }
    return "apus up --data \(data.path) with --port, --registry, --bridge, --pod-range and --service-range of its own"
  }

  static func freePort(from first: Int) -> Int {
    let taken = TCPListeners.ports()
    return (first...65535).first { !taken.contains($0) } ?? first
  }
}

/// What this server has taken of the machine, from before it touches anything.
final class MachineHolding: Sendable {
  private let data: DataDirectory
  private let inherited: Set<String>
  private let isNew: Bool
  private let touched = Mutex(false)

  /// - Throws: naming the server that has some of it, and what to do instead.
  init(mark: DirectoryMark, data: DataDirectory, network: PodNetworkConfiguration) throws {
    self.data = data
    let neighbours = Neighbours()
    let claim = MachineClaim(
      directory: data.path, identity: mark.identity, processID: getpid(),
      processStart: ProcessWatch.startTime(of: getpid()) ?? 0,
      networkNamespace: try MachineClaims.networkNamespace(), bridge: network.bridgeName, podRange: network.podCIDR,
      serviceRange: network.serviceCIDR, cgroup: "/\(data.cgroup)", runDirectory: data.runtime)
    do {
      (isNew, inherited) = try neighbours.claims.take(claim, isAbandoned: Neighbours.isAbandoned)
    } catch let error as MachineClaimError {
      throw neighbours.explain(error, data: data)
    }
  }

  /// Whether the network has been touched, or may have been by an earlier server.
  var isTouched: Bool { !isNew || touched.withLock { $0 } }

  /// Throws unless the bridge can be this server's. From here on the network is touched.
  func checkBridge(_ network: PodNetworkConfiguration) async throws {
    let isRecorded = ServerRecord.read(data.serverRecord)?.bridgeName == network.bridgeName
    try await PodNetwork.checkBridge(configuration: network, inherited: inherited, isRecorded: isRecorded)
    touched.withLock { $0 = true }
  }

  /// For a start that failed before anything was touched: the claim would only be in others' way.
  func giveBack() {
    guard isNew else { return }
    try? MachineClaims().release(data.path)
  }
}
