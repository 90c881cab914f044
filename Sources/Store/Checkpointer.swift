/// Copies the write-ahead log into the database on a thread of its own, by a connection of its own, so that commits do
/// not wait for it.
///
/// A passive checkpoint does not block the writer, and neither is it complete while the writer goes on. SQLite starts
/// the log again from its beginning only when all of it has been copied, so the writer copies the small rest itself when
/// the log has grown to twice the threshold (`Committer`).
final class Checkpointer: Sendable {
  private let queue: WorkQueue<Void>
  private let thread: WorkerThread

  init(path: String) throws(StoreError) {
    // A request that finds one waiting is not needed: it is refused.
    let queue = WorkQueue<Void>(countMax: 1, costMax: 1)
    self.queue = queue
    thread = try WorkerThread(name: "apus-checkpoint") {
      // Opened here: a connection belongs to one thread. Without it the writer copies the log itself.
      guard let connection = try? Connection(path: path) else { return }
      // The log is synchronised before the database is changed, and the database before the log is used again.
      try? connection.execute("PRAGMA synchronous=FULL; PRAGMA cache_size=-64")
      while queue.take(count: 1, cost: 1) != nil { connection.checkpoint() }
      connection.close()
    }
  }

  func request() { _ = queue.push((), cost: 1) }

  /// Waits for the end of the thread. To be called once.
  func close() {
    queue.close()
    thread.join()
  }
}
