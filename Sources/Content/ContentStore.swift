import Glibc
import Layers
import LinuxSystem
import OCI
import SQLite
import Synchronization
import Wire

/// The content of this machine's images: one store of blobs under their digests for the registry, the builder and the
/// node, and a catalog of the repositories that name them.
///
/// ```
/// ROOT/blobs/sha256/HEX      every blob, verified before it got its name
/// ROOT/catalog.db            repositories, tags, manifests, leases (SQLite)
/// ROOT/unpacked/HEX/fs       a layer's files, ready as an overlay's lower layer; HEX is its diffID
/// ROOT/uploads/ID-OWNER      uploads that are not finished; they survive a restart
/// ROOT/work/                 what is being made; what a dead process left is removed by the next one
/// ROOT/quarantine/           blobs whose bytes were found to be wrong
/// ROOT/changes/names         replaced, by a rename, after tags or manifests came, went or moved
/// ```
///
/// Calls block shortly: make them from a thread that may wait, not from the cooperative pool. They may come from any
/// thread, and several processes may use one store. What a call has answered survives a power failure: the bytes are
/// synced before they get a name, the name before the catalog has it, and the catalog before the answer. Parallel calls
/// share these syncs. A call that throws has changed nothing.
///
/// **What is kept.** A tag keeps its manifest, a manifest its configuration, layers and children, an image everything
/// whose `subject` it is; leases and pins keep what they name with all that it consists of. `collectGarbage` moves the
/// rest to the trash and deletes it later. It cannot race a push: references are rows, and deleting and referring happen
/// under one lock.
public final class ContentStore: Sendable {
  public let root: String
  public let limits: ImageLimits
  let time: any TimeSource
  let isDurable: Bool
  let faults: Faults
  let readers: ReadPool
  let writer: CatalogWriter
  let manifests = ManifestCache(bytesMax: 32 << 20)
  let verified = VerifiedBlobs()
  let uploads = Mutex(UploadTable())
  let needsSweep = Atomic<Bool>(true)
  /// Whether there may be quotas: as long as nobody here has said that there are none.
  let hasQuotas = Atomic<Bool>(true)
  private let workspace = Mutex<Workspace?>(nil)
  private let staged = Atomic<Int>(0)

