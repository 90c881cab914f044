import KubeClient
import KubeTypes
import NIOCore
import NIOEmbedded
import Store
import Testing
import Wire

@testable import APIServer

@Suite struct RelayTests {
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

  @Test func theFirstEventComesAtOnceAndACrowdTogether() async throws {
    try await Fixture.run { fixture in
      let watched = try Watched(fixture)
      try await create("a", on: fixture)
      #expect(watched.waits)
      watched.relay.wake()
      #expect(!watched.waits)

      try await create("b", on: fixture)
      watched.relay.wake()
      try await create("c", on: fixture)
      watched.relay.wake()
      #expect(watched.waits)
      await watched.loop.advanceTime(by: LocalClient.Relay.interval)
      #expect(!watched.waits)

      // The pause is over: the next one is told at once again.
      await watched.loop.advanceTime(by: LocalClient.Relay.interval)
      try await create("d", on: fixture)
      watched.relay.wake()
      #expect(!watched.waits)
      #expect(try await names(4, of: watched.stream) == ["a", "b", "c", "d"])
      watched.source.cancel()
    }
  }

  @Test func theEndDoesNotWait() async throws {
    try await Fixture.run { fixture in
      let watched = try Watched(fixture)
      try await create("a", on: fixture)
      watched.relay.wake()
      try await create("b", on: fixture)
      watched.relay.wake()
      #expect(watched.waits)
      fixture.store.close()
      watched.relay.wake()
      var names: [String] = []
      for try await event in watched.stream {
        if case .added(let object) = event { names.append(object.header.name) }
      }
      #expect(names == ["a", "b"])
    }
  }
}
