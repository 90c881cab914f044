import Wire

/// An absolute `http` or `https` URL (RFC 3986), parsed strictly: no user information, no characters outside the
/// grammar, no fragment. What is not clear is refused, because two parsers that differ are how requests go astray.
package struct HTTPURL: Sendable, Hashable, CustomStringConvertible {
  package enum Scheme: String, Sendable {
    case http, https

    package var defaultPort: Int { self == .http ? 80 : 443 }
  }

  package var scheme: Scheme
  /// In lower case; an IPv6 address without its brackets.
  package var host: String
  package var port: Int
  /// Starts with a slash; percent-encoding as it came.
  package var path: String
  /// What follows the question mark; `nil` without one.
  package var query: String?

  static let lengthMax = 16 << 10

  package init(scheme: Scheme, host: String, port: Int, path: String, query: String? = nil) {
    self.scheme = scheme
    self.host = host
    self.port = port
    self.path = path
    self.query = query
  }

  /// Parses an absolute URL; a fragment is dropped, since it is never sent (RFC 9110, section 7.1).
  package init?(_ text: String) {
    guard text.utf8.count <= HTTPURL.lengthMax, let colon = text.firstIndex(of: ":"),
      let scheme = Scheme(rawValue: text[..<colon].lowercased())
    else { return nil }
    let rest = text[text.index(after: colon)...]
    guard rest.hasPrefix("//") else { return nil }
    self.init(scheme: scheme, afterScheme: rest.dropFirst(2))
  }

  private init?(scheme: Scheme, afterScheme text: Substring) {
    let end = text.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? text.endIndex
    guard let (host, port) = HTTPURL.authority(text[..<end]) else { return nil }
    guard let (path, query) = HTTPURL.pathAndQuery(text[end...]) else { return nil }
    guard path.isEmpty || path.hasPrefix("/") else { return nil }
    self.init(
      scheme: scheme, host: host, port: port ?? scheme.defaultPort, path: path.isEmpty ? "/" : path, query: query)
  }

  /// Host and port of `host`, `host:port`, `[v6]:port`.
  package static func authority(_ text: some StringProtocol) -> (host: String, port: Int?)? {
    var host = String(text)
    var portText: String?
    if host.hasPrefix("[") {
      guard let end = host.firstIndex(of: "]") else { return nil }
      let after = host[host.index(after: end)...]
      host = String(host[host.index(after: host.startIndex)..<end])
      guard host.contains(":"), let address = IPAddress(host) else { return nil }
      host = address.description
      if !after.isEmpty {
        guard after.hasPrefix(":") else { return nil }
        portText = String(after.dropFirst())
      }
    } else {
      if let colon = host.firstIndex(of: ":") {
        portText = String(host[host.index(after: colon)...])
        host = String(host[..<colon])
      }
      host = host.lowercased()
      guard isHostName(host) else { return nil }
    }
    guard let portText else { return (host, nil) }
    guard (1...5).contains(portText.utf8.count), portText.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let port = Int(portText), (1...65535).contains(port)
    else { return nil }
    return (host, port)
  }

  private static func isHostName(_ text: String) -> Bool {
    guard (1...253).contains(text.utf8.count) else { return false }
    return text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
      (1...63).contains(label.utf8.count)
        && label.utf8.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }
    }
  }

  /// `/path?query#fragment`, checked; the fragment is dropped.
  private static func pathAndQuery(_ text: Substring) -> (path: String, query: String?)? {
    let whole = text.prefix { $0 != "#" }
    guard isText(whole) else { return nil }
    guard let mark = whole.firstIndex(of: "?") else { return (String(whole), nil) }
    return (String(whole[..<mark]), String(whole[whole.index(after: mark)...]))
  }

  /// Only the characters that a path or a query may have, and every percent sign with its two digits.
  private static func isText(_ text: Substring) -> Bool {
    var digitsDue = 0
    for byte in text.utf8 {
      if digitsDue > 0 {
        guard hexValue(byte) != nil else { return false }
        digitsDue -= 1
      } else if byte == UInt8(ascii: "%") {
        digitsDue = 2
      } else if !isAlphanumeric(byte), !punctuation.contains(byte) {
        return false
      }
    }
    return digitsDue == 0
  }

  /// unreserved, sub-delims, and `:@/?`; square brackets are outside the grammar, but are met in queries.
  private static let punctuation = Set("-._~!$&'()*+,;=:@/?[]".utf8)

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20)
  }

  private static func hexValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x37
    case 0x61...0x66: byte - 0x57
    default: nil
    }
  }

  // MARK: Resolving

  /// The URL that a reference, such as the value of `Location`, means here (RFC 3986, section 5.2).
  package func resolving(_ reference: String) -> HTTPURL? {
    guard reference.utf8.count <= HTTPURL.lengthMax, !reference.isEmpty else { return nil }
    if let absolute = HTTPURL(reference) { return absolute.normalized }
    if reference.hasPrefix("//") { return HTTPURL(scheme: scheme, afterScheme: reference.dropFirst(2))?.normalized }
    guard let (newPath, newQuery) = HTTPURL.pathAndQuery(Substring(reference)) else { return nil }
    // A colon in the first segment would be a scheme, and it is none of ours.
    guard newPath.prefix(while: { $0 != "/" }).contains(":") == false else { return nil }
    var url = self
    if newPath.isEmpty {
      url.query = newQuery ?? query
      return url
    }
    url.query = newQuery
    if newPath.hasPrefix("/") {
      url.path = newPath
    } else {
      let folder = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
      url.path = folder + "/" + newPath
    }
    return url.normalized
  }

  /// Without `.` and `..` segments.
  private var normalized: HTTPURL {
    var segments: [Substring] = []
    let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
    for (index, part) in parts.enumerated() {
      let isLast = index == parts.count - 1
      switch part {
      case ".": if isLast { segments.append("") }
      case "..":
        _ = segments.popLast()
        if isLast { segments.append("") }
      default: segments.append(part)
      }
    }
    var url = self
    url.path = "/" + segments.joined(separator: "/")
    return url
  }

  // MARK: Parts

  /// Adds `name=value`, both percent-encoded, to the query.
  package mutating func addQuery(_ name: String, _ value: String) {
    let pair = "\(HTTPURL.encode(name))=\(HTTPURL.encode(value))"
    query = query.map { $0.isEmpty ? pair : "\($0)&\(pair)" } ?? pair
  }

  /// Percent-encodes everything but unreserved characters, `:` and `/`, which a query may hold as they are.
  package static func encode(_ text: String) -> String {
    var result = ""
    for byte in text.utf8 {
      if isAlphanumeric(byte) || "-._~:/".utf8.contains(byte) {
        result.unicodeScalars.append(Unicode.Scalar(byte))
      } else {
        let digits = Array("0123456789ABCDEF".unicodeScalars)
        result.unicodeScalars.append("%")
        result.unicodeScalars.append(digits[Int(byte >> 4)])
        result.unicodeScalars.append(digits[Int(byte & 15)])
      }
    }
    return result
  }

  /// Encodes a value of `application/x-www-form-urlencoded`.
  package static func encodeForm(_ pairs: [(String, String)]) -> String {
    pairs.map { "\(encode($0))=\(encode($1))" }.joined(separator: "&")
  }

  /// Decodes percent-encoding, as the user information of a proxy's URL needs it; `nil` for a broken one.
  package static func decode(_ text: some StringProtocol) -> String? {
    var bytes: [UInt8] = []
    var rest = Substring(text).utf8[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      guard let high = rest.popFirst().flatMap(hexValue), let low = rest.popFirst().flatMap(hexValue) else {
        return nil
      }
      bytes.append(high << 4 | low)
    }
    return String(validating: bytes, as: UTF8.self)
  }

  /// `host`, or `host:port` when the port is not the scheme's own: the value of `Host`.
  package var authority: String {
    port == scheme.defaultPort ? bracketedHost : "\(bracketedHost):\(port)"
  }

  package var bracketedHost: String { host.contains(":") ? "[\(host)]" : host }

  /// Path and query, as the request line has them.
  package var target: String { query.map { "\(path)?\($0)" } ?? path }

  package var origin: String { "\(scheme.rawValue)://\(bracketedHost):\(port)" }

  /// Whether credentials for the one may be sent to the other.
  package func hasSameOrigin(as other: HTTPURL) -> Bool {
    scheme == other.scheme && host == other.host && port == other.port
  }

  /// The whole URL. For messages use `redacted`.
  package var description: String { "\(scheme.rawValue)://\(authority)\(target)" }

  /// Without the query, which may hold a signature.
  package var redacted: String { "\(scheme.rawValue)://\(authority)\(path)" }
}
