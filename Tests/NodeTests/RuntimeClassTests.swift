import Schema
import Synchronization
import Testing
import Wire

@testable import Node

/// A pod that asks for a sandbox of its own runs in it, or not at all.
@Suite("RuntimeClass", .timeLimit(.minutes(1)))
struct RuntimeClassTests {
  private static let resource = GroupVersionResource(group: "node.k8s.io", version: "v1", resource: "runtimeclasses")

  private func withPod(_ handler: String?, _ body: (NodeHarness) async throws -> Void) async throws {
    let harness = try await NodeHarness()
    defer { harness.close() }
    if let handler {
      harness.client.put(Self.resource, nil, ["metadata": ["name": "sandboxed"], "handler": .string(handler)])
    }
    try await harness.withNode { _ in
      harness.createPod("a") { $0["spec"]?["runtimeClassName"] = "sandboxed" }
      try await body(harness)
    }
  }

  private func isRefused(_ objects: [String: JSON], _ text: String) -> Bool {
    objects.contains { key, event in
      key.hasPrefix("events/") && event["reason"] == "FailedCreatePodSandBox"
        && event["message"]?.string?.contains(text) == true
    }
  }

  @Test("a handler that the node does not have: the pod waits, and says why")
  func unknownHandler() async throws {
    try await withPod("kata") { harness in
      await harness.client.wait { isRefused($0, "no runtime for \"kata\" is configured") }
      #expect(harness.fake.model.withLock { $0.sandboxes.isEmpty && $0.containers.isEmpty })
      // With the right handler it runs.
      harness.client.put(Self.resource, nil, ["metadata": ["name": "sandboxed"], "handler": "crun"])
      await harness.client.waitForPod("a") { $0.isPodReady }
    }
  }

  @Test("a class that was deleted meanwhile")
  func deletedClass() async throws {
    try await withPod(nil) { harness in
      await harness.client.wait { isRefused($0, "failed to get sandbox runtime") }
      #expect(harness.fake.model.withLock { $0.sandboxes.isEmpty })
    }
  }

  @Test("the node's own runtime by its name")
  func ownHandler() async throws {
    try await withPod("crun") { harness in await harness.client.waitForPod("a") { $0.isPodReady } }
  }
}
