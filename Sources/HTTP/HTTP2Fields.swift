import NIOCore
import NIOHPACK
import NIOHTTP1

/// The fields of a head as HTTP/2 has them (RFC 9113, section 8.2.2).
enum HTTP2Fields {
  /// The size of a frame that every peer takes (RFC 9113, section 4.2). In bytes.
  static let frameMax = 16_384

  /// Whether fields of an answer do not fit into one frame of that size. NIOHTTP2 has no other way to send them, and gives up
  /// the whole connection.
  static func exceedFrame(_ fields: HTTPHeaders) -> Bool {
    // Beside what is given: the status, what frames the body, and how the table of the connection differs from a new one's.
    let limit = frameMax - 1024 - 3 * fields.count
    // Most heads are small, whatever is in them: a byte takes 30 bits at most, and each of two texts its length.
    if fields.reduce(0, { $0 + 4 * ($1.name.utf8.count + $1.value.utf8.count) + 8 }) <= limit { return false }
    var encoder = HPACKEncoder(allocator: ByteBufferAllocator())
    var block = ByteBuffer()
    do {
      try encoder.encode(headers: HPACKHeaders(fields.map { ($0.name.lowercased(), $0.value) }), to: &block)
    } catch {
      return true
    }
    return block.readableBytes > limit
  }

  private static let ofTheConnection: Set<String> = [
    "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade",
  ]

  /// Without what is about a connection of HTTP/1.1: the fields that always are, those that `Connection` names, and `TE`
  /// but for `trailers`.
  static func fields(_ fields: HTTPHeaders) throws(HTTPClientError) -> HTTPHeaders {
    let named = Set(fields[canonicalForm: "connection"].map { $0.lowercased() })
    var kept: [(String, String)] = []
    var hosts = 0
    for (name, value) in fields {
      let lower = name.lowercased()
      if lower == "host" { hosts += 1 }
      if ofTheConnection.contains(lower) || named.contains(lower) && lower != "host" { continue }
      if lower == "te", value.lowercased() != "trailers" { continue }
      kept.append((lower == "te" ? "te" : name, lower == "te" ? "trailers" : value))
    }
    guard hosts == 1 else { throw HTTPClientError(.invalidRequest, "a request is for one host") }
    return HTTPHeaders(kept)
  }
}
