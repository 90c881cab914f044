import Glibc
import Testing

@testable import LinuxSystem

@Suite struct ProcessTests {
  @Test func runsToTheEnd() async throws {
    let result = try await Subprocess.run("sh", ["-c", "cat; echo bad >&2; exit 4"], stdin: Array("in".utf8))
    #expect(result.status == .exited(4) && result.stdout == Array("in".utf8) && result.message == "bad")
    #expect(try await Subprocess.run("sh", ["-c", "kill -9 $$"]).status == .signaled(9))
  }

  @Test func givesNothingThatWasNotAskedFor() async throws {
    let result = try await Subprocess.run("sh", ["-c", "ls /proc/self/fd | wc -l; env | cut -d= -f1 | sort"])
    let lines = String(decoding: result.stdout, as: UTF8.self).split(separator: "\n")
    // 0, 1, 2, and the one with which ls reads the folder.
    #expect(lines.first == "4")
    #expect(Set(lines.dropFirst()).isSubset(of: ["PATH", "LC_ALL", "PWD", "OLDPWD", "SHLVL", "_"]))
  }

  @Test func keepsWithinTheOutputLimit() async throws {
    let result = try await Subprocess.run("sh", ["-c", "head -c 3000000 /dev/zero"], outputLimit: 1000)
    #expect(result.status.isSuccess && result.stdout.count == 1000)
  }

  @Test func carriesLargeInputAndOutput() async throws {
    let bytes = (0..<600_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    let result = try await Subprocess.run("cat", [], stdin: bytes)
    #expect(result.stdout == bytes)
  }

  @Test func killsWhatTakesTooLong() async throws {
    do {
      _ = try await Subprocess.run("sh", ["-c", "sleep 100 & sleep 100"], timeout: .milliseconds(100))
      Issue.record("it ended")
    } catch {
      #expect(error.errno == ETIMEDOUT)
    }
  }

  /// What was written before the end is read, however late the reader comes.
  @Test func drainsWhatIsThere() async throws {
    let pipe = try Pipe()
    let reader = try AsyncDescriptor(owning: pipe.readEnd)
    defer { close(pipe.writeEnd) }
    #expect(write(pipe.writeEnd, "late", 4) == 4)
    reader.drain()
    #expect(try await reader.read() == Array("late".utf8))
    #expect(try await reader.read() == [])
  }

  @Test func doesNotWaitForGrandchildren() async throws {
    let result = try await Subprocess.run("sh", ["-c", "echo done; sleep 60 &"], timeout: .seconds(50))
    #expect(result.stdout == Array("done\n".utf8))
  }

  @Test func saysWhatIsMissing() async {
    await #expect(throws: SystemError("find no-such-program-here in PATH", errno: ENOENT)) {
      _ = try await Subprocess.run("no-such-program-here", [])
    }
    await #expect(throws: SystemError.self) { _ = try await Subprocess.run("/no/such/program", []) }
  }

  @Test func doesNotMindInputThatIsNotRead() async throws {
    let result = try await Subprocess.run("true", [], stdin: [UInt8](repeating: 1, count: 1 << 20))
    #expect(result.status.isSuccess)
  }

  @Test func mapsDescriptorsThatCrossEachOther() async throws {
    let first = try Pipe()
    let second = try Pipe()
    let handle = try Subprocess.spawn(
      "sh", ["-c", "echo three >&3; echo four >&4"],
      descriptors: [.init(from: first.writeEnd, to: 4), .init(from: second.writeEnd, to: 3)])
    close(first.writeEnd)
    close(second.writeEnd)
    let four = try AsyncDescriptor(owning: first.readEnd)
    let three = try AsyncDescriptor(owning: second.readEnd)
    #expect(try await four.read() == Array("four\n".utf8))
    #expect(try await three.read() == Array("three\n".utf8))
    async let one = handle.wait()
    async let two = handle.wait()
    #expect(await one == .exited(0))
    #expect(await two == .exited(0))
  }

  @Test func watchesAnyProcess() async throws {
    let handle = try Subprocess.spawn("sleep", ["100"], descriptors: [])
    let start = try #require(ProcessWatch.startTime(of: handle.pid))
    #expect(ProcessWatch.open(pid: handle.pid, startTime: start &+ 1) == nil)
    let watch = try #require(ProcessWatch.open(pid: handle.pid, startTime: start))
    try ProcessWatch.signal(watch, SIGTERM)
    try await watch.ready(.readable)
    #expect(await handle.wait() == .signaled(SIGTERM))
    #expect(ProcessWatch.startTime(of: handle.pid) == nil)
  }

  @Test func readsTheStartTimeWhateverTheName() {
    func stat(_ name: String, _ state: String) -> [UInt8] {
      Array("12 (\(name)) \(state) 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21\n".utf8)
    }
    #expect(ProcessWatch.parseStartTime(stat("a) S 1 (b", "S")) == 4711)
    #expect(ProcessWatch.parseStartTime(stat("x", "Z")) == nil)
    #expect(ProcessWatch.parseStartTime([]) == nil && ProcessWatch.parseStartTime(Array("1 (a) S 2".utf8)) == nil)
    var seed: UInt64 = 7
    for _ in 0..<2000 {
      var bytes = stat("ab", "R")
      for _ in 0..<3 {
        seed = seed &* 6_364_136_223_846_793_005 &+ 1
        bytes[Int((seed >> 33) % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: seed >> 40)
      }
      _ = ProcessWatch.parseStartTime(bytes.prefix(Int((seed >> 20) % 90)) + [])
    }
  }

  @Test func waitsEndWhenTheDescriptorIsClosedOrTheTaskCancelled() async throws {
    let pipe = try Pipe()
    defer { close(pipe.writeEnd) }
    let reader = try AsyncDescriptor(owning: pipe.readEnd)
    await #expect(throws: SystemError("wait for a helper program", errno: ETIMEDOUT)) {
      _ = try await reader.read(deadline: .now + .milliseconds(5))
    }
    let cancelled = Task { try await reader.read() }
    cancelled.cancel()
    await #expect(throws: SystemError.self) { _ = try await cancelled.value }
    let closed = Task { try await reader.read() }
    reader.close()
    await #expect(throws: SystemError.self) { _ = try await closed.value }
  }
}
