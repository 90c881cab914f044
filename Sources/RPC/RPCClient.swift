import HTTP
import NIOCore
import NIOHTTP1
import Synchronization

/// A method of a service, by the names in its schema.
package struct RPCMethod: Sendable, Hashable {
  /// With its package: `runtime.v1.RuntimeService`.
  package var service: String
  package var name: String

  package init(service: String, name: String) {
    self.service = service
    self.name = name
  }

  var path: String { "/\(service)/\(name)" }
}

/// Calls of one server by gRPC over HTTP/2: with TLS, or by prior knowledge. Messages are bytes, whatever schema they have,
/// and are not compressed. Calls share connections, which are made when they are needed.
///
/// What the server has certainly not begun with is sent again; nothing else.
package final class RPCClient: Sendable {
  private let http: HTTPClient
  private let endpoint: HTTPEndpoint
  private let host: String
  private let port: Int
  private let tls: ClientTLS?
  private let messageMax: Int

  /// For calls that have no deadline of their own: nothing of HTTP's ends them.
  private static let noDeadline = Duration.seconds(365 * 86_400)

  /// A server on this machine.
  ///
  /// - Parameters:
  ///   - path: of its socket, absolute.
  ///   - messageMax: in bytes, of one message in either direction.
  package convenience init(unixSocket path: String, messageMax: Int = 16 << 20) {
    self.init(.unixSocket(path: path), host: "localhost", port: 80, tls: nil, messageMax: messageMax)
  }

  /// A server on the network.
  ///
  /// - Parameter tls: `nil` for a plain connection.
  package convenience init(host: String, port: Int, tls: ClientTLS?, messageMax: Int = 16 << 20) {
    self.init(.address(host: host, port: port), host: host, port: port, tls: tls, messageMax: messageMax)
  }

  private init(_ endpoint: HTTPEndpoint, host: String, port: Int, tls: ClientTLS?, messageMax: Int) {
    var configuration = HTTPClientConfiguration()
    configuration.http2 = .required
    configuration.deadlines.head = Self.noDeadline
    configuration.deadlines.idle = Self.noDeadline
    // Servers of gRPC take more than a question in five minutes for a flood.
    configuration.deadlines.silence = .seconds(330)
    http = HTTPClient(configuration)
    self.endpoint = endpoint
    self.host = host
    self.port = port
    self.tls = tls
    self.messageMax = messageMax
  }

  /// Closes the idle connections. Calls in flight go on.
  package func close() { http.close() }

  /// One message there, one back.
  ///
  /// - Parameters:
  ///   - metadata: more fields; names that begin with `grpc-` are gRPC's own.
  ///   - deadline: from now to the end of the answer; the server is told.
  package func call(
    _ method: RPCMethod, _ message: ByteBuffer, metadata: HTTPHeaders = [:], deadline: Duration
  ) async throws(RPCError) -> ByteBuffer {
    let answers = try await stream(method, message, metadata: metadata, deadline: deadline)
    guard let answer = try await answers.next() else {
      throw RPCError(.internalError, "the server ended the call well, and without an answer")
    }
    guard try await answers.next() == nil else {
      throw RPCError(.internalError, "the server gave more than one answer")
    }
    return answer
  }

  /// One message there, any number back.
  ///
  /// - Parameter deadline: from now to the end of the last answer; `nil` for calls that last as long as both ends like, and
  ///   end when the task is cancelled or the stream is let go of.
  package func stream(
    _ method: RPCMethod, _ message: ByteBuffer, metadata: HTTPHeaders = [:], deadline: Duration?
  ) async throws(RPCError) -> RPCStream {
    guard message.readableBytes <= messageMax else {
      throw RPCError(.resourceExhausted, "the message has \(message.readableBytes) bytes, and may have \(messageMax)")
    }
    if let name = metadata.first(where: { $0.name.lowercased().hasPrefix("grpc-") })?.name {
      throw RPCError(.invalidArgument, "the field \(name) is gRPC's own")
    }
    var headers: HTTPHeaders = [
      "te": "trailers", "content-type": "application/grpc", "grpc-accept-encoding": "identity",
    ]
    if let deadline { headers.add(name: "grpc-timeout", value: RPCFields.timeout(deadline)) }
    for (name, value) in metadata { headers.add(name: name, value: value) }
    var request = HTTPClientRequest(
      method: .POST,
      url: HTTPURL(scheme: tls == nil ? .http : .https, host: host, port: port, path: method.path),
      headers: headers, body: .bytes(RPCMessageReader.frame(message)))
    request.endpoint = endpoint
    if let tls { request.tls = tls }
    request.headDeadline = deadline
    let end = deadline.map { NIODeadline.now() + TimeAmount(bounded: $0) }
    let response: HTTPClientResponse
    do throws(HTTPClientError) {
      response = try await http.execute(request)
    } catch {
      throw RPCError(error)
    }
    let left = end.map { max(.zero, Duration($0 - NIODeadline.now())) }
    return RPCStream(response, messageMax: messageMax, left: left)
  }
}

/// The answers of a call, read by one task. Letting go of it ends the call when it has not ended yet.
package final class RPCStream: Sendable {
  private let response: HTTPClientResponse
  private let reader: Mutex<RPCMessageReader>
  private let unlimit: (@Sendable () -> Void)?

  init(_ response: HTTPClientResponse, messageMax: Int, left: Duration?) {
    self.response = response
    reader = Mutex(RPCMessageReader(messageMax: messageMax))
    unlimit = left.map { response.limit(to: $0) }
  }

  deinit { unlimit?() }

  /// The fields that came before the first answer.
  package var metadata: HTTPHeaders { response.headers }

  /// The next answer; `nil` when the server has ended the call well.
  package func next() async throws(RPCError) -> ByteBuffer? {
    if let refusal = RPCFields.refusal(status: response.status, response.headers) { throw refusal }
    while true {
      if let message = try reader.withLock({ reader throws(RPCError) in try reader.next() }) { return message }
      let chunk: ByteBuffer?
      do throws(HTTPClientError) {
        chunk = try await response.next()
      } catch {
        throw RPCError(error)
      }
      guard let chunk else { break }
      reader.withLock { $0.append(chunk) }
    }
    // An answer that is nothing but its end has one head for both.
    if let failure = RPCFields.failure(response.trailers ?? response.headers) { throw failure }
    guard reader.withLock({ $0.isAtEnd }) else {
      throw RPCError(.internalError, "the server ended the call in the middle of a message")
    }
    return nil
  }
}
