import Wire

/// What a server must look at in a request's head before it trusts where the body ends and whom it is for (RFC 9112,
/// sections 3.2 and 6; RFC 9110, sections 7.2 and 10.1.1), besides what the parser refuses.
package enum HTTPFraming {
  /// Why a head is not answered as it asks. The connection cannot go on: where the next request begins is not sure.
  package struct Refusal: Sendable, Equatable {
    /// The HTTP status: 400, 417 or 501.
    package var status: Int
    package var reason: String
  }

  /// What is wrong with a head; `nil` for a good one.
  ///
  /// - Parameters:
  ///   - minor: the minor version of HTTP/1.
  ///   - headers: in the order in which they came.
  package static func refusal(minor: Int, headers: some Sequence<(name: String, value: String)>) -> Refusal? {
    var host: String?
    var hosts = 0
    var lengths = 0
    var codings = 0
    for (name, value) in headers {
      // Names are compared only where the length fits: this runs for each request.
      switch name.utf8.count {
      case 4 where equals(name, "host"):
        hosts += 1
        host = value
      case 6 where equals(name, "expect") && !equals(value, "100-continue"):
        return Refusal(status: 417, reason: "the only expectation that is met is 100-continue")
      case 14 where equals(name, "content-length"): lengths += 1
      case 17 where equals(name, "transfer-encoding"):
        codings += 1
        guard equals(value, "chunked") else {
          return Refusal(status: 501, reason: "the only transfer coding that is understood is chunked")
        }
      default: break
      }
    }
    if hosts > 1 { return Refusal(status: 400, reason: "more than one Host header") }
    if codings > 1 { return Refusal(status: 400, reason: "more than one Transfer-Encoding header") }
    if lengths > 1 { return Refusal(status: 400, reason: "more than one Content-Length header") }
    if lengths > 0, codings > 0 {
      return Refusal(status: 400, reason: "both a Content-Length and a Transfer-Encoding header")
    }
    if codings > 0, minor == 0 { return Refusal(status: 400, reason: "a Transfer-Encoding header in HTTP/1.0") }
    guard let host else {
      return minor == 0 ? nil : Refusal(status: 400, reason: "no Host header")
    }
    return isHost(host) ? nil : Refusal(status: 400, reason: "a malformed Host header")
  }

  /// `uri-host [ ":" port ]`: a name, an IPv4 address or an IPv6 address in brackets; it may be empty.
  static func isHost(_ text: String) -> Bool {
    var text = text[...].utf8
    if text.first == UInt8(ascii: "[") {
      guard let end = text.firstIndex(of: UInt8(ascii: "]")),
        IPAddress(String(Substring(text[text.index(after: text.startIndex)..<end])))?.isIPv4 == false
      else { return false }
      text = text[text.index(after: end)...]
      return text.isEmpty || (text.first == UInt8(ascii: ":") && isPort(text.dropFirst()))
    }
    let colon = text.firstIndex(of: UInt8(ascii: ":")) ?? text.endIndex
    guard text[..<colon].allSatisfy(isNameByte) else { return false }
    return colon == text.endIndex || isPort(text[text.index(after: colon)...])
  }

  private static func isPort(_ text: Substring.UTF8View) -> Bool {
    text.count <= 5 && text.allSatisfy { (0x30...0x39).contains($0) }
  }

  /// `reg-name` of RFC 3986, section 3.2.2: unreserved, percent-encoded, sub-delims.
  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    default: "-._~%!$&'()*+,;=".utf8.contains(byte)
    }
  }

  /// Without regard to case; `lower` is in lower case.
  private static func equals(_ text: String, _ lower: StaticString) -> Bool {
    lower.withUTF8Buffer { lower in
      text.utf8.count == lower.count
        && zip(text.utf8, lower).allSatisfy { $0 == $1 || (isLetter($1) && $0 | 0x20 == $1) }
    }
  }

  private static func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) }
}
