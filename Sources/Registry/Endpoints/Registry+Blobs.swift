import Content
import HTTP
import NIOCore
import NIOHTTP1
import OCI
import Telemetry
import Wire

extension Registry {
  // MARK: Reading

  /// GET and HEAD of a blob, whole or a part.
  func blob(_ digest: Digest, _ call: Call) async throws -> Reply {
    if let target = call.upstream { return try await upstreamBlob(digest, target, call) }
    if call.request.method == .HEAD, call.request.header("range") == nil {
      // Clients ask before a push whether they may leave the blob out: the question keeps it for the manifest to come.
      let size = try await blocking { [content] () throws(OCIError) in
        try content.blobSize(digest, in: call.repository)
      }
      guard let size else { throw RegistryError.blobUnknown(digest) }
      if let reply = Self.unchanged(digest, call.request) { return reply }
      return Reply(status: 200, headers: Self.blobHeaders(digest) + [("Content-Length", String(size))])
    }
    let file = try await blocking { [content] () throws(OCIError) in
      try content.openSoundBlob(digest, in: call.repository)
    }
    guard let file else { throw RegistryError.blobUnknown(digest) }
    return try await blob(file, call.request)
  }

  private func blob(_ file: BlobFile, _ request: Request) async throws -> Reply {
    if let reply = Self.unchanged(file.digest, request) { return reply }
    var headers = Self.blobHeaders(file.digest)
    // A range of something else than what the client has is of no use to it (RFC 9110, section 13.1.5).
    let range = request.header("if-range").map { $0 != "\"\(file.digest)\"" } == true ? nil : request.header("range")
    switch ByteRange(range, size: file.size) {
    case .full:
      guard content.isVerified(file) else { return Reply(status: 200, headers: headers, body: verifying(file)) }
      return Reply(status: 200, headers: headers, body: .file(ServedBlob(file: file, pool: pool), 0..<file.size))
    case .part(let part):
      // What one part is worth only the whole tells.
      try await verify(file)
      headers.append(("Content-Range", "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(file.size)"))
      return Reply(status: 206, headers: headers, body: .file(ServedBlob(file: file, pool: pool), part))
    case .unsatisfiable:
      return Reply(
        RegistryError(
          .rangeInvalid, "the range is not within the blob", detail: ["size": .int(file.size)],
          headers: [RegistryError.Header("Content-Range", "bytes */\(file.size)")]))
    }
  }

  private static func unchanged(_ digest: Digest, _ request: Request) -> Reply? {
    guard Preconditions.matches(ifNoneMatch: request.header("if-none-match"), entityTag: digest.description) else {
      return nil
    }
    return Reply(status: 304, headers: [("ETag", "\"\(digest)\""), ("Docker-Content-Digest", digest.description)])
  }

  private static func blobHeaders(_ digest: Digest) -> [(name: String, value: String)] {
    [
      ("Content-Type", "application/octet-stream"), ("Docker-Content-Digest", digest.description),
      ("ETag", "\"\(digest)\""), ("Accept-Ranges", "bytes"), ("Cache-Control", "max-age=31536000"),
    ]
  }

  private func upstreamBlob(_ digest: Digest, _ target: PullThrough.Target, _ call: Call) async throws -> Reply {
    if call.request.method == .HEAD {
      guard let size = try await pullThrough.blobSize(digest, target) else { throw RegistryError.blobUnknown(digest) }
      return Reply(
        status: 200, headers: Self.blobHeaders(digest) + [("Content-Length", String(size))])
    }
    guard let found = try await pullThrough.blob(digest, target) else { throw RegistryError.blobUnknown(digest) }
    switch found {
    case .stored(let file): return try await blob(file, call.request)
    case .coming(let flight, let size):
      guard call.request.header("range") == nil else {
        // A part may be anywhere: it is there when all is there.
        do {
          try await flight.stored()
        } catch {
          throw RegistryError(.unavailable, "the upstream registry's blob did not come", status: 502)
        }
        let file = try await blocking { [content] () throws(OCIError) in
          try content.openBlob(digest, in: target.local)
        }
        guard let file else { throw RegistryError.blobUnknown(digest) }
        return try await blob(file, call.request)
      }
      return Reply(
        status: 200, headers: Self.blobHeaders(digest),
        body: .stream(length: size) { [pullThrough] write in
          try await pullThrough.send(flight, size: size, digest, target, write: write)
        })
    }
  }

  func deleteBlob(_ digest: Digest, _ call: Call) async throws -> Reply {
    let (rules, name) = (call.configuration.immutability, call.name)
    let isDeleted = try await blocking { [content] () throws(OCIError) in
      try content.unlink(
        digest, in: call.repository, isImmutable: { tag in rules.contains { $0.protects(tag, in: name) } })
    }
    guard isDeleted else { throw RegistryError.blobUnknown(digest) }
    return Reply(status: 202)
  }

