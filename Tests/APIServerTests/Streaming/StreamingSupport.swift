import KubeClient
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

@testable import APIServer
@testable import HTTP

/// An HTTP server on 127.0.0.1 that answers every request by a change of protocol.
struct StreamingServer {
  let node = FakeNode()
  let channel: any Channel
  var port: Int { channel.localAddress!.port! }

  init(_ target: PodStreaming.Target) async throws {
    let node = node
    channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.configureHTTPServerPipeline()
          try channel.pipeline.syncOperations.addHandler(UpgradeEverything(target: target, node: node))
        }
      }.bind(host: "127.0.0.1", port: 0).get()
  }

  /// Connects, sends the request head, and returns the connection behind the answer's head.
  func connect(_ requestLine: String, _ headers: [String]) async throws -> StreamingClient {
    let connection = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: "127.0.0.1", port: port) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    let client = StreamingClient(connection)
    let head = ([requestLine, "Host: a"] + headers).joined(separator: "\r\n") + "\r\n\r\n"
    try await client.send(ByteBuffer(string: head))
    try await client.readHead()
    return client
  }

  func stop() async throws { try await channel.close() }
}

private final class UpgradeEverything: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart
  let target: PodStreaming.Target
  let node: FakeNode
  var head: HTTPRequestHead?

  init(target: PodStreaming.Target, node: FakeNode) {
    self.target = target
    self.node = node
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): self.head = head
    case .body: break
    case .end:
      guard let head else { return }
      let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
      let headers = head.headers.map { (name: $0.name, value: $0.value) }
      Task { [target, node] in
        do {
          let take = try await PodStreaming.upgrade(
            method: head.method.rawValue, headers: headers, target: target, streams: node)
          bound.eventLoop.execute {
            let (handler, context) = bound.value
            let channel = context.channel
            channel.pipeline.syncOperations.removeHandler(handler).whenComplete { _ in take(channel) }
          }
        } catch {
          let code = (error as? KubeError)?.code ?? 500
          bound.eventLoop.execute {
            let (handler, context) = bound.value
            let head = HTTPResponseHead(
              version: .http1_1, status: .init(statusCode: code), headers: ["content-length": "0"])
            context.write(handler.wrapOutboundOut(.head(head)), promise: nil)
            context.writeAndFlush(handler.wrapOutboundOut(.end(nil)), promise: nil)
          }
        }
      }
    }
  }
}

/// A client that reads one thing after the other.
final class StreamingClient: Sendable {
  private let channel: any Channel
  private let received: BoundedPipe
  private let reader: Task<Void, any Error>
  private let writer: AsyncStream<ByteBuffer>.Continuation
  private let rest = Mutex(ByteBuffer())
  let head = Mutex("")

  init(_ connection: NIOAsyncChannel<ByteBuffer, ByteBuffer>) {
    channel = connection.channel
    let received = BoundedPipe(capacity: 1 << 20)
    self.received = received
    let (outgoing, writer) = AsyncStream<ByteBuffer>.makeStream()
    self.writer = writer
    reader = Task {
      try await connection.executeThenClose { input, output in
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask { for await bytes in outgoing { try await output.write(bytes) } }
          group.addTask {
            defer { received.finish() }
            for try await bytes in input { await received.write(bytes) }
          }
          try await group.next()
          try await group.next()
        }
      }
    }
  }

  func send(_ bytes: ByteBuffer) async throws { writer.yield(bytes) }

  /// Closes the connection.
  func close() async {
    writer.finish()
    try? await channel.close()
    _ = try? await reader.value
  }

  /// The next bytes; nil when the server has closed.
  func read() async -> ByteBuffer? {
    let kept = rest.withLock { rest in
      defer { rest = ByteBuffer() }
      return rest
    }
    if kept.readableBytes > 0 { return kept }
    return await received.read()
  }

  func readHead() async throws {
    var bytes = ByteBuffer()
    while let more = await received.read() {
      bytes.writeImmutableBuffer(more)
      let text = String(buffer: bytes)
      guard let end = text.range(of: "\r\n\r\n") else { continue }
      let length = text[..<end].utf8.count
      head.withLock { $0 = String(text[..<end]) }
      bytes.moveReaderIndex(forwardBy: length + 4)
      rest.withLock { $0 = bytes }
      return
    }
  }

  var status: String { head.withLock { String($0.prefix(12).suffix(3)) } }
}

