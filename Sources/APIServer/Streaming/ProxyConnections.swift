import HTTP
import KubeClient
import KubeTypes
import NIOCore
import NIOHTTP1
import Schema
import Store
import Wire

/// The subresource `proxy` of pods, services and nodes: a request is handed on to a server in a pod, and its answer back.
final class ProxyConnections: Sendable {
  private let service: ResourceService
  private let nodeStreams: @Sendable (_ node: String) -> (any NodeStreams)?

  init(service: ResourceService, nodeStreams: @escaping @Sendable (_ node: String) -> (any NodeStreams)?) {
    self.service = service
    self.nodeStreams = nodeStreams
  }

  /// - Parameter path: what follows `proxy`, as it was sent.
  func handle(
    _ request: APIRequest, _ info: RequestInfo, path: Substring, respond: @escaping Router.Respond
  ) throws(KubeError) {
    let reference = try ProxyReference(info.name)
    if path.isEmpty, request.method == "GET" || request.method == "HEAD" {
      // Relative links of a page at the root need the slash.
      let (own, query) = Self.split(request.uri)
      return respond(Reply(code: 301, contentType: "", headers: [("Location", own + "/" + query)], body: .bytes([])))
    }
    let target: ProxyTarget
    switch info.resource {
    case "pods":
      let pod = try object("pods", info.namespace, reference.name)
      target = try self.target(pod, isTLS: reference.isTLS, port: reference.port)
    case "services": target = try serviceTarget(reference, info.namespace)
    case "nodes":
      return try NodeProxy(service: service, nodeStreams: nodeStreams).handle(request, reference, path, respond)
    default: throw .methodNotAllowed()
    }
    let (own, query) = Self.split(request.uri)
    let forwarded = ProxyRequest(
      target: target, path: (path.isEmpty ? "/" : String(path)) + query,
      prefix: String(decoding: own.utf8.dropLast(path.utf8.count), as: UTF8.self), request: request)
    let exchange = ProxyExchange(forwarded)
    Task { await exchange.run(respond) }
  }

  /// The path of a request's target, and its query with the question mark.
  private static func split(_ uri: String) -> (path: String, query: String) {
    let end = uri.utf8.firstIndex(of: UInt8(ascii: "?")) ?? uri.endIndex
    return (String(uri[..<end]), String(uri[end...]))
  }

  private func object(_ plural: String, _ namespace: String, _ name: String) throws(KubeError) -> JSON {
    let resource = GroupVersionResource(group: "", version: "v1", resource: plural)
    let entry = try service.get(try service.kind(resource), namespace: namespace, name: name)
    guard let json = try? JSON.parse(entry.value) else { throw .internalError("\(entry.key) is not readable") }
    return json
  }

  private func target(_ pod: JSON, isTLS: Bool, port: String, address: String? = nil) throws(KubeError) -> ProxyTarget {
    // The node says which addresses pods have: without one, an address is only what somebody has written.
    guard let name = pod.at("spec", "nodeName")?.string, let node = try? object("nodes", "", name) else {
      throw .unavailable("the pod \(pod.at("metadata", "name")?.string ?? "") is on no node")
    }
    return try ProxyTarget(pod: pod, node: node, isTLS: isTLS, port: port, address: address)
  }

  private func serviceTarget(_ reference: ProxyReference, _ namespace: String) throws(KubeError) -> ProxyTarget {
    let name = try ProxyService.portName(reference.port, of: try object("services", namespace, reference.name))
    let slices = try service.list(
      try service.kind(GroupVersionResource(group: "discovery.k8s.io", version: "v1", resource: "endpointslices")),
      namespace: namespace,
      selector: .everything
    ).entries.filter { $0.header.labels["kubernetes.io/service-name"] == reference.name }
      .compactMap { try? JSON.parse($0.value) }
    var random = SystemRandomNumberGenerator()
    for endpoint in ProxyService.endpoints(slices, port: name, namespace: namespace).shuffled(using: &random) {
      guard let pod = try? object("pods", namespace, endpoint.pod) else { continue }
      let own = (pod.at("status", "podIPs")?.array ?? []).compactMap { $0["ip"]?.string }
      guard own.contains(endpoint.address) || pod.at("status", "podIP")?.string == endpoint.address else { continue }
      return try target(pod, isTLS: reference.isTLS, port: String(endpoint.port), address: endpoint.address)
    }
    throw .unavailable("no endpoints available for service \"\(reference.name)\"")
  }
}

