import LinuxSystem
import Synchronization
import Testing
import Wire

@testable import ImageBuilder

final class Collected: Sendable {
  private let lines = Mutex("")
  func add(_ text: String) { lines.withLock { $0 += text } }
  var text: String { lines.withLock { $0 } }
}

@Suite struct ProgressTests {
  @Test func plainLinesAreThoseOfBuildx() {
    let collected = Collected()
    let plain = PlainProgress { collected.add($0) }
    plain.handle(.started(vertex: 1, title: "[1/2] FROM base"))
    plain.handle(.cached(vertex: 1))
    plain.handle(.started(vertex: 2, title: "[2/2] RUN make"))
    plain.handle(.output(vertex: 2, stream: .stdout, bytes: Array("one\ntw".utf8)))
    plain.handle(.output(vertex: 2, stream: .stdout, bytes: Array("o\r\n10%\r20%\n".utf8)))
    plain.handle(.failed(vertex: 2, message: "exit code: 1"))
    let lines = collected.text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    #expect(lines[0] == "#1 [1/2] FROM base")
    #expect(lines[1] == "#1 CACHED")
    #expect(lines[2] == "")
    #expect(lines[3] == "#2 [2/2] RUN make")
    #expect(lines[4].hasPrefix("#2 0.") && lines[4].hasSuffix(" one"))
    #expect(lines[5].hasSuffix(" two"))
    #expect(lines[6].hasSuffix(" 20%"))
    #expect(lines[7] == "#2 ERROR: exit code: 1")
  }

  @Test func terminalDrawsOverItself() {
    let collected = Collected()
    let terminal = TerminalProgress(hasColours: false, size: { (60, 10) }, write: { collected.add($0) })
    terminal.handle(.started(vertex: 1, title: "[1/1] RUN " + String(repeating: "x", count: 200)))
    terminal.tick()
    terminal.handle(.finished(vertex: 1))
    terminal.close()
    #expect(collected.text.contains("[+] Building"))
    #expect(collected.text.contains("\u{1B}[2A"))
    #expect(collected.text.contains("(1/1) FINISHED"))
    #expect(collected.text.split(separator: "\n").allSatisfy { $0.count <= 75 })
  }

  @Test func outputHasALimit() {
    let limit = OutputLimit(10)
    guard case .all = limit.take(8) else { return #expect(Bool(false)) }
    guard case .some(2) = limit.take(5) else { return #expect(Bool(false)) }
    guard case .none = limit.take(1) else { return #expect(Bool(false)) }
    let tail = OutputTail()
    for number in 0..<100 { tail.append(Array("line \(number)\n".utf8)) }
    #expect(tail.lines.count == 30)
    #expect(tail.lines.last == "line 99")
  }

  @Test func sizes() {
    #expect(SizeText.decimal(512) == "512B")
    #expect(SizeText.decimal(2100) == "2.10kB")
    #expect(SizeText.decimal(1_500_000) == "1.50MB")
    #expect(PlainProgress.seconds(.milliseconds(1234), digits: 1) == "1.2")
    #expect(PlainProgress.seconds(.milliseconds(1234), digits: 3) == "1.234")
  }
}

@Suite struct ContainerConfigurationTests {
  @Test func parentsAreMountedBeforeWhatIsInThem() {
    var configuration = ContainerConfiguration(
      rootPath: "/r", arguments: ["x"], environment: [], workingDirectory: "", user: .init(uid: 1, gid: 2, groups: [3]),
      cgroupPath: "/c", isCgroupV2: true, network: .none,
      mounts: [
        .init(destination: "/a/b", kind: .bind(source: "/1", isReadOnly: true)),
        .init(destination: "/a", kind: .tmpfs(options: ["size=1"])),
      ], openFilesMax: 10, availableCapabilities: CapabilitySet(mask: .max))
    let json = configuration.json
    let targets = json["mounts"]?.array?.compactMap { $0["destination"]?.string } ?? []
    #expect(targets.suffix(2) == ["/a", "/a/b"])
    #expect(json.at("process", "cwd")?.string == "/")
    #expect(json.at("process", "user", "uid")?.int == 1)
    let namespaces = json.at("linux", "namespaces")?.array?.compactMap { $0["type"]?.string } ?? []
    #expect(namespaces.contains("network") && namespaces.contains("cgroup") && namespaces.contains("pid"))
    #expect(json.at("linux", "seccomp") != nil)
    func bounding() -> [String] {
      configuration.json.at("process", "capabilities", "bounding")?.array?.compactMap(\.string) ?? []
    }
    #expect(bounding().contains("CAP_NET_RAW"))
    // The machine's network is not the step's to play with.
    configuration.network = .machine
    #expect(bounding().contains("CAP_CHOWN") && !bounding().contains { $0.hasPrefix("CAP_NET_") })
  }
}
