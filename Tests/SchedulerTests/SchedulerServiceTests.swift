import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Telemetry
import Testing
import Wire

@testable import Scheduler

private let pods = GroupVersionResource(group: "", version: "v1", resource: "pods")
private let nodes = GroupVersionResource(group: "", version: "v1", resource: "nodes")
private let events = GroupVersionResource(group: "", version: "v1", resource: "events")

/// The whole service over informers and a client in memory.
@Suite(.timeLimit(.minutes(1))) struct SchedulerServiceTests {
  private func withScheduler(
    _ client: MemoryClient, time: ManualTime = ManualTime(), metrics: Metrics = Metrics(),
    _ body: @Sendable @escaping () async throws -> Void
  ) async throws {
    let informers = InformerSet(client: client, time: time)
    let scheduler = Scheduler(client: client, informers: informers, metrics: metrics, time: time, seed: 1)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try? await informers.run() }
      group.addTask { try? await scheduler.run() }
      try await body()
      group.cancelAll()
    }
  }

  @Test func bindsPodsAndSaysSo() async throws {
    let client = MemoryClient()
    client.put(nodes, nodeJSON("n1"))
    client.put(pods, podJSON("before"))
    try await withScheduler(client) {
      await client.wait(for: pods) { $0.allSatisfy { $0.at("spec", "nodeName") == "n1" } }
      client.put(pods, podJSON("after"))
      await client.wait(for: pods) { $0.allSatisfy { $0.at("spec", "nodeName") == "n1" } }
      await client.wait(for: events) { list in
        list.contains {
          $0["reason"] == "Scheduled" && $0["message"] == "Successfully assigned default/after to n1"
            && $0.at("source", "component") == "default-scheduler"
        }
      }
    }
  }

  /// A timer of the run before has ended with it: who took it for running slept for ever.
  @Test func whatFailedRunsAgain() async throws {
    let (client, time) = (MemoryClient(), ManualTime())
    client.put(nodes, nodeJSON("n1"))
    client.put(pods, podJSON("first"))
    client.failBindings(1)
    let informers = InformerSet(client: client, time: time)
    let scheduler = Scheduler(client: client, informers: informers, metrics: Metrics(), time: time, seed: 1)
    for name in ["first", "second"] {
      await withTaskGroup(of: Void.self) { group in
        group.addTask { try? await informers.run() }
        group.addTask { try? await scheduler.run() }
        if name == "first" {
          await client.wait(for: events) { $0.contains { $0["reason"] == "FailedScheduling" } }
        } else {
          client.put(pods, podJSON("second"))
          await client.wait(for: pods, advancing: time) { $0.allSatisfy { $0.at("spec", "nodeName") == "n1" } }
        }
        group.cancelAll()
      }
    }
  }

  @Test func leavesOthersAlone() async throws {
    let client = MemoryClient()
    client.put(nodes, nodeJSON("n1"))
    client.put(pods, podJSON("foreign", spec: ["schedulerName": "mine"]))
    client.put(pods, podJSON("gated", spec: ["schedulingGates": [["name": "wait"]]]))
    client.put(pods, podJSON("own"))
    try await withScheduler(client) {
      await client.wait(for: pods) { $0.contains { $0.at("spec", "nodeName") != nil } }
      #expect(client.json(pods, ObjectKey(namespace: "default", name: "own"))?.at("spec", "nodeName") == "n1")
      #expect(client.json(pods, ObjectKey(namespace: "default", name: "foreign"))?.at("spec", "nodeName") == nil)
      #expect(client.json(pods, ObjectKey(namespace: "default", name: "gated"))?.at("spec", "nodeName") == nil)
      client.put(pods, podJSON("gated"))
      await client.wait(for: pods) { $0.count { $0.at("spec", "nodeName") == "n1" } == 2 }
    }
  }

  /// An older state may come back with the server, from a backup: what it says counts, and a pod does not stand in its own
  /// way.
  @Test func aPodThatLostItsNodeGetsOneAnew() async throws {
    let client = MemoryClient()
    client.put(nodes, nodeJSON("n1", cpu: "1"))
    client.put(pods, podJSON("first", requests: ["cpu": "1"], on: "n1"))
    try await withScheduler(client) {
      for _ in 0..<3 {
        client.put(pods, podJSON("first", requests: ["cpu": "1"]))
        await client.wait(for: pods) { $0.allSatisfy { $0.at("spec", "nodeName") == "n1" } }
      }
      // One that another scheduler is to place takes no room.
      client.put(pods, podJSON("first", requests: ["cpu": "1"], spec: ["schedulerName": "mine"]))
      client.put(pods, podJSON("second", requests: ["cpu": "1"]))
      await client.wait(for: pods) { $0.contains { $0.at("spec", "nodeName") == "n1" } }
      #expect(client.json(pods, ObjectKey(namespace: "default", name: "first"))?.at("spec", "nodeName") == nil)
    }
  }

  /// Reports of pods that have their node are passed over, but not the one that they have ended.
  @Test func anEndMakesRoom() async throws {
    let client = MemoryClient()
    let time = ManualTime()
    client.put(nodes, nodeJSON("n1", cpu: "1"))
    @Sendable func report(_ phase: String, _ changes: Int64) {
      var pod = podJSON("first", requests: ["cpu": "1"], on: "n1", phase: phase)
      pod["metadata"]?["generation"] = 1
      pod["status"]?["message"] = .int(changes)
      client.put(pods, pod)
    }
    report("Pending", 0)
    client.put(pods, podJSON("second", requests: ["cpu": "1"]))
    try await withScheduler(client, time: time) {
      await client.wait(for: pods) { list in
        list.contains { $0.at("status", "conditions")?.array?.contains { $0["reason"] == "Unschedulable" } == true }
      }
      for change in 1..<20 { report("Pending", Int64(change)) }
      report("Running", 0)
      report("Succeeded", 0)
      await client.wait(for: pods, advancing: time) { list in
        list.contains { $0.at("metadata", "name") == "second" && $0.at("spec", "nodeName") == "n1" }
      }
    }
  }

  @Test func antiAffinityOnOneNode() async throws {
    let client = MemoryClient()
    let time = ManualTime()
    client.put(nodes, nodeJSON("n1"))
    let spec = antiAffinity(affinityTerm(app: "web"))
    for index in 0..<3 { client.put(pods, podJSON("web-\(index)", labels: ["app": "web"], spec: spec)) }
    let message: JSON =
      "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    try await withScheduler(client, time: time) {
      await client.wait(for: pods) { list in
        list.count { $0.at("spec", "nodeName") == "n1" } == 1
          && list.count { pod in
            pod.at("status", "conditions")?.array?.contains {
              $0["type"] == "PodScheduled" && $0["status"] == "False" && $0["reason"] == "Unschedulable"
                && $0["message"] == message
            } == true
          } == 2
      }
      await client.wait(for: events) { list in
        list.count { $0["reason"] == "FailedScheduling" && $0["message"] == message && $0["type"] == "Warning" } == 2
      }
      // The pod goes: one of the others takes its place.
      for index in 0..<3 {
        let key = ObjectKey(namespace: "default", name: "web-\(index)")
        if client.json(pods, key)?.at("spec", "nodeName") != nil { client.remove(pods, key) }
      }
      await client.wait(for: pods, advancing: time) {
        $0.count == 2 && $0.count { $0.at("spec", "nodeName") == "n1" } == 1
      }
    }
  }

  @Test func triesAgainWhenANodeComes() async throws {
    let client = MemoryClient()
    let time = ManualTime()
    client.put(pods, podJSON("p"))
    try await withScheduler(client, time: time) {
      await client.wait(for: events) { $0.contains { $0["message"] == "no nodes available to schedule pods" } }
      client.put(nodes, nodeJSON("n1"))
      await client.wait(for: pods, advancing: time) { $0.allSatisfy { $0.at("spec", "nodeName") == "n1" } }
    }
  }

  @Test func triesAgainAfterAFailedBinding() async throws {
    let client = MemoryClient()
    let time = ManualTime()
    client.put(nodes, nodeJSON("n1", cpu: "1"))
    client.put(pods, podJSON("p", requests: ["cpu": "1"]))
    client.failBindings(1)
    try await withScheduler(client, time: time) {
      await client.wait(for: events) { $0.contains { $0["reason"] == "FailedScheduling" } }
      await client.wait(for: pods, advancing: time) { $0.allSatisfy { $0.at("spec", "nodeName") == "n1" } }
    }
  }

  @Test func attemptsAreCountedByResult() async throws {
    let client = MemoryClient()
    let (time, metrics) = (ManualTime(), Metrics())
    client.put(nodes, nodeJSON("n1", cpu: "1"))
    client.put(pods, podJSON("first", requests: ["cpu": "1"]))
    client.failBindings(1)
    try await withScheduler(client, time: time, metrics: metrics) {
      await client.wait(for: events) { $0.contains { $0["reason"] == "FailedScheduling" } }
      await client.wait(for: pods, advancing: time) { $0.allSatisfy { $0.at("spec", "nodeName") == "n1" } }
      client.put(pods, podJSON("second", requests: ["cpu": "1"]))
      await client.wait(for: pods) { list in
        list.contains { $0.at("status", "conditions")?.array?.contains { $0["reason"] == "Unschedulable" } == true }
      }
      let attempts = "scheduler_schedule_attempts_total{profile=\"default-scheduler\",result="
      for line in [
        attempts + "\"error\"} 1.0", attempts + "\"scheduled\"} 1.0", attempts + "\"unschedulable\"} 1.0",
        "scheduler_scheduling_algorithm_duration_seconds_count 3",
        "scheduler_pod_scheduling_sli_duration_seconds_count{attempts=\"2\"} 1",
        "scheduler_pending_pods{queue=\"unschedulable\"} 1.0", "scheduler_pending_pods{queue=\"active\"} 0.0",
        "scheduler_pending_pods{queue=\"backoff\"} 0.0",
      ] {
        // A binding is counted once it is answered, which is after it can be seen.
        while !metrics.exposition().contains(line + "\n") { await Task.yield() }
      }
    }
  }
}