  // MARK: Uploads

  /// POST: begins an upload (end-4a), takes a whole blob (end-4b), or mounts one (end-11).
  func beginUpload(_ call: Call) async throws -> Reply {
    let query = call.request.query
    if let text = query["mount"] {
      guard let digest = Digest(text) else { throw RegistryError.digestInvalid(text) }
      if let reply = try await mount(digest, from: query["from"], call) { return reply }
      // What cannot be mounted is uploaded, says the specification.
      return try await begin(digest.algorithm, call)
    }
    if let text = query["digest"] {
      guard let digest = Digest(text) else { throw RegistryError.digestInvalid(text) }
      try checkLength(call)
      let stored = try await checkQuota(digest, call)
      let upload = try await blocking { [content] () throws(OCIError) in
        try content.beginUpload(in: call.repository, algorithm: digest.algorithm)
      }
      do {
        try await receive(upload, call, stored: stored)
        return try await finish(upload, digest, call)
      } catch {
        // A single request is all or nothing: nobody knows the upload's name.
        _ = try? await blocking { () throws(OCIError) in try upload.cancel() }
        throw error
      }
    }
    var algorithm = Digest.Algorithm.sha256
    if let text = query["digest-algorithm"] {
      guard let named = Digest.Algorithm(rawValue: text) else {
        throw RegistryError(
          .unsupported, "the digest algorithm is not supported; sha256 and sha512 are", status: 400,
          detail: ["algorithm": .string(String(text.prefix(100)))])
      }
      algorithm = named
    }
    return try await begin(algorithm, call)
  }

  private func begin(_ algorithm: Digest.Algorithm, _ call: Call) async throws -> Reply {
    let upload = try await blocking { [content] () throws(OCIError) in
      try content.beginUpload(in: call.repository, algorithm: algorithm)
    }
    return Reply(status: 202, headers: Self.headers(upload, call))
  }

  private func mount(_ digest: Digest, from source: String?, _ call: Call) async throws -> Reply? {
    let isMounted: Bool
    if let source {
      guard Names.isRepository(source) else { throw RegistryError.nameInvalid(source) }
      guard authenticator.mayPull(call.identity, source, call.request) else { return nil }
      let from = PullThrough.target(source, call.configuration.upstreams)?.local ?? Repository(path: source)
      isMounted = try await blocking { [content] () throws(OCIError) in
        try content.link(digest, in: call.repository, from: from)
      }
    } else {
      // From any repository of this registry that the client may read; not from images that only the node has.
      isMounted = try await blocking { [content, authenticator] () throws(OCIError) in
        try content.link(digest, in: call.repository) { name in
          authenticator.mayPull(call.identity, name, call.request)
        }
      }
    }
    guard isMounted else { return nil }
    return Reply(status: 201, headers: Self.headers(digest, call))
  }

  /// GET: how far the upload is (end-13).
  func uploadStatus(_ id: String, _ call: Call) async throws -> Reply {
    let upload = try await find(id, call)
    return Reply(status: 204, headers: Self.headers(upload, call))
  }

  /// PATCH: a chunk with its place, or a stream (end-5).
  func patchUpload(_ id: String, _ call: Call) async throws -> Reply {
    let upload = try await find(id, call)
    try checkLength(call)
    let offset = try place(upload, call)
    try await checkQuota(nil, call)
    try await receive(upload, call, at: offset)
    return Reply(status: 202, headers: Self.headers(upload, call))
  }

  /// PUT: the rest, if any, and the digest (end-6).
  func finishUpload(_ id: String, _ call: Call) async throws -> Reply {
    guard let text = call.request.query["digest"] else {
      throw RegistryError(.digestInvalid, "the digest parameter is missing")
    }
    guard let digest = Digest(text) else { throw RegistryError.digestInvalid(text) }
    let upload = try await find(id, call)
    try checkLength(call)
    let offset = try place(upload, call)
    let stored = try await checkQuota(digest, call, at: upload.offset)
    try await receive(upload, call, at: offset, stored: stored)
    return try await finish(upload, digest, call)
  }

  /// DELETE: cancels (end-14).
  func cancelUpload(_ id: String, _ call: Call) async throws -> Reply {
    let upload = try await find(id, call)
    try await blocking { () throws(OCIError) in try upload.cancel() }
    return Reply(status: 204)
  }

  private func find(_ id: String, _ call: Call) async throws(RegistryError) -> Upload {
    let upload = try await blocking { [content] () throws(OCIError) in try content.upload(id, in: call.repository) }
    guard let upload else { throw .uploadUnknown(id) }
    return upload
  }

  private func checkLength(_ call: Call) throws(RegistryError) {
    let limit = call.configuration.limits.blobBytesMax
    guard let length = call.request.contentLength, length > limit else { return }
    throw Self.tooLarge(limit)
  }

