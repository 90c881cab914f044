import OCI
import Wire

/// What the registry answers instead of what was asked for (OCI distribution specification 1.1, "Error Codes").
///
/// It travels as `{"errors":[{"code":…,"message":…,"detail":…}]}`.
public struct RegistryError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The specification's codes, and those that Docker's registry and its clients use beside them.
  public enum Code: String, Sendable, Equatable {
    case blobUnknown = "BLOB_UNKNOWN"
    case blobUploadInvalid = "BLOB_UPLOAD_INVALID"
    case blobUploadUnknown = "BLOB_UPLOAD_UNKNOWN"
    case digestInvalid = "DIGEST_INVALID"
    case manifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
    case manifestInvalid = "MANIFEST_INVALID"
    case manifestUnknown = "MANIFEST_UNKNOWN"
    case nameInvalid = "NAME_INVALID"
    case nameUnknown = "NAME_UNKNOWN"
    case paginationInvalid = "PAGINATION_NUMBER_INVALID"
    case rangeInvalid = "RANGE_INVALID"
    case sizeInvalid = "SIZE_INVALID"
    case tagInvalid = "TAG_INVALID"
    case unauthorized = "UNAUTHORIZED"
    case denied = "DENIED"
    case unsupported = "UNSUPPORTED"
    case tooManyRequests = "TOOMANYREQUESTS"
    case unavailable = "UNAVAILABLE"
    case unknown = "UNKNOWN"

    /// The HTTP status that goes with the code where nothing else is said.
    var status: Int {
      switch self {
      case .blobUnknown, .blobUploadUnknown, .manifestUnknown, .manifestBlobUnknown, .nameUnknown: 404
      case .blobUploadInvalid, .digestInvalid, .manifestInvalid, .nameInvalid, .sizeInvalid, .tagInvalid: 400
      case .paginationInvalid: 400
      case .rangeInvalid: 416
      case .unauthorized: 401
      case .denied: 403
      case .unsupported: 405
      case .tooManyRequests: 429
      case .unavailable: 503
      case .unknown: 500
      }
    }
  }

  public var code: Code
  public var status: Int
  public var message: String
  /// What a client can use: the digest that is missing, the limit that was passed.
  public var detail: JSON?
  /// Headers that go with the answer: `Range`, `Location`, `WWW-Authenticate`, `Retry-After`.
  public var headers: [Header]
  /// What the store said; for the log, and never in an answer.
  var cause: OCIError?

  /// A name and a value, comparable unlike a tuple.
  public struct Header: Sendable, Equatable {
    public var name: String
    public var value: String

    public init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  public init(_ code: Code, _ message: String, status: Int? = nil, detail: JSON? = nil, headers: [Header] = []) {
    self.code = code
    self.status = status ?? code.status
    self.message = message
    self.detail = detail
    self.headers = headers
  }

  public var description: String { "\(code.rawValue): \(message)" + (cause.map { " (\($0))" } ?? "") }

  /// The body of the answer.
  var body: [UInt8] {
    var error: JSON = ["code": .string(code.rawValue), "message": .string(message)]
    if let detail { error["detail"] = detail }
    let json: JSON = ["errors": [error]]
    return json.serialized()
  }

  static func nameInvalid(_ name: String) -> RegistryError {
    RegistryError(
      .nameInvalid,
      "invalid repository name: up to 255 characters, parts of lower-case letters and digits separated by '.', '_', "
        + "'__' or '-', joined by '/'",
      detail: ["name": .string(String(name.prefix(300)))])
  }

  static func nameUnknown(_ name: String) -> RegistryError {
    RegistryError(.nameUnknown, "repository name not known to registry", detail: ["name": .string(name)])
  }

  static func digestInvalid(_ text: String) -> RegistryError {
    RegistryError(
      .digestInvalid,
      "a digest is sha256: and 64, or sha512: and 128, hexadecimal digits in lower case",
      detail: ["digest": .string(String(text.prefix(300)))])
  }

  static func tagInvalid(_ text: String) -> RegistryError {
    RegistryError(
      .tagInvalid,
      "a tag is up to 128 letters, digits, '_', '.' and '-', and starts with none of '.' and '-'",
      detail: ["tag": .string(String(text.prefix(300)))])
  }

  static func blobUnknown(_ digest: Digest) -> RegistryError {
    RegistryError(.blobUnknown, "blob unknown to registry", detail: ["digest": .string(digest.description)])
  }

  static func uploadUnknown(_ id: String) -> RegistryError {
    RegistryError(
      .blobUploadUnknown, "blob upload unknown to registry: it never began, is finished, was cancelled, or has expired",
      detail: ["upload": .string(String(id.prefix(100)))])
  }

  static func manifestUnknown(_ reference: String) -> RegistryError {
    RegistryError(.manifestUnknown, "manifest unknown", detail: ["reference": .string(reference)])
  }

  static func notFound(_ path: String) -> RegistryError {
    RegistryError(
      .unsupported, "there is nothing at this address; the registry's API begins with /v2/", status: 404,
      detail: ["path": .string(String(path.prefix(300)))])
  }

  static func methodNotAllowed(_ allowed: [String]) -> RegistryError {
    RegistryError(
      .unsupported, "the method is not supported here; allowed: \(allowed.joined(separator: ", "))",
      headers: [Header("Allow", allowed.joined(separator: ", "))])
  }
}
