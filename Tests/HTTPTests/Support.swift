import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing

@testable import HTTP

/// Answers by path, with what a test has put there.
final class TestHandler: HTTPRequestHandler {
  typealias Receive = @Sendable (HTTPServerRequest) -> HTTPReception

  private let receive: Receive
  let problems = Mutex<[HTTPServerProblem]>([])
  let events = Mutex<[HTTPServerEvent]>([])

  init(_ receive: @escaping Receive) { self.receive = receive }

  func receive(_ request: HTTPServerRequest) -> HTTPReception { receive(request) }

  func response(to problem: HTTPServerProblem, of request: HTTPServerRequest) -> HTTPServerResponse {
    problems.withLock { $0.append(problem) }
    let status =
      switch problem {
      case .malformedHead(let status, _): status
      case .bodyTooLarge: 413
      case .bodiesAreMany: 429
      case .bodyTimeout: 408
      case .answerTimeout: 504
      case .answerHeadTooLarge: 500
      }
    return HTTPServerResponse(status: status, body: .buffer(ByteBuffer(string: "problem")))
  }

  func noticed(_ event: HTTPServerEvent) { events.withLock { $0.append(event) } }

  /// Every request is answered with its path, and with its body.
  static let echo: Receive = { request in
    guard request.peer.strangerMayAsk() else { return .refuse(HTTPServerResponse(status: 429)) }
    let uri = request.head.uri
    return .collect(bytesMax: 1000, holder: ConnectionBudget.User(name: "a", isPrivileged: false)) { body, respond in
      var answer = ByteBuffer(string: uri)
      if var body { answer.writeBuffer(&body) }
      respond(HTTPServerResponse(status: 200, body: .buffer(answer)))
    }
  }

  /// Every request is answered at once.
  static func answering(_ response: @escaping @Sendable (HTTPServerRequest) -> HTTPServerResponse) -> Receive {
    { request in
      .collect(bytesMax: 1000, holder: nil) { _, respond in respond(response(request)) }
    }
  }
}

extension HTTPServer {
  convenience init(
    _ handler: TestHandler, _ change: (inout HTTPServerLimits) -> Void = { _ in }
  ) {
    var limits = HTTPServerLimits(
      connections: ConnectionBudget.Limits(total: 256, strangers: 64),
      bodies: SharedBudget.Limits(total: 1000, share: 400, kept: 200))
    change(&limits)
    self.init(
      group: MultiThreadedEventLoopGroup.singleton, tls: nil, limits: limits, drainTimeout: .seconds(5),
      handler: handler)
  }
}

/// Numbers that look random and are the same in each run.
struct Noise {
  var state: UInt64

  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state >> 33
  }
}

/// A connection to a server without a network, under a clock that the test moves. Belongs to one thread at a time.
final class Peer {
  let channel: EmbeddedChannel
  private(set) var received: [UInt8] = []

  init(_ server: HTTPServer, from address: String = "10.0.0.1") throws {
    channel = EmbeddedChannel()
    channel.remoteAddress = try SocketAddress(ipAddress: address, port: 1)
    try server.addHandlers(to: channel)
    channel.connect(to: try SocketAddress(ipAddress: address, port: 1), promise: nil)
  }

  var isOpen: Bool { channel.isActive }

  func send(_ text: String) { send(Array(text.utf8)) }

  func send(_ bytes: [UInt8]) {
    _ = try? channel.writeInbound(ByteBuffer(bytes: bytes))
    run()
  }

  func run() {
    channel.embeddedEventLoop.run()
    collect()
  }

  func advance(_ time: TimeAmount) {
    channel.embeddedEventLoop.advanceTime(by: time)
    collect()
  }

  func setWritable(_ isWritable: Bool) {
    channel.isWritable = isWritable
    channel.pipeline.fireChannelWritabilityChanged()
    run()
  }

  func drain() {
    channel.pipeline.fireUserInboundEventTriggered(HTTPServer.Drain())
    run()
  }

  func close() {
    channel.close(promise: nil)
    channel.embeddedEventLoop.run()
  }

  private func collect() {
    while let buffer = try? channel.readOutbound(as: ByteBuffer.self) { received += buffer.readableBytesView }
  }

  func takeBytes() -> [UInt8] {
    collect()
    defer { received = [] }
    return received
  }

