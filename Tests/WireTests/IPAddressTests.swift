import Testing
import Wire

@Suite struct IPAddressTests {
  @Test(arguments: ["10.0.0.1", "255.255.255.255", "::1", "fd00::1:2"])
  func readsAndWritesBothForms(text: String) {
    #expect(IPAddress(text)?.description == text)
  }

  @Test(arguments: ["", "10.0.0", "10.0.0.256", "10.0.0.01.", "::g", "1.2.3.4/8", "host"])
  func refusesWhatIsNoAddress(text: String) {
    #expect(IPAddress(text) == nil)
  }

  @Test func numbersTheAddressesOfARange() throws {
    let range = try #require(IPv4Range("10.96.3.7/16"))
    #expect(range.description == "10.96.0.0/16")
    #expect(range.count == 65_536)
    #expect(range[10].description == "10.96.0.10")
    #expect(range.index(of: try #require(IPAddress("10.96.1.0"))) == 256)
    #expect(range.index(of: try #require(IPAddress("10.97.0.0"))) == nil)
    #expect(range.index(of: try #require(IPAddress("::1"))) == nil)
  }

  @Test(arguments: ["10.0.0.0", "10.0.0.0/7", "10.0.0.0/31", "10.0.0.0/x", "::/64", "/16"])
  func refusesWhatIsNoRange(text: String) {
    #expect(IPv4Range(text) == nil)
  }
}
