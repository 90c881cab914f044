import KubeClient
import KubeTypes
import Schema
import Synchronization
import Wire

import struct KubeClient.DeleteOptions

/// The API in memory, with revisions, watches and faults that a test asks for.
final class FakeKubeClient: KubeClient {
  struct Watcher {
    var id: Int
    var resource: GroupVersionResource
    var continuation: WatchStream.Continuation
  }

  struct State {
    var revision: Int64 = 10
    var objects: [GroupVersionResource: [ObjectKey: Object]] = [:]
    var history: [(GroupVersionResource, Int64, WatchEvent)] = []
    var watchers: [Watcher] = []
    var compacted: Int64 = 0
    /// What is left of lists that were begun, by continue token.
    var pages: [String: (revision: Int64, items: [Object])] = [:]
    var lists = 0
    var watches = 0
    var listFailures = 0
    var lastID = 0
    var writes: [String] = []
    var refusal: KubeError?
  }

  let state = Mutex(State())

  private static func notFound(_ name: String) -> KubeError {
    KubeError(code: 404, reason: .notFound, message: "\"\(name)\" not found")
  }

  func get(_ resource: GroupVersionResource, namespace: String?, name: String) async throws -> Object {
    guard let object = object(resource, namespace ?? "", name) else { throw Self.notFound(name) }
    return object
  }

  func object(_ resource: GroupVersionResource, _ namespace: String, _ name: String) -> Object? {
    state.withLock { $0.objects[resource]?[ObjectKey(namespace: namespace, name: name)] }
  }

  func list(_ resource: GroupVersionResource, namespace: String?, options: ListOptions) async throws -> ObjectList {
    try state.withLock { state in
      state.lists += 1
      if state.listFailures > 0 {
        state.listFailures -= 1
        throw KubeError(code: 503, reason: .serviceUnavailable, message: "not now")
      }
      // Two per page: the informer has to put them together. All pages are of the state that the first one was.
      var rest =
        state.pages.removeValue(forKey: options.continueToken)
        ?? (state.revision, (state.objects[resource] ?? [:]).sorted { $0.key < $1.key }.map(\.value))
      let page = rest.items.prefix(2)
      rest.items.removeFirst(page.count)
      var token = ""
      if !rest.items.isEmpty {
        state.lastID += 1
        token = String(state.lastID)
        state.pages[token] = rest
      }
      return ObjectList(items: Array(page), resourceVersion: String(rest.revision), continueToken: token)
    }
  }

  func watch(_ resource: GroupVersionResource, namespace: String?, options: ListOptions) async throws -> WatchStream {
    let (stream, continuation) = WatchStream.makeStream()
    try state.withLock { state in
      state.watches += 1
      let start = Int64(options.resourceVersion) ?? 0
      if start < state.compacted {
        throw KubeError(code: 410, reason: .expired, message: "too old resource version")
      }
      for (changed, revision, event) in state.history where changed == resource && revision > start {
        continuation.yield(event)
      }
      state.lastID += 1
      state.watchers.append(Watcher(id: state.lastID, resource: resource, continuation: continuation))
    }
    return stream
  }

  private func commit(_ state: inout State, _ resource: GroupVersionResource, _ json: JSON, isNew: Bool) -> Object {
    state.revision += 1
    var json = json
    json["metadata"]?["resourceVersion"] = .string(String(state.revision))
    let object = Object(json)
    state.objects[resource, default: [:]][object.header.key] = object
    announce(&state, resource, isNew ? .added(object) : .modified(object))
    return object
  }

  private func announce(_ state: inout State, _ resource: GroupVersionResource, _ event: WatchEvent) {
    state.history.append((resource, state.revision, event))
    for watcher in state.watchers where watcher.resource == resource { watcher.continuation.yield(event) }
  }

  @discardableResult
  func put(_ resource: GroupVersionResource, _ json: JSON) -> Object {
    state.withLock { state in
      let key = Object(json).header.key
      return commit(&state, resource, json, isNew: state.objects[resource]?[key] == nil)
    }
  }

  func remove(_ resource: GroupVersionResource, _ key: ObjectKey) {
    state.withLock { state in
      guard let object = state.objects[resource]?.removeValue(forKey: key) else { return }
      state.revision += 1
      var json = object.json()
      json["metadata"]?["resourceVersion"] = .string(String(state.revision))
      announce(&state, resource, .deleted(Object(json)))
    }
  }

  /// Ends all watches, with an error or as a server does after a while.
  func endWatches(_ error: KubeError? = nil) {
    let watchers = state.withLock { state in
      let watchers = state.watchers
      state.watchers = []
      return watchers
    }
    for watcher in watchers { watcher.continuation.finish(throwing: error) }
  }

  /// Forgets the history: a watch from before has to list again.
  func compact() {
    state.withLock { state in
      state.compacted = state.revision
      state.history = []
    }
  }

  func create(
    _ resource: GroupVersionResource, namespace: String?, name: String?, subresource: String?, body: JSON,
    options: WriteOptions
  ) async throws -> Object {
    try state.withLock { state in
      if let refusal = state.refusal { throw refusal }
      let header = ObjectHeader(body)
      if state.objects[resource]?[header.key] != nil {
        throw KubeError(code: 409, reason: .alreadyExists, message: "\"\(header.name)\" already exists")
      }
      state.writes.append("create \(resource.resource) \(header.name)")
      return commit(&state, resource, body, isNew: true)
    }
  }

  func update(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, body: JSON,
    options: WriteOptions
  ) async throws -> Object {
    try state.withLock { state in
      let header = ObjectHeader(body)
      guard let current = state.objects[resource]?[header.key] else { throw Self.notFound(name) }
      if current.header.resourceVersion != header.resourceVersion {
        throw KubeError(code: 409, reason: .conflict, message: "the object has been modified")
      }
      state.writes.append("update \(resource.resource) \(header.name)")
      return commit(&state, resource, body, isNew: false)
    }
  }

  func patch(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, type: PatchType,
    body: JSON, options: WriteOptions
  ) async throws -> Object {
    try state.withLock { state in
      let key = ObjectKey(namespace: namespace ?? "", name: name)
      guard let current = state.objects[resource]?[key] else { throw Self.notFound(name) }
      state.writes.append("patch \(resource.resource) \(name)")
      return commit(&state, resource, MergePatch.apply(body, to: current.json()), isNew: false)
    }
  }

  func delete(
    _ resource: GroupVersionResource, namespace: String?, name: String, options: DeleteOptions
  ) async throws -> Object {
    let key = ObjectKey(namespace: namespace ?? "", name: name)
    guard let object = object(resource, namespace ?? "", name) else { throw Self.notFound(name) }
    remove(resource, key)
    return object
  }
}

let widgets = GroupVersionResource(group: "test.dev", version: "v1", resource: "widgets")

func widget(_ name: String, namespace: String = "a", uid: String? = nil, size: Int64 = 0, owner: String? = nil) -> JSON
{
  var json: JSON = [
    "apiVersion": "test.dev/v1", "kind": "Widget",
    "metadata": [
      "namespace": .string(namespace), "name": .string(name), "uid": .string(uid ?? "uid-\(name)"),
    ], "size": .int(size),
  ]
  if let owner {
    json["metadata"]?["ownerReferences"] = [["kind": "Owner", "name": "o", "uid": .string(owner), "controller": true]]
  }
  return json
}
