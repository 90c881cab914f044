import ControllerKit
import KubeClient
import KubeTypes
import NIOCore
import Schema
import Store
import Synchronization
import Testing
import Wire

@testable import APIServer

/// What goes with a request through all of its steps, and what admission sees of it.
@Suite struct WriteContextTests {
  private static let configMaps = Fixture.resource("configmaps")

  @Test(arguments: [false, true]) func everyStepSeesWhoWritesAndInWhoseName(isRemote: Bool) async throws {
    let admission = RecordingAdmission()
    try await Fixture.run(admission: [admission]) { fixture in
      let remote = isRemote ? try fixture.https(try await fixture.server.start()) : nil
      let client: any KubeClient = if let remote { remote } else { fixture.client }
      let body: JSON = ["metadata": ["name": "a"], "data": ["k": "1"]]
      _ = try await client.create(
        Self.configMaps, namespace: "default", name: nil, subresource: nil, body: body,
        options: WriteOptions(fieldManager: "maker", dryRun: true))
      _ = try await client.create(
        Self.configMaps, namespace: "default", name: nil, subresource: nil, body: body,
        options: WriteOptions(fieldManager: "maker"))
      _ = try await client.patch(
        Self.configMaps, namespace: "default", name: "a", subresource: nil, type: .merge, body: ["data": ["k": "2"]],
        options: WriteOptions(fieldManager: "changer"))
      _ = try await client.delete(Self.configMaps, namespace: "default", name: "a", options: DeleteOptions())
      let seen = admission.seen("configmaps", "a")
      try #require(seen.count == 4)
      #expect(seen.map(\.operation) == [.create, .create, .update, .delete])
      #expect(seen.map(\.dryRun) == [true, false, false, false])
      #expect(seen.map(\.fieldManager).prefix(3) == ["maker", "maker", "changer"])
      #expect(seen.allSatisfy { $0.user == (isRemote ? "kubernetes-admin" : "system:apus") })
      #expect(seen.allSatisfy { $0.hasDeadline == isRemote })
      // A deletion has an old state and no new one.
      #expect(seen[3].old?["data"] == ["k": "2"] && seen[3].object == .null)
      #expect(seen[2].old?["data"] == ["k": "1"] && seen[2].object["data"] == ["k": "2"])
      #expect(admission.reservations(of: "configmaps") == 0)
      remote?.close()
    }
  }

  @Test func aRefusedDeletionDeletesNothingAndKeepsNothingReserved() async throws {
    let admission = RecordingAdmission { $0.operation == .delete && $0.old?.at("metadata", "labels", "keep") != nil }
    try await Fixture.run(admission: [admission]) { fixture in
      _ = try await fixture.configMap("a", labels: ["keep": "1"])
      _ = try await fixture.configMap("b")
      #expect(await refusal { try await fixture.delete("configmaps", "a") }?.code == 403)
      try await fixture.delete("configmaps", "b")
      #expect(try await fixture.get("configmaps", "a")["kind"] == "ConfigMap")
      #expect(admission.reservations(of: "configmaps") == 0)
    }
  }

