import Content
import HTTP
import LinuxSystem
import NIOCore
import NIOHTTP1
import NIOPosix
import OCI
import Wire

/// The client of other registries (OCI distribution specification 1.1, and the token service of Docker Registry v2).
///
/// One per process: it keeps connections, tokens and what it has learned about hosts. All calls are safe from any task,
/// bounded in time and memory, and end soon after their task is cancelled. A `Repository`'s `host` is the registry as
/// in image names (`docker.io`, `localhost:5000`); the API behind `docker.io` is `registry-1.docker.io`.
///
/// Reads ask the host's mirrors first. Credentials are sent to the registry they are for, to the token service it
/// names, and nowhere else.
public final class RegistryClient: Sendable {
  public let configuration: RegistryClientConfiguration
  let transport: RegistryTransport
  /// For the content store's calls, which block.
  let blocking: BlockingPool
  let downloads = SharedDownloads()

  /// - Parameters:
  ///   - time: for waiting between attempts, and for the age of tokens.
  ///   - group: runs the connections.
  public init(
    configuration: RegistryClientConfiguration = RegistryClientConfiguration(), time: any TimeSource = SystemClock(),
    group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
  ) {
    self.configuration = configuration
    transport = RegistryTransport(configuration: configuration, time: time, group: group)
    blocking = BlockingPool()
  }

  /// Uses other hosts, certificates and mirrors from the next request on.
  public func update(hosts: RegistryHosts) { transport.update(hosts: hosts) }

  /// Closes the connections that are not in use; those in use close when they are done.
  public func close() { transport.close() }

  // MARK: Manifests

  /// The manifest that a reference names now; by a digest, exactly that one, verified.
  public func resolve(
    _ reference: Reference, credentials: Credentials? = nil
  ) async throws(DistributionError) -> RemoteManifest {
    try await manifest(
      ManifestReference(reference), in: Repository(host: reference.registry, path: reference.repository),
      credentials: credentials)
  }

  /// Reads a manifest or index; its digest is verified.
  public func manifest(
    _ reference: ManifestReference, in repository: Repository, credentials: Credentials? = nil
  ) async throws(DistributionError) -> RemoteManifest {
    let call = try manifestCall(.GET, reference, repository)
    return try await transport.perform(call, credentials: credentials) {
      [configuration] (response, context) throws(DistributionError) in
      let bytes = try await Self.collect(response, configuration, context)
      if let length = response.contentLength, length != Int64(bytes.count) {
        throw context.invalid("\(bytes.count) bytes come instead of \(length)")
      }
      return try Self.verified(bytes, reference, response, context)
    }
  }

  /// Checks the bytes against the digest that was asked for, or that the registry states.
  private static func verified(
    _ bytes: [UInt8], _ reference: ManifestReference, _ response: HTTPClientResponse, _ context: RequestContext
  ) throws(DistributionError) -> RemoteManifest {
    let stated = response.headers.first(name: "docker-content-digest").flatMap { Digest($0) }
    var digest = Digest(of: bytes, stated?.algorithm ?? .sha256)
    if case .digest(let wanted) = reference {
      digest = Digest(of: bytes, wanted.algorithm)
      guard digest == wanted else {
        throw context.invalid("the content has the digest \(digest); nothing of it is used", code: .contentMismatch)
      }
    } else if let stated, stated != digest {
      throw context.invalid(
        "the content has the digest \(digest), not \(stated) as the registry says", code: .contentMismatch)
    }
    let mediaType = try Self.mediaType(response, bytes, context)
    return RemoteManifest(digest: digest, mediaType: mediaType, bytes: bytes)
  }

  /// What the registry calls the manifest, or, when it calls everything the same, what the manifest calls itself.
  private static func mediaType(
    _ response: HTTPClientResponse, _ bytes: [UInt8], _ context: RequestContext
  ) throws(DistributionError) -> String {
    let stated = contentType(response)
    if stated.hasPrefix("application/vnd.docker.distribution.manifest.v1") {
      throw context.invalid(
        "the image is in Docker's schema 1, which is obsolete; push it again with a current tool", code: .unsupported)
    }
    if !["", "application/json", "application/octet-stream", "text/plain", "text/html"].contains(stated) {
      return stated
    }
    do throws(OCIError) {
      return try ManifestDocument(bytes, label: context.what).mediaType
    } catch {
      throw context.invalid("what comes is no manifest (\(error)); is this a registry?")
    }
  }

