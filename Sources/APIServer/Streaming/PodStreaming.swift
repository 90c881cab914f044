import KubeClient
import NIOCore
import NIOHTTP1

/// The streaming protocols of `pods/exec`, `pods/attach` and `pods/portforward`, between a client's connection and the
/// node.
///
/// Two transports: WebSocket (`v5.channel.k8s.io`, `v4.channel.k8s.io`, and `SPDY/3.1+portforward.k8s.io`, KEP-4006)
/// and SPDY/3.1, which kubectl up to 1.30 uses.
enum PodStreaming {
  enum Target: Sendable {
    case exec(ContainerReference, command: [String], TerminalOptions)
    case attach(ContainerReference, TerminalOptions)
    /// The ports are named by the streams.
    case portForward(namespace: String, pod: String)
  }

  /// Streams that a client must have opened within this time.
  static let setupTimeout = TimeAmount.seconds(30)
  /// How long the server waits, after its last frame, for the client to close.
  static let closeTimeout = TimeAmount.seconds(5)

  /// Checks the request, starts the process, and returns what takes the connection over.
  ///
  /// The closure is to be called once, on the channel's event loop, instead of an answer: it answers `101`, takes the
  /// HTTP handlers out of the pipeline, and runs the session until its end, when it closes the channel. When the channel
  /// is gone by then it is called with `nil`, and ends the process.
  ///
  /// - Throws: `KubeError`, to be answered as a `Status`: `badRequest` when the client asks for no protocol that is
  ///   spoken here, and what the node refuses.
  static func upgrade(
    method: String, headers: [(name: String, value: String)], target: Target, streams: any NodeStreams
  ) async throws -> @Sendable ((any Channel)?) -> Void {
    let agreement = try Agreement(method: method, headers: headers, target: target)
    let process: (any ProcessStream)?
    let options: TerminalOptions
    switch target {
    case .exec(let container, let command, let wanted):
      options = wanted
      process = try await streams.exec(container, command: command, options: wanted)
    case .attach(let container, let wanted):
      options = wanted
      process = try await streams.attach(container, options: wanted)
    case .portForward:
      options = TerminalOptions(stdin: false, stdout: false, stderr: false, tty: false)
      process = nil
    }
    return { channel in
      guard let channel else {
        if let process { Task { await process.close() } }
        return
      }
      let switched = switchProtocols(channel, agreement)
      Task {
        do {
          let connection = try await switched.get()
          try await connection.executeThenClose { input, output in
            switch (agreement.transport, process, target) {
            case (.webSocket, let process?, _):
              await RemoteCommand(process: process, options: options).run(
                webSocket: input, output, on: channel, hasCloseSignal: agreement.protocolName == "v5.channel.k8s.io")
            case (.spdy, let process?, _):
              await RemoteCommand(process: process, options: options).run(spdy: input, output, on: channel)
            case (_, nil, .portForward(let namespace, let pod)):
              await PortForward(namespace: namespace, pod: pod, streams: streams).run(input, output, on: channel)
            case (_, nil, _): break
            }
          }
        } catch {
          // The client is gone: the session has ended with it.
          await process?.close()
          try? await channel.close()
        }
      }
    }
  }

  /// Answers and changes the pipeline in one turn of the event loop, so that no byte is read in between.
  private static func switchProtocols(
    _ channel: any Channel, _ agreement: Agreement
  ) -> EventLoopFuture<NIOAsyncChannel<ByteBuffer, ByteBuffer>> {
    channel.eventLoop.preconditionInEventLoop()
    let pipeline = channel.pipeline.syncOperations
    var removals: [EventLoopFuture<Void>] = []
    func remove<Handler: RemovableChannelHandler>(_ type: Handler.Type) {
      if let handler = try? pipeline.handler(type: type) { removals.append(pipeline.removeHandler(handler)) }
    }
    remove(HTTPResponseEncoder.self)
    remove(ByteToMessageHandler<HTTPRequestDecoder>.self)
    remove(HTTPServerPipelineHandler.self)
    remove(HTTPServerProtocolErrorHandler.self)
    remove(NIOHTTPResponseHeadersValidator.self)
    remove(IdleStateHandler.self)
    remove(HTTPConnection.self)
    return EventLoopFuture.andAllComplete(removals, on: channel.eventLoop).flatMapThrowing {
      // A session may be silent for hours; a client whose machine has gone must be noticed nevertheless.
      _ = channel.setOption(.socketOption(.so_keepalive), value: 1)
      channel.writeAndFlush(ByteBuffer(string: agreement.responseHead), promise: nil)
      if agreement.transport == .webSocket || agreement.isTunnel {
        try WebSocketTransport.install(on: channel, isTunnel: agreement.isTunnel)
      }
      let connection = try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
        wrappingChannelSynchronously: channel,
        configuration: .init(backPressureStrategy: .init(lowWatermark: 2, highWatermark: 8)))
      // The HTTP handlers may have swallowed the read that is due.
      channel.read()
      return connection
    }
  }
}

extension PodStreaming {
  enum Transport: Sendable { case webSocket, spdy }

  /// What the two sides speak, chosen from the request's headers.
  struct Agreement: Sendable, Equatable {
    var transport: Transport
    var protocolName: String
    /// SPDY inside of WebSocket messages.
    var isTunnel = false
    /// The whole `101` answer.
    var responseHead: String

    init(method: String, headers: [(name: String, value: String)], target: Target) throws(KubeError) {
      func values(_ name: String) -> [String] {
        headers.filter { $0.name.lowercased() == name }
          .flatMap { $0.value.split(separator: ",") }
          .map { String($0.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()) }
      }
      let isPortForward = if case .portForward = target { true } else { false }
      let upgrades = values("upgrade").map { $0.lowercased() }
      guard values("connection").contains(where: { $0.lowercased() == "upgrade" }) else {
        throw .badRequest("Upgrade request required")
      }
      if upgrades.contains("websocket") {
        let offered = values("sec-websocket-protocol")
        let known =
          isPortForward ? ["SPDY/3.1+portforward.k8s.io"] : ["v5.channel.k8s.io", "v4.channel.k8s.io"]
        guard let key = values("sec-websocket-key").first, values("sec-websocket-version").first == "13",
          method == "GET"
        else { throw .badRequest("the WebSocket handshake needs GET, Sec-WebSocket-Key and version 13") }
        guard let name = known.first(where: offered.contains) else {
          throw .badRequest(
            "none of the WebSocket subprotocols \(offered) is known here; use \(known.joined(separator: " or "))")
        }
        transport = isPortForward ? .spdy : .webSocket
        isTunnel = isPortForward
        protocolName = name
        responseHead = """
          HTTP/1.1 101 Switching Protocols\r
          Upgrade: websocket\r
          Connection: Upgrade\r
          Sec-WebSocket-Accept: \(WebSocketTransport.acceptValue(key: key))\r
          Sec-WebSocket-Protocol: \(name)\r
          \r

          """
      } else if upgrades.contains("spdy/3.1") {
        let offered = values("x-stream-protocol-version")
        let known = isPortForward ? "portforward.k8s.io" : "v4.channel.k8s.io"
        guard offered.contains(known) else {
          throw .badRequest("none of the stream protocols \(offered) is known here; use \(known)")
        }
        transport = .spdy
        protocolName = known
        responseHead = """
          HTTP/1.1 101 Switching Protocols\r
          Upgrade: SPDY/3.1\r
          Connection: Upgrade\r
          X-Stream-Protocol-Version: \(known)\r
          \r

          """
      } else {
        throw .badRequest("Upgrade request required: websocket or SPDY/3.1")
      }
    }
  }
}
