import KubeClient
import NIOCore
import Synchronization

/// A node whose processes are a few words: `cat` copies its input, `exit N` ends, `write N` writes N bytes of output,
/// `sleep` waits for its end, `fail` cannot be started.
final class FakeNode: NodeStreams {
  let processes = Mutex<[FakeProcess]>([])
  let connections = Mutex<[FakeConnection]>([])

  func logs(
    _ container: ContainerReference, options: LogOptions, write: @escaping @Sendable (ByteBuffer) async throws -> Void
  ) async throws {
    guard container.container != "missing" else {
      throw KubeError(code: 400, reason: .badRequest, message: "container missing is not valid")
    }
    for number in 0..<(options.tailLines ?? 3) { try await write(ByteBuffer(string: "line \(number)\n")) }
    if options.follow { try await Task.sleep(for: .seconds(3600)) }
  }

  func exec(_ container: ContainerReference, command: [String], options: TerminalOptions) async throws
    -> any ProcessStream
  {
    if command.first == "fail" {
      throw KubeError(code: 404, reason: .notFound, message: "container \(container.container) is not running")
    }
    let process = FakeProcess(command)
    processes.withLock { $0.append(process) }
    process.start()
    return process
  }

  func attach(_ container: ContainerReference, options: TerminalOptions) async throws -> any ProcessStream {
    try await exec(container, command: ["cat"], options: options)
  }

  func connect(namespace: String, pod: String, port: Int) async throws -> any ByteStream {
    guard port != 9 else {
      throw KubeError(code: 500, reason: .internalError, message: "connection refused")
    }
    let connection = FakeConnection()
    connections.withLock { $0.append(connection) }
    return connection
  }
}

final class FakeProcess: ProcessStream {
  let output: AsyncThrowingStream<ProcessOutput, any Error>
  private let out: AsyncThrowingStream<ProcessOutput, any Error>.Continuation
  let command: [String]
  let sizes = Mutex<[String]>([])
  /// Ends when the process is closed.
  let closing: AsyncStream<Never>
  private let closed: AsyncStream<Never>.Continuation

  init(_ command: [String]) {
    self.command = command
    (closing, closed) = AsyncStream.makeStream()
    (output, out) = AsyncThrowingStream.makeStream()
  }

  func start() {
    switch command.first {
    case "exit": end(Int32(command[1]) ?? 0)
    case "write":
      var rest = Int(command[1]) ?? 0
      while rest > 0 {
        let count = min(rest, 32 << 10)
        out.yield(.stdout(ByteBuffer(repeating: UInt8(ascii: "x"), count: count)))
        rest -= count
      }
      out.yield(.stderr(ByteBuffer(string: "done\n")))
      end(0)
    default: break
    }
  }

  private func end(_ code: Int32) {
    out.yield(.exited(code: code))
    out.finish()
  }

  func writeStdin(_ bytes: ByteBuffer) async throws {
    if command.first == "cat" || command.first == "resize" { out.yield(.stdout(bytes)) }
  }
  func closeStdin() async throws { end(0) }
  func resize(columns: UInt16, rows: UInt16) async throws {
    sizes.withLock { $0.append("\(columns)x\(rows)") }
    if command.first == "resize" {
      out.yield(.stdout(ByteBuffer(string: "\(columns)x\(rows)\n")))
      end(3)
    }
  }
  func close() async {
    out.finish()
    closed.finish()
  }
}

/// Sends back what it is sent, and closes when the other side has.
final class FakeConnection: ByteStream {
  let input: AsyncThrowingStream<ByteBuffer, any Error>
  private let out: AsyncThrowingStream<ByteBuffer, any Error>.Continuation
  let isClosed = Mutex(false)

  init() { (input, out) = AsyncThrowingStream.makeStream() }

  func write(_ bytes: ByteBuffer) async throws { out.yield(bytes) }
  func closeWrite() async throws { out.finish() }
  func close() async {
    isClosed.withLock { $0 = true }
    out.finish()
  }
}
