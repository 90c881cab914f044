import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Telemetry
import Wire

/// Keeps the endpoint slices of every service with a selector.
struct EndpointSliceReconciler: Reconciler {
  let name = "endpointslice"

  static let resource = GroupVersionResource(group: "discovery.k8s.io", version: "v1", resource: "endpointslices")

  let client: any KubeClient
  let services: Informer
  let slices: Informer
  let nodes: Informer
  let index: EndpointPodIndex
  private let pending = PendingWrites()

  init(client: any KubeClient, services: Informer, slices: Informer, nodes: Informer, index: EndpointPodIndex) {
    self.client = client
    self.services = services
    self.slices = slices
    self.nodes = nodes
    self.index = index
  }

  typealias Snapshot = EndpointSlicePlan.Snapshot

  struct Action: Sendable {
    var step: EndpointSlicePlan.Action
    /// The service's uid.
    var owner: String
  }

  func observe(_ key: ObjectKey) async throws -> Snapshot? {
    // A deleted service's slices go with it, by their owner reference.
    guard let object = services.get(key), object.header.deletionTimestamp == nil,
      let service = EndpointService(object.decode())
    else { return nil }
    let pods = index.pods(of: key)
    var zones: [String: String] = [:]
    for node in Set(pods.map(\.nodeName)) where !node.isEmpty {
      zones[node] = nodes.get(ObjectKey(name: node))?.header.labels["topology.kubernetes.io/zone"]
    }
    let (objects, deleting) = pending.overlay(on: slices, owner: service.uid)
    let own = objects.filter {
      $0.header.labels[EndpointSlicePlan.managedByLabel] == EndpointSlicePlan.manager
        && $0.header.deletionTimestamp == nil && !deleting.contains($0.header.uid)
    }
    return Snapshot(service: service, pods: pods, zones: zones, slices: own.map { $0.decode() })
  }

  func plan(_ snapshot: Snapshot) -> Plan<Action> {
    Plan(EndpointSlicePlan.plan(snapshot).map { Action(step: $0, owner: snapshot.service.uid) })
  }

  func subject(of key: ObjectKey) -> EventSubject? {
    services.get(key).map { EventSubject(KubeTypes.Service.groupVersionKind, $0.header) }
  }

  func apply(_ action: Action) async throws {
    try await pending.apply(action, client: client, options: WriteOptions(fieldManager: "endpointslice-controller"))
  }
}

extension PendingWrites {
  /// Writes one step of a plan for slices.
  func apply(_ action: EndpointSliceReconciler.Action, client: any KubeClient, options: WriteOptions) async throws {
    let resource = EndpointSliceReconciler.resource
    switch action.step {
    case .create(let slice):
      let object = try await client.create(
        resource, namespace: slice.metadata.namespace, name: nil, subresource: nil, body: slice.json,
        options: options)
      created(object, owner: action.owner)
    case .update(let slice):
      _ = try await client.update(
        resource, namespace: slice.metadata.namespace, name: slice.metadata.name ?? "", subresource: nil,
        body: slice.json, options: options)
    case .delete(let key, let uid):
      do {
        _ = try await client.delete(
          resource, namespace: key.namespace, name: key.name, options: DeleteOptions(preconditionUID: uid))
      } catch let error as KubeError where error.reason == .notFound {
        // Gone already.
      }
      deleted(uid: uid, owner: action.owner)
    }
  }
}

/// Keeps the `v1` Endpoints of every service with a selector, for clients that do not know slices.
struct EndpointsReconciler: Reconciler {
  let name = "endpoints"

  static let resource = GroupVersionResource(group: "", version: "v1", resource: "endpoints")
  static let addressesMax = 1000
  static let managedByLabel = "endpoints.kubernetes.io/managed-by"
  static let manager = "endpoint-controller"
  static let overCapacity = "endpoints.kubernetes.io/over-capacity"

  let client: any KubeClient
  let services: Informer
  let endpoints: Informer
  let index: EndpointPodIndex

  struct Snapshot: Sendable {
    /// `nil` when the service is gone.
    var service: EndpointService?
    /// Sorted by name.
    var pods: [EndpointPod]
    var endpoints: Endpoints?
  }

