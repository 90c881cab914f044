import KubeClient
import KubeTypes
import NIOCore
import Schema
import Store
import Wire

/// The subresources of a pod that its node answers: `log`, `exec`, `attach`, `portforward`.
final class PodConnections: Sendable {
  private let service: ResourceService
  private let nodeStreams: @Sendable (_ node: String) -> (any NodeStreams)?

  init(service: ResourceService, nodeStreams: @escaping @Sendable (_ node: String) -> (any NodeStreams)?) {
    self.service = service
    self.nodeStreams = nodeStreams
  }

  private static let subresources: Set<String> = ["log", "exec", "attach", "portforward"]

  func serves(_ kind: KindSchema, _ info: RequestInfo) -> Bool {
    kind.group.isEmpty && kind.resource == "pods" && Self.subresources.contains(info.subresource)
  }

  func handle(_ request: APIRequest, _ info: RequestInfo, _ user: UserInfo, respond: @escaping Router.Respond)
    throws(KubeError)
  {
    let resource = GroupVersionResource(group: "", version: "v1", resource: "pods")
    guard let entry = service.store.get("pods/\(info.namespace)/\(info.name)"),
      let pod = try? JSON.parse(entry.value)
    else { throw .notFound(resource, info.name) }
    let node = pod.at("spec", "nodeName")?.string ?? ""
    guard !node.isEmpty else {
      throw .badRequest("pod \(info.name) does not have a host assigned")
    }
    guard let streams = nodeStreams(node) else {
      throw .unavailable("the node \(node) of pod \(info.name) cannot be reached")
    }
    switch info.subresource {
    case "log":
      guard request.method == "GET" || request.method == "HEAD" else { throw .methodNotAllowed() }
      let container = try Self.container(of: pod, info, allowsAnyState: true)
      let options = try Self.logOptions(info.query)
      let reference = ContainerReference(namespace: info.namespace, pod: info.name, container: container)
      let headers = request.headers.map { ($0.name, $0.value) }
      if let handshake = try PodStreaming.WebSocketHandshake(method: request.method, headers: headers) {
        let log = try PodStreaming.LogAgreement(handshake)
        return answer(respond) {
          let write = try await PodStreaming.log(reference, options: options, streams: streams, loop: request.loop)
          return Reply(code: 101, body: .upgrade(PodStreaming.upgrade(log, write)))
        }
      }
      answer(respond) {
        let write = try await PodStreaming.log(reference, options: options, streams: streams, loop: request.loop)
        return Reply(contentType: "text/plain", body: .stream(write))
      }
    case "exec", "attach", "portforward":
      let target = try Self.target(pod, info)
      answer(respond) {
        let take = try await PodStreaming.upgrade(
          method: request.method, headers: request.headers.map { ($0.name, $0.value) }, target: target, streams: streams
        )
        return Reply(code: 101, body: .upgrade(take))
      }
    default: throw .methodNotAllowed()
    }
  }

  /// Asks the node in a task of its own: it may take its time, and the event loop must not wait.
  private func answer(_ respond: @escaping Router.Respond, _ make: @escaping @Sendable () async throws -> Reply) {
    Task {
      do { respond(try await make()) } catch {
        respond(Reply(error as? KubeError ?? .internalError("\(error)")))
      }
    }
  }

  private static func target(_ pod: JSON, _ info: RequestInfo) throws(KubeError) -> PodStreaming.Target {
    if info.subresource == "portforward" {
      return .portForward(namespace: info.namespace, pod: info.name, ports: try ports(info.query))
    }
    let phase = pod.at("status", "phase")?.string
    if phase == "Succeeded" || phase == "Failed" {
      throw .badRequest("cannot exec into a container in a completed pod; current phase is \(phase ?? "")")
    }
    let container = ContainerReference(
      namespace: info.namespace, pod: info.name, container: try container(of: pod, info))
    let query = info.query
    let isTerminal = query.flag("tty")
    let isAttach = info.subresource == "attach"
    var options = TerminalOptions(
      stdin: query.flag("stdin"), stdout: query["stdout"] == nil ? isAttach : query.flag("stdout"),
      stderr: query["stderr"] == nil ? isAttach : query.flag("stderr"), tty: isTerminal)
    // A terminal has one output.
    if isTerminal { options.stderr = false }
    guard options.stdin || options.stdout || options.stderr else {
      throw .badRequest("you must specify at least 1 of stdin, stdout, stderr")
    }
    if isAttach { return .attach(container, options) }
    let command = query.all("command")
    guard !command.isEmpty else { throw .badRequest("you must specify at least 1 command for the container") }
    return .exec(container, command: command, options)
  }

  /// Ports of the query, each on its own or with commas between.
  private static func ports(_ query: Query) throws(KubeError) -> [Int] {
    var ports: [Int] = []
    for text in query.all("ports").flatMap({ $0.split(separator: ",") }) {
      guard let port = Int(text), (1...65535).contains(port) else {
        throw .badRequest("ports: \(text) is no port: 1 to 65535")
      }
      ports.append(port)
    }
    guard ports.count <= PortForward.channelPortsMax else {
      throw .badRequest("ports: at most \(PortForward.channelPortsMax) on one connection")
    }
    return ports
  }

  /// The container that the request means: the named one, the one that the annotation names, or the only one.
  static func container(of pod: JSON, _ info: RequestInfo, allowsAnyState: Bool = false) throws(KubeError) -> String {
    func names(_ list: String) -> [String] { (pod.at("spec", list)?.array ?? []).compactMap { $0["name"]?.string } }
    let regular = names("containers")
    let all = regular + names("initContainers") + names("ephemeralContainers")
    if let wanted = info.query["container"], !wanted.isEmpty {
      guard all.contains(wanted) else {
        throw .badRequest("container \(wanted) is not valid for pod \(info.name)")
      }
      return wanted
    }
    if let marked = pod.at("metadata", "annotations", "kubectl.kubernetes.io/default-container")?.string,
      all.contains(marked)
    {
      return marked
    }
    if regular.count == 1, info.subresource != "log" || all.count == 1 { return regular[0] }
    var message =
      "a container name must be specified for pod \(info.name), choose one of: [\(regular.joined(separator: " "))]"
    let initial = names("initContainers")
    if !initial.isEmpty { message += " or one of the init containers: [\(initial.joined(separator: " "))]" }
    throw .badRequest(message)
  }

  static func logOptions(_ query: Query) throws(KubeError) -> LogOptions {
    var options = LogOptions()
    options.follow = query.flag("follow")
    options.previous = query.flag("previous")
    options.timestamps = query.flag("timestamps")
    func number(_ name: String, min: Int64) throws(KubeError) -> Int64? {
      guard let text = query[name], !text.isEmpty else { return nil }
      guard let value = Int64(text), value >= min else {
        throw .invalid(
          kind: GroupVersionKind(group: "", version: "v1", kind: "PodLogOptions"), name: "",
          [
            FieldError(
              type: .invalid, path: name, value: .string(text), detail: "must be greater than or equal to \(min)")
          ])
      }
      return value
    }
    options.sinceSeconds = try number("sinceSeconds", min: 1)
    options.tailLines = try number("tailLines", min: 0)
    options.limitBytes = try number("limitBytes", min: 1)
    if let time = query["sinceTime"], !time.isEmpty {
      guard Timestamp(rfc3339: time) != nil else { throw .badRequest("sinceTime must be a time as in RFC 3339") }
      guard options.sinceSeconds == nil else {
        throw .badRequest("at most one of `sinceTime` or `sinceSeconds` may be specified")
      }
      options.sinceTime = time
    }
    return options
  }
}
