import Content
import HTTP
import NIOCore
import NIOHTTP1
import OCI
import Synchronization

extension RegistryClient {
  /// Pushes a manifest with all that it needs, an index with its children.
  ///
  /// What the registry has is not sent; what it has in another repository is mounted. The manifest comes last. Layers
  /// that registries must not hand out stay where they are. A child of an index that is not in the store must be at the
  /// registry already.
  /// - Parameters:
  ///   - source: the manifest in `repository` of the store.
  ///   - reference: where to; its tag, if it has one, names the manifest there. A digest in it must be the manifest's.
  ///   - withReferrers: also pushes the signatures, SBOMs … whose `subject` is the image or a child of it.
  ///   - mountFrom: paths of repositories of the same registry that may have the blobs.
  ///   - progress: called from several tasks.
  /// - Returns: the digest of what was pushed.
  @discardableResult
  public func push(
    _ source: ManifestReference, in repository: Repository, of store: ContentStore, to reference: Reference,
    withReferrers: Bool = false, mountFrom: [String] = [], credentials: Credentials? = nil,
    progress: @escaping @Sendable (TransferEvent) -> Void = { _ in }
  ) async throws(DistributionError) -> Digest {
    let target = Repository(host: reference.registry, path: reference.repository)
    try check(target)
    var candidates = mountFrom
    if repository.host == target.host { candidates.append(repository.path) }
    let transfer = PushTransfer(
      client: self, store: store, source: repository, target: target, withReferrers: withReferrers,
      candidates: candidates.filter { $0 != target.path }, credentials: credentials, label: "push to \(reference)",
      progress: progress)
    return try await transfer.run(source, reference)
  }
}

/// One push.
private final class PushTransfer: Sendable {
  private struct Item: Sendable {
    var record: ManifestRecord
    var document: ManifestDocument
  }

  private let client: RegistryClient
  private let store: ContentStore
  private let source: Repository
  private let target: Repository
  private let withReferrers: Bool
  private let candidates: [String]
  private let credentials: Credentials?
  private let label: String
  private let progress: @Sendable (TransferEvent) -> Void

  init(
    client: RegistryClient, store: ContentStore, source: Repository, target: Repository, withReferrers: Bool,
    candidates: [String], credentials: Credentials?, label: String,
    progress: @escaping @Sendable (TransferEvent) -> Void
  ) {
    self.client = client
    self.store = store
    self.source = source
    self.target = target
    self.withReferrers = withReferrers
    // Each candidate that does not have a blob costs a request per blob.
    self.candidates = Array(candidates.prefix(4))
    self.credentials = credentials
    self.label = label
    self.progress = progress
  }

  func run(_ reference: ManifestReference, _ name: Reference) async throws(DistributionError) -> Digest {
    guard let top = try await record(reference) else {
      throw DistributionError(.store, "\(label): \(source) has no manifest \(reference)")
    }
    if let digest = name.digest, digest != top.digest {
      throw DistributionError(.contentMismatch, "\(label): the manifest has the digest \(top.digest)")
    }
    progress(.resolved(top.digest, mediaType: top.mediaType))
    let items = try await tree(top)
    var seen = Set<Digest>()
    let blobs = items.flatMap { $0.document.blobs }
      .filter { !MediaType.isNondistributable($0.mediaType) && seen.insert($0.digest).inserted }
    try await inParallel(client.configuration.limits.parallelBlobs, blobs) { (blob) async throws(DistributionError) in
      try await self.push(blob)
    }
    for item in items where item.record.digest != top.digest { try await put(item.record, .digest(item.record.digest)) }
    if let tag = name.tag {
      // A tag alone would get a sha256 digest.
      if top.digest.algorithm != .sha256 { try await put(top, .digest(top.digest)) }
      try await put(top, .tag(tag))
      progress(.tagged(tag, top.digest))
    } else {
      try await put(top, .digest(top.digest))
    }
    return top.digest
  }

  private func put(_ record: ManifestRecord, _ reference: ManifestReference) async throws(DistributionError) {
    try await client.putManifest(
      record.bytes, mediaType: record.mediaType, as: reference, in: target, credentials: credentials)
    progress(.stored(record.digest))
  }

  private func record(_ reference: ManifestReference) async throws(DistributionError) -> ManifestRecord? {
    let (store, source) = (store, source)
    return try await client.blocking.run(label) { () throws(OCIError) in try store.manifest(reference, in: source) }
  }

