import Glibc
import KubeTypes
import SQLite
import Synchronization

/// Reads all rows into memory when a store is opened, by several processors.
///
/// Each worker has a connection of its own and a share of the row ids. It reads its share from the bottom in batches;
/// one that has nothing left takes the upper half of the largest share, so that nobody has to know where between the
/// ids the rows are dense. Nobody writes meanwhile: the directory is locked and the writer thread not yet started.
final class Loader: Sendable {
  /// The row ids above `after` up to `last`: what a worker has still to read.
  private struct Share {
    var after: Int64
    var last: Int64
    var width: Int64 { last - after }
  }

  private struct State {
    /// By worker.
    var shares: [Share]
    /// What each worker has read, sorted.
    var parts: [LoadedPart] = []
    var failure: StoreError?
  }

  fileprivate static let batchCount = 256
  /// A share of fewer ids is not divided.
  private static let divisibleWidth = Int64(4 * batchCount)
  /// Merging the parts is one thread's work, which grows with their number.
  private static let workersMax = 4

  fileprivate let path: String
  fileprivate let revision: Int64
  fileprivate let header: @Sendable ([UInt8]) throws -> ObjectHeader
  private let state: Mutex<State>

  /// - Parameters:
  ///   - revision: the newest; a row that is newer is damage.
  ///   - ids: those of the first and the last row, from 1.
  ///   - workers: how many threads may work.
  ///   - header: parses the header of a value; called by all of them.
  init(
    path: String, revision: Int64, ids: ClosedRange<Int64>, workers: Int,
    header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader
  ) {
    self.path = path
    self.revision = revision
    self.header = header
    var shares = [Share](repeating: Share(after: 0, last: 0), count: max(1, min(workers, Self.workersMax)))
    shares[0] = Share(after: ids.lowerBound - 1, last: ids.upperBound)
    state = Mutex(State(shares: shares))
  }

  /// The calling thread works too, on `connection`.
  func load(
    _ connection: Connection
  ) throws(StoreError) -> (entries: SortedEntries, digest: RowDigest, damaged: [DamagedRow]) {
    var helpers: [WorkerThread] = []
    work { () throws(StoreError) in
      var worker = try LoadWorker(0, of: self, connection)
      // A small store is read by then, and no thread is started.
      if try worker.readBatch() {
        for index in 1..<state.withLock({ $0.shares.count }) { helpers.append(try startHelper(index)) }
      }
      while try worker.readBatch() {}
      return worker.part
    }
    for helper in helpers { helper.join() }
    if let failure = state.withLock({ $0.failure }) { throw failure }
    return try merge()
  }

  /// Reads row by row what can still be read of a database with damaged pages: a second for each million revisions.
  ///
  /// - Returns: also the ids that cannot be read, whether or not there were rows.
  func salvage(
    _ connection: Connection
  ) throws(StoreError) -> (
    entries: SortedEntries, digest: RowDigest, damaged: [DamagedRow], unreadable: [ClosedRange<Int64>]
  ) {
    guard let ids = share(of: 0) else { return (SortedEntries(), RowDigest(), [], []) }
    var unreadable: [ClosedRange<Int64>] = []
    var worker = try LoadWorker(0, of: self, connection)
    for id in (ids.after + 1)...ids.last {
      do throws(StoreError) {
        try worker.readRow(id)
      } catch {
        guard case .corrupt = error else { throw error }
        if let last = unreadable.last, last.upperBound == id - 1 {
          unreadable[unreadable.count - 1] = last.lowerBound...id
        } else {
          unreadable.append(id...id)
        }
      }
    }
    worker.part.sort()
    state.withLock { $0.parts = [worker.part] }
    let merged = try merge()
    return (merged.entries, merged.digest, merged.damaged, unreadable)
  }

  private func startHelper(_ index: Int) throws(StoreError) -> WorkerThread {
    try WorkerThread(name: "apus-load") { [self] in
      work { () throws(StoreError) in
        let connection = try sqlite { () throws(SQLiteError) in try Connection(path: path) }
        var worker = try LoadWorker(index, of: self, connection)
        while try worker.readBatch() {}
        return worker.part
      }
    }
  }

  /// Keeps what `body` has read; its error ends the other workers.
  private func work(_ body: () throws(StoreError) -> LoadedPart) {
    do throws(StoreError) {
      var part = try body()
      part.sort()
      state.withLock { $0.parts.append(part) }
    } catch {
      state.withLock { $0.failure = $0.failure ?? error }
    }
  }

