import OCI
import Wire

/// The credentials in a Docker `config.json`, a `kubernetes.io/dockerconfigjson` or a `kubernetes.io/dockercfg` secret.
///
/// Look-up follows Kubernetes (k8s.io/kubernetes/pkg/credentialprovider, "keyring"): a key may have a scheme, a port, a
/// path and, in each part of the host name, the wildcards `*`, `?` and `[…]`; the path is a prefix. Credential helpers
/// are programs of the machine that the file was written on; they are never run, `warnings` names them.
public struct DockerConfiguration: Sendable, Equatable {
  public private(set) var warnings: [String] = []
  private var entries: [Entry] = []

  private struct Entry: Sendable, Equatable {
    /// Host, port and path without a scheme.
    var key: String
    var host: [String]
    var port: String?
    var path: String
    var credentials: Credentials
  }

  static let sizeMax = 1 << 20
  static let entriesMax = 10_000

  public init() {}

  /// Parses any of the three forms. A broken entry is an error, because a pull that silently goes without its
  /// credentials fails far away from the reason.
  public init(parsing bytes: [UInt8]) throws(DistributionError) {
    guard bytes.count <= DockerConfiguration.sizeMax else {
      throw DistributionError(
        .limitExceeded, "the docker configuration has \(bytes.count) bytes; \(DockerConfiguration.sizeMax) are allowed")
    }
    let json: JSON
    do {
      json = try JSON.parse(bytes, depthMax: 16)
    } catch {
      // The parser's message may quote the text around the error: a secret.
      throw DistributionError(.invalidConfiguration, "the docker configuration is not valid JSON")
    }
    guard let object = json.object else {
      throw DistributionError(.invalidConfiguration, "the docker configuration must be a JSON object")
    }
    if let auths = object["auths"] {
      guard auths.isNull || auths.object != nil else {
        throw DistributionError(.invalidConfiguration, "\"auths\" of the docker configuration must be an object")
      }
      try add(auths.object)
    } else if object["credsStore"] == nil, object["credHelpers"] == nil, object["HttpHeaders"] == nil,
      object.members.allSatisfy({ $0.value.object?["auth"] != nil || $0.value.object?["username"] != nil })
    {
      // The old form is the same object without `auths` around it.
      try add(object)
    }
    if let store = object["credsStore"]?.string, !store.isEmpty {
      warnings.append("the credential store \"\(store)\" is not used; put the credentials into \"auths\"")
    }
    for (host, helper) in object["credHelpers"]?.object?.members ?? [] {
      warnings.append(
        "the credential helper \"\(helper.string ?? "")\" for \(host) is not used; put the credentials into \"auths\"")
    }
  }

  private mutating func add(_ object: JSONObject?) throws(DistributionError) {
    guard let object else { return }
    guard object.count <= DockerConfiguration.entriesMax else {
      throw DistributionError(.limitExceeded, "the docker configuration has more than 10000 entries")
    }
    for (key, value) in object.members {
      guard let credentials = try DockerConfiguration.credentials(value, key: key) else { continue }
      guard let (key, host, port, path) = DockerConfiguration.split(location: key) else {
        throw DistributionError(
          .invalidConfiguration, "the docker configuration's key \"\(key.prefix(300))\" is no registry")
      }
      entries.append(Entry(key: key, host: host, port: port, path: path, credentials: credentials))
    }
    // The longest match of several comes first, as in Kubernetes, which sorts the keys backwards.
    entries.sort { $0.key > $1.key }
  }

  private static func credentials(_ value: JSON, key: String) throws(DistributionError) -> Credentials? {
    guard let entry = value.object else {
      throw DistributionError(
        .invalidConfiguration, "the docker configuration's entry for \"\(key.prefix(300))\" must be an object")
    }
    func text(_ name: String) -> String? { entry[name]?.string.flatMap { $0.isEmpty ? nil : $0 } }
    if let token = text("registrytoken") { return .registryToken(token) }
    if let token = text("identitytoken") { return .identityToken(token) }
    if let auth = text("auth") {
      // With and without padding are both met.
      let padded = auth + String(repeating: "=", count: (4 - auth.utf8.count % 4) % 4)
      guard let bytes = Base64.decode(padded), let pair = String(validating: bytes, as: UTF8.self),
        let colon = pair.firstIndex(of: ":")
      else {
        throw DistributionError(
          .invalidConfiguration,
          "\"auth\" of the docker configuration's entry for \"\(key.prefix(300))\" must be username:password in Base64")
      }
      var password = pair[pair.index(after: colon)...]
      while password.last == "\0" { password.removeLast() }
      return .basic(username: String(pair[..<colon]), password: String(password))
    }
    guard let username = text("username") else { return nil }
    return .basic(username: username, password: text("password") ?? "")
  }

