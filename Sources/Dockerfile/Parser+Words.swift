import Wire

/// One flag before an instruction's arguments: `--name=value` or `--name`.
struct Flag {
  var name: String
  var value: String?
  /// Its place in the logical line.
  var offsets: Range<Int>
}

extension Parser {
  /// Takes the flags off the front. Quotes and escapes inside them are resolved here; variables stay.
  func takeFlags(_ bytes: [UInt8], at: inout Int) -> [Flag] {
    var flags: [Flag] = []
    while true {
      while at < bytes.count, bytes[at].isSpace { at += 1 }
      guard at + 1 < bytes.count, bytes[at] == Byte.dash, bytes[at + 1] == Byte.dash else { return flags }
      let start = at
      var word: [UInt8] = []
      var quote: UInt8?
      while at < bytes.count {
        let byte = bytes[at]
        if let open = quote {
          if byte == open {
            quote = nil
          } else if byte == directives.escape, at + 1 < bytes.count {
            at += 1
            word.append(bytes[at])
          } else {
            word.append(byte)
          }
        } else if byte.isSpace {
          break
        } else if byte == Byte.singleQuote || byte == Byte.doubleQuote {
          quote = byte
        } else if byte == directives.escape {
          if at + 1 < bytes.count {
            at += 1
            // `\$` has to stay one until variables are replaced.
            if bytes[at] == Byte.dollar { word.append(byte) }
            word.append(bytes[at])
          }
        } else {
          word.append(byte)
        }
        at += 1
      }
      // `--` alone ends the flags.
      if word.count == 2 { return flags }
      let body = word.dropFirst(2)
      let equals = body.firstIndex(of: Byte.equals)
      flags.append(
        Flag(
          name: body[..<(equals ?? body.endIndex)].text, value: equals.map { body[($0 + 1)...].text },
          offsets: start..<at))
    }
  }

  /// Words between white space; quotes mean nothing here.
  static func whitespaceWords(_ bytes: ArraySlice<UInt8>) -> [(text: String, offsets: Range<Int>)] {
    var words: [(String, Range<Int>)] = []
    var at = bytes.startIndex
    while true {
      while at < bytes.endIndex, bytes[at].isSpace { at += 1 }
      guard at < bytes.endIndex else { return words }
      let start = at
      while at < bytes.endIndex, !bytes[at].isSpace { at += 1 }
      words.append((bytes[start..<at].text, start..<at))
    }
  }

  /// Words as a shell cuts them, with their quotes and escapes kept.
  func shellWords(_ bytes: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
    var words: [ArraySlice<UInt8>] = []
    var at = bytes.startIndex
    while true {
      while at < bytes.endIndex, bytes[at].isSpace { at += 1 }
      guard at < bytes.endIndex else { return words }
      let start = at
      var quote: UInt8?
      while at < bytes.endIndex {
        let byte = bytes[at]
        if let open = quote {
          if byte == open { quote = nil }
          if byte == directives.escape, open == Byte.doubleQuote, at + 1 < bytes.endIndex { at += 1 }
        } else if byte.isSpace {
          break
        } else if byte == Byte.singleQuote || byte == Byte.doubleQuote {
          quote = byte
        } else if byte == directives.escape, at + 1 < bytes.endIndex {
          at += 1
        }
        at += 1
      }
      words.append(bytes[start..<at])
    }
  }

  /// `3<<-"NAME"` and its like; `nil` for any other word.
  func parseHeredocWord(_ word: ArraySlice<UInt8>) -> Dockerfile.Heredoc? {
    var at = word.startIndex
    while at < word.endIndex, word[at].isDigit { at += 1 }
    let digits = word[word.startIndex..<at]
    let less = UInt8(ascii: "<")
    guard word[at...].starts(with: [less, less]) else { return nil }
    at += 2
    let stripsTabs = at < word.endIndex && word[at] == Byte.dash
    if stripsTabs { at += 1 }
    let rest = word[at...]
    guard !rest.isEmpty, !rest.contains(less) else { return nil }
    var name: [UInt8] = []
    var quote: UInt8?
    var isQuoted = false
    var index = rest.startIndex
    while index < rest.endIndex {
      let byte = rest[index]
      if let open = quote {
        if byte == open {
          quote = nil
        } else if byte == Byte.backslash, open == Byte.doubleQuote, index + 1 < rest.endIndex {
          index += 1
          name.append(rest[index])
        } else {
          name.append(byte)
        }
      } else if byte == Byte.singleQuote || byte == Byte.doubleQuote {
        quote = byte
        isQuoted = true
      } else if byte == Byte.backslash, index + 1 < rest.endIndex {
        isQuoted = true
        index += 1
        name.append(rest[index])
      } else {
        name.append(byte)
      }
      index += 1
    }
    guard quote == nil, !name.isEmpty, digits.count <= 4 else { return nil }
    return Dockerfile.Heredoc(
      name: name.text, content: "", expands: !isQuoted, stripsTabs: stripsTabs,
      fileDescriptor: Int(digits.text) ?? 0)
  }

  /// The JSON form: an array of nothing but strings. `nil` when the text is no JSON array, which makes it the shell
  /// form.
  func parseJSONWords(_ line: LogicalLine, _ offsets: Range<Int>) throws(DockerfileError) -> [String]? {
    let text = line.bytes[offsets].trimmed()
    guard text.first == UInt8(ascii: "["), text.last == UInt8(ascii: "]") else { return nil }
    guard let json = try? JSON.parse(Array(text)), case .array(let elements) = json else { return nil }
    var words: [String] = []
    for element in elements {
      guard case .string(let word) = element else {
        throw fail(
          .syntax, "when using JSON array syntax, arrays must be comprised of strings only", line.range(offsets))
      }
      words.append(word)
    }
    return words
  }

  /// The words of `ENV`, `LABEL` and `ARG`: cut at white space outside quotes; quotes and escapes are kept for the
  /// expansion, which resolves them.
  func nameValueWords(_ bytes: ArraySlice<UInt8>) -> [(bytes: [UInt8], offsets: Range<Int>)] {
    var words: [([UInt8], Range<Int>)] = []
    var at = bytes.startIndex
    while true {
      while at < bytes.endIndex, bytes[at].isSpace { at += 1 }
      guard at < bytes.endIndex else { return words }
      let start = at
      var word: [UInt8] = []
      var quote: UInt8?
      while at < bytes.endIndex {
        let byte = bytes[at]
        if quote == nil, byte.isSpace { break }
        if let open = quote {
          if byte == open { quote = nil }
        } else if byte == Byte.singleQuote || byte == Byte.doubleQuote {
          quote = byte
        }
        if byte == directives.escape, quote != Byte.singleQuote {
          // An escape with nothing behind it is dropped.
          guard at + 1 < bytes.endIndex else {
            at += 1
            break
          }
          word.append(byte)
          at += 1
        }
        word.append(bytes[at])
        at += 1
      }
      words.append((word, start..<at))
    }
  }
}
