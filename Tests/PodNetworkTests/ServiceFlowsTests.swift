import KubeTypes
import LinuxSystem
import Testing
import Wire

@testable import PodNetwork

/// K4. The assumption that failed: a UDP flow that is in the way comes in by the cluster address.
@Suite struct ServiceFlowsTests {
  private let spec = """
    {"type":"LoadBalancer","clusterIP":"10.96.0.20","externalIPs":["10.9.9.9"],
     "ports":[{"name":"dns","port":53,"protocol":"UDP","nodePort":30053}]}
    """
  private let ports = "[{\"name\":\"dns\",\"port\":5353,\"protocol\":\"UDP\"}]"

  private func compiled(_ endpoints: [String]) -> RuleSet {
    var balanced = service(spec)
    balanced.json["status"] = ["loadBalancer": ["ingress": [["ip": "10.9.9.8"]]]]
    return rules.compile(balanced, slices: [slice(endpoints.map { ($0, "") }, ports: ports)])
  }

  private func flow(to destination: String, _ port: UInt16, answeredBy source: String, _ sourcePort: UInt16)
    -> TrackedFlow
  {
    let client = IPAddress("10.244.0.9")!
    return TrackedFlow(
      protocol: 17,
      original: .init(
        source: client, destination: IPAddress(destination)!, sourcePort: 4000, destinationPort: port),
      reply: .init(source: IPAddress(source)!, destination: client, sourcePort: sourcePort, destinationPort: 4000))
  }

  static let ways: [(String, UInt16)] = [
    ("10.96.0.20", 53), ("10.9.9.9", 53), ("10.9.9.8", 53), ("127.0.0.1", 30053), ("10.244.0.1", 30053),
    ("192.0.2.7", 30053),
  ]
  private static let local: Set<String> = ["127.0.0.1", "10.244.0.1", "192.0.2.7"]

  private func isStale(_ flows: ServiceFlows, _ flow: TrackedFlow) -> Bool {
    flows.isStale(flow) { Self.local.contains($0.description) }
  }

  @Test(arguments: ServiceFlowsTests.ways)
  func everyWayInIsSeen(address: String, port: UInt16) {
    func flows(_ before: [String], _ after: [String]) -> ServiceFlows {
      ServiceFlows(before: [compiled(before)], after: [compiled(after)], isTaken: { _ in true })
    }
    let replaced = flows(["10.244.0.2"], ["10.244.0.3"])
    #expect(isStale(replaced, flow(to: address, port, answeredBy: "10.244.0.2", 5353)))
    #expect(!isStale(replaced, flow(to: address, port, answeredBy: "10.244.0.3", 5353)))
    // Another port of the same pod is another endpoint.
    #expect(isStale(replaced, flow(to: address, port, answeredBy: "10.244.0.3", 5354)))
    // The untranslated one that a datagram without an endpoint left.
    #expect(isStale(flows([], ["10.244.0.3"]), flow(to: address, port, answeredBy: address, port)))
    #expect(isStale(flows(["10.244.0.2"], []), flow(to: address, port, answeredBy: "10.244.0.2", 5353)))
  }

  @Test func othersAreLeftAlone() {
    let flows = ServiceFlows(
      before: [compiled(["10.244.0.2"])], after: [compiled(["10.244.0.3"])], isTaken: { _ in true })
    // Another service with the same endpoint, a resolver elsewhere, a port of the node's number on another machine, TCP.
    #expect(!isStale(flows, flow(to: "10.96.0.21", 53, answeredBy: "10.244.0.2", 5353)))
    #expect(!isStale(flows, flow(to: "8.8.8.8", 53, answeredBy: "8.8.8.8", 53)))
    #expect(!isStale(flows, flow(to: "8.8.8.8", 30053, answeredBy: "8.8.8.8", 30053)))
    var tcp = flow(to: "10.96.0.20", 53, answeredBy: "10.244.0.2", 5353)
    tcp.protocol = 6
    #expect(!isStale(flows, tcp))
  }

  @Test(arguments: ServiceFlowsTests.ways)
  func aServiceThatIsGoneLeavesNothing(address: String, port: UInt16) {
    let gone = ServiceFlows(before: [compiled(["10.244.0.2"])], after: [], isTaken: { _ in false })
    #expect(isStale(gone, flow(to: address, port, answeredBy: "10.244.0.2", 5353)))
    #expect(!isStale(gone, flow(to: address, port, answeredBy: address, port)))
    // Another service has its address now: what leads to that one is judged by it.
    #expect(ServiceFlows(before: [compiled(["10.244.0.2"])], after: [], isTaken: { _ in true }).isEmpty)
  }

  /// A start cuts nobody off who is where he should be; who was led to a service that is gone is.
  @Test func aStart() {
    let flows = ServiceFlows(
      before: [], after: [compiled(["10.244.0.2"])], ranges: base.ranges.services, isTaken: { _ in true })
    #expect(!isStale(flows, flow(to: "10.96.0.20", 53, answeredBy: "10.244.0.2", 5353)))
    #expect(isStale(flows, flow(to: "10.96.0.20", 53, answeredBy: "10.244.0.7", 5353)))
    #expect(isStale(flows, flow(to: "10.96.0.99", 53, answeredBy: "10.244.0.7", 5353)))
    #expect(!isStale(flows, flow(to: "10.96.0.10", 53, answeredBy: "10.96.0.10", 53)))
  }

  /// The same of IPv6, whose node ports are entrances of their own.
  @Test(arguments: [("fd00:10:96::20", 53), ("fd00:10:244::1", 30053)] as [(String, UInt16)])
  func flowsOfIPv6(address: String, port: UInt16) {
    let spec = """
      {"type":"NodePort","clusterIP":"10.96.0.20","clusterIPs":["10.96.0.20","fd00:10:96::20"],
       "ipFamilies":["IPv4","IPv6"],"ports":[{"name":"dns","port":53,"protocol":"UDP","nodePort":30053}]}
      """
    func compiled(_ endpoint: String) -> RuleSet {
      rules.compile(service(spec), slices: [slice([(endpoint, "")], addressType: "IPv6", ports: ports)])
    }
    func flow(_ source: String) -> TrackedFlow {
      let client = IPAddress("fd00:10:244::9")!
      return TrackedFlow(
        protocol: 17,
        original: .init(source: client, destination: IPAddress(address)!, sourcePort: 4000, destinationPort: port),
        reply: .init(source: IPAddress(source)!, destination: client, sourcePort: 5353, destinationPort: 4000))
    }
    let flows = ServiceFlows(
      before: [compiled("fd00:10:244::2")], after: [compiled("fd00:10:244::3")], isTaken: { _ in true })
    let local = ["fd00:10:244::1"]
    #expect(flows.isStale(flow("fd00:10:244::2")) { local.contains($0.description) })
    #expect(!flows.isStale(flow("fd00:10:244::3")) { local.contains($0.description) })
  }
}
