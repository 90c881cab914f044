import KubeClient
import KubeTypes
import Schema
import Synchronization
import Wire

// KubeTypes generates the wire form of the same name.
import struct KubeClient.DeleteOptions

/// The API server as far as the scheduler needs it: lists, watches, bindings and status patches, in memory.
final class MemoryClient: KubeClient {
  private struct State {
    var revision: Int64 = 0
    var objects: [GroupVersionResource: [ObjectKey: Object]] = [:]
    var watchers: [GroupVersionResource: [WatchStream.Continuation]] = [:]
    var bindingFailures = 0
    var waiters: [(condition: @Sendable (State) -> Bool, continuation: CheckedContinuation<Void, Never>)] = []
  }

  private let state = Mutex(State())

  /// The next bindings fail as if the server were out of order.
  func failBindings(_ count: Int) { state.withLock { $0.bindingFailures = count } }

  func put(_ resource: GroupVersionResource, _ json: JSON) {
    state.withLock { Self.store(resource, json, &$0) }
    wakeWaiters()
  }

  func remove(_ resource: GroupVersionResource, _ key: ObjectKey) {
    state.withLock { state in
      guard let object = state.objects[resource]?.removeValue(forKey: key) else { return }
      state.revision += 1
      for watcher in state.watchers[resource] ?? [] { watcher.yield(.deleted(object)) }
    }
    wakeWaiters()
  }

  func json(_ resource: GroupVersionResource, _ key: ObjectKey) -> JSON? {
    state.withLock { $0.objects[resource]?[key]?.json() }
  }

  /// Waits until the stored objects of a resource meet the condition.
  func wait(for resource: GroupVersionResource, until condition: @escaping @Sendable ([JSON]) -> Bool) async {
    await withCheckedContinuation { continuation in
      state.withLock { state in
        state.waiters.append(
          ({ state in condition((state.objects[resource] ?? [:]).values.map { $0.json() }) }, continuation))
      }
      wakeWaiters()
    }
  }

  /// The same while time passes, for what depends on timers.
  func wait(
    for resource: GroupVersionResource, advancing time: ManualTime,
    until condition: @escaping @Sendable ([JSON]) -> Bool
  ) async {
    let clock = Task {
      while !Task.isCancelled {
        time.advance(by: .seconds(1))
        await Task.yield()
      }
    }
    await wait(for: resource, until: condition)
    clock.cancel()
  }

  private func wakeWaiters() {
    let ready = state.withLock { state in
      var ready: [CheckedContinuation<Void, Never>] = []
      var rest: [(condition: @Sendable (State) -> Bool, continuation: CheckedContinuation<Void, Never>)] = []
      for waiter in state.waiters {
        if waiter.condition(state) { ready.append(waiter.continuation) } else { rest.append(waiter) }
      }
      state.waiters = rest
      return ready
    }
    for continuation in ready { continuation.resume() }
  }

  private static func store(_ resource: GroupVersionResource, _ json: JSON, _ state: inout State) {
    state.revision += 1
    var json = json
    json["metadata"]?["resourceVersion"] = .string("\(state.revision)")
    let object = Object(json)
    let isNew = state.objects[resource]?[object.header.key] == nil
    state.objects[resource, default: [:]][object.header.key] = object
    for watcher in state.watchers[resource] ?? [] { watcher.yield(isNew ? .added(object) : .modified(object)) }
  }

  private static func notFound(_ name: String) -> KubeError {
    KubeError(code: 404, reason: .notFound, message: "\(name) not found")
  }

  func get(_ resource: GroupVersionResource, namespace: String?, name: String) async throws -> Object {
    let object = state.withLock { $0.objects[resource]?[ObjectKey(namespace: namespace ?? "", name: name)] }
    guard let object else { throw Self.notFound(name) }
    return object
  }

  func list(_ resource: GroupVersionResource, namespace: String?, options: ListOptions) async throws -> ObjectList {
    state.withLock { state in
      ObjectList(
        items: (state.objects[resource] ?? [:]).sorted { $0.key < $1.key }.map(\.value),
        resourceVersion: "\(state.revision)")
    }
  }

  func watch(_ resource: GroupVersionResource, namespace: String?, options: ListOptions) async throws -> WatchStream {
    let (stream, continuation) = WatchStream.makeStream()
    state.withLock { state in
      let after = Int64(options.resourceVersion) ?? 0
      for (_, object) in (state.objects[resource] ?? [:]).sorted(by: { $0.key < $1.key })
      where object.header.resourceVersion > after {
        continuation.yield(.added(object))
      }
      state.watchers[resource, default: []].append(continuation)
    }
    return stream
  }

  func create(
    _ resource: GroupVersionResource, namespace: String?, name: String?, subresource: String?, body: JSON,
    options: WriteOptions
  ) async throws -> Object {
    defer { wakeWaiters() }
    return try state.withLock { state in
      guard subresource == "binding" else {
        Self.store(resource, body, &state)
        return Object(body)
      }
      if state.bindingFailures > 0 {
        state.bindingFailures -= 1
        throw KubeError(code: 500, reason: .internalError, message: "out of order")
      }
      let key = ObjectKey(namespace: namespace ?? "", name: name ?? "")
      guard var pod = state.objects[resource]?[key]?.json() else { throw Self.notFound(key.name) }
      if pod.at("spec", "nodeName") != nil {
        throw KubeError(code: 409, reason: .conflict, message: "pod \(key) is already assigned")
      }
      pod["spec"]?["nodeName"] = body.at("target", "name")
      Self.store(resource, pod, &state)
      return Object(body)
    }
  }

  func update(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, body: JSON,
    options: WriteOptions
  ) async throws -> Object {
    put(resource, body)
    return Object(body)
  }

  func patch(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, type: PatchType,
    body: JSON, options: WriteOptions
  ) async throws -> Object {
    let key = ObjectKey(namespace: namespace ?? "", name: name)
    guard var json = json(resource, key) else { throw Self.notFound(name) }
    for (key, value) in body["status"]?.object?.members ?? [] { json["status"]?[key] = value }
    put(resource, json)
    return Object(json)
  }

  func delete(
    _ resource: GroupVersionResource, namespace: String?, name: String, options: DeleteOptions
  ) async throws -> Object {
    let object = try await get(resource, namespace: namespace, name: name)
    remove(resource, object.header.key)
    return object
  }
}

/// A clock that moves only when it is told to.
final class ManualTime: TimeSource {
  private struct State {
    var now = Timestamp(seconds: 1_700_000_000)
    var sleepers: [UInt64: (due: Timestamp, continuation: CheckedContinuation<Void, any Error>)] = [:]
    var lastID: UInt64 = 0
  }

  private let state = Mutex(State())

  func now() -> Timestamp { state.withLock { $0.now } }

  func sleep(for duration: Duration) async throws {
    let id = state.withLock { state in
      state.lastID += 1
      return state.lastID
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let isCancelled = state.withLock { state in
          if Task.isCancelled { return true }
          state.sleepers[id] = (state.now.adding(duration), continuation)
          return false
        }
        if isCancelled { continuation.resume(throwing: CancellationError()) }
      }
    } onCancel: {
      let sleeper = state.withLock { $0.sleepers.removeValue(forKey: id) }
      sleeper?.continuation.resume(throwing: CancellationError())
    }
  }

  func advance(by duration: Duration) {
    let due = state.withLock { state in
      state.now = state.now.adding(duration)
      let due = state.sleepers.filter { $0.value.due <= state.now }
      for id in due.keys { state.sleepers[id] = nil }
      return due.values.map(\.continuation)
    }
    for continuation in due { continuation.resume() }
  }
}
