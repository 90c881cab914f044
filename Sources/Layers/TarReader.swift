import LinuxSystem
import OCI

/// A member of a tar archive.
public struct TarEntry: Sendable, Equatable {
  public enum Kind: Sendable, Equatable {
    case file, hardLink, symbolicLink, directory, pipe
    case characterDevice, blockDevice
  }

  public var kind: Kind
  /// As the archive has it.
  public var path: String
  /// Where a link points to.
  public var target: String
  /// Bytes of content; zero for everything but files.
  public var size: Int64
  /// Permission bits, with set-user-id, set-group-id and sticky.
  public var mode: UInt32
  public var owner: UInt32
  public var group: UInt32
  /// Seconds since 1970.
  public var modified: Int64
  public var modifiedNanoseconds: Int
  public var deviceMajor: UInt32
  public var deviceMinor: UInt32
  /// From pax `SCHILY.xattr.` records, in their order.
  public var attributes: [FileAttribute]

  public init(
    kind: Kind, path: String, target: String = "", size: Int64 = 0, mode: UInt32, owner: UInt32 = 0, group: UInt32 = 0,
    modified: Int64 = 0, modifiedNanoseconds: Int = 0, deviceMajor: UInt32 = 0, deviceMinor: UInt32 = 0,
    attributes: [FileAttribute] = []
  ) {
    self.kind = kind
    self.path = path
    self.target = target
    self.size = size
    self.mode = mode
    self.owner = owner
    self.group = group
    self.modified = modified
    self.modifiedNanoseconds = modifiedNanoseconds
    self.deviceMajor = deviceMajor
    self.deviceMinor = deviceMinor
    self.attributes = attributes
  }
}

/// Reads tar archives as they come: POSIX ustar and pax (IEEE Std 1003.1-2017, pax), and GNU's long names and base-256
/// numbers. Memory use does not depend on the archive: content is read in pieces, extended headers are limited.
public struct TarReader {
  static let headerBytesMax = 1 << 20

  private let source: BufferedSource
  /// For errors: which archive this is.
  private let label: String
  private let entriesMax: Int
  private let allowsUnnamed: Bool
  private var entries = 0
  /// What is left of the current member's content, and of the zeros that fill its last block.
  private var remaining: Int64 = 0
  private var padding = 0
  private var isAtEnd = false
  private var globals: [String: [UInt8]] = [:]
  private var lastPath = ""

  /// - Parameters:
  ///   - label: the archive, for errors.
  ///   - allowsUnnamed: whether a member may have no name, which stands for the folder itself.
  public init(
    _ source: any ByteSource, label: String, entriesMax: Int = ImageLimits().entriesMax, allowsUnnamed: Bool = false
  ) {
    self.source = source as? BufferedSource ?? BufferedSource(source)
    self.label = label
    self.entriesMax = entriesMax
    self.allowsUnnamed = allowsUnnamed
  }

  private func invalid(_ why: String) -> OCIError {
    OCIError(.invalidArchive, lastPath.isEmpty ? "\(label): \(why)" : "\(label): \(why) (after \"\(lastPath)\")")
  }

  /// The next member; `nil` at the end. Content of the previous one that was not read is skipped.
  public mutating func next() throws(OCIError) -> TarEntry? {
    if isAtEnd { return nil }
    var records: [String: [UInt8]] = [:]
    var attributes: [FileAttribute] = []
    var longName: String?
    var longTarget: String?
    while true {
      try skipContent()
      guard let header = try readHeader() else {
        guard records.isEmpty, longName == nil, longTarget == nil else {
          throw invalid("the archive ends after an extended header")
        }
        return nil
      }
      entries += 1
      guard entries <= entriesMax else {
        throw OCIError(.limitExceeded, "\(label) has more than \(entriesMax) members")
      }
      let size = try number(header[124..<136], "size")
      switch header[156] {
      case UInt8(ascii: "x"):
        let fields = try paxRecords(try metadata(size), into: &attributes)
        records.merge(fields) { $1 }
        continue
      case UInt8(ascii: "g"):
        var ignored: [FileAttribute] = []
        let fields = try paxRecords(try metadata(size), into: &ignored)
        globals.merge(fields) { $1 }
        continue
      case UInt8(ascii: "L"):
        longName = try cString(try metadata(size))
        continue
      case UInt8(ascii: "K"):
        longTarget = try cString(try metadata(size))
        continue
      default: break
      }
      records.merge(globals) { own, _ in own }
      let entry = try entry(
        header, size: size, records: records, attributes: attributes, longName: longName, longTarget: longTarget)
      lastPath = entry.path
      return entry
    }
  }

