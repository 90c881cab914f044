import Glibc
import Synchronization
import Testing

@testable import Store

/// Commits that their caller carries out.
struct CallerCommitTests {
  let folder = TemporaryFolder()

  private func options(step: Duration) -> StoreOptions {
    var options = StoreOptions()
    let clock = Clock()
    options.monotonicClock = {
      clock.now.withLock { now in
        now += step
        return now
      }
    }
    return options
  }

  private final class Revisions: Sendable { let all = Mutex<[Int64]>([]) }

  private final class Clock: Sendable { let now = Mutex(Duration.zero) }

  /// Commits once; tells whether the caller's own thread did it.
  private func commitsHere(_ store: Store, _ key: String) async -> Bool {
    await withCheckedContinuation { continuation in
      let caller = pthread_self()
      store.commit([put(key, "v")], canBlock: true) { result in
        if case .failure(let error) = result { Issue.record(error) }
        continuation.resume(returning: pthread_equal(caller, pthread_self()) != 0)
      }
    }
  }

  @Test func aLoneCallerCommitsItself() async throws {
    let store = try openStore(folder.path, options(step: .zero))
    let watched = Recorder()
    _ = try store.watch(prefix: "", after: 0, deliver: watched.record)
    // The writer thread counts a commit as outstanding for a moment after its answer.
    var own = 0
    var total = 0
    while own < 100, total < 100_000 {
      if await commitsHere(store, "k\(total)") { own += 1 }
      total += 1
      #expect(store.revision == Int64(total))
    }
    #expect(own == 100)
    await settle(store)
    #expect(watched.texts == (0..<total).map { "+k\($0)=v@\($0 + 1)" })
    store.close()
    let again = try openStore(folder.path)
    #expect(again.count == total && again.revision == Int64(total))
    again.close()
  }

  @Test func aSlowDiskIsLeftToTheWriterThread() async throws {
    let store = try openStore(folder.path, options(step: .milliseconds(2)))
    defer { store.close() }
    for number in 0..<200 {
      #expect(await !commitsHere(store, "k\(number)"))
    }
  }

  @Test func whoCannotBlockNeverDoes() async throws {
    let store = try openStore(folder.path, options(step: .zero))
    defer { store.close() }
    for number in 0..<200 {
      let isHere = await withCheckedContinuation { continuation in
        let caller = pthread_self()
        store.commit([put("k\(number)", "v")]) { _ in
          continuation.resume(returning: pthread_equal(caller, pthread_self()) != 0)
        }
      }
      #expect(!isHere)
    }
  }

