import KubeClient
import KubeTypes
import Schema
import Store
import Testing
import Wire

@testable import APIServer

/// Services of one family and of both (KEP-563), in the words of Kubernetes.
@Suite struct DualStackTests {
  private static let pods = "10.244.0.0/24,fd00:10:244::/64"
  private static let services = "10.96.0.0/24,fd00:10:96::/112"

  private func dual(
    _ services: String = DualStackTests.services, _ body: (Fixture) async throws -> Void
  ) async throws {
    try await Fixture.run(range: services, pods: Self.pods, body)
  }

  private func service(_ name: String, _ spec: JSON = [:]) -> JSON {
    var spec = spec
    if spec["ports"] == nil { spec["ports"] = [["port": 80]] }
    return ["metadata": ["name": .string(name)], "spec": spec]
  }

  private func families(_ service: JSON) -> [String] {
    (service.at("spec", "ipFamilies")?.array ?? []).compactMap(\.string)
  }

  private func addresses(_ service: JSON) -> [String] {
    (service.at("spec", "clusterIPs")?.array ?? []).compactMap(\.string)
  }

  private func expectAddresses(_ service: JSON, _ expected: [IPAddress.Family]) throws {
    let addresses = addresses(service)
    #expect(addresses.compactMap { IPAddress($0)?.family } == expected)
    #expect(families(service) == expected.map(\.rawValue))
    #expect(service.at("spec", "clusterIP")?.string == addresses.first)
    let ranges = try #require(IPRanges(Self.services))
    for text in addresses { #expect(IPAddress(text).map(ranges.contains) == true, "\(text)") }
  }

  @Test(
    arguments: [
      ([:], [.ipv4]), (["ipFamilyPolicy": "SingleStack"], [.ipv4]), (["ipFamilies": ["IPv6"]], [.ipv6]),
      (["ipFamilyPolicy": "PreferDualStack"], [.ipv4, .ipv6]),
      (["ipFamilyPolicy": "RequireDualStack"], [.ipv4, .ipv6]),
      (["ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6"]], [.ipv6, .ipv4]),
      (["ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]], [.ipv6, .ipv4]),
      (["clusterIP": "fd00:10:96::77"], [.ipv6]),
      (["ipFamilyPolicy": "RequireDualStack", "clusterIP": "fd00:10:96::77"], [.ipv6, .ipv4]),
      (
        [
          "ipFamilyPolicy": "PreferDualStack", "clusterIP": "10.96.0.77",
          "clusterIPs": ["10.96.0.77", "fd00:10:96::77"],
        ],
        [.ipv4, .ipv6]
      ),
      (["type": "LoadBalancer", "ipFamilyPolicy": "RequireDualStack"], [.ipv4, .ipv6]),
    ] as [(JSON, [IPAddress.Family])])
  func whatIsAskedForIsGiven(spec: JSON, expected: [IPAddress.Family]) async throws {
    try await dual { fixture in
      let made = try await fixture.create("services", service("s", spec)).json()
      try expectAddresses(made, expected)
      let policy = spec["ipFamilyPolicy"] ?? "SingleStack"
      #expect(made.at("spec", "ipFamilyPolicy") == policy)
      for chosen in spec["clusterIPs"]?.array ?? [] { #expect(addresses(made).contains(chosen.string ?? "")) }
    }
  }

  @Test func theClustersFirstFamilyGoesFirst() async throws {
    try await dual("fd00:10:96::/112,10.96.0.0/24") { fixture in
      try expectAddresses(try await fixture.create("services", service("one")).json(), [.ipv6])
      try expectAddresses(
        try await fixture.create("services", service("two", ["ipFamilyPolicy": "PreferDualStack"])).json(),
        [.ipv6, .ipv4])
      let api = try await fixture.get("services", "kubernetes")
      #expect(addresses(api) == ["fd00:10:96::1"] && api.at("spec", "ipFamilyPolicy") == "SingleStack")
      let slices = GroupVersionResource(group: "discovery.k8s.io", version: "v1", resource: "endpointslices")
      let slice = try await fixture.client.get(slices, namespace: "default", name: "kubernetes").json()
      #expect(slice["addressType"] == "IPv6")
    }
  }

  @Test(
    arguments: [
      (["ipFamilies": ["IPv4", "IPv6"]], "when multiple IP families are specified"),
      (["clusterIPs": ["10.96.0.77", "fd00:10:96::77"]], "when multiple cluster IPs are specified"),
      (
        ["ipFamilyPolicy": "PreferDualStack", "clusterIPs": ["10.96.0.77", "10.96.0.78"]],
        "may specify no more than one IP for each IP family"
      ),
      (
        ["ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"], "clusterIP": "10.96.0.77"],
        "expected an IPv6 value as indicated by `ipFamilies[0]`"
      ),
      (["clusterIP": "fd00:10:97::77"], "The range of valid IPs is fd00:10:96::/112"),
      (["clusterIP": "fd00:10:96::"], "not in the valid range"),
      (["clusterIP": "fd00:10:96::ffff"], "not in the valid range"),
      (["clusterIP": "fd00:10:96::1"], "is the address of the API"),
      (["clusterIP": "fd00:10:96::a"], "is the address of the cluster's name server"),
      (["clusterIP": "::ffff:10.96.0.77"], "not in the valid range"), (["ipFamilyPolicy": "Both"], "ipFamilyPolicy"),
      (["externalIPs": ["fd00:10:96::77"]], "may not be in the range of the cluster addresses"),
      (["externalIPs": ["fd00:10:244::77"]], "may not be in the range of the pods"),
    ] as [(JSON, String)])
  func whatCannotBeIsRefused(spec: JSON, message: String) async throws {
    try await dual { fixture in
      var spec = spec
      if spec["clusterIP"] == nil { spec["clusterIP"] = spec["clusterIPs"]?.array?.first }
      let body = service("s", spec)
      let failure = await refusal { _ = try await fixture.create("services", body) }
      #expect(failure?.code == 422 && failure?.message.contains(message) == true, "\(String(describing: failure))")
    }
  }

  @Test func aSecondFamilyComesAndGoes() async throws {
    try await dual { fixture in
      let single = try await fixture.create("services", service("s", ["ipFamilyPolicy": "SingleStack"])).json()
      let up = try await fixture.patch("services", "s", .merge, ["spec": ["ipFamilyPolicy": "RequireDualStack"]])
      try expectAddresses(up, [.ipv4, .ipv6])
      #expect(addresses(up).first == addresses(single).first)
      let second = try #require(addresses(up).last)
      // It is taken now, and free again afterwards.
      let other = service("o", ["clusterIP": .string(second)])
      #expect(await refusal { _ = try await fixture.create("services", other) }?.message.contains("allocated") == true)
      // Giving it up needs the policy: one that prefers two would get another.
      let stays = await refusal {
        _ = try await fixture.patch(
          "services", "s", .merge,
          [
            "spec": [
              "ipFamilies": ["IPv4"], "clusterIPs": [.string(addresses(up)[0])], "ipFamilyPolicy": "PreferDualStack",
            ]
          ])
      }
      #expect(stays?.message.contains("spec.clusterIPs[1]") == true, "\(String(describing: stays))")
      let down = try await fixture.patch("services", "s", .merge, ["spec": ["ipFamilyPolicy": "SingleStack"]])
      try expectAddresses(down, [.ipv4])
      #expect(addresses(down) == addresses(single))
      _ = try await fixture.create("services", other)
    }
  }

  @Test(
    arguments: [
      (["ipFamilies": ["IPv6", "IPv4"]], "expected an IPv6 value as indicated by `ipFamilies[0]`"),
      (["clusterIPs": ["10.96.0.99", "fd00:10:96::77"], "clusterIP": "10.96.0.99"], "may not change once set"),
      (["clusterIPs": ["10.96.0.77", "fd00:10:96::99"]], "spec.clusterIPs[1]"),
      (["clusterIP": "10.96.0.99"], "may not change once set"),
      (["ipFamilies": ["IPv4", "IPv4"]], "Duplicate value"),
    ] as [(JSON, String)])
  func whatIsSetStays(change: JSON, message: String) async throws {
    try await dual { fixture in
      _ = try await fixture.create(
        "services",
        service(
          "s",
          [
            "ipFamilyPolicy": "RequireDualStack", "clusterIP": "10.96.0.77",
            "clusterIPs": ["10.96.0.77", "fd00:10:96::77"],
          ]))
      let failure = await refusal { _ = try await fixture.patch("services", "s", .merge, ["spec": change]) }
      #expect(failure?.code == 422 && failure?.message.contains(message) == true, "\(String(describing: failure))")
    }
  }

  @Test func anUpdateThatLeavesThemOutKeepsBoth() async throws {
    try await dual { fixture in
      let made = try await fixture.create("services", service("s", ["ipFamilyPolicy": "PreferDualStack"])).json()
      var update = made
      for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] { update["spec"]?[field] = nil }
      let kept = try await fixture.update("services", "s", update)
      for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        #expect(kept.at("spec", field) == made.at("spec", field), "\(field)")
      }
    }
  }

