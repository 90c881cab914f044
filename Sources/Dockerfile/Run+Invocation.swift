extension Dockerfile.Run {
  /// What is started, heredocs folded in.
  public enum Invocation: Sendable, Equatable {
    case exec([String])
    /// For the shell of `SHELL`.
    case shell(String)
    /// A heredoc that begins with `#!`: it is to be a file, mounted for the time of the step, and started itself.
    case script(name: String, content: String)
  }

  /// A command that is nothing but a heredoc is that text, run by the shell or by the interpreter after `#!`. In any
  /// other command the shell itself reads the heredocs, so they follow it as they stood.
  public var invocation: Invocation {
    switch command {
    case .exec(let words): return .exec(words)
    case .shell(let text):
      if heredocs.count == 1, let heredoc = heredocs.first, Self.isHeredoc(text) {
        return heredoc.content.hasPrefix("#!")
          ? .script(name: heredoc.name, content: heredoc.content) : .shell(heredoc.content)
      }
      return .shell(heredocs.reduce(text) { $0 + "\n" + $1.content + $1.name })
    }
  }

  /// Whether a text is one word of the form `<<NAME`.
  private static func isHeredoc(_ text: String) -> Bool {
    let word = text.utf8.drop { $0.isDigit }
    guard word.starts(with: "<<".utf8) else { return false }
    var quote: UInt8?
    for byte in word {
      if let open = quote {
        if byte == open { quote = nil }
      } else if byte == Byte.singleQuote || byte == Byte.doubleQuote {
        quote = byte
      } else if byte.isSpace {
        return false
      }
    }
    return true
  }
}
