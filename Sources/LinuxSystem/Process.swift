import CLinux
import Glibc
import Synchronization

/// How a process ended.
public enum ExitStatus: Sendable, Equatable, CustomStringConvertible {
  case exited(Int32)
  case signaled(Int32)

  public var isSuccess: Bool { self == .exited(0) }
  /// As a shell gives it: 128 + signal for a process that a signal ended.
  public var code: Int32 {
    switch self {
    case .exited(let code): code
    case .signaled(let signal): 128 + signal
    }
  }
  public var description: String {
    switch self {
    case .exited(let code): "exit code \(code)"
    case .signaled(let signal): "signal \(signal)"
    }
  }
}

/// What a helper program left.
public struct ProcessResult: Sendable, Equatable {
  public var status: ExitStatus
  /// At most the output limit; the rest was read and dropped.
  public var stdout: [UInt8]
  public var stderr: [UInt8]

  public init(status: ExitStatus, stdout: [UInt8], stderr: [UInt8]) {
    self.status = status
    self.stdout = stdout
    self.stderr = stderr
  }

  /// Standard error, or standard output when that is empty, as one trimmed text for messages.
  public var message: String {
    let bytes = stderr.isEmpty ? stdout : stderr
    var text = Substring(String(decoding: bytes.prefix(4096), as: UTF8.self))
    while let last = text.last, last.isWhitespace { text.removeLast() }
    return String(text)
  }
}

/// A pipe, both ends close-on-exec.
public struct Pipe: Sendable {
  public var readEnd: Int32
  public var writeEnd: Int32

  public init() throws(SystemError) {
    var ends: [Int32] = [-1, -1]
    guard clinux_pipe(&ends) == 0 else { throw .last("pipe") }
    readEnd = ends[0]
    writeEnd = ends[1]
  }
}

/// A child process by its pidfd, so that no other process can be meant.
public final class ProcessHandle: Sendable {
  public let pid: Int32
  private let pidfd: AsyncDescriptor
  private let ended = Mutex<ExitStatus?>(nil)

  init(pid: Int32, pidfd: AsyncDescriptor) {
    self.pid = pid
    self.pidfd = pidfd
  }

  /// Suspends until the process has ended and reaps it. `nil` when the task was cancelled, or the deadline passed,
  /// before. May be called again, and by several tasks.
  public func wait(deadline: ContinuousClock.Instant? = nil) async -> ExitStatus? {
    while true {
      if let status = reap() { return status }
      // One descriptor carries one wait: every caller waits on its own.
      do throws(SystemError) { try await pidfd.duplicate().ready(.readable, deadline) } catch { return reap() }
    }
  }

  /// Kills the process and its group, and waits for the end also when nobody wants it any more: it would be left unreaped.
  ///
  /// A killed process ends at once, unless it hangs in the kernel; it is then left behind, not waited for.
  func kill() async {
    // Its number is its own until it is reaped, which nobody does meanwhile.
    let isOver = ended.withLock { ended in
      if ended == nil { _ = Glibc.kill(-pid, SIGKILL) }
      return ended != nil
    }
    if isOver { return }
    signal(SIGKILL)
    guard reap() == nil, let pidfd = try? self.pidfd.duplicate() else { return }
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      let isWaiting = pidfd.withDescriptor { fd in
        (try? ReadinessMonitor.shared.wait(fd, .readable, deadline: .now + .seconds(5)) { _ in continuation.resume() })
          != nil
      }
      if isWaiting != true { continuation.resume() }
    }
    pidfd.close()
    _ = reap()
  }

  /// Sends a signal; nothing when the process has ended.
  public func signal(_ signal: Int32) {
    _ = pidfd.withDescriptor { clinux_pidfd_send_signal($0, signal) }
  }

  private func reap() -> ExitStatus? {
    ended.withLock { ended in
      if let ended { return ended }
      var code: Int32 = 0
      var status: Int32 = 0
      let result = pidfd.withDescriptor { clinux_wait_pidfd($0, &code, &status) } ?? -1
      switch result {
      case 1: ended = code == CLD_EXITED ? .exited(status) : .signaled(status)
      case 0: return nil
      // Somebody else reaped it, which nobody here does: how it ended is not known.
      default: ended = .exited(255)
      }
      return ended
    }
  }
}

/// Any process of this machine by pidfd, to learn that it has ended.
public enum ProcessWatch {
  /// A pidfd that is readable when `pid` has ended; `nil` when there is no such process, or when the process of that
  /// number is not the one that started at `startTime` (`ProcessWatch.startTime`).
  public static func open(pid: Int32, startTime: UInt64) -> AsyncDescriptor? {
    let fd = clinux_pidfd_open(pid)
    guard fd >= 0, let descriptor = try? AsyncDescriptor(owning: fd) else { return nil }
    // Read after the pidfd is held: from here on the number cannot be reused unnoticed.
    guard self.startTime(of: pid) == startTime else { return nil }
    return descriptor
  }