  @Test func headlessServices() async throws {
    try await dual { fixture in
      let selected = try await fixture.create(
        "services",
        service("s", ["clusterIP": "None", "selector": ["a": "b"], "ipFamilyPolicy": "RequireDualStack"])
      ).json()
      #expect(addresses(selected) == ["None"] && families(selected) == ["IPv4", "IPv6"])
      let plain = try await fixture.create("services", service("p", ["clusterIP": "None", "selector": ["a": "b"]]))
        .json()
      #expect(families(plain) == ["IPv4"])
      // Their families may change.
      let changed = try await fixture.patch("services", "p", .merge, ["spec": ["ipFamilies": ["IPv6"]]])
      #expect(families(changed) == ["IPv6"])
    }
  }

  /// A full range of one family refuses what needs it and gives back what the write took of the other.
  @Test func aFullRange() async throws {
    try await Fixture.run(range: "10.96.0.0/24,fd00:10:96::/124", pods: Self.pods) { fixture in
      var made = 0
      var failure: KubeError?
      while failure == nil, made < 20 {
        let body = service("s\(made)", ["ipFamilies": ["IPv6"]])
        failure = await refusal { _ = try await fixture.create("services", body) }
        if failure == nil { made += 1 }
      }
      #expect(made == 12 && failure?.message.contains("fd00:10:96::/124 is full") == true, "\(made)")
      let allocator = fixture.server.addresses.allocator
      let both = service("both", ["ipFamilyPolicy": "RequireDualStack", "clusterIP": "10.96.0.77"])
      #expect(await refusal { _ = try await fixture.create("services", both) } != nil)
      let given = try #require(IPAddress("10.96.0.77"))
      #expect(allocator.reserve(address: given, for: "default/other"))
    }
  }

