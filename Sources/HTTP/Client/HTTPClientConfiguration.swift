/// How a client behaves. Everything has a bound.
package struct HTTPClientConfiguration: Sendable {
  package var deadlines = Deadlines()
  package var limits = Limits()
  package var proxy = ProxyConfiguration()
  /// Whether HTTP/2 is spoken. Requests with a connection of their own go by HTTP/1.1 in any case.
  package var http2 = HTTP2.offered
  /// The value of `User-Agent` where the request has none; empty for none.
  package var userAgent = "apus"

  /// When HTTP/2 is spoken (RFC 9113, section 3).
  package enum HTTP2: Sendable, Hashable {
    case never
    /// With servers that choose it in the TLS handshake; HTTP/1.1 otherwise.
    case offered
    /// Always: without TLS by prior knowledge, with TLS as the only protocol that is offered.
    case required
  }

  /// How long each phase may take.
  package struct Deadlines: Sendable, Equatable {
    /// From looking the name up to the established connection, the proxy's consent included.
    package var connect: Duration = .seconds(15)
    package var tls: Duration = .seconds(15)
    /// From the established connection of HTTP/2 to the server's settings.
    package var settings: Duration = .seconds(15)
    /// From the end of the request to the answer's head.
    package var head: Duration = .seconds(60)
    /// Without a byte in either direction while one is waited for.
    package var idle: Duration = .seconds(60)
    /// For one of the host's connections to become free.
    package var queue: Duration = .seconds(60)
    /// How long an unused connection is kept.
    package var keepAlive: Duration = .seconds(30)
    /// Without a byte from a server of HTTP/2 that is waited for, before it is asked whether it is still there. Servers on
    /// the same machine are not asked: the system tells their end.
    package var silence: Duration = .seconds(30)
    /// For a sign of life after that.
    package var ping: Duration = .seconds(15)

    package init() {}
  }

  package struct Limits: Sendable, Equatable {
    /// Each for one request at a time, or with HTTP/2 for as many as the server takes.
    package var connectionsPerHost = 16
    /// Requests that may wait for a connection of one host.
    package var queuePerHost = 1024
    /// Over all hosts.
    package var idleConnections = 32
    /// What is kept of an answer's body before the connection is not read any more, and of a request's body before
    /// whoever sends it waits. In bytes.
    package var streamBuffer = 512 << 10
    /// What a server of HTTP/2 may send ahead on each stream, beside what `streamBuffer` keeps; with the time that a byte
    /// takes to come and go, it is the speed of a body. At least 65,535 bytes, which every stream begins with.
    package var streamWindow = 1 << 20
    /// Bytes per second that an answer's body has to bring while it is waited for, taken over `Deadlines.idle`: a peer
    /// that sends a byte now and then is one that hangs. Zero for answers that may be silent.
    package var rateMin = 0
    /// Of one field of an answer's head or trailers, name and value. In bytes.
    package var headerField = 80 << 10
    /// Of all fields of an answer's head together. In bytes.
    package var headerList = 256 << 10
    /// Fields of an answer's head.
    package var headerFields = 256
    /// Answers of the class 1xx before the one that counts (RFC 9110, section 15.2).
    package var informationalAnswers = 16
    /// Requests on one connection of HTTP/2 at one time, though the server may take more.
    package var streamsPerConnection = 100

    package init() {}
  }

  package init() {}
}