  @Test func connectionsAreAdmitted() async throws {
    let admission = RecordingAdmission { $0.operation == .connect && $0.name == "forbidden" }
    try await Fixture.run(admission: [admission]) { fixture in
      for name in ["p", "forbidden"] { _ = try await fixture.create("pods", Fixture.pod(name)) }
      let client = try fixture.https(try await fixture.server.start())
      func ask(_ pod: String, _ rest: String) async -> Int? {
        await refusal { _ = try await client.raw(path: "/api/v1/namespaces/default/pods/\(pod)/\(rest)") }?.code
      }
      // They are on no node: what admission lets through ends with that.
      #expect(await ask("p", "exec?command=ls&command=-l&stdout=1&container=c") == 400)
      #expect(await ask("p", "proxy/a/b") == 503)
      #expect(await ask("p", "log") == 400)
      #expect(await ask("forbidden", "exec?command=ls&stdout=1") == 403)
      #expect(await ask("forbidden", "portforward?ports=80") == 403)
      #expect(await ask("forbidden", "proxy/") == 403)
      let seen = admission.seen("pods", "p").filter { $0.operation == .connect }
      try #require(seen.map(\.subresource) == ["exec", "proxy"])
      #expect(
        seen[0].object == [
          "apiVersion": "v1", "kind": "PodExecOptions", "command": ["ls", "-l"], "stdout": true, "container": "c",
        ])
      #expect(seen[1].object == ["apiVersion": "v1", "kind": "PodProxyOptions", "path": "/a/b"])
      #expect(seen.allSatisfy { $0.user == "kubernetes-admin" })
      #expect(admission.reservations(of: "pods") == 0)
      client.close()
    }
  }

  @Test(arguments: [
    ("CreateOptions", String(repeating: "x", count: 129), "Too long: may not be more than 128 bytes"),
    ("PatchOptions", "a\u{7}b", "invalid character U+0007 (at position 1)"),
    ("UpdateOptions", "é\u{200B}", "invalid character U+200B (at position 2)"),
  ])
  func aNameThatNobodyCanReadIsRefused(options: String, name: String, why: String) async throws {
    let error = await refusal { try FieldManager.check(name, options: options) }
    #expect(error?.code == 422)
    #expect(error?.message.hasPrefix("\(options).meta.k8s.io \"\" is invalid: fieldManager: ") == true)
    #expect(error?.message.contains(why) == true, "\(error?.message ?? "")")
    try await Fixture.run { fixture in
      let client = try fixture.https(try await fixture.server.start())
      for client in [client, fixture.client] as [any KubeClient] {
        let refused = await refusal {
          _ = try await client.create(
            Self.configMaps, namespace: "default", name: nil, subresource: nil, body: ["metadata": ["name": "a"]],
            options: WriteOptions(fieldManager: name))
        }
        #expect(refused?.code == 422)
      }
      client.close()
      #expect(await refusal { _ = try await fixture.get("configmaps", "a") }?.code == 404)
    }
  }

  @Test func fieldManagersHaveTheirLimitsAndTheirDefault() throws {
    try FieldManager.check(String(repeating: "x", count: 128), options: "CreateOptions")
    try FieldManager.check("kubectl client-side apply, ümläut ✓", options: "CreateOptions")
    #expect(FieldManager.name(userAgent: "kubectl/v1.33.0 (linux/amd64)") == "kubectl")
    #expect(FieldManager.name(userAgent: nil).isEmpty)
    #expect(FieldManager.name(userAgent: "a\u{7}b c/1") == "ab c")
    #expect(FieldManager.name(userAgent: String(repeating: "é", count: 100)) == String(repeating: "é", count: 64))
  }

  @Test func whatIsOverIsNotDoneAnyMore() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.configMap("a")
      let before = fixture.store.revision
      let service = fixture.client.service
      func write(_ name: String) throws -> WriteRequest {
        WriteRequest(
          kind: try service.kind(Self.configMaps), namespace: "default", name: name,
          context: RequestContext(user: .internal, deadline: ContinuousClock.now - .nanoseconds(1)),
          loop: fixture.client.loops.next())
      }
      let body: JSON = ["metadata": ["name": "b"]]
      typealias Run = @Sendable (WriteRequest, @escaping WriteCompletion) -> Void
      let create: Run = { service.create($0, body: body, completion: $1) }
      let patch: Run = { service.patch($0, type: .merge, body: ["data": ["a": "2"]], completion: $1) }
      let delete: Run = { service.delete($0, options: DeleteOptions(), completion: $1) }
      let writes = [(try write(""), create), (try write("a"), patch), (try write("a"), delete)]
      for (request, run) in writes {
        let result = await withCheckedContinuation { continuation in
          run(request) { continuation.resume(returning: $0) }
        }
        guard case .failure(let error) = result else {
          Issue.record("it was done")
          continue
        }
        #expect(error.code == 504)
      }
      #expect(fixture.store.revision == before)
    }
  }

  @Test func theTimeThatAClientGivesIsRead() async throws {
    for (text, seconds) in [("10s", 10), ("1m30s", 60), ("0", 60), (nil, 60)] as [(String?, Int)] {
      let before = ContinuousClock.now
      let deadline = try RequestContext.deadline(timeout: text)
      // It was reckoned from a moment between these two.
      #expect(deadline - before >= .seconds(seconds) && deadline - ContinuousClock.now <= .seconds(seconds))
    }
    #expect(throws: KubeError.self) { try RequestContext.deadline(timeout: "soon") }
    try await Fixture.run { fixture in
      let client = try fixture.https(try await fixture.server.start())
      let path = "/api/v1/namespaces/default/configmaps?timeout="
      #expect(await refusal { _ = try await client.raw(path: path + "soon") }?.code == 400)
      #expect(try await !client.raw(path: path + "10s").isEmpty)
      client.close()
    }
  }
}

