import HTTP
import Wire

/// An etcd that keeps a store, and how it is reached.
public struct EtcdOptions: Sendable, Equatable {
  /// As they were given: `https://HOST:PORT`, one or more of one cluster.
  public let endpoints: [String]
  /// What all keys begin with. It begins and ends with a slash.
  public let prefix: String
  /// How long nobody else may lead after this server was heard of last. In seconds.
  public let leaseSeconds: Int
  /// Paths of PEM files: the authorities by which the members' certificates are checked (the system's without it), and the
  /// client's certificate with its key.
  public let authorities: String?
  public let certificate: String?
  public let key: String?
  let urls: [HTTPURL]

  public static let leaseRange = 3...600
  static let prefixBytesMax = 200

  /// - Parameter endpoints: URLs with commas between. `http` is for addresses of this machine only: objects go over it,
  ///   Secrets among them.
  /// - Throws: `invalid`, which says what is.
  public init(
    endpoints text: String, prefix: String = "/apus/", leaseSeconds: Int = 10, authorities: String? = nil,
    certificate: String? = nil, key: String? = nil
  ) throws(StoreError) {
    var urls: [HTTPURL] = []
    let endpoints = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    for endpoint in endpoints {
      guard let url = HTTPURL(endpoint), url.path == "/", url.query == nil, endpoint.split(separator: ":").count > 2
      else { throw .invalid("'\(endpoint)' is no address of an etcd: it takes https://HOST:PORT") }
      guard url.scheme == .https || Self.isThisMachine(url.host) else {
        throw .invalid("\(endpoint) is not on this machine: objects, Secrets among them, go over https only")
      }
      urls.append(url)
    }
    guard Set(urls.map(\.scheme)).count == 1 else { throw .invalid("\(text) mixes http and https") }
    guard (certificate == nil) == (key == nil) else { throw .invalid("a certificate and its key go together") }
    guard urls[0].scheme == .https || authorities == nil && certificate == nil else {
      throw .invalid("\(text) has no TLS, for which certificates are given")
    }
    guard Self.isPrefix(prefix) else {
      throw .invalid("'\(prefix)' is no prefix of keys: it takes /NAME/, of letters, digits and -._/")
    }
    guard Self.leaseRange.contains(leaseSeconds) else {
      throw .invalid(
        "a lease takes \(Self.leaseRange.lowerBound) to \(Self.leaseRange.upperBound) seconds, not \(leaseSeconds)")
    }
    self.endpoints = endpoints
    self.prefix = prefix
    self.leaseSeconds = leaseSeconds
    self.authorities = authorities
    self.certificate = certificate
    self.key = key
    self.urls = urls
  }

  /// What people and errors call the place.
  public var place: String { "\(endpoints.joined(separator: ","))\(prefix)" }

  /// Whether two places are the same, in whichever order their endpoints stand.
  public static func isSame(_ one: String, _ other: String) -> Bool {
    func parts(_ place: String) -> (prefix: Substring?, endpoints: Set<Substring>) {
      let endpoints = place.split(separator: ",")
      guard let last = endpoints.last, let colon = last.firstIndex(of: ":"),
        let host = last.index(colon, offsetBy: "://".count, limitedBy: last.endIndex),
        let slash = last[host...].firstIndex(of: "/")
      else { return (nil, Set(endpoints)) }
      return (last[slash...], Set(endpoints.dropLast() + [last[..<slash]]))
    }
    return parts(one) == parts(other)
  }

  private static func isPrefix(_ text: String) -> Bool {
    text.hasPrefix("/") && text.hasSuffix("/") && text.utf8.count > 2 && text.utf8.count <= prefixBytesMax
      && !text.contains("//")
      && text.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        default: "-._/".utf8.contains(byte)
        }
      }
  }

  private static func isThisMachine(_ host: String) -> Bool {
    if host == "localhost" { return true }
    guard let address = IPAddress(host) else { return false }
    return host == "::1" || address.description.hasPrefix("127.")
  }

  var tls: ClientTLS? {
    guard urls.first?.scheme == .https else { return nil }
    return ClientTLS(
      authorities: authorities.map { [.file($0)] } ?? [], trustsSystem: authorities == nil,
      certificate: certificate.map { .file($0) }, key: key.map { .file($0) })
  }
}
