import Glibc
import KubeTypes
import LinuxSystem
import Synchronization
public import Wire

/// A revisioned key-value store with watch: everything in memory, over an engine that keeps it.
///
/// Every change gets the next revision. One writer thread takes the commits that wait, checks their preconditions in
/// order, has the engine keep them (SQLite: one transaction and one `fdatasync` for the group), publishes them to memory,
/// answers, and then has the watches told. A commit that nobody else's waits with may be carried out by its caller in the
/// same way, which saves two changes of threads. Reads come from memory and see every answered commit.
///
/// Keys are compared as bytes. A value is an object's canonical JSON; its header is kept, parsed, beside the bytes.
///
/// Every method may be called from any thread. `open` and `close` block.
public final class Store: Sendable {
  /// One state of one key. It never changes; lists, watches and the history share it.
  public final class Entry: Sendable {
    public let key: String
    /// The bytes and the header, shared with watchers and informers.
    public let object: Object
    /// The revision that made this state.
    public let revision: Int64
    /// The revision that made the key. It is also the row's id on disk.
    public let createRevision: Int64
    /// Of the row on disk.
    // The commit needs it where the entry is made, and the digest of the rows when the entry goes.
    let checksum: UInt32

    public var value: [UInt8] { object.bytes }
    public var header: ObjectHeader { object.header }

    init(key: String, object: Object, revision: Int64, createRevision: Int64, checksum: UInt32) {
      self.key = key
      self.object = object
      self.revision = revision
      self.createRevision = createRevision
      self.checksum = checksum
    }

    /// The same state in other bytes: what is served in another form than it is stored in.
    public func replacing(_ bytes: [UInt8]) -> Entry {
      Entry(
        key: key, object: Object(header: header, bytes: bytes), revision: revision, createRevision: createRevision,
        checksum: checksum)
    }
  }

  /// What is known of a store before it is opened.
  public enum Expectation: Sendable, Equatable {
    /// Nothing: it is made when it is missing.
    case any
    /// None was kept here before: it is made, for this cluster.
    case new(cluster: String)
    /// It is there. It is of this cluster, when that is known; otherwise it says itself whose it is, and one of an
    /// earlier version that does not is `otherwise`'s from now on.
    case existing(cluster: String?, otherwise: String)

    var mayBeMissing: Bool { if case .existing = self { false } else { true } }
  }

  /// What must hold for an operation, looked at after all operations before it.
  public enum Precondition: Sendable, Equatable {
    case none
    /// The key does not exist.
    case absent
    /// The key exists at this revision.
    case revision(Int64)
  }

  public enum Operation: Sendable {
    /// Sets the key. The operation's revision in decimal digits is spliced into `value` at the offset `revisionAt`
    /// (between the quotes of `metadata.resourceVersion`), and put into `header`.
    case put(
      String, value: [UInt8], revisionAt: Int, header: ObjectHeader, precondition: Precondition = .none)
    /// Removes the key. `finalValue`, with the revision of the deletion spliced in, is what watches are shown.
    case delete(
      String, finalValue: [UInt8], revisionAt: Int, header: ObjectHeader, precondition: Precondition = .none)
  }

  public struct Event: Sendable {
    public enum Kind: Sendable, Equatable {
      case put(created: Bool)
      case delete
    }
    public let kind: Kind
    /// The new state; for a deletion the final value with the deletion's revision.
    public let entry: Entry
    /// The state before; `nil` when the key was created.
    public let previous: Entry?
  }

  /// Part of a list, in the order of the keys.
  public struct Page: Sendable {
    public var entries: [Entry]
    /// The revision whose state this is.
    public var revision: Int64
    /// How many entries follow the page; `nil` when none does.
    public var remaining: Int?
  }

  typealias Completion = @Sendable (Result<[Entry?], StoreError>) -> Void

  struct Request: Sendable {
    var operations: [Operation]
    var bytes: Int
    /// New keys are made although space is short.
    var usesReserve = false
    var completion: Completion
  }

  /// What readers see. Copying it shares its arrays.
  struct State: Sendable {
    var entries = SortedEntries()
    var history: History
    var revision: Int64
    /// Told after the answers.
    var watches = WatchIndex()
    /// Told before the answers.
    var followers = WatchIndex()
    var isClosed = false

