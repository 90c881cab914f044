import NIOWebSocket

/// The server's end of a WebSocket (RFC 6455), apart from IO: what may come next, and what is still to be said.
struct WebSocketState: Sendable {
  /// What is known of a frame before its payload is looked at.
  struct Frame: Sendable {
    var opcode: WebSocketOpcode
    var isLast: Bool
    var isMasked: Bool
    /// Bits of extensions, of which none is spoken.
    var hasReservedBits: Bool
    var payloadBytes: Int
  }

  enum Action: Equatable, Sendable {
    case deliver(isFirst: Bool, isLast: Bool)
    case pong
    /// The peer has closed: its code is given back, and the connection ends.
    case close
    /// The peer breaks the protocol: it is told so, and the connection ends.
    case fail(WebSocketErrorCode)
    case ignore
  }

  /// Of ping, pong and close (section 5.5).
  static let controlBytesMax = 125

  private var isInMessage = false
  private(set) var hasSentClose = false
  private(set) var hasReceivedClose = false

  mutating func received(_ frame: Frame) -> Action {
    guard !hasReceivedClose else { return .ignore }
    // Section 5.1: a client masks every frame.
    guard frame.isMasked, !frame.hasReservedBits else { return fail(.protocolError) }
    switch frame.opcode {
    case .binary, .text:
      guard !isInMessage else { return fail(.protocolError) }
      isInMessage = !frame.isLast
      return .deliver(isFirst: true, isLast: frame.isLast)
    case .continuation:
      guard isInMessage else { return fail(.protocolError) }
      isInMessage = !frame.isLast
      return .deliver(isFirst: false, isLast: frame.isLast)
    case .ping:
      guard frame.isLast, frame.payloadBytes <= Self.controlBytesMax else { return fail(.protocolError) }
      return .pong
    case .pong: return .ignore
    case .connectionClose:
      hasReceivedClose = true
      return .close
    default: return fail(.protocolError)
    }
  }

  /// Nothing that comes is looked at any more.
  mutating func fail(_ code: WebSocketErrorCode) -> Action {
    hasReceivedClose = true
    return .fail(code)
  }

  /// - Returns: whether a close frame is to be sent: once, and nothing after it.
  mutating func close() -> Bool {
    defer { hasSentClose = true }
    return !hasSentClose
  }
}
