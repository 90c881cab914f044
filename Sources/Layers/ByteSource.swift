import CZlib
import CZstd
import Glibc
import LinuxSystem
import OCI

/// Bytes that are read once, from front to back. Used by one thread.
public protocol ByteSource: AnyObject {
  /// Fills the front of `buffer`; returns how many bytes, 0 at the end.
  func read(into buffer: UnsafeMutableRawBufferPointer) throws(OCIError) -> Int
}

/// An open file, which is closed with the object.
public final class FileSource: ByteSource {
  private let fd: Int32
  public let path: String
  /// How many bytes have been read.
  public private(set) var position: Int64 = 0

  public init(_ path: String) throws(OCIError) {
    fd = open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { throw OCIError(SystemError.last("open \(path)")) }
    self.path = path
  }

  deinit { _ = close(fd) }

  public func size() throws(OCIError) -> Int64 {
    var status = stat()
    guard fstat(fd, &status) == 0 else { throw OCIError(SystemError.last("stat \(path)")) }
    return Int64(status.st_size)
  }

  public func read(into buffer: UnsafeMutableRawBufferPointer) throws(OCIError) -> Int {
    while true {
      let count = Glibc.read(fd, buffer.baseAddress, buffer.count)
      if count >= 0 {
        position += Int64(count)
        return count
      }
      if errno != EINTR { throw OCIError(SystemError.last("read \(path)")) }
    }
  }
}

/// Bytes in memory.
public final class MemorySource: ByteSource {
  private let bytes: [UInt8]
  private var at = 0

  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  public func read(into buffer: UnsafeMutableRawBufferPointer) throws(OCIError) -> Int {
    let count = min(buffer.count, bytes.count - at)
    bytes.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[at..<at + count])) }
    at += count
    return count
  }
}

/// A buffer over a source: look at what comes next, then take it.
public final class BufferedSource: ByteSource {
  private let source: any ByteSource
  private let buffer: UnsafeMutableRawBufferPointer
  private var start = 0
  private var end = 0

  public init(_ source: any ByteSource, capacity: Int = 128 << 10) {
    self.source = source
    buffer = .allocate(byteCount: capacity, alignment: 16)
  }

  deinit { buffer.deallocate() }

  /// Reads until `count` bytes (at most the capacity) are there or the source ends; returns all that are there.
  public func peek(_ count: Int) throws(OCIError) -> UnsafeRawBufferPointer {
    if start + count > buffer.count {
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[start..<end]))
      end -= start
      start = 0
    }
    while end - start < count {
      let got = try source.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[end...]))
      if got == 0 { break }
      end += got
    }
    return UnsafeRawBufferPointer(rebasing: buffer[start..<end])
  }

  /// Drops bytes that `peek` has shown.
  public func skip(_ count: Int) {
    start += count
    if start == end {
      start = 0
      end = 0
    }
  }

  public func read(into target: UnsafeMutableRawBufferPointer) throws(OCIError) -> Int {
    let bytes = try peek(1)
    let count = min(bytes.count, target.count)
    target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
    skip(count)
    return count
  }
}

/// What passes through is hashed and counted.
package final class HashingSource: ByteSource {
  private let source: any ByteSource
  private var hasher: DigestHasher
  package private(set) var count: Int64 = 0

  package init(_ source: any ByteSource, algorithm: Digest.Algorithm = .sha256) {
    self.source = source
    hasher = DigestHasher(algorithm)
  }

  package func read(into buffer: UnsafeMutableRawBufferPointer) throws(OCIError) -> Int {
    let got = try source.read(into: buffer)
    hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<got]))
    count += Int64(got)
    return got
  }

  /// Reads what is left.
  package func drain() throws(OCIError) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    defer { buffer.deallocate() }
    while try read(into: buffer) > 0 {}
  }

  /// Of what has passed so far.
  package var digest: Digest { hasher.finish() }
}

/// Refuses a decompressed stream that is out of all proportion to its compressed size.
final class BombGuard: ByteSource {
  private let source: any ByteSource
  private let compressed: Int64
  private let limits: ImageLimits
  private let label: String
  private var count: Int64 = 0

  /// - Parameter compressed: the size of the compressed bytes.
  init(_ source: any ByteSource, compressed: Int64, limits: ImageLimits, label: String) {
    self.source = source
    self.compressed = compressed
    self.limits = limits
    self.label = label
  }

  func read(into buffer: UnsafeMutableRawBufferPointer) throws(OCIError) -> Int {
    let got = try source.read(into: buffer)
    count += Int64(got)
    guard count <= limits.uncompressedMax else {
      throw OCIError(.limitExceeded, "\(label) is larger than \(limits.uncompressedMax) bytes when decompressed")
    }
    let (product, overflow) = compressed.multipliedReportingOverflow(by: limits.ratioMax)
    guard overflow || count <= max(limits.ratioFreeBytes, product) else {
      throw OCIError(
        .limitExceeded,
        "\(label) grows to more than \(limits.ratioMax) times its \(compressed) bytes when decompressed; "
          + "it is refused as a decompression bomb")
    }
    return got
  }
}

