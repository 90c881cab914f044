import NIOHTTP1

/// What a redirecting answer asks for (RFC 9110, section 15.4). Pure: whoever sent the request decides whether to go.
package enum Redirect: Sendable {
  /// It is no redirect.
  case none
  case follow(HTTPClientRequest)
  case refuse(String)

  /// - Parameter allowsStepDown: whether a step down from HTTPS to this URL is configured.
  package init(
    status: Int, location: String?, of request: HTTPClientRequest, allowsStepDown: (HTTPURL) -> Bool
  ) {
    guard [301, 302, 303, 307, 308].contains(status) else {
      self = .none
      return
    }
    let isReading = request.method == .GET || request.method == .HEAD
    guard isReading || status == 307 || status == 308 else {
      self = .refuse("it redirects a \(request.method) with status \(status)")
      return
    }
    guard let location else {
      self = .refuse("it redirects without saying where to")
      return
    }
    guard let url = request.url.resolving(location) else {
      self = .refuse("it redirects to something that is no http or https URL")
      return
    }
    if request.url.scheme == .https, url.scheme == .http, !allowsStepDown(url) {
      self = .refuse(
        "it redirects from HTTPS to plain HTTP (\(url.redacted)); "
          + "configure \(url.authority) as plain HTTP if that is meant")
      return
    }
    var next = request
    next.url = url
    if !url.hasSameOrigin(as: request.url) {
      // Credentials are for the one who was asked; what they redirect to is often a store with a signed URL.
      next.headers.remove(name: "authorization")
      next.headers.remove(name: "cookie")
      // The place to connect to, and who is met there, were those of the one who was asked.
      next.endpoint = .url
      next.tls = ClientTLS()
    }
    self = .follow(next)
  }
}
