/// Why a transfer from or to a registry failed. The message names the host, the repository and what to do; it never
/// holds a credential, a token or the query of a URL, because presigned addresses carry signatures there.
public struct DistributionError: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Code: Sendable, Equatable {
    /// A URL, a path or a header value that cannot be used.
    case invalidURL
    /// A docker configuration, a pull secret or a certificate that cannot be read.
    case invalidConfiguration
    /// The host has no address, refuses connections, or the proxy in between does.
    case unreachable
    /// The TLS handshake failed: an unknown authority, a wrong name, a missing client certificate.
    case tls
    /// No answer within the deadline.
    case timeout
    /// The connection broke in the middle.
    case connectionLost
    /// The registry wants (other) credentials.
    case unauthorized
    /// The credentials are known and do not suffice.
    case denied
    /// No such repository, manifest, tag or blob.
    case notFound
    case tooManyRequests
    /// The registry has a failure of its own (5xx).
    case unavailable
    /// Any other refusal by the registry.
    case rejected
    /// An answer that breaks HTTP or the distribution specification.
    case invalidResponse
    /// Content that is not what its digest says, or has another size.
    case contentMismatch
    /// The index has no manifest for the wanted platform.
    case noMatchingPlatform
    /// More bytes, pages, redirects or requests than the limits allow.
    case limitExceeded
    /// Valid, but not done by this client.
    case unsupported
    /// The local content store failed.
    case store
    case cancelled
  }

  public var code: Code
  public var message: String
  /// The HTTP status of the answer, when there was one.
  public var status: Int?
  /// The registry's own error code (`MANIFEST_UNKNOWN`; distribution specification, "Error Codes").
  public var registryCode: String?
  /// How long the registry asks to wait (`Retry-After`).
  public var retryAfter: Duration?

  public init(
    _ code: Code, _ message: String, status: Int? = nil, registryCode: String? = nil, retryAfter: Duration? = nil
  ) {
    self.code = code
    self.message = message
    self.status = status
    self.registryCode = registryCode
    self.retryAfter = retryAfter
  }

  /// Whether the same call may succeed later without anybody changing anything.
  public var isRetriable: Bool {
    switch code {
    case .unreachable, .timeout, .connectionLost, .tooManyRequests, .unavailable: true
    default: false
    }
  }

  public var description: String { message }
}
