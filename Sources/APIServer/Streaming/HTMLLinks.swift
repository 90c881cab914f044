/// Makes links of a page that was fetched through the proxy lead through it again: those that begin with `/` would leave it.
enum HTMLLinks {
  /// A page of more is handed on as it is.
  static let bytesMax = 4 << 20

  private static let attributes: Set<String> = [
    "action", "background", "cite", "data", "formaction", "href", "icon", "longdesc", "manifest", "poster", "profile",
    "src", "usemap",
  ]

  /// - Parameter prefix: what stands for the other server's root, without a slash at its end.
  static func rewrite(_ page: [UInt8], prefix: String) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(page.count + 1024)
    var at = 0
    while at < page.count {
      guard page[at] == UInt8(ascii: "<"), at + 1 < page.count, isLetter(page[at + 1]) else {
        result.append(page[at])
        at += 1
        continue
      }
      at = copyTag(page, from: at, prefix, &result)
    }
    return result
  }

  /// Copies one tag.
  ///
  /// - Returns: where it ends.
  private static func copyTag(_ page: [UInt8], from start: Int, _ prefix: String, _ result: inout [UInt8]) -> Int {
    var at = start
    var name: [UInt8] = []
    while at < page.count {
      let byte = page[at]
      result.append(byte)
      at += 1
      switch byte {
      case UInt8(ascii: ">"): return at
      case UInt8(ascii: "="):
        while at < page.count, isSpace(page[at]) {
          result.append(page[at])
          at += 1
        }
        at = copyValue(
          page, from: at, attributes.contains(String(decoding: name, as: UTF8.self)) ? prefix : nil, &result)
        name = []
      case _ where isSpace(byte):
        // A name may be followed by space before its sign.
        if at < page.count, page[at] != UInt8(ascii: "="), !isSpace(page[at]) { name = [] }
      default: name.append(byte | 0x20)
      }
    }
    return at
  }

  private static func copyValue(_ page: [UInt8], from start: Int, _ prefix: String?, _ result: inout [UInt8]) -> Int {
    guard start < page.count else { return start }
    let quote: UInt8? = page[start] == UInt8(ascii: "\"") || page[start] == UInt8(ascii: "'") ? page[start] : nil
    let first = quote == nil ? start : start + 1
    var end = first
    while end < page.count, quote.map({ page[end] != $0 }) ?? (!isSpace(page[end]) && page[end] != UInt8(ascii: ">")) {
      end += 1
    }
    if quote != nil { result.append(page[start]) }
    let value = page[first..<end]
    // `//host/` is another server.
    if let prefix, value.first == UInt8(ascii: "/"), value.dropFirst().first != UInt8(ascii: "/") {
      result += prefix.utf8
    }
    result += value
    guard let quote, end < page.count else { return end }
    result.append(quote)
    return end + 1
  }

  private static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte | 0x20) }

  private static func isSpace(_ byte: UInt8) -> Bool { [0x20, 0x09, 0x0A, 0x0D, 0x0C].contains(byte) }
}