    mutating func clearWatches() {
      watches = WatchIndex()
      followers = WatchIndex()
    }
  }

  /// The limits that it was opened with.
  public let options: StoreOptions
  /// The cluster whose objects these are; empty when nobody has said so yet.
  public let cluster: String
  /// What was found when it was opened, and is no reason to refuse: for the log.
  public let notices: [String]
  let state: Mutex<State>
  let queue: WorkQueue<Request>
  private let teller: Teller
  private let writer: Mutex<WorkerThread?>
  /// Held by the thread that commits.
  let committer: Mutex<Committer>
  /// Commits that were taken on and not answered yet.
  let outstanding = Atomic(0)
  /// What may be answered from memory depends on it, where others can have the engine's place.
  let leadership: Leadership?
  /// Whether the last group was a single commit that the disk took quickly.
  let servesCallers = Atomic(false)

  /// Opens the store in `directory`, which is made when it is missing, and reads everything into memory. It stays open
  /// until `close`, also when nobody keeps this object.
  ///
  /// - Parameters:
  ///   - expected: what is known of it: one that was there and is not is refused.
  ///   - verify: looks at a whole value of a database that has no checksums yet, once.
  ///   - header: parses the header of a stored value, on several threads at a time; a value for which it throws is
  ///     damaged.
  /// - Throws: `locked` when another process has it open, `lost`, `foreign`, `damaged`, `corrupt`, `diskFull`, `io`.
  public static func open(
    directory: String, options: StoreOptions = .init(), expected: Expectation = .any,
    verify: @escaping @Sendable ([UInt8]) throws -> Void = { _ in },
    header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader
  ) throws(StoreError) -> Store {
    let (opened, content) = try SQLiteEngine.open(
      directory: directory, options: options, expected: expected, verify: verify, header: header)
    var engine = opened
    do throws(StoreError) { return try Store(engine, content, options) } catch {
      engine.close()
      throw error
    }
  }

  /// Opens the store that an etcd keeps: waits until this server leads there, and reads everything into memory. It stays
  /// open until `close`, also when nobody keeps this object.
  ///
  /// One server at a time leads, for as long as it renews its lease. When it cannot be known any more that it does, the
  /// process has to end: nothing may be answered from its memory.
  ///
  /// - Parameters:
  ///   - expected: what is known of it: one that was there and is not is refused, also before another server has ended.
  ///   - name: of this server, for the others.
  ///   - header: parses the header of a stored value; a value for which it throws is damaged.
  ///   - waiting: told, perhaps several times, why it has to be waited.
  ///   - lost: ends the process at once, and says the reason that it is given.
  ///   - beginning: called before the first write to an etcd where nothing was.
  /// - Throws: `lost`, `foreign`, `damaged`, `corrupt`, `diskFull`, `io`; `closed` when the task is cancelled.
  public static func open(
    etcd: EtcdOptions, options: StoreOptions = .init(), expected: Expectation = .any, name: String,
    time: any TimeSource, header: @escaping @Sendable ([UInt8]) throws -> ObjectHeader,
    waiting: @Sendable (String) -> Void, lost: @escaping @Sendable (String) -> Never,
    beginning: () throws(StoreError) -> Void = {}
  ) async throws(StoreError) -> Store {
    let (engine, content) = try await EtcdEngine.open(
      etcd, expected: expected, name: name, time: time, header: header, waiting: waiting, lost: lost,
      beginning: beginning)
    do throws(StoreError) { return try Store(engine, content, options) } catch {
      await engine.end()
      throw error
    }
  }

  /// Opens a store that is kept in memory. It stays open until `close`, also when nobody keeps this object.
  ///
  /// - Throws: `locked` while another one has the disk open.
  package static func open(_ disk: MemoryDisk, options: StoreOptions = .init()) throws(StoreError) -> Store {
    let (engine, content) = try MemoryEngine.open(disk)
    do throws(StoreError) { return try Store(engine, content, options) } catch {
      engine.close()
      throw error
    }
  }

