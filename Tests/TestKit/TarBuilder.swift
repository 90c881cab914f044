/// Makes tar archives, good and bad ones, by itself: what the product writes and reads is compared with it.
package struct TarBuilder {
  /// The members so far, without the end of the archive.
  package private(set) var bytes: [UInt8] = []

  package init() {}

  /// One header, with a right checksum.
  package mutating func header(
    _ name: String, type: Character = "0", size: Int = 0, mode: Int = 0o644, target: String = "", owner: Int = 0,
    major: Int = 0, minor: Int = 0
  ) {
    var block = [UInt8](repeating: 0, count: 512)
    func put(_ text: String, _ offset: Int, _ count: Int) {
      for (index, byte) in text.utf8.prefix(count).enumerated() { block[offset + index] = byte }
    }
    func octal(_ value: Int, _ offset: Int, _ count: Int) {
      let digits = String(value, radix: 8)
      put(String(repeating: "0", count: count - 1 - digits.count) + digits, offset, count)
    }
    put(name, 0, 100)
    octal(mode, 100, 8)
    octal(owner, 108, 8)
    octal(owner, 116, 8)
    octal(size, 124, 12)
    octal(1_600_000_000, 136, 12)
    block[156] = type.asciiValue!
    put(target, 157, 100)
    put("ustar\u{0}00", 257, 8)
    octal(major, 329, 8)
    octal(minor, 337, 8)
    for index in 148..<156 { block[index] = 0x20 }
    let sum = block.reduce(0) { $0 + Int($1) }
    octal(sum, 148, 7)
    bytes += block
  }

  private mutating func content(_ data: [UInt8]) {
    bytes += data
    bytes += [UInt8](repeating: 0, count: (512 - data.count % 512) % 512)
  }

  package mutating func file(_ name: String, _ data: [UInt8], mode: Int = 0o644, owner: Int = 0) {
    header(name, size: data.count, mode: mode, owner: owner)
    content(data)
  }

  package mutating func file(_ name: String, _ text: String, mode: Int = 0o644) {
    file(name, Array(text.utf8), mode: mode)
  }

  package mutating func folder(_ name: String, mode: Int = 0o755) { header(name, type: "5", mode: mode) }

  /// An extended header for the next member.
  package mutating func pax(_ records: [(String, String)]) {
    var data: [UInt8] = []
    for (key, value) in records {
      let rest = " \(key)=\(value)\n".utf8.count
      var length = rest + 1
      while String(length).utf8.count + rest != length { length = String(length).utf8.count + rest }
      data += Array("\(length) \(key)=\(value)\n".utf8)
    }
    header("pax", type: "x", size: data.count)
    content(data)
  }

  /// GNU's long name (`L`) or link target (`K`) of the next member.
  package mutating func longName(_ name: String, type: Character = "L") {
    let data = Array(name.utf8) + [0]
    header("././@LongLink", type: type, size: data.count)
    content(data)
  }

  /// The archive, with the two empty blocks at its end.
  package func finish() -> [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }
}
