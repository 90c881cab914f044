import Wire

extension KubeError {
  /// Reads a `v1.Status`. A body that is none (a proxy's page for example) gives the HTTP code and its beginning.
  package init(response body: [UInt8], httpCode: Int) {
    guard let json = try? JSON.parse(body), json["kind"]?.string == "Status" else {
      let text = String(decoding: body.prefix(200), as: UTF8.self)
      self.init(
        code: httpCode, reason: Self.reason(httpCode),
        message: "the server answered \(httpCode)\(text.isEmpty ? "" : ": \(text)")")
      return
    }
    self.init(status: json, httpCode: httpCode)
  }

  /// Reads a `v1.Status`.
  public init(status json: JSON, httpCode: Int = 500) {
    let code = json["code"]?.int.map(Int.init(clamping:)) ?? httpCode
    var details: Details?
    if let value = json["details"], value.object != nil {
      details = Details(
        name: value["name"]?.string ?? "", group: value["group"]?.string ?? "", kind: value["kind"]?.string ?? "",
        uid: value["uid"]?.string ?? "",
        causes: (value["causes"]?.array ?? []).map { cause in
          Cause(
            reason: cause["reason"]?.string ?? "", message: cause["message"]?.string ?? "",
            field: cause["field"]?.string ?? "")
        },
        retryAfterSeconds: value["retryAfterSeconds"]?.int.map(Int.init(clamping:)))
    }
    self.init(
      code: code, reason: json["reason"]?.string.flatMap(Reason.init(rawValue:)) ?? Self.reason(code),
      message: json["message"]?.string ?? "", details: details)
    continueToken = json.at("metadata", "continue")?.string ?? ""
  }

  /// The reason that goes with an HTTP code when the server gives none.
  private static func reason(_ code: Int) -> Reason {
    switch code {
    case 400: .badRequest
    case 401: .unauthorized
    case 403: .forbidden
    case 404: .notFound
    case 405: .methodNotAllowed
    case 406: .notAcceptable
    case 409: .conflict
    case 410: .gone
    case 413: .requestEntityTooLarge
    case 415: .unsupportedMediaType
    case 422: .invalid
    case 429: .tooManyRequests
    case 500: .internalError
    case 503: .serviceUnavailable
    case 504: .timeout
    default: .unknown
    }
  }

  /// The server could not be asked, or did not answer.
  static func unreachable(_ server: String, _ problem: String) -> KubeError {
    KubeError(code: 503, reason: .serviceUnavailable, message: "cannot reach the API server at \(server): \(problem)")
  }
}
