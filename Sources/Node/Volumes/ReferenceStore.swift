import ControllerKit
import KubeClient
import KubeTypes
import Logging
import Schema
import Synchronization
import Wire

/// A ConfigMap or Secret that a pod refers to.
struct ObjectReferenceKey: Sendable, Hashable {
  enum Kind: Sendable, Hashable {
    case configMap
    case secret

    var resource: GroupVersionResource {
      switch self {
      case .configMap: ConfigMap.resource
      case .secret: Secret.resource
      }
    }
  }

  var kind: Kind
  var namespace: String
  var name: String
}

/// Reads ConfigMaps and Secrets for pods, and watches those, and only those, that pods on this node refer to.
final class ReferenceStore: Sendable {
  private struct Watch {
    var task: Task<Void, Never>
    var handlers: [String: @Sendable () -> Void]
  }

  private let client: any KubeClient
  private let time: any TimeSource
  private let watches = Mutex<[ObjectReferenceKey: Watch]>([:])

  init(client: any KubeClient, time: any TimeSource) {
    self.client = client
    self.time = time
  }

  /// The newest state, or `nil` when there is no such object. Throws what the API answers otherwise.
  func get(_ key: ObjectReferenceKey) async throws -> Object? {
    do {
      return try await client.get(key.kind.resource, namespace: key.namespace, name: key.name)
    } catch let error as KubeError where error.reason == .notFound {
      return nil
    }
  }

  /// Calls `handler` after changes of the objects in `keys`; replaces what the pod watched before.
  func watch(_ keys: Set<ObjectReferenceKey>, for podUID: String, _ handler: @escaping @Sendable () -> Void) {
    watches.withLock { watches in
      for key in watches.keys where !keys.contains(key) { Self.release(key, podUID, &watches) }
      for key in keys {
        if watches[key] == nil {
          let task = Task { [client, time, weak self] in
            let informer = Informer(
              client: client, resource: key.kind.resource, namespace: key.namespace,
              fieldSelector: "metadata.name=\(key.name)", time: time)
            informer.onChange { [weak self] _, _ in self?.changed(key) }
            try? await informer.run()
          }
          watches[key] = Watch(task: task, handlers: [:])
        }
        watches[key]?.handlers[podUID] = handler
      }
    }
  }

  func release(_ podUID: String) {
    watches.withLock { watches in
      for key in watches.keys { Self.release(key, podUID, &watches) }
    }
  }

  func stop() {
    watches.withLock { watches in
      for watch in watches.values { watch.task.cancel() }
      watches = [:]
    }
  }

  private static func release(_ key: ObjectReferenceKey, _ podUID: String, _ watches: inout [ObjectReferenceKey: Watch])
  {
    guard watches[key]?.handlers.removeValue(forKey: podUID) != nil, watches[key]?.handlers.isEmpty == true else {
      return
    }
    watches.removeValue(forKey: key)?.task.cancel()
  }

  private func changed(_ key: ObjectReferenceKey) {
    let handlers = watches.withLock { $0[key].map { Array($0.handlers.values) } ?? [] }
    for handler in handlers { handler() }
  }
}

extension ObjectReferenceKey {
  /// The one object, or none when it has no name.
  static func set(_ kind: Kind, _ namespace: String, _ name: String?) -> Set<ObjectReferenceKey> {
    guard let name, !name.isEmpty else { return [] }
    return [ObjectReferenceKey(kind: kind, namespace: namespace, name: name)]
  }

  /// Everything that a container's environment refers to.
  static func environment(of container: Container, namespace: String) -> Set<ObjectReferenceKey> {
    var keys: Set<ObjectReferenceKey> = []
    func add(_ kind: Kind, _ name: String?) { keys.formUnion(set(kind, namespace, name)) }
    for source in container.envFrom {
      if let reference = source.configMapRef { add(.configMap, reference.name) }
      if let reference = source.secretRef { add(.secret, reference.name) }
    }
    for variable in container.env {
      if let reference = variable.valueFrom?.configMapKeyRef { add(.configMap, reference.name) }
      if let reference = variable.valueFrom?.secretKeyRef { add(.secret, reference.name) }
    }
    return keys
  }
}
