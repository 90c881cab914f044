import ControllerKit
import LinuxSystem
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Wire

/// The cluster's name server, by UDP and TCP.
final class DNSServer: Sendable {
  static let connectionsMax = 256
  static let port: UInt16 = 53
  private static let idleTimeout = TimeAmount.seconds(10)
  /// How long what was asked before the end may take: three servers, and a connection that says nothing more.
  private static let finishMax = TimeAmount.seconds(11)

  /// Of each address. An array, since an `IPAddress` in the frame of an async function ends the process when it goes on:
  /// its number asks for an alignment that the frame does not have.
  private let places: [[ServerSocket]]
  private let sockets: DataPlaneSockets
  private let records: ClusterRecords
  private let localRanges: [IPRange]
  private let forwarder: DNSForwarder
  private let time: any TimeSource
  private let log = Logger(label: "apus.dns")
  private let work: Mutex<DNSWork>
  private let untried: Mutex<Set<[ServerSocket]>>
  /// What takes questions and connections from the sockets.
  private let taking = Mutex<[ObjectIdentifier: any Channel]>([:])

  init(
    addresses: [IPAddress], port: UInt16 = port, sockets: DataPlaneSockets, records: ClusterRecords,
    localRanges: [IPRange], resolverFile: String, resolverPort: Int = Int(port), time: any TimeSource
  ) {
    places = addresses.map { Self.sockets($0, port: port) }
    self.sockets = sockets
    self.records = records
    self.localRanges = localRanges
    self.time = time
    forwarder = DNSForwarder(resolverFile: resolverFile, excluding: addresses.map(\.description), port: resolverPort)
    work = Mutex(DNSWork(connectionsMax: Self.connectionsMax))
    untried = Mutex(Set(places))
  }

  /// What it takes questions from at an address.
  static func sockets(_ address: IPAddress, port: UInt16 = port) -> [ServerSocket] {
    [ServerSocket(.udp, address, port: port), ServerSocket(.tcp, address, port: port)]
  }

