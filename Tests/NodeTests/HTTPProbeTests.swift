import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Node

@Suite(.timeLimit(.minutes(1))) struct HTTPProbeTests {
  /// What a server says to whatever it is asked; `nil`: nothing, and the connection stays open.
  private func withServer(_ answer: String?, _ body: (ProbeTarget.HTTP, String) async throws -> Void) async throws
    -> String
  {
    let asked = Mutex("")
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(
            Answer(answer) { text in asked.withLock { $0 += text } })
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let port = listener.localAddress?.port ?? 0
    try await body(
      ProbeTarget.HTTP(
        isTLS: false, host: "127.0.0.1", port: port, path: "/healthz?x=y",
        headers: [("Host", "named"), ("User-Agent", "kube-probe/1.33")]), "127.0.0.1:\(port)")
    try await listener.close()
    return asked.withLock { $0 }
  }

  private final class Answer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let answer: String?
    private let asked: @Sendable (String) -> Void

    init(_ answer: String?, _ asked: @escaping @Sendable (String) -> Void) {
      self.answer = answer
      self.asked = asked
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      asked(String(buffer: unwrapInboundIn(data)))
      guard let answer else { return }
      context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
      context.close(promise: nil)
    }
  }

  @Test(arguments: [(200, true), (204, true), (302, true), (399, true), (400, false), (503, false)])
  func statuses(_ status: Int, _ isSuccess: Bool) async throws {
    let asked = try await withServer("HTTP/1.1 \(status) x\r\nContent-Length: 0\r\n\r\n") { target, address in
      let result = await HTTPProbe.get(target, timeout: .seconds(60))
      let failure = "HTTP probe failed with statuscode: \(status) from http://\(address)/healthz?x=y"
      #expect(result == (isSuccess ? .success : .failure(failure)))
    }
    #expect(asked.hasPrefix("GET /healthz?x=y HTTP/1.1\r\n"))
    for field in ["Host: named\r\n", "User-Agent: kube-probe/1.33\r\n", "Connection: close\r\n"] {
      #expect(asked.contains(field))
    }
  }

  @Test func whatIsNoAnswer() async throws {
    _ = try await withServer("") { target, address in
      let result = await HTTPProbe.get(target, timeout: .seconds(60))
      #expect(result == .failure("Get \"http://\(address)/healthz?x=y\": EOF"))
    }
    _ = try await withServer("SSH-2.0-OpenSSH\r\n") { target, address in
      guard case .failure(let why) = await HTTPProbe.get(target, timeout: .seconds(60)) else {
        Issue.record("that is no HTTP")
        return
      }
      #expect(why.hasPrefix("Get \"http://\(address)/healthz?x=y\": \(address): "))
    }
  }

  @Test func noAnswer() async throws {
    _ = try await withServer(nil) { target, address in
      let result = await HTTPProbe.get(target, timeout: .milliseconds(50))
      #expect(
        result
          == .failure(
            "Get \"http://\(address)/healthz?x=y\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
          ))
    }
  }

  @Test func nobodyListens() async throws {
    var gone: (ProbeTarget.HTTP, String)?
    _ = try await withServer(nil) { target, address in gone = (target, address) }
    let (target, address) = try #require(gone)
    let result = await HTTPProbe.get(target, timeout: .seconds(60))
    #expect(
      result
        == .failure("Get \"http://\(address)/healthz?x=y\": dial tcp \(address): connect: connection refused"))
  }
}
