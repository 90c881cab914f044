import Content
import Distribution
import HTTP
import NIOCore
import NIOHTTP1
import OCI
import Telemetry
import Wire

extension Registry {
  // MARK: Reading

  /// GET and HEAD of a manifest.
  func manifest(_ reference: ManifestReference, _ call: Call) async throws -> Reply {
    var record: ManifestRecord?
    if let target = call.upstream {
      record = try await pullThrough.manifest(reference, target)
    } else {
      record = try await blocking { [content] () throws(OCIError) in
        try content.manifest(reference, in: call.repository)
      }
    }
    if record == nil, case .tag(let tag) = reference, let text = Names.subject(ofReferrersTag: tag),
      let subject = try await blocking({ [content] () throws(OCIError) -> Digest? in
        if let digest = Digest(text) { return digest }
        return try content.digest(startingWith: text)
      })
    {
      // Clients without the referrers API look for its list under this tag. It is made from what is there.
      let list = try await referrers(to: subject, nil, call, bytesMax: call.configuration.limits.manifestBytesMax)
      if !list.descriptors.isEmpty {
        let bytes = Self.index(list.descriptors)
        return Self.reply(bytes, mediaType: MediaType.index, digest: Digest(of: bytes), call.request)
      }
    }
    guard var found = record else { throw RegistryError.manifestUnknown(reference.description) }
    if case .tag = reference { found = try await acceptable(found, call) }
    if call.request.method == .GET, events.isWanted(.pull, call.name) {
      events.post(event(.pull, found, tags: reference.tags, call))
    }
    return Self.reply(found.bytes, mediaType: found.mediaType, digest: found.digest, call.request)
  }

  private static func reply(_ bytes: [UInt8], mediaType: String, digest: Digest, _ request: Request) -> Reply {
    let headers: [(name: String, value: String)] = [
      ("Content-Type", mediaType), ("Docker-Content-Digest", digest.description), ("ETag", "\"\(digest)\""),
    ]
    if Preconditions.matches(ifNoneMatch: request.header("if-none-match"), entityTag: digest.description) {
      return Reply(status: 304, headers: Array(headers.dropFirst()))
    }
    return Reply(status: 200, headers: headers, body: .buffer(ByteBuffer(bytes: bytes)))
  }

  /// What the client can read: old ones that know no index get the image for linux/amd64 from it, as from Docker's
  /// registry.
  private func acceptable(_ record: ManifestRecord, _ call: Call) async throws -> ManifestRecord {
    let accept = call.request.headers["accept"]
    if Preconditions.accepts(record.mediaType, accept: accept) { return record }
    // Programs that ask for JSON in general mean any manifest.
    if Preconditions.accepts("application/json", accept: accept) { return record }
    if MediaType.isIndex(record.mediaType), let json = try? JSON.parse(record.bytes) {
      for child in json["manifests"]?.array ?? [] {
        guard child.at("platform", "os")?.string == "linux", child.at("platform", "architecture")?.string == "amd64",
          let mediaType = child["mediaType"]?.string, Preconditions.accepts(mediaType, accept: accept),
          let digest = child["digest"]?.string.flatMap({ Digest($0) })
        else { continue }
        let found: ManifestRecord?
        if let target = call.upstream {
          found = try await pullThrough.manifest(.digest(digest), target)
        } else {
          found = try await blocking { [content] () throws(OCIError) in
            try content.manifest(.digest(digest), in: call.repository)
          }
        }
        if let found { return found }
      }
    }
    throw RegistryError(
      .manifestUnknown, "the manifest is of the type \(record.mediaType), which the Accept header does not name",
      detail: ["mediaType": .string(record.mediaType), "digest": .string(record.digest.description)])
  }

  // MARK: Writing

  /// Tags that one request may set.
  private static let tagParametersMax = 100