  private static func contentType(_ response: HTTPClientResponse) -> String {
    let field = response.headers.first(name: "content-type") ?? ""
    let type = field.prefix { $0 != ";" }.filter { $0 != " " }.lowercased()
    return type.utf8.count <= 255 ? type : ""
  }

  /// Asks for a manifest without its content; `nil` when it is not there.
  public func manifestHead(
    _ reference: ManifestReference, in repository: Repository, credentials: Credentials? = nil
  ) async throws(DistributionError) -> ManifestHead? {
    let call = try manifestCall(.HEAD, reference, repository)
    do throws(DistributionError) {
      return try await transport.perform(call, credentials: credentials) {
        (response, _) throws(DistributionError) in
        await response.discard()
        return ManifestHead(
          digest: response.headers.first(name: "docker-content-digest").flatMap { Digest($0) },
          mediaType: Self.contentType(response), size: response.contentLength)
      }
    } catch {
      // Not an accepted status, so that a mirror that lacks it does not stand for the registry.
      if error.status == 404 { return nil }
      throw error
    }
  }

  private func manifestCall(
    _ method: HTTPMethod, _ reference: ManifestReference, _ repository: Repository
  ) throws(DistributionError) -> RegistryCall {
    try check(repository)
    try check(reference, repository)
    return RegistryCall(
      method: method, registry: repository.host, repository: repository.path, path: "manifests/\(reference)",
      headers: ["accept": MediaType.manifests.joined(separator: ", ")], actions: ["pull"], isReading: true,
      what: "manifest \(reference)", accepted: [200])
  }

