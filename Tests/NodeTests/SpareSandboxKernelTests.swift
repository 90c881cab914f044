import Glibc
import LinuxSystem
import Synchronization
import Testing
import Wire

@testable import Containers
@testable import Node

extension KernelTests {
  @Suite("Spare sandboxes") struct SpareSandboxKernelTests {}
}

extension KernelTests.SpareSandboxKernelTests {
  private func spares(_ harness: RuntimeHarness) -> [SandboxRecord] {
    harness.runtime.state.withLock { $0.spares.records + $0.spares.unchecked }
  }

  private func fill(_ harness: RuntimeHarness) async throws { while try await harness.runtime.makeSpare() {} }

  @Test func eachIsGivenToOnePod() async throws {
    try await RuntimeHarness.run(spares: 2) { harness in
      try await fill(harness)
      let waiting = spares(harness)
      #expect(waiting.count == 2)
      // They are no pod's, and not told as one's.
      #expect(try await harness.runtime.sandboxes().isEmpty)
      let made = [try await harness.sandbox("s1"), try await harness.sandbox("s2"), try await harness.sandbox("s3")]
      #expect(made.prefix(2).map(\.ips) == waiting.map(\.ips))
      #expect(Set(made.flatMap(\.ips)).count == 3)
      for uid in ["s1", "s2", "s3"] { try await harness.runtime.checkNetwork(uid) }
      let id = try await harness.container("s1", ["sh", "-c", "hostname; cat /etc/hosts; ls /sys/class/net"])
      try await harness.runtime.startContainer(id)
      #expect(await harness.exit(of: id)?.exitCode == 0)
      let log = try await harness.log(id)
      #expect(log.contains(" F pod-s1\n") && log.contains("\(made[0].ips[0])\tpod-s1\n") && log.contains(" F eth0\n"))

      try await harness.restart()
      #expect(try await harness.runtime.sandboxes() == made)
      #expect(spares(harness).isEmpty)
      try await harness.runtime.removeSandbox("s1")
      #expect(try !harness.reservations().contains(made[0].ips[0]))
    }
  }

  @Test func manyPodsAtATimeGetOneEach() async throws {
    try await RuntimeHarness.run(spares: 3) { harness in
      try await fill(harness)
      let runtime = harness.runtime
      let specs = (0..<6).map { harness.specs("m\($0)").0 }
      let addresses = try await withThrowingTaskGroup(of: String?.self) { group in
        for spec in specs { group.addTask { try await runtime.createSandbox(spec).ips.first } }
        return try await group.reduce(into: Set<String?>()) { $0.insert($1) }
      }
      #expect(addresses.count == 6 && !addresses.contains(nil))
    }
  }

  @Test func podsThatWantMoreGetTheirOwn() async throws {
    try await RuntimeHarness.run(spares: 1) { harness in
      try await fill(harness)
      let special = [
        try await harness.sandbox("t1") { $0.sysctls = ["net.ipv4.ip_unprivileged_port_start": "80"] },
        try await harness.sandbox("t2") { $0.hostIPC = true },
        try await harness.sandbox("t3") {
          $0.portMappings = [PortMapping(hostPort: 1, containerPort: 1, transport: "tcp")]
        },
      ]
      for sandbox in special { #expect(sandbox.networkNamespacePath?.hasSuffix("/\(sandbox.podUID)/net") == true) }
      #expect(try await harness.sandbox("t4") { $0.hostNetwork = true }.ips.isEmpty)
      #expect(spares(harness).count == 1)
    }
  }

  @Test func theyOutliveTheServerButNotTheirNetwork() async throws {
    try await RuntimeHarness.run(spares: 2) { harness in
      try await fill(harness)
      let before = spares(harness)
      try await harness.restart()
      #expect(Set(spares(harness).map(\.networkID)) == Set(before.map(\.networkID)))
      try await fill(harness)
      #expect(
        harness.runtime.state.withLock { Set($0.spares.records.map(\.networkID)) } == Set(before.map(\.networkID)))
      let path = "\(harness.base)/cni/10-test.conflist"
      let text = String(decoding: try DurableFile.read(path, limit: 4096), as: UTF8.self)
      try DurableFile.write(
        Array(text.replacing("\"isGateway\":true", with: "\"isGateway\":true,\"mtu\":1400").utf8), to: path)
      let pod = try await harness.sandbox("u1")
      #expect(!before.flatMap(\.ips).contains(pod.ips[0]))
      try await fill(harness)
      #expect(Set(spares(harness).map(\.networkID)).isDisjoint(with: before.map(\.networkID)))
      #expect(try harness.reservations().count == 3)
    }
  }

  /// A pod goes before what only waits.
  @Test func podsGetTheLastAddresses() async throws {
    // Five addresses beside the bridge's own.
    try await RuntimeHarness.run(spares: 3, range: "10.213.7.0/29") { harness in
      try await fill(harness)
      var addresses: Set<String> = []
      for number in 1...5 {
        addresses.insert(
          try await harness.sandbox("v\(number)") { $0.sysctls = ["net.ipv4.ip_unprivileged_port_start": "80"] }.ips[0])
      }
      #expect(addresses.count == 5)
      try await fill(harness)
      #expect(spares(harness).isEmpty)
      await #expect(throws: RuntimeError.self) { _ = try await harness.sandbox("v6") }
    }
  }

