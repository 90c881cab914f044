import HTTP
import KubeClient
import NIOCore
import Wire

extension RemoteCommand {
  /// The channels of the `channel.k8s.io` subprotocols: the first byte of each message.
  enum ChannelNumber {
    static let stdin: UInt8 = 0
    static let stdout: UInt8 = 1
    static let stderr: UInt8 = 2
    static let error: UInt8 = 3
    static let resize: UInt8 = 4
    /// Version 5: the next byte names the channel that ends.
    static let close: UInt8 = 255
  }

  func run(
    webSocket input: NIOAsyncChannelInboundStream<ByteBuffer>, _ output: NIOAsyncChannelOutboundWriter<ByteBuffer>,
    on channel: any Channel, _ subprotocol: PodStreaming.Subprotocol
  ) async {
    @Sendable func send(_ number: UInt8, _ bytes: ByteBuffer) async throws {
      var message = ByteBuffer()
      message.reserveCapacity(bytes.readableBytes + 1)
      message.writeInteger(number)
      message.writeImmutableBuffer(bytes)
      try await output.write(message)
    }
    await runSession(
      on: channel,
      reader: {
        do {
          for try await message in input { await receive(message, hasCloseSignal: subprotocol.hasCloseSignal) }
        } catch {}
        return .disconnected
      },
      others: [
        {
          do {
            // Clients of version 5 throw away what comes before they have made their streams. They begin to read with it.
            if subprotocol.hasCloseSignal { try await channel.triggerUserOutboundEvent(WebSocket.Greeting()) }
            // An empty message on the first channel that can be read tells the client that all is set up.
            let first =
              options.stdout ? ChannelNumber.stdout : options.stderr ? ChannelNumber.stderr : ChannelNumber.error
            try await send(first, ByteBuffer())
            let status = try await copyOutput { isError, bytes in
              try await send(isError ? ChannelNumber.stderr : ChannelNumber.stdout, bytes)
            }
            if subprotocol.hasStatus {
              try await send(ChannelNumber.error, ByteBuffer(bytes: status.serialized()))
            } else if status["status"]?.string != "Success" {
              try await send(ChannelNumber.error, ByteBuffer(string: status["message"]?.string ?? ""))
            }
            return .finished
          } catch {
            return .disconnected
          }
        }
      ],
      goodbye: { try? await channel.triggerUserOutboundEvent(WebSocket.Goodbye()) })
  }

  private func receive(_ message: ByteBuffer, hasCloseSignal: Bool) async {
    var message = message
    switch message.readInteger(as: UInt8.self) {
    case ChannelNumber.stdin where options.stdin:
      // A process that has closed its input is no reason to end: its output may go on.
      if message.readableBytes > 0 { try? await process.writeStdin(message) }
    case ChannelNumber.resize: await resize(message)
    case ChannelNumber.close where hasCloseSignal:
      if message.readInteger(as: UInt8.self) == ChannelNumber.stdin, options.stdin { try? await process.closeStdin() }
    default: break
    }
  }
}
