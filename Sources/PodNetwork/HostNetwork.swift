import Glibc
import LinuxSystem
import Logging
import Wire

/// Bridge, addresses, routes and kernel settings of this node, and the CNI configuration that puts pods on the bridge.
struct HostNetwork: Sendable {
  let configuration: PodNetworkConfiguration
  let pods: IPv4Range
  let services: IPv4Range
  let dns: IPv4

  /// Whoever asks for an address of the pods or the services that nobody has must not send packets into the world: these
  /// routes win only when no other one is there.
  private static let lastResortMetric = 4096

  init(_ configuration: PodNetworkConfiguration) throws(PodNetworkError) {
    func bad(_ what: String) -> PodNetworkError { PodNetworkError(.configuration, what) }
    guard let pods = IPv4Range(configuration.podCIDR), (8...30).contains(pods.prefixLength) else {
      throw bad("the pod range \"\(configuration.podCIDR)\" must be an IPv4 range such as 10.244.0.0/24 (/8 to /30)")
    }
    guard let services = IPv4Range(configuration.serviceCIDR), (8...30).contains(services.prefixLength) else {
      throw bad("the service range \"\(configuration.serviceCIDR)\" must be an IPv4 range such as 10.96.0.0/16")
    }
    guard !pods.contains(services.base), !services.contains(pods.base) else {
      throw bad("the pod range \(pods) and the service range \(services) must not overlap")
    }
    guard let dns = IPv4(configuration.dnsServiceIP), services.contains(dns) else {
      throw bad("the DNS address \"\(configuration.dnsServiceIP)\" must be in the service range \(services)")
    }
    let bridge = configuration.bridgeName
    // IFNAMSIZ, with the ending zero.
    guard (1...15).contains(bridge.utf8.count),
      bridge.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) || $0 == UInt8(ascii: "-") })
    else { throw bad("the bridge name \"\(bridge)\" must be 1 to 15 lower-case letters, digits and '-'") }
    self.configuration = configuration
    self.pods = pods
    self.services = services
    self.dns = dns
  }

  var conflistPath: String { "\(configuration.cniDirectory)/10-apus.conflist" }
  private var ipamDirectory: String { "\(configuration.stateDirectory)/ipam" }

  /// Idempotent. Returns whether bridged packets pass netfilter.
  func prepare() async throws -> Bool {
    let bridge = configuration.bridgeName
    if access("/proc/sys/net/bridge", F_OK) != 0 {
      // Without the module it works, too: see `NFTBase.filtersBridge`.
      _ = try? await Subprocess.run("modprobe", ["br_netfilter"])
    }
    let filtersBridge = (try? HostNetwork.setKernel("net/bridge/bridge-nf-call-iptables", "1")) != nil
    try HostNetwork.setKernel("net/ipv4/ip_forward", "1")
    // Not by /sys/class/net, which may be another network namespace's.
    if if_nametoindex(bridge) == 0 {
      // With an address of its own the bridge does not take on one of its ports', which come and go.
      let mac = "0a:58:" + pods.first.octets.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
      try await Program.run("ip", ["link", "add", "name", bridge, "address", mac, "type", "bridge"])
    }
    // Pods may answer to connections that came from 127.0.0.1 (node ports), which needs route_localnet; packets that
    // claim such an address are dropped by the table's first chain.
    try HostNetwork.setKernel("net/ipv4/conf/\(bridge)/route_localnet", "1")
    let commands = """
      link set dev \(bridge) up\(BridgeOwner.option(configuration.owner))
      address replace \(pods.first)/\(pods.prefixLength) broadcast + dev \(bridge)
      address replace \(dns)/32 dev \(bridge)
      route replace \(services) dev \(bridge) src \(pods.first)
      route replace blackhole \(services) metric \(HostNetwork.lastResortMetric)
      route replace blackhole \(pods) metric \(HostNetwork.lastResortMetric)

      """
    try await Program.run("ip", ["-batch", "-"], stdin: Array(commands.utf8))
    for folder in [configuration.cniDirectory, configuration.stateDirectory] { try Directory.createPrivate(folder) }
    try Directory.create(ipamDirectory)
    let text = Array((conflist(portMapping: HostNetwork.hasIPTables).prettyPrinted() + "\n").utf8)
    if (try? DurableFile.read(conflistPath, limit: 1 << 20)) != text { try DurableFile.write(text, to: conflistPath) }
    return filtersBridge
  }

  /// The network configuration list (CNI specification 1.0.0, section 1).
  ///
  /// The bridge plugin neither masquerades nor filters: the table does that for all pods at once.
  func conflist(portMapping: Bool) -> JSON {
    var plugins: [JSON] = [
      [
        "type": "bridge", "bridge": .string(configuration.bridgeName), "isGateway": true, "ipMasq": false,
        "hairpinMode": true,
        "ipam": [
          "type": "host-local", "dataDir": .string(ipamDirectory),
          "ranges": [[["subnet": .string(pods.description)]]], "routes": [["dst": "0.0.0.0/0"]],
        ],
      ]
    ]
    if portMapping { plugins.append(["type": "portmap", "capabilities": ["portMappings": true], "snat": true]) }
    return ["cniVersion": "1.0.0", "name": "apus", "plugins": .array(plugins)]
  }

  /// The portmap plugin, which makes hostPorts, works with iptables only and fails without it.
  static var hasIPTables: Bool {
    ["/usr/sbin", "/sbin", "/usr/bin"].contains { folder in access("\(folder)/iptables", X_OK) == 0 }
  }

  private static func setKernel(_ name: String, _ value: String) throws(SystemError) {
    let path = "/proc/sys/\(name)"
    // Already so: then a read-only /proc/sys is no obstacle.
    if (try? DurableFile.read(path, limit: 64))?.first == value.utf8.first { return }
    let fd = open(path, O_WRONLY | O_CLOEXEC)
    guard fd >= 0 else { throw .last("open \(path)") }
    defer { _ = close(fd) }
    try DurableFile.writeAll(fd, Array(value.utf8), to: path)
  }

  /// Removes what of `prepare` and the plugins is neither a table, nor the bridge with its addresses and routes, nor below
  /// a folder of ours. What is not there counts as removed.
  func release() async throws {
    for range in [services, pods] {
      _ = try? await Subprocess.run(
        "ip", ["route", "del", "blackhole", "\(range)", "metric", "\(HostNetwork.lastResortMetric)"])
    }
    try await PortMappings.remove(of: pods)
  }

  /// What `release` should have removed and is still there, as the kernel tells it.
  func leftovers() async throws -> [String] {
    let routes = String(
      decoding: try await Program.run("ip", ["route", "show", "type", "blackhole"]), as: UTF8.self)
    let left = [pods, services].filter { range in
      routes.split(separator: "\n").contains { $0.contains("\(range) ") && $0.contains("metric 4096") }
    }
    return left.map { "route blackhole \($0)" } + (try await PortMappings.leftovers(of: pods))
  }
}
