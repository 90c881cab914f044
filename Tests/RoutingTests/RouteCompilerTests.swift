import KubeTypes
import Testing
import Wire

@testable import Routing

/// What Services and slices mean, before anything carries it out.
@Suite struct RouteCompilerTests {
  private let cluster = ClusterAddresses(
    pods: IPRanges("10.244.0.0/24,fd00:10:244::/64"), services: IPRanges("10.96.0.0/16,fd00:10:96::/112")!,
    machine: [IPAddress("192.0.2.7")!, IPAddress("2001:db8::7")!])

  private func service(_ spec: String) throws -> Service {
    Service(json: try JSON.parse("{\"metadata\":{\"name\":\"web\",\"namespace\":\"default\"},\"spec\":\(spec)}"))
  }

  private func slice(_ type: String, _ endpoints: String) throws -> EndpointSlice {
    EndpointSlice(
      json: try JSON.parse(
        """
        {"addressType":"\(type)","endpoints":[\(endpoints)],
         "ports":[{"name":"http","port":8080,"protocol":"TCP"}]}
        """))
  }

  private func route(
    _ spec: String, _ slices: [EndpointSlice] = [], cluster: ClusterAddresses? = nil
  ) throws -> ServiceRoute {
    RouteCompiler(nodeName: "here", cluster: cluster ?? self.cluster).route(try service(spec), slices: slices)
  }

  private let dual = """
    {"type":"NodePort","clusterIP":"10.96.0.20","clusterIPs":["10.96.0.20","fd00:10:96::20"],
     "ipFamilies":["IPv4","IPv6"],"ports":[{"name":"http","port":80,"nodePort":30080}]}
    """

  private func addresses(_ list: [ServiceRoute.Endpoint]) -> [String] { list.map(\.address.description) }

  @Test func bothFamilies() throws {
    let route = try route(
      dual,
      [
        try slice("IPv4", "{\"addresses\":[\"10.244.0.2\"],\"nodeName\":\"here\"}"),
        try slice(
          "IPv6", "{\"addresses\":[\"fd00:10:244::2\"],\"nodeName\":\"here\"},{\"addresses\":[\"fd00:10:244::3\"]}"),
      ])
    #expect(route.addresses.map(\.description) == ["10.96.0.20", "fd00:10:96::20"])
    #expect(route.families == [.ipv4, .ipv6] && route.refusals.isEmpty)
    let port = try #require(route.ports.first)
    #expect(port.number == 80 && port.nodePort == 30080 && port.transport == .tcp)
    #expect(addresses(port.usable(.ipv4, onlyLocal: false)) == ["10.244.0.2"])
    #expect(addresses(port.usable(.ipv6, onlyLocal: false)) == ["fd00:10:244::2", "fd00:10:244::3"])
    #expect(addresses(port.usable(.ipv6, onlyLocal: true)) == ["fd00:10:244::2"])
  }

  /// Of another proxy, or of none (`service.kubernetes.io/…`).
  @Test(arguments: ["service-proxy-name", "headless"]) func whatAnotherProxyServesHasNamesOnly(label: String) throws {
    var mine = try service(dual)
    mine.metadata.labels["service.kubernetes.io/\(label)"] = ""
    var slice = try slice("IPv4", "{\"addresses\":[\"10.244.0.2\"]}")
    let served = RouteCompiler(nodeName: "here", cluster: cluster)
    let named = RouteCompiler(nodeName: "", cluster: nil)
    #expect(served.route(mine, slices: [slice]) == ServiceRoute(key: ObjectKey(namespace: "default", name: "web")))
    #expect(named.route(mine, slices: [slice]).addresses.count == 2)
    // The slices of a headless Service have such a label.
    slice.metadata.labels["service.kubernetes.io/\(label)"] = ""
    let own = try service(dual)
    #expect(served.route(own, slices: [slice]).ports.map(\.endpoints) == [[]])
    let headless = try service("{\"clusterIP\":\"None\",\"ports\":[{\"port\":80}]}")
    #expect(named.route(headless, slices: [slice]).members.map(\.address.description) == ["10.244.0.2"])
  }

  @Test func aSliceHasAddressesOfItsOwnFamilyOnly() throws {
    let mixed = try slice("IPv6", "{\"addresses\":[\"10.244.0.2\"]},{\"addresses\":[\"fd00:10:244::2\"]}")
    let names = try slice("FQDN", "{\"addresses\":[\"example.org\"]}")
    #expect(try addresses(route(dual, [mixed, names]).ports[0].endpoints) == ["fd00:10:244::2"])
  }

