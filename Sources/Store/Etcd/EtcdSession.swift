import Protobuf
import RPC
import Synchronization
import Wire

/// One server's time as the leader on an etcd: from the moment when it got the key until it gives it back, or loses it.
final class EtcdSession: Sendable {
  /// What is asked for first may come later: machines start in any order.
  private static let reachMax: Duration = .seconds(30)
  /// When its certificate, or this server's, is the reason, another member may do.
  private static let trustMax: Duration = .seconds(3)
  /// Of one call. Those of a leader also end with its lease.
  private static let callMax: Duration = .seconds(5)
  /// Of one watch, while it waits for its turn.
  private static let watchMax: Duration = .seconds(60)
  /// etcd keeps what keys were before, until it is told to forget it.
  private static let compactionInterval: Duration = .seconds(300)
  /// Of one write with all that it takes.
  private static let writeMax: Duration = .seconds(30)

  let place: String
  let keys: EtcdKeys
  let client: EtcdClient
  let leadership: Leadership
  /// etcd's revision at which this server began to lead.
  let leader: Int64
  private let lease: Int64
  private let ttl: Duration
  private let time: any TimeSource
  private let renewal = Mutex<Task<Void, Never>?>(nil)

  private init(
    place: String, keys: EtcdKeys, client: EtcdClient, leadership: Leadership, leader: Int64, lease: Int64,
    ttl: Duration, time: any TimeSource
  ) {
    self.place = place
    self.keys = keys
    self.client = client
    self.leadership = leadership
    self.leader = leader
    self.lease = lease
    self.ttl = ttl
    self.time = time
  }

  // MARK: - Before it leads

  /// Looks at what is there, before anything is changed.
  static func look(
    _ client: EtcdClient, _ keys: EtcdKeys, place: String, time: any TimeSource
  ) async throws(StoreError) -> EtcdV3.KeyValue? {
    let start = Leadership.now()
    while true {
      let failure: EtcdFailure
      do throws(EtcdFailure) {
        let answer: EtcdV3.RangeResponse = try await client.call(
          EtcdV3.range, EtcdV3.RangeRequest(key: keys.meta), deadline: callMax)
        return answer.kvs.first
      } catch {
        failure = error
      }
      if case .refused = failure { throw .io("\(place): etcd refuses to answer: \(failure.reason)") }
      let max = if case .untrusted = failure { trustMax } else { reachMax }
      guard Leadership.now() - start < max.inNanoseconds else {
        throw .io("\(place): etcd does not answer: \(failure.reason)")
      }
      try await pause(time, .milliseconds(250))
    }
  }

  /// Waits until this server leads.
  ///
  /// - Parameters:
  ///   - name: of this server, for the others.
  ///   - waiting: told whenever another one leads than before.
  /// - Throws: `closed` when the task is cancelled, `io`.
  static func lead(
    _ options: EtcdOptions, _ client: EtcdClient, _ keys: EtcdKeys, name: String, time: any TimeSource,
    waiting: @Sendable (String) -> Void, lost: @escaping @Sendable (String) -> Never
  ) async throws(StoreError) -> EtcdSession {
    var told = ""
    while true {
      do throws(EtcdFailure) {
        let found: EtcdV3.RangeResponse = try await client.call(
          EtcdV3.range, EtcdV3.RangeRequest(key: keys.leader), deadline: callMax)
        if let other = found.kvs.first {
          let holder = String(decoding: other.value.prefix(200), as: UTF8.self).inOneLine
          if told != holder {
            waiting("\(options.place) is led by \(holder): this server stands by")
            told = holder
          }
          try await client.waitForChange(of: keys.leader, from: found.header.revision &+ 1, deadline: watchMax)
          // A watch that ends at once must not become a loop without a pause.
          try? await time.sleep(for: .milliseconds(200))
        } else if let session = try await attempt(options, client, keys, name: name, time: time, lost: lost) {
          session.renewal.withLock { $0 = Task { await session.keep() } }
          return session
        }
      } catch {
        if Task.isCancelled { throw .closed }
        if case .refused(let reason) = error { throw .io("\(options.place): etcd refuses to answer: \(reason)") }
        if case .full = error { throw .diskFull(options.place) }
        if told != error.reason {
          waiting("\(options.place) does not answer: \(error.reason)")
          told = error.reason
        }
        try await pause(time, .seconds(1))
      }
      if Task.isCancelled { throw .closed }
    }
  }

