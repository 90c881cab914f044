import ControllerKit
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Wire

/// The cluster's name server, by UDP and TCP.
final class DNSServer: Sendable {
  static let connectionsMax = 256
  private static let idleTimeout = TimeAmount.seconds(10)

  private let addresses: [String]
  private let port: Int
  private let records: ClusterRecords
  private let localRanges: [IPRange]
  private let forwarder: DNSForwarder
  private let time: any TimeSource
  private let log = Logger(label: "apus.dns")
  private let connections = Mutex(0)

  init(
    addresses: [String], port: Int, records: ClusterRecords, localRanges: [IPRange], resolverFile: String,
    time: any TimeSource
  ) {
    self.addresses = addresses
    self.port = port
    self.records = records
    self.localRanges = localRanges
    self.time = time
    forwarder = DNSForwarder(resolverFile: resolverFile, excluding: addresses)
  }

  /// Serves until its task is cancelled; when an address cannot be used, tries again with back-off.
  func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for address in addresses { group.addTask { try await self.run(address) } }
      try await group.waitForAll()
    }
  }

  private func run(_ address: String) async throws {
    let backoff = Backoff(first: .milliseconds(200), longest: .seconds(30))
    var random = SeededRandom(name: "dns")
    var failures = 0
    while true {
      do {
        try await serve(address) { failures = 0 }
        try Task.checkCancellation()
      } catch {
        try Task.checkCancellation()
        failures += 1
        log.error(
          "the DNS server cannot use its address, will retry; another name server on all addresses may be the reason",
          metadata: ["address": "\(address):\(port)", "error": "\(error)"])
      }
      try await time.sleep(for: backoff.delay(failures: max(1, failures), using: &random))
    }
  }

  private func serve(_ address: String, _ started: () -> Void) async throws {
    let group = MultiThreadedEventLoopGroup.singleton
    let udp = try await DatagramBootstrap(group: group)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(UDPServerHandler(server: self))
        }
      }
      .bind(host: address, port: port).get()
    let tcp: any Channel
    do {
      tcp = try await ServerBootstrap(group: group)
        .serverChannelOption(.backlog, value: 128)
        .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandlers([
              IdleStateHandler(allTimeout: DNSServer.idleTimeout), ByteToMessageHandler(DNSFrameDecoder()),
              TCPServerHandler(server: self),
            ])
          }
        }
        .bind(host: address, port: port).get()
    } catch {
      try? await udp.close()
      throw error
    }
    started()
    try await withTaskCancellationHandler {
      // The one ends with the other.
      udp.closeFuture.whenComplete { _ in tcp.close(promise: nil) }
      tcp.closeFuture.whenComplete { _ in udp.close(promise: nil) }
      try await udp.closeFuture.get()
      try await tcp.closeFuture.get()
    } onCancel: {
      udp.close(promise: nil)
    }
  }

  // MARK: Answering

  enum Reply {
    case none
    case now([UInt8])
    case later(EventLoopFuture<[UInt8]>)
  }

  func reply(to message: [UInt8], overTCP: Bool, on loop: any EventLoop) -> Reply {
    let query: DNSQuery
    do {
      query = try DNSQuery(message)
    } catch {
      return DNSAnswer.formatError(for: message).map { .now($0) } ?? .none
    }
    let sizeMax = overTCP ? 65535 : query.answerMax
    func now(_ answer: DNSAnswer) -> Reply { .now(answer.message(for: query, sizeMax: sizeMax)) }
    guard query.opcode == 0 else { return now(DNSAnswer(code: DNSCode.notImplemented, isAuthoritative: false)) }
    // BADVERS, with its upper bits in the OPT record.
    guard query.ednsVersion == 0 else { return now(DNSAnswer(isAuthoritative: false)) }
    // Zone transfers are not offered.
    guard !(251...252).contains(query.question.type) else {
      return now(DNSAnswer(code: DNSCode.refused, isAuthoritative: false))
    }
    let failure = DNSAnswer(code: DNSCode.serverFailure, isAuthoritative: false)
    let outcome = records.look(up: query.question) { address in localRanges.contains { $0.contains(address) } }
    switch outcome {
    case nil: return now(failure)
    case .answer(let answer): return now(answer)
    case .forward:
      let answered = forwarder.forward(message, question: query.question, overTCP: overTCP, on: loop)
      return .later(
        answered.map { bytes in
          guard let bytes else { return failure.message(for: query, sizeMax: sizeMax) }
          // A server that ignores our client's limit.
          return bytes.count <= sizeMax ? bytes : DNSServer.truncated(query)
        })
    case .alias(let answer, let target):
      let question = DNSQuestion(name: target, type: query.question.type, class: 1)
      let answered = forwarder.forward(
        DNSServer.message(asking: question), question: question, overTCP: overTCP, on: loop)
      return .later(
        answered.map { bytes in
          guard let more = bytes.flatMap({ DNSServer.answers(in: $0) }) else {
            return failure.message(for: query, sizeMax: sizeMax)
          }
          var answer = answer
          answer.answers += more
          return answer.message(for: query, sizeMax: sizeMax)
        })
    }
  }

  private static func truncated(_ query: DNSQuery) -> [UInt8] {
    var bytes = DNSAnswer(isAuthoritative: false).message(for: query, sizeMax: 65535)
    bytes[2] |= 0x02
    return bytes
  }

  /// A query of our own; the id is set when it is sent.
  static func message(asking question: DNSQuestion) -> [UInt8] {
    var writer = DNSWriter()
    for value: UInt16 in [0, 0x0100, 1, 0, 0, 0] { writer.uint16(value) }
    writer.name(question.name, isCompressed: false)
    writer.uint16(question.type)
    writer.uint16(question.class)
    return writer.bytes
  }

  /// The addresses and aliases in a message, their names written out; `nil` when it cannot be read or says that there
  /// is no such name.
  static func answers(in message: [UInt8]) -> [DNSRecord]? {
    guard message.count >= 12, message[3] & 0xF == DNSCode.noError else { return nil }
    var reader = DNSReader(message, at: 4)
    do {
      let questions = try reader.uint16()
      let count = try reader.uint16()
      try reader.skip(4)
      for _ in 0..<questions {
        _ = try reader.name()
        try reader.skip(4)
      }
      var records: [DNSRecord] = []
      for _ in 0..<count {
        let name = try reader.name()
        let type = try reader.uint16()
        _ = try reader.uint16()
        let ttl = try reader.uint32()
        let length = Int(try reader.uint16())
        switch type {
        case DNSType.a where length == 4, DNSType.aaaa where length == 16:
          records.append(DNSRecord(name: name, ttl: ttl, data: .address(IPAddress(bytes: try reader.take(length)))))
        case DNSType.cname:
          records.append(DNSRecord(name: name, ttl: ttl, data: .cname(try reader.name())))
        default: try reader.skip(length)
        }
      }
      return records
    } catch {
      return nil
    }
  }

  // MARK: Channels

  private final class UDPServerHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>
    private let server: DNSServer

    init(server: DNSServer) { self.server = server }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let envelope = unwrapInboundIn(data)
      let remote = envelope.remoteAddress
      let channel = context.channel
      func send(_ bytes: [UInt8]) {
        channel.writeAndFlush(
          AddressedEnvelope(remoteAddress: remote, data: channel.allocator.buffer(bytes: bytes)), promise: nil)
      }
      switch server.reply(to: Array(envelope.data.readableBytesView), overTCP: false, on: context.eventLoop) {
      case .none: break
      case .now(let bytes): send(bytes)
      case .later(let future):
        future.whenSuccess { bytes in
          channel.writeAndFlush(
            AddressedEnvelope(remoteAddress: remote, data: channel.allocator.buffer(bytes: bytes)), promise: nil)
        }
      }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      // An ICMP answer to an earlier packet of ours: the socket goes on.
    }
  }

  private final class TCPServerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let server: DNSServer
    private var isCounted = false

    init(server: DNSServer) { self.server = server }

    func channelActive(context: ChannelHandlerContext) {
      isCounted = server.connections.withLock { count in
        guard count < DNSServer.connectionsMax else { return false }
        count += 1
        return true
      }
      if !isCounted { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
      if isCounted { server.connections.withLock { $0 -= 1 } }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let message = Array(unwrapInboundIn(data).readableBytesView)
      let channel = context.channel
      switch server.reply(to: message, overTCP: true, on: context.eventLoop) {
      case .none: context.close(promise: nil)
      case .now(let bytes): context.writeAndFlush(wrapOutboundOut(DNSFrameDecoder.frame(bytes)), promise: nil)
      case .later(let future):
        future.whenSuccess { channel.writeAndFlush(DNSFrameDecoder.frame($0), promise: nil) }
      }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      if event is IdleStateHandler.IdleStateEvent {
        context.close(promise: nil)
      } else {
        context.fireUserInboundEventTriggered(event)
      }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
}