  /// Callers and the writer thread mixed: each caller's commits are answered in its order, every revision is given once.
  @Test func manyCallersKeepTheirOrder() async throws {
    let store = try openStore(folder.path, options(step: .zero))
    let revisions = Revisions()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for caller in 0..<4 {
        group.addTask {
          var last: Int64 = 0
          for number in 0..<500 {
            let entries = try await withCheckedContinuation { continuation in
              store.commit([put("c\(caller)/\(number)", "v")], canBlock: (caller + number) % 3 != 0) {
                continuation.resume(returning: $0)
              }
            }.get()
            let revision = try #require(entries[0]?.revision)
            #expect(revision > last)
            #expect(store.get("c\(caller)/\(number)")?.revision == revision)
            last = revision
            revisions.all.withLock { $0.append(revision) }
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(revisions.all.withLock { $0.sorted() } == Array(1...2000))
    #expect(store.outstanding.load(ordering: .acquiring) >= 0)
    store.close()
  }

  @Test func aClosedStoreRefusesCallers() async throws {
    let store = try openStore(folder.path, options(step: .zero))
    for number in 0..<10 { _ = await commitsHere(store, "k\(number)") }
    store.close()
    let result = await withCheckedContinuation { continuation in
      store.commit([put("late", "v")], canBlock: true) { continuation.resume(returning: $0) }
    }
    #expect(throws: StoreError.closed) { try result.get() }
    #expect(store.get("late") == nil)
  }

  /// Without a writer thread: also a commit that a completion or a watch asks for is carried out before the call returns.
  @Test func callersCommitAll() throws {
    var options = StoreOptions()
    options.commitsOnCallers = true
    let disk = MemoryDisk()
    let store = try TextStore.open(disk, options: options)
    let answers = AnswerRecorder()
    let follow = try store.watch(prefix: "a", after: 0) { [weak store] signal in
      guard case .events(let events) = signal else { return }
      store?.commit(events.map { put("b/\($0.entry.key)", "v") }, completion: answers.record)
    }
    for number in 0..<100 {
      store.commit([put("a\(number)", "v")], canBlock: number % 2 == 0) { [weak store] result in
        answers.record(result)
        store?.commit([put("c", "v")], completion: answers.record)
      }
      #expect(answers.all.count == 3 * (number + 1))
      #expect(store.deliveredRevision == Int64(3 * (number + 1)))
    }
    follow.cancel()
    // One at a time, with another one asked for by its completion.
    for number in 0..<20 {
      let before = answers.all.count
      store.commit([put("d\(number)", "v")], canBlock: true) { [weak store] result in
        answers.record(result)
        store?.commit([put("e", "v")], canBlock: true, completion: answers.record)
      }
      #expect(answers.all.count == before + 2)
    }
    #expect(answers.all.prefix(6) == ["v@1", "v@2", "v@3", "v@4", "v@5", "v@6"])
    #expect(store.count == 222)
    store.close()
    store.close()
    store.commit([put("late", "v")]) { answers.record($0) }
    #expect(answers.all.last == "the store is closed")
  }

  /// A place may take less than it says: one commit of a group that is too large must not fail the others.
  @Test func aGroupThatIsTooLargeIsTakenCommitByCommit() throws {
    var options = StoreOptions()
    options.commitsOnCallers = true
    let calls = Counter()
    // The first commit, the three others together, and each of them alone: the second one is too large.
    let disk = MemoryDisk { _ in [2, 4].contains(calls.next()) ? .tooLarge("too large") : nil }
    let store = try TextStore.open(disk, options: options)
    let answers = AnswerRecorder()
    store.commit([put("first", "v")]) { [weak store] _ in
      for key in ["a", "b", "c"] { store?.commit([put(key, "v")], completion: answers.record) }
    }
    #expect(answers.all == ["v@2", "too large", "v@3"])
    #expect(calls.next() == 6 && store.count == 3 && store.get("b") == nil)
    store.close()
  }

  /// The queue waits for those that are expected and takes them together.
  @Test func expectedElementsAreTakenTogether() throws {
    let queue = WorkQueue<Int>(countMax: 100, costMax: 100)
    for number in 0..<3 { _ = queue.push(number, cost: 1) }
    let first = try #require(queue.take(count: 10, cost: 100, returning: 0, gatherMax: .seconds(3600)))
    #expect(first.elements == [0, 1, 2] && first.isComplete)
    // All that is expected is there already: nobody waits an hour.
    for number in 3..<6 { _ = queue.push(number, cost: 1) }
    let second = try #require(queue.take(count: 3, cost: 100, returning: 7, gatherMax: .seconds(3600)))
    #expect(second.elements == [3, 4, 5] && second.isComplete)
    _ = queue.push(6, cost: 1)
    let third = try #require(queue.take(count: 10, cost: 100, returning: 1, gatherMax: .zero))
    #expect(third.elements == [6] && !third.isComplete)
    queue.close()
    #expect(queue.take(count: 1, cost: 1, returning: 5, gatherMax: .seconds(3600)) == nil)
  }
}

/// Counts calls from 1.
private final class Counter: Sendable {
  private let count = Atomic(0)
  func next() -> Int { count.add(1, ordering: .relaxed).newValue }
}
