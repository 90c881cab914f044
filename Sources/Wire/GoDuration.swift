/// Durations as Go writes them (`metav1.Duration`): `1h30m`, `1.5s`, `300ms`.
public enum GoDuration {
  /// Parses a sequence of decimal numbers with units `ns us µs ms s m h`, with an optional sign; `0` needs no unit.
  /// `nil` for anything else, and beyond about 292 years.
  public static func parse(_ text: String) -> Duration? {
    var rest = Substring(text)
    let isNegative = rest.first == "-"
    if let sign = rest.first, sign == "-" || sign == "+" { rest = rest.dropFirst() }
    if rest == "0" { return .zero }
    guard !rest.isEmpty else { return nil }
    var nanoseconds = 0.0
    while !rest.isEmpty {
      let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
      guard let amount = Double(number) else { return nil }
      rest = rest.dropFirst(number.count)
      let unit = rest.prefix { !($0.isASCII && ($0.isNumber || $0 == ".")) }
      rest = rest.dropFirst(unit.count)
      switch unit {
      case "ns": nanoseconds += amount
      case "us", "µs", "μs": nanoseconds += amount * 1e3
      case "ms": nanoseconds += amount * 1e6
      case "s": nanoseconds += amount * 1e9
      case "m": nanoseconds += amount * 60e9
      case "h": nanoseconds += amount * 3600e9
      default: return nil
      }
    }
    guard nanoseconds < 9.2e18 else { return nil }
    return .nanoseconds(Int64(isNegative ? -nanoseconds : nanoseconds))
  }

  /// The largest units first, without those that are zero at the front: `1h0m0s`, `2m3.5s`, `150ms`.
  public static func format(_ duration: Duration) -> String {
    let (wholeSeconds, attoseconds) = duration.components
    let nanoseconds = wholeSeconds * 1_000_000_000 + attoseconds / 1_000_000_000
    if nanoseconds == 0 { return "0s" }
    let sign = nanoseconds < 0 ? "-" : ""
    let magnitude = nanoseconds.magnitude
    func decimal(_ value: UInt64, per unit: UInt64) -> String {
      var fraction = String(value % unit + unit).dropFirst()
      while fraction.last == "0" { fraction = fraction.dropLast() }
      return "\(value / unit)" + (fraction.isEmpty ? "" : "." + fraction)
    }
    if magnitude < 1000 { return "\(sign)\(magnitude)ns" }
    if magnitude < 1_000_000 { return sign + decimal(magnitude, per: 1000) + "µs" }
    if magnitude < 1_000_000_000 { return sign + decimal(magnitude, per: 1_000_000) + "ms" }
    let minutes = magnitude / 60_000_000_000
    let seconds = decimal(magnitude % 60_000_000_000, per: 1_000_000_000) + "s"
    if minutes == 0 { return sign + seconds }
    if minutes < 60 { return "\(sign)\(minutes)m\(seconds)" }
    return "\(sign)\(minutes / 60)h\(minutes % 60)m\(seconds)"
  }
}
