/// Which connections of which host are in use, which are idle, and who waits. Pure: connections are opened and closed
/// by the caller as the results say.
struct PoolState<Key: Hashable, Connection> {
  typealias Waiter = UInt64

  enum Acquisition {
    case use(Connection)
    /// A new one may be opened; `evicted` has to be closed for it.
    case open(evicted: Connection?)
    case wait(Waiter)
    case overloaded
  }

  enum Release {
    case nothing
    case close(Connection)
    /// The connection goes to somebody who waits.
    case hand(Connection, to: Waiter)
    /// Somebody who waits may open a new one.
    case open(Waiter)
    /// It is idle now; the serial tells whether it still is the same when its time is over.
    case idle(serial: UInt64, evicted: Connection?)
  }

  private struct Host {
    var inUse = 0
    /// The last one was used last.
    var idle: [(serial: UInt64, connection: Connection)] = []
    var waiters: [Waiter] = []
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
  ///   - isFresh: only a new connection will do.
  ///   - isUsable: whether an idle connection is still open; the others are dropped.
  mutating func acquire(_ key: Key, isFresh: Bool, isUsable: (Connection) -> Bool) -> Acquisition {
    var host = hosts[key] ?? Host()
    defer { hosts[key] = host }
    while !isFresh, let last = host.idle.popLast() {
      idleCount -= 1
      guard isUsable(last.connection) else { continue }
      host.inUse += 1
      return .use(last.connection)
    }
    if host.inUse < connectionsMax {
      var evicted: Connection?
      if host.inUse + host.idle.count >= connectionsMax {
        evicted = host.idle.removeFirst().connection
        idleCount -= 1
      }
      host.inUse += 1
      return .open(evicted: evicted)
    }
    guard host.waiters.count < queueMax else { return .overloaded }
    serial += 1
    host.waiters.append(serial)
    return .wait(serial)
  }

  /// A connection is free again, or, with `nil`, is gone or could not be opened.
  mutating func release(_ key: Key, _ connection: Connection?) -> Release {
    guard var host = hosts[key] else { return connection.map { .close($0) } ?? .nothing }
    defer { hosts[key] = host.inUse == 0 && host.idle.isEmpty && host.waiters.isEmpty ? nil : host }
    if !host.waiters.isEmpty {
      let waiter = host.waiters.removeFirst()
      return connection.map { .hand($0, to: waiter) } ?? .open(waiter)
    }
    host.inUse -= 1
    guard let connection else { return .nothing }
    guard !isClosed, idleMax > 0 else { return .close(connection) }
    var evicted: Connection?
    if idleCount >= idleMax {
      if !host.idle.isEmpty {
        evicted = host.idle.removeFirst().connection
      } else if let (other, _) = hosts.filter({ $0.key != key && !$0.value.idle.isEmpty })
        .min(by: { ($0.value.idle.first?.serial ?? 0) < ($1.value.idle.first?.serial ?? 0) })
      {
        evicted = hosts[other]?.idle.removeFirst().connection
        if let left = hosts[other], left.inUse == 0, left.idle.isEmpty, left.waiters.isEmpty { hosts[other] = nil }
      }
      if evicted != nil { idleCount -= 1 }
    }
    serial += 1
    host.idle.append((serial, connection))
    idleCount += 1
    return .idle(serial: serial, evicted: evicted)
  }

  /// Takes an idle connection out, when it has not been used since.
  mutating func expire(_ key: Key, serial: UInt64) -> Connection? {
    guard var host = hosts[key], let at = host.idle.firstIndex(where: { $0.serial == serial }) else { return nil }
    idleCount -= 1
    let connection = host.idle.remove(at: at).connection
    hosts[key] = host.inUse == 0 && host.idle.isEmpty && host.waiters.isEmpty ? nil : host
    return connection
  }

  /// Returns `false` when the waiter has been served already.
  mutating func cancel(_ key: Key, _ waiter: Waiter) -> Bool {
    guard let at = hosts[key]?.waiters.firstIndex(of: waiter) else { return false }
    hosts[key]?.waiters.remove(at: at)
    return true
  }

  /// All idle connections, which are to be closed. Those in use are closed when they come back.
  mutating func close() -> [Connection] {
    isClosed = true
    return takeIdle()
  }

  mutating func takeIdle() -> [Connection] {
    var taken: [Connection] = []
    for key in Array(hosts.keys) {
      taken += hosts[key]?.idle.map(\.connection) ?? []
      hosts[key]?.idle = []
      if hosts[key]?.inUse == 0 { hosts[key] = nil }
    }
    idleCount = 0
    return taken
  }

  var connectionCount: Int { hosts.values.reduce(0) { $0 + $1.inUse + $1.idle.count } }
}
