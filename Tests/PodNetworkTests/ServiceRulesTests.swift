import KubeTypes
import Routing
import Testing
import Wire

@testable import PodNetwork

@Suite struct ServiceRulesTests {
  @Test func clusterIP() {
    let set = rules.compile(
      service(clusterIPSpec), slices: [slice([("10.244.0.2", ""), ("10.244.0.3", "\"conditions\":{\"ready\":false}")])])
    #expect(set.serviceIPs.keys.sorted() == ["10.96.0.20 . tcp . 80"])
    #expect(set.nodePorts.isEmpty)
    #expect(set.endpointAddresses == [IPAddress("10.244.0.2")!])
    #expect(set.chains.values.first?.first?.hasSuffix("numgen random mod 1 map { 0 : 10.244.0.2 . 8080 }") == true)
  }

  @Test func withoutEndpointsThereIsARefusal() {
    let set = rules.compile(service(clusterIPSpec), slices: [])
    #expect(set.refused == ["10.96.0.20 . tcp . 80"] && set.chains.isEmpty)
    let headless = service("{\"clusterIP\":\"None\",\"ports\":[{\"port\":80}]}")
    #expect(rules.compile(headless, slices: [slice([("10.244.0.2", "")])]).isEmpty)
    let external = service("{\"type\":\"ExternalName\",\"externalName\":\"example.org\"}")
    #expect(rules.compile(external, slices: []).isEmpty)
  }

  /// Of another proxy, or of none (`service.kubernetes.io/…`).
  @Test(arguments: ["service-proxy-name", "headless"]) func whatAnotherProxyServesIsLeftToIt(label: String) {
    var mine = service(clusterIPSpec)
    let endpoints = slice([("10.244.0.2", "")])
    #expect(!rules.compile(mine, slices: [endpoints]).isEmpty)
    mine.metadata.labels["service.kubernetes.io/\(label)"] = ""
    #expect(rules.compile(mine, slices: [endpoints]).isEmpty)
    var others = endpoints
    others.metadata.labels["service.kubernetes.io/\(label)"] = ""
    #expect(rules.compile(service(clusterIPSpec), slices: [others]).endpointAddresses.isEmpty)
  }

  @Test func terminatingEndpointsAreTheLastResort() {
    let ending = ("10.244.0.3", "\"conditions\":{\"ready\":false,\"serving\":true,\"terminating\":true}")
    let both = rules.compile(service(clusterIPSpec), slices: [slice([("10.244.0.2", ""), ending])])
    #expect(both.endpointAddresses == [IPAddress("10.244.0.2")!])
    let alone = rules.compile(service(clusterIPSpec), slices: [slice([ending])])
    #expect(alone.endpointAddresses == [IPAddress("10.244.0.3")!])
  }

  @Test func nodePortsAndPolicies() {
    let spec = """
      {"type":"NodePort","clusterIP":"10.96.0.20","externalTrafficPolicy":"Local","externalIPs":["10.9.9.9"],
       "ports":[{"name":"http","port":80,"nodePort":30080}]}
      """
    let slices = [slice([("10.244.0.2", "\"nodeName\":\"here\""), ("10.244.1.2", "\"nodeName\":\"there\"")])]
    let set = rules.compile(service(spec), slices: slices)
    let cluster = set.serviceIPs["10.96.0.20 . tcp . 80"]!
    let local = set.nodePorts["tcp . 30080"]!
    #expect(cluster != local)
    #expect(set.serviceIPs["10.9.9.9 . tcp . 80"] == local)
    #expect(set.chains[local]!.first!.contains("mod 1 map { 0 : 10.244.0.2 . 8080 }"))
    #expect(set.chains[cluster]!.first!.contains("mod 2 map"))
    let elsewhere = rules.compile(service(spec), slices: [slice([("10.244.1.2", "\"nodeName\":\"there\"")])])
    #expect(elsewhere.nodePorts.isEmpty)
    #expect(elsewhere.serviceIPs.count == 1)
    // There are endpoints, though not here.
    #expect(elsewhere.entrances.filter { $0.value == .drop }.count == 2)
  }

