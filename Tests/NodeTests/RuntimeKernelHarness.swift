import Glibc
import KubeClient
import LinuxSystem
import NIOCore
import Synchronization
import Testing
import Wire

@testable import Containers
@testable import Node

/// Whether tests that make containers may run: as root, in a network and mount namespace of their own.
let kernelTestsAreEnabled = getenv("APUS_KERNEL_TESTS").map { String(cString: $0) } == "1"

/// Every test that makes containers. One after the other: they share a network namespace and the range of addresses.
@Suite("On real containers", .serialized, .enabled(if: kernelTestsAreEnabled), .timeLimit(.minutes(1)))
enum KernelTests {}

/// A runtime in a folder of its own, with a busybox image and a bridge network.
final class RuntimeHarness {
  let base: String
  let configuration: CrunRuntime.Configuration
  private let bridge: String
  private(set) var runtime: CrunRuntime
  private var number = 0

  /// Runs a test with a machine of its own, removes everything also when the test fails, and expects nothing left.
  static func run(
    hangingEngine: Bool = false, spares: Int = 0, range: String = "10.213.7.0/24",
    _ test: (RuntimeHarness) async throws -> Void
  ) async throws {
    let harness = try await RuntimeHarness(hangingEngine: hangingEngine, spares: spares, range: range)
    do { try await test(harness) } catch { Issue.record(error) }
    #expect(try await harness.close() == [])
  }

