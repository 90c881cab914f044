import HTTP
import NIOCore
import NIOHTTP1
import Testing

@testable import RPC

@Suite struct RPCFieldTests {
  @Test(
    arguments: [
      (.zero, "1n"), (.nanoseconds(1), "1n"), (.nanoseconds(99_999_999), "99999999n"), (.milliseconds(100), "100000u"),
      (.seconds(99), "99000000u"), (.seconds(100), "100000m"), (.seconds(99_999), "99999000m"),
      (.seconds(100_000), "100000S"), (.nanoseconds(100_000_001), "100001u"), (.seconds(-5), "1n"),
      (.seconds(100_000_000), "1666667M"), (.seconds(6_000_000_000), "1666667H"),
      (.seconds(Int64.max / 2), "99999999H"),
    ] as [(Duration, String)])
  func timeouts(_ deadline: Duration, _ text: String) {
    #expect(RPCFields.timeout(deadline) == text)
  }

  @Test(arguments: [
    ("", ""), ("plain", "plain"), ("a%20b", "a b"), ("%E2%82%AC", "€"), ("%e2%82%ac", "€"), ("%", "%"), ("%2", "%2"),
    ("%zz", "%zz"), ("100%", "100%"), ("%25", "%"), ("%%20", "% "), ("%FF", "\u{FFFD}"),
  ])
  func messages(_ text: String, _ decoded: String) {
    #expect(RPCFields.message(text) == decoded)
  }

  @Test func ends() {
    #expect(RPCFields.failure(["grpc-status": "0"]) == nil)
    for status in RPCStatus.allCases where status != .ok {
      let failure = RPCFields.failure(["grpc-status": "\(status.rawValue)", "grpc-message": "a%21"])
      #expect(failure?.status == status && failure?.message == "a!")
    }
    #expect(RPCFields.failure([:])?.status == .internalError)
    for text in ["", "17", "99", "-1", "x", "0x1", "000", " 0"] {
      #expect(RPCFields.failure(["grpc-status": text])?.status == .unknown, "\(text)")
    }
    #expect(RPCFields.failure(["grpc-status": "0", "Grpc-Status": "0"])?.status == .unknown)
  }

  @Test func heads() {
    func status(_ status: Int, _ fields: HTTPHeaders) -> RPCStatus? {
      RPCFields.refusal(status: status, fields)?.status
    }
    for type in ["application/grpc", "application/grpc+proto", "Application/gRPC; charset=x"] {
      #expect(status(200, ["content-type": type]) == nil)
    }
    for type in ["", "text/html", "application/grpc-web", "application/grpcx"] {
      #expect(status(200, ["content-type": type]) == .unknown)
    }
    #expect(status(200, [:]) == .unknown)
    let codes: [Int: RPCStatus] = [
      400: .internalError, 401: .unauthenticated, 403: .permissionDenied, 404: .unimplemented, 429: .unavailable,
      502: .unavailable, 503: .unavailable, 504: .unavailable, 500: .unknown, 302: .unknown, 204: .unknown,
    ]
    for (code, expected) in codes { #expect(status(code, ["content-type": "application/grpc"]) == expected) }
    #expect(status(503, ["grpc-status": "8"]) == .resourceExhausted)
    #expect(status(200, ["content-type": "application/grpc", "grpc-encoding": "gzip"]) == .unimplemented)
    #expect(status(200, ["content-type": "application/grpc", "grpc-encoding": "identity"]) == nil)
  }

  // MARK: Messages

  private func read(_ bytes: [UInt8], by step: Int, messageMax: Int = 100) throws -> ([[UInt8]], isAtEnd: Bool) {
    var reader = RPCMessageReader(messageMax: messageMax)
    var messages: [[UInt8]] = []
    for at in stride(from: 0, to: bytes.count, by: step) {
      reader.append(ByteBuffer(bytes: bytes[at..<min(bytes.count, at + step)]))
      while let message = try reader.next() { messages.append(Array(message.readableBytesView)) }
    }
    return (messages, reader.isAtEnd)
  }

  @Test func messagesComeInAnyPieces() throws {
    let messages: [[UInt8]] = [[], [1], [], Array(repeating: 7, count: 100), [2, 3]]
    let bytes = messages.flatMap { Array(RPCMessageReader.frame(ByteBuffer(bytes: $0)).readableBytesView) }
    for step in 1...bytes.count {
      let (read, isAtEnd) = try read(bytes, by: step)
      #expect(read == messages && isAtEnd)
    }
    let (whole, isAtEnd) = try read(Array(bytes.dropLast()), by: 7)
    #expect(whole == messages.dropLast() && !isAtEnd)
  }

  @Test(
    arguments: [
      ([1, 0, 0, 0, 0], .unimplemented), ([2, 0, 0, 0, 0], .internalError), ([255, 0, 0, 0, 0], .internalError),
      ([0, 0, 0, 0, 101], .resourceExhausted), ([0, 255, 255, 255, 255], .resourceExhausted),
    ] as [([UInt8], RPCStatus)])
  func messagesThatAreNone(_ bytes: [UInt8], _ status: RPCStatus) {
    let error = #expect(throws: RPCError.self) { try read(bytes, by: 1) }
    #expect(error?.status == status)
  }
}
