public import ControllerKit
public import KubeClient
import KubeTypes
public import Telemetry
public import Wire

/// Addresses and names of this node's pods and of the cluster's services.
public struct PodNetworkConfiguration: Sendable, Equatable {
  /// The Node object's name: endpoints on it are local ones.
  public var nodeName: String
  /// The addresses of this node's pods, such as `10.244.0.0/24`, or a range of each family with a comma between. The first
  /// address of each is the gateway.
  public var podCIDR: String
  /// The cluster addresses of services, such as `10.96.0.0/16`; of one family of the pods or of both. The tenth address of
  /// each is the name server's.
  public var serviceCIDR: String
  public var clusterDomain: String
  /// At most 15 characters.
  public var bridgeName: String
  /// Where `10-apus.conflist` is written.
  public var cniDirectory: String
  /// Where the address allocations are kept, in `ipam`.
  public var stateDirectory: String
  /// What the bridge is marked with (`BridgeOwner`); empty for no mark.
  public var owner = ""

  public init(
    nodeName: String, podCIDR: String, serviceCIDR: String, clusterDomain: String = "cluster.local",
    bridgeName: String = "apus0", cniDirectory: String, stateDirectory: String
  ) {
    self.nodeName = nodeName
    self.podCIDR = podCIDR
    self.serviceCIDR = serviceCIDR
    self.clusterDomain = clusterDomain
    self.bridgeName = bridgeName
    self.cniDirectory = cniDirectory
    self.stateDirectory = stateDirectory
  }
}

/// The pod network of a node: the bridge and its CNI configuration, and service addresses by nftables. The cluster's DNS
/// is a part of the data plane (`NameServer`).
///
/// When `run` ends, everything stays as it is, so that pods and services go on working while the server is away; the next
/// process takes it over. Its footprint tells what a purge removes. Needs root, and the programs `ip` and `nft`.
public final class PodNetwork: ControllerKit.Service {
  /// What is wrong with the configuration is said by `prepare`.
  private let host: Result<HostNetwork, PodNetworkError>
  private let configuration: PodNetworkConfiguration
  private let proxy: ServiceProxy

  /// Asks `informers` for Services and EndpointSlices, and adds its handlers: they must not run yet. Through `client` it
  /// says in the status of Services and of the node what does not work. Its controllers are counted in `metrics`.
  public init(
    configuration: PodNetworkConfiguration, client: any KubeClient, informers: InformerSet, metrics: Metrics,
    time: any TimeSource
  ) {
    do throws(PodNetworkError) { host = .success(try HostNetwork(configuration)) } catch { host = .failure(error) }
    self.configuration = configuration
    proxy = ServiceProxy(
      nodeName: configuration.nodeName, client: client, informers: informers, metrics: metrics, time: time)
  }

  /// The file that the node hands to the CNI plugins, once `prepare` is done.
  public var cniConfigurationPath: String { "\(configuration.cniDirectory)/10-apus.conflist" }

  /// Makes bridge, routes, kernel settings and CNI configuration. Idempotent; `run` does it, too, but whoever starts the
  /// node awaits this first, because pods need it.
  public func prepare() async throws {
    _ = try await host.get().prepare()
  }

  /// Serves until its task is cancelled.
  public func run() async throws {
    let host = try host.get()
    let filtersBridge = try await host.prepare()
    let base = NFTBase(
      table: configuration.bridgeName, bridge: configuration.bridgeName, ranges: host.ranges,
      filtersBridge: filtersBridge)
    try await proxy.run(base)
  }

  /// Whether the bridge carries this server's mark.
  static func hasBridge(configuration: PodNetworkConfiguration) async throws -> Bool {
    try await BridgeOwner.state(of: configuration.bridgeName)?.owner == configuration.owner
  }
}