  /// Reads content of the current member into the front of `buffer`; 0 at its end.
  public mutating func read(into buffer: UnsafeMutableRawBufferPointer) throws(OCIError) -> Int {
    guard remaining > 0, !buffer.isEmpty else { return 0 }
    let count = Int(min(Int64(buffer.count), remaining))
    let got = try source.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
    guard got > 0 else { throw invalid("the archive is cut off in the content of \"\(lastPath)\"") }
    remaining -= Int64(got)
    return got
  }

  /// Hands over the current member's content piece by piece, without copying it.
  public mutating func forEachPiece(_ body: (UnsafeRawBufferPointer) throws(OCIError) -> Void) throws(OCIError) {
    while remaining > 0 {
      let bytes = try source.peek(1)
      guard !bytes.isEmpty else { throw invalid("the archive is cut off in the content of \"\(lastPath)\"") }
      let count = Int(min(Int64(bytes.count), remaining))
      try body(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
      source.skip(count)
      remaining -= Int64(count)
    }
  }

  private mutating func skipContent() throws(OCIError) {
    var left = remaining + Int64(padding)
    while left > 0 {
      let bytes = try source.peek(1)
      guard !bytes.isEmpty else { throw invalid("the archive is cut off") }
      let count = Int(min(Int64(bytes.count), left))
      source.skip(count)
      left -= Int64(count)
    }
    remaining = 0
    padding = 0
  }

  /// One 512-byte header with a good checksum; `nil` at the end of the archive.
  private mutating func readHeader() throws(OCIError) -> [UInt8]? {
    let bytes = try source.peek(512)
    // Some writers leave the two blocks of zeros out that should end an archive.
    if bytes.isEmpty {
      isAtEnd = true
      return nil
    }
    guard bytes.count >= 512 else { throw invalid("the archive is cut off in a header") }
    let header = Array(bytes[..<512])
    source.skip(512)
    if header.allSatisfy({ $0 == 0 }) {
      isAtEnd = true
      return nil
    }
    var sum = 0
    for (index, byte) in header.enumerated() { sum += (148..<156).contains(index) ? 0x20 : Int(byte) }
    guard let stated = octal(header[148..<156]), stated == Int64(sum) else {
      throw invalid("this is no tar archive, or it is damaged: a header's checksum is wrong")
    }
    return header
  }

  private mutating func setContent(_ size: Int64) {
    remaining = size
    padding = Int((512 - size % 512) % 512)
  }

  /// The content of an extended header.
  private mutating func metadata(_ size: Int64) throws(OCIError) -> [UInt8] {
    guard size <= TarReader.headerBytesMax else {
      throw OCIError(.limitExceeded, "\(label): an extended header of \(size) bytes is too large")
    }
    setContent(size)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Int(size))
    try forEachPiece { piece in bytes.append(contentsOf: piece) }
    return bytes
  }

