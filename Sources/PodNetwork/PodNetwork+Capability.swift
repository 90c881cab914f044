import ControllerKit
import Glibc
import LinuxSystem
import Wire

extension Capability {
  /// The pod network of this machine: bridge, service addresses and names.
  package static let podNetwork = Capability(
    name: "pod-network", roles: [.node], settings: PodNetworkConfiguration.settings,
    refusal: { settings in
      guard let bridge = settings["bridgeName"], !(1...15).contains(bridge.utf8.count) else { return nil }
      return "--bridge takes an interface name of at most 15 characters, not '\(bridge)'"
    },
    identities: [NameServer.identity], components: [identity], dataPlane: [NameServer.dataPlane],
    advertisedAddress: { ClusterRanges($0)?.apiEndpoint.description },
    optionsBeside: { number in
      let network: CapabilitySettings = [
        "bridgeName": "apus\(number)", "podCIDR": "10.\(244 - number).0.0/24",
        "serviceCIDR": "10.\(96 - number % 96).0.0/16",
      ]
      return zip(
        [("--bridge", "bridgeName"), ("--pod-range", "podCIDR"), ("--service-range", "serviceCIDR")],
        PodNetworkConfiguration.claims(network)
      ).map { option, claim in .init(option: option.0, value: network[option.1] ?? "", claim: claim) }
    },
    footprint: { place, settings in
      var footprint = Footprint(entries: [
        .init("network", signs: ["ipam"]), .init("cni", signs: ["10-apus.conflist"]),
      ])
      footprint.checks = [
        .program("ip", package: "iproute2", arguments: ["-V"]),
        .program("nft", package: "nftables"),
        .program(
          "iptables", package: "iptables", without: "pods cannot have hostPorts; everything else works"),
        MachineCheck("forwarding") { HostNetwork.forwarding() },
      ]
      guard let configuration = PodNetworkConfiguration(place, settings) else { return footprint }
      footprint.links = [configuration.bridgeName]
      // That of IPv4 alone is of earlier versions.
      footprint.tables = ["ip", "inet"].map { "\($0) \(configuration.bridgeName)" }
      footprint.claims = PodNetworkConfiguration.claims(settings)
      footprint.isMarked = { try await PodNetwork.hasBridge(configuration: configuration) }
      footprint.release = { _ in try await HostNetwork(configuration).release() }
      footprint.leftovers = { try await HostNetwork(configuration).leftovers() }
      return footprint
    },
    start: { context in
      guard let configuration = PodNetworkConfiguration(context.place, context.settings) else {
        throw PodNetworkError(.configuration, "a pod network needs a bridge and ranges")
      }
      let network = PodNetwork(
        configuration: configuration, client: context.clients(identity), informers: context.informers,
        metrics: context.metrics,
        time: context.time)
      let isRecorded = context.earlierSettings["bridgeName"] == configuration.bridgeName
      return CapabilityParts(
        services: [network],
        check: {
          try await BridgeOwner.check(
            configuration.bridgeName, owner: configuration.owner, inherited: context.inheritedOwners,
            isRecorded: isRecorded)
        },
        prepare: { try await network.prepare() })
    })

  /// What it asks the API for beside what its informers read: it tells of services that it cannot serve.
  private static let identity = ComponentIdentity.user(
    "system:apus:pod-network",
    [
      .init(verbs: ["update"], resources: ["services/status"]), .init(verbs: ["get"], resources: ["nodes"]),
      .init(verbs: ["patch"], resources: ["nodes/status"]), .events,
    ])
}

extension PodNetworkConfiguration {
  static let settings = ["nodeName", "bridgeName", "podCIDR", "serviceCIDR"]

  /// `nil` when the settings are of a server without a pod network.
  init?(_ place: FootprintPlace, _ settings: CapabilitySettings) {
    guard let bridge = settings["bridgeName"], let pods = settings["podCIDR"], let services = settings["serviceCIDR"]
    else { return nil }
    self.init(
      nodeName: settings["nodeName"] ?? "", podCIDR: pods, serviceCIDR: services, bridgeName: bridge,
      cniDirectory: place.path("cni"), stateDirectory: place.path("network"))
    owner = place.owner
  }

  static func claims(_ settings: CapabilitySettings) -> [Footprint.Claim] {
    [
      .init(.name, "bridge", settings["bridgeName"] ?? ""), .init(.range, "pod range", settings["podCIDR"] ?? ""),
      .init(.range, "service range", settings["serviceCIDR"] ?? ""),
    ]
  }
}

extension ClusterRanges {
  /// `nil` when the settings are of a server without a pod network, or of none that can be.
  init?(_ settings: CapabilitySettings) {
    guard let pods = settings["podCIDR"], let services = settings["serviceCIDR"] else { return nil }
    do throws(ClusterRangesError) { try self.init(pods: pods, services: services) } catch { return nil }
  }
}

extension HostNetwork {
  /// Whether packets between pods and the world would pass, for `apus doctor`.
  static func forwarding() -> MachineCheck.Finding {
    let path = "/proc/sys/net/ipv4/ip_forward"
    if (try? DurableFile.read(path, limit: 64))?.first == UInt8(ascii: "1") { return .ok("IPv4 packets are forwarded") }
    // `prepare` sets it.
    if geteuid() != 0 || access(path, W_OK) == 0 { return .ok("off; `apus up` switches it on") }
    return .problem(
      "IPv4 packets are not forwarded, and \(path) is read-only", remedy: "sysctl -w net.ipv4.ip_forward=1")
  }
}
