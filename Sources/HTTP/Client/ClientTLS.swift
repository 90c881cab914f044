/// How TLS is done with a server. Requests whose settings are equal share connections.
package struct ClientTLS: Sendable, Hashable {
  /// Certificates or a key in PEM form.
  package enum Source: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// A path; read when the first connection is made, and again after `HTTPClient.reset`.
    case file(String)
    case text([UInt8])

    /// For messages: a key's text is never shown.
    package var description: String {
      switch self {
      case .file(let path): path
      case .text: "the given text"
      }
    }

    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }
  }

  package var authorities: [Source]
  /// Whether the system's authorities are trusted beside `authorities`.
  package var trustsSystem: Bool
  /// The client's certificate with its chain.
  package var certificate: Source?
  package var key: Source?
  /// What the server's certificate must name, in place of the URL's host.
  package var serverName: String?
  /// Accepts every certificate.
  package var isVerificationSkipped: Bool

  package init(
    authorities: [Source] = [], trustsSystem: Bool = true, certificate: Source? = nil, key: Source? = nil,
    serverName: String? = nil, isVerificationSkipped: Bool = false
  ) {
    self.authorities = authorities
    self.trustsSystem = trustsSystem
    self.certificate = certificate
    self.key = key
    self.serverName = serverName
    self.isVerificationSkipped = isVerificationSkipped
  }
}
