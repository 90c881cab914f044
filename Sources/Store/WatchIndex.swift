/// The watches by prefix: those that a key concerns are found without a look at the others.
///
/// Prefixes are kept in the order of keys, each with the next shorter one that it begins with. Between a prefix of a key
/// and the key itself nothing is sorted that does not begin with that prefix, so that all prefixes of a key lie on the way
/// up from the last one that is not behind it.
struct WatchIndex: Sendable {
  typealias Event = Store.Event
  typealias Watch = Store.Watch

  private struct Group: Sendable {
    let prefix: String
    var watches: [Watch]
    var parent: Int?
  }

  private var groups: [Group] = []

  var all: [Watch] { groups.flatMap(\.watches) }
  var count: Int { groups.reduce(0) { $0 + $1.watches.count } }

  mutating func insert(_ watch: Watch) {
    let position = position(after: watch.prefix)
    if position > 0, KeyOrder.compare(groups[position - 1].prefix, watch.prefix) == 0 {
      groups[position - 1].watches.append(watch)
    } else {
      groups.insert(Group(prefix: watch.prefix, watches: [watch]), at: position)
      setParents()
    }
  }

  mutating func remove(_ watch: Watch) {
    let position = position(after: watch.prefix) - 1
    guard position >= 0, KeyOrder.compare(groups[position].prefix, watch.prefix) == 0 else { return }
    groups[position].watches.removeAll { $0 === watch }
    if groups[position].watches.isEmpty {
      groups.remove(at: position)
      setParents()
    }
  }

  /// The events for the watches of each prefix, picked once for all of them, in the order that they have.
  func batches(_ events: [Event]) -> [(watches: [Watch], events: [Event])] {
    var batches: [Int: [Event]] = [:]
    for event in events {
      let key = event.entry.key
      var next = position(after: key) - 1
      while next >= 0 {
        if KeyOrder.hasPrefix(key, groups[next].prefix) { batches[next, default: []].append(event) }
        next = groups[next].parent ?? -1
      }
    }
    return batches.sorted { $0.key < $1.key }.map { (groups[$0.key].watches, $0.value) }
  }

  /// How many prefixes are not behind the key.
  private func position(after key: String) -> Int {
    var (low, high) = (0, groups.count)
    while low < high {
      let middle = (low + high) / 2
      if KeyOrder.isLess(key, groups[middle].prefix) { high = middle } else { low = middle + 1 }
    }
    return low
  }

  private mutating func setParents() {
    var open: [Int] = []
    for index in groups.indices {
      while let last = open.last, !KeyOrder.hasPrefix(groups[index].prefix, groups[last].prefix) { open.removeLast() }
      groups[index].parent = open.last
      open.append(index)
    }
  }
}