  public static func signal(_ descriptor: AsyncDescriptor, _ signal: Int32) throws(SystemError) {
    let failure = descriptor.withDescriptor { fd in clinux_pidfd_send_signal(fd, signal) == 0 ? 0 : errno } ?? ESRCH
    if failure != 0 { throw SystemError("pidfd_send_signal \(signal)", errno: failure) }
  }

  /// Clock ticks from boot to the start of the process (`/proc/PID/stat`, field 22); `nil` when it is gone or a zombie.
  public static func startTime(of pid: Int32) -> UInt64? {
    guard let bytes = try? DurableFile.read("/proc/\(pid)/stat", limit: 4096) else { return nil }
    return parseStartTime(bytes)
  }

  /// The program's name in parentheses may itself hold spaces and parentheses: fields are counted from the last one.
  static func parseStartTime(_ bytes: [UInt8]) -> UInt64? {
    guard let close = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    let fields = bytes[(close + 1)...].split(separator: UInt8(ascii: " "))
    guard fields.count > 19, fields[0].first != UInt8(ascii: "Z"), fields[0].first != UInt8(ascii: "X") else {
      return nil
    }
    return UInt64(String(decoding: fields[19], as: UTF8.self))
  }
}

/// Starts helper programs. Only `posix_spawn`: `fork` is not safe in a program with threads.
public enum Subprocess {
  public struct Mapping: Sendable {
    /// Ours; stays open here.
    public var from: Int32
    /// The number in the child.
    public var to: Int32

    public init(from: Int32, to: Int32) {
      self.from = from
      self.to = to
    }
  }

  /// What helpers get unless told otherwise: no variable of the server's reaches them.
  public static let defaultEnvironment = [
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C",
  ]

  /// Starts a program with exactly the mapped descriptors; 0, 1 and 2 that are not mapped are `/dev/null`.
  ///
  /// A zero in a text is refused with `EINVAL`: to the program it would be the text's end.
  /// - Parameter newSession: makes it the leader of a session of its own, out of reach of our terminal's signals.
  public static func spawn(
    _ executable: String, _ arguments: [String], environment: [String: String] = defaultEnvironment,
    directory: String? = nil, descriptors: [Mapping], newSession: Bool = false
  ) throws(SystemError) -> ProcessHandle {
    let texts = [executable] + arguments + environment.flatMap { [$0.key, $0.value] } + (directory.map { [$0] } ?? [])
    guard !texts.contains(where: { $0.utf8.contains(0) }) else {
      throw SystemError(
        "start \(executable.prefix { $0 != "\0" })", errno: EINVAL, detail: "an argument has a zero byte")
    }
    let path = try find(executable, environment)
    var mappings: [clinux_fd_mapping] = []
    var opened: [Int32] = []
    defer { for fd in opened { close(fd) } }
    let highest = max(2, descriptors.map(\.to).max() ?? 2)
    // Above every target, so that no mapping overwrites the source of a later one.
    func add(_ fd: Int32, _ to: Int32) throws(SystemError) {
      let copy = fcntl(fd, F_DUPFD_CLOEXEC, highest + 1)
      guard copy >= 0 else { throw .last("dup for \(executable)") }
      opened.append(copy)
      mappings.append(clinux_fd_mapping(from: copy, to: to))
    }
    for mapping in descriptors { try add(mapping.from, mapping.to) }
    let missing = (Int32(0)...2).filter { number in !descriptors.contains { $0.to == number } }
    if !missing.isEmpty {
      let null = open("/dev/null", O_RDWR | O_CLOEXEC)
      guard null >= 0 else { throw .last("open /dev/null") }
      opened.append(null)
      for number in missing { try add(null, number) }
    }

    var pid: pid_t = 0
    let flags = Int32(
      newSession ? CLINUX_SPAWN_NEW_SESSION : CLINUX_SPAWN_NEW_GROUP)
    let error = withStrings([executable] + arguments) { argv in
      withStrings(environment.map { "\($0.key)=\($0.value)" }.sorted()) { envp in
        clinux_spawn(path, argv, envp, directory, mappings, mappings.count, flags, &pid)
      }
    }
    guard error == 0 else { throw SystemError("start \(path)", errno: error) }
    // The child is not reaped by anyone but us, so its number is still its own.
    let pidfd = clinux_pidfd_open(pid)
    do throws(SystemError) {
      guard pidfd >= 0 else { throw .last("pidfd_open") }
      return ProcessHandle(pid: pid, pidfd: try AsyncDescriptor(owning: pidfd))
    } catch {
      // It runs, and nobody would know of it.
      kill(-pid, SIGKILL)
      kill(pid, SIGKILL)
      while waitpid(pid, nil, 0) < 0, errno == EINTR {}
      throw error
    }
  }

