import Glibc
import Testing

@testable import LinuxSystem

/// The assumption that failed: that a server's things on the machine are its own because its data directory is.
@Suite struct MachineClaimTests {
  private let folder: String
  private let claims: MachineClaims

  init() {
    var template = Array("/tmp/apus-claims-XXXXXX".utf8CString)
    folder = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    claims = MachineClaims(folder: folder + "/run")
  }

  private func claim(
    _ directory: String, network: String = "4:1", bridge: String = "apus0", pods: String = "10.244.0.0/24",
    services: String = "10.96.0.0/16"
  ) -> MachineClaim {
    MachineClaim(
      directory: directory, identity: "id-" + directory.split(separator: "/").joined(separator: "-"),
      processID: 1 << 30,
      processStart: 1, networkNamespace: network,
      things: [
        .init(.name, "bridge", bridge), .init(.range, "pod range", pods), .init(.range, "service range", services),
      ], cgroup: "/apus" + directory, runDirectory: "/run/apus" + directory,
      settings: ["bridgeName": bridge, "podCIDR": pods, "serviceCIDR": services])
  }

  private func refused(_ claim: MachineClaim, isAbandoned: Bool = false) -> MachineClaimError? {
    do {
      _ = try claims.take(claim) { _ in isAbandoned }
      return nil
    } catch {
      return error as? MachineClaimError
    }
  }

  @Test func anotherOwnerIsRefusedAndNamed() throws {
    defer { try? Directory.removeTree(folder) }
    #expect(try claims.take(claim("/a"), isAbandoned: { _ in false }).isNew)
    let same = try #require(refused(claim("/b")))
    #expect(same.owner.directory == "/a")
    #expect(same.things == ["the bridge apus0", "the pod range 10.244.0.0/24", "the service range 10.96.0.0/16"])
    #expect("\(same)".contains("/a"))
    // Each of them alone, and in whatever form.
    let others = ("br1", "10.9.0.0/24", "10.8.0.0/16")
    for (bridge, pods, services) in [
      ("apus0", others.1, others.2), (others.0, "10.244.0.128/25", others.2), (others.0, "10.0.0.0/8", "11.0.0.0/16"),
      (others.0, "10.96.5.0/24", others.2), (others.0, others.1, "10.244.0.0/28"), (others.0, others.1, "0.0.0.0/0"),
      (others.0, "fd00::/64,10.244.0.7/32", others.2),
    ] {
      #expect(
        refused(claim("/b", bridge: bridge, pods: pods, services: services)) != nil, "\(bridge) \(pods) \(services)")
    }
    #expect(refused(claim("/b", bridge: others.0, pods: others.1, services: others.2)) == nil)
    // A third one meets both.
    #expect(refused(claim("/c", bridge: "br2", pods: "10.9.0.0/28", services: "10.7.0.0/16"))?.owner.directory == "/b")
  }

  @Test func theSameNamesInAnotherNetworkAreNoOthers() throws {
    defer { try? Directory.removeTree(folder) }
    _ = try claims.take(claim("/a"), isAbandoned: { _ in false })
    #expect(refused(claim("/b", network: "4:2")) == nil)
    var cgroup = claim("/c", network: "4:3")
    cgroup.cgroup = claim("/a").cgroup
    #expect(refused(cgroup)?.things == ["the cgroup /apus/a"])
  }

  @Test func theOwnerComesBackAndChangesItsMind() throws {
    defer { try? Directory.removeTree(folder) }
    _ = try claims.take(claim("/a"), isAbandoned: { _ in false })
    #expect(try !claims.take(claim("/a", pods: "10.1.0.0/24"), isAbandoned: { _ in false }).isNew)
    #expect(claims.all().map(\.things[1].value) == ["10.1.0.0/24"])
    // Another directory at the same path.
    var other = claim("/a")
    other.identity = "another"
    let taken = try claims.take(other, isAbandoned: { _ in false })
    #expect(taken.isNew && taken.inherited == ["id-a"])
    #expect(claims.all() == [other])
  }

  @Test func whatIsAbandonedIsInherited() throws {
    defer { try? Directory.removeTree(folder) }
    _ = try claims.take(claim("/a"), isAbandoned: { _ in false })
    #expect(refused(claim("/b")) != nil)
    #expect(try claims.take(claim("/b"), isAbandoned: { $0.directory == "/a" }).inherited == ["id-a"])
    #expect(claims.all().map(\.directory) == ["/b"])
    try claims.release("/a")
    #expect(claims.all().map(\.directory) == ["/b"])
    try claims.release("/b")
    try claims.release("/b")
    #expect(claims.all().isEmpty)
  }

  /// Also a name that another kind of thing has is another one, and a server without a network meets nobody.
  @Test func onlyTheSameThingIsTaken() throws {
    defer { try? Directory.removeTree(folder) }
    _ = try claims.take(claim("/a"), isAbandoned: { _ in false })
    var other = claim("/b")
    other.things = [.init(.name, "table", "apus0"), .init(.name, "pod range", "10.244.0.0/24")]
    #expect(refused(other) == nil)
    other.things = []
    #expect(refused(other) == nil)
    var third = claim("/c")
    third.things = []
    #expect(refused(third) == nil)
  }

  /// A server of an earlier version may run on: what it has stays its own.
  @Test func aClaimOfAnEarlierVersionIsRead() throws {
    defer { try? Directory.removeTree(folder) }
    let earlier = """
      {"directory":"/a","identity":"id-a","processID":1073741824,"processStart":"1","networkNamespace":"4:1",
      "bridge":"apus0","podRange":"10.244.0.0/24","serviceRange":"10.96.0.0/16","cgroup":"/apus/a",
      "runDirectory":"/run/apus/a"}
      """
    try Directory.create(folder + "/run/claims")
    try DurableFile.write(Array(earlier.utf8), to: folder + "/run/claims/id-a.json")
    #expect(claims.all() == [claim("/a")])
    #expect(refused(claim("/b"))?.things.count == 3)
  }

  @Test func aDamagedClaimStopsNobody() throws {
    defer { try? Directory.removeTree(folder) }
    _ = try claims.take(claim("/a"), isAbandoned: { _ in false })
    for damage in ["", "{", "[]", "{\"directory\": 1}"] {
      try DurableFile.write(Array(damage.utf8), to: folder + "/run/claims/id-a.json")
      #expect(claims.all().isEmpty)
    }
    #expect(try claims.take(claim("/a"), isAbandoned: { _ in false }).isNew)
  }

  @Test func nobodyElseCanOpenTheLockOrMakeClaims() throws {
    defer { try? Directory.removeTree(folder) }
    _ = try claims.take(claim("/a"), isAbandoned: { _ in false })
    var status = stat()
    for path in ["claims", "claims/id-a.json"] {
      #expect(stat("\(folder)/run/\(path)", &status) == 0 && status.st_mode & 0o077 == 0, "\(path)")
    }
  }

  /// Two that start at the same time: one gets it.
  @Test func aRaceHasOneWinner() async throws {
    defer { try? Directory.removeTree(folder) }
    let winners = await withTaskGroup(of: Bool.self) { group in
      for index in 0..<16 {
        let (claims, claim) = (claims, claim("/d\(index)"))
        group.addTask {
          await withCheckedContinuation { continuation in
            DedicatedThread.start("claim") {
              continuation.resume(returning: (try? claims.take(claim) { _ in false }) != nil)
            }
          }
        }
      }
      return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(winners == 1 && claims.all().count == 1)
  }
}

