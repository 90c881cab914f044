import KubeTypes
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Schema
import Synchronization
import Wire

/// `KubeClient` over HTTPS (HTTP/1.1).
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
  private let connections: ConnectionPool

  /// - Throws: `KubeError` when the address, the certificates or the key cannot be used.
  public init(
    _ config: Kubeconfig, limits: Limits = Limits(), group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
  ) throws(KubeError) {
    server = try ServerAddress(config.server)
    token = config.token
    self.limits = limits
    connections = ConnectionPool(
      server: server, tls: try Self.tlsContext(config, server: server), tlsServerName: config.tlsServerName,
      limits: limits, group: group)
  }

  /// Closes the idle connections. Requests in flight go on.
  public func close() { connections.close() }

  private static func tlsContext(_ config: Kubeconfig, server: ServerAddress) throws(KubeError) -> NIOSSLContext {
    do {
      var tls = TLSConfiguration.makeClientConfiguration()
      tls.minimumTLSVersion = .tlsv12
      tls.applicationProtocols = ["http/1.1"]
      if config.isVerificationSkipped { tls.certificateVerification = .none }
      if let authority = config.certificateAuthority {
        tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(authority))
      }
      if let certificate = config.clientCertificate, let key = config.clientKey {
        tls.certificateChain = try NIOSSLCertificate.fromPEMBytes(certificate).map { .certificate($0) }
        tls.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: key, format: .pem))
      }
      return try NIOSSLContext(configuration: tls)
    } catch {
      throw KubeError(
        code: 400, reason: .badRequest, message: "the certificates or the key for \(server) cannot be used: \(error)")
    }
  }

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
    let channel = try await connections.open()
    let receiver = WatchReceiver(limits: limits)
    let deadline = channel.eventLoop.scheduleTask(in: TimeAmount(limits.requestTimeout)) { [server] in
      receiver.failed(Self.timeout(server))
      channel.close(promise: nil)
    }
    let exchange = Exchange(head: head(.GET, path, body: nil), body: nil, receiver: receiver)
    do {
      return try await withTaskCancellationHandler {
        channel.writeAndFlush(exchange).whenFailure { receiver.failed($0) }
        let stream = try await receiver.stream(closing: channel)
        deadline.cancel()
        return stream
      } onCancel: {
        receiver.failed(CancellationError())
        channel.close(promise: nil)
      }
    } catch {
      deadline.cancel()
      channel.close(promise: nil)
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
    let bytes = try await request(method, path, body: body, contentType: contentType)
    do {
      return try Object(parsing: bytes)
    } catch {
      throw KubeError(code: 500, reason: .internalError, message: "\(server) sent no JSON: \(error)")
    }
  }

  private func json(_ method: HTTPMethod, _ path: RequestPath) async throws -> JSON {
    let bytes = try await request(method, path, body: nil, contentType: "")
    do {
      return try JSON.parse(bytes)
    } catch {
      throw KubeError(code: 500, reason: .internalError, message: "\(server) sent no JSON: \(error)")
    }
  }

  /// Any other path of the server, such as `/version`; the body of a 2xx answer.
  public func raw(path: String) async throws -> [UInt8] {
    try await request(.GET, RequestPath(raw: path), body: nil, contentType: "")
  }

  private func request(
    _ method: HTTPMethod, _ path: RequestPath, body: [UInt8]?, contentType: String
  ) async throws -> [UInt8] {
    let head = head(method, path, body: body, contentType: contentType)
    let buffer = body.map { ByteBuffer(bytes: $0) }
    do {
      let response: UnaryResponse
      if let idle = connections.takeIdle() {
        do {
          response = try await exchange(on: idle, head, buffer)
        } catch is UnansweredError where method == .GET {
          // The server closed a kept connection while the request was on its way. Only reads are sent again: whether
          // a write was done is not known.
          response = try await exchange(on: connections.open(), head, buffer)
        }
      } else {
        response = try await exchange(on: connections.open(), head, buffer)
      }
      guard (200..<300).contains(response.status) else {
        throw KubeError(response: response.body, httpCode: response.status)
      }
      return response.body
    } catch {
      throw translate(error)
    }
  }

  private func exchange(
    on channel: any Channel, _ head: HTTPRequestHead, _ body: ByteBuffer?
  ) async throws -> UnaryResponse {
    let receiver = UnaryReceiver(
      promise: channel.eventLoop.makePromise(), sizeMax: limits.responseSizeMax)
    let deadline = channel.eventLoop.scheduleTask(in: TimeAmount(limits.requestTimeout)) { [server] in
      receiver.failed(Self.timeout(server))
      channel.close(promise: nil)
    }
    defer { deadline.cancel() }
    do {
      let response = try await withTaskCancellationHandler {
        channel.writeAndFlush(Exchange(head: head, body: body, receiver: receiver)).whenFailure { receiver.failed($0) }
        return try await receiver.promise.futureResult.get()
      } onCancel: {
        receiver.failed(CancellationError())
        channel.close(promise: nil)
      }
      if response.isConnectionReusable { connections.giveBack(channel) } else { channel.close(promise: nil) }
      return response
    } catch {
      channel.close(promise: nil)
      throw error
    }
  }

  private func head(
    _ method: HTTPMethod, _ path: RequestPath, body: [UInt8]?, contentType: String = "application/json"
  ) -> HTTPRequestHead {
    var headers: HTTPHeaders = ["host": server.authority, "accept": "application/json", "user-agent": "apus"]
    if let token { headers.add(name: "authorization", value: "Bearer \(token)") }
    if let body {
      headers.add(name: "content-type", value: contentType)
      headers.add(name: "content-length", value: String(body.count))
    }
    return HTTPRequestHead(version: .http1_1, method: method, uri: server.pathPrefix + path.text, headers: headers)
  }

  private static func timeout(_ server: ServerAddress) -> KubeError {
    KubeError(code: 504, reason: .timeout, message: "the API server at \(server) did not answer in time")
  }

  private func translate(_ error: any Error) -> any Error {
    if Task.isCancelled { return CancellationError() }
    switch error {
    case is KubeError, is CancellationError: return error
    case is UnansweredError: return KubeError.unreachable("\(server)", "the connection was closed")
    default: return KubeError.unreachable("\(server)", "\(error)")
    }
  }
}

extension TimeAmount {
  fileprivate init(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    self = .nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
  }
}
