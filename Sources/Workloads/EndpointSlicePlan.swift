import ControllerKit
import KubeTypes
import Schema
import Wire

/// The endpoint slices that a service should have, reached by the fewest changes: endpoints stay in their slice, changed
/// slices are filled first, a slice that would be deleted is used for one that would be made (KEP-752).
enum EndpointSlicePlan {
  static let endpointsMax = 100
  static let managedByLabel = "endpointslice.kubernetes.io/managed-by"
  static let manager = "endpointslice-controller.k8s.io"
  static let serviceNameLabel = "kubernetes.io/service-name"
  static let headlessLabel = "service.kubernetes.io/headless"

  /// Whose slices they are.
  struct Owner: Sendable {
    var service: ObjectKey
    var reference: OwnerReference
    /// All of a slice's labels.
    var labels: [String: String]
    /// `nil` to leave them as they are.
    var annotations: [String: String]?
    /// By what an endpoint is known again; endpoints of one group differ in it.
    var identity: @Sendable (Endpoint) -> String

    init(_ service: EndpointService) {
      self.service = service.key
      reference = .controller(KubeTypes.Service.groupVersionKind, name: service.key.name, uid: service.uid)
      labels = service.labels
      labels[headlessLabel] = service.isHeadless ? "" : nil
      labels[serviceNameLabel] = service.key.name
      labels[managedByLabel] = manager
      identity = { $0.targetRef?.uid ?? "" }
    }

    /// Of the mirror of Endpoints.
    init(_ endpoints: Endpoints) {
      let metadata = endpoints.metadata
      service = ObjectKey(namespace: metadata.namespace ?? "", name: metadata.name ?? "")
      reference = .controller(of: endpoints)
      labels = metadata.labels
      labels[serviceNameLabel] = service.name
      labels[managedByLabel] = EndpointsMirrorReconciler.manager
      var annotations = metadata.annotations
      annotations["kubectl.kubernetes.io/last-applied-configuration"] = nil
      self.annotations = annotations
      identity = { $0.addresses.first ?? "" }
    }
  }

  struct Snapshot: Sendable {
    var service: EndpointService
    /// Sorted by name.
    var pods: [EndpointPod]
    /// The zone of each node that has one.
    var zones: [String: String]
    /// The service's slices that are managed here and not being deleted.
    var slices: [EndpointSlice]
  }

  enum Action: Sendable, Equatable {
    case create(EndpointSlice)
    case update(EndpointSlice)
    case delete(ObjectKey, uid: String)
  }

  struct Port: Sendable, Hashable {
    var name: String
    var `protocol`: String
    var number: Int64?
    var appProtocol: String?

    var json: JSON {
      var json: JSON = ["name": .string(name), "protocol": .string(`protocol`)]
      json["port"] = number.map { .int($0) }
      json["appProtocol"] = appProtocol.map { .string($0) }
      return json
    }

    init(_ port: ServicePort, number: Int64) {
      name = port.name ?? ""
      `protocol` = port.protocol ?? "TCP"
      self.number = number
      appProtocol = port.appProtocol
    }

    init(_ port: EndpointPort) {
      name = port.name ?? ""
      `protocol` = port.protocol ?? "TCP"
      number = port.port
      appProtocol = port.appProtocol
    }

    init(_ port: DiscoveryEndpointPort) {
      name = port.name ?? ""
      `protocol` = port.protocol ?? "TCP"
      number = port.port
      appProtocol = port.appProtocol
    }
  }

  /// Slices with the same address type and ports hold one list of endpoints.
  struct Group: Hashable {
    var family: String
    var ports: Set<Port>
  }

  static func plan(_ snapshot: Snapshot) -> [Action] {
    plan(desiredEndpoints(snapshot), slices: snapshot.slices, of: Owner(snapshot.service))
  }

  /// - Parameter current: the slices that `owner` has.
  static func plan(_ desired: [Group: [Endpoint]], slices current: [EndpointSlice], of owner: Owner) -> [Action] {
    var existing: [Group: [EndpointSlice]] = [:]
    for slice in current.sorted(by: { ($0.metadata.name ?? "") < ($1.metadata.name ?? "") }) {
      let group = Group(family: slice.addressType ?? "", ports: Set(slice.ports.map(Port.init)))
      existing[group, default: []].append(slice)
    }
    var creations: [EndpointSlice] = []
    var updates: [EndpointSlice] = []
    var superfluous: [EndpointSlice] = []
    let order = desired.keys.sorted { groupOrder($0) < groupOrder($1) }
    for group in order {
      fill(
        group, with: desired[group] ?? [], existing: existing.removeValue(forKey: group) ?? [], owner,
        &creations, &updates, &superfluous)
    }
    superfluous += existing.sorted { groupOrder($0.key) < groupOrder($1.key) }.flatMap(\.value)

    // A slice that is to go takes the content of one that is to come: watchers see one change and never a gap. The
    // address type of a slice cannot change.
    var actions: [Action] = updates.map { .update($0) }
    for creation in creations {
      if let at = superfluous.firstIndex(where: { $0.addressType == creation.addressType }) {
        var recycled = superfluous.remove(at: at)
        recycled.json["ports"] = creation.json["ports"]
        recycled.json["endpoints"] = creation.json["endpoints"]
        setMetadata(of: &recycled, owner)
        actions.append(.update(recycled))
      } else {
        actions.append(.create(creation))
      }
    }
    return actions
      + superfluous.map { slice in
        let metadata = slice.metadata
        return .delete(
          ObjectKey(namespace: metadata.namespace ?? "", name: metadata.name ?? ""), uid: metadata.uid ?? "")
      }
  }

