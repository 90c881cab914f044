import KubeClient
import KubeTypes
import Logging
import Schema
import Synchronization
import Wire

/// `type` of an event.
public enum EventType: String, Sendable {
  case normal = "Normal"
  case warning = "Warning"
}

/// What an event is about: `v1.ObjectReference`.
public struct EventSubject: Sendable, Hashable {
  public var kind: String
  public var apiVersion: String
  /// Empty for cluster-scoped objects, whose events are in `default`.
  public var namespace: String
  public var name: String
  public var uid: String
  /// Such as `spec.containers{web}`.
  public var fieldPath: String

  public init(kind: String, apiVersion: String, namespace: String, name: String, uid: String, fieldPath: String = "") {
    self.kind = kind
    self.apiVersion = apiVersion
    self.namespace = namespace
    self.name = name
    self.uid = uid
    self.fieldPath = fieldPath
  }

  /// A kind and an object's header.
  public init(_ kind: GroupVersionKind, _ header: ObjectHeader, fieldPath: String = "") {
    self.init(
      kind: kind.kind, apiVersion: kind.apiVersion, namespace: header.namespace, name: header.name, uid: header.uid,
      fieldPath: fieldPath)
  }

  public init<K: KubeKind>(_ object: K, fieldPath: String = "") {
    self.init(K.groupVersionKind, ObjectHeader(object.json), fieldPath: fieldPath)
  }
}

/// Writes `v1` events, in the background and in order.
///
/// An event that was recorded before is not written again but counted (`count`, `lastTimestamp`). One object gets at most
/// 25 writes in a burst and then one every 5 minutes, as client-go's `EventCorrelator` allows; what exceeds that, or
/// the queue of 1,000, is dropped: events are hints.
public final class EventRecorder: Sendable {
  static let queueLengthMax = 1000
  static let knownMax = 4096
  static let burst = 25.0
  static let writesPerSecond = 1.0 / 300

  private let client: any KubeClient
  private let component: String
  private let host: String
  private let time: any TimeSource
  private let log = Logger(label: "apus.events")

  /// Carries out the tasks of recorders, which are nobody's children and so do not take their executor from those who record.
  /// A simulation sets it to its own; `nil` is the usual one.
  @TaskLocal package static var executor: (any TaskExecutor)?

  private struct Occurrence: Sendable, Hashable {
    var type: EventType
    var subject: EventSubject
    var reason: String
    var message: String
  }

  private struct Written {
    var name: String
    var count: Int64
    var lastUse: UInt64
  }

  private struct Bucket {
    var tokens: Double
    var at: Timestamp
    var lastUse: UInt64
  }

  private struct State {
    var queue: [(Occurrence, Timestamp)] = []
    var isDraining = false
    var buckets: [String: Bucket] = [:]
    var known: [Occurrence: Written] = [:]
    var uses: UInt64 = 0
    var lastNanoseconds: Int64 = 0
  }

  private let state = Mutex(State())

  /// - Parameters:
  ///   - component: `source.component` and `reportingComponent`, such as `deployment-controller`.
  ///   - host: the node's name for parts of the node, else empty.
  public init(client: any KubeClient, component: String, host: String = "", time: any TimeSource) {
    self.client = client
    self.component = component
    self.host = host
    self.time = time
  }

  /// Never blocks and never fails.
  public func record(_ type: EventType, regarding subject: EventSubject, reason: String, message: String) {
    let occurrence = Occurrence(
      type: type, subject: subject, reason: String(reason.prefix(128)), message: Self.shortened(message))
    let now = time.now()
    let mustStart = state.withLock { state in
      guard state.queue.count < Self.queueLengthMax, Self.takeToken(subject, now, &state) else { return false }
      state.queue.append((occurrence, now))
      if state.isDraining { return false }
      state.isDraining = true
      return true
    }
    // The task lives only while there is something to write, so nobody has to run the recorder.
    if mustStart { Task(executorPreference: Self.executor) { await self.drain() } }
  }

  /// `message` is at most 1,024 bytes (`validation.ValidateEvent`).
  private static func shortened(_ message: String) -> String {
    guard message.utf8.count > 1024 else { return message }
    var bytes = 0
    let kept = message.prefix { character in
      bytes += String(character).utf8.count
      return bytes <= 1021
    }
    return kept + "..."
  }

