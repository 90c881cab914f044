import Content
import HTTP
import NIOCore
import OCI
import Synchronization
import Wire

extension RegistryClient {
  /// Pulls an image or artifact into the store and tags it there.
  ///
  /// Blobs that are here are not asked for, and a blob that another pull fetches at the moment is fetched once. Nothing
  /// counts before it is verified, the tag comes last: a pull that fails leaves only blobs that the next one uses, or
  /// the garbage collector takes.
  /// - Parameters:
  ///   - platform: of an index, only the suiting manifest; the index itself is stored as well. `nil` for all of them.
  ///   - target: where in the store; `nil` for the repository that the reference means there.
  ///   - progress: called from several tasks.
  ///   - isLeftOut: which layers are not fetched: somebody else sees to them.
  /// - Returns: the digest that the reference names: the index's when there is one. With a digest in the reference
  ///   nothing is tagged.
  public func pull(
    _ reference: Reference, into store: ContentStore, platform: Platform? = .host,
    as target: Repository? = nil, credentials: Credentials? = nil,
    progress: @escaping @Sendable (TransferEvent) -> Void = { _ in },
    leavingOut isLeftOut: @escaping @Sendable (Descriptor) -> Bool = { _ in false }
  ) async throws(DistributionError) -> Digest {
    let label = "pull of \(reference)"
    let destination: Repository
    if let target {
      destination = target
    } else {
      destination = try await blocking.run(label) { () throws(OCIError) in try store.repository(for: reference) }
    }
    let lease = try await blocking.run(label) { () throws(OCIError) in
      try store.lease(for: PullTransfer.leaseDuration)
    }
    let transfer = PullTransfer(
      client: self, store: store, lease: lease,
      source: Repository(host: reference.registry, path: reference.repository), target: destination, platform: platform,
      isLeftOut: isLeftOut, credentials: credentials, label: label, progress: progress)
    // What it pinned is referenced by then, or of no use.
    defer { blocking.submit { lease.release() } }
    return try await transfer.run(ManifestReference(reference), tag: reference.digest == nil ? reference.tag : nil)
  }
}

/// One pull.
private final class PullTransfer: Sendable {
  static let leaseDuration: Duration = .seconds(3600)

  private struct Item: Sendable {
    var manifest: RemoteManifest
    var document: ManifestDocument
    /// Only some of the index's children are pulled.
    var isSparse = false
  }

  private let client: RegistryClient
  private let store: ContentStore
  private let lease: Lease
  private let source: Repository
  private let target: Repository
  private let platform: Platform?
  private let isLeftOut: @Sendable (Descriptor) -> Bool
  private let credentials: Credentials?
  private let label: String
  private let progress: @Sendable (TransferEvent) -> Void
  private let leaseExtended: Mutex<Timestamp>

  init(
    client: RegistryClient, store: ContentStore, lease: Lease, source: Repository, target: Repository,
    platform: Platform?, isLeftOut: @escaping @Sendable (Descriptor) -> Bool, credentials: Credentials?, label: String,
    progress: @escaping @Sendable (TransferEvent) -> Void
  ) {
    self.client = client
    self.store = store
    self.lease = lease
    self.source = source
    self.target = target
    self.platform = platform
    self.isLeftOut = isLeftOut
    self.credentials = credentials
    self.label = label
    self.progress = progress
    leaseExtended = Mutex(client.transport.time.now())
  }

  func run(_ reference: ManifestReference, tag: String?) async throws(DistributionError) -> Digest {
    let top = try await manifest(reference)
    progress(.resolved(top.digest, mediaType: top.mediaType))
    let items = try await tree(top)
    var seen = Set<Digest>()
    let all = items.flatMap { $0.document.blobs }.filter { seen.insert($0.digest).inserted }
    let blobs = all.filter { !isLeftOut($0) }
    try await inParallel(client.configuration.limits.parallelBlobs, blobs) { (blob) async throws(DistributionError) in
      try await self.pull(blob)
    }
    for item in items {
      let isTop = item.manifest.digest == top.digest
      let tags = isTop ? tag.map { [$0] } ?? [] : []
      let (store, target, manifest) = (store, target, item.manifest)
      let requirement: ManifestRequirement = item.isSparse || blobs.count < all.count ? .nothing : .present
      _ = try await client.blocking.run(label) { () throws(OCIError) in
        try store.putManifest(
          manifest.bytes, mediaType: manifest.mediaType, digest: manifest.digest, tags: tags, in: target,
          requiring: requirement)
      }
      progress(.stored(manifest.digest))
    }
    if let tag { progress(.tagged(tag, top.digest)) }
    return top.digest
  }

