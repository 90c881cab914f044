import Glibc
import NIOCore
import NIOHTTP1

/// One connection of HTTP/1.1, or one stream of HTTP/2: hands each request to the handler and writes the answer at the
/// client's pace. What is to be done is `ConnectionState`'s; here it is done.
///
/// Everything runs on the connection's event loop. Requests of a connection are answered one after the other
/// (`HTTPServerPipelineHandler` holds back the next one).
final class HTTPConnection: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias InboundOut = HTTPServerRequestPart
  typealias OutboundIn = Never
  typealias OutboundOut = HTTPServerResponsePart

  /// Where the bytes of the answer come from.
  private enum Source {
    case none
    case pulled(any HTTPPulledBody)
    case task(Task<Void, Never>, isLive: Bool)
  }

  private typealias Bound = NIOLoopBound<(connection: HTTPConnection, context: ChannelHandlerContext)>

  private let server: HTTPServer
  private let limits: HTTPConnectionLimits
  private var state: ConnectionState
  /// `nil` before the connection has begun, and when there was no place for it.
  private var peer: HTTPPeer?
  private var hasBegun = false
  private var isRequestCounted = false
  private var identity: (any Sendable)?
  private var hasLookedForCertificate = false

  private var request: HTTPServerRequest?
  private var answer: ((ByteBuffer?, @escaping HTTPRequestHandler.Respond) -> Void)?
  private var collected: ByteBuffer?
  /// Room that the collected body has, until it is answered.
  private var taken: (bytes: Int, holder: ConnectionBudget.User)?
  private var streamed: HTTPRequestBody?
  private var isReadHeld = false
  private var isWithinRead = false
  private var isReadingPaused = false

  private var source = Source.none
  /// Of the answer that is being written.
  private var makeTrailers: (@Sendable () -> HTTPHeaders)?
  private var isPulling = false
  /// Of the body that is pulled, so far.
  private var pulledBytes = 0
  private var isFinishing = false
  private var mustFinishAgain = false
  /// One timer follows the deadline: making one for each request would cost more than many requests themselves.
  private var timer: (end: NIODeadline, task: Scheduled<Void>)?

  /// - Parameter peer: of a stream's connection; `nil` for a connection, which gets its place when it begins.
  init(server: HTTPServer, limits: HTTPConnectionLimits, stream peer: HTTPPeer? = nil, identity: (any Sendable)? = nil)
  {
    self.server = server
    self.limits = limits
    self.peer = peer
    self.identity = identity
    hasLookedForCertificate = peer != nil
    state = ConnectionState(limits: limits, isStream: peer != nil)
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
    guard !hasBegun else { return }
    hasBegun = true
    if peer == nil { peer = server.opened(context.channel) }
    guard peer != nil else {
      state.closed()
      return HTTPServer.abort(context.channel)
    }
    // A stream begins with its head.
    guard !state.isStream else { return }
    state.opened(context.eventLoop.now)
    followDeadline(context)
  }

  /// The connection goes on as HTTP/2, with its place.
  func handOver() -> HTTPPeer? {
    stopTimer()
    state.upgraded()
    defer { peer = nil }
    return peer
  }

  private func bound(_ context: ChannelHandlerContext) -> Bound {
    NIOLoopBound((connection: self, context: context), eventLoop: context.eventLoop)
  }

  // MARK: Reading

  /// Reads are held back while a streamed body's buffer is full: TCP, or the stream's window, then holds back the client.
  func read(context: ChannelHandlerContext) {
    if isReadingPaused { isReadHeld = true } else { context.read() }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    isWithinRead = true
    switch unwrapInboundIn(data) {
    case .head(let head):
      guard context.channel.isActive else { return }
      received(head, context)
    case .body(let part): received(part, context)
    case .end:
      switch state.bodyEnded(context.eventLoop.now) {
      case .ignore: break
      case .answer:
        followDeadline(context)
        handle(context)
      case .endStream:
        followDeadline(context)
        streamed?.end()
      case .becomeIdle: becomeIdle(context)
      case .close: context.close(promise: nil)
      }
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    isWithinRead = false
    followDeadline(context)
    context.fireChannelReadComplete()
  }

  private func received(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    let action = state.headReceived(head, context.eventLoop.now)
    if case .ignore = action { return }
    guard let peer else { return }
    lookForCertificate(context)
    peer.requestBegan()
    isRequestCounted = true
    let request = HTTPServerRequest(
      head: head, peer: peer, identity: identity, loop: context.eventLoop, channel: context.channel,
      mayHaveBody: state.length != 0)
    self.request = request
    if case .refuse(let refusal) = action {
      return refuse(.malformedHead(status: refusal.status, reason: refusal.reason), context)
    }
    // The parser of HTTP/1.1 has counted them.
    if state.isStream, head.headers.count > limits.headerFieldsMax {
      return refuse(.malformedHead(status: 431, reason: "more than \(limits.headerFieldsMax) fields"), context)
    }
    switch server.handler.receive(request) {
    case .refuse(let response): refuse(response, context)
    case .collect(let bytesMax, let holder, let answer):
      if let length = state.length, length > bytesMax { return refuse(.bodyTooLarge(bytesMax: bytesMax), context) }
      if let holder, let length = state.length, length > 0, !takeBody(length, holder) {
        return refuse(.bodiesAreMany, context)
      }
      self.answer = answer
      if let holder, state.length == nil { taken = (0, holder) }
      decided(holder == nil ? .dropping(bytesMax: bytesMax) : .collecting(bytesMax: bytesMax), context)
    case .stream(let answer):
      let bound = bound(context)
      let body = HTTPRequestBody(peer: peer) {
        bound.eventLoop.execute { bound.value.connection.wantBody(bound.value.context) }
      }
      streamed = body
      decided(.streaming, context)
      answer(body, responder(context))
    }
  }

  private func decided(_ receiving: ConnectionState.Receiving, _ context: ChannelHandlerContext) {
    // curl and Go wait for permission before they send a large body.
    if state.decided(receiving, context.eventLoop.now) { givePermission(context) }
    followDeadline(context)
  }

  private func givePermission(_ context: ChannelHandlerContext) {
    context.writeAndFlush(
      wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .continue))), promise: nil)
  }

  private func received(_ part: ByteBuffer, _ context: ChannelHandlerContext) {
    var part = part
    let action = state.bodyReceived(part.readableBytes, context.eventLoop.now)
    switch action {
    case .keep:
      // Nobody knew how long it would become.
      if state.length == nil, let holder = taken?.holder, !takeBody(part.readableBytes, holder) {
        return refuse(.bodiesAreMany, context)
      }
      if collected == nil, let length = state.length, length > part.readableBytes {
        collected = context.channel.allocator.buffer(capacity: length)
      }
      collected.setOrWriteBuffer(&part)
    case .feed:
      if streamed?.feed(part) == false {
        isReadingPaused = true
        state.readingPaused()
      }
    case .drop: break
    case .refuse(let problem): return refuse(problem, context)
    case .close: return context.close(promise: nil)
    }
    followDeadline(context)
  }

  private func takeBody(_ bytes: Int, _ holder: ConnectionBudget.User) -> Bool {
    guard let peer, peer.takeBody(bytes, for: holder) else { return false }
    taken = ((taken?.bytes ?? 0) + bytes, holder)
    return true
  }

  private func giveBackBody() {
    collected = nil
    guard let taken else { return }
    self.taken = nil
    if taken.bytes > 0 { peer?.giveBackBody(taken.bytes, of: taken.holder) }
  }

  private func lookForCertificate(_ context: ChannelHandlerContext) {
    guard !hasLookedForCertificate else { return }
    hasLookedForCertificate = true
    identity = server.identity(of: context.channel)
  }

  private func handle(_ context: ChannelHandlerContext) {
    guard let answer else { return }
    self.answer = nil
    let body = collected
    collected = nil
    answer(body, responder(context))
  }

  private func responder(_ context: ChannelHandlerContext) -> HTTPRequestHandler.Respond {
    let loop = context.eventLoop
    let bound = bound(context)
    return { response in
      if loop.inEventLoop {
        bound.value.connection.respond(response, bound.value.context)
      } else {
        loop.execute { bound.value.connection.respond(response, bound.value.context) }
      }
    }
  }

  /// Who streams the body has taken what was there and wants more.
  private func wantBody(_ context: ChannelHandlerContext) {
    if state.bodyWanted() { givePermission(context) }
    resumeReading(context)
    followDeadline(context)
  }

  private func resumeReading(_ context: ChannelHandlerContext) {
    guard isReadingPaused else { return }
    isReadingPaused = false
    state.readingResumed(context.eventLoop.now)
    if isReadHeld {
      isReadHeld = false
      context.read()
    }
  }

  // MARK: Deadlines

  /// Sees to it that the timer does not fire too late.
  private func followDeadline(_ context: ChannelHandlerContext) {
    guard let deadline = state.deadline else { return }
    // Most streams are answered before they would need one.
    if state.isStream, isWithinRead, timer == nil { return }
    if let timer {
      // It looks again when it fires: only one that would fire too late is made anew.
      if timer.end <= deadline { return }
      timer.task.cancel()
    }
    startTimer(deadline, context)
  }

  private func startTimer(_ end: NIODeadline, _ context: ChannelHandlerContext) {
    let bound = bound(context)
    timer = (
      end, context.eventLoop.scheduleTask(deadline: end) { bound.value.connection.timerFired(bound.value.context) }
    )
  }

  private func timerFired(_ context: ChannelHandlerContext) {
    timer = nil
    guard let deadline = state.deadline else { return }
    if context.eventLoop.now < deadline { return startTimer(deadline, context) }
    switch state.deadlinePassed() {
    case .refuse(let problem): refuse(problem, context)
    case .failBody: streamed?.fail(.stalled)
    case .close: context.close(promise: nil)
    case .cutOff(let discards): cutOff(discards: discards, context)
    case .none: break
    }
  }

  /// Ends a connection whose client does not do its part, with all that is kept for it.
  private func cutOff(discards: Bool, _ context: ChannelHandlerContext) {
    var waiting = HTTPServer.unsentBytesMax
    if case .pulled(let body) = source { waiting += body.waitingBytes }
    endSource()
    state.closed()
    HTTPServer.abort(context.channel, discards: discards)
    server.released(waiting)
  }

  // MARK: Writing

  private func refuse(_ problem: HTTPServerProblem, _ context: ChannelHandlerContext) {
    guard let request else { return }
    refuse(server.handler.response(to: problem, of: request), context)
  }

  /// Answers in place of the handler, and closes.
  private func refuse(_ response: HTTPServerResponse, _ context: ChannelHandlerContext) {
    answer = nil
    giveBackBody()
    state.refused()
    write(response, context)
  }

  private func respond(_ response: HTTPServerResponse, _ context: ChannelHandlerContext) {
    guard context.channel.isActive, state.answerBegan() else { return response.abandon() }
    giveBackBody()
    resumeReading(context)
    if case .upgrade(let take) = response.body {
      state.upgraded()
      stopTimer()
      // HTTP/2 knows no Upgrade header (RFC 9113, section 8.6), so no handler has reason to.
      if state.isStream {
        take(nil)
        return context.close(promise: nil)
      }
      return take(context.channel)
    }
    write(response, context)
  }

  private func write(_ response: HTTPServerResponse, _ context: ChannelHandlerContext) {
    var response = response
    if state.isStream, let request, HTTP2Fields.exceedFrame(response.headers) {
      response.abandon()
      noticeLargeFields()
      response = server.handler.response(to: .answerHeadTooLarge, of: request)
    }
    let status = HTTPResponseStatus(statusCode: response.status)
    var headers = response.headers
    var version = HTTPVersion.http1_1
    let hasBody = status.mayHaveResponseBody
    let hasLength = headers.contains(name: "content-length")
    let length = response.length
    if let length {
      if hasBody, !hasLength { headers.add(name: "Content-Length", value: String(length)) }
    } else if !hasLength {
      if state.isHead || state.isHTTP10 {
        // A body without an end of its own ends with the connection.
        state.endsWithAnswer()
        if state.isHTTP10 { version = .http1_0 }
      } else if !state.isStream {
        headers.add(name: "Transfer-Encoding", value: "chunked")
      }
    }
    if !state.isStream {
      if !state.isKeepAlive {
        headers.replaceOrAdd(name: "Connection", value: "close")
      } else if state.isHTTP10 {
        headers.add(name: "Connection", value: "keep-alive")
      }
    }
    context.write(
      wrapOutboundOut(.head(HTTPResponseHead(version: version, status: status, headers: headers))), promise: nil)
    if state.isHead || !hasBody {
      response.abandon()
      return finish(context)
    }
    makeTrailers = response.trailers
    switch response.body {
    case .none, .upgrade: finish(context)
    case .buffer(let buffer):
      if buffer.readableBytes > 0 { context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil) }
      finish(context)
    case .pulled(let body): begin(body, context)
    case .stream(let length, let produce): run(produce, isLive: length == nil, context)
    case .file(let file, let range): send(file, range, context)
    }
  }

  // MARK: Pulled bodies

  private func begin(_ body: any HTTPPulledBody, _ context: ChannelHandlerContext) {
    source = .pulled(body)
    pulledBytes = 0
    let bound = bound(context)
    body.begin(on: context.eventLoop) {
      bound.eventLoop.execute { bound.value.connection.pull(bound.value.context) }
    }
    if body.length == nil {
      // What it is about to say may be long in coming: the client knows at least that it is there.
      context.flush()
    } else {
      state.mustTake(within: limits.take, context.eventLoop.now)
      followDeadline(context)
    }
    pull(context)
  }

  /// Writes what there is while the client takes it.
  private func pull(_ context: ChannelHandlerContext) {
    guard case .pulled(let body) = source, !isPulling else { return }
    // Only what is flushed tells whether the client takes it. It may tell at once, and this runs within itself.
    isPulling = true
    defer { isPulling = false }
    if body.length == nil, context.channel.isWritable { state.mustTake(within: nil, context.eventLoop.now) }
    while context.channel.isWritable {
      let piece = body.next(bytes: limits.pieceBytes, context.channel.allocator)
      guard fits(piece, into: body.length) else {
        endSource()
        return context.close(promise: nil)
      }
      switch piece {
      case .bytes(let buffer): context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil)
      case .nothingYet:
        // It waits for whoever makes the body, and not for the client.
        return state.mustTake(within: nil, context.eventLoop.now)
      case .end(let buffer):
        if let buffer { context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil) }
        endSource()
        // The next request's answer may be pulled within.
        isPulling = false
        return finish(context)
      }
      guard case .pulled = source else { return }
    }
    guard body.length == nil else { return }
    // What it has missed by now it would miss anyway.
    if body.isOverrun { return cutOff(discards: true, context) }
    if state.deadline == nil { state.mustTake(within: limits.liveTake, context.eventLoop.now) }
    followDeadline(context)
  }

  /// A body that is shorter or longer than the head has said has no end that the client could see: what follows would be
  /// taken for a part of it.
  private func fits(_ piece: HTTPBodyPiece, into length: Int?) -> Bool {
    guard let length else { return true }
    switch piece {
    case .bytes(let buffer): pulledBytes += buffer.readableBytes
    case .nothingYet: return true
    case .end(let buffer):
      pulledBytes += buffer?.readableBytes ?? 0
      return pulledBytes == length
    }
    return pulledBytes <= length
  }

  private func endSource() {
    switch source {
    case .none: break
    case .pulled(let body): body.cancel()
    case .task(let task, _): task.cancel()
    }
    source = .none
  }

  // MARK: Bodies that a task writes

  private func run(
    _ produce: @escaping HTTPServerResponse.Produce, isLive: Bool, _ context: ChannelHandlerContext
  ) {
    context.flush()
    let bound = bound(context)
    let task = Task {
      var isComplete = true
      do {
        try await produce { buffer in
          try Task.checkCancellation()
          try await bound.eventLoop.flatSubmit { bound.value.connection.write(buffer, bound.value.context) }.get()
        }
      } catch {
        isComplete = false
      }
      bound.eventLoop.execute { [isComplete] in
        bound.value.connection.endTask(isComplete: isComplete, bound.value.context)
      }
    }
    source = .task(task, isLive: isLive)
  }

  private func write(_ buffer: ByteBuffer, _ context: ChannelHandlerContext) -> EventLoopFuture<Void> {
    guard case .task = source else { return context.eventLoop.makeFailedFuture(CancellationError()) }
    state.mustTake(within: limits.streamTake, context.eventLoop.now)
    followDeadline(context)
    let bound = bound(context)
    let written = context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(buffer))))
    written.whenComplete { _ in
      let (connection, context) = bound.value
      if case .task = connection.source { connection.state.mustTake(within: nil, context.eventLoop.now) }
    }
    return written
  }

  /// - Parameter isComplete: otherwise the client learns from a cut connection that something is missing.
  private func endTask(isComplete: Bool, _ context: ChannelHandlerContext) {
    guard case .task = source else { return }
    source = .none
    if isComplete { finish(context) } else { context.close(promise: nil) }
  }

  // MARK: Files

  private func send(_ file: any HTTPFileBody, _ range: Range<Int64>, _ context: ChannelHandlerContext) {
    if range.isEmpty { return finish(context) }
    guard !server.isTLS, !state.isStream else {
      return run({ write in try await file.send(range, write: write) }, isLive: false, context)
    }
    // The connection may end while the kernel still sends: the descriptor is our own.
    let descriptor = dup(file.descriptor)
    guard descriptor >= 0 else { return context.close(promise: nil) }
    let handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: descriptor)
    sendPiece(file, handle, range, limits.filePieceBytes.lowerBound, context)
  }

  /// By sendfile, piece after piece.
  private func sendPiece(
    _ file: any HTTPFileBody, _ handle: NIOFileHandle, _ rest: Range<Int64>, _ size: Int64,
    _ context: ChannelHandlerContext
  ) {
    // Somebody has cut or changed the file since it was opened: the client has to see a cut, and not to wait for it.
    guard file.isUnchanged, context.channel.isActive else {
      try? handle.close()
      return context.close(promise: nil)
    }
    let began = context.eventLoop.now
    let end = min(rest.upperBound, rest.lowerBound + size)
    let region = FileRegion(fileHandle: handle, readerIndex: Int(rest.lowerBound), endIndex: Int(end))
    let bound = bound(context)
    // One that is cut in the middle of a piece has nothing more to send, which the kernel does not call an error.
    let watch = context.eventLoop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
      if !file.isUnchanged { bound.value.context.close(promise: nil) }
    }
    state.mustTake(within: limits.take, began)
    followDeadline(context)
    context.writeAndFlush(wrapOutboundOut(.body(.fileRegion(region)))).whenComplete { result in
      watch.cancel()
      let (connection, context) = bound.value
      guard case .success = result else {
        try? handle.close()
        return context.close(promise: nil)
      }
      if end < rest.upperBound {
        let limits = connection.limits
        let isQuick = context.eventLoop.now - began < limits.quickPiece
        let next = isQuick ? min(size * 2, limits.filePieceBytes.upperBound) : limits.filePieceBytes.lowerBound
        // Not at once: a client that takes all without waiting would make this a recursion as deep as the file is long.
        return bound.eventLoop.execute {
          let (connection, context) = bound.value
          connection.sendPiece(file, handle, end..<rest.upperBound, next, context)
        }
      }
      try? handle.close()
      if context.channel.isActive { connection.finish(context) }
    }
  }

  // MARK: The end of an answer

  /// All of the answer but its end is written. The end hands out the next request if the client has sent it already, and
  /// its answer may be written within: then this goes on with it, instead of one call within the other for as many requests
  /// as a client puts into one segment. Who sends requests and takes no answers gets no further ones.
  private func finish(_ context: ChannelHandlerContext) {
    mustFinishAgain = true
    guard !isFinishing else { return }
    isFinishing = true
    var isFirst = true
    while mustFinishAgain {
      mustFinishAgain = false
      // Only then it is known whether the client takes what was there before.
      if !isFirst { context.flush() }
      isFirst = false
      end(context)
    }
    isFinishing = false
    context.flush()
  }

  private func end(_ context: ChannelHandlerContext) {
    if state.isStream, let trailers = takeTrailers() {
      if HTTP2Fields.exceedFrame(trailers) {
        noticeLargeFields()
        return context.close(promise: nil)
      }
      makeTrailers = { trailers }
    }
    let action = state.answerFinished(isWritable: context.channel.isWritable, context.eventLoop.now)
    followDeadline(context)
    let bound = bound(context)
    switch action {
    case .endAndBecomeIdle:
      // Before the end is written: with it the next request may come at once.
      becomeIdle(context)
      context.write(wrapOutboundOut(.end(takeTrailers())), promise: nil)
    case .end: context.write(wrapOutboundOut(.end(takeTrailers())), promise: nil)
    case .hold: break
    case .endAndClose:
      context.writeAndFlush(wrapOutboundOut(.end(takeTrailers()))).whenComplete { _ in
        bound.value.context.close(promise: nil)
      }
    case .endAndLinger(let time):
      context.write(wrapOutboundOut(.end(takeTrailers())), promise: nil)
      close(after: time, context)
    case .linger(let time):
      let written = context.eventLoop.makePromise(of: Void.self)
      context.writeAndFlush(
        wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(capacity: 0)))), promise: written)
      written.futureResult.whenComplete { _ in bound.value.connection.close(after: time, bound.value.context) }
    }
  }

  private func noticeLargeFields() {
    guard let uri = request?.head.uri else { return }
    // The query may hold what is nobody's business.
    server.handler.noticed(.answerFieldsTooLarge(path: String(uri.prefix { $0 != "?" })))
  }

  private func takeTrailers() -> HTTPHeaders? {
    defer { makeTrailers = nil }
    return makeTrailers?()
  }

  /// A client that still writes would get a reset instead of the answer: it has a moment to read it.
  private func close(after time: TimeAmount, _ context: ChannelHandlerContext) {
    let bound = bound(context)
    context.eventLoop.scheduleTask(in: time) { bound.value.context.close(promise: nil) }
  }

  private func becomeIdle(_ context: ChannelHandlerContext) {
    request = nil
    streamed = nil
    var isKnown = false
    if let peer, isRequestCounted {
      isRequestCounted = false
      isKnown = peer.requestEnded()
    }
    state.becameIdle(isKnown: isKnown, context.eventLoop.now)
    followDeadline(context)
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable {
      if state.answering == .held, state.phase == .exchanging { finish(context) }
      pull(context)
    }
    context.fireChannelWritabilityChanged()
  }

  // MARK: Ending

  private func drain(_ context: ChannelHandlerContext) {
    switch state.drained() {
    case .close: context.close(promise: nil)
    case .endLive:
      switch source {
      case .pulled(let body) where body.length == nil:
        endSource()
        finish(context)
      case .task(let task, isLive: true): task.cancel()
      default: break
      }
    case .none: break
    }
  }

  private var isLive: Bool {
    switch source {
    case .none: false
    case .pulled(let body): body.length == nil
    case .task(_, let isLive): isLive
    }
  }

  private func stopTimer() {
    timer?.task.cancel()
    timer = nil
  }

  /// - Parameter failure: of a body that does not come any more.
  private func end(_ failure: HTTPRequestBody.Failure) {
    stopTimer()
    answer = nil
    giveBackBody()
    endSource()
    streamed?.fail(failure)
    streamed = nil
    request = nil
    if isRequestCounted {
      isRequestCounted = false
      _ = peer?.requestEnded()
    }
    state.closed()
  }

  func channelInactive(context: ChannelHandlerContext) {
    end(.disconnected)
    context.fireChannelInactive()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event {
    case is HTTPServer.Drain: drain(context)
    case let event as ChannelEvent where event == .inputClosed:
      if state.inputClosed(isLive: isLive) { context.close(promise: nil) }
    default: context.fireUserInboundEventTriggered(event)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // What is no HTTP has been answered by `HTTPServerProtocolErrorHandler`; a second answer would break the pipeline's
    // state. All other errors are the connection's end.
    end(.malformed)
    context.close(promise: nil)
  }
}
