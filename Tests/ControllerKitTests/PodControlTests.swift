import KubeClient
import KubeTypes
import Schema
import Synchronization
import Testing
import Wire

@testable import ControllerKit

private struct Thing: Claimable, Equatable {
  var name: String
  var claimLabels: [String: String]
  var isBeingDeleted = false
}

@Suite(.timeLimit(.minutes(1))) struct PodControlTests {
  private let client = FakeKubeClient()
  private let clock = VirtualClock()
  private let owner = EventSubject(kind: "Widget", apiVersion: "test.dev/v1", namespace: "a", name: "w", uid: "u")

  private var control: PodControl {
    PodControl(
      client: client, events: EventRecorder(client: client, component: "test", time: clock), options: WriteOptions())
  }

  private func pod(_ number: Int) -> JSON {
    var json = widget("p\(number)", owner: "u")
    json["apiVersion"] = "v1"
    json["kind"] = "Pod"
    return json
  }

  private enum Step: Equatable { case begin(Int), end(Int) }

  /// No call begins before the batch before it has ended.
  @Test(arguments: [0, 1, 2, 3, 7, 10])
  func batchesDouble(count: Int) async throws {
    let steps = Mutex<[Step]>([])
    let problem = await slowStart(count) { number in
      steps.withLock { $0.append(.begin(number)) }
      await Task.yield()
      steps.withLock { $0.append(.end(number)) }
    }
    #expect(problem == nil)
    let log = steps.withLock { $0 }
    #expect(log.count == 2 * count)
    var at = 0
    for batch in [0..<1, 1..<3, 3..<7, 7..<15] {
      let numbers = batch.clamped(to: 0..<count)
      let part = log[at..<at + 2 * numbers.count]
      for number in numbers { #expect(part.contains(.begin(number)) && part.contains(.end(number))) }
      at += 2 * numbers.count
    }
  }

  @Test func nothingBeginsAfterAnError() async {
    let begun = Mutex<Set<Int>>([])
    let problem = await slowStart(100) { number in
      _ = begun.withLock { $0.insert(number) }
      if number == 4 { throw KubeError(code: 403, reason: .forbidden, message: "exceeded quota") }
    }
    #expect((problem as? KubeError)?.message == "exceeded quota")
    #expect(begun.withLock { $0 } == Set(0..<7))
  }

  @Test func whatWasMadeIsThereBeforeTheInformerShowsIt() async throws {
    let control = control
    let informer = Informer(client: client, resource: Pod.resource, time: clock)
    try await control.create(5, for: owner) { self.pod($0) }
    #expect(Set(control.pods(of: "u", on: informer).pods.map(\.header.name)) == ["p0", "p1", "p2", "p3", "p4"])
    let two = control.pods(of: "u", on: informer).pods.map(\.header).filter { ["p1", "p2"].contains($0.name) }
    // One is gone already: that is what was wanted.
    client.remove(Pod.resource, ObjectKey(namespace: "a", name: "p2"))
    try await control.delete(two, for: owner)
    #expect(control.pods(of: "u", on: informer).deleting == ["uid-p1", "uid-p2"])
    #expect(client.object(Pod.resource, "a", "p1") == nil && client.object(Pod.resource, "a", "p0") != nil)
    control.forget(owner: "u")
    #expect(control.pods(of: "u", on: informer).pods.isEmpty)
  }

  @Test func aRefusalIsThrown() async {
    client.state.withLock { $0.refusal = KubeError(code: 403, reason: .forbidden, message: "exceeded quota") }
    let informer = Informer(client: client, resource: Pod.resource, time: clock)
    let control = control
    await #expect(throws: KubeError.self) { try await control.create(5, for: owner) { self.pod($0) } }
    #expect(control.pods(of: "u", on: informer).pods.isEmpty)
  }

  @Test func claimsFollowTheSelector() throws {
    let selector = try Selector(labelSelector: ["matchLabels": ["app": "web"]])
    let (web, other) = (["app": "web"], ["app": "db"])
    let owned = [
      Thing(name: "kept", claimLabels: web), Thing(name: "going", claimLabels: web, isBeingDeleted: true),
      Thing(name: "moved", claimLabels: other),
      Thing(name: "moved and going", claimLabels: other, isBeingDeleted: true),
    ]
    let orphans = [
      Thing(name: "taken", claimLabels: web), Thing(name: "stranger", claimLabels: other),
      Thing(name: "too late", claimLabels: web, isBeingDeleted: true),
    ]
    let claims = Claims(owned: owned, orphans: orphans, selector: selector, isOwnerBeingDeleted: false)
    #expect(claims.kept.map(\.name) == ["kept", "going"])
    #expect(claims.released.map(\.name) == ["moved"] && claims.adopted.map(\.name) == ["taken"])
    let ending = Claims(owned: owned, orphans: orphans, selector: selector, isOwnerBeingDeleted: true)
    #expect(ending.kept.map(\.name) == ["kept", "going"] && ending.released.isEmpty && ending.adopted.isEmpty)
  }

  /// An owner that has gone since, or whose name another one has, takes nothing.
  @Test func onlyALivingOwnerAdopts() async throws {
    let owners = OwnerReferenceWriter(
      client: client, kind: GroupVersionKind(group: "test.dev", version: "v1", kind: "Widget"), resource: widgets,
      options: WriteOptions())
    let object = client.put(Pod.resource, widget("p"))
    let owner = Object(widget("w")).header
    await #expect(throws: KubeError.self) { try await owners.adopt(object.header, of: Pod.resource, by: owner) }
    client.put(widgets, widget("w", uid: "another"))
    try await owners.adopt(object.header, of: Pod.resource, by: owner)
    #expect(client.object(Pod.resource, "a", "p")?.header.ownerReferences.isEmpty == true)
    client.put(widgets, widget("w"))
    try await owners.adopt(object.header, of: Pod.resource, by: owner)
    let adopted = try #require(client.object(Pod.resource, "a", "p")).header
    #expect(adopted.controller?.uid == "uid-w" && adopted.controller?.kind == "Widget")
    try await owners.release(adopted, of: Pod.resource, from: owner)
    #expect(client.object(Pod.resource, "a", "p")?.header.ownerReferences.isEmpty == true)
  }
}
