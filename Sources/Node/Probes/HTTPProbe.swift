import Glibc
import HTTP
import NIOCore
import NIOHTTP1
import NIOPosix

/// What one try of a probe says.
enum ProbeResult: Sendable, Equatable {
  case success
  /// The `Unhealthy` event's text after `Liveness probe failed: `.
  case failure(String)
}

/// One GET, on a connection of its own: whether one can be made is part of the question. HTTPS without verification, as
/// kubelet does: the probe asks for life, not for identity.
///
/// A status from 200 to 399 is a success. A redirect is not followed, since where it leads may be another pod: that the
/// container answers is enough.
enum HTTPProbe {
  /// The only deadline is the probe's own.
  private static let http = {
    var configuration = HTTPClientConfiguration()
    configuration.deadlines.connect = .seconds(86_400)
    configuration.deadlines.tls = .seconds(86_400)
    configuration.deadlines.head = .seconds(86_400)
    return HTTPClient(configuration)
  }()

  static func get(_ target: ProbeTarget.HTTP, timeout: Duration) async -> ProbeResult {
    let scheme: HTTPURL.Scheme = target.isTLS ? .https : .http
    let authority = target.host.contains(":") ? "[\(target.host)]" : target.host
    let url = "\(scheme.rawValue)://\(authority):\(target.port)\(target.path)"
    var headers = HTTPHeaders(target.headers.map { ($0.name, $0.value) })
    headers.replaceOrAdd(name: "Connection", value: "close")
    let mark = target.path.firstIndex(of: "?")
    var request = HTTPClientRequest(
      method: .GET,
      url: HTTPURL(
        scheme: scheme, host: target.host, port: target.port,
        path: String(target.path[..<(mark ?? target.path.endIndex)]),
        query: mark.map { String(target.path[target.path.index(after: $0)...]) }),
      headers: headers)
    request.tls.isVerificationSkipped = true
    request.isAlone = true
    request.headDeadline = timeout
    do throws(HTTPClientError) {
      let status = try await http.execute(request).status
      if (200..<400).contains(status) { return .success }
      return .failure("HTTP probe failed with statuscode: \(status) from \(url)")
    } catch {
      return .failure("Get \"\(url)\": \(reason(error, address: "\(authority):\(target.port)"))")
    }
  }

  private static func reason(_ error: HTTPClientError, address: String) -> String {
    switch error.code {
    case .timeout: "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    case .closed where !(error.cause is IOError): "EOF"
    default: error.cause.map { TCPProbe.reason($0, address: address) } ?? "\(address): \(error)"
    }
  }
}

/// Success when the port accepts a connection.
enum TCPProbe {
  static func connect(host: String, port: Int, timeout: Duration) async -> ProbeResult {
    do {
      let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connectTimeout(TimeAmount(bounded: timeout)).connect(host: host, port: port).get()
      channel.close(promise: nil)
      return .success
    } catch {
      let authority = host.contains(":") ? "[\(host)]" : host
      return .failure(reason(error, address: "\(authority):\(port)"))
    }
  }

  /// The words that kubelet's events have: what was being done, with whom, and why it failed.
  static func reason(_ error: any Error, address: String) -> String {
    if let error = error as? NIOConnectionError, let first = error.connectionErrors.first {
      return reason(first.error, address: address)
    }
    if let error = error as? IOError {
      switch error.errnoCode {
      case ECONNREFUSED: return "dial tcp \(address): connect: connection refused"
      case EHOSTUNREACH: return "dial tcp \(address): connect: no route to host"
      case ENETUNREACH: return "dial tcp \(address): connect: network is unreachable"
      case ECONNRESET: return "read tcp \(address): read: connection reset by peer"
      default: return "\(address): \(error.description)"
      }
    }
    if case .connectTimeout = error as? ChannelError { return "dial tcp \(address): i/o timeout" }
    return "\(address): \(error)"
  }
}
