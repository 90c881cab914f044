import KubeTypes
import TestKit
import Testing

@testable import Store

@Suite struct WatchIndexTests {
  private static let first = Store.Field { String($0.header.name.prefix(1)) }
  private static let last = Store.Field { String($0.header.name.suffix(1)) }

  private static func passes(_ entry: Store.Entry, _ sieve: Store.Sieve?) -> Bool {
    switch sieve {
    case nil: true
    case .label(let key, let value): entry.header.labels[key] == value
    case .field(let field, let value): field.value(entry) == value
    }
  }

  private static func watch(_ prefix: String, _ sieve: Store.Sieve? = nil) -> Store.Watch {
    Store.Watch(prefix: prefix, sieve: sieve, deliver: { _ in }, wake: {}, remove: { _ in })
  }

  /// The same watches and events as a look at each watch finds, while watches come and go.
  @Test(arguments: [11, 12, 13] as [UInt64]) func agreesWithALookAtEachWatch(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let parts = ["a", "b", "pods", "pod", "pods-2", "é", "/", "/", "/", ""]
    let letters = ["", "x", "y", "xy", "yx", "xz"]
    func text(_ generator: inout SeededGenerator) -> String {
      (0..<Int.random(in: 0..<6, using: &generator)).map { _ in parts.randomElement(using: &generator) ?? "" }.joined()
    }
    func labels(_ generator: inout SeededGenerator) -> [String: String] {
      var labels: [String: String] = [:]
      for key in ["app", "tier"] where Bool.random(using: &generator) {
        labels[key] = letters.randomElement(using: &generator)
      }
      return labels
    }
    func sieve(_ generator: inout SeededGenerator) -> Store.Sieve? {
      let value = letters.randomElement(using: &generator) ?? ""
      return switch Int.random(in: 0..<5, using: &generator) {
      case 0: .label("app", value: value)
      case 1: .label("tier", value: value)
      case 2: .field(Self.first, value: String(value.prefix(1)))
      case 3: .field(Self.last, value: String(value.prefix(1)))
      default: nil
      }
    }
    func entry(_ key: String, _ revision: Int64, _ generator: inout SeededGenerator) -> Store.Entry {
      var header = emptyHeader
      header.name = letters.randomElement(using: &generator) ?? ""
      header.labels = labels(&generator)
      return Store.Entry(
        key: key, object: Object(header: header, bytes: []), revision: revision, createRevision: 1, checksum: 0)
    }
    var index = WatchIndex()
    var watches: [Store.Watch] = []
    var told = 0
    var spared = 0
    for round in 0..<2000 {
      if watches.isEmpty || Int.random(in: 0..<5, using: &generator) < 3 {
        let watch = Self.watch(text(&generator), sieve(&generator))
        index.insert(watch)
        watches.append(watch)
      } else {
        index.remove(watches.remove(at: Int.random(in: 0..<watches.count, using: &generator)))
      }
      #expect(index.count == watches.count)
      #expect(Set(index.all.map(ObjectIdentifier.init)) == Set(watches.map(ObjectIdentifier.init)))
      let events = (0..<Int.random(in: 1...4, using: &generator)).map { position in
        let key = text(&generator)
        let previous = Bool.random(using: &generator) ? entry(key, 1, &generator) : nil
        return Store.Event(
          kind: .put(created: previous == nil), entry: entry(key, Int64(round * 10 + position + 1), &generator),
          previous: previous)
      }
      var found: [ObjectIdentifier: [Int64]] = [:]
      for (watches, events) in index.batches(events) {
        for watch in watches {
          #expect(found.updateValue(events.map(\.entry.revision), forKey: ObjectIdentifier(watch)) == nil)
        }
      }
      for watch in watches {
        let below = events.filter { KeyOrder.hasPrefix($0.entry.key, watch.prefix) }
        let expected = below.filter { event in
          Self.passes(event.entry, watch.sieve) || event.previous.map { Self.passes($0, watch.sieve) } == true
        }
        #expect(found[ObjectIdentifier(watch)] ?? [] == expected.map(\.entry.revision))
        told += expected.count
        spared += below.count - expected.count
      }
    }
    #expect(told > 2000 && spared > 2000)
  }

  /// Of a thousand watches of a thousand nodes one is looked at.
  @Test func aValueLeadsToItsWatches() {
    var index = WatchIndex()
    let watches = (0..<1000).map { Self.watch("pods/", .field(Self.first, value: "\($0)")) }
    for watch in watches { index.insert(watch) }
    var header = emptyHeader
    header.name = "7"
    let entry = Store.Entry(
      key: "pods/a/b", object: Object(header: header, bytes: []), revision: 1, createRevision: 1, checksum: 0)
    let batches = index.batches([Store.Event(kind: .put(created: true), entry: entry, previous: nil)])
    #expect(batches.count == 1 && batches.first?.watches.map { $0 === watches[7] } == [true])
    for watch in watches { index.remove(watch) }
    #expect(index.count == 0 && index.batches([.init(kind: .delete, entry: entry, previous: nil)]).isEmpty)
  }
}
