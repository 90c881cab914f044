import Testing
import Wire

@testable import Schema

/// H4, H5 at the API: addresses that nothing may be translated to, in every field that names one.
@Suite struct AddressValidationTests {
  static let hostile = [
    ("127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
    ("127.200.1.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
    ("0.0.0.0", "may not be unspecified (0.0.0.0 or ::)"),
    ("0.1.2.3", "may not be in the range of \"this network\" (0.0.0.0/8)"),
    ("169.254.169.254", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
    ("224.0.0.1", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ("239.255.0.1", "may not be in the multicast range (224.0.0.0/4, ff00::/8)"),
    ("240.0.0.1", "may not be in the reserved range (240.0.0.0/4)"),
    ("255.255.255.255", "may not be the broadcast address (255.255.255.255)"),
    ("::1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
    ("::", "may not be unspecified (0.0.0.0 or ::)"),
    ("fe80::1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
    ("ff02::1", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ("::ffff:127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
    ("::ffff:10.9.9.9", "must not be an IPv4-mapped IPv6 address"),
    ("64:ff9b::127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
  ]
  static let noAddresses = ["0177.0.0.1", "127.1", "2130706433", "0x7f.1", "127.0.0.1/8", "localhost", " 1.2.3.4"]

  private func service(_ external: [String], status: String = "{}") -> String {
    let list = external.map { "\"\($0)\"" }.joined(separator: ",")
    return #"{"metadata":{"name":"s"},"spec":{"ports":[{"port":80}],"externalIPs":[\#(list)]},"status":\#(status)}"#
  }

  @Test(arguments: AddressValidationTests.hostile)
  func externalIPs(address: String, reason: String) throws {
    #expect(
      try problems("v1", "Service", service(["10.9.9.9", address]))
        == ["spec.externalIPs[1]: Invalid value: \"\(address)\": \(reason)"])
  }

  @Test(arguments: AddressValidationTests.noAddresses)
  func whatIsNoAddress(text: String) throws {
    let reason = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
    #expect(
      try problems("v1", "Service", service([text])) == ["spec.externalIPs[0]: Invalid value: \"\(text)\": \(reason)"])
    #expect(try problems("discovery.k8s.io/v1", "EndpointSlice", slice([text], "IPv4")).count == 1)
    #expect(try problems("v1", "Endpoints", endpoints([text])).count == 1)
  }

  @Test(arguments: AddressValidationTests.hostile)
  func loadBalancers(address: String, reason: String) throws {
    let status = #"{"loadBalancer":{"ingress":[{"ip":"\#(address)"}]}}"#
    #expect(
      try problems("v1", "Service", service([], status: status))
        == ["status.loadBalancer.ingress[0].ip: Invalid value: \"\(address)\": \(reason)"])
  }

  @Test(arguments: AddressValidationTests.hostile)
  func clusterIPs(address: String, reason: String) throws {
    let spec = #"{"ports":[{"port":80}],"clusterIP":"10.0.0.1","clusterIPs":["10.0.0.1","\#(address)"]}"#
    #expect(
      try problems("v1", "Service", #"{"metadata":{"name":"s"},"spec":\#(spec)}"#)
        == ["spec.clusterIPs[1]: Invalid value: \"\(address)\": \(reason)"])
  }

  private func endpoints(_ addresses: [String], list: String = "addresses") -> String {
    let items = addresses.map { #"{"ip":"\#($0)"}"# }.joined(separator: ",")
    return #"{"metadata":{"name":"e"},"subsets":[{"\#(list)":[\#(items)],"ports":[{"port":80}]}]}"#
  }

  @Test(arguments: AddressValidationTests.hostile, ["addresses", "notReadyAddresses"])
  func endpointsOfBothLists(hostile: (String, String), list: String) throws {
    #expect(
      try problems("v1", "Endpoints", endpoints([hostile.0], list: list))
        == ["subsets[0].\(list)[0].ip: Invalid value: \"\(hostile.0)\": \(hostile.1)"])
  }

  private func slice(_ addresses: [String], _ type: String) -> String {
    let items = addresses.map { #"{"addresses":["\#($0)"]}"# }.joined(separator: ",")
    return #"{"metadata":{"name":"e"},"addressType":"\#(type)","endpoints":[\#(items)]}"#
  }

  @Test(arguments: AddressValidationTests.hostile)
  func endpointSlices(address: String, reason: String) throws {
    #expect(
      try problems("discovery.k8s.io/v1", "EndpointSlice", slice([address], address.contains(":") ? "IPv6" : "IPv4"))
        == ["endpoints[0].addresses[0]: Invalid value: \"\(address)\": \(reason)"])
  }

  @Test(arguments: AddressValidationTests.hostile)
  func podAddresses(address: String, reason: String) throws {
    let pod = #""metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}"#
    func errors(_ status: String) throws -> [String] {
      try problems("v1", "Pod", "{\(pod),\"status\":\(status)}", old: "{\(pod)}", subresource: "status")
    }
    #expect(
      try errors(#"{"podIP":"\#(address)","podIPs":[{"ip":"\#(address)"}]}"#)
        == ["status.podIPs[0].ip: Invalid value: \"\(address)\": \(reason)"])
    #expect(
      try errors(#"{"podIP":"\#(address)"}"#) == ["status.podIP: Invalid value: \"\(address)\": \(reason)"])
  }

  /// The conformance suite binds host ports to the loopback; what the host listens on there is guarded by the node.
  @Test func hostIPs() throws {
    func errors(_ address: String) throws -> [String] {
      try problems(
        "v1", "Pod",
        """
        {"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i",
         "ports":[{"containerPort":80,"hostPort":80,"hostIP":"\(address)"}]}]}}
        """)
    }
    for good in ["127.0.0.1", "0.0.0.0", "10.1.1.1", "169.254.1.1", "::1"] {
      #expect(try errors(good) == [], "\(good)")
    }
    for bad in ["224.0.0.1", "255.255.255.255", "240.0.0.1", "0.1.1.1", "::ffff:10.0.0.1"] {
      #expect(try errors(bad).count == 1, "\(bad)")
    }
  }

  /// What was stored before the rule stays writable, for example to take a finalizer away; nothing new comes in by it.
  @Test func whatIsStoredStaysWritable() throws {
    #expect(try problems("v1", "Service", service(["127.0.0.1"]), old: service(["127.0.0.1"])) == [])
    #expect(try problems("v1", "Service", service(["127.0.0.1", "127.0.0.2"]), old: service(["127.0.0.1"])).count == 1)
    #expect(try problems("v1", "Endpoints", endpoints(["127.0.0.1"]), old: endpoints(["127.0.0.1"])) == [])
    #expect(
      try problems("v1", "Endpoints", endpoints(["127.0.0.1"]), old: endpoints(["10.0.0.1"])).count == 1)
    let type = "discovery.k8s.io/v1"
    #expect(
      try problems(type, "EndpointSlice", slice(["127.0.0.1"], "IPv4"), old: slice(["127.0.0.1"], "IPv4")) == [])
    #expect(
      try problems(type, "EndpointSlice", slice(["127.0.0.2"], "IPv4"), old: slice(["127.0.0.1"], "IPv4")).count == 1)
  }

  @Test func namesOfReplicationControllers() throws {
    let spec =
      #"{"selector":{"a":"b"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}"#
    #expect(try problems("v1", "ReplicationController", #"{"metadata":{"name":"simple.rc"},"spec":\#(spec)}"#) == [])
  }
}
