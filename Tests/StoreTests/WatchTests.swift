import Synchronization
import Testing

@testable import Store

struct WatchTests {
  @Test(arguments: Keeper.allCases) func eventsComeInOrder(keeper: Keeper) async throws {
    let place = Place(keeper)
    let store = try place.open()
    defer { store.close() }
    let all = Recorder()
    let some = Recorder()
    let watch = try store.watch(prefix: "", after: 0, deliver: all.record)
    _ = try store.watch(prefix: "b/", after: 0, deliver: some.record)
    try await store.commit([put("a/1", "x"), put("b/1", "y")])
    try await store.commit([put("b/1", "z")])
    try await store.commit([delete("b/1")])
    await settle(store)
    #expect(all.texts == ["+a/1=x@1", "+b/1=y@2", "~b/1=z@3", "-b/1=gone@4"])
    #expect(some.texts == ["+b/1=y@2", "~b/1=z@3", "-b/1=gone@4"])
    #expect(some.seen.withLock { $0.events.map { $0.previous?.text } } == [nil, "y@2", "z@3"])
    #expect(store.deliveredRevision == 4)
    watch.cancel()
    try await store.commit([put("a/2", "x")])
    await settle(store)
    #expect(all.texts.count == 4)
    #expect(store.watchCount == 1)
  }

  @Test(arguments: Keeper.allCases) func olderEventsAreReplayed(keeper: Keeper) async throws {
    let place = Place(keeper)
    let store = try place.open()
    defer { store.close() }
    for number in 1...500 { try await store.commit([put("k\(number % 10)", "v")]) }
    let recorder = Recorder()
    _ = try store.watch(prefix: "k", after: 300, deliver: recorder.record)
    #expect(recorder.seen.withLock { $0.events.map(\.entry.revision) } == Array(301...500))
    #expect(throws: StoreError.futureRevision(requested: 501, current: 500)) {
      try store.watch(prefix: "k", after: 501) { _ in }
    }
  }

  /// While commits go on, each of many watches sees every event after its start once and in order.
  @Test(arguments: Keeper.allCases) func nothingIsLostOrRepeatedBetweenReplayAndLive(keeper: Keeper) async throws {
    let place = Place(keeper)
    let store = try place.open()
    defer { store.close() }
    let writer = Task {
      for number in 0..<1500 { try await store.commit([put("k\(number % 5)", "v")]) }
    }
    var recorders: [(start: Int64, recorder: Recorder)] = []
    while store.revision < 1400 {
      let recorder = Recorder()
      let start = max(0, store.revision - Int64(recorders.count % 200))
      _ = try store.watch(prefix: "k", after: start, deliver: recorder.record)
      recorders.append((start, recorder))
      await Task.yield()
      if recorders.count == 400 { break }
    }
    try await writer.value
    await settle(store)
    for (start, recorder) in recorders {
      #expect(recorder.seen.withLock { $0.events.map(\.entry.revision) } == Array((start + 1)...1500))
    }
  }

  @Test(arguments: Keeper.allCases) func theHistoryIsBoundedByNumberAndBytes(keeper: Keeper) async throws {
    let place = Place(keeper)
    var options = StoreOptions()
    options.historyCountMax = 1000
    options.historyBytesMax = 300_000
    let store = try place.open(options)
    defer { store.close() }
    for number in 1...1500 { try await store.commit([put("k\(number % 3)", "v")]) }
    let oldest = store.oldestRevision
    #expect(oldest >= 500 && oldest < 800)
    #expect(throws: StoreError.compacted(requested: oldest - 1, oldest: oldest)) {
      try store.watch(prefix: "", after: oldest - 1) { _ in }
    }
    #expect(throws: StoreError.compacted(requested: 1, oldest: oldest)) { try store.list(prefix: "", at: 1) }
    let recorder = Recorder()
    _ = try store.watch(prefix: "", after: oldest, deliver: recorder.record)
    #expect(Int64(recorder.texts.count) == 1500 - oldest)

    // Large replaced values: 30 of them fill the bytes.
    let text = String(repeating: "x", count: 10_000)
    for _ in 1...400 { try await store.commit([put("big", text)]) }
    #expect(store.oldestRevision > 1700)
  }

  @Test(arguments: Keeper.allCases) func theHistoryIsBoundedByAge(keeper: Keeper) async throws {
    let place = Place(keeper)
    var options = StoreOptions()
    let clock = ClockBox()
    options.monotonicClock = { clock.now.withLock { $0 } }
    let store = try place.open(options)
    defer { store.close() }
    for _ in 1...1000 { try await store.commit([put("k", "v")]) }
    #expect(store.oldestRevision == 0)
    clock.now.withLock { $0 = .seconds(301) }
    try await store.commit([put("k", "v")])
    // Whole blocks are dropped; the last one has got a new event.
    #expect(store.oldestRevision == Int64(1000 / History.blockCountMax * History.blockCountMax))
  }

  final class ClockBox: Sendable { let now = Mutex(Duration.zero) }

  @Test(arguments: Keeper.allCases) func afterOpeningTheHistoryIsEmpty(keeper: Keeper) async throws {
    let place = Place(keeper)
    var store = try place.open()
    try await store.commit([put("a", "b"), put("a", "c")])
    store.close()
    store = try place.open()
    defer { store.close() }
    #expect(throws: StoreError.compacted(requested: 1, oldest: 2)) { try store.watch(prefix: "", after: 1) { _ in } }
    _ = try store.watch(prefix: "", after: 2) { _ in }
  }

  @Test(arguments: Keeper.allCases) func closingEndsWatches(keeper: Keeper) async throws {
    let place = Place(keeper)
    let store = try place.open()
    let recorder = Recorder()
    _ = try store.watch(prefix: "", after: 0, deliver: recorder.record)
    store.commit([put("a", "b")]) { _ in }
    store.close()
    #expect(recorder.texts == ["+a=b@1"])
    #expect(recorder.ends == ["closed"])
    #expect(throws: StoreError.closed) { try store.watch(prefix: "", after: 1) { _ in } }
  }
}