  @Test func affinity() {
    let spec = """
      {"clusterIP":"10.96.0.20","sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":60}},
       "ports":[{"name":"http","port":80}]}
      """
    let set = rules.compile(service(spec), slices: [slice([("10.244.0.2", ""), ("10.244.0.3", "")])])
    #expect(set.affinitySets.values.allSatisfy { $0.seconds == 60 })
    #expect(set.affinitySets.count == 2)
    #expect(set.chains.count == 3)
  }

  @Test func portsAreMatchedByName() {
    let spec = """
      {"clusterIP":"10.96.0.20","ports":[{"name":"a","port":80},{"name":"b","port":81,"protocol":"UDP"}]}
      """
    let ports =
      "[{\"name\":\"a\",\"port\":8080},{\"name\":\"b\",\"port\":53,\"protocol\":\"UDP\"},{\"name\":\"c\",\"port\":1}]"
    let set = rules.compile(service(spec), slices: [slice([("10.244.0.2", "")], ports: ports)])
    #expect(set.serviceIPs.keys.sorted() == ["10.96.0.20 . tcp . 80", "10.96.0.20 . udp . 81"])
    #expect(set.chains[set.serviceIPs["10.96.0.20 . udp . 81"]!]!.first!.contains("10.244.0.2 . 53"))
  }

  /// Names are cleaned and numbers checked: nothing can break out of the script.
  @Test func hostileNames() {
    let evil = service(
      "{\"clusterIP\":\"10.96.0.20\",\"ports\":[{\"name\":\"http\",\"port\":80}]}", name: "x; flush ruleset",
      namespace: "a\\nb{")
    let set = rules.compile(evil, slices: [slice([("10.244.0.2", ""), ("1.2.3.4 }; flush ruleset", "")])])
    let script = base.script([set])
    #expect(!script.contains("flush ruleset"))
    #expect(set.chains.keys.allSatisfy { !$0.contains(" ") && !$0.contains("{") && $0.utf8.count < 100 })
  }

