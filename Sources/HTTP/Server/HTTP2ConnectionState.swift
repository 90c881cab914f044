import NIOCore

/// What happens on one connection of HTTP/2 besides its streams, as a value apart from IO.
struct HTTP2ConnectionState: Sendable {
  private let limits: HTTPConnectionLimits
  private(set) var streams = 0
  private(set) var isDraining = false
  /// When a connection without a stream is given up.
  private(set) var deadline: NIODeadline?

  init(limits: HTTPConnectionLimits, _ now: NIODeadline) {
    self.limits = limits
    deadline = now + limits.head
  }

  mutating func streamOpened() {
    streams += 1
    deadline = nil
  }

  /// - Returns: whether to close the connection.
  mutating func streamClosed(isKnown: Bool, _ now: NIODeadline) -> Bool {
    assert(streams > 0, "more streams have closed than there were")
    streams -= 1
    guard streams == 0 else { return false }
    if isDraining { return true }
    deadline = now + (isKnown ? limits.idle : limits.strangerIdle)
    return false
  }

  /// The server stops: no more streams.
  ///
  /// - Returns: whether to close the connection.
  mutating func drained() -> Bool {
    isDraining = true
    return streams == 0
  }
}
