/// Which connections of which host are in use, which are idle, and who waits. Pure: connections are opened and closed
/// by the caller as the results say.
///
/// A connection is exclusive (HTTP/1.1: one request at a time) or shared (HTTP/2: as many as the peer allows). Which of
/// the two a host gives is known when the first connection to it is open; until then, others wait for it rather than
/// open their own.
struct PoolState<Key: Hashable, Connection: Equatable> {
  typealias Waiter = UInt64

  enum Acquisition {
    case use(Connection)
    /// A new one may be opened; `evicted` has to be closed for it. `opened` or `openFailed` says what became of it.
    case open(evicted: Connection?)
    case wait(Waiter)
    case overloaded
  }

  /// What somebody who waited gets.
  enum Grant {
    case use(Connection)
    case open
  }

  /// What is to be done after an event.
  struct Outcome {
    var close: [Connection] = []
    var grants: [(waiter: Waiter, grant: Grant)] = []
    /// The connection is idle now; the serial tells whether it still is the same when its time is over.
    var idle: UInt64?
  }

  private enum Kind { case unknown, exclusive, shared }

  private struct Idle {
    var serial: UInt64 = 0
    var connection: Connection
    /// How many requests may share it; `nil` for an exclusive one.
    var streamsMax: Int?
  }

  private struct Shared {
    var connection: Connection
    var streams: Int
    var streamsMax: Int
    /// It takes no more requests, and is closed after those that it has.
    var isRetired = false

    var isFree: Bool { !isRetired && streams < streamsMax }
  }

  private struct Host {
    var kind = Kind.unknown
    /// Exclusive ones in use, and those that are being opened.
    var inUse = 0
    var opening = 0
    var shared: [Shared] = []
    /// The last one was used last.
    var idle: [Idle] = []
    var waiters: [Waiter] = []

    /// Those that are not idle.
    var busy: Int { inUse + shared.count }
    var isEmpty: Bool { busy == 0 && idle.isEmpty && waiters.isEmpty }
  }

  private var hosts: [Key: Host] = [:]
  private var serial: UInt64 = 0
  private var idleCount = 0
  private(set) var isClosed = false

  let connectionsMax: Int
  let queueMax: Int
  let idleMax: Int

  init(connectionsMax: Int, queueMax: Int, idleMax: Int) {
    self.connectionsMax = connectionsMax
    self.queueMax = queueMax
    self.idleMax = idleMax
  }

  /// - Parameters:
  ///   - isFresh: a new connection, unless none can be had.
  ///   - mayShare: whether a connection to this host can turn out to be a shared one.
  ///   - isUsable: whether an idle connection is still open; the others are dropped.
  mutating func acquire(
    _ key: Key, isFresh: Bool, mayShare: Bool, isUsable: (Connection) -> Bool
  ) -> Acquisition {
    var host = hosts[key] ?? Host()
    defer { hosts[key] = host }
    if !isFresh {
      if let at = host.shared.firstIndex(where: { $0.isFree && isUsable($0.connection) }) {
        host.shared[at].streams += 1
        return .use(host.shared[at].connection)
      }
      while let last = host.idle.popLast() {
        idleCount -= 1
        guard isUsable(last.connection) else { continue }
        if let streamsMax = last.streamsMax {
          host.shared.append(Shared(connection: last.connection, streams: 1, streamsMax: streamsMax))
        } else {
          host.inUse += 1
        }
        return .use(last.connection)
      }
    }
    let awaitsKind = mayShare && host.kind != .exclusive && host.opening > 0
    if host.busy < connectionsMax, !awaitsKind {
      var evicted: Connection?
      if host.busy + host.idle.count >= connectionsMax {
        evicted = host.idle.removeFirst().connection
        idleCount -= 1
      }
      host.inUse += 1
      host.opening += 1
      return .open(evicted: evicted)
    }
    // No new one can be had now, and none may be given back for long: one that is shared will do.
    if isFresh, let at = host.shared.firstIndex(where: { $0.isFree && isUsable($0.connection) }) {
      host.shared[at].streams += 1
      return .use(host.shared[at].connection)
    }
    guard host.waiters.count < queueMax else { return .overloaded }
    serial += 1
    host.waiters.append(serial)
    return .wait(serial)
  }

  /// Returns `false` when the waiter has been served already.
  mutating func cancel(_ key: Key, _ waiter: Waiter) -> Bool {
    guard let at = hosts[key]?.waiters.firstIndex(of: waiter) else { return false }
    hosts[key]?.waiters.remove(at: at)
    return true
  }

  // MARK: Opening

  /// A connection is open and in use by whoever has opened it.
  /// - Parameter streamsMax: how many requests may share it; `nil` for an exclusive one.
  mutating func opened(_ key: Key, _ connection: Connection, streamsMax: Int?) -> Outcome {
    var host = take(key)
    host.opening -= 1
    if let streamsMax {
      host.kind = .shared
      host.inUse -= 1
      host.shared.append(Shared(connection: connection, streams: 1, streamsMax: streamsMax))
    } else {
      host.kind = .exclusive
    }
    return put(key, host)
  }

  mutating func openFailed(_ key: Key) -> Outcome {
    var host = take(key)
    host.opening -= 1
    host.inUse -= 1
    return put(key, host)
  }

  /// The exclusive connection that somebody got was gone already, and another one is opened in its place.
  mutating func reopens(_ key: Key) { hosts[key]?.opening += 1 }

  // MARK: Exclusive connections