  /// What the worker reads next; `nil` when it has finished.
  fileprivate func share(of worker: Int) -> (after: Int64, last: Int64)? {
    state.withLock { state in
      if state.failure != nil { return nil }
      if state.shares[worker].width == 0 {
        guard let largest = state.shares.indices.max(by: { state.shares[$0].width < state.shares[$1].width }),
          state.shares[largest].width >= Self.divisibleWidth
        else { return nil }
        let share = state.shares[largest]
        let middle = share.after + share.width / 2
        state.shares[largest].last = middle
        state.shares[worker] = Share(after: middle, last: share.last)
      }
      return (state.shares[worker].after, state.shares[worker].last)
    }
  }

  /// Notes that the worker has read its share up to the row `reached`, and returns the last one that is still its own:
  /// another worker may have taken the upper half meanwhile.
  fileprivate func advance(_ worker: Int, to reached: Int64) -> Int64 {
    state.withLock { state in
      let last = min(reached, state.shares[worker].last)
      state.shares[worker].after = last
      return last
    }
  }

  private func merge() throws(StoreError) -> (entries: SortedEntries, digest: RowDigest, damaged: [DamagedRow]) {
    // Taken out of the state, so that entries can be moved out of them.
    var parts: [LoadedPart] = []
    state.withLock { swap(&parts, &$0.parts) }
    var digest = RowDigest()
    for part in parts { digest.add(part.digest) }
    let damaged = parts.flatMap(\.damaged).sorted { $0.id < $1.id }
    return (try mergeEntries(&parts), digest, damaged)
  }

  private func mergeEntries(_ parts: inout [LoadedPart]) throws(StoreError) -> SortedEntries {
    var places = [Int](repeating: 0, count: parts.count)
    var last: (part: Int, place: Int)?
    var entries = SortedEntries()
    while true {
      var least: Int?
      for part in parts.indices where places[part] < parts[part].count {
        if let other = least, LoadedPart.compare(parts, (other, places[other]), (part, places[part])) <= 0 { continue }
        least = part
      }
      guard let part = least else { return entries }
      let next = (part: part, place: places[part])
      if let last, LoadedPart.compare(parts, last, next) == 0 {
        throw .corrupt(path: path, reason: "the key \(parts[part].key(next.place)) is there twice")
      }
      if let entry = parts[part].take(next.place) { entries.append(entry) }
      last = next
      places[part] += 1
    }
  }
}

/// What one worker has read.
///
/// The keys' bytes lie one behind the other, so that sorting and merging touch neither the strings nor the entries,
/// which are all over the memory.
private struct LoadedPart: Sendable {
  private struct Key {
    var start: Int
    var count: Int
    /// In `entries`.
    var index: Int
  }

  private var bytes: [UInt8] = []
  private var keys: [Key] = []
  private var entries: [Store.Entry?] = []
  private(set) var digest = RowDigest()
  /// The rows that are no entries, in their order.
  private(set) var damaged: [DamagedRow] = []

  /// The entries.
  var count: Int { keys.count }

  mutating func append(_ entry: Store.Entry) {
    keys.append(Key(start: bytes.count, count: entry.key.utf8.count, index: entries.count))
    bytes.append(contentsOf: entry.key.utf8)
    entries.append(entry)
    digest.add(entry)
  }

  mutating func append(_ row: DamagedRow) { damaged.append(row) }

  /// Removes what lies behind the row `last` of the entries and damaged rows from `first` on, which are in the order of
  /// their rows. Earlier ones are of other shares, and may lie behind it.
  mutating func removeRows(after last: Int64, from first: (entry: Int, damaged: Int)) {
    while damaged.count > first.damaged, let row = damaged.last, row.id > last { damaged.removeLast() }
    while entries.count > first.entry, let entry = entries.last ?? nil, entry.createRevision > last {
      entries.removeLast()
      digest.remove(entry)
      bytes.removeLast(keys.removeLast().count)
    }
  }

  mutating func sort() {
    bytes.withUnsafeBytes { bytes in
      keys.sort { a, b in Self.compare(bytes, a, bytes, b) < 0 }
    }
  }

  func key(_ place: Int) -> String {
    String(decoding: bytes[keys[place].start...].prefix(keys[place].count), as: UTF8.self)
  }