  /// Serves until its task is cancelled; then it answers what it was asked. When an address cannot be used, it tries again
  /// with back-off.
  /// - Parameter answering: called when it has tried all addresses: those that can be used are answered on.
  func run(answering: @escaping @Sendable () -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for place in places { group.addTask { try await self.run(place, answering) } }
      try await group.waitForAll()
    }
  }

  private func run(_ place: [ServerSocket], _ answering: @escaping @Sendable () -> Void) async throws {
    let backoff = Backoff(first: .milliseconds(200), longest: .seconds(30))
    var random = SeededRandom(name: "dns")
    var failures = 0
    while true {
      do {
        try await serve(place) {
          failures = 0
          tried(place, answering)
        }
        try Task.checkCancellation()
      } catch {
        try Task.checkCancellation()
        failures += 1
        log.error(
          "the DNS server cannot use its address, will retry; another name server on all addresses may be the reason",
          metadata: ["address": "\(place[0])", "error": "\(error)"])
        tried(place, answering)
      }
      try await time.sleep(for: backoff.delay(failures: max(1, failures), using: &random))
    }
  }

  private func tried(_ place: [ServerSocket], _ answering: @Sendable () -> Void) {
    if untried.withLock({ $0.remove(place) != nil && $0.isEmpty }) { answering() }
  }

  private func serve(_ place: [ServerSocket], _ started: () -> Void) async throws {
    let group = MultiThreadedEventLoopGroup.singleton
    let udp = try await DatagramBootstrap(group: group)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(UDPServerHandler(server: self))
        }
      }
      .withBoundSocket(sockets.open(place[0])).get()
    take(udp)
    defer { leave(udp) }
    let tcp: any Channel
    do {
      tcp = try await ServerBootstrap(group: group)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            // From here on it counts, before anything of it is read.
            guard self.work.withLock({ $0.connected(channel) }) else { throw ChannelError.ioOnClosedChannel }
            channel.closeFuture.whenComplete { _ in
              self.work.withLock { $0.disconnected(channel) }.finish()
            }
            try channel.pipeline.syncOperations.addHandlers([
              IdleStateHandler(allTimeout: DNSServer.idleTimeout), ByteToMessageHandler(DNSFrameDecoder()),
              TCPServerHandler(server: self),
            ])
          }
        }
        .withBoundSocket(sockets.open(place[1])).get()
    } catch {
      try? await udp.close()
      throw error
    }
    take(tcp)
    defer { leave(tcp) }
    started()
    try await withTaskCancellationHandler {
      // The one ends with the other.
      udp.closeFuture.whenComplete { _ in tcp.close(promise: nil) }
      tcp.closeFuture.whenComplete { _ in udp.close(promise: nil) }
      try await udp.closeFuture.get()
      try await tcp.closeFuture.get()
    } onCancel: {
      finish(udp, tcp, group)
    }
  }

  private func take(_ channel: any Channel) { taking.withLock { $0[ObjectIdentifier(channel)] = channel } }
  private func leave(_ channel: any Channel) {
    taking.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(channel)) }
  }

  /// Takes nothing more from the sockets, and goes on answering what was taken.
  func stopTaking() async {
    for channel in taking.withLock({ Array($0.values) }) {
      // One that is closed takes nothing either.
      try? await channel.setOption(.autoRead, value: false).get()
    }
  }

  func goOnTaking() {
    for channel in taking.withLock({ Array($0.values) }) {
      channel.setOption(.autoRead, value: true).whenComplete { _ in }
    }
  }

  /// Takes nothing more from the sockets, answers what was taken, and closes them. What is in their queues is for whoever
  /// else has them.
  private func finish(_ udp: any Channel, _ tcp: any Channel, _ group: MultiThreadedEventLoopGroup) {
    let loop = udp.eventLoop
    let isFinished = loop.makePromise(of: Void.self)
    udp.setOption(.autoRead, value: false).and(tcp.setOption(.autoRead, value: false))
      .flatMap { _ in
        // A connection that has just been taken is on its way to its own loop, and does not count yet.
        EventLoopFuture.andAllComplete(group.makeIterator().map { $0.submit {} }, on: loop)
      }
      .whenComplete { [self] _ in work.withLock { $0.finish(isFinished) }.finish() }
    let tooLate = loop.scheduleTask(in: Self.finishMax) { [self] in
      for connection in work.withLock({ Array($0.connections.values) }) { connection.close(promise: nil) }
      isFinished.succeed()
    }
    isFinished.futureResult.whenComplete { _ in
      tooLate.cancel()
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
      let (channel, server) = (context.channel, server)
      @Sendable func send(_ bytes: [UInt8]) {
        channel.writeAndFlush(
          AddressedEnvelope(remoteAddress: remote, data: channel.allocator.buffer(bytes: bytes))
        ).whenComplete { _ in server.work.withLock { $0.answered() }.finish() }
      }
      let reply = server.reply(to: Array(envelope.data.readableBytesView), overTCP: false, on: context.eventLoop)
      if case .none = reply { return }
      server.work.withLock { $0.asked() }
      switch reply {
      case .none: break
      case .now(let bytes): send(bytes)
      // It does not fail: a server that does not answer is an answer, too.
      case .later(let future):
        future.whenComplete { result in
          switch result {
          case .success(let bytes): send(bytes)
          case .failure: server.work.withLock { $0.answered() }.finish()
          }
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

    init(server: DNSServer) { self.server = server }

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

/// What a server has taken and not answered yet: datagrams, and connections, which end when the client has no more questions.
struct DNSWork {
  private let connectionsMax: Int
  private(set) var connections: [ObjectIdentifier: any Channel] = [:]
  private var questions = 0
  private var waiting: [EventLoopPromise<Void>] = []

  /// Promises to keep once the lock is let go.
  struct Finished {
    fileprivate var promises: [EventLoopPromise<Void>]

    /// A promise that was kept already stays as it is.
    func finish() { for promise in promises { promise.succeed() } }
  }

  init(connectionsMax: Int) { self.connectionsMax = connectionsMax }

  /// False when there are too many.
  mutating func connected(_ channel: any Channel) -> Bool {
    guard connections.count < connectionsMax else { return false }
    connections[ObjectIdentifier(channel)] = channel
    return true
  }

  mutating func disconnected(_ channel: any Channel) -> Finished {
    connections[ObjectIdentifier(channel)] = nil
    return finished()
  }

  /// By datagram.
  mutating func asked() { questions += 1 }

  mutating func answered() -> Finished {
    precondition(questions > 0, "more answers than questions")
    questions -= 1
    return finished()
  }

  /// Keeps the promise as soon as there is nothing left to do.
  mutating func finish(_ promise: EventLoopPromise<Void>) -> Finished {
    waiting.append(promise)
    return finished()
  }

  private mutating func finished() -> Finished {
    guard questions == 0, connections.isEmpty else { return Finished(promises: []) }
    defer { waiting = [] }
    return Finished(promises: waiting)
  }
}
