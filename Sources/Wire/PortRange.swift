extension ClosedRange where Bound == Int {
  /// Parses a range of ports, `30000-32767`: two numbers from 1 to 65535 in digits, and nothing else.
  public init?(ports text: some StringProtocol) {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, let low = UInt16(digits: parts[0]), let high = UInt16(digits: parts[1]), 1 <= low,
      low <= high
    else { return nil }
    self = Int(low)...Int(high)
  }
}

extension UInt16 {
  /// Without the sign that `init(_:)` takes.
  fileprivate init?(digits text: some StringProtocol) {
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    self.init(text)
  }
}
