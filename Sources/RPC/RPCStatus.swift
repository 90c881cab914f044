import HTTP
import NIOCore
import NIOHTTP1

/// How a call has ended ("Status codes and their use in gRPC").
package enum RPCStatus: Int, Sendable, CaseIterable {
  case ok = 0
  case cancelled = 1
  case unknown = 2
  case invalidArgument = 3
  case deadlineExceeded = 4
  case notFound = 5
  case alreadyExists = 6
  case permissionDenied = 7
  case resourceExhausted = 8
  case failedPrecondition = 9
  case aborted = 10
  case outOfRange = 11
  case unimplemented = 12
  case internalError = 13
  case unavailable = 14
  case dataLoss = 15
  case unauthenticated = 16

  /// What the status of an answer means that does not come from a server of gRPC ("HTTP to gRPC Status Code Mapping").
  init(http status: Int) {
    self =
      switch status {
      case 400: .internalError
      case 401: .unauthenticated
      case 403: .permissionDenied
      case 404: .unimplemented
      case 429, 502, 503, 504: .unavailable
      default: .unknown
      }
  }
}

/// Why a call did not end well: what the server says, or what came between.
package struct RPCError: Error, Sendable, CustomStringConvertible {
  /// Never `ok`.
  package var status: RPCStatus
  package var message: String
  /// What went wrong with HTTP.
  package var cause: (any Error)?

  package init(_ status: RPCStatus, _ message: String, cause: (any Error)? = nil) {
    self.status = status
    self.message = message
    self.cause = cause
  }

  init(_ error: HTTPClientError) {
    let status: RPCStatus =
      switch error.code {
      // The two that a call's own deadline leads to.
      case .timeout(.head, _), .timeout(.body, _): .deadlineExceeded
      case .cancelled: .cancelled
      case .malformed, .headTooLarge, .source, .upgradeRefused: .internalError
      case .invalidRequest, .invalidConfiguration: .invalidArgument
      case .connect, .proxy, .tls, .timeout, .closed, .refused, .http1Required, .overloaded: .unavailable
      }
    self.init(status, error.message, cause: error)
  }

  package var description: String { message }
}

/// The fields of gRPC in heads and trailers ("gRPC over HTTP2"). Pure.
enum RPCFields {
  /// The value of `grpc-timeout`: at most eight digits and a unit. What does not fit is rounded up, so that the server does
  /// not give up before the client.
  static func timeout(_ deadline: Duration) -> String {
    let limit: Int128 = 99_999_999
    let nanoseconds = max(1, deadline.attoseconds / 1_000_000_000)
    let units: [(String, Int128)] = [
      ("n", 1), ("u", 1000), ("m", 1_000_000), ("S", 1_000_000_000), ("M", 60_000_000_000), ("H", 3_600_000_000_000),
    ]
    for (unit, size) in units {
      let count = (nanoseconds + size - 1) / size
      if count <= limit { return "\(count)\(unit)" }
    }
    return "\(limit)H"
  }

  /// `grpc-message`: percent-encoded UTF-8. What is no encoding stays as it is.
  static func message(_ text: String) -> String {
    let bytes = Array(text.utf8)
    var decoded: [UInt8] = []
    decoded.reserveCapacity(bytes.count)
    var at = 0
    while at < bytes.count {
      if bytes[at] == UInt8(ascii: "%"), at + 2 < bytes.count, let high = digit(bytes[at + 1]),
        let low = digit(bytes[at + 2])
      {
        decoded.append(high << 4 | low)
        at += 3
      } else {
        decoded.append(bytes[at])
        at += 1
      }
    }
    return String(decoding: decoded, as: UTF8.self)
  }

  private static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  /// What the fields at the end of an answer say; `nil` for a call that went well.
  static func failure(_ fields: HTTPHeaders) -> RPCError? {
    let values = fields["grpc-status"]
    guard let value = values.first else {
      return RPCError(.internalError, "the server ended its answer without a status")
    }
    let message = fields.first(name: "grpc-message").map { Self.message($0) } ?? ""
    guard values.count == 1, value.utf8.count <= 2, value.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let status = Int(value).flatMap({ RPCStatus(rawValue: $0) })
    else { return RPCError(.unknown, "the server ends with a status that is none: \(message)") }
    return status == .ok ? nil : RPCError(status, message)
  }

  /// Whether a head begins an answer that can be read; otherwise what is wrong.
  static func refusal(status: Int, _ fields: HTTPHeaders) -> RPCError? {
    // A server of gRPC may say more than the status of HTTP does.
    if fields.contains(name: "grpc-status"), let failure = failure(fields) { return failure }
    guard status == 200 else {
      return RPCError(RPCStatus(http: status), "the server answers with status \(status) of HTTP")
    }
    let type = fields.first(name: "content-type")?.lowercased() ?? ""
    guard type == "application/grpc" || type.hasPrefix("application/grpc+") || type.hasPrefix("application/grpc;")
    else {
      return RPCError(.unknown, "the server answers with something that is not gRPC")
    }
    if let coding = fields.first(name: "grpc-encoding"), coding.lowercased() != "identity" {
      return RPCError(.unimplemented, "the server compresses its messages, and it was not asked to")
    }
    return nil
  }
}

/// Reads messages out of a stream of bytes: a flag, a length of four bytes, the message ("Length-Prefixed-Message"). Pure.
struct RPCMessageReader: Sendable {
  static let prefixBytes = 5

  private let messageMax: Int
  private var buffer = ByteBuffer()

  /// - Parameter messageMax: in bytes.
  init(messageMax: Int) { self.messageMax = messageMax }

  /// Whether the last message was whole.
  var isAtEnd: Bool { buffer.readableBytes == 0 }

  mutating func append(_ bytes: ByteBuffer) {
    var bytes = bytes
    buffer.discardReadBytes()
    buffer.writeBuffer(&bytes)
  }

  /// The next message, if all of it is here.
  mutating func next() throws(RPCError) -> ByteBuffer? {
    guard let flag = buffer.getInteger(at: buffer.readerIndex, as: UInt8.self),
      let length = buffer.getInteger(at: buffer.readerIndex + 1, as: UInt32.self)
    else { return nil }
    switch flag {
    case 0: break
    case 1: throw RPCError(.unimplemented, "a message is compressed, and that was not asked for")
    default: throw RPCError(.internalError, "a message begins with a byte that has no meaning")
    }
    guard Int(length) <= messageMax else {
      throw RPCError(.resourceExhausted, "a message has \(length) bytes, and may have \(messageMax)")
    }
    guard buffer.readableBytes >= Self.prefixBytes + Int(length) else { return nil }
    buffer.moveReaderIndex(forwardBy: Self.prefixBytes)
    return buffer.readSlice(length: Int(length))
  }

  static func frame(_ message: ByteBuffer) -> ByteBuffer {
    var framed = ByteBuffer()
    framed.reserveCapacity(prefixBytes + message.readableBytes)
    framed.writeInteger(UInt8(0))
    framed.writeInteger(UInt32(message.readableBytes))
    framed.writeImmutableBuffer(message)
    return framed
  }
}
