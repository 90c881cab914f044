import KubeClient
import KubeTypes
import Schema
import Synchronization
import Testing
import Wire

@testable import ControllerKit

@Suite(.timeLimit(.minutes(1))) struct EventTests {
  private let client = FakeKubeClient()
  private let clock = VirtualClock()
  private let events = GroupVersionResource(group: "", version: "v1", resource: "events")
  private let subject = EventSubject(kind: "Pod", apiVersion: "v1", namespace: "shop", name: "web-1", uid: "u1")

  private func stored() -> [JSON] {
    client.state.withLock { state in (state.objects[events] ?? [:]).sorted { $0.key < $1.key }.map { $0.value.json() } }
  }

  private func writes() -> Int { client.state.withLock { $0.writes.count } }

  @Test func eventIsWritten() async throws {
    let recorder = EventRecorder(client: client, component: "test", host: "node-1", time: clock)
    recorder.record(.warning, regarding: subject, reason: "Failed", message: "it broke")
    while writes() < 1 { await Task.yield() }
    let event = try #require(stored().first)
    #expect(event["reason"] == "Failed" && event["message"] == "it broke" && event["type"] == "Warning")
    #expect(event["count"] == 1 && event["firstTimestamp"] == "2027-01-15T08:00:00Z")
    #expect(event.at("source", "component") == "test" && event.at("source", "host") == "node-1")
    #expect(event.at("involvedObject", "uid") == "u1" && event.at("metadata", "namespace") == "shop")
    #expect(event.at("metadata", "name")?.string?.hasPrefix("web-1.") == true)
  }

  @Test func equalEventsAreCounted() async throws {
    let recorder = EventRecorder(client: client, component: "test", time: clock)
    for round in 1...5 {
      recorder.record(.normal, regarding: subject, reason: "Pulled", message: "again")
      while writes() < round { await Task.yield() }
      clock.advance(by: .seconds(10))
    }
    let event = try #require(stored().first)
    #expect(stored().count == 1 && event["count"] == 5)
    #expect(event["firstTimestamp"] == "2027-01-15T08:00:00Z" && event["lastTimestamp"] == "2027-01-15T08:00:40Z")
    // When the event is gone, the next one is written anew.
    client.remove(events, ObjectKey(namespace: "shop", name: event.at("metadata", "name")?.string ?? ""))
    recorder.record(.normal, regarding: subject, reason: "Pulled", message: "again")
    while stored().isEmpty { await Task.yield() }
    #expect(stored().first?["count"] == 1)
  }

  @Test func oneObjectCannotFloodTheServer() async {
    let recorder = EventRecorder(client: client, component: "test", time: clock)
    for index in 0..<200 { recorder.record(.normal, regarding: subject, reason: "R", message: "m\(index)") }
    let other = EventSubject(kind: "Node", apiVersion: "v1", namespace: "", name: "node-1", uid: "n")
    recorder.record(.normal, regarding: other, reason: "Ready", message: "last")
    while !stored().contains(where: { $0["message"] == "last" }) { await Task.yield() }
    #expect(stored().count == 26)
    #expect(stored().first { $0["message"] == "last" }?.at("metadata", "namespace") == "default")
    clock.advance(by: .seconds(301))
    recorder.record(.normal, regarding: subject, reason: "R", message: "later")
    while !stored().contains(where: { $0["message"] == "later" }) { await Task.yield() }
  }

  @Test func longMessagesAreCut() async throws {
    let recorder = EventRecorder(client: client, component: "test", time: clock)
    recorder.record(.normal, regarding: subject, reason: "R", message: String(repeating: "ä", count: 2000))
    while writes() < 1 { await Task.yield() }
    let message = try #require(stored().first?["message"]?.string)
    #expect(message.utf8.count <= 1024 && message.hasSuffix("..."))
  }
}

@Suite struct ConditionTests {
  @Test func transitionTimeFollowsTheStatus() {
    let first = Timestamp(seconds: 1_800_000_000)
    let second = first.adding(.seconds(60))
    var list: [JSON] = []
    #expect(Conditions.set("Ready", .no, reason: "Starting", message: "wait", now: first, in: &list))
    #expect(!Conditions.set("Ready", .no, reason: "Starting", message: "wait", now: second, in: &list))
    #expect(Conditions.set("Ready", .no, reason: "Broken", message: "wait", now: second, in: &list))
    #expect(list[0]["lastTransitionTime"]?.string == first.rfc3339 && list[0]["lastUpdateTime"] == nil)
    #expect(Conditions.set("Ready", .yes, reason: "", message: "", now: second, updateTime: second, in: &list))
    #expect(list[0]["lastTransitionTime"]?.string == second.rfc3339 && list[0]["reason"] == nil)
    #expect(Conditions.isTrue("Ready", in: list) && !Conditions.isTrue("Other", in: list))
    #expect(Conditions.remove("Ready", from: &list) && list.isEmpty && !Conditions.remove("Ready", from: &list))
  }
}
