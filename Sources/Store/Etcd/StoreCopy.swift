import Glibc
import KubeTypes
import LinuxSystem
import Synchronization
public import Wire

/// Brings a store from one kind of place to the other: as it is, with its revisions. What is there in the end is whole, or it
/// is not taken for a store.
public struct StoreCopy: Sendable, Equatable {
  public var count: Int
  public var revision: Int64
  public var cluster: String

  /// From a folder into an etcd, where nothing is. Both are this process's alone meanwhile.
  ///
  /// The record of the last revision comes last, after all entries were read again. When the etcd holds exactly this
  /// already, that is the end of it.
  ///
  /// - Parameters:
  ///   - name: of this process, for others.
  ///   - header: parses the header of a stored value.
  ///   - lost: ends the process: the etcd is somebody else's now.
  /// - Throws: what `Store.open` does; `invalid` when the etcd is not empty, `locked` when another server leads there,
  ///   `tooLarge`.
  public static func copy(
    from folder: String, to etcd: EtcdOptions, name: String, time: any TimeSource,
    header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader, lost: @escaping @Sendable (String) -> Never
  ) async throws(StoreError) -> StoreCopy {
    let store = try Store.open(directory: folder, expected: .existing(cluster: nil, otherwise: ""), header: header)
    defer { store.close() }
    guard !store.cluster.isEmpty else {
      throw .invalid("\(folder) is of an earlier version: start and stop a server of this one on it first")
    }
    let content = Content(store)
    try await EtcdEngine.fill(etcd, content, name: name, time: time, header: header, lost: lost)
    return StoreCopy(count: content.entries.count, revision: content.revision, cluster: content.cluster)
  }

  /// From an etcd into a folder, which has no store. The etcd keeps what it has.
  ///
  /// - Parameters:
  ///   - cluster: the one that it must be of.
  ///   - ready: called when the database is whole, and before it gets its name: from then on it is there.
  ///   - others: see above.
  public static func copy(
    from etcd: EtcdOptions, to folder: String, cluster: String?, name: String, time: any TimeSource,
    header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader, lost: @escaping @Sendable (String) -> Never,
    ready: () throws(StoreError) -> Void
  ) async throws(StoreError) -> StoreCopy {
    let path = folder + "/state.db"
    for suffix in ["", "-wal", "-shm"] where access(path + suffix, F_OK) == 0 {
      throw .invalid("\(path)\(suffix) is there already: move it away first")
    }
    let store = try await EtcdEngine.withoutWaiting(etcd.place) { waiting async throws(StoreError) in
      try await Store.open(
        etcd: etcd, expected: .existing(cluster: cluster, otherwise: cluster ?? ""), name: name, time: time,
        header: header, waiting: waiting, lost: lost)
    }
    let content = Content(store)
    do throws(StoreError) {
      try take(content, to: folder, path, header, ready)
    } catch {
      await store.closed()
      throw error
    }
    await store.closed()
    return StoreCopy(count: content.entries.count, revision: content.revision, cluster: content.cluster)
  }

  private static func take(
    _ content: Content, to folder: String, _ path: String,
    _ header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader, _ ready: () throws(StoreError) -> Void
  ) throws(StoreError) {
    do throws(SystemError) { try Directory.create(folder, mode: 0o700) } catch { throw .io(error.description) }
    let fresh = path + ".new"
    for suffix in ["", "-wal", "-shm"] { unlink(fresh + suffix) }
    try content.write(to: fresh, header)
    try ready()
    guard rename(fresh, path) == 0 else { throw .io(SystemError.last("rename \(fresh)").description) }
    do throws(SystemError) { try Directory.sync(folder) } catch { throw .io(error.description) }
  }

  /// All that a store holds.
  struct Content: Sendable {
    let entries: [Store.Entry]
    let revision: Int64
    let cluster: String
    let digest: RowDigest

    init(_ store: Store) {
      let (all, revision) = store.state.withLock { ($0.entries, $0.revision) }
      entries = all.slice(all.range(prefix: "", after: nil), limit: 0)
      self.revision = revision
      cluster = store.cluster
      digest = entries.reduce(into: RowDigest()) { $0.add($1) }
    }

    /// Writes a database, durably, and reads it again.
    func write(to path: String, _ header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader) throws(StoreError) {
      let database = try Database(path: path, expected: .new(cluster: cluster)) { _ in }
      do throws(StoreError) {
        try database.beginTransaction()
        for entry in entries { try database.insert(entry) }
        try database.commitTransaction(revision: revision, digest: digest)
        let found = try database.load(salvages: false, header: header)
        guard found.damaged.isEmpty, found.problems.isEmpty, found.digest == digest, found.revision == revision,
          found.entries.count == entries.count
        else { throw .corrupt(path: path, reason: "what was written is not what is read") }
      } catch {
        database.closeConnection()
        throw error
      }
      // The last connection copies the log into the database, and removes it.
      database.closeConnection()
      guard access(path + "-wal", F_OK) != 0 else { throw .io("the log of \(path) was not copied into it") }
    }
  }
}

