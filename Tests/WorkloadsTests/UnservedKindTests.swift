import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Testing
import Wire

@testable import Workloads

private let jobs = GroupVersionResource(group: "batch", version: "v1", resource: "jobs")
private let services = GroupVersionResource(group: "", version: "v1", resource: "services")
private let events = GroupVersionResource(group: "", version: "v1", resource: "events")

/// U12: what nothing acts on waited in silence.
@Suite(.timeLimit(.minutes(1))) struct UnservedKindTests {
  private func object(_ kind: String, _ name: String, created: Timestamp, spec: JSON = [:]) -> JSON {
    [
      "apiVersion": .string(kind == "Job" ? "batch/v1" : "v1"), "kind": .string(kind),
      "metadata": [
        "name": .string(name), "namespace": "default", "creationTimestamp": .string(created.rfc3339),
      ], "spec": spec,
    ]
  }

  @Test func newObjectsAreToldOfOnce() async {
    let (server, time) = (MemoryServer(), ManualTime())
    let now = time.now()
    server.put(jobs, object("Job", "old", created: now.adding(.seconds(-60))))
    server.put(services, object("Service", "plain", created: now, spec: ["type": "ClusterIP"]))
    let informers = InformerSet(client: server, time: time)
    let served = [
      ServedResource(jobs, kind: "Job", isNamespaced: true),
      ServedResource(services, kind: "Service", isNamespaced: true),
    ]
    let watcher = UnservedKindEvents(
      client: server, informers: informers, resources: ServedResources(served), time: time)
    await withTaskGroup(of: Void.self) { group in
      group.addTask { try? await informers.run() }
      group.addTask { try? await watcher.run() }
      server.put(jobs, object("Job", "new", created: now))
      server.put(services, object("Service", "plain", created: now, spec: ["type": "LoadBalancer"]))
      await server.wait(for: events) { $0.count == 2 }
      // A change that keeps it what it is, is no news.
      server.put(jobs, object("Job", "new", created: now, spec: ["parallelism": 2]))
      server.put(jobs, object("Job", "last", created: now))
      await server.wait(for: events) { $0.count == 3 }
      group.cancelAll()
    }
    let told = server.all(events).map { $0.json() }
    #expect(told.compactMap { $0.at("involvedObject", "name")?.string }.sorted() == ["last", "new", "plain"])
    #expect(told.allSatisfy { $0["type"] == "Warning" && $0["reason"] == "NotActedOn" })
    #expect(told.contains { $0["message"] == "no controller of apus acts on this Job yet: it gets no pods" })
  }

  @Test func whatControllersActOnIsNotListed() {
    for (group, kind) in [("apps", "Deployment"), ("apps", "ReplicaSet"), ("", "Pod"), ("", "Namespace")] {
      #expect(UnservedKinds.notice(group: group, kind: kind, object: [:]) == nil)
    }
    // Somebody else's kind of that name is not ours to judge.
    #expect(UnservedKinds.notice(group: "batch.example.com", kind: "Job", object: [:]) == nil)
    #expect(UnservedKinds.notice(group: "", kind: "Service", object: ["spec": ["type": "NodePort"]]) == nil)
    #expect(UnservedKinds.notice(group: "", kind: "Service", object: ["spec": ["type": "LoadBalancer"]]) != nil)
  }
}
