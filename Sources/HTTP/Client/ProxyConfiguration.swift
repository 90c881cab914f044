import Wire

/// Which requests go through a proxy, in the form of the environment variables that every tool knows.
///
/// `https` requests are tunnelled (`CONNECT`, RFC 9110, section 9.3.6), `http` requests are sent to the proxy with
/// their whole URL. Loopback addresses and `localhost` never go through a proxy. The proxy itself is spoken to in plain HTTP.
package struct ProxyConfiguration: Sendable, Hashable {
  /// `HTTP_PROXY`: `http://user:password@host:port`.
  package var http: ProxyAddress?
  /// `HTTPS_PROXY`.
  package var https: ProxyAddress?
  /// `NO_PROXY`: hosts (`example.com` with what is below it, `.example.com` only what is below), addresses, address
  /// ranges in CIDR notation, each optionally with a port; `*` for all.
  package var exceptions: [String]

  package init(http: ProxyAddress? = nil, https: ProxyAddress? = nil, exceptions: [String] = []) {
    self.http = http
    self.https = https
    self.exceptions = exceptions
  }

  /// Reads `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, in upper or lower case (the lower case wins, as in curl).
  ///
  /// - Throws: `invalidConfiguration` for an address that cannot be used; the message does not hold it.
  package init(environment: [String: String]) throws(HTTPClientError) {
    func address(_ name: String) throws(HTTPClientError) -> ProxyAddress? {
      guard let text = environment[name.lowercased()] ?? environment[name], !text.isEmpty else { return nil }
      guard let address = ProxyAddress(text) else {
        throw HTTPClientError(
          .invalidConfiguration, "\(name) must be http://host:port, optionally with user:password@ before the host")
      }
      return address
    }
    http = try address("HTTP_PROXY")
    https = try address("HTTPS_PROXY")
    exceptions = (environment["no_proxy"] ?? environment["NO_PROXY"] ?? "")
      .split { $0 == "," || $0 == " " }.map(String.init)
  }

  /// The proxy for a request, or `nil` for the direct way.
  func proxy(for url: HTTPURL) -> ProxyAddress? {
    guard let proxy = url.scheme == .https ? https : http else { return nil }
    if HostName.isLoopback(url.host) || exceptions.contains(where: { Self.matches($0, url) }) { return nil }
    return proxy
  }

  private static func matches(_ exception: String, _ url: HTTPURL) -> Bool {
    if exception == "*" { return true }
    let address = IPAddress(url.host)
    if let slash = exception.firstIndex(of: "/") {
      guard let address, let base = IPAddress(String(exception[..<slash])),
        let length = Int(exception[exception.index(after: slash)...]), base.bytes.count == address.bytes.count,
        (0...base.bytes.count * 8).contains(length)
      else { return false }
      return (0..<length).allSatisfy { bit in
        let mask = UInt8(0x80) >> UInt8(bit % 8)
        return base.bytes[bit / 8] & mask == address.bytes[bit / 8] & mask
      }
    }
    if let own = IPAddress(exception) { return own == address }
    var text = exception.lowercased()
    var isOnlyBelow = false
    if text.hasPrefix("*.") { text.removeFirst() }
    if text.hasPrefix(".") {
      isOnlyBelow = true
      text.removeFirst()
    }
    guard let (host, port) = HTTPURL.authority(text), port == nil || port == url.port else { return false }
    if url.host == host { return !isOnlyBelow }
    return address == nil && url.host.hasSuffix("." + host)
  }
}

/// Where a proxy listens, and what it wants to know.
package struct ProxyAddress: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible,
  CustomReflectable
{
  package var host: String
  package var port: Int
  /// `user:password`.
  var userInformation: String?

  /// Parses `http://user:password@host:port`; the scheme may be missing, the port is 80 then.
  package init?(_ text: String) {
    var rest = Substring(text)
    if let separator = rest.firstRange(of: "://") {
      guard rest[..<separator.lowerBound].lowercased() == "http" else { return nil }
      rest = rest[separator.upperBound...]
    }
    if rest.hasSuffix("/") { rest.removeLast() }
    if let at = rest.lastIndex(of: "@") {
      guard let information = HTTPURL.decode(rest[..<at]), information.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F })
      else { return nil }
      userInformation = information.contains(":") ? information : information + ":"
      rest = rest[rest.index(after: at)...]
    }
    guard let (host, port) = HTTPURL.authority(rest) else { return nil }
    self.host = host
    self.port = port ?? 80
  }

  /// The value of `Proxy-Authorization`.
  var authorization: String? { userInformation.map { "Basic \(Base64.encode(Array($0.utf8)))" } }

  package var description: String { "\(host.contains(":") ? "[\(host)]" : host):\(port)" }
  package var debugDescription: String { description }
  package var customMirror: Mirror { Mirror(self, children: []) }
}

package enum HostName {
  /// `localhost`, what is below it, 127.0.0.0/8 and ::1.
  package static func isLoopback(_ host: String) -> Bool {
    if host == "localhost" || host.hasSuffix(".localhost") { return true }
    guard let address = IPAddress(host) else { return false }
    return address.isIPv4 ? address.bytes[0] == 127 : address.bytes == [UInt8](repeating: 0, count: 15) + [1]
  }
}
