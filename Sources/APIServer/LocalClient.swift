import ControllerKit
import KubeClient
import KubeTypes
import NIOCore
import Schema
import Store
import Synchronization
import Wire

/// The API without HTTP: for the parts of this process. It goes through the same authorisation, decoding, defaults,
/// admission and validation as a request from outside, as `system:apus` of the group `system:masters`, or as a component
/// with rights of its own (`client(as:)`).
///
/// Objects are the store's own bytes; a watch copies nothing.
public struct LocalClient: KubeClient {
  let service: ResourceService
  let subresources: Subresources
  let loops: any EventLoopGroup
  let refusals: ComponentRefusals
  /// In whose name everything is asked.
  private(set) var user = Caller.internal
  private(set) var usesReserve = false

  /// The same as another user. Nothing is kept of what he may: each request asks the index of rights, and a watch once, when
  /// it begins.
  func client(as user: Caller) -> LocalClient {
    var client = self
    client.user = user
    return client
  }

  /// The same, with creations that a full disk does not refuse: for what a cluster starts with.
  func usingReserve() -> LocalClient {
    var client = self
    client.usesReserve = true
    return client
  }

  /// - Parameter namespace: as for the store: empty for cluster-scoped kinds and for all namespaces.
  private func authorize(
    _ verb: String, _ kind: KindSchema, _ namespace: String, _ name: String, _ subresource: String = ""
  ) throws(KubeError) {
    if user.isMaster { return }
    var attributes = AccessAttributes(
      user: user, verb: verb, namespace: namespace, group: kind.group, resource: kind.resource,
      subresource: subresource, name: name)
    // As for requests from outside: the namespace of a Namespace is itself.
    if kind.resource == "namespaces", kind.group.isEmpty { attributes.namespace = name }
    if subresources.rbac.allows(attributes) { return }
    throw refusals.note(attributes)
  }

  private func authorize(_ verb: String, _ request: WriteRequest) throws(KubeError) {
    try authorize(verb, request.kind, request.namespace, request.name, request.subresource)
  }

  /// A list or watch that its field selector narrows to one object is about that object.
  private func authorize(
    _ verb: String, _ kind: KindSchema, _ namespace: String, selector: String
  ) throws(KubeError) {
    if user.isMaster { return }
    let name = selector.isEmpty ? nil : (try? FieldSelector(selector, kind: kind))?.exactName
    try authorize(verb, kind, namespace, name ?? "", "")
  }

  private func request(
    _ resource: GroupVersionResource, _ namespace: String?, _ name: String, _ subresource: String?,
    fieldManager: String = "", dryRun: Bool = false, as options: String
  ) throws(KubeError) -> WriteRequest {
    try FieldManager.check(fieldManager, options: options)
    let kind = try service.kind(resource)
    return WriteRequest(
      kind: kind, namespace: kind.isNamespaced ? namespace ?? "" : "", name: name, subresource: subresource ?? "",
      context: RequestContext(user: user, fieldManager: fieldManager, dryRun: dryRun), fieldValidation: .ignore,
      isWarned: false, loop: loops.next(), usesReserve: usesReserve)
  }

  private func written(_ body: (@escaping WriteCompletion) -> Void) async throws -> Object {
    try Task.checkCancellation()
    return try await withCheckedThrowingContinuation { continuation in
      body { result in
        switch result {
        case .success(let written): continuation.resume(returning: written.object)
        case .failure(let error): continuation.resume(throwing: error)
        }
      }
    }
  }

  public func get(_ resource: GroupVersionResource, namespace: String?, name: String) async throws -> Object {
    let kind = try service.kind(resource)
    try authorize("get", kind, kind.isNamespaced ? namespace ?? "" : "", name)
    let entry = try service.get(kind, namespace: namespace ?? "", name: name)
    return entry.object
  }

  public func list(_ resource: GroupVersionResource, namespace: String?, options: ListOptions) async throws
    -> ObjectList
  {
    let kind = try service.kind(resource)
    let namespace = kind.isNamespaced ? namespace ?? "" : ""
    try authorize("list", kind, namespace, selector: options.fieldSelector)
    let list = try service.list(
      kind, namespace: namespace,
      selector: ObjectSelector(labels: options.labelSelector, fields: options.fieldSelector, kind: kind),
      limit: options.limit, continueToken: options.continueToken, resourceVersion: options.resourceVersion)
    return ObjectList(
      items: list.entries.map(\.object), resourceVersion: String(list.revision),
      continueToken: list.continueToken)
  }

  public func watch(_ resource: GroupVersionResource, namespace: String?, options: ListOptions) async throws
    -> WatchStream
  {
    let kind = try service.kind(resource)
    let namespace = kind.isNamespaced ? namespace ?? "" : ""
    try authorize("watch", kind, namespace, selector: options.fieldSelector)
    let selector = try ObjectSelector(labels: options.labelSelector, fields: options.fieldSelector, kind: kind)
    let (stream, continuation) = WatchStream.makeStream(bufferingPolicy: .bufferingOldest(WatchSource.capacity * 2))
    let relay = Relay(continuation, on: loops.next())
    let source = WatchSource(
      service, kind,
      WatchSource.Options(
        namespace: namespace, selector: selector,
        resourceVersion: options.resourceVersion, allowBookmarks: options.allowWatchBookmarks),
      wake: { [weak relay] in relay?.wake() })
    relay.attach(source)
    // It must not wait for the relay's lock: who cancels a task holds that task's own lock meanwhile, which the relay needs
    // to hand it an event. The relay lives as long as the stream.
    continuation.onTermination = { [relay] _ in withExtendedLifetime(relay) { source.cancel() } }
    try source.start()
    relay.drain()
    return stream
  }

