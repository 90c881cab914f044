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
  private struct State {
    var pods: [String: [String: EndpointPod]] = [:]
    var selectors: [String: [String: [String: String]]] = [:]
  }

  private let state = Mutex(State())

  /// Takes a pod's change; returns the services whose endpoints it can change.
  func podChanged(_ old: Object?, _ new: Object?) -> [ObjectKey] {
    guard let key = (new ?? old)?.header.key else { return [] }
    // Most events are of pods that have no address yet.
    var decoded = new.flatMap { $0.hasPodAddress ? EndpointPod($0.decode(Pod.self)) : nil }
    // The header's labels are shared with the store.
    if let labels = new?.header.labels { decoded?.labels = labels }
    let pod = decoded
    return state.withLock { state in
      let before = state.pods[key.namespace]?[key.name]
      if before == pod { return [] }
      state.pods[key.namespace, default: [:]][key.name] = pod
      if state.pods[key.namespace]?.isEmpty == true { state.pods[key.namespace] = nil }
      return (state.selectors[key.namespace] ?? [:]).compactMap { name, selector in
        let concerns = Self.matches(selector, before?.labels) || Self.matches(selector, pod?.labels)
        return concerns ? ObjectKey(namespace: key.namespace, name: name) : nil
      }
    }
  }

  /// Takes a service's change.
  func serviceChanged(_ old: Object?, _ new: Object?) {
    guard let key = (new ?? old)?.header.key else { return }
    let selector = new?.decode(KubeTypes.Service.self).spec.selector ?? [:]
    state.withLock { state in
      state.selectors[key.namespace, default: [:]][key.name] = selector.isEmpty ? nil : selector
      if state.selectors[key.namespace]?.isEmpty == true { state.selectors[key.namespace] = nil }
    }
  }

  /// The service's pods, sorted by name.
  func pods(of service: ObjectKey) -> [EndpointPod] {
    let pods: [EndpointPod] = state.withLock { state in
      guard let selector = state.selectors[service.namespace]?[service.name] else { return [] }
      return (state.pods[service.namespace] ?? [:]).values.filter { Self.matches(selector, $0.labels) }
    }
    return pods.sorted { $0.key < $1.key }
  }

  private static func matches(_ selector: [String: String], _ labels: [String: String]?) -> Bool {
    guard let labels else { return false }
    return selector.allSatisfy { labels[$0.key] == $0.value }
  }
}

extension Object {
  /// Whether a pod's status has an address, without decoding the rest.
  fileprivate var hasPodAddress: Bool {
    let status = JSON.value(at: ["status"], of: bytes)
    return status?["podIP"] != nil || status?["podIPs"] != nil
  }
}
