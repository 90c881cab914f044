import CZlib
import NIOCore
import TestKit
import Testing

@testable import HTTP

struct SPDYCodecTests {
  private static let samples: [SPDYFrame] = [
    .synStream(id: 1, headers: [SPDYHeader(name: "streamtype", value: "error")], isLast: false),
    .synReply(id: 1, headers: [], isLast: false),
    .synStream(
      id: 3, headers: [SPDYHeader(name: "port", value: "80"), SPDYHeader(name: "requestid", value: "0")], isLast: true),
    .ping(id: 7), .settings(initialWindow: nil), .settings(initialWindow: 1 << 20), .goAway(lastStream: 3, status: 0),
    .rstStream(id: 3, status: 5),
    .headers(id: 1, headers: [SPDYHeader(name: "a", value: "é")], isLast: true), .windowUpdate(id: 1, delta: 65536),
    .data(id: 1, ByteBuffer(string: "hello"), isLast: false), .data(id: 1, ByteBuffer(), isLast: true),
  ]

  /// The checksum by which the two sides recognise the dictionary.
  @Test func theDictionaryIsThatOfSPDY3() {
    let bytes = SPDYDictionary.bytes
    #expect(bytes.count == 1423)
    #expect(adler32(adler32(0, nil, 0), bytes, UInt32(bytes.count)) == 0xE3C6_A7C2)
  }

  @Test func framesSurviveTheWire() throws {
    var encoder = try SPDYFrameEncoder()
    var decoder = try SPDYFrameDecoder()
    for frame in Self.samples {
      decoder.append(try encoder.encode(frame))
      #expect(try decoder.next() == frame)
      #expect(try decoder.next() == nil)
    }
  }

  /// However the bytes are cut, the frames are the same; data may come in pieces.
  @Test(arguments: [1, 2, 3, 4, 5] as [UInt64]) func anyCutGivesTheSameFrames(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var encoder = try SPDYFrameEncoder()
    var decoder = try SPDYFrameDecoder()
    var bytes = ByteBuffer()
    for _ in 0..<20 { for frame in Self.samples { bytes.writeImmutableBuffer(try encoder.encode(frame)) } }
    var frames: [SPDYFrame] = []
    while bytes.readableBytes > 0 {
      let count = Int.random(in: 1...min(40, bytes.readableBytes), using: &generator)
      decoder.append(bytes.readSlice(length: count)!)
      while let frame = try decoder.next() { frames.append(frame) }
    }
    #expect(Self.joined(frames) == Self.joined(Array(repeating: Self.samples, count: 20).flatMap { $0 }))
  }

  /// Frames with the pieces of data put together.
  private static func joined(_ frames: [SPDYFrame]) -> [SPDYFrame] {
    var result: [SPDYFrame] = []
    for frame in frames {
      if case .data(let id, var more, let isLast) = frame, case .data(id, var bytes, false)? = result.last {
        bytes.writeBuffer(&more)
        result[result.count - 1] = .data(id: id, bytes, isLast: isLast)
      } else {
        result.append(frame)
      }
    }
    return result
  }

  @Test(arguments: 0..<40 as Range<UInt64>) func damagedBytesAreRefusedOrReadButNeverFatal(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<50 {
      var encoder = try SPDYFrameEncoder()
      var decoder = try SPDYFrameDecoder()
      var bytes: [UInt8] = []
      for frame in Self.samples.shuffled(using: &generator) { bytes += try encoder.encode(frame).readableBytesView }
      for _ in 0..<Int.random(in: 1...8, using: &generator) {
        bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      do throws(SPDYError) {
        decoder.append(ByteBuffer(bytes: bytes))
        var count = 0
        while try decoder.next() != nil { count += 1 }
        #expect(count <= bytes.count)
      } catch {
        #expect(!error.message.isEmpty)
      }
    }
  }

  @Test func tooLargeControlFramesAreRefused() throws {
    var decoder = try SPDYFrameDecoder()
    var frame = ByteBuffer(integer: 0x8003_0001 as UInt32)
    frame.writeInteger(UInt32(SPDYFrameDecoder.controlBytesMax + 1))
    decoder.append(frame)
    #expect(throws: SPDYError.self) { try decoder.next() }
  }

  /// A kilobyte that decompresses to a megabyte.
  @Test func aHeaderBlockThatGrowsTooMuchIsRefused() throws {
    let deflater = try SPDYDeflater()
    let compressed = try deflater.compress([UInt8](repeating: 0, count: 1 << 20))
    #expect(compressed.count < 8192)
    #expect(throws: SPDYError.self) { try SPDYInflater().decompress(compressed) }
  }

  @Test func headersOfAnotherDictionaryAreRefused() throws {
    #expect(throws: SPDYError.self) { try SPDYInflater().decompress([0x78, 0xBB, 1, 2, 3, 4, 0, 0]) }
    #expect(throws: SPDYError.self) { try SPDYInflater().decompress([1, 2, 3]) }
  }
}
