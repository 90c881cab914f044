import ArgumentParser
import Glibc

extension Apus {
  /// As the argument parser's own, and: a mistyped command is answered with the nearest one, help for a command that does
  /// not exist is an error, and nobody is led to an option that deletes.
  static func main() async {
    let arguments = Array(CommandLine.arguments.dropFirst())
    if let complaint = Usage.complaint(about: arguments, commands: commandNames) {
      Terminal.note("apus: \(complaint)")
      exit(withError: ExitCode.validationFailure)
    }
    do {
      var command = try parseAsRoot(arguments)
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch {
      let text = fullMessage(for: error)
      let safe = Usage.withoutDangerousAdvice(text)
      guard safe != text else { exit(withError: error) }
      Terminal.note(safe)
      exit(withError: ExitCode(exitCode(for: error).rawValue))
    }
  }

  private static var commandNames: [String] {
    configuration.subcommands.map { $0._commandName } + ["help"]
  }
}

/// What is wrong with a command line before it is parsed. Pure.
enum Usage {
  static func complaint(about arguments: [String], commands: [String]) -> String? {
    let isHelp = arguments.first == "help"
    guard let name = isHelp ? arguments.dropFirst().first : arguments.first, !name.hasPrefix("-"),
      !commands.contains(name)
    else { return nil }
    let nearest = commands.map { (name: $0, distance: distance(name, $0)) }.min { $0.distance < $1.distance }
    let hint = nearest.flatMap { $0.distance <= 2 ? ". Did you mean '\($0.name)'?" : nil }
    return "there is no command '\(name)'\(hint ?? "; see apus --help")"
  }

  /// The parser suggests whatever option is nearest.
  static func withoutDangerousAdvice(_ text: String) -> String {
    var safe = text
    for option in ["--purge", "--yes"] {
      let advice = " Did you mean '\(option)'?"
      while let range = safe.firstRange(of: advice) { safe.removeSubrange(range) }
    }
    return safe
  }

  /// The number of letters to insert, delete or replace (Levenshtein).
  static func distance(_ one: String, _ other: String) -> Int {
    let (one, other) = (Array(one.utf8), Array(other.utf8))
    var row = Array(0...other.count)
    for (index, letter) in one.enumerated() {
      var previous = row[0]
      row[0] = index + 1
      for at in other.indices {
        let above = row[at + 1]
        row[at + 1] = min(above + 1, row[at] + 1, previous + (letter == other[at] ? 0 : 1))
        previous = above
      }
    }
    return row[other.count]
  }
}
