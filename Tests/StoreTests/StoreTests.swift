import Glibc
import KubeTypes
import LinuxSystem
import Synchronization
import TestKit
import Testing

@testable import Store

struct StoreTests {
  let folder = TemporaryFolder()

  @Test(arguments: Keeper.allCases) func putGetUpdateDelete(keeper: Keeper) async throws {
    let place = Place(keeper)
    let store = try place.open()
    defer { store.close() }
    let created = try await store.commit([put("pods/a/x", "one", .absent)])
    #expect(created[0]?.text == "one@1")
    #expect(created[0]?.header.resourceVersion == 1)
    let updated = try await store.commit([put("pods/a/x", "two", .revision(1))])
    #expect(updated[0]?.revision == 2)
    #expect(updated[0]?.createRevision == 1)
    #expect(store.get("pods/a/x")?.text == "two@2")
    #expect(store.get("pods/a/xx") == nil)
    let deleted = try await store.commit([delete("pods/a/x", .revision(2))])
    #expect(deleted[0]?.text == "gone@3")
    #expect(store.get("pods/a/x") == nil)
    #expect(store.revision == 3)
    #expect(store.count == 0)
  }

  @Test(arguments: Keeper.allCases) func preconditionsAreExact(keeper: Keeper) async throws {
    let place = Place(keeper)
    let store = try place.open()
    defer { store.close() }
    try await store.commit([put("a", "1")])
    await #expect(throws: StoreError.exists(key: "a")) { try await store.commit([put("a", "2", .absent)]) }
    await #expect(throws: StoreError.conflict(key: "a", current: 1)) {
      try await store.commit([put("a", "2", .revision(7))])
    }
    await #expect(throws: StoreError.conflict(key: "b", current: nil)) {
      try await store.commit([delete("b", .revision(1))])
    }
    await #expect(throws: StoreError.notFound(key: "b")) { try await store.commit([delete("b")]) }
    #expect(store.revision == 1)
  }

  @Test(arguments: Keeper.allCases) func aCommitHappensWholeOrNotAtAll(keeper: Keeper) async throws {
    let place = Place(keeper)
    let store = try place.open()
    defer { store.close() }
    await #expect(throws: StoreError.exists(key: "a")) {
      try await store.commit([put("a", "1"), put("b", "1"), put("a", "2", .absent)])
    }
    #expect(store.count == 0)
    let entries = try await store.commit([put("a", "1"), put("a", "2", .revision(1)), delete("a"), put("b", "3")])
    #expect(entries.map { $0?.revision } == [1, 2, 3, 4])
    #expect(store.get("a") == nil)
    #expect(store.get("b")?.text == "3@4")
  }

  @Test(arguments: Keeper.allCases) func aRevisionIsSplicedAnywhere(keeper: Keeper) async throws {
    let place = Place(keeper)
    let store = try place.open()
    defer { store.close() }
    let operation = Operation.put(
      "a", value: Array(#"{"v":""}@0"#.utf8), revisionAt: 6, header: emptyHeader, precondition: .none)
    #expect(try await store.commit([operation])[0]?.text == #"{"v":"1"}@0"#)
    await #expect(throws: StoreError.self) {
      try await store.commit([.put("a", value: [], revisionAt: 1, header: emptyHeader)])
    }
  }

  /// "é" as one scalar and as two are one `String` and two keys.
  @Test(arguments: Keeper.allCases) func keysAreBytes(keeper: Keeper) async throws {
    let place = Place(keeper)
    let (one, two) = ("roles/\u{E9}", "roles/e\u{301}")
    #expect(one == two)
    let store = try place.open()
    try await store.commit([put(one, "a", .absent)])
    // One group: what it says of one key says nothing of the other.
    await #expect(throws: StoreError.self) { try await store.commit([delete(one), put(one, "b"), delete(two)]) }
    try await store.commit([delete(one), put(two, "b", .absent), put(one, "c", .absent)])
    await #expect(throws: StoreError.self) { try await store.commit([delete(one), put(two, "d", .absent)]) }
    #expect(try store.list(prefix: "roles/").entries.map(\.text) == ["b@3", "c@4"])
    #expect(try store.list(prefix: "roles/", at: 1).entries.map(\.text) == ["a@1"])
    store.close()
    let again = try place.open()
    #expect(again.count == 2)
    again.close()
  }

  /// Commits that are submitted without waiting are answered in order, in groups; a failed one harms no neighbour.
  @Test(arguments: Keeper.allCases) func groupsKeepTheOrder(keeper: Keeper) async throws {
    let place = Place(keeper)
    let store = try place.open()
    defer { store.close() }
    let answers = Mutex<[String]>([])
    for number in 0..<300 {
      // Every third one creates a key that is there already.
      let key = number % 3 == 2 ? "k\(number - 1)" : "k\(number)"
      store.commit([put(key, "v", .absent)]) { result in
        let answer =
          switch result {
          case .success(let entries): "\(entries[0]?.revision ?? 0)"
          case .failure(let error): "\(error)"
          }
        answers.withLock { $0.append(answer) }
      }
    }
    try await store.commit([put("last", "v")])
    let expected = (0..<300).map { $0 % 3 == 2 ? "k\($0 - 1) exists already" : "\($0 - $0 / 3 + 1)" }
    #expect(answers.withLock { $0 } == expected)
    #expect(store.revision == 201)
  }

  @Test(arguments: Keeper.allCases) func whatWasCommittedIsThereAfterOpening(keeper: Keeper) async throws {
    let place = Place(keeper)
    var store = try place.open()
    for number in 1...50 { try await store.commit([put("k/\(number % 7)", "v\(number)")]) }
    try await store.commit([delete("k/3")])
    let before = try store.list(prefix: "").entries.map { "\($0.key) \($0.text) \($0.createRevision)" }
    store.close()
    await #expect(throws: StoreError.closed) { try await store.commit([put("a", "b")]) }
    #expect(store.get("k/1") != nil)
    store = try place.open()
    #expect(try store.list(prefix: "").entries.map { "\($0.key) \($0.text) \($0.createRevision)" } == before)
    #expect(store.revision == 51)
    // The revision goes on also when the newest change was a deletion.
    #expect(try await store.commit([put("new", "x")])[0]?.revision == 52)
    store.close()
  }

  @Test func aSecondOpenIsRefusedAndNamesTheFirst() throws {
    let store = try openStore(folder.path)
    #expect(throws: StoreError.locked(path: folder.path, holder: getpid())) { try openStore(folder.path) }
    store.close()
    try openStore(folder.path).close()
  }

  @Test func aDiskInMemoryIsOpenOnce() async throws {
    let disk = MemoryDisk()
    let store = try TextStore.open(disk)
    #expect(throws: StoreError.locked(path: "memory", holder: nil)) { try TextStore.open(disk) }
    try await store.commit([put("a", "1")])
    // As after `kill -9`: what the dead one still does is not kept.
    disk.kill()
    let next = try TextStore.open(disk)
    await #expect(throws: StoreError.self) { try await store.commit([put("b", "2")]) }
    store.close()
    #expect(throws: StoreError.locked(path: "memory", holder: nil)) { try TextStore.open(disk) }
    try await next.commit([put("c", "2")])
    next.close()
    let last = try TextStore.open(disk)
    #expect(try last.list(prefix: "").entries.map(\.text) == ["1@1", "2@2"])
    last.close()
  }

  @Test func damageIsReported() async throws {
    let store = try openStore(folder.path)
    for number in 0..<200 { try await store.commit([put("k\(number)", "some text that fills pages")]) }
    store.close()
    let path = folder.path + "/state.db"
    var bytes = readFile(path)
    for index in 4096..<bytes.count { bytes[index] = 0xA5 }
    writeFile(path, bytes)
    #expect { try openStore(folder.path) } throws: { error in
      guard case StoreError.corrupt(path, let reason) = error else { return false }
      return reason.contains("malformed")
    }
    writeFile(path, Array("this is no database, and it is long enough to be seen as one".utf8))
    #expect { try openStore(folder.path) } throws: { error in
      guard case StoreError.corrupt(path, let reason) = error else { return false }
      return reason.contains("not a database")
    }
  }

  @Test func aValueWhoseHeaderCannotBeReadIsNamed() async throws {
    let store = try openStore(folder.path)
    try await store.commit([.put("pods/a/b", value: Array("no mark".utf8), revisionAt: 0, header: emptyHeader)])
    store.close()
    #expect { try openStore(folder.path) } throws: { error in
      guard case StoreError.damaged(_, let losses) = error else { return false }
      return losses.count == 1 && losses[0].contains("pods/a/b")
    }
  }

  @Test(arguments: Keeper.allCases) func aFullQueueRefuses(keeper: Keeper) async throws {
    let place = Place(keeper)
    var options = StoreOptions()
    options.queueCountMax = 4
    let store = try place.open(options)
    defer { store.close() }
    let refused = Mutex(0)
    for number in 0..<2000 {
      store.commit([put("k\(number)", "v")]) { result in
        if case .failure(.overloaded) = result { refused.withLock { $0 += 1 } }
      }
    }
    // How many are refused depends on the disk; all others are there.
    while true {
      do {
        try await store.commit([put("z", "v")])
        break
      } catch StoreError.overloaded {
        await Task.yield()
      }
    }
    #expect(store.count == 2001 - refused.withLock { $0 })
  }

  @Test func theLogIsCopiedIntoTheDatabase() async throws {
    var options = StoreOptions()
    options.checkpointPages = 20
    let store = try openStore(folder.path, options)
    for number in 0..<500 { try await store.commit([put("k\(number)", "v")]) }
    // 500 commits write at least 1,000 pages; the log was started again and again.
    #expect(readFile(folder.path + "/state.db-wal").count < 500 * 4120)
    store.close()
    #expect(!TemporaryFolder.list(folder.path).contains("state.db-wal"))
  }
}

