import CLinux
import Glibc
import KubeClient
import LinuxSystem
import NIOCore
import Synchronization

/// Carries output from the tasks that read a process to the one that consumes it. At most `capacity` parts wait; then
/// the readers wait too, so that a client that does not read slows the process down and fills no memory.
final class OutputChannel: Sendable {
  private struct State {
    var waiting: [ProcessOutput] = []
    var isFinished = false
    var consumer: CheckedContinuation<ProcessOutput?, Never>?
    var producers: [CheckedContinuation<Void, Never>] = []
  }

  private let capacity = 16
  private let state = Mutex(State())

  /// Suspends while the channel is full. After `finish` it drops what it is given.
  func send(_ part: ProcessOutput) async {
    await withCheckedContinuation { continuation in
      let (consumer, goOn) = state.withLock { state -> (CheckedContinuation<ProcessOutput?, Never>?, Bool) in
        if state.isFinished { return (nil, true) }
        if let consumer = state.consumer {
          state.consumer = nil
          return (consumer, true)
        }
        state.waiting.append(part)
        if state.waiting.count < capacity { return (nil, true) }
        state.producers.append(continuation)
        return (nil, false)
      }
      consumer?.resume(returning: part)
      if goOn { continuation.resume() }
    }
  }

  /// What was sent is still delivered.
  func finish() {
    let (consumer, producers) = state.withLock { state in
      state.isFinished = true
      defer {
        state.consumer = nil
        state.producers = []
      }
      return (state.consumer, state.producers)
    }
    consumer?.resume(returning: nil)
    for producer in producers { producer.resume() }
  }

  /// The next part; `nil` at the end, and when the consuming task is cancelled.
  func next() async -> ProcessOutput? {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let (result, producers) = state.withLock { state -> (ProcessOutput??, [CheckedContinuation<Void, Never>]) in
          if !state.waiting.isEmpty {
            let part = state.waiting.removeFirst()
            defer { state.producers = [] }
            return (.some(part), state.producers)
          }
          if state.isFinished || Task.isCancelled { return (.some(nil), []) }
          state.consumer = continuation
          return (nil, [])
        }
        for producer in producers { producer.resume() }
        if let result { continuation.resume(returning: result) }
      }
    } onCancel: {
      let consumer = state.withLock { state in
        defer { state.consumer = nil }
        return state.consumer
      }
      consumer?.resume(returning: nil)
    }
  }

  var stream: AsyncThrowingStream<ProcessOutput, any Error> {
    AsyncThrowingStream { await self.next() }
  }
}

/// A process that `exec` started in a container.
final class ExecStream: ProcessStream {
  let output: AsyncThrowingStream<ProcessOutput, any Error>
  private let channel = OutputChannel()
  private let engine: ProcessHandle
  private let containerID: String
  private let pidFile: String
  private let stdin: AsyncDescriptor?
  private let terminal: AsyncDescriptor?
  private let isClosed = Mutex(false)

  /// - Parameters:
  ///   - engine: the engine's `exec`, which ends with the process's exit code.
  ///   - readers: where the process's output comes from.
  ///   - finished: called once the engine has ended.
  init(
    engine: ProcessHandle, containerID: String, pidFile: String, stdin: AsyncDescriptor?, stdout: AsyncDescriptor?,
    stderr: AsyncDescriptor?,
    terminal: AsyncDescriptor?, finished: @escaping @Sendable () -> Void
  ) {
    self.engine = engine
    self.containerID = containerID
    self.pidFile = pidFile
    self.stdin = stdin
    self.terminal = terminal
    output = channel.stream
    let channel = channel
    Task { [self] in
      await withTaskGroup(of: Void.self) { group in
        if let stdout {
          group.addTask { await Self.forward(stdout, channel) { .stdout($0) } }
        }
        if let stderr {
          group.addTask { await Self.forward(stderr, channel) { .stderr($0) } }
        }
        let status = await engine.wait()
        // What the process left running in the container may hold its pipes for ever.
        let grace = ReadinessMonitor.shared.timer(at: .now + .seconds(1)) { outcome in
          if case .timedOut = outcome {
            stdout?.close()
            stderr?.close()
          }
        }
        await group.waitForAll()
        ReadinessMonitor.shared.cancel(grace)
        await channel.send(.exited(code: status?.code ?? 255))
      }
      channel.finish()
      closeDescriptors()
      finished()
    }
  }

  private static func forward(
    _ reader: AsyncDescriptor, _ channel: OutputChannel, _ wrap: (ByteBuffer) -> ProcessOutput
  ) async {
    while let bytes = try? await reader.read(limit: 32 << 10), !bytes.isEmpty {
      await channel.send(wrap(ByteBuffer(bytes: bytes)))
    }
    reader.close()
  }

  func writeStdin(_ bytes: ByteBuffer) async throws {
    // Input for a process that does not read it, or has ended, is dropped, as a shell's pipe would.
    guard let stdin else { return }
    do throws(SystemError) { try await stdin.write(Array(bytes.readableBytesView)) } catch {
      if error.errno != EPIPE && error.errno != EBADF && error.errno != EIO { throw error }
    }
  }

