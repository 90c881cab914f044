import KubeClient
import KubeTypes
import NIOCore
import NIOEmbedded
import Store
import Testing
import Wire

@testable import APIServer

@Suite(.timeLimit(.minutes(1))) struct RelayTests {
  /// A relay whose time and wake-ups are the test's.
  private struct Watched {
    let loop = NIOAsyncTestingEventLoop()
    let source: WatchSource
    let relay: LocalClient.Relay
    let stream: WatchStream

    init(_ fixture: Fixture) throws {
      let (stream, continuation) = WatchStream.makeStream()
      self.stream = stream
      relay = LocalClient.Relay(continuation, on: loop)
      let service = fixture.client.service
      source = WatchSource(
        service, try service.kind(Fixture.resource("configmaps")),
        WatchSource.Options(resourceVersion: String(service.store.revision), allowBookmarks: true), wake: {})
      relay.attach(source)
      try source.start()
    }

    /// There is no bookmark while something waits.
    var waits: Bool { source.bookmark() == nil }
  }

  private func create(_ name: String, on fixture: Fixture) async throws {
    _ = try await fixture.create("configmaps", ["metadata": ["name": .string(name)]])
    await fixture.settle()
  }

  /// The next events' names.
  private func names(_ count: Int, of stream: WatchStream) async throws -> [String] {
    var names: [String] = []
    for try await event in stream {
      guard case .added(let object) = event else { continue }
      names.append(object.header.name)
      if names.count == count { break }
    }
    return names
  }

  @Test func theFirstEventsComeAtOnceAndACrowdTogether() async throws {
    try await Fixture.run { fixture in
      let watched = try Watched(fixture)
      // A pause, a crowd, and a pause again.
      for round in ["a", "b"] {
        for number in 1...LocalClient.Relay.promptMax {
          try await create("\(round)\(number)", on: fixture)
          #expect(watched.waits)
          watched.relay.wake()
          #expect(!watched.waits)
        }
        for number in 3...5 {
          try await create("\(round)\(number)", on: fixture)
          watched.relay.wake()
          #expect(watched.waits)
        }
        await watched.loop.advanceTime(by: LocalClient.Relay.interval)
        #expect(!watched.waits)
        await watched.loop.advanceTime(by: LocalClient.Relay.interval)
      }
      let names = try await names(10, of: watched.stream)
      #expect(names == ["a", "b"].flatMap { round in (1...5).map { "\(round)\($0)" } })
      watched.source.cancel()
    }
  }

  /// With the store's own wake-ups, on whichever thread they come: none is lost while a telling is planned.
  @Test func noEventOfACrowdIsLost() async throws {
    try await Fixture.run { fixture in
      let loop = NIOAsyncTestingEventLoop()
      let (stream, continuation) = WatchStream.makeStream()
      let relay = LocalClient.Relay(continuation, on: loop)
      let service = fixture.client.service
      let source = WatchSource(
        service, try service.kind(Fixture.resource("configmaps")),
        WatchSource.Options(resourceVersion: String(service.store.revision)), wake: { relay.wake() })
      relay.attach(source)
      try source.start()
      let told = Task { try await names(200, of: stream) }
      let time = Task {
        while !Task.isCancelled {
          await loop.advanceTime(by: LocalClient.Relay.interval)
          await Task.yield()
        }
      }
      let expected = (1000..<1200).map { "m\($0)" }
      for name in expected { try await create(name, on: fixture) }
      #expect(try await told.value == expected)
      time.cancel()
      await time.value
      source.cancel()
    }
  }

  @Test func theEndDoesNotWait() async throws {
    try await Fixture.run { fixture in
      let watched = try Watched(fixture)
      try await create("a", on: fixture)
      watched.relay.wake()
      for name in ["b", "c"] {
        try await create(name, on: fixture)
        watched.relay.wake()
      }
      #expect(watched.waits)
      fixture.store.close()
      watched.relay.wake()
      var names: [String] = []
      for try await event in watched.stream {
        if case .added(let object) = event { names.append(object.header.name) }
      }
      #expect(names == ["a", "b", "c"])
    }
  }
}