  /// The manifest, from the store when it is there. A tag's digest is asked for first: that is cheap, and many
  /// registries do not count it.
  private func manifest(_ reference: ManifestReference) async throws(DistributionError) -> RemoteManifest {
    var reference = reference
    if case .tag = reference {
      do throws(DistributionError) {
        let head = try await client.manifestHead(reference, in: source, credentials: credentials)
        if let digest = head?.digest { reference = .digest(digest) }
      } catch {
        // There are registries that do not know HEAD.
        guard error.code == .rejected else { throw error }
      }
    }
    if case .digest(let digest) = reference {
      let (store, target) = (store, target)
      let record = try await client.blocking.run(label) { () throws(OCIError) in
        try store.manifest(.digest(digest), in: target)
      }
      if let record { return RemoteManifest(digest: digest, mediaType: record.mediaType, bytes: record.bytes) }
    }
    return try await client.manifest(reference, in: source, credentials: credentials)
  }

  /// The manifest and the children that are wanted, children first.
  private func tree(_ top: RemoteManifest) async throws(DistributionError) -> [Item] {
    var items: [Item] = []
    var seen: Set<Digest> = [top.digest]
    var queue = [top]
    while let manifest = queue.popLast() {
      let label = "manifest \(manifest.digest) of \(source)"
      let document = try ociErrors(label) { () throws(OCIError) in
        try ManifestDocument(manifest.bytes, mediaType: manifest.mediaType, label: label)
      }
      var item = Item(manifest: manifest, document: document)
      var children = document.manifests
      if let platform, case .index(let index) = document {
        children = [try child(of: index, for: platform)]
        item.isSparse = children.count < index.manifests.count
      }
      items.append(item)
      for child in children where seen.insert(child.digest).inserted {
        guard seen.count <= client.configuration.limits.manifestsPerTransfer else {
          throw DistributionError(.limitExceeded, "\(label) has too many manifests below it")
        }
        let loaded = try await self.manifest(.digest(child.digest))
        guard Int64(loaded.bytes.count) == child.size else {
          throw DistributionError(
            .contentMismatch, "\(label): its child \(child.digest) has \(loaded.bytes.count) bytes, not \(child.size)")
        }
        queue.append(loaded)
      }
    }
    return items.reversed()
  }

  private func child(of index: Index, for platform: Platform) throws(DistributionError) -> Descriptor {
    if let child = index.image(for: platform) { return child }
    let others = Set(index.images.compactMap { $0.platform?.description }).sorted().prefix(32)
    throw DistributionError(
      .noMatchingPlatform,
      "\(source) has no image for \(platform)\(others.isEmpty ? "" : ", only for \(others.joined(separator: ", "))")")
  }

  // MARK: Blobs

  private func pull(_ blob: Descriptor) async throws(DistributionError) {
    while true {
      if Task.isCancelled { throw DistributionError(.cancelled, "cancelled: \(label)") }
      if try await isHere(blob) {
        progress(.exists(blob.digest, size: blob.size))
        return
      }
      guard await client.downloads.begin(blob.digest, in: store) else { continue }
      defer { client.downloads.end(blob.digest, in: store) }
      // It may have come between the look and the turn.
      if try await isHere(blob) {
        progress(.exists(blob.digest, size: blob.size))
        return
      }
      try await download(blob)
      progress(.finished(blob.digest, size: blob.size))
      return
    }
  }

  private func isHere(_ blob: Descriptor) async throws(DistributionError) -> Bool {
    let (store, lease, label, source) = (store, lease, label, source)
    let size: Int64? = try await client.blocking.run(label) { () throws(OCIError) in
      guard let size = try store.blobSize(blob.digest), try lease.pin(blob.digest) else { return nil }
      return size
    }
    guard let size else { return false }
    guard size == blob.size else {
      throw DistributionError(
        .contentMismatch, "\(source): blob \(blob.digest) has \(size) bytes, but its manifest says \(blob.size)")
    }
    return true
  }

