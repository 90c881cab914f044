import Glibc
import LinuxSystem
import Logging
import Wire

/// Bridge, addresses, routes and kernel settings of this node, and the CNI configuration that puts pods on the bridge.
struct HostNetwork: Sendable {
  let configuration: PodNetworkConfiguration
  let ranges: ClusterRanges

  /// Whoever asks for an address of the pods or the services that nobody has must not send packets into the world: these
  /// routes win only when no other one is there.
  private static let lastResortMetric = 4096

  init(_ configuration: PodNetworkConfiguration) throws(PodNetworkError) {
    func bad(_ what: String) -> PodNetworkError { PodNetworkError(.configuration, what) }
    do throws(ClusterRangesError) {
      ranges = try ClusterRanges(pods: configuration.podCIDR, services: configuration.serviceCIDR)
    } catch {
      throw bad(error.description)
    }
    let bridge = configuration.bridgeName
    // IFNAMSIZ, with the ending zero.
    guard (1...15).contains(bridge.utf8.count),
      bridge.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) || $0 == UInt8(ascii: "-") })
    else { throw bad("the bridge name \"\(bridge)\" must be 1 to 15 lower-case letters, digits and '-'") }
    self.configuration = configuration
  }

  var conflistPath: String { "\(configuration.cniDirectory)/10-apus.conflist" }
  private var ipamDirectory: String { "\(configuration.stateDirectory)/ipam" }

  private func has(_ family: IPAddress.Family) -> Bool { ranges.pods[family] != nil }

  /// Idempotent. Returns whether bridged packets pass netfilter.
  func prepare() async throws -> Bool {
    let bridge = configuration.bridgeName
    if has(.ipv6), access("/proc/sys/net/ipv6", F_OK) != 0 {
      throw PodNetworkError(
        .configuration, "the pod range \(ranges.pods) has IPv6 addresses, and this kernel has no IPv6")
    }
    if access("/proc/sys/net/bridge", F_OK) != 0 {
      // Without the module it works, too: see `NFTBase.filtersBridge`.
      _ = try? await Subprocess.run("modprobe", ["br_netfilter"])
    }
    var filtersBridge = true
    for (family, program) in [(IPAddress.Family.ipv4, "iptables"), (.ipv6, "ip6tables")] where has(family) {
      let isSet = (try? HostNetwork.setKernel("net/bridge/bridge-nf-call-\(program)", "1")) != nil
      filtersBridge = filtersBridge && isSet
    }
    if has(.ipv4) { try HostNetwork.setKernel("net/ipv4/ip_forward", "1") }
    if has(.ipv6) { try HostNetwork.forwardIPv6() }
    // Not by /sys/class/net, which may be another network namespace's.
    if if_nametoindex(bridge) == 0 {
      // With an address of its own the bridge does not take on one of its ports', which come and go.
      let digits = ranges.gateways.first.map { $0.bytes.suffix(4) } ?? []
      let mac = "0a:58:" + digits.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
      try await Program.run("ip", ["link", "add", "name", bridge, "address", mac, "type", "bridge"])
    }
    // Pods may answer to connections that came from 127.0.0.1 (node ports), which needs route_localnet; packets that
    // claim such an address are dropped by the table's first chain.
    if has(.ipv4) { try HostNetwork.setKernel("net/ipv4/conf/\(bridge)/route_localnet", "1") }
    // A pod must not tell the machine where the world is.
    if access("/proc/sys/net/ipv6/conf/\(bridge)", F_OK) == 0 {
      try HostNetwork.setKernel("net/ipv6/conf/\(bridge)/accept_ra", "0")
    }
    if has(.ipv6) {
      // Addresses are given out here, each once: nobody has to wait until nobody objects.
      try HostNetwork.setKernel("net/ipv6/conf/\(bridge)/accept_dad", "0")
      try HostNetwork.setKernel("net/ipv6/conf/\(bridge)/disable_ipv6", "0")
    }
    try await Program.run("ip", ["-batch", "-"], stdin: Array(commands.utf8))
    for folder in [configuration.cniDirectory, configuration.stateDirectory] { try Directory.createPrivate(folder) }
    try Directory.create(ipamDirectory)
    let text = Array((conflist(portMapping: HostNetwork.hasIPTables).prettyPrinted() + "\n").utf8)
    if (try? DurableFile.read(conflistPath, limit: 1 << 20)) != text { try DurableFile.write(text, to: conflistPath) }
    return filtersBridge
  }

  /// For `ip -batch`: the bridge's addresses, and routes for both ranges of each family.
  var commands: String {
    let bridge = configuration.bridgeName
    var lines = ["link set dev \(bridge) up\(BridgeOwner.option(configuration.owner))"]
    for pods in ranges.pods.all {
      let gateway = pods[ClusterRanges.gatewayIndex]
      // Checked for doubles are addresses of IPv6 alone, which have no broadcast.
      let option = pods.family == .ipv4 ? "broadcast +" : "nodad"
      lines.append("address replace \(gateway)/\(pods.prefixLength) \(option) dev \(bridge)")
      if let services = ranges.services[pods.family], let server = ranges.nameServers.first(where: services.contains) {
        let last = pods.family == .ipv4 ? "" : " nodad"
        lines.append("address replace \(server)/\(pods.family.bits) dev \(bridge)\(last)")
        lines.append("route replace \(services) dev \(bridge) src \(gateway)")
        lines.append("route replace blackhole \(services) metric \(HostNetwork.lastResortMetric)")
      }
      lines.append("route replace blackhole \(pods) metric \(HostNetwork.lastResortMetric)")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// The network configuration list (CNI specification 1.0.0, section 1).
  ///
  /// The bridge plugin neither masquerades nor filters: the table does that for all pods at once.
  func conflist(portMapping: Bool) -> JSON {
    let routes = ranges.pods.families.map { JSON.object(["dst": .string($0 == .ipv4 ? "0.0.0.0/0" : "::/0")]) }
    let subnets = ranges.pods.all.map { JSON.array([["subnet": .string($0.description)]]) }
    var plugins: [JSON] = [
      [
        "type": "bridge", "bridge": .string(configuration.bridgeName), "isGateway": true, "ipMasq": false,
        "hairpinMode": true,
        "ipam": [
          "type": "host-local", "dataDir": .string(ipamDirectory), "ranges": .array(subnets),
          "routes": .array(routes),
        ],
      ]
    ]
    if portMapping { plugins.append(["type": "portmap", "capabilities": ["portMappings": true], "snat": true]) }
    return ["cniVersion": "1.0.0", "name": "apus", "plugins": .array(plugins)]
  }

  /// Lets the machine pass packets of IPv6 on. A machine that does takes no routes from its routers any more unless it is
  /// told to: those interfaces that did go on.
  private static func forwardIPv6() throws(SystemError) {
    let folder = "/proc/sys/net/ipv6/conf"
    if (try? DurableFile.read("\(folder)/all/forwarding", limit: 8))?.first == UInt8(ascii: "1") { return }
    for interface in try Directory.list(folder) where !["all", "default"].contains(interface) {
      guard (try? DurableFile.read("\(folder)/\(interface)/accept_ra", limit: 8))?.first == UInt8(ascii: "1") else {
        continue
      }
      try setKernel("net/ipv6/conf/\(interface)/accept_ra", "2")
    }
    try setKernel("net/ipv6/conf/all/forwarding", "1")
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
    for range in ranges.services.all + ranges.pods.all {
      _ = try? await Subprocess.run(
        "ip", ["route", "del", "blackhole", "\(range)", "metric", "\(HostNetwork.lastResortMetric)"])
    }
    try await PortMappings.remove(of: ranges.pods)
  }

  /// What `release` should have removed and is still there, as the kernel tells it.
  func leftovers() async throws -> [String] {
    var left: [String] = []
    for option in ["-4", "-6"] {
      let routes = String(
        decoding: try await Program.run("ip", [option, "route", "show", "type", "blackhole"]), as: UTF8.self)
      left += (ranges.pods.all + ranges.services.all).filter { range in
        routes.split(separator: "\n").contains { $0.contains("\(range) ") && $0.contains("metric 4096") }
      }.map { "route blackhole \($0)" }
    }
    return left + (try await PortMappings.leftovers(of: ranges.pods))
  }
}
