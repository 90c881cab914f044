/// Signal names as images and pods write them.
package enum Signals {
  package static let terminate: Int32 = 15
  package static let kill: Int32 = 9

  private static let numbers: [String: Int32] = [
    "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10,
    "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CONT": 18, "STOP": 19,
    "TSTP": 20, "TTIN": 21, "TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27, "WINCH": 28,
    "IO": 29, "PWR": 30, "SYS": 31,
  ]

  /// The number of `SIGTERM`, `TERM`, `15` or `SIGRTMIN+3`; `nil` for anything else.
  package static func number(_ name: String) -> Int32? {
    if let number = Int32(name) { return (1...64).contains(number) ? number : nil }
    var name = name.uppercased()
    if name.hasPrefix("SIG") { name.removeFirst(3) }
    if let number = numbers[name] { return number }
    if name.hasPrefix("RTMIN") {
      let offset = name.dropFirst(5)
      if offset.isEmpty { return 34 }
      if offset.first == "+", let value = Int32(offset.dropFirst()), (0...30).contains(value) { return 34 + value }
    }
    if name.hasPrefix("RTMAX") {
      let offset = name.dropFirst(5)
      if offset.isEmpty { return 64 }
      if offset.first == "-", let value = Int32(offset.dropFirst()), (0...30).contains(value) { return 64 - value }
    }
    return nil
  }
}
