import NIOCore
import NIOPosix
import OCI

extension BlobFile {
  /// Reads a part piece by piece on the pool's threads and hands each on, where `sendfile` is no way: through TLS.
  func send(
    _ range: Range<Int64>, pool: NIOThreadPool, write: @Sendable (ByteBuffer) async throws -> Void
  ) async throws {
    var at = range.lowerBound
    while at < range.upperBound {
      let (start, count) = (at, Int(min(256 << 10, range.upperBound - at)))
      let buffer = try await pool.runIfActive { () throws -> ByteBuffer in
        var buffer = ByteBuffer()
        let got = try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
          try self.read(into: UnsafeMutableRawBufferPointer(rebasing: target[..<count]), at: start)
        }
        // Somebody has cut or changed the file since it was opened: the client has to see a cut.
        guard got > 0, self.isUnchanged else {
          throw OCIError(.corrupt, "\(self.digest) was changed while it was sent")
        }
        return buffer
      }
      at += Int64(buffer.readableBytes)
      try await write(buffer)
    }
  }
}
