import Glibc
import KubeClient
import LinuxSystem
import NIOCore
import NIOPosix
import Synchronization
import Testing
import Wire

@testable import Containers
@testable import Node

extension KernelTests {
  @Suite("Runtime") struct RuntimeKernelTests {
    let terminal = TerminalOptions(stdin: true, stdout: true, stderr: false, tty: true)
    let pipes = TerminalOptions(stdin: true, stdout: true, stderr: true, tty: false)
  }
}

extension KernelTests.RuntimeKernelTests {

  @Test func runsToItsEndAndLeavesNothing() async throws {
    try await RuntimeHarness.run { harness in
      let sandbox = try await harness.sandbox("a1")
      #expect(sandbox.ips.first?.hasPrefix("10.213.7.") == true)
      let id = try await harness.container(
        "a1",
        [
          "sh", "-c",
          "echo $GREETING; cat /etc/hostname /etc/hosts; echo bad >&2; echo why >/dev/termination-log; exit 3",
        ]
      ) { $0.terminationMessagePath = "/dev/termination-log" }
      #expect(try await harness.state(id).status == .created)
      try await harness.runtime.startContainer(id)
      let event = try #require(await harness.exit(of: id))
      #expect(event.exitCode == 3 && event.signal == nil && !event.oomKilled && !event.isLost)
      let state = try await harness.state(id)
      #expect(state.status == .exited && state.exitCode == 3 && state.startedAt != nil && state.finishedAt != nil)
      let log = try await harness.log(id)
      #expect(log.contains(" stdout F hello\n") && log.contains(" stderr F bad\n") && log.contains("pod-a1"))
      let file = try #require(state.terminationMessageFile)
      #expect(try DurableFile.read(file, limit: 100) == Array("why\n".utf8))
      try await harness.runtime.removeContainer(id)
      try await harness.runtime.removeContainer(id)
      try await harness.runtime.removeSandbox("a1")
      try await harness.runtime.removeSandbox("a1")
    }
  }

