import Content
import HTTP
import Logging
import NIOCore
import NIOPosix
import OCI
import Synchronization

/// No byte leaves the registry as a whole blob that has not been compared with its digest: at once for what is small, on
/// the way out for what is large, and by a look at the inode for what was compared before.
extension Registry {
  /// A large blob that has not been compared: its bytes are hashed while they are sent, and the last piece waits until all
  /// are known to be right. The client of a damaged one sees the connection end too early.
  func verifying(_ file: BlobFile) -> Reply.Body {
    .stream(length: file.size) { [self] write in
      var held: ByteBuffer?
      do {
        try await readPieces(of: file) { piece in
          if let held { try await write(held) }
          held = piece
        }
      } catch {
        noteDamage(error)
        throw error
      }
      if let held { try await write(held) }
    }
  }

  /// Compares a blob with its digest, unless that has been done. Asked for by many at the same time, it is done once.
  ///
  /// - Throws: when it is damaged.
  func verify(_ file: BlobFile) async throws {
    if content.isVerified(file) { return }
    let task = verifications.withLock { tasks -> Task<Void, any Error> in
      if let task = tasks[file.digest] { return task }
      let task = Task { [self] in
        defer { verifications.withLock { $0[file.digest] = nil } }
        try await readPieces(of: file) { _ in }
      }
      tasks[file.digest] = task
      return task
    }
    try await task.value
    // It was another file of that name, or it has changed.
    guard content.isVerified(file) else {
      throw RegistryError(.unavailable, "the blob has just been replaced; try again")
    }
  }

  /// Reads a whole blob and compares it with its digest. A thread is taken for a piece only.
  ///
  /// - Parameter use: gets each piece before the end is known.
  private func readPieces(
    of file: BlobFile, use: (ByteBuffer) async throws -> Void
  ) async throws {
    var hasher = DigestHasher(file.digest.algorithm)
    var offset: Int64 = 0
    while offset < file.size {
      let (at, state) = (offset, hasher)
      let count = Int(min(256 << 10, file.size - at))
      let (piece, next) = try await blocking { [content] () throws(OCIError) in
        var hasher = state
        let piece = try content.piece(of: file, at: at, count: count, &hasher)
        return (piece, hasher)
      }
      hasher = next
      offset += Int64(piece.readableBytes)
      try await use(piece)
    }
    let found = hasher.finish()
    try await blocking { [content] () throws(OCIError) in try content.conclude(file, found: found) }
  }

  private func noteDamage(_ error: any Error) {
    guard let error = error as? RegistryError, let cause = error.cause, cause.code == .corrupt else { return }
    logger.error("a damaged blob was not sent to its end", metadata: ["error": "\(cause)"])
    repair.noticed(cause.digests)
  }
}

extension ContentStore {
  /// Larger ones are compared while they are sent.
  private static let verifyFirstMax: Int64 = 1 << 20

  /// Opens a blob that is known to be right, or is large. Blocks.
  func openSoundBlob(_ digest: Digest, in repository: Repository) throws(OCIError) -> BlobFile? {
    guard let file = try openBlob(digest, in: repository) else { return nil }
    if file.size <= Self.verifyFirstMax { try verify(file) }
    return file
  }

  /// Reads a piece and hashes it.
  ///
  /// - Throws: `corrupt` when the file ends before it: somebody has cut it since it was opened.
  fileprivate func piece(
    of file: BlobFile, at offset: Int64, count: Int, _ hasher: inout DigestHasher
  ) throws(OCIError) -> ByteBuffer {
    var buffer = ByteBufferAllocator().buffer(capacity: count)
    var failure: OCIError?
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
      do throws(OCIError) {
        return try file.read(into: UnsafeMutableRawBufferPointer(rebasing: target[..<count]), at: offset)
      } catch {
        failure = error
        return 0
      }
    }
    if let failure { throw failure }
    guard buffer.readableBytes > 0 else {
      // Says that it is damaged, and takes it out of use.
      try conclude(file, found: hasher.finish())
      return buffer
    }
    buffer.withUnsafeReadableBytes { hasher.update($0) }
    return buffer
  }
}