@Suite struct TCPListenerTests {
  @Test func findsThisProcess() throws {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let port = try withUnsafeMutablePointer(to: &address) { pointer in
      try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        try #require(bind(descriptor, address, length) == 0 && listen(descriptor, 1) == 0)
        try #require(getsockname(descriptor, address, &length) == 0)
      }
      return Int(UInt16(bigEndian: pointer.pointee.sin_port))
    }
    #expect(TCPListeners.ports().contains(port))
    #expect(TCPListeners.processes(on: port).map(\.processID).contains(getpid()))
  }

  @Test func readsTheKernelsTable() {
    let table = """
        sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
         0: 0100007F:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
         1: 0100007F:192B 0100007F:A001 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0
         2: garbage
      """
    let found = TCPListeners.parse(Array(table.utf8))
    #expect(found.map(\.port) == [6443] && found.map(\.inode) == [4711])
  }
}

@Suite struct CgroupMembershipTests {
  @Test func aCgroupThatIsNotThereHasNobody() async throws {
    let cgroup = Cgroup(
      CgroupLayout(mode: .v2, controllers: [:], unified: "/nonexistent"), path: "/apus-nothing/pod1/x")
    #expect(cgroup.processes().isEmpty && cgroup.descendants(levels: 3).isEmpty)
    try await cgroup.kill(deadline: .now)
    #expect(!Cgroup.isMember(getpid(), of: "/apus-nothing/pod1/x"))
  }
}
