import Logging
import Store
import Telemetry
import Wire

/// Reads stored objects for the tables that answer from memory (rights, addresses, priorities).
///
/// What cannot be read is told in the log and counted. What a table does without it has to be the safe thing: a right that
/// is not known is not given, and a number that somebody may have is not given to another.
struct StoredObjectReader: Sendable {
  private let unreadable: Counter
  private let logger: Logger

  init(metrics: Metrics, logger: Logger) {
    unreadable = metrics.counter(
      "apiserver_unreadable_objects_total",
      help: "Stored objects that a table of the server could not read, counted for each of their states.")
    // A family without a series is not shown, and nobody can tell 0 from a server that does not count.
    unreadable.increment(by: 0)
    self.logger = logger
  }

  /// The object; `nil` when its bytes are none.
  func read(_ entry: Entry) -> JSON? {
    if let object = try? JSON.parse(entry.value), object.object != nil { return object }
    unreadable.increment()
    logger.error(
      "a stored object cannot be read: nothing that it says holds",
      metadata: ["key": "\(entry.key)", "revision": "\(entry.revision)"])
    return nil
  }
}
