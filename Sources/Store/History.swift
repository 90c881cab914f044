/// The latest events, for watches that start at an older revision and for lists of an older state.
///
/// It is bounded by the number of events, by the bytes that only it keeps alive, and by age. A copy shares the blocks;
/// an event added after it copies one block at most.
struct History: Sendable {
  typealias Event = Store.Event

  private struct Block: Sendable {
    var events: [Event] = []
    /// Bytes that are kept alive by these events alone.
    var bytes = 0
    /// When the last event was added.
    var newest = Duration.zero
  }

  static var blockCountMax: Int { 128 }
  /// What an event costs besides the values: the event, the entry object, the key.
  private static var eventOverhead: Int { 200 }

  /// Every event after this revision is here.
  private(set) var floor: Int64
  private(set) var count = 0
  private(set) var bytes = 0
  private var blocks: [Block] = []
  private let countMax: Int
  private let bytesMax: Int
  private let ageMax: Duration

  init(floor: Int64, options: StoreOptions) {
    self.floor = floor
    countMax = options.historyCountMax
    bytesMax = options.historyBytesMax
    ageMax = options.historyAgeMax
  }

  mutating func append(_ event: Event, now: Duration) {
    var cost = Self.eventOverhead + (event.previous?.value.count ?? 0)
    if event.kind == .delete { cost += event.entry.value.count }
    if blocks.isEmpty || blocks[blocks.count - 1].events.count >= Self.blockCountMax { blocks.append(Block()) }
    blocks[blocks.count - 1].events.append(event)
    blocks[blocks.count - 1].bytes += cost
    blocks[blocks.count - 1].newest = now
    count += 1
    bytes += cost
  }

  /// Drops the oldest blocks while a limit is exceeded. The blocks dropped are handed out, so that the caller can free
  /// their memory outside of its lock.
  mutating func compact(now: Duration) -> [[Event]] {
    var drop = 0
    while drop < blocks.count {
      let block = blocks[drop]
      guard count > countMax || bytes > bytesMax || now - block.newest > ageMax else { break }
      count -= block.events.count
      bytes -= block.bytes
      if let last = block.events.last { floor = last.entry.revision }
      drop += 1
    }
    guard drop > 0 else { return [] }
    let dropped = blocks[..<drop].map(\.events)
    blocks.removeFirst(drop)
    return dropped
  }

  func forEachBackwards(after revision: Int64, _ body: (Event) -> Void) {
    for block in blocks.reversed() {
      for event in block.events.reversed() {
        guard event.entry.revision > revision else { return }
        body(event)
      }
    }
  }

  /// The events after the revision whose keys begin with the prefix, oldest first.
  func events(after revision: Int64, prefix: String) -> [Event] {
    var result: [Event] = []
    for block in blocks {
      guard let last = block.events.last, last.entry.revision > revision else { continue }
      for event in block.events where event.entry.revision > revision && KeyOrder.hasPrefix(event.entry.key, prefix) {
        result.append(event)
      }
    }
    return result
  }
}
