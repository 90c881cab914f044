import Schema
import Synchronization
import Wire

/// Discovery and OpenAPI: documents that follow from the schemas and change with them only. Each is made at its first
/// use and kept as bytes for as long as the kinds that it is about are the same.
final class DocumentCache: Sendable {
  private struct State: Sendable {
    var schemas: SchemaRegistry
    var made: [String: Document] = [:]
  }

  private struct Document: Sendable {
    let bytes: [UInt8]
    let hash: String

    init(_ json: JSON) {
      bytes = json.serialized()
      hash = DocumentCache.hash(bytes)
    }
  }

  private let kinds: KindRegistry
  private let state: Mutex<State>

  init(_ kinds: KindRegistry) {
    self.kinds = kinds
    state = Mutex(State(schemas: kinds.current))
  }

  /// Every path that is served.
  var paths: [String] {
    let groupVersions = kinds.current.groupVersions
    return [
      "/.well-known/openid-configuration", "/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2",
      "/openapi/v3", TokenIssuer.keysPath, "/readyz", "/version",
    ] + groupVersions.map(\.path) + groupVersions.map { "/openapi/v3\($0.path)" }
  }

  func serves(_ path: String) -> Bool { paths.contains(path) }

  private func document(_ name: String, _ schemas: SchemaRegistry, _ make: () -> JSON?) -> Document? {
    let known = state.withLock { state in
      if schemas.generation > state.schemas.generation { Self.move(&state, to: schemas) }
      // A request that began before the last change is answered by what it has seen.
      return schemas.generation == state.schemas.generation ? state.made[name] : nil
    }
    if let known { return known }
    guard let document = make().map(Document.init) else { return nil }
    state.withLock { if schemas.generation == $0.schemas.generation { $0.made[name] = document } }
    return document
  }

  /// Keeps what is about groups and versions whose kinds are still the same.
  private static func move(_ state: inout State, to schemas: SchemaRegistry) {
    var kept: [String: Document] = [:]
    for groupVersion in schemas.groupVersions {
      let (old, new) = (state.schemas.kinds(in: groupVersion), schemas.kinds(in: groupVersion))
      guard old.elementsEqual(new, by: ===) else { continue }
      for path in [groupVersion.path, "/openapi/v3\(groupVersion.path)"] { kept[path] = state.made[path] }
    }
    state = State(schemas: schemas, made: kept)
  }

  /// The answer for a path, or `nil` where no document is.
  func reply(_ path: String, accept: String?, ifNoneMatch: String?, query: Query) -> Reply? {
    let path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    let schemas = kinds.current
    if path == "/api" || path == "/apis", Representation.prefersAggregatedDiscovery(accept) {
      let isCore = path == "/api"
      let document = document("aggregated:\(path)", schemas) { schemas.aggregatedDiscovery(isCore: isCore) }
      guard let document else { return nil }
      let tag = "\"\(document.hash)\""
      let headers = [("Vary", "Accept"), ("ETag", tag)]
      // Clients ask often, and the kinds are mostly those that they know (RFC 9110, section 13.1.2).
      if Self.matches(ifNoneMatch, tag) {
        return Reply(code: 304, contentType: "", headers: headers, cacheControl: "public", body: .bytes([]))
      }
      return Reply(
        contentType: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", headers: headers,
        cacheControl: "public", body: .bytes(document.bytes))
    }
    if path == "/openapi/v2", accept?.contains("proto-openapi.spec.v2") == true {
      return Reply(
        contentType: "application/com.github.proto-openapi.spec.v2.v1.0+protobuf", body: .bytes(Self.swaggerMessage))
    }
    guard let document = document(path, schemas, { self.json(path, schemas) }) else { return nil }
    var reply = Reply(body: .bytes(document.bytes))
    if path == "/api" || path == "/apis" { reply.headers.append(("Vary", "Accept")) }
    // The hash in the URL changes with the content: a client may keep it for ever.
    if path.hasPrefix("/openapi/v3/"), query["hash"] == document.hash {
      reply.headers.append(("ETag", "\"\(document.hash)\""))
    }
    return reply
  }

  private static func matches(_ condition: String?, _ tag: String) -> Bool {
    guard let condition else { return false }
    return condition.split(separator: ",").contains { part in
      let part = part.drop { $0 == " " }
      let candidate = part.hasPrefix("W/") ? part.dropFirst(2) : part
      return candidate == "*" || candidate.prefix { $0 != " " } == tag
    }
  }

  private func json(_ path: String, _ schemas: SchemaRegistry) -> JSON? {
    if path == "/api" { return schemas.apiVersions(serverAddress: "") }
    if path == "/apis" { return schemas.apiGroupList() }
    if path == "/openapi/v3" { return openAPIIndex(schemas) }
    if path == "/openapi/v2" { return Self.swagger }
    for groupVersion in schemas.groupVersions {
      if path == groupVersion.path { return schemas.apiResourceList(groupVersion) }
      if path == "/openapi/v3\(groupVersion.path)" { return schemas.openAPIv3(for: groupVersion) }
    }
    if path.hasPrefix("/apis/") {
      return schemas.apiGroup(String(path.dropFirst("/apis/".count)))
    }
    return nil
  }

  /// OpenAPI v2 without a schema in it. kubectl 1.27 and later read version 3, but those up to 1.33 ask for version 2 when
  /// version 3 does not know a kind, and take a missing document for a broken server.
  private static let swagger: JSON = [
    "swagger": "2.0", "info": ["title": "Kubernetes", "version": "v1.33.0"], "paths": [:], "definitions": [:],
  ]

  /// The same as a `Document` message of gnostic's openapiv2: `{1: swagger, 2: {1: title, 2: version}, 8: paths}`.
  private static let swaggerMessage: [UInt8] = {
    func field(_ number: UInt8, _ content: [UInt8]) -> [UInt8] { [number << 3 | 2, UInt8(content.count)] + content }
    let info = field(1, Array("Kubernetes".utf8)) + field(2, Array("v1.33.0".utf8))
    return field(1, Array("2.0".utf8)) + field(2, info) + field(8, [])
  }()

  private func openAPIIndex(_ schemas: SchemaRegistry) -> JSON {
    var entries: [JSONObject.Member] = []
    for groupVersion in schemas.groupVersions {
      let path = String(groupVersion.path.dropFirst())
      let document = document("/openapi/v3\(groupVersion.path)", schemas) { schemas.openAPIv3(for: groupVersion) }
      entries.append(
        (
          key: path,
          value: ["serverRelativeURL": .string("/openapi/v3/\(path)?hash=\(document?.hash ?? "")")]
        ))
    }
    return ["paths": .object(JSONObject(uniqueMembers: entries))]
  }

  /// FNV-1a; it only has to differ when the content does.
  private static func hash(_ bytes: [UInt8]) -> String {
    var value: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    return String(value, radix: 16, uppercase: true)
  }
}
