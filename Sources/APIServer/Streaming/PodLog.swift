import HTTP
import KubeClient
import NIOCore
import Synchronization

extension PodStreaming {
  /// A log that has no byte for this long is answered with a head all the same: following a silent container is fine.
  static let logStartTimeout = TimeAmount.seconds(1)

  /// Opens a container's log (`pods/log`) and returns what writes it as the body of the answer.
  ///
  /// The log is read ahead by 64 KiB at most; `write` sets the pace. Cancelling the task that runs the closure ends the
  /// reading. The closure is to be called once.
  ///
  /// - Throws: the node's refusal when it comes before the first byte, so that it can be answered as a `Status`.
  static func log(
    _ container: ContainerReference, options: LogOptions, streams: any NodeStreams, loop: any EventLoop,
    startTimeout: TimeAmount = logStartTimeout
  ) async throws -> @Sendable (_ write: @escaping @Sendable (ByteBuffer) async throws -> Void) async throws -> Void {
    let pipe = BoundedPipe(capacity: 64 << 10)
    let start = FirstOutcome(loop.makePromise(of: Void.self))
    let reading = Task {
      defer { pipe.finish() }
      do {
        try await streams.logs(container, options: options) { chunk in
          try Task.checkCancellation()
          start.complete(.success(()))
          await pipe.write(chunk)
        }
        start.complete(.success(()))
      } catch {
        start.complete(.failure(error))
        throw error
      }
    }
    let deadline = loop.scheduleTask(in: startTimeout) { start.complete(.success(())) }
    try await start.promise.futureResult.get()
    deadline.cancel()
    return { write in
      try await withTaskCancellationHandler {
        do {
          while let chunk = await pipe.read() { try await write(chunk) }
        } catch {
          reading.cancel()
          pipe.abandon()
          throw error
        }
        try await reading.value
      } onCancel: {
        reading.cancel()
        pipe.abandon()
      }
    }
  }
}

/// A promise that several may try to complete.
private final class FirstOutcome: Sendable {
  let promise: EventLoopPromise<Void>
  private let isComplete = Mutex(false)

  init(_ promise: EventLoopPromise<Void>) { self.promise = promise }

  func complete(_ result: Result<Void, any Error>) {
    let isFirst = isComplete.withLock { isComplete in
      defer { isComplete = true }
      return !isComplete
    }
    if isFirst { promise.completeWith(result) }
  }
}

extension PodStreaming {
  /// How a log is read by WebSocket: each message is a piece of it.
  struct LogAgreement: Sendable {
    var form: MessageForm
    var responseHead: String

    /// - Throws: `badRequest` when no protocol that is offered is spoken here.
    init(_ handshake: WebSocketHandshake) throws(KubeError) {
      let known = ["binary.k8s.io", "base64.binary.k8s.io"]
      guard let name = known.first(where: handshake.offered.contains) else {
        throw .badRequest(
          "none of the WebSocket subprotocols \(handshake.offered) is known here; use \(known.joined(separator: " or "))"
        )
      }
      form = MessageForm(hasChannels: false, isBase64: name == "base64.binary.k8s.io")
      responseHead = handshake.responseHead(name)
    }
  }

  /// Sends a log over a connection that becomes a WebSocket, until the log or the client ends.
  static func upgrade(
    _ agreement: LogAgreement,
    _ produce: @escaping Reply.Produce
  ) -> @Sendable ((any Channel)?) -> Void {
    { channel in
      guard let channel else {
        HTTPServerResponse.abandon(produce)
        return
      }
      let switched = switchProtocols(channel, responseHead: agreement.responseHead, agreement.form)
      Task {
        do {
          let connection = try await switched.get()
          try await connection.executeThenClose { input, output in
            await withTaskGroup(of: Void.self) { group in
              // What the client sends is nothing but its end.
              group.addTask { do { for try await _ in input {} } catch {} }
              group.addTask {
                try? await produce { try await output.write($0) }
                try? await channel.triggerUserOutboundEvent(WebSocket.Goodbye())
              }
              await group.next()
              group.cancelAll()
            }
          }
        } catch {
          try? await channel.close()
        }
      }
    }
  }
}
