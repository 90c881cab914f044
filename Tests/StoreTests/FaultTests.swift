import Glibc
import LinuxSystem
import Synchronization
import TestKit
import Testing

@testable import Store

struct FaultTests {
  /// The power goes at any instant: whatever part of the log reached the disk after the last answered commit, all
  /// answered commits are there, and no half of one.
  @Test(arguments: [1, 2] as [UInt64]) func aTornLogLosesNoAnsweredCommit(seed: UInt64) async throws {
    var generator = SeededGenerator(seed: seed)
    let folder = TemporaryFolder()
    let store = try openStore(folder.path)
    let log = folder.path + "/state.db-wal"
    // Commit n sets a/n and b/n together.
    var sizes: [Int] = [readFile(log).count]
    for number in 1...40 {
      try await store.commit([put("a/\(number)", "v"), put("b/\(number)", String(repeating: "x", count: number * 97))])
      sizes.append(readFile(log).count)
    }
    let database = readFile(folder.path + "/state.db")
    let whole = readFile(log)
    for _ in 0..<60 {
      let cut = Int.random(in: sizes[0]...whole.count, using: &generator)
      var torn = Array(whole[..<cut])
      // The last sector may hold anything.
      for _ in 0..<Int.random(in: 0..<512, using: &generator) {
        torn.append(UInt8.random(in: 0...255, using: &generator))
      }
      let copy = TemporaryFolder()
      writeFile(copy.path + "/state.db", database)
      writeFile(copy.path + "/state.db-wal", torn)
      let recovered = try openStore(copy.path)
      defer { recovered.close() }
      let answered = sizes.lastIndex { $0 <= cut } ?? 0
      let entries = try recovered.list(prefix: "a/").entries.count
      #expect(entries >= answered, "seed \(seed) cut \(cut)")
      #expect(try recovered.list(prefix: "b/").entries.count == entries)
      #expect(recovered.revision == Int64(2 * entries))
      #expect(try await recovered.commit([put("c", "v")])[0]?.revision == Int64(2 * entries + 1))
    }
    store.close()
  }

  /// A small tmpfs in a mount namespace of one thread; the store's threads inherit it.
  @Test(.enabled(if: geteuid() == 0, "mounting needs root"))
  func aFullDiskRefusesAndLosesNothing() async throws {
    let folder = TemporaryFolder()
    let outcome: Result<Void, StoreError> = await withCheckedContinuation { continuation in
      let box = Continuation(continuation)
      do throws(StoreError) {
        _ = try WorkerThread(name: "test") { box.resume(Self.fillDisk(folder.path)) }
      } catch {
        box.resume(.failure(error))
      }
    }
    try outcome.get()
  }

  /// A group has commits of both kinds: each is judged by itself.
  @Test func onlyWhoMayUseTheReserveMakesNewKeys() async throws {
    let isShort = Mutex(false)
    let store = try TextStore.open(MemoryDisk(isShort: { isShort.withLock { $0 } }))
    try await store.commit([put("old", "a")])
    isShort.withLock { $0 = true }
    @Sendable func error(_ operation: Operation, usesReserve: Bool) async -> StoreError? {
      let result = await withCheckedContinuation { continuation in
        store.commit([operation], usesReserve: usesReserve) { continuation.resume(returning: $0) }
      }
      if case .failure(let error) = result { return error }
      return nil
    }
    async let refused = error(put("new", "a"), usesReserve: false)
    async let made = error(put("own", "a"), usesReserve: true)
    async let changed = error(put("old", "b"), usesReserve: false)
    let errors = await (refused, made, changed)
    #expect(errors.0 == .diskFull("memory") && errors.1 == nil && errors.2 == nil)
    #expect(store.get("new") == nil && store.get("own") != nil)
    await store.closed()
  }

  /// The disk fills up while the store is open, and is full when it is opened.
  @Test(.enabled(if: geteuid() == 0, "mounting needs root"))
  func aReserveLetsChangesAndDeletionsThrough() async throws {
    let folder = TemporaryFolder()
    let outcome: Result<Void, StoreError> = await withCheckedContinuation { continuation in
      let box = Continuation(continuation)
      do throws(StoreError) {
        _ = try WorkerThread(name: "test") { box.resume(Self.useReserve(folder.path)) }
      } catch {
        box.resume(.failure(error))
      }
    }
    try outcome.get()
  }

  private static func useReserve(_ path: String) -> Result<Void, StoreError> {
    do throws(StoreError) {
      guard enterOwnMountNamespace(), mountSmallDisk(path, "size=4m") else { throw .io("no permission to mount") }
      defer { umount(path) }
      var options = StoreOptions()
      options.reserveBytes = 1 << 20
      options.checkpointPages = 20
      let reserve = DiskReserve(path: path + "/reserve", bytes: options.reserveBytes)
      let text = String(repeating: "x", count: 20_000)
      for isOpenMeanwhile in [true, false] {
        var store = try openStore(path, options)
        #expect(reserve.isWhole)
        for number in 0..<10 { try commitAndWait(store, [put("k/\(number)", text)]) }
        if !isOpenMeanwhile { store.close() }
        fillUp(path + "/filler")
        if !isOpenMeanwhile {
          store = try openStore(path, options)
          #expect(store.notices.contains { $0.contains("the disk is full") })
        }
        #expect(store.count == 10)
        var created = 0
        while created < 1000, refusal(store, [put("new/\(created)", text)]) == nil { created += 1 }
        #expect(created < 1000)
        #expect(!reserve.isWhole)
        // What has to be there is made all the same.
        try commitAndWait(store, [put("own", "small")], usesReserve: true)
        // What is there can be changed, for a while, and deleted.
        for number in 0..<10 { try commitAndWait(store, [put("k/\(number)", "changed")]) }
        for number in 0..<10 { try commitAndWait(store, [delete("k/\(number)")]) }
        for number in 0..<created { try commitAndWait(store, [delete("new/\(number)")]) }
        try commitAndWait(store, [delete("own")])
        #expect(refusal(store, [put("more", text)]) == .diskFull(path + "/state.db"))
        #expect(refusal(store, [delete("more")]) == .notFound(key: "more"))
        // With space everything goes on, and the reserve is taken again.
        unlink(path + "/filler")
        try commitAndWait(store, [put("more", text)])
        #expect(reserve.isWhole)
        try commitAndWait(store, [delete("more")])
        store.close()
      }
      return .success(())
    } catch {
      return .failure(error)
    }
  }