struct ListTests {
  @Test(arguments: Keeper.allCases) func pagesFollowOneAnother(keeper: Keeper) async throws {
    let place = Place(keeper)
    let store = try place.open()
    defer { store.close() }
    try await store.commit((0..<10).map { put("pods/a/\($0)", "v") } + [put("pods/b/0", "v"), put("podsx", "v")])
    let first = try store.list(prefix: "pods/a/", limit: 4)
    #expect(first.entries.map(\.key) == ["pods/a/0", "pods/a/1", "pods/a/2", "pods/a/3"])
    #expect(first.remaining == 6)
    let second = try store.list(prefix: "pods/a/", after: "pods/a/3", limit: 6)
    #expect(second.entries.last?.key == "pods/a/9")
    #expect(second.remaining == nil)
    #expect(try store.list(prefix: "pods/").entries.count == 11)
    #expect(try store.list(prefix: "").entries.count == 12)
    #expect(try store.list(prefix: "none").entries.isEmpty)
  }

  @Test(arguments: Keeper.allCases) func anOlderStateCanBeListed(keeper: Keeper) async throws {
    let place = Place(keeper)
    let store = try place.open()
    defer { store.close() }
    try await store.commit([put("p/a", "1"), put("p/b", "2"), put("p/c", "3")])
    try await store.commit([delete("p/a"), put("p/b", "4"), put("p/bb", "5"), put("q", "6")])
    let old = try store.list(prefix: "p/", limit: 2, at: 3)
    #expect(old.entries.map(\.text) == ["1@1", "2@2"])
    #expect(old.revision == 3)
    #expect(old.remaining == 1)
    #expect(try store.list(prefix: "p/", after: "p/b", limit: 2, at: 3).entries.map(\.text) == ["3@3"])
    #expect(try store.list(prefix: "p/", at: 4).entries.map(\.key) == ["p/b", "p/c"])
    #expect(try store.list(prefix: "p/", at: 7).entries.map(\.text) == ["4@5", "5@6", "3@3"])
    #expect(throws: StoreError.futureRevision(requested: 8, current: 7)) { try store.list(prefix: "", at: 8) }
  }

