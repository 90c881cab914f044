import Glibc
import NIOCore
import NIOHTTP1
import NIOHTTP2
import NIOPosix
import NIOSSL

/// Why a request did not get its whole answer. The message never holds a header, a credential or the query of a URL.
package struct HTTPClientError: Error, Sendable, CustomStringConvertible {
  /// What was waited for when the time was over.
  package enum Phase: Sendable, Equatable {
    case queue, connect, proxy, tls, settings, head, body, idle, pace, silence
  }

  package enum Code: Sendable, Equatable {
    /// The host has no address, or no connection to it comes about.
    case connect
    /// The proxy does not lead to the host; its status, if it said one.
    case proxy(status: Int?)
    case tls
    case timeout(Phase, Duration)
    /// The connection was closed or reset; `isAnswered`: after the first byte of the answer.
    case closed(isAnswered: Bool)
    /// The peer has not begun with the request, and says so (HTTP/2): it may be sent again, whatever it is.
    case refused
    /// The peer wants HTTP/1.1 for it (RFC 9113, section 7). `mayBeDone`: it has said so to the connection, and may have
    /// begun with the request before.
    case http1Required(mayBeDone: Bool)
    /// The peer breaks HTTP.
    case malformed
    /// The peer has answered, and does not change to the protocol that it was asked for.
    case upgradeRefused(status: Int)
    /// The answer's head is larger than the limits allow.
    case headTooLarge
    /// Too many requests wait for this host already.
    case overloaded
    /// Certificates, keys or proxies of the own side that cannot be used.
    case invalidConfiguration
    /// The request cannot be sent as it is.
    case invalidRequest
    /// What was to be sent could not be read: `cause` is what its source has thrown.
    case source
    case cancelled
  }

  package var code: Code
  /// The reason, without the name of the host.
  package var message: String
  /// The error of the system, of TLS or of the body's source that led here.
  package var cause: (any Error)?

  package init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }

  package static func timeout(_ phase: Phase, _ limit: Duration) -> HTTPClientError {
    let what =
      switch phase {
      case .queue: "no connection became free in time"
      case .connect: "no connection was made in time"
      case .proxy: "the proxy did not answer in time"
      case .tls: "the TLS handshake did not end in time"
      case .settings: "the server did not begin with HTTP/2 in time"
      case .head: "no answer came in time"
      case .body: "the answer did not end in time"
      case .idle: "nothing moved for too long"
      case .pace: "next to nothing came"
      case .silence: "the server does not say whether it is still there"
      }
    return HTTPClientError(.timeout(phase, limit), what)
  }

  package static func closed(isAnswered: Bool, cause: (any Error)? = nil) -> HTTPClientError {
    HTTPClientError(
      .closed(isAnswered: isAnswered),
      "the connection was closed " + (isAnswered ? "in the middle of the answer" : "without an answer"), cause: cause)
  }

  static func http1Required(mayBeDone: Bool) -> HTTPClientError {
    HTTPClientError(.http1Required(mayBeDone: mayBeDone), "the server wants HTTP/1.1 for the request")
  }

  package static let cancelled = HTTPClientError(.cancelled, "cancelled")

  /// What an error of the channel means.
  init(_ error: any Error, isAnswered: Bool) {
    switch error {
    case let error as HTTPClientError: self = error
    case is NIOSSLError, is BoringSSLError, is NIOSSLExtraError: self.init(.tls, "\(error)", cause: error)
    case HTTPParserError.invalidEOFState: self = .closed(isAnswered: isAnswered, cause: error)
    case HTTPParserError.headerOverflow: self.init(.headTooLarge, "the head of the answer is too large", cause: error)
    case is HTTPParserError, is NIOHTTPDecoderError: self.init(.malformed, "the answer is not HTTP", cause: error)
    case is NIOHTTP2Errors.CreatedStreamAfterGoaway, is NIOHTTP2Errors.NoStreamIDAvailable:
      self.init(.refused, "the connection takes no more requests", cause: error)
    case is NIOHTTP2Errors.ExcessivelyLargeHeaderBlock, is NIOHTTP2Errors.ExcessiveContinuationFrames:
      self.init(.headTooLarge, "the head of the answer is too large", cause: error)
    case is NIOHTTP2Errors.ExcessiveRSTFrames, is NIOHTTP2Errors.ExcessiveControlFrames,
      is NIOHTTP2Errors.ExcessiveEmptyDataFrames, is NIOHTTP2Errors.ExcessiveStreamErrors,
      is NIOHTTP2Errors.ExcessiveNumberOfGlitches, is NIOHTTP2Errors.ExcessiveOutboundFrameBuffering:
      self.init(.malformed, "the server sends too many frames that carry nothing", cause: error)
    case is NIOHTTP2Errors.StreamClosed, is NIOHTTP2Errors.NoSuchStream, is NIOHTTP2Errors.IOOnClosedConnection:
      self = .closed(isAnswered: isAnswered, cause: error)
    case is any NIOHTTP2Error: self.init(.malformed, "the answer is not HTTP", cause: error)
    case let error as NIOConnectionError: self.init(.connect, Self.reason(error), cause: error)
    default: self = .closed(isAnswered: isAnswered, cause: error)
    }
  }

  private static func reason(_ error: NIOConnectionError) -> String {
    if error.connectionErrors.isEmpty { return "the host has no address" }
    let refused = error.connectionErrors.allSatisfy { ($0.error as? IOError)?.errnoCode == ECONNREFUSED }
    if refused { return "the connection is refused" }
    for failure in error.connectionErrors {
      if let error = failure.error as? IOError { return String(cString: strerror(error.errnoCode)) }
    }
    return "no address answers"
  }

  package var description: String { message }
}
