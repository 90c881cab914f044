import KubeClient
import KubeTypes
import Schema
import Synchronization
import Wire

// KubeTypes generates the wire form of the same name.
import struct KubeClient.DeleteOptions

@testable import Workloads

/// The API server's rules for metadata, in memory: uids, resource versions and their conflicts, finalizers, deletion by
/// policy, `namespaces/finalize`. Deletion does not wait for a grace period.
final class MemoryServer: KubeClient {
  private typealias Waiter = (
    condition: @Sendable (borrowing State) -> Bool, continuation: CheckedContinuation<Void, Never>
  )

  private struct State {
    var revision: Int64 = 0
    var uid = 0
    var objects: [GroupVersionResource: [ObjectKey: Object]] = [:]
    var watchers: [GroupVersionResource: [WatchStream.Continuation]] = [:]
    var waiters: [Waiter] = []
    var deletions: [String] = []
    var writes = 0
    var refusals: [GroupVersionResource: KubeError] = [:]
    var refused = 0
    var silent: Set<GroupVersionResource> = []
  }

  private let state = Mutex(State())

  /// `resource/name` of each object that a client deleted, in order.
  var deletions: [String] { state.withLock { $0.deletions } }

  /// Creations of the resource are answered with this error.
  func refuse(_ resource: GroupVersionResource, with error: KubeError?) {
    state.withLock { $0.refusals[resource] = error }
  }

  /// A list of the resource in all namespaces fails from now on.
  func silence(_ resource: GroupVersionResource) { state.withLock { _ = $0.silent.insert(resource) } }

  /// How many creations were answered with an error of `refuse`.
  var refused: Int { state.withLock { $0.refused } }

  /// How many writes changed something.
  var writes: Int { state.withLock { $0.writes } }

  /// Stores an object as a test needs it. Without a uid it is a change of the one that is there.
  @discardableResult
  func put(_ resource: GroupVersionResource, _ json: JSON) -> Object {
    defer { wakeWaiters() }
    return state.withLock { Self.store(resource, json, &$0) }
  }

  func object(_ resource: GroupVersionResource, _ key: ObjectKey) -> Object? {
    state.withLock { $0.objects[resource]?[key] }
  }

