import KubeClient
import Schema
import Synchronization
import Wire

import class KubeTypes.Object
import struct KubeTypes.Pod

/// An API server in memory: enough of one for a node. Merges are those that a node's patches need.
final class FakeKubeClient: KubeClient {
  private struct State {
    var revision: Int64 = 0
    var objects: [String: JSON] = [:]
    var watchers:
      [Int: (
        prefix: String, resource: GroupVersionResource, fieldSelector: String, continuation: WatchStream.Continuation
      )] = [:]
    var nextWatcher = 0
    /// Calls that wait for a state of the store.
    var waiters:
      [Int: (condition: @Sendable ([String: JSON]) -> Bool, continuation: CheckedContinuation<Void, Never>)] = [:]
    var isAway = false
    var betweenWriteAndAnswer: (@Sendable (Object) async -> Void)?
    var deleted: [String] = []
  }

  private let state = Mutex(State())

  /// While away, every call fails as if nobody listened.
  /// Called when a patch has been written, before whoever wrote it has the answer.
  func onPatch(_ body: (@Sendable (Object) async -> Void)?) { state.withLock { $0.betweenWriteAndAnswer = body } }

  var isAway: Bool {
    get { state.withLock { $0.isAway } }
    set { state.withLock { $0.isAway = newValue } }
  }

  var objects: [String: JSON] { state.withLock { $0.objects } }
  /// Keys of pods that the node deleted with grace 0.
  var deleted: [String] { state.withLock { $0.deleted } }

  static func key(_ resource: GroupVersionResource, _ namespace: String?, _ name: String) -> String {
    "\(resource.groupResource)/\(namespace ?? "")/\(name)"
  }

  func object(_ resource: GroupVersionResource, _ namespace: String?, _ name: String) -> JSON? {
    objects[Self.key(resource, namespace, name)]
  }

  /// Events as `reason: message`.
  var events: [String] {
    objects.filter { $0.key.hasPrefix("events/") }.values.map {
      "\($0["reason"]?.string ?? ""): \($0["message"]?.string ?? "")"
    }
  }

  /// Suspends until the store satisfies the condition.
  func wait(_ condition: @escaping @Sendable ([String: JSON]) -> Bool) async {
    await withCheckedContinuation { continuation in
      let isNow = state.withLock { state in
        if condition(state.objects) { return true }
        state.nextWatcher += 1
        state.waiters[state.nextWatcher] = (condition, continuation)
        return false
      }
      if isNow { continuation.resume() }
    }
  }

  func waitForPod(_ name: String, _ condition: @escaping @Sendable (Pod) -> Bool) async {
    await wait { objects in objects["pods/default/\(name)"].map { condition(Pod(json: $0)) } ?? false }
  }

  func waitForNoPod(_ name: String) async { await wait { $0["pods/default/\(name)"] == nil } }

  // MARK: - Writing

  @discardableResult
  func put(_ resource: GroupVersionResource, _ namespace: String?, _ object: JSON) -> Object {
    let name = object.at("metadata", "name")?.string ?? ""
    return commit(Self.key(resource, namespace, name)) { _ in object } ?? Object(object)
  }

  @discardableResult
  private func commit(_ key: String, _ change: (JSON?) -> JSON?) -> Object? {
    let (object, ready) = state.withLock { state -> (Object?, [CheckedContinuation<Void, Never>]) in
      state.revision += 1
      let old = state.objects[key]
      var new = change(old)
      if new != nil {
        new?["metadata"]?["resourceVersion"] = .string("\(state.revision)")
        if new?.at("metadata", "uid") == nil { new?["metadata"]?["uid"] = .string("uid-\(state.revision)") }
      }
      state.objects[key] = new
      for (id, watcher) in state.watchers where key.hasPrefix(watcher.prefix) {
        if var last = new ?? old {
          guard Self.matches(last, watcher.fieldSelector) else { continue }
          last["metadata"]?["resourceVersion"] = .string("\(state.revision)")
          let object = Object(last)
          let sent = watcher.continuation.yield(
            new == nil ? .deleted(object) : old == nil ? .added(object) : .modified(object))
          // Not by a termination handler, which would take this lock while the watcher's task is locked; sending does the
          // reverse.
          if case .terminated = sent { state.watchers[id] = nil }
        }
      }
      var ready: [CheckedContinuation<Void, Never>] = []
      for (id, waiter) in state.waiters where waiter.condition(state.objects) {
        ready.append(waiter.continuation)
        state.waiters[id] = nil
      }
      return (new.map { Object($0) }, ready)
    }
    for continuation in ready { continuation.resume() }
    return object
  }

  private static func matches(_ object: JSON, _ selector: String) -> Bool {
    for term in selector.split(separator: ",") {
      let parts = term.split(separator: "=", maxSplits: 1).map(String.init)
      var value: JSON? = object
      for part in parts[0].split(separator: ".") { value = value?[String(part)] }
      if value?.string != (parts.count > 1 ? parts[1] : "") { return false }
    }
    return true
  }

