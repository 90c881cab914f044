/// What the `Range` header of a download asks for (RFC 9110, section 14).
enum ByteRange: Sendable, Equatable {
  /// All of it: no header, another unit, or several ranges, which a server may answer with everything.
  case full
  case part(Range<Int64>)
  /// 416.
  case unsatisfiable

  /// - Parameters:
  ///   - header: the value of `Range`, `nil` without one.
  ///   - size: of the whole content in bytes.
  init(_ header: String?, size: Int64) {
    guard let header, header.hasPrefix("bytes=") else {
      self = .full
      return
    }
    let text = header.dropFirst("bytes=".count)
    guard !text.contains(","), let dash = text.firstIndex(of: "-") else {
      self = .full
      return
    }
    let first = text[..<dash].trimmingSpaces
    let last = text[text.index(after: dash)...].trimmingSpaces
    if first.isEmpty {
      // The last bytes.
      guard let count = ByteRange.number(last) else {
        self = .full
        return
      }
      self = count == 0 || size == 0 ? .unsatisfiable : .part(max(0, size - count)..<size)
      return
    }
    guard let start = ByteRange.number(first) else {
      self = .full
      return
    }
    if last.isEmpty {
      self = start < size ? .part(start..<size) : .unsatisfiable
      return
    }
    guard let end = ByteRange.number(last) else {
      self = .full
      return
    }
    // A last position before the first is not valid; clients and the conformance suite expect 416 for it.
    self = end < start || start >= size ? .unsatisfiable : .part(start..<min(end + 1, size))
  }

  /// Decimal digits only; what is too large for any file counts as the largest, to which one can still be added.
  fileprivate static func number(_ text: Substring) -> Int64? {
    guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return min(Int64(text) ?? .max, .max - 1)
  }
}

/// The `Content-Range` of an upload's chunk: `0-1023`, both ends included (OCI distribution specification, "Pushing a blob
/// in chunks"); Docker's clients may put `bytes ` before it and `/total` behind.
struct ChunkRange: Sendable, Equatable {
  /// The position of the first byte.
  var start: Int64
  /// How many bytes.
  var count: Int64

  init?(_ header: String) {
    var text = Substring(header).trimmingSpaces
    if text.hasPrefix("bytes ") { text = text.dropFirst("bytes ".count).trimmingSpaces }
    if text.hasPrefix("bytes=") { text = text.dropFirst("bytes=".count) }
    if let slash = text.firstIndex(of: "/") { text = text[..<slash] }
    guard let dash = text.firstIndex(of: "-"), let first = ByteRange.number(text[..<dash]),
      let last = ByteRange.number(text[text.index(after: dash)...]), last < Int64.max - 1
    else { return nil }
    // An empty chunk at the front has no form of its own; `0--1` is not valid.
    guard last >= first else { return nil }
    start = first
    count = last - first + 1
  }

  /// `Range` of an upload that has `offset` bytes. Nothing yet is `0-0` too, as Docker's registry has it.
  static func header(offset: Int64) -> String { "0-\(max(0, offset - 1))" }
}

/// Conditional requests and negotiation.
enum Preconditions {
  /// Whether `If-None-Match` names the entity (RFC 9110, section 13.1.2; weak comparison).
  static func matches(ifNoneMatch header: String?, entityTag: String) -> Bool {
    guard let header else { return false }
    for candidate in header.split(separator: ",") {
      var tag = candidate.trimmingSpaces
      if tag == "*" { return true }
      if tag.hasPrefix("W/") { tag = tag.dropFirst(2) }
      if tag.hasPrefix("\""), tag.hasSuffix("\""), tag.count >= 2 { tag = tag.dropFirst().dropLast() }
      if tag == entityTag { return true }
    }
    return false
  }

  /// Whether the client takes the media type (RFC 9110, section 12.5.1). Nothing named means anything.
  static func accepts(_ mediaType: String, accept headers: [String]) -> Bool {
    var isAny = true
    let slash = mediaType.firstIndex(of: "/") ?? mediaType.endIndex
    for header in headers {
      for part in header.split(separator: ",") {
        let pieces = part.split(separator: ";")
        guard let first = pieces.first?.trimmingSpaces, !first.isEmpty else { continue }
        isAny = false
        let isRefused = pieces.dropFirst().contains { piece in
          let parameter = piece.trimmingSpaces.lowercased()
          return ["q=0", "q=0.0", "q=0.00", "q=0.000"].contains(parameter)
        }
        if isRefused { continue }
        if first == "*/*" || first == mediaType { return true }
        if first.hasSuffix("/*"), first.dropLast(2) == mediaType[..<slash] { return true }
      }
    }
    return isAny
  }
}

extension Substring {
  /// Without spaces and tabs at both ends (the specification's optional white space).
  var trimmingSpaces: Substring {
    var text = self
    while let first = text.utf8.first, first == 0x20 || first == 0x09 { text = text.dropFirst() }
    while let last = text.utf8.last, last == 0x20 || last == 0x09 { text = text.dropLast() }
    return text
  }
}