  @Test func execsWithPipesAndTerminal() async throws {
    try await RuntimeHarness.run { harness in
      _ = try await harness.sandbox("b1")
      let id = try await harness.container("b1", ["sleep", "1000"])
      try await harness.runtime.startContainer(id)

      let stream = try await harness.runtime.exec(
        id, command: ["sh", "-c", "cat; echo oops >&2; exit 7"], options: pipes)
      try await stream.writeStdin(ByteBuffer(string: "through\n"))
      try await stream.closeStdin()
      let first = try await collect(stream)
      #expect(first.stdout == "through\n" && first.stderr == "oops\n" && first.code == 7)

      let shell = try await harness.runtime.exec(id, command: ["sh"], options: terminal)
      try await shell.resize(columns: 132, rows: 43)
      try await shell.writeStdin(ByteBuffer(string: "stty size; exit 5\n"))
      let second = try await collect(shell)
      #expect(second.stdout.contains("43 132") && second.code == 5)

      let probe = try await harness.runtime.execSync(
        id, command: ["echo", "ok"], timeout: .seconds(5), outputLimit: 1024)
      #expect(probe.status == .exited(0) && probe.stdout == Array("ok\n".utf8))
      await #expect(throws: RuntimeError.self) {
        _ = try await harness.runtime.execSync(
          id, command: ["sleep", "500"], timeout: .milliseconds(300), outputLimit: 10)
      }
      let missing = try await harness.runtime.execSync(
        id, command: ["nothing-here"], timeout: .seconds(5), outputLimit: 4096)
      #expect(missing.status != .exited(0) && !missing.stderr.isEmpty)

      let endless = try await harness.runtime.exec(id, command: ["sleep", "777"], options: pipes)
      await endless.close()
      #expect(try await collect(endless).code == nil)
      // At most the sleep of the container itself and the one that asks.
      let processes = try await harness.runtime.execSync(
        id, command: ["sh", "-c", "cat /proc/[0-9]*/cmdline"], timeout: .seconds(5), outputLimit: 4096)
      #expect(!String(decoding: processes.stdout, as: UTF8.self).contains("777"))
    }
  }

  @Test func attachesToTheFirstProcess() async throws {
    try await RuntimeHarness.run { harness in
      _ = try await harness.sandbox("c1")
      let id = try await harness.container("c1", ["sh", "-c", "while read line; do echo got $line; done; exit 4"]) {
        $0.stdin = true
        $0.stdinOnce = true
      }
      try await harness.runtime.startContainer(id)
      let stream = try await harness.runtime.attach(id, options: pipes)
      try await stream.writeStdin(ByteBuffer(string: "one\ntwo\n"))
      try await stream.closeStdin()
      let said = try await collect(stream)
      #expect(said.stdout == "got one\ngot two\n")
      #expect(await harness.exit(of: id)?.exitCode == 4)
    }
  }

  @Test func adoptsWhatRunsAndWhatEnded() async throws {
    try await RuntimeHarness.run { harness in
      _ = try await harness.sandbox("d1")
      let running = try await harness.container("d1", ["sleep", "1000"])
      let ending = try await harness.container("d1", ["sh", "-c", "read line; exit 9"]) {
        $0.stdin = true; $0.stdinOnce = true
      }
      let waiting = try await harness.container("d1", ["sleep", "5"])
      try await harness.runtime.startContainer(running)
      try await harness.runtime.checkNetwork("d1")
      try await harness.runtime.startContainer(ending)
      let before = try await harness.state(running)
      let stream = try await harness.runtime.attach(ending, options: pipes)
      try await stream.closeStdin()
      _ = await harness.exit(of: ending)

      try await harness.restart()
      let after = try await harness.state(running)
      #expect(after == before)
      #expect(try await harness.state(ending).exitCode == 9)
      #expect(try await harness.state(waiting).status == .created)
      let sandboxes = try await harness.runtime.sandboxes()
      #expect(sandboxes.count == 1 && sandboxes[0].isReady)
      try await harness.runtime.startContainer(waiting)
      try await harness.runtime.signal(running, SIGKILL)
      let event = try #require(await harness.exit(of: running))
      #expect(event.exitCode == 137 && event.signal == SIGKILL && !event.isLost)
    }
  }

  @Test func reportsAContainerWhoseMonitorWasKilledAsLost() async throws {
    try await RuntimeHarness.run { harness in
      _ = try await harness.sandbox("e1")
      let id = try await harness.container("e1", ["sleep", "1000"])
      try await harness.runtime.startContainer(id)
      let monitor = try #require(harness.runtime.state.withLock { $0.containers[id]?.monitor })
      let process = try #require(try await harness.state(id).pid)
      kill(monitor.pid, SIGKILL)
      let event = try #require(await harness.exit(of: id))
      #expect(event.isLost && event.exitCode == 137)
      #expect(ProcessWatch.startTime(of: process) == nil)
    }
  }

  @Test func tellsThatMemoryRanOut() async throws {
    try await RuntimeHarness.run { harness in
      _ = try await harness.sandbox("f1")
      let id = try await harness.container("f1", ["tail", "/dev/zero"]) {
        $0.resources = ContainerResources(cpuRequestMillis: 100, cpuLimitMillis: 1000, memoryLimitBytes: 16 << 20)
      }
      try await harness.runtime.startContainer(id)
      let event = try #require(await harness.exit(of: id))
      #expect(event.oomKilled && event.exitCode == 137)
    }
  }

  @Test func saysWhyAContainerCannotBeMade() async throws {
    try await RuntimeHarness.run { harness in
      _ = try await harness.sandbox("g1")
      do {
        _ = try await harness.container("g1", ["/no/such/program"])
        Issue.record("a program that does not exist was accepted")
      } catch let error as RuntimeError {
        #expect(error.code == .engine && error.message.contains("/no/such/program"), "\(error)")
      }
      #expect(try await harness.runtime.containers().isEmpty)
    }
  }

  @Test func restrictsTheProcess() async throws {
    try await RuntimeHarness.run { harness in
      _ = try await harness.sandbox("h1") { $0.sysctls = ["net.ipv4.ip_unprivileged_port_start": "0"] }
      let script = """
        id; grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; touch /x 2>&1; hostname
        cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/self/oom_score_adj; touch /tmp/fine && echo tmp-ok
        """
      let id = try await harness.container("h1", ["sh", "-c", script]) {
        $0.imageUser = "web"
        $0.supplementalGroups = [2000]
        $0.dropCapabilities = ["ALL"]
        $0.addCapabilities = ["NET_BIND_SERVICE"]
        $0.noNewPrivileges = true
        $0.readOnlyRootFilesystem = true
        $0.oomScoreAdjustment = 1000
        $0.mounts = [ContainerMount(source: .tmpfs(sizeLimit: 1 << 20), destination: "/tmp")]
      }
      try await harness.runtime.startContainer(id)
      _ = await harness.exit(of: id)
      let log = try await harness.log(id)
      #expect(
        log.contains("uid=1000(web) gid=1001(web) groups=50(staff),1001(web),2000")
          || log.contains("groups=50(staff),2000"), "\(log)")
      #expect(log.contains("CapBnd:\t0000000000000400"), "\(log)")
      #expect(log.contains("NoNewPrivs:\t1") && log.contains("Seccomp:\t2"), "\(log)")
      #expect(log.contains("Read-only file system") && log.contains("tmp-ok") && log.contains("pod-h1"), "\(log)")
      #expect(log.contains(" F 1000\n"), "\(log)")
    }
  }

  /// crun compiles a profile once; the filter that it is given afterwards is the one that it made.
  @Test func filtersAreCompiledOnce() async throws {
    try await RuntimeHarness.run { harness in
      let runtime = harness.runtime
      guard !runtime.oci.isRunc else { return }
      _ = try await harness.sandbox("f1")
      func made(_ name: String, _ capabilities: [String] = []) async throws -> (given: String?, filter: [UInt8]) {
        let id = try await harness.container("f1", ["sh", "-c", "grep Seccomp: /proc/self/status; sleep 1000"]) {
          $0.name = name
          $0.addCapabilities = capabilities
        }
        let config = try JSON.parse(DurableFile.read("\(runtime.containerFolder(id))/config.json", limit: 1 << 20))
        let filter = try DurableFile.read("\(runtime.engineFolder(id))/seccomp.bpf", limit: 1 << 20)
        try await runtime.startContainer(id)
        while try await !harness.log(id).contains("Seccomp:\t2") { await Task.yield() }
        return (config["annotations"]?[SeccompFilters.annotation]?.string, filter)
      }
      let first = try await made("first")
      let second = try await made("second")
      #expect(first.given == nil && !first.filter.isEmpty)
      #expect(second.given == Base64.encode(first.filter) && second.filter == first.filter)
      // Another set of capabilities is another profile.
      let mighty = try await made("mighty", ["SYS_ADMIN"])
      #expect(mighty.given == nil && mighty.filter != first.filter)
      #expect(try await made("mighty-2", ["SYS_ADMIN"]).filter == mighty.filter)
    }
  }

  @Test func connectsToAPortInThePod() async throws {
    try await RuntimeHarness.run { harness in
      _ = try await harness.sandbox("i1")
      let id = try await harness.container("i1", ["nc", "-l", "-p", "8080", "-e", "cat"])
      try await harness.runtime.startContainer(id)
      // The kernel's own table says when the program listens (1F90 is 8080).
      let listens = "until grep -q ':1F90 ' /proc/net/tcp /proc/net/tcp6; do :; done"
      let waited = try await harness.runtime.execSync(
        id, command: ["sh", "-c", listens], timeout: .seconds(30), outputLimit: 1024)
      #expect(waited.status == .exited(0))
      let connection = try await harness.runtime.connect(podUID: "i1", port: 8080)
      try await connection.write(ByteBuffer(string: "ping"))
      try await connection.closeWrite()
      var answer: [UInt8] = []
      for try await part in connection.input { answer += part.readableBytesView }
      #expect(answer == Array("ping".utf8))
      await connection.close()
      await #expect(throws: RuntimeError.self) { _ = try await harness.runtime.connect(podUID: "i1", port: 9) }
    }
  }

  @Test func measuresUsageAndTime() async throws {
    try await RuntimeHarness.run { harness in
      let clock = ContinuousClock()
      var lines: [String] = []
      for round in 0..<5 {
        let start = clock.now
        _ = try await harness.sandbox("j\(round)")
        let sandbox = clock.now
        let id = try await harness.container("j\(round)", ["sleep", "1000"])
        let created = clock.now
        try await harness.runtime.startContainer(id)
        let started = clock.now
        let usage = try await harness.runtime.stats(podUID: "j\(round)")
        #expect(usage.containers[id]?.processes == 1)
        try await harness.runtime.updateResources(
          id, ContainerResources(cpuRequestMillis: 500, memoryLimitBytes: 64 << 20))
        let before = clock.now
        try await harness.runtime.removeContainer(id)
        try await harness.runtime.removeSandbox("j\(round)")
        lines.append(
          "sandbox \(sandbox - start), create \(created - sandbox), start \(started - created), remove \(clock.now - before)"
        )
      }
      print(lines.joined(separator: "\n"))
    }
  }

  @Test func knowsAfterARebootThatEverythingEnded() async throws {
    try await RuntimeHarness.run { harness in
      let first = try await harness.sandbox("k1")
      let id = try await harness.container("k1", ["sleep", "1000"])
      try await harness.runtime.startContainer(id)
      try await harness.reboot()
      let state = try await harness.state(id)
      #expect(state.status == .exited && state.isLost && state.exitCode == 137 && state.pid == nil)
      #expect(try await harness.runtime.sandboxes().map(\.isReady) == [false])
      // Asked for again, the sandbox is made anew, with the old address given back.
      let second = try await harness.sandbox("k1")
      #expect(second.isReady && second.ips != first.ips && second.ips.count == 1)
      #expect(try await harness.runtime.containers().isEmpty)
      let again = try await harness.container("k1", ["sleep", "1000"])
      try await harness.runtime.startContainer(again)
    }
  }

  @Test func removesWhatACrashLeftHalfMade() async throws {
    try await RuntimeHarness.run { harness in
      _ = try await harness.sandbox("l1")
      let id = try await harness.container("l1", ["sleep", "1000"])
      try await harness.runtime.startContainer(id)
      let pid = try #require(try await harness.state(id).pid)
      // As if the server had died before it noted that the container exists.
      try await harness.forget(id)
      try await harness.restart()
      #expect(try await harness.runtime.containers().isEmpty)
      #expect(ProcessWatch.startTime(of: pid) == nil)
      _ = try await harness.container("l1", ["sleep", "1000"])
    }
  }

  @Test func reportsAnEngineThatHangs() async throws {
    try await RuntimeHarness.run(hangingEngine: true) { harness in
      _ = try await harness.sandbox("m1")
      let id = try await harness.container("m1", ["sleep", "1000"])
      try await harness.runtime.startContainer(id)
      try harness.hang(true)
      let start = ContinuousClock.now
      do {
        _ = try await harness.container("m1", ["sleep", "1000"]) { $0.name = "other" }
        Issue.record("an engine that hangs made a container")
      } catch let error as RuntimeError {
        #expect(error.code == .timedOut, "\(error)")
      }
      #expect(ContinuousClock.now - start < .seconds(9))
      // What the failed attempt left is gone, and the other container is not touched.
      #expect(try await harness.runtime.containers().map(\.id) == [id])
      #expect(try await harness.state(id).status == .running)
      try harness.hang(false)
    }
  }

  @Test func runsOnTheHostsNetwork() async throws {
    try await RuntimeHarness.run { harness in
      let sandbox = try await harness.sandbox("n1") {
        $0.hostNetwork = true
        $0.hostIPC = true
        $0.hostPID = true
      }
      #expect(sandbox.ips.isEmpty && sandbox.networkNamespacePath == nil)
      let id = try await harness.container("n1", ["sh", "-c", "ls -l /proc/self/ns; sleep 1000 & sleep 1000"])
      try await harness.runtime.startContainer(id)
      try await harness.runtime.signal(id, SIGTERM)
      try await harness.runtime.removeContainer(id)
    }
  }

  @Test func goesOnInANewLogFile() async throws {
    try await RuntimeHarness.run { harness in
      _ = try await harness.sandbox("q1")
      let id = try await harness.container("q1", ["sleep", "1000"])
      try await harness.runtime.startContainer(id)
      func say(_ word: String) async throws {
        let result = try await harness.runtime.execSync(
          id, command: ["sh", "-c", "echo \(word) >/proc/1/fd/1"], timeout: .seconds(10), outputLimit: 1000)
        #expect(result.status.isSuccess)
      }
      try await say("one")
      let path = try await harness.state(id).logPath
      let (changes, change) = AsyncStream<Void>.makeStream()
      let watcher = FileWatcher()
      try await watcher.start(on: MultiThreadedEventLoopGroup.singleton.any())
      let watch = watcher.watch(String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)])) { change.yield() }
      // Whatever its size.
      await LogRotation(
        runtime: harness.runtime, lanes: testLanes.logs, time: SystemClock(), log: harness.runtime.log, sizeMax: -1
      ).rotate()
      var iterator = changes.makeAsyncIterator()
      while access(path, F_OK) != 0 { await iterator.next() }
      watch?.cancel()
      await watcher.stop()
      try await say("two")
      try await harness.runtime.signal(id, SIGKILL)
      _ = await harness.exit(of: id)
      let collected = Mutex("")
      try await LogReader(
        path: path, uid: "u", lanes: testLanes.logs, options: LogOptions(), now: SystemClock().now(),
        isRunning: { false }
      ).run(changes: changes) { bytes in collected.withLock { $0 += String(buffer: bytes) } }
      #expect(collected.withLock { $0 } == "one\ntwo\n")
      #expect(Files.exists(LogRotation.rotated(path)))
      try await harness.runtime.removeContainer(id)
    }
  }

  @Test func givesBackWhatATornRecordForgot() async throws {
    try await RuntimeHarness.run { harness in
      let spec = harness.specs("torn").0
      let address = try #require(try await harness.runtime.createSandbox(spec).ips.first)
      let network = try #require(try Directory.list("\(harness.base)/ipam").first)
      let reservation = "\(harness.base)/ipam/\(network)/\(address)"
      #expect(Files.exists(reservation))
      // A record of a length and no content is what a power failure leaves.
      let record = "\(harness.runtime.sandboxFolder("torn"))/record.json"
      try RuntimeFiles.write([0, 0, 0, 0], to: record)
      try await harness.restart()
      let found = try await harness.runtime.sandboxes()
      #expect(found.map(\.podUID) == ["torn"])
      #expect(found.first?.isReady == false)
      try await harness.runtime.removeSandbox("torn")
      #expect(!Files.exists(reservation))
      #expect(try await harness.runtime.sandboxes().isEmpty)
    }
  }

  @Test func makesManyPodsAtATime() async throws {
    try await RuntimeHarness.run { harness in
      let start = ContinuousClock.now
      let runtime = harness.runtime
      let specs = (0..<8).map { harness.specs("o\($0)") }
      try await withThrowingTaskGroup(of: String?.self) { group in
        for (sandbox, container) in specs {
          group.addTask {
            let made = try await runtime.createSandbox(sandbox)
            let id = try await runtime.createContainer(container).id
            try await runtime.startContainer(id)
            return made.ips.first
          }
        }
        var addresses: Set<String> = []
        for try await address in group { addresses.insert(address ?? "") }
        #expect(addresses.count == 8)
      }
      print("8 pods at a time: \(ContinuousClock.now - start)")
    }
  }
}
