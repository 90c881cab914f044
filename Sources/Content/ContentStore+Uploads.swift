import Glibc
import LinuxSystem
import OCI
import Synchronization
import Wire

/// What a store knows of uploads: those that are open, and how many there are.
struct UploadTable {
  struct Open {
    let upload: Upload
    /// Larger for those that were used later.
    var used: UInt64
  }

  var open: [String: Open] = [:]
  var limits = UploadLimits()
  /// `nil` until it is needed: then it is read from the folder. Another process' uploads are seen there.
  fileprivate var ledger: UploadLedger?
  private var uses: UInt64 = 0

  /// Uploads that are kept open between requests.
  private static let openMax = 256

  mutating func use(_ id: String) -> Upload? {
    uses += 1
    open[id]?.used = uses
    return open[id]?.upload
  }

  /// Keeps it, and lets go of the one that was used least recently. Its file stays; whoever goes on with it opens it
  /// again.
  mutating func keep(_ upload: Upload) {
    if open.count >= Self.openMax, let oldest = open.min(by: { $0.value.used < $1.value.used }) {
      open[oldest.key] = nil
    }
    uses += 1
    open[upload.id] = Open(upload: upload, used: uses)
  }
}

extension ContentStore {
  /// Sets what unfinished uploads may take. It counts for what this process takes in; uploads of other processes are
  /// counted as they are found in the folder, at the first use and at each collection.
  public func setUploadLimits(_ limits: UploadLimits) { uploads.withLock { $0.limits = limits } }

  /// Begins an upload into a repository, which need not exist.
  /// - Parameter algorithm: of the digest that will be given at the end, when it is known: another one is computed then
  ///   by reading everything again.
  /// - Throws: `tooManyUploads`.
  public func beginUpload(
    in repository: Repository, algorithm: Digest.Algorithm = .sha256
  ) throws(OCIError) -> Upload {
    let id = ContentStore.newUploadID()
    let owner = ContentStore.owner(repository)
    var attempts = 0
    while true {
      do throws(OCIError) {
        try count(id, owner)
        break
      } catch {
        attempts += 1
        guard error.code == .tooManyUploads, attempts <= Self.attemptsMax, makeRoom(for: owner) else { throw error }
      }
    }
    do throws(OCIError) {
      guard
        let upload = try Upload(
          store: self, id: id, repository: repository, path: uploadPath(id, owner), creating: true,
          algorithm: algorithm)
      else { throw OCIError(.busy, "the new upload \(id) has been removed by somebody else; try again") }
      uploads.withLock { $0.keep(upload) }
      return upload
    } catch {
      uploads.withLock { $0.ledger?.remove(id) }
      throw error
    }
  }

  /// Others may take what room was made, or use what was to be removed.
  private static let attemptsMax = 16

  /// Removes uploads whose time is over, or one in which nothing is lost: beginning many must not lock others out.
  /// - Returns: whether it is worth to try again.
  private func makeRoom(for owner: String) -> Bool {
    if hasIdleUploads(), removeIdleUploads() > 0 { return true }
    guard let (id, itsOwner) = withLedger({ (ledger, limits) in ledger.dispensable(for: owner, limits) }) else {
      return false
    }
    if let open = uploads.withLock({ $0.open[id]?.upload }) {
      if !open.cancelIfEmpty() { touchEntry(id) }
    } else if removeEmpty(uploadPath(id, itsOwner)) {
      uploads.withLock { $0.ledger?.remove(id) }
    } else {
      // It is used after all: another one is next.
      touchEntry(id)
    }
    return true
  }

  private func touchEntry(_ id: String) {
    let now = time.now().microseconds
    uploads.withLock { $0.ledger?.touch(id, now: now) }
  }

