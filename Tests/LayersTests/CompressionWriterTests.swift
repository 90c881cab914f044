import LinuxSystem
import OCI
import TestKit
import Testing

@testable import Layers

@Suite struct CompressionWriterTests {
  private func compress(
    _ compression: Compression, _ bytes: [UInt8], threads: Int, piece: Int = 70_001, level: Int? = nil
  ) throws -> [UInt8] {
    let sink = MemorySink()
    let writer = try CompressionWriter(compression, level: level, threads: threads, to: sink)
    var at = 0
    while at < bytes.count {
      let end = min(at + piece, bytes.count)
      try writer.write(Array(bytes[at..<end]))
      at = end
    }
    try writer.finish()
    return sink.bytes
  }

  /// Around the block of 256 KiB, and enough of them to have all threads busy.
  private static let sizes = [0, 1, 262_143, 262_144, 262_145, 524_288, 2_600_000]
  private static let data = noise(2_600_000, seed: 7)

  @Test(arguments: [Compression.gzip, .zstd], sizes)
  func comesBack(compression: Compression, size: Int) throws {
    let bytes = Array(CompressionWriterTests.data.prefix(size))
    let packed = try compress(compression, bytes, threads: 2)
    #expect(Compression(magic: packed.prefix(4)) == compression)
    #expect(try decompressed(packed) == bytes)
  }

  @Test(arguments: [Compression.gzip, .zstd], sizes)
  func doesNotDependOnThreadsOrPieces(compression: Compression, size: Int) throws {
    let bytes = Array(CompressionWriterTests.data.prefix(size))
    let one = try compress(compression, bytes, threads: 1)
    for threads in [2, 8] { #expect(try compress(compression, bytes, threads: threads) == one) }
    for piece in [1 << 22, 40_960] { #expect(try compress(compression, bytes, threads: 2, piece: piece) == one) }
  }

  @Test(arguments: [("gzip", Compression.gzip), ("zstd", .zstd)])
  func theUsualProgramsAcceptIt(program: String, compression: Compression) async throws {
    let bytes = Array(CompressionWriterTests.data.prefix(700_000))
    let packed = try compress(compression, bytes, threads: 2)
    let result = try await Subprocess.run(program, ["-dc"], stdin: packed, outputLimit: 1 << 24)
    #expect(result.status == .exited(0), "\(String(decoding: result.stderr, as: UTF8.self))")
    #expect(result.stdout == bytes)
    // One member, as programs expect that read no more than one.
    if compression == .gzip {
      let starts = packed.indices.filter {
        packed[$0] == 0x1F && packed[$0...].starts(with: [0x1F, 0x8B, 8, 0, 0, 0, 0])
      }
      #expect(starts == [0])
    }
  }

  @Test func compressesNearlyAsWellAsOneStream() throws {
    let bytes = Array(repeatElement(noise(10_000, seed: 1), count: 100).joined())
    // Without the dictionary every block would repeat the first 10,000 bytes in full.
    #expect(try compress(.gzip, bytes, threads: 2).count < 30_000)
  }

  @Test func levels() throws {
    let bytes = Array(CompressionWriterTests.data.prefix(300_000))
    #expect(try decompressed(try compress(.gzip, bytes, threads: 2, level: 1)) == bytes)
    #expect(try decompressed(try compress(.zstd, bytes, threads: 2, level: 19)) == bytes)
    #expect(throws: OCIError.self) { try compress(.gzip, bytes, threads: 2, level: 10) }
    #expect(throws: OCIError.self) { try compress(.zstd, bytes, threads: 2, level: 0) }
  }

  @Test(arguments: Compression.allCases)
  func aFullDiskIsAnError(compression: Compression) throws {
    let data = CompressionWriterTests.data
    for room in [0, 5, 100_000, 400_000] {
      let error = #expect(throws: OCIError.self) {
        let writer = try CompressionWriter(compression, threads: 2, to: FullSink(after: room))
        try writer.write(data)
        try writer.finish()
      }
      #expect(error?.code == .diskFull)
    }
  }
}
