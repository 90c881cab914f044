import HTTP
import KubeClient
import NIOCore
import NIOHTTP1
import Wire

/// The streaming protocols of `pods/exec`, `pods/attach` and `pods/portforward`, between a client's connection and the
/// node.
///
/// Two transports: WebSocket (the `channel.k8s.io` family, and `SPDY/3.1+portforward.k8s.io`, KEP-4006) and SPDY/3.1,
/// which kubectl up to 1.30 uses.
enum PodStreaming {
  enum Target: Sendable {
    case exec(ContainerReference, command: [String], TerminalOptions)
    case attach(ContainerReference, TerminalOptions)
    /// The streams name the ports; without streams, which is by channels of WebSocket, the request does.
    case portForward(namespace: String, pod: String, ports: [Int] = [])
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
      let switched = switchProtocols(channel, responseHead: agreement.responseHead, agreement.form)
      Task {
        do {
          let connection = try await switched.get()
          try await connection.executeThenClose { input, output in
            switch (agreement.subprotocol, process, target) {
            case (let subprotocol?, let process?, _):
              await RemoteCommand(process: process, options: options).run(
                webSocket: input, output, on: channel, subprotocol)
            case (nil, let process?, _):
              await RemoteCommand(process: process, options: options).run(spdy: input, output, on: channel)
            case (let subprotocol?, nil, .portForward(let namespace, let pod, let ports)):
              await PortForward(namespace: namespace, pod: pod, streams: streams).run(
                channels: input, output, ports: ports, hasCloseSignal: subprotocol.hasCloseSignal)
            case (nil, nil, .portForward(let namespace, let pod, _)):
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
  ///
  /// - Parameter form: of WebSocket messages; `nil` for plain bytes.
  static func switchProtocols(
    _ channel: any Channel, responseHead: String, _ form: MessageForm?
  ) -> EventLoopFuture<NIOAsyncChannel<ByteBuffer, ByteBuffer>> {
    HTTPServer.removeHandlers(from: channel).flatMapThrowing {
      // A session may be silent for hours; a client whose machine has gone must be noticed nevertheless.
      _ = channel.setOption(.socketOption(.so_keepalive), value: 1)
      channel.writeAndFlush(ByteBuffer(string: responseHead), promise: nil)
      if let form { try form.install(on: channel) }
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

  /// A protocol of channels in WebSocket messages.
  struct Subprotocol: Sendable, Equatable {
    var name: String
    var isBase64 = false
    /// The error channel ends with a `Status`; otherwise only a failure is told, as text.
    var hasStatus = true
    /// The client can end its side of a channel.
    var hasCloseSignal = false

    /// Best first.
    static let all = [
      Subprotocol(name: "v5.channel.k8s.io", hasCloseSignal: true), Subprotocol(name: "v4.channel.k8s.io"),
      Subprotocol(name: "v4.base64.channel.k8s.io", isBase64: true),
      Subprotocol(name: "channel.k8s.io", hasStatus: false),
      Subprotocol(name: "base64.channel.k8s.io", isBase64: true, hasStatus: false),
    ]
  }

  /// The header of a WebSocket handshake (RFC 6455, section 4.2), read from a request.
  struct WebSocketHandshake: Sendable {
    /// The subprotocols that the client offers.
    var offered: [String]
    private let key: String

    /// - Returns: `nil` for a request that asks for something else.
    /// - Throws: 426 for another version, 400 for what is malformed.
    init?(method: String, headers: [(name: String, value: String)]) throws(KubeError) {
      guard PodStreaming.values("upgrade", headers).contains(where: { $0.lowercased() == "websocket" }),
        PodStreaming.values("connection", headers).contains(where: { $0.lowercased() == "upgrade" })
      else { return nil }
      let versions = PodStreaming.values("sec-websocket-version", headers)
      let keys = PodStreaming.values("sec-websocket-key", headers)
      guard method == "GET", !versions.isEmpty, keys.count == 1, Base64.decode(keys[0])?.count == 16 else {
        throw .badRequest("the WebSocket handshake needs GET, one Sec-WebSocket-Key of 16 bytes and a version")
      }
      guard versions == ["13"] else { throw .upgradeRequired }
      key = keys[0]
      offered = PodStreaming.values("sec-websocket-protocol", headers)
    }

    /// The whole `101` answer.
    func responseHead(_ name: String) -> String {
      """
      HTTP/1.1 101 Switching Protocols\r
      Upgrade: websocket\r
      Connection: Upgrade\r
      Sec-WebSocket-Accept: \(WebSocket.acceptValue(key: key))\r
      Sec-WebSocket-Protocol: \(name)\r
      \r

      """
    }
  }

  /// The elements of all headers with this name, which is in lower case.
  static func values(_ name: String, _ headers: [(name: String, value: String)]) -> [String] {
    headers.filter { $0.name.lowercased() == name }
      .flatMap { $0.value.split(separator: ",") }
      .map { String($0.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()) }
  }

  /// What the two sides speak, chosen from the request's headers.
  struct Agreement: Sendable, Equatable {
    var transport: Transport
    var protocolName: String
    /// Channels in WebSocket messages; `nil` for SPDY.
    var subprotocol: Subprotocol?
    /// SPDY inside of WebSocket messages.
    var isTunnel = false
    /// The whole `101` answer.
    var responseHead: String

    /// Of the WebSocket messages; `nil` without WebSocket.
    var form: MessageForm? {
      if isTunnel { return MessageForm(hasChannels: false) }
      return subprotocol.map { MessageForm(hasChannels: true, isBase64: $0.isBase64) }
    }

    private static let tunnel = "SPDY/3.1+portforward.k8s.io"

    init(method: String, headers: [(name: String, value: String)], target: Target) throws(KubeError) {
      let isPortForward = if case .portForward = target { true } else { false }
      guard PodStreaming.values("connection", headers).contains(where: { $0.lowercased() == "upgrade" }) else {
        throw .badRequest("Upgrade request required")
      }
      if let handshake = try WebSocketHandshake(method: method, headers: headers) {
        let known = (isPortForward ? [Self.tunnel] : []) + Subprotocol.all.map(\.name)
        guard let name = known.first(where: handshake.offered.contains) else {
          throw .badRequest(
            "none of the WebSocket subprotocols \(handshake.offered) is known here; use \(known.joined(separator: " or "))"
          )
        }
        isTunnel = name == Self.tunnel
        transport = isTunnel ? .spdy : .webSocket
        subprotocol = Subprotocol.all.first { $0.name == name }
        protocolName = name
        responseHead = handshake.responseHead(name)
        if case .portForward(_, _, let ports) = target, !isTunnel, ports.isEmpty {
          throw .badRequest("port forwarding by channels needs the query parameter ports, once for each port")
        }
        return
      }
      guard PodStreaming.values("upgrade", headers).contains(where: { $0.lowercased() == "spdy/3.1" }) else {
        throw .badRequest("Upgrade request required: websocket or SPDY/3.1")
      }
      let offered = PodStreaming.values("x-stream-protocol-version", headers)
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
    }
  }
}