  @Test func keysAreOrderedByTheirBytes() {
    let keys = ["a", "a/b", "a-b", "ab", "", "é", "z", "Z", "a/b/c"]
    let expected = keys.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
    #expect(keys.sorted(by: KeyOrder.isLess) == expected)
    #expect(KeyOrder.hasPrefix("abc", "ab") && !KeyOrder.hasPrefix("a", "ab") && KeyOrder.hasPrefix("a", ""))
  }

  @Test(arguments: [1, 2, 3] as [UInt64]) func sortedEntriesBehaveAsADictionary(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var entries = SortedEntries()
    var model: [String: Int64] = [:]
    for step in 0..<20_000 {
      let key = "k/\(Int.random(in: 0..<3000, using: &generator))"
      if Int.random(in: 0..<3, using: &generator) > 0 {
        entries.set(
          .init(
            key: key, object: Object(header: emptyHeader, bytes: []), revision: Int64(step), createRevision: 0,
            checksum: 0))
        model[key] = Int64(step)
      } else {
        entries.remove(key)
        model[key] = nil
      }
    }
    #expect(entries.count == model.count)
    let all = entries.slice(entries.range(prefix: "k/", after: nil), limit: 0)
    #expect(all.map(\.key) == model.keys.sorted(by: KeyOrder.isLess))
    #expect(all.allSatisfy { model[$0.key] == $0.revision })
    for prefix in ["k/1", "k/29", "k/2999", "l", "a"] {
      let range = entries.range(prefix: prefix, after: nil)
      #expect(entries.distance(range) == model.keys.count { $0.hasPrefix(prefix) })
    }
  }
}
