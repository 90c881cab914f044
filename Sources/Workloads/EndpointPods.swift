import KubeTypes
import Synchronization
import Wire

/// What endpoints need to know of a pod.
struct EndpointPod: Sendable, Equatable {
  struct NamedPort: Sendable, Equatable {
    var name: String
    var `protocol`: String
    var number: Int64
  }

  var key: ObjectKey
  var uid: String
  var labels: [String: String]
  /// All addresses, the primary one first.
  var addresses: [String]
  var nodeName: String
  var hostname: String
  var subdomain: String
  var isReady: Bool
  var isTerminating: Bool
  /// The container ports that have a name.
  var ports: [NamedPort]

  /// `nil` for a pod that cannot have endpoints: without an address, or ended.
  init?(_ pod: Pod) {
    let status = pod.status
    guard status.phase != "Succeeded", status.phase != "Failed" else { return nil }
    var addresses = status.podIPs.compactMap(\.ip)
    if addresses.isEmpty, let address = status.podIP { addresses = [address] }
    // What nothing may be translated to is no endpoint, whoever reported it.
    addresses.removeAll { text in IPAddress(text).map { AddressClass($0).refusal != nil } ?? true }
    guard !addresses.isEmpty else { return nil }
    self.addresses = addresses
    let metadata = pod.metadata
    key = ObjectKey(namespace: metadata.namespace ?? "", name: metadata.name ?? "")
    uid = metadata.uid ?? ""
    labels = metadata.labels
    let spec = pod.spec
    nodeName = spec.nodeName ?? ""
    hostname = spec.hostname ?? ""
    subdomain = spec.subdomain ?? ""
    isReady = status.conditions.contains { $0.type == "Ready" && $0.status == "True" }
    isTerminating = metadata.deletionTimestamp != nil
    ports = []
    for container in spec.containers + spec.initContainers.filter({ $0.restartPolicy == "Always" }) {
      for port in container.ports {
        guard let name = port.name, !name.isEmpty, let number = port.containerPort else { continue }
        ports.append(NamedPort(name: name, protocol: port.protocol ?? "TCP", number: number))
      }
    }
  }

  /// The number of a service port's target: the number itself, or that of the container port with the name.
  func targetPort(of port: ServicePort) -> Int64? {
    switch port.targetPort {
    case .int(let number) where number > 0: return number
    case .string(let name) where !name.isEmpty:
      return ports.first { $0.name == name && $0.protocol == port.protocol ?? "TCP" }?.number
    default: return port.port
    }
  }

  /// The first address of the family (`IPv4`, `IPv6`).
  func address(family: String) -> String? { addresses.first { $0.contains(":") == (family == "IPv6") } }

  /// The name that the pod has below the service: only a pod that asks for the service's subdomain has one.
  func hostname(in service: EndpointService) -> String? {
    !hostname.isEmpty && subdomain == service.key.name ? hostname : nil
  }
}

/// What endpoints need to know of a service.
struct EndpointService: Sendable, Equatable {
  var key: ObjectKey
  var uid: String
  var labels: [String: String]
  var ports: [ServicePort]
  var isHeadless: Bool
  var publishesNotReady: Bool
  /// `IPv4`, `IPv6`; the primary one first.
  var families: [String]

  /// `nil` for a service whose endpoints are not this platform's to find: without a selector, or `ExternalName`.
  init?(_ service: KubeTypes.Service) {
    let spec = service.spec
    guard !spec.selector.isEmpty, spec.type != "ExternalName" else { return nil }
    let metadata = service.metadata
    key = ObjectKey(namespace: metadata.namespace ?? "", name: metadata.name ?? "")
    uid = metadata.uid ?? ""
    labels = metadata.labels
    ports = spec.ports
    isHeadless = spec.clusterIP == "None"
    publishesNotReady = spec.publishNotReadyAddresses ?? false
    families = spec.ipFamilies.filter { !$0.isEmpty }
    if families.isEmpty { families = [spec.clusterIP?.contains(":") == true ? "IPv6" : "IPv4"] }
  }
}

/// The pods that can have endpoints, and the selectors of services, kept up to date by informers: a pod is decoded once
/// per change and not once per service, and only services that a change concerns are visited.
final class EndpointPodIndex: Sendable {
  private let namespaces = Mutex<[String: EndpointNamespace]>([:])

