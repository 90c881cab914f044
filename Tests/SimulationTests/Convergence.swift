import KubeClient
import KubeTypes
import Schema
import Wire

@testable import APIServer

/// What must hold once nothing has gone wrong, and nobody has changed anything, for a while.
struct Convergence {
  let cluster: Cluster

  private func list(_ group: String, _ resource: String) async throws -> [JSON] {
    guard let client = cluster.client else { throw KubeError.unavailable("there is no server") }
    return try await client.list(
      GroupVersionResource(group: group, version: "v1", resource: resource), namespace: nil, options: ListOptions()
    ).items.map { $0.json() }
  }

  private static func name(_ object: JSON) -> String {
    "\(object["kind"]?.string ?? "") \(object.at("metadata", "namespace")?.string ?? "")/"
      + (object.at("metadata", "name")?.string ?? "")
  }

  private static func isReady(_ object: JSON) -> Bool {
    object.at("status", "conditions")?.array?.contains { $0["type"] == "Ready" && $0["status"] == "True" } == true
  }

  /// What is not yet as it should be.
  func problems() async throws -> [String] {
    var problems: [String] = []
    func expect(_ holds: Bool, _ object: JSON, _ what: @autoclosure () -> String) {
      if !holds { problems.append("\(Self.name(object)): \(what())") }
    }
    let pods = try await list("", "pods")
    let replicaSets = try await list("apps", "replicasets")
    let deployments = try await list("apps", "deployments")
    let services = try await list("", "services")
    let slices = try await list("discovery.k8s.io", "endpointslices")
    let nodes = try await list("", "nodes")
    let namespaces = try await list("", "namespaces")
    let kept = try await list("", "serviceaccounts") + list("", "configmaps")

    let uids = Set(
      (pods + replicaSets + deployments + nodes + services).compactMap { $0.at("metadata", "uid")?.string })
    let spaces = Set(namespaces.compactMap { $0.at("metadata", "name")?.string })
    for object in pods + replicaSets + deployments + services + slices + kept {
      expect(object.at("metadata", "deletionTimestamp") == nil, object, "is still being deleted")
      expect(spaces.contains(object.at("metadata", "namespace")?.string ?? ""), object, "is in no namespace")
      for owner in object.at("metadata", "ownerReferences")?.array ?? [] {
        expect(uids.contains(owner["uid"]?.string ?? ""), object, "its owner \(owner["name"] ?? .null) is gone")
      }
    }
    for namespace in namespaces { expect(namespace.at("status", "phase") == "Active", namespace, "is not active") }
    expectNodes(nodes, expect)

    func owned(_ objects: [JSON], by owner: JSON) -> [JSON] {
      objects.filter { object in
        object.at("metadata", "ownerReferences")?.array?.contains { $0["uid"] == owner.at("metadata", "uid") } == true
      }
    }
    for set in replicaSets {
      let wanted = set.at("spec", "replicas")?.int ?? 0
      let own = owned(pods, by: set)
      expect(own.count == Int(wanted), set, "has \(own.count) pods of \(wanted)")
      expect(set.at("status", "replicas")?.int ?? 0 == wanted, set, "says \(set["status"] ?? .null)")
    }
    for deployment in deployments {
      let wanted = deployment.at("spec", "replicas")?.int ?? 0
      for field in ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"] {
        expect(deployment.at("status", field)?.int ?? 0 == wanted, deployment, "\(field) of \(wanted)")
      }
      expect(
        deployment.at("status", "observedGeneration") == deployment.at("metadata", "generation"), deployment,
        "its status is old")
      let sets = owned(replicaSets, by: deployment)
      let image = deployment.at("spec", "template", "spec", "containers")?.array?.first?["image"]
      let images = sets.flatMap { owned(pods, by: $0) }.map { $0.at("spec", "containers")?.array?.first?["image"] }
      expect(images.allSatisfy { $0 == image }, deployment, "has pods of another image")
      expect(images.count == Int(wanted), deployment, "has \(images.count) pods of \(wanted)")
    }
    var running: [String: String] = [:]
    for node in Cluster.nodes {
      for uid in cluster.running(on: node).keys { running[uid] = node }
    }
    for pod in pods {
      expect(Self.isReady(pod), pod, "is not ready")
      let uid = pod.at("metadata", "uid")?.string ?? ""
      expect(running.removeValue(forKey: uid) == pod.at("spec", "nodeName")?.string, pod, "does not run")
    }
    for (uid, node) in running { problems.append("\(uid) runs on \(node), and there is no such pod") }
    for service in services {
      guard let app = service.at("spec", "selector", "app") else { continue }
      let space = service.at("metadata", "namespace")
      let expected = pods.filter {
        $0.at("metadata", "namespace") == space && $0.at("metadata", "labels", "app") == app && Self.isReady($0)
      }.compactMap { $0.at("status", "podIP")?.string }.sorted()
      let name = service.at("metadata", "name")
      let own = slices.filter { slice in
        slice.at("metadata", "namespace") == space
          && slice.at("metadata", "labels", "kubernetes.io/service-name") == name
      }
      let told = own.flatMap(Self.readyAddresses).sorted()
      expect(told == expected, service, "leads to \(told), not \(expected)")
    }
    return problems
  }

  private static func readyAddresses(_ slice: JSON) -> [String] {
    let ready = (slice["endpoints"]?.array ?? []).filter { $0.at("conditions", "ready") == true }
    return ready.flatMap { $0["addresses"]?.array ?? [] }.compactMap(\.string)
  }

  private func expectNodes(_ nodes: [JSON], _ expect: (Bool, JSON, @autoclosure () -> String) -> Void) {
    for node in nodes {
      expect(Self.isReady(node), node, "is not ready")
      expect((node.at("spec", "taints")?.array ?? []).isEmpty, node, "has taints")
    }
  }
}