  /// Refuses early what the repository's quotas leave no room for.
  ///
  /// - Parameter offset: how many bytes have come already.
  /// - Returns: how many bytes the repository has of the blob already; so many take no room.
  @discardableResult
  private func checkQuota(
    _ digest: Digest?, _ call: Call, at offset: Int64 = 0
  ) async throws(RegistryError) -> Int64 {
    guard !call.configuration.quotas.isEmpty else { return 0 }
    // Of no disk's size, so that sums fit.
    let bytes = min(max(call.request.contentLength ?? 0, 0), 1 << 60)
    return try await blocking { [content] () throws(OCIError) in
      if let digest, let size = try content.blobSize(digest, in: call.repository), offset + bytes <= size {
        return size
      }
      try content.checkQuota(of: call.repository, adding: bytes)
      return 0
    }
  }

  private static func tooLarge(_ limit: Int64) -> RegistryError {
    RegistryError(.sizeInvalid, "a blob may have \(limit) bytes", status: 413, detail: ["limit": .int(limit)])
  }

  /// Where the chunk goes. It has to begin where the upload ends: 416 otherwise, before its bytes are taken.
  private func place(_ upload: Upload, _ call: Call) throws(RegistryError) -> Int64? {
    guard let text = call.request.header("content-range") else { return nil }
    guard let range = ChunkRange(text) else {
      throw RegistryError(
        .blobUploadInvalid, "Content-Range is START-END, both included",
        detail: ["Content-Range": .string(String(text.prefix(100)))])
    }
    if let length = call.request.contentLength, length != range.count {
      throw RegistryError(
        .sizeInvalid, "Content-Range and Content-Length contradict each other",
        detail: ["Content-Range": .string(String(text.prefix(100))), "Content-Length": .int(length)])
    }
    guard range.start == upload.offset else {
      throw RegistryError(
        .rangeInvalid, "the chunk begins at \(range.start), the upload goes on at \(upload.offset)",
        detail: ["offset": .int(upload.offset)],
        headers: Self.headers(upload, call).map { RegistryError.Header($0.name, $0.value) })
    }
    return range.start
  }

  /// Takes the body into the upload, batch after batch, at the pace of the disk.
  private func receive(_ upload: Upload, _ call: Call, at offset: Int64? = nil, stored: Int64 = 0) async throws {
    guard call.request.hasBody else { return }
    let limit = call.configuration.limits.blobBytesMax
    var position = offset ?? upload.offset
    while true {
      // What has come is kept when the connection breaks: the client goes on from there.
      let batch = try await call.request.body.next()
      if batch.isEmpty { return }
      let count = batch.reduce(0) { $0 + $1.readableBytes }
      guard position + Int64(count) <= limit else { throw Self.tooLarge(limit) }
      try await append(batch, to: upload, at: position, stored: stored, call)
      position += Int64(count)
      metrics.received.increment(by: Double(count))
    }
  }

  private func append(
    _ batch: [ByteBuffer], to upload: Upload, at start: Int64, stored: Int64, _ call: Call
  ) async throws(RegistryError) {
    do {
      try await blocking { () throws(OCIError) in
        var at = start
        for buffer in batch {
          try upload.append(buffer, at: at, stored: stored)
          at += Int64(buffer.readableBytes)
        }
      }
    } catch {
      guard error.code == .rangeInvalid else { throw error }
      throw RegistryError(
        .rangeInvalid, error.message, detail: ["offset": .int(upload.offset)],
        headers: Self.headers(upload, call).map { RegistryError.Header($0.name, $0.value) })
    }
  }

  private func finish(_ upload: Upload, _ digest: Digest, _ call: Call) async throws(RegistryError) -> Reply {
    _ = try await blocking { () throws(OCIError) in try upload.finish(digest) }
    return Reply(status: 201, headers: Self.headers(digest, call))
  }

  private static func headers(_ upload: Upload, _ call: Call) -> [(name: String, value: String)] {
    [
      ("Location", "/v2/\(call.name)/blobs/uploads/\(upload.id)"),
      ("Range", ChunkRange.header(offset: upload.offset)), ("Docker-Upload-UUID", upload.id),
    ]
  }

  private static func headers(_ digest: Digest, _ call: Call) -> [(name: String, value: String)] {
    [("Location", "/v2/\(call.name)/blobs/\(digest)"), ("Docker-Content-Digest", digest.description)]
  }
}

extension Upload {
  fileprivate func append(_ buffer: ByteBuffer, at offset: Int64, stored: Int64) throws(OCIError) {
    try buffer.withReadable { (bytes: UnsafeRawBufferPointer) throws(OCIError) in
      try append(bytes, at: offset, stored: stored)
    }
  }
}