  /// A key's parts. `https://index.docker.io/v1/` is the host `index.docker.io` alone.
  private static func split(location: String) -> (key: String, host: [String], port: String?, path: String)? {
    var rest = Substring(location)
    for scheme in ["https://", "http://"] where rest.hasPrefix(scheme) { rest = rest.dropFirst(scheme.count) }
    rest = rest.prefix { $0 != "?" && $0 != "#" }
    let slash = rest.firstIndex(of: "/") ?? rest.endIndex
    let authority = rest[..<slash]
    var path = rest[slash...]
    if path.hasPrefix("/v1/") || path.hasPrefix("/v2/") { path = path.dropFirst(3) }
    if path == "/" || path == "/v1" || path == "/v2" { path = "" }
    guard !authority.isEmpty, !authority.contains("@") else { return nil }
    let (host, port) = splitPort(authority)
    guard !host.isEmpty else { return nil }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    return (String(authority + path), parts, port, String(path))
  }

  private static func splitPort(_ authority: Substring) -> (host: Substring, port: String?) {
    if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
      let after = authority[authority.index(after: end)...]
      return (authority[...end], after.hasPrefix(":") ? String(after.dropFirst()) : nil)
    }
    guard let colon = authority.lastIndex(of: ":") else { return (authority, nil) }
    return (authority[..<colon], String(authority[authority.index(after: colon)...]))
  }

  /// All credentials for a repository of a registry (`docker.io`, `library/nginx`), the best match first. Kubernetes
  /// tries one after the other.
  public func credentials(registry: String, repository: String) -> [Credentials] {
    let (host, port) = DockerConfiguration.splitPort(Substring(registry))
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    let path = "/" + repository
    var found: [Credentials] = []
    for entry in entries {
      guard entry.port == port, entry.host.count == parts.count, path.hasPrefix(entry.path),
        zip(entry.host, parts).allSatisfy({ Glob.matches($0, $1) }), !found.contains(entry.credentials)
      else { continue }
      found.append(entry.credentials)
    }
    if found.isEmpty, registry == "docker.io" || registry == "index.docker.io" {
      for entry in entries where entry.key == "index.docker.io" { found.append(entry.credentials) }
    }
    return found
  }

  public func credentials(for reference: Reference) -> [Credentials] {
    credentials(registry: reference.registry, repository: reference.repository)
  }

  /// Takes the other's entries in addition, behind its own where both match.
  public mutating func add(_ other: DockerConfiguration) {
    entries += other.entries
    warnings += other.warnings
    entries.sort { $0.key > $1.key }
  }

  public var isEmpty: Bool { entries.isEmpty }
}

extension DockerConfiguration: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  public var description: String { "\(entries.count) registry credentials" }
  public var debugDescription: String { description }
  public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Shell patterns as Go's `filepath.Match` has them, for a part of a host name.
enum Glob {
  static func matches(_ pattern: some StringProtocol, _ text: some StringProtocol) -> Bool {
    let pattern = Array(pattern.utf8)
    let text = Array(text.utf8)
    var p = 0
    var t = 0
    // Where to go on when the characters after the last star do not match: only the last star ever needs another try.
    var retry: (p: Int, t: Int)?
    while t < text.count || p < pattern.count {
      if p < pattern.count {
        if pattern[p] == UInt8(ascii: "*") {
          retry = (p, t + 1)
          p += 1
          continue
        }
        if t < text.count, let next = step(pattern, p, text[t]) {
          p = next
          t += 1
          continue
        }
      }
      guard let back = retry, back.t <= text.count else { return false }
      p = back.p
      t = back.t
      retry = nil
    }
    return true
  }

  /// The position behind the pattern's element at `at` when it matches the byte.
  private static func step(_ pattern: [UInt8], _ at: Int, _ byte: UInt8) -> Int? {
    switch pattern[at] {
    case UInt8(ascii: "?"): return at + 1
    case UInt8(ascii: "\\"):
      guard at + 1 < pattern.count, pattern[at + 1] == byte else { return nil }
      return at + 2
    case UInt8(ascii: "["): return bracket(pattern, at + 1, byte)
    default: return pattern[at] == byte ? at + 1 : nil
    }
  }

  private static func bracket(_ pattern: [UInt8], _ start: Int, _ byte: UInt8) -> Int? {
    var at = start
    var isNegated = false
    if at < pattern.count, pattern[at] == UInt8(ascii: "^") {
      isNegated = true
      at += 1
    }
    var isFound = false
    let first = at
    while at < pattern.count, pattern[at] != UInt8(ascii: "]") || at == first {
      guard let low = character(pattern, &at) else { return nil }
      var high = low
      if at + 1 < pattern.count, pattern[at] == UInt8(ascii: "-"), pattern[at + 1] != UInt8(ascii: "]") {
        at += 1
        guard let value = character(pattern, &at) else { return nil }
        high = value
      }
      if low <= byte, byte <= high { isFound = true }
    }
    guard at < pattern.count else { return nil }
    return isFound != isNegated ? at + 1 : nil
  }

  private static func character(_ pattern: [UInt8], _ at: inout Int) -> UInt8? {
    if pattern[at] == UInt8(ascii: "\\") { at += 1 }
    guard at < pattern.count else { return nil }
    defer { at += 1 }
    return pattern[at]
  }
}
