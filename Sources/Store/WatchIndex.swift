import KubeTypes

/// The watches by what they ask for: those that an event concerns are found without a look at the others.
///
/// Prefixes are kept in the order of keys, each with the next shorter one that it begins with. Between a prefix of a key
/// and the key itself nothing is sorted that does not begin with that prefix, so that all prefixes of a key lie on the way
/// up from the last one that is not behind it. Below a prefix, watches that ask for one value (`Store.Sieve`) are kept by
/// that value.
struct WatchIndex: Sendable {
  typealias Event = Store.Event
  typealias Watch = Store.Watch

  /// Watches that are told of the same events.
  typealias Batch = (watches: [Watch], events: [Event])

  private struct Group: Sendable {
    let prefix: String
    var parent: Int?
    /// Those that are told of every event.
    var watches: [Watch] = []
    /// Those that ask for a value of a label.
    var byLabel: [String: [String: [Watch]]] = [:]
    /// Those that ask for a value of a field.
    var byField: [(field: Store.Field, watches: [String: [Watch]])] = []

    var isEmpty: Bool { watches.isEmpty && byLabel.isEmpty && byField.isEmpty }

    var all: [Watch] {
      watches + byLabel.values.flatMap { $0.values.joined() } + byField.flatMap { $0.watches.values.joined() }
    }

    mutating func insert(_ watch: Watch) {
      switch watch.sieve {
      case nil: watches.append(watch)
      case .label(let key, let value): byLabel[key, default: [:]][value, default: []].append(watch)
      case .field(let field, let value):
        let index =
          byField.firstIndex { $0.field === field }
          ?? {
            byField.append((field, [:]))
            return byField.count - 1
          }()
        byField[index].watches[value, default: []].append(watch)
      }
    }

    mutating func remove(_ watch: Watch) {
      switch watch.sieve {
      case nil: watches.removeAll { $0 === watch }
      case .label(let key, let value):
        byLabel[key]?[value]?.removeAll { $0 === watch }
        if byLabel[key]?[value]?.isEmpty == true { byLabel[key]?[value] = nil }
        if byLabel[key]?.isEmpty == true { byLabel[key] = nil }
      case .field(let field, let value):
        guard let index = byField.firstIndex(where: { $0.field === field }) else { return }
        byField[index].watches[value]?.removeAll { $0 === watch }
        if byField[index].watches[value]?.isEmpty == true { byField[index].watches[value] = nil }
        if byField[index].watches.isEmpty { byField.remove(at: index) }
      }
    }
  }

  /// A list of watches of a group.
  private struct Place: Hashable {
    var group: Int
    /// The label's key; empty for a field or for those that are told of everything.
    var label = ""
    /// The field's number, from 0; -1 for a label or for those that are told of everything.
    var field = -1
    var value = ""
  }

  /// Lists of watches with their events, in the order in which they were met.
  private struct Batches {
    private(set) var all: [Batch] = []
    private var places: [Place: Int] = [:]
    /// One event meets no list twice without saying so: nothing has to be looked up.
    let isOfOneEvent: Bool

    mutating func add(_ event: Event, to watches: [Watch], at place: @autoclosure () -> Place) {
      if isOfOneEvent {
        all.append((watches, [event]))
      } else if let index = places[place()] {
        all[index].events.append(event)
      } else {
        places[place()] = all.count
        all.append((watches, [event]))
      }
    }

    init(isOfOneEvent: Bool) { self.isOfOneEvent = isOfOneEvent }
  }

  private var groups: [Group] = []

  var all: [Watch] { groups.flatMap(\.all) }
  var count: Int { groups.reduce(0) { $0 + $1.all.count } }

  mutating func insert(_ watch: Watch) {
    let position = position(after: watch.prefix)
    if position > 0, KeyOrder.compare(groups[position - 1].prefix, watch.prefix) == 0 {
      groups[position - 1].insert(watch)
    } else {
      var group = Group(prefix: watch.prefix)
      group.insert(watch)
      groups.insert(group, at: position)
      setParents()
    }
  }

  mutating func remove(_ watch: Watch) {
    let position = position(after: watch.prefix) - 1
    guard position >= 0, KeyOrder.compare(groups[position].prefix, watch.prefix) == 0 else { return }
    groups[position].remove(watch)
    if groups[position].isEmpty {
      groups.remove(at: position)
      setParents()
    }
  }

  /// The events for the watches, picked once for all that are told of the same, in the order that they have.
  func batches(_ events: [Event]) -> [Batch] {
    var batches = Batches(isOfOneEvent: events.count == 1)
    for event in events {
      let key = event.entry.key
      var next = position(after: key) - 1
      while next >= 0 {
        if KeyOrder.hasPrefix(key, groups[next].prefix) { add(event, ofGroup: next, to: &batches) }
        next = groups[next].parent ?? -1
      }
    }
    return batches.all
  }

  private func add(_ event: Event, ofGroup index: Int, to batches: inout Batches) {
    let group = groups[index]
    if !group.watches.isEmpty { batches.add(event, to: group.watches, at: Place(group: index)) }
    if !group.byLabel.isEmpty {
      let (new, old) = (event.entry.header.labels, event.previous?.header.labels ?? [:])
      for (key, value) in new {
        if let watches = group.byLabel[key]?[value] {
          batches.add(event, to: watches, at: Place(group: index, label: key, value: value))
        }
      }
      // Who asks for a value hears also that an object has it no more.
      for (key, value) in old where new[key] != value {
        if let watches = group.byLabel[key]?[value] {
          batches.add(event, to: watches, at: Place(group: index, label: key, value: value))
        }
      }
    }
    for (number, (field, byValue)) in group.byField.enumerated() {
      let value = field.value(event.entry)
      if let watches = byValue[value] {
        batches.add(event, to: watches, at: Place(group: index, field: number, value: value))
      }
      if let old = event.previous.map(field.value), old != value, let watches = byValue[old] {
        batches.add(event, to: watches, at: Place(group: index, field: number, value: old))
      }
    }
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
