import KubeTypes
import Wire

/// What a probe or hook does, resolved against the container's ports and the pod's address. Pure.
enum ProbeTarget: Sendable, Equatable {
  struct HTTP: Sendable, Equatable {
    var isTLS: Bool
    var host: String
    var port: Int
    /// With its query.
    var path: String
    /// `Host` and `User-Agent` included.
    var headers: [(name: String, value: String)]

    static func == (a: HTTP, b: HTTP) -> Bool {
      a.isTLS == b.isTLS && a.host == b.host && a.port == b.port && a.path == b.path
        && a.headers.elementsEqual(b.headers) { $0 == $1 }
    }
  }

  struct GRPC: Sendable, Equatable {
    var isTLS: Bool
    var host: String
    var port: Int
    /// Empty for the server as a whole.
    var service: String
    var userAgent: String
  }

  case http(HTTP)
  case grpc(GRPC)
  case tcp(host: String, port: Int)
  case exec([String])
  case sleep(Duration)

  /// - Parameter podIP: where containers are reached; the node's own address with `hostNetwork`.
  init(probe: Probe, container: Container, podIP: String, version: String) throws(NodeError) {
    let userAgent = "kube-probe/\(Self.short(version))"
    if let action = probe.httpGet {
      self = .http(try Self.http(action, container: container, podIP: podIP, userAgent: userAgent))
    } else if let action = probe.tcpSocket {
      let host = action.host.flatMap { $0.isEmpty ? nil : $0 } ?? podIP
      self = .tcp(host: host, port: try Self.port(action.port, of: container))
    } else if let action = probe.exec {
      self = .exec(action.command)
    } else if let action = probe.grpc {
      self = .grpc(
        GRPC(
          isTLS: action.mode == "TLS", host: podIP, port: try Self.port(action.port.map { .int($0) }, of: container),
          service: action.service ?? "",
          userAgent: userAgent))
    } else {
      throw NodeError(.createContainerConfigError, "missing probe handler for container \(container.name ?? "")")
    }
  }

  init(hook: LifecycleHandler, container: Container, podIP: String) throws(NodeError) {
    if let action = hook.exec {
      self = .exec(action.command)
    } else if let action = hook.httpGet {
      self = .http(try Self.http(action, container: container, podIP: podIP, userAgent: "kube-lifecycle/1"))
    } else if let action = hook.sleep {
      self = .sleep(.seconds(action.seconds ?? 0))
    } else {
      throw NodeError(.createContainerConfigError, "the lifecycle handler must be exec, httpGet or sleep")
    }
  }

  private static func short(_ version: String) -> String {
    let parts = version.drop { $0 == "v" }.split(separator: ".")
    return parts.prefix(2).joined(separator: ".")
  }

  private static func http(
    _ action: HTTPGetAction, container: Container, podIP: String, userAgent: String
  ) throws(NodeError) -> HTTP {
    let host = action.host.flatMap { $0.isEmpty ? nil : $0 } ?? podIP
    let port = try port(action.port, of: container)
    var path = action.path ?? "/"
    if !path.hasPrefix("/") { path = "/" + path }
    var headers: [(name: String, value: String)] = []
    for header in action.httpHeaders { headers.append((header.name ?? "", header.value ?? "")) }
    func has(_ name: String) -> Bool { headers.contains { $0.name.lowercased() == name } }
    if !has("host") { headers.append(("Host", host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)")) }
    if !has("user-agent") { headers.append(("User-Agent", userAgent)) }
    if !has("accept") { headers.append(("Accept", "*/*")) }
    return HTTP(isTLS: action.scheme?.uppercased() == "HTTPS", host: host, port: port, path: path, headers: headers)
  }

  /// A port by number or by the name that the container gives it.
  private static func port(_ port: IntOrString?, of container: Container) throws(NodeError) -> Int {
    switch port {
    case .int(let number) where (1...65535).contains(number): return Int(number)
    case .string(let name):
      if let named = container.ports.first(where: { $0.name == name })?.containerPort { return Int(named) }
      if let number = Int(name), (1...65535).contains(number) { return number }
      throw NodeError(.createContainerConfigError, "container \(container.name ?? "") has no port named \(name)")
    default: throw NodeError(.createContainerConfigError, "the probe's port must be between 1 and 65535")
    }
  }
}
