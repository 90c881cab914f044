import ControllerKit
import Testing

@testable import Node

@Suite("Pulls share flights")
struct PullScheduleTests {
  typealias Schedule = PullSchedule<String>

  @Test("those who ask for the same get one flight")
  func sharing() {
    var schedule = Schedule(parallelMax: 4)
    #expect(schedule.joined(1, for: "a") == [.begin(flight: 1, key: "a")])
    #expect(schedule.joined(2, for: "a").isEmpty)
    #expect(schedule.joined(3, for: "b") == [.begin(flight: 2, key: "b")])
    let end = schedule.ended(1)
    #expect(end.waiters == [1, 2])
    #expect(end.effects.isEmpty)
    // What has ended is not joined any more.
    #expect(schedule.joined(4, for: "a") == [.begin(flight: 3, key: "a")])
  }

  @Test("only so many run, and the others follow in order")
  func bound() {
    var schedule = Schedule(parallelMax: 2)
    #expect(schedule.joined(1, for: "a").count == 1)
    #expect(schedule.joined(2, for: "b").count == 1)
    #expect(schedule.joined(3, for: "c").isEmpty)
    #expect(schedule.joined(4, for: "d").isEmpty)
    #expect(schedule.joined(5, for: "c").isEmpty)
    #expect(schedule.ended(2).effects == [.begin(flight: 3, key: "c")])
    // One that waits for its turn is forgotten when nobody waits for it.
    #expect(schedule.left(4).isEmpty)
    #expect(schedule.ended(1).effects.isEmpty)
    #expect(schedule.ended(3).waiters == [3, 5])
    #expect(schedule.isEmpty)
  }

  @Test("a flight is cancelled when the last one leaves, and not joined after that")
  func cancellation() {
    var schedule = Schedule(parallelMax: 1)
    _ = schedule.joined(1, for: "a")
    _ = schedule.joined(2, for: "a")
    #expect(schedule.left(1).isEmpty)
    #expect(schedule.left(1).isEmpty)
    #expect(schedule.left(2) == [.cancel(flight: 1)])
    // The place is free only when it has ended.
    #expect(schedule.joined(3, for: "a").isEmpty)
    let end = schedule.ended(1)
    #expect(end.waiters.isEmpty)
    #expect(end.effects == [.begin(flight: 2, key: "a")])
    #expect(schedule.ended(2).waiters == [3])
  }

  @Test("whatever happens: never too many, nobody forgotten, nobody told twice", arguments: 0..<300)
  func simulation(seed: Int) {
    var random = SeededRandom(seed: UInt64(seed))
    let parallelMax = Int.random(in: 1...3, using: &random)
    var schedule = Schedule(parallelMax: parallelMax)
    var running: [Int: String] = [:]
    var cancelled: Set<Int> = []
    var waiting: [Int: String] = [:]
    var told: Set<Int> = []
    var next = 0
    func carryOut(_ effects: [Schedule.Effect]) {
      for effect in effects {
        switch effect {
        case .begin(let flight, let key):
          #expect(running[flight] == nil, "seed \(seed): begun twice")
          running[flight] = key
        case .cancel(let flight):
          #expect(running[flight] != nil && cancelled.insert(flight).inserted, "seed \(seed)")
        }
      }
      #expect(running.count <= parallelMax, "seed \(seed)")
      // Two that run for one key: at most one of them counts.
      let live = running.filter { !cancelled.contains($0.key) }.map(\.value)
      #expect(Set(live).count == live.count, "seed \(seed)")
    }
    func end(_ flight: Int) {
      let key = running.removeValue(forKey: flight)
      let (waiters, effects) = schedule.ended(flight)
      for waiter in waiters {
        #expect(waiting.removeValue(forKey: waiter) == key, "seed \(seed)")
        #expect(told.insert(waiter).inserted, "seed \(seed)")
      }
      carryOut(effects)
    }
    for _ in 0..<200 {
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<5:
        next += 1
        let key = ["a", "b", "c", "d"].randomElement(using: &random) ?? "a"
        waiting[next] = key
        carryOut(schedule.joined(next, for: key))
      case 5..<7:
        if let waiter = waiting.keys.sorted().randomElement(using: &random) {
          waiting[waiter] = nil
          carryOut(schedule.left(waiter))
        }
      default: if let flight = running.keys.sorted().randomElement(using: &random) { end(flight) }
      }
    }
    while let flight = running.keys.min() { end(flight) }
    #expect(waiting.isEmpty, "seed \(seed): nobody tells \(waiting)")
    #expect(schedule.isEmpty, "seed \(seed)")
  }
}
