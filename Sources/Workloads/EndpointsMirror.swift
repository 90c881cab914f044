import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Telemetry
import Wire

/// Mirrors Endpoints that were made by hand, or by other controllers, to EndpointSlices, which the service table and the
/// name server read (KEP-0752, `pkg/controller/endpointslicemirroring`).
///
/// Only those of a service without a selector, and not those with the label `endpointslice.kubernetes.io/skip-mirror`.
struct EndpointsMirrorReconciler: Reconciler {
  let name = "endpointslicemirroring"
  static let manager = "endpointslicemirroring-controller.k8s.io"
  static let skipLabel = "endpointslice.kubernetes.io/skip-mirror"
  static let leaderAnnotation = "control-plane.alpha.kubernetes.io/leader"
  static let addressesMax = 1000

  let client: any KubeClient
  let services: Informer
  let endpoints: Informer
  let slices: Informer
  let events: EventRecorder
  private let pending = PendingWrites()

  init(client: any KubeClient, services: Informer, endpoints: Informer, slices: Informer, events: EventRecorder) {
    self.client = client
    self.services = services
    self.endpoints = endpoints
    self.slices = slices
    self.events = events
  }

  struct Snapshot: Sendable {
    var endpoints: Endpoints
    /// `nil` when there is none that is there to stay.
    var service: KubeTypes.Service?
    /// Those that mirror these Endpoints.
    var slices: [EndpointSlice]
  }

  enum Action: Sendable {
    case write(EndpointSliceReconciler.Action)
    case warn(Endpoints, reason: String, message: String)
  }

  func observe(_ key: ObjectKey) async throws -> Snapshot? {
    // The mirror of Endpoints that are gone goes with them, by its owner reference.
    guard let object = endpoints.get(key), object.header.deletionTimestamp == nil else { return nil }
    let service = services.get(key).flatMap { $0.header.deletionTimestamp == nil ? $0 : nil }
    let (objects, deleting) = pending.overlay(on: slices, owner: object.header.uid)
    let own = objects.filter {
      $0.header.labels[EndpointSlicePlan.managedByLabel] == Self.manager && $0.header.deletionTimestamp == nil
        && !deleting.contains($0.header.uid)
    }
    return Snapshot(endpoints: object.decode(), service: service?.decode(), slices: own.map { $0.decode() })
  }

  func plan(_ snapshot: Snapshot) -> Plan<Action> { Self.plan(snapshot) }

  static func plan(_ snapshot: Snapshot) -> Plan<Action> {
    let endpoints = snapshot.endpoints
    var mirror = Mirror()
    if isMirrored(endpoints, service: snapshot.service) {
      for subset in endpoints.subsets { mirror.add(subset) }
    }
    let owner = endpoints.metadata.uid ?? ""
    var actions = EndpointSlicePlan.plan(mirror.groups, slices: snapshot.slices, of: .init(endpoints)).map {
      Action.write(EndpointSliceReconciler.Action(step: $0, owner: owner))
    }
    // Said when something is written, or it would be said at every visit.
    if !actions.isEmpty {
      actions += mirror.warnings.map { Action.warn(endpoints, reason: $0.reason, message: $0.message) }
    }
    return Plan(actions)
  }

  static func isMirrored(_ endpoints: Endpoints, service: KubeTypes.Service?) -> Bool {
    let metadata = endpoints.metadata
    guard metadata.labels[skipLabel] != "true", metadata.annotations[leaderAnnotation] == nil,
      metadata.labels[EndpointsReconciler.managedByLabel] != EndpointsReconciler.manager, let service
    else { return false }
    return service.spec.selector.isEmpty && service.spec.type != "ExternalName"
  }

  /// What the slices are to hold.
  private struct Mirror {
    var groups: [EndpointSlicePlan.Group: [Endpoint]] = [:]
    private var seen: [EndpointSlicePlan.Group: Set<String>] = [:]
    private var skipped = 0
    private var invalid = 0

    mutating func add(_ subset: EndpointSubset) {
      let ports = Set(subset.ports.map { EndpointSlicePlan.Port($0) })
      var count = 0
      for (addresses, isReady) in [(subset.addresses, true), (subset.notReadyAddresses, false)] {
        for address in addresses {
          guard let text = address.ip, let parsed = IPAddress(text), AddressClass(parsed).refusal == nil else {
            invalid += 1
            continue
          }
          guard count < EndpointsMirrorReconciler.addressesMax else {
            skipped += 1
            continue
          }
          count += 1
          let group = EndpointSlicePlan.Group(family: parsed.isIPv4 ? "IPv4" : "IPv6", ports: ports)
          guard seen[group, default: []].insert(text).inserted else { continue }
          groups[group, default: []].append(Self.endpoint(address, text, isReady: isReady))
        }
      }
    }

    private static func endpoint(_ address: EndpointAddress, _ text: String, isReady: Bool) -> Endpoint {
      var json: JSON = ["addresses": [.string(text)], "conditions": ["ready": .bool(isReady)]]
      if let hostname = address.hostname, !hostname.isEmpty { json["hostname"] = .string(hostname) }
      if let node = address.nodeName, !node.isEmpty { json["nodeName"] = .string(node) }
      json["targetRef"] = address.json["targetRef"]
      return Endpoint(json: json)
    }

    var warnings: [(reason: String, message: String)] {
      var result: [(reason: String, message: String)] = []
      if skipped > 0 {
        result.append(
          (
            "TooManyAddressesToMirror",
            "\(skipped) addresses are not mirrored: \(EndpointsMirrorReconciler.addressesMax) of a subset are"
          ))
      }
      if invalid > 0 {
        result.append(
          ("InvalidEndpointAddress", "\(invalid) addresses are not mirrored: nothing may be translated to them"))
      }
      return result
    }
  }

  func subject(of key: ObjectKey) -> EventSubject? {
    endpoints.get(key).map { EventSubject(Endpoints.groupVersionKind, $0.header) }
  }

  func apply(_ action: Action) async throws {
    switch action {
    case .write(let action):
      try await pending.apply(
        action, client: client, options: WriteOptions(fieldManager: "endpointslicemirroring-controller"))
    case .warn(let endpoints, let reason, let message):
      events.record(.warning, regarding: EventSubject(endpoints), reason: reason, message: message)
    }
  }
}

func endpointsMirrorController(
  client: any KubeClient, services: Informer, endpoints: Informer, slices: Informer, metrics: Metrics,
  time: any TimeSource,
  seed: UInt64
) -> any ControllerKit.Service {
  let events = EventRecorder(client: client, component: "endpoint-slice-mirroring-controller", time: time)
  let controller = Controller(
    EndpointsMirrorReconciler(
      client: client, services: services, endpoints: endpoints, slices: slices, events: events),
    informers: [services, endpoints, slices], events: events, metrics: metrics, time: time, seed: seed)
  for informer in [services, endpoints] {
    informer.onChange { old, new in
      if let key = (new ?? old)?.header.key { controller.enqueue(key) }
    }
  }
  // Somebody else's change to a mirror is put right.
  slices.onChange { old, new in
    guard let header = (new ?? old)?.header,
      header.labels[EndpointSlicePlan.managedByLabel] == EndpointsMirrorReconciler.manager,
      let service = header.labels[EndpointSlicePlan.serviceNameLabel]
    else { return }
    controller.enqueue(ObjectKey(namespace: header.namespace, name: service))
  }
  return controller
}
