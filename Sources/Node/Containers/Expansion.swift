/// `$(VAR)` references in commands, arguments and environment values (`third_party/forked/golang/expansion` in
/// Kubernetes): a reference to a variable that is not known stays as it is, and `$$` is one dollar sign.
enum Expansion {
  static func expand(_ text: String, _ lookup: (String) -> String?) -> String {
    let bytes = Array(text.utf8)
    guard bytes.contains(UInt8(ascii: "$")) else { return text }
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    var at = 0
    while at < bytes.count {
      guard bytes[at] == UInt8(ascii: "$"), at + 1 < bytes.count else {
        result.append(bytes[at])
        at += 1
        continue
      }
      switch bytes[at + 1] {
      case UInt8(ascii: "$"):
        result.append(UInt8(ascii: "$"))
        at += 2
      case UInt8(ascii: "("):
        guard let end = bytes[(at + 2)...].firstIndex(of: UInt8(ascii: ")")) else {
          // Not closed: the two characters are text.
          result.append(contentsOf: bytes[at...at + 1])
          at += 2
          continue
        }
        let name = String(decoding: bytes[(at + 2)..<end], as: UTF8.self)
        if let value = lookup(name) {
          result.append(contentsOf: value.utf8)
        } else {
          result.append(contentsOf: bytes[at...end])
        }
        at = end + 1
      default:
        result.append(contentsOf: bytes[at...at + 1])
        at += 2
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}
