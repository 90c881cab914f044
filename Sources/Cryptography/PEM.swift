import Wire

/// Bytes as text between two lines that say what they are (RFC 7468).
enum PEM {
  private static let lineLength = 64

  /// Lines of 64 characters; the last one has no line break.
  static func encode(_ bytes: [UInt8], label: String) -> String {
    var text = "-----BEGIN \(label)-----\n"
    var rest = Base64.encode(bytes).utf8[...]
    while !rest.isEmpty {
      text += "\(Substring(rest.prefix(lineLength)))\n"
      rest = rest.dropFirst(lineLength)
    }
    return text + "-----END \(label)-----"
  }

  /// What a text says that holds exactly one of them; there may be other text around it.
  static func decode(_ text: String) throws(CryptographyError) -> (label: String, bytes: [UInt8]) {
    var label: String?
    var body: [Substring.UTF8View] = []
    var document: (label: String, bytes: [UInt8])?
    for line in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      let line = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
      if let began = label {
        guard line.starts(with: "-----END ".utf8) else {
          body.append(line)
          continue
        }
        guard line.starts(with: "-----END \(began)-----".utf8) else {
          throw CryptographyError("the text ends as something else than it begins as")
        }
        // RFC 7468, section 2: all lines but the last one are full.
        guard let last = body.popLast(), (1...lineLength).contains(last.count),
          body.allSatisfy({ $0.count == lineLength }),
          let bytes = Base64.decode((body + [last]).map { String(Substring($0)) }.joined())
        else { throw CryptographyError("what is between \(began)'s lines is no base64 in lines of \(lineLength)") }
        document = (began, bytes)
        label = nil
        body = []
      } else if let found = self.label(begunBy: line) {
        guard document == nil else { throw CryptographyError("the text holds more than one document") }
        label = found
      }
    }
    guard label == nil, let document else { throw CryptographyError("the text holds no whole PEM document") }
    return document
  }

  private static func label(begunBy line: Substring.UTF8View) -> String? {
    let begin = "-----BEGIN ".utf8
    let end = "-----".utf8
    guard line.count > begin.count + end.count, line.starts(with: begin), line.suffix(end.count).elementsEqual(end)
    else { return nil }
    return String(Substring(line.dropFirst(begin.count).dropLast(end.count)))
  }
}
