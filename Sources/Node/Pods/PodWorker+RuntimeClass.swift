import Containers
import KubeClient
import KubeTypes
import Schema
import Wire

extension PodWorker {
  private static let runtimeClasses = GroupVersionResource(
    group: "node.k8s.io", version: "v1", resource: "runtimeclasses")

  /// The pod's RuntimeClass must name a handler that this node has: without the sandbox that it asks for, the pod does
  /// not run (KEP-585).
  func requireRuntimeHandler() async throws(RuntimeError) {
    guard let name = pod.spec.runtimeClassName, !name.isEmpty else { return }
    let handler: String
    do {
      let found = try await context.client.get(Self.runtimeClasses, namespace: nil, name: name)
      handler = found.json()["handler"]?.string ?? ""
    } catch {
      throw RuntimeError(.invalid, "failed to get sandbox runtime: runtimeclass \"\(name)\": \(describe(error))")
    }
    guard context.configuration.runtimeHandlers.contains(handler) else {
      throw RuntimeError(
        .unsupported,
        "no runtime for \"\(handler)\" is configured: this node has \(context.configuration.runtimeName) alone")
    }
  }
}

extension NodeConfiguration {
  /// The handlers that a RuntimeClass may name. The empty one stands for the node's own choice.
  var runtimeHandlers: [String] { ["", runtimeName] }
}
