import Glibc
import TestKit
import Testing
import Wire

@Suite struct IPAddressTests {
  /// What glibc makes of a text: another reader, to compare with.
  private func glibc(_ text: String) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: 16)
    if inet_pton(AF_INET, text, &bytes) == 1 { return Array(bytes[..<4]) }
    return inet_pton(AF_INET6, text, &bytes) == 1 ? bytes : nil
  }

  @Test(arguments: [
    // RFC 5952, sections 4.1 to 5.
    ("2001:0db8::0001", "2001:db8::1"), ("2001:db8:0:0:0:0:2:1", "2001:db8::2:1"),
    ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
    ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("2001:DB8::ABCD", "2001:db8::abcd"), ("::", "::"), ("::1", "::1"),
    ("1::", "1::"), ("::ffff:192.0.2.1", "::ffff:192.0.2.1"), ("::ffff:c000:201", "::ffff:192.0.2.1"),
    ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
    ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"), ("10.0.0.1", "10.0.0.1"), ("255.255.255.255", "255.255.255.255"),
    ("0.0.0.0", "0.0.0.0"), ("fd00::1:2", "fd00::1:2"), ("::192.0.2.1", "::c000:201"),
  ])
  func canonicalText(text: String, canonical: String) {
    #expect(IPAddress(text)?.description == canonical)
    #expect(IPAddress(text)?.bytes == glibc(text))
  }

  @Test(arguments: [
    "", "10.0.0", "10.0.0.256", "10.0.0.01", "10.0.0.1.", ".10.0.0.1", "1..2.3", "+1.2.3.4", "1.2.3.4.5", "::g",
    "1.2.3.4/8", "host", "10.0.0.1\u{0}", "10.0.0.1 ", "١.0.0.1", ":", ":::", "1:::2", "::1::", "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9", "1:2:3:4::5:6:7:8", "12345::", "fe80::1%eth0", "[::1]", "::1.2.3", "::01.2.3.4", "1.2.3.4::",
    "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4", ":1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:", "2130706433", "0x7f.0.0.1",
  ])
  func refusesWhatIsNoAddress(text: String) {
    #expect(IPAddress(text) == nil)
  }

  @Test func everyAddressIsReadBackAsItself() throws {
    var random = SeededGenerator(seed: 11)
    for _ in 0..<20_000 {
      // Half of the groups are zero, so that gaps of every length and place come up.
      let bytes = (0..<8).flatMap { _ -> [UInt8] in
        Bool.random(using: &random)
          ? [0, 0] : [.random(in: 0...255, using: &random), .random(in: 0...255, using: &random)]
      }
      for address in [IPAddress(bytes: bytes), IPAddress(bytes: bytes.prefix(4))] {
        let text = address.description
        #expect(IPAddress(text) == address, "\(text)")
        #expect(address.bytes == glibc(text), "\(text)")
        #expect(text == text.lowercased())
      }
    }
  }

  /// Random and damaged texts: this reader and glibc's agree.
  @Test func theSameTextsAreAddressesAsForTheSystem() {
    var random = SeededGenerator(seed: 12)
    let alphabet = Array("0123456789abcdefF:::....g/ %")
    let seeds = ["::ffff:10.0.0.1", "fd00:10:244::7", "1:2:3:4:5:6:7:8", "10.244.0.17", "::", "2001:db8::1:0:0:1"]
    var accepted = 0
    for round in 0..<200_000 {
      var text: [Character]
      if round % 2 == 0 {
        text = (0..<Int.random(in: 0...24, using: &random)).map { _ in
          alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
        }
      } else {
        text = Array(seeds[Int.random(in: 0..<seeds.count, using: &random)])
        for _ in 0..<Int.random(in: 1...3, using: &random) {
          let place = Int.random(in: 0...text.count, using: &random)
          if Bool.random(using: &random), place < text.count {
            text.remove(at: place)
          } else {
            text.insert(alphabet[Int.random(in: 0..<alphabet.count, using: &random)], at: place)
          }
        }
      }
      let whole = String(text)
      let read = IPAddress(whole)
      #expect(read?.bytes == glibc(whole), "\(whole)")
      if read != nil { accepted += 1 }
      _ = IPRange(whole)
    }
    // Both kinds come up, or nothing would have been compared.
    #expect(accepted > 1000)
  }

  @Test func familiesAreInOrder() throws {
    let sorted = ["10.0.0.1", "10.0.0.2", "255.0.0.0", "::", "::1", "fd00::1"].compactMap { IPAddress($0) }
    #expect(sorted.count == 6 && sorted.shuffled().sorted() == sorted)
    #expect(IPAddress("0.0.0.1") != IPAddress("::1"))
  }

  @Test(arguments: [
    ("10.96.3.7/16", "10.96.0.0/16", 65_536, "10.96.0.10", "10.96.255.255"),
    ("10.244.1.7/24", "10.244.1.0/24", 256, "10.244.1.10", "10.244.1.255"),
    ("fd00:10:96::1:2/112", "fd00:10:96::1:0/112", 65_536, "fd00:10:96::1:a", "fd00:10:96::1:ffff"),
    ("fd00::/64", "fd00::/64", Int.max, "fd00::a", "fd00::ffff:ffff:ffff:ffff"),
    ("0.0.0.0/0", "0.0.0.0/0", 1 << 32, "0.0.0.10", "255.255.255.255"),
    ("::/0", "::/0", Int.max, "::a", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
  ])
  func numbersTheAddressesOfARange(text: String, canonical: String, count: Int, tenth: String, last: String) throws {
    let range = try #require(IPRange(text))
    #expect(range.description == canonical)
    #expect(range.count == count)
    #expect(range[10].description == tenth)
    #expect(range.index(of: range[10]) == 10)
    #expect(range.last.description == last)
    #expect(range.contains(range.base) && range.contains(range.last))
    #expect(range.index(of: try #require(IPAddress(range.family == .ipv4 ? "::a" : "10.96.0.10"))) == nil)
  }

  @Test(arguments: [
    "10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/x", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/", "/16", "::/64/64",
    "10.0.0.0/8 ",
  ])
  func refusesWhatIsNoRange(text: String) {
    #expect(IPRange(text) == nil)
  }

  /// A range has what its prefix says, bit by bit.
  @Test func rangesContainWhatSharesThePrefix() {
    var random = SeededGenerator(seed: 13)
    for _ in 0..<20_000 {
      let family = IPAddress.Family.allCases.randomElement(using: &random) ?? .ipv4
      let length = Int.random(in: 0...family.bits, using: &random)
      func address() -> IPAddress {
        IPAddress(bytes: (0..<family.bits / 8).map { _ in UInt8.random(in: 0...3, using: &random) })
      }
      let (one, other) = (address(), address())
      func bits(_ address: IPAddress) -> String {
        address.bytes.map {
          String(repeating: "0", count: $0.leadingZeroBitCount - ($0 == 0 ? 1 : 0)) + String($0, radix: 2)
        }
        .joined()
      }
      let range = IPRange(one, prefixLength: length)
      #expect(range.contains(other) == (bits(one).prefix(length) == bits(other).prefix(length)), "\(range) \(other)")
      #expect(IPRange(range.description) == range)
    }
  }

  @Test func rangesOfBothFamilies() throws {
    let both = try #require(IPRanges("fd00:10:96::/112,10.96.0.0/16"))
    #expect(both.families == [.ipv6, .ipv4] && both.primary.family == .ipv6)
    #expect(both.description == "fd00:10:96::/112,10.96.0.0/16")
    #expect(both.index(of: try #require(IPAddress("10.96.1.0"))) == 256)
    #expect(both.index(of: try #require(IPAddress("fd00:10:96::100"))) == 256)
    for text in [
      "", ",", "10.0.0.0/8,", "10.0.0.0/8,11.0.0.0/8", "10.0.0.0/8,fd00::/64,fd01::/64", "10.0.0.0/8 fd00::/64",
    ] {
      #expect(IPRanges(text) == nil, "\(text)")
    }
  }
}