  private static func takeToken(_ subject: EventSubject, _ now: Timestamp, _ state: inout State) -> Bool {
    state.uses += 1
    let key = "\(subject.kind)/\(subject.namespace)/\(subject.name)/\(subject.uid)"
    var bucket = state.buckets[key] ?? Bucket(tokens: burst, at: now, lastUse: 0)
    let elapsed = max(0, Double(now.microseconds - bucket.at.microseconds) / 1e6)
    bucket.tokens = min(burst, bucket.tokens + elapsed * writesPerSecond)
    bucket.at = now
    bucket.lastUse = state.uses
    let isAllowed = bucket.tokens >= 1
    if isAllowed { bucket.tokens -= 1 }
    state.buckets[key] = bucket
    if state.buckets.count > knownMax {
      let middle = state.buckets.values.map(\.lastUse).sorted()[knownMax / 2]
      state.buckets = state.buckets.filter { $0.value.lastUse >= middle }
    }
    return isAllowed
  }

  private func drain() async {
    while let (occurrence, at) = nextOccurrence() {
      do {
        try await write(occurrence, at: at)
      } catch {
        log.debug("event not written", metadata: ["reason": "\(occurrence.reason)", "error": "\(error)"])
      }
    }
  }

  private func nextOccurrence() -> (Occurrence, Timestamp)? {
    state.withLock { state in
      guard !state.queue.isEmpty else {
        state.isDraining = false
        return nil
      }
      return state.queue.removeFirst()
    }
  }

  private static let resource = GroupVersionResource(group: "", version: "v1", resource: "events")

  private func write(_ occurrence: Occurrence, at: Timestamp) async throws {
    let namespace = occurrence.subject.namespace.isEmpty ? "default" : occurrence.subject.namespace
    let known = state.withLock { state in
      state.uses += 1
      state.known[occurrence]?.lastUse = state.uses
      return state.known[occurrence]
    }
    if var known {
      known.count += 1
      do {
        _ = try await client.patch(
          Self.resource, namespace: namespace, name: known.name, subresource: nil, type: .merge,
          body: ["count": .int(known.count), "lastTimestamp": .string(at.rfc3339)],
          options: WriteOptions(fieldManager: component))
        remember(occurrence, known)
        return
      } catch let error as KubeError where error.reason == .notFound {
        // It was deleted or ran out of its time: write it anew.
      }
    }
    let name = eventName(occurrence.subject.name, at)
    _ = try await client.create(
      Self.resource, namespace: namespace, name: nil, subresource: nil,
      body: json(occurrence, namespace: namespace, name: name, at: at), options: WriteOptions(fieldManager: component))
    remember(occurrence, Written(name: name, count: 1, lastUse: 0))
  }

  /// The object's name and the time in nanoseconds, which is made unique.
  private func eventName(_ name: String, _ at: Timestamp) -> String {
    let unique = state.withLock { state in
      state.lastNanoseconds = max(state.lastNanoseconds + 1, at.microseconds * 1000)
      return state.lastNanoseconds
    }
    // 253 is the longest name; the number takes 16 digits and a dot.
    return "\(name.prefix(236)).\(String(unique, radix: 16))"
  }

  private func remember(_ occurrence: Occurrence, _ written: Written) {
    state.withLock { state in
      state.uses += 1
      state.known[occurrence] = written
      state.known[occurrence]?.lastUse = state.uses
      guard state.known.count > Self.knownMax else { return }
      let middle = state.known.values.map(\.lastUse).sorted()[Self.knownMax / 2]
      state.known = state.known.filter { $0.value.lastUse >= middle }
    }
  }

  private func json(_ occurrence: Occurrence, namespace: String, name: String, at: Timestamp) -> JSON {
    let subject = occurrence.subject
    var involved: JSON = ["kind": .string(subject.kind)]
    if !subject.namespace.isEmpty { involved["namespace"] = .string(subject.namespace) }
    involved["name"] = .string(subject.name)
    if !subject.uid.isEmpty { involved["uid"] = .string(subject.uid) }
    involved["apiVersion"] = .string(subject.apiVersion)
    if !subject.fieldPath.isEmpty { involved["fieldPath"] = .string(subject.fieldPath) }
    var source: JSON = ["component": .string(component)]
    if !host.isEmpty { source["host"] = .string(host) }
    return [
      "apiVersion": "v1", "kind": "Event",
      "metadata": ["name": .string(name), "namespace": .string(namespace)],
      "involvedObject": involved,
      "reason": .string(occurrence.reason), "message": .string(occurrence.message), "source": source,
      "firstTimestamp": .string(at.rfc3339), "lastTimestamp": .string(at.rfc3339), "count": 1,
      "type": .string(occurrence.type.rawValue), "eventTime": nil,
      "reportingComponent": .string(component), "reportingInstance": .string(host),
    ]
  }
}
