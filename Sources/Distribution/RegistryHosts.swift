import HTTP

/// How each registry is reached: plain or TLS, with which certificates, by which mirrors.
///
/// Without an entry a host is spoken to in HTTPS with the system's authorities, except `localhost`, 127.0.0.0/8 and
/// `::1`, which are plain HTTP: a registry on the own machine rarely has a certificate, and nothing leaves the machine.
/// There is never a silent step from HTTPS down to HTTP; a registry elsewhere without TLS has to be configured
/// (`isPlainHTTP`), and so has one on localhost with TLS (`isPlainHTTP = false`, or a folder of certificates for it).
public struct RegistryHosts: Sendable, Equatable {
  public struct Host: Sendable, Equatable {
    /// `nil`: as the host's name says.
    public var isPlainHTTP: Bool?
    public var tls: TLS
    /// Asked before the registry itself, in this order, for everything that is read.
    public var mirrors: [Mirror]

    public init(isPlainHTTP: Bool? = nil, tls: TLS = TLS(), mirrors: [Mirror] = []) {
      self.isPlainHTTP = isPlainHTTP
      self.tls = tls
      self.mirrors = mirrors
    }
  }

  /// Files in PEM form, read when the first connection is made.
  public struct TLS: Sendable, Hashable {
    /// Trusted beside the system's authorities.
    public var authorities: [String]
    public var clientCertificate: String?
    public var clientKey: String?
    /// Accepts every certificate. For trying things out only.
    public var isVerificationSkipped: Bool

    public init(
      authorities: [String] = [], clientCertificate: String? = nil, clientKey: String? = nil,
      isVerificationSkipped: Bool = false
    ) {
      self.authorities = authorities
      self.clientCertificate = clientCertificate
      self.clientKey = clientKey
      self.isVerificationSkipped = isVerificationSkipped
    }

    /// As the HTTP client has it.
    var client: ClientTLS {
      ClientTLS(
        authorities: authorities.map { .file($0) }, certificate: clientCertificate.map { .file($0) },
        key: clientKey.map { .file($0) }, isVerificationSkipped: isVerificationSkipped)
    }
  }

  /// Another registry that has the same content: a pull-through cache.
  public struct Mirror: Sendable, Equatable {
    /// `mirror.example:5000`, or with a path below which its repositories are: `mirror.example/docker-hub`. What is
    /// known about the host part (plain HTTP, certificates) is in its own entry of `hosts`.
    public var location: String
    /// The credentials of the upstream registry are never sent to a mirror.
    public var credentials: Credentials?

    public init(location: String, credentials: Credentials? = nil) {
      self.location = location
      self.credentials = credentials
    }
  }

  /// By host, and port when there is one, as in image names.
  public var hosts: [String: Host]
  /// Folders in the form of `/etc/docker/certs.d`: `HOST:PORT/*.crt` are authorities, `HOST:PORT/NAME.cert` and
  /// `NAME.key` a client certificate. They are looked at when a connection is made to a host for the first time.
  public var certificateFolders: [String]

  public init(hosts: [String: Host] = [:], certificateFolders: [String] = []) {
    self.hosts = hosts
    self.certificateFolders = certificateFolders
  }

  /// Where a registry's requests go: the base below which `/v2/…` is.
  struct Endpoint: Sendable, Equatable {
    var base: HTTPURL
    var isMirror: Bool
    /// What is put before the repository's path.
    var pathPrefix: String
    /// The mirror's own.
    var credentials: Credentials?
  }

  /// The endpoints of a registry in the order of asking; the registry itself is the last.
  func endpoints(of registry: String, isReading: Bool) throws(DistributionError) -> [Endpoint] {
    var endpoints: [Endpoint] = []
    if isReading {
      let mirrors = hosts[registry]?.mirrors ?? []
      guard mirrors.count <= 16 else {
        throw DistributionError(.limitExceeded, "\(registry) has \(mirrors.count) mirrors; 16 are allowed")
      }
      for mirror in mirrors {
        let parts = mirror.location.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let prefix = parts.count > 1 && !parts[1].isEmpty ? "\(parts[1])/" : ""
        guard let host = parts.first, let base = base(of: String(host)),
          prefix.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") })
        else {
          throw DistributionError(
            .invalidConfiguration, "the mirror \"\(mirror.location)\" of \(registry) must be host[:port][/path]")
        }
        endpoints.append(Endpoint(base: base, isMirror: true, pathPrefix: prefix, credentials: mirror.credentials))
      }
    }
    guard let base = base(of: registry) else {
      throw DistributionError(.invalidURL, "\"\(registry.prefix(300))\" is no registry host; use host or host:port")
    }
    endpoints.append(Endpoint(base: base, isMirror: false, pathPrefix: "", credentials: nil))
    return endpoints
  }

  private func base(of registry: String) -> HTTPURL? {
    // Docker Hub's API has another name than its images.
    let name = registry == "docker.io" || registry == "index.docker.io" ? "registry-1.docker.io" : registry
    guard let (host, port) = HTTPURL.authority(name) else { return nil }
    let scheme: HTTPURL.Scheme = isPlain(registry, host: host) ? .http : .https
    return HTTPURL(scheme: scheme, host: host, port: port ?? scheme.defaultPort, path: "/v2/")
  }

  private func isPlain(_ registry: String, host: String) -> Bool {
    if let entry = hosts[registry] {
      if let isPlain = entry.isPlainHTTP { return isPlain }
      if entry.tls != TLS() { return false }
    }
    guard HostName.isLoopback(host) else { return false }
    return CertificateFolder.find(registry, in: certificateFolders) == nil
  }

  /// Whether one who speaks HTTPS may send us on to this URL: only where plain HTTP is configured by name. That a host
  /// is on this machine does not do: its ports are not the other's to choose from.
  func allowsStepDown(to url: HTTPURL) -> Bool {
    let names = ["\(url.bracketedHost):\(url.port)", url.bracketedHost]
    return names.lazy.compactMap { hosts[$0]?.isPlainHTTP }.first ?? false
  }

  /// How TLS is done with the host of a URL.
  func tls(for url: HTTPURL) -> TLS {
    var names = ["\(url.bracketedHost):\(url.port)"]
    if url.port == 443 { names.append(url.bracketedHost) }
    if url.host == "registry-1.docker.io" { names.append("docker.io") }
    var tls = names.lazy.compactMap { hosts[$0]?.tls }.first ?? TLS()
    guard let folder = names.lazy.compactMap({ CertificateFolder.find($0, in: certificateFolders) }).first else {
      return tls
    }
    tls.authorities += folder.authorities
    if tls.clientCertificate == nil {
      tls.clientCertificate = folder.clientCertificate
      tls.clientKey = folder.clientKey
    }
    return tls
  }
}