  /// Removes the file of an upload that has no bytes and that nobody has open; returns whether it is gone.
  private func removeEmpty(_ path: String) -> Bool {
    let fd = Glibc.open(path, O_RDWR | O_CLOEXEC)
    guard fd >= 0 else { return errno == ENOENT }
    defer { _ = Glibc.close(fd) }
    var status = stat()
    return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &status) == 0 && status.st_size == 0
      && Glibc.unlink(path) == 0
  }

  /// An upload that has been begun in the repository; `nil` when there is none of that id, or no more.
  /// - Throws: `busy` when another process or request has it.
  public func upload(_ id: String, in repository: Repository) throws(OCIError) -> Upload? {
    guard id.utf8.count == 32, Digest.isHex(id) else { return nil }
    let upload = try uploads.withLock { (table) throws(OCIError) -> Upload? in
      if let upload = table.use(id) { return upload.repository == repository ? upload : nil }
      let path = uploadPath(id, ContentStore.owner(repository))
      if access(path, F_OK) != 0 { takeOver(id, repository, as: path, &table) }
      let upload = try Upload(
        store: self, id: id, repository: repository, path: path, creating: false, algorithm: .sha256)
      if let upload { table.keep(upload) }
      return upload
    }
    if let upload {
      upload.touch()
      touchEntry(id)
    }
    return upload
  }

  /// Gives an upload that an older program began its new name.
  private func takeOver(_ id: String, _ repository: Repository, as path: String, _ table: inout UploadTable) {
    let owner = String(Digest(of: Array("\(repository.host)/\(repository.path)".utf8)).hex.prefix(16))
    guard rename(uploadPath(id, owner), path) == 0, var entry = table.ledger?.entries[id] else { return }
    entry.owner = ContentStore.owner(repository)
    table.ledger?.put(id, entry)
  }

  private func uploadPath(_ id: String, _ owner: String) -> String { "\(root)/uploads/\(id)-\(owner)" }

  private static func newUploadID() -> String {
    var text = ""
    for _ in 0..<2 {
      let digits = String(UInt64.random(in: .min ... .max), radix: 16)
      text += String(repeating: "0", count: 16 - digits.count) + digits
    }
    return text
  }

  // MARK: Names

  /// The longest that may stand behind the id and its dash: the name of a file has up to 255 bytes.
  private static let ownerBytesMax = 255 - 33

  /// An upload belongs to one repository, whose name is a part of the file's: `HOST%PATH` with `%` for `/`. The end of
  /// one that is too long is a digest; so is all of one that has other characters than names of registries.
  private static func owner(_ repository: Repository) -> String {
    let text = Array("\(repository.host)/\(repository.path)".utf8)
    let isPlain = text.allSatisfy { byte in
      byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "%") && byte != UInt8(ascii: "=")
    }
    let name = String(decoding: isPlain ? text : [], as: UTF8.self).replacing("/", with: "%")
    if isPlain, text.count <= ownerBytesMax { return name }
    let digest = Digest(of: text).hex.prefix(32)
    return "\(name.prefix(ownerBytesMax - 1 - digest.utf8.count))=\(digest)"
  }

  /// Whether the repository is `HOST/PREFIX` or below it; all of the host for the empty prefix.
  private static func isOwner(_ owner: String, host: String, prefix: String) -> Bool {
    let start = "\(host)%\(prefix.replacing("/", with: "%"))"
    return prefix.isEmpty ? owner.hasPrefix(start) : owner == start || owner.hasPrefix("\(start)%")
  }

  // MARK: Counting

  private func count(_ id: String, _ owner: String) throws(OCIError) {
    let now = time.now().microseconds
    try withLedger { (ledger, limits) throws(OCIError) in try ledger.begin(id, of: owner, now: now, limits) }
  }

  /// Makes room for bytes that are about to be written to an upload.
  func reserve(_ bytes: Int64, for upload: Upload, isFree: Bool) throws(OCIError) {
    let (id, owner, now) = (upload.id, ContentStore.owner(upload.repository), time.now().microseconds)
    try withLedger { (ledger, limits) throws(OCIError) in
      try ledger.grow(id, of: owner, by: bytes, now: now, limits)
    }
    if isFree || !hasQuotas.load(ordering: .relaxed) { return }
    do throws(OCIError) {
      // Counted already, so that two uploads at one time cannot both take the last room.
      try checkQuota(of: upload.repository, adding: 0)
    } catch {
      giveBack(bytes, of: upload)
      throw error
    }
  }

  func giveBack(_ bytes: Int64, of upload: Upload) {
    uploads.withLock { $0.ledger?.shrink(upload.id, by: bytes) }
  }

  /// Whether the repository has the upload's bytes.
  func setStored(_ upload: Upload, _ isStored: Bool) {
    uploads.withLock { $0.ledger?.setStored(upload.id, isStored) }
  }

  func forget(_ upload: Upload) {
    uploads.withLock { table in
      table.open[upload.id] = nil
      table.ledger?.remove(upload.id)
    }
  }

  func unfinishedBytes(host: String, prefix: String) -> Int64 {
    withLedger { (ledger, _) in ledger.bytes { ContentStore.isOwner($0, host: host, prefix: prefix) } }
  }

  /// How many uploads are not finished, and their bytes.
  public func unfinishedUploads() -> (count: Int, bytes: Int64) {
    withLedger { (ledger, _) in (ledger.total.count, ledger.total.bytes) }
  }

  private func withLedger<T: Sendable, Failure: Error>(
    _ body: (inout UploadLedger, UploadLimits) throws(Failure) -> T
  ) throws(Failure) -> T {
    try uploads.withLock { (table) throws(Failure) -> T in
      var ledger = table.ledger ?? readLedger(UploadLedger())
      // Not in two places while it is changed: it would be copied.
      table.ledger = nil
      defer { table.ledger = ledger }
      return try body(&ledger, table.limits)
    }
  }

  /// The uploads that are in the folder.
  /// - Parameter known: what has been counted; it may be ahead of what has been written.
  private func readLedger(_ known: UploadLedger) -> UploadLedger {
    var ledger = UploadLedger()
    for name in (try? Directory.list("\(root)/uploads")) ?? [] {
      var status = stat()
      guard name.utf8.count > 33, stat("\(root)/uploads/\(name)", &status) == 0 else { continue }
      let id = String(name.prefix(32))
      let before = known.entries[id]
      ledger.put(
        id,
        UploadLedger.Entry(
          owner: String(name.dropFirst(33)), bytes: max(Int64(status.st_size), before?.bytes ?? 0),
          touched: max(Int64(status.st_mtim.tv_sec) * 1_000_000, before?.touched ?? 0),
          isStored: before?.isStored ?? false))
    }
    return ledger
  }

  // MARK: Expiry

  private func idleLimit() -> Int64 { time.now().microseconds - uploads.withLock { $0.limits.idleMax }.microseconds }

  private func hasIdleUploads() -> Bool {
    let limit = idleLimit()
    return withLedger { (ledger, _) in ledger.hasIdle(before: limit) }
  }

  /// Removes uploads that nobody has gone on with for as long as the limits allow, and counts the others again.
  @discardableResult
  public func removeIdleUploads() -> Int {
    let limit = idleLimit()
    var removed = 0
    for name in (try? Directory.list("\(root)/uploads")) ?? [] {
      let path = "\(root)/uploads/\(name)"
      var status = stat()
      guard stat(path, &status) == 0, Int64(status.st_mtim.tv_sec) * 1_000_000 < limit else { continue }
      if let open = uploads.withLock({ $0.open[String(name.prefix(32))]?.upload }) {
        if (try? open.cancel()) != nil { removed += 1 }
        continue
      }
      let fd = Glibc.open(path, O_RDWR | O_CLOEXEC)
      guard fd >= 0 else { continue }
      defer { _ = Glibc.close(fd) }
      // Another process may have it open.
      if flock(fd, LOCK_EX | LOCK_NB) == 0, Glibc.unlink(path) == 0 { removed += 1 }
    }
    uploads.withLock { table in
      if let known = table.ledger { table.ledger = readLedger(known) }
    }
    return removed
  }
}
