import NIOCore
import Testing

@testable import HTTP

@Suite(.timeLimit(.minutes(1))) struct BoundedPipeTests {
  /// Single bytes of a large block are joined, in their order, and the block is not kept.
  @Test func smallPiecesAreJoined() async {
    let pipe = BoundedPipe(capacity: 64 << 10)
    let sent = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    var block = ByteBuffer(bytes: sent)
    while let piece = block.readSlice(length: 1) { #expect(await pipe.write(piece)) }
    let large = ByteBuffer(repeating: 1, count: 5000)
    #expect(await pipe.write(large))
    #expect(await pipe.write(ByteBuffer(bytes: [2])))
    pipe.finish()
    var received: [UInt8] = []
    var pieces = 0
    while let piece = await pipe.read() {
      received += piece.readableBytesView
      pieces += 1
    }
    #expect(received == sent + large.readableBytesView + [2])
    #expect(pieces == 5, "three of at most 4 KiB, the large one, the last")
  }
}
