import TestKit
import Testing

@testable import HTTP

@Suite struct ClientPoolTests {
  private typealias Pool = PoolState<String, Int>

  private func pool(connections: Int = 2, queue: Int = 10, idle: Int = 4) -> Pool {
    Pool(connectionsMax: connections, queueMax: queue, idleMax: idle)
  }

  private func acquire(
    _ pool: inout Pool, _ key: String = "a", isFresh: Bool = false, mayShare: Bool = true,
    dead: Set<Int> = []
  ) -> String {
    switch pool.acquire(key, isFresh: isFresh, mayShare: mayShare, isUsable: { !dead.contains($0) })
    {
    case .use(let connection): "use \(connection)"
    case .open(let evicted): evicted.map { "open for \($0)" } ?? "open"
    case .wait(let waiter): "wait \(waiter)"
    case .overloaded: "overloaded"
    }
  }

  private func text(_ outcome: Pool.Outcome) -> [String] {
    outcome.close.map { "close \($0)" }
      + outcome.grants.map { granted in
        switch granted.grant {
        case .use(let connection): "\(granted.waiter) uses \(connection)"
        case .open: "\(granted.waiter) opens"
        }
      } + (outcome.idle == nil ? [] : ["idle"])
  }

  // MARK: What kind of connections a host gives

  @Test func whoComesWhileTheKindIsUnknownWaits() {
    var pool = pool()
    #expect(acquire(&pool) == "open")
    #expect(acquire(&pool) == "wait 1")
    #expect(acquire(&pool) == "wait 2")
    // It is exclusive: one more may be opened.
    #expect(text(pool.opened("a", 1, streamsMax: nil)) == ["1 opens"])
    #expect(text(pool.opened("a", 2, streamsMax: nil)) == [])
    #expect(text(pool.release("a", 1)) == ["2 uses 1"])
    // The kind is known as long as there is a connection.
    #expect(text(pool.release("a", 1)) == ["idle"])
    #expect(acquire(&pool, isFresh: true) == "open for 1")
    #expect(pool.connectionCount == 2)
  }

