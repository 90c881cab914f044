/// A point in time: microseconds since 1970-01-01T00:00:00Z.
///
/// In JSON it is RFC 3339 in UTC: whole seconds for `metav1.Time`, six decimals for `metav1.MicroTime`.
public struct Timestamp: Sendable, Hashable, Comparable {
  public var microseconds: Int64

  public init(microseconds: Int64) { self.microseconds = microseconds }
  public init(seconds: Int64) { microseconds = seconds * 1_000_000 }

  public static func < (a: Timestamp, b: Timestamp) -> Bool { a.microseconds < b.microseconds }

  /// The time after `duration`, at most the end of the year 9999, which is the last that RFC 3339 can write: durations
  /// come from clients, as the grace period of a deletion does.
  public func adding(_ duration: Duration) -> Timestamp {
    let (seconds, attoseconds) = duration.components
    let sum = Int128(microseconds) + Int128(seconds) * 1_000_000 + Int128(attoseconds / 1_000_000_000_000)
    return Timestamp(microseconds: Int64(min(max(sum, Self.firstMicrosecond), Self.lastMicrosecond)))
  }

  /// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z.
  private static let firstMicrosecond: Int128 = -62_135_596_800_000_000
  private static let lastMicrosecond: Int128 = 253_402_300_799_999_999

  /// The time from `earlier` to this.
  public func since(_ earlier: Timestamp) -> Duration {
    .microseconds(microseconds - earlier.microseconds)
  }

  /// RFC 3339 without a fraction, as `metav1.Time` is written.
  public var rfc3339: String { format(fraction: 0) }

  /// RFC 3339 with six decimals, as `metav1.MicroTime` is written.
  public var rfc3339Micro: String { format(fraction: 6) }

  private func format(fraction digits: Int) -> String {
    var days = microseconds / 86_400_000_000
    var rest = microseconds % 86_400_000_000
    if rest < 0 {
      rest += 86_400_000_000
      days -= 1
    }
    let (year, month, day) = Self.civil(fromDays: days)
    let seconds = rest / 1_000_000
    func pad(_ value: Int64, _ width: Int) -> String {
      let text = String(value)
      return String(repeating: "0", count: max(0, width - text.count)) + text
    }
    var text = "\(pad(year, 4))-\(pad(month, 2))-\(pad(day, 2))T"
    text += "\(pad(seconds / 3600, 2)):\(pad(seconds / 60 % 60, 2)):\(pad(seconds % 60, 2))"
    if digits > 0 { text += "." + pad(rest % 1_000_000, 6) }
    return text + "Z"
  }

  /// Parses RFC 3339, with or without a fraction, in any offset. `nil` for anything else.
  public init?(rfc3339 text: String) {
    let bytes = Array(text.utf8)
    func digits(_ range: Range<Int>) -> Int64? {
      guard range.upperBound <= bytes.count else { return nil }
      var value: Int64 = 0
      for byte in bytes[range] {
        guard (0x30...0x39).contains(byte) else { return nil }
        value = value * 10 + Int64(byte - 0x30)
      }
      return value
    }
    guard bytes.count >= 20, bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"),
      bytes[10] | 0x20 == UInt8(ascii: "t"), bytes[13] == UInt8(ascii: ":"), bytes[16] == UInt8(ascii: ":"),
      let year = digits(0..<4), let month = digits(5..<7), let day = digits(8..<10), let hour = digits(11..<13),
      let minute = digits(14..<16), let second = digits(17..<19), (1...12).contains(month), day >= 1,
      day <= Self.daysIn(month: month, year: year), hour < 24, minute < 60, second <= 60
    else { return nil }
    var at = 19
    var micros: Int64 = 0
    if bytes[at] == UInt8(ascii: ".") {
      at += 1
      let start = at
      var scale: Int64 = 100_000
      while at < bytes.count, (0x30...0x39).contains(bytes[at]) {
        micros += Int64(bytes[at] - 0x30) * scale
        scale /= 10
        at += 1
      }
      if at == start { return nil }
    }
    guard at < bytes.count else { return nil }
    var offset: Int64 = 0
    switch bytes[at] {
    case UInt8(ascii: "Z"), UInt8(ascii: "z"):
      guard at + 1 == bytes.count else { return nil }
    case UInt8(ascii: "+"), UInt8(ascii: "-"):
      guard at + 6 == bytes.count, bytes[at + 3] == UInt8(ascii: ":"), let hours = digits(at + 1..<at + 3),
        let minutes = digits(at + 4..<at + 6), hours < 24, minutes < 60
      else { return nil }
      offset = (hours * 60 + minutes) * (bytes[at] == UInt8(ascii: "-") ? -60 : 60)
    default: return nil
    }
    let seconds = Self.days(year: year, month: month, day: day) * 86_400 + hour * 3600 + minute * 60 + second - offset
    microseconds = seconds * 1_000_000 + micros
  }

  private static func daysIn(month: Int64, year: Int64) -> Int64 {
    switch month {
    case 4, 6, 9, 11: 30
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    default: 31
    }
  }

  /// Days since 1970-01-01 of a date in the proleptic Gregorian calendar.
  private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
    let shifted = month <= 2 ? year - 1 : year
    let era = (shifted >= 0 ? shifted : shifted - 399) / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }

  private static func civil(fromDays days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
  }
}

/// Where the time comes from. Production reads the kernel's clocks (`LinuxSystem.SystemClock`); tests and the
/// simulator hand in their own.
public protocol TimeSource: Sendable {
  /// Wall-clock time: what is written into objects and certificates.
  func now() -> Timestamp
  /// The time since some moment, which nobody can set: what is due, and how long something takes, is reckoned by it.
  func uptime() -> Duration
  /// Suspends for `duration` of this clock's monotonic time; throws `CancellationError` when the task is cancelled.
  func sleep(for duration: Duration) async throws
}

extension TimeSource {
  /// Of a clock that is never set.
  public func uptime() -> Duration { now().since(Timestamp(microseconds: 0)) }
}
