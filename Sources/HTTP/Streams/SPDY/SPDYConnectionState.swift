import NIOCore

/// Which end of a connection this is. The client opens streams, with odd numbers; the server opens none.
package enum SPDYRole: Sendable { case client, server }

/// A SPDY connection apart from IO: which streams are open, what windows allow, and what is due to be said.
///
/// **Windows.** This end shows its windows by a `SETTINGS` before the first stream. What is read is given back to the peer's
/// windows, of the stream and of the connection. Its own windows are kept once it has shown that it has some, by a `SETTINGS`
/// or a `WINDOW_UPDATE`: `moby/spdystream`, which is behind kubectl and behind container runtimes, never opens one, and to
/// wait for it would stop a stream after 64 KiB. Against such a peer what bounds memory is the connection: it is not read
/// while a stream's bytes wait, and writing waits for it.
struct SPDYConnectionState: Sendable {
  /// Streams that are open at the same time.
  static let streamCountMax = 512
  /// What each end may send ahead, on a stream and on the connection, before it hears of more.
  static let window = 64 << 10
  /// Frames that the peer has caused and that wait to be sent. A peer that asks and takes no answer is not served for ever.
  static let answersMax = 1024

  enum Action: Equatable, Sendable {
    /// The peer has opened a stream: it is accepted and handed out.
    case opened(UInt32, [SPDYHeader])
    /// The peer has accepted a stream of this end.
    case accepted(UInt32)
    case data(UInt32, ByteBuffer)
    /// Nothing more comes on the stream.
    case inputEnded(UInt32)
    /// The stream is over, in both directions.
    case reset(UInt32)
    /// Those who wait for a window look again.
    case windowsChanged
    /// Something is due to be said: see `takeAnswers`.
    case answersDue
  }

  /// What a window allows.
  enum Allowance: Equatable, Sendable {
    case bytes(Int)
    case wait
    /// Nothing is sent on this stream any more.
    case closed
  }

  private struct Stream {
    var isAccepted: Bool
    var isInputOpen = true
    var isOutputOpen = true
    /// What may be sent; below zero when more was sent before the peer has shown its windows.
    var sendWindow: Int
    /// What was read and not given back to the peer's window yet.
    var readBytes = 0
  }

  let role: SPDYRole
  private var streams: [UInt32: Stream] = [:]
  private var lastPeerStream: UInt32 = 0
  private var nextStream: UInt32 = 1
  private var isGoingAway = false
  private var hasPeerWindows = false
  private var initialWindow = window
  private var sendWindow = window
  private var readBytes = 0

  private var credits: [UInt32: Int] = [:]
  private var pongs: [UInt32] = []
  private var resets: [(id: UInt32, status: UInt32)] = []

  init(role: SPDYRole) { self.role = role }

  var openStreams: Int { streams.count }
  func isOpen(_ id: UInt32) -> Bool { streams[id] != nil }

  // MARK: What comes

  /// - Throws: when the peer breaks the protocol beyond one stream.
  mutating func received(_ frame: SPDYFrame) throws(SPDYError) -> [Action] {
    switch frame {
    case .synStream(let id, let headers, let isLast): return try received(stream: id, headers, isLast: isLast)
    case .synReply(let id, _, let isLast):
      guard role == .client, streams[id]?.isAccepted == false else { return [] }
      streams[id]?.isAccepted = true
      return [.accepted(id)] + (isLast ? endInput(id) : [])
    case .data(let id, let bytes, let isLast): return try received(data: bytes, of: id, isLast: isLast)
    case .headers(let id, _, let isLast): return isLast ? endInput(id) : []
    case .rstStream(let id, _): return forget(id) ? [.reset(id)] : []
    case .ping(let id):
      // Those of the peer have its own streams' parity; this end sends none.
      guard (id % 2 == 1) == (role == .server) else { return [] }
      try answer()
      pongs.append(id)
      return [.answersDue]
    case .goAway(let last, _):
      isGoingAway = true
      guard role == .client else { return [] }
      // Those above it the peer has not looked at.
      return streams.keys.filter { $0 > last }.sorted().compactMap { forget($0) ? .reset($0) : nil }
    case .settings(let initialWindow):
      guard let initialWindow else { return [] }
      guard initialWindow <= UInt32(Int32.max) else {
        throw SPDYError(message: "an initial window of \(initialWindow) bytes")
      }
      hasPeerWindows = true
      let change = Int(initialWindow) - self.initialWindow
      self.initialWindow = Int(initialWindow)
      for id in streams.keys { streams[id]?.sendWindow += change }
      return [.windowsChanged]
    case .windowUpdate(let id, let delta): return try received(window: delta, of: id)
    }
  }

  private mutating func received(
    stream id: UInt32, _ headers: [SPDYHeader], isLast: Bool
  ) throws(SPDYError) -> [Action] {
    let isOfPeer = id > 0 && (id % 2 == 1) == (role == .server)
    guard isOfPeer, id > lastPeerStream else { return try refuse(id, SPDYStatus.protocolError) }
    lastPeerStream = id
    guard role == .server, streams.count < Self.streamCountMax, !isGoingAway else {
      return try refuse(id, SPDYStatus.refusedStream)
    }
    streams[id] = Stream(isAccepted: true, sendWindow: initialWindow)
    return [.opened(id, headers)] + (isLast ? endInput(id) : [])
  }

