import KubeClient
import NIOCore
import Wire

/// A process in a container and a client: standard streams, terminal size, exit status.
///
/// Back pressure goes both ways: output is taken from the process when the connection can be written to, and input is
/// read from the connection when the process takes it.
struct RemoteCommand: Sendable {
  let process: any ProcessStream
  let options: TerminalOptions

  /// How a part of the session has ended.
  enum Ending: Sendable {
    /// The client has closed, or cannot be written to.
    case disconnected
    /// The process's output is at its end and its status has been sent.
    case finished
    /// The client sends no more input; the session goes on.
    case inputEnded
  }

  /// Runs the parts of a session until the client is gone or the status has been sent; then ends the others.
  ///
  /// - Parameters:
  ///   - reader: reads the connection; its end means that the client is gone.
  ///   - others: output and input.
  ///   - goodbye: says that the server has sent everything; the client may then close first, so that nothing that is
  ///     on its way to it is lost.
  func runSession(
    on channel: any Channel, reader: @escaping @Sendable () async -> Ending,
    others: [@Sendable () async -> Ending], goodbye: @escaping @Sendable () async -> Void
  ) async {
    await withTaskGroup(of: Ending.self) { group in
      group.addTask { await reader() }
      for other in others { group.addTask { await other() } }
      var isConnected = true
      loop: while let ending = await group.next() {
        switch ending {
        case .inputEnded: continue
        case .disconnected:
          isConnected = false
          break loop
        case .finished: break loop
        }
      }
      await process.close()
      if isConnected {
        await goodbye()
        let deadline = channel.eventLoop.scheduleTask(in: PodStreaming.closeTimeout) { channel.close(promise: nil) }
        while let ending = await group.next() {
          if case .disconnected = ending { break }
        }
        deadline.cancel()
      }
      group.cancelAll()
    }
  }

  /// Hands the output to `write` until its end, and returns the status to be sent.
  ///
  /// - Throws: what `write` throws: the client is gone.
  func copyOutput(_ write: (_ isError: Bool, ByteBuffer) async throws -> Void) async throws -> JSON {
    var iterator = process.output.makeAsyncIterator()
    while true {
      let next: ProcessOutput?
      do {
        next = try await iterator.next()
      } catch {
        return StreamStatus.failure(error)
      }
      switch next {
      case .stdout(let bytes): if options.stdout { try await write(false, bytes) }
      case .stderr(let bytes): if options.stderr || options.tty { try await write(!options.tty, bytes) }
      case .exited(let code): return StreamStatus.exited(code: code)
      case nil: return StreamStatus.success
      }
    }
  }

  func resize(_ message: ByteBuffer) async {
    guard let size = TerminalSize(json: message) else { return }
    try? await process.resize(columns: size.columns, rows: size.rows)
  }
}

/// `{"Width":80,"Height":24}`
struct TerminalSize: Equatable, Sendable {
  var columns: UInt16
  var rows: UInt16

  init?(json: ByteBuffer) {
    guard let value = try? JSON.parse(Array(json.readableBytesView)),
      let width = value["Width"]?.int ?? value["width"]?.int,
      let height = value["Height"]?.int ?? value["height"]?.int,
      let columns = UInt16(exactly: width), let rows = UInt16(exactly: height)
    else { return nil }
    self.columns = columns
    self.rows = rows
  }
}

/// Splits a stream of JSON objects, one per line, as the resize stream carries them.
struct LineBuffer {
  static let bytesMax = 4096
  private var pending = ByteBuffer()

  /// The lines that are complete with these bytes. What is too long for a line is dropped.
  mutating func lines(adding bytes: ByteBuffer) -> [ByteBuffer] {
    pending.writeImmutableBuffer(bytes)
    var lines: [ByteBuffer] = []
    while let end = pending.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) {
      if let line = pending.readSlice(length: end - pending.readerIndex), line.readableBytes > 0 { lines.append(line) }
      pending.moveReaderIndex(forwardBy: 1)
    }
    pending.discardReadBytes()
    if pending.readableBytes > Self.bytesMax { pending.clear() }
    return lines
  }
}
