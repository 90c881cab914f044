import Schema
import Wire

/// What a connection asks for, as admission sees it: the options of its kind, read from the URL.
struct ConnectOptions: Sendable, Equatable {
  let object: JSON

  private init(_ kind: String, _ members: JSONObject) {
    var object: JSONObject = ["apiVersion": "v1", "kind": .string(kind)]
    for (key, value) in members.members { object[key] = value }
    self.object = .object(object)
  }

  /// Of a pod's `exec`, `attach` and `portforward`; `nil` for what is no connection.
  static func pod(_ info: RequestInfo) -> ConnectOptions? {
    let query = info.query
    func streams(_ others: JSONObject) -> JSONObject {
      var members = others
      for name in ["stdin", "stdout", "stderr", "tty"] where query[name] != nil {
        members[name] = .bool(query.flag(name))
      }
      if let container = query["container"], !container.isEmpty { members["container"] = .string(container) }
      return members
    }
    switch info.subresource {
    case "exec":
      return ConnectOptions("PodExecOptions", streams(["command": .array(query.all("command").map(JSON.string))]))
    case "attach": return ConnectOptions("PodAttachOptions", streams([:]))
    case "portforward":
      let ports = query.all("ports").flatMap { $0.split(separator: ",") }.compactMap { Int64($0) }
      return ConnectOptions("PodPortForwardOptions", ["ports": .array(ports.map(JSON.int))])
    default: return nil
    }
  }

  /// Of the `proxy` of a pod, service or node.
  ///
  /// - Parameter path: what follows `proxy`.
  static func proxy(_ kind: KindSchema, _ path: Substring) -> ConnectOptions {
    ConnectOptions("\(kind.kind)ProxyOptions", ["path": .string(String(path))])
  }
}
