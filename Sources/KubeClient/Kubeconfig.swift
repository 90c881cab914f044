import Glibc
import Wire

/// What a kubeconfig file says about the current context: where the server is and how to log in.
///
/// Read are clusters with `server`, `certificate-authority(-data)`, `tls-server-name` and `insecure-skip-tls-verify`, and
/// users with `client-certificate(-data)`, `client-key(-data)`, `token` and `tokenFile`. Login plugins (`exec`,
/// `auth-provider`) and passwords are refused by name.
public struct Kubeconfig: Sendable, Equatable {
  public var context: String
  /// `https://host:port`, optionally with a path.
  public var server: String
  /// Empty for the server's host.
  public var tlsServerName: String
  public var isVerificationSkipped: Bool
  /// PEM; `nil` for the system's authorities.
  public var certificateAuthority: [UInt8]?
  /// PEM; the client's certificate with its chain.
  public var clientCertificate: [UInt8]?
  /// PEM.
  public var clientKey: [UInt8]?
  public var token: String?
  /// The context's default namespace.
  public var namespace: String

  public init(
    context: String = "", server: String, tlsServerName: String = "", isVerificationSkipped: Bool = false,
    certificateAuthority: [UInt8]? = nil, clientCertificate: [UInt8]? = nil, clientKey: [UInt8]? = nil,
    token: String? = nil, namespace: String = "default"
  ) {
    self.context = context
    self.server = server
    self.tlsServerName = tlsServerName
    self.isVerificationSkipped = isVerificationSkipped
    self.certificateAuthority = certificateAuthority
    self.clientCertificate = clientCertificate
    self.clientKey = clientKey
    self.token = token
    self.namespace = namespace
  }

  /// Reads a file; names in it are relative to its folder. Errors are `KubeError` and name the file.
  ///
  /// Reads small files at start-up and blocks for that time.
  public static func load(path: String, context: String? = nil) throws(KubeError) -> Kubeconfig {
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
    do {
      return try parse(try readFile(path), context: context) { name throws(KubeError) in
        try readFile(name.hasPrefix("/") ? name : folder + name)
      }
    } catch {
      throw refusal("kubeconfig \(path): \(error.message)")
    }
  }

  /// Parses the text of a kubeconfig.
  ///
  /// - Parameters:
  ///   - context: `nil` for `current-context`.
  ///   - readFile: reads the files that it names.
  public static func parse(
    _ bytes: [UInt8], context wanted: String? = nil, readFile: (String) throws(KubeError) -> [UInt8]
  ) throws(KubeError) -> Kubeconfig {
    let documents: [JSON]
    do { documents = try YAML.parse(bytes) } catch { throw refusal("\(error)") }
    guard let config = documents.first, config.object != nil else { throw refusal("it is empty") }

    let contextName = wanted ?? config["current-context"]?.string ?? ""
    if contextName.isEmpty { throw refusal("it has no current-context") }
    let context = try entry("context", contextName, in: config["contexts"])
    let cluster = try entry("cluster", context["cluster"]?.string ?? "", in: config["clusters"])
    guard let server = cluster["server"]?.string, !server.isEmpty else {
      throw refusal("the cluster of context \"\(contextName)\" has no server")
    }
    var result = Kubeconfig(context: contextName, server: server)
    result.tlsServerName = cluster["tls-server-name"]?.string ?? ""
    result.isVerificationSkipped = cluster["insecure-skip-tls-verify"]?.bool ?? false
    result.certificateAuthority = try data("certificate-authority", in: cluster, readFile)
    if let namespace = context["namespace"]?.string, !namespace.isEmpty { result.namespace = namespace }

    guard let userName = context["user"]?.string, !userName.isEmpty else { return result }
    let user = try entry("user", userName, in: config["users"])
    for unsupported in ["exec", "auth-provider", "username"] where user[unsupported] != nil {
      throw refusal(
        "user \"\(userName)\" logs in by \(unsupported), which is not supported; use a certificate or token")
    }
    result.clientCertificate = try data("client-certificate", in: user, readFile)
    result.clientKey = try data("client-key", in: user, readFile)
    if (result.clientCertificate == nil) != (result.clientKey == nil) {
      throw refusal("user \"\(userName)\" needs both client-certificate and client-key")
    }
    if let token = user["token"]?.string, !token.isEmpty {
      result.token = token
    } else if let file = user["tokenFile"]?.string, !file.isEmpty {
      let text = String(decoding: try readFile(file), as: UTF8.self)
      result.token = text.split(whereSeparator: \.isWhitespace).first.map(String.init)
    }
    return result
  }

  private static func refusal(_ message: String) -> KubeError {
    KubeError(code: 400, reason: .badRequest, message: message)
  }

  private static func entry(_ kind: String, _ name: String, in list: JSON?) throws(KubeError) -> JSON {
    guard let found = list?.array?.first(where: { $0["name"]?.string == name }), let value = found[kind] else {
      throw refusal("it has no \(kind) named \"\(name)\"")
    }
    return value
  }

  /// `NAME-data` in Base64, or the content of the file that `NAME` gives.
  private static func data(
    _ name: String, in entry: JSON, _ readFile: (String) throws(KubeError) -> [UInt8]
  ) throws(KubeError) -> [UInt8]? {
    if let text = entry["\(name)-data"]?.string, !text.isEmpty {
      guard let bytes = Base64.decode(text) else { throw refusal("\(name)-data is not Base64") }
      return bytes
    }
    if let file = entry[name]?.string, !file.isEmpty { return try readFile(file) }
    return nil
  }

  private static let fileSizeMax = 1 << 20

  private static func readFile(_ path: String) throws(KubeError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw refusal("cannot open \(path): \(String(cString: strerror(errno)))") }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16 << 10)
    while true {
      let count = read(descriptor, &chunk, chunk.count)
      if count < 0 {
        if errno == EINTR { continue }
        throw refusal("cannot read \(path): \(String(cString: strerror(errno)))")
      }
      if count == 0 { return bytes }
      bytes += chunk[..<count]
      if bytes.count > fileSizeMax { throw refusal("\(path) is larger than \(fileSizeMax) bytes") }
    }
  }
}