  enum Action: Sendable, Equatable {
    case create(Endpoints)
    case update(Endpoints)
    case delete(ObjectKey, uid: String)
  }

  func observe(_ key: ObjectKey) async throws -> Snapshot? {
    let current = endpoints.get(key)?.decode(Endpoints.self)
    guard let object = services.get(key), object.header.deletionTimestamp == nil else {
      return current.map { Snapshot(service: nil, pods: [], endpoints: $0) }
    }
    guard let service = EndpointService(object.decode()) else { return nil }
    return Snapshot(service: service, pods: index.pods(of: key), endpoints: current)
  }

  func plan(_ snapshot: Snapshot) -> Plan<Action> {
    guard let service = snapshot.service else {
      // Endpoints that somebody made by hand are not ours to delete.
      guard let metadata = snapshot.endpoints?.metadata, metadata.labels[Self.managedByLabel] == Self.manager else {
        return Plan()
      }
      let key = ObjectKey(namespace: metadata.namespace ?? "", name: metadata.name ?? "")
      return Plan([.delete(key, uid: metadata.uid ?? "")])
    }
    var labels = service.labels
    labels[EndpointSlicePlan.headlessLabel] = service.isHeadless ? "" : nil
    labels[Self.managedByLabel] = Self.manager
    let (subsets, isTruncated) = Self.subsets(service, snapshot.pods)
    var wanted = snapshot.endpoints ?? Endpoints()
    wanted.metadata.name = service.key.name
    wanted.metadata.namespace = service.key.namespace
    wanted.metadata.labels = labels
    if (wanted.metadata.annotations[Self.overCapacity] != nil) != isTruncated {
      wanted.metadata.annotations[Self.overCapacity] = isTruncated ? "truncated" : nil
    }
    if wanted.subsets != subsets { wanted.subsets = subsets }
    guard let current = snapshot.endpoints else { return Plan([.create(wanted)]) }
    return wanted == current ? Plan() : Plan([.update(wanted)])
  }

  /// Pods with the same ports share a subset; addresses are sorted.
  static func subsets(_ service: EndpointService, _ pods: [EndpointPod]) -> ([EndpointSubset], isTruncated: Bool) {
    let family = service.families.first ?? "IPv4"
    struct Group {
      var ports: [JSON]
      var ready: [(address: String, json: JSON)] = []
      var notReady: [(address: String, json: JSON)] = []
    }
    var groups: [String: Group] = [:]
    var count = 0
    var isTruncated = false
    // Ready addresses come first into what has room.
    let eligible = pods.filter { service.publishesNotReady || !$0.isTerminating }
    for wantsReady in [true, false] {
      for pod in eligible where (service.publishesNotReady || pod.isReady) == wantsReady {
        guard let ip = pod.address(family: family) else { continue }
        let ports = service.ports.compactMap { port -> JSON? in
          guard let number = pod.targetPort(of: port) else { return nil }
          var json: JSON = [:]
          if let name = port.name, !name.isEmpty { json["name"] = .string(name) }
          json["port"] = .int(number)
          json["protocol"] = .string(port.protocol ?? "TCP")
          json["appProtocol"] = port.appProtocol.map { .string($0) }
          return json
        }
        // A named port that the pod does not have is no port of it; a service without ports has bare addresses.
        if ports.isEmpty && !(service.ports.isEmpty && service.isHeadless) { continue }
        if count == addressesMax {
          isTruncated = true
          continue
        }
        count += 1
        var address: JSON = ["ip": .string(ip)]
        address["hostname"] = pod.hostname(in: service).map { .string($0) }
        if !pod.nodeName.isEmpty { address["nodeName"] = .string(pod.nodeName) }
        address["targetRef"] = [
          "kind": "Pod", "namespace": .string(pod.key.namespace), "name": .string(pod.key.name),
          "uid": .string(pod.uid),
        ]
        let sorted = ports.map { (text: $0.text, json: $0) }.sorted { $0.text < $1.text }
        let key = sorted.map(\.text).joined()
        var group = groups[key] ?? Group(ports: sorted.map(\.json))
        if wantsReady { group.ready.append((ip, address)) } else { group.notReady.append((ip, address)) }
        groups[key] = group
      }
    }
    let subsets = groups.sorted { $0.key < $1.key }.map { _, group in
      var subset: JSON = [:]
      func list(_ addresses: [(address: String, json: JSON)]) -> JSON? {
        addresses.isEmpty ? nil : .array(addresses.sorted { $0.address < $1.address }.map(\.json))
      }
      subset["addresses"] = list(group.ready)
      subset["notReadyAddresses"] = list(group.notReady)
      if !group.ports.isEmpty { subset["ports"] = .array(group.ports) }
      return EndpointSubset(json: subset)
    }
    return (subsets, isTruncated)
  }

