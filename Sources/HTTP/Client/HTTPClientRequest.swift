import NIOCore
import NIOHTTP1

/// Where a request's connection goes.
package enum HTTPEndpoint: Sendable, Hashable {
  /// To the host and the port of its URL, by the proxy that is configured for it.
  case url
  /// To this host or address, without a proxy. The certificate must have the URL's name, or be for the address that is
  /// connected to.
  case address(host: String, port: Int)
  /// To a unix socket: its absolute path, 107 bytes at most.
  case unixSocket(path: String)
}

/// A request to an absolute URL.
package struct HTTPClientRequest: Sendable {
  package var method: HTTPMethod
  package var url: HTTPURL
  /// `Host` and `User-Agent` take the place of the client's own. What describes the body's length is the client's.
  package var headers: HTTPHeaders
  package var body: Body
  package var endpoint = HTTPEndpoint.url
  package var tls = ClientTLS()
  /// From now on to the answer's head, waiting for a connection included; `nil`: the phases' deadlines alone.
  package var headDeadline: Duration?
  /// Whether it may be sent again when a kept connection turns out to be closed before a byte of the answer has come:
  /// nobody knows whether it was done then. Set for the safe methods (RFC 9110, section 9.2.1).
  package var isRepeatable: Bool
  /// Whether it gets a connection of its own, of HTTP/1.1, which is neither counted nor kept: for what lasts long, and
  /// for what must show that a connection can be made.
  package var isAlone = false
  /// Whether its headers ask for another protocol, so that the answer may be 101: see `HTTPClient.upgrade`. It has a
  /// connection of its own.
  var mayUpgrade = false

  package enum Body: Sendable {
    case none
    case bytes(ByteBuffer)
    /// `read` gives the bytes at an offset, as many as it likes up to the count and at least one. It is called again
    /// from the start when the request is sent again. What it throws becomes the cause of an error `source`.
    case source(length: Int64, read: @Sendable (_ offset: Int64, _ count: Int) async throws -> ByteBuffer)

    var length: Int64? {
      switch self {
      case .none: nil
      case .bytes(let buffer): Int64(buffer.readableBytes)
      case .source(let length, _): length
      }
    }
  }

  package init(method: HTTPMethod, url: HTTPURL, headers: HTTPHeaders = [:], body: Body = .none) {
    self.method = method
    self.url = url
    self.headers = headers
    self.body = body
    isRepeatable = [.GET, .HEAD, .OPTIONS, .TRACE].contains(method)
  }

  /// Whether its head may not fit into one frame of the size that every peer takes (RFC 9113, section 4.2). NIOHTTP2 has no
  /// other way to send one, and gives up the whole connection.
  var isTooLargeForHTTP2: Bool {
    // Beside what is given: two lengths in front of each field, and the fields that are added.
    let limit = 16_384 - 1024 - 8 * headers.count
    let texts = headers.reduce(into: [url.target, url.authority]) { $0 += [$1.name, $1.value] }
    // Most heads are small, whatever is in them: a byte takes 30 bits at most.
    if texts.reduce(0, { $0 + 4 * $1.utf8.count }) <= limit { return false }
    return texts.reduce(0) { $0 + $1.utf8.reduce(0) { $0 + (Self.isShort($1) ? 1 : 4) } } > limit
  }

  /// Whether the code for a byte has 8 bits at most (RFC 7541, appendix B).
  private static func isShort(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    default: " %&*,-./:;=_".utf8.contains(byte)
    }
  }

  /// The head as it goes over the wire.
  func head(userAgent: String, proxy: ProxyAddress?) -> HTTPRequestHead {
    var fields: HTTPHeaders = [:]
    if !headers.contains(name: "host") { fields.add(name: "Host", value: url.authority) }
    if !userAgent.isEmpty, !headers.contains(name: "user-agent") { fields.add(name: "User-Agent", value: userAgent) }
    fields.add(contentsOf: headers)
    if let length = body.length {
      fields.replaceOrAdd(name: "Content-Length", value: String(length))
    } else if [.POST, .PUT, .PATCH].contains(method) {
      fields.replaceOrAdd(name: "Content-Length", value: "0")
    }
    var target = url.target
    if url.scheme == .http, let proxy {
      target = "http://\(url.authority)\(url.target)"
      if let authorization = proxy.authorization { fields.add(name: "Proxy-Authorization", value: authorization) }
    }
    return HTTPRequestHead(version: .http1_1, method: method, uri: target, headers: fields)
  }
}