extension EtcdEngine {
  /// Ends instead of waiting, when another server leads.
  static func withoutWaiting<Value: Sendable>(
    _ place: String,
    _ body: @escaping @Sendable (@escaping @Sendable (String) -> Void) async throws(StoreError) -> Value
  ) async throws(StoreError) -> Value {
    let (reasons, told) = AsyncStream.makeStream(of: String.self)
    let work = Task { () -> Result<Value, StoreError> in
      defer { told.finish() }
      do throws(StoreError) { return .success(try await body { told.yield($0) }) } catch { return .failure(error) }
    }
    var reason: String?
    for await why in reasons {
      reason = reason ?? why
      work.cancel()
    }
    let result = await work.value
    if let reason, case .failure(.closed) = result {
      throw .invalid("\(place) is in use, or does not answer: \(reason)")
    }
    return try result.get()
  }

  /// Fills an etcd that is empty.
  fileprivate static func fill(
    _ options: EtcdOptions, _ content: StoreCopy.Content, name: String, time: any TimeSource,
    header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader, lost: @escaping @Sendable (String) -> Never
  ) async throws(StoreError) {
    let client = EtcdClient(options)
    let keys = EtcdKeys(prefix: options.prefix)
    let session = try await withoutWaiting(options.place) { waiting async throws(StoreError) in
      _ = try await EtcdSession.look(client, keys, place: options.place, time: time)
      return try await EtcdSession.lead(
        options, client, keys, name: name, time: time, waiting: waiting, lost: lost)
    }
    do throws(StoreError) {
      try await fill(session, content, time, header)
    } catch {
      await session.end()
      throw error
    }
    await session.end()
  }

  private static func fill(
    _ session: EtcdSession, _ content: StoreCopy.Content, _ time: any TimeSource,
    _ header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader
  ) async throws(StoreError) {
    var target = EtcdMeta(
      revision: content.revision, digest: content.digest, writer: session.leader, cluster: content.cluster)
    let (record, _) = try await session.record()
    if let record {
      let found = EtcdMeta(record.value)
      target.writer = found?.writer ?? 0
      if found == target { return }
      throw .invalid(
        "\(session.place) is not empty: it holds "
          + (found.map { "the cluster \($0.cluster) at revision \($0.revision)" } ?? "a record that cannot be read"))
    }
    guard try await session.isEmpty() else {
      throw .invalid(
        "\(session.place) is not empty: it holds keys, and no record of a revision, as a copy that was cut short leaves it."
          + " If nothing else is there, remove them with etcdctl del --prefix, and begin again")
    }
    var batch: [EtcdV3.RequestOp] = []
    var bytes = 0
    for entry in content.entries {
      let cost = entry.key.utf8.count + entry.value.count
      if !batch.isEmpty, batch.count >= EtcdGroup.operationsMax || bytes + cost > 1 << 20 {
        try await session.add(batch)
        (batch, bytes) = ([], 0)
      }
      batch.append(.put(session.keys.entry(entry.key), EtcdEntry(entry).bytes))
      bytes += cost
    }
    if !batch.isEmpty { try await session.add(batch) }
    let (_, revision) = try await session.record()
    let loader = EtcdLoader(session: session, time: time, header: header)
    let found = try await loader.load(target, at: revision)
    guard found.count == content.entries.count else {
      throw .corrupt(path: session.place, reason: "what was written is not what is read")
    }
    _ = try await session.settle(target, base: 0)
  }
}

extension EtcdSession {
  /// Whether nothing is under the prefix but the leader's key.
  fileprivate func isEmpty() async throws(StoreError) -> Bool {
    do throws(EtcdFailure) {
      for request in keys.others + [keys.entries(after: nil)] {
        var request = request
        (request.limit, request.keysOnly) = (2, true)
        let answer: EtcdV3.RangeResponse = try await call(EtcdV3.range, bytes: EtcdClient.bytes(request))
        guard answer.kvs.allSatisfy({ $0.key == keys.leader }) else { return false }
      }
      return true
    } catch {
      throw .io("\(place) cannot be read: \(error.reason)")
    }
  }

  /// Puts entries where there is no record yet. It may happen twice: it is the same.
  fileprivate func add(_ operations: [EtcdV3.RequestOp]) async throws(StoreError) {
    let attemptsMax = 20
    var attempts = 0
    while true {
      leadership.check()
      do throws(EtcdFailure) {
        let bytes = try EtcdClient.bytes(
          EtcdV3.TxnRequest(
            compare: [.created(keys.leader, at: leader), .created(keys.meta, at: 0)], success: operations))
        let answer: EtcdV3.TxnResponse = try await call(EtcdV3.txn, bytes: bytes)
        guard answer.succeeded else { leadership.lose("somebody else has written") }
        return
      } catch {
        attempts += 1
        switch error {
        case .full: throw .diskFull(place)
        case .tooLarge(let reason): throw .tooLarge("an object is more than etcd takes: \(reason)")
        case .refused(let reason): throw .io("etcd refuses the write: \(reason)")
        case .notBegun(let reason), .unknown(let reason):
          guard attempts < attemptsMax else { throw .io("etcd takes no writes: \(reason)") }
          await pause()
        }
      }
    }
  }
}
