import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// What one try of a probe says.
enum ProbeResult: Sendable, Equatable {
  case success
  /// The `Unhealthy` event's text after `Liveness probe failed: `.
  case failure(String)
}

/// One HTTP/1.1 GET. HTTPS without verification, as kubelet does: the probe asks for life, not for identity.
///
/// A status from 200 to 399 is a success. A redirect is not followed, since where it leads may be another pod: that the
/// container answers is enough.
enum HTTPProbe {
  /// Bytes of the body that go into the event.
  static let bodyMax = 10 << 10

  static func get(_ target: ProbeTarget.HTTP, timeout: Duration) async -> ProbeResult {
    let scheme = target.isTLS ? "https" : "http"
    let authority = target.host.contains(":") ? "[\(target.host)]" : target.host
    let url = "\(scheme)://\(authority):\(target.port)\(target.path)"
    let limit = TimeAmount(timeout)
    let group = MultiThreadedEventLoopGroup.singleton
    let promise = group.any().makePromise(of: HTTPProbeHandler.Answer.self)
    var tls: NIOSSLContext?
    if target.isTLS {
      var configuration = TLSConfiguration.makeClientConfiguration()
      configuration.certificateVerification = .none
      tls = try? NIOSSLContext(configuration: configuration)
    }
    let context = tls
    let connection = ClientBootstrap(group: promise.futureResult.eventLoop)
      .connectTimeout(limit)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          if let context { try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil)) }
          try pipeline.addHTTPClientHandlers()
          try pipeline.addHandler(HTTPProbeHandler(target: target, promise: promise))
        }
      }
      .connect(host: target.host, port: target.port)
    connection.whenFailure { promise.fail($0) }
    let deadline = promise.futureResult.eventLoop.scheduleTask(in: limit) { promise.fail(ProbeTimeout()) }
    defer {
      deadline.cancel()
      connection.whenSuccess { $0.close(promise: nil) }
    }
    do {
      let answer = try await promise.futureResult.get()
      if (200..<400).contains(answer.status) { return .success }
      return .failure("HTTP probe failed with statuscode: \(answer.status) from \(url)")
    } catch is ProbeTimeout {
      return .failure("Get \"\(url)\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
    } catch let error as ChannelError where error == .connectTimeout(limit) {
      return .failure("Get \"\(url)\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
    } catch {
      return .failure("Get \"\(url)\": \(TCPProbe.reason(error, address: "\(authority):\(target.port)"))")
    }
  }
}

private struct ProbeTimeout: Error {}

/// Sends the request when connected and reports the answer's status.
private final class HTTPProbeHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundOut = HTTPClientRequestPart

  struct Answer: Sendable {
    var status: Int
  }

  private let target: ProbeTarget.HTTP
  private let promise: EventLoopPromise<Answer>
  private var isDone = false

  init(target: ProbeTarget.HTTP, promise: EventLoopPromise<Answer>) {
    self.target = target
    self.promise = promise
  }

  func channelActive(context: ChannelHandlerContext) {
    var headers = HTTPHeaders(target.headers.map { ($0.name, $0.value) })
    headers.replaceOrAdd(name: "Connection", value: "close")
    let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: target.path, headers: headers)
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .head(let head) = unwrapInboundIn(data) else { return }
    isDone = true
    promise.succeed(Answer(status: Int(head.status.code)))
    context.close(promise: nil)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if !isDone { promise.fail(error) }
    isDone = true
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    if !isDone { promise.fail(ChannelError.eof) }
    isDone = true
    context.fireChannelInactive()
  }
}

/// Success when the port accepts a connection.
enum TCPProbe {
  static func connect(host: String, port: Int, timeout: Duration) async -> ProbeResult {
    do {
      let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connectTimeout(TimeAmount(timeout)).connect(host: host, port: port).get()
      channel.close(promise: nil)
      return .success
    } catch {
      let authority = host.contains(":") ? "[\(host)]" : host
      return .failure(reason(error, address: "\(authority):\(port)"))
    }
  }

  /// The words that kubelet's events have: what was being done, with whom, and why it failed.
  static func reason(_ error: any Error, address: String) -> String {
    if let error = error as? NIOConnectionError, let first = error.connectionErrors.first {
      return reason(first.error, address: address)
    }
    if let error = error as? IOError {
      switch error.errnoCode {
      case ECONNREFUSED: return "dial tcp \(address): connect: connection refused"
      case EHOSTUNREACH: return "dial tcp \(address): connect: no route to host"
      case ENETUNREACH: return "dial tcp \(address): connect: network is unreachable"
      case ECONNRESET: return "read tcp \(address): read: connection reset by peer"
      default: return "\(address): \(error.description)"
      }
    }
    if case .connectTimeout = error as? ChannelError { return "dial tcp \(address): i/o timeout" }
    if case .eof = error as? ChannelError { return "EOF" }
    return "\(address): \(error)"
  }
}
