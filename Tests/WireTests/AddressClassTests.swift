import Testing
import Wire

/// The assumption that failed (H4, H5): an address that parses is an address that packets may be sent to.
@Suite struct AddressClassTests {
  private func addressClass(_ text: String) throws -> AddressClass { AddressClass(try #require(IPAddress(text))) }

  @Test(arguments: [
    ("0.0.0.0", AddressClass.unspecified), ("0.0.0.1", .thisNetwork), ("0.255.255.255", .thisNetwork),
    ("127.0.0.1", .loopback), ("127.255.255.254", .loopback), ("126.255.255.255", .ordinary), ("128.0.0.0", .ordinary),
    ("169.254.169.254", .linkLocal), ("169.253.0.1", .ordinary), ("224.0.0.1", .linkLocalMulticast),
    ("224.0.1.1", .multicast), ("239.255.255.255", .multicast), ("240.0.0.1", .reserved),
    ("255.255.255.255", .broadcast), ("255.255.255.254", .reserved), ("10.0.0.1", .ordinary),
    ("::", .unspecified), ("::1", .loopback), ("::2", .ordinary), ("fe80::1", .linkLocal), ("febf::1", .linkLocal),
    ("fec0::1", .ordinary), ("ff02::1", .linkLocalMulticast), ("ff05::1", .multicast), ("2001:db8::1", .ordinary),
    ("::ffff:127.0.0.1", .loopback), ("::ffff:7f00:1", .loopback), ("::ffff:10.0.0.1", .mapped),
    ("::127.0.0.1", .loopback), ("::10.0.0.1", .mapped), ("64:ff9b::169.254.169.254", .linkLocal),
    ("64:ff9b::8.8.8.8", .ordinary), ("2002:7f00:1::", .loopback), ("2002:808:808::1", .ordinary),
    ("::ffff:0.0.0.0", .unspecified),
  ])
  func classes(text: String, expected: AddressClass) throws {
    #expect(try addressClass(text) == expected, "\(text)")
  }

  /// Each IPv4 address is in one class, whichever way it is written.
  @Test func mappedAddressesAreSeenThrough() throws {
    for first in 0...255 {
      for rest in ["0.0.0", "0.0.1", "254.169.254", "255.255.255"] {
        let plain = try addressClass("\(first).\(rest)")
        let mapped = try addressClass("::ffff:\(first).\(rest)")
        #expect(mapped == (plain == .ordinary ? .mapped : plain), "\(first).\(rest)")
      }
    }
  }

  @Test func onlyOrdinaryAddressesMayBeTranslated() {
    #expect(AddressClass.allCases.filter { $0.refusal == nil } == [.ordinary])
  }

  /// What some readers take for 127.0.0.1 is no address here.
  @Test(arguments: ["0177.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "127.0.0.1 ", "127.0.0.01", "1.2.3.4.5", ""])
  func otherFormsAreNoAddresses(text: String) {
    #expect(IPAddress(text) == nil)
  }

  @Test func theClustersOwnAddresses() throws {
    let cluster = ClusterAddresses(
      pods: IPRanges("10.244.0.0/24,fd00:10:244::/64"),
      services: try #require(IPRanges("10.96.0.0/16,fd00:10:96::/112")),
      machine: [try #require(IPAddress("192.0.2.7"))])
    func refusal(_ text: String, _ source: ClusterAddresses.Source = .user) throws -> String? {
      cluster.refusal(external: try #require(IPAddress(text)), from: source)
    }
    for own in [
      "10.96.0.1", "10.96.0.10", "10.96.200.1", "10.244.0.1", "10.244.0.77", "192.0.2.7", "127.0.0.1",
      "fd00:10:96::1", "fd00:10:96::ffff", "fd00:10:244::1", "fd00:10:244:0:1::7", "::1", "::ffff:192.0.2.8",
    ] {
      #expect(try refusal(own) != nil, "\(own)")
    }
    #expect(try refusal("192.0.2.8") == nil)
    #expect(try refusal("fd00:10:96::1:0") == nil)
    #expect(try refusal("192.0.2.7", .loadBalancer) == nil)
    #expect(try refusal("127.0.0.1", .loadBalancer) != nil)

    func clusterRefusal(_ text: String, _ service: String = "shop/web") throws -> String? {
      cluster.refusal(cluster: try #require(IPAddress(text)), for: service)
    }
    #expect(try clusterRefusal("10.96.0.77") == nil)
    #expect(try clusterRefusal("10.96.0.1") != nil)
    #expect(try clusterRefusal("10.96.0.1", "default/kubernetes") == nil)
    #expect(try clusterRefusal("10.96.0.10", "kube-system/other") != nil)
    #expect(try clusterRefusal("10.97.0.1", "default/kubernetes") != nil)
    #expect(try clusterRefusal("fd00:10:96::77") == nil)
    #expect(try clusterRefusal("fd00:10:96::1") != nil)
    #expect(try clusterRefusal("fd00:10:96::a", "kube-system/other") != nil)
    #expect(try clusterRefusal("fd00:10:97::77") != nil)
  }
}