  @Test func aChangeTouchesOnlyItself() {
    let one = rules.compile(service(clusterIPSpec), slices: [slice([("10.244.0.2", "")])])
    let two = rules.compile(service(clusterIPSpec), slices: [slice([("10.244.0.2", ""), ("10.244.0.3", "")])])
    var change = NFTChange(table: "apus")
    change.replace(one, by: one)
    #expect(change.isEmpty)
    change.replace(one, by: two)
    func verbs(_ change: NFTChange) -> [[String]] {
      change.transactions.map { transaction in
        transaction.split(separator: "\n").map { $0.split(separator: " ").prefix(2).joined(separator: " ") }
      }
    }
    // Packets that are on their way find the one chain or the other, whole.
    #expect(
      verbs(change) == [
        ["add chain", "flush chain", "add rule"], ["delete element", "add element"], ["flush chain", "delete chain"],
      ])
    #expect(Set(one.chains.keys).isDisjoint(with: two.chains.keys))
    #expect(change.transactions[0].contains("mod 2 map"))
    var addition = NFTChange(table: "apus")
    addition.replace(RuleSet(), by: one)
    #expect(verbs(addition) == [["add chain", "flush chain", "add rule", "add element"]])
    var removal = NFTChange(table: "apus")
    removal.replace(two, by: RuleSet())
    #expect(verbs(removal) == [["delete element"], ["flush chain", "delete chain"]])
  }

  // MARK: Both families

  private let dual = """
    {"type":"NodePort","clusterIP":"10.96.0.20","clusterIPs":["10.96.0.20","fd00:10:96::20"],
     "ipFamilies":["IPv4","IPv6"],"externalIPs":["2001:db8::9"],"ports":[{"name":"http","port":80,"nodePort":30080}]}
    """

  @Test func eachFamilyLeadsToItsOwnEndpoints() throws {
    let set = rules.compile(
      service(dual),
      slices: [
        slice([("10.244.0.2", "")]), slice([("fd00:10:244::2", ""), ("fd00:10:244::3", "")], addressType: "IPv6"),
      ])
    #expect(
      set.serviceIPs.keys.sorted() == ["10.96.0.20 . tcp . 80", "2001:db8::9 . tcp . 80", "fd00:10:96::20 . tcp . 80"])
    let four = try #require(set.serviceIPs["10.96.0.20 . tcp . 80"])
    let six = try #require(set.serviceIPs["fd00:10:96::20 . tcp . 80"])
    #expect(four.hasPrefix("svc-") && six.hasPrefix("svc6-") && set.serviceIPs["2001:db8::9 . tcp . 80"] == six)
    #expect(
      set.chains[four]?.first?.hasSuffix("dnat ip addr . port to numgen random mod 1 map { 0 : 10.244.0.2 . 8080 }")
        == true)
    #expect(
      set.chains[six]?.first?.hasSuffix(
        "dnat ip6 addr . port to numgen random mod 2 map { 0 : fd00:10:244::2 . 8080, 1 : fd00:10:244::3 . 8080 }")
        == true)
    #expect(
      set.entrances.filter { $0.key.address == nil }.mapValues { $0 } == [
        Entrance(nodePort: 30080, transport: .tcp, family: .ipv4): .chain(four),
        Entrance(nodePort: 30080, transport: .tcp, family: .ipv6): .chain(six),
      ])
    #expect(set.own.count == 4)
  }

  /// The other family goes on.
  @Test func aFamilyWithoutEndpointsRefuses() {
    let set = rules.compile(service(dual), slices: [slice([("10.244.0.2", "")])])
    #expect(set.refused == ["2001:db8::9 . tcp . 80", "fd00:10:96::20 . tcp . 80", "tcp . 30080"])
    #expect(set.serviceIPs.count == 1 && set.nodePorts.count == 1)
    let script = base.script([set])
    for line in [
      "add element inet apus no-endpoint-ips6 { fd00:10:96::20 . tcp . 80 : goto refuse }",
      "add element inet apus no-endpoint-ports6 { tcp . 30080 : goto refuse }",
      "add element inet apus hairpin { 10.244.0.2 . 10.244.0.2 }",
    ] { #expect(script.contains(line), "\(line)") }
  }

  @Test func clientsOfIPv6StayWithTheirEndpoint() {
    let spec = dual.replacing("\"ports\"", with: "\"sessionAffinity\":\"ClientIP\",\"ports\"")
    let long = service(spec, name: String(repeating: "n", count: 63), namespace: String(repeating: "s", count: 63))
    let address = "fd00:10:244:1111:2222:3333:4444:5555"
    let set = rules.compile(long, slices: [slice([(address, "")], addressType: "IPv6")])
    #expect(set.affinitySets.values.map(\.family) == [.ipv6])
    #expect(set.chains.values.joined().contains("meta l4proto tcp dnat ip6 to [\(address)]:8080"))
    // What nftables takes as a name.
    for name in set.chains.keys { #expect(name.utf8.count < 128 && !name.contains(":"), "\(name)") }
  }

  @Test func aClusterOfOneFamilyHasNothingOfTheOther() throws {
    for (pods, services, other) in [
      ("10.244.0.0/24", "10.96.0.0/16", "@service-ips6"), ("fd00:10:244::/64", "fd00:10:96::/112", "@service-ips "),
    ] {
      let base = NFTBase(
        bridge: "apus0", ranges: try ClusterRanges(pods: pods, services: services), filtersBridge: true)
      let script = base.script([]).replacing("\n", with: " \n")
      #expect(!script.contains(other) && script.contains("vmap @service-ips"), "\(script)")
      #expect(script.contains("\(base.ranges.nameServers[0]) return"))
    }
  }
}