  /// Takes a lease, and with it the key; `nil` when another server was quicker.
  private static func attempt(
    _ options: EtcdOptions, _ client: EtcdClient, _ keys: EtcdKeys, name: String, time: any TimeSource,
    lost: @escaping @Sendable (String) -> Never
  ) async throws(EtcdFailure) -> EtcdSession? {
    let start = Leadership.now()
    let grant: EtcdV3.LeaseGrantResponse = try await client.call(
      EtcdV3.leaseGrant, EtcdV3.LeaseGrantRequest(ttl: Int64(options.leaseSeconds)), deadline: callMax)
    guard grant.error.isEmpty, grant.id != 0, (1...Int64(Int32.max)).contains(grant.ttl) else {
      throw .refused("no lease is given: \(grant.error.inOneLine)")
    }
    let ttl = Duration.seconds(grant.ttl)
    let until = start + validity(ttl).inNanoseconds
    // Whoever holds the lease holds the key: so it is known after a lost answer, too.
    var holder: EtcdV3.KeyValue?
    do throws(EtcdFailure) {
      let _: EtcdV3.TxnResponse = try await client.call(
        EtcdV3.txn,
        EtcdV3.TxnRequest(
          compare: [.created(keys.leader, at: 0)],
          success: [.put(keys.leader, Array(name.utf8), lease: grant.id)]), deadline: callMax)
      let found: EtcdV3.RangeResponse = try await client.call(
        EtcdV3.range, EtcdV3.RangeRequest(key: keys.leader), deadline: callMax)
      holder = found.kvs.first
    } catch {
      await revoke(grant.id, client)
      throw error
    }
    guard let holder, holder.lease == grant.id, Leadership.now() < until else {
      await revoke(grant.id, client)
      return nil
    }
    return EtcdSession(
      place: options.place, keys: keys, client: client,
      leadership: Leadership(place: options.place, until: until, lost: lost), leader: holder.createRevision,
      lease: grant.id, ttl: ttl, time: time)
  }

  /// For how long after its last sign of life a server may take it that it leads: clocks do not go alike.
  static func validity(_ ttl: Duration) -> Duration { ttl - max(.milliseconds(500), ttl / 10) }

  /// When that does not come through, the lease ends by itself. Done also when the task is cancelled: whoever is told to
  /// stop must not keep the others waiting.
  private static func revoke(_ lease: Int64, _ client: EtcdClient) async {
    await Task {
      let _: EtcdV3.Empty? = try? await client.call(
        EtcdV3.leaseRevoke, EtcdV3.LeaseRequest(id: lease), deadline: .seconds(2))
    }.value
  }

  private static func pause(_ time: any TimeSource, _ duration: Duration) async throws(StoreError) {
    do { try await time.sleep(for: duration) } catch { throw .closed }
  }

  /// Before something is tried again.
  func pause() async { try? await time.sleep(for: .milliseconds(250)) }

  // MARK: - While it leads

  /// Renews the lease three times in its life, and at once again when that fails, until the task is cancelled.
  private func keep() async {
    var pause = ttl / 3
    let shortPause = min(ttl / 20, .milliseconds(500))
    /// etcd's revision at an earlier time.
    var old = (revision: Int64(0), at: Leadership.now())
    while !Task.isCancelled {
      do { try await time.sleep(for: pause) } catch { return }
      // First: a process that was stopped meanwhile must not come back.
      leadership.check()
      let start = Leadership.now()
      do throws(EtcdFailure) {
        let answer: EtcdV3.LeaseKeepAliveResponse = try await client.call(
          EtcdV3.leaseKeepAlive, EtcdV3.LeaseRequest(id: lease), deadline: min(ttl / 4, leadership.left))
        if Task.isCancelled { return }
        guard answer.ttl > 0 else { leadership.lose("etcd has ended the lease") }
        // The key may go before its lease, when somebody removes it.
        let found: EtcdV3.RangeResponse = try await client.call(
          EtcdV3.range, EtcdV3.RangeRequest(key: keys.leader), deadline: min(ttl / 4, leadership.left))
        if Task.isCancelled { return }
        guard found.kvs.first?.createRevision == leader else { leadership.lose("somebody has removed its key") }
        // A member that does not know yet that others have chosen a new leader gives time that the new one does not know of.
        guard answer.header.raftTerm == found.header.raftTerm else {
          pause = shortPause
          continue
        }
        leadership.extend(until: start + Self.validity(min(ttl, .seconds(answer.ttl))).inNanoseconds)
        pause = ttl / 3
        if Leadership.now() - old.at >= Self.compactionInterval.inNanoseconds {
          if old.revision > 0 { await compact(old.revision) }
          old = (found.header.revision, Leadership.now())
        }
      } catch {
        pause = shortPause
      }
    }
  }

