import KubeClient
import NIOCore
import NIOPosix
import Synchronization
import Testing
import Wire

@testable import APIServer
@testable import HTTP

private let container = ContainerReference(namespace: "n", pod: "p", container: "c")
private let webSocketHeaders = [
  "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]
private let spdyHeaders = ["Connection: Upgrade", "Upgrade: SPDY/3.1", "Content-Length: 0"]

private func exec(_ command: [String], stdin: Bool = false, tty: Bool = false) -> PodStreaming.Target {
  .exec(container, command: command, TerminalOptions(stdin: stdin, stdout: true, stderr: !tty, tty: tty))
}

struct NegotiationTests {
  private func agree(
    _ headers: [(name: String, value: String)], method: String = "GET", _ target: PodStreaming.Target = exec([])
  ) throws -> PodStreaming.Agreement {
    try PodStreaming.Agreement(method: method, headers: headers, target: target)
  }

  private let webSocket: [(name: String, value: String)] = [
    ("Connection", "keep-alive, Upgrade"), ("Upgrade", "WebSocket"), ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
  ]

  /// The example of RFC 6455, section 1.3.
  @Test func theHandshakeIsThatOfTheRFC() throws {
    #expect(WebSocket.acceptValue(key: "dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    let agreement = try agree(webSocket + [("Sec-WebSocket-Protocol", "v4.channel.k8s.io, v5.channel.k8s.io")])
    #expect(agreement.protocolName == "v5.channel.k8s.io")
    #expect(agreement.responseHead.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"))
    #expect(agreement.responseHead.hasSuffix("Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"))
  }

  @Test func theFirstCommonProtocolIsTaken() throws {
    #expect(
      try agree(webSocket + [("Sec-WebSocket-Protocol", "x,v4.channel.k8s.io")]).protocolName == "v4.channel.k8s.io")
    let forward = PodStreaming.Target.portForward(namespace: "n", pod: "p")
    let tunnel = try agree(webSocket + [("Sec-WebSocket-Protocol", "SPDY/3.1+portforward.k8s.io")], forward)
    #expect(tunnel.isTunnel && tunnel.transport == .spdy)
    let spdy: [(name: String, value: String)] = [
      ("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1"), ("X-Stream-Protocol-Version", "v4.channel.k8s.io"),
      ("X-Stream-Protocol-Version", "v3.channel.k8s.io"),
    ]
    #expect(try agree(spdy, method: "POST").responseHead.contains("X-Stream-Protocol-Version: v4.channel.k8s.io\r\n"))
  }

  @Test func whatIsNotSpokenIsRefused() {
    #expect(throws: KubeError.self) { try agree([]) }
    #expect(throws: KubeError.self) { try agree(webSocket) }
    #expect(throws: KubeError.self) { try agree(webSocket + [("Sec-WebSocket-Protocol", "v1.channel.k8s.io")]) }
    #expect(throws: KubeError.self) {
      try agree(webSocket + [("Sec-WebSocket-Protocol", "v5.channel.k8s.io")], method: "POST")
    }
    #expect(throws: KubeError.self) { try agree([("Connection", "Upgrade"), ("Upgrade", "h2c")]) }
    #expect(throws: KubeError.self) { try agree([("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]) }
  }

  @Test func theStatusSaysHowItEnded() {
    #expect(
      String(decoding: StreamStatus.exited(code: 0).serialized(), as: UTF8.self)
        == #"{"metadata":{},"status":"Success"}"#)
    let failure = StreamStatus.exited(code: 7)
    #expect(failure["reason"]?.string == "NonZeroExitCode")
    #expect(failure.at("details", "causes")?.array?[0]["message"]?.string == "7")
  }

  @Test func terminalSizesComeByLines() {
    var buffer = LineBuffer()
    #expect(buffer.lines(adding: ByteBuffer(string: "{\"Width\":80,")).isEmpty)
    let lines = buffer.lines(adding: ByteBuffer(string: "\"Height\":24}\n{\"Width\":1,\"Height\":2}\n\n{"))
    #expect(lines.compactMap { TerminalSize(json: $0)?.columns } == [80, 1])
    #expect(TerminalSize(json: ByteBuffer(string: "{\"Width\":70000,\"Height\":2}")) == nil)
    #expect(TerminalSize(json: ByteBuffer(string: "no")) == nil)
  }
}