extension String {
  /// Where `other` begins.
  fileprivate func range(of other: String) -> Index? {
    var at = startIndex
    while at < endIndex {
      if self[at...].hasPrefix(other) { return at }
      at = index(after: at)
    }
    return nil
  }
}

/// Reads WebSocket frames of a server and writes those of a client.
struct WebSocketPeer {
  let client: StreamingClient
  private var buffer = ByteBuffer()

  init(_ client: StreamingClient) { self.client = client }

  func send(_ bytes: [UInt8], opcode: UInt8 = 2, isLast: Bool = true, isMasked: Bool = true) async throws {
    var frame = ByteBuffer()
    frame.writeInteger(opcode | (isLast ? 0x80 : 0))
    let mask: UInt8 = isMasked ? 0x80 : 0
    if bytes.count < 126 {
      frame.writeInteger(mask | UInt8(bytes.count))
    } else if bytes.count < 1 << 16 {
      frame.writeInteger(mask | 126)
      frame.writeInteger(UInt16(bytes.count))
    } else {
      frame.writeInteger(mask | 127)
      frame.writeInteger(UInt64(bytes.count))
    }
    if isMasked {
      let key: [UInt8] = [0x12, 0x34, 0x56, 0x78]
      frame.writeBytes(key)
      frame.writeBytes(bytes.enumerated().map { $0.element ^ key[$0.offset % 4] })
    } else {
      frame.writeBytes(bytes)
    }
    try await client.send(frame)
  }

  /// The next frame: its opcode and payload; nil when the server has closed.
  mutating func receive() async -> (opcode: UInt8, payload: [UInt8])? {
    while true {
      if let frame = parse() { return frame }
      guard let more = await client.read() else { return nil }
      buffer.writeImmutableBuffer(more)
    }
  }

  private mutating func parse() -> (UInt8, [UInt8])? {
    let start = buffer.readerIndex
    guard let first: UInt8 = buffer.readInteger(), let second: UInt8 = buffer.readInteger() else {
      buffer.moveReaderIndex(to: start)
      return nil
    }
    var length: Int? = Int(second)
    if second == 126 { length = buffer.readInteger(as: UInt16.self).map { Int($0) } }
    if second == 127 { length = buffer.readInteger(as: UInt64.self).map { Int($0) } }
    guard let length, let bytes = buffer.readBytes(length: length) else {
      buffer.moveReaderIndex(to: start)
      return nil
    }
    return (first & 15, bytes)
  }
}

/// Opens SPDY streams as a client does.
struct SPDYPeer {
  let client: StreamingClient
  private var encoder: SPDYFrameEncoder
  private var decoder: SPDYFrameDecoder
  private var nextStream: UInt32 = 1

  init(_ client: StreamingClient) throws {
    self.client = client
    encoder = try SPDYFrameEncoder()
    decoder = try SPDYFrameDecoder()
  }

  mutating func send(_ frame: SPDYFrame) async throws { try await client.send(encoder.encode(frame)) }

  mutating func open(_ headers: [(String, String)]) async throws -> UInt32 {
    let id = nextStream
    nextStream += 2
    try await send(
      .synStream(id: id, headers: headers.map { SPDYHeader(name: $0.0, value: $0.1) }, isLast: false))
    return id
  }

  mutating func receive() async throws -> SPDYFrame? {
    while true {
      if let frame = try decoder.next() { return frame }
      guard let bytes = await client.read() else { return nil }
      decoder.append(bytes)
    }
  }

  /// Reads until these streams have ended; what each of them has carried.
  mutating func readToEnd(_ streams: [UInt32]) async throws -> [UInt32: String] {
    var open = Set(streams)
    var texts: [UInt32: String] = [:]
    while !open.isEmpty, let frame = try await receive() {
      switch frame {
      case .data(let id, let bytes, let isLast):
        texts[id, default: ""] += String(buffer: bytes)
        if isLast { open.remove(id) }
      case .rstStream(let id, let status):
        texts[id] = "reset \(status)"
        open.remove(id)
      default: break
      }
    }
    return texts
  }
}