  /// What was refused was done by somebody else; what fails is done the next time.
  private func compact(_ revision: Int64) async {
    let _: EtcdV3.Empty? = try? await client.call(
      EtcdV3.compact, EtcdV3.CompactionRequest(revision: revision), deadline: ttl / 4)
  }

  /// One call of a leader's.
  func call<Answer: ProtobufMessage>(
    _ method: RPCMethod, bytes: [UInt8], deadline: Duration = callMax
  ) async throws(EtcdFailure) -> Answer {
    try await client.call(method, bytes: bytes, deadline: min(deadline, leadership.left))
  }

  /// Carries the operations and the new record out, all or nothing.
  ///
  /// - Parameter base: etcd's revision of the record before; 0 when there is none.
  /// - Returns: the one after it.
  func write(
    _ operations: [EtcdV3.RequestOp], _ target: EtcdMeta, base: Int64
  ) async throws(StoreError) -> Int64 {
    let both: [EtcdV3.RequestOp] = [.range(keys.leader), .range(keys.meta)]
    let transaction: [UInt8]
    let question: [UInt8]
    do throws(EtcdFailure) {
      transaction = try EtcdClient.bytes(
        EtcdV3.TxnRequest(
          compare: [.created(keys.leader, at: leader), .modified(keys.meta, at: base)],
          success: operations + [.put(keys.meta, target.bytes)], failure: both))
      question = try EtcdClient.bytes(EtcdV3.TxnRequest(success: both))
    } catch {
      throw .invalid(error.reason)
    }
    guard transaction.count <= EtcdGroup.bytesMax else {
      throw .tooLarge("the write has \(transaction.count) bytes, and etcd takes \(EtcdGroup.bytesMax)")
    }
    let end = Leadership.now() + Self.writeMax.inNanoseconds
    var write = EtcdWrite(place: place, leader: leader, base: base, target: target)
    var action = EtcdWrite.Action.send(after: .zero)
    while true {
      leadership.check()
      if Leadership.now() >= end, action.isAttempt { action = write.timeIsUp() }
      switch action {
      case .send(let delay):
        try await wait(delay)
        action = await send(transaction, &write)
      case .ask(let delay):
        try await wait(delay)
        action = await ask(question, &write)
      case .done(let modified): return modified
      case .refuse(let error): throw error
      case .lose(let why): leadership.lose(why)
      }
    }
  }

  private func wait(_ delay: Duration) async throws(StoreError) {
    // Nobody cancels the task: a write that was sent has to come to its end.
    if delay > .zero { try? await time.sleep(for: delay) }
  }

  private func send(_ bytes: [UInt8], _ write: inout EtcdWrite) async -> EtcdWrite.Action {
    do throws(EtcdFailure) {
      let answer: EtcdV3.TxnResponse = try await call(EtcdV3.txn, bytes: bytes)
      return write.answered(
        succeeded: answer.succeeded, revision: answer.header.revision, found: EtcdWrite.Found(answer))
    } catch {
      return write.failed(error)
    }
  }

  private func ask(_ bytes: [UInt8], _ write: inout EtcdWrite) async -> EtcdWrite.Action {
    do throws(EtcdFailure) {
      let answer: EtcdV3.TxnResponse = try await call(EtcdV3.txn, bytes: bytes)
      guard let found = EtcdWrite.Found(answer) else {
        return write.askingFailed("the answer lacks what was asked for")
      }
      return write.found(found)
    } catch {
      return write.askingFailed(error.reason)
    }
  }

  /// Gives the key back, so that the next one need not wait for the end of the lease.
  func end() async {
    let task = renewal.withLock { $0 }
    task?.cancel()
    await task?.value
    leadership.giveBack()
    await Self.revoke(lease, client)
    client.close()
  }
}

extension EtcdWrite.Action {
  fileprivate var isAttempt: Bool {
    switch self {
    case .send, .ask: true
    case .done, .refuse, .lose: false
    }
  }
}

extension EtcdWrite.Found {
  /// Of the answers to the questions for the leader's key and the record, in this order.
  init?(_ answer: EtcdV3.TxnResponse) {
    guard answer.responses.count == 2, let leader = answer.responses[0].range, let meta = answer.responses[1].range
    else { return nil }
    let record = meta.kvs.first
    self.init(
      leader: leader.kvs.first?.createRevision ?? 0, meta: record.flatMap { EtcdMeta($0.value) },
      modified: record?.modRevision ?? 0)
  }
}

extension Duration {
  /// Bounded by what 64 bits hold.
  var inNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    return overflow ? .max : product + attoseconds / 1_000_000_000
  }
}
