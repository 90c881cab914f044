import NIOCore
import NIOPosix

/// A server on 127.0.0.1 that reads the head of a request from each connection, and then does what a test says.
package enum ScriptedServer {
  /// One connection, behind the head of its request.
  package struct Session: Sendable {
    /// With its empty line.
    package var head: String
    package var input: NIOAsyncChannelInboundStream<ByteBuffer>
    package var output: NIOAsyncChannelOutboundWriter<ByteBuffer>

    package func write(_ text: String) async throws { try await output.write(ByteBuffer(string: text)) }

    /// Reads until the client closes, and does nothing about it.
    package func hang() async throws { for try await _ in input {} }

    /// Agrees to the change of protocol that the request asks for.
    package func agree(_ fields: String...) async throws {
      let all = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade"] + fields
      try await write(all.map { $0 + "\r\n" }.joined() + "\r\n")
    }
  }

  /// - Parameter script: its end closes the connection.
  package static func run<Value: Sendable>(
    _ script: @escaping @Sendable (Session) async throws -> Void, _ body: (_ port: Int) async throws -> Value
  ) async throws -> Value {
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .bind(host: "127.0.0.1", port: 0) { channel in
        channel.eventLoop.makeCompletedFuture {
          let head = channel.eventLoop.makePromise(of: String.self)
          try channel.pipeline.syncOperations.addHandler(HeadReader(head))
          return (
            head.futureResult,
            try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
              wrappingChannelSynchronously: channel,
              configuration: .init(backPressureStrategy: .init(lowWatermark: 2, highWatermark: 8)))
          )
        }
      }
    let port = listener.channel.localAddress?.port ?? 0
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await listener.executeThenClose { connections in
          try await withThrowingDiscardingTaskGroup { sessions in
            for try await (head, connection) in connections {
              sessions.addTask {
                // What ends one connection is the test's affair, which sees it at the other end.
                try? await connection.executeThenClose { input, output in
                  try await script(Session(head: try await head.get(), input: input, output: output))
                }
              }
            }
          }
        }
      }
      defer { group.cancelAll() }
      return try await body(port)
    }
  }

  private final class HeadReader: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private var received = ByteBuffer()
    private var promise: EventLoopPromise<String>?

    init(_ promise: EventLoopPromise<String>) { self.promise = promise }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      guard let promise else { return context.fireChannelRead(data) }
      received.writeImmutableBuffer(unwrapInboundIn(data))
      let bytes = Array(received.readableBytesView)
      guard let end = bytes.indices.first(where: { bytes[$0...].starts(with: [13, 10, 13, 10]) }) else { return }
      self.promise = nil
      promise.succeed(received.readString(length: end + 4) ?? "")
      if received.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(received)) }
    }

    func channelInactive(context: ChannelHandlerContext) {
      promise?.fail(ChannelError.eof)
      promise = nil
      context.fireChannelInactive()
    }
  }
}