  private func download(_ blob: Descriptor) async throws(DistributionError) {
    progress(.started(blob.digest, size: blob.size))
    if let data = blob.data {
      return try await store(blob) { (write) async throws(DistributionError) in try await write(ByteBuffer(bytes: data))
      }
    }
    do throws(DistributionError) {
      try await download(blob, asksMirrors: true)
    } catch {
      if error.code == .contentMismatch, client.transport.hasMirrors(source.host) {
        // A mirror that lies must not stand between us and the registry.
        progress(.retrying(blob.digest, reason: error.message))
        return try await download(blob, asksMirrors: false)
      }
      guard error.code == .notFound, let url = blob.urls.first(where: { HTTPURL($0) != nil }) else { throw error }
      // A layer that the registry may not hand out itself.
      let stream = try await client.fetch(url)
      try await store(blob) { (write) async throws(DistributionError) in
        while let chunk = try await stream.next() { try await write(chunk) }
      }
    }
  }

  private func download(_ blob: Descriptor, asksMirrors: Bool) async throws(DistributionError) {
    let progress = progress
    let stream = try await client.blob(
      blob.digest, in: source, expected: blob.size, isVerified: false, asksMirrors: asksMirrors,
      credentials: credentials
    ) { error in progress(.retrying(blob.digest, reason: error.message)) }
    try await store(blob) { (write) async throws(DistributionError) in
      while let chunk = try await stream.next() { try await write(chunk) }
    }
  }

  /// Writes what `body` hands over into a new blob, in pieces that are worth a thread's while.
  private func store(
    _ blob: Descriptor,
    _ body: ((ByteBuffer) async throws(DistributionError) -> Void) async throws(DistributionError) -> Void
  ) async throws(DistributionError) {
    let label = "blob \(blob.digest) of \(source)"
    let (store, lease) = (store, lease)
    let writer = try await client.blocking.run(label) { () throws(OCIError) in try store.newBlob(blob.digest.algorithm)
    }
    do throws(DistributionError) {
      var pending: [ByteBuffer] = []
      var pendingBytes = 0
      var written: Int64 = 0
      func flush() async throws(DistributionError) {
        let chunks = pending
        pending = []
        written += Int64(pendingBytes)
        pendingBytes = 0
        guard written <= blob.size else {
          throw DistributionError(.contentMismatch, "\(label): more bytes come than the \(blob.size) of its manifest")
        }
        try await client.blocking.run(label) { () throws(OCIError) in
          for chunk in chunks {
            var failure: OCIError?
            chunk.withUnsafeReadableBytes { bytes in
              do throws(OCIError) { try writer.write(bytes) } catch { failure = error }
            }
            if let failure { throw failure }
          }
        }
        progress(.transferred(blob.digest, bytes: written, of: blob.size))
        try await extendLease()
      }
      try await body { (chunk) async throws(DistributionError) in
        pending.append(chunk)
        pendingBytes += chunk.readableBytes
        if pendingBytes >= 1 << 20 { try await flush() }
      }
      try await flush()
      guard written == blob.size else {
        throw DistributionError(.contentMismatch, "\(label): \(written) bytes come instead of \(blob.size)")
      }
      _ = try await client.blocking.run(label) { () throws(OCIError) in
        try writer.commit(expecting: blob.digest, lease: lease)
      }
    } catch {
      client.blocking.submit { writer.cancel() }
      throw error
    }
  }

  private func extendLease() async throws(DistributionError) {
    let now = client.transport.time.now()
    let isDue = leaseExtended.withLock { last in
      guard now.since(last) > Self.leaseDuration / 4 else { return false }
      last = now
      return true
    }
    guard isDue else { return }
    let lease = lease
    try await client.blocking.run(label) { () throws(OCIError) in try lease.extend(for: Self.leaseDuration) }
  }
}

/// Runs `body` for every element, at most `count` at a time. The first failure cancels the others and is thrown.
func inParallel<Element: Sendable>(
  _ count: Int, _ elements: [Element], _ body: @escaping @Sendable (Element) async throws(DistributionError) -> Void
) async throws(DistributionError) {
  let result: Result<Void, DistributionError> = await withTaskGroup(of: Result<Void, DistributionError>.self) { group in
    var rest = elements[...]
    var failure: DistributionError?
    func start() {
      guard failure == nil, let element = rest.popFirst() else { return }
      group.addTask {
        do throws(DistributionError) {
          try await body(element)
          return .success(())
        } catch {
          return .failure(error)
        }
      }
    }
    for _ in 0..<max(1, count) { start() }
    while let result = await group.next() {
      if case .failure(let error) = result, failure == nil {
        failure = error
        group.cancelAll()
      }
      start()
    }
    return failure.map { .failure($0) } ?? .success(())
  }
  try result.get()
}