  /// Each address has its IPAddress, with its family, for as long as it is the Service's (KEP-1880).
  @Test func recordsOfBothFamilies() async throws {
    try await dual { fixture in
      let made = try await fixture.create("services", service("s", ["ipFamilyPolicy": "RequireDualStack"])).json()
      fixture.server.addresses.noteAll()
      try await fixture.server.addresses.keep()
      for text in addresses(made) {
        let record = fixture.store.get(ServiceAddressRecord.prefix + text)
        let labels = try #require(record).header.labels
        #expect(labels["ipaddress.kubernetes.io/ip-family"] == (text.contains(":") ? "IPv6" : "IPv4"))
      }
      let range = try #require(fixture.store.get("networking.k8s.io/servicecidrs/kubernetes"))
      let json = try JSON.parse(range.value)
      #expect(json.at("spec", "cidrs") == ["10.96.0.0/24", "fd00:10:96::/112"])
      #expect(json.at("status", "conditions")?.array?.first?["status"] == "True")
      try await fixture.delete("services", "s")
      try await fixture.server.addresses.keep()
      for text in addresses(made) { #expect(fixture.store.get(ServiceAddressRecord.prefix + text) == nil, "\(text)") }
    }
  }

  /// A Service of both families on a cluster that has one now: it can be written, and is as it was.
  @Test func aClusterThatLostAFamilyLeavesServicesAsTheyAre() async throws {
    var spec: JSON = ["ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"]]
    spec["clusterIPs"] = ["10.96.0.77", "fd00:10:96::77"]
    spec["clusterIP"] = "10.96.0.77"
    let old = spec
    #expect(ServiceFamilies.settle(&spec, old: old, served: [.ipv4]).isEmpty && spec == old)
    // What it asks for anew is judged by what there is.
    spec["ipFamilyPolicy"] = "RequireDualStack"
    #expect(
      ServiceFamilies.settle(&spec, old: old, served: [.ipv4]).first?.detail
        == "this cluster is not configured for dual-stack services")
  }
}
