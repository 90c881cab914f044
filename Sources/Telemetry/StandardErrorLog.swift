import Glibc
public import Logging
import Synchronization
public import Wire

/// Writes log lines to standard error as `time level label: message key=value …`, one `write(2)` a line, so that lines
/// of several threads never mix.
public struct StandardErrorLog: LogHandler {
  public var metadata: Logger.Metadata = [:]
  public var logLevel: Logger.Level

  private let label: String
  private let time: any TimeSource

  public init(label: String, level: Logger.Level, time: any TimeSource) {
    self.label = label
    logLevel = level
    self.time = time
  }

  public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  public func log(event: LogEvent) {
    let all = metadata.merging(event.metadata ?? [:]) { $1 }
    var line = "\(time.now().rfc3339Micro) \(event.level) \(label): \(event.message)"
    for (key, value) in all.sorted(by: { $0.key < $1.key }) {
      let text = "\(value)"
      let needsQuotes = text.isEmpty || text.contains { $0.isWhitespace || $0 == "\"" || $0 == "=" }
      line += " \(key)=" + (needsQuotes ? JSON.string(text).text : text)
    }
    // A message from outside must not be able to make up a line of its own.
    line = line.replacing("\n", with: "\\n")
    line += "\n"
    line.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
