import CZlib

/// The dictionary with which both sides prime the compression of headers (SPDY/3, section 2.6.10.1).
enum SPDYDictionary {
  /// Words, each with its length in four bytes before it, then text.
  static let bytes: [UInt8] = {
    var bytes: [UInt8] = []
    for word in words {
      bytes += [0, 0, 0, UInt8(word.utf8.count)]
      bytes += word.utf8
    }
    return bytes + text.utf8
  }()

  private static let words = [
    "options", "head", "post", "put", "delete", "trace", "accept", "accept-charset", "accept-encoding",
    "accept-language", "accept-ranges", "age", "allow", "authorization", "cache-control", "connection", "content-base",
    "content-encoding", "content-language", "content-length", "content-location", "content-md5", "content-range",
    "content-type", "date", "etag", "expect", "expires", "from", "host", "if-match", "if-modified-since",
    "if-none-match", "if-range", "if-unmodified-since", "last-modified", "location", "max-forwards", "pragma",
    "proxy-authenticate", "proxy-authorization", "range", "referer", "retry-after", "server", "te", "trailer",
    "transfer-encoding", "upgrade", "user-agent", "vary", "via", "warning", "www-authenticate", "method", "get",
    "status", "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin",
  ]

  private static let text =
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    + "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    + "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    + "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    + "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    + "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
}

/// Compresses header blocks; one state for a connection.
final class SPDYDeflater {
  // zlib keeps the address of its state.
  private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)

  init() throws(SPDYError) {
    stream.initialize(to: z_stream())
    // A window of 2 KiB and little memory: a connection costs 20 KiB.
    let code = deflateInit2_(
      stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 11, 4, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
      Int32(MemoryLayout<z_stream>.size))
    guard code == Z_OK else { throw SPDYError(message: "zlib cannot be set up (\(code))") }
    deflateSetDictionary(stream, SPDYDictionary.bytes, UInt32(SPDYDictionary.bytes.count))
  }

  deinit {
    deflateEnd(stream)
    stream.deallocate()
  }

  func compress(_ block: [UInt8]) throws(SPDYError) -> [UInt8] {
    var input = block
    var output = [UInt8](repeating: 0, count: Int(deflateBound(stream, UInt(block.count))) + 64)
    let capacity = output.count
    let (code, count) = input.withUnsafeMutableBufferPointer { input in
      output.withUnsafeMutableBufferPointer { output in
        stream.pointee.next_in = input.baseAddress
        stream.pointee.avail_in = UInt32(input.count)
        stream.pointee.next_out = output.baseAddress
        stream.pointee.avail_out = UInt32(output.count)
        let code = deflate(stream, Z_SYNC_FLUSH)
        return (code, capacity - Int(stream.pointee.avail_out))
      }
    }
    guard code == Z_OK, stream.pointee.avail_in == 0 else { throw SPDYError(message: "zlib cannot compress (\(code))") }
    return Array(output[..<count])
  }
}

/// Decompresses header blocks; one state for a connection.
final class SPDYInflater {
  /// A block that grows beyond this is refused.
  static let bytesMax = 64 << 10
  private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)

  init() throws(SPDYError) {
    stream.initialize(to: z_stream())
    let code = inflateInit_(stream, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    guard code == Z_OK else { throw SPDYError(message: "zlib cannot be set up (\(code))") }
  }

  deinit {
    inflateEnd(stream)
    stream.deallocate()
  }

  func decompress(_ compressed: [UInt8]) throws(SPDYError) -> [UInt8] {
    var input = compressed
    var result: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    let failure: String? = input.withUnsafeMutableBufferPointer { input in
      stream.pointee.next_in = input.baseAddress
      stream.pointee.avail_in = UInt32(input.count)
      while true {
        let (code, count) = chunk.withUnsafeMutableBufferPointer { chunk in
          stream.pointee.next_out = chunk.baseAddress
          stream.pointee.avail_out = UInt32(chunk.count)
          let code = inflate(stream, Z_SYNC_FLUSH)
          return (code, chunk.count - Int(stream.pointee.avail_out))
        }
        result += chunk[..<count]
        if result.count > Self.bytesMax { return "a header block of more than \(Self.bytesMax) bytes" }
        switch code {
        case Z_OK: if stream.pointee.avail_in == 0, count < chunk.count { return nil }
        case Z_NEED_DICT:
          guard inflateSetDictionary(stream, SPDYDictionary.bytes, UInt32(SPDYDictionary.bytes.count)) == Z_OK else {
            return "a header block with another dictionary"
          }
        // No progress is possible: everything has been read.
        case Z_BUF_ERROR: return stream.pointee.avail_in == 0 ? nil : "a header block that does not decompress"
        default: return "a header block that does not decompress (\(code))"
        }
      }
    }
    // The addresses are no longer valid.
    stream.pointee.next_in = nil
    stream.pointee.next_out = nil
    stream.pointee.avail_in = 0
    stream.pointee.avail_out = 0
    if let failure { throw SPDYError(message: failure) }
    return result
  }
}