  /// What came since the last time.
  func take() -> String {
    collect()
    defer { received = [] }
    return String(decoding: received, as: UTF8.self)
  }

  /// The statuses of the answers since the last time.
  func takeStatuses() -> [Int] {
    take().split(separator: "HTTP/1.1 ", omittingEmptySubsequences: false).dropFirst().compactMap {
      Int($0.prefix(3))
    }
  }
}

/// A body whose pieces the test makes.
final class TestBody: HTTPPulledBody {
  struct State {
    var pieces: [String] = []
    var isEnded = false
    var isOverrun = false
    var isCancelled = false
    var pulls = 0
    var wake: (@Sendable () -> Void)?
  }
  let state = Mutex(State())
  let length: Int?

  init(length: Int? = nil, _ pieces: [String] = [], isEnded: Bool = false) {
    self.length = length
    state.withLock {
      $0.pieces = pieces
      $0.isEnded = isEnded
    }
  }

  var isOverrun: Bool { state.withLock { $0.isOverrun } }
  var waitingBytes: Int { 0 }

  func begin(on loop: any EventLoop, wake: @escaping @Sendable () -> Void) { state.withLock { $0.wake = wake } }

  func next(bytes: Int, _ allocator: ByteBufferAllocator) -> HTTPBodyPiece {
    state.withLock { state in
      state.pulls += 1
      if state.pieces.isEmpty { return state.isEnded ? .end(nil) : .nothingYet }
      return .bytes(ByteBuffer(string: state.pieces.removeFirst()))
    }
  }

  func add(_ piece: String) {
    let wake = state.withLock { state in
      state.pieces.append(piece)
      return state.wake
    }
    wake?()
  }

  func end() {
    let wake = state.withLock { state in
      state.isEnded = true
      return state.wake
    }
    wake?()
  }

  func cancel() { state.withLock { $0.isCancelled = true } }

  var isCancelled: Bool { state.withLock { $0.isCancelled } }
}

/// The same for tests that wait: the channel may be used from any thread.
final class AsyncPeer: Sendable {
  let channel = NIOAsyncTestingChannel()
  private let reads: NIOLoopBound<ReadCounter>

  init(_ server: HTTPServer) async throws {
    let (channel, address) = (channel, try SocketAddress(ipAddress: "10.0.0.1", port: 1))
    channel.remoteAddress = address
    reads = try await channel.testingEventLoop.submit {
      try server.addHandlers(to: channel)
      let counter = ReadCounter()
      try channel.pipeline.syncOperations.addHandler(counter, position: .first)
      return NIOLoopBound(counter, eventLoop: channel.eventLoop)
    }.get()
    try await channel.connect(to: address).get()
  }

  func send(_ text: String) async throws { try await send(Array(text.utf8)) }

  func send(_ bytes: [UInt8]) async throws { try await channel.writeInbound(ByteBuffer(bytes: bytes)) }

  /// What is written next.
  func next() async throws -> String { String(buffer: try await channel.waitForOutboundWrite(as: ByteBuffer.self)) }

  func advance(_ time: TimeAmount) async { await channel.testingEventLoop.advanceTime(by: time) }

  /// Whether a read reaches the socket.
  var isReading: Bool {
    get async throws {
      let reads = reads
      return try await channel.testingEventLoop.submit { [channel] in
        let before = reads.value.count
        channel.read()
        return reads.value.count > before
      }.get()
    }
  }
}

private final class ReadCounter: ChannelOutboundHandler {
  typealias OutboundIn = ByteBuffer
  private(set) var count = 0

  func read(context: ChannelHandlerContext) {
    count += 1
    context.read()
  }
}

enum Loopback {
  /// Sends a text to 127.0.0.1 and reads until the other end closes.
  ///
  /// - Parameter connected: called before anything is sent.
  static func exchange(
    port: Int, _ text: String, connected: () async throws -> Void = {}
  ) async throws -> String {
    let connection = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: "127.0.0.1", port: port) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    return try await connection.executeThenClose { input, output in
      try await connected()
      try await output.write(ByteBuffer(string: text))
      var received = ByteBuffer()
      for try await var buffer in input { received.writeBuffer(&buffer) }
      return String(buffer: received)
    }
  }
}
