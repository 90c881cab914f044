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
    ["/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v3", "/readyz", "/version"]
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
    let json = bytes(path) { document(path) }
    guard let json else { return nil }
    var reply = Reply(body: .bytes(json))
    if path == "/api" || path == "/apis" { reply.headers.append(("Vary", "Accept")) }
    // The hash in the URL changes with the content: a client may keep it for ever.
    if path.hasPrefix("/openapi/v3/"), query["hash"] != nil {
      reply.headers.append(("ETag", "\"\(query["hash"] ?? "")\""))
    }
    return reply
  }

  private func document(_ path: String) -> JSON? {
    if path == "/api" { return schemas.apiVersions(serverAddress: "") }
    if path == "/apis" { return schemas.apiGroupList() }
    if path == "/openapi/v3" { return openAPIIndex() }
    for groupVersion in schemas.groupVersions {
      if path == groupVersion.path { return schemas.apiResourceList(groupVersion) }
      if path == "/openapi/v3\(groupVersion.path)" { return schemas.openAPIv3(for: groupVersion) }
    }
    if path.hasPrefix("/apis/") {
      return schemas.apiGroup(String(path.dropFirst("/apis/".count)))
    }
    return nil
  }

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
