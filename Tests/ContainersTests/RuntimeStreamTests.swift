import KubeClient
import NIOCore
import Testing

@testable import Containers

@Suite struct RuntimeStreamTests {
  @Test func deliversInOrderAndEnds() async {
    let channel = OutputChannel()
    let producer = Task {
      for number in 0..<100 { await channel.send(.stdout(ByteBuffer(integer: UInt8(number)))) }
      await channel.send(.exited(code: 3))
      channel.finish()
    }
    var numbers: [UInt8] = []
    var code: Int32?
    while let part = await channel.next() {
      switch part {
      case .stdout(let bytes): numbers += bytes.readableBytesView
      case .stderr: Issue.record("nothing was sent there")
      case .exited(let status): code = status
      }
    }
    await producer.value
    #expect(numbers == (0..<100).map { UInt8($0) } && code == 3)
  }

  @Test func letsProducersGoWhenItIsClosed() async {
    let channel = OutputChannel()
    // More than fits: without the close these tasks would never end.
    let producers = (0..<40).map { number in Task { await channel.send(.exited(code: Int32(number))) } }
    let first = await channel.next()
    #expect(first != nil)
    channel.finish()
    for producer in producers { await producer.value }
  }

  @Test func endsForACancelledConsumer() async {
    let channel = OutputChannel()
    let consumer = Task { await channel.next() }
    consumer.cancel()
    let part = await consumer.value
    #expect(part == nil)
  }
}