  /// Moves the entry of a place in the order of the keys out; once for each place.
  mutating func take(_ place: Int) -> Store.Entry? {
    var entry: Store.Entry?
    swap(&entry, &entries[keys[place].index])
    return entry
  }

  /// Compares the keys of two places.
  static func compare(_ parts: [LoadedPart], _ a: (part: Int, place: Int), _ b: (part: Int, place: Int)) -> Int {
    parts[a.part].bytes.withUnsafeBytes { bytes in
      parts[b.part].bytes.withUnsafeBytes { others in
        compare(bytes, parts[a.part].keys[a.place], others, parts[b.part].keys[b.place])
      }
    }
  }

  private static func compare(
    _ bytes: UnsafeRawBufferPointer, _ a: Key, _ others: UnsafeRawBufferPointer, _ b: Key
  ) -> Int {
    let common = min(a.count, b.count)
    if common > 0, let left = bytes.baseAddress, let right = others.baseAddress {
      let order = memcmp(left + a.start, right + b.start, common)
      if order != 0 { return Int(order) }
    }
    return a.count - b.count
  }
}

/// One worker of a loader, on one thread.
private struct LoadWorker {
  private let index: Int
  private let loader: Loader
  private let rows: Statement
  fileprivate(set) var part = LoadedPart()

  init(_ index: Int, of loader: Loader, _ connection: Connection) throws(StoreError) {
    self.index = index
    self.loader = loader
    rows = try sqlite { () throws(SQLiteError) in
      try connection.prepare(
        """
        SELECT create_revision, mod_revision, key, value, checksum FROM entry
        WHERE create_revision > ?1 AND create_revision <= ?2 ORDER BY create_revision LIMIT \(Loader.batchCount)
        """)
    }
  }

  /// False when nothing is left to read.
  mutating func readBatch() throws(StoreError) -> Bool {
    guard let share = loader.share(of: index) else { return false }
    rows.bind(1, share.after)
    rows.bind(2, share.last)
    let first = (part.count, part.damaged.count)
    var reached = share.after
    var count = 0
    while try sqlite({ () throws(SQLiteError) in try rows.step() }) {
      let id = rows.integer(0)
      guard id > reached else {
        throw .corrupt(path: loader.path, reason: "row \(id) comes after row \(reached)")
      }
      reached = id
      count += 1
      switch row(id) {
      case .success(let entry): part.append(entry)
      case .failure(let damage): part.append(damage.row)
      }
    }
    if count < Loader.batchCount { reached = share.last }
    part.removeRows(after: loader.advance(index, to: reached), from: first)
    return true
  }

  /// Reads one row, if it is there.
  mutating func readRow(_ id: Int64) throws(StoreError) {
    rows.bind(1, id - 1)
    rows.bind(2, id)
    while try sqlite({ () throws(SQLiteError) in try rows.step() }) {
      switch row(id) {
      case .success(let entry): part.append(entry)
      case .failure(let damage): part.append(damage.row)
      }
    }
  }

  private struct Damage: Error { var row: DamagedRow }

  /// The row's entry when it is what was written.
  private func row(_ id: Int64) -> Result<Store.Entry, Damage> {
    let (modified, key, value) = (rows.integer(1), rows.text(2), rows.blob(3))
    func damaged(_ reason: String) -> Result<Store.Entry, Damage> {
      .failure(Damage(row: DamagedRow(id: id, key: key, value: value, reason: reason)))
    }
    guard !rows.isNull(4) else { return damaged("it was damaged before rows had checksums") }
    let checksum = RowChecksum.entry(created: id, modified: modified, key: key, value: value)
    guard rows.integer(4) == Int64(checksum) else { return damaged("it does not match its checksum") }
    guard id <= modified else { return damaged("it is at revision \(modified), before it was created") }
    guard modified <= loader.revision else {
      return damaged("it is at revision \(modified), which is after the last one, \(loader.revision)")
    }
    do {
      let header = try loader.header(value)
      guard header.resourceVersion == modified else {
        return damaged("its metadata says revision \(header.resourceVersion), its row \(modified)")
      }
      return .success(
        Store.Entry(
          key: key, object: Object(header: header, bytes: value), revision: modified, createRevision: id,
          checksum: checksum))
    } catch {
      return damaged("its value cannot be read: \(error)")
    }
  }
}
