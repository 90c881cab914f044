import Schema
import Wire

/// A server's URL: `https://HOST[:PORT][/PREFIX]`.
struct ServerAddress: Sendable, CustomStringConvertible {
  var host: String
  var port: Int
  /// Without a `/` at its end.
  var pathPrefix: String
  /// For the `Host` header.
  var authority: String

  var description: String { "https://\(authority)\(pathPrefix)" }

  init(_ url: String) throws(KubeError) {
    func refuse(_ problem: String) -> KubeError {
      KubeError(
        code: 400, reason: .badRequest, message: "the server address \"\(url)\" \(problem); expected https://HOST:PORT")
    }
    guard url.hasPrefix("https://") else { throw refuse("does not begin with https://") }
    let rest = url.dropFirst(8)
    let slash = rest.firstIndex(of: "/") ?? rest.endIndex
    let authority = rest[..<slash]
    var prefix = rest[slash...]
    while prefix.hasSuffix("/") { prefix.removeLast() }
    var hostPart = authority
    var portPart: Substring?
    if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
      hostPart = authority[authority.index(after: authority.startIndex)..<end]
      let tail = authority[authority.index(after: end)...]
      if !tail.isEmpty {
        guard tail.hasPrefix(":") else { throw refuse("has no valid host") }
        portPart = tail.dropFirst()
      }
    } else if let colon = authority.firstIndex(of: ":") {
      hostPart = authority[..<colon]
      portPart = authority[authority.index(after: colon)...]
    }
    guard !hostPart.isEmpty, !authority.contains("@") else { throw refuse("has no valid host") }
    if let portPart {
      guard let number = Int(portPart), (1...65535).contains(number) else { throw refuse("has no valid port") }
      port = number
    } else {
      port = 443
    }
    host = String(hostPart)
    pathPrefix = String(prefix)
    self.authority = String(authority)
  }
}

/// The path and query of a request.
struct RequestPath: Sendable {
  private(set) var text: String
  private var hasQuery = false

  init(raw: String) {
    text = raw
    hasQuery = raw.contains("?")
  }

  init(_ resource: GroupVersionResource, namespace: String?, name: String? = nil, subresource: String? = nil) {
    text = resource.groupVersion.path
    if let namespace, !namespace.isEmpty { text += "/namespaces/\(Query.percentEncoded(namespace))" }
    text += "/\(resource.resource)"
    if let name { text += "/\(Query.percentEncoded(name))" }
    if let subresource { text += "/\(subresource)" }
  }

  mutating func add(_ name: String, _ value: String) {
    text += "\(hasQuery ? "&" : "?")\(name)=\(Query.percentEncoded(value))"
    hasQuery = true
  }

  mutating func add(_ options: ListOptions) {
    if !options.labelSelector.isEmpty { add("labelSelector", options.labelSelector) }
    if !options.fieldSelector.isEmpty { add("fieldSelector", options.fieldSelector) }
    if !options.resourceVersion.isEmpty { add("resourceVersion", options.resourceVersion) }
    if options.limit > 0 { add("limit", String(options.limit)) }
    if !options.continueToken.isEmpty { add("continue", options.continueToken) }
    if options.allowWatchBookmarks { add("allowWatchBookmarks", "true") }
  }

  mutating func add(_ options: WriteOptions) {
    if !options.fieldManager.isEmpty { add("fieldManager", options.fieldManager) }
    if options.dryRun { add("dryRun", "All") }
  }
}
