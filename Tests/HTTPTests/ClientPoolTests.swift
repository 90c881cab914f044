import Testing

@testable import HTTP

@Suite struct ClientPoolTests {
  /// Any order of events: never more connections than allowed, nobody waits beside a free one, all are accounted for.
  @Test(arguments: UInt64(0)..<30) func simulation(seed: UInt64) {
    var random = ClientRandom(seed: seed)
    var pool = PoolState<Int, Int>(connectionsMax: 3, queueMax: 4, idleMax: 4)
    var open: [Int: Int] = [:]
    var inUse: [(key: Int, connection: Int)] = []
    var opening: [Int] = []
    var waiting: [(key: Int, waiter: UInt64)] = []
    var idle: [(key: Int, serial: UInt64)] = []
    var next = 0
    func serve(_ release: PoolState<Int, Int>.Release, _ key: Int) {
      switch release {
      case .nothing: break
      case .close(let connection): open[connection] = nil
      case .hand(let connection, let waiter):
        #expect(waiting.first { $0.key == key }?.waiter == waiter, "in the order of asking")
        waiting.removeAll { $0.waiter == waiter }
        inUse.append((key, connection))
      case .open(let waiter):
        waiting.removeAll { $0.waiter == waiter }
        opening.append(key)
      case .idle(let serial, let evicted):
        idle.append((key, serial))
        if let evicted { open[evicted] = nil }
      }
    }
    for _ in 0..<3000 {
      switch Int.random(in: 0..<7, using: &random) {
      case 0, 1:
        let key = Int.random(in: 0..<4, using: &random)
        switch pool.acquire(key, isFresh: Int.random(in: 0..<5, using: &random) == 0, isUsable: { open[$0] != nil }) {
        case .use(let connection):
          #expect(open[connection] == key)
          #expect(!inUse.contains { $0.connection == connection })
          inUse.append((key, connection))
        case .open(let evicted):
          if let evicted { open[evicted] = nil }
          opening.append(key)
        case .wait(let waiter): waiting.append((key, waiter))
        case .overloaded: #expect(waiting.count { $0.key == key } == 4)
        }
      case 2:
        guard !opening.isEmpty else { continue }
        let key = opening.removeFirst()
        if Bool.random(using: &random) {
          next += 1
          open[next] = key
          inUse.append((key, next))
        } else {
          serve(pool.release(key, nil), key)
        }
      case 3, 4:
        guard !inUse.isEmpty else { continue }
        let (key, connection) = inUse.remove(at: Int.random(in: 0..<inUse.count, using: &random))
        let isClosed = Int.random(in: 0..<4, using: &random) == 0
        if isClosed { open[connection] = nil }
        serve(pool.release(key, isClosed ? nil : connection), key)
      case 5:
        guard let (key, waiter) = waiting.randomElement(using: &random) else { continue }
        #expect(pool.cancel(key, waiter) == true)
        waiting.removeAll { $0.waiter == waiter }
        #expect(pool.cancel(key, waiter) == false)
      default:
        guard let (key, serial) = idle.randomElement(using: &random) else { continue }
        if let expired = pool.expire(key, serial: serial) { open[expired] = nil }
        #expect(pool.expire(key, serial: serial) == nil)
      }
      for key in 0..<4 {
        let used = inUse.count { $0.key == key } + opening.count { $0 == key }
        #expect(used <= 3)
        if waiting.contains(where: { $0.key == key }) { #expect(used == 3, "nobody waits while one may be opened") }
      }
      #expect(pool.connectionCount == open.count + opening.count)
      #expect(open.count - inUse.count <= 4)
    }
    for (key, waiter) in waiting { _ = pool.cancel(key, waiter) }
    for connection in pool.close() { open[connection] = nil }
    for key in opening { _ = pool.release(key, nil) }
    for (key, connection) in inUse {
      guard case .close = pool.release(key, connection) else {
        Issue.record("a closed pool keeps nothing")
        return
      }
    }
    #expect(pool.connectionCount == 0)
  }
}