  func subject(of key: ObjectKey) -> EventSubject? {
    services.get(key).map { EventSubject(KubeTypes.Service.groupVersionKind, $0.header) }
  }

  func apply(_ action: Action) async throws {
    let options = WriteOptions(fieldManager: "endpoint-controller")
    switch action {
    case .create(let endpoints):
      _ = try await client.create(
        Self.resource, namespace: endpoints.metadata.namespace, name: nil, subresource: nil, body: endpoints.json,
        options: options)
    case .update(let endpoints):
      _ = try await client.update(
        Self.resource, namespace: endpoints.metadata.namespace, name: endpoints.metadata.name ?? "",
        subresource: nil, body: endpoints.json, options: options)
    case .delete(let key, let uid):
      do {
        _ = try await client.delete(
          Self.resource, namespace: key.namespace, name: key.name, options: DeleteOptions(preconditionUID: uid))
      } catch let error as KubeError where error.reason == .notFound {
        // Gone already.
      }
    }
  }
}

/// Keeps EndpointSlices and Endpoints, and the slices that mirror Endpoints made by others.
func endpointControllers(
  clients: ComponentClients, informers: InformerSet, metrics: Metrics, time: any TimeSource, seed: UInt64
) -> [any ControllerKit.Service] {
  func core(_ resource: String) -> Informer {
    informers.informer(for: GroupVersionResource(group: "", version: "v1", resource: resource))
  }
  let services = core("services")
  let pods = core("pods")
  let nodes = core("nodes")
  let endpoints = core("endpoints")
  let slices = informers.informer(for: EndpointSliceReconciler.resource)
  let index = EndpointPodIndex()
  let (sliceClient, endpointsClient) = (clients(.endpointSlices), clients(.endpoints))
  let sliceController = Controller(
    EndpointSliceReconciler(client: sliceClient, services: services, slices: slices, nodes: nodes, index: index),
    workers: 4, informers: [services, pods, nodes, slices],
    events: EventRecorder(client: sliceClient, component: "endpoint-slice-controller", time: time),
    metrics: metrics, time: time, seed: seed)
  let endpointsController = Controller(
    EndpointsReconciler(client: endpointsClient, services: services, endpoints: endpoints, index: index),
    informers: [services, pods, endpoints],
    events: EventRecorder(client: endpointsClient, component: "endpoint-controller", time: time), metrics: metrics,
    time: time, seed: seed)

  services.onChange { old, new in
    index.serviceChanged(old, new)
    guard let key = (new ?? old)?.header.key else { return }
    sliceController.enqueue(key)
    endpointsController.enqueue(key)
  }
  pods.onChange { old, new in
    for key in index.podChanged(old, new) {
      sliceController.enqueue(key)
      endpointsController.enqueue(key)
    }
  }
  // Somebody else's change to what is kept here is put right.
  slices.onChange { old, new in
    guard let header = (new ?? old)?.header,
      header.labels[EndpointSlicePlan.managedByLabel] == EndpointSlicePlan.manager,
      let service = header.labels[EndpointSlicePlan.serviceNameLabel]
    else { return }
    sliceController.enqueue(ObjectKey(namespace: header.namespace, name: service))
  }
  endpoints.onChange { old, new in
    if let key = (new ?? old)?.header.key { endpointsController.enqueue(key) }
  }
  let mirror = endpointsMirrorController(
    client: clients(.endpointSliceMirrors), services: services, endpoints: endpoints, slices: slices, metrics: metrics,
    time: time, seed: seed)
  return [sliceController, endpointsController, mirror]
}