  private static func refusal(_ store: TextStore, _ operations: [Operation]) -> StoreError? {
    do throws(StoreError) {
      try commitAndWait(store, operations)
      return nil
    } catch { return error }
  }

  private static func fillUp(_ path: String) {
    let file = Glibc.open(path, O_WRONLY | O_CREAT, 0o600)
    defer { close(file) }
    let zeros = [UInt8](repeating: 0, count: 4096)
    while write(file, zeros, zeros.count) > 0 {}
  }

  private struct Continuation: Sendable {
    let continuation: CheckedContinuation<Result<Void, StoreError>, Never>
    init(_ continuation: CheckedContinuation<Result<Void, StoreError>, Never>) { self.continuation = continuation }
    func resume(_ result: Result<Void, StoreError>) { continuation.resume(returning: result) }
  }

  private static func fillDisk(_ path: String) -> Result<Void, StoreError> {
    do throws(StoreError) {
      guard enterOwnMountNamespace(), mountSmallDisk(path) else { throw .io("no permission to mount") }
      defer { umount(path) }
      let store = try openStore(path)
      let text = String(repeating: "x", count: 20_000)
      var stored = 0
      var failure: StoreError?
      while failure == nil, stored < 1000 {
        do throws(StoreError) {
          try commitAndWait(store, [put("k/\(stored)", text)])
          stored += 1
        } catch { failure = error }
      }
      #expect(failure == .diskFull(path + "/state.db"))
      #expect(stored > 10)
      let revision = store.revision
      // Nothing of the failed commit is visible, and the store still reads.
      #expect(revision == Int64(stored))
      #expect(store.get("k/\(stored)") == nil)
      // A group that fails answers every one of its commits; some may fit into the log's old space.
      var failures = 0
      for number in 0..<5 {
        do throws(StoreError) {
          try commitAndWait(store, [put("big/\(number)", text + text + text)])
        } catch {
          #expect(error == .diskFull(path + "/state.db"))
          failures += 1
        }
      }
      #expect(failures > 0)
      let kept = try store.list(prefix: "").entries.map { "\($0.key) \($0.revision)" }
      // Space again: commits work again.
      #expect(remountDisk(path, "size=16m"))
      try commitAndWait(store, [put("later", text)])
      store.close()
      let again = try openStore(path)
      #expect(
        try again.list(prefix: "").entries.filter { $0.key != "later" }.map { "\($0.key) \($0.revision)" } == kept)
      #expect(again.get("later") != nil)
      again.close()
      return .success(())
    } catch {
      return .failure(error)
    }
  }

  private static func commitAndWait(
    _ store: TextStore, _ operations: [Operation], usesReserve: Bool = false
  ) throws(StoreError) {
    let answers = WorkQueue<Result<[TextStore.Entry?], StoreError>>(countMax: 1, costMax: 1)
    store.commit(operations, usesReserve: usesReserve) { _ = answers.push($0, cost: 1) }
    _ = try answers.take(count: 1, cost: 1)?.elements.first?.get()
  }

  // `unshare` and `mount` are hidden behind _GNU_SOURCE or not imported; the test looks them up.
  private static func enterOwnMountNamespace() -> Bool {
    guard let symbol = dlsym(nil, "unshare") else { return false }
    let unshare = unsafeBitCast(symbol, to: (@convention(c) (Int32) -> Int32).self)
    return unshare(0x0002_0000) == 0 && mountCall("none", "/", nil, 0x4_4000, nil)
  }

  private static func mountSmallDisk(_ path: String, _ size: String = "size=1m") -> Bool {
    mountCall("tmpfs", path, "tmpfs", 0, size)
  }
  private static func remountDisk(_ path: String, _ size: String) -> Bool {
    mountCall("tmpfs", path, "tmpfs", 32, size)
  }

  private static func mountCall(
    _ source: String, _ target: String, _ type: String?, _ flags: UInt, _ data: String?
  ) -> Bool {
    typealias Mount =
      @convention(c) (
        UnsafePointer<CChar>?, UnsafePointer<CChar>?, UnsafePointer<CChar>?, UInt, UnsafeRawPointer?
      ) -> Int32
    guard let symbol = dlsym(nil, "mount") else { return false }
    let mount = unsafeBitCast(symbol, to: Mount.self)
    return mount(source, target, type, flags, data.flatMap { UnsafeRawPointer(strdup($0)) }) == 0
  }
}
