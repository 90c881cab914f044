import HTTP

/// How the client behaves. Everything has a bound.
public struct RegistryClientConfiguration: Sendable {
  public var hosts: RegistryHosts
  package var proxy: ProxyConfiguration
  public var deadlines: Deadlines
  public var limits: Limits
  public var retry: RetryPolicy
  public var userAgent: String

  public struct Deadlines: Sendable, Equatable {
    /// From looking the name up to the established connection, the proxy's consent included.
    public var connect: Duration = .seconds(15)
    public var tls: Duration = .seconds(15)
    /// From the end of the request to the answer's head. Registries verify a blob before they answer its upload.
    public var head: Duration = .seconds(120)
    /// For a whole manifest, list, token or error. A blob has no such bound, only `idle` and `Limits.rateMin`.
    public var document: Duration = .seconds(120)
    /// Without a byte in either direction while one is waited for.
    public var idle: Duration = .seconds(60)
    /// For one of the host's connections to become free.
    public var queue: Duration = .seconds(300)
    /// How long an unused connection is kept.
    public var keepAlive: Duration = .seconds(30)

    public init() {}
  }

  public struct Limits: Sendable, Equatable {
    public var connectionsPerHost = 16
    /// Requests that may wait for a connection of one host.
    public var queuePerHost = 1024
    /// Over all hosts.
    public var idleConnections = 32
    public var redirects = 10
    /// Blobs that one pull or push moves at the same time.
    public var parallelBlobs = 4
    /// Manifests, indexes, tag lists, tokens: what is kept in memory. In bytes.
    public var document = 8 << 20
    /// Of tag lists, catalogs and referrers.
    public var pages = 1000
    /// The children of an index and their children, of one pull or push.
    public var manifestsPerTransfer = 10_000
    /// What a stream keeps of an answer before it stops reading from the network. In bytes.
    public var streamBuffer = 512 << 10
    /// Bytes per second that an answer's body has to bring while it is waited for, taken over `Deadlines.idle`: a peer
    /// that sends a byte now and then is one that hangs.
    public var rateMin = 1 << 10
    /// Of all pages of one list together. In bytes.
    public var list = 64 << 20
    /// `nil`: a blob is uploaded by one PUT; else by chunks of this many bytes.
    public var uploadChunk: Int?

    public init() {}
  }

  public init(
    hosts: RegistryHosts = RegistryHosts(certificateFolders: ["/etc/containers/certs.d", "/etc/docker/certs.d"]),
    deadlines: Deadlines = Deadlines(), limits: Limits = Limits(), retry: RetryPolicy = RetryPolicy(),
    userAgent: String = "apus"
  ) {
    self.hosts = hosts
    proxy = ProxyConfiguration()
    self.deadlines = deadlines
    self.limits = limits
    self.retry = retry
    self.userAgent = userAgent
  }

  /// What of it is the HTTP client's.
  var http: HTTPClientConfiguration {
    var http = HTTPClientConfiguration()
    http.deadlines.connect = deadlines.connect
    http.deadlines.tls = deadlines.tls
    http.deadlines.head = deadlines.head
    http.deadlines.idle = deadlines.idle
    http.deadlines.queue = deadlines.queue
    http.deadlines.keepAlive = deadlines.keepAlive
    http.limits.connectionsPerHost = limits.connectionsPerHost
    http.limits.queuePerHost = limits.queuePerHost
    http.limits.idleConnections = limits.idleConnections
    http.limits.streamBuffer = limits.streamBuffer
    // A blob comes from far away, and there are few at one time.
    http.limits.streamWindow = 4 << 20
    http.limits.rateMin = limits.rateMin
    http.proxy = proxy
    http.userAgent = userAgent
    return http
  }
}
