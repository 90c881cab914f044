import LinuxSystem
import OCI

/// Writes a tar archive: POSIX ustar, and pax extended headers (IEEE Std 1003.1-2017, pax) for what ustar cannot hold:
/// long and non-ASCII names, large numbers, fractions of seconds, extended attributes (`SCHILY.xattr.`).
///
/// Equal entries and contents give equal bytes. Memory use does not depend on the archive. Used by one thread.
public final class TarWriter {
  private let sink: any ByteSink
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
  /// How much of the buffer is filled.
  private var filled = 0
  private var flushed: Int64 = 0
  /// What is left to be written of the current member's content, and the zeros that fill its last block.
  private var remaining: Int64 = 0
  private var padding = 0
  private var path = ""

  public init(to sink: any ByteSink) { self.sink = sink }

  deinit { buffer.deallocate() }

  /// Bytes of the archive so far.
  public var bytesWritten: Int64 { flushed + Int64(filled) }

  /// Begins a member. The content of the one before must be complete.
  public func append(_ entry: TarEntry) throws(OCIError) {
    try checkComplete()
    var name = entry.path
    if entry.kind == .directory, !name.hasSuffix("/") { name += "/" }
    guard !name.isEmpty, name.utf8.count < 4096, entry.target.utf8.count < 4096, !name.utf8.contains(0),
      !entry.target.utf8.contains(0)
    else { throw OCIError(.invalidArchive, "\"\(name.prefix(80))\" is no name for a member of an archive") }
    let size = entry.kind == .file ? entry.size : 0
    guard size >= 0, (0..<1_000_000_000).contains(entry.modifiedNanoseconds) else {
      throw OCIError(.invalidArchive, "\"\(name)\": the size or the time is out of range")
    }

    var records: [(key: String, value: [UInt8])] = []
    func record(_ key: String, _ value: some StringProtocol) { records.append((key, Array(value.utf8))) }
    let split = TarWriter.split(name)
    if split == nil { record("path", name) }
    let isShortTarget = entry.target.utf8.count <= 100 && TarWriter.isASCII(entry.target)
    if !isShortTarget { record("linkpath", entry.target) }
    if size > TarWriter.octal11Max { record("size", String(size)) }
    if entry.owner > TarWriter.octal7Max { record("uid", String(entry.owner)) }
    if entry.group > TarWriter.octal7Max { record("gid", String(entry.group)) }
    let hasPlainTime = entry.modifiedNanoseconds == 0 && (0...TarWriter.octal11Max).contains(entry.modified)
    if !hasPlainTime { record("mtime", TarWriter.time(entry.modified, entry.modifiedNanoseconds)) }
    for attribute in entry.attributes {
      // The key of a pax record ends with the first '='.
      guard !attribute.name.isEmpty, !attribute.name.utf8.contains(UInt8(ascii: "=")) else {
        throw OCIError(
          .unsupported,
          "\"\(name)\": the attribute \"\(attribute.name)\" cannot be in an archive; remove it (setfattr -x)")
      }
      records.append(("SCHILY.xattr." + attribute.name, attribute.value))
    }
    if !records.isEmpty { try appendExtendedHeader(records) }

    let type: UInt8 =
      switch entry.kind {
      case .file: UInt8(ascii: "0")
      case .hardLink: UInt8(ascii: "1")
      case .symbolicLink: UInt8(ascii: "2")
      case .characterDevice: UInt8(ascii: "3")
      case .blockDevice: UInt8(ascii: "4")
      case .directory: UInt8(ascii: "5")
      case .pipe: UInt8(ascii: "6")
      }
    let names = split ?? TarWriter.shortened(name)
    let isDevice = entry.kind == .characterDevice || entry.kind == .blockDevice
    guard !isDevice || max(entry.deviceMajor, entry.deviceMinor) <= TarWriter.octal7Max else {
      throw OCIError(.unsupported, "\"\(name)\": the device number is too large for an archive")
    }
    try header(
      name: names.name, prefix: names.prefix, type: type, size: size > TarWriter.octal11Max ? 0 : size,
      mode: entry.mode & 0o7777, owner: entry.owner > TarWriter.octal7Max ? 0 : entry.owner,
      group: entry.group > TarWriter.octal7Max ? 0 : entry.group,
      modified: min(max(entry.modified, 0), TarWriter.octal11Max), target: isShortTarget ? entry.target : "",
      device: isDevice ? (entry.deviceMajor, entry.deviceMinor) : (0, 0))
    path = name
    remaining = size
    padding = Int((512 - size % 512) % 512)
    if remaining == 0 { try pad() }
  }

