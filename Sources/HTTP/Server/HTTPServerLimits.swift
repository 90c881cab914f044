import NIOCore

/// What clients may take of a server.
package struct HTTPServerLimits: Sendable {
  package var connections: ConnectionBudget.Limits
  /// Bytes of request bodies in memory.
  package var bodies: SharedBudget.Limits
  package var connection = HTTPConnectionLimits()

  package init(connections: ConnectionBudget.Limits, bodies: SharedBudget.Limits) {
    self.connections = connections
    self.bodies = bodies
  }
}

/// How long each phase of a connection may last, and how much of it is kept.
package struct HTTPConnectionLimits: Sendable {
  /// From the connection's beginning, TLS included, to the first request's complete head.
  package var head = TimeAmount.seconds(10)
  /// From an answer to the next request's complete head, when the client has signed in and when not.
  package var idle = TimeAmount.seconds(180)
  package var strangerIdle = TimeAmount.seconds(30)
  /// A body that is collected comes within this time, and longer only at this pace.
  package var body = TimeAmount.seconds(10)
  package var bodyBytesPerSecondMin: Int64 = 64 << 10
  /// A streamed body that brings less than `streamBytesPerSecondMin` over so long is given up.
  package var stall = TimeAmount.seconds(60)
  package var streamBytesPerSecondMin: Int64 = 256
  /// From a complete request to its answer; `nil` when the handler has deadlines of its own.
  package var answer: TimeAmount? = .seconds(60)
  /// For the client to take an answer from memory, a piece of a file, or a pulled body that is not live.
  package var take = TimeAmount.seconds(60)
  /// For the client to take one part of what a task writes; `nil` for as long as both sides live.
  package var streamTake: TimeAmount?
  /// A client of a live body that takes nothing for so long while something waits is cut off.
  package var liveTake = TimeAmount.seconds(10)
  /// Pulled bodies are written in pieces of about this size.
  package var pieceBytes = 256 << 10
  /// Files are sent in pieces, so that a client that takes nothing is seen: small ones first, larger ones to a client that
  /// takes them quickly. One that becomes slow in the middle of the largest has to take it within `take`.
  package var filePieceBytes: ClosedRange<Int64> = 1 << 20...16 << 20
  package var quickPiece = TimeAmount.seconds(1)
  /// What is left of a body after an early answer is read and dropped up to here; beyond it the connection ends.
  package var discardBytesMax = 256 << 10
  /// It ends late: a client that reads only when it has sent everything would lose the answer. So much, and for so long, is
  /// dropped.
  package var lingerBytesMax = 64 << 20
  package var linger = TimeAmount.seconds(5)
  /// The same for a client that should have nothing more to send.
  package var lastWord = TimeAmount.milliseconds(500)
  /// Of a head: one that is not complete is memory of somebody who has not signed in.
  package var headerBytesMax = 96 << 10
  package var headerFieldsMax = 128
  /// Requests of one connection of HTTP/2 at one time.
  package var streamsMax = 100
  /// What a client may send ahead of the one who reads: on a stream of HTTP/2 (65,535 bytes at least, and those alone
  /// before the first of them have come), and on all of a connection.
  package var streamWindow = 256 << 10
  package var connectionWindow = 1 << 20
  /// What one read of the socket brings at most, and how many there are before others have their turn. Requests of one
  /// read are decoded before the server can stop reading.
  package var readBytesMax = 64 << 10
  package var readsMax: UInt = 1

  package init() {}
}
