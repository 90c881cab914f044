import NIOCore
import Synchronization

/// One stream of a SPDY connection, at either end.
package final class SPDYStream: Sendable {
  /// Larger writes are split, so that streams share the connection.
  static let frameBytesMax = 64 << 10

  private struct State {
    var resetHandler: (@Sendable () -> Void)?
    var wasReset = false
    var hasEnded = false
  }

  package let id: UInt32
  package let headers: [SPDYHeader]
  let input: BoundedPipe

  private let state = Mutex(State())
  private let acceptance = OneShot<Bool>()
  /// Lets go of its streams when it ends.
  private let connection: SPDYConnection

  init(id: UInt32, headers: [SPDYHeader], input: BoundedPipe, _ connection: SPDYConnection) {
    self.id = id
    self.headers = headers
    self.input = input
    self.connection = connection
  }

  package func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

  /// Whether the peer has taken the stream that this end has opened: asked once. It suspends until the peer has answered, or
  /// the stream or the connection is over.
  package func isAccepted() async -> Bool { await acceptance.value }

  /// What the peer has sent; `nil` at its end: when it has finished its side, has reset the stream or is gone. For one task.
  package func read() async -> ByteBuffer? {
    guard let bytes = await input.read() else { return nil }
    connection.consumed(bytes.readableBytes, of: id)
    return bytes
  }

  /// Whether what was read is not all that the peer had to send: it has reset the stream or is gone, and had not finished.
  package var isCutOff: Bool { state.withLock { $0.wasReset && !$0.hasEnded } }

  /// Nobody reads any more: what still comes is dropped.
  package func abandon() { connection.consumed(input.abandon(), of: id) }

  /// Suspends while the peer does not read. For one task at a time; nothing is sent after `finish` or a reset.
  package func write(_ bytes: ByteBuffer) async throws {
    var bytes = bytes
    while bytes.readableBytes > 0 { try await connection.write(&bytes, to: id) }
  }

  /// Ends this end's side.
  package func finish() async throws { try await connection.finish(self) }

  /// Ends both sides, and tells the peer that nothing more is wanted.
  package func reset() { connection.reset(self, SPDYStatus.cancel) }

  /// Called once when the stream is reset or the peer is gone; at once when that has happened.
  package func onReset(_ handler: @escaping @Sendable () -> Void) {
    let isLate = state.withLock { state in
      if !state.wasReset { state.resetHandler = handler }
      return state.wasReset
    }
    if isLate { handler() }
  }

  /// The peer has finished its side.
  func inputEnded() {
    state.withLock { $0.hasEnded = !$0.wasReset }
    input.finish()
  }

  func wasAccepted(_ isAccepted: Bool) { acceptance.resolve(isAccepted) }

  func wasReset() {
    let handler = state.withLock { state in
      state.wasReset = true
      defer { state.resetHandler = nil }
      return state.resetHandler
    }
    wasAccepted(false)
    input.finish()
    handler?()
  }
}
