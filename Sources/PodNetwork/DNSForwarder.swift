import LinuxSystem
import NIOCore
import NIOPosix
import Synchronization

/// Asks the machine's own name servers about names outside of the cluster.
///
/// Bounded: so many questions at once, so many of the same (a name server that asks us back would go round for ever), so
/// long for each server.
final class DNSForwarder: Sendable {
  static let inFlightMax = 512
  static let sameQuestionMax = 16
  static let serverTimeout = TimeAmount.seconds(2)
  static let serversMax = 3
  /// How long the list of servers is used before the file is read again.
  private static let listAge = TimeAmount.seconds(5)

  private let resolverFile: String
  private let port: Int
  /// Our own addresses, which may stand in the file.
  private let excluded: [String]

  private struct State {
    var servers: [SocketAddress] = []
    var readAt: NIODeadline?
    var inFlight: [DNSQuestion: Int] = [:]
    var count = 0
  }

  private let state = Mutex(State())

  init(resolverFile: String, excluding addresses: [String], port: Int = 53) {
    self.resolverFile = resolverFile
    excluded = addresses
    self.port = port
  }

  /// The servers of a `resolv.conf` that are asked.
  static func servers(
    _ configuration: ResolverConfiguration, excluding addresses: [String], port: Int
  ) -> [SocketAddress] {
    let others = configuration.nameservers.filter { !addresses.contains($0) }
    return Array(others.compactMap { try? SocketAddress(ipAddress: $0, port: port) }.prefix(serversMax))
  }

  private func servers() -> [SocketAddress] {
    let now = NIODeadline.now()
    return state.withLock { state in
      if let readAt = state.readAt, now - readAt < DNSForwarder.listAge { return state.servers }
      // A small local file, and seldom.
      state.servers = DNSForwarder.servers(
        ResolverConfiguration(file: resolverFile), excluding: excluded, port: port)
      state.readAt = now
      return state.servers
    }
  }

  /// The first server's answer to a query, with the query's id; `nil` when none answers or too much is asked at once.
  /// - Parameter overTCP: as the client asked.
  func forward(
    _ message: [UInt8], question: DNSQuestion, overTCP: Bool, on loop: any EventLoop
  ) -> EventLoopFuture<[UInt8]?> {
    let servers = servers()
    guard !servers.isEmpty, message.count >= 12 else { return loop.makeSucceededFuture(nil) }
    let isAccepted = state.withLock { state in
      let same = state.inFlight[question] ?? 0
      guard state.count < DNSForwarder.inFlightMax, same < DNSForwarder.sameQuestionMax else { return false }
      state.count += 1
      state.inFlight[question] = same + 1
      return true
    }
    guard isAccepted else { return loop.makeSucceededFuture(nil) }
    let answer = ask(servers[...], message, overTCP: overTCP, on: loop)
    answer.whenComplete { [self] _ in
      state.withLock { state in
        state.count -= 1
        let left = (state.inFlight[question] ?? 1) - 1
        state.inFlight[question] = left == 0 ? nil : left
      }
    }
    return answer
  }

  private func ask(
    _ servers: ArraySlice<SocketAddress>, _ message: [UInt8], overTCP: Bool, on loop: any EventLoop
  ) -> EventLoopFuture<[UInt8]?> {
    guard let server = servers.first else { return loop.makeSucceededFuture(nil) }
    let answer = overTCP ? askTCP(server, message, on: loop) : askUDP(server, message, on: loop)
    return answer.map { Optional($0) }.flatMapError { [self] _ in
      ask(servers.dropFirst(), message, overTCP: overTCP, on: loop)
    }
  }

  private func askUDP(
    _ server: SocketAddress, _ message: [UInt8], on loop: any EventLoop
  ) -> EventLoopFuture<[UInt8]> {
    let promise = loop.makePromise(of: [UInt8].self)
    let exchange = DNSExchange(message: message, server: server, promise: promise)
    DatagramBootstrap(group: loop)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(exchange.udpHandler()) }
      }
      .connect(to: server)
      .whenFailure { promise.fail($0) }
    return promise.futureResult
  }

  private func askTCP(
    _ server: SocketAddress, _ message: [UInt8], on loop: any EventLoop
  ) -> EventLoopFuture<[UInt8]> {
    let promise = loop.makePromise(of: [UInt8].self)
    let exchange = DNSExchange(message: message, server: server, promise: promise)
    ClientBootstrap(group: loop)
      .connectTimeout(DNSForwarder.serverTimeout)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(DNSFrameDecoder()))
          try channel.pipeline.syncOperations.addHandler(exchange.tcpHandler())
        }
      }
      .connect(to: server)
      .whenFailure { promise.fail($0) }
    return promise.futureResult
  }
}

