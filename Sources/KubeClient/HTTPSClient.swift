import HTTP
import KubeTypes
import NIOCore
import NIOHTTP1
import NIOPosix
import Schema
import Wire

/// `KubeClient` over HTTPS.
///
/// Requests use a small pool of kept-alive connections; each watch has a connection of its own. A request that is
/// not answered within `requestTimeout` fails with `timeout`; cancelling the calling task closes its connection. What
/// cannot reach the server fails with `serviceUnavailable`.
public final class HTTPSClient: KubeClient {
  public struct Limits: Sendable {
    public var connectTimeout: Duration = .seconds(5)
    /// From the request to the end of the answer; for watches to its head.
    public var requestTimeout: Duration = .seconds(30)
    /// How long the server is asked to keep a watch open.
    public var watchSeconds = 540
    /// In bytes.
    public var responseSizeMax = 256 << 20
    /// In bytes.
    public var watchLineSizeMax = 8 << 20
    /// How many events of a watch may wait for a slow reader before the watch fails with `expired`.
    public var watchBacklogMax = 10_000
    public var idleConnectionsMax = 8

    public init() {}
  }

  private let server: ServerAddress
  private let token: String?
  private let limits: Limits
  private let http: HTTPClient
  private let tls: ClientTLS

  /// Connections to the server, those of watches not counted.
  private static let connectionsMax = 64

  /// - Throws: `KubeError` when the address, the certificates or the key cannot be used.
  public init(
    _ config: Kubeconfig, limits: Limits = Limits(), group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
  ) throws(KubeError) {
    server = try ServerAddress(config.server)
    token = config.token
    self.limits = limits
    var tls = ClientTLS(
      authorities: config.certificateAuthority.map { [.text($0)] } ?? [],
      trustsSystem: config.certificateAuthority == nil,
      serverName: config.tlsServerName.isEmpty ? nil : config.tlsServerName,
      isVerificationSkipped: config.isVerificationSkipped)
    if let certificate = config.clientCertificate, let key = config.clientKey {
      tls.certificate = .text(certificate)
      tls.key = .text(key)
    }
    self.tls = tls
    var http = HTTPClientConfiguration()
    http.deadlines.connect = limits.connectTimeout
    http.deadlines.tls = limits.requestTimeout
    http.deadlines.head = limits.requestTimeout
    http.deadlines.queue = limits.requestTimeout
    // A watch may be silent until the server ends it; requests have a deadline as a whole.
    http.deadlines.idle = .seconds(limits.watchSeconds) + limits.requestTimeout
    http.deadlines.keepAlive = .seconds(90)
    http.limits.connectionsPerHost = Self.connectionsMax
    http.limits.idleConnections = limits.idleConnectionsMax
    self.http = HTTPClient(http, group: group)
    do throws(HTTPClientError) {
      try self.http.prepare(tls)
    } catch {
      throw KubeError(
        code: 400, reason: .badRequest, message: "the certificates or the key for \(server) cannot be used: \(error)")
    }
  }

  /// Closes the idle connections. Requests in flight go on.
  public func close() { http.close() }

  // MARK: KubeClient

  public func get(_ resource: GroupVersionResource, namespace: String?, name: String) async throws -> Object {
    try await object(.GET, RequestPath(resource, namespace: namespace, name: name))
  }

  public func list(
    _ resource: GroupVersionResource, namespace: String?, options: ListOptions
  ) async throws -> ObjectList {
    var path = RequestPath(resource, namespace: namespace)
    path.add(options)
    let json = try await json(.GET, path)
    // Items of a list come without `apiVersion` and `kind`; objects have them.
    let apiVersion = json["apiVersion"] ?? .string(resource.groupVersion.description)
    let listKind = json["kind"]?.string ?? ""
    let kind = JSON.string(listKind.hasSuffix("List") ? String(listKind.dropLast(4)) : listKind)
    let items = (json["items"]?.array ?? []).map { item in
      guard let members = item.object?.members, item["kind"] == nil else { return Object(item) }
      return Object(
        .object(JSONObject(uniqueMembers: [("apiVersion", apiVersion), ("kind", kind)] + members)))
    }
    return ObjectList(
      items: items, resourceVersion: json.at("metadata", "resourceVersion")?.string ?? "",
      continueToken: json.at("metadata", "continue")?.string ?? "")
  }

  public func watch(
    _ resource: GroupVersionResource, namespace: String?, options: ListOptions
  ) async throws -> WatchStream {
    var path = RequestPath(resource, namespace: namespace)
    path.add(options)
    path.add("watch", "true")
    path.add("timeoutSeconds", String(limits.watchSeconds))
    var request = request(.GET, path, body: nil)
    request.isAlone = true
    request.headDeadline = limits.requestTimeout
    do {
      let response = try await http.execute(request)
      guard (200..<300).contains(response.status) else {
        throw try await refusal(response)
      }
      return WatchReader.events(of: response, limits: limits)
    } catch {
      throw translate(error)
    }
  }