  private mutating func entry(
    _ header: [UInt8], size headerSize: Int64, records: [String: [UInt8]],
    attributes: [FileAttribute], longName: String?, longTarget: String?
  ) throws(OCIError) -> TarEntry {
    func text(_ key: String) throws(OCIError) -> String? {
      guard let bytes = records[key] else { return nil }
      return try cString(bytes, isTerminated: false)
    }
    var name = try cString(Array(header[0..<100]))
    // "ustar\0": POSIX. GNU's own magic is "ustar  " and has other things where the prefix would be.
    if header[257..<263].elementsEqual([0x75, 0x73, 0x74, 0x61, 0x72, 0]) {
      let prefix = try cString(Array(header[345..<500]))
      if !prefix.isEmpty { name = prefix + "/" + name }
    }
    let path = try text("path") ?? longName ?? name
    let shortTarget = try cString(Array(header[157..<257]))
    let target = try text("linkpath") ?? longTarget ?? shortTarget
    guard !path.isEmpty || allowsUnnamed else { throw invalid("a member has no name") }
    guard path.utf8.count < 4096, target.utf8.count < 4096 else {
      throw OCIError(.limitExceeded, "\(label): the name \"\(path.prefix(80))…\" or its target has 4096 bytes or more")
    }
    if records.keys.contains(where: { $0.hasPrefix("GNU.sparse.") }) {
      throw OCIError(.unsupported, "\(label): \"\(path)\" is a sparse file; pack the archive without --sparse")
    }
    var size = headerSize
    if let bytes = records["size"] {
      guard let value = Int64(String(decoding: bytes, as: UTF8.self)), value >= 0 else {
        throw invalid("the size of \"\(path)\" is no number")
      }
      size = value
    }
    let kind: TarEntry.Kind
    switch header[156] {
    case 0 where path.hasSuffix("/"): kind = .directory
    case 0, UInt8(ascii: "0"), UInt8(ascii: "7"): kind = .file
    case UInt8(ascii: "1"): kind = .hardLink
    case UInt8(ascii: "2"): kind = .symbolicLink
    case UInt8(ascii: "3"): kind = .characterDevice
    case UInt8(ascii: "4"): kind = .blockDevice
    case UInt8(ascii: "5"): kind = .directory
    case UInt8(ascii: "6"): kind = .pipe
    case UInt8(ascii: "S"):
      throw OCIError(.unsupported, "\(label): \"\(path)\" is a sparse file; pack the archive without --sparse")
    case let type:
      throw OCIError(.unsupported, "\(label): \"\(path)\" has the unknown tar type 0x\(String(type, radix: 16))")
    }
    // Only files have content; the size of a hard link or a folder says nothing about the archive.
    if kind == .file { setContent(size) } else { size = 0 }
    var (modified, nanoseconds) = (try signedNumber(header[136..<148], "time"), 0)
    if let bytes = records["mtime"] {
      guard let time = TarReader.time(bytes) else { throw invalid("the time of \"\(path)\" is no number") }
      (modified, nanoseconds) = time
    }
    func id(_ key: String, _ field: ArraySlice<UInt8>) throws(OCIError) -> UInt32 {
      var value: Int64?
      if let bytes = records[key] {
        value = Int64(String(decoding: bytes, as: UTF8.self))
      } else {
        value = try number(field, key)
      }
      // The last one means "no change" to chown(2).
      guard let value, let id = UInt32(exactly: value), id != .max else {
        throw invalid("the \(key) of \"\(path)\" is no user or group id")
      }
      return id
    }
    let isDevice = kind == .characterDevice || kind == .blockDevice
    return TarEntry(
      kind: kind, path: path, target: target, size: size,
      mode: UInt32(truncatingIfNeeded: try number(header[100..<108], "mode")) & 0o7777,
      owner: try id("uid", header[108..<116]), group: try id("gid", header[116..<124]), modified: modified,
      modifiedNanoseconds: nanoseconds,
      deviceMajor: isDevice ? UInt32(truncatingIfNeeded: try number(header[329..<337], "device")) : 0,
      deviceMinor: isDevice ? UInt32(truncatingIfNeeded: try number(header[337..<345], "device")) : 0,
      attributes: attributes)
  }

  // MARK: Fields

  /// Octal digits, with spaces or zero bytes around them; an empty field is 0.
  private func octal(_ field: ArraySlice<UInt8>) -> Int64? {
    var value: Int64 = 0
    var rest = field.drop { $0 == 0x20 }
    while let byte = rest.first, (0x30...0x37).contains(byte) {
      guard value < 1 << 59 else { return nil }
      value = value * 8 + Int64(byte - 0x30)
      rest = rest.dropFirst()
    }
    return rest.allSatisfy { $0 == 0x20 || $0 == 0 } ? value : nil
  }