/// Deletions of many objects at one time.
@Suite struct DeleteCollectionTests {
  private static func delete(_ fixture: Fixture, _ options: DeleteOptions = DeleteOptions()) async throws -> Int {
    let service = fixture.client.service
    let kind = try service.kind(Fixture.resource("configmaps"))
    let objects = try service.list(kind, namespace: "default", selector: .everything).entries
    let request = WriteRequest(
      kind: kind, namespace: "default", name: "", context: RequestContext(user: .internal),
      loop: fixture.client.loops.next())
    let result = await withCheckedContinuation { continuation in
      service.deleteCollection(request, objects: objects, options: options) { continuation.resume(returning: $0) }
    }
    return try result.get().count
  }

  @Test func manyObjectsAreOneCommit() async throws {
    try await Fixture.run { fixture in
      let count = 2 * ResourceService.batchCountMax + 1
      for number in 0..<count - 1 { _ = try await fixture.configMap("c\(number)") }
      _ = try await fixture.create("configmaps", ["metadata": ["name": "held", "finalizers": ["x.io/y"]]])
      // What is committed together is told together.
      let batches = Mutex<[Int]>([])
      let watch = try fixture.store.watch(prefix: "configmaps/", after: fixture.store.revision) { signal in
        guard case .events(let events) = signal else { return }
        batches.withLock { $0.append(events.count) }
      }
      #expect(try await Self.delete(fixture) == count)
      await fixture.settle()
      watch.cancel()
      #expect(batches.withLock { $0 } == [ResourceService.batchCountMax, ResourceService.batchCountMax, 1])
      let left = try await fixture.client.list(
        Fixture.resource("configmaps"), namespace: "default", options: ListOptions())
      #expect(left.items.map(\.header.name) == ["held"])
      #expect(left.items.first?.header.deletionTimestamp != nil)
    }
  }

  /// One that is changed between its reading and the commit is read and asked about again; the others are not lost.
  @Test func aWriteBetweenIsSeen() async throws {
    let change = Mutex<(@Sendable () -> Void)?>(nil)
    let admission = RecordingAdmission { seen in
      guard seen.operation == .delete, seen.name == "c5" else { return false }
      let pending = change.withLock { change in
        defer { change = nil }
        return change
      }
      pending?()
      return false
    }
    try await Fixture.run(admission: [admission]) { fixture in
      for number in 0..<10 { _ = try await fixture.configMap("c\(number)") }
      let store = fixture.store
      let entry = try #require(store.get("configmaps/default/c5"))
      let isChanged = Mutex(false)
      change.withLock {
        $0 = {
          guard var object = try? JSON.parse(entry.value) else { return }
          object["metadata"]?["finalizers"] = ["x.io/y"]
          let operation = ResourceService.putting(object, key: entry.key, expecting: .revision(entry.revision))
          // It is in the queue before the deletion.
          store.commit([operation]) { result in
            if case .success = result { isChanged.withLock { $0 = true } }
          }
        }
      }
      #expect(try await Self.delete(fixture) == 10)
      #expect(isChanged.withLock { $0 })
      // The finalizer that came between holds it.
      let left = try await fixture.client.list(
        Fixture.resource("configmaps"), namespace: "default", options: ListOptions())
      #expect(left.items.map(\.header.name) == ["c5"])
      #expect(admission.seen("configmaps", "c5").filter { $0.operation == .delete }.count == 2)
      #expect(admission.reservations(of: "configmaps") == 0)
    }
  }

  @Test func theFirstThatMayNotBeDeletedEndsIt() async throws {
    let admission = RecordingAdmission { $0.operation == .delete && $0.name == "c3" }
    try await Fixture.run(admission: [admission]) { fixture in
      for number in 0..<6 { _ = try await fixture.configMap("c\(number)") }
      #expect(await refusal { _ = try await Self.delete(fixture) }?.code == 403)
      let left = try await fixture.client.list(
        Fixture.resource("configmaps"), namespace: "default", options: ListOptions())
      #expect(left.items.map(\.header.name) == ["c3", "c4", "c5"])
      #expect(admission.reservations(of: "configmaps") == 0)
    }
  }

  @Test func preconditionsAreThoseOfEach() async throws {
    try await Fixture.run { fixture in
      let first = try await fixture.configMap("a")
      _ = try await fixture.configMap("b")
      let refused = await refusal {
        _ = try await Self.delete(fixture, DeleteOptions(preconditionUID: first.header.uid))
      }
      #expect(refused?.code == 409)
      #expect(try await fixture.get("configmaps", "b")["kind"] == "ConfigMap")
      #expect(await refusal { _ = try await fixture.get("configmaps", "a") }?.code == 404)
    }
  }
}
