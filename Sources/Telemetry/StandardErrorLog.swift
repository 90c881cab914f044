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
  private let fileBytesMax: Int64?

  /// - Parameter fileBytesMax: when standard error is a file that has grown beyond this, it is begun anew: for a process
  ///   whose log nobody rotates. The file must be open for appending.
  public init(label: String, level: Logger.Level, time: any TimeSource, fileBytesMax: Int64? = nil) {
    self.label = label
    logLevel = level
    self.time = time
    self.fileBytesMax = fileBytesMax
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
    if let fileBytesMax {
      var status = stat()
      if fstat(STDERR_FILENO, &status) == 0, Int64(status.st_size) > fileBytesMax { ftruncate(STDERR_FILENO, 0) }
    }
    line.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