  /// PUT: by tag (end-7a), or by digest with any number of `tag` parameters (end-7b).
  func putManifest(_ reference: ManifestReference, _ call: Call) async throws -> Reply {
    let limit = call.configuration.limits.manifestBytesMax
    let tooLarge = RegistryError(
      .sizeInvalid, "a manifest may have \(limit) bytes", status: 413, detail: ["limit": .int(Int64(limit))])
    if let length = call.request.contentLength, length > Int64(limit) { throw tooLarge }
    var digest: Digest?
    var tags: [String] = []
    switch reference {
    case .tag(let tag): tags = [tag]
    case .digest(let named):
      digest = named
      for tag in call.request.query.all("tag") where !tags.contains(tag) {
        guard Names.isTag(tag) else { throw RegistryError.tagInvalid(tag) }
        tags.append(tag)
      }
      guard tags.count <= Self.tagParametersMax else {
        throw RegistryError(
          .tagInvalid, "one request may set \(Self.tagParametersMax) tags", status: 414,
          detail: ["limit": .int(Int64(Self.tagParametersMax))])
      }
    }
    guard let bytes = try await call.request.body.collect(length: call.request.contentLength, bytesMax: limit)
    else { throw tooLarge }
    metrics.received.increment(by: Double(bytes.count))
    if let length = call.request.contentLength, length != Int64(bytes.count) {
      throw RegistryError(.sizeInvalid, "the body is shorter than its Content-Length")
    }
    let contentType = call.request.header("content-type").map {
      String(($0.split(separator: ";").first ?? "").trimmingSpaces)
    }
    let repository = call.repository
    let (rules, name) = (call.configuration.immutability, call.name)
    let requirement: ManifestRequirement = call.configuration.requiresContent ? .linked : .nothing
    let (expected, wanted) = (digest, tags)
    let record = try await blocking { [content] () throws(OCIError) in
      let mediaType = try Self.mediaType(bytes, contentType: contentType)
      guard Self.isMediaType(mediaType) else {
        throw OCIError(.invalidArchive, "its media type is none for manifests")
      }
      return try content.putManifest(
        bytes, mediaType: mediaType, digest: expected, tags: wanted, in: repository, requiring: requirement,
        linksOnlyOwn: true, isImmutable: { tag in rules.contains { $0.protects(tag, in: name) } })
    }
    if events.isWanted(.push, call.name) { events.post(event(.push, record, tags: tags, call)) }
    replicator.pushed(call.name, record.digest, tags: tags, isReferrer: record.subject != nil)
    var headers: [(name: String, value: String)] = [
      ("Location", "/v2/\(call.name)/manifests/\(record.digest)"),
      ("Docker-Content-Digest", record.digest.description),
    ]
    if let subject = record.subject { headers.append(("OCI-Subject", subject.description)) }
    if case .digest = reference { for tag in tags { headers.append(("OCI-Tag", tag)) } }
    return Reply(status: 201, headers: headers)
  }

  /// The header's type, which has to be the document's own where that has one; without a header the document's.
  private static func mediaType(_ bytes: [UInt8], contentType: String?) throws(OCIError) -> String {
    let json: JSON
    do {
      json = try JSON.parse(bytes)
    } catch {
      throw OCIError(.invalidArchive, "\(error)")
    }
    guard json.object != nil else { throw OCIError(.invalidArchive, "a manifest is a JSON object") }
    let own = json["mediaType"]?.string
    guard let contentType, !contentType.isEmpty, contentType != "application/json",
      contentType != "application/octet-stream", contentType != "application/x-www-form-urlencoded"
    else {
      if let own { return own }
      return json["manifests"]?.array == nil ? MediaType.manifest : MediaType.index
    }
    if let own, own != contentType {
      throw OCIError(.invalidArchive, "its mediaType is \(own), the Content-Type \(contentType)")
    }
    return contentType
  }

