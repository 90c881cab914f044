/// Why the store refused or failed.
public enum StoreError: Error, Equatable, Sendable {
  /// The key's revision is not the one that the precondition names; `current` is `nil` when the key is gone.
  case conflict(key: String, current: Int64?)
  /// The key is there already (`Precondition.absent`).
  case exists(key: String)
  /// The key to delete is not there.
  case notFound(key: String)
  /// The revision is older than the history that is kept: list again. `oldest` is the oldest revision that serves.
  case compacted(requested: Int64, oldest: Int64)
  /// The revision has not happened yet.
  case futureRevision(requested: Int64, current: Int64)
  /// Nothing was written, and nothing is lost: free some space and try again.
  case diskFull(String)
  /// One commit is more than the engine takes at once. Nothing was written.
  case tooLarge(String)
  /// More writes are waiting than the queue holds; try again later.
  case overloaded
  /// The store was closed; whether an operation that was under way has happened is known by the next `open`.
  case closed
  /// Another process has the directory open.
  case locked(path: String, holder: Int32?)
  /// The database cannot be read. The message says what SQLite found.
  case corrupt(path: String, reason: String)
  /// The database can be read, and is not what was written: objects are damaged, or answered writes are missing. It can
  /// be opened without them (`StoreOptions.acceptsLoss`). One line for each loss.
  case damaged(path: String, losses: [String])
  /// A database that was there is not any more; `reason` says what is in its place.
  case lost(path: String, reason: String)
  /// The database is another cluster's.
  case foreign(path: String, cluster: String, expected: String)
  /// A system call failed; nothing was written.
  case io(String)
  /// The operation makes no sense: the caller's mistake.
  case invalid(String)
}

extension StoreError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .conflict(let key, let current):
      current.map { "\(key) is at revision \($0) now" } ?? "\(key) does not exist any more"
    case .exists(let key): "\(key) exists already"
    case .notFound(let key): "\(key) does not exist"
    case .compacted(let requested, let oldest):
      "revision \(requested) is no longer kept, the oldest is \(oldest)"
    case .futureRevision(let requested, let current):
      "revision \(requested) is in the future, the newest is \(current)"
    case .diskFull(let path): "no space left for \(path): free some space and try again"
    case .tooLarge(let message): message
    case .overloaded: "too many writes are waiting: try again later"
    case .closed: "the store is closed"
    case .locked(let path, let holder):
      "\(path) is in use by \(holder.map { "process \($0)" } ?? "another process")"
    case .corrupt(let path, let reason):
      "\(path) is damaged: \(reason)"
    case .damaged(let path, let losses): "\(path) is damaged:\n  \(losses.joined(separator: "\n  "))"
    case .lost(let path, let reason): "\(path) \(reason)"
    case .foreign(let path, let cluster, let expected):
      "\(path) is of the cluster \(cluster), and not of \(expected)"
    case .io(let message): message
    case .invalid(let message): message
    }
  }
}
