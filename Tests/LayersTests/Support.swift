import Glibc
import LinuxSystem
import OCI

@testable import Layers

/// Keeps what is written to it.
final class MemorySink: ByteSink {
  private(set) var bytes: [UInt8] = []
  func write(_ piece: UnsafeRawBufferPointer) throws(OCIError) { bytes.append(contentsOf: piece) }
}

/// Takes so many bytes and then fails like a full disk.
final class FullSink: ByteSink {
  private var left: Int
  init(after count: Int) { left = count }
  func write(_ piece: UnsafeRawBufferPointer) throws(OCIError) {
    left -= piece.count
    if left < 0 { throw OCIError(.diskFull, "full") }
  }
}

/// A member of an archive with its content.
struct Member: Equatable {
  var entry: TarEntry
  var content: [UInt8]

  static func all(_ bytes: [UInt8]) throws -> [Member] {
    var reader = TarReader(MemorySource(bytes), label: "test")
    var members: [Member] = []
    while let entry = try reader.next() {
      var content: [UInt8] = []
      try reader.forEachPiece { content.append(contentsOf: $0) }
      members.append(Member(entry: entry, content: content))
    }
    return members
  }
}

/// The bytes of a layer.
func written(_ contents: LayerContents, _ change: (inout LayerOptions) -> Void = { _ in }) throws -> [UInt8] {
  let sink = MemorySink()
  var options = LayerOptions()
  options.compression = .none
  change(&options)
  let summary = try LayerWriter.write(contents, to: sink, options: options)
  if options.compression == .none {
    precondition(summary.diffID == Digest(of: sink.bytes) && summary.uncompressedSize == Int64(sink.bytes.count))
  }
  return sink.bytes
}

func decompressed(_ bytes: [UInt8]) throws -> [UInt8] {
  let source = try Compression.open(
    MemorySource(bytes), size: Int64(bytes.count), limits: ImageLimits(), label: "test")
  var result: [UInt8] = []
  let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 100_000, alignment: 16)
  defer { buffer.deallocate() }
  while true {
    let count = try source.read(into: buffer)
    if count == 0 { return result }
    result.append(contentsOf: buffer[..<count])
  }
}

let isRoot = geteuid() == 0

func setAttribute(_ path: String, _ name: String, _ value: String) throws {
  let slash = path.lastIndex(of: "/")!
  let tree = try DirectoryTree(String(path[..<slash]))
  try tree.setExtendedAttribute(String(path[path.index(after: slash)...]), name: name, value: Array(value.utf8))
}
