extension Dockerfile {
  /// The signal of `STOPSIGNAL`: a number, or a name with or without `SIG`.
  enum StopSignal {
    private static let names: Set<String> = [
      "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
      "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
      "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
    ]

    /// Refuses what is no signal of Linux.
    static func check(_ text: String) throws(DockerfileError) {
      if let number = Int(text) {
        if (1...64).contains(number) { return }
      } else {
        var name = text.uppercased()
        if name.hasPrefix("SIG") { name.removeFirst(3) }
        if names.contains(name) { return }
        for (base, sign) in [("RTMIN", "+"), ("RTMAX", "-")] where name.hasPrefix(base + sign) {
          if let offset = Int(name.dropFirst(base.count + 1)), (1...30).contains(offset) { return }
        }
      }
      throw DockerfileError(
        .value,
        "Invalid signal: \(text)" + Suggestion.phrase(for: text.uppercased(), among: names.map { "SIG" + $0 }.sorted()))
    }
  }
}
