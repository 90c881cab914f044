import ControllerKit
import LinuxSystem
import Wire

/// The cluster's name server, which is a process of its own (`Companion`): names are answered while the API server is
/// away, with what was known last. It follows Services, EndpointSlices and Namespaces over HTTPS.
enum NameServer {
  static let name = "name-server"

  /// What it may do: follow what has a name.
  static let identity = CapabilityIdentity(
    name: name,
    rules: [
      .init(verbs: ["list", "watch"], resources: ["namespaces", "services"]),
      .init(verbs: ["list", "watch"], group: "discovery.k8s.io", resources: ["endpointslices"]),
    ], kubeconfig: "network/name-server.kubeconfig")

  static let companion = Companion(
    name: name, folder: "network", cgroup: "names", identity: name,
    isSilent: { settings in
      guard let address = ClusterRanges(settings)?.nameServers.first else { return false }
      return await NameServerProbe(address: address.description).isSilent()
    },
    main: { try await run($0) })

  /// Serves until its task is cancelled.
  private static func run(_ context: CompanionContext) async throws {
    guard let configuration = PodNetworkConfiguration(context.place, context.settings) else {
      throw PodNetworkError(.configuration, "no server with a pod network has run on \(context.place.data)")
    }
    let host = try HostNetwork(configuration)
    let informers = InformerSet(client: context.client, time: context.time)
    let records = ClusterRecords(domain: configuration.clusterDomain, informers: informers)
    let server = DNSServer(
      addresses: host.ranges.nameServers.map(\.description), port: 53, records: records,
      localRanges: host.ranges.pods.all + host.ranges.services.all, resolverFile: "/etc/resolv.conf",
      time: context.time)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await informers.run() }
      group.addTask { try await server.run() }
      try await group.next()
      group.cancelAll()
    }
  }
}
