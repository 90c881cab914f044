import KubeClient
import KubeTypes
import Schema
import Wire

@testable import APIServer

/// The server's client as somebody has it for whom things go wrong.
struct FaultyClient: KubeClient {
  let cluster: Cluster
  /// The node that it belongs to; `nil` for what runs beside the server.
  var node: String?
  /// The part of the server that it belongs to; `nil` for who may do everything.
  var user: Caller?

  private func call<T: Sendable>(_ body: (LocalClient) async throws -> T) async throws -> T {
    if node != nil { try await cluster.pause(1...20) }
    if let node, cluster.isPartitioned(node) { throw KubeError.unavailable("the server cannot be reached") }
    guard let client = cluster.client else { throw KubeError.unavailable("there is no server") }
    if cluster.happens(.refused, 1, of: 80) {
      throw cluster.random { Bool.random(using: &$0) }
        ? KubeError.tooManyRequests("wait") : KubeError.unavailable("not now")
    }
    let result = try await body(user.map { client.client(as: $0) } ?? client)
    if cluster.happens(.answerLost, 1, of: 80) { throw KubeError.unavailable("the answer is lost") }
    if let node, cluster.isPartitioned(node) { throw KubeError.unavailable("the server cannot be reached any more") }
    return result
  }

  func get(_ resource: GroupVersionResource, namespace: String?, name: String) async throws -> Object {
    try await call { try await $0.get(resource, namespace: namespace, name: name) }
  }

  func list(_ resource: GroupVersionResource, namespace: String?, options: ListOptions) async throws -> ObjectList {
    try await call { try await $0.list(resource, namespace: namespace, options: options) }
  }

  func watch(_ resource: GroupVersionResource, namespace: String?, options: ListOptions) async throws -> WatchStream {
    let stream = try await call { try await $0.watch(resource, namespace: namespace, options: options) }
    let source = Source(stream)
    return WatchStream {
      guard let event = try await source.next() else { return nil }
      if let node, cluster.isPartitioned(node) { throw KubeError.unavailable("the watch is cut off") }
      if cluster.happens(.watchExpired, 1, of: 500) { throw KubeError.expired("too old") }
      return cluster.happens(.watchEnded, 1, of: 150) ? nil : event
    }
  }

  // `@unchecked`: the one stream that asks it asks once at a time.
  private final class Source: @unchecked Sendable {
    private var iterator: WatchStream.AsyncIterator
    init(_ stream: WatchStream) { iterator = stream.makeAsyncIterator() }
    func next() async throws -> WatchEvent? { try await iterator.next() }
  }

  func create(
    _ resource: GroupVersionResource, namespace: String?, name: String?, subresource: String?, body: JSON,
    options: WriteOptions
  ) async throws -> Object {
    try await call {
      try await $0.create(
        resource, namespace: namespace, name: name, subresource: subresource, body: body, options: options)
    }
  }

  func update(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, body: JSON,
    options: WriteOptions
  ) async throws -> Object {
    try await call {
      try await $0.update(
        resource, namespace: namespace, name: name, subresource: subresource, body: body, options: options)
    }
  }

  func patch(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, type: PatchType,
    body: JSON, options: WriteOptions
  ) async throws -> Object {
    try await call {
      try await $0.patch(
        resource, namespace: namespace, name: name, subresource: subresource, type: type, body: body, options: options)
    }
  }

  func delete(
    _ resource: GroupVersionResource, namespace: String?, name: String, options: DeleteOptions
  ) async throws -> Object {
    try await call { try await $0.delete(resource, namespace: namespace, name: name, options: options) }
  }
}