struct WebSocketSessionTests {
  private func open(
    _ target: PodStreaming.Target, protocolName: String = "v5.channel.k8s.io"
  ) async throws -> (StreamingServer, WebSocketPeer) {
    let server = try await StreamingServer(target)
    let client = try await server.connect(
      "GET /exec HTTP/1.1", webSocketHeaders + ["Sec-WebSocket-Protocol: \(protocolName)"])
    #expect(client.status == "101")
    return (server, WebSocketPeer(client))
  }

  /// Reads until the close frame: what came on each channel, and the close code.
  private func readToEnd(_ peer: inout WebSocketPeer) async -> (channels: [UInt8: String], code: Int) {
    var channels: [UInt8: String] = [:]
    while let (opcode, payload) = await peer.receive() {
      if opcode == 8 { return (channels, Int(payload[0]) << 8 | Int(payload[1])) }
      channels[payload[0], default: ""] += String(decoding: payload[1...], as: UTF8.self)
    }
    return (channels, 0)
  }

  @Test func stdinIsCopiedAndClosed() async throws {
    var (server, peer) = try await open(exec(["cat"], stdin: true))
    try await peer.send([0] + Array("hello ".utf8))
    // A message in fragments: only the first one carries the channel. A ping may come between.
    try await peer.send([0] + Array("wor".utf8), isLast: false)
    try await peer.send(Array("?".utf8), opcode: 9)
    try await peer.send(Array("ld".utf8), opcode: 0, isLast: true)
    try await peer.send([255, 0])
    var pongs = 0
    var text = ""
    var status = ""
    while let (opcode, payload) = await peer.receive(), opcode != 8 {
      if opcode == 10 { pongs += 1 }
      if opcode == 2, payload[0] == 1 { text += String(decoding: payload[1...], as: UTF8.self) }
      if opcode == 2, payload[0] == 3 { status += String(decoding: payload[1...], as: UTF8.self) }
    }
    #expect(text == "hello world")
    #expect(pongs == 1)
    #expect(status == #"{"metadata":{},"status":"Success"}"#)
    await peer.client.close()
    try await server.stop()
  }

  @Test(arguments: ["v4.channel.k8s.io", "v5.channel.k8s.io"]) func theExitCodeIsReported(name: String) async throws {
    var (server, peer) = try await open(exec(["exit", "42"]), protocolName: name)
    let (channels, code) = await readToEnd(&peer)
    #expect(channels[1] == "")
    #expect(channels[3]?.contains(#""message":"42""#) == true)
    #expect(code == 1000)
    await peer.client.close()
    try await server.stop()
  }

  @Test func largeOutputComesWhole() async throws {
    var (server, peer) = try await open(exec(["write", "3000000"]))
    let (channels, _) = await readToEnd(&peer)
    #expect(channels[1]?.utf8.count == 3_000_000)
    #expect(channels[2] == "done\n")
    await peer.client.close()
    try await server.stop()
  }

