import Testing
import Wire

@Suite struct PortRangeTests {
  @Test func ranges() {
    #expect(ClosedRange(ports: "30000-32767") == 30000...32767)
    #expect(ClosedRange(ports: "1-65535") == 1...65535)
    #expect(ClosedRange(ports: "80-80") == 80...80)
  }

  @Test(arguments: [
    "", "-", "80", "80-", "-80", "0-80", "81-80", "1-65536", "1-2-3", "1-x-3", "1--3", "-1-3", "+1-3", "1-+3", " 1-3",
    "1 - 3", "a-b", "0x1-3", "1-99999999999999999999",
  ])
  func otherTextsAreNone(_ text: String) { #expect(ClosedRange(ports: text) == nil) }
}
