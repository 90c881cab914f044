import KubeClient
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import TestKit
import Testing
import Wire

@testable import APIServer

/// Where a proxy request may go. The assumption that failed, wherever a proxy has been abused: that an address in an object
/// is the address of that object.
@Suite struct ProxyTargetTests {
  private let node: JSON = [
    "spec": ["podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"]],
    "status": ["addresses": [["type": "InternalIP", "address": "10.244.0.1"]]],
  ]

  private func pod(_ address: String, ports: [Int64] = [], hostNetwork: Bool = false) -> JSON {
    [
      "metadata": ["name": "p"],
      "spec": [
        "hostNetwork": .bool(hostNetwork),
        "containers": [["name": "c", "ports": .array(ports.map { ["containerPort": .int($0)] })]],
      ], "status": ["podIP": .string(address)],
    ]
  }

  @Test func podsOfBothFamiliesAreInTheirNodesRanges() {
    let dual: JSON = [
      "spec": ["podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24", "fd00:10:244::/64"]],
      "status": ["addresses": [["type": "InternalIP", "address": "fd00:10:244::1"]]],
    ]
    for (address, isAccepted) in [
      ("10.244.0.7", true), ("fd00:10:244::7", true), ("fd00:10:244::", false), ("fd00:10:244::1", false),
      ("10.244.0.1", false), ("fd00:10:245::7", false), ("::1", false), ("::ffff:10.244.0.7", false),
    ] {
      let target = try? ProxyTarget(pod: pod(address), node: dual, isTLS: false, port: "80")
      #expect((target != nil) == isAccepted, "\(address)")
      // Of a node with one family, the other is nobody's.
      if address.contains(":") { #expect(self.target(pod(address)) == nil, "\(address)") }
    }
    #expect(
      (try? ProxyTarget(pod: pod("fd00:10:244::7"), node: dual, isTLS: false, port: "80"))?.authority
        == "[fd00:10:244::7]:80")
  }

  private func target(_ pod: JSON, port: String = "80", tls: Bool = false) -> ProxyTarget? {
    try? ProxyTarget(pod: pod, node: node, isTLS: tls, port: port)
  }

  @Test func references() throws {
    #expect(try ProxyReference("web") == reference("web"))
    #expect(try ProxyReference("web:80") == reference("web", "80"))
    #expect(try ProxyReference("https:web:") == reference("web", "", tls: true))
    #expect(try ProxyReference(":web:8443") == reference("web", "8443"))
    for text in ["", ":", "a:b:c:d", "ftp:a:1", "http::80", "::"] {
      #expect(throws: KubeError.self) { try ProxyReference(text) }
    }
  }

  private func reference(_ name: String, _ port: String = "", tls: Bool = false) throws -> ProxyReference {
    var reference = try ProxyReference(name)
    (reference.port, reference.isTLS) = (port, tls)
    return reference
  }

  @Test func thePodsOwnAddress() {
    #expect(target(pod("10.244.0.7"))?.authority == "10.244.0.7:80")
    #expect(target(pod("10.244.0.7", ports: [8080, 9090]), port: "")?.port == 8080)
    #expect(target(pod("10.244.0.7"), port: "")?.port == 80)
    #expect(target(pod("10.244.0.7"), port: "", tls: true)?.port == 443)
    for port in ["0", "65536", "-1", "http", "80 ", "+80", "0x50", "80:81"] {
      #expect(target(pod("10.244.0.7"), port: port) == nil, "\(port)")
    }
  }

  /// Whoever may write a pod's status must not reach with it what only the server reaches.
  @Test(arguments: [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.1.1", "224.0.0.1", "239.1.1.1",
    "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "febf::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:169.254.169.254", "::ffff:0:0", "::127.0.0.1", "localhost", "10.244.0.1", "10.244.0.0", "10.244.1.7",
    "10.96.0.1",
    "8.8.8.8", "", " 10.244.0.7", "10.244.0.7:80", "010.244.0.7", "0x0a.244.0.7", "10.244.7", "[::1]",
    "metadata.google.internal",
  ]) func otherAddresses(address: String) {
    #expect(target(pod(address)) == nil)
  }

  @Test func podsInTheNodesNetwork() {
    // What they declare is theirs; the rest of the machine is not.
    #expect(target(pod("10.244.0.1", ports: [9100], hostNetwork: true), port: "9100") != nil)
    #expect(target(pod("10.244.0.1", ports: [9100], hostNetwork: true), port: "6443") == nil)
    #expect(target(pod("10.244.0.1", hostNetwork: true), port: "22") == nil)
    #expect(target(pod("10.244.0.1", hostNetwork: true), port: "") == nil)
    #expect(target(pod("127.0.0.1", ports: [80], hostNetwork: true), port: "80") == nil)
  }

  @Test func endpointsArePodsOfTheNamespace() {
    func endpoint(_ address: String, _ reference: JSON?, ready: JSON = true) -> JSON {
      var endpoint: JSON = ["addresses": [.string(address)], "conditions": ["ready": ready]]
      if let reference { endpoint["targetRef"] = reference }
      return endpoint
    }
    let slice: JSON = [
      "addressType": "IPv4", "ports": [["name": "http", "port": 8080], ["name": "", "port": 9]],
      "endpoints": [
        endpoint("10.244.0.7", ["kind": "Pod", "name": "a", "namespace": "n"]),
        endpoint("10.244.0.8", ["kind": "Pod", "name": "b", "namespace": "other"]),
        endpoint("10.244.0.9", ["kind": "Node", "name": "c", "namespace": "n"]),
        endpoint("127.0.0.1", nil),
        endpoint("10.244.0.10", ["kind": "Pod", "name": "d", "namespace": "n"], ready: false),
      ],
    ]
    let found = ProxyService.endpoints([slice], port: "http", namespace: "n")
    #expect(found == [ProxyService.Endpoint(pod: "a", address: "10.244.0.7", port: 8080)])
    #expect(ProxyService.endpoints([slice], port: "", namespace: "n").map(\.port) == [9])
    #expect(ProxyService.endpoints([slice], port: "none", namespace: "n").isEmpty)
    let names: JSON = [
      "addressType": "FQDN", "ports": [["name": "", "port": 9]], "endpoints": slice["endpoints"] ?? [],
    ]
    #expect(ProxyService.endpoints([names], port: "", namespace: "n").isEmpty)
  }

  @Test func servicePorts() throws {
    let service: JSON = ["spec": ["ports": [["name": "web", "port": 80], ["port": 81]]]]
    #expect(try ProxyService.portName("80", of: service) == "web")
    #expect(try ProxyService.portName("81", of: service) == "")
    #expect(try ProxyService.portName("web", of: service) == "web")
    #expect(throws: KubeError.self) { try ProxyService.portName("82", of: service) }
  }

  /// A right to `pods/proxy` is asked for, whatever follows; and what follows goes on as it was sent.
  @Test func pathsOfProxies() {
    let info = RequestInfo(
      method: "GET", uri: "/api/v1/namespaces/n/pods/https:p:8443/proxy/a%2Fb//c/../?watch=1&x=%20")
    #expect(info.subresource == "proxy" && info.verb == "get" && info.name == "https:p:8443")
    #expect(info.proxyPath == "/a%2Fb//c/../")
    #expect(RequestInfo(method: "POST", uri: "/api/v1/nodes/n/proxy").proxyPath == "")
    #expect(RequestInfo(method: "POST", uri: "/api/v1/nodes/n/proxy/exec/a/b/c").subresource == "proxy")
    #expect(RequestInfo(method: "GET", uri: "/api/v1/namespaces/n/pods/p/proxyx/a").proxyPath == nil)
    #expect(RequestInfo(method: "GET", uri: "//api/v1//namespaces/n/pods/p/proxy/x").proxyPath == "/x")
  }

  @Test func linksOfPages() {
    func rewrite(_ page: String) -> String {
      String(decoding: HTMLLinks.rewrite(Array(page.utf8), prefix: "/P"), as: UTF8.self)
    }
    #expect(rewrite("<a href=\"/rewriteme\">test</a>") == "<a href=\"/P/rewriteme\">test</a>")
    #expect(rewrite("<A HREF = '/x' class=/y><img src=/z>") == "<A HREF = '/P/x' class=/y><img src=/P/z>")
    for same in [
      "<a href=\"//host/x\">", "<a href=\"x\">", "a < b href=\"/x\"", "<a href", "<a href=\"/", "<", "", "<p>/x</p>",
    ] {
      #expect(rewrite(same).replacing("/P", with: "") == same)
    }
    #expect(rewrite("<a href=\"//host/x\">") == "<a href=\"//host/x\">")
    var random = SeededGenerator(seed: 3)
    let alphabet = Array("<>=\"'/ ahrefsc-\n".utf8)
    for _ in 0..<2000 {
      let page = (0..<Int.random(in: 0...60, using: &random)).compactMap { _ in alphabet.randomElement(using: &random) }
      let rewritten = HTMLLinks.rewrite(page, prefix: "/P")
      #expect(
        String(decoding: rewritten, as: UTF8.self).replacing("/P", with: "") == String(decoding: page, as: UTF8.self))
    }
  }
}

