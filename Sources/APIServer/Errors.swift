import KubeClient
import Schema
import Wire

/// The refusals of `k8s.io/apimachinery/pkg/api/errors`, with the wording that clients show.
extension KubeError {
  static func notFound(_ resource: GroupVersionResource, _ name: String) -> KubeError {
    KubeError(
      code: 404, reason: .notFound, message: "\(resource.groupResource) \"\(name)\" not found",
      details: details(resource, name))
  }

  /// A path that nothing serves.
  static func noSuchPath() -> KubeError {
    KubeError(
      code: 404, reason: .notFound, message: "the server could not find the requested resource", details: Details())
  }

  static func alreadyExists(_ resource: GroupVersionResource, _ name: String) -> KubeError {
    KubeError(
      code: 409, reason: .alreadyExists, message: "\(resource.groupResource) \"\(name)\" already exists",
      details: details(resource, name))
  }

  static func conflict(_ resource: GroupVersionResource, _ name: String, _ why: String) -> KubeError {
    KubeError(
      code: 409, reason: .conflict,
      message: "Operation cannot be fulfilled on \(resource.groupResource) \"\(name)\": \(why)",
      details: details(resource, name))
  }

  static func modified(_ resource: GroupVersionResource, _ name: String) -> KubeError {
    conflict(
      resource, name,
      "the object has been modified; please apply your changes to the latest version and try again")
  }

  static func badRequest(_ message: String) -> KubeError {
    KubeError(code: 400, reason: .badRequest, message: message)
  }

  static func unauthorized() -> KubeError {
    KubeError(code: 401, reason: .unauthorized, message: "Unauthorized")
  }

  static func methodNotAllowed() -> KubeError {
    KubeError(
      code: 405, reason: .methodNotAllowed,
      message: "the server does not allow this method on the requested resource", details: Details())
  }

  static func notAcceptable(_ types: [String]) -> KubeError {
    KubeError(
      code: 406, reason: .notAcceptable,
      message: "only the following media types are accepted: \(types.joined(separator: ", "))")
  }

  static func unsupportedMediaType(_ types: [String], _ detail: String = "") -> KubeError {
    KubeError(
      code: 415, reason: .unsupportedMediaType,
      message:
        "the body of the request was in an unknown format - accepted media types include: \(types.joined(separator: ", "))"
        + (detail.isEmpty ? "" : " (\(detail))"))
  }

  static func expired(_ message: String, continueToken: String = "") -> KubeError {
    var error = KubeError(code: 410, reason: .expired, message: message)
    error.continueToken = continueToken
    return error
  }

  static func internalError(_ message: String) -> KubeError {
    KubeError(
      code: 500, reason: .internalError, message: "Internal error occurred: \(message)",
      details: Details(causes: [Cause(reason: "", message: message, field: "")]))
  }

  static func tooLarge(limit: Int) -> KubeError {
    KubeError(
      code: 413, reason: .requestEntityTooLarge,
      message: "Request entity too large: limit is \(limit)")
  }

  static let requestTimeout = KubeError(
    code: 504, reason: .timeout, message: "Timeout: request did not complete within the allowed duration",
    details: Details())

  /// Another version of WebSocket.
  static let upgradeRequired = KubeError(
    code: 426, reason: .unknown, message: "WebSocket is spoken in version 13 (RFC 6455)")

  static let bodyTimeout = KubeError(
    code: 408, reason: .timeout, message: "Timeout: the request's body did not come within the allowed duration",
    details: Details())

  /// Others' bodies fill the memory that there is for them.
  static let bodiesAreMany = tooManyRequests("the server holds too many bodies of requests; try again")

  /// No place for a request on this connection.
  static let connectionsAreMany = tooManyRequests("the server has too many connections of this client; try again")

  static func tooManyRequests(_ message: String) -> KubeError {
    KubeError(code: 429, reason: .tooManyRequests, message: message, details: Details(retryAfterSeconds: 1))
  }

  static func malformedHead(status: Int, reason: String) -> KubeError {
    KubeError(
      code: status, reason: status == 400 ? .badRequest : .unknown,
      message: "the request's head is not understood: \(reason)")
  }

  static func unavailable(_ message: String) -> KubeError {
    KubeError(code: 503, reason: .serviceUnavailable, message: message, details: Details(retryAfterSeconds: 1))
  }

  /// A revision that the server has not reached.
  static func tooLargeResourceVersion(_ asked: Int64, current: Int64) -> KubeError {
    KubeError(
      code: 504, reason: .timeout, message: "Timeout: Too large resource version: \(asked), current: \(current)",
      details: Details(
        causes: [Cause(reason: "ResourceVersionTooLarge", message: "Too large resource version", field: "")],
        retryAfterSeconds: 1))
  }

  /// The `v1 Status` object that carries this error.
  var status: JSON {
    var status: JSONObject = [
      "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Failure", "message": .string(message),
    ]
    if !continueToken.isEmpty { status["metadata"] = ["continue": .string(continueToken)] }
    if !reason.rawValue.isEmpty { status["reason"] = .string(reason.rawValue) }
    if let details {
      var object = JSONObject()
      if !details.name.isEmpty { object["name"] = .string(details.name) }
      if !details.group.isEmpty { object["group"] = .string(details.group) }
      if !details.kind.isEmpty { object["kind"] = .string(details.kind) }
      if !details.uid.isEmpty { object["uid"] = .string(details.uid) }
      if !details.causes.isEmpty {
        object["causes"] = .array(
          details.causes.map { cause in
            var entry = JSONObject()
            if !cause.reason.isEmpty { entry["reason"] = .string(cause.reason) }
            if !cause.message.isEmpty { entry["message"] = .string(cause.message) }
            if !cause.field.isEmpty { entry["field"] = .string(cause.field) }
            return .object(entry)
          })
      }
      if let seconds = details.retryAfterSeconds { object["retryAfterSeconds"] = .int(Int64(seconds)) }
      status["details"] = .object(object)
    }
    status["code"] = .int(Int64(code))
    return .object(status)
  }
}
