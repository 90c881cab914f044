/// The changes of a group as etcd takes them: each key once, as the last one of its changes leaves it.
struct EtcdGroup {
  /// etcd takes no more in one transaction, unless it is told otherwise (`--max-txn-ops`). One is for the record `meta`.
  static let operationsMax = 128 - 1
  /// Of a transaction on the wire: etcd takes no more (`--max-request-bytes`), and puts a few bytes around it.
  static let bytesMax = (3 << 19) - 1024
  /// Of one entry with its key, when it is alone in a transaction: there is the record, too.
  static let entryBytesMax = bytesMax - 4096

  private(set) var operations: [EtcdV3.RequestOp] = []

  init(_ events: [Store.Event], _ keys: EtcdKeys) {
    var places: [ByteKey: Int] = [:]
    for event in events {
      let key = keys.entry(event.entry.key)
      let operation: EtcdV3.RequestOp =
        switch event.kind {
        case .put: .put(key, EtcdEntry(event.entry).bytes)
        case .delete: .delete(key)
        }
      if let place = places[ByteKey(event.entry.key)] {
        operations[place] = operation
      } else {
        places[ByteKey(event.entry.key)] = operations.count
        operations.append(operation)
      }
    }
  }
}

extension RowDigest {
  /// What the digest is after the changes.
  func after(_ events: [Store.Event]) -> RowDigest {
    var digest = self
    for event in events {
      if let previous = event.previous { digest.remove(previous) }
      if event.kind != .delete { digest.add(event.entry) }
    }
    return digest
  }
}

/// What a group's way into etcd comes to: sent, asked about, sent again, and its end. A value apart from IO.
///
/// The transaction compares who leads and the record `meta`, which it changes. So it happens once, however often it is
/// sent, and not at all after another one, or after another leader's beginning. As long as it is not known whether one that
/// was sent has happened, it is not answered.
struct EtcdWrite {
  /// What is under the two keys.
  struct Found: Equatable, Sendable {
    /// etcd's revision at which the leader's key was made; 0 when nobody leads.
    var leader: Int64
    var meta: EtcdMeta?
    /// etcd's revision of the record; 0 when there is none.
    var modified: Int64
  }

  enum Action: Equatable {
    /// Send the transaction, after a pause.
    case send(after: Duration)
    /// Ask for both keys, after a pause.
    case ask(after: Duration)
    /// It has happened. etcd's revision of the record is this now.
    case done(modified: Int64)
    /// It has not happened, and never will.
    case refuse(StoreError)
    /// Another server leads, or nobody can tell what has happened: nothing may be answered from here on.
    case lose(String)
  }

  private let place: String
  /// etcd's revision at which this server began to lead.
  private let leader: Int64
  /// etcd's revision of the record before the write.
  private let base: Int64
  /// The record that the write leaves.
  private let target: EtcdMeta
  /// One that was sent may have happened, or may still happen.
  private(set) var isInDoubt = false
  /// etcd has said that it is full: whether the last one that was sent has happened is not known, but it will not any more.
  private var isFull = false
  private var attempts = 0
  private var last = "it does not answer"

  init(place: String, leader: Int64, base: Int64, target: EtcdMeta) {
    self.place = place
    self.leader = leader
    self.base = base
    self.target = target
  }

  /// - Parameters:
  ///   - revision: etcd's own, at the answer.
  ///   - found: when it did not hold what the transaction compares.
  mutating func answered(succeeded: Bool, revision: Int64, found: Found?) -> Action {
    if succeeded { return .done(modified: revision) }
    guard let found else { return failed(.unknown("the answer lacks what was asked for")) }
    guard found.leader != leader || found.modified != base else {
      return .lose("etcd says that the transaction's conditions hold, and did not carry it out")
    }
    return self.found(found)
  }

  mutating func failed(_ failure: EtcdFailure) -> Action {
    last = failure.reason
    switch failure {
    case .unknown, .untrusted:
      isInDoubt = true
      return .ask(after: pause())
    case .notBegun: return isInDoubt ? .ask(after: pause()) : .send(after: pause())
    // Not this one, but one before it may still happen.
    case _ where isInDoubt: return .ask(after: pause())
    case .full:
      isFull = true
      return .ask(after: .zero)
    case .tooLarge(let reason): return .refuse(.tooLarge("etcd does not take the write: \(reason)"))
    case .refused(let reason): return .refuse(.io("etcd refuses the write: \(reason)"))
    }
  }

  /// Both keys, read after all that had happened before the question.
  mutating func found(_ found: Found) -> Action {
    guard found.leader == leader else {
      return .lose(found.leader == 0 ? "the key that says so is gone" : "another server leads")
    }
    if found.meta == target { return .done(modified: found.modified) }
    guard found.modified == base else { return .lose("somebody else has written") }
    if isFull { return .refuse(.diskFull(place)) }
    // One that is still under way can happen after this one or before it, and the other one then does not.
    return .send(after: .zero)
  }

  /// The question was not answered.
  mutating func askingFailed(_ reason: String) -> Action {
    last = reason
    return .ask(after: pause())
  }

  /// It has taken as long as it may.
  mutating func timeIsUp() -> Action {
    isInDoubt || isFull
      ? .lose("whether a write has happened could not be found out: \(last)")
      : .refuse(.io("etcd takes no writes: \(last)"))
  }

  private mutating func pause() -> Duration {
    attempts += 1
    return .milliseconds(25 << min(attempts, 5))
  }
}