  @Test(
    arguments: [
      ("10.9.9.9", nil), ("2001:db8::9", nil), ("192.0.2.7", "machine"), ("2001:db8::7", "machine"),
      ("fd00:10:96::77", "cluster addresses"), ("fd00:10:244::9", "of the pods"), ("::1", "loopback"),
      ("::ffff:10.9.9.9", "IPv4-mapped"), ("fe80::1", "link-local"), ("ff02::1", "multicast"),
    ] as [(String, String?)])
  func externalAddresses(address: String, refusal: String?) throws {
    let spec = dual.replacing("\"ports\"", with: "\"externalIPs\":[\"\(address)\"],\"ports\"")
    let route = try route(spec)
    #expect(route.external.map(\.description) == (refusal == nil ? [address] : []))
    #expect(route.refusals.count == (refusal == nil ? 0 : 1))
    if let refusal { #expect(route.refusals.first?.reason.contains(refusal) == true, "\(route.refusals)") }
  }

  /// Nobody would answer there: the Service has no endpoints of that family.
  @Test func anExternalAddressOfAFamilyThatTheServiceHasNotIsRefused() throws {
    let route = try route(
      """
      {"clusterIP":"10.96.0.20","ipFamilies":["IPv4"],"externalIPs":["2001:db8::9"],"ports":[{"port":80}]}
      """)
    #expect(route.external.isEmpty)
    #expect(route.refusals.first?.reason == "is of IPv6, which the Service has no address of")
  }

  @Test(arguments: [
    ("fd00:10:96::1", "the API"), ("fd00:10:96::a", "name server"), ("fd00:11::20", "not in the range"),
  ])
  func clusterAddressesThatAreNotTheServices(address: String, reason: String) throws {
    let route = try route(dual.replacing("fd00:10:96::20", with: address))
    #expect(route.addresses.map(\.description) == ["10.96.0.20"])
    #expect(route.refusals.map(\.address) == [address] && route.refusals.first?.reason.contains(reason) == true)
  }

  /// A cluster of one family serves what a Service has of it, and says what it leaves out.
  @Test func aClusterThatLostAFamily() throws {
    let single = ClusterAddresses(pods: IPRanges("10.244.0.0/24"), services: IPRanges("10.96.0.0/16")!)
    let route = try route(dual, cluster: single)
    #expect(route.families == [.ipv4] && route.addresses.map(\.description) == ["10.96.0.20"])
    #expect(route.refusals.map(\.address) == ["fd00:10:96::20"])
  }

  @Test func endpointsThatEndAreTheLastResortOfTheirFamily() throws {
    let ending = "\"conditions\":{\"ready\":false,\"serving\":true,\"terminating\":true}"
    let route = try route(
      dual,
      [
        try slice("IPv4", "{\"addresses\":[\"10.244.0.2\"]},{\"addresses\":[\"10.244.0.3\"],\(ending)}"),
        try slice("IPv6", "{\"addresses\":[\"fd00:10:244::3\"],\(ending)}"),
      ])
    #expect(addresses(route.ports[0].usable(.ipv4, onlyLocal: false)) == ["10.244.0.2"])
    #expect(addresses(route.ports[0].usable(.ipv6, onlyLocal: false)) == ["fd00:10:244::3"])
  }

  /// Two slices may name one endpoint: one that is ready in either is.
  @Test func whatTwoSlicesSayIsTakenTogether() throws {
    let one = try slice("IPv4", "{\"addresses\":[\"10.244.0.2\"],\"conditions\":{\"ready\":false}}")
    let other = try slice("IPv4", "{\"addresses\":[\"10.244.0.2\"]}")
    for slices in [[one, other], [other, one]] {
      let endpoints = try route(dual, slices).ports[0].endpoints
      #expect(endpoints.count == 1 && endpoints[0].isReady)
    }
  }

  @Test func headlessServicesAndNames() throws {
    let members = try route(
      "{\"clusterIP\":\"None\",\"ipFamilies\":[\"IPv4\",\"IPv6\"]}",
      [
        try slice("IPv4", "{\"addresses\":[\"10.244.0.2\"],\"hostname\":\"DB-0\"}"),
        try slice("IPv6", "{\"addresses\":[\"fd00:10:244::2\"],\"hostname\":\"db-0\"},{\"addresses\":[\"fd00::7\"]}"),
      ]
    ).members
    #expect(members.map(\.host) == ["db-0", "db-0", "fd00--7"])
    #expect(try route("{\"type\":\"ExternalName\",\"externalName\":\"example.org\"}").alias == "example.org")
  }

  @Test func whatIsEqualNeedsNothingDone() throws {
    var model = TrafficModel()
    let key = ObjectKey(namespace: "default", name: "web")
    let route = try route(dual)
    var isChanged = [model.set(key, route), model.set(key, route)]
    #expect(isChanged == [true, false])
    let before = model
    var other = route
    other.externalIsLocal = true
    isChanged = [model.set(key, other)]
    #expect(isChanged == [true])
    // A value: what was held stays as it was.
    #expect(before.services[key] == route && model.services[key] == other)
    isChanged = [model.set(key, nil), model.set(key, nil)]
    #expect(isChanged == [true, false])
    #expect(model.services.isEmpty)
  }
}