/// What a node offers to whoever may reach it through the API.
struct NodeProxy: Sendable {
  let service: ResourceService
  let nodeStreams: @Sendable (_ node: String) -> (any NodeStreams)?

  private static let port = "10250"

  func handle(
    _ request: APIRequest, _ reference: ProxyReference, _ path: Substring, _ respond: @escaping Router.Respond
  ) throws(KubeError) {
    let resource = GroupVersionResource(group: "", version: "v1", resource: "nodes")
    _ = try service.get(try service.kind(resource), namespace: "", name: reference.name)
    guard reference.port.isEmpty || reference.port == Self.port else {
      throw .badRequest("the node \(reference.name) offers nothing on port \(reference.port)")
    }
    guard let streams = nodeStreams(reference.name) else {
      throw .unavailable("the node \(reference.name) cannot be reached")
    }
    guard request.method == "GET" || request.method == "HEAD" else { throw .methodNotAllowed() }
    let parts = path.utf8.split(separator: UInt8(ascii: "/")).map { Query.percentDecoded(Substring($0)) }
    switch parts.first {
    case "healthz" where parts.count == 1: respond(Reply(text: "ok"))
    case "pods" where parts.count == 1: respond(try pods(on: reference.name))
    case "containerLogs" where parts.count == 4:
      let container = ContainerReference(namespace: parts[1], pod: parts[2], container: parts[3])
      try logs(container, request, reference.name, streams, respond)
    default:
      throw KubeError(
        code: 404, reason: .notFound,
        message: "a node offers /healthz, /pods and /containerLogs/NAMESPACE/POD/CONTAINER")
    }
  }

  private func pods(on node: String) throws(KubeError) -> Reply {
    let kind = try service.kind(GroupVersionResource(group: "", version: "v1", resource: "pods"))
    let list = try service.list(
      kind, namespace: "", selector: try ObjectSelector(labels: "", fields: "spec.nodeName=\(node)", kind: kind))
    return Reply(
      body: .list(
        prefix: Array(#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":["#.utf8), entries: list.entries,
        suffix: Array("]}".utf8)))
  }

  private func logs(
    _ container: ContainerReference, _ request: APIRequest, _ node: String, _ streams: any NodeStreams,
    _ respond: @escaping Router.Respond
  ) throws(KubeError) {
    let pod = service.store.get("pods/\(container.namespace)/\(container.pod)")
    guard let pod, JSON.scalar(at: ["spec", "nodeName"], of: pod.value) == node else {
      throw .notFound(GroupVersionResource(group: "", version: "v1", resource: "pods"), container.pod)
    }
    let mark = request.uri.utf8.firstIndex(of: UInt8(ascii: "?"))
    let query = mark.map { Query(request.uri[request.uri.utf8.index(after: $0)...]) } ?? Query()
    let options = try PodConnections.logOptions(query)
    Task {
      do {
        let write = try await PodStreaming.log(container, options: options, streams: streams, loop: request.loop)
        respond(Reply(contentType: "text/plain", body: .stream(write)))
      } catch {
        respond(Reply(error as? KubeError ?? .internalError("\(error)")))
      }
    }
  }
}

/// A request as the server in the pod gets it.
struct ProxyRequest: Sendable {
  var target: ProxyTarget
  /// With the query.
  var path: String
  /// What stands for the other server's root in links.
  var prefix: String
  var request: APIRequest