  private static func groupOrder(_ group: Group) -> String {
    group.family + group.ports.map { $0.json.text }.sorted().joined()
  }

  private static func desiredEndpoints(_ snapshot: Snapshot) -> [Group: [Endpoint]] {
    let service = snapshot.service
    var groups: [Group: [Endpoint]] = [:]
    for family in service.families {
      var isEmpty = true
      for pod in snapshot.pods {
        guard let address = pod.address(family: family) else { continue }
        let ports = Set(service.ports.compactMap { port in pod.targetPort(of: port).map { Port(port, number: $0) } })
        groups[Group(family: family, ports: ports), default: []].append(
          endpoint(pod, address: address, service, zone: snapshot.zones[pod.nodeName]))
        isEmpty = false
      }
      // A service without endpoints keeps one empty slice: whoever waits for a slice learns that there is nothing.
      if isEmpty { groups[Group(family: family, ports: [])] = [] }
    }
    return groups
  }

  static func endpoint(_ pod: EndpointPod, address: String, _ service: EndpointService, zone: String?) -> Endpoint {
    let isReady = service.publishesNotReady || (pod.isReady && !pod.isTerminating)
    var json: JSON = [
      "addresses": [.string(address)],
      "conditions": [
        "ready": .bool(isReady), "serving": .bool(pod.isReady),
        "terminating": .bool(pod.isTerminating),
      ],
    ]
    json["hostname"] = pod.hostname(in: service).map { .string($0) }
    if !pod.nodeName.isEmpty { json["nodeName"] = .string(pod.nodeName) }
    json["zone"] = zone.map { .string($0) }
    json["targetRef"] = [
      "kind": "Pod", "namespace": .string(pod.key.namespace), "name": .string(pod.key.name), "uid": .string(pod.uid),
    ]
    return Endpoint(json: json)
  }

  private static func fill(
    _ group: Group, with endpoints: [Endpoint], existing: [EndpointSlice], _ owner: Owner,
    _ creations: inout [EndpointSlice], _ updates: inout [EndpointSlice], _ superfluous: inout [EndpointSlice]
  ) {
    var missing: [String: Endpoint] = [:]
    for endpoint in endpoints { missing[owner.identity(endpoint)] = endpoint }
    // What stays stays where it is.
    var slices: [(slice: EndpointSlice, endpoints: [Endpoint], isChanged: Bool)] = existing.map { slice in
      var kept: [Endpoint] = []
      var isChanged = false
      for endpoint in slice.endpoints {
        if let wanted = missing.removeValue(forKey: owner.identity(endpoint)) {
          isChanged = isChanged || wanted != endpoint
          kept.append(wanted)
        } else {
          isChanged = true
        }
      }
      var slice = slice
      let isRelabelled = setMetadata(of: &slice, owner)
      return (slice, kept, isChanged || isRelabelled)
    }
    // What is new goes into slices that are written anyway, then into others with room, then into new ones.
    var rest = endpoints.filter { missing[owner.identity($0)] != nil }[...]
    for wantsChanged in [true, false] {
      for index in slices.indices where slices[index].isChanged == wantsChanged && !rest.isEmpty {
        let room = max(0, endpointsMax - slices[index].endpoints.count)
        if room == 0 { continue }
        slices[index].endpoints += rest.prefix(room)
        slices[index].isChanged = true
        rest = rest.dropFirst(room)
      }
    }
    // The empty slice of a service without endpoints is the only one that stays empty.
    let keepsEmpty = endpoints.isEmpty
    var hasSlice = false
    for (slice, content, isChanged) in slices {
      if content.isEmpty && (!keepsEmpty || hasSlice) {
        superfluous.append(slice)
        continue
      }
      hasSlice = true
      guard isChanged else { continue }
      var slice = slice
      slice.endpoints = content
      updates.append(slice)
    }
    while !rest.isEmpty || (keepsEmpty && !hasSlice) {
      creations.append(newSlice(group, Array(rest.prefix(endpointsMax)), owner))
      rest = rest.dropFirst(endpointsMax)
      hasSlice = true
    }
  }

  private static func newSlice(_ group: Group, _ endpoints: [Endpoint], _ owner: Owner) -> EndpointSlice {
    var slice = EndpointSlice()
    slice.metadata.generateName = "\(owner.service.name)-"
    slice.metadata.namespace = owner.service.namespace
    setMetadata(of: &slice, owner)
    slice.addressType = group.family
    slice.endpoints = endpoints
    let ports = group.ports.sorted { ($0.name, $0.number ?? 0, $0.protocol) < ($1.name, $1.number ?? 0, $1.protocol) }
    slice.json["ports"] = .array(ports.map(\.json))
    return slice
  }

  /// Labels, annotations and owner; says whether anything changed.
  @discardableResult
  private static func setMetadata(of slice: inout EndpointSlice, _ owner: Owner) -> Bool {
    var isChanged = false
    if slice.metadata.labels != owner.labels {
      slice.metadata.labels = owner.labels
      isChanged = true
    }
    if let annotations = owner.annotations, slice.metadata.annotations != annotations {
      slice.metadata.annotations = annotations
      isChanged = true
    }
    if !slice.metadata.ownerReferences.contains(where: { $0.uid == owner.reference.uid }) {
      slice.metadata.ownerReferences = [owner.reference]
      isChanged = true
    }
    return isChanged
  }
}
