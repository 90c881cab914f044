import HTTP
import KubeClient
import NIOCore
import NIOPosix
import Synchronization
import Testing
import Wire

@testable import APIServer

private let container = ContainerReference(namespace: "n", pod: "p", container: "c")

private func exec(_ command: [String], stdin: Bool = false) -> PodStreaming.Target {
  .exec(container, command: command, TerminalOptions(stdin: stdin, stdout: true, stderr: true, tty: false))
}

/// The `channel.k8s.io` family of WebSocket subprotocols.
@Suite(.timeLimit(.minutes(1))) struct ChannelTests {
  private func open(_ target: PodStreaming.Target, _ name: String) async throws -> (StreamingServer, WebSocketPeer) {
    let server = try await StreamingServer(target)
    let client = try await server.connect(
      "GET /exec HTTP/1.1",
      [
        "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: \(name)",
      ])
    #expect(client.status == "101")
    return (server, WebSocketPeer(client))
  }

  /// What came on each channel until the close frame, and its code.
  private func readToEnd(
    _ peer: inout WebSocketPeer, isBase64: Bool = false
  ) async -> (channels: [UInt8: [UInt8]], code: Int) {
    var channels: [UInt8: [UInt8]] = [:]
    while let (opcode, payload) = await peer.receive() {
      if opcode == 8 { return (channels, Int(payload[0]) << 8 | Int(payload[1])) }
      guard opcode == (isBase64 ? 1 : 2), let first = payload.first else { continue }
      let rest = Array(payload.dropFirst())
      let bytes = isBase64 ? Base64.decode(String(decoding: rest, as: UTF8.self)) ?? [] : rest
      channels[isBase64 ? first - 0x30 : first, default: []] += bytes
    }
    return (channels, 0)
  }

  @Test(arguments: ["base64.channel.k8s.io", "v4.base64.channel.k8s.io"]) func base64(name: String) async throws {
    var (server, peer) = try await open(exec(["cat"], stdin: true), name)
    let bytes: [UInt8] = [0, 255, 10, 13, 128]
    try await peer.send(Array(("0" + Base64.encode(bytes)).utf8), opcode: 1)
    // In fragments that end within a group of four.
    try await peer.send(Array("0aGV".utf8), opcode: 1, isLast: false)
    try await peer.send(Array("sbG8=".utf8), opcode: 0)
    var seen: [UInt8] = []
    while seen.count < 10, let (opcode, payload) = await peer.receive() {
      if opcode == 1, payload.first == UInt8(ascii: "1") {
        seen += Base64.decode(String(decoding: payload.dropFirst(), as: UTF8.self)) ?? []
      }
    }
    #expect(seen == bytes + Array("hello".utf8))
    await peer.client.close()
    try await server.stop()
  }

  @Test func whatIsNoBase64() async throws {
    for (text, code) in [("0***", 1007), ("x", 1002), ("", 1002)] {
      var (server, peer) = try await open(exec(["cat"], stdin: true), "base64.channel.k8s.io")
      try await peer.send(Array(text.utf8), opcode: 1)
      #expect(await readToEnd(&peer, isBase64: true).code == code)
      await peer.client.close()
      try await server.stop()
    }
  }

  /// The first version tells a failure as text, and nothing of a success.
  @Test func theFirstVersion() async throws {
    var (server, peer) = try await open(exec(["write", "10"]), "channel.k8s.io")
    let (channels, code) = await readToEnd(&peer)
    #expect(channels[1]?.count == 10 && channels[3] == nil && code == 1000)
    await peer.client.close()
    try await server.stop()
    (server, peer) = try await open(exec(["exit", "7"]), "channel.k8s.io")
    let failed = await readToEnd(&peer).channels
    #expect(String(decoding: failed[3] ?? [], as: UTF8.self).contains("exit status 7"))
    await peer.client.close()
    try await server.stop()
  }

  /// Clients that read before they have made their streams throw away what comes: it waits until they read.
  @Test func theClientIsAskedFirst() async throws {
    var (server, peer) = try await open(exec(["exit", "0"]), "v5.channel.k8s.io")
    let first = await peer.receive()
    #expect(first?.opcode == 9)
    try await peer.send(first?.payload ?? [], opcode: 10)
    let second = await peer.receive()
    #expect(second?.opcode == 2 && second?.payload == [1])
    await peer.client.close()
    try await server.stop()
  }

  @Test func otherVersionsOfWebSocket() async throws {
    func refusal(_ headers: [(name: String, value: String)]) -> Int? {
      do {
        _ = try PodStreaming.Agreement(
          method: "GET", headers: [("Connection", "Upgrade"), ("Upgrade", "websocket")] + headers, target: exec([]))
        return nil
      } catch { return error.code }
    }
    let name = ("Sec-WebSocket-Protocol", "v5.channel.k8s.io")
    let key = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    #expect(refusal([name, key, ("Sec-WebSocket-Version", "13")]) == nil)
    for version in ["12", "8", "0", "14", "13, 12", "x", "013"] {
      #expect(refusal([name, key, ("Sec-WebSocket-Version", version)]) == 426, "\(version)")
    }
    #expect(refusal([name, key]) == 400)
    for bad in [
      "", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZQ==", "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    ] {
      #expect(refusal([name, ("Sec-WebSocket-Key", bad), ("Sec-WebSocket-Version", "13")]) == 400, "\(bad)")
    }
    let reply = Reply(KubeError.upgradeRequired)
    #expect(reply.headers.contains { $0.0 == "Sec-WebSocket-Version" && $0.1 == "13" })
    #expect(reply.headers.contains { $0.0 == "Upgrade" && $0.1 == "websocket" })
  }

  // MARK: Port forwarding

  @Test(arguments: ["v4.channel.k8s.io", "v5.channel.k8s.io"]) func portsAreForwarded(name: String) async throws {
    var (server, peer) = try await open(.portForward(namespace: "n", pod: "p", ports: [80, 9, 443]), name)
    try await peer.send([0] + Array("one".utf8))
    try await peer.send([4] + Array("two".utf8))
    // Nobody's channels.
    try await peer.send([1, 1])
    try await peer.send([6, 1])
    try await peer.send([200, 1])
    var channels: [UInt8: [UInt8]] = [:]
    while channels[0]?.count != 5 || channels[4]?.count != 5 || (channels[3]?.count ?? 0) < 3,
      let (opcode, payload) = await peer.receive()
    {
      if opcode == 2 { channels[payload[0], default: []] += payload.dropFirst() }
    }
    // Each channel begins with its port.
    #expect(channels[0] == [80, 0] + Array("one".utf8) && channels[1] == [80, 0])
    #expect(channels[4] == [0xBB, 1] + Array("two".utf8))
    #expect(channels[2] == [9, 0])
    #expect(
      String(decoding: channels[3]?.dropFirst(2) ?? [], as: UTF8.self)
        == "error forwarding port 9 to pod p: connection refused")
    if name.hasPrefix("v5") {
      try await peer.send([255, 0])
      try await peer.send([255, 4])
      while let (opcode, _) = await peer.receive() { if opcode == 8 { break } }
      #expect(server.node.connections.withLock { $0.allSatisfy { $0.isClosed.withLock { $0 } } })
    }
    await peer.client.close()
    try await server.stop()
  }

  @Test func theConnectionsEndWithTheClient() async throws {
    let (server, peer) = try await open(.portForward(namespace: "n", pod: "p", ports: [80]), "v4.channel.k8s.io")
    try await peer.send([0] + Array("x".utf8))
    var reader = peer
    while let (_, payload) = await reader.receive() { if payload == [0, UInt8(ascii: "x")] { break } }
    #expect(server.node.connections.withLock { !$0.isEmpty })
    await peer.client.close()
    while !server.node.connections.withLock({ $0.allSatisfy { $0.isClosed.withLock { $0 } } }) { await Task.yield() }
    try await server.stop()
  }

  @Test func portsAreNamed() {
    let headers: [(name: String, value: String)] = [
      ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
      ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Protocol", "v4.channel.k8s.io"),
    ]
    #expect(throws: KubeError.self) {
      try PodStreaming.Agreement(
        method: "GET", headers: headers, target: .portForward(namespace: "n", pod: "p", ports: []))
    }
  }

  // MARK: Logs

  @Test(arguments: ["binary.k8s.io", "base64.binary.k8s.io"]) func logs(name: String) async throws {
    let isBase64 = name.hasPrefix("base64")
    let node = FakeNode()
    let handshake = try #require(
      try PodStreaming.WebSocketHandshake(
        method: "GET",
        headers: [
          ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
          ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Protocol", "x, \(name)"),
        ]))
    let agreement = try PodStreaming.LogAgreement(handshake)
    #expect(agreement.form == MessageForm(hasChannels: false, isBase64: isBase64))
    let write = try await PodStreaming.log(
      container, options: LogOptions(), streams: node, loop: MultiThreadedEventLoopGroup.singleton.any())
    let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(WhenActive(PodStreaming.upgrade(agreement, write)))
        }
      }.bind(host: "127.0.0.1", port: 0).get()
    let connection = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: "127.0.0.1", port: server.localAddress?.port ?? 0) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    let client = StreamingClient(connection)
    try await client.readHead()
    #expect(client.status == "101")
    var peer = WebSocketPeer(client)
    var text = ""
    while let (opcode, payload) = await peer.receive(), opcode != 8 {
      #expect(opcode == (isBase64 ? 1 : 2))
      let piece = String(decoding: payload, as: UTF8.self)
      text += isBase64 ? String(decoding: Base64.decode(piece) ?? [], as: UTF8.self) : piece
    }
    #expect(text == "line 0\nline 1\nline 2\n")
    await client.close()
    try await server.close()
  }
}

/// Hands the channel over once it is connected.
private final class WhenActive: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private let take: @Sendable ((any Channel)?) -> Void

  init(_ take: @escaping @Sendable ((any Channel)?) -> Void) { self.take = take }

  func channelActive(context: ChannelHandlerContext) { take(context.channel) }
}