  public func create(
    _ resource: GroupVersionResource, namespace: String?, name: String?, subresource: String?, body: JSON,
    options: WriteOptions
  ) async throws -> Object {
    var path = RequestPath(resource, namespace: namespace, name: name, subresource: subresource)
    path.add(options)
    return try await object(.POST, path, body: body.serialized())
  }

  public func update(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, body: JSON,
    options: WriteOptions
  ) async throws -> Object {
    var path = RequestPath(resource, namespace: namespace, name: name, subresource: subresource)
    path.add(options)
    return try await object(.PUT, path, body: body.serialized())
  }

  public func patch(
    _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, type: PatchType,
    body: JSON, options: WriteOptions
  ) async throws -> Object {
    var path = RequestPath(resource, namespace: namespace, name: name, subresource: subresource)
    path.add(options)
    return try await object(.PATCH, path, body: body.serialized(), contentType: type.rawValue)
  }

  public func delete(
    _ resource: GroupVersionResource, namespace: String?, name: String, options: DeleteOptions
  ) async throws -> Object {
    var body: JSON = ["apiVersion": "v1", "kind": "DeleteOptions"]
    if let seconds = options.gracePeriodSeconds { body["gracePeriodSeconds"] = .int(seconds) }
    if let policy = options.propagationPolicy { body["propagationPolicy"] = .string(policy.rawValue) }
    var preconditions = JSONObject()
    if let uid = options.preconditionUID { preconditions["uid"] = .string(uid) }
    if let version = options.preconditionResourceVersion { preconditions["resourceVersion"] = .string(version) }
    if !preconditions.isEmpty { body["preconditions"] = .object(preconditions) }
    return try await object(
      .DELETE, RequestPath(resource, namespace: namespace, name: name), body: body.serialized())
  }

  // MARK: Requests

  private func object(
    _ method: HTTPMethod, _ path: RequestPath, body: [UInt8]? = nil, contentType: String = "application/json"
  ) async throws -> Object {
    let bytes = try await send(method, path, body: body, contentType: contentType)
    do {
      return try Object(parsing: bytes)
    } catch {
      throw KubeError(code: 500, reason: .internalError, message: "\(server) sent no JSON: \(error)")
    }
  }

  private func json(_ method: HTTPMethod, _ path: RequestPath) async throws -> JSON {
    let bytes = try await send(method, path)
    do {
      return try JSON.parse(bytes)
    } catch {
      throw KubeError(code: 500, reason: .internalError, message: "\(server) sent no JSON: \(error)")
    }
  }

  /// Any other path of the server, such as `/version`; the body of a 2xx answer.
  public func raw(path: String) async throws -> [UInt8] {
    try await send(.GET, RequestPath(raw: path))
  }

  /// The body of a 2xx answer.
  private func send(
    _ method: HTTPMethod, _ path: RequestPath, body: [UInt8]? = nil, contentType: String = "application/json"
  ) async throws -> [UInt8] {
    do {
      let (response, body) = try await http.collect(
        request(method, path, body: body, contentType: contentType), limit: limits.responseSizeMax,
        within: limits.requestTimeout)
      guard let body else {
        throw KubeError(
          code: 500, reason: .internalError, message: "the response is larger than \(limits.responseSizeMax) bytes")
      }
      guard (200..<300).contains(response.status) else {
        throw KubeError(response: body, httpCode: response.status)
      }
      return body
    } catch {
      throw translate(error)
    }
  }

  /// What a watch was answered instead of events.
  private func refusal(_ response: HTTPClientResponse) async throws(HTTPClientError) -> KubeError {
    let body = try await response.collect(limit: limits.watchLineSizeMax, within: limits.requestTimeout)
    return KubeError(response: body ?? [], httpCode: response.status)
  }

  private func request(
    _ method: HTTPMethod, _ path: RequestPath, body: [UInt8]?, contentType: String = "application/json"
  ) -> HTTPClientRequest {
    var headers: HTTPHeaders = ["host": server.authority, "accept": "application/json"]
    if let token { headers.add(name: "authorization", value: "Bearer \(token)") }
    if body != nil { headers.add(name: "content-type", value: contentType) }
    let text = server.pathPrefix + path.text
    let mark = text.firstIndex(of: "?")
    let content: HTTPClientRequest.Body = if let body { .bytes(ByteBuffer(bytes: body)) } else { .none }
    var request = HTTPClientRequest(
      method: method,
      url: HTTPURL(
        scheme: .https, host: server.host, port: server.port, path: String(text[..<(mark ?? text.endIndex)]),
        query: mark.map { String(text[text.index(after: $0)...]) }),
      headers: headers, body: content)
    request.tls = tls
    return request
  }

  private func translate(_ error: any Error) -> any Error {
    if Task.isCancelled { return CancellationError() }
    guard let error = error as? HTTPClientError else { return error }
    switch error.code {
    case .cancelled: return CancellationError()
    case .timeout(let phase, _) where phase != .connect:
      return KubeError(code: 504, reason: .timeout, message: "the API server at \(server) did not answer in time")
    default: return KubeError.unreachable("\(server)", error.message)
    }
  }
}
