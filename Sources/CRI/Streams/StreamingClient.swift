import HTTP
import NIOCore
import NIOHTTP1

/// The client of a container runtime's streaming server: Kubernetes' protocols of remote commands and forwarded ports, by
/// SPDY/3.1. Of the two transports that runtimes speak it is the one by which input can end while output goes on.
package final class StreamingClient: Sendable {
  /// How long the steps may take. Streams themselves last.
  package struct Deadlines: Sendable, Equatable {
    package var connect: Duration = .seconds(10)
    /// To the change of protocol.
    package var answer: Duration = .seconds(30)
    /// From there until the server has taken every stream.
    package var setup: Duration = .seconds(30)

    package init() {}
  }

  private static let transport = "SPDY/3.1"
  private let http: HTTPClient
  private let deadlines: Deadlines

  package init(_ deadlines: Deadlines = Deadlines()) {
    var configuration = HTTPClientConfiguration()
    configuration.http2 = .never
    configuration.deadlines.connect = deadlines.connect
    configuration.deadlines.tls = deadlines.connect
    configuration.deadlines.head = deadlines.answer
    http = HTTPClient(configuration)
    self.deadlines = deadlines
  }

  /// The streams of a process, which are to be had at the URL that `CRIClient.exec` or `attach` has given.
  package func process(at url: String, _ wanted: CRIStreams) async throws(StreamingError) -> ProcessStreams {
    let client = try await connect(url, "v4.channel.k8s.io")
    var kinds = ["error"]
    if wanted.stdin { kinds.append("stdin") }
    if wanted.stdout { kinds.append("stdout") }
    if wanted.stderr { kinds.append("stderr") }
    if wanted.tty { kinds.append("resize") }
    let streams = try await open(kinds.map { [SPDYHeader(name: "streamtype", value: $0)] }, client)
    // The runtime has nothing to say on them.
    for (kind, stream) in zip(kinds, streams) where kind == "stdin" || kind == "resize" { stream.abandon() }
    return ProcessStreams(client, Dictionary(uniqueKeysWithValues: zip(kinds, streams)))
  }

  /// A connection to a port, which is to be had at the URL that `CRIClient.portForward` has given.
  package func port(_ port: Int, at url: String) async throws(StreamingError) -> PortStreams {
    let client = try await connect(url, "portforward.k8s.io")
    let streams = try await open(
      ["error", "data"].map { kind in
        [("streamtype", kind), ("port", String(port)), ("requestid", "0")].map { SPDYHeader(name: $0.0, value: $0.1) }
      }, client)
    // Nothing is said on it by this end.
    try? await streams[0].finish()
    return PortStreams(client, error: streams[0], data: streams[1])
  }

  private func connect(_ text: String, _ protocolName: String) async throws(StreamingError) -> SPDYClient {
    let address = try StreamingAddress(text)
    var request = HTTPClientRequest(
      method: .POST, url: address.url, headers: ["X-Stream-Protocol-Version": protocolName])
    request.endpoint = address.endpoint
    // Runtimes make their certificates themselves. The address is this machine's, and what lets in is the URL.
    request.tls.isVerificationSkipped = true
    do throws(HTTPClientError) {
      let upgrade = try await http.upgrade(request, to: Self.transport)
      let client = try await SPDYClient.start(upgrade)
      guard upgrade.headers[canonicalForm: "x-stream-protocol-version"].contains(Substring(protocolName)) else {
        client.close()
        throw HTTPClientError(.malformed, "it does not speak \(protocolName)")
      }
      return client
    } catch {
      throw Self.explain(error)
    }
  }

  private func open(_ headers: [[SPDYHeader]], _ client: SPDYClient) async throws(StreamingError) -> [SPDYStream] {
    do throws(HTTPClientError) { return try await client.open(headers, within: deadlines.setup) } catch {
      client.close()
      throw Self.explain(error)
    }
  }

  static func explain(_ error: HTTPClientError) -> StreamingError {
    let code: StreamingError.Code =
      switch error.code {
      case .upgradeRefused(let status): .refused(status: status)
      case .timeout: .timedOut
      case .closed, .cancelled, .connect: .closed
      default: .invalid
      }
    return StreamingError(code, "the container runtime's streaming server: \(error.message)")
  }
}