  private func check() throws {
    if isAway { throw KubeError(code: 503, reason: .serviceUnavailable, message: "connection refused") }
  }

  private func notFound(_ resource: GroupVersionResource, _ name: String) -> KubeError {
    KubeError(code: 404, reason: .notFound, message: "\(resource.groupResource) \"\(name)\" not found")
  }

  // MARK: - KubeClient

  func get(_ resource: GroupVersionResource, namespace: String?, name: String) async throws -> Object {
    try check()
    guard let json = object(resource, namespace, name) else { throw notFound(resource, name) }
    return Object(json)
  }

  func list(_ resource: GroupVersionResource, namespace: String?, options: ListOptions) async throws -> ObjectList {
    try check()
    return state.withLock { state in
      let prefix = "\(resource.groupResource)/" + (namespace.map { "\($0)/" } ?? "")
      let items = state.objects.filter { $0.key.hasPrefix(prefix) && Self.matches($0.value, options.fieldSelector) }
      return ObjectList(
        items: items.sorted { $0.key < $1.key }.map { Object($0.value) }, resourceVersion: "\(state.revision)")
    }
  }

  func watch(_ resource: GroupVersionResource, namespace: String?, options: ListOptions) async throws -> WatchStream {
    try check()
    let (stream, continuation) = WatchStream.makeStream()
    state.withLock { state in
      state.nextWatcher += 1
      let prefix = "\(resource.groupResource)/" + (namespace.map { "\($0)/" } ?? "")
      // What was written between the list and this watch.
      let since = Int64(options.resourceVersion) ?? 0
      for (key, value) in state.objects where key.hasPrefix(prefix) && Self.matches(value, options.fieldSelector) {
        let object = Object(value)
        if object.header.resourceVersion > since { continuation.yield(.modified(object)) }
      }
      state.watchers[state.nextWatcher] = (prefix, resource, options.fieldSelector, continuation)
    }
    return stream
  }

  func create(
    _ resource: GroupVersionResource, namespace: String?, name: String?, subresource: String?, body: JSON,
    options: WriteOptions
  ) async throws -> Object {
    try check()
    if subresource == "token" {
      return Object([
        "metadata": [:],
        "status": ["token": .string("token-of-\(name ?? "")"), "expirationTimestamp": "2100-01-01T00:00:00Z"],
      ])
    }
    let key = Self.key(resource, namespace, body.at("metadata", "name")?.string ?? "")
    if objects[key] != nil { throw KubeError(code: 409, reason: .alreadyExists, message: "exists") }
    return put(resource, namespace, body)
  }

  func update(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, body: JSON,
    options: WriteOptions
  ) async throws -> Object {
    try check()
    return put(resource, namespace, body)
  }

  func patch(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, type: PatchType,
    body: JSON, options: WriteOptions
  ) async throws -> Object {
    try check()
    let key = Self.key(resource, namespace, name)
    guard let old = objects[key] else { throw notFound(resource, name) }
    if let uid = body.at("metadata", "uid")?.string, old.at("metadata", "uid")?.string != uid {
      throw KubeError(code: 409, reason: .conflict, message: "uid")
    }
    guard let object = commit(key, { $0.map { Self.merge(body, into: $0) } }) else { throw notFound(resource, name) }
    if let between = state.withLock({ $0.betweenWriteAndAnswer }) { await between(object) }
    return object
  }

  private static func merge(_ patch: JSON, into old: JSON) -> JSON {
    var result = old
    for (key, value) in patch.object?.members ?? [] {
      if value.isNull {
        result[key] = nil
      } else if key == "conditions", let new = value.array {
        var list = old["conditions"]?.array ?? []
        for condition in new {
          if let index = list.firstIndex(where: { $0["type"] == condition["type"] }) {
            list[index] = merge(condition, into: list[index])
          } else {
            list.append(condition)
          }
        }
        result[key] = .array(list)
      } else if value.object != nil, let inner = old[key], inner.object != nil {
        result[key] = merge(value, into: inner)
      } else {
        result[key] = value
      }
    }
    return result
  }

  func delete(
    _ resource: GroupVersionResource, namespace: String?, name: String, options: DeleteOptions
  ) async throws -> Object {
    try check()
    let key = Self.key(resource, namespace, name)
    guard let old = objects[key] else { throw notFound(resource, name) }
    if let uid = options.preconditionUID, old.at("metadata", "uid")?.string != uid {
      throw KubeError(code: 409, reason: .conflict, message: "uid")
    }
    if options.gracePeriodSeconds == 0 || resource != Pod.resource {
      state.withLock { $0.deleted.append(key) }
      commit(key) { _ in nil }
      return Object(old)
    }
    let seconds = options.gracePeriodSeconds ?? old.at("spec", "terminationGracePeriodSeconds")?.int ?? 30
    return commit(key) { old in
      var new = old
      new?["metadata"]?["deletionTimestamp"] = "2026-01-01T00:00:00Z"
      new?["metadata"]?["deletionGracePeriodSeconds"] = .int(seconds)
      return new
    } ?? Object(old)
  }
}
