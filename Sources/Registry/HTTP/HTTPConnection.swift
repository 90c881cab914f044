import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import OCI
import Wire

/// One client connection: hands each request to a task with its body as a stream, and writes the answer at the client's
/// pace.
///
/// Requests are answered one after the other (`HTTPServerPipelineHandler` holds back the next one). Everything here runs
/// on the connection's event loop.
final class HTTPConnection: ChannelDuplexHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias InboundOut = HTTPServerRequestPart
  typealias OutboundIn = Never
  typealias OutboundOut = HTTPServerResponsePart

  struct Limits: Sendable {
    /// From the connection's beginning, TLS included, to the first request's complete head.
    var head: TimeAmount
    var idle: TimeAmount
    var stall: TimeAmount
    /// What is left of a body after an early answer is read and dropped up to here; beyond it the connection ends.
    var discardBytesMax = 256 << 10
    /// It ends late: a client that reads only when it has sent everything would lose the answer. So much, and for so
    /// long, is dropped.
    var lingerBytesMax = 64 << 20
    var linger = TimeAmount.seconds(5)
    /// Files are sent in pieces, so that a client that takes nothing is seen: small ones first, larger ones to a client
    /// that takes them quickly. One that becomes slow in the middle of the largest has to take it within `stall`.
    var pieceBytes: ClosedRange<Int64> = 1 << 20...16 << 20
    var quickPiece = TimeAmount.seconds(1)
    /// A body that comes more slowly makes no progress.
    var bodyBytesPerSecondMin: Int64 = 1 << 10
    /// An answer of more is sent before it is known whether the client takes it.
    var answerBytesMax: Int64 = 64 << 10
  }

  /// One request and its answer.
  private struct Exchange {
    var head: HTTPRequestHead
    var body: RequestBody
    var isBodyComplete = false
    var expectsContinue: Bool
    /// The body's bytes since the last look of the timer.
    var received = 0
    var isReplying = false
    var isReplied = false
    /// All is written but the end, which lets the next request in: the client has to take the answer first.
    var isEndHeld = false
    var isKeepAlive: Bool
    var discarded = 0
    /// The head was not understood, or there is no place: nothing that follows is looked at.
    var isRefused = false
  }

  private enum Phase {
    /// Between requests, since then.
    case idle(NIODeadline)
    case exchanging(Exchange)
    case closed
  }

  private let server: HTTPServer
  private let limits: Limits
  private var phase = Phase.closed
  private var isReadHeld = false
  private var isReadingPaused = false
  private var timer: RepeatedTask?
  private var lastProgress = NIODeadline.now()
  private var isDraining = false
  private var remoteAddress = ""
  private var place: HTTPServer.Place?
  private var hasHadRequest = false
  /// How often the timer looks.
  private let period: TimeAmount

  init(server: HTTPServer, limits: Limits) {
    self.server = server
    self.limits = limits
    period = .nanoseconds(max(250_000_000, min(limits.head, limits.idle, limits.stall).nanoseconds / 4))
  }

  func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { begin(context) }
  }

  func channelActive(context: ChannelHandlerContext) {
    begin(context)
    context.fireChannelActive()
  }

  private func begin(_ context: ChannelHandlerContext) {
    guard timer == nil, place == nil else { return }
    place = server.opened(context.channel)
    guard place != nil else { return HTTPServer.abort(context.channel) }
    phase = .idle(.now())
    remoteAddress = context.remoteAddress?.ipAddress ?? ""
    let bound = NIOLoopBound((connection: self, context: context), eventLoop: context.eventLoop)
    timer = context.eventLoop.scheduleRepeatedTask(initialDelay: period, delay: period) { _ in
      bound.value.connection.look(bound.value.context)
    }
  }

  /// Ends what does not go on.
  private func look(_ context: ChannelHandlerContext) {
    let now = NIODeadline.now()
    switch phase {
    // The last answer is on its way, and nobody takes it.
    case .closed: if now - lastProgress > limits.stall { HTTPServer.abort(context.channel, discards: true) }
    case .idle(let since):
      if hasHadRequest {
        if now - since > limits.idle { context.close(promise: nil) }
      } else if now - since > min(limits.head, limits.idle) {
        HTTPServer.abort(context.channel)
      }
    case .exchanging(var exchange):
      // A trickle of single bytes is no progress; a reader that is slow itself is not the client's fault.
      let least = max(1 << 10, limits.bodyBytesPerSecondMin * period.nanoseconds / 1_000_000_000)
      if exchange.received > least || isReadingPaused { lastProgress = now }
      exchange.received = 0
      phase = .exchanging(exchange)
      guard now - lastProgress > limits.stall else { return }
      if exchange.isReplying {
        // The client does not take the answer, or does not end its request after it.
        HTTPServer.abort(context.channel, discards: true)
      } else if !exchange.isBodyComplete {
        exchange.body.fail(.stalled)
      }
    }
  }

  // MARK: Reading

  /// Reads are held back while the body's buffer is full: TCP then holds back the client.
  func read(context: ChannelHandlerContext) {
    if isReadingPaused { isReadHeld = true } else { context.read() }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      // The pipeline hands out what it holds back when it is torn down: that is not to be answered.
      guard case .idle = phase, let place, context.channel.isActive else { return }
      hasHadRequest = true
      lastProgress = .now()
      let bound = NIOLoopBound((connection: self, context: context), eventLoop: context.eventLoop)
      let body = RequestBody(place: place) {
        bound.eventLoop.execute { bound.value.connection.wantBody(bound.value.context) }
      }
      let exchange = Exchange(
        head: head, body: body,
        expectsContinue: head.headers.first(name: "expect")?.lowercased() == "100-continue",
        isKeepAlive: head.isKeepAlive && !isDraining)
      if let refusal = refusal(head, place) {
        phase = .exchanging(exchange)
        return refuse(refusal, context)
      }
      phase = .exchanging(exchange)
      let request = Request(
        head, body: body, remoteAddress: remoteAddress, isTLS: server.isTLS, place: place)
      server.handle(request) { reply in
        bound.eventLoop.execute { bound.value.connection.respond(reply, bound.value.context) }
      }
    case .body(let part):
      guard case .exchanging(var exchange) = phase else { return }
      exchange.received += part.readableBytes
      if exchange.isReplying {
        exchange.discarded += part.readableBytes
        phase = .exchanging(exchange)
        if exchange.discarded > limits.lingerBytesMax { context.close(promise: nil) }
        return
      }
      phase = .exchanging(exchange)
      if !exchange.body.feed(part) { isReadingPaused = true }
    case .end:
      guard case .exchanging(var exchange) = phase else { return }
      exchange.isBodyComplete = true
      phase = .exchanging(exchange)
      exchange.body.end()
      guard exchange.isReplied else { return }
      if exchange.isKeepAlive {
        wait()
      } else {
        phase = .closed
        context.close(promise: nil)
      }
    }
  }

  /// Why a head is not answered as it asks.
  private func refusal(_ head: HTTPRequestHead, _ place: HTTPServer.Place) -> RegistryError? {
    if let refusal = HTTPFraming.refusal(minor: head.version.minor, headers: head.headers) {
      return RegistryError(
        .unsupported, "the request's head is not understood: \(refusal.reason)", status: refusal.status)
    }
    // Whoever says who they are is asked, whatever the strangers of the same address hold.
    let mayIdentify = HTTPServer.mayIdentify(head.method, head.headers.contains(name: "authorization"))
    if mayIdentify || Route.healthPaths.contains(head.uri) || place.requestBegan() { return nil }
    return RegistryError(
      .tooManyRequests, "too many requests of this address at one time; try again",
      headers: [RegistryError.Header("Retry-After", "1")])
  }

  /// Answers and closes: what follows on the connection is not to be trusted, or not to be read.
  private func refuse(_ error: RegistryError, _ context: ChannelHandlerContext) {
    guard case .exchanging(var exchange) = phase else { return }
    exchange.isKeepAlive = false
    exchange.isRefused = true
    phase = .exchanging(exchange)
    respond(Reply(error), context)
  }

  /// For the next request.
  private func wait() {
    phase = .idle(.now())
    place?.requestEnded()
  }

  /// The task that answers has taken what was there and wants more.
  private func wantBody(_ context: ChannelHandlerContext) {
    guard case .exchanging(var exchange) = phase else { return }
    if exchange.expectsContinue, !exchange.isBodyComplete, !exchange.isReplying {
      exchange.expectsContinue = false
      phase = .exchanging(exchange)
      context.writeAndFlush(
        wrapOutboundOut(.head(HTTPResponseHead(version: exchange.head.version, status: .continue))), promise: nil)
    }
    resumeReading(context)
  }

  private func resumeReading(_ context: ChannelHandlerContext) {
    guard isReadingPaused else { return }
    isReadingPaused = false
    lastProgress = .now()
    if isReadHeld {
      isReadHeld = false
      context.read()
    }
  }

  // MARK: Writing

  private func respond(_ reply: Reply, _ context: ChannelHandlerContext) {
    guard case .exchanging(var exchange) = phase, !exchange.isReplying, context.channel.isActive else {
      if case .stream(_, let produce) = reply.body { Self.abandon(produce) }
      return
    }
    exchange.isReplying = true
    lastProgress = .now()
    if !exchange.isBodyComplete {
      // Answered before the body was read. A small rest is dropped; for a large one the connection is not worth keeping,
      // and a client that waits for permission will not send it.
      let length = exchange.head.headers.first(name: "content-length").flatMap { Int($0) }
      if exchange.expectsContinue || (length ?? Int.max) > limits.discardBytesMax { exchange.isKeepAlive = false }
    }
    if isDraining { exchange.isKeepAlive = false }
    phase = .exchanging(exchange)
    resumeReading(context)

    let isHead = exchange.head.method == .HEAD
    var headers = HTTPHeaders()
    for (name, value) in reply.headers { headers.add(name: name, value: value) }
    if reply.status != 204, reply.status != 304, !headers.contains(name: "content-length") {
      headers.add(name: "Content-Length", value: String(reply.length))
    }
    if !exchange.isKeepAlive {
      headers.add(name: "Connection", value: "close")
    } else if exchange.head.version.minor == 0 {
      headers.add(name: "Connection", value: "keep-alive")
    }
    context.write(
      wrapOutboundOut(
        .head(
          HTTPResponseHead(
            version: .http1_1, status: HTTPResponseStatus(statusCode: reply.status), headers: headers))),
      promise: nil)
    if isHead || reply.status == 304 {
      if case .stream(_, let produce) = reply.body { Self.abandon(produce) }
      return end(context)
    }
    switch reply.body {
    case .none: end(context)
    case .buffer(let buffer):
      if buffer.readableBytes > 0 { context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil) }
      if reply.length > limits.answerBytesMax { context.flush() }
      end(context)
    case .file(let file, let range):
      if range.isEmpty {
        end(context)
      } else if server.isTLS {
        let pool = server.pool
        stream(context) { write in try await file.send(range, pool: pool, write: write) }
      } else {
        send(file, range, context)
      }
    case .stream(_, let produce): stream(context, produce)
    }
  }

  /// A producer whose bytes nobody wants must still end what it holds.
  private static func abandon(
    _ produce: @escaping @Sendable (_ write: @Sendable (ByteBuffer) async throws -> Void) async throws -> Void
  ) {
    Task { try? await produce { _ in throw CancellationError() } }
  }

  /// By `sendfile`, piece after piece.
  private func send(_ file: BlobFile, _ range: Range<Int64>, _ context: ChannelHandlerContext) {
    // The connection may end while the kernel still sends: the descriptor is our own.
    let descriptor = dup(file.descriptor)
    guard descriptor >= 0 else { return context.close(promise: nil) }
    let handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: descriptor)
    sendPiece(file, handle, range, limits.pieceBytes.lowerBound, context)
  }

  private func sendPiece(
    _ file: BlobFile, _ handle: NIOFileHandle, _ rest: Range<Int64>, _ size: Int64, _ context: ChannelHandlerContext
  ) {
    // Somebody has cut or changed the file since it was opened: the client has to see a cut, and not to wait for it.
    guard file.isUnchanged else {
      try? handle.close()
      return context.close(promise: nil)
    }
    let began = NIODeadline.now()
    let end = min(rest.upperBound, rest.lowerBound + size)
    let region = FileRegion(fileHandle: handle, readerIndex: Int(rest.lowerBound), endIndex: Int(end))
    let bound = NIOLoopBound((connection: self, context: context), eventLoop: context.eventLoop)
    // One that is cut in the middle of a piece has nothing more to send, which the kernel does not call an error.
    let watch = context.eventLoop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
      if !file.isUnchanged { bound.value.context.close(promise: nil) }
    }
    context.writeAndFlush(wrapOutboundOut(.body(.fileRegion(region)))).whenComplete { result in
      watch.cancel()
      let (connection, context) = bound.value
      connection.lastProgress = .now()
      guard case .success = result else {
        try? handle.close()
        return context.close(promise: nil)
      }
      if end < rest.upperBound {
        let (limits, isQuick) = (connection.limits, .now() - began < connection.limits.quickPiece)
        let next = isQuick ? min(size * 2, limits.pieceBytes.upperBound) : limits.pieceBytes.lowerBound
        // Not at once: a client that takes all without waiting would make this a recursion as deep as the blob is long.
        return bound.eventLoop.execute {
          let (connection, context) = bound.value
          connection.sendPiece(file, handle, end..<rest.upperBound, next, context)
        }
      }
      try? handle.close()
      connection.end(context)
    }
  }

  private func stream(
    _ context: ChannelHandlerContext,
    _ produce: @escaping @Sendable (_ write: @Sendable (ByteBuffer) async throws -> Void) async throws -> Void
  ) {
    context.flush()
    let channel = context.channel
    let bound = NIOLoopBound((connection: self, context: context), eventLoop: context.eventLoop)
    Task {
      var isComplete = true
      do {
        try await produce { buffer in
          try await channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(buffer))).get()
          bound.eventLoop.execute { bound.value.connection.lastProgress = .now() }
        }
      } catch {
        isComplete = false
      }
      bound.eventLoop.execute { [isComplete] in
        let (connection, context) = bound.value
        if isComplete { connection.end(context) } else { context.close(promise: nil) }
      }
    }
  }

  private func end(_ context: ChannelHandlerContext) {
    guard case .exchanging(var exchange) = phase else { return }
    // Who sends requests and takes no answers gets no further ones.
    exchange.isEndHeld = exchange.isKeepAlive && !context.channel.isWritable
    exchange.isReplied = !exchange.isEndHeld
    phase = .exchanging(exchange)
    if exchange.isEndHeld { return context.flush() }
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    if exchange.isRefused {
      // The answer's end is never written: what cannot be parsed after it would be answered, too.
      context.flush()
      context.eventLoop.scheduleTask(in: .milliseconds(500)) { bound.value.close(promise: nil) }
    } else if exchange.isKeepAlive {
      // Before the end is written: with it the next request may come at once.
      if exchange.isBodyComplete { wait() }
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    } else if exchange.isBodyComplete {
      phase = .closed
      context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in bound.value.close(promise: nil) }
    } else {
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
      // A client that still writes would get a reset instead of the answer. One that waited for permission will not.
      let linger = exchange.expectsContinue ? TimeAmount.milliseconds(500) : limits.linger
      context.eventLoop.scheduleTask(in: linger) { bound.value.close(promise: nil) }
    }
  }

  // MARK: Ending

  /// Closes now, or after the answer that is under way.
  private func drain(_ context: ChannelHandlerContext) {
    isDraining = true
    switch phase {
    case .idle:
      phase = .closed
      context.close(promise: nil)
    case .exchanging(var exchange):
      exchange.isKeepAlive = false
      phase = .exchanging(exchange)
    case .closed: break
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is Drain { drain(context) }
    if event is ChannelEvent, case .inputClosed? = event as? ChannelEvent, case .idle = phase {
      context.close(promise: nil)
    }
    context.fireUserInboundEventTriggered(event)
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable, case .exchanging(let exchange) = phase, exchange.isEndHeld { end(context) }
    context.fireChannelWritabilityChanged()
  }

  func channelInactive(context: ChannelHandlerContext) {
    if case .exchanging(let exchange) = phase { exchange.body.fail(.disconnected) }
    phase = .closed
    timer?.cancel()
    timer = nil
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if case .exchanging(let exchange) = phase { exchange.body.fail(.malformed) }
    context.close(promise: nil)
  }

  struct Drain: Sendable {}
}
