import ArgumentParser
import Glibc

/// A failure with its exit code; the message says what to do.
struct Failure: Error, CustomStringConvertible {
  var message: String
  var code: ExitCode

  init(_ message: String, code: ExitCode = .failure) {
    self.message = message
    self.code = code
  }

  var description: String { message }
}

extension ExitCode {
  /// `EX_UNAVAILABLE` of sysexits(3): no server runs on this data.
  static let noServer = ExitCode(69)
  /// `EX_TEMPFAIL`: another server has the data.
  static let dataInUse = ExitCode(75)
}

enum Terminal {
  /// Colours only where a person reads them, and not where they said no (https://no-color.org).
  static let hasColours = isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == nil

  static func green(_ text: String) -> String { hasColours ? "\u{1B}[32m\(text)\u{1B}[0m" : text }
  static func red(_ text: String) -> String { hasColours ? "\u{1B}[31m\(text)\u{1B}[0m" : text }
  static func bold(_ text: String) -> String { hasColours ? "\u{1B}[1m\(text)\u{1B}[0m" : text }

  /// Writes to standard error as it is.
  static func write(_ text: String) {
    var text = text
    text.withUTF8 { _ = Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }

  /// Writes a line to standard error.
  static func note(_ text: String) { write(text + "\n") }

  /// Writes a line to standard output at once, also into a pipe.
  static func say(_ text: String) {
    var line = text + "\n"
    line.withUTF8 { _ = Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
  }

  /// Columns under their headings, as kubectl sets them: three spaces between, nothing behind the last.
  static func table(_ rows: [[String]]) -> String {
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in rows.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0 }
    return rows.map { row in
      row.enumerated().map { column, cell in
        column == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[column] - cell.count + 3)
      }.joined()
    }.joined(separator: "\n")
  }

  static func megabytes(_ bytes: UInt64) -> String { "\(bytes / 1_048_576) MiB" }

  /// Runs a command's body and turns its errors into a message and an exit code.
  static func reporting(_ body: () async throws -> Void) async throws {
    do {
      try await body()
      // What was said has to have arrived: a full disk, or a reader that went away, is a failure.
      guard fflush(nil) == 0 else {
        throw Failure("cannot write the output: \(String(cString: strerror(errno)))")
      }
    } catch let exit as ExitCode {
      throw exit
    } catch let failure as Failure {
      note("apus: \(failure.message)")
      throw failure.code
    } catch {
      note("apus: \(error)")
      throw ExitCode.failure
    }
  }
}
