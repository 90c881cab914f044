import SQLite
import Synchronization

/// Copies the write-ahead log into the database on a thread of its own, by a connection of its own, so that commits do
/// not wait for it.
///
/// A passive checkpoint does not block the writer, and neither is it complete while the writer goes on. SQLite starts
/// the log again from its beginning only when all of it has been copied, so the writer copies the small rest itself when
/// this one is done (`Committer`).
final class Checkpointer: Sendable {
  private enum Phase: UInt8, AtomicRepresentable {
    case idle, requested, finished
  }

  private final class Progress: Sendable {
    let phase = Atomic(Phase.idle)
  }

  private let queue: WorkQueue<Void>
  private let progress: Progress
  private let thread: WorkerThread

  /// - Parameter copied: called on the thread after each copy.
  init(path: String, copied: @escaping @Sendable () -> Void) throws(StoreError) {
    let queue = WorkQueue<Void>(countMax: 1, costMax: 1)
    let progress = Progress()
    self.queue = queue
    self.progress = progress
    thread = try WorkerThread(name: "apus-checkpoint") {
      // Opened here: a connection belongs to one thread. Without it the writer copies the log itself.
      guard let connection = try? Connection(path: path) else { return }
      // The log is synchronised before the database is changed, and the database before the log is used again.
      try? connection.execute("PRAGMA synchronous=FULL; PRAGMA cache_size=-64")
      while queue.take(count: 1, cost: 1) != nil {
        connection.checkpoint()
        copied()
        progress.phase.store(.finished, ordering: .releasing)
      }
      connection.close()
    }
  }

  /// Starts a copy, unless one is under way.
  func request() {
    if progress.phase.compareExchange(expected: .idle, desired: .requested, ordering: .acquiringAndReleasing).exchanged
    {
      _ = queue.push((), cost: 1)
    }
  }

  /// Whether a copy has come to its end since the last call.
  func takeFinished() -> Bool {
    progress.phase.compareExchange(expected: .finished, desired: .idle, ordering: .acquiringAndReleasing).exchanged
  }

  /// Waits for the end of the thread. To be called once.
  func close() {
    queue.close()
    thread.join()
  }
}