  /// A member with its content.
  public func append(_ entry: TarEntry, content: [UInt8]) throws(OCIError) {
    var entry = entry
    entry.size = Int64(content.count)
    try append(entry)
    let failure: OCIError? = content.withUnsafeBytes { bytes in
      do throws(OCIError) {
        try write(bytes)
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }

  /// Content of the current member.
  public func write(_ bytes: UnsafeRawBufferPointer) throws(OCIError) {
    guard Int64(bytes.count) <= remaining else {
      throw OCIError(.invalidArchive, "\"\(path)\" has more content than it said")
    }
    var rest = bytes
    while !rest.isEmpty {
      let space = try space()
      let count = min(space.count, rest.count)
      space.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
      filled += count
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
    remaining -= Int64(bytes.count)
    if remaining == 0 { try pad() }
  }

  /// Takes the rest of the current member's content from `read`, which fills the front of a buffer and returns how many
  /// bytes, and 0 when there are none.
  /// - Returns: how many bytes are missing because `read` had no more. They are not written: the archive cannot go on.
  package func fill(
    from read: (UnsafeMutableRawBufferPointer) throws(OCIError) -> Int
  ) throws(OCIError) -> Int64 {
    while remaining > 0 {
      let space = try space()
      let count = try read(UnsafeMutableRawBufferPointer(rebasing: space[..<Int(min(Int64(space.count), remaining))]))
      if count == 0 { return remaining }
      filled += count
      remaining -= Int64(count)
    }
    try pad()
    return 0
  }

  /// Writes the end of the archive and hands everything on.
  public func finish() throws(OCIError) {
    try checkComplete()
    try zeros(1024)
    try flush()
  }

  private func checkComplete() throws(OCIError) {
    guard remaining == 0 else { throw OCIError(.invalidArchive, "\"\(path)\" lacks \(remaining) bytes of its content") }
  }

  // MARK: The buffer

  /// Hands on what has been written so far.
  func flush() throws(OCIError) {
    guard filled > 0 else { return }
    try sink.write(UnsafeRawBufferPointer(rebasing: buffer[..<filled]))
    flushed += Int64(filled)
    filled = 0
  }

  private func space() throws(OCIError) -> UnsafeMutableRawBufferPointer {
    if filled == buffer.count { try flush() }
    return UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
  }

  /// Fills the last block of the content.
  private func pad() throws(OCIError) {
    try zeros(padding)
    padding = 0
  }

  private func zeros(_ count: Int) throws(OCIError) {
    var left = count
    while left > 0 {
      let space = try space()
      let count = min(space.count, left)
      UnsafeMutableRawBufferPointer(rebasing: space[..<count]).initializeMemory(as: UInt8.self, repeating: 0)
      filled += count
      left -= count
    }
  }

  // MARK: Headers

  private static let octal7Max: UInt32 = 0o7777777
  private static let octal11Max: Int64 = 0o77777777777

  private static func isASCII(_ text: String) -> Bool { text.utf8.allSatisfy { $0 < 0x80 } }

  /// The name as ustar's two fields hold it; `nil` when they cannot.
  private static func split(_ name: String) -> (prefix: String, name: String)? {
    guard isASCII(name) else { return nil }
    if name.utf8.count <= 100 { return ("", name) }
    guard name.utf8.count <= 256 else { return nil }
    let bytes = Array(name.utf8)
    // A slash that leaves at most 155 bytes before and 1 to 100 bytes behind it; the last byte may be a folder's slash.
    for at in stride(from: min(155, bytes.count - 2), through: max(1, bytes.count - 101), by: -1)
    where bytes[at] == UInt8(ascii: "/") {
      return (
        String(decoding: bytes[..<at], as: UTF8.self), String(decoding: bytes[(at + 1)...], as: UTF8.self)
      )
    }
    return nil
  }

  /// For programs that do not know pax: the end of the name, as far as it fits.
  private static func shortened(_ name: String) -> (prefix: String, name: String) {
    let ascii = name.utf8.map { $0 < 0x80 ? $0 : UInt8(ascii: "_") }
    return ("", String(decoding: ascii.suffix(100), as: UTF8.self))
  }

  /// Seconds with a fraction; what is before 1970 counts backward: half a second before it is `-0.5`.
  private static func time(_ seconds: Int64, _ nanoseconds: Int) -> String {
    guard nanoseconds > 0 else { return String(seconds) }
    let isNegative = seconds < 0
    var fraction = String(isNegative ? 1_000_000_000 - nanoseconds : nanoseconds)
    fraction = String(repeating: "0", count: 9 - fraction.utf8.count) + fraction
    while fraction.hasSuffix("0") { fraction.removeLast() }
    return isNegative ? "-\((seconds + 1).magnitude).\(fraction)" : "\(seconds).\(fraction)"
  }

  private func appendExtendedHeader(_ records: [(key: String, value: [UInt8])]) throws(OCIError) {
    var content: [UInt8] = []
    for (key, value) in records.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      // The length counts its own digits.
      let rest = key.utf8.count + value.count + 3
      var length = rest
      while String(length).utf8.count + rest != length { length = String(length).utf8.count + rest }
      content += Array("\(length) \(key)=".utf8)
      content += value
      content.append(0x0A)
    }
    guard content.count <= TarReader.headerBytesMax else {
      throw OCIError(.limitExceeded, "the extended attributes of a file have \(content.count) bytes, which is too much")
    }
    try header(
      name: "PaxHeaders/header", prefix: "", type: UInt8(ascii: "x"), size: Int64(content.count), mode: 0o644, owner: 0,
      group: 0, modified: 0, target: "", device: (0, 0))
    remaining = Int64(content.count)
    padding = (512 - content.count % 512) % 512
    let failure: OCIError? = content.withUnsafeBytes { bytes in
      do throws(OCIError) {
        try write(bytes)
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }

  private func header(
    name: String, prefix: String, type: UInt8, size: Int64, mode: UInt32, owner: UInt32, group: UInt32, modified: Int64,
    target: String, device: (UInt32, UInt32)
  ) throws(OCIError) {
    if buffer.count - filled < 512 { try flush() }
    let block = UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<filled + 512])
    block.initializeMemory(as: UInt8.self, repeating: 0)
    func put(_ text: String, _ offset: Int) {
      var text = text
      text.withUTF8 {
        UnsafeMutableRawBufferPointer(rebasing: block[offset...]).copyMemory(from: UnsafeRawBufferPointer($0))
      }
    }
    /// Digits that end with a zero byte, which is there already.
    func octal(_ value: UInt64, _ offset: Int, _ count: Int) {
      var value = value
      for position in stride(from: offset + count - 2, through: offset, by: -1) {
        block[position] = 0x30 + UInt8(value & 7)
        value >>= 3
      }
    }
    put(name, 0)
    octal(UInt64(mode), 100, 8)
    octal(UInt64(owner), 108, 8)
    octal(UInt64(group), 116, 8)
    octal(UInt64(size), 124, 12)
    octal(UInt64(modified), 136, 12)
    block[156] = type
    put(target, 157)
    put("ustar\u{0}00", 257)
    octal(UInt64(device.0), 329, 8)
    octal(UInt64(device.1), 337, 8)
    put(prefix, 345)
    // The checksum counts its own field as spaces.
    var sum = 8 * 0x20
    for byte in block { sum += Int(byte) }
    octal(UInt64(sum), 148, 7)
    block[155] = 0x20
    filled += 512
  }
}
