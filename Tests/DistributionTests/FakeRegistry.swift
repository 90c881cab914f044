import HTTPTestKit
import NIOHTTP1
import OCI
import Synchronization
import Wire

/// A registry in memory (OCI distribution specification), as far as a client sees one, that can be told to misbehave.
final class FakeRegistry: Sendable {
  struct State {
    var blobs: [String: [Digest: [UInt8]]] = [:]
    var manifests: [String: [Digest: (type: String, bytes: [UInt8])]] = [:]
    var tags: [String: [String: Digest]] = [:]
    var uploads: [String: [UInt8]] = [:]
    var uploadCount = 0
    var hasReferrers = true
    var mounts = true
    var ranges = true
    var chunkMin: Int?
    /// Answers in place of the registry, once for each request that it answers.
    var fault: (@Sendable (TestServer.Request) -> TestServer.Reply?)?
  }

  let state = Mutex(State())
  /// What was done: `PUT manifests/1`.
  let log = Mutex<[String]>([])

  func add(blob: [UInt8], to repository: String) -> Digest {
    let digest = Digest(of: blob)
    state.withLock { $0.blobs[repository, default: [:]][digest] = blob }
    return digest
  }

  @discardableResult
  func add(manifest: [UInt8], type: String, tag: String? = nil, to repository: String) -> Digest {
    let digest = Digest(of: manifest)
    state.withLock { state in
      state.manifests[repository, default: [:]][digest] = (type, manifest)
      if let tag { state.tags[repository, default: [:]][tag] = digest }
    }
    return digest
  }

