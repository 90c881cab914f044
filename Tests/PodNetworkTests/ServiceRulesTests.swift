import KubeTypes
import Testing

@testable import PodNetwork

@Suite struct ServiceRulesTests {
  @Test func addresses() {
    #expect(IPv4("10.0.0.1")?.description == "10.0.0.1")
    for text in ["10.0.0", "10.0.0.256", "10.0.0.01", "1.2.3.4.5", "a.b.c.d", "1..2.3", "", "+1.2.3.4"] {
      #expect(IPv4(text) == nil, "\(text)")
    }
    let range = IPv4Range("10.244.1.7/24")!
    #expect(range.description == "10.244.1.0/24")
    #expect(range.first.description == "10.244.1.1")
    #expect(range.contains(IPv4("10.244.1.255")!))
    #expect(!range.contains(IPv4("10.244.2.0")!))
    #expect(IPv4Range("10.0.0.0/33") == nil)
  }

  @Test func clusterIP() {
    let set = rules.compile(
      service(clusterIPSpec), slices: [slice([("10.244.0.2", ""), ("10.244.0.3", "\"conditions\":{\"ready\":false}")])])
    #expect(set.serviceIPs.keys.sorted() == ["10.96.0.20 . tcp . 80"])
    #expect(set.nodePorts.isEmpty)
    #expect(set.endpointAddresses == [IPv4("10.244.0.2")!])
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

  @Test func terminatingEndpointsAreTheLastResort() {
    let ending = ("10.244.0.3", "\"conditions\":{\"ready\":false,\"serving\":true,\"terminating\":true}")
    let both = rules.compile(service(clusterIPSpec), slices: [slice([("10.244.0.2", ""), ending])])
    #expect(both.endpointAddresses == [IPv4("10.244.0.2")!])
    let alone = rules.compile(service(clusterIPSpec), slices: [slice([ending])])
    #expect(alone.endpointAddresses == [IPv4("10.244.0.3")!])
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
    #expect(set.affinitySets.values.allSatisfy { $0 == 60 })
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
    let lines = change.script.split(separator: "\n")
    #expect(lines.count == 2)
    #expect(lines[0].hasPrefix("flush chain ip apus svc-"))
    #expect(lines[1].contains("mod 2 map"))
    var removal = NFTChange(table: "apus")
    removal.replace(two, by: RuleSet())
    #expect(
      removal.script.split(separator: "\n").map { $0.split(separator: " ").prefix(2).joined(separator: " ") }
        == ["delete element", "flush chain", "delete chain"])
  }
}
