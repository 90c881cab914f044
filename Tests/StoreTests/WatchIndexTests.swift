import KubeTypes
import TestKit
import Testing

@testable import Store

@Suite struct WatchIndexTests {
  /// The same watches and events as a look at each watch finds, while watches come and go.
  @Test func agreesWithALookAtEachWatch() throws {
    var generator = SeededGenerator(seed: 11)
    let parts = ["a", "b", "pods", "pod", "pods-2", "é", "/", "/", "/", ""]
    func text(_ generator: inout SeededGenerator) -> String {
      (0..<Int.random(in: 0..<6, using: &generator)).map { _ in parts.randomElement(using: &generator) ?? "" }.joined()
    }
    var index = WatchIndex()
    var watches: [Store.Watch] = []
    var batches = 0
    for round in 0..<2000 {
      if watches.isEmpty || Int.random(in: 0..<5, using: &generator) < 3 {
        let watch = Store.Watch(prefix: text(&generator), capacity: 1, deliver: { _ in }, wake: {}, remove: { _ in })
        index.insert(watch)
        watches.append(watch)
      } else {
        index.remove(watches.remove(at: Int.random(in: 0..<watches.count, using: &generator)))
      }
      #expect(index.count == watches.count)
      #expect(Set(index.all.map(ObjectIdentifier.init)) == Set(watches.map(ObjectIdentifier.init)))
      let keys = (0..<Int.random(in: 1...4, using: &generator)).map { _ in text(&generator) }
      let events = keys.enumerated().map { position, key in event(key, Int64(round * 10 + position + 1)) }
      var told: [ObjectIdentifier: [Int64]] = [:]
      for (watches, events) in index.batches(events) {
        for watch in watches {
          #expect(told.updateValue(events.map(\.entry.revision), forKey: ObjectIdentifier(watch)) == nil)
        }
      }
      for watch in watches {
        let expected = events.filter { KeyOrder.hasPrefix($0.entry.key, watch.prefix) }.map(\.entry.revision)
        #expect(told[ObjectIdentifier(watch)] ?? [] == expected)
        if !expected.isEmpty { batches += 1 }
      }
    }
    #expect(batches > 2000)
  }

  private func event(_ key: String, _ revision: Int64) -> Store.Event {
    let object = Object(header: emptyHeader, bytes: [])
    return Store.Event(
      kind: .put(created: true),
      entry: Store.Entry(key: key, object: object, revision: revision, createRevision: revision, checksum: 0),
      previous: nil)
  }
}