  /// Runs a program to its end.
  ///
  /// - Parameters:
  ///   - executable: a path, or a name to be found in the environment's `PATH`.
  ///   - timeout: after it the program and its process group are killed, and `SystemError` with `ETIMEDOUT` is thrown.
  ///   - outputLimit: bytes kept of each of the two outputs.
  public static func run(
    _ executable: String, _ arguments: [String], environment: [String: String] = defaultEnvironment,
    stdin: [UInt8]? = nil, timeout: Duration = .seconds(30), outputLimit: Int = 1 << 20
  ) async throws(SystemError) -> ProcessResult {
    let deadline = ContinuousClock.now + timeout
    let output = try Pipe()
    let outputReader = try AsyncDescriptor(owning: output.readEnd)
    let errors: Pipe
    do throws(SystemError) { errors = try Pipe() } catch {
      close(output.writeEnd)
      throw error
    }
    let errorReader = try AsyncDescriptor(owning: errors.readEnd)
    var descriptors = [Mapping(from: output.writeEnd, to: 1), Mapping(from: errors.writeEnd, to: 2)]
    var inputWriter: AsyncDescriptor?
    var inputEnd: Int32 = -1
    let handle: ProcessHandle
    do throws(SystemError) {
      if stdin != nil {
        let input = try Pipe()
        inputEnd = input.readEnd
        inputWriter = try AsyncDescriptor(owning: input.writeEnd)
        descriptors.append(Mapping(from: inputEnd, to: 0))
      }
      handle = try spawn(executable, arguments, environment: environment, descriptors: descriptors)
    } catch {
      for fd in [output.writeEnd, errors.writeEnd, inputEnd] where fd >= 0 { close(fd) }
      throw error
    }
    for fd in [output.writeEnd, errors.writeEnd, inputEnd] where fd >= 0 { close(fd) }

    async let collectedOutput = collect(outputReader, limit: outputLimit)
    async let collectedErrors = collect(errorReader, limit: outputLimit)
    let writer = inputWriter
    async let fed: Void = feed(writer, stdin ?? [])
    let status = await handle.wait(deadline: deadline)
    let timedOut = status == nil
    // Before the kill: whoever stops the server in the meantime is not the reason.
    let isCancelled = Task.isCancelled
    if timedOut { await handle.kill() }
    writer?.close()
    // Something it started may still hold the pipes: what is in them is enough.
    let closing = ReadinessMonitor.shared.timer(at: .now + .milliseconds(timedOut ? 50 : 500)) { _ in
      outputReader.drain()
      errorReader.drain()
    }
    let (stdoutBytes, stderrBytes, _) = await (collectedOutput, collectedErrors, fed)
    ReadinessMonitor.shared.cancel(closing)
    guard !timedOut, let status else {
      throw SystemError(
        "\(executable) \(arguments.first ?? "")", errno: isCancelled ? ECANCELED : ETIMEDOUT,
        detail: isCancelled
          ? "it was killed, since it is not wanted any more" : "did not end within \(timeout) and was killed")
    }
    return ProcessResult(status: status, stdout: stdoutBytes, stderr: stderrBytes)
  }

  private static func collect(_ reader: AsyncDescriptor, limit: Int) async -> [UInt8] {
    var bytes: [UInt8] = []
    while let part = try? await reader.read(), !part.isEmpty {
      if bytes.count < limit { bytes += part.prefix(limit - bytes.count) }
    }
    reader.close()
    return bytes
  }

  private static func feed(_ writer: AsyncDescriptor?, _ bytes: [UInt8]) async {
    // A program that does not read its input is no error of ours.
    try? await writer?.write(bytes)
    writer?.close()
  }

  /// The path of a program: its name when that is one, or else where the environment's `PATH` leads to.
  /// - Throws: `ENOENT`.
  public static func find(_ executable: String, _ environment: [String: String]) throws(SystemError) -> String {
    if executable.contains("/") { return executable }
    for folder in (environment["PATH"] ?? "").split(separator: ":") {
      let path = "\(folder)/\(executable)"
      var status = stat()
      // A folder may be passed through, which is no program.
      if access(path, X_OK) == 0, stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG { return path }
    }
    throw SystemError("find \(executable) in PATH", errno: ENOENT)
  }

  private static func withStrings<Value>(
    _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Value
  ) -> Value {
    var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
    pointers.append(nil)
    defer { for pointer in pointers { free(pointer) } }
    return body(pointers)
  }
}