/// One question to one server. The id that goes out is our own, so that nobody can guess it from the client's.
struct DNSExchange: Sendable {
  let message: [UInt8]
  let server: SocketAddress
  let promise: EventLoopPromise<[UInt8]>
  /// From the system's generator: it must not be predictable.
  let id = UInt16.random(in: 0 ... .max)

  var request: [UInt8] { [UInt8(id >> 8), UInt8(truncatingIfNeeded: id)] + message.dropFirst(2) }

  /// The answer with the client's id; `nil` for what is not the answer to this question.
  func accept(_ answer: [UInt8]) -> [UInt8]? {
    guard answer.count >= 12, answer[0] == UInt8(id >> 8), answer[1] == UInt8(truncatingIfNeeded: id),
      answer[2] & 0x80 != 0
    else { return nil }
    // The question comes back, if in another case.
    if answer[4] != 0 || answer[5] != 0 {
      var asked = DNSReader(message, at: 12)
      var answered = DNSReader(answer, at: 12)
      guard (try? asked.name()) == (try? answered.name()), (try? asked.uint16()) == (try? answered.uint16()) else {
        return nil
      }
    }
    return [message[0], message[1]] + answer.dropFirst(2)
  }

  func udpHandler() -> UDPHandler { UDPHandler(self) }
  func tcpHandler() -> TCPHandler { TCPHandler(self) }

  final class UDPHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>
    private let exchange: DNSExchange
    private var timer: Scheduled<Void>?

    init(_ exchange: DNSExchange) { self.exchange = exchange }

    func channelActive(context: ChannelHandlerContext) {
      let envelope = AddressedEnvelope(
        remoteAddress: exchange.server, data: context.channel.allocator.buffer(bytes: exchange.request))
      context.writeAndFlush(wrapOutboundOut(envelope), promise: nil)
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      timer = context.eventLoop.scheduleTask(in: DNSForwarder.serverTimeout) { bound.value.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      guard let answer = exchange.accept(Array(unwrapInboundIn(data).data.readableBytesView)) else { return }
      exchange.promise.succeed(answer)
      context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
      timer?.cancel()
      // Nothing when the answer has come.
      exchange.promise.fail(ChannelError.connectTimeout(DNSForwarder.serverTimeout))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      exchange.promise.fail(error)
      context.close(promise: nil)
    }
  }

  final class TCPHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let exchange: DNSExchange
    private var timer: Scheduled<Void>?

    init(_ exchange: DNSExchange) { self.exchange = exchange }

    func channelActive(context: ChannelHandlerContext) {
      context.writeAndFlush(wrapOutboundOut(DNSFrameDecoder.frame(exchange.request)), promise: nil)
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      timer = context.eventLoop.scheduleTask(in: DNSForwarder.serverTimeout) { bound.value.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      guard let answer = exchange.accept(Array(unwrapInboundIn(data).readableBytesView)) else { return }
      exchange.promise.succeed(answer)
      context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
      timer?.cancel()
      exchange.promise.fail(ChannelError.connectTimeout(DNSForwarder.serverTimeout))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      exchange.promise.fail(error)
      context.close(promise: nil)
    }
  }
}

/// DNS over TCP: two bytes of length in front of each message (RFC 1035, section 4.2.2).
struct DNSFrameDecoder: ByteToMessageDecoder {
  typealias InboundOut = ByteBuffer

  mutating func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
    guard let message = buffer.readLengthPrefixedSlice(as: UInt16.self) else { return .needMoreData }
    context.fireChannelRead(wrapInboundOut(message))
    return .continue
  }

  static func frame(_ message: [UInt8]) -> ByteBuffer {
    var buffer = ByteBuffer()
    buffer.writeInteger(UInt16(truncatingIfNeeded: message.count))
    buffer.writeBytes(message)
    return buffer
  }
}
