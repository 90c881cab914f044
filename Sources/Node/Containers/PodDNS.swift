import KubeTypes
import LinuxSystem

/// A pod's `/etc/resolv.conf` by its `dnsPolicy` (kubelet's `network/dns`). Pure.
enum PodDNS {
  /// `resolv.conf(5)` takes no more.
  static let nameserversMax = 3
  static let searchesMax = 32

  /// - Parameter host: the machine's own settings.
  static func settings(
    for pod: Pod, clusterDNS: String, clusterDomain: String, host: ResolverConfiguration
  ) -> ResolverConfiguration {
    var settings = ResolverConfiguration()
    let usesHostNetwork = pod.spec.hostNetwork == true
    switch pod.spec.dnsPolicy ?? "ClusterFirst" {
    case "None": break
    case "ClusterFirstWithHostNet": settings = cluster(pod, clusterDNS, clusterDomain, host)
    case "ClusterFirst" where !usesHostNetwork: settings = cluster(pod, clusterDNS, clusterDomain, host)
    default: settings = host
    }
    if let extra = pod.spec.dnsConfig {
      settings.nameservers = unique(settings.nameservers + extra.nameservers)
      settings.searches = unique(settings.searches + extra.searches)
      for option in extra.options {
        guard let name = option.name, !name.isEmpty else { continue }
        settings.options.removeAll { $0 == name || $0.hasPrefix(name + ":") }
        settings.options.append(option.value.map { "\(name):\($0)" } ?? name)
      }
    }
    settings.nameservers = Array(settings.nameservers.prefix(nameserversMax))
    settings.searches = Array(settings.searches.prefix(searchesMax))
    return settings
  }

  private static func cluster(_ pod: Pod, _ server: String, _ domain: String, _ host: ResolverConfiguration)
    -> ResolverConfiguration
  {
    let namespace = pod.metadata.namespace ?? ""
    return ResolverConfiguration(
      nameservers: [server],
      searches: unique(["\(namespace).svc.\(domain)", "svc.\(domain)", domain] + host.searches), options: ["ndots:5"])
  }

  private static func unique(_ list: [String]) -> [String] {
    var seen: Set<String> = []
    return list.filter { seen.insert($0).inserted }
  }

  /// The name inside the pod: `spec.hostname` or the pod's name, at most 63 bytes.
  static func hostname(of pod: Pod) -> String {
    var name = pod.spec.hostname.flatMap { $0.isEmpty ? nil : $0 } ?? pod.metadata.name ?? "pod"
    if name.utf8.count > 63 { name = String(name.prefix(63)) }
    while let last = name.last, last == "-" || last == "." { name.removeLast() }
    return name
  }

  /// The kernel's name for the pod's host: with `setHostnameAsFQDN` the whole one, when there is one.
  static func kernelHostname(of pod: Pod, clusterDomain: String) -> String {
    guard pod.spec.setHostnameAsFQDN == true else { return hostname(of: pod) }
    return fullyQualifiedName(of: pod, clusterDomain: clusterDomain) ?? hostname(of: pod)
  }

  static func fullyQualifiedName(of pod: Pod, clusterDomain: String) -> String? {
    guard let subdomain = pod.spec.subdomain, !subdomain.isEmpty else { return nil }
    return "\(hostname(of: pod)).\(subdomain).\(pod.metadata.namespace ?? "").svc.\(clusterDomain)"
  }
}