  /// Moves notices from a source into a stream, in order, whichever thread wakes it.
  ///
  /// A reader that sleeps costs a thread's wake-up, which is more than what it does with one event. So the first events
  /// after a pause are told at once, and those of a busy collection together, every `interval`: what a crowd of writes costs
  /// does not grow by a wake-up for each.
  final class Relay: Sendable {
    static let interval = TimeAmount.milliseconds(4)
    /// How many wake-ups of an interval are passed on at once: what belongs together, as a pod and its binding.
    static let promptMax = 2

    private struct Pace {
      var begun: NIODeadline?
      var count = 0
      var isScheduled = false
    }

    private let continuation: WatchStream.Continuation
    private let loop: any EventLoop
    private let source = Mutex<WatchSource?>(nil)
    private let pace = Mutex(Pace())

    init(_ continuation: WatchStream.Continuation, on loop: any EventLoop) {
      self.continuation = continuation
      self.loop = loop
    }

    func attach(_ source: WatchSource) { self.source.withLock { $0 = source } }

    /// Something waits, or the source has ended.
    func wake() {
      let now = loop.now
      // What ends is told at once: nothing follows, and the loop may end, too.
      let isOver = source.withLock { $0?.isOver ?? true }
      let deadline = pace.withLock { pace -> NIODeadline? in
        if isOver { return now }
        if pace.isScheduled { return nil }
        if let begun = pace.begun, now - begun < Self.interval {
          if pace.count < Self.promptMax {
            pace.count += 1
            return now
          }
          pace.isScheduled = true
          return begun + Self.interval
        }
        pace = Pace(begun: now, count: 1)
        return now
      }
      guard let deadline else { return }
      guard deadline > now else { return drain() }
      loop.scheduleTask(deadline: deadline) { [weak self] in
        guard let self else { return }
        pace.withLock { $0 = Pace(begun: self.loop.now, count: 1) }
        drain()
      }
    }

    func drain() {
      // Taking and yielding under one lock keeps the order when two threads drain. Finishing runs the termination
      // handler at once, and so comes after it.
      let end = source.withLock { source -> End in
        guard let source, case let (notices, isEnded) = source.take() else { return .no }
        for notice in notices {
          let event: WatchEvent
          switch notice.served(as: source.kind) {
          case .added(let entry): event = .added(entry.object)
          case .modified(let entry): event = .modified(entry.object)
          case .deleted(let entry): event = .deleted(entry.object)
          case .bookmark(let revision, _): event = .bookmark(resourceVersion: String(revision))
          case .failed(let error): return .failure(error)
          }
          if case .dropped = continuation.yield(event) {
            return .failure(.expired("the watch fell behind: list again"))
          }
        }
        return isEnded ? .closed : .no
      }
      switch end {
      case .no: break
      case .closed: continuation.finish()
      case .failure(let error): continuation.finish(throwing: error)
      }
    }

    private enum End {
      case no
      case closed
      case failure(KubeError)
    }
  }

  public func create(
    _ resource: GroupVersionResource, namespace: String?, name: String?, subresource: String?, body: JSON,
    options: WriteOptions
  ) async throws -> Object {
    var request = try request(
      resource, namespace, name ?? "", subresource, fieldManager: options.fieldManager, dryRun: options.dryRun,
      as: "CreateOptions")
    if request.kind.isNamespaced, request.namespace.isEmpty {
      request.namespace = body.at("metadata", "namespace")?.string ?? ""
    }
    try authorize("create", request)
    try request.kind.checkServed(verb: "create", request.subresource)
    let final = request
    return try await written { completion in subresources.create(final, body: body, completion: completion) }
  }

  public func update(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, body: JSON,
    options: WriteOptions
  ) async throws -> Object {
    let request = try request(
      resource, namespace, name, subresource, fieldManager: options.fieldManager, dryRun: options.dryRun,
      as: "UpdateOptions")
    try authorize("update", request)
    try request.kind.checkServed(verb: "update", request.subresource)
    return try await written { completion in
      subresources.update(request, body: body, completion: completion)
    }
  }

  public func patch(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, type: PatchType,
    body: JSON, options: WriteOptions
  ) async throws -> Object {
    let request = try request(
      resource, namespace, name, subresource, fieldManager: options.fieldManager, dryRun: options.dryRun,
      as: "PatchOptions")
    try authorize("patch", request)
    try request.kind.checkServed(verb: "patch", request.subresource)
    return try await written { completion in
      subresources.patch(request, type: type, body: body, completion: completion)
    }
  }

  public func delete(
    _ resource: GroupVersionResource, namespace: String?, name: String, options: DeleteOptions
  ) async throws -> Object {
    let request = try request(resource, namespace, name, nil, as: "DeleteOptions")
    try authorize("delete", request)
    try request.kind.checkServed(verb: "delete", request.subresource)
    return try await written { completion in service.delete(request, options: options, completion: completion) }
  }
}