  @Test func theTerminalIsResized() async throws {
    var (server, peer) = try await open(exec(["resize"], stdin: true, tty: true))
    try await peer.send([4] + Array(#"{"Width":100,"Height":40}"#.utf8))
    let (channels, _) = await readToEnd(&peer)
    #expect(channels[1] == "100x40\n")
    #expect(server.node.processes.withLock { $0.map { $0.sizes.withLock { $0 } } } == [["100x40"]])
    await peer.client.close()
    try await server.stop()
  }

  @Test func theProcessEndsWithTheClient() async throws {
    let (server, peer) = try await open(exec(["sleep"]))
    await peer.client.close()
    let process = server.node.processes.withLock { $0[0] }
    // Nothing else ends the stream.
    for await _ in process.closing {}
    try await server.stop()
  }

  @Test func framesAgainstTheRulesCloseTheConnection() async throws {
    for bad in 0..<4 {
      var (server, peer) = try await open(exec(["cat"], stdin: true))
      switch bad {
      case 0: try await peer.send([0, 1], isMasked: false)
      case 1: try await peer.send([])
      case 2: try await peer.send([1, 2], opcode: 0)
      default: try await peer.send([UInt8](repeating: 0, count: WebSocket.frameBytesMax + 1))
      }
      let (_, code) = await readToEnd(&peer)
      #expect(code == (bad == 3 ? 1009 : 1002))
      await peer.client.close()
      try await server.stop()
    }
  }

  @Test func aProcessThatCannotStartIsAnHTTPError() async throws {
    let server = try await StreamingServer(exec(["fail"]))
    let client = try await server.connect(
      "GET /exec HTTP/1.1", webSocketHeaders + ["Sec-WebSocket-Protocol: v5.channel.k8s.io"])
    #expect(client.status == "404")
    await client.close()
    try await server.stop()
  }
}

struct SPDYSessionTests {
  private func open(_ target: PodStreaming.Target, _ version: String) async throws -> (StreamingServer, SPDYPeer) {
    let server = try await StreamingServer(target)
    let client = try await server.connect(
      "POST /exec HTTP/1.1", spdyHeaders + ["X-Stream-Protocol-Version: \(version)"])
    #expect(client.status == "101")
    return (server, try SPDYPeer(client))
  }

  @Test func streamsCarryTheProcess() async throws {
    var (server, peer) = try await open(exec(["cat"], stdin: true), "v4.channel.k8s.io")
    let error = try await peer.open([("Streamtype", "error")])
    let stdin = try await peer.open([("streamtype", "stdin")])
    let stdout = try await peer.open([("streamtype", "stdout")])
    let stderr = try await peer.open([("streamtype", "stderr")])
    try await peer.send(.ping(id: 1))
    try await peer.send(.data(id: stdin, ByteBuffer(string: "hello"), isLast: false))
    try await peer.send(.data(id: stdin, ByteBuffer(), isLast: true))
    let texts = try await peer.readToEnd([error, stdout, stderr])
    #expect(texts[stdout] == "hello")
    #expect(texts[error] == #"{"metadata":{},"status":"Success"}"#)
    await peer.client.close()
    try await server.stop()
  }

  @Test func aTerminalHasNoStderr() async throws {
    var (server, peer) = try await open(exec(["resize"], tty: true), "v4.channel.k8s.io")
    let error = try await peer.open([("streamtype", "error")])
    let stdout = try await peer.open([("streamtype", "stdout")])
    let resize = try await peer.open([("streamtype", "resize")])
    try await peer.send(.data(id: resize, ByteBuffer(string: "{\"Width\":9,\"Height\":8}\n"), isLast: false))
    let texts = try await peer.readToEnd([error, stdout])
    #expect(texts[stdout] == "9x8\n")
    #expect(texts[error]?.contains("NonZeroExitCode") == true)
    await peer.client.close()
    try await server.stop()
  }

  @Test func portsAreForwarded() async throws {
    var (server, peer) = try await open(.portForward(namespace: "n", pod: "p"), "portforward.k8s.io")
    var pairs: [(error: UInt32, data: UInt32)] = []
    for request in 0..<5 {
      let headers = [("port", "80"), ("requestid", "\(request)")]
      pairs.append(
        (
          try await peer.open(headers + [("streamtype", "error")]),
          try await peer.open(headers + [("streamtype", "data")])
        ))
    }
    for (error, data) in pairs {
      try await peer.send(.data(id: error, ByteBuffer(), isLast: true))
      try await peer.send(.data(id: data, ByteBuffer(string: "over \(data)"), isLast: true))
    }
    let texts = try await peer.readToEnd(pairs.flatMap { [$0.error, $0.data] })
    for (error, data) in pairs {
      #expect(texts[data] == "over \(data)")
      #expect(texts[error] == "")
    }
    await peer.client.close()
    try await server.stop()
  }

  @Test func aPortThatRefusesIsReported() async throws {
    var (server, peer) = try await open(.portForward(namespace: "n", pod: "p"), "portforward.k8s.io")
    let headers = [("port", "9"), ("requestid", "0")]
    let error = try await peer.open(headers + [("streamtype", "error")])
    let data = try await peer.open(headers + [("streamtype", "data")])
    let texts = try await peer.readToEnd([error, data])
    #expect(texts[error] == "error forwarding port 9 to pod p: connection refused")
    await peer.client.close()
    try await server.stop()
  }

  @Test func aResetClosesTheConnectionToThePod() async throws {
    var (server, peer) = try await open(.portForward(namespace: "n", pod: "p"), "portforward.k8s.io")
    let headers = [("port", "80"), ("requestid", "0")]
    let error = try await peer.open(headers + [("streamtype", "error")])
    let data = try await peer.open(headers + [("streamtype", "data")])
    try await peer.send(.data(id: data, ByteBuffer(string: "x"), isLast: false))
    while let frame = try await peer.receive() { if case .data = frame { break } }
    try await peer.send(.rstStream(id: data, status: SPDYStatus.cancel))
    #expect(try await peer.readToEnd([error])[error] == "")
    #expect(server.node.connections.withLock { $0[0].isClosed.withLock { $0 } })
    await peer.client.close()
    try await server.stop()
  }

  @Test func streamsOutOfOrderAreRefused() async throws {
    var (server, peer) = try await open(exec(["sleep"]), "v4.channel.k8s.io")
    try await peer.send(.synStream(id: 2, headers: [], isLast: false))
    #expect(try await peer.readToEnd([2])[2] == "reset \(SPDYStatus.protocolError)")
    await peer.client.close()
    try await server.stop()
  }
}

struct PodLogTests {
  @Test func theLogIsHandedOn() async throws {
    let loop = MultiThreadedEventLoopGroup.singleton.any()
    var options = LogOptions()
    options.tailLines = 2000
    let produce = try await PodStreaming.log(container, options: options, streams: FakeNode(), loop: loop)
    let text = Collected()
    try await produce { text.append($0) }
    #expect(text.string.split(separator: "\n").count == 2000)
  }

  @Test func aRefusalComesBeforeTheBody() async throws {
    let loop = MultiThreadedEventLoopGroup.singleton.any()
    let missing = ContainerReference(namespace: "n", pod: "p", container: "missing")
    await #expect(throws: KubeError.self) {
      _ = try await PodStreaming.log(
        missing, options: LogOptions(), streams: FakeNode(), loop: loop, startTimeout: .hours(1))
    }
  }

  @Test func cancellingEndsTheFollowing() async throws {
    let loop = MultiThreadedEventLoopGroup.singleton.any()
    var options = LogOptions()
    options.follow = true
    let produce = try await PodStreaming.log(container, options: options, streams: FakeNode(), loop: loop)
    let task = Task { try await produce { _ in withUnsafeCurrentTask { $0?.cancel() } } }
    await #expect(throws: (any Error).self) { try await task.value }
  }

  private final class Collected: Sendable {
    private let bytes = Mutex(ByteBuffer())
    var string: String { bytes.withLock { String(buffer: $0) } }
    func append(_ more: ByteBuffer) { bytes.withLock { _ = $0.writeImmutableBuffer(more) } }
  }
}
