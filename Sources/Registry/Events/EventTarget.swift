/// The parts of an `http://` or `https://` URL that events are sent to.
struct EventTarget: Sendable, Equatable {
  var isTLS: Bool
  var host: String
  var port: Int
  /// With the query; begins with `/`.
  var path: String

  init?(_ url: String) {
    let rest: Substring
    if url.hasPrefix("http://") {
      isTLS = false
      rest = url.dropFirst("http://".count)
    } else if url.hasPrefix("https://") {
      isTLS = true
      rest = url.dropFirst("https://".count)
    } else {
      return nil
    }
    guard rest.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), !rest.contains("@") else { return nil }
    let slash = rest.firstIndex(where: { $0 == "/" || $0 == "?" }) ?? rest.endIndex
    let authority = rest[..<slash]
    let tail = rest[slash...]
    path = tail.hasPrefix("/") ? String(tail) : "/" + tail
    if let fragment = path.firstIndex(of: "#") { path = String(path[..<fragment]) }
    var name = authority
    port = isTLS ? 443 : 80
    if authority.hasPrefix("[") {
      guard let close = authority.firstIndex(of: "]") else { return nil }
      name = authority[authority.index(after: authority.startIndex)..<close]
      let after = authority[authority.index(after: close)...]
      if !after.isEmpty {
        guard after.hasPrefix(":"), let number = Int(after.dropFirst()), (1...65535).contains(number) else {
          return nil
        }
        port = number
      }
    } else if let colon = authority.lastIndex(of: ":") {
      name = authority[..<colon]
      guard let number = Int(authority[authority.index(after: colon)...]), (1...65535).contains(number) else {
        return nil
      }
      port = number
    }
    guard !name.isEmpty else { return nil }
    host = String(name)
  }

  /// The value of `Host`.
  var authority: String {
    let name = host.contains(":") ? "[\(host)]" : host
    return port == (isTLS ? 443 : 80) ? name : "\(name):\(port)"
  }
}
