/// What a registry is told about who asks. Never printed: the description shows the kind only.
public enum Credentials: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  case basic(username: String, password: String)
  /// A refresh token, exchanged at the registry's token service (OAuth2; `identitytoken` of Docker's configuration).
  case identityToken(String)
  /// Sent as it is with every request (`registrytoken`).
  case registryToken(String)

  public var description: String {
    switch self {
    case .basic: "basic credentials"
    case .identityToken: "an identity token"
    case .registryToken: "a registry token"
    }
  }

  public var debugDescription: String { description }
  public var customMirror: Mirror { Mirror(self, children: []) }
}