  /// The manifest, its children and, if wanted, the referrers of each; children first, referrers after their subject.
  private func tree(_ top: ManifestRecord) async throws(DistributionError) -> [Item] {
    var items: [Item] = []
    var referrers: [ManifestRecord] = []
    var seen: Set<Digest> = [top.digest]
    var queue = [top]
    func count(_ digest: Digest) throws(DistributionError) -> Bool {
      guard seen.count < client.configuration.limits.manifestsPerTransfer else {
        throw DistributionError(.limitExceeded, "\(label): there are too many manifests below it")
      }
      return seen.insert(digest).inserted
    }
    while true {
      var found: [Item] = []
      while let record = queue.popLast() {
        let label = "manifest \(record.digest) of \(source)"
        let document = try ociErrors(label) { () throws(OCIError) in
          try ManifestDocument(record.bytes, mediaType: record.mediaType, label: label)
        }
        found.append(Item(record: record, document: document))
        for child in document.manifests where try count(child.digest) {
          if let record = try await self.record(.digest(child.digest)) {
            queue.append(record)
          } else if try await client.manifestHead(.digest(child.digest), in: target, credentials: credentials) == nil {
            throw DistributionError(
              .store,
              "\(label): its child \(child.digest)\(child.platform.map { " for \($0)" } ?? "") is neither here nor at "
                + "\(target); pull all platforms first, or push the image of one platform")
          }
        }
        guard withReferrers else { continue }
        let (store, source) = (store, source)
        var mark: Int64? = 0
        while let after = mark {
          let page = try await client.blocking.run(label) { () throws(OCIError) in
            try store.referrers(to: record.digest, in: source, after: after)
          }
          for referrer in page.descriptors where try count(referrer.digest) {
            if let record = try await self.record(.digest(referrer.digest)) { referrers.append(record) }
          }
          mark = page.next
        }
      }
      items += found.reversed()
      guard !referrers.isEmpty else { return items }
      queue = referrers
      referrers = []
    }
  }

  // MARK: Blobs

  private func push(_ blob: Descriptor) async throws(DistributionError) {
    if try await exists(blob) {
      progress(.exists(blob.digest, size: blob.size))
      return
    }
    var location: HTTPURL?
    for candidate in candidates {
      do throws(DistributionError) {
        location = try await mount(blob, from: candidate)
      } catch {
        // No right to read over there, or mounts are not known: then it is uploaded.
        guard [.unauthorized, .denied, .notFound, .rejected].contains(error.code) else { throw error }
        continue
      }
      guard location != nil else {
        progress(.mounted(blob.digest, from: candidate))
        return
      }
    }
    progress(.started(blob.digest, size: blob.size))
    try await upload(blob, location)
    progress(.finished(blob.digest, size: blob.size))
  }

  private func exists(_ blob: Descriptor) async throws(DistributionError) -> Bool {
    try await client.blobSize(
      blob.digest, in: target, asksMirrors: false, actions: ["pull", "push"], credentials: credentials) != nil
  }

  /// Asks for the blob of another repository; returns where to upload it when the registry does not have it there.
  private func mount(_ blob: Descriptor, from other: String) async throws(DistributionError) -> HTTPURL? {
    var call = call(.POST, "blobs/uploads/", "the upload of \(blob.digest)", [201, 202])
    call.query = [("mount", blob.digest.description), ("from", other)]
    call.extraScopes = ["repository:\(other):pull"]
    return try await client.transport.perform(call, credentials: credentials) {
      (response, context) throws(DistributionError) in
      await response.discard()
      return response.status == 201 ? nil : try Self.location(response, context)
    }
  }

  private func upload(_ blob: Descriptor, _ started: HTTPURL?) async throws(DistributionError) {
    let (store, label) = (store, label)
    let file = try await client.blocking.run(label) { () throws(OCIError) in
      let file = try store.openBlob(blob.digest)
      // Not for the registry to find out what the disk has damaged.
      if let file { try store.verify(file) }
      return file
    }
    guard let file else {
      throw DistributionError(.store, "\(label): the store has no blob \(blob.digest); pull or import the image again")
    }
    guard file.size == blob.size else {
      throw DistributionError(
        .contentMismatch, "\(label): blob \(blob.digest) has \(file.size) bytes, but its manifest says \(blob.size)")
    }
    var state = UploadState(
      size: blob.size, chunk: client.configuration.limits.uploadChunk, hasSession: started != nil)
    var location = started
    let salt = client.transport.nextSalt()
    while true {
      do throws(DistributionError) {
        if try await step(&state, &location, blob, file) { return }
      } catch {
        guard case .proceed(let delay) = state.failed(error, retry: client.configuration.retry, salt: salt) else {
          throw error
        }
        progress(.retrying(blob.digest, reason: error.message))
        if delay > .zero { try await client.transport.sleep(delay) }
      }
    }
  }

