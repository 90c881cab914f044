import Schema
import Wire

/// What a request asks for, read from method and URL (`k8s.io/apiserver/pkg/endpoints/request.RequestInfo`).
struct RequestInfo: Sendable, Equatable {
  /// `get list watch create update patch delete deletecollection`, or the HTTP method in lower case for paths that are
  /// no resources.
  var verb: String
  var isResourceRequest = false
  var path: String
  var query: Query
  var group = ""
  var version = ""
  /// The plural name.
  var resource = ""
  var subresource = ""
  /// Empty for cluster-scoped resources and for all namespaces.
  var namespace = ""
  var name = ""
  /// What follows `proxy` in the path, as it was sent; `nil` for other subresources.
  var proxyPath: Substring?

  var groupVersionResource: GroupVersionResource {
    GroupVersionResource(group: group, version: version, resource: resource)
  }

  /// - Parameters:
  ///   - method: the HTTP method in upper case.
  ///   - uri: path and query as the request line has them.
  init(method: String, uri: String) {
    // By bytes, as all of this: looking for the borders of characters took most of a request's reading.
    let mark = uri.utf8.firstIndex(of: UInt8(ascii: "?"))
    let rawPath = uri[..<(mark ?? uri.endIndex)]
    query = mark.map { Query(uri[uri.utf8.index(after: $0)...]) } ?? Query()
    path = rawPath.isEmpty ? "/" : Query.percentDecoded(rawPath)
    verb = method.lowercased()

    // Segments are decoded one by one: a name may hold an encoded slash.
    var parts = Self.segments(of: rawPath)
    guard parts.count >= 3 else { return }
    switch parts[0] {
    case "api":
      version = parts[1]
      parts.removeFirst(2)
    case "apis":
      guard parts.count >= 4 else { return }
      group = parts[1]
      version = parts[2]
      parts.removeFirst(3)
    default: return
    }
    isResourceRequest = true
    var isWatchPath = false
    if parts[0] == "watch", parts.count > 1 {
      isWatchPath = true
      parts.removeFirst()
    }
    if parts[0] == "namespaces", parts.count > 2, parts[2] != "status", parts[2] != "finalize" {
      namespace = parts[1]
      parts.removeFirst(2)
    } else if parts[0] == "namespaces", parts.count > 1 {
      // As in Kubernetes, the namespace of a Namespace is itself, which is what authorisation looks at.
      namespace = parts[1]
    }
    resource = parts[0]
    if parts.count > 1 { name = parts[1] }
    if parts.count > 2, parts[2] == "proxy" {
      // The rest is the other server's, and no name to ask a right for.
      subresource = "proxy"
      proxyPath = Self.rest(of: rawPath, after: Self.segments(of: rawPath).count - parts.count + 3)
    } else if parts.count > 2 {
      subresource = parts[2...].joined(separator: "/")
    }

    switch method {
    case "GET", "HEAD":
      if isWatchPath || (query.flag("watch") && proxyPath == nil) {
        verb = "watch"
      } else {
        verb = name.isEmpty ? "list" : "get"
      }
    case "POST": verb = "create"
    case "PUT": verb = "update"
    case "PATCH": verb = "patch"
    case "DELETE": verb = name.isEmpty ? "deletecollection" : "delete"
    default: break
    }
  }

  /// What is left of a path after so many segments.
  private static func rest(of path: Substring, after segments: Int) -> Substring {
    var rest = path.utf8
    for _ in 0..<segments { rest = rest.drop { $0 == UInt8(ascii: "/") }.drop { $0 != UInt8(ascii: "/") } }
    return Substring(rest)
  }

  private static func segments(of path: Substring) -> [String] {
    path.utf8.split(separator: UInt8(ascii: "/")).map { Query.percentDecoded(Substring($0)) }
  }

  /// The namespace for storage: a Namespace object itself lives in none.
  var objectNamespace: String { resource == "namespaces" && group.isEmpty ? "" : namespace }
}
