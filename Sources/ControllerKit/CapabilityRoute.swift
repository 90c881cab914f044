import KubeClient
import Wire

/// A path of the API server's that is no resource. Who may ask is said by RBAC (`nonResourceURLs`), as for `/metrics`.
package struct CapabilityRoute: Sendable {
  package struct Request: Sendable {
    /// In upper case.
    package var method: String
    package var query: Query
    package var user: Caller
    /// At most 3 MiB, as of every request.
    package var body: [UInt8]

    package init(method: String, query: Query, user: Caller, body: [UInt8]) {
      self.method = method
      self.query = query
      self.user = user
      self.body = body
    }
  }

  package struct Reply: Sendable {
    package var contentType: String
    package var body: [UInt8]

    package init(contentType: String, body: [UInt8]) {
      self.contentType = contentType
      self.body = body
    }
  }

  /// The whole path, such as `/apus/example`; not below `/api` and `/apis`, where resources are.
  package var path: String
  /// Answers at once, from memory: it is called on an event loop.
  package var respond: @Sendable (Request) throws(KubeError) -> Reply

  package init(path: String, respond: @escaping @Sendable (Request) throws(KubeError) -> Reply) {
    precondition(path.hasPrefix("/") && path != "/api" && !path.hasPrefix("/api/") && !path.hasPrefix("/apis"))
    self.path = path
    self.respond = respond
  }
}
