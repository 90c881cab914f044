import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Wire

/// Says in an event of each new object that nothing acts on it (`UnservedKinds`), for those who did not see the warning
/// that its creation was answered with.
struct UnservedKindEvents: ControllerKit.Service {
  static let reason = "NotActedOn"

  /// - Parameter resources: what is served; of the kinds that are listed, the informers are asked for.
  init(client: any KubeClient, informers: InformerSet, resources: ServedResources, time: any TimeSource) {
    let recorder = EventRecorder(client: client, component: "apus", time: time)
    let startedAt = time.now().rfc3339
    let listed = Dictionary(UnservedKinds.kinds.map { ($0.kind, $0.group) }) { first, _ in first }
    // These are built in, and do not change.
    for served in resources.current where listed[served.kind] == served.resource.group {
      let kind = GroupVersionKind(group: served.resource.group, version: served.resource.version, kind: served.kind)
      informers.informer(for: served.resource).onChange { old, new in
        guard let new, let notice = Self.notice(kind, new), old.flatMap({ Self.notice(kind, $0) }) == nil else {
          return
        }
        // What was there before the server's start was told of then.
        if old == nil, new.header.creationTimestamp < startedAt { return }
        recorder.record(.warning, regarding: EventSubject(kind, new.header), reason: Self.reason, message: notice)
      }
    }
  }

  private static func notice(_ kind: GroupVersionKind, _ object: Object) -> String? {
    UnservedKinds.notice(group: kind.group, kind: kind.kind, object: object.json())
  }

  /// Nothing is left to do beside the informers.
  func run() async throws { try await Signal().wait() }
}