  func all(_ resource: GroupVersionResource) -> [Object] {
    state.withLock { ($0.objects[resource] ?? [:]).sorted { $0.key < $1.key }.map(\.value) }
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

  private func wakeWaiters() {
    let ready = state.withLock { state in
      var ready: [CheckedContinuation<Void, Never>] = []
      var rest: [Waiter] = []
      for waiter in state.waiters {
        if waiter.condition(state) { ready.append(waiter.continuation) } else { rest.append(waiter) }
      }
      state.waiters = rest
      return ready
    }
    for continuation in ready { continuation.resume() }
  }

  @discardableResult
  private static func store(_ resource: GroupVersionResource, _ json: JSON, _ state: inout State) -> Object {
    state.revision += 1
    state.writes += 1
    var json = json
    if json["metadata"]?["name"] == nil, let prefix = json["metadata"]?["generateName"]?.string {
      json["metadata"]?["name"] = .string("\(prefix)\(state.revision)")
    }
    let before = state.objects[resource]?[ObjectHeader(json).key]
    if json["metadata"]?["uid"] == nil {
      if before == nil { state.uid += 1 }
      json["metadata"]?["uid"] = .string(before?.header.uid ?? "uid-\(state.uid)")
    }
    json["metadata"]?["resourceVersion"] = .string("\(state.revision)")
    let object = Object(json)
    if object.header.deletionTimestamp != nil, object.header.finalizers.isEmpty,
      (json.at("spec", "finalizers")?.array ?? []).isEmpty || resource != NamespaceReconciler.resource
    {
      state.objects[resource]?[object.header.key] = nil
      for watcher in state.watchers[resource] ?? [] { watcher.yield(.deleted(object)) }
      return object
    }
    state.objects[resource, default: [:]][object.header.key] = object
    for watcher in state.watchers[resource] ?? [] {
      watcher.yield(before == nil ? .added(object) : .modified(object))
    }
    return object
  }

  private static func notFound(_ name: String) -> KubeError {
    KubeError(code: 404, reason: .notFound, message: "\(name) not found")
  }

  private static func current(_ resource: GroupVersionResource, _ namespace: String?, _ name: String, _ state: State)
    throws -> Object
  {
    guard let object = state.objects[resource]?[ObjectKey(namespace: namespace ?? "", name: name)] else {
      throw notFound(name)
    }
    return object
  }

  func get(_ resource: GroupVersionResource, namespace: String?, name: String) async throws -> Object {
    try state.withLock { try Self.current(resource, namespace, name, $0) }
  }

  func list(_ resource: GroupVersionResource, namespace: String?, options: ListOptions) async throws -> ObjectList {
    try state.withLock { state in
      if namespace == nil, state.silent.contains(resource) {
        throw KubeError(code: 503, reason: .serviceUnavailable, message: "out of order")
      }
      let items = (state.objects[resource] ?? [:]).sorted { $0.key < $1.key }.map(\.value)
      return ObjectList(
        items: items.filter { namespace == nil || $0.header.namespace == namespace },
        resourceVersion: "\(state.revision)")
    }
  }

  func watch(_ resource: GroupVersionResource, namespace: String?, options: ListOptions) async throws -> WatchStream {
    let (stream, continuation) = WatchStream.makeStream()
    try state.withLock { state in
      // Deletions between list and watch are not kept here: tell the informer to list again.
      guard Int64(options.resourceVersion) == state.revision else {
        throw KubeError(code: 410, reason: .expired, message: "too old")
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
      if let refusal = state.refusals[resource] {
        state.refused += 1
        throw refusal
      }
      let key = ObjectHeader(body).key
      if !key.name.isEmpty, state.objects[resource]?[key] != nil {
        throw KubeError(code: 409, reason: .alreadyExists, message: "\(key) exists")
      }
      return Self.store(resource, body, &state)
    }
  }

  func update(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, body: JSON,
    options: WriteOptions
  ) async throws -> Object {
    defer { wakeWaiters() }
    return try state.withLock { state in
      let before = try Self.current(resource, namespace, name, state)
      let version = body.at("metadata", "resourceVersion")?.string
      if let version, version != "\(before.header.resourceVersion)" {
        throw KubeError(code: 409, reason: .conflict, message: "\(name) was changed")
      }
      return Self.store(resource, body, &state)
    }
  }

  func patch(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, type: PatchType,
    body: JSON, options: WriteOptions
  ) async throws -> Object {
    defer { wakeWaiters() }
    return try state.withLock { state in
      let before = try Self.current(resource, namespace, name, state)
      let version = body.at("metadata", "resourceVersion")?.string
      let uid = body.at("metadata", "uid")?.string
      if version.map({ $0 != "\(before.header.resourceVersion)" }) ?? false
        || uid.map({ $0 != before.header.uid }) ?? false
      {
        throw KubeError(code: 409, reason: .conflict, message: "\(name) was changed")
      }
      return Self.store(resource, MergePatch.apply(body, to: before.json()), &state)
    }
  }

  func delete(
    _ resource: GroupVersionResource, namespace: String?, name: String, options: DeleteOptions
  ) async throws -> Object {
    defer { wakeWaiters() }
    return try state.withLock { state in
      let before = try Self.current(resource, namespace, name, state)
      if let uid = options.preconditionUID, uid != before.header.uid {
        throw KubeError(code: 409, reason: .conflict, message: "\(name) is another one")
      }
      state.deletions.append("\(resource.resource)/\(name)")
      var json = before.json()
      var finalizers = before.header.finalizers
      if options.propagationPolicy == .foreground { finalizers.append(GarbageCollectorReconciler.foreground) }
      if options.propagationPolicy == .orphan { finalizers.append(GarbageCollectorReconciler.orphan) }
      json["metadata"]?["finalizers"] = .array(Set(finalizers).sorted().map { .string($0) })
      json["metadata"]?["deletionTimestamp"] = "2026-01-01T00:00:00Z"
      return Self.store(resource, json, &state)
    }
  }
}

/// A clock that stands still until it is moved.
final class ManualTime: TimeSource {
  private struct State {
    var uptime = Duration.zero
    /// How far the wall clock was set.
    var offset = Duration.zero
    var sleepers: [UInt64: (due: Duration, continuation: CheckedContinuation<Void, any Error>)] = [:]
    var lastID: UInt64 = 0
  }

  private let state = Mutex(State())

  func now() -> Timestamp { state.withLock { Timestamp(seconds: 1_700_000_000).adding($0.uptime + $0.offset) } }

  func uptime() -> Duration { state.withLock { $0.uptime } }

  /// Sets the wall clock. Who sleeps does not notice.
  func jump(by duration: Duration) { state.withLock { $0.offset += duration } }

  func sleep(for duration: Duration) async throws {
    let id = state.withLock { state in
      state.lastID += 1
      return state.lastID
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let isCancelled = state.withLock { state in
          if Task.isCancelled { return true }
          state.sleepers[id] = (state.uptime + duration, continuation)
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
      state.uptime += duration
      let due = state.sleepers.filter { $0.value.due <= state.uptime }
      for id in due.keys { state.sleepers[id] = nil }
      return due.values.map(\.continuation)
    }
    for continuation in due { continuation.resume() }
  }
}
