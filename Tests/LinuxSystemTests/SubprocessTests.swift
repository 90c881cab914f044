import CLinux
import Glibc
import Testing

@testable import LinuxSystem

/// A pipe of a test, whose ends are closed with it.
private final class Channel: Sendable {
  let readEnd: Int32
  let writeEnd: Int32

  init() throws {
    let pipe = try Pipe()
    (readEnd, writeEnd) = (pipe.readEnd, pipe.writeEnd)
  }

  deinit {
    close(readEnd)
    close(writeEnd)
  }

  /// By which a child can open the writing end, also one that was given none.
  var name: String { "/proc/\(getpid())/fd/\(writeEnd)" }

  /// What a child writes, up to the end of the line.
  func line() async throws -> String {
    // On a thread of its own: those of the pool may be needed for the child to write anything.
    try await DedicatedThread.run { [readEnd] () throws(SystemError) in
      var bytes: [UInt8] = []
      var byte: UInt8 = 0
      while Glibc.read(readEnd, &byte, 1) == 1, byte != 0x0a { bytes.append(byte) }
      return String(decoding: bytes, as: UTF8.self)
    }
  }
}

/// Whether a process ends: a mistake must not let the test run for ever.
private func ends(_ pid: Int32) -> Bool {
  let pidfd = clinux_pidfd_open(pid)
  guard pidfd >= 0 else { return errno == ESRCH }
  defer { close(pidfd) }
  var poller = pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0)
  return poll(&poller, 1, 20_000) == 1
}

/// Whether a process that has ended was reaped.
private func isReaped(_ pid: Int32) -> Bool {
  guard let bytes = try? DurableFile.read("/proc/\(pid)/stat", limit: 4096) else { return true }
  // The number may be somebody else's by now.
  let parts = String(decoding: bytes, as: UTF8.self).split(separator: " ")
  return parts.count < 4 || Int32(parts[3]) != getpid()
}

@Suite struct SubprocessTests {
  private let folder = TestFolder()

  /// Many at once, so that ends come while others are waited for: none is lost, none is taken for another's.
  @Test func everyEndIsSeenAsItWas() async throws {
    let signals: [Int32] = [SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGKILL, SIGUSR1, SIGSEGV, SIGPIPE, SIGALRM, SIGTERM]
    try await withThrowingTaskGroup(of: (LinuxSystem.ExitStatus, LinuxSystem.ExitStatus?).self) { group in
      for code: Int32 in 0..<256 where code % 2 == 0 || code > 125 {
        let handle = try Subprocess.spawn("sh", ["-c", "exit \(code)"], descriptors: [])
        group.addTask { (.exited(code), await handle.wait()) }
      }
      for signal in signals {
        let handle = try Subprocess.spawn("sh", ["-c", "ulimit -c 0; kill -\(signal) $$; exit 7"], descriptors: [])
        group.addTask { (.signaled(signal), await handle.wait()) }
      }
      for try await (expected, status) in group { #expect(status == expected) }
    }
  }

  @Test func codesAreThoseOfAShell() {
    #expect(LinuxSystem.ExitStatus.exited(3).code == 3 && LinuxSystem.ExitStatus.signaled(9).code == 137)
    #expect(
      LinuxSystem.ExitStatus.exited(0).isSuccess && !LinuxSystem.ExitStatus.signaled(0).isSuccess
        && !LinuxSystem.ExitStatus.exited(1).isSuccess)
  }