  /// Whether it may stand in the `Content-Type` of answers: `application/` and up to 255 bytes in all.
  private static func isMediaType(_ text: String) -> Bool {
    text.hasPrefix("application/") && text.utf8.count <= 255
      && text.utf8.allSatisfy { byte in
        (0x21...0x7E).contains(byte) && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "'")
          && byte != UInt8(ascii: ";")
      }
  }

  /// DELETE: a tag alone, or a manifest with all its tags (end-9).
  func deleteManifest(_ reference: ManifestReference, _ call: Call) async throws -> Reply {
    let (rules, name, repository) = (call.configuration.immutability, call.name, call.repository)
    let isImmutable: @Sendable (String) -> Bool = { tag in rules.contains { $0.protects(tag, in: name) } }
    let (isDeleted, record) = try await blocking { [content] () throws(OCIError) in
      // One that is damaged can be deleted, too.
      let record = try? content.manifest(reference, in: repository)
      switch reference {
      case .tag(let tag):
        return (try content.deleteTag(tag, in: repository, isImmutable: isImmutable), record)
      case .digest(let digest):
        return (try content.deleteManifest(digest, in: repository, isImmutable: isImmutable), record)
      }
    }
    guard isDeleted else { throw RegistryError.manifestUnknown(reference.description) }
    replicator.deleted()
    if let record, events.isWanted(.delete, call.name) {
      events.post(event(.delete, record, tags: reference.tags, call))
    }
    return Reply(status: 202)
  }

  private func event(_ kind: RegistryEvent.Kind, _ record: ManifestRecord, tags: [String], _ call: Call)
    -> RegistryEvent
  {
    RegistryEvent(
      kind: kind, repository: call.name, digest: record.digest, tags: tags, mediaType: record.mediaType,
      size: record.size, actor: call.identity.user, time: Timestamp(microseconds: 0), id: "")
  }

  // MARK: Referrers

  /// An answer of more bytes than this is cut, with a link to the rest: clients refuse larger ones.
  private static let referrersBytesMax = 3 << 20

  /// GET: the manifests whose subject is the digest (end-12). Never 404: what is not known has none.
  func referrers(_ digest: Digest, _ call: Call) async throws -> Reply {
    let artifactType = call.request.query["artifactType"].flatMap { $0.isEmpty ? nil : $0 }
    var after: Int64 = 0
    if let text = call.request.query["last"] {
      guard let mark = Int64(text) else {
        throw RegistryError(
          .paginationInvalid, "last is what the Link header says",
          detail: ["last": .string(String(text.prefix(100)))])
      }
      after = mark
    }
    let list = try await referrers(
      to: digest, artifactType, call, after: after, bytesMax: Self.referrersBytesMax)
    var headers: [(name: String, value: String)] = [("Content-Type", MediaType.index)]
    if artifactType != nil { headers.append(("OCI-Filters-Applied", "artifactType")) }
    if let next = list.next {
      var link = "/v2/\(call.name)/referrers/\(digest)?last=\(next)"
      if let artifactType { link += "&artifactType=\(Query.percentEncoded(artifactType))" }
      headers.append(("Link", "<\(link)>; rel=\"next\""))
    }
    return Reply(status: 200, headers: headers, body: .buffer(ByteBuffer(bytes: Self.index(list.descriptors))))
  }

  private func referrers(
    to digest: Digest, _ artifactType: String?, _ call: Call, after: Int64 = 0, bytesMax: Int
  ) async throws -> ContentStore.ReferrerPage {
    guard let target = call.upstream else {
      return try await blocking { [content] () throws(OCIError) in
        try content.referrers(
          to: digest, in: call.repository, artifactType: artifactType, after: after, bytesMax: bytesMax)
      }
    }
    let all: [Descriptor]
    do {
      all = try await client.referrers(
        to: digest, in: target.remote, artifactType: artifactType, credentials: target.credentials)
    } catch {
      guard error.code == .notFound else { throw RegistryError(error) }
      return ContentStore.ReferrerPage()
    }
    // The mark is how many have been given out.
    var page = ContentStore.ReferrerPage()
    var bytes = 0
    for descriptor in all.dropFirst(Int(clamping: max(0, after))) {
      bytes += descriptor.json.serialized().count + 1
      guard bytes <= bytesMax || page.descriptors.isEmpty else {
        page.next = max(0, after) + Int64(page.descriptors.count)
        break
      }
      page.descriptors.append(descriptor)
    }
    return page
  }

  private static func index(_ descriptors: [Descriptor]) -> [UInt8] {
    var body = Array("{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.index)\",\"manifests\":[".utf8)
    for (index, descriptor) in descriptors.enumerated() {
      if index > 0 { body.append(UInt8(ascii: ",")) }
      body += descriptor.json.serialized()
    }
    return body + Array("]}".utf8)
  }
}

extension ManifestReference {
  fileprivate var tags: [String] { if case .tag(let tag) = self { [tag] } else { [] } }
}

extension RegistryConfiguration.ImmutabilityRule {
  func protects(_ tag: String, in repository: String) -> Bool {
    repositories.contains { $0.matches(repository) } && tags.contains { $0.matches(tag) }
      && !except.contains { $0.matches(tag) }
  }
}