  /// Headers of one connection (RFC 9110, section 7.6.1), and what is meant for this server alone: whoever sees a token can
  /// use it.
  private static let own: Set<String> = [
    "accept-encoding", "authorization", "connection", "content-length", "expect", "host", "keep-alive",
    "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-uri",
  ]
  /// Of an answer, likewise.
  private static let ofConnection: Set<String> = [
    "connection", "content-length", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
  ]

  /// Another protocol that the client asks for.
  var upgrade: String? {
    let headers = request.headers.map { ($0.name, $0.value) }
    guard PodStreaming.values("connection", headers).contains(where: { $0.lowercased() == "upgrade" }) else {
      return nil
    }
    return PodStreaming.values("upgrade", headers).first
  }

  /// As the other server gets it.
  var outgoing: HTTPClientRequest {
    var headers: HTTPHeaders = ["Host": target.authority]
    let named = Set(request.headers[canonicalForm: "connection"].map { $0.lowercased() })
    for (name, value) in request.headers {
      let lower = name.lowercased()
      if Self.own.contains(lower) || named.contains(lower) || lower.hasPrefix("impersonate-") { continue }
      headers.add(name: name, value: value)
    }
    if let address = request.channel.remoteAddress?.ipAddress { headers.add(name: "X-Forwarded-For", value: address) }
    if let host = request.headers.first(name: "host") { headers.add(name: "X-Forwarded-Host", value: host) }
    headers.add(name: "X-Forwarded-Proto", value: "https")
    headers.add(name: "X-Forwarded-Uri", value: prefix + "/")
    if upgrade == nil { headers.add(name: "Connection", value: "close") }
    let mark = path.utf8.firstIndex(of: UInt8(ascii: "?"))
    var outgoing = HTTPClientRequest(
      method: HTTPMethod(rawValue: request.method),
      url: HTTPURL(
        scheme: target.isTLS ? .https : .http, host: target.host, port: target.port,
        path: String(path[..<(mark ?? path.endIndex)]), query: mark.map { String(path[path.index(after: $0)...]) }),
      headers: headers, body: request.body.isEmpty ? .none : .bytes(ByteBuffer(bytes: request.body)))
    // The addresses of pods change hands: a certificate could name none of them.
    outgoing.tls.isVerificationSkipped = true
    outgoing.isAlone = true
    return outgoing
  }

  /// The other server's answer as this one's.
  func reply(_ answer: HTTPClientResponse, body: Reply.Body) -> Reply {
    var headers: [(String, String)] = []
    let named = Set(answer.headers[canonicalForm: "connection"].map { $0.lowercased() })
    for (name, value) in answer.headers {
      let lower = name.lowercased()
      if Self.ofConnection.contains(lower) || named.contains(lower) { continue }
      headers.append((name, lower == "location" ? location(value) : value))
    }
    return Reply(code: answer.status, contentType: "", headers: headers, cacheControl: nil, body: body)
  }

  /// A redirection to the other server leads through the proxy.
  func location(_ text: String) -> String {
    for root in ["http://", "https://"] where text.lowercased().hasPrefix(root + target.authority.lowercased()) {
      let rest = text.dropFirst(root.count + target.authority.count)
      if rest.isEmpty || rest.hasPrefix("/") { return prefix + rest }
    }
    return text.hasPrefix("/") && !text.hasPrefix("//") ? prefix + text : text
  }
}

/// One request and its answer, on a connection of its own.
struct ProxyExchange: Sendable {
  private let forwarded: ProxyRequest
  private var request: APIRequest { forwarded.request }

  private static let http = {
    var configuration = HTTPClientConfiguration()
    configuration.deadlines.connect = .seconds(10)
    configuration.deadlines.tls = .seconds(60)
    configuration.deadlines.head = .seconds(60)
    // An answer may be a watch of the other server's; as long as kubelet lets a stream be silent.
    configuration.deadlines.idle = .seconds(4 * 3600)
    configuration.limits.streamBuffer = 256 << 10
    configuration.userAgent = ""
    return HTTPClient(configuration)
  }()

