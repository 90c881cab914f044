import KubeClient
import KubeTypes
import Schema
import Store
import Wire

/// Removes Events an hour after they were last seen, as kube-apiserver's `--event-ttl` does: nothing else bounds them.
struct EventExpiry: Sendable {
  let client: LocalClient
  let time: any TimeSource

  private static let lifetime = Duration.seconds(3600)
  private static let interval = Duration.seconds(300)
  /// How many are removed in one round; the rest waits for the next.
  private static let countMax = 5000

  func run() async {
    while !Task.isCancelled {
      do { try await time.sleep(for: Self.interval) } catch { return }
      await removeExpired()
    }
  }

  func removeExpired() async {
    let resource = GroupVersionResource(group: "", version: "v1", resource: "events")
    guard let kind = try? client.service.kind(resource),
      let page = try? client.service.store.list(prefix: StoreKey.prefix(kind))
    else { return }
    let limit = time.now().adding(.zero - Self.lifetime)
    for entry in page.entries.filter({ Self.lastSeen($0) < limit }).prefix(Self.countMax) {
      // One that was written meanwhile stays.
      let options = DeleteOptions(preconditionResourceVersion: String(entry.revision))
      _ = try? await client.delete(
        resource, namespace: entry.header.namespace, name: entry.header.name, options: options)
    }
  }

  private static func lastSeen(_ entry: Entry) -> Timestamp {
    let texts = [
      JSON.scalar(at: ["series", "lastObservedTime"], of: entry.value),
      JSON.scalar(at: ["lastTimestamp"], of: entry.value), JSON.scalar(at: ["eventTime"], of: entry.value),
      entry.header.creationTimestamp,
    ]
    return texts.compactMap { $0.flatMap(Timestamp.init(rfc3339:)) }.max() ?? Timestamp(microseconds: 0)
  }
}
