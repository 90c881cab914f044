import Glibc
import Layers
import LinuxSystem
import OCI
import Synchronization
import Wire

/// A blob that comes into a repository piece by piece, over several requests and over restarts of the server.
///
/// Thread safe; what two threads append at the same time is told apart by the offsets they give. The bytes in its file
/// and the file's name are all its state, so that nothing of it has to be made durable before it is finished. One that
/// was closed meanwhile is hashed at its end, once, and not each time that it is opened again.
public final class Upload: Sendable {
  public let id: String
  public let repository: Repository
  let path: String
  /// The store keeps open uploads; they do not keep the store.
  private weak let store: ContentStore?
  /// Locked as long as it is open, so that no other process takes it for forgotten.
  private let descriptor: Int32
  private let state: Mutex<State>

  private struct State {
    /// `nil` when it does not know all the bytes.
    var hasher: DigestHasher?
    let algorithm: Digest.Algorithm
    var offset: Int64
    var isFinished = false
    /// Its file is on the way to become a blob, and must stay as it is.
    var isFinishing = false
  }

  /// Opens the file, or makes it; `nil` when there is none.
  init?(
    store: ContentStore, id: String, repository: Repository, path: String, creating: Bool, algorithm: Digest.Algorithm
  ) throws(OCIError) {
    self.store = store
    self.id = id
    self.repository = repository
    self.path = path
    descriptor = Glibc.open(path, O_RDWR | O_APPEND | O_CLOEXEC | (creating ? O_CREAT | O_EXCL : 0), 0o644)
    state = Mutex(State(hasher: DigestHasher(algorithm), algorithm: algorithm, offset: 0))
    guard descriptor >= 0 else {
      if errno == ENOENT, !creating { return nil }
      throw OCIError(SystemError.last("open the upload \(path)"))
    }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      throw OCIError(.busy, "the upload \(id) is used by another process")
    }
    // Whoever held the lock before may have removed it.
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_nlink > 0 else { return nil }
    if status.st_size > 0 {
      state.withLock { state in
        state.hasher = nil
        state.offset = Int64(status.st_size)
      }
    }
    touch()
  }

  deinit { if descriptor >= 0 { _ = close(descriptor) } }

  /// How many bytes there are.
  public var offset: Int64 { state.withLock { $0.offset } }

  /// Appends bytes.
  /// - Parameters:
  ///   - at: where the sender says that they begin.
  ///   - stored: the size of the blob when the repository has it already. Up to there the upload takes no room in a
  ///     quota; a longer one is something else.
  /// - Throws: `outOfOrder` when that is not where the upload ends; `notFound` when it has been finished or cancelled;
  ///   `busy` while it is being finished. After `diskFull`, `quotaExceeded` and `tooManyUploads` the upload ends where
  ///   it ended before.
  public func append(_ bytes: UnsafeRawBufferPointer, at: Int64? = nil, stored: Int64 = 0) throws(OCIError) {
    let failure: OCIError? = state.withLock { state in
      if let refusal = refusal(state) { return refusal }
      if let at, at != state.offset {
        return OCIError(
          .outOfOrder, "the bytes begin at \(at), but the upload \(id) has \(state.offset) bytes so far")
      }
      guard let store else { return OCIError(.closed, "the image store is closed") }
      do throws(OCIError) {
        try store.reserve(
          Int64(bytes.count), for: self, isFree: state.offset + Int64(bytes.count) <= stored)
      } catch {
        return error
      }
      let code = DurableFile.writeAll(descriptor, bytes)
      guard code == 0 else {
        store.giveBack(Int64(bytes.count), of: self)
        _ = ftruncate(descriptor, Int(state.offset))
        return OCIError(SystemError("write the upload \(id)", errno: code))
      }
      state.hasher?.update(bytes)
      state.offset += Int64(bytes.count)
      return nil
    }
    if let failure { throw failure }
  }

  public func append(_ bytes: [UInt8], at: Int64? = nil) throws(OCIError) {
    try bytes.withUnsafeBufferPointer { (buffer) throws(OCIError) in
      try append(UnsafeRawBufferPointer(buffer), at: at)
    }
  }

  /// Stores the bytes as a blob of the repository, and ends the upload. Durable when it returns.
  /// - Throws: `digestMismatch` when the digest is another one: the upload is gone then, and nothing was stored.
  ///   `quotaExceeded`, `diskFull`: the upload stays and can be finished later. `busy` while it is being finished.
  public func finish(_ digest: Digest) throws(OCIError) -> StoredBlob {
    let (snapshot, failure) = state.withLock { state -> (State, OCIError?) in
      let failure = refusal(state)
      // Nobody may append to the file from now on.
      if failure == nil { state.isFinishing = true }
      return (state, failure)
    }
    if let failure { throw failure }
    guard let store else {
      state.withLock { $0.isFinishing = false }
      throw OCIError(.closed, "the image store is closed")
    }
    var isDone = false
    defer {
      if !isDone {
        store.setStored(self, false)
        state.withLock { $0.isFinishing = false }
      }
    }
    let content: Digest
    if snapshot.algorithm == digest.algorithm, let hasher = snapshot.hasher {
      content = hasher.finish()
    } else {
      content = try store.hash(descriptor, path, digest.algorithm)
    }
    let staged = StagedFile(path: path, descriptor: descriptor, digest: content, size: snapshot.offset)
    guard staged.digest == digest else {
      isDone = true
      end()
      discard()
      throw OCIError(
        .digestMismatch, "the content has the digest \(staged.digest), but \(digest) was given; nothing was stored",
        digests: [digest])
    }
    try store.store(staged) { [self, store] (transaction: Transaction, blob: Int64) throws(OCIError) in
      try transaction.link(blob, in: try transaction.repositoryID(repository))
      // Before anybody can see the change: a parallel upload would find the bytes twice.
      store.setStored(self, true)
    }
    isDone = true
    end()
    return StoredBlob(digest: digest, size: staged.size)
  }

  /// Ends the upload and removes its bytes. Without effect when it has ended.
  /// - Throws: `busy` while it is being finished.
  public func cancel() throws(OCIError) { try cancel(onlyEmpty: false) }

  /// Ends an upload that has no bytes; returns whether it has ended.
  func cancelIfEmpty() -> Bool {
    try? cancel(onlyEmpty: true)
    return state.withLock { $0.isFinished }
  }

  private func cancel(onlyEmpty: Bool) throws(OCIError) {
    let (isFirst, failure) = state.withLock { state -> (Bool, OCIError?) in
      guard !state.isFinished, !onlyEmpty || state.offset == 0 else { return (false, nil) }
      let failure = refusal(state)
      if failure == nil { state.isFinished = true }
      return (failure == nil, failure)
    }
    if let failure { throw failure }
    guard isFirst else { return }
    forget()
    discard()
  }

  /// Removes the bytes. The room that they took is free when it returns, whoever still has the file open. An attempt to
  /// finish that failed late may have made the file a blob already: it has a name then, and stays.
  private func discard() {
    _ = unlink(path)
    var status = stat()
    if fstat(descriptor, &status) == 0, status.st_nlink == 0 { _ = ftruncate(descriptor, 0) }
  }

  /// Remembers when it was used, for the collection of those that nobody goes on with.
  func touch() {
    guard let now = store?.time.now().microseconds else { return }
    let time = timespec(tv_sec: Int(now / 1_000_000), tv_nsec: Int(now % 1_000_000) * 1000)
    _ = futimens(descriptor, [time, time])
  }

  private func end() {
    state.withLock { $0.isFinished = true }
    forget()
  }

  private func forget() { store?.forget(self) }

  /// Why nothing can be done with it; `nil` when something can.
  private func refusal(_ state: State) -> OCIError? {
    if state.isFinished { return gone }
    return state.isFinishing ? OCIError(.busy, "the upload \(id) is being finished by another request") : nil
  }

  private var gone: OCIError { OCIError(.notFound, "the upload \(id) has ended; begin a new one") }
}
