import LinuxSystem
import OCI
import Wire

/// Compresses a tar archive as eStargz. Used by one thread.
///
/// The archive's bytes are written to it; `began` tells it, after each header, what the header was. Memory use depends on
/// the number of files, whose table of contents is kept, not on their sizes.
final class StargzWriter: Encoder {
  /// A file that is read at one place only costs so much of a transfer, at most.
  static let chunkSize: Int64 = 1 << 20

  private let output: CountingSink
  private let gzip: GzipEncoder
  private var entries: [UInt8] = []
  private var tocOffset: Int64?
  private(set) var tocDigest: Digest?
  /// The file whose content comes.
  private var file: File?

  private struct File {
    var json: JSON
    var name: String
    var size: Int64
    var written: Int64 = 0
    var hasher = DigestHasher(.sha256)
    var chunkHasher = DigestHasher(.sha256)
    /// Those that have begun.
    var chunks: [Chunk] = []
  }

  private struct Chunk {
    var offset: Int64
    var start: Int64
    var digest: Digest?
  }

  init(level: Int?, threads: Int, to sink: any ByteSink) throws(OCIError) {
    output = CountingSink(sink)
    gzip = try GzipEncoder(level: level ?? 6, threads: threads, to: output)
  }

  /// The header of a member has been written; the next `entry.size` bytes are its content.
  func began(_ entry: TarEntry) throws(OCIError) {
    let json = Self.json(entry)
    guard entry.kind == .file, entry.size > 0 else { return put(json) }
    file = File(json: json, name: entry.path, size: entry.size)
    try beginChunk()
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws(OCIError) {
    var rest = bytes
    while !rest.isEmpty {
      guard let left = file.map({ min($0.size - $0.written, Self.chunkSize - $0.written % Self.chunkSize) }) else {
        return try gzip.write(rest)
      }
      let piece = UnsafeRawBufferPointer(rebasing: rest[..<min(rest.count, Int(left))])
      try gzip.write(piece)
      file?.hasher.update(piece)
      file?.chunkHasher.update(piece)
      file?.written += Int64(piece.count)
      rest = UnsafeRawBufferPointer(rebasing: rest[piece.count...])
      if Int64(piece.count) == left { try endChunk() }
    }
  }

  /// The content of the table, which is to be written as the last member.
  func tableOfContents() throws(OCIError) -> [UInt8] {
    try cut()
    tocOffset = output.count
    let toc = Array("{\"version\":1,\"entries\":[".utf8) + entries + Array("]}".utf8)
    tocDigest = Digest(of: toc)
    return toc
  }

  /// The archive is complete.
  func finish() throws(OCIError) {
    try gzip.finish()
    try output.write(Stargz.footer(tocOffset: tocOffset ?? 0))
  }

  // MARK: Parts

  private func cut() throws(OCIError) {
    if !gzip.isMemberEmpty { try gzip.endMember() }
  }

  private func beginChunk() throws(OCIError) {
    try cut()
    file?.chunkHasher = DigestHasher(.sha256)
    let start = file?.written ?? 0
    file?.chunks.append(Chunk(offset: output.count, start: start))
  }

  private func endChunk() throws(OCIError) {
    guard var current = file else { return }
    current.chunks[current.chunks.count - 1].digest = current.chunkHasher.finish()
    file = current
    guard current.written == current.size else { return try beginChunk() }
    // What fills the last block, and the next headers, go into the last chunk's member.
    file = nil
    current.json["digest"] = .string(current.hasher.finish().description)
    for (index, chunk) in current.chunks.enumerated() {
      var json: JSON = index == 0 ? current.json : ["name": .string(current.name), "type": "chunk"]
      json["offset"] = .int(chunk.offset)
      if index > 0 { json["chunkOffset"] = .int(chunk.start) }
      if index + 1 < current.chunks.count { json["chunkSize"] = .int(Self.chunkSize) }
      json["chunkDigest"] = chunk.digest.map { .string($0.description) }
      put(json)
    }
  }

  private func put(_ json: JSON) {
    if !entries.isEmpty { entries.append(UInt8(ascii: ",")) }
    entries += json.serialized()
  }

  private static func json(_ entry: TarEntry) -> JSON {
    let type =
      switch entry.kind {
      case .file: "reg"
      case .directory: "dir"
      case .symbolicLink: "symlink"
      case .hardLink: "hardlink"
      case .characterDevice: "char"
      case .blockDevice: "block"
      case .pipe: "fifo"
      }
    let name = entry.kind == .directory && !entry.path.hasSuffix("/") ? entry.path + "/" : entry.path
    // The years 1 to 9999, which the notation has.
    let seconds = min(max(entry.modified, -62_135_596_800), 253_402_300_799)
    let time = Timestamp(microseconds: seconds * 1_000_000 + Int64(entry.modifiedNanoseconds / 1000))
    var json: JSON = [
      "name": .string(name), "type": .string(type),
      "modtime": .string(entry.modifiedNanoseconds == 0 ? time.rfc3339 : time.rfc3339Micro),
      "mode": .int(Int64(entry.mode & 0o7777)), "uid": .int(Int64(entry.owner)), "gid": .int(Int64(entry.group)),
    ]
    if entry.kind == .file, entry.size > 0 { json["size"] = .int(entry.size) }
    if !entry.target.isEmpty { json["linkName"] = .string(entry.target) }
    if entry.kind == .characterDevice || entry.kind == .blockDevice {
      json["devMajor"] = .int(Int64(entry.deviceMajor))
      json["devMinor"] = .int(Int64(entry.deviceMinor))
    }
    if !entry.attributes.isEmpty {
      var attributes = JSONObject()
      for attribute in entry.attributes { attributes[attribute.name] = .string(Base64.encode(attribute.value)) }
      json["xattrs"] = .object(attributes)
    }
    return json
  }
}

/// Counts what passes through.
private final class CountingSink: ByteSink {
  private let sink: any ByteSink
  private(set) var count: Int64 = 0

  init(_ sink: any ByteSink) { self.sink = sink }

  func write(_ bytes: UnsafeRawBufferPointer) throws(OCIError) {
    try sink.write(bytes)
    count += Int64(bytes.count)
  }
}
