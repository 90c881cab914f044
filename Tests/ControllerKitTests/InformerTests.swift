import KubeClient
import KubeTypes
import Schema
import Synchronization
import Testing
import Wire

@testable import ControllerKit

/// The copy that the handlers' calls alone would give.
private final class Mirror: Sendable {
  struct State {
    var objects: [ObjectKey: Object] = [:]
    var problems: [String] = []
    var calls: [String] = []
  }

  let state = Mutex(State())

  func note(_ old: Object?, _ new: Object?) {
    state.withLock { state in
      guard let key = (new ?? old)?.header.key else { return }
      if state.objects[key]?.header.resourceVersion != old?.header.resourceVersion {
        state.problems.append("\(key): old is not what was last reported")
      }
      state.objects[key] = new
      state.calls.append("\(old == nil ? "+" : new == nil ? "-" : "~")\(key.name)")
    }
  }
}

@Suite(.timeLimit(.minutes(1))) struct InformerTests {
  private let client = FakeKubeClient()
  private let clock = VirtualClock()

  private func until(_ condition: () -> Bool) async {
    while !condition() { await Task.yield() }
  }

  @Test func listsWatchesAndReports() async throws {
    for name in ["c", "a", "b"] { client.put(widgets, widget(name)) }
    let informer = Informer(client: client, resource: widgets, time: clock)
    let mirror = Mirror()
    informer.onChange(mirror.note)
    let run = Task { try await informer.run() }
    try await informer.waitUntilSynced()
    #expect(informer.list().map(\.header.name) == ["a", "b", "c"])
    await until { self.client.state.withLock { $0.watchers.count } == 1 }
    client.put(widgets, widget("d", namespace: "z"))
    client.put(widgets, widget("a", size: 7))
    client.remove(widgets, ObjectKey(namespace: "a", name: "b"))
    await until { informer.count == 3 && informer.get(ObjectKey(namespace: "a", name: "b")) == nil }
    #expect(informer.list(namespace: "z").count == 1 && informer.list(namespace: "none").isEmpty)
    #expect(informer.get(ObjectKey(namespace: "a", name: "a"))?.json()["size"] == 7)
    #expect(informer.revision == client.state.withLock { $0.revision })
    let (calls, problems) = mirror.state.withLock { ($0.calls, $0.problems) }
    #expect(calls == ["+a", "+b", "+c", "+d", "~a", "-b"] && problems.isEmpty)
    run.cancel()
    await #expect(throws: CancellationError.self) { try await run.value }
  }

  @Test func resumesFromWhereItWas() async throws {
    client.put(widgets, widget("a"))
    let informer = Informer(client: client, resource: widgets, time: clock)
    let run = Task { try await informer.run() }
    try await informer.waitUntilSynced()
    await until { self.client.state.withLock { $0.watchers.count } == 1 }
    client.put(widgets, widget("b"))
    await until { informer.count == 2 }
    client.endWatches()
    client.put(widgets, widget("c"))
    // The watch was of use, but short: it comes back after a short pause.
    await clock.waitForSleepers()
    clock.advance(by: .seconds(1))
    await until { informer.count == 3 }
    #expect(client.state.withLock { $0.lists } == 1)
    run.cancel()
    _ = await run.result
  }

  @Test func listsAgainWhenTheRevisionIsGone() async throws {
    for name in ["a", "b", "c"] { client.put(widgets, widget(name)) }
    let informer = Informer(client: client, resource: widgets, time: clock)
    let mirror = Mirror()
    informer.onChange(mirror.note)
    let run = Task { try await informer.run() }
    try await informer.waitUntilSynced()
    await until { self.client.state.withLock { $0.watchers.count } == 1 }
    // What happens from here on is in no watch.
    client.state.withLock { state in
      state.watchers.forEach {
        $0.continuation.finish(throwing: KubeError(code: 410, reason: .expired, message: "gone"))
      }
      state.watchers = []
    }
    client.remove(widgets, ObjectKey(namespace: "a", name: "a"))
    client.put(widgets, widget("b", uid: "another"))
    client.put(widgets, widget("d"))
    client.compact()
    while informer.get(ObjectKey(namespace: "a", name: "d")) == nil {
      clock.advance(by: .milliseconds(200))
      await Task.yield()
    }
    #expect(informer.list().map(\.header.name) == ["b", "c", "d"])
    // Handlers are called after the copy has been changed.
    await until { mirror.state.withLock { $0.calls.count } == 7 }
    let (calls, problems) = mirror.state.withLock { ($0.calls, $0.problems) }
    #expect(problems.isEmpty)
    // The other object of the same name is a removal and an addition.
    #expect(Set(calls.suffix(4)) == ["-a", "-b", "+b", "+d"])
    run.cancel()
    _ = await run.result
  }

  /// A server that was away may come back with what a backup has: its revisions are lower, or mean other changes.
  @Test func anOlderStateIsListed() async throws {
    for name in ["a", "b"] { client.put(widgets, widget(name)) }
    let informer = Informer(client: client, resource: widgets, time: clock)
    let run = Task { try await informer.run() }
    try await informer.waitUntilSynced()
    await until { self.client.state.withLock { $0.watchers.count } == 1 }
    client.state.withLock { state in
      state.revision = 3
      state.objects = [:]
      state.history = []
    }
    client.endWatches(KubeError(code: 503, reason: .serviceUnavailable, message: "cannot reach the API server"))
    client.put(widgets, widget("restored"))
    while informer.get(ObjectKey(namespace: "a", name: "restored")) == nil {
      clock.advance(by: .milliseconds(200))
      await Task.yield()
    }
    #expect(informer.list().map(\.header.name) == ["restored"])
    run.cancel()
    _ = await run.result
  }

  @Test func failingListIsRetried() async throws {
    client.put(widgets, widget("a"))
    client.state.withLock { $0.listFailures = 4 }
    let informer = Informer(client: client, resource: widgets, time: clock)
    let run = Task { try await informer.run() }
    var pauses: [Duration] = []
    for _ in 0..<4 {
      await clock.waitForSleepers()
      pauses.append(clock.nextWake ?? .zero)
      clock.advance(by: pauses.last ?? .zero)
    }
    try await informer.waitUntilSynced()
    #expect(pauses.max() ?? .zero > .milliseconds(150) && pauses[0] <= .milliseconds(50))
    run.cancel()
    _ = await run.result
  }

  @Test func waitingForTheListCanBeCancelled() async {
    let informer = Informer(client: client, resource: widgets, time: clock)
    let waiter = Task { try await informer.waitUntilSynced() }
    waiter.cancel()
    await #expect(throws: CancellationError.self) { try await waiter.value }
  }

  /// Writes, ended watches, compactions and failures in a random order: in the end the copy and what the handlers were
  /// told are what the server has.
  @Test(arguments: 1...25)
  func converges(seed: UInt64) async throws {
    var random = SeededRandom(seed: seed)
    let informer = Informer(client: client, resource: widgets, time: clock)
    let mirror = Mirror()
    informer.onChange(mirror.note)
    let bySize = InformerIndex("size") { [$0.json()["size"]?.int.map { "\($0)" } ?? "none"] }
    informer.add(bySize)
    let run = Task { try await informer.run() }
    for _ in 0..<300 {
      let name = "w\(Int.random(in: 0..<12, using: &random))"
      switch Int.random(in: 0..<20, using: &random) {
      case 0: client.endWatches()
      case 1: client.endWatches(KubeError(code: 410, reason: .expired, message: "gone"))
      case 2: client.endWatches(KubeError(code: 500, reason: .internalError, message: "broken"))
      case 3: client.compact()
      case 4: client.state.withLock { $0.listFailures = 2 }
      case 5...9: client.remove(widgets, ObjectKey(namespace: "a", name: name))
      case 10...16:
        client.put(
          widgets,
          widget(
            name, uid: "\(name)-\(Int.random(in: 0..<2, using: &random))",
            size: Int64.random(in: 0..<9, using: &random),
            owner: Bool.random(using: &random) ? "o\(Int.random(in: 0..<3, using: &random))" : nil))
      default: clock.advance(by: .milliseconds(Int.random(in: 0..<5000, using: &random)))
      }
      for _ in 0..<Int.random(in: 0..<4, using: &random) { await Task.yield() }
    }
    let last = client.state.withLock { $0.revision }
    client.put(widgets, widget("last"))
    while informer.revision <= last {
      clock.advance(by: .seconds(30))
      await Task.yield()
    }
    // The handlers are called after the copy has changed.
    await until {
      mirror.state.withLock { $0.objects.sorted { $0.key < $1.key }.map(\.value.bytes) } == informer.list().map(\.bytes)
    }
    let truth = client.state.withLock { $0.objects[widgets] ?? [:] }
    let (told, problems) = mirror.state.withLock { ($0.objects, $0.problems) }
    #expect(problems.isEmpty, "seed \(seed)")
    #expect(informer.list().map(\.bytes) == truth.sorted { $0.key < $1.key }.map(\.value.bytes), "seed \(seed)")
    #expect(told.mapValues(\.bytes) == truth.mapValues(\.bytes), "seed \(seed)")
    for owner in ["o0", "o1", "o2"] {
      let expected = truth.values.filter { $0.header.controller?.uid == owner }.map(\.header.key).sorted()
      #expect(informer.list(controlledBy: owner).map(\.header.key) == expected, "seed \(seed)")
    }
    for size in 0..<9 {
      let expected = truth.values.filter { $0.json()["size"]?.int == Int64(size) }.map(\.header.key).sorted()
      #expect(informer.list(by: bySize, "\(size)").map(\.header.key) == expected, "seed \(seed)")
    }
    let orphans = truth.values.filter { $0.header.controller == nil }.map(\.header.key).sorted()
    #expect(informer.orphans(in: "a").map(\.header.key) == orphans, "seed \(seed)")
    run.cancel()
    _ = await run.result
  }

  /// Asking costs no look at the objects, and a change one look at what goes and one at what comes.
  @Test func anIndexLooksAtWhatChanges() async throws {
    let looks = Mutex(0)
    let bySize = InformerIndex("size") { object in
      looks.withLock { $0 += 1 }
      return object.json()["size"]?.int.map { ["\($0)"] } ?? []
    }
    for number in 0..<100 { client.put(widgets, widget("w\(number)", size: Int64(number % 10))) }
    let informer = Informer(client: client, resource: widgets, time: clock)
    informer.add(bySize)
    informer.add(bySize)
    let run = Task { try await informer.run() }
    try await informer.waitUntilSynced()
    #expect(looks.withLock { $0 } == 100)
    for _ in 0..<50 {
      #expect(informer.list(by: bySize, "3").map(\.header.name).prefix(3) == ["w13", "w23", "w3"])
      #expect(informer.count(by: bySize, "3") == 10 && informer.list(by: bySize, "77").isEmpty)
    }
    #expect(informer.values(of: bySize) == (0..<10).map { "\($0)" })
    #expect(looks.withLock { $0 } == 100)
    await until { self.client.state.withLock { $0.watchers.count } == 1 }
    client.put(widgets, widget("w3", size: 4))
    await until { informer.count(by: bySize, "4") == 11 }
    #expect(informer.count(by: bySize, "3") == 9)
    #expect(looks.withLock { $0 } == 102)
    client.remove(widgets, ObjectKey(namespace: "a", name: "w3"))
    await until { informer.count(by: bySize, "4") == 10 }
    #expect(looks.withLock { $0 } == 103)
    // One that is asked for late is built over what is there.
    #expect(informer.list(by: .uid, "uid-w7").map(\.header.name) == ["w7"])
    #expect(informer.list(by: .uid, "uid-w3").isEmpty)
    run.cancel()
    _ = await run.result
  }

  @Test func setSharesItsInformers() async throws {
    client.put(widgets, widget("a"))
    let set = InformerSet(client: client, time: clock)
    let informer = set.informer(for: widgets)
    #expect(set.informer(for: widgets) === informer)
    let run = Task { try await set.run() }
    try await set.waitUntilSynced()
    let late = set.informer(for: GroupVersionResource(group: "", version: "v1", resource: "pods"))
    try await late.waitUntilSynced()
    #expect(informer.count == 1 && late.count == 0)
    run.cancel()
    _ = await run.result
  }

  @Test func aHandlerThatComesLateIsToldWhatIsThere() async throws {
    for name in ["a", "b"] { client.put(widgets, widget(name)) }
    let informer = Informer(client: client, resource: widgets, time: clock)
    let run = Task { try await informer.run() }
    try await informer.waitUntilSynced()
    let mirror = Mirror()
    informer.onChange(mirror.note)
    #expect(mirror.state.withLock { $0.calls } == ["+a", "+b"])
    await until { self.client.state.withLock { $0.watchers.count } == 1 }
    client.put(widgets, widget("c"))
    await until { mirror.state.withLock { $0.calls.count } == 3 }
    #expect(mirror.state.withLock { $0.calls } == ["+a", "+b", "+c"])
    #expect(mirror.state.withLock { $0.problems } == [])
    run.cancel()
    _ = await run.result
  }

  @Test func aResourceThatIsServedNoMoreIsForgotten() async throws {
    let lamps = GroupVersionResource(group: "lamps.test", version: "v1", resource: "lamps")
    let kinds = KindRegistry(.builtin)
    let text = """
      schema lamps.test/v1 as lamps priority 100 5

      kind Lamp
        @resource lamps lamp
        metadata meta.ObjectMeta 1 omitempty
      """
    try kinds.add(KindDefinition(name: "lamps", sources: [(name: "lamps.v1", text: text)]))
    client.put(lamps, widget("a"))
    let set = InformerSet(client: client, time: clock, kinds: kinds)
    let (informer, other) = (set.informer(for: lamps), set.informer(for: widgets))
    let mirror = Mirror()
    informer.onChange(mirror.note)
    let run = Task { try await set.run() }
    try await set.waitUntilSynced()
    await until { self.client.state.withLock { $0.watchers.count } == 2 }
    try kinds.remove("lamps")
    // As a server does.
    for watcher in client.state.withLock({ $0.watchers }) where watcher.resource == lamps {
      watcher.continuation.finish()
    }
    await until { mirror.state.withLock { $0.calls.count } == 2 }
    #expect(mirror.state.withLock { $0.calls } == ["+a", "-a"] && informer.count == 0)
    #expect(set.informer(for: lamps) !== informer && set.informer(for: widgets) === other)
    run.cancel()
    _ = await run.result
  }

  /// A stream that was read once is over: the second run of a set followed nothing, for ever.
  @Test func aSetRunsAgain() async throws {
    client.put(widgets, widget("a"))
    let set = InformerSet(client: client, time: clock)
    let informer = set.informer(for: widgets)
    let mirror = Mirror()
    informer.onChange(mirror.note)
    for round in 0..<3 {
      let run = Task { try await set.run() }
      client.put(widgets, widget("b\(round)"))
      await until { informer.get(ObjectKey(namespace: "a", name: "b\(round)")) != nil }
      run.cancel()
      _ = await run.result
    }
    // The last run was told of what changed between the runs, and only of that.
    #expect(mirror.state.withLock { $0.problems } == [])
    #expect(mirror.state.withLock { $0.calls } == ["+a", "+b0", "+b1", "+b2"])
  }

  @Test func pendingWritesAreLaidOverTheInformer() async throws {
    let informer = Informer(client: client, resource: widgets, time: clock)
    let run = Task { try await informer.run() }
    try await informer.waitUntilSynced()
    await until { self.client.state.withLock { $0.watchers.count } == 1 }
    let pending = PendingWrites()
    // The server has it; the informer is not told.
    var json = widget("a", owner: "o")
    json["metadata"]?["resourceVersion"] = "50"
    pending.created(Object(json), owner: "o")
    pending.deleted(uid: "uid-a", owner: "o")
    let before = pending.overlay(on: informer, owner: "o")
    #expect(before.objects.map(\.header.name) == ["a"] && before.deleting == ["uid-a"])
    // Later it is told of something newer, which does not have it: it is gone.
    client.state.withLock { $0.revision = 60 }
    client.put(widgets, widget("b"))
    await until { informer.revision == 61 }
    let after = pending.overlay(on: informer, owner: "o")
    #expect(after.objects.isEmpty && after.deleting.isEmpty)
    run.cancel()
    _ = await run.result
  }
}
