/// A place in a Dockerfile.
public struct SourcePosition: Sendable, Hashable, Comparable {
  /// From 1.
  public var line: Int
  /// From 1, counted in bytes of UTF-8.
  public var column: Int

  public init(line: Int, column: Int = 1) {
    self.line = line
    self.column = column
  }

  public static func < (a: SourcePosition, b: SourcePosition) -> Bool { (a.line, a.column) < (b.line, b.column) }
}

/// The places from `start` up to and with `end`.
public struct SourceRange: Sendable, Hashable {
  public var start: SourcePosition
  public var end: SourcePosition

  public init(_ start: SourcePosition, _ end: SourcePosition) {
    self.start = start
    self.end = max(start, end)
  }

  /// Whole lines, from 1.
  public init(lines: ClosedRange<Int>) {
    start = SourcePosition(line: lines.lowerBound)
    end = SourcePosition(line: lines.upperBound)
  }

  /// The lines that are touched, from 1.
  public var lines: ClosedRange<Int> { start.line...end.line }
}

/// A Dockerfile's name and lines, kept so that every message can show what it speaks of.
public struct SourceText: Sendable {
  /// As people know it: `Dockerfile`, `build/web.Dockerfile`.
  public let name: String
  /// Without their line ends. A text that ends in a line end has no empty last line.
  public let lines: [String]

  public init(name: String, lines: [String]) {
    self.name = name
    self.lines = lines
  }

  /// The lines around `range` as a person reads them, the ones in `range` marked:
  ///
  ///     Dockerfile:3
  ///     --------------------
  ///        1 |     FROM alpine
  ///        2 |
  ///        3 | >>> RUNN true
  ///     --------------------
  ///
  /// - Parameter context: how many lines before and after are shown.
  public func excerpt(_ range: SourceRange, context: Int = 2) -> String {
    let shownMax = 40
    let first = min(max(range.start.line, 1), max(lines.count, 1))
    let last = min(max(range.end.line, first), max(lines.count, 1))
    var head = "\(name):\(first)"
    if last > first { head += "-\(last)" }
    let rule = "--------------------"
    var rows = [head, rule]
    let from = max(1, first - context)
    let to = min(lines.count, last + context)
    if from <= to {
      for number in from...to {
        // A heredoc of a thousand lines is not printed whole: its beginning tells which one is meant.
        if rows.count > shownMax, number < to {
          if rows.count == shownMax + 1 { rows.append("     |     …") }
          if rows.count > shownMax + 1 { continue }
        }
        let digits = String(number)
        let padded = String(repeating: " ", count: max(0, 4 - digits.count)) + digits
        let mark = number >= first && number <= last ? ">>>" : "   "
        let row = "\(padded) | \(mark) \(SourceText.printable(lines[number - 1]))"
        rows.append(String(row.reversed().drop { $0 == " " }.reversed()))
      }
    }
    rows.append(rule)
    return rows.joined(separator: "\n")
  }

  /// A line without the control characters that would act on a terminal, and not longer than a screen can show.
  static func printable(_ line: String, limit: Int = 400) -> String {
    var result = ""
    for (count, scalar) in line.unicodeScalars.enumerated() {
      if count == limit { return result + "…" }
      let isControl = (scalar.value < 0x20 && scalar != "\t") || scalar.value == 0x7f
      result.unicodeScalars.append(isControl ? "\u{fffd}" : scalar)
    }
    return result
  }
}
