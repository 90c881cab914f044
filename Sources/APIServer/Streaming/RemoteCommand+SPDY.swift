import HTTP
import KubeClient
import NIOCore
import Wire

extension RemoteCommand {
  /// The kinds of streams that a client opens for these options, before anything else happens.
  private var expectedStreams: Set<String> {
    var expected: Set = ["error"]
    if options.stdin { expected.insert("stdin") }
    if options.stdout { expected.insert("stdout") }
    if options.stderr && !options.tty { expected.insert("stderr") }
    if options.tty { expected.insert("resize") }
    return expected
  }

  func run(
    spdy input: NIOAsyncChannelInboundStream<ByteBuffer>, _ output: NIOAsyncChannelOutboundWriter<ByteBuffer>,
    on channel: any Channel
  ) async {
    guard let connection = try? SPDYConnection(.server, write: { try await output.write($0) }) else {
      return await process.close()
    }
    // At most five streams are taken.
    let (opened, opener) = AsyncStream<SPDYStream>.makeStream(bufferingPolicy: .bufferingOldest(8))
    await withTaskGroup(of: Void.self) { group in
      let ended = BoundedPipe(capacity: 1)
      group.addTask {
        try? await connection.run(input) { stream in
          if case .enqueued = opener.yield(stream) { return true }
          return false
        }
        opener.finish()
        ended.finish()
      }
      var streams: [String: SPDYStream] = [:]
      let deadline = channel.eventLoop.scheduleTask(in: PodStreaming.setupTimeout) { channel.close(promise: nil) }
      let expected = expectedStreams
      for await stream in opened {
        if let kind = stream.header("streamtype") { streams[kind] = stream }
        if expected.isSubset(of: streams.keys) { break }
      }
      deadline.cancel()
      guard expected.isSubset(of: streams.keys) else { return await process.close() }
      let all = streams
      await runSession(
        on: channel,
        reader: {
          // Nothing is ever written to this pipe: it ends with the connection.
          _ = await ended.read()
          return .disconnected
        },
        others: [
          {
            do {
              let status = try await copyOutput { isError, bytes in
                try await all[isError ? "stderr" : "stdout"]?.write(bytes)
              }
              try await all["error"]?.write(ByteBuffer(bytes: status.serialized()))
              for kind in ["stdout", "stderr", "error"] { try await all[kind]?.finish() }
              return .finished
            } catch {
              return .disconnected
            }
          },
          {
            while let bytes = await all["stdin"]?.read() { try? await process.writeStdin(bytes) }
            if all["stdin"] != nil { try? await process.closeStdin() }
            return .inputEnded
          },
          {
            var buffer = LineBuffer()
            while let bytes = await all["resize"]?.read() {
              for line in buffer.lines(adding: bytes) { await resize(line) }
            }
            return .inputEnded
          },
        ],
        goodbye: {
          // Input that nobody takes any more must not keep the connection from being read to its end.
          for stream in all.values { stream.abandon() }
          for kind in ["stdin", "resize"] { try? await all[kind]?.finish() }
        })
      group.cancelAll()
    }
  }
}
