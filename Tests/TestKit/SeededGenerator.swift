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
}
