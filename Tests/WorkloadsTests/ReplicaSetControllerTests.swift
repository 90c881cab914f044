import ControllerKit
import KubeClient
import KubeTypes
import Telemetry
import Testing
import Wire

@testable import Workloads

/// The controllers of ReplicaSets over informers and a server in memory: their `apply`, too.
@Suite(.timeLimit(.minutes(1))) struct ReplicaSetControllerTests {
  private let server = MemoryServer()
  private let time = ManualTime()

  private func replicaSet(_ replicas: Int64, generation: Int64 = 1) -> JSON {
    [
      "apiVersion": "apps/v1", "kind": "ReplicaSet",
      "metadata": ["name": "web", "namespace": "shop", "generation": .int(generation)],
      "spec": [
        "replicas": .int(replicas), "selector": ["matchLabels": ["app": "web"]],
        "template": ["metadata": ["labels": ["app": "web"]], "spec": ["containers": [["name": "c", "image": "i"]]]],
      ], "status": ["replicas": 0],
    ]
  }

  private func withControllers(_ body: @escaping @Sendable () async throws -> Void) async throws {
    let informers = InformerSet(client: server, time: time)
    let controllers = replicaControllers(
      clients: { [server] _ in server }, informers: informers, metrics: Metrics(), time: time, seed: 1)
    let time = time
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try? await informers.run() }
      for controller in controllers { group.addTask { try? await controller.run() } }
      group.addTask {
        while !Task.isCancelled {
          time.advance(by: .milliseconds(100))
          await Task.yield()
        }
      }
      try await body()
      group.cancelAll()
    }
  }

  private static func hasFailure(_ sets: [JSON], _ message: String?) -> Bool {
    let conditions = sets.first?.at("status", "conditions")?.array ?? []
    return conditions.first { $0["type"] == "ReplicaFailure" }?["message"]?.string == message
  }

  /// The clock runs, so that each back-off ends at once: with one, the pods would be asked for again and again.
  @Test func whatIsInvalidIsAskedForOnce() async throws {
    let server = server
    server.refuse(Pod.resource, with: KubeError(code: 422, reason: .invalid, message: "no such field"))
    server.put(ReplicaSet.resource, replicaSet(3))
    try await withControllers {
      await server.wait(for: ReplicaSet.resource) { Self.hasFailure($0, "no such field") }
      // Another change of the same ReplicaSet is no reason to try again: its labels are not in the template.
      var changed = try #require(server.all(ReplicaSet.resource).first).json()
      changed["metadata"]?["labels"] = ["note": "x"]
      changed["status"]?["observedGeneration"] = 0
      server.put(ReplicaSet.resource, changed)
      await server.wait(for: ReplicaSet.resource) { $0.first?.at("status", "observedGeneration") == 1 }
      #expect(server.refused == 1)
      // Another specification is.
      server.refuse(Pod.resource, with: nil)
      var fixed = try #require(server.all(ReplicaSet.resource).first).json()
      fixed["metadata"]?["generation"] = 2
      server.put(ReplicaSet.resource, fixed)
      await server.wait(for: ReplicaSet.resource) {
        $0.first?.at("status", "replicas") == 3 && Self.hasFailure($0, nil)
      }
    }
    #expect(server.all(Pod.resource).count == 3 && server.refused == 1)
  }

  /// A quota can be raised: that is no change of the ReplicaSet.
  @Test func whatIsForbiddenIsAskedForAgain() async throws {
    let server = server
    server.refuse(Pod.resource, with: KubeError(code: 403, reason: .forbidden, message: "exceeded quota"))
    server.put(ReplicaSet.resource, replicaSet(3))
    try await withControllers {
      await server.wait(for: ReplicaSet.resource) { Self.hasFailure($0, "exceeded quota") }
      while server.refused < 5 { await Task.yield() }
      server.refuse(Pod.resource, with: nil)
      await server.wait(for: Pod.resource) { $0.count == 3 }
    }
  }
}
