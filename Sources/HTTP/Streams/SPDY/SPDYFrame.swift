import NIOCore

/// The frames of SPDY/3.1 (draft-mbelshe-httpbis-spdy-00 and its revision 3.1) that both ends use. Header blocks are decompressed.
enum SPDYFrame: Equatable, Sendable {
  case synStream(id: UInt32, headers: [SPDYHeader], isLast: Bool)
  case synReply(id: UInt32, headers: [SPDYHeader], isLast: Bool)
  case rstStream(id: UInt32, status: UInt32)
  /// `SETTINGS_INITIAL_WINDOW_SIZE`, when it is among them.
  case settings(initialWindow: UInt32?)
  case ping(id: UInt32)
  case goAway(lastStream: UInt32, status: UInt32)
  case headers(id: UInt32, headers: [SPDYHeader], isLast: Bool)
  case windowUpdate(id: UInt32, delta: UInt32)
  /// A part of a data frame: large frames are handed out in pieces as they come. `isLast` ends the sender's side.
  case data(id: UInt32, ByteBuffer, isLast: Bool)
}

/// A name in lower case and a value; several values are separated by NUL.
package struct SPDYHeader: Equatable, Sendable {
  package var name: String
  package var value: String

  package init(name: String, value: String) {
    self.name = name
    self.value = value
  }
}

/// Why the peer's bytes are not SPDY. The connection cannot go on: the compression's state is lost.
package struct SPDYError: Error, Equatable, CustomStringConvertible {
  package var message: String

  package init(message: String) { self.message = message }

  package var description: String { message }
}

/// Status codes of `RST_STREAM`.
enum SPDYStatus {
  static let protocolError: UInt32 = 1
  static let refusedStream: UInt32 = 3
  static let cancel: UInt32 = 5
  static let flowControlError: UInt32 = 7
}

/// Numbers of settings, with their flags in front.
enum SPDYSetting {
  static let initialWindow: UInt32 = 7
}

enum SPDYFrameType {
  static let synStream: UInt16 = 1
  static let synReply: UInt16 = 2
  static let rstStream: UInt16 = 3
  static let settings: UInt16 = 4
  static let ping: UInt16 = 6
  static let goAway: UInt16 = 7
  static let headers: UInt16 = 8
  static let windowUpdate: UInt16 = 9
}

/// Writes frames. Header blocks must go out in the order in which they were encoded: they share one compression state.
struct SPDYFrameEncoder {
  private let deflater: SPDYDeflater

  init() throws(SPDYError) { deflater = try SPDYDeflater() }

  mutating func encode(_ frame: SPDYFrame) throws(SPDYError) -> ByteBuffer {
    switch frame {
    case .synStream(let id, let headers, let isLast):
      var payload = ByteBuffer()
      payload.writeInteger(id)
      payload.writeInteger(0 as UInt32)
      // Priority and credential slot.
      payload.writeInteger(0 as UInt16)
      payload.writeBytes(try deflater.compress(Self.block(headers)))
      return Self.control(SPDYFrameType.synStream, flags: isLast ? 1 : 0, payload)
    case .synReply(let id, let headers, let isLast):
      return Self.control(SPDYFrameType.synReply, flags: isLast ? 1 : 0, try named(id, headers))
    case .headers(let id, let headers, let isLast):
      return Self.control(SPDYFrameType.headers, flags: isLast ? 1 : 0, try named(id, headers))
    case .rstStream, .settings, .ping, .goAway, .windowUpdate, .data:
      return Self.plain(frame) ?? ByteBuffer()
    }
  }

  /// A frame without headers, which goes out in any order; `nil` of others.
  static func plain(_ frame: SPDYFrame) -> ByteBuffer? {
    switch frame {
    case .synStream, .synReply, .headers: nil
    case .rstStream(let id, let status): control(SPDYFrameType.rstStream, flags: 0, pair(id, status))
    case .settings(let initialWindow): control(SPDYFrameType.settings, flags: 0, settings(initialWindow))
    case .ping(let id): control(SPDYFrameType.ping, flags: 0, ByteBuffer(integer: id))
    case .goAway(let last, let status): control(SPDYFrameType.goAway, flags: 0, pair(last, status))
    case .windowUpdate(let id, let delta): control(SPDYFrameType.windowUpdate, flags: 0, pair(id, delta))
    case .data(let id, let bytes, let isLast): data(id, bytes, isLast: isLast)
    }
  }

  /// A data frame, which needs no compression. At most 2²⁴ − 1 bytes.
  static func data(_ id: UInt32, _ bytes: ByteBuffer, isLast: Bool) -> ByteBuffer {
    var frame = ByteBuffer()
    frame.reserveCapacity(8 + bytes.readableBytes)
    frame.writeInteger(id & 0x7FFF_FFFF)
    frame.writeInteger(UInt32(isLast ? 1 : 0) << 24 | UInt32(bytes.readableBytes))
    frame.writeImmutableBuffer(bytes)
    return frame
  }

  private func named(_ id: UInt32, _ headers: [SPDYHeader]) throws(SPDYError) -> ByteBuffer {
    var payload = ByteBuffer(integer: id)
    payload.writeBytes(try deflater.compress(Self.block(headers)))
    return payload
  }

  private static func settings(_ initialWindow: UInt32?) -> ByteBuffer {
    var payload = ByteBuffer(integer: (initialWindow == nil ? 0 : 1) as UInt32)
    if let initialWindow {
      payload.writeInteger(SPDYSetting.initialWindow)
      payload.writeInteger(initialWindow)
    }
    return payload
  }

  private static func pair(_ a: UInt32, _ b: UInt32) -> ByteBuffer {
    var payload = ByteBuffer(integer: a)
    payload.writeInteger(b)
    return payload
  }

  private static func control(_ type: UInt16, flags: UInt8, _ payload: ByteBuffer) -> ByteBuffer {
    var frame = ByteBuffer()
    frame.writeInteger(0x8003 as UInt16)
    frame.writeInteger(type)
    frame.writeInteger(UInt32(flags) << 24 | UInt32(payload.readableBytes))
    frame.writeImmutableBuffer(payload)
    return frame
  }

  private static func block(_ headers: [SPDYHeader]) -> [UInt8] {
    var block = ByteBuffer(integer: UInt32(headers.count))
    for header in headers {
      block.writeInteger(UInt32(header.name.utf8.count))
      block.writeString(header.name)
      block.writeInteger(UInt32(header.value.utf8.count))
      block.writeString(header.value)
    }
    return Array(block.readableBytesView)
  }
}
