import OCI
import SQLite
import Synchronization
import Wire

extension ContentStore {
  /// A lease under which blobs can be stored, and used, before anything refers to them.
  ///
  /// It ends by itself, so that a process that dies leaves nothing behind for ever. Nothing is written before its first
  /// use.
  public func lease(for duration: Duration) throws(OCIError) -> Lease {
    Lease(store: self, expires: time.now().microseconds + duration.microseconds)
  }

  /// The pins of that name, which stay until they are taken away: a node's running images, for example.
  public func pinSet(_ name: String) -> PinSet { PinSet(store: self, name: name) }
}

/// Keeps blobs, with all that they consist of, for a time. Thread safe.
public final class Lease: Sendable {
  private let store: ContentStore
  private let id = Int64.random(in: 1...Int64.max)
  private let state: Mutex<State>

  private struct State {
    var expires: Int64
    /// Its row has been written; when it is missing later, it has expired and was collected.
    var isUsed = false
    var isReleased = false
  }

  init(store: ContentStore, expires: Int64) {
    self.store = store
    state = Mutex(State(expires: expires))
  }

  /// Pins a blob; one that waits in the trash is taken out of it. `false`: it is not here.
  ///
  /// A manifest is pinned with its configuration, layers and children, as far as they are here.
  /// - Throws: `leaseExpired` when the lease has ended and earlier pins may have been lost.
  public func pin(_ digest: Digest) throws(OCIError) -> Bool {
    let pin = pinning(digest)
    let isHere = try store.writer.perform { (transaction: Transaction) throws(OCIError) in
      guard let (blob, _) = try transaction.presentBlob(digest) else { return false }
      try pin(transaction, blob)
      return true
    }
    if isHere { hasBeenUsed() }
    return isHere
  }

  /// Lets the lease end `duration` from now.
  public func extend(for duration: Duration) throws(OCIError) {
    let expires = store.time.now().microseconds + duration.microseconds
    let (id, isUsed) = (id, state.withLock { $0.isUsed })
    if isUsed {
      try store.writer.perform { (transaction: Transaction) throws(OCIError) in
        let changed = try transaction.catalog.run(
          "UPDATE lease SET expires = ?2 WHERE id = ?1", .init(id), .init(expires))
        guard changed > 0 else { throw Lease.expired }
      }
    }
    state.withLock { $0.expires = expires }
  }

  /// Ends the lease. What nothing refers to is garbage from now on. An error is of no account: it ends by itself.
  public func release() {
    let isNeeded = state.withLock { state in
      defer { state.isReleased = true }
      return state.isUsed && !state.isReleased
    }
    guard isNeeded else { return }
    let id = id
    _ = try? store.writer.perform { (transaction: Transaction) throws(OCIError) in
      try transaction.catalog.run("DELETE FROM pin WHERE lease = ?1", .init(id))
      try transaction.catalog.run("DELETE FROM lease WHERE id = ?1", .init(id))
    }
  }

  private static let expired = OCIError(
    .leaseExpired, "the lease has ended, and what it pinned may have been collected; begin again")

  /// What pins a blob, in a transaction.
  func pinning(_ digest: Digest) -> @Sendable (Transaction, Int64) throws(OCIError) -> Void {
    let (id, state) = (id, state.withLock { $0 })
    return { (transaction: Transaction, blob: Int64) throws(OCIError) in
      guard !state.isReleased else { throw Lease.expired }
      let isThere = try transaction.catalog.exists("SELECT 1 FROM lease WHERE id = ?1", .init(id))
      if !isThere {
        guard !state.isUsed else { throw Lease.expired }
        try transaction.catalog.run(
          "INSERT INTO lease (id, expires) VALUES (?1, ?2)", .init(id), .init(state.expires))
      }
      try transaction.pin(blob, lease: id)
    }
  }

  func hasBeenUsed() { state.withLock { $0.isUsed = true } }
}

/// Pins that outlive processes, under one name: replaced as a whole, or changed one by one. Thread safe.
public final class PinSet: Sendable {
  private let store: ContentStore
  public let name: String

  init(store: ContentStore, name: String) {
    self.store = store
    self.name = name
  }

  /// Pins a blob with all that it consists of; one that waits in the trash is taken out of it. `false`: it is not here.
  public func pin(_ digest: Digest) throws(OCIError) -> Bool {
    let name = name
    return try store.writer.perform { (transaction: Transaction) throws(OCIError) in
      guard let (blob, _) = try transaction.presentBlob(digest) else { return false }
      try transaction.pin(blob, lease: try transaction.pinSetID(name))
      return true
    }
  }

  public func unpin(_ digest: Digest) throws(OCIError) {
    let name = name
    try store.writer.perform { (transaction: Transaction) throws(OCIError) in
      try transaction.catalog.run(
        """
        DELETE FROM pin WHERE lease = (SELECT id FROM lease WHERE name = ?1)
          AND root = (SELECT id FROM blob WHERE digest = ?2)
        """, .init(name), .init(digest))
    }
  }

  /// Pins exactly these; gives those that are not here.
  public func replace(with digests: Set<Digest>) throws(OCIError) -> Set<Digest> {
    let name = name
    return try store.writer.perform { (transaction: Transaction) throws(OCIError) in
      let lease = try transaction.pinSetID(name)
      try transaction.catalog.run("DELETE FROM pin WHERE lease = ?1", .init(lease))
      var missing = Set<Digest>()
      for digest in digests {
        guard let (blob, _) = try transaction.presentBlob(digest) else {
          missing.insert(digest)
          continue
        }
        try transaction.pin(blob, lease: lease)
      }
      return missing
    }
  }

  /// What has been pinned, without what that consists of.
  public func digests() throws(OCIError) -> Set<Digest> {
    let name = name
    return Set(
      try store.readers.read { (catalog: Catalog) throws(OCIError) in
        try catalog.all(
          """
          SELECT DISTINCT blob.digest FROM lease JOIN pin ON pin.lease = lease.id JOIN blob ON blob.id = pin.root
            WHERE lease.name = ?1
          """, .init(name)
        ) { (row) throws(OCIError) in try catalog.digest(row, 0) }
      })
  }
}

extension Transaction {
  func pinSetID(_ name: String) throws(OCIError) -> Int64 {
    let known = try catalog.first("SELECT id FROM lease WHERE name = ?1", .init(name)) { row in row.integer(0) }
    if let known { return known }
    try catalog.run("INSERT INTO lease (name) VALUES (?1)", .init(name))
    return try catalog.first("SELECT last_insert_rowid()") { row in row.integer(0) } ?? 0
  }

  func pin(_ blob: Int64, lease: Int64) throws(OCIError) {
    let members = try catalog.all(
      """
      WITH RECURSIVE member (id) AS (
        SELECT ?1 UNION SELECT edge.target FROM edge JOIN member ON edge.source = member.id
      )
      SELECT blob.id, blob.digest, blob.state FROM member JOIN blob ON blob.id = member.id
      """, .init(blob)
    ) { (row) throws(OCIError) in (id: row.integer(0), digest: try catalog.digest(row, 1), state: row.integer(2)) }
    for member in members {
      // A member may wait in the trash, when the manifest was deleted everywhere.
      if member.state == Catalog.BlobState.trashed.rawValue { _ = try presentBlob(member.digest) }
      try catalog.run(
        "INSERT INTO pin (lease, root, blob) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING", .init(lease), .init(blob),
        .init(member.id))
    }
  }
}