  private init(hangingEngine: Bool, spares: Int, range: String) async throws {
    var template = Array("/tmp/apus-kernel-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp") }
    base = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let name = String(base.suffix(6))
    bridge = "ap\(name)"
    var configuration = CrunRuntime.Configuration(
      stateDirectory: "\(base)/state", runDirectory: "/run/apus-test/\(name)",
      networkConfigurationDirectory: "\(base)/cni")
    configuration.cgroupRoot = "apus-test-\(name)"
    configuration.spareSandboxesMax = spares
    if let engine = getenv("APUS_TEST_ENGINE") { configuration.runtimePath = String(cString: engine) }
    if hangingEngine {
      // An engine that waits for ever in `create` while a file is there.
      let script = """
        #!/bin/sh
        case "$*" in *create*) [ -e \(base)/hang ] && sleep 1000;; esac
        exec \(configuration.runtimePath) "$@"
        """
      configuration.runtimePath = "\(base)/crun"
      configuration.engineTimeout = .seconds(3)
      try DurableFile.write(Array(script.utf8), to: configuration.runtimePath, mode: 0o755)
    }
    self.configuration = configuration
    for folder in ["layer/bin", "layer/etc", "layer/tmp", "layer/proc", "layer/sys", "layer/dev", "cni"] {
      try Directory.create("\(base)/\(folder)")
    }
    try DurableFile.write(
      DurableFile.read("/bin/busybox", limit: 16 << 20), to: "\(base)/layer/bin/busybox", mode: 0o755)
    chmod("\(base)/layer/tmp", 0o1777)
    for link in [
      "sh", "cat", "echo", "sleep", "id", "stty", "tail", "grep", "nc", "hostname", "ls", "kill", "touch", "mount",
      "wc",
    ] {
      symlink("busybox", "\(base)/layer/bin/\(link)")
    }
    try DurableFile.write(
      Array("root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/:/bin/sh\n".utf8), to: "\(base)/layer/etc/passwd")
    try DurableFile.write(
      Array("root:x:0:\nweb:x:1001:\nstaff:x:50:web\n".utf8), to: "\(base)/layer/etc/group")
    let network = """
      {"cniVersion":"1.0.0","name":"apus-\(name)","plugins":[{"type":"bridge","bridge":"\(bridge)","isGateway":true,
      "ipam":{"type":"host-local","dataDir":"\(base)/ipam","ranges":[[{"subnet":"\(range)"}]]}}]}
      """
    try DurableFile.write(Array(network.utf8), to: "\(base)/cni/10-test.conflist")
    runtime = try await CrunRuntime.open(configuration, time: SystemClock())
  }

  /// As a server that was killed and started again.
  func restart() async throws { runtime = try await CrunRuntime.open(configuration, time: SystemClock()) }

  /// As a server that was killed: from here on nobody here notes anything, until `restart`.
  func crash() { runtime.state.withLock { $0 = CrunRuntime.State() } }

  /// Ends every process, takes the mounts and the run folder away, and starts with records of another boot.
  func reboot() async throws {
    for record in runtime.state.withLock({ Array($0.containers.values) }) {
      for process in [record.monitor, record.process].compactMap({ $0 }) { kill(process.pid, SIGKILL) }
      for process in [record.monitor, record.process].compactMap({ $0 }) {
        try await ProcessWatch.open(pid: process.pid, startTime: process.startTime)?.ready(.readable)
      }
      // The first runtime sees the end as well, and must not note it: after a real reboot it is not there.
      var old = record
      old.bootID = "another"
      try runtime.saving.withLock { _ in
        runtime.state.withLock { _ = $0.containers.removeValue(forKey: record.id) }
        unlink("\(runtime.containerFolder(record.id))/exits/\(record.id)")
        try RuntimeFiles.write(old.json.serialized(), to: "\(runtime.containerFolder(record.id))/record.json")
      }
    }
    for record in runtime.state.withLock({ Array($0.sandboxes.values) + $0.spares.records }) {
      var old = record
      old.bootID = "another"
      try runtime.save(old)
    }
    try Mount.unmountTree(configuration.runDirectory)
    try Directory.removeTree(configuration.runDirectory)
    try Mount.unmountTree("\(base)/state")
    try await restart()
  }

  /// Sets a container's record back to where it was before its monitor was started.
  func forget(_ id: String) async throws {
    var record = try runtime.record(id)
    record.phase = .creating
    record.process = nil
    record.monitor = nil
    try RuntimeFiles.write(record.json.serialized(), to: "\(runtime.containerFolder(id))/record.json")
  }

  func hang(_ on: Bool) throws {
    if on { try DurableFile.write([], to: "\(base)/hang") } else { unlink("\(base)/hang") }
  }

  func specs(_ uid: String, _ arguments: [String] = ["sleep", "1000"]) -> (SandboxSpec, ContainerSpec) {
    number += 1
    var sandbox = SandboxSpec(
      podUID: uid, name: "pod-\(uid)", namespace: "default", hostname: "pod-\(uid)",
      cgroupParent: "besteffort/pod\(uid)")
    sandbox.dns = ResolverConfiguration(
      nameservers: ["10.213.7.1"], searches: ["default.svc.cluster.local"], options: ["ndots:5"])
    let container = ContainerSpec(
      podUID: uid, podName: "pod-\(uid)", podNamespace: "default", name: "main", attempt: 0, image: "busybox",
      imageID: "sha256:0", lowerDirectories: ["\(base)/layer"], arguments: arguments, environment: ["GREETING=hello"],
      logPath: "\(base)/logs/\(uid)/\(number).log")
    return (sandbox, container)
  }

  func sandbox(_ uid: String, _ change: (inout SandboxSpec) -> Void = { _ in }) async throws -> Sandbox {
    var spec = specs(uid).0
    change(&spec)
    return try await runtime.createSandbox(spec)
  }

  func container(
    _ uid: String, _ arguments: [String], _ change: (inout ContainerSpec) -> Void = { _ in }
  ) async throws -> String {
    var spec = specs(uid, arguments).1
    change(&spec)
    return try await runtime.createContainer(spec).id
  }

  func log(_ id: String) async throws -> String {
    let state = try await state(id)
    return String(decoding: try DurableFile.read(state.logPath, limit: 1 << 20), as: UTF8.self)
  }

  func state(_ id: String) async throws -> ContainerState {
    try #require(try await runtime.containers().first { $0.id == id })
  }

  func exit(of id: String) async -> RuntimeEvent? {
    for await event in runtime.events() where event.containerID == id { return event }
    return nil
  }

  /// The addresses that the network plugin has given out.
  func reservations() throws -> [String] {
    try Directory.list("\(base)/ipam/apus-\(base.suffix(6))").filter { $0.hasPrefix("10.") }.sorted()
  }

  /// Removes everything and says what is still there.
  private func close() async throws -> [String] {
    try await runtime.removeEverything()
    var left: [String] = []
    // The plugin leaves its bridge, and the next test's would have the same range.
    if if_nametoindex(bridge) != 0 {
      let removed = try await Subprocess.run("/bin/ip", ["link", "delete", bridge])
      if !removed.status.isSuccess { left.append("bridge: \(removed.message)") }
    }
    for mount in try MountInfo.current()
    where mount.mountPoint.contains(base) || mount.mountPoint.hasPrefix(configuration.runDirectory) {
      left.append("mount \(mount.mountPoint)")
    }
    for root in runtime.cgroups.mountPoints where access("\(root)/\(configuration.cgroupRoot)", F_OK) == 0 {
      left.append("cgroup \(root)/\(configuration.cgroupRoot)")
    }
    for folder in ["containers", "sandboxes"] {
      left += try Directory.list("\(base)/state/\(folder)").map { "\(folder)/\($0)" }
    }
    if access(configuration.runDirectory, F_OK) == 0 { left.append(configuration.runDirectory) }
    left += (try? Directory.list("\(base)/ipam/apus-\(base.suffix(6))"))?.filter { $0.hasPrefix("10.") } ?? []
    try Directory.removeTree(base)
    return left
  }
}

/// Everything that a process says, and its exit code.
func collect(_ stream: any ProcessStream) async throws -> (stdout: String, stderr: String, code: Int32?) {
  var out: [UInt8] = []
  var err: [UInt8] = []
  var code: Int32?
  for try await part in stream.output {
    switch part {
    case .stdout(let bytes): out += bytes.readableBytesView
    case .stderr(let bytes): err += bytes.readableBytesView
    case .exited(let status): code = status
    }
  }
  return (String(decoding: out, as: UTF8.self), String(decoding: err, as: UTF8.self), code)
}
