import ControllerKit
import Glibc
import LinuxSystem
import Testing

@testable import apus

@Suite struct DoctorTests {
  private typealias Finding = MachineCheck.Finding

  private func findings(_ data: DataDirectory, port: Int = 0) async -> [String: MachineCheck.Finding] {
    let examined = Examination(data: data, roles: [.server], wanted: ["tree": "oak"], port: port)
    return Dictionary(await examined.run().map { ($0.name, $0.finding) }) { first, _ in first }
  }

  private func isOK(_ finding: MachineCheck.Finding?) -> Bool { if case .ok = finding { true } else { false } }

  private func problem(_ finding: MachineCheck.Finding?) -> (what: String, remedy: String)? {
    if case .problem(let what, let remedy) = finding { (what, remedy) } else { nil }
  }

  @Test func aNewDirectoryOfAMachineIsFit() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    let found = await findings(machine.data([Birds().capability]))
    for name in ["data directory", "folders", "server", "other servers", "leftovers"] {
      #expect(isOK(found[name]), "\(name): \(String(describing: found[name]))")
    }
    // The capability's own questions.
    #expect(found["feathers"] == .warning("there are none", remedy: "wait until spring"))
    #expect(problem(found["no-such-program"])?.remedy == "apt-get install nothing")
    #expect(access(machine.base + "/data", F_OK) != 0, "it changes nothing")
  }

  @Test func foldersThatAreOpenAreTold() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    let data = machine.data([Birds().capability])
    _ = try DirectoryMark.take(data)
    try Directory.create(data.path + "/birds", mode: 0o700)
    #expect(isOK(await findings(data)["folders"]))
    chmod(data.path + "/birds", 0o750)
    #expect(problem(await findings(data)["folders"])?.what.contains("\(data.path)/birds") == true)
    chmod(data.path, 0o777)
    #expect(problem(await findings(data)["data directory"])?.what.contains("mode 777") == true)
  }

  @Test func foreignFilesAreTold() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    let data = machine.data([Birds().capability])
    try Directory.create(data.path)
    try DurableFile.write([], to: data.path + "/letter.txt")
    #expect(problem(await findings(data)["data directory"])?.what.contains("letter.txt") == true)
  }

  @Test func aTakenPortIsTold() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(fd) }
    var address = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        #expect(bind(fd, $0, length) == 0 && listen(fd, 1) == 0 && getsockname(fd, $0, &length) == 0)
      }
    }
    let port = Int(UInt16(bigEndian: address.sin_port))
    let found = problem(await findings(machine.data([Birds().capability]), port: port)["port \(port)"])
    #expect(found?.what.contains("process \(getpid())") == true && found?.remedy.contains("--tree tree1") == true)
  }

  @Test func anotherServersThingsAndLostDataAreTold() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    let data = machine.data([Birds().capability])
    // A server of another directory, which runs: this very process.
    let other = MachineClaim(
      directory: machine.base + "/other", identity: "1", processID: getpid(),
      processStart: try #require(ProcessWatch.startTime(of: getpid())),
      networkNamespace: try MachineClaims.networkNamespace(), things: [.init(.name, "tree", "oak")], cgroup: "/other",
      runDirectory: "/other")
    _ = try data.claims.take(other) { _ in false }
    #expect(problem(await findings(data)["other servers"])?.what.contains("the tree oak") == true)
    #expect(isOK(await findings(data)["leftovers"]))
    // It has ended, and its directory is gone.
    var gone = other
    gone.processStart += 1
    _ = try data.claims.take(gone) { _ in false }
    #expect(isOK(await findings(data)["other servers"]))
    #expect(
      await findings(data)["leftovers"]
        == .warning(
          "the data directory \(machine.base)/other is gone, and what its server had on this machine may still be there",
          remedy: "apus down --purge --data \(machine.base)/other"))
  }

  @Test func routesIntoARangeAreTold() {
    let listing = """
      [{"dst":"default","gateway":"10.0.0.1","dev":"eth0"},{"dst":"10.244.0.0/24","dev":"apus0"},
      {"type":"blackhole","dst":"10.244.0.0/24","metric":4096},{"dst":"10.244.0.128/25","dev":"tun0"},
      {"dst":"10.244.0.9","dev":"tun1"},{"dst":"10.245.0.0/24","dev":"tun2"},{"dst":"fd00::/8","dev":"tun3"}]
      """
    let found = Examination.routes(Array(listing.utf8), into: "10.244.0.0/24", otherThan: ["apus0"])
    #expect(found == ["10.244.0.128/25", "10.244.0.9"])
    for damage in ["", "{}", "[[]]", "[{\"dst\":1}]"] {
      #expect(Examination.routes(Array(damage.utf8), into: "10.244.0.0/24", otherThan: []).isEmpty)
    }
  }

  @Test func limits() {
    #expect(isOK(Examination.kernel("6.1.0-18-amd64")) && isOK(Examination.kernel("5.6.0")))
    #expect(problem(Examination.kernel("5.4.0-150")) != nil && problem(Examination.kernel("4.19.0")) != nil)
    #expect(!isOK(Examination.kernel("strange")))
    #expect(isOK(MachineCheck.diskSpace(free: 8 << 30, nodes: 1_000_000, at: "/")))
    #expect(problem(MachineCheck.diskSpace(free: 1 << 20, nodes: 1_000_000, at: "/")) != nil)
    #expect(problem(MachineCheck.diskSpace(free: 8 << 30, nodes: 10, at: "/")) != nil)
    if case .warning = MachineCheck.diskSpace(free: 512 << 20, nodes: 1_000_000, at: "/") {
    } else {
      Issue.record("little room is worth a word")
    }
  }
}