  func closeStdin() async throws {
    if terminal != nil {
      // A terminal has no end of input of its own: the character that makes one.
      try await writeStdin(ByteBuffer(bytes: [4]))
    } else {
      stdin?.close()
    }
  }

  func resize(columns: UInt16, rows: UInt16) async throws {
    _ = terminal?.withDescriptor { clinux_set_window_size($0, columns, rows) }
  }

  func close() async {
    let first = isClosed.withLock { closed in
      defer { closed = true }
      return !closed
    }
    guard first else { return }
    channel.finish()
    kill()
    stdin?.close()
  }

  /// Ends the process in the container; the engine then ends by itself, and is ended if it does not.
  private func kill() {
    // Stopped, the engine starts nothing more and reaps nothing: what is its child now stays so until it is killed.
    engine.signal(SIGSTOP)
    var pids = Set(
      (RuntimeFiles.readText("/proc/\(engine.pid)/task/\(engine.pid)/children") ?? "").split(separator: " ")
        .compactMap { Int32($0) })
    // The engine's child may only have been the one that started the process.
    if let pid = RuntimeFiles.readText(pidFile).flatMap({ Int32($0) }),
      RuntimeFiles.readText("/proc/\(pid)/cgroup")?.contains(containerID) == true
    {
      pids.insert(pid)
    }
    for pid in pids where pid > 1 { Glibc.kill(pid, SIGKILL) }
    engine.signal(pids.isEmpty ? SIGKILL : SIGCONT)
    let engine = engine
    ReadinessMonitor.shared.timer(at: .now + .seconds(2)) { _ in engine.signal(SIGKILL) }
  }

  private func closeDescriptors() {
    stdin?.close()
    terminal?.close()
  }
}

/// The streams of a container's first process, through its monitor's socket.
final class AttachStream: ProcessStream {
  let output: AsyncThrowingStream<ProcessOutput, any Error>
  private let channel = OutputChannel()
  private let reader: AsyncDescriptor
  private let writer: AsyncDescriptor
  private let endsWithInput: Bool
  private let resizer: @Sendable (UInt16, UInt16) async throws -> Void

  /// - Parameters:
  ///   - socket: connected to conmon: records whose first byte names the stream, and plain bytes back.
  ///   - endsWithInput: the container's input stays open when the client's ends. Nothing then tells the container that
  ///     the client is done, so the client leaves (as containerd and Docker have it), or it would wait for ever.
  init(
    socket: AsyncDescriptor, options: TerminalOptions, endsWithInput: Bool,
    resize: @escaping @Sendable (UInt16, UInt16) async throws -> Void
  ) throws(SystemError) {
    self.endsWithInput = endsWithInput
    reader = socket
    writer = try socket.duplicate()
    resizer = resize
    output = channel.stream
    let (channel, reader) = (channel, reader)
    Task {
      // conmon's records hold at most 8192 bytes and the stream's number.
      while let record = try? await reader.read(limit: 16 << 10), let stream = record.first {
        let bytes = ByteBuffer(bytes: record.dropFirst())
        switch stream {
        case 2 where options.stdout: await channel.send(.stdout(bytes))
        case 3 where options.stderr && !options.tty: await channel.send(.stderr(bytes))
        default: break
        }
      }
      channel.finish()
    }
  }

  func writeStdin(_ bytes: ByteBuffer) async throws {
    do throws(SystemError) { try await writer.write(Array(bytes.readableBytesView), chunk: 8192) } catch {
      if error.errno != EPIPE && error.errno != EBADF && error.errno != ECONNRESET { throw error }
    }
  }

  func closeStdin() async throws {
    writer.shutdownWrite()
    if endsWithInput { channel.finish() }
  }

  func resize(columns: UInt16, rows: UInt16) async throws { try await resizer(columns, rows) }

  func close() async {
    channel.finish()
    reader.close()
    writer.close()
  }
}

/// A TCP connection whose socket was made in a pod's network namespace.
final class SocketStream: ByteStream {
  let input: AsyncThrowingStream<ByteBuffer, any Error>
  private let reader: AsyncDescriptor
  private let writer: AsyncDescriptor

  init(_ socket: AsyncDescriptor) throws(SystemError) {
    let reader = socket
    self.reader = reader
    writer = try socket.duplicate()
    // Reads when it is asked for the next part: what the client does not take stays in the socket.
    input = AsyncThrowingStream {
      let bytes = try await reader.read(limit: 32 << 10)
      return bytes.isEmpty ? nil : ByteBuffer(bytes: bytes)
    }
  }

  func write(_ bytes: ByteBuffer) async throws { try await writer.write(Array(bytes.readableBytesView)) }

  func closeWrite() async throws { writer.shutdownWrite() }

  func close() async {
    reader.close()
    writer.close()
  }
}