  /// One waits until the end, one gives up, one is cancelled: nobody takes the status away from another.
  @Test func manyWaitForOne() async throws {
    let input = try Channel()
    let handle = try Subprocess.spawn(
      "sh", ["-c", "read x; exit $x"], descriptors: [.init(from: input.readEnd, to: 0)])
    #expect(await handle.wait(deadline: .now) == nil)
    let cancelled = (0..<8).map { _ in Task { await handle.wait() } }
    let patient = (0..<8).map { _ in Task { await handle.wait() } }
    for task in cancelled { task.cancel() }
    for task in cancelled { #expect(await task.value == nil) }
    #expect(await handle.wait(deadline: .now) == nil)
    #expect(write(input.writeEnd, "42\n", 3) == 3)
    for task in patient { #expect(await task.value == .exited(42)) }
    #expect(await handle.wait(deadline: .now) == .exited(42))
    handle.signal(SIGKILL)
    #expect(await handle.wait() == .exited(42))
    #expect(isReaped(handle.pid))
  }

  /// A task that is not wanted any more ends its program with all that it started, and leaves no zombie.
  @Test func whatIsCancelledIsKilledAndReaped() async throws {
    let started = try Channel()
    let run = Task {
      try await Subprocess.run(
        "sh", ["-c", "sleep 1000 & echo $$ $! > \(started.name); wait"], timeout: .seconds(600))
    }
    let pids = try await started.line().split(separator: " ").compactMap { Int32($0) }
    try #require(pids.count == 2)
    run.cancel()
    let failure: (any Error)? = await run.result.failure
    #expect((failure as? SystemError)?.errno == ECANCELED)
    #expect(ends(pids[1]))
    #expect(isReaped(pids[0]))
  }

  /// So does one that takes too long.
  @Test func whatTakesTooLongIsKilledWithAllThatItStarted() async throws {
    let started = try Channel()
    let error = await #expect(throws: SystemError.self) {
      try await Subprocess.run(
        "sh", ["-c", "sleep 1000 & echo $$ $! > \(started.name); trap '' TERM; while :; do wait; done"],
        timeout: .milliseconds(300))
    }
    #expect(error?.errno == ETIMEDOUT)
    // The shell may have been killed before it said anything; nothing is there to be killed then.
    #expect(write(started.writeEnd, "\n", 1) == 1)
    let pids = try await started.line().split(separator: " ").compactMap { Int32($0) }
    for pid in pids.dropFirst() { #expect(ends(pid)) }
    for pid in pids.prefix(1) { #expect(isReaped(pid)) }
  }

  @Test(arguments: [0, 1, 999, 1000, 1001, 70_000]) func eachOutputHasItsLimit(limit: Int) async throws {
    let script = "head -c 1000 /dev/zero; head -c 200000 /dev/zero | tr '\\0' x >&2; head -c 100000 /dev/zero >&2"
    let result = try await Subprocess.run("sh", ["-c", script], outputLimit: limit)
    #expect(result.status == .exited(0))
    #expect(result.stdout == [UInt8](repeating: 0, count: min(1000, limit)))
    #expect(result.stderr == [UInt8](repeating: UInt8(ascii: "x"), count: min(200_000, limit)))
  }

  @Test func messagesAreShortAndTrimmed() {
    func message(_ stdout: String, _ stderr: String) -> String {
      ProcessResult(status: .exited(1), stdout: Array(stdout.utf8), stderr: Array(stderr.utf8)).message
    }
    #expect(message("out\n", "") == "out")
    #expect(message("out", " bad \n\r\n\t") == " bad")
    #expect(message("", "") == "" && message("", "\n\n") == "")
    #expect(message("", String(repeating: "x", count: 9000)).utf8.count == 4096)
  }

  @Test func withoutInputThereIsNone() async throws {
    #expect(try await Subprocess.run("cat", []).stdout.isEmpty)
    #expect(try await Subprocess.run("cat", [], stdin: []).stdout.isEmpty)
  }

  @Test func aProgramIsAloneWithWhatItWasGiven() async throws {
    let (given, output) = (try Channel(), try Channel())
    // Without close-on-exec, below what is given.
    let stray = fcntl(given.readEnd, F_DUPFD, 3)
    defer { close(stray) }
    let handle = try Subprocess.spawn(
      "sh", ["-c", "pwd; env; ls -1 /proc/$$/fd; echo end"], environment: ["PATH": "/usr/bin:/bin", "ONLY": "a b=c"],
      directory: folder.path,
      descriptors: [.init(from: output.writeEnd, to: 1), .init(from: given.writeEnd, to: stray + 2)])
    var lines: [String] = []
    while lines.last != "end" { lines.append(try await output.line()) }
    #expect(lines.first == folder.path)
    #expect(lines.contains("ONLY=a b=c"))
    let environment = lines.filter { $0.contains("=") }.map { $0.prefix { $0 != "=" } }
    #expect(Set(environment).isSubset(of: ["PATH", "ONLY", "PWD", "OLDPWD", "SHLVL", "_"]))
    let descriptors = lines.compactMap { Int($0) }.filter { $0 != 255 }
    #expect(descriptors.sorted() == [0, 1, 2, Int(stray) + 2])
    #expect(await handle.wait() == .exited(0))
  }

  @Test func groupsAndSessions() async throws {
    for isSession in [false, true] {
      let output = try Channel()
      let handle = try Subprocess.spawn(
        "sh", ["-c", "read -r line < /proc/$$/stat; echo \"$line\""],
        descriptors: [.init(from: output.writeEnd, to: 1)], newSession: isSession)
      // pid (sh) state parent group session
      let fields = try await output.line().split(separator: " ")
      try #require(fields.count > 6)
      #expect(Int32(fields[4]) == handle.pid)
      #expect(Int32(fields[5]) == (isSession ? handle.pid : getsid(0)))
      #expect(await handle.wait() == .exited(0))
    }
  }

  /// A folder of the program's name in PATH is no program.
  @Test func aFolderIsNoProgram() async throws {
    try Directory.create("\(folder.path)/first/sh")
    try folder.write("#!/bin/sh\nexit 9\n", to: "second/sh")
    let path = "\(folder.path)/first:\(folder.path)/second:/usr/bin:/bin"
    #expect(chmod("\(folder.path)/second/sh", 0o644) == 0)
    #expect(try Subprocess.find("sh", ["PATH": path]).hasSuffix("/bin/sh"))
    #expect(chmod("\(folder.path)/second/sh", 0o755) == 0)
    #expect(try Subprocess.find("sh", ["PATH": path]) == "\(folder.path)/second/sh")
    #expect(try await Subprocess.run("sh", [], environment: ["PATH": path]).status == .exited(9))
    #expect(code { _ = try Subprocess.find("sh", [:]) } == ENOENT)
    #expect(code { _ = try Subprocess.find("", ["PATH": path]) } == ENOENT)
  }

  /// To the kernel a text ends at its first zero: a program would be told something else than was meant.
  @Test func aZeroInAnArgumentIsRefused() async {
    #expect(code { _ = try Subprocess.spawn("sh", ["-c", "exit 0\u{0}; exit 1"], descriptors: []) } == EINVAL)
    #expect(
      code {
        _ = try Subprocess.spawn(
          "/bin/sh", ["-c", "true"], environment: ["A": "b\u{0}c"], descriptors: [])
      } == EINVAL)
    #expect(code { _ = try Subprocess.spawn("/bin/sh\u{0}x", [], descriptors: []) } == EINVAL)
  }

  @Test func whatCannotBeStartedLeavesNothing() throws {
    let (folder, path) = (self.folder, self.folder.path)
    try folder.write("no program", to: "text")
    try folder.write("", to: "log")
    #expect(chmod("\(path)/text", 0o755) == 0)
    let log = open("\(path)/log", O_RDWR)
    defer { close(log) }
    func spawn(_ program: String, _ directory: String? = nil) -> Int32? {
      code {
        _ = try Subprocess.spawn(program, [], directory: directory, descriptors: [.init(from: log, to: 1)])
      }
    }
    #expect(spawn("\(path)/none") == ENOENT)
    #expect(spawn("\(path)/text") == ENOEXEC)
    #expect(spawn(path) == EACCES)
    #expect(spawn("true", "\(path)/none") == ENOENT)
    // The log is ours; the copies that were made for the child are gone.
    #expect(try folder.openFiles().count == 1)
    let failure = try SystemCalls.run(
      stoppingAt: [.clone, .clone3], { code { _ = try Subprocess.spawn("true", [], descriptors: []) } },
      deciding: { _ in .fail(EAGAIN) })
    #expect(failure == EAGAIN)
  }

  /// A program that runs although its start is said to have failed would be nobody's.
  @Test func whatCannotBeWatchedIsEnded() throws {
    let output = try Pipe()
    let failure = try SystemCalls.run(
      stoppingAt: [.pidfdOpen],
      { code { _ = try Subprocess.spawn("sleep", ["1000"], descriptors: [.init(from: output.writeEnd, to: 1)]) } },
      deciding: { _ in .fail(EMFILE) })
    #expect(failure == EMFILE)
    close(output.writeEnd)
    // Its end closes the pipe.
    var poller = pollfd(fd: output.readEnd, events: Int16(POLLIN), revents: 0)
    #expect(poll(&poller, 1, 20_000) == 1 && poller.revents & Int16(POLLHUP) != 0)
    close(output.readEnd)
  }
}

/// The one thread that tells when something is ready.
@Suite struct ReadinessMonitorTests {
  /// More at once than the kernel tells in one go: each is told once.
  @Test func nothingIsLostWhenManyBecomeReadyAtOnce() async throws {
    let channels = try (0..<200).map { _ in try Channel() }
    let counts = channels.map { _ in Counts() }
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      let left = Countdown(channels.count) { continuation.resume() }
      for (channel, count) in zip(channels, counts) {
        do throws(SystemError) {
          _ = try ReadinessMonitor.shared.wait(channel.readEnd, .readable) { outcome in
            count.add(outcome)
            left.step()
          }
        } catch {
          Issue.record("\(error)")
          left.step()
        }
      }
      for channel in channels { #expect(write(channel.writeEnd, "x", 1) == 1) }
    }
    #expect(counts.allSatisfy { $0.all == ["ready"] })
  }

  /// Ready and cancelled at the same moment is one of the two, never both and never neither.
  @Test func aWaitEndsOnce() async throws {
    let channels = try (0..<300).map { _ in try Channel() }
    let counts = channels.map { _ in Counts() }
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      let left = Countdown(channels.count) { continuation.resume() }
      let tokens = zip(channels, counts).compactMap { channel, count in
        try? ReadinessMonitor.shared.wait(channel.readEnd, .readable) { outcome in
          count.add(outcome)
          left.step()
        }
      }
      #expect(tokens.count == channels.count)
      let writer = TestThread { for channel in channels { _ = write(channel.writeEnd, "x", 1) } }
      for token in tokens { ReadinessMonitor.shared.cancel(token) }
      for token in tokens { ReadinessMonitor.shared.cancel(token) }
      writer.join()
    }
    #expect(counts.allSatisfy { $0.all.count == 1 && ["ready", "cancelled"].contains($0.all[0]) })
    // Whatever it was, the descriptor can be waited on again.
    for channel in channels {
      #expect(await outcome(channel.readEnd, .readable, deadline: nil) == "ready")
    }
  }

  private func outcome(
    _ fd: Int32, _ interest: ReadinessMonitor.Interest, deadline: ContinuousClock.Instant?
  ) async -> String {
    await withCheckedContinuation { continuation in
      do throws(SystemError) {
        _ = try ReadinessMonitor.shared.wait(fd, interest, deadline: deadline) {
          continuation.resume(returning: "\($0)")
        }
      } catch {
        continuation.resume(returning: "\(error.errno)")
      }
    }
  }

  @Test func whatIsReady() async throws {
    let channel = try Channel()
    #expect(await outcome(channel.readEnd, .readable, deadline: .now) == "timedOut")
    #expect(await outcome(channel.writeEnd, .writable, deadline: nil) == "ready")
    #expect(fcntl(channel.writeEnd, F_SETFL, O_NONBLOCK) == 0)
    let chunk = [UInt8](repeating: 1, count: 4096)
    while write(channel.writeEnd, chunk, chunk.count) > 0 {}
    #expect(await outcome(channel.writeEnd, .writable, deadline: .now) == "timedOut")
    #expect(await outcome(channel.readEnd, .readable, deadline: nil) == "ready")
    // The other side's end is an answer, too.
    let pipe = try Pipe()
    close(pipe.writeEnd)
    #expect(await outcome(pipe.readEnd, .readable, deadline: nil) == "ready")
    close(pipe.readEnd)
    let second = try Pipe()
    close(second.readEnd)
    #expect(await outcome(second.writeEnd, .writable, deadline: nil) == "ready")
    close(second.writeEnd)
  }

  @Test func whatCannotBeWaitedForIsSaid() async throws {
    let file = open("/etc/passwd", O_RDONLY | O_CLOEXEC)
    #expect(await outcome(file, .readable, deadline: nil) == "\(EPERM)")
    close(file)
    #expect(await outcome(-1, .readable, deadline: nil) == "\(EBADF)")
    // One descriptor has one wait: the second is refused and the first is not disturbed.
    let channel = try Channel()
    let count = Counts()
    let token = try ReadinessMonitor.shared.wait(channel.readEnd, .readable) { count.add($0) }
    #expect(await outcome(channel.readEnd, .readable, deadline: nil) == "\(EEXIST)")
    #expect(count.all.isEmpty)
    ReadinessMonitor.shared.cancel(token)
    #expect(count.all == ["cancelled"])
  }

  /// A number that was used again is another descriptor.
  @Test func anOldWaitDoesNotEndANewOne() async throws {
    let pipe = try Pipe()
    let (old, new) = (Counts(), Counts())
    let first = try ReadinessMonitor.shared.wait(pipe.readEnd, .readable) { old.add($0) }
    ReadinessMonitor.shared.cancel(first)
    let other = try Pipe()
    #expect(dup2(other.readEnd, pipe.readEnd) == pipe.readEnd)
    let second = try ReadinessMonitor.shared.wait(pipe.readEnd, .readable) { new.add($0) }
    ReadinessMonitor.shared.cancel(first)
    #expect(old.all == ["cancelled"] && new.all.isEmpty)
    ReadinessMonitor.shared.cancel(second)
    #expect(new.all == ["cancelled"])
    for fd in [pipe.readEnd, pipe.writeEnd, other.readEnd, other.writeEnd] { close(fd) }
  }

  /// The thread sleeps until the earliest deadline, whenever that came in.
  @Test func anEarlierDeadlineWakesTheThread() async {
    let late = Counts()
    let hour = ReadinessMonitor.shared.timer(at: .now + .seconds(3600)) { late.add($0) }
    for _ in 0..<20 {
      await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
        ReadinessMonitor.shared.timer(at: .now + .microseconds(200)) { _ in continuation.resume() }
      }
    }
    // One that is over, and one without a moment in between.
    for deadline in [ContinuousClock.now, .now - .seconds(5)] {
      await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
        ReadinessMonitor.shared.timer(at: deadline) { _ in continuation.resume() }
      }
    }
    #expect(late.all.isEmpty)
    ReadinessMonitor.shared.cancel(hour)
    ReadinessMonitor.shared.cancel(hour)
    #expect(late.all == ["cancelled"])
  }

  /// A callback may ask for the next wait.
  @Test func aCallbackMayWaitAgain() async {
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      let left = Countdown(50) { continuation.resume() }
      @Sendable func next() {
        ReadinessMonitor.shared.timer(at: .now) { _ in
          if !left.step() { next() }
        }
      }
      next()
    }
  }
}