  private mutating func received(data bytes: ByteBuffer, of id: UInt32, isLast: Bool) throws(SPDYError) -> [Action] {
    guard id % 2 == 1, role == .client ? id < nextStream : id <= lastPeerStream else {
      throw SPDYError(message: "data for stream \(id), which nobody has opened")
    }
    guard let stream = streams[id], stream.isInputOpen else {
      // Data for a stream that has ended already was on its way. It counts for the connection's window.
      return consumed(bytes.readableBytes, of: id) ? [.answersDue] : []
    }
    guard stream.isAccepted else {
      _ = consumed(bytes.readableBytes, of: 0)
      return [.reset(id)] + (try refuse(id, SPDYStatus.protocolError))
    }
    return (bytes.readableBytes > 0 ? [.data(id, bytes)] : []) + (isLast ? endInput(id) : [])
  }

  private mutating func received(window delta: UInt32, of id: UInt32) throws(SPDYError) -> [Action] {
    guard delta > 0 else { throw SPDYError(message: "a window is opened by nothing") }
    hasPeerWindows = true
    if id == 0 {
      sendWindow += Int(delta)
      guard sendWindow <= Int(Int32.max) else { throw SPDYError(message: "the connection's window is opened too far") }
      return [.windowsChanged]
    }
    guard let window = streams[id]?.sendWindow else { return [.windowsChanged] }
    guard window + Int(delta) <= Int(Int32.max) else {
      return [.reset(id)] + (try refuse(id, SPDYStatus.flowControlError))
    }
    streams[id]?.sendWindow = window + Int(delta)
    return [.windowsChanged]
  }

  private mutating func endInput(_ id: UInt32) -> [Action] {
    guard let stream = streams[id], stream.isInputOpen else { return [] }
    if stream.isOutputOpen { streams[id]?.isInputOpen = false } else { streams[id] = nil }
    return [.inputEnded(id)]
  }

  private mutating func forget(_ id: UInt32) -> Bool {
    credits[id] = nil
    return streams.removeValue(forKey: id) != nil
  }

  private mutating func refuse(_ id: UInt32, _ status: UInt32) throws(SPDYError) -> [Action] {
    try answer()
    _ = forget(id)
    resets.append((id, status))
    return [.answersDue]
  }

  private func answer() throws(SPDYError) {
    guard pongs.count + resets.count < Self.answersMax else {
      throw SPDYError(message: "it asks more than it takes answers")
    }
  }

  // MARK: What is done

  /// A stream of this end.
  mutating func open() throws(SPDYError) -> UInt32 {
    guard role == .client else { throw SPDYError(message: "a server opens no streams") }
    guard !isGoingAway else { throw SPDYError(message: "the peer takes no more streams") }
    guard streams.count < Self.streamCountMax, nextStream < 0x7FFF_FFFE else {
      throw SPDYError(message: "too many streams are open")
    }
    defer { nextStream += 2 }
    streams[nextStream] = Stream(isAccepted: false, sendWindow: initialWindow)
    return nextStream
  }

  func allowance(_ wanted: Int, of id: UInt32) -> Allowance {
    guard let stream = streams[id], stream.isOutputOpen else { return .closed }
    guard hasPeerWindows else { return .bytes(wanted) }
    let allowed = min(wanted, stream.sendWindow, sendWindow)
    return allowed > 0 ? .bytes(allowed) : .wait
  }

  /// As many bytes are sent as it returns.
  mutating func spend(_ wanted: Int, of id: UInt32) -> Allowance {
    let allowance = allowance(wanted, of: id)
    if case .bytes(let count) = allowance {
      streams[id]?.sendWindow -= count
      sendWindow -= count
    }
    return allowance
  }

  /// Bytes of a stream were read, or dropped.
  ///
  /// - Returns: whether answers are due now.
  mutating func consumed(_ count: Int, of id: UInt32) -> Bool {
    readBytes += count
    if readBytes >= Self.window / 2 {
      credits[0, default: 0] += readBytes
      readBytes = 0
    }
    if let stream = streams[id], stream.isInputOpen {
      let bytes = stream.readBytes + count
      if bytes >= Self.window / 2 { credits[id, default: 0] += bytes }
      streams[id]?.readBytes = bytes >= Self.window / 2 ? 0 : bytes
    }
    return !credits.isEmpty
  }

  /// This end sends nothing more on the stream.
  ///
  /// - Returns: whether that is to be said.
  mutating func finishOutput(_ id: UInt32) -> Bool {
    guard let stream = streams[id], stream.isOutputOpen else { return false }
    if stream.isInputOpen { streams[id]?.isOutputOpen = false } else { _ = forget(id) }
    return true
  }

  /// This end wants nothing more of the stream.
  ///
  /// - Returns: whether that is to be said.
  mutating func reset(_ id: UInt32, _ status: UInt32) -> Bool {
    guard forget(id) else { return false }
    resets.append((id, status))
    return true
  }

  /// What is due to be said, once.
  mutating func takeAnswers() -> [SPDYFrame] {
    defer { (credits, pongs, resets) = ([:], [], []) }
    var frames = resets.map { SPDYFrame.rstStream(id: $0.id, status: $0.status) } + pongs.map { .ping(id: $0) }
    for (id, credit) in credits.sorted(by: { $0.key < $1.key }) {
      var left = credit
      while left > 0 {
        let delta = min(left, Int(Int32.max))
        frames.append(.windowUpdate(id: id, delta: UInt32(delta)))
        left -= delta
      }
    }
    return frames
  }
}