  /// Takes a pod's change; returns the services whose endpoints it can change.
  func podChanged(_ old: Object?, _ new: Object?) -> [ObjectKey] {
    guard let key = (new ?? old)?.header.key else { return [] }
    // Most events are of pods that have no address yet.
    var decoded = new.flatMap { $0.hasPodAddress ? EndpointPod($0.decode(Pod.self)) : nil }
    // The header's labels are shared with the store.
    if let labels = new?.header.labels { decoded?.labels = labels }
    let pod = decoded
    let services = change(key.namespace) { $0.set(pod, name: key.name) }
    return services.map { ObjectKey(namespace: key.namespace, name: $0) }
  }

  /// Takes a service's change.
  func serviceChanged(_ old: Object?, _ new: Object?) {
    guard let key = (new ?? old)?.header.key else { return }
    let selector = new?.decode(KubeTypes.Service.self).spec.selector ?? [:]
    change(key.namespace) { $0.set(selector: selector, of: key.name) }
  }

  /// The service's pods, sorted by name.
  func pods(of service: ObjectKey) -> [EndpointPod] {
    let pods = namespaces.withLock { $0[service.namespace]?.pods(of: service.name) ?? [] }
    return pods.sorted { $0.key < $1.key }
  }

  private func change<Value: Sendable>(
    _ namespace: String, _ body: (inout EndpointNamespace) -> Value
  ) -> Value {
    namespaces.withLock { namespaces in
      let value = body(&namespaces[namespace, default: EndpointNamespace()])
      if namespaces[namespace]?.isEmpty == true { namespaces[namespace] = nil }
      return value
    }
  }
}

/// A namespace's pods and services. Each service stands under one label value that its selector asks for, together with
/// the pods that have it: neither a change of a pod looks at all services, nor a service at all pods.
struct EndpointNamespace {
  private struct Label: Hashable, Comparable {
    var key: String
    var value: String

    static func < (a: Label, b: Label) -> Bool { (a.key, a.value) < (b.key, b.value) }
  }

  private struct Group {
    var services: Set<String> = []
    var pods: Set<String> = []
  }

  private var pods: [String: EndpointPod] = [:]
  private var selectors: [String: [String: String]] = [:]
  private var groups: [Label: Group] = [:]
  /// How often a selector was laid against a pod: the work that all this is to spare.
  private(set) var comparisons = 0

  var isEmpty: Bool { pods.isEmpty && selectors.isEmpty }

  /// - Returns: the names of the services whose endpoints the change concerns.
  mutating func set(_ pod: EndpointPod?, name: String) -> [String] {
    let before = pods[name]
    if before == pod { return [] }
    pods[name] = pod
    var services: Set<String> = []
    for (key, value) in before?.labels ?? [:] {
      groups[Label(key: key, value: value)]?.pods.remove(name)
      services.formUnion(groups[Label(key: key, value: value)]?.services ?? [])
    }
    for (key, value) in pod?.labels ?? [:] {
      groups[Label(key: key, value: value)]?.pods.insert(name)
      services.formUnion(groups[Label(key: key, value: value)]?.services ?? [])
    }
    return services.filter { service in
      let selector = selectors[service] ?? [:]
      return matches(selector, before) || matches(selector, pod)
    }
  }

  /// - Parameter selector: empty for a service that is gone or selects nothing.
  mutating func set(selector: [String: String], of service: String) {
    if selectors[service] == selector { return }
    if let label = selectors[service].flatMap(Self.label) {
      groups[label]?.services.remove(service)
      if groups[label]?.services.isEmpty == true { groups[label] = nil }
    }
    guard let label = Self.label(selector) else {
      selectors[service] = nil
      return
    }
    selectors[service] = selector
    if groups[label] == nil {
      groups[label] = Group(pods: Set(pods.filter { $0.value.labels[label.key] == label.value }.keys))
    }
    groups[label]?.services.insert(service)
  }

  mutating func pods(of service: String) -> [EndpointPod] {
    guard let selector = selectors[service], let label = Self.label(selector), let group = groups[label] else {
      return []
    }
    return group.pods.compactMap { pods[$0] }.filter { matches(selector, $0) }
  }

  /// The label value under which a service stands: the same one each time.
  private static func label(_ selector: [String: String]) -> Label? {
    selector.map { Label(key: $0.key, value: $0.value) }.min()
  }

  private mutating func matches(_ selector: [String: String], _ pod: EndpointPod?) -> Bool {
    guard let pod else { return false }
    comparisons += 1
    return selector.allSatisfy { pod.labels[$0.key] == $0.value }
  }
}

extension Object {
  /// Whether a pod's status has an address, without decoding the rest.
  fileprivate var hasPodAddress: Bool {
    let status = JSON.value(at: ["status"], of: bytes)
    return status?["podIP"] != nil || status?["podIPs"] != nil
  }
}
