import Glibc
import LinuxSystem
import Synchronization

extension ContentStore {
  /// Uploads that are kept open between requests; others are read again when they go on.
  private static let openMax = 256

  /// Begins an upload into a repository, which need not exist.
  /// - Parameter algorithm: of the digest that will be given at the end, when it is known: another one is computed then
  ///   by reading everything again.
  public func beginUpload(
    in repository: Repository, algorithm: Digest.Algorithm = .sha256
  ) throws(OCIError) -> Upload {
    let id = ContentStore.newUploadID()
    guard
      let upload = try Upload(
        store: self, id: id, repository: repository, path: uploadPath(id, repository), creating: true,
        algorithm: algorithm)
    else { throw OCIError(.busy, "the new upload \(id) has been removed by somebody else; try again") }
    keep(upload)
    return upload
  }

  /// An upload that has been begun in the repository; `nil` when there is none of that id, or no more.
  ///
  /// One that an earlier process began is read once, so that its digest can go on.
  /// - Throws: `busy` when another process has it.
  public func upload(_ id: String, in repository: Repository) throws(OCIError) -> Upload? {
    if let upload = uploads.withLock({ $0[id] }) {
      guard upload.repository == repository else { return nil }
      upload.touch()
      return upload
    }
    guard id.utf8.count == 32, Digest.isHex(id) else { return nil }
    // Only one of two requests may open it.
    let lock = try ContentStore.lockFile("\(root)/uploads.lock")
    defer { _ = Glibc.close(lock) }
    if let upload = uploads.withLock({ $0[id] }) { return upload.repository == repository ? upload : nil }
    let upload = try Upload(
      store: self, id: id, repository: repository, path: uploadPath(id, repository), creating: false,
      algorithm: .sha256)
    if let upload { keep(upload) }
    return upload
  }

  private func keep(_ upload: Upload) {
    uploads.withLock { uploads in
      // Its file stays; whoever goes on with it opens it again.
      if uploads.count >= ContentStore.openMax, let other = uploads.keys.first { uploads[other] = nil }
      uploads[upload.id] = upload
    }
  }

  /// The repository is a part of the name: an upload belongs to one.
  private func uploadPath(_ id: String, _ repository: Repository) -> String {
    "\(root)/uploads/\(id)-\(Digest(of: Array("\(repository.host)/\(repository.path)".utf8)).hex.prefix(16))"
  }

  private static func newUploadID() -> String {
    var text = ""
    for _ in 0..<2 {
      let digits = String(UInt64.random(in: .min ... .max), radix: 16)
      text += String(repeating: "0", count: 16 - digits.count) + digits
    }
    return text
  }

  /// Removes uploads that nobody has gone on with.
  func removeIdleUploads(before limit: Int64) -> Int {
    var removed = 0
    for name in (try? Directory.list("\(root)/uploads")) ?? [] {
      let path = "\(root)/uploads/\(name)"
      var status = stat()
      guard stat(path, &status) == 0, Int64(status.st_mtim.tv_sec) * 1_000_000 < limit else { continue }
      let id = String(name.prefix(32))
      if let open = uploads.withLock({ $0[id] }) {
        if (try? open.cancel()) != nil { removed += 1 }
        continue
      }
      let fd = Glibc.open(path, O_RDWR | O_CLOEXEC)
      guard fd >= 0 else { continue }
      defer { _ = Glibc.close(fd) }
      // Another process may have it open.
      if flock(fd, LOCK_EX | LOCK_NB) == 0, Glibc.unlink(path) == 0 { removed += 1 }
    }
    return removed
  }
}
