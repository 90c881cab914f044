/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): the same numbers for the same
/// seed on every machine, so that each failure can be run again.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  /// Bytes of an alphabet, which is not empty.
  package mutating func bytes(_ count: ClosedRange<Int>, of alphabet: [UInt8]) -> [UInt8] {
    (0..<Int.random(in: count, using: &self)).map { _ in alphabet[Int.random(in: alphabet.indices, using: &self)] }
  }

  /// A text made of pieces of the samples, with bytes that belong nowhere.
  package mutating func text(from samples: [String]) -> String {
    var bytes: [UInt8] = []
    for _ in 0..<Int.random(in: 0...4, using: &self) {
      var piece = Array((samples.randomElement(using: &self) ?? "").utf8)
      if !piece.isEmpty, Bool.random(using: &self) {
        piece = Array(piece[Int.random(in: 0..<piece.count, using: &self)...])
      }
      if !piece.isEmpty, Bool.random(using: &self) {
        piece[Int.random(in: 0..<piece.count, using: &self)] = UInt8.random(in: 0...255, using: &self)
      }
      bytes += piece
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// A few bytes changed, taken out, doubled, or put in.
  package mutating func mutated(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 1...8, using: &self) {
      guard !bytes.isEmpty else { return [UInt8.random(in: 0...255, using: &self)] }
      let at = Int.random(in: 0..<bytes.count, using: &self)
      let end = min(bytes.count, at + Int.random(in: 1...40, using: &self))
      switch Int.random(in: 0..<7, using: &self) {
      case 0: bytes[at] = .random(in: 0...255, using: &self)
      case 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &self)
      case 2: bytes.removeSubrange(at..<end)
      case 3: bytes.insert(contentsOf: bytes[at..<end], at: at)
      case 4: bytes.removeSubrange(at...)
      case 5: for index in at..<end { bytes[index] = [0, 0x20, 0x37, 0x7F, 0x80, 0xFF].randomElement(using: &self)! }
      default:
        bytes.insert(
          contentsOf: Array("18446744073709551615".utf8).prefix(Int.random(in: 1...20, using: &self)), at: at)
      }
    }
    return bytes
  }
}

/// Bytes that compress to about a half, the same for the same seed.
package func noise(_ count: Int, seed: UInt64) -> [UInt8] {
  var random = SeededGenerator(seed: seed)
  var bytes: [UInt8] = []
  bytes.reserveCapacity(count + 64)
  while bytes.count < count {
    let word = random.next()
    withUnsafeBytes(of: word) { bytes.append(contentsOf: $0) }
    // Now and then what was before.
    if word & 3 == 0, bytes.count > 64 {
      let start = Int(word >> 16) % (bytes.count - 64)
      bytes.append(contentsOf: Array(bytes[start..<start + 64]))
    }
  }
  return Array(bytes.prefix(count))
}
