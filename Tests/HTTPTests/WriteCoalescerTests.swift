import Glibc
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import HTTP

/// Small writes to a client that does not read, by real sockets: only there does the kernel have no room.
@Suite struct WriteCoalescerTests {
  /// What goes on to the socket.
  private final class Counter: ChannelOutboundHandler, Sendable {
    typealias OutboundIn = IOData

    let writes = Mutex(0)

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
      writes.withLock { $0 += 1 }
      context.write(data, promise: promise)
    }
  }

  private struct Line {
    let channel: any Channel
    let counter: Counter
    let client: Int32

    init() async throws {
      var ends: [Int32] = [-1, -1]
      try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
      let counter = Counter()
      channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .channelOption(.writeBufferWaterMark, value: .init(low: 64 << 10, high: 256 << 10))
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandlers(counter, WriteCoalescer())
          }
        }
        .withConnectedSocket(ends[0]).get()
      self.counter = counter
      client = ends[1]
    }

    /// Writes answers until the channel says that the client does not take them.
    func fill() async throws -> [UInt8] {
      try await channel.eventLoop.submit { [channel] in
        var sent: [UInt8] = []
        var count = 0
        while channel.isWritable {
          let answer = Array("answer \(count) ".utf8) + Array(repeating: UInt8(ascii: "."), count: 300)
          channel.writeAndFlush(ByteBuffer(bytes: answer), promise: nil)
          sent += answer
          count += 1
        }
        return sent
      }.get()
    }

    func read(_ count: Int) -> [UInt8] {
      var taken: [UInt8] = []
      var piece = [UInt8](repeating: 0, count: 65536)
      while taken.count < count {
        let size = Glibc.read(client, &piece, min(piece.count, count - taken.count))
        guard size > 0 else { break }
        taken += piece[..<size]
      }
      return taken
    }
  }

  @Test func aClientThatDoesNotReadCostsFewBuffers() async throws {
    let line = try await Line()
    defer { close(line.client) }
    let sent = try await line.fill()
    // What the kernel has taken went one by one; of the rest no more than a few dozen.
    let buffered = try await line.channel.getOption(.bufferedWritableBytes).get()
    let writes = line.counter.writes.withLock { $0 }
    #expect(buffered >= 256 << 10)
    #expect(writes < (sent.count - buffered) / 300 + 60, "\(writes) writes of \(sent.count) bytes")

    // Nothing is lost or changes places, and the line is open again afterwards.
    #expect(line.read(sent.count) == sent)
    let last = Array("the last".utf8)
    try await line.channel.writeAndFlush(ByteBuffer(bytes: last)).get()
    #expect(line.read(last.count) == last)
    try await line.channel.close().get()
  }

  @Test func whatIsHeldBackGoesOnBeforeAClose() async throws {
    let line = try await Line()
    defer { close(line.client) }
    _ = try await line.fill()
    try await line.channel.eventLoop.submit { [line] in
      line.channel.writeAndFlush(ByteBuffer(string: "held"), promise: nil)
      let before = line.counter.writes.withLock { $0 }
      line.channel.close(promise: nil)
      #expect(line.counter.writes.withLock { $0 } == before + 1)
    }.get()
    try await line.channel.closeFuture.get()
  }
}