  @Test func whoWaitsSharesTheFirstConnection() {
    var pool = pool()
    #expect(acquire(&pool) == "open")
    for waiter in 1...3 { #expect(acquire(&pool) == "wait \(waiter)") }
    // Three places, and somebody for whom another connection is opened.
    #expect(text(pool.opened("a", 1, streamsMax: 3)) == ["1 uses 1", "2 uses 1", "3 opens"])
    #expect(acquire(&pool) == "wait 4")
    #expect(text(pool.opened("a", 2, streamsMax: 2)) == ["4 uses 2"])
    #expect(acquire(&pool) == "wait 5")
    #expect(pool.connectionCount == 2)
    #expect(text(pool.releaseStream("a", 1)) == ["5 uses 1"])
  }

  /// A host that cannot be reached is not asked by one after the other.
  @Test func failureLetsAllTry() {
    var pool = pool(connections: 3)
    #expect(acquire(&pool) == "open")
    for waiter in 1...4 { #expect(acquire(&pool) == "wait \(waiter)") }
    #expect(text(pool.openFailed("a")) == ["1 opens", "2 opens", "3 opens"])
    #expect(text(pool.openFailed("a")) == ["4 opens"])
    for _ in 0..<3 { #expect(text(pool.openFailed("a")) == []) }
    #expect(pool.connectionCount == 0)
  }

  @Test func whereNothingCanBeSharedNobodyWaitsForTheKind() {
    var pool = pool()
    #expect(acquire(&pool, mayShare: false) == "open")
    #expect(acquire(&pool, mayShare: false) == "open")
    #expect(acquire(&pool, mayShare: false) == "wait 1")
  }

  /// Who waited got a connection that had just been closed.
  @Test func aLostConnectionsPlaceIsKept() {
    var pool = pool(connections: 1)
    #expect(acquire(&pool) == "open")
    #expect(text(pool.opened("a", 1, streamsMax: nil)) == [])
    #expect(acquire(&pool) == "wait 1")
    #expect(text(pool.release("a", 1)) == ["1 uses 1"])
    pool.reopens("a")
    #expect(acquire(&pool) == "wait 2")
    #expect(pool.connectionCount == 1)
    #expect(text(pool.openFailed("a")) == ["2 opens"])
    #expect(text(pool.opened("a", 2, streamsMax: nil)) == [])
    #expect(text(pool.release("a", nil)) == [])
    #expect(pool.connectionCount == 0)
  }

  @Test func whatTakesNoRequestsIsNotKept() {
    var pool = pool(connections: 1)
    shared(&pool, streamsMax: 2)
    #expect(text(pool.limited("a", 1, streamsMax: 0)) == [])
    #expect(acquire(&pool) == "wait 1")
    #expect(text(pool.releaseStream("a", 1)) == ["close 1", "1 opens"])
    #expect(text(pool.opened("a", 2, streamsMax: 3)) == [])
    #expect(text(pool.releaseStream("a", 2)) == ["idle"])
    #expect(text(pool.limited("a", 2, streamsMax: 0)) == ["close 2"])
    #expect(pool.connectionCount == 0)
  }

  // MARK: Shared connections

  private func shared(_ pool: inout Pool, streamsMax: Int) {
    #expect(acquire(&pool) == "open")
    #expect(text(pool.opened("a", 1, streamsMax: streamsMax)) == [])
  }

  @Test func theLastRequestLeavesItIdle() {
    var pool = pool()
    shared(&pool, streamsMax: 5)
    #expect(acquire(&pool) == "use 1")
    #expect(text(pool.releaseStream("a", 1)) == [])
    let outcome = pool.releaseStream("a", 1)
    #expect(text(outcome) == ["idle"])
    #expect(acquire(&pool) == "use 1")
    // Used meanwhile.
    #expect(pool.expire("a", serial: outcome.idle ?? 0) == nil)
    let later = pool.releaseStream("a", 1)
    #expect(pool.expire("a", serial: later.idle ?? 0) == 1)
    #expect(pool.connectionCount == 0)
  }

  @Test func anIdleOneKeepsItsLimit() {
    var pool = pool(connections: 1)
    shared(&pool, streamsMax: 2)
    _ = pool.releaseStream("a", 1)
    #expect(text(pool.limited("a", 1, streamsMax: 1)) == [])
    #expect(acquire(&pool) == "use 1")
    #expect(acquire(&pool) == "wait 2")
  }

  @Test func aHigherLimitServesThoseWhoWait() {
    var pool = pool(connections: 1)
    shared(&pool, streamsMax: 1)
    for waiter in 1...3 { #expect(acquire(&pool) == "wait \(waiter)") }
    #expect(text(pool.limited("a", 1, streamsMax: 3)) == ["1 uses 1", "2 uses 1"])
    // A lower one ends nothing that is on its way.
    #expect(text(pool.limited("a", 1, streamsMax: 1)) == [])
    #expect(text(pool.releaseStream("a", 1)) == [])
    #expect(text(pool.releaseStream("a", 1)) == [])
    #expect(text(pool.releaseStream("a", 1)) == ["3 uses 1"])
  }

  @Test func aRetiredOneEndsWithItsRequests() {
    var pool = pool()
    shared(&pool, streamsMax: 5)
    #expect(acquire(&pool) == "use 1")
    #expect(text(pool.retired("a", 1)) == [])
    #expect(acquire(&pool) == "open")
    #expect(acquire(&pool) == "wait 1")
    #expect(text(pool.opened("a", 2, streamsMax: 5)) == ["1 uses 2"])
    #expect(text(pool.releaseStream("a", 1)) == [])
    #expect(text(pool.releaseStream("a", 1)) == ["close 1"])
    // What is said of it later is of no use.
    #expect(text(pool.releaseStream("a", 1)) == [])
    #expect(text(pool.limited("a", 1, streamsMax: 9)) == [])
    #expect(pool.connectionCount == 1)
  }

  @Test func retiringMakesRoomForThoseWhoWait() {
    var pool = pool(connections: 2)
    shared(&pool, streamsMax: 1)
    #expect(acquire(&pool) == "open")
    _ = pool.opened("a", 2, streamsMax: 1)
    #expect(acquire(&pool) == "wait 1")
    #expect(text(pool.retired("a", 1)) == [])
    #expect(text(pool.releaseStream("a", 1)) == ["close 1", "1 opens"])
  }

  @Test func anIdleOneThatIsRetiredIsClosed() {
    var pool = pool()
    shared(&pool, streamsMax: 5)
    _ = pool.releaseStream("a", 1)
    #expect(text(pool.retired("a", 1)) == ["close 1"])
    #expect(pool.connectionCount == 0)
  }

  @Test func closedConnectionsAreNotGivenOut() {
    var pool = pool()
    shared(&pool, streamsMax: 5)
    #expect(acquire(&pool, dead: [1]) == "open")
    _ = pool.releaseStream("a", 1)
  }

  @Test func newSettingsRetireAll() {
    var pool = pool()
    shared(&pool, streamsMax: 5)
    #expect(acquire(&pool, "b") == "open")
    _ = pool.opened("b", 2, streamsMax: nil)
    _ = pool.release("b", 2)
    #expect(pool.takeIdle() == [2])
    #expect(acquire(&pool) == "open")
    #expect(text(pool.releaseStream("a", 1)) == ["close 1"])
  }

  // MARK: Bounds

  @Test func theLongestIdleIsEvicted() {
    var pool = pool(connections: 4, idle: 2)
    for (key, connection) in [("a", 1), ("b", 2), ("c", 3)] {
      #expect(acquire(&pool, key) == "open")
      _ = pool.opened(key, connection, streamsMax: connection == 2 ? 5 : nil)
    }
    #expect(text(pool.release("a", 1)) == ["idle"])
    #expect(text(pool.releaseStream("b", 2)) == ["idle"])
    #expect(text(pool.release("c", 3)) == ["close 1", "idle"])
    #expect(pool.connectionCount == 2)
  }

  @Test func tooManyWait() {
    var pool = pool(connections: 1, queue: 1)
    #expect(acquire(&pool) == "open")
    #expect(acquire(&pool) == "wait 1")
    #expect(acquire(&pool) == "overloaded")
    #expect(pool.cancel("a", 1) == true)
    #expect(pool.cancel("a", 1) == false)
    #expect(acquire(&pool) == "wait 2")
  }

  /// Any order of events on hosts of both kinds: never more connections than allowed, never more requests on one than it
  /// takes, nobody waits beside a free one, all are accounted for.
  @Test(arguments: UInt64(0)..<30) func simulation(seed: UInt64) {
    struct Open {
      var key: Int
      var streams: Int
      var isRetired = false
    }
    var random = SeededGenerator(seed: seed)
    var pool = PoolState<Int, Int>(connectionsMax: 3, queueMax: 4, idleMax: 4)
    let streamsMax = 3
    /// Even hosts share connections.
    func isShared(_ key: Int) -> Bool { key % 2 == 0 }
    var open: [Int: Open] = [:]
    var inUse: [Int] = []
    var opening: [Int] = []
    var waiting: [(key: Int, waiter: UInt64)] = []
    var idle: [(key: Int, serial: UInt64)] = []
    var next = 0
    func use(_ connection: Int, _ key: Int) {
      #expect(open[connection]?.key == key && open[connection]?.isRetired == false)
      open[connection]?.streams += 1
      #expect((open[connection]?.streams ?? 0) <= (isShared(key) ? streamsMax : 1))
      inUse.append(connection)
    }
    func serve(_ outcome: PoolState<Int, Int>.Outcome, _ key: Int) {
      for connection in outcome.close {
        #expect(open[connection]?.streams == 0)
        open[connection] = nil
      }
      for (waiter, grant) in outcome.grants {
        #expect(waiting.first { $0.key == key }?.waiter == waiter, "in the order of asking")
        waiting.removeAll { $0.waiter == waiter }
        switch grant {
        case .use(let connection): use(connection, key)
        case .open: opening.append(key)
        }
      }
      if let serial = outcome.idle { idle.append((key, serial)) }
    }
    for _ in 0..<3000 {
      switch Int.random(in: 0..<8, using: &random) {
      case 0, 1:
        let key = Int.random(in: 0..<4, using: &random)
        let isFresh = Int.random(in: 0..<5, using: &random) == 0
        switch pool.acquire(
          key, isFresh: isFresh, mayShare: isShared(key), isUsable: { open[$0] != nil })
        {
        case .use(let connection): use(connection, key)
        case .open(let evicted):
          if let evicted { open[evicted] = nil }
          opening.append(key)
        case .wait(let waiter): waiting.append((key, waiter))
        case .overloaded: #expect(waiting.count { $0.key == key } == 4)
        }
      case 2:
        guard !opening.isEmpty else { continue }
        let key = opening.removeFirst()
        guard Bool.random(using: &random) else {
          serve(pool.openFailed(key), key)
          continue
        }
        next += 1
        open[next] = Open(key: key, streams: 1)
        inUse.append(next)
        serve(pool.opened(key, next, streamsMax: isShared(key) ? streamsMax : nil), key)
      case 3, 4:
        guard !inUse.isEmpty else { continue }
        let connection = inUse.remove(at: Int.random(in: 0..<inUse.count, using: &random))
        guard let key = open[connection]?.key else { continue }
        open[connection]?.streams -= 1
        if isShared(key) {
          serve(pool.releaseStream(key, connection), key)
        } else if Int.random(in: 0..<4, using: &random) == 0 {
          open[connection] = nil
          serve(pool.release(key, nil), key)
        } else {
          serve(pool.release(key, connection), key)
        }
      case 5:
        guard let (key, waiter) = waiting.randomElement(using: &random) else { continue }
        #expect(pool.cancel(key, waiter) == true)
        waiting.removeAll { $0.waiter == waiter }
        #expect(pool.cancel(key, waiter) == false)
      case 6:
        let shared = open.keys.sorted().filter { isShared(open[$0]?.key ?? 1) }
        guard let connection = shared.randomElement(using: &random), let key = open[connection]?.key
        else { continue }
        open[connection]?.isRetired = true
        serve(pool.retired(key, connection), key)
      default:
        guard let (key, serial) = idle.randomElement(using: &random) else { continue }
        if let expired = pool.expire(key, serial: serial) { open[expired] = nil }
        #expect(pool.expire(key, serial: serial) == nil)
      }
      for key in 0..<4 {
        let mine = open.values.filter { $0.key == key }
        let isOpening = opening.contains(key)
        #expect(mine.count { $0.streams > 0 } + opening.count { $0 == key } <= 3)
        guard waiting.contains(where: { $0.key == key }) else { continue }
        // Who wants a new connection waits for the one that is being opened.
        if isShared(key), !isOpening {
          #expect(!mine.contains { !$0.isRetired && $0.streams < streamsMax && $0.streams > 0 })
        }
        #expect(
          isOpening || mine.count { $0.streams > 0 } == 3,
          "nobody waits while one may be opened and none is")
      }
      #expect(pool.connectionCount == open.count + opening.count)
    }
    for (key, waiter) in waiting { _ = pool.cancel(key, waiter) }
    waiting = []
    for connection in pool.close() { open[connection] = nil }
    for key in opening { serve(pool.openFailed(key), key) }
    for connection in inUse {
      guard let key = open[connection]?.key else { continue }
      open[connection]?.streams -= 1
      serve(
        isShared(key) ? pool.releaseStream(key, connection) : pool.release(key, connection), key)
    }
    #expect(pool.connectionCount == 0 && open.isEmpty, "a closed pool keeps nothing")
  }
}
