import CRI
import KubeClient
import NIOCore
import RPC
import Synchronization

/// Streams of clients: the runtime answers a call by a URL of a server of its own, at which they are to be had.
extension CRIRuntime {
  public func exec(
    _ id: String, command: [String], options: TerminalOptions
  ) async throws(RuntimeError) -> any ProcessStream {
    let wanted = Self.streams(options)
    let url = try await ask("exec in container \(id)") { client async throws(RPCError) in
      try await client.exec(id, command, wanted)
    }
    let streams = try await connect("exec in container \(id)") { streaming async throws(StreamingError) in
      try await streaming.process(at: url, wanted)
    }
    return CRIProcessStream(streams, .exec(tty: options.tty))
  }

  public func attach(_ id: String, options: TerminalOptions) async throws(RuntimeError) -> any ProcessStream {
    let config = try await ask("look at container \(id)") { client async throws(RPCError) in
      try await client.containerStatus(id).status
    }
    guard config.state == .running else { throw RuntimeError(.wrongState, "container \(id) is not running") }
    let wanted = Self.streams(options)
    let url = try await ask("attach to container \(id)") { client async throws(RPCError) in
      try await client.attach(id, wanted)
    }
    let streams = try await connect("attach to container \(id)") { streaming async throws(StreamingError) in
      try await streaming.process(at: url, wanted)
    }
    return CRIProcessStream(streams, .attach)
  }

  public func connect(podUID: String, port: Int) async throws(RuntimeError) -> any ByteStream {
    guard let number = Int32(exactly: port), (1...65535).contains(number) else {
      throw RuntimeError(.invalid, "port \(port)")
    }
    guard let sandbox = try await list(podUID: podUID).first(where: { $0.state == .ready }) else {
      throw .notFound("pod \(podUID) has no sandbox on this node")
    }
    let url = try await ask("forward port \(port)") { client async throws(RPCError) in
      try await client.portForward(sandbox.id, ports: [number])
    }
    return CRIByteStream(
      try await connect("forward port \(port)") { streaming async throws(StreamingError) in
        try await streaming.port(port, at: url)
      })
  }

  private static func streams(_ options: TerminalOptions) -> CRIStreams {
    // A terminal has one output, and runtimes refuse to tell two apart.
    CRIStreams(
      tty: options.tty, stdin: options.stdin, stdout: options.stdout || options.tty,
      stderr: options.stderr && !options.tty)
  }

  private func connect<Streams: Sendable>(
    _ what: String, _ call: (StreamingClient) async throws(StreamingError) -> Streams
  ) async throws(RuntimeError) -> Streams {
    do throws(StreamingError) { return try await call(streaming) } catch {
      let code: RuntimeError.Code =
        switch error.code {
        case .timedOut: .timedOut
        case .refused(status: 404): .notFound
        default: .engine
        }
      throw RuntimeError(code, "\(what): \(error.message)")
    }
  }
}

/// A process by the runtime's streaming server. Closing it, and letting go of it, ends the connection: what becomes of the
/// process is the runtime's affair, which has no call to end one.
final class CRIProcessStream: ProcessStream {
  enum Kind: Sendable {
    case exec(tty: Bool)
    case attach
  }

  private final class Failure: Sendable {
    let value = Mutex<StreamingError?>(nil)
  }

  let output: AsyncThrowingStream<ProcessOutput, any Error>
  private let streams: ProcessStreams
  private let kind: Kind
  private let channel: OutputChannel

  init(_ streams: ProcessStreams, _ kind: Kind) {
    self.streams = streams
    self.kind = kind
    let channel = OutputChannel()
    let failure = Failure()
    self.channel = channel
    output = AsyncThrowingStream {
      if let part = await channel.next() { return part }
      if let failure = failure.value.withLock({ $0 }) { throw failure }
      return nil
    }
    Task {
      await withTaskGroup(of: Void.self) { group in
        group.addTask { while let bytes = await streams.readStdout() { await channel.send(.stdout(bytes)) } }
        group.addTask { while let bytes = await streams.readStderr() { await channel.send(.stderr(bytes)) } }
      }
      do throws(StreamingError) {
        switch (try await streams.ending(), kind) {
        case (.exited(let code), _): await channel.send(.exited(code: code))
        case (.ended, .exec): await channel.send(.exited(code: 0))
        case (.ended, .attach): break
        }
      } catch {
        failure.value.withLock { $0 = error }
      }
      channel.finish()
      streams.close()
    }
  }

  deinit {
    channel.finish()
    streams.close()
  }

  /// Input for a process that does not read it, or has ended, is dropped, as a shell's pipe would.
  func writeStdin(_ bytes: ByteBuffer) async throws {
    do { try await streams.writeStdin(bytes) } catch { try Task.checkCancellation() }
  }

  func closeStdin() async throws {
    // A terminal has no end of input of its own, but a character that makes one.
    if case .exec(tty: true) = kind { try await writeStdin(ByteBuffer(bytes: [4])) }
    do { try await streams.closeStdin() } catch { try Task.checkCancellation() }
  }

  func resize(columns: UInt16, rows: UInt16) async throws { try await streams.resize(columns: columns, rows: rows) }

  func close() async {
    channel.finish()
    streams.close()
  }
}

/// A connection to a port in a pod by the runtime's streaming server.
final class CRIByteStream: ByteStream {
  let input: AsyncThrowingStream<ByteBuffer, any Error>
  private let streams: PortStreams

  init(_ streams: PortStreams) {
    self.streams = streams
    // Reads when it is asked for the next part: what the client does not take stays with the runtime.
    input = AsyncThrowingStream {
      do throws(StreamingError) { return try await streams.read() } catch {
        throw KubeError(code: 500, reason: .internalError, message: error.message)
      }
    }
  }

  func write(_ bytes: ByteBuffer) async throws { try await streams.write(bytes) }

  func closeWrite() async throws { try await streams.closeWrite() }

  func close() async { streams.close() }
}