  /// A connection is free again, or, with `nil`, is gone.
  mutating func release(_ key: Key, _ connection: Connection?) -> Outcome {
    var host = take(key)
    var outcome = Outcome()
    if let connection, !host.waiters.isEmpty {
      outcome.grants.append((host.waiters.removeFirst(), .use(connection)))
    } else {
      host.inUse -= 1
      if let connection { rest(Idle(connection: connection), &host, &outcome) }
    }
    return put(key, host, outcome)
  }

  // MARK: Shared connections

  /// One of the requests that share a connection has ended.
  mutating func releaseStream(_ key: Key, _ connection: Connection) -> Outcome {
    var host = take(key)
    var outcome = Outcome()
    if let at = host.shared.firstIndex(where: { $0.connection == connection }) {
      host.shared[at].streams -= 1
      let shared = host.shared[at]
      // Those who wait come first.
      if shared.streams == 0, host.waiters.isEmpty || !shared.isFree {
        host.shared.remove(at: at)
        if shared.isRetired || shared.streamsMax == 0 {
          outcome.close.append(connection)
        } else {
          rest(Idle(connection: connection, streamsMax: shared.streamsMax), &host, &outcome)
        }
      }
    }
    return put(key, host, outcome)
  }

  /// The peer has said how many requests may share a connection.
  mutating func limited(_ key: Key, _ connection: Connection, streamsMax: Int) -> Outcome {
    var host = take(key)
    var outcome = Outcome()
    if let at = host.shared.firstIndex(where: { $0.connection == connection }) {
      host.shared[at].streamsMax = streamsMax
    } else if let at = host.idle.firstIndex(where: { $0.connection == connection }) {
      host.idle[at].streamsMax = streamsMax
      // It is of no use, and the next one may be.
      if streamsMax == 0 {
        outcome.close.append(host.idle.remove(at: at).connection)
        idleCount -= 1
      }
    }
    return put(key, host, outcome)
  }

  /// A shared connection takes no more requests: the peer says so, does not answer, or is gone.
  mutating func retired(_ key: Key, _ connection: Connection) -> Outcome {
    var host = take(key)
    var outcome = Outcome()
    if let at = host.shared.firstIndex(where: { $0.connection == connection }) {
      host.shared[at].isRetired = true
    } else if let at = host.idle.firstIndex(where: { $0.connection == connection }) {
      outcome.close.append(host.idle.remove(at: at).connection)
      idleCount -= 1
    }
    return put(key, host, outcome)
  }

  // MARK: Idle connections

  /// Takes an idle connection out, when it has not been used since.
  mutating func expire(_ key: Key, serial: UInt64) -> Connection? {
    guard var host = hosts[key], let at = host.idle.firstIndex(where: { $0.serial == serial }) else { return nil }
    idleCount -= 1
    let connection = host.idle.remove(at: at).connection
    hosts[key] = host.isEmpty ? nil : host
    return connection
  }

  /// All idle connections, which are to be closed. Those in use are closed when they come back.
  mutating func close() -> [Connection] {
    isClosed = true
    return takeIdle()
  }

  /// All idle connections. Shared ones that are in use take no more requests.
  mutating func takeIdle() -> [Connection] {
    var taken: [Connection] = []
    for key in Array(hosts.keys) {
      guard var host = hosts[key] else { continue }
      taken += host.idle.map(\.connection)
      host.idle = []
      for at in host.shared.indices { host.shared[at].isRetired = true }
      hosts[key] = host.isEmpty ? nil : host
    }
    idleCount = 0
    return taken
  }

  var connectionCount: Int { hosts.values.reduce(0) { $0 + $1.busy + $1.idle.count } }

  // MARK: Rules

  /// A host as it is changed: out of the table, so that what is evicted for it is another's.
  private mutating func take(_ key: Key) -> Host { hosts.removeValue(forKey: key) ?? Host() }

  /// Gives those who wait what has become free, and puts the host back unless nothing is left of it.
  private mutating func put(_ key: Key, _ host: Host, _ outcome: Outcome = Outcome()) -> Outcome {
    var host = host
    var outcome = outcome
    for at in host.shared.indices {
      while host.shared[at].isFree, !host.waiters.isEmpty {
        host.shared[at].streams += 1
        outcome.grants.append((host.waiters.removeFirst(), .use(host.shared[at].connection)))
      }
    }
    // A shared connection may serve all who wait: they do not open one each.
    let openingMax = host.kind == .shared ? 1 : connectionsMax
    while !host.waiters.isEmpty, host.busy < connectionsMax, host.opening < openingMax {
      host.inUse += 1
      host.opening += 1
      outcome.grants.append((host.waiters.removeFirst(), .open))
    }
    assert(host.opening >= 0 && host.inUse >= host.opening, "each connection is given back once")
    hosts[key] = host.isEmpty ? nil : host
    return outcome
  }

  /// Keeps a connection, in place of the one that has been idle for longest when there are too many.
  private mutating func rest(_ idle: Idle, _ host: inout Host, _ outcome: inout Outcome) {
    guard !isClosed, idleMax > 0 else {
      outcome.close.append(idle.connection)
      return
    }
    if idleCount >= idleMax {
      if !host.idle.isEmpty {
        outcome.close.append(host.idle.removeFirst().connection)
        idleCount -= 1
      } else if let (key, other) = hosts.filter({ !$0.value.idle.isEmpty })
        .min(by: { ($0.value.idle.first?.serial ?? 0) < ($1.value.idle.first?.serial ?? 0) })
      {
        var other = other
        outcome.close.append(other.idle.removeFirst().connection)
        idleCount -= 1
        hosts[key] = other.isEmpty ? nil : other
      }
    }
    serial += 1
    host.idle.append(Idle(serial: serial, connection: idle.connection, streamsMax: idle.streamsMax))
    idleCount += 1
    outcome.idle = serial
  }
}