  /// Where a server can die, and what can happen to the files meanwhile.
  enum Interruption: String, CaseIterable, Sendable {
    case halfMade, withoutNamespaces, tornRecord, noFolder, reboot, movedOnly, movedOnlyAndReboot
  }

  @Test(arguments: Interruption.allCases) func nothingIsGivenTwiceOrLost(_ interruption: Interruption) async throws {
    try await RuntimeHarness.run(spares: 1) { harness in
      try await fill(harness)
      let record = try #require(spares(harness).first)
      let folder = harness.runtime.sandboxFolder(record.podUID)
      let reboots = [.reboot, .movedOnlyAndReboot].contains(interruption)
      if !reboots { harness.crash() }
      switch interruption {
      case .halfMade:
        var half = record
        half.isComplete = false
        try harness.runtime.save(half)
      case .withoutNamespaces: try await Namespaces.remove(folder: harness.runtime.namespaceFolder(record.networkID))
      case .tornRecord: try RuntimeFiles.write([0, 0, 0, 0], to: "\(folder)/record.json")
      case .noFolder: try Directory.removeTree(folder)
      case .reboot: break
      case .movedOnly, .movedOnlyAndReboot:
        if reboots { harness.runtime.state.withLock { $0.spares = SparePool() } }
        #expect(rename(folder, harness.runtime.sandboxFolder("w1")) == 0)
      }
      if reboots { try await harness.reboot() } else { try await harness.restart() }
      #expect(spares(harness).isEmpty)
      // As the node does it.
      for sandbox in try await harness.runtime.sandboxes() {
        #expect(sandbox.podUID == "w1" && !sandbox.isReady)
        try await harness.runtime.removeSandbox(sandbox.podUID)
      }
      #expect(try harness.reservations().isEmpty)
      #expect(try Directory.list("\(harness.configuration.runDirectory)/ns").isEmpty)
      #expect(try Directory.list("\(harness.base)/state/sandboxes").isEmpty)
      #expect(try await harness.sandbox("w1").isReady)
    }
  }

  /// Whatever became of its network while no server ran.
  @Test func whatHasLostItsNetworkIsGivenToNobody() async throws {
    try await RuntimeHarness.run(spares: 1) { harness in
      try await fill(harness)
      let record = try #require(spares(harness).first)
      harness.crash()
      try await harness.runtime.detach(record)
      try await harness.restart()
      #expect(try await harness.sandbox("y1").networkNamespacePath?.contains(record.networkID) == false)
      try await fill(harness)
      #expect(spares(harness).map(\.networkID) != [record.networkID] && spares(harness).count == 1)
      #expect(try harness.reservations().count == 2)
    }
  }

  /// A server that dies while it gives one back: its address may be another's by now.
  @Test func aRemovalThatWasBrokenOffIsGoneOnWith() async throws {
    try await RuntimeHarness.run(spares: 1) { harness in
      try await fill(harness)
      let record = try #require(spares(harness).first)
      harness.crash()
      try await harness.runtime.unmake(record)
      try await harness.restart()
      #expect(spares(harness).isEmpty)
      #expect(try harness.reservations().isEmpty)
    }
  }

  /// An orderly end leaves nothing in the run folder that would tell of pods.
  @Test func withoutPodsNothingStays() async throws {
    try await RuntimeHarness.run(spares: 2) { harness in
      let runtime = harness.runtime
      let service = Task { try await SpareSandboxes(runtime).run() }
      while spares(harness).count < 2 { await Task.yield() }
      service.cancel()
      _ = try? await service.value
      let left = try Directory.list("\(harness.configuration.runDirectory)/ns") + harness.reservations()
      #expect(left.isEmpty)
    }
  }

  @Test func podsGoBeforeThem() async throws {
    try await RuntimeHarness.run(spares: 1) { harness in
      harness.runtime.beginStart()
      let meanwhile = try await harness.runtime.makeSpare()
      harness.runtime.endStart()
      let afterwards = try await harness.runtime.makeSpare()
      #expect(!meanwhile && afterwards)
    }
  }

  /// The service: it fills the pool, and fills it again when pods have taken from it.
  @Test func thePoolIsFilledAgain() async throws {
    try await RuntimeHarness.run(spares: 2) { harness in
      let runtime = harness.runtime
      let service = Task { try await SpareSandboxes(runtime).run() }
      func isFull() async { while spares(harness).count < 2 { await Task.yield() } }
      await isFull()
      let first = Set(spares(harness).map(\.networkID))
      _ = try await harness.sandbox("x1")
      await isFull()
      #expect(Set(spares(harness).map(\.networkID)).intersection(first).count == 1)
      // With a pod they stay.
      service.cancel()
      _ = try? await service.value
      #expect(spares(harness).count == 2)
    }
  }
}
