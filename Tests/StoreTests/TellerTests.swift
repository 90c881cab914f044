import Glibc
import Synchronization
import Testing

@testable import Store

/// Watches are told after the answers, in order, by whichever thread.
@Suite(.timeLimit(.minutes(1))) struct TellerTests {
  /// A door that watches wait at: what hangs on it is told by the test.
  private final class Door: Sendable {
    private let isOpen = Mutex(false)
    private let waiting = Atomic(0)
    var isReached: Bool { waiting.load(ordering: .acquiring) > 0 }

    func pass() {
      waiting.add(1, ordering: .acquiringAndReleasing)
      while !isOpen.withLock({ $0 }) { sched_yield() }
    }

    func open() { isOpen.withLock { $0 = true } }
  }

  private func many(_ store: TextStore, prefix: String = "", _ recorder: Recorder) throws {
    for _ in 0...Teller.promptMax {
      _ = try store.watch(prefix: prefix, after: store.revision, deliver: recorder.record)
    }
  }

  /// A watch that hangs keeps nobody from an answer when there are many of them.
  @Test(arguments: Keeper.allCases) func answersDoNotWaitForManyWatches(keeper: Keeper) async throws {
    let store = try Place(keeper).open()
    let door = Door()
    defer { door.open() }
    let seen = Recorder()
    _ = try store.watch(prefix: "", after: 0) { _ in door.pass() }
    try many(store, seen)
    for number in 1...100 { try await store.commit([put("k\(number)", "v")]) }
    while !door.isReached { await Task.yield() }
    #expect(store.revision == 100 && store.deliveredRevision == 0)
    #expect(seen.texts.isEmpty)
    door.open()
    await settle(store)
    #expect(seen.texts.count == 100 * (Teller.promptMax + 1))
    store.close()
  }

  /// The same watches are told by the thread that commits and by the other one, as there are more and fewer of them.
  @Test(arguments: Keeper.allCases) func theOrderHoldsWhoeverTells(keeper: Keeper) async throws {
    let store = try Place(keeper).open()
    let all = Recorder()
    _ = try store.watch(prefix: "", after: 0, deliver: all.record)
    let crowd = Recorder()
    try many(store, prefix: "crowd/", crowd)
    for number in 0..<2000 { try await store.commit([put(number % 3 == 0 ? "crowd/a" : "alone", "v")]) }
    await settle(store)
    #expect(all.seen.withLock { $0.events.map(\.entry.revision) } == Array(1...2000))
    #expect(crowd.texts.count == 667 * (Teller.promptMax + 1))
    store.close()
  }

  /// What watches are told of is bounded: far behind, the writer waits for them, and others find its queue full.
  @Test func farBehindTheWriterWaits() async throws {
    var options = StoreOptions()
    options.queueCountMax = 8
    let store = try TextStore.open(MemoryDisk(), options: options)
    let door = Door()
    defer { door.open() }
    _ = try store.watch(prefix: "", after: 0) { _ in door.pass() }
    try many(store, Recorder())
    let refused = Mutex(0)
    var accepted = 0
    // A group's events wait as one telling, of at most 512.
    while refused.withLock({ $0 }) == 0, accepted < 4 * Teller.waitingMax {
      store.commit([put("k", "v")]) { result in
        if case .failure(.overloaded) = result { refused.withLock { $0 += 1 } }
      }
      accepted += 1
      // The queue is short: without a pause it would be full at once.
      while store.outstanding.load(ordering: .acquiring) >= 8, !door.isReached || store.revision < Teller.waitingMax {
        await Task.yield()
      }
    }
    #expect(refused.withLock { $0 } > 0)
    #expect(store.revision >= Teller.waitingMax)
    door.open()
    while (try? await store.commit([put("last", "v")])) == nil { await Task.yield() }
    await settle(store)
    store.close()
  }

  /// An event loop does not come to wait: while many watches are told, its commit goes to the writer thread.
  @Test func whoHasOtherWorkDoesNotTell() async throws {
    var options = StoreOptions()
    options.monotonicClock = { .zero }
    let store = try TextStore.open(MemoryDisk(), options: options)
    let door = Door()
    defer { door.open() }
    try await store.commit([put("first", "v")])
    _ = try store.watch(prefix: "", after: 1) { _ in door.pass() }
    try many(store, Recorder())
    for number in 0..<100 {
      let isHere = await withCheckedContinuation { continuation in
        let caller = pthread_self()
        store.commit([put("k\(number)", "v")], canBlock: true) { _ in
          continuation.resume(returning: pthread_equal(caller, pthread_self()) != 0)
        }
      }
      // The first one may be its caller's: nothing waited yet.
      #expect(!isHere || number == 0)
    }
    door.open()
    await settle(store)
    // With the telling done, callers commit again.
    var own = 0
    for number in 0..<100_000 where own < 10 {
      let isHere = await withCheckedContinuation { continuation in
        let caller = pthread_self()
        store.commit([put("l\(number)", "v")], canBlock: true) { _ in
          continuation.resume(returning: pthread_equal(caller, pthread_self()) != 0)
        }
      }
      if isHere { own += 1 }
      await settle(store)
    }
    #expect(own == 10)
    store.close()
  }

  /// What waits is bounded by bytes, too: a few large objects are as much as many small ones.
  @Test func largeObjectsAreFewer() async throws {
    let store = try TextStore.open(MemoryDisk())
    let door = Door()
    defer { door.open() }
    _ = try store.watch(prefix: "", after: 0) { _ in door.pass() }
    try many(store, Recorder())
    let text = String(repeating: "x", count: 1 << 20)
    let answers = AnswerRecorder()
    // The queue takes 64 MiB, too: what does not go into it is tried again.
    var submitted = 0
    while submitted < 160, store.revision < 65 || submitted < 100 {
      store.commit([put("k\(submitted)", text)], completion: answers.record)
      submitted += 1
      while store.outstanding.load(ordering: .acquiring) > 8, store.revision < 65 { await Task.yield() }
    }
    for _ in 0..<20_000 { await Task.yield() }
    // 64 wait, one group is being told, and one is waited with.
    #expect(store.revision >= 65 && store.revision <= 65 + 16)
    door.open()
    store.close()
  }

  /// What the next request is judged by is told before the answer, also while watches hang.
  @Test(arguments: Keeper.allCases) func followersAreToldBeforeTheAnswer(keeper: Keeper) async throws {
    let store = try Place(keeper).open()
    let door = Door()
    defer { door.open() }
    _ = try store.watch(prefix: "", after: 0) { _ in door.pass() }
    try many(store, Recorder())
    let followed = Recorder()
    let follower = try store.follow(prefix: "roles/", after: 0, deliver: followed.record)
    for number in 1...200 {
      try await store.commit([put("roles/\(number)", "v"), put("other", "v")])
      #expect(followed.texts.count == number)
    }
    follower.cancel()
    try await store.commit([put("roles/last", "v")])
    #expect(followed.texts.count == 200)
    door.open()
    store.close()
    #expect(followed.ends.isEmpty)
  }

  /// Whoever ends the store has told everything before.
  @Test(arguments: Keeper.allCases) func closingTellsWhatWaits(keeper: Keeper) async throws {
    let store = try Place(keeper).open()
    let seen = Recorder()
    try many(store, seen)
    for number in 0..<500 { store.commit([put("k\(number)", "v")]) { _ in } }
    store.close()
    #expect(seen.texts.count == 500 * (Teller.promptMax + 1))
    #expect(seen.ends == Array(repeating: "closed", count: Teller.promptMax + 1))
  }

  /// A group that is not kept is not told, and leaves nothing behind.
  @Test func aFailedGroupChangesNothing() async throws {
    let fails = Mutex(false)
    let disk = MemoryDisk { _ in fails.withLock { $0 } ? .io("the disk is gone") : nil }
    let store = try TextStore.open(disk)
    let (seen, followed) = (Recorder(), Recorder())
    _ = try store.watch(prefix: "", after: 0, deliver: seen.record)
    _ = try store.follow(prefix: "", after: 0, deliver: followed.record)
    try await store.commit([put("a", "1")])
    fails.withLock { $0 = true }
    await #expect(throws: StoreError.io("the disk is gone")) { try await store.commit([put("a", "2"), put("b", "3")]) }
    await #expect(throws: StoreError.io("the disk is gone")) { try await store.commit([put("a", "2")]) }
    #expect(store.revision == 1 && store.get("a")?.text == "1@1")
    fails.withLock { $0 = false }
    #expect(try await store.commit([put("b", "2")])[0]?.revision == 2)
    await settle(store)
    #expect(seen.texts == ["+a=1@1", "+b=2@2"] && followed.texts == seen.texts)
    store.close()
  }
}
