import KubeTypes
import Routing
import TestKit
import Testing
import Wire

@testable import PodNetwork

/// H4, H5 in the compiler of the rules, for what came into the store before the API refused it. The assumption that
/// failed: what is stored may be translated.
@Suite struct AddressRulesTests {
  static let refused = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "169.254.169.254", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255", "10.96.0.1", "10.96.0.10", "10.96.77.7", "10.244.0.1", "10.244.0.99", "192.0.2.7",
  ]

  private func spec(_ external: [String]) -> String {
    """
    {"type":"NodePort","clusterIP":"10.96.0.20","externalIPs":[\(external.map { "\"\($0)\"" }.joined(separator: ","))],
     "ports":[{"name":"http","port":6443,"nodePort":30443}]}
    """
  }

  @Test(arguments: AddressRulesTests.refused)
  func externalAddressesAreLeftOut(address: String) {
    let set = rules.compile(service(spec([address, "10.9.9.9"])), slices: [slice([("10.244.0.2", "")])])
    #expect(set.serviceIPs.keys.sorted() == ["10.9.9.9 . tcp . 6443", "10.96.0.20 . tcp . 6443"])
    #expect(set.nodePorts.count == 1)
    #expect(set.refusals.map(\.address) == [address])
    // Without endpoints, too: a refusal would close the host's own port.
    let empty = rules.compile(service(spec([address])), slices: [])
    #expect(empty.refused == ["10.96.0.20 . tcp . 6443", "tcp . 30443"])
  }

  @Test(arguments: ["::ffff:127.0.0.1", "::1", "::", "fe80::1", "::ffff:10.9.9.9"])
  func otherSpellingsAreLeftOutToo(address: String) {
    let set = rules.compile(service(spec([address])), slices: [slice([("10.244.0.2", "")])])
    #expect(set.serviceIPs.keys.sorted() == ["10.96.0.20 . tcp . 6443"])
    #expect(set.refusals.count == 1)
  }

  @Test(arguments: AddressRulesTests.refused)
  func loadBalancersAreCheckedAsWell(address: String) {
    var balanced = service(spec([]))
    balanced.spec.json["type"] = "LoadBalancer"
    balanced.json["status"] = ["loadBalancer": ["ingress": [["ip": .string(address)], ["ip": "10.9.9.9"]]]]
    let set = rules.compile(balanced, slices: [slice([("10.244.0.2", "")])])
    // A load balancer on the machine names the machine.
    let expected = address == "192.0.2.7" ? ["192.0.2.7 . tcp . 6443"] : []
    #expect(set.serviceIPs.keys.filter { !$0.hasPrefix("10.9") && $0 != "10.96.0.20 . tcp . 6443" } == expected)
    #expect(set.serviceIPs["10.9.9.9 . tcp . 6443"] != nil)
  }

  @Test func addressesOfAnotherTypeAreNotTranslated() {
    var leftover = service(spec([]))
    leftover.json["status"] = ["loadBalancer": ["ingress": [["ip": "10.9.9.9"]]]]
    #expect(rules.compile(leftover, slices: []).refused == ["10.96.0.20 . tcp . 6443", "tcp . 30443"])
    leftover.spec.json["type"] = "LoadBalancer"
    leftover.json["status"] = ["loadBalancer": ["ingress": [["ip": "10.9.9.9", "ipMode": "Proxy"]]]]
    #expect(rules.compile(leftover, slices: []).refused == ["10.96.0.20 . tcp . 6443", "tcp . 30443"])
  }

  @Test(arguments: [
    ("10.96.0.10", "shop", "dns"), ("10.96.0.10", "kube-system", "kube-dns"), ("10.96.0.1", "shop", "kubernetes"),
    ("127.0.0.1", "shop", "web"), ("8.8.8.8", "shop", "web"), ("10.244.0.1", "shop", "web"),
  ])
  func clusterAddressesAreOfTheRangeAndNobodyElses(address: String, namespace: String, name: String) {
    let spec = "{\"clusterIP\":\"\(address)\",\"ports\":[{\"name\":\"http\",\"port\":53}]}"
    let set = rules.compile(service(spec, name: name, namespace: namespace), slices: [slice([("10.244.0.2", "")])])
    #expect(set.entrances.isEmpty)
    #expect(set.refusals.map(\.address) == [address])
  }

  @Test func theAPIKeepsItsAddress() {
    let spec = "{\"clusterIP\":\"10.96.0.1\",\"ports\":[{\"name\":\"http\",\"port\":443}]}"
    // The bridge's address is an endpoint that pods reach without any Service.
    let set = rules.compile(
      service(spec, name: "kubernetes", namespace: "default"), slices: [slice([("10.244.0.1", "")])])
    #expect(set.serviceIPs.count == 1 && set.refusals.isEmpty)
  }

  @Test(arguments: ["127.0.0.1", "127.1.1.1", "0.0.0.0", "0.0.0.1", "169.254.1.1", "224.0.0.1", "240.1.1.1"])
  func endpointsAreLeftOut(address: String) {
    let set = rules.compile(service(clusterIPSpec), slices: [slice([(address, ""), ("10.244.0.2", "")])])
    #expect(set.endpointAddresses == [IPAddress("10.244.0.2")!])
    #expect(set.refusals.map(\.address) == [address])
    let alone = rules.compile(service(clusterIPSpec), slices: [slice([(address, "")])])
    #expect(alone.refused.count == 1 && alone.chains.isEmpty)
    #expect(!base.script([alone]).contains(" \(address) "))
    // Neither as the last resort of a service whose endpoints all end.
    let ending = (address, "\"conditions\":{\"ready\":false,\"serving\":true,\"terminating\":true}")
    #expect(rules.compile(service(clusterIPSpec), slices: [slice([ending])]).chains.isEmpty)
  }

  @Test func octalAndShortFormsAreNoEndpoints() {
    for text in ["0177.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "::ffff:127.0.0.1", "localhost", ""] {
      let set = rules.compile(service(clusterIPSpec), slices: [slice([(text, "")])])
      #expect(set.chains.isEmpty, "\(text)")
    }
  }

  /// Whatever the compiler is given: no rule of the result is about an address that may not be translated.
  @Test func fuzz() {
    var random = SeededGenerator(seed: 4)
    func address() -> String {
      if Int.random(in: 0..<3, using: &random) == 0 {
        let starts = ["::", "::ffff:", "fd00:10:96::", "fd00:10:244::", "2001:db8::", "fe80::", "ff02::", "64:ff9b::"]
        return starts.randomElement(using: &random)! + ["1", "a", "7f00:1", "77"].randomElement(using: &random)!
      }
      let parts = [0, 1, 10, 96, 127, 169, 192, 224, 240, 244, 254, 255]
      return (0..<4).map { _ in String(parts.randomElement(using: &random)!) }.joined(separator: ".")
    }
    for _ in 0..<3000 {
      var hostile = service(spec((0..<3).map { _ in address() }))
      hostile.spec.json["type"] = .string(["ClusterIP", "NodePort", "LoadBalancer"].randomElement(using: &random)!)
      hostile.spec.json["clusterIP"] = .string(Bool.random(using: &random) ? "10.96.0.20" : address())
      hostile.json["status"] = ["loadBalancer": ["ingress": [["ip": .string(address())]]]]
      let set = rules.compile(
        hostile,
        slices: ["IPv4", "IPv6"].map { type in slice((0..<3).map { _ in (address(), "") }, addressType: type) })
      for entrance in set.entrances.keys {
        guard let address = entrance.address else { continue }
        let isOwn = set.own.contains(entrance)
        #expect(AddressClass(address) == .ordinary)
        #expect(ranges.services.contains(address) == isOwn)
        #expect(!ranges.pods.contains(address) && !ranges.nameServers.contains(address))
      }
      for endpoint in set.endpointAddresses { #expect(AddressClass(endpoint) == .ordinary) }
    }
  }

  /// A timeout of a set cannot be changed in place: another one was "File exists" (found while H28 was mended).
  @Test func anotherTimeoutIsAnotherSet() {
    func set(_ seconds: Int) -> RuleSet {
      let spec = """
        {"clusterIP":"10.96.0.20","sessionAffinity":"ClientIP",
         "sessionAffinityConfig":{"clientIP":{"timeoutSeconds":\(seconds)}},"ports":[{"name":"http","port":80}]}
        """
      return rules.compile(service(spec), slices: [slice([("10.244.0.2", "")])])
    }
    #expect(Set(set(60).affinitySets.keys).isDisjoint(with: set(61).affinitySets.keys))
    #expect(set(-1).affinitySets.values.first?.seconds == 1)
    #expect(set(1 << 40).affinitySets.values.first?.seconds == 86_400)
  }
}