  private init(
    root: String, limits: ImageLimits, time: any TimeSource, isDurable: Bool, faults: Faults
  ) throws(OCIError) {
    self.root = root
    self.limits = limits
    self.time = time
    self.isDurable = isDurable
    self.faults = faults
    let path = "\(root)/catalog.db"
    try Self.expectCatalog(path, root: root)
    // SQLite would make the file readable for everybody. Its log inherits the mode.
    let file = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw OCIError(SystemError.last("open \(path)")) }
    _ = Glibc.close(file)
    let catalog = try Catalog(path: path, isDurable: isDurable)
    try catalog.prepareSchema()
    readers = ReadPool(path: path, isDurable: isDurable)
    let changes = "\(root)/changes/names"
    writer = CatalogWriter(
      catalog: catalog, root: root, time: time, isDurable: isDurable, faults: faults,
      namesChanged: { ContentStore.announce(changes) })
  }

  deinit { close() }

  /// Opens the store, and makes it when there is none. The names in an `index.json` of an older version are taken over.
  public static func open(
    root: String, limits: ImageLimits = ImageLimits(), time: any TimeSource = SystemClock()
  ) throws(OCIError) -> ContentStore {
    try open(root: root, limits: limits, time: time, isDurable: true, faults: Faults())
  }

  /// - Parameter isDurable: `false` leaves out every fsync: for simulations of many processes' deaths.
  static func open(
    root: String, limits: ImageLimits = ImageLimits(), time: any TimeSource, isDurable: Bool, faults: Faults
  ) throws(OCIError) -> ContentStore {
    try system { () throws(SystemError) in
      for folder in ["blobs/sha256", "blobs/sha512", "unpacked", "uploads", "quarantine", "changes", "work"] {
        try Directory.create("\(root)/\(folder)", mode: 0o755)
      }
      // Layers have set-user-id programs and other users' files: nobody but root walks in.
      guard chmod(root, 0o700) == 0 else { throw SystemError.last("chmod \(root)") }
    }
    return try locked(root) { () throws(OCIError) in
      Workspace.sweep(root: root)
      let store = try ContentStore(root: root, limits: limits, time: time, isDurable: isDurable, faults: faults)
      try store.takeOverIndex()
      return store
    }
  }

  /// A catalog that is gone is no new one when there are blobs: their names would be lost silently, and the blobs with
  /// them. An `index.json` is an older version's catalog.
  private static func expectCatalog(_ path: String, root: String) throws(OCIError) {
    var status = stat()
    let isThere = stat(path, &status) == 0 && status.st_size > 0
    guard !isThere, access("\(root)/index.json", F_OK) != 0,
      (try? Directory.list("\(root)/blobs/sha256"))?.isEmpty == false
    else { return }
    throw OCIError(
      .corrupt,
      """
      \(path) is gone or empty, but there are blobs: the names of the images are lost. Restore \(root)/ from a backup, \
      or move it away to begin without images
      """)
  }

  /// Waits for calls that are working; later ones fail with `closed`.
  public func close() {
    writer.close()
    readers.close()
    uploads.withLock { $0.open = [:] }
  }

  // MARK: Names

  /// The folder in which a file is replaced whenever names have changed, by whichever process: for inotify(7).
  public var changesFolder: String { "\(root)/changes" }

  private static func announce(_ path: String) {
    // A file system event, not data: it needs no fsync, and when it fails, what watches only learns later.
    let temporary = "\(path).\(getpid())"
    let fd = Glibc.open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard fd >= 0 else { return }
    _ = Glibc.close(fd)
    _ = rename(temporary, path)
  }

  private static let hostsKey = "registry-hosts"

  /// The names under which our own registry is reached, such as `localhost:5000`; the first one is shown to people.
  public func registryHosts() throws(OCIError) -> [String] {
    try readers.read { (catalog: Catalog) throws(OCIError) in try ContentStore.registryHosts(catalog) }
  }

  static func registryHosts(_ catalog: Catalog) throws(OCIError) -> [String] {
    let text = try catalog.first("SELECT value FROM meta WHERE key = ?1", .init(hostsKey)) { row in row.text(0) }
    return text?.split(separator: " ").map(String.init) ?? []
  }

  /// Sets the names of our own registry, for all processes that use the store.
  public func setRegistryHosts(_ hosts: [String]) throws(OCIError) {
    guard try registryHosts() != hosts else { return }
    for host in hosts {
      guard try Reference(parsing: "\(host)/a").registry == host else {
        throw OCIError(.invalidReference, "\"\(host)\" cannot be the name of a registry: use HOST:PORT")
      }
    }
    try writer.perform { (transaction: Transaction) throws(OCIError) in
      try transaction.catalog.run(
        "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        .init(ContentStore.hostsKey), .init(hosts.joined(separator: " ")))
      transaction.hasNewNames = true
    }
  }

  /// The repository that a reference means: our own when it names our registry.
  public func repository(for reference: Reference) throws(OCIError) -> Repository {
    try registryHosts().contains(reference.registry)
      ? Repository(path: reference.repository)
      : Repository(host: reference.registry, path: reference.repository)
  }

  // MARK: Files

  /// A name for a file in our workspace, which no process uses.
  func stagedPath() throws(OCIError) -> String {
    let number = staged.add(1, ordering: .relaxed).newValue
    if let workspace = workspace.withLock({ $0 }) { return "\(workspace.path)/\(number)" }
    return try locked { () throws(OCIError) in
      let workspace = try workspace.withLock { (known) throws(OCIError) in
        let workspace = if let known { known } else { try Workspace(root: root) }
        known = workspace
        return workspace
      }
      return "\(workspace.path)/\(number)"
    }
  }

  /// Runs `body` while no other process or thread opens the store, or makes or sweeps workspaces.
  func locked<T>(_ body: () throws(OCIError) -> T) throws(OCIError) -> T { try ContentStore.locked(root, body) }

  private static func locked<T>(_ root: String, _ body: () throws(OCIError) -> T) throws(OCIError) -> T {
    let lock = try lockFile("\(root)/lock")
    defer { _ = Glibc.close(lock) }
    return try body()
  }

  /// Waits for a lock, which ends with the descriptor.
  static func lockFile(_ path: String) throws(OCIError) -> Int32 {
    let fd = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard fd >= 0 else { throw OCIError(SystemError.last("open \(path)")) }
    while flock(fd, LOCK_EX) != 0 {
      guard errno == EINTR else {
        let error = OCIError(SystemError.last("lock \(path)"))
        _ = Glibc.close(fd)
        throw error
      }
    }
    return fd
  }

  /// Syncs a file that is about to get its name.
  func sync(_ fd: Int32, _ path: String) throws(OCIError) {
    guard isDurable else { return }
    guard fsync(fd) == 0 else { throw OCIError(SystemError.last("fsync \(path)")) }
  }
}

extension Duration {
  /// In the unit of the catalog's times; saturating.
  var microseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
    guard !overflow else { return seconds < 0 ? .min / 4 : .max / 4 }
    return min(max(product, .min / 4), .max / 4) + attoseconds / 1_000_000_000_000
  }
}