/// Requests through the proxy to a server of the test.
@Suite(.timeLimit(.minutes(1))) struct ProxyExchangeTests {
  private func use(
    _ answer: @escaping @Sendable (HTTPRequestHead, [UInt8]) -> [UInt8], _ body: (Int) async throws -> Void
  ) async throws {
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          try pipeline.addHandler(ByteToMessageHandler(HTTPRequestDecoder()))
          try pipeline.addHandler(RawAnswer(answer))
        }
      }.bind(host: "127.0.0.1", port: 0).get()
    try await body(listener.localAddress?.port ?? 0)
    try await listener.close()
  }

  private func ask(
    _ port: Int, _ method: String = "GET", headers: HTTPHeaders = [:], body: [UInt8] = []
  ) async throws -> (reply: Reply, body: String?) {
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: "127.0.0.1", port: port).get()
    defer { channel.close(promise: nil) }
    let request = APIRequest(
      method: method, uri: "/P/proxy/a%20b?x=1", accept: nil, contentType: "", body: body, headers: headers,
      loop: channel.eventLoop, channel: channel)
    let forwarded = ProxyRequest(
      target: ProxyTarget(isTLS: false, host: "127.0.0.1", port: port), path: "/a%20b?x=1", prefix: "/P/proxy",
      request: request)
    let (replies, arrived) = AsyncStream<Reply>.makeStream()
    let run = Task {
      await ProxyExchange(forwarded).run { reply in arrived.yield(reply) }
      arrived.finish()
    }
    var iterator = replies.makeAsyncIterator()
    let reply = try #require(await iterator.next())
    var text: String?
    switch reply.body {
    case .bytes(let bytes): text = String(decoding: bytes, as: UTF8.self)
    case .stream(let produce):
      let written = Mutex("")
      do {
        try await produce { bytes in written.withLock { $0 += String(buffer: bytes) } }
        text = written.withLock { $0 }
      } catch {}
    default: break
    }
    await run.value
    return (reply, text)
  }

  @Test func requestsGoOnAsTheyCame() async throws {
    let seen = Mutex<(HTTPRequestHead, [UInt8])?>(nil)
    try await use({ head, body in
      seen.withLock { $0 = (head, body) }
      return Array("HTTP/1.1 418 x\r\nX-A: b\r\nContent-Length: 5\r\nConnection: X-C\r\nX-C: d\r\n\r\nhello".utf8)
    }) { port in
      let (reply, body) = try await ask(
        port, "PATCH",
        headers: [
          "Host": "api", "Authorization": "Bearer secret", "Impersonate-User": "x", "Cookie": "c", "X-Y": "z",
          "Connection": "keep-alive, X-Hop", "X-Hop": "1", "X-Forwarded-For": "forged", "Accept-Encoding": "gzip",
        ], body: Array("body".utf8))
      #expect(reply.code == 418 && body == "hello")
      #expect(reply.headers.map(\.0) == ["X-A"])
      let (head, sent) = try #require(seen.withLock { $0 })
      #expect(head.method == .PATCH && head.uri == "/a%20b?x=1" && sent == Array("body".utf8))
      #expect(head.headers["host"] == ["127.0.0.1:\(port)"])
      #expect(head.headers["cookie"] == ["c"] && head.headers["x-y"] == ["z"])
      for name in ["authorization", "impersonate-user", "x-hop", "accept-encoding"] {
        #expect(head.headers[name].isEmpty, "\(name) is not for others")
      }
      #expect(head.headers["x-forwarded-for"] == ["127.0.0.1"] && head.headers["x-forwarded-host"] == ["api"])
    }
  }

  @Test func redirectionsAndPagesLeadBack() async throws {
    try await use({ _, _ in
      Array(
        "HTTP/1.1 302 x\r\nLocation: /login?a\r\nContent-Type: text/html\r\nContent-Length: 14\r\n\r\n<a href=\"/x\">y"
          .utf8)
    }) { port in
      let (reply, body) = try await ask(port)
      #expect(reply.headers.contains { $0.0 == "Location" && $0.1 == "/P/proxy/login?a" })
      #expect(body == "<a href=\"/P/proxy/x\">y")
    }
  }

  @Test func answersThatEndEarlyAreCut() async throws {
    try await use({ _, _ in Array("HTTP/1.1 200 x\r\nContent-Length: 100\r\n\r\nhello".utf8) }) { port in
      let answer = try await ask(port)
      #expect(answer.body == nil)
    }
  }

  @Test(arguments: ["", "garbage\r\n\r\n", "HTTP/1.1 abc\r\n\r\n"]) func whatIsNoAnswer(text: String) async throws {
    try await use({ _, _ in Array(text.utf8) }) { port in
      let answer = try await ask(port)
      #expect(answer.reply.code == 503)
    }
  }

  @Test func nobodyListens() async throws {
    try await use({ _, _ in [] }) { port in
      let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connect(host: "127.0.0.1", port: port).get()
      let request = APIRequest(
        method: "GET", uri: "/", accept: nil, contentType: "", body: [], headers: [:], loop: channel.eventLoop,
        channel: channel)
      let code = Mutex(0)
      // Port 1 of the machine.
      await ProxyExchange(
        ProxyRequest(
          target: ProxyTarget(isTLS: false, host: "127.0.0.1", port: 1), path: "/", prefix: "", request: request)
      ).run { reply in code.withLock { $0 = reply.code } }
      #expect(code.withLock { $0 } == 503)
      try await channel.close()
    }
  }
}

/// Answers each request with bytes, and closes.
private final class RawAnswer: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = ByteBuffer
  private let answer: @Sendable (HTTPRequestHead, [UInt8]) -> [UInt8]
  private var head: HTTPRequestHead?
  private var body: [UInt8] = []

  init(_ answer: @escaping @Sendable (HTTPRequestHead, [UInt8]) -> [UInt8]) { self.answer = answer }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): self.head = head
    case .body(let part): body += part.readableBytesView
    case .end:
      guard let head else { return }
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: answer(head, body)))).whenComplete { _ in
        bound.value.close(promise: nil)
      }
    }
  }
}
