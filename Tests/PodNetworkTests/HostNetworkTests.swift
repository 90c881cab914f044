import Testing
import Wire

@testable import PodNetwork

@Suite struct HostNetworkTests {
  private func network(_ pods: String, _ services: String) throws -> HostNetwork {
    try HostNetwork(
      PodNetworkConfiguration(
        nodeName: "here", podCIDR: pods, serviceCIDR: services, cniDirectory: "/c", stateDirectory: "/s"))
  }

  /// What has been there since the first version.
  @Test func oneFamily() throws {
    let network = try network("10.244.0.0/24", "10.96.0.0/16")
    #expect(
      network.commands == """
        link set dev apus0 up
        address replace 10.244.0.1/24 broadcast + dev apus0
        address replace 10.96.0.10/32 dev apus0
        route replace 10.96.0.0/16 dev apus0 src 10.244.0.1
        route replace blackhole 10.96.0.0/16 metric 4096
        route replace blackhole 10.244.0.0/24 metric 4096

        """)
    let plugin = network.conflist(portMapping: true)["plugins"]?.array?.first
    #expect(plugin?.at("ipam", "ranges") == [[["subnet": "10.244.0.0/24"]]])
    #expect(plugin?.at("ipam", "routes") == [["dst": "0.0.0.0/0"]])
  }

  @Test func bothFamilies() throws {
    let network = try network("fd00:10:244::/64,10.244.0.0/24", "10.96.0.0/16,fd00:10:96::/112")
    for line in [
      "address replace fd00:10:244::1/64 nodad dev apus0", "address replace fd00:10:96::a/128 dev apus0 nodad",
      "route replace fd00:10:96::/112 dev apus0 src fd00:10:244::1",
      "route replace blackhole fd00:10:96::/112 metric 4096", "route replace blackhole fd00:10:244::/64 metric 4096",
      "address replace 10.96.0.10/32 dev apus0",
    ] { #expect(network.commands.split(separator: "\n").contains(Substring(line)), "\(line)") }
    let plugin = network.conflist(portMapping: false)["plugins"]?.array?.first
    // In the order of the ranges: the first one's address is the pod's `podIP`.
    #expect(plugin?.at("ipam", "ranges") == [[["subnet": "fd00:10:244::/64"]], [["subnet": "10.244.0.0/24"]]])
    #expect(plugin?.at("ipam", "routes") == [["dst": "::/0"], ["dst": "0.0.0.0/0"]])
  }

  /// Pods of both families, services of one: their names and addresses are of that one.
  @Test func servicesOfOneFamilyOfTwo() throws {
    let network = try network("10.244.0.0/24,fd00:10:244::/64", "fd00:10:96::/112")
    #expect(network.ranges.nameServers.map(\.description) == ["fd00:10:96::a"])
    #expect(!network.commands.contains("10.96"))
  }

  @Test func whatCannotBe() {
    let error = #expect(throws: PodNetworkError.self) { try network("10.244.0.0/24", "10.96.0.0/16,fd00::/112") }
    #expect(error?.message.contains("no pod could answer") == true)
  }
}
