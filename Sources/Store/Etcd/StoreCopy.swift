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
  /// already, that is the end of it. When it fails, what was written is removed.
  ///
  /// - Parameters:
  ///   - resumes: an earlier copy of this folder to this etcd was cut short: what it left there is removed first.
  ///   - name: of this process, for others.
  ///   - header: parses the header of a stored value.
  ///   - lost: ends the process: the etcd is somebody else's now.
  ///   - beginning: called before anything is written to the etcd.
  ///   - undone: called when it has failed after that, and nothing of it is left in the etcd.
  /// - Throws: what `Store.open` does; `invalid` when the etcd is not empty, or another server leads there; `tooLarge`.
  public static func copy(
    from folder: String, to etcd: EtcdOptions, resumes: Bool, name: String, time: any TimeSource,
    header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader, lost: @escaping @Sendable (String) -> Never,
    beginning: () throws(StoreError) -> Void, undone: () -> Void
  ) async throws(StoreError) -> StoreCopy {
    let store = try Store.open(directory: folder, expected: .existing(cluster: nil, otherwise: ""), header: header)
    defer { store.close() }
    guard !store.cluster.isEmpty else {
      throw .invalid("\(folder) is of an earlier version: start and stop a server of this one on it first")
    }
    let content = Content(store)
    if resumes, try await EtcdSession.holds(content, etcd, time: time) {
      return StoreCopy(count: content.entries.count, revision: content.revision, cluster: content.cluster)
    }
    let session = try await EtcdSession.free(etcd, name: name, time: time, lost: lost)
    do throws(StoreError) {
      try await session.fill(content, resumes: resumes, time, header, beginning, undone)
    } catch {
      await session.end()
      throw error
    }
    await session.end()
    return StoreCopy(count: content.entries.count, revision: content.revision, cluster: content.cluster)
  }

  /// From an etcd into a folder, which has no store. The etcd keeps the objects, and says that they are here now: so no
  /// server that still stands by goes on with them.
  ///
  /// - Parameters:
  ///   - destination: what the folder is called in the etcd. A copy to it that was cut short is taken up again.
  ///   - cluster: the one that it must be of.
  ///   - beginning: called before the etcd is changed.
  ///   - others: see above.
  public static func copy(
    from etcd: EtcdOptions, to folder: String, called destination: String, cluster: String, name: String,
    time: any TimeSource,
    header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader, lost: @escaping @Sendable (String) -> Never,
    beginning: () throws(StoreError) -> Void
  ) async throws(StoreError) -> StoreCopy {
    let path = folder + "/state.db"
    let isThere = ["", "-wal", "-shm"].first { access(path + $0, F_OK) == 0 }
    let (opened, found) = try await EtcdSession.withoutWaiting(etcd.place) { waiting async throws(StoreError) in
      try await EtcdEngine.open(
        etcd, expected: .existing(cluster: cluster, otherwise: cluster), name: name, time: time, header: header,
        waiting: waiting, lost: lost, movedTo: destination)
    }
    var engine = opened
    let content = Content(found)
    do throws(StoreError) {
      // The etcd says so only of a copy that was whole: then the database got its name, and that was all that was left.
      let isDone = engine.isMoved && isThere != nil
      if let isThere, !isDone { throw .invalid("\(path)\(isThere) is there already: move it away first") }
      if isDone {
        await engine.end()
        return StoreCopy(count: content.entries.count, revision: content.revision, cluster: content.cluster)
      }
      let fresh = path + ".new"
      do throws(SystemError) { try Directory.create(folder, mode: 0o700) } catch { throw .io(error.description) }
      for suffix in ["", "-wal", "-shm"] { unlink(fresh + suffix) }
      try content.write(to: fresh, header)
      try beginning()
      try await engine.move(to: destination)
      guard rename(fresh, path) == 0 else { throw .io(SystemError.last("rename \(fresh)").description) }
      do throws(SystemError) { try Directory.sync(folder) } catch { throw .io(error.description) }
    } catch {
      await engine.end()
      throw error
    }
    await engine.end()
    return StoreCopy(count: content.entries.count, revision: content.revision, cluster: content.cluster)
  }

  /// All that a store holds.
  struct Content: Sendable {
    let entries: [Store.Entry]
    let revision: Int64
    let cluster: String
    let digest: RowDigest

    init(_ store: Store) {
      self.init(
        store.state.withLock { EngineContent(entries: $0.entries, revision: $0.revision, cluster: store.cluster) })
    }

    init(_ content: EngineContent) {
      let all = content.entries
      entries = all.slice(all.range(prefix: "", after: nil), limit: 0)
      revision = content.revision
      cluster = content.cluster
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

extension EtcdSession {
  /// Ends instead of waiting, when another server leads.
  fileprivate static func withoutWaiting<Value: Sendable>(
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

  /// Whether the etcd has the store, or what has become of it since: a server may lead there already.
  fileprivate static func holds(
    _ content: StoreCopy.Content, _ options: EtcdOptions, time: any TimeSource
  ) async throws(StoreError) -> Bool {
    let client = EtcdClient(options)
    defer { client.close() }
    let record = try await look(client, EtcdKeys(prefix: options.prefix), place: options.place, time: time)
    guard let record, let meta = EtcdMeta(record.value) else { return false }
    return meta.cluster == content.cluster && meta.movedTo == nil && meta.revision >= content.revision
  }

  /// Leads on an etcd where nobody does.
  fileprivate static func free(
    _ options: EtcdOptions, name: String, time: any TimeSource, lost: @escaping @Sendable (String) -> Never
  ) async throws(StoreError) -> EtcdSession {
    let client = EtcdClient(options)
    let keys = EtcdKeys(prefix: options.prefix)
    do throws(StoreError) {
      return try await withoutWaiting(options.place) { waiting async throws(StoreError) in
        _ = try await look(client, keys, place: options.place, time: time)
        return try await lead(options, client, keys, name: name, time: time, waiting: waiting, lost: lost)
      }
    } catch {
      client.close()
      throw error
    }
  }

  /// Fills an etcd that is empty.
  fileprivate func fill(
    _ content: StoreCopy.Content, resumes: Bool, _ time: any TimeSource,
    _ header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader, _ beginning: () throws(StoreError) -> Void,
    _ undone: () -> Void
  ) async throws(StoreError) {
    var target = EtcdMeta(
      revision: content.revision, digest: content.digest, writer: leader, cluster: content.cluster)
    let (record, revision) = try await record()
    if let record {
      let found = EtcdMeta(record.value)
      target.writer = found?.writer ?? 0
      if found == target { return try await check(content, target, at: revision, time, header) }
      throw .invalid(
        "\(place) is not empty: it holds "
          + (found.map { found in
            "the cluster \(found.cluster.inOneLine) at revision \(found.revision)"
              + (found.movedTo.map { ", as it was when it was copied to \($0.inOneLine)" } ?? "")
          } ?? "a record that cannot be read"))
    }
    // Before anything is written.
    for entry in content.entries where entry.key.utf8.count + entry.value.count > EtcdGroup.entryBytesMax {
      throw .tooLarge(
        "\(entry.key) has \(entry.value.count) bytes, and etcd takes \(EtcdGroup.entryBytesMax) with its key")
    }
    if resumes { try await removeEntries() }
    guard try await isEmpty() else {
      throw .invalid(
        "\(place) is not empty: it holds keys, and no record of a revision, as a copy that was cut short leaves it."
          + " If nothing else is there, remove them with etcdctl del --prefix, and begin again")
    }
    try beginning()
    do throws(StoreError) {
      try await add(content.entries)
      let (_, revision) = try await self.record()
      try await check(content, target, at: revision, time, header)
      _ = try await settle(target, base: 0)
    } catch {
      do throws(StoreError) { try await removeEntries() } catch let other {
        throw .io("\(error), and what was written cannot be removed: \(other)")
      }
      undone()
      throw error
    }
  }

  /// Reads the entries, and throws when they are not those.
  private func check(
    _ content: StoreCopy.Content, _ target: EtcdMeta, at revision: Int64, _ time: any TimeSource,
    _ header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader
  ) async throws(StoreError) {
    let found = try await EtcdLoader(session: self, time: time, header: header).load(target, at: revision)
    guard found.count == content.entries.count else {
      throw .corrupt(path: place, reason: "what was written is not what is read")
    }
  }

  private func add(_ entries: [Store.Entry]) async throws(StoreError) {
    var batch: [EtcdV3.RequestOp] = []
    var bytes = 0
    for entry in entries {
      let cost = entry.key.utf8.count + entry.value.count
      if !batch.isEmpty, batch.count >= EtcdGroup.operationsMax || bytes + cost > 1 << 20 {
        try await send(batch)
        (batch, bytes) = ([], 0)
      }
      batch.append(.put(keys.entry(entry.key), EtcdEntry(entry).bytes))
      bytes += cost
    }
    if !batch.isEmpty { try await send(batch) }
  }

  /// Removes all entries, where there is no record that makes them count.
  private func removeEntries() async throws(StoreError) {
    let all = keys.entries(after: nil)
    try await send([EtcdV3.RequestOp(delete: EtcdV3.DeleteRangeRequest(key: all.key, rangeEnd: all.rangeEnd))])
  }

  /// Whether nothing is under the prefix but the leader's key.
  private func isEmpty() async throws(StoreError) -> Bool {
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

  /// Changes entries where there is no record yet. It may happen twice: it is the same.
  private func send(_ operations: [EtcdV3.RequestOp]) async throws(StoreError) {
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
        case .notBegun(let reason), .unknown(let reason), .untrusted(let reason):
          guard attempts < attemptsMax else { throw .io("etcd takes no writes: \(reason)") }
          await pause()
        }
      }
    }
  }
}