@Suite struct ClusterRangesTests {
  @Test func theFirstFamilyGoesFirst() throws {
    let ranges = try ClusterRanges(pods: "10.244.0.0/24,fd00:10:244::/64", services: "fd00:10:96::/112,10.96.0.0/16")
    #expect(ranges.gateways.map(\.description) == ["10.244.0.1", "fd00:10:244::1"])
    #expect(ranges.nameServers.map(\.description) == ["fd00:10:96::a", "10.96.0.10"])
    #expect(ranges.apiEndpoint.description == "fd00:10:244::1")
  }

  @Test(arguments: [
    ("10.244.0.0/24", "10.96.0.0/16"), ("fd00:10:244::/64", "fd00:10:96::/112"),
    ("10.244.0.0/24,fd00:10:244::/64", "10.96.0.0/16"), ("10.0.0.0/8", "11.0.0.0/28"),
  ])
  func servedRanges(pods: String, services: String) throws {
    #expect(try ClusterRanges(pods: pods, services: services).pods.description == pods)
  }

  @Test(arguments: [
    ("10.244.0.0/24", "10.244.0.0/16", "overlap"), ("10.244.0.0/31", "10.96.0.0/16", "/8 to /30"),
    ("10.244.0.0/24", "10.96.0.0/29", "/8 to /28"), ("10.244.0.0/24", "10.96.0.0/16,fd00::/112", "no pod could answer"),
    ("fd00::/64", "10.96.0.0/16", "no pod could answer"), ("fd00:1::/64", "fd00:2::/64", "/108 to /124"),
    ("10.244.0.0/24,10.245.0.0/24", "10.96.0.0/16", "one of IPv4 and one of IPv6"), ("x", "10.96.0.0/16", "pod range"),
    ("10.244.0.0/24", "", "service range"), ("127.1.0.0/24", "10.96.0.0/16", "machines may have"),
    ("fe80::/64", "fd00::/112", "machines may have"), ("::ffff:10.0.0.0/120", "fd00::/112", "machines may have"),
    ("fd00::/64", "fd00::1:0/112", "overlap"),
  ])
  func refusedRanges(pods: String, services: String, reason: String) {
    let error = #expect(throws: ClusterRangesError.self) { try ClusterRanges(pods: pods, services: services) }
    #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
  }
}
