import KubeClient
import LinuxSystem
import NIOCore
import NIOHTTP1
import NIOSSL
import Store
import Wire

/// One client connection: collects a request, hands it to the router, writes the answer with the client's pace.
///
/// Requests are answered one after the other (`HTTPServerPipelineHandler` holds back the next one). Everything here
/// runs on the connection's event loop.
final class HTTPConnection: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  struct Limits: Sendable {
    var bodyBytesMax = 3 << 20
    /// From the connection's beginning, TLS included, to the first request's complete head.
    var headTimeout = TimeAmount.seconds(10)
    /// From an answer to the next request's complete head, when the client has signed in and when not.
    var idleTimeout = TimeAmount.seconds(180)
    var strangerIdleTimeout = TimeAmount.seconds(30)
    /// A body comes within this time, and longer only at this pace.
    var bodyTimeout = TimeAmount.seconds(10)
    var bodyBytesPerSecondMin: Int64 = 64 << 10
    /// For an answer to be ready, and for the client to take it.
    var requestTimeout = TimeAmount.seconds(60)
    /// A watcher that takes nothing for so long while events wait is cut off.
    var watchStall = TimeAmount.seconds(10)
    var bookmarkInterval = TimeAmount.seconds(60)
    /// Lists and watches are written in pieces of about this size.
    var pieceBytes = 256 << 10
  }

  private enum Phase {
    case idle
    case receiving(Incoming)
    /// The rest of a body that was refused is read and dropped.
    case discarding
    case responding(isKeepAlive: Bool)
    /// All is written but the end, which lets the next request in: the client has to take the answer first.
    case completing(isKeepAlive: Bool)
    case listing(Listing)
    case watching(WatchResponse)
    case streaming(Task<Void, Never>)
    /// The last answer is on its way.
    case closing
    case closed
  }

  private struct Incoming {
    var head: HTTPRequestHead
    var info: RequestInfo
    /// Who asks. The body of a request that will be refused is dropped as it comes.
    var caller: Result<UserInfo, KubeError>
    var body: ByteBuffer?
    /// As the head says; `nil` for a chunked one.
    var bodyLength: Int?
    /// What has come of the body, dropped or not.
    var bodyBytes = 0
    let began: NIODeadline
  }

  private struct Listing {
    var entries: [Entry]
    var next = 0
    var suffix: [UInt8]
    var isKeepAlive: Bool
  }

  private let server: HTTPServer
  private let router: Router
  private let limits: Limits
  private var phase = Phase.idle
  private var place: ConnectionBudget.ID?
  /// Whose connection it is, once somebody has signed in.
  private var user: (name: String, holder: ConnectionBudget.User)?
  /// Room that the request's body has, until it is answered.
  private var taken: (bytes: Int, user: ConnectionBudget.User)?
  private var isCompleting = false
  private var hasHadRequest = false
  private var certificateUser: UserInfo?
  private var hasLookedForCertificate = false
  /// When what is under way must be done. One timer follows it: making one for each request would cost more than many
  /// requests themselves.
  private var deadline: NIODeadline?
  private var timer: (end: NIODeadline, task: Scheduled<Void>)?
  private var watchEnd: Scheduled<Void>?
  private var bookmarks: RepeatedTask?
  private var isDraining = false

  init(server: HTTPServer, router: Router, limits: Limits) {
    self.server = server
    self.router = router
    self.limits = limits
  }

  // MARK: Beginning

  func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { begin(context) }
  }

  func channelActive(context: ChannelHandlerContext) {
    begin(context)
    context.fireChannelActive()
  }

  private func begin(_ context: ChannelHandlerContext) {
    guard place == nil else { return }
    place = server.opened(context.channel)
    guard place != nil else {
      phase = .closed
      return HTTPServer.abort(context.channel)
    }
    setDeadline(context.eventLoop.now + limits.headTimeout, context)
  }

  // MARK: Reading

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      // The pipeline hands out what it holds back when it is torn down: that is not to be answered.
      guard case .idle = phase, context.channel.isActive else { return }
      received(head, context)
    case .body(var part):
      guard case .receiving(var incoming) = phase else { return }
      incoming.bodyBytes += part.readableBytes
      if incoming.bodyBytes > limits.bodyBytesMax {
        return refuse(incoming.info, .tooLarge(limit: limits.bodyBytesMax), context)
      }
      if case .success(let caller) = incoming.caller {
        // Nobody knew how long it would become.
        if incoming.bodyLength == nil, !takeBody(part.readableBytes, caller) {
          return refuse(incoming.info, .bodiesAreMany, context)
        }
        phase = .idle
        if incoming.body == nil, let length = incoming.bodyLength, length > part.readableBytes {
          incoming.body = context.channel.allocator.buffer(capacity: length)
        }
        incoming.body.setOrWriteBuffer(&part)
      }
      setDeadline(bodyDeadline(incoming), context)
      phase = .receiving(incoming)
    case .end:
      guard case .receiving(let incoming) = phase else { return }
      let now = incoming.bodyBytes == 0 ? incoming.began : context.eventLoop.now
      setDeadline(now + limits.requestTimeout, context)
      handle(incoming, context)
    }
  }

  private func received(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    hasHadRequest = true
    let info = RequestInfo(method: head.method.rawValue, uri: head.uri)
    if let refusal = HTTPFraming.refusal(minor: head.version.minor, headers: head.headers) {
      return refuse(info, .malformedHead(refusal), context)
    }
    let caller = caller(head, info, context)
    guard takePlace(caller) else { return refuse(info, .connectionsAreMany, context) }
    let length = head.headers.first(name: "content-length").flatMap { Int($0) }
    if let length, length > limits.bodyBytesMax {
      return refuse(info, .tooLarge(limit: limits.bodyBytesMax), context)
    }
    if case .success(let caller) = caller, let length, length > 0, !takeBody(length, caller) {
      return refuse(info, .bodiesAreMany, context)
    }
    // curl and Go wait for permission before they send a large body.
    if head.version.minor > 0, head.headers.contains(name: "expect") {
      if case .failure(let error) = caller { return refuse(info, error, context) }
      context.writeAndFlush(
        wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: .continue))), promise: nil)
    }
    let isChunked = length == nil && head.headers.contains(name: "transfer-encoding")
    let incoming = Incoming(
      head: head, info: info, caller: caller, bodyLength: isChunked ? nil : length ?? 0, began: context.eventLoop.now)
    phase = .receiving(incoming)
    setDeadline(bodyDeadline(incoming), context)
  }

  private func bodyDeadline(_ incoming: Incoming) -> NIODeadline {
    incoming.began + limits.bodyTimeout
      + TimeAmount.nanoseconds(Int64(incoming.bodyBytes) * 1_000_000_000 / limits.bodyBytesPerSecondMin)
  }

  // MARK: Places

  /// Makes the connection the caller's. Who is refused, or needs no name, stays a stranger.
  private func takePlace(_ caller: Result<UserInfo, KubeError>) -> Bool {
    guard let place else { return false }
    if case .success(let caller) = caller, caller.name != UserInfo.anonymous.name {
      if let user, user.name == caller.name { return true }
      let arrived = ConnectionBudget.User(caller)
      guard server.signedIn(place, as: arrived) else { return false }
      user = (caller.name, arrived)
      return true
    }
    return user != nil || server.requestBegan(place)
  }

  private func takeBody(_ bytes: Int, _ caller: UserInfo) -> Bool {
    let holder = taken?.user ?? ConnectionBudget.User(caller)
    guard server.takeBody(bytes, holder) else { return false }
    taken = ((taken?.bytes ?? 0) + bytes, holder)
    return true
  }

  private func giveBackBody() {
    guard let taken else { return }
    self.taken = nil
    server.giveBackBody(taken.bytes, taken.user)
  }

  private func caller(
    _ head: HTTPRequestHead, _ info: RequestInfo, _ context: ChannelHandlerContext
  ) -> Result<UserInfo, KubeError> {
    if !hasLookedForCertificate {
      hasLookedForCertificate = true
      if let handler = try? context.pipeline.syncOperations.handler(type: NIOSSLHandler.self),
        let certificate = handler.peerCertificate, let bytes = try? certificate.toDERBytes()
      {
        certificateUser = Authenticator.user(certificateDER: bytes)
      }
    }
    return Result { () throws(KubeError) in
      try router.caller(head.headers, info, certificateUser: certificateUser)
    }
  }

  private func handle(_ incoming: Incoming, _ context: ChannelHandlerContext) {
    let head = incoming.head
    phase = .responding(isKeepAlive: head.isKeepAlive && !isDraining)
    let request = APIRequest(
      method: head.method.rawValue, uri: head.uri, accept: head.headers.first(name: "accept"),
      contentType: head.headers.first(name: "content-type") ?? "",
      body: incoming.body.map { Array($0.readableBytesView) } ?? [], headers: head.headers, loop: context.eventLoop,
      channel: context.channel)
    let isHead = head.method == .HEAD
    let loop = context.eventLoop
    let bound = NIOLoopBound((connection: self, context: context), eventLoop: loop)
    router.handle(request, incoming.info, by: incoming.caller) { reply in
      if loop.inEventLoop {
        bound.value.connection.respond(reply, isHead: isHead, bound.value.context)
      } else {
        loop.execute { bound.value.connection.respond(reply, isHead: isHead, bound.value.context) }
      }
    }
  }

  private func setDeadline(_ end: NIODeadline, _ context: ChannelHandlerContext) {
    deadline = end
    if let timer {
      // It looks again when it fires: only one that would fire too late is made anew.
      if timer.end <= end { return }
      timer.task.cancel()
    }
    startTimer(end, context)
  }

  private func startTimer(_ end: NIODeadline, _ context: ChannelHandlerContext) {
    let bound = NIOLoopBound((connection: self, context: context), eventLoop: context.eventLoop)
    timer = (
      end, context.eventLoop.scheduleTask(deadline: end) { bound.value.connection.timerFired(bound.value.context) }
    )
  }

  private func timerFired(_ context: ChannelHandlerContext) {
    timer = nil
    guard let deadline else { return }
    if context.eventLoop.now < deadline { return startTimer(deadline, context) }
    self.deadline = nil
    timeOut(context)
  }

  private func stopTimers() {
    deadline = nil
    timer?.task.cancel()
    timer = nil
    watchEnd?.cancel()
    watchEnd = nil
    bookmarks?.cancel()
    bookmarks = nil
  }

  private func timeOut(_ context: ChannelHandlerContext) {
    switch phase {
    // The router counts what it has, with its own answer.
    case .responding: refuse(nil, .requestTimeout, context)
    case .receiving(let incoming): refuse(incoming.info, .bodyTimeout, context)
    // It has rested long enough.
    case .idle where hasHadRequest: context.close(promise: nil)
    // No request, no reader, or a watcher that does not read.
    case .idle, .listing, .completing, .closing, .discarding, .watching: cutOff(context)
    case .streaming, .closed: break
    }
  }

  /// Ends a connection whose client does not do its part, with all that is kept for it.
  private func cutOff(_ context: ChannelHandlerContext) {
    if case .watching(let stream) = phase {
      server.released(stream.waitingBytes)
      stream.cancel()
    }
    let isWaiting = if case .idle = phase { true } else { false }
    phase = .closed
    HTTPServer.abort(context.channel, discards: !isWaiting)
  }

  /// Answers before the request is complete, and closes: what follows on the connection cannot be told apart.
  ///
  /// - Parameter info: of a request that the router does not get.
  private func refuse(_ info: RequestInfo?, _ error: KubeError, _ context: ChannelHandlerContext) {
    if let info { router.count(info, error.code) }
    phase = .discarding
    giveBackBody()
    setDeadline(context.eventLoop.now + limits.requestTimeout, context)
    let body = error.status.serialized()
    var headers = HTTPHeaders()
    headers.add(name: "Content-Type", value: "application/json")
    headers.add(name: "Content-Length", value: String(body.count))
    headers.add(name: "Connection", value: "close")
    if let seconds = error.details?.retryAfterSeconds { headers.add(name: "Retry-After", value: String(seconds)) }
    context.write(
      wrapOutboundOut(
        .head(HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: error.code), headers: headers))
      ),
      promise: nil)
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    // The answer's end is never written: what cannot be parsed after it would be answered, too.
    context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body))))).whenComplete { _ in
      // A client that still writes would get a reset instead of the answer: it has a moment to read it.
      bound.eventLoop.scheduleTask(in: .milliseconds(500)) { bound.value.close(promise: nil) }
    }
  }

  // MARK: Writing

  private func respond(_ reply: Reply, isHead: Bool, _ context: ChannelHandlerContext) {
    guard case .responding(let isKeepAlive) = phase, context.channel.isActive else {
      // Nobody is there any more: what would have gone on is told so.
      switch reply.body {
      case .watch(let stream): stream.cancel()
      case .stream(let produce): Reply.abandon(produce)
      // Otherwise the process that was started for the client would run on.
      case .upgrade(let take): take(nil)
      default: break
      }
      return
    }
    deadline = nil
    giveBackBody()
    var headers = HTTPHeaders()
    headers.reserveCapacity(4)
    if !reply.contentType.isEmpty { headers.add(name: "Content-Type", value: reply.contentType) }
    if let cacheControl = reply.cacheControl { headers.add(name: "Cache-Control", value: cacheControl) }
    for (name, value) in reply.headers { headers.add(name: name, value: value) }
    if !isKeepAlive { headers.add(name: "Connection", value: "close") }

    func writeHead() {
      let head = HTTPResponseHead(
        version: .http1_1, status: HTTPResponseStatus(statusCode: reply.code), headers: headers)
      context.write(wrapOutboundOut(.head(head)), promise: nil)
    }

    switch reply.body {
    case .bytes(let bytes):
      headers.add(name: "Content-Length", value: String(bytes.count))
      writeHead()
      if !isHead, !bytes.isEmpty {
        context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: bytes)))), promise: nil)
      }
      finish(isKeepAlive: isKeepAlive, context)
    case .list(let prefix, let entries, let suffix):
      var length = prefix.count + suffix.count + max(0, entries.count - 1)
      for entry in entries { length += entry.value.count }
      headers.add(name: "Content-Length", value: String(length))
      writeHead()
      if isHead { return finish(isKeepAlive: isKeepAlive, context) }
      context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: prefix)))), promise: nil)
      phase = .listing(Listing(entries: entries, suffix: suffix, isKeepAlive: isKeepAlive))
      setDeadline(context.eventLoop.now + limits.requestTimeout, context)
      writeList(context)
    case .watch(let stream) where isHead:
      // An endless body of which only the head was asked for.
      stream.cancel()
      headers.replaceOrAdd(name: "Connection", value: "close")
      writeHead()
      finish(isKeepAlive: false, context)
    case .stream(let produce) where isHead:
      Reply.abandon(produce)
      headers.replaceOrAdd(name: "Connection", value: "close")
      writeHead()
      finish(isKeepAlive: false, context)
    case .watch(let stream):
      headers.add(name: "Transfer-Encoding", value: "chunked")
      writeHead()
      context.flush()
      phase = .watching(stream)
      let bound = NIOLoopBound((connection: self, context: context), eventLoop: context.eventLoop)
      stream.onWake {
        bound.eventLoop.execute { bound.value.connection.writeEvents(bound.value.context) }
      }
      bookmarks = context.eventLoop.scheduleRepeatedTask(
        initialDelay: limits.bookmarkInterval, delay: limits.bookmarkInterval
      ) { _ in bound.value.connection.writeBookmark(bound.value.context) }
      if let endsAfter = stream.endsAfter {
        watchEnd = context.eventLoop.scheduleTask(in: endsAfter) {
          bound.value.connection.endWatch(bound.value.context, isKeepAlive: isKeepAlive)
        }
      }
      writeEvents(context)
    case .stream(let produce):
      headers.add(name: "Transfer-Encoding", value: "chunked")
      writeHead()
      context.flush()
      let channel = context.channel
      let bound = NIOLoopBound((connection: self, context: context), eventLoop: context.eventLoop)
      // The producer waits for each write, and so for the client. It ends with the connection.
      let task = Task {
        var isComplete = true
        do {
          try await produce { buffer in
            try Task.checkCancellation()
            try await channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(buffer))).get()
          }
        } catch {
          isComplete = false
        }
        bound.eventLoop.execute { [isComplete] in
          bound.value.connection.endStream(bound.value.context, isComplete: isComplete, isKeepAlive: isKeepAlive)
        }
      }
      phase = .streaming(task)
    case .upgrade(let take):
      phase = .closed
      stopTimers()
      take(context.channel)
    }
  }

  /// - Parameter isComplete: otherwise the client learns from a cut connection that something is missing.
  private func endStream(_ context: ChannelHandlerContext, isComplete: Bool, isKeepAlive: Bool) {
    guard case .streaming = phase else { return }
    guard isComplete else { return context.close(promise: nil) }
    finish(isKeepAlive: isKeepAlive, context)
  }

  private func endWatch(_ context: ChannelHandlerContext, isKeepAlive: Bool) {
    guard case .watching(let stream) = phase else { return }
    stream.cancel()
    finish(isKeepAlive: isKeepAlive, context)
  }

  private func finish(isKeepAlive: Bool, _ context: ChannelHandlerContext) {
    deadline = nil
    watchEnd?.cancel()
    watchEnd = nil
    bookmarks?.cancel()
    bookmarks = nil
    if isKeepAlive, !isDraining {
      phase = .completing(isKeepAlive: true)
      complete(context)
    } else {
      phase = .closing
      setDeadline(context.eventLoop.now + limits.requestTimeout, context)
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in bound.value.close(promise: nil) }
    }
  }

  /// Ends the answer, which hands out the next request if the client has sent it already. Its answer may be written within:
  /// then this goes on with it, instead of one call within the other for as many requests as a client puts into one
  /// segment. Who sends requests and takes no answers gets no further ones.
  private func complete(_ context: ChannelHandlerContext) {
    guard !isCompleting else { return }
    isCompleting = true
    var isFirst = true
    while case .completing(let isKeepAlive) = phase {
      if !isFirst { context.flush() }
      isFirst = false
      guard context.channel.isWritable else {
        setDeadline(context.eventLoop.now + limits.requestTimeout, context)
        break
      }
      wait(context)
      if isKeepAlive, !isDraining {
        context.write(wrapOutboundOut(.end(nil)), promise: nil)
      } else {
        finish(isKeepAlive: false, context)
      }
    }
    isCompleting = false
    context.flush()
  }

  /// For the next request.
  private func wait(_ context: ChannelHandlerContext) {
    phase = .idle
    if user == nil, let place { server.requestEnded(place) }
    setDeadline(
      context.eventLoop.now + (user == nil ? limits.strangerIdleTimeout : limits.idleTimeout), context)
  }

  /// Writes entries in pieces while the client takes them.
  private func writeList(_ context: ChannelHandlerContext) {
    guard case .listing(var listing) = phase else { return }
    phase = .idle
    while listing.next < listing.entries.count {
      guard context.channel.isWritable else {
        phase = .listing(listing)
        context.flush()
        return
      }
      var end = listing.next
      var size = 0
      while end < listing.entries.count, size < limits.pieceBytes {
        size += listing.entries[end].value.count + 1
        end += 1
      }
      var buffer = context.channel.allocator.buffer(capacity: size)
      for index in listing.next..<end {
        if index > 0 { buffer.writeInteger(UInt8(ascii: ",")) }
        buffer.writeBytes(listing.entries[index].value)
      }
      listing.next = end
      context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil)
    }
    context.write(
      wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: listing.suffix)))), promise: nil)
    finish(isKeepAlive: listing.isKeepAlive, context)
  }

  private func writeEvents(_ context: ChannelHandlerContext) {
    guard case .watching(let stream) = phase else { return }
    while context.channel.isWritable {
      let (lines, isEnded) = stream.next(64, bytes: limits.pieceBytes)
      if lines.count == 1 {
        context.write(wrapOutboundOut(.body(.byteBuffer(lines[0]))), promise: nil)
      } else if !lines.isEmpty {
        // One chunk, one TLS record, one write for what has come together.
        var buffer = context.channel.allocator.buffer(capacity: lines.reduce(0) { $0 + $1.readableBytes })
        for line in lines { buffer.writeImmutableBuffer(line) }
        context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil)
      }
      if isEnded {
        stream.cancel()
        return finish(isKeepAlive: false, context)
      }
      if lines.isEmpty { break }
      // Only what is flushed tells whether the client takes it. It may tell at once, and this runs within itself.
      context.flush()
      guard case .watching = phase else { return }
    }
    context.flush()
    guard case .watching = phase else { return }
    guard !context.channel.isWritable else {
      deadline = nil
      return
    }
    // What it has missed by now it would miss anyway: it lists again.
    if stream.isOver { return cutOff(context) }
    if deadline == nil { setDeadline(context.eventLoop.now + limits.watchStall, context) }
  }

  private func writeBookmark(_ context: ChannelHandlerContext) {
    guard case .watching(let stream) = phase, context.channel.isWritable, let line = stream.bookmark() else { return }
    context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(line))), promise: nil)
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable {
      switch phase {
      case .listing: writeList(context)
      case .watching:
        deadline = nil
        writeEvents(context)
      case .completing: complete(context)
      default: break
      }
    }
    context.fireChannelWritabilityChanged()
  }

  // MARK: Ending

  /// Ends what would last for ever, and closes after the answer that is under way.
  func drain(_ context: ChannelHandlerContext) {
    isDraining = true
    switch phase {
    case .idle:
      phase = .closed
      context.close(promise: nil)
    case .watching(let stream):
      stream.cancel()
      finish(isKeepAlive: false, context)
    case .streaming(let task): task.cancel()
    case .responding: phase = .responding(isKeepAlive: false)
    case .completing: phase = .completing(isKeepAlive: false)
    case .listing(var listing):
      listing.isKeepAlive = false
      phase = .listing(listing)
    default: break
    }
  }

  private func end() {
    stopTimers()
    giveBackBody()
    switch phase {
    case .watching(let stream): stream.cancel()
    case .streaming(let task): task.cancel()
    default: break
    }
    phase = .closed
  }

  func channelInactive(context: ChannelHandlerContext) {
    end()
    context.fireChannelInactive()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event {
    case is ServerDrain: drain(context)
    case let event as ChannelEvent where event == .inputClosed:
      // A half-closed client still reads; a watcher or log reader that closes its side is gone.
      switch phase {
      case .watching, .streaming, .idle: context.close(promise: nil)
      default: break
      }
    default: context.fireUserInboundEventTriggered(event)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // What is no HTTP has been answered by `HTTPServerProtocolErrorHandler`; a second answer would break the pipeline's
    // state. All other errors are the connection's end.
    end()
    context.close(promise: nil)
  }
}

/// Sent through each pipeline when the server stops.
struct ServerDrain: Sendable {}
