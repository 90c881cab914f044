import TestKit
import Testing
import Wire

@Suite struct ScalarTests {
  @Test(arguments: [
    ("1", Int64(1_000_000_000)), ("100m", 100_000_000), ("0.5", 500_000_000), ("1n", 1), ("1.5u", 1500),
    ("2k", 2_000_000_000_000),
    ("1Ki", 1_024_000_000_000), ("-3", -3_000_000_000), ("+.5", 500_000_000), ("1e3", 1_000_000_000_000),
    ("5E-3", 5_000_000),
    ("0.1n", 1), ("1.", 1_000_000_000),
  ])
  func parsesQuantities(text: String, nanos: Int64) {
    #expect(Quantity(text)?.nanos == Int128(nanos))
  }

  @Test func extremesStayWithinBounds() throws {
    let large = try #require(Quantity("1e29"))
    #expect(large + large == Quantity(nanos: .max))
    #expect(Quantity(nanos: .min) - large == Quantity(nanos: .min))
    let end = Timestamp(seconds: 0).adding(.seconds(Int64.max))
    #expect(end.rfc3339 == "9999-12-31T23:59:59Z")
    #expect(Timestamp(seconds: 0).adding(.seconds(Int64.min)).rfc3339 == "0001-01-01T00:00:00Z")
  }

  @Test(arguments: [
    "", "-", "1x", "1 Mi", "Mi", "1.2.3", "1e", "1ee3", "0x10", "1Kii", "１",
    "1e-9223372036854775808", "170141183460469231731687303715884105728n", "9999999999999999999999999999999999999999",
  ])
  func refusesQuantities(text: String) {
    #expect(Quantity(text) == nil)
  }

  @Test func computesWithQuantities() throws {
    let memory = try #require(Quantity("64Mi"))
    #expect(memory.value == 67_108_864)
    #expect(try #require(Quantity("250m")).milliValue == 250)
    #expect(try #require(Quantity("1100u")).milliValue == 2)
    #expect(Quantity(2) - Quantity(milli: 500) == Quantity(milli: 1500))
    #expect(Quantity(milli: 1500).description == "1500m")
    #expect(try #require(Quantity("16Ei")).value == .max)
  }

  @Test(arguments: [
    ("1970-01-01T00:00:00Z", Int64(0)), ("2024-02-29T12:30:15Z", 1_709_209_815_000_000),
    ("2024-02-29T12:30:15.123456Z", 1_709_209_815_123_456), ("2024-02-29T14:30:15+02:00", 1_709_209_815_000_000),
    ("1969-12-31T23:59:59Z", -1_000_000), ("2000-03-01T00:00:00.5Z", 951_868_800_500_000),
  ])
  func parsesTimestamps(text: String, microseconds: Int64) throws {
    let time = try #require(Timestamp(rfc3339: text))
    #expect(time.microseconds == microseconds)
    #expect(Timestamp(rfc3339: time.rfc3339Micro) == time)
  }

  @Test(arguments: [
    "", "2024-02-30T00:00:00Z", "2023-02-29T00:00:00Z", "2024-13-01T00:00:00Z", "2024-01-01 00:00:00Z",
    "2024-01-01T24:00:00Z", "2024-01-01T00:00:00", "2024-01-01T00:00:00.Z", "2024-01-01T00:00:00+0200", "now",
  ])
  func refusesTimestamps(text: String) {
    #expect(Timestamp(rfc3339: text) == nil)
  }

  @Test(arguments: [
    ("0", Duration.zero), ("1h30m", .seconds(5400)), ("1.5s", .milliseconds(1500)), ("300ms", .milliseconds(300)),
    ("-2m", .seconds(-120)), ("1µs", .microseconds(1)),
  ])
  func parsesDurations(text: String, duration: Duration) {
    #expect(GoDuration.parse(text) == duration)
  }

  @Test func formatsDurations() {
    #expect(GoDuration.format(.seconds(3600)) == "1h0m0s")
    #expect(GoDuration.format(.milliseconds(123_500)) == "2m3.5s")
    #expect(GoDuration.format(.milliseconds(150)) == "150ms")
    #expect(GoDuration.format(.zero) == "0s")
    #expect(GoDuration.parse("1x") == nil)
    #expect(GoDuration.parse("") == nil)
    #expect(GoDuration.parse("5") == nil)
  }

  @Test(arguments: [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")])
  func encodesBase64(text: String, encoded: String) {
    #expect(Base64.encode(Array(text.utf8)) == encoded)
    #expect(Base64.decode(encoded) == Array(text.utf8))
  }

  @Test func knowsBothAlphabets() {
    #expect(Base64.encode([0xFB, 0xFF], urlSafe: true) == "-_8")
    #expect(Base64.decode("-_8", urlSafe: true) == [0xFB, 0xFF])
    for bad in ["Zg", "Zg=", "Zg===", "Z===", "Zh==", "Zg==Zg==", "Z!==", "-_8="] { #expect(Base64.decode(bad) == nil) }
  }

  @Test(arguments: 0..<50)
  func roundTripsBase64(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let bytes = (0..<Int.random(in: 0..<100, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator)
    }
    #expect(Base64.decode(Base64.encode(bytes)) == bytes)
    #expect(Base64.decode(Base64.encode(bytes, urlSafe: true), urlSafe: true) == bytes)
  }
}
