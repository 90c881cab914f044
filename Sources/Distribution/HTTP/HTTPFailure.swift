import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Why an exchange did not give a whole answer.
enum HTTPFailure: Error, Sendable, Equatable {
  enum Phase: Sendable, Equatable {
    case queue, connect, proxy, tls, head, body, idle, pace
  }

  case connect(String)
  case proxy(status: Int?, String)
  case tls(String)
  case timeout(Phase, Duration)
  /// The connection was closed or reset; `isAnswered`: after the first byte of the answer.
  case closed(isAnswered: Bool)
  /// The peer breaks HTTP.
  case malformed(String)
  /// Too many requests wait for this host already.
  case overloaded
  case certificates(String)
  /// What was to be sent could not be read.
  case source(DistributionError)
  case cancelled

  /// What an error of the channel means.
  init(_ error: any Error, isAnswered: Bool) {
    switch error {
    case let failure as HTTPFailure: self = failure
    case let error as NIOSSLError: self = .tls("\(error)")
    case let error as BoringSSLError: self = .tls("\(error)")
    case let error as NIOSSLExtraError: self = .tls("\(error)")
    case HTTPParserError.invalidEOFState: self = .closed(isAnswered: isAnswered)
    case is HTTPParserError: self = .malformed("\(error)")
    case let error as NIOConnectionError: self = .connect(HTTPFailure.reason(error))
    case let error as IOError where error.errnoCode == ECONNREFUSED: self = .connect("the connection is refused")
    default: self = .closed(isAnswered: isAnswered)
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
}

extension TimeAmount {
  init(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    self = .nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
  }
}
