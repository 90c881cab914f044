import HTTP
import KubeClient
import NIOCore

/// Port forwarding by channels of WebSocket: the request names the ports, and each has two channels, data on an even and
/// errors on the next odd number. The first message on each is its port, as two bytes in little-endian order.
extension PortForward {
  /// Numbers of channels are one byte, and 255 ends one.
  static let channelPortsMax = 64

  func run(
    channels input: NIOAsyncChannelInboundStream<ByteBuffer>, _ output: NIOAsyncChannelOutboundWriter<ByteBuffer>,
    ports: [Int], hasCloseSignal: Bool
  ) async {
    // The reader waits for the slowest port, as one connection must.
    let pipes = ports.map { _ in BoundedPipe(capacity: 64 << 10) }
    await withTaskGroup(of: Bool.self) { group in
      group.addTask {
        do {
          for try await message in input {
            await Self.receive(message, pipes, hasCloseSignal: hasCloseSignal)
          }
        } catch {}
        for pipe in pipes { pipe.finish() }
        return true
      }
      for (index, port) in ports.enumerated() {
        group.addTask {
          await forward(port, UInt8(2 * index), pipes[index], output)
          pipes[index].abandon()
          return false
        }
      }
      // A port that has ended leaves the others; the client's end ends all.
      var open = ports.count
      for await isDisconnected in group {
        open -= isDisconnected ? 0 : 1
        if isDisconnected || open == 0 { break }
      }
      group.cancelAll()
    }
  }

  private static func receive(_ message: ByteBuffer, _ pipes: [BoundedPipe], hasCloseSignal: Bool) async {
    var message = message
    guard let channel: UInt8 = message.readInteger() else { return }
    if channel == RemoteCommand.ChannelNumber.close, hasCloseSignal {
      guard let ended: UInt8 = message.readInteger(), ended % 2 == 0, Int(ended / 2) < pipes.count else { return }
      return pipes[Int(ended / 2)].finish()
    }
    // Clients send nothing on channels of errors.
    guard channel % 2 == 0, Int(channel / 2) < pipes.count else { return }
    await pipes[Int(channel / 2)].write(message)
  }

  private func forward(
    _ port: Int, _ channel: UInt8, _ pipe: BoundedPipe, _ output: NIOAsyncChannelOutboundWriter<ByteBuffer>
  ) async {
    @Sendable func send(_ number: UInt8, _ bytes: ByteBuffer) async throws {
      var message = ByteBuffer()
      message.reserveCapacity(bytes.readableBytes + 1)
      message.writeInteger(number)
      message.writeImmutableBuffer(bytes)
      try await output.write(message)
    }
    do {
      let name = ByteBuffer(integer: UInt16(port), endianness: .little)
      for number in [channel, channel + 1] { try await send(number, name) }
      let target = try await streams.connect(namespace: namespace, pod: pod, port: port)
      let refusal: KubeError? = await withTaskGroup(of: Ending.self) { group in
        group.addTask {
          while let bytes = await pipe.read() {
            do { try await target.write(bytes) } catch { break }
          }
          try? await target.closeWrite()
          return .inputEnded
        }
        group.addTask {
          do { for try await bytes in target.input { try await send(channel, bytes) } } catch {
            return .over(error as? KubeError)
          }
          return .over(nil)
        }
        defer { group.cancelAll() }
        // The pod's end of the connection decides, as with streams.
        for await ending in group {
          if case .over(let refusal) = ending { return refusal }
        }
        return nil
      }
      await target.close()
      if let refusal { throw refusal }
    } catch {
      let reason = (error as? KubeError)?.message ?? String(describing: error)
      try? await send(channel + 1, ByteBuffer(string: "error forwarding port \(port) to pod \(pod): \(reason)"))
    }
  }
}