  /// Does one step; returns whether the blob is there.
  private func step(
    _ state: inout UploadState, _ location: inout HTTPURL?, _ blob: Descriptor, _ file: BlobFile
  ) async throws(DistributionError) -> Bool {
    let what = "the upload of \(blob.digest)"
    switch state.next {
    case .checkExistence:
      if try await exists(blob) { return true }
      state.isMissing()
    case .begin:
      var call = call(.POST, "blobs/uploads/", what, [202])
      call.isRepeatable = false
      let (url, chunkMin) = try await client.transport.perform(call, credentials: credentials) {
        (response, context) throws(DistributionError) in
        await response.discard()
        return (
          try Self.location(response, context),
          response.headers.first(name: "oci-chunk-min-length").flatMap { ContentRange.number($0) }
        )
      }
      location = url
      state.began(chunkMin: chunkMin)
    case .sendChunk(let offset, let count):
      var call = call(.PATCH, "", what, [202, 201, 204])
      call.url = location
      call.headers = ["content-type": "application/octet-stream", "content-range": "\(offset)-\(offset + count - 1)"]
      call.body = body(blob, file, offset, count)
      call.isRepeatable = false
      let (url, end) = try await client.transport.perform(call, credentials: credentials) {
        (response, context) throws(DistributionError) in
        await response.discard()
        return (try Self.location(response, context), Self.end(response))
      }
      location = url
      state.chunkAccepted(end: end)
    case .askOffset:
      var call = call(.GET, "", what, [204, 202, 200])
      call.url = location
      call.isRepeatable = false
      let (url, end) = try await client.transport.perform(call, credentials: credentials) {
        (response, context) throws(DistributionError) in
        await response.discard()
        // The address of the upload may change with every answer, or not be told again.
        return (try? Self.location(response, context), Self.end(response))
      }
      if let url { location = url }
      state.offsetKnown(end ?? 0)
    case .close(let offset):
      var call = call(.PUT, "", what, [201, 200, 202, 204])
      call.url = location
      call.url?.addQuery("digest", blob.digest.description)
      call.headers = ["content-type": "application/octet-stream"]
      call.body = body(blob, file, offset, blob.size - offset)
      call.isRepeatable = false
      try await client.transport.perform(call, credentials: credentials) {
        (response, context) throws(DistributionError) in
        await response.discard()
        let stated = response.headers.first(name: "docker-content-digest")
        guard stated == nil || stated == blob.digest.description else {
          throw context.invalid("the registry stored another digest", code: .contentMismatch)
        }
      }
      return true
    }
    return false
  }

  private func call(_ method: HTTPMethod, _ path: String, _ what: String, _ accepted: Set<Int>) -> RegistryCall {
    RegistryCall(
      method: method, registry: target.host, repository: target.path, path: path, actions: ["pull", "push"],
      isReading: false, what: what, accepted: accepted)
  }

  private func body(_ blob: Descriptor, _ file: BlobFile, _ start: Int64, _ length: Int64) -> HTTPClientRequest.Body {
    let (client, label, progress) = (client, label, progress)
    return .source(length: length) { (offset, count) throws(DistributionError) in
      let buffer = try await client.blocking.run(label) { () throws(OCIError) in
        var failure: OCIError?
        var buffer = ByteBufferAllocator().buffer(capacity: count)
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { bytes in
          do throws(OCIError) {
            return try file.read(into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<count]), at: start + offset)
          } catch {
            failure = error
            return 0
          }
        }
        if let failure { throw failure }
        return buffer
      }
      progress(.transferred(blob.digest, bytes: start + offset, of: blob.size))
      return buffer
    }
  }

  /// Where the upload goes on.
  private static func location(
    _ response: HTTPClientResponse, _ context: RequestContext
  ) throws(DistributionError) -> HTTPURL {
    guard let text = response.headers.first(name: "location"), let url = response.url.resolving(text) else {
      throw context.invalid("it does not say where the upload goes on")
    }
    guard url.scheme == .https || response.url.scheme == .http else {
      throw context.invalid("its upload goes on in plain HTTP (\(url.redacted))")
    }
    return url
  }

  /// How many bytes the registry has: `Range: 0-99` is 100 of them. `0-0` is what most say for none at all.
  private static func end(_ response: HTTPClientResponse) -> Int64? {
    guard let range = response.headers.first(name: "range").flatMap({ ContentRange($0) }), range.first == 0,
      range.last > 0
    else { return nil }
    return range.last + 1
  }
}
