/// `Content-Range: bytes 0-99/1000` (RFC 9110, section 14.4), and the `Range: 0-99` of a blob upload's state.
package struct ContentRange: Sendable, Equatable {
  /// Positions of the first and the last byte; one can be added to either.
  package var first: Int64
  package var last: Int64
  /// `nil` when the sender does not know it (`*`).
  package var total: Int64?

  package init?(_ text: String) {
    var rest = Substring(text)
    if let space = rest.firstIndex(of: " ") {
      guard rest[..<space].lowercased() == "bytes" else { return nil }
      rest = rest[rest.index(after: space)...]
    } else if rest.hasPrefix("bytes=") {
      rest = rest.dropFirst(6)
    }
    if let slash = rest.firstIndex(of: "/") {
      let text = rest[rest.index(after: slash)...]
      if text != "*" {
        guard let total = ContentRange.number(text) else { return nil }
        self.total = total
      }
      rest = rest[..<slash]
    }
    guard let dash = rest.firstIndex(of: "-"), let first = ContentRange.number(rest[..<dash]),
      let last = ContentRange.number(rest[rest.index(after: dash)...]), first <= last,
      last < .max
    else { return nil }
    self.first = first
    self.last = last
    if let total, last >= total { return nil }
  }

  /// Decimal digits only; `nil` when it does not fit.
  package static func number(_ text: some StringProtocol) -> Int64? {
    guard (1...19).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return Int64(text)
  }
}

/// The target of the first link with the relation `next` (RFC 8288), as paging uses it.
package struct LinkHeader: Sendable, Equatable {
  package var next: String?

  private static let lengthMax = 16 << 10

  package init(_ values: [String]) {
    for value in values where value.utf8.count <= LinkHeader.lengthMax {
      var scanner = FieldScanner(value)
      while let target = scanner.takeLinkTarget() {
        var isNext = false
        while scanner.take(";") {
          guard let name = scanner.takeToken() else { break }
          var parameter = ""
          if scanner.take("=") {
            guard let text = scanner.takeTokenOrQuoted() else { break }
            parameter = text
          }
          // Several relations may share one link, separated by spaces.
          if name.lowercased() == "rel", parameter.lowercased().split(separator: " ").contains("next") { isNext = true }
        }
        if isNext {
          next = target
          return
        }
        guard scanner.take(",") else { break }
      }
    }
  }
}

/// Reads the tokens of a header field (RFC 9110, section 5.6).
package struct FieldScanner {
  private var rest: Substring.UTF8View

  package init(_ text: String) { rest = Substring(text).utf8 }

  package var isAtEnd: Bool {
    mutating get {
      skipSpaces()
      return rest.isEmpty
    }
  }

  package mutating func skipSpaces() {
    while let byte = rest.first, byte == 0x20 || byte == 0x09 { rest.removeFirst() }
  }

  /// Takes one character, after spaces.
  package mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpaces()
    guard let byte = rest.first, byte == UInt8(ascii: character) else { return false }
    rest.removeFirst()
    return true
  }

  /// Whether there were spaces, which are skipped.
  package mutating func takeSpaces() -> Bool {
    let before = rest.count
    skipSpaces()
    return rest.count < before
  }

  package mutating func takeToken() -> String? {
    skipSpaces()
    return takeWhile(FieldScanner.isTokenCharacter)
  }

  /// A `token68`, as a `Basic` or `Negotiate` challenge may have it, which is followed by a comma or the end.
  package mutating func takeToken68() -> String? {
    let start = rest
    skipSpaces()
    guard var text = takeWhile({ FieldScanner.isTokenCharacter($0) || $0 == UInt8(ascii: "/") }) else {
      rest = start
      return nil
    }
    while rest.first == UInt8(ascii: "=") {
      rest.removeFirst()
      text += "="
    }
    skipSpaces()
    if let next = rest.first, next != UInt8(ascii: ",") {
      rest = start
      return nil
    }
    return text
  }

  package mutating func takeTokenOrQuoted() -> String? {
    skipSpaces()
    guard rest.first == UInt8(ascii: "\"") else { return takeToken() }
    rest.removeFirst()
    var bytes: [UInt8] = []
    while let byte = rest.popFirst() {
      switch byte {
      case UInt8(ascii: "\""): return String(validating: bytes, as: UTF8.self)
      case UInt8(ascii: "\\"):
        guard let escaped = rest.popFirst() else { return nil }
        bytes.append(escaped)
      default: bytes.append(byte)
      }
    }
    return nil
  }

  /// `<target>`.
  package mutating func takeLinkTarget() -> String? {
    guard take("<"), let end = rest.firstIndex(of: UInt8(ascii: ">")) else { return nil }
    let text = String(Substring(rest[..<end]))
    rest = rest[rest.index(after: end)...]
    return text
  }

  private mutating func takeWhile(_ isIncluded: (UInt8) -> Bool) -> String? {
    let taken = rest.prefix(while: isIncluded)
    guard !taken.isEmpty else { return nil }
    rest = rest[taken.endIndex...]
    return String(Substring(taken))
  }

  package static func isTokenCharacter(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) || "!#$%&'*+-.^_`|~".utf8.contains(byte)
  }
}
