import Schema
import Synchronization
import Wire

/// Discovery and OpenAPI: documents that follow from the schemas and change with them only. Each is made at its first
/// use and kept as bytes.
final class DocumentCache: Sendable {
  private let schemas: SchemaRegistry
  private let made = Mutex<[String: [UInt8]]>([:])

  init(_ schemas: SchemaRegistry) { self.schemas = schemas }

  /// Every path that is served.
  var paths: [String] {
    [
      "/.well-known/openid-configuration", "/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2",
      "/openapi/v3", TokenIssuer.keysPath, "/readyz", "/version",
    ]
      + schemas.groupVersions.map(\.path) + schemas.groupVersions.map { "/openapi/v3\($0.path)" }
  }

  func serves(_ path: String) -> Bool { paths.contains(path) }

  private func bytes(_ name: String, _ make: () -> JSON?) -> [UInt8]? {
    if let known = made.withLock({ $0[name] }) { return known }
    guard let bytes = make()?.serialized() else { return nil }
    made.withLock { $0[name] = bytes }
    return bytes
  }

  /// The answer for a path, or `nil` where no document is.
  func reply(_ path: String, accept: String?, query: Query) -> Reply? {
    let path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    if path == "/api" || path == "/apis", Representation.prefersAggregatedDiscovery(accept) {
      let isCore = path == "/api"
      return bytes("aggregated:\(path)") { schemas.aggregatedDiscovery(isCore: isCore) }.map {
        Reply(
          contentType: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
          headers: [("Vary", "Accept")], body: .bytes($0))
      }
    }
    if path == "/openapi/v2", accept?.contains("proto-openapi.spec.v2") == true {
      return Reply(
        contentType: "application/com.github.proto-openapi.spec.v2.v1.0+protobuf", body: .bytes(Self.swaggerMessage))
    }
    let json = bytes(path) { document(path) }
    guard let json else { return nil }
    var reply = Reply(body: .bytes(json))
    if path == "/api" || path == "/apis" { reply.headers.append(("Vary", "Accept")) }
    // The hash in the URL changes with the content: a client may keep it for ever.
    if path.hasPrefix("/openapi/v3/"), let hash = query["hash"], hash == Self.hash(json) {
      reply.headers.append(("ETag", "\"\(hash)\""))
    }
    return reply
  }

  private func document(_ path: String) -> JSON? {
    if path == "/api" { return schemas.apiVersions(serverAddress: "") }
    if path == "/apis" { return schemas.apiGroupList() }
    if path == "/openapi/v3" { return openAPIIndex() }
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

  private func openAPIIndex() -> JSON {
    var entries: [JSONObject.Member] = []
    for groupVersion in schemas.groupVersions {
      let path = String(groupVersion.path.dropFirst())
      let content = bytes("/openapi/v3\(groupVersion.path)") { schemas.openAPIv3(for: groupVersion) } ?? []
      entries.append(
        (
          key: path,
          value: ["serverRelativeURL": .string("/openapi/v3/\(path)?hash=\(Self.hash(content))")]
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