  /// When it throws, the engine is still open, and the caller's to close.
  private init(_ engine: any Engine, _ content: EngineContent, _ options: StoreOptions) throws(StoreError) {
    cluster = content.cluster
    notices = content.notices
    self.options = options
    let revision = content.revision
    state = Mutex(
      State(entries: content.entries, history: History(floor: revision, options: options), revision: revision))
    queue = WorkQueue(countMax: options.queueCountMax, costMax: options.queueBytesMax)
    leadership = engine.leadership
    writer = Mutex(nil)
    teller = try Teller(revision: revision)
    committer = Mutex(Committer(engine: engine, teller: teller))
    if options.commitsOnCallers {
      committer.withLock { $0.start() }
      return
    }
    do throws(StoreError) {
      let thread = try WorkerThread(name: "apus-store") { Committer.run(self) }
      writer.withLock { $0 = thread }
    } catch {
      teller.close()
      throw error
    }
  }

  /// The newest committed revision.
  public var revision: Int64 {
    leadership?.check()
    return state.withLock { $0.revision }
  }

  /// Every event up to this revision has been handed to the watches. A bookmark may carry it when it is read before the
  /// bookmark is put into the same queue as the events.
  public var deliveredRevision: Int64 { teller.revision }

  /// The oldest revision from which a watch may start, and at which a list may be asked for.
  public var oldestRevision: Int64 { state.withLock { $0.history.floor } }

  /// How many keys there are.
  public var count: Int { state.withLock { $0.entries.count } }

  /// Commits the operations together, or none of them. The completion is called once, after `fdatasync`, on the writer
  /// thread or, before this returns, on the caller's, in commit order; it must not block.
  ///
  /// Each operation gets a revision of its own. The result has one entry for each: the new state, or the final one.
  ///
  /// - Parameters:
  ///   - canBlock: the caller can wait for the disk. It does so when no other commit is outstanding and the last one was
  ///     quick.
  ///   - usesReserve: new keys are made although space is short (`StoreOptions.reserveBytes`): for a bounded number of small
  ///     ones, without which what there is could not be deleted.
  public func commit(
    _ operations: [Operation], canBlock: Bool = false, usesReserve: Bool = false,
    completion: @escaping @Sendable (Result<[Entry?], StoreError>) -> Void
  ) {
    var bytes = 0
    for operation in operations {
      let (key, value, offset) =
        switch operation {
        case .put(let key, let value, let offset, _, _): (key, value, offset)
        case .delete(let key, let value, let offset, _, _): (key, value, offset)
        }
      guard !key.isEmpty, offset >= 0, offset <= value.count else {
        completion(.failure(.invalid("\(key): the revision's offset \(offset) is outside of \(value.count) bytes")))
        return
      }
      bytes += key.utf8.count + value.count
    }
    let request = Request(
      operations: operations, bytes: bytes, usesReserve: usesReserve, completion: completion)
    let others = outstanding.add(1, ordering: .acquiringAndReleasing).oldValue
    if canBlock, !options.commitsOnCallers, others == 0, servesCallers.load(ordering: .acquiring) {
      // Nothing waits, so nothing is overtaken.
      let isDone = committer.withLockIfAvailable { committer in
        guard committer.servesCallers else { return false }
        committer.commit([request], of: self)
        return true
      }
      if isDone == true {
        outstanding.subtract(1, ordering: .acquiringAndReleasing)
        return
      }
    }
    let failure: StoreError
    switch queue.push(request, cost: bytes) {
    case .queued:
      if options.commitsOnCallers { Committer.runOnCaller(self) }
      return
    case .full: failure = .overloaded
    case .closed: failure = .closed
    }
    outstanding.subtract(1, ordering: .acquiringAndReleasing)
    completion(.failure(failure))
  }

  /// The same, for tasks. Cancelling the task does not take the commit back.
  @discardableResult
  public func commit(_ operations: [Operation]) async throws(StoreError) -> [Entry?] {
    let result = await withCheckedContinuation { continuation in
      commit(operations) { continuation.resume(returning: $0) }
    }
    return try result.get()
  }

  /// The same as `close`, for tasks.
  public func closed() async {
    await withCheckedContinuation { continuation in
      DedicatedThread.start("apus-close") { [self] in
        close()
        continuation.resume()
      }
    }
  }

  /// Writes what waits, ends the watches with `.closed`, closes the database and releases the directory. Blocks until
  /// that is done. Later commits fail with `.closed`; reads keep working.
  public func close() {
    queue.close()
    if options.commitsOnCallers { committer.withLock { $0.drain(self, andClose: true) } }
    writer.withLock { thread in
      thread?.join()
      thread = nil
    }
  }
}
