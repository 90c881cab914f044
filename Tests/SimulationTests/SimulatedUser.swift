import ControllerKit
import KubeClient
import KubeTypes
import Schema
import TestKit
import Wire

/// Somebody who makes, changes and deletes things, without waiting for what becomes of them.
struct SimulatedUser: Sendable {
  let cluster: Cluster

  static let deployments = GroupVersionResource(group: "apps", version: "v1", resource: "deployments")
  static let services = GroupVersionResource(group: "", version: "v1", resource: "services")
  static let namespaces = GroupVersionResource(group: "", version: "v1", resource: "namespaces")
  static let names = ["web", "api", "db"]
  static let spaces = ["default", "red", "blue"]

  /// A number of changes, with pauses between them.
  func run(changes: Int) async throws {
    let client = FaultyClient(cluster: cluster, node: "user")
    while cluster.client == nil { try await cluster.pause(100...200) }
    for space in Self.spaces.dropFirst() { _ = try? await makeNamespace(space, client) }
    for _ in 0..<changes {
      try await cluster.pause(100...20_000)
      if cluster.happens(.clockJumped, 1, of: 20) {
        cluster.clock.jump(by: .seconds(cluster.random { Int.random(in: -4000...4000, using: &$0) }))
      }
      do { try await change(client) } catch is KubeError {
        // It is refused, or it is not known whether it has happened: both are fine.
      }
    }
  }

  private func change(_ client: FaultyClient) async throws {
    let (choice, space, name, number) = cluster.random { random in
      (
        Int.random(in: 0..<21, using: &random), Self.spaces[Int.random(in: 0..<3, using: &random)],
        Self.names[Int.random(in: 0..<3, using: &random)], Int64.random(in: 0...6, using: &random)
      )
    }
    switch choice {
    case 0..<5:
      _ = try await client.create(
        Self.deployments, namespace: space, name: nil, subresource: nil, body: deployment(name, number),
        options: WriteOptions())
    case 5..<8:
      _ = try await client.patch(
        Self.deployments, namespace: space, name: name, subresource: nil, type: .merge,
        body: ["spec": ["replicas": .int(number)]], options: WriteOptions())
    case 8..<12:
      let container: JSON = ["name": "c", "image": .string("i:\(number)"), "resources": ["requests": ["cpu": "200m"]]]
      _ = try await client.patch(
        Self.deployments, namespace: space, name: name, subresource: nil, type: .merge,
        body: ["spec": ["template": ["spec": ["containers": [container]]]]], options: WriteOptions())
    case 12:
      let policies: [PropagationPolicy?] = [nil, .background, .foreground, .orphan]
      _ = try await client.delete(
        Self.deployments, namespace: space, name: name,
        options: DeleteOptions(propagationPolicy: policies[Int(number) % 4]))
    case 13..<17:
      _ = try await client.create(
        Self.services, namespace: space, name: nil, subresource: nil,
        body: [
          "metadata": ["name": .string(name)], "spec": ["selector": ["app": .string(name)], "ports": [["port": 80]]],
        ], options: WriteOptions())
    case 17:
      _ = try await client.delete(Self.services, namespace: space, name: name, options: DeleteOptions())
    case 18, 19:
      if space != "default" { try await makeNamespace(space, client) }
    default:
      guard space != "default" else { return }
      _ = try await client.delete(Self.namespaces, namespace: nil, name: space, options: DeleteOptions())
    }
  }

  private func makeNamespace(_ name: String, _ client: FaultyClient) async throws {
    _ = try await client.create(
      Self.namespaces, namespace: nil, name: nil, subresource: nil, body: ["metadata": ["name": .string(name)]],
      options: WriteOptions())
  }

  private func deployment(_ name: String, _ replicas: Int64) -> JSON {
    [
      "metadata": ["name": .string(name)],
      "spec": [
        "replicas": .int(replicas), "selector": ["matchLabels": ["app": .string(name)]],
        "template": [
          "metadata": ["labels": ["app": .string(name)]],
          "spec": [
            "containers": [["name": "c", "image": "i:0", "resources": ["requests": ["cpu": "200m"]]]]
          ],
        ],
      ],
    ]
  }
}
