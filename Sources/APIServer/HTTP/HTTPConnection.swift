import KubeClient
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
    /// For a request to come in and for its answer to be ready.
    var requestTimeout = TimeAmount.seconds(60)
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
    case listing(Listing)
    case watching(WatchResponse)
    case streaming(Task<Void, Never>)
    case closed
  }

  private struct Incoming {
    var head: HTTPRequestHead
    var info: RequestInfo
    /// Who asks. The body of a request that will be refused is dropped as it comes.
    var caller: Result<UserInfo, KubeError>
    var body: ByteBuffer?
    /// What has come of the body, dropped or not.
    var bodyBytes = 0
  }

  private struct Listing {
    var entries: [Entry]
    var next = 0
    var suffix: [UInt8]
    var isKeepAlive: Bool
  }

  private let router: Router
  private let limits: Limits
  private var phase = Phase.idle
  private var certificateUser: UserInfo?
  private var hasLookedForCertificate = false
  /// When what is under way must be done. One timer follows it: making one for each request would cost more than many
  /// requests themselves.
  private var deadline: NIODeadline?
  private var timer: Scheduled<Void>?
  private var watchEnd: Scheduled<Void>?
  private var bookmarks: RepeatedTask?
  private var isDraining = false

  init(router: Router, limits: Limits = Limits()) {
    self.router = router
    self.limits = limits
  }

  // MARK: Reading

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      // The pipeline hands out what it holds back when it is torn down: that is not to be answered.
      guard case .idle = phase, context.channel.isActive else { return }
      let info = RequestInfo(method: head.method.rawValue, uri: head.uri)
      let length = head.headers.first(name: "content-length").flatMap { Int($0) } ?? 0
      if length > limits.bodyBytesMax { return refuse(info, .tooLarge(limit: limits.bodyBytesMax), context) }
      let caller = caller(head, info, context)
      // curl and Go wait for permission before they send a large body.
      if head.headers.first(name: "expect")?.lowercased() == "100-continue" {
        if case .failure(let error) = caller { return refuse(info, error, context) }
        context.writeAndFlush(
          wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: .continue))), promise: nil)
      }
      phase = .receiving(Incoming(head: head, info: info, caller: caller))
      startDeadline(context)
    case .body(var part):
      guard case .receiving(var incoming) = phase else { return }
      incoming.bodyBytes += part.readableBytes
      if incoming.bodyBytes > limits.bodyBytesMax {
        return refuse(incoming.info, .tooLarge(limit: limits.bodyBytesMax), context)
      }
      phase = .idle
      if case .success = incoming.caller { incoming.body.setOrWriteBuffer(&part) }
      phase = .receiving(incoming)
    case .end:
      guard case .receiving(let incoming) = phase else { return }
      handle(incoming, context)
    }
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

  private func startDeadline(_ context: ChannelHandlerContext) {
    let end = NIODeadline.now() + limits.requestTimeout
    deadline = end
    if timer == nil { startTimer(end, context) }
  }

  private func startTimer(_ end: NIODeadline, _ context: ChannelHandlerContext) {
    let bound = NIOLoopBound((connection: self, context: context), eventLoop: context.eventLoop)
    timer = context.eventLoop.scheduleTask(deadline: end) { bound.value.connection.timerFired(bound.value.context) }
  }

  private func timerFired(_ context: ChannelHandlerContext) {
    timer = nil
    guard let deadline else { return }
    if NIODeadline.now() < deadline { return startTimer(deadline, context) }
    self.deadline = nil
    timeOut(context)
  }

  private func stopTimers() {
    deadline = nil
    timer?.cancel()
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
    case .receiving(let incoming): refuse(incoming.info, .requestTimeout, context)
    case .listing: context.close(promise: nil)
    default: break
    }
  }

  /// Answers before the request is complete, and closes: what follows on the connection cannot be told apart.
  ///
  /// - Parameter info: of a request that the router does not get.
  private func refuse(_ info: RequestInfo?, _ error: KubeError, _ context: ChannelHandlerContext) {
    if let info { router.count(info, error.code) }
    phase = .discarding
    deadline = nil
    let body = error.status.serialized()
    var headers = HTTPHeaders()
    headers.add(name: "Content-Type", value: "application/json")
    headers.add(name: "Content-Length", value: String(body.count))
    headers.add(name: "Connection", value: "close")
    context.write(
      wrapOutboundOut(
        .head(HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: error.code), headers: headers))
      ),
      promise: nil)
    context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
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
      case .stream(let produce): Task { try? await produce { _ in throw CancellationError() } }
      // Otherwise the process that was started for the client would run on.
      case .upgrade(let take): take(nil)
      default: break
      }
      return
    }
    deadline = nil
    var headers = HTTPHeaders()
    headers.reserveCapacity(4)
    headers.add(name: "Content-Type", value: reply.contentType)
    headers.add(name: "Cache-Control", value: "no-cache, private")
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
      startDeadline(context)
      writeList(context)
    case .watch(let stream) where isHead:
      // An endless body of which only the head was asked for.
      stream.cancel()
      headers.replaceOrAdd(name: "Connection", value: "close")
      writeHead()
      finish(isKeepAlive: false, context)
    case .stream(let produce) where isHead:
      Task { try? await produce { _ in throw CancellationError() } }
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
    phase = .idle
    if isKeepAlive, !isDraining {
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    } else {
      phase = .closed
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in bound.value.close(promise: nil) }
    }
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
      let (lines, isEnded) = stream.next(64)
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
    }
    context.flush()
  }

  private func writeBookmark(_ context: ChannelHandlerContext) {
    guard case .watching(let stream) = phase, context.channel.isWritable, let line = stream.bookmark() else { return }
    context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(line))), promise: nil)
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable {
      switch phase {
      case .listing: writeList(context)
      case .watching: writeEvents(context)
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
    case .listing(var listing):
      listing.isKeepAlive = false
      phase = .listing(listing)
    default: break
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    stopTimers()
    switch phase {
    case .watching(let stream): stream.cancel()
    case .streaming(let task): task.cancel()
    default: break
    }
    phase = .closed
    context.fireChannelInactive()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event {
    case is ServerDrain: drain(context)
    case let event as IdleStateHandler.IdleStateEvent where event == .read:
      if case .idle = phase { context.close(promise: nil) }
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
    stopTimers()
    switch phase {
    case .watching(let stream): stream.cancel()
    case .streaming(let task): task.cancel()
    default: break
    }
    phase = .closed
    context.close(promise: nil)
  }
}

/// Sent through each pipeline when the server stops.
struct ServerDrain: Sendable {}
