import HTTP
import KubeClient
import NIOCore
import Synchronization

/// Port forwarding (`portforward.k8s.io`): for each connection that the client accepts it opens two streams with the
/// same `requestid`, an error stream and a data stream; the server connects to the port and copies both ways.
struct PortForward: Sendable {
  let namespace: String
  let pod: String
  let streams: any NodeStreams

  private struct Pair: Sendable {
    var data: SPDYStream
    var error: SPDYStream
    var port: Int
  }

  /// Streams whose other half has not come, by kind and request.
  private final class Waiting: Sendable {
    let streams = Mutex<[String: SPDYStream]>([:])
  }

  func run(
    _ input: NIOAsyncChannelInboundStream<ByteBuffer>, _ output: NIOAsyncChannelOutboundWriter<ByteBuffer>,
    on channel: any Channel
  ) async {
    guard let connection = try? SPDYConnection(.server, write: { try await output.write($0) }) else { return }
    let (pairs, found) = AsyncStream<Pair>.makeStream(bufferingPolicy: .bufferingOldest(SPDYConnection.streamCountMax))
    let waiting = Waiting()
    await withDiscardingTaskGroup { group in
      group.addTask {
        try? await connection.run(input) { stream in
          match(stream, waiting: waiting).map { if case .enqueued = found.yield($0) { true } else { false } } ?? true
        }
        found.finish()
      }
      for await pair in pairs { group.addTask { await forward(pair) } }
      group.cancelAll()
    }
  }

  /// The pair that this stream completes; nil while its other half is missing. A stream without the headers that it
  /// needs is left alone: the client sees that nothing comes.
  private func match(_ stream: SPDYStream, waiting: Waiting) -> Pair? {
    guard let kind = stream.header("streamtype"), kind == "data" || kind == "error",
      let request = stream.header("requestid"), let port = stream.header("port").flatMap({ Int($0) }),
      (1...65535).contains(port)
    else { return nil }
    return waiting.streams.withLock { waiting in
      let other = (kind == "data" ? "error" : "data") + "/" + request
      guard let partner = waiting.removeValue(forKey: other) else {
        // Those that a client has opened and reset without a partner do not count as open any more.
        if waiting.count >= SPDYConnection.streamCountMax { waiting.removeAll() }
        waiting[kind + "/" + request] = stream
        return nil
      }
      return kind == "data"
        ? Pair(data: stream, error: partner, port: port) : Pair(data: partner, error: stream, port: port)
    }
  }

  private func forward(_ pair: Pair) async {
    do {
      let target = try await streams.connect(namespace: namespace, pod: pod, port: pair.port)
      // A client that resets the stream wants nothing more, in either direction.
      pair.data.onReset { Task { await target.close() } }
      let refusal = await copy(pair, target)
      await target.close()
      if let refusal { throw refusal }
    } catch {
      let reason = (error as? KubeError)?.message ?? String(describing: error)
      // kubectl prints what comes on the error stream.
      let text = "error forwarding port \(pair.port) to pod \(pod): \(reason)"
      try? await pair.error.write(ByteBuffer(string: text))
    }
    try? await pair.data.finish()
    try? await pair.error.finish()
    pair.data.abandon()
    pair.error.abandon()
  }

  /// - Returns: why there was no connection after all.
  private func copy(_ pair: Pair, _ target: any ByteStream) async -> KubeError? {
    await withTaskGroup(of: Ending.self) { group in
      group.addTask {
        while let bytes = await pair.data.read() {
          do {
            try await target.write(bytes)
          } catch {
            break
          }
        }
        try? await target.closeWrite()
        return .inputEnded
      }
      group.addTask {
        do {
          for try await bytes in target.input { try await pair.data.write(bytes) }
          try await pair.data.finish()
        } catch {
          return .over(error as? KubeError)
        }
        return .over(nil)
      }
      defer { group.cancelAll() }
      // The pod's end of the connection decides; a client that has sent everything may still wait for the answer.
      for await ending in group {
        if case .over(let refusal) = ending { return refusal }
      }
      return nil
    }
  }

  /// How a direction of a connection to a pod has ended.
  enum Ending: Sendable {
    case inputEnded
    case over(KubeError?)
  }
}
