import NIOCore

/// Asks a proxy for a tunnel (`CONNECT`, RFC 9110, section 9.3.6) and waits for its consent; removes itself then.
final class ProxyTunnelHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let request: String
  private let result: EventLoopPromise<Void>
  private var received: [UInt8] = []
  private static let answerMax = 16 << 10

  /// - Parameter target: `host:port`, a checked one.
  init(target: String, authorization: String?, userAgent: String, result: EventLoopPromise<Void>) {
    var text = "CONNECT \(target) HTTP/1.1\r\nHost: \(target)\r\nUser-Agent: \(userAgent)\r\n"
    if let authorization { text += "Proxy-Authorization: \(authorization)\r\n" }
    request = text + "\r\n"
    self.result = result
  }

  func handlerAdded(context: ChannelHandlerContext) {
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: request)), promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    received += unwrapInboundIn(data).readableBytesView
    switch ProxyAnswer(received, max: Self.answerMax) {
    case .incomplete: break
    case .status(200..<300, hasMore: false): result.succeed()
    case .status(200..<300, hasMore: true):
      result.fail(HTTPClientError(.proxy(status: nil), "it speaks before the tunnel's other end was asked anything"))
    case .status(407, _): result.fail(HTTPClientError(.proxy(status: 407), "it wants (other) credentials"))
    case .status(let status, _): result.fail(HTTPClientError(.proxy(status: status), "it refuses the tunnel"))
    case .malformed: result.fail(HTTPClientError(.proxy(status: nil), "its answer is not HTTP"))
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    result.fail(HTTPClientError(error, isAnswered: false))
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    result.fail(HTTPClientError(.proxy(status: nil), "it closed the connection"))
    context.fireChannelInactive()
  }
}

/// The head of a proxy's answer to `CONNECT`.
enum ProxyAnswer: Equatable {
  case incomplete
  case status(Int, hasMore: Bool)
  case malformed

  init(_ bytes: [UInt8], max: Int) {
    let start = Array("HTTP/1.".utf8)
    guard bytes.starts(with: start.prefix(bytes.count)), bytes.count <= max else {
      self = .malformed
      return
    }
    var end: Int?
    if bytes.count >= 4 {
      for at in 0...bytes.count - 4 where bytes[at] == 13 && bytes[at + 1] == 10 && bytes[at + 2] == 13 {
        if bytes[at + 3] == 10 {
          end = at + 4
          break
        }
      }
    }
    guard let end else {
      self = .incomplete
      return
    }
    // "HTTP/1.1 200 …"
    guard bytes.count > 12, bytes[8] == 0x20,
      let status = ContentRange.number(String(decoding: bytes[9..<12], as: UTF8.self)), (100..<600).contains(status)
    else {
      self = .malformed
      return
    }
    self = .status(Int(status), hasMore: end < bytes.count)
  }
}
