/// An amount of a resource, such as `100m`, `64Mi` or `1.5` (`resource.Quantity`).
///
/// Kept as a whole number of nano-units, which holds every amount that Kubernetes can write; larger and finer ones are
/// rounded up, as Kubernetes does.
public struct Quantity: Sendable, Hashable, Comparable {
  /// The amount in units of 10⁻⁹.
  public var nanos: Int128

  public init(nanos: Int128) { self.nanos = nanos }
  public init(_ whole: Int64) { nanos = Int128(whole) * 1_000_000_000 }
  public init(milli: Int64) { nanos = Int128(milli) * 1_000_000 }

  public static let zero = Quantity(0)

  public static func < (a: Quantity, b: Quantity) -> Bool { a.nanos < b.nanos }
  /// The sum, at most the largest amount: what pods ask for comes from outside.
  public static func + (a: Quantity, b: Quantity) -> Quantity {
    let (sum, overflow) = a.nanos.addingReportingOverflow(b.nanos)
    return Quantity(nanos: overflow ? (b.nanos < 0 ? .min : .max) : sum)
  }

  public static func - (a: Quantity, b: Quantity) -> Quantity {
    let (difference, overflow) = a.nanos.subtractingReportingOverflow(b.nanos)
    return Quantity(nanos: overflow ? (b.nanos < 0 ? .max : .min) : difference)
  }

  /// The amount in whole units, rounded up.
  public var value: Int64 { Self.dividedUp(nanos, by: 1_000_000_000) }
  /// The amount in thousandths, rounded up: millicores for `cpu`.
  public var milliValue: Int64 { Self.dividedUp(nanos, by: 1_000_000) }

  private static func dividedUp(_ value: Int128, by divisor: Int128) -> Int64 {
    let quotient = value / divisor
    let roundedUp = value > 0 && value % divisor != 0 ? quotient + 1 : quotient
    return Int64(clamping: roundedUp)
  }

  /// Parses `[+-]digits[.digits][suffix]`, the suffix being one of `n u m k M G T P E`, `Ki Mi Gi Ti Pi Ei`, or a
  /// decimal exponent (`e3`, `E-3`). `nil` for anything else.
  public init?(_ text: String) {
    let bytes = Array(text.utf8)
    var at = 0
    var isNegative = false
    if at < bytes.count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") {
      isNegative = bytes[at] == UInt8(ascii: "-")
      at += 1
    }
    var digits: [UInt8] = []
    var pointAt: Int?
    while at < bytes.count {
      if bytes[at] == UInt8(ascii: "."), pointAt == nil {
        pointAt = digits.count
      } else if (0x30...0x39).contains(bytes[at]) {
        digits.append(bytes[at] - 0x30)
      } else {
        break
      }
      at += 1
    }
    guard !digits.isEmpty, digits.count <= 40 else { return nil }
    let fractionDigits = digits.count - (pointAt ?? digits.count)

    var multiplier: Int128 = 1
    var exponent = 9
    switch String(decoding: bytes[at...], as: UTF8.self) {
    case "": break
    case "n": exponent -= 9
    case "u": exponent -= 6
    case "m": exponent -= 3
    case "k": exponent += 3
    case "M": exponent += 6
    case "G": exponent += 9
    case "T": exponent += 12
    case "P": exponent += 15
    case "E": exponent += 18
    case "Ki": multiplier = 1 << 10
    case "Mi": multiplier = 1 << 20
    case "Gi": multiplier = 1 << 30
    case "Ti": multiplier = 1 << 40
    case "Pi": multiplier = 1 << 50
    case "Ei": multiplier = 1 << 60
    case let suffix:
      guard suffix.first == "e" || suffix.first == "E", let power = Int(suffix.dropFirst()), (-30...30).contains(power)
      else {
        return nil
      }
      exponent += power
    }
    exponent -= fractionDigits

    var amount: Int128 = 0
    for digit in digits {
      let (product, overflow) = amount.multipliedReportingOverflow(by: 10)
      let (sum, carries) = product.addingReportingOverflow(Int128(digit))
      if overflow || carries { return nil }
      amount = sum
    }
    var (scaled, overflow) = amount.multipliedReportingOverflow(by: multiplier)
    while exponent > 0, !overflow {
      (scaled, overflow) = scaled.multipliedReportingOverflow(by: 10)
      exponent -= 1
    }
    if overflow { return nil }
    var isInexact = false
    while exponent < 0 {
      if scaled % 10 != 0 { isInexact = true }
      scaled /= 10
      exponent += 1
    }
    if isInexact { scaled += 1 }
    nanos = isNegative ? -scaled : scaled
  }
}

extension Quantity: CustomStringConvertible {
  /// A whole number of units, or of the largest smaller unit that holds the amount exactly.
  public var description: String {
    if nanos % 1_000_000_000 == 0 { return "\(nanos / 1_000_000_000)" }
    if nanos % 1_000_000 == 0 { return "\(nanos / 1_000_000)m" }
    if nanos % 1000 == 0 { return "\(nanos / 1000)u" }
    return "\(nanos)n"
  }
}
