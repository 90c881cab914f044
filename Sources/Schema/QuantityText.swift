import Wire

/// The canonical text of a quantity, as Kubernetes writes back what it read: `0.5` becomes `500m`, `1024Mi` becomes
/// `1Gi`, `1000` becomes `1k` (`resource.Quantity.CanonicalizeBytes`).
enum QuantityText {
  /// `nil` when the text is no quantity.
  static func canonical(_ text: String) -> String? {
    guard let quantity = Quantity(text) else { return nil }
    let nanos = quantity.nanos
    if nanos == 0 { return "0" }
    let unit: Int128 = 1_000_000_000
    if text.utf8.last == UInt8(ascii: "i"), nanos % unit == 0 {
      var whole = nanos / unit
      // Amounts below 1024 are written without a binary suffix.
      if whole >= 1024 || whole <= -1024 {
        var power = 0
        while power < 6, whole % 1024 == 0 {
          whole /= 1024
          power += 1
        }
        return "\(whole)\(["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power])"
      }
      return "\(whole)"
    }
    var mantissa = nanos
    var exponent = -9
    while exponent < 18, mantissa % 1000 == 0 {
      mantissa /= 1000
      exponent += 3
    }
    if text.utf8.contains(where: { $0 | 0x20 == UInt8(ascii: "e") }), text.utf8.last != UInt8(ascii: "E") {
      return exponent == 0 ? "\(mantissa)" : "\(mantissa)e\(exponent)"
    }
    return "\(mantissa)\(["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][(exponent + 9) / 3])"
  }
}