  init(_ forwarded: ProxyRequest) { self.forwarded = forwarded }

  /// - Parameter respond: called once.
  func run(_ respond: @escaping Router.Respond) async {
    do {
      if let name = forwarded.upgrade {
        try await upgrade(to: name, respond)
      } else {
        try await exchange(respond)
      }
    } catch let error as KubeError {
      respond(Reply(error))
    } catch {
      respond(
        Reply(.unavailable("error trying to reach service: \(forwarded.target.authority): \(error)")))
    }
  }

  // MARK: Requests

  private func exchange(_ respond: @escaping Router.Respond) async throws {
    let answer = try await Self.http.execute(forwarded.outgoing)
    if [204, 304].contains(answer.status) { return respond(forwarded.reply(answer, body: .bytes([]))) }
    let isPage =
      answer.headers.first(name: "content-type")?.lowercased().hasPrefix("text/html") == true
      && !answer.headers.contains(name: "content-encoding")
    let prefix = forwarded.prefix
    respond(
      forwarded.reply(
        answer,
        body: .stream { write in
          // An answer that does not come to its end throws, and shows as one that has none.
          if isPage {
            try await Self.copyPage(answer, prefix: prefix, write)
          } else {
            while let bytes = try await answer.next() { try await write(bytes) }
          }
        }))
  }

  /// A page is rewritten as a whole; one that is too large goes on as it is.
  private static func copyPage(
    _ answer: HTTPClientResponse, prefix: String, _ write: @Sendable (ByteBuffer) async throws -> Void
  ) async throws {
    var page: [UInt8] = []
    while page.count <= HTMLLinks.bytesMax {
      guard let bytes = try await answer.next() else {
        return try await write(ByteBuffer(bytes: HTMLLinks.rewrite(page, prefix: prefix)))
      }
      page += bytes.readableBytesView
    }
    try await write(ByteBuffer(bytes: page))
    while let bytes = try await answer.next() { try await write(bytes) }
  }

  // MARK: Other protocols

  /// Hands on bytes in both directions once the other server has changed the protocol.
  private func upgrade(to name: String, _ respond: @escaping Router.Respond) async throws {
    let changed: HTTPUpgrade
    do throws(HTTPClientError) { changed = try await Self.http.upgrade(forwarded.outgoing, to: name) } catch {
      guard case .upgradeRefused = error.code else { throw error }
      throw KubeError.badRequest("\(forwarded.target.authority) refuses the upgrade: \(error.message)")
    }
    let fields = changed.headers.map { "\($0.name): \($0.value)\r\n" }.joined()
    let head = "HTTP/1.1 101 Switching Protocols\r\n\(fields)\r\n"
    let server = changed.connection
    try await server.executeThenClose { fromServer, toServer in
      let client = try await takeOver(head, respond)
      try await client.executeThenClose { fromClient, toClient in
        await withTaskGroup(of: Void.self) { group in
          group.addTask {
            do { for try await bytes in fromClient { try await toServer.write(bytes) } } catch {}
            // One side's end is the other's.
            server.channel.close(promise: nil)
          }
          do { for try await bytes in fromServer { try await toClient.write(bytes) } } catch {}
          group.cancelAll()
        }
      }
    }
  }

  /// The client's connection, which has got the other server's head.
  private func takeOver(
    _ head: String, _ respond: @escaping Router.Respond
  ) async throws -> NIOAsyncChannel<ByteBuffer, ByteBuffer> {
    let promise = request.loop.makePromise(of: NIOAsyncChannel<ByteBuffer, ByteBuffer>.self)
    respond(
      Reply(
        code: 101,
        body: .upgrade { channel in
          guard let channel else { return promise.fail(ChannelError.eof) }
          promise.completeWith(PodStreaming.switchProtocols(channel, responseHead: head, nil))
        }))
    return try await promise.futureResult.get()
  }
}
