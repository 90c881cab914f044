import KubeClient
import KubeTypes
import Schema
import Store
import Testing
import Wire

// KubeTypes generates the wire form of the same name.
import struct KubeClient.DeleteOptions

@testable import APIServer

/// What `KubeClient` promises, of the client in the process and of the one over HTTPS: controllers do not know which they
/// have.
@Suite(.timeLimit(.minutes(2))) struct ClientContractTests {
  enum Way: CaseIterable, CustomTestStringConvertible {
    case inProcess
    case https

    var testDescription: String { "\(self)" }
  }

  private static let maps = Fixture.resource("configmaps")
  private static let pods = Fixture.resource("pods")

  private func run(
    _ way: Way, options: StoreOptions = StoreOptions(), _ body: (Fixture, any KubeClient) async throws -> Void
  ) async throws {
    try await Fixture.run(options: options) { fixture in
      guard way == .https else { return try await body(fixture, fixture.client) }
      let client = try fixture.https(try await fixture.server.start())
      defer { client.close() }
      try await body(fixture, client)
    }
  }

  private func map(_ name: String, _ value: String = "v", labels: JSON = [:], finalizers: JSON = []) -> JSON {
    ["metadata": ["name": .string(name), "labels": labels, "finalizers": finalizers], "data": ["k": .string(value)]]
  }

  @discardableResult
  private func create(_ client: any KubeClient, _ body: JSON, dryRun: Bool = false) async throws -> Object {
    try await client.create(
      Self.maps, namespace: "default", name: nil, subresource: nil, body: body, options: WriteOptions(dryRun: dryRun))
  }

  private func patch(
    _ client: any KubeClient, _ name: String, _ type: PatchType, _ body: JSON
  ) async throws -> Object {
    try await client.patch(
      Self.maps, namespace: "default", name: name, subresource: nil, type: type, body: body, options: WriteOptions())
  }

  // MARK: Writes

  @Test(arguments: Way.allCases) func whatIsWrittenIsAnsweredAndRead(_ way: Way) async throws {
    try await run(way) { _, client in
      let made = try await create(client, map("a"))
      #expect(made.header.name == "a" && made.header.namespace == "default" && !made.header.uid.isEmpty)
      let read = try await client.get(Self.maps, namespace: "default", name: "a")
      #expect(read.json() == made.json() && read.header.resourceVersion == made.header.resourceVersion)
      var changed = made.json()
      changed["data"] = ["k": "w"]
      let updated = try await client.update(
        Self.maps, namespace: "default", name: "a", subresource: nil, body: changed, options: WriteOptions())
      #expect(updated.header.resourceVersion > made.header.resourceVersion && updated.json()["data"] == ["k": "w"])
      let patches: [(PatchType, JSON)] = [
        (.merge, ["data": ["m": "1"]]), (.strategicMerge, ["data": ["s": "2"]]),
        (.json, [["op": "add", "path": "/data/j", "value": "3"]]),
      ]
      for (type, body) in patches { _ = try await patch(client, "a", type, body) }
      let patched = try await client.get(Self.maps, namespace: "default", name: "a")
      #expect(patched.json()["data"] == ["k": "w", "m": "1", "s": "2", "j": "3"])
    }
  }

  @Test(arguments: Way.allCases) func aDryRunIsAnsweredAndNotKept(_ way: Way) async throws {
    try await run(way) { _, client in
      let made = try await create(client, map("a"), dryRun: true)
      #expect(made.header.name == "a" && !made.header.uid.isEmpty)
      let error = await refusal { _ = try await client.get(Self.maps, namespace: "default", name: "a") }
      #expect(error?.reason == .notFound)
    }
  }

  @Test(arguments: Way.allCases) func whatWaitsForAFinalizerIsAnswered(_ way: Way) async throws {
    try await run(way) { _, client in
      let made = try await create(client, map("a", finalizers: ["example.org/hold"]))
      let waiting = try await client.delete(Self.maps, namespace: "default", name: "a", options: DeleteOptions())
      #expect(waiting.header.uid == made.header.uid && waiting.json().at("metadata", "deletionTimestamp") != nil)
      _ = try await patch(client, "a", .merge, ["metadata": ["finalizers": nil]])
      let gone = await refusal { _ = try await client.get(Self.maps, namespace: "default", name: "a") }
      #expect(gone?.reason == .notFound)
      // One that nothing holds is gone at once.
      try await create(client, map("b"))
      _ = try await client.delete(Self.maps, namespace: "default", name: "b", options: DeleteOptions())
      let other = await refusal { _ = try await client.get(Self.maps, namespace: "default", name: "b") }
      #expect(other?.reason == .notFound)
    }
  }

  @Test(arguments: Way.allCases) func subresourcesAreWritten(_ way: Way) async throws {
    try await run(way) { _, client in
      let pod = try await client.create(
        Self.pods, namespace: "default", name: nil, subresource: nil, body: Fixture.pod("p"), options: WriteOptions())
      let written = try await client.patch(
        Self.pods, namespace: "default", name: "p", subresource: "status", type: .merge,
        body: ["status": ["message": "told"], "spec": ["nodeName": "elsewhere"]], options: WriteOptions())
      #expect(written.json().at("status", "message") == "told" && written.json().at("spec", "nodeName") == nil)
      _ = try await client.create(
        Self.pods, namespace: "default", name: "p", subresource: "binding",
        body: [
          "apiVersion": "v1", "kind": "Binding", "metadata": ["name": "p", "uid": .string(pod.header.uid)],
          "target": ["kind": "Node", "name": "n"],
        ], options: WriteOptions())
      let bound = try await client.get(Self.pods, namespace: "default", name: "p")
      #expect(bound.json().at("spec", "nodeName") == "n")
    }
  }

  // MARK: Refusals

  /// The same error from both, to the last detail.
  @Test func refusalsAreTheSame() async throws {
    try await Fixture.run { fixture in
      let https = try fixture.https(try await fixture.server.start())
      defer { https.close() }
      let kept = try await create(fixture.client, map("kept"))
      var stale = kept.json()
      stale["data"] = ["k": "stale"]
      _ = try await patch(fixture.client, "kept", .merge, ["data": ["k": "new"]])
      let none = GroupVersionResource(group: "example.org", version: "v1", resource: "lamps")
      let body = stale
      let attempts: [(String, Int, @Sendable (any KubeClient) async throws -> Void)] = [
        ("not found", 404, { _ = try await $0.get(Self.maps, namespace: "default", name: "none") }),
        ("no kind", 404, { _ = try await $0.list(none, namespace: nil, options: ListOptions()) }),
        ("exists", 409, { try await self.create($0, self.map("kept")) }),
        ("invalid", 422, { try await self.create($0, ["metadata": ["name": "No Name"], "data": ["a b": "x"]]) }),
        (
          "no namespace", 404,
          {
            _ = try await $0.create(
              Self.maps, namespace: "nowhere", name: nil, subresource: nil, body: self.map("a"), options: WriteOptions()
            )
          }
        ),
        (
          "stale", 409,
          {
            _ = try await $0.update(
              Self.maps, namespace: "default", name: "kept", subresource: nil, body: body, options: WriteOptions())
          }
        ),
        (
          "precondition", 409,
          {
            _ = try await $0.delete(
              Self.maps, namespace: "default", name: "kept", options: DeleteOptions(preconditionUID: "other"))
          }
        ),
        (
          "selector", 400,
          {
            _ = try await $0.list(Self.maps, namespace: nil, options: ListOptions(labelSelector: "a in ("))
          }
        ),
        (
          "field", 400,
          {
            _ = try await $0.list(Self.maps, namespace: nil, options: ListOptions(fieldSelector: "data.k=v"))
          }
        ),
        (
          "token", 400,
          {
            _ = try await $0.list(Self.maps, namespace: nil, options: ListOptions(limit: 1, continueToken: "x"))
          }
        ),
        (
          "patch", 422,
          {
            _ = try await self.patch($0, "kept", .json, [["op": "remove", "path": "/data/none"]])
          }
        ),
        (
          "subresource", 404,
          {
            _ = try await $0.update(
              Self.maps, namespace: "default", name: "kept", subresource: "status", body: body, options: WriteOptions())
          }
        ),
      ]
      for (name, code, attempt) in attempts {
        let local = await refusal { try await attempt(fixture.client) }
        let remote = await refusal { try await attempt(https) }
        #expect(local?.code == code, "\(name): \(String(describing: local))")
        #expect(local == remote, "\(name)")
      }
    }
  }

  // MARK: Lists and watches

  @Test(arguments: Way.allCases) func listsAreSelectedAndPaged(_ way: Way) async throws {
    try await run(way) { _, client in
      for number in 0..<10 {
        try await create(client, map("n\(number)", labels: ["parity": number % 2 == 0 ? "even" : "odd"]))
      }
      let even = try await client.list(
        Self.maps, namespace: "default", options: ListOptions(labelSelector: "parity=even"))
      #expect(even.items.map(\.header.name) == ["n0", "n2", "n4", "n6", "n8"])
      let one = try await client.list(
        Self.maps, namespace: nil, options: ListOptions(fieldSelector: "metadata.name=n3"))
      #expect(one.items.map(\.header.name) == ["n3"])
      var names: [String] = []
      var options = ListOptions(labelSelector: "parity", limit: 4)
      var revisions: Set<String> = []
      repeat {
        let page = try await client.list(Self.maps, namespace: "default", options: options)
        #expect(page.items.count <= 4)
        names += page.items.map(\.header.name)
        revisions.insert(page.resourceVersion)
        options.continueToken = page.continueToken
        // Not in the pages that follow: they are of the first one's revision.
        if names.count == 4 { try await create(client, map("n55", labels: ["parity": "odd"])) }
      } while !options.continueToken.isEmpty
      #expect(names == (0..<10).map { "n\($0)" } && revisions.count == 1)
    }
  }

  @Test(arguments: Way.allCases) func aWatchTellsWhatComesAfterItsRevision(_ way: Way) async throws {
    try await run(way) { _, client in
      try await create(client, map("before", labels: ["watched": "yes"]))
      let list = try await client.list(Self.maps, namespace: "default", options: ListOptions())
      let stream = try await client.watch(
        Self.maps, namespace: "default",
        options: ListOptions(labelSelector: "watched=yes", resourceVersion: list.resourceVersion))
      try await create(client, map("a", labels: ["watched": "yes"]))
      try await create(client, map("other"))
      _ = try await patch(client, "a", .merge, ["data": ["k": "w"]])
      // Out of what is selected, and in again.
      _ = try await patch(client, "a", .merge, ["metadata": ["labels": ["watched": "no"]]])
      _ = try await patch(client, "a", .merge, ["metadata": ["labels": ["watched": "yes"]]])
      _ = try await client.delete(Self.maps, namespace: "default", name: "a", options: DeleteOptions())
      var told: [String] = []
      var revisions: [Int64] = []
      for try await event in stream {
        switch event {
        case .added(let object):
          told.append("added \(object.header.name)")
          revisions.append(object.header.resourceVersion)
        case .modified(let object):
          told.append("modified \(object.header.name)")
          revisions.append(object.header.resourceVersion)
        case .deleted(let object):
          told.append("deleted \(object.header.name)")
          revisions.append(object.header.resourceVersion)
        case .bookmark: break
        }
        if told.count == 5 { break }
      }
      #expect(told == ["added a", "modified a", "deleted a", "added a", "deleted a"])
      #expect(revisions == revisions.sorted() && Set(revisions).count == 5)
    }
  }

  @Test(arguments: Way.allCases) func aRevisionThatIsGoneIsExpired(_ way: Way) async throws {
    var options = StoreOptions()
    options.historyCountMax = 4
    try await run(way, options: options) { _, client in
      let list = try await client.list(Self.maps, namespace: "default", options: ListOptions())
      for number in 0..<10 { try await create(client, map("n\(number)")) }
      let error = await refusal {
        let stream = try await client.watch(
          Self.maps, namespace: "default", options: ListOptions(resourceVersion: list.resourceVersion))
        for try await _ in stream { Issue.record("it is gone") }
      }
      #expect(error?.code == 410 && error?.reason == .expired)
    }
  }
}
