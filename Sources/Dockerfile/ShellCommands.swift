/// The commands of a shell script, cut well enough to look at: words without quotes, operators between commands.
///
/// It is no shell: substitutions stay inside their words, control words (`if`, `do`, …) are dropped from the front.
struct ShellCommands {
  struct Command {
    var words: [String]
    /// The command's output is the input of the next one.
    var pipes = false

    /// The program's file name: `/usr/bin/apt-get` is `apt-get`. Assignments and wrappers in front are not it.
    var program: String { String(words.first.map { $0.split(separator: "/").last ?? "" } ?? "") }
    var arguments: ArraySlice<String> { words.dropFirst() }
    /// Arguments that are no options.
    var operands: [String] { arguments.filter { !$0.hasPrefix("-") } }

    /// Whether a short option stands alone or in a cluster (`-yq`), or the long one is given.
    func has(_ short: Character, _ long: String...) -> Bool {
      arguments.contains { word in
        if word.hasPrefix("--") { return long.contains(word) || long.contains { word.hasPrefix($0 + "=") } }
        return word.hasPrefix("-") && word.dropFirst().prefix { $0 != "=" }.contains(short)
      }
    }
    func has(long: String...) -> Bool {
      arguments.contains { word in long.contains { word == $0 || word.hasPrefix($0 + "=") } }
    }
  }

  private(set) var commands: [Command] = []
  /// `sudo` stood before a command.
  private(set) var usesSudo = false

  init(_ script: String) {
    let bytes = Array(script.utf8)
    var at = 0
    var words: [String] = []
    var word: [UInt8] = []
    var isWord = false
    func endWord() {
      if isWord { words.append(word.text) }
      word = []
      isWord = false
    }
    while at < bytes.count {
      let byte = bytes[at]
      switch byte {
      case Byte.singleQuote:
        isWord = true
        at += 1
        while at < bytes.count, bytes[at] != Byte.singleQuote {
          word.append(bytes[at])
          at += 1
        }
        at += 1
      case Byte.doubleQuote:
        isWord = true
        at += 1
        while at < bytes.count, bytes[at] != Byte.doubleQuote {
          if bytes[at] == Byte.backslash, at + 1 < bytes.count { at += 1 }
          word.append(bytes[at])
          at += 1
        }
        at += 1
      case Byte.backslash:
        at += 1
        if at < bytes.count {
          if bytes[at] != Byte.newline {
            isWord = true
            word.append(bytes[at])
          }
          at += 1
        }
      case Byte.dollar where at + 1 < bytes.count && bytes[at + 1] == UInt8(ascii: "("):
        // A substitution up to its closing parenthesis is part of the word.
        isWord = true
        var depth = 0
        repeat {
          if bytes[at] == UInt8(ascii: "(") { depth += 1 }
          if bytes[at] == UInt8(ascii: ")") { depth -= 1 }
          word.append(bytes[at])
          at += 1
        } while at < bytes.count && (depth > 0 || word.last == Byte.dollar)
      case Byte.hash where !isWord:
        while at < bytes.count, bytes[at] != Byte.newline { at += 1 }
      case UInt8(ascii: "|"), UInt8(ascii: "&"), UInt8(ascii: ";"), Byte.newline, UInt8(ascii: "("), UInt8(ascii: ")"):
        // `2>&1` and `&>file` are redirections.
        if byte == UInt8(ascii: "&"),
          word.last == UInt8(ascii: ">") || at + 1 < bytes.count && bytes[at + 1] == UInt8(ascii: ">")
        {
          isWord = true
          word.append(byte)
          at += 1
          continue
        }
        endWord()
        let next = at + 1 < bytes.count ? bytes[at + 1] : 0
        let isPipe = byte == UInt8(ascii: "|") && next != UInt8(ascii: "|")
        finish(&words, pipes: isPipe)
        at += next == byte || (isPipe && next == UInt8(ascii: "&")) ? 2 : 1
      default:
        if byte.isSpace {
          endWord()
        } else {
          isWord = true
          word.append(byte)
        }
        at += 1
      }
    }
    endWord()
    finish(&words, pipes: false)
  }

  private mutating func finish(_ words: inout [String], pipes: Bool) {
    defer { words = [] }
    var rest = words[...]
    let control: Set<String> = ["if", "then", "elif", "else", "while", "until", "do", "!", "{", "time"]
    let wrappers: Set<String> = ["exec", "command", "env", "nohup", "eatmydata"]
    while let first = rest.first {
      if control.contains(first) || wrappers.contains(first) || ShellCommands.isAssignment(first) {
        rest = rest.dropFirst()
      } else if first == "sudo" || first.hasSuffix("/sudo") {
        usesSudo = true
        rest = rest.dropFirst()
        while let option = rest.first, option.hasPrefix("-") { rest = rest.dropFirst() }
      } else {
        break
      }
    }
    if rest.isEmpty {
      if pipes { commands.append(Command(words: [], pipes: true)) }
      return
    }
    commands.append(Command(words: Array(rest), pipes: pipes))
  }

  private static func isAssignment(_ word: String) -> Bool {
    guard let equals = word.utf8.firstIndex(of: Byte.equals), let first = word.utf8.first else { return false }
    guard first.isLetter || first == UInt8(ascii: "_") else { return false }
    return word.utf8[..<equals].allSatisfy { $0.isLetter || $0.isDigit || $0 == UInt8(ascii: "_") }
  }
}
