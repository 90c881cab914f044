import NIOCore

/// Reads frames from a stream of bytes.
struct SPDYFrameDecoder {
  /// The largest control frame that is taken; data frames may have any size, since they are not kept whole.
  static let controlBytesMax = 64 << 10
  static let headerCountMax = 64

  private var buffer = ByteBuffer()
  private let inflater: SPDYInflater
  /// What is missing of a data frame.
  private var data: (id: UInt32, rest: Int, isLast: Bool)?

  init() throws(SPDYError) { inflater = try SPDYInflater() }

  /// Adds bytes from the connection; then `next` is to be called until it returns nil.
  mutating func append(_ bytes: ByteBuffer) {
    buffer.discardReadBytes()
    buffer.writeImmutableBuffer(bytes)
  }

  mutating func next() throws(SPDYError) -> SPDYFrame? {
    while true {
      if let (id, rest, isLast) = data {
        guard rest == 0 || buffer.readableBytes > 0 else { return nil }
        let count = min(rest, buffer.readableBytes)
        guard let piece = buffer.readSlice(length: count) else { return nil }
        data = rest == count ? nil : (id, rest - count, isLast)
        return .data(id: id, piece, isLast: isLast && rest == count)
      }
      guard let first: UInt32 = buffer.getInteger(at: buffer.readerIndex),
        let second: UInt32 = buffer.getInteger(at: buffer.readerIndex + 4)
      else { return nil }
      let flags = UInt8(second >> 24)
      let length = Int(second & 0xFF_FFFF)
      if first >> 31 == 0 {
        guard first != 0 else { throw SPDYError(message: "data for stream 0") }
        buffer.moveReaderIndex(forwardBy: 8)
        data = (first, length, flags & 1 != 0)
        continue
      }
      let version = first >> 16 & 0x7FFF
      guard version == 3 else { throw SPDYError(message: "SPDY version \(version), expected 3") }
      guard length <= Self.controlBytesMax else {
        throw SPDYError(message: "a control frame of \(length) bytes; at most \(Self.controlBytesMax) are taken")
      }
      guard buffer.readableBytes >= 8 + length else { return nil }
      buffer.moveReaderIndex(forwardBy: 8)
      guard let payload = buffer.readSlice(length: length) else { return nil }
      // Types that are not known are skipped (section 2.6).
      if let frame = try control(UInt16(truncatingIfNeeded: first), isLast: flags & 1 != 0, payload) { return frame }
    }
  }

  private mutating func control(
    _ type: UInt16, isLast: Bool, _ payload: ByteBuffer
  ) throws(SPDYError) -> SPDYFrame? {
    var payload = payload
    func number() throws(SPDYError) -> UInt32 {
      guard let value: UInt32 = payload.readInteger() else {
        throw SPDYError(message: "a control frame of type \(type) is too short")
      }
      return value
    }
    switch type {
    case SPDYFrameType.synStream:
      let id = try number() & 0x7FFF_FFFF
      _ = try number()
      guard payload.readInteger(as: UInt16.self) != nil else { throw SPDYError(message: "SYN_STREAM is too short") }
      return .synStream(id: id, headers: try headers(payload), isLast: isLast)
    case SPDYFrameType.synReply:
      return .synReply(id: try number() & 0x7FFF_FFFF, headers: try headers(payload), isLast: isLast)
    case SPDYFrameType.headers:
      return .headers(id: try number() & 0x7FFF_FFFF, headers: try headers(payload), isLast: isLast)
    case SPDYFrameType.rstStream: return .rstStream(id: try number() & 0x7FFF_FFFF, status: try number())
    case SPDYFrameType.settings: return .settings(initialWindow: try Self.initialWindow(payload))
    case SPDYFrameType.ping: return .ping(id: try number())
    case SPDYFrameType.goAway: return .goAway(lastStream: try number() & 0x7FFF_FFFF, status: try number())
    case SPDYFrameType.windowUpdate:
      return .windowUpdate(id: try number() & 0x7FFF_FFFF, delta: try number() & 0x7FFF_FFFF)
    default: return nil
    }
  }

  private static func initialWindow(_ payload: ByteBuffer) throws(SPDYError) -> UInt32? {
    var payload = payload
    guard let count: UInt32 = payload.readInteger(), Int(count) * 8 == payload.readableBytes else {
      throw SPDYError(message: "settings that are not as long as they say")
    }
    var found: UInt32?
    while let number: UInt32 = payload.readInteger(), let value: UInt32 = payload.readInteger() {
      if number & 0xFF_FFFF == SPDYSetting.initialWindow { found = value }
    }
    return found
  }

  private func headers(_ compressed: ByteBuffer) throws(SPDYError) -> [SPDYHeader] {
    var block = ByteBuffer(bytes: try inflater.decompress(Array(compressed.readableBytesView)))
    func text() throws(SPDYError) -> String {
      guard let length: UInt32 = block.readInteger(), let text = block.readString(length: Int(length)) else {
        throw SPDYError(message: "a header block is too short")
      }
      return text
    }
    guard let count: UInt32 = block.readInteger() else { throw SPDYError(message: "an empty header block") }
    guard count <= Self.headerCountMax else { throw SPDYError(message: "\(count) headers") }
    var headers: [SPDYHeader] = []
    for _ in 0..<count { headers.append(SPDYHeader(name: try text().lowercased(), value: try text())) }
    return headers
  }
}