extension Compression {
  /// The decompressed bytes of `file`, guarded against bombs.
  public static func open(_ file: FileSource, limits: ImageLimits, label: String) throws(OCIError) -> any ByteSource {
    try open(file, size: try file.size(), limits: limits, label: label)
  }

  /// The decompressed bytes of `source`, guarded against bombs.
  /// - Parameter size: how many bytes the source has.
  public static func open(
    _ source: any ByteSource, size: Int64, limits: ImageLimits, label: String
  ) throws(OCIError) -> any ByteSource {
    let buffered = source as? BufferedSource ?? BufferedSource(source)
    switch Compression(magic: try buffered.peek(4)) {
    case .none: return buffered
    case .gzip: return BombGuard(try GzipSource(buffered, label: label), compressed: size, limits: limits, label: label)
    case .zstd: return BombGuard(try ZstdSource(buffered, label: label), compressed: size, limits: limits, label: label)
    }
  }
}

/// Decompresses gzip, also several members one after the other (RFC 1952).
final class GzipSource: ByteSource {
  private let source: BufferedSource
  private let label: String
  private let stream: UnsafeMutablePointer<z_stream>
  private var isInsideMember = true
  private var isAtEnd = false

  init(_ source: BufferedSource, label: String) throws(OCIError) {
    self.source = source
    self.label = label
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    // 15 bits of window, and 16 for the gzip header and checksum.
    guard inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
      stream.deallocate()
      throw OCIError(.system, "zlib cannot start: out of memory")
    }
  }

  deinit {
    inflateEnd(stream)
    stream.deallocate()
  }

  func read(into buffer: UnsafeMutableRawBufferPointer) throws(OCIError) -> Int {
    guard !buffer.isEmpty else { return 0 }
    while !isAtEnd {
      let input = try source.peek(1)
      if input.isEmpty {
        if isInsideMember { throw OCIError(.invalidArchive, "\(label): the gzip data ends early; the file is cut off") }
        isAtEnd = true
        break
      }
      if !isInsideMember {
        let header = try source.peek(2)
        // What follows the last member must be another one, or zeros that fill up a block.
        guard Compression(magic: header) == .gzip else {
          guard header[0] == 0 else {
            throw OCIError(.invalidArchive, "\(label): there is other data after the gzip data")
          }
          source.skip(1)
          continue
        }
        inflateReset(stream)
        isInsideMember = true
        continue
      }
      stream.pointee.next_in = UnsafeMutablePointer(
        mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
      stream.pointee.avail_in = UInt32(input.count)
      stream.pointee.next_out = buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
      stream.pointee.avail_out = UInt32(min(buffer.count, 1 << 30))
      let available = stream.pointee.avail_out
      let result = inflate(stream, Z_NO_FLUSH)
      source.skip(input.count - Int(stream.pointee.avail_in))
      switch result {
      case Z_OK, Z_BUF_ERROR: break
      case Z_STREAM_END: isInsideMember = false
      default:
        let why = stream.pointee.msg.map { String(cString: $0) } ?? "error \(result)"
        throw OCIError(.invalidArchive, "\(label): the gzip data is damaged (\(why))")
      }
      let produced = Int(available - stream.pointee.avail_out)
      if produced > 0 { return produced }
    }
    return 0
  }
}

/// Decompresses Zstandard, also several frames one after the other (RFC 8878).
final class ZstdSource: ByteSource {
  private let source: BufferedSource
  private let label: String
  private let stream: OpaquePointer
  private var isInsideFrame = false

  init(_ source: BufferedSource, label: String) throws(OCIError) {
    self.source = source
    self.label = label
    guard let stream = ZSTD_createDStream() else { throw OCIError(.system, "libzstd cannot start: out of memory") }
    self.stream = stream
    // A window of 128 MiB at most bounds the memory that an archive can make us take.
    _ = ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, 27)
  }

  deinit { ZSTD_freeDStream(stream) }

  func read(into buffer: UnsafeMutableRawBufferPointer) throws(OCIError) -> Int {
    guard !buffer.isEmpty else { return 0 }
    while true {
      let bytes = try source.peek(1)
      var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
      var output = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
      let result = ZSTD_decompressStream(stream, &output, &input)
      if ZSTD_isError(result) != 0 {
        let why = String(cString: ZSTD_getErrorName(result))
        throw OCIError(.invalidArchive, "\(label): the zstd data is damaged (\(why))")
      }
      source.skip(input.pos)
      if input.pos > 0 || output.pos > 0 { isInsideFrame = result != 0 }
      if output.pos > 0 { return output.pos }
      if bytes.isEmpty {
        if isInsideFrame { throw OCIError(.invalidArchive, "\(label): the zstd data ends early; the file is cut off") }
        return 0
      }
    }
  }
}