  /// An image of two layers and a configuration; different for every `salt`.
  @discardableResult
  func addImage(
    to repository: String, tag: String?, salt: String = "", platform: Platform? = nil, layerSize: Int = 1000
  ) -> (digest: Digest, manifest: [UInt8], blobs: [Digest]) {
    let platform = platform ?? Platform(os: "linux", architecture: "amd64")
    var layers: [Descriptor] = []
    for number in 0..<2 {
      // A period that is no divisor of any buffer's size, so that bytes in a wrong place are seen.
      let pattern = (0..<4099).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ number) }
      var bytes: [UInt8] = []
      while bytes.count < layerSize { bytes += pattern.prefix(layerSize - bytes.count) }
      bytes += Array("\(salt)\(number)".utf8)
      layers.append(
        Descriptor(mediaType: MediaType.layer, digest: add(blob: bytes, to: repository), size: Int64(bytes.count)))
    }
    let json: JSON = [
      "architecture": .string(platform.architecture), "os": .string(platform.os),
      "config": ["Env": [.string("SALT=\(salt)")]],
      "rootfs": ["type": "layers", "diff_ids": .array(layers.map { .string($0.digest.description) })],
    ]
    let config = json.serialized()
    let descriptor = Descriptor(
      mediaType: MediaType.config, digest: add(blob: config, to: repository), size: Int64(config.count))
    let manifest = Manifest(config: descriptor, layers: layers).json.serialized()
    let digest = add(manifest: manifest, type: MediaType.manifest, tag: tag, to: repository)
    return (digest, manifest, [descriptor.digest] + layers.map(\.digest))
  }

  var server: TestServer { TestServer { self.answer($0) } }

  func fail(_ fault: (@Sendable (TestServer.Request) -> TestServer.Reply?)?) { state.withLock { $0.fault = fault } }

  func answer(_ request: TestServer.Request) -> TestServer.Reply {
    if let reply = state.withLock({ $0.fault })?(request) { return reply }
    guard request.path.hasPrefix("/v2/") else { return .text(404, "no") }
    let path = String(request.path.dropFirst(4))
    if path.isEmpty { return .text(200, "{}") }
    if path == "_catalog" { return list("repositories", state.withLock { Array($0.tags.keys) }, request) }
    for kind in ["/manifests/", "/blobs/uploads/", "/blobs/", "/tags/list", "/referrers/"] {
      guard let range = path.firstRange(of: kind) else { continue }
      let repository = String(path[..<range.lowerBound])
      let rest = String(path[range.upperBound...])
      log.withLock { $0.append("\(request.method) \(kind.dropFirst())\(rest)") }
      switch kind {
      case "/manifests/": return manifest(request, repository, rest)
      case "/blobs/uploads/": return upload(request, repository, rest)
      case "/blobs/": return blob(request, repository, rest)
      case "/tags/list":
        return list("tags", state.withLock { Array(($0.tags[repository] ?? [:]).keys) }, request)
      default: return referrers(request, repository, rest)
      }
    }
    return .text(404, "{}")
  }

  private func error(_ status: Int, _ code: String) -> TestServer.Reply {
    .text(status, #"{"errors":[{"code":"\#(code)","message":"this is \#(code)"}]}"#)
  }

  private func manifest(_ request: TestServer.Request, _ repository: String, _ name: String) -> TestServer.Reply {
    state.withLock { state in
      let digest = Digest(name) ?? state.tags[repository]?[name]
      switch request.method {
      case .PUT:
        let found = Digest(of: request.body, Digest(name)?.algorithm ?? .sha256)
        if let wanted = Digest(name), wanted != found { return error(400, "DIGEST_INVALID") }
        guard let document = try? ManifestDocument(request.body, label: "") else {
          return error(400, "MANIFEST_INVALID")
        }
        for blob in document.blobs where state.blobs[repository]?[blob.digest] == nil {
          return error(404, "MANIFEST_BLOB_UNKNOWN")
        }
        for child in document.manifests
        where state.manifests[repository]?[child.digest] == nil && !name.hasPrefix("sha") {
          return error(404, "MANIFEST_BLOB_UNKNOWN")
        }
        state.manifests[repository, default: [:]][found] = (
          request.headers.first(name: "content-type") ?? "", request.body
        )
        if Digest(name) == nil { state.tags[repository, default: [:]][name] = found }
        var headers: HTTPHeaders = ["docker-content-digest": found.description]
        if let subject = document.subject, state.hasReferrers {
          headers.add(name: "oci-subject", value: subject.digest.description)
        }
        return .respond(201, headers)
      case .DELETE:
        guard let digest, state.manifests[repository]?[digest] != nil else { return error(404, "MANIFEST_UNKNOWN") }
        if Digest(name) == nil {
          state.tags[repository]?[name] = nil
        } else {
          state.manifests[repository]?[digest] = nil
        }
        return .respond(202)
      default:
        guard let digest, let found = state.manifests[repository]?[digest] else {
          return error(404, "MANIFEST_UNKNOWN")
        }
        return .respond(
          200, ["content-type": found.type, "docker-content-digest": digest.description], found.bytes)
      }
    }
  }

  private func blob(_ request: TestServer.Request, _ repository: String, _ name: String) -> TestServer.Reply {
    state.withLock { state in
      guard let digest = Digest(name), let bytes = state.blobs[repository]?[digest] else {
        return error(404, "BLOB_UNKNOWN")
      }
      if request.method == .DELETE {
        state.blobs[repository]?[digest] = nil
        return .respond(202)
      }
      if state.ranges, let text = request.headers.first(name: "range") {
        let ends = text.dropFirst("bytes=".count).split(separator: "-").compactMap { Int($0) }
        guard let start = ends.first, start < bytes.count else { return error(416, "RANGE") }
        let last = min(ends.count > 1 ? ends[1] : .max, bytes.count - 1)
        return .respond(
          206, ["content-range": "bytes \(start)-\(last)/\(bytes.count)"], Array(bytes[start...last]))
      }
      return .respond(200, [:], bytes)
    }
  }

  private func upload(_ request: TestServer.Request, _ repository: String, _ id: String) -> TestServer.Reply {
    state.withLock { state in
      if request.method == .POST {
        if let mount = request.query("mount").flatMap({ Digest($0) }), let from = request.query("from"), state.mounts,
          let bytes = state.blobs[from]?[mount]
        {
          state.blobs[repository, default: [:]][mount] = bytes
          return .respond(201, ["location": "/v2/\(repository)/blobs/\(mount)"])
        }
        state.uploadCount += 1
        state.uploads["u\(state.uploadCount)"] = []
        var headers: HTTPHeaders = ["location": "/v2/\(repository)/blobs/uploads/u\(state.uploadCount)?state=1"]
        if let minimum = state.chunkMin { headers.add(name: "oci-chunk-min-length", value: "\(minimum)") }
        return .respond(202, headers)
      }
      guard var bytes = state.uploads[id] else { return error(404, "BLOB_UPLOAD_UNKNOWN") }
      func status(_ code: Int) -> TestServer.Reply {
        .respond(
          code,
          [
            "location": "/v2/\(repository)/blobs/uploads/\(id)?state=\(bytes.count)",
            "range": "0-\(max(0, bytes.count - 1))",
          ])
      }
      switch request.method {
      case .GET: return status(204)
      case .PATCH:
        if let range = request.headers.first(name: "content-range"), !range.hasPrefix("\(bytes.count)-") {
          return error(416, "BLOB_UPLOAD_INVALID")
        }
        bytes += request.body
        state.uploads[id] = bytes
        return status(202)
      case .PUT:
        bytes += request.body
        guard let digest = request.query("digest").flatMap({ Digest($0) }) else { return error(400, "DIGEST_INVALID") }
        guard Digest(of: bytes, digest.algorithm) == digest else { return error(400, "DIGEST_INVALID") }
        state.uploads[id] = nil
        state.blobs[repository, default: [:]][digest] = bytes
        return .respond(201, ["docker-content-digest": digest.description])
      default: return error(405, "UNSUPPORTED")
      }
    }
  }

  /// Pages of three, so that paging is needed.
  private func list(_ key: String, _ names: [String], _ request: TestServer.Request) -> TestServer.Reply {
    let last = request.query("last") ?? ""
    let rest = names.sorted().filter { $0 > last }
    let page = Array(rest.prefix(3))
    let json: JSON = .object(JSONObject(uniqueMembers: [(key, .array(page.map { .string($0) }))]))
    var headers: HTTPHeaders = [:]
    if rest.count > page.count, let last = page.last {
      headers.add(name: "link", value: "<\(request.path)?n=3&last=\(last)>; rel=\"next\"")
    }
    return .respond(200, headers, json.serialized())
  }

  private func referrers(_ request: TestServer.Request, _ repository: String, _ name: String) -> TestServer.Reply {
    state.withLock { state in
      guard state.hasReferrers else { return .text(404, "404 page not found") }
      var found: [Descriptor] = []
      for (digest, manifest) in (state.manifests[repository] ?? [:]).sorted(by: { $0.key < $1.key }) {
        guard let document = try? ManifestDocument(manifest.bytes, label: ""),
          document.subject?.digest.description == name
        else { continue }
        found.append(
          Descriptor(
            mediaType: manifest.type, digest: digest, size: Int64(manifest.bytes.count),
            annotations: document.annotations, artifactType: document.artifactType))
      }
      return .respond(200, ["content-type": MediaType.index], Index(manifests: found).json.serialized())
    }
  }
}
