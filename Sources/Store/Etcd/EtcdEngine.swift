import KubeTypes
import Wire

/// Keeps a store in an etcd, for as long as this server leads there.
///
/// Each group is one transaction: its entries, and the record `meta` with the revision and the digest of all. It compares who
/// leads and what the record was, so that nothing lands of a server that does not lead any more.
struct EtcdEngine: Engine {
  private let session: EtcdSession
  /// The record as it is in etcd, and etcd's revision of it.
  private var meta: EtcdMeta
  private var modified: Int64

  /// Waits until this server leads, and reads everything into memory.
  ///
  /// - Parameters:
  ///   - expected: what is known of the store: one that was there and is not is refused.
  ///   - name: of this server, for others.
  ///   - header: parses the header of a stored value; a value for which it throws is damaged.
  ///   - waiting: told of who leads meanwhile, and of an etcd that does not answer.
  ///   - lost: ends the process: this server led, and does not any more.
  ///   - destination: where the objects may have been moved to already.
  ///   - beginning: called before the first write to the etcd, when it is what was expected.
  /// - Throws: `lost`, `foreign`, `damaged`, `corrupt`, `diskFull`, `io`; `closed` when the task is cancelled.
  static func open(
    _ options: EtcdOptions, expected: Store.Expectation, name: String, time: any TimeSource,
    header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader, waiting: @Sendable (String) -> Void,
    lost: @escaping @Sendable (String) -> Never, movedTo destination: String? = nil,
    beginning: () throws(StoreError) -> Void = {}
  ) async throws(StoreError) -> (engine: EtcdEngine, content: EngineContent) {
    let client = EtcdClient(options)
    let keys = EtcdKeys(prefix: options.prefix)
    do throws(StoreError) {
      // A server that has no business here must not wait for its turn.
      _ = try EtcdMeta.settle(
        try await EtcdSession.look(client, keys, place: options.place, time: time), expected, at: options.place,
        movedTo: destination)
    } catch {
      client.close()
      throw error
    }
    let session: EtcdSession
    do throws(StoreError) {
      session = try await EtcdSession.lead(
        options, client, keys, name: name, time: time, waiting: waiting, lost: lost)
    } catch {
      client.close()
      throw error
    }
    do throws(StoreError) {
      return try await take(session, expected, destination, time, header, beginning)
    } catch {
      await session.end()
      throw error
    }
  }

  /// Reads what is there, as the leader.
  private static func take(
    _ session: EtcdSession, _ expected: Store.Expectation, _ destination: String?, _ time: any TimeSource,
    _ header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader, _ beginning: () throws(StoreError) -> Void
  ) async throws(StoreError) -> (engine: EtcdEngine, content: EngineContent) {
    var attempts = 0
    while true {
      let (record, revision) = try await session.record()
      var meta = try EtcdMeta.settle(record, expected, at: session.place, movedTo: destination)
      do throws(StoreError) {
        let entries = try await EtcdLoader(session: session, time: time, header: header).load(meta, at: revision)
        var modified = record?.modRevision ?? 0
        if record == nil || record.flatMap({ EtcdMeta($0.value) })?.cluster != meta.cluster {
          meta.writer = session.leader
          try beginning()
          modified = try await session.settle(meta, base: modified)
        }
        return (
          EtcdEngine(session: session, meta: meta, modified: modified),
          EngineContent(entries: entries, revision: meta.revision, cluster: meta.cluster)
        )
      } catch {
        attempts += 1
        // Others' keys may be compacted meanwhile; this server's have not changed.
        guard attempts < 3, case .io(let reason) = error, reason.contains("compacted") else { throw error }
      }
    }
  }

  var place: String { session.place }
  /// Each write is two ways through a network, and may wait for another machine's disk.
  var isPrompt: Bool { false }
  var operationsMax: Int { EtcdGroup.operationsMax }
  /// With room for keys, revisions and lengths.
  var groupBytesMax: Int { 1 << 20 }
  var leadership: Leadership? { session.leadership }

  mutating func write(_ events: [Store.Event]) throws(StoreError) {
    guard let last = events.last else { return }
    let operations = EtcdGroup(events, session.keys).operations
    guard operations.count <= EtcdGroup.operationsMax else {
      throw .tooLarge("the write changes \(operations.count) objects, and etcd takes \(EtcdGroup.operationsMax)")
    }
    let target = EtcdMeta(
      revision: last.entry.revision, digest: meta.digest.after(events), writer: session.leader,
      cluster: meta.cluster)
    modified = try blocking { [session, modified] () async throws(StoreError) in
      try await session.write(operations, target, base: modified)
    }
    meta = target
  }

  func close() {
    blocking { [session] () async throws(Never) in await session.end() }
  }

  /// The same where nobody may block.
  func end() async { await session.end() }

  var isMoved: Bool { meta.movedTo != nil }

  /// Says durably that the objects are elsewhere from now on. No server starts on them any more.
  mutating func move(to destination: String) async throws(StoreError) {
    guard meta.movedTo != destination else { return }
    var target = meta
    (target.movedTo, target.writer) = (destination, session.leader)
    modified = try await session.settle(target, base: modified)
    meta = target
  }
}

extension EtcdSession {
  /// The record `meta`, and etcd's revision at which it is that.
  func record() async throws(StoreError) -> (EtcdV3.KeyValue?, Int64) {
    var attempts = 0
    while true {
      leadership.check()
      do throws(EtcdFailure) {
        let answer: EtcdV3.RangeResponse = try await call(
          EtcdV3.range, bytes: EtcdClient.bytes(EtcdV3.RangeRequest(key: keys.meta)))
        return (answer.kvs.first, answer.header.revision)
      } catch {
        if Task.isCancelled { throw .closed }
        attempts += 1
        guard attempts < 20 else { throw .io("\(place) cannot be read: \(error.reason)") }
        await pause()
      }
    }
  }

  /// Writes the record alone, to its end also when the task is cancelled: whether it was written has to be known.
  func settle(_ meta: EtcdMeta, base: Int64) async throws(StoreError) -> Int64 {
    let task = Task { () -> Result<Int64, StoreError> in
      do throws(StoreError) { return .success(try await write([], meta, base: base)) } catch { return .failure(error) }
    }
    return try await task.value.get()
  }
}
