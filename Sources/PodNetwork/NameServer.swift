import ControllerKit
import LinuxSystem
import Wire

/// The cluster's name server, a part of the node's data plane (`DataPlane`): names are answered while the API server is
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

  static let dataPlane = DataPlanePart(
    name: "names", identity: name,
    // Until it had a part in the data plane, it was a process alone.
    earlier: [.init(files: "network/name-server", cgroup: "names")],
    sockets: { settings in (ClusterRanges(settings)?.nameServers ?? []).flatMap { DNSServer.sockets($0) } },
    isSilent: { settings in
      guard let address = ClusterRanges(settings)?.nameServers.first else { return false }
      return await NameServerProbe(address: address.description).isSilent()
    },
    run: { try await run($0) })

  /// Serves until its task is cancelled.
  private static func run(_ context: DataPlaneContext) async throws {
    guard let configuration = PodNetworkConfiguration(context.place, context.settings) else {
      throw PodNetworkError(.configuration, "no server with a pod network has run on \(context.place.data)")
    }
    let host = try HostNetwork(configuration)
    let informers = InformerSet(client: context.client, time: context.time)
    let records = ClusterRecords(domain: configuration.clusterDomain, informers: informers)
    let server = DNSServer(
      addresses: host.ranges.nameServers, sockets: context.sockets, records: records,
      localRanges: host.ranges.pods.all + host.ranges.services.all, resolverFile: "/etc/resolv.conf",
      time: context.time)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await informers.run() }
      group.addTask {
        if context.isRelieving {
          try await informers.waitUntilSynced()
          context.serving()
          try await context.turn.wait()
        }
        await context.turn.takes("names", stop: { await server.stopTaking() }, goOn: { server.goOnTaking() })
        try await server.run(answering: context.serving)
      }
      // Whichever ends, the other one ends with it; the server has answered then what it was asked.
      defer { group.cancelAll() }
      try await group.next()
    }
  }
}
