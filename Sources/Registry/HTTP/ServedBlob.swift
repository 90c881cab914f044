import Content
import HTTP
import NIOCore
import NIOPosix
import OCI

/// A blob as the server sends it.
struct ServedBlob: HTTPFileBody {
  var file: BlobFile
  /// For the reads, which block.
  var pool: NIOThreadPool

  var descriptor: Int32 { file.descriptor }
  var isUnchanged: Bool { file.isUnchanged }

  func read(at offset: Int64, bytesMax: Int) async throws -> ByteBuffer {
    try await pool.runIfActive { [file] () throws -> ByteBuffer in
      var buffer = ByteBuffer()
      let got = try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: bytesMax) { target in
        try file.read(into: UnsafeMutableRawBufferPointer(rebasing: target[..<bytesMax]), at: offset)
      }
      // Somebody has cut or changed the file since it was opened: the client has to see a cut.
      guard got > 0, file.isUnchanged else {
        throw OCIError(.corrupt, "\(file.digest) was changed while it was sent")
      }
      return buffer
    }
  }
}