  /// Stores a manifest under its digest or a tag. With a `subject` and a registry without the referrers API, the
  /// fallback tag is brought up to date, too.
  public func putManifest(
    _ bytes: [UInt8], mediaType: String, as reference: ManifestReference, in repository: Repository,
    credentials: Credentials? = nil
  ) async throws(DistributionError) {
    try check(repository)
    try check(reference, repository)
    guard mediaType.utf8.count <= 255, mediaType.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw DistributionError(.invalidURL, "the manifest for \(repository) has no valid media type")
    }
    let label = "manifest \(reference) of \(repository)"
    let document = try ociErrors(label) { () throws(OCIError) in
      try ManifestDocument(bytes, mediaType: mediaType, label: label)
    }
    if case .digest(let digest) = reference, Digest(of: bytes, digest.algorithm) != digest {
      throw DistributionError(.contentMismatch, "\(label): the bytes have another digest")
    }
    let call = RegistryCall(
      method: .PUT, registry: repository.host, repository: repository.path, path: "manifests/\(reference)",
      headers: ["content-type": mediaType], body: .bytes(ByteBuffer(bytes: bytes)), actions: ["pull", "push"],
      isReading: false, what: "manifest \(reference)", accepted: [200, 201, 202])
    let hasReferrers = try await transport.perform(call, credentials: credentials) {
      (response, _) throws(DistributionError) in
      await response.discard()
      return response.headers.contains(name: "oci-subject")
    }
    guard let subject = document.subject?.digest, !hasReferrers else { return }
    var algorithm = Digest.Algorithm.sha256
    if case .digest(let digest) = reference { algorithm = digest.algorithm }
    try await addFallbackReferrer(
      Descriptor(
        mediaType: mediaType, digest: Digest(of: bytes, algorithm), size: Int64(bytes.count),
        annotations: document.annotations, artifactType: document.artifactType.isEmpty ? nil : document.artifactType),
      to: subject, in: repository, credentials: credentials)
  }

  /// Lists the referrer under the tag that stands for the referrers API where that is missing (distribution
  /// specification, "Pushing Manifests with Subject").
  private func addFallbackReferrer(
    _ referrer: Descriptor, to subject: Digest, in repository: Repository, credentials: Credentials?
  ) async throws(DistributionError) {
    let tag = ManifestReference.tag(Self.fallbackTag(subject))
    var index = Index(manifests: [])
    do throws(DistributionError) {
      let found = try await manifest(tag, in: repository, credentials: credentials)
      index = try ociErrors("referrers of \(subject)") { () throws(OCIError) in
        try Index(found.bytes, label: "the referrers tag")
      }
    } catch {
      guard error.code == .notFound else { throw error }
    }
    guard !index.manifests.contains(where: { $0.digest == referrer.digest }) else { return }
    index.manifests.append(referrer)
    try await putManifest(
      index.json.serialized(), mediaType: MediaType.index, as: tag, in: repository, credentials: credentials)
  }

  static func fallbackTag(_ digest: Digest) -> String { "\(digest.algorithm.rawValue)-\(digest.hex.prefix(64))" }

  /// Deletes a manifest, or only a tag where the registry can. A missing one is `notFound`.
  public func deleteManifest(
    _ reference: ManifestReference, in repository: Repository, credentials: Credentials? = nil
  ) async throws(DistributionError) {
    try check(reference, repository)
    try await delete("manifests/\(reference)", "manifest \(reference)", repository, credentials)
  }

  private func delete(
    _ path: String, _ what: String, _ repository: Repository, _ credentials: Credentials?
  ) async throws(DistributionError) {
    try check(repository)
    let call = RegistryCall(
      method: .DELETE, registry: repository.host, repository: repository.path, path: path,
      actions: ["delete", "pull"], isReading: false, what: "the deletion of \(what)", accepted: [200, 202, 204])
    try await transport.perform(call, credentials: credentials) { (response, _) throws(DistributionError) in
      await response.discard()
    }
  }

  // MARK: Blobs

  /// The size of a blob, or `nil` when the repository does not have it.
  public func blobSize(
    _ digest: Digest, in repository: Repository, credentials: Credentials? = nil
  ) async throws(DistributionError) -> Int64? {
    try await blobSize(digest, in: repository, asksMirrors: true, actions: ["pull"], credentials: credentials)
  }

  func blobSize(
    _ digest: Digest, in repository: Repository, asksMirrors: Bool, actions: [String], credentials: Credentials?
  ) async throws(DistributionError) -> Int64? {
    try check(repository)
    let call = RegistryCall(
      method: .HEAD, registry: repository.host, repository: repository.path, path: "blobs/\(digest)",
      actions: actions, isReading: asksMirrors, what: "blob \(digest)", accepted: [200])
    do throws(DistributionError) {
      return try await transport.perform(call, credentials: credentials) {
        (response, context) throws(DistributionError) in
        guard let length = response.contentLength else { throw context.invalid("it does not say how large it is") }
        await response.discard()
        return length
      }
    } catch {
      if error.status == 404 { return nil }
      throw error
    }
  }

  /// Streams a blob, or the part of it from `offset` on, at the reader's speed. A connection that breaks is made again
  /// and the stream goes on where it was; a whole blob is verified, and the end is reached only when it was right.
  public func blob(
    _ digest: Digest, in repository: Repository, from offset: Int64 = 0, credentials: Credentials? = nil
  ) async throws(DistributionError) -> DownloadStream {
    try await blob(digest, in: repository, from: offset, expected: nil, asksMirrors: true, credentials: credentials)
  }

  func blob(
    _ digest: Digest, in repository: Repository, from offset: Int64 = 0, expected: Int64?, isVerified: Bool = true,
    asksMirrors: Bool, credentials: Credentials?, broke: @escaping @Sendable (DistributionError) -> Void = { _ in }
  ) async throws(DistributionError) -> DownloadStream {
    try check(repository)
    let context = RequestContext(host: repository.host, repository: repository.path, what: "blob \(digest)")
    return try await DownloadStream(
      context: context, transport: transport, offset: max(0, offset), expected: expected,
      digest: isVerified ? digest : nil, needsValidator: false, broke: broke
    ) { [transport] (range, _) throws(DistributionError) in
      var headers: HTTPHeaders = ["accept-encoding": "identity"]
      if let range { headers.add(name: "range", value: range) }
      let call = RegistryCall(
        method: .GET, registry: repository.host, repository: repository.path, path: "blobs/\(digest)",
        headers: headers, actions: ["pull"], isReading: asksMirrors, what: "blob \(digest)",
        accepted: range == nil ? [200] : [200, 206])
      return try await transport.perform(call, credentials: credentials) {
        (response, _) throws(DistributionError) in response
      }
    }
  }

  public func deleteBlob(
    _ digest: Digest, in repository: Repository, credentials: Credentials? = nil
  ) async throws(DistributionError) {
    try await delete("blobs/\(digest)", "blob \(digest)", repository, credentials)
  }

  // MARK: Checks

  /// Whether the registry answers and takes the credentials.
  public func check(host: String, credentials: Credentials? = nil) async throws(DistributionError) {
    let call = RegistryCall(
      method: .GET, registry: host, path: "", actions: [], isReading: false, what: "the API", accepted: [200])
    try await transport.perform(call, credentials: credentials) { (response, _) throws(DistributionError) in
      await response.discard()
    }
  }

  func check(_ repository: Repository) throws(DistributionError) {
    guard !repository.host.isEmpty else {
      throw DistributionError(.invalidURL, "\(repository) is a repository of the own registry; there is no host to ask")
    }
    let isValid = repository.path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { component in
      component.utf8.first.map { $0 != UInt8(ascii: ".") } == true
        && component.utf8.allSatisfy { byte in
          (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte) || [0x2D, 0x2E, 0x5F].contains(byte)
        }
    }
    guard isValid, repository.path.utf8.count <= 255 else {
      throw DistributionError(.invalidURL, "\"\(repository.path.prefix(300))\" is no path of a repository")
    }
  }

  func check(_ reference: ManifestReference, _ repository: Repository) throws(DistributionError) {
    guard case .tag(let tag) = reference else { return }
    let isValid = tag.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) || [0x2D, 0x2E, 0x5F].contains(byte)
    }
    guard isValid, (1...128).contains(tag.utf8.count), tag.first != ".", tag.first != "-" else {
      throw DistributionError(.invalidURL, "\"\(tag.prefix(200))\" is no tag for \(repository)")
    }
  }

  /// A document's bytes.
  static func collect(
    _ response: HTTPClientResponse, _ configuration: RegistryClientConfiguration, _ context: RequestContext
  ) async throws(DistributionError) -> [UInt8] {
    let limit = configuration.limits.document
    let bytes: [UInt8]?
    do throws(HTTPClientError) {
      bytes = try await response.collect(limit: limit, within: configuration.deadlines.document)
    } catch {
      throw context.error(error)
    }
    guard let bytes else { throw context.invalid("it has more than \(limit) bytes", code: .limitExceeded) }
    return bytes
  }
}

extension ManifestReference {
  /// What a reference names: the digest, when it has one, says it all.
  init(_ reference: Reference) {
    if let digest = reference.digest { self = .digest(digest) } else { self = .tag(reference.tag ?? "latest") }
  }
}

/// Runs `body` and says for what the content store, or a document, failed.
func ociErrors<Value>(
  _ label: String, _ body: () throws(OCIError) -> Value
) throws(DistributionError) -> Value {
  do throws(OCIError) { return try body() } catch { throw DistributionError(error, label) }
}

extension DistributionError {
  init(_ error: OCIError, _ label: String) {
    let code: Code =
      switch error.code {
      case .digestMismatch: .contentMismatch
      case .invalidArchive, .invalidReference, .invalidPlatform: .invalidResponse
      case .limitExceeded: .limitExceeded
      case .unsupported: .unsupported
      default: .store
      }
    self.init(code, "\(label): \(error.message)")
  }
}
