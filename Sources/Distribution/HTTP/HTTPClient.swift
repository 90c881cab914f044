import NIOCore
import NIOHTTP1

/// A request to an absolute URL.
struct HTTPRequest: Sendable {
  var method: HTTPMethod
  var url: HTTPURL
  /// Without `Host`, `User-Agent` and what describes the body's length.
  var headers: HTTPHeaders = [:]
  var body: HTTPRequestBody = .none
}

enum HTTPRequestBody: Sendable {
  case none
  case bytes(ByteBuffer)
  /// `read` gives the bytes at an offset, as many as it likes up to the count and at least one. It is called again from
  /// the start when the request is sent again.
  case source(
    length: Int64, read: @Sendable (_ offset: Int64, _ count: Int) async throws(DistributionError) -> ByteBuffer)

  var length: Int64? {
    switch self {
    case .none: nil
    case .bytes(let buffer): Int64(buffer.readableBytes)
    case .source(let length, _): length
    }
  }
}

/// The head of a response, and its body as a stream. Letting go of it closes the connection when the body has not been
/// read to its end.
final class HTTPResponse: Sendable {
  let status: Int
  let headers: HTTPHeaders
  /// What was asked, after redirects.
  let url: HTTPURL
  private let exchange: Exchange
  private let idleLimit: Duration
  private let rateMin: Int

  init(_ head: HTTPResponseHead, url: HTTPURL, exchange: Exchange, idleLimit: Duration, rateMin: Int) {
    status = Int(head.status.code)
    headers = head.headers
    self.url = url
    self.exchange = exchange
    self.idleLimit = idleLimit
    self.rateMin = rateMin
  }

  deinit { exchange.finish() }

  /// The next part of the body; `nil` at its end.
  func next() async throws(HTTPFailure) -> ByteBuffer? {
    try await exchange.nextChunk(within: idleLimit, rateMin: rateMin)
  }

  /// The whole body, or `nil` when it is longer than `limit`.
  /// - Parameter deadline: for all of it, so that a server which sends a byte now and then does not keep us.
  func collect(limit: Int, within deadline: Duration) async throws(HTTPFailure) -> [UInt8]? {
    let timer = exchange.abort(after: deadline)
    defer { timer.cancel() }
    var bytes: [UInt8] = []
    while let chunk = try await next() {
      guard bytes.count + chunk.readableBytes <= limit else { return nil }
      bytes += chunk.readableBytesView
    }
    return bytes
  }

  /// Reads a short rest, so that the connection can be used again; a long one costs more than a new connection.
  func discard() async {
    var left = 64 << 10
    while left > 0, let chunk = try? await next() { left -= chunk.readableBytes }
    exchange.finish()
  }

  var contentLength: Int64? { headers.first(name: "content-length").flatMap { ContentRange.number($0) } }
}

/// HTTP/1.1 exchanges over pooled connections. No redirects, no credentials, no second attempts: those are decided
/// above.
final class HTTPClient: Sendable {
  private let pool: ConnectionPool
  private let deadlines: RegistryClientConfiguration.Deadlines
  private let streamBuffer: Int
  private let rateMin: Int
  private let proxy: ProxyConfiguration
  private let userAgent: String

  private static let bodyPart = 256 << 10

  init(configuration: RegistryClientConfiguration, group: any EventLoopGroup) {
    pool = ConnectionPool(configuration: configuration, group: group)
    deadlines = configuration.deadlines
    streamBuffer = configuration.limits.streamBuffer
    rateMin = configuration.limits.rateMin
    proxy = configuration.proxy
    userAgent = configuration.userAgent
  }

  func close() { pool.close() }
  func reset() { pool.reset() }
  var connectionCount: Int { pool.connectionCount }

  /// Sends a request and returns when the response's head is there.
  func execute(_ request: HTTPRequest, tls: RegistryHosts.TLS) async throws(HTTPFailure) -> HTTPResponse {
    let url = request.url
    let proxy = proxy.proxy(for: url)
    let key = ConnectionKey(
      scheme: url.scheme, host: url.host, port: url.port, tls: url.scheme == .https ? tls : RegistryHosts.TLS(),
      proxy: proxy)
    var isFresh = false
    while true {
      if Task.isCancelled { throw .cancelled }
      let connection = try await pool.acquire(key, isFresh: isFresh)
      do throws(HTTPFailure) {
        return try await exchange(request, key, connection)
      } catch {
        // The server closed a kept connection while the request was on its way: that is no failure of the server's.
        guard connection.isReused, error == .closed(isAnswered: false) else { throw error }
        isFresh = true
      }
    }
  }

  private func exchange(
    _ request: HTTPRequest, _ key: ConnectionKey, _ connection: ConnectionPool.Connection
  ) async throws(HTTPFailure) -> HTTPResponse {
    let open = connection.open
    let exchange = Exchange(open, bufferMax: streamBuffer) { [pool] isReusable in
      pool.release(key, open, isReusable: isReusable)
    }
    do throws(HTTPFailure) {
      let isHandshake = !connection.isReused && key.scheme == .https
      try await exchange.send(
        head(request, proxy: key.proxy), phase: isHandshake ? .tls : .idle,
        within: isHandshake ? deadlines.tls : deadlines.idle)
      if try await send(request.body, to: exchange) { exchange.sendEnd() }
      let head = try await exchange.head(within: deadlines.head)
      return HTTPResponse(
        head, url: request.url, exchange: exchange, idleLimit: deadlines.idle, rateMin: rateMin)
    } catch {
      exchange.finish()
      throw error
    }
  }

  /// Returns whether the whole body was sent: an answer that comes earlier ends the sending.
  private func send(_ body: HTTPRequestBody, to exchange: Exchange) async throws(HTTPFailure) -> Bool {
    switch body {
    case .none: return true
    case .bytes(let buffer):
      if buffer.readableBytes > 0 { _ = try await exchange.send(buffer, within: deadlines.idle) }
      return true
    case .source(let length, let read):
      var offset: Int64 = 0
      while offset < length {
        let chunk: ByteBuffer
        do throws(DistributionError) {
          chunk = try await read(offset, Int(min(Int64(Self.bodyPart), length - offset)))
        } catch {
          throw .source(error)
        }
        guard chunk.readableBytes > 0, Int64(chunk.readableBytes) <= length - offset else {
          throw .source(DistributionError(.store, "what is to be sent is shorter than its stated size"))
        }
        offset += Int64(chunk.readableBytes)
        guard try await exchange.send(chunk, within: deadlines.idle) || offset == length else { return false }
      }
      return true
    }
  }

  private func head(_ request: HTTPRequest, proxy: ProxyAddress?) -> HTTPRequestHead {
    let url = request.url
    var headers: HTTPHeaders = ["host": url.authority, "user-agent": userAgent]
    headers.add(contentsOf: request.headers)
    if let length = request.body.length {
      headers.replaceOrAdd(name: "content-length", value: String(length))
    } else if [.POST, .PUT, .PATCH].contains(request.method) {
      headers.replaceOrAdd(name: "content-length", value: "0")
    }
    var target = url.target
    if url.scheme == .http, let proxy {
      target = "http://\(url.authority)\(url.target)"
      if let authorization = proxy.authorization { headers.add(name: "proxy-authorization", value: authorization) }
    }
    return HTTPRequestHead(version: .http1_1, method: request.method, uri: target, headers: headers)
  }
}