  /// Octal, or GNU's base 256 when the first bit is set.
  private func signedNumber(_ field: ArraySlice<UInt8>, _ what: String) throws(OCIError) -> Int64 {
    guard let first = field.first, first & 0x80 != 0 else {
      guard let value = octal(field) else { throw invalid("a header's \(what) is no octal number") }
      return value
    }
    // Two's complement, big-endian; the sign is the second bit.
    var value: Int64 = first & 0x40 != 0 ? -1 : 0
    var isFirst = true
    for byte in field {
      let bits = isFirst ? Int64(first & 0x3F) | (first & 0x40 != 0 ? ~0x3F : 0) : Int64(byte)
      if isFirst {
        value = bits
        isFirst = false
        continue
      }
      let (shifted, overflow) = value.multipliedReportingOverflow(by: 256)
      guard !overflow else { throw invalid("a header's \(what) is out of range") }
      value = shifted | bits
    }
    return value
  }

  private func number(_ field: ArraySlice<UInt8>, _ what: String) throws(OCIError) -> Int64 {
    let value = try signedNumber(field, what)
    guard value >= 0 else { throw invalid("a header's \(what) is negative") }
    return value
  }

  /// The bytes up to the first zero. A name that is not UTF-8 is refused: it could not be shown or written back.
  private func cString(_ bytes: [UInt8], isTerminated: Bool = true) throws(OCIError) -> String {
    let end = bytes.firstIndex(of: 0) ?? bytes.count
    guard isTerminated || end == bytes.count else { throw invalid("a name has a zero byte in it") }
    guard let text = String(validating: bytes[..<end], as: UTF8.self) else { throw invalid("a name is not UTF-8") }
    return text
  }

  /// `LENGTH KEY=VALUE\n`, repeated. Extended attributes go to `attributes`.
  private func paxRecords(
    _ bytes: [UInt8], into attributes: inout [FileAttribute]
  ) throws(OCIError) -> [String: [UInt8]] {
    var records: [String: [UInt8]] = [:]
    var at = 0
    while at < bytes.count {
      // Some writers fill the rest with zeros.
      if bytes[at...].allSatisfy({ $0 == 0 }) { break }
      guard let space = bytes[at...].prefix(20).firstIndex(of: 0x20),
        let length = Int(String(decoding: bytes[at..<space], as: UTF8.self)), length > space - at + 1,
        length <= bytes.count - at, bytes[at + length - 1] == 0x0A,
        let equals = bytes[space..<at + length].firstIndex(of: UInt8(ascii: "="))
      else { throw invalid("an extended header is damaged") }
      let key = String(decoding: bytes[space + 1..<equals], as: UTF8.self)
      let value = Array(bytes[equals + 1..<at + length - 1])
      if key.hasPrefix("SCHILY.xattr.") {
        attributes.append(FileAttribute(name: String(key.dropFirst("SCHILY.xattr.".count)), value: value))
      } else if value.isEmpty {
        records[key] = nil
      } else {
        records[key] = value
      }
      at += length
    }
    return records
  }

  /// Seconds with an optional fraction, also negative: `1700000000.25`.
  static func time(_ bytes: [UInt8]) -> (seconds: Int64, nanoseconds: Int)? {
    let text = String(decoding: bytes, as: UTF8.self)
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    guard let whole = parts.first, let seconds = Int64(whole) else { return nil }
    guard parts.count == 2 else { return (seconds, 0) }
    let digits = parts[1].utf8.prefix(9)
    guard parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    var nanoseconds = 0
    for digit in digits { nanoseconds = nanoseconds * 10 + Int(digit - 0x30) }
    for _ in digits.count..<9 { nanoseconds *= 10 }
    // -1.5 is a second and a half before 1970: -2 and 0.5.
    if whole.hasPrefix("-"), nanoseconds > 0 {
      let (earlier, overflow) = seconds.subtractingReportingOverflow(1)
      return overflow ? nil : (earlier, 1_000_000_000 - nanoseconds)
    }
    return (seconds, nanoseconds)
  }
}
