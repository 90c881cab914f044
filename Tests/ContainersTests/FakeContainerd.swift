import Glibc
import HTTP
import LinuxSystem
import NIOCore
import NIOHTTP1
import NIOPosix
import Protobuf
import Synchronization
import Testing
import Wire

@testable import CRI

/// A container runtime that exists in memory only and is asked by CRI, on our own server of HTTP.
final class FakeContainerd: HTTPRequestHandler {
  struct Model {
    var sandboxes: [RuntimeV1.PodSandbox] = []
    var containers: [RuntimeV1.ContainerStatus] = []
    var sandboxOf: [String: String] = [:]
    /// Of images, by name.
    var images: [String: RuntimeV1.ImageStatusResponse] = [:]
    var sandboxConfigs: [RuntimeV1.PodSandboxConfig] = []
    var containerConfigs: [RuntimeV1.ContainerConfig] = []
    var stops: [(id: String, timeout: Int64)] = []
    var lastID = 0
    /// Containers that nothing is told about.
    var silent: Set<String> = []
    /// Where its streams are to be had.
    var streams = "http://127.0.0.1:1/"
    var streamsAsked: [CRIStreams] = []
    /// Every question is answered by `unavailable`.
    var isBroken = false
  }

  private struct Failure: Error {
    var status: Int
    var message: String
  }

  let model = Mutex(Model())

  /// Runs a test against the runtime, with a folder that is gone afterwards.
  func run(_ body: (_ folder: String) async throws -> Void) async throws {
    var template = Array("/tmp/apus-fake-XXXXXX".utf8CString)
    try #require(template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap(mkdtemp) } != nil)
    let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let server = HTTPServer(
      group: MultiThreadedEventLoopGroup.singleton, tls: nil,
      limits: HTTPServerLimits(
        connections: ConnectionBudget.Limits(total: 64, strangers: 64),
        bodies: SharedBudget.Limits(total: 8 << 20, share: 8 << 20, kept: 1 << 20)),
      drainTimeout: .seconds(5), handler: self)
    try await server.listen(unixSocket: folder + "/s")
    let result: Result<Void, any Error>
    do { result = .success(try await body(folder)) } catch { result = .failure(error) }
    await server.shutdown()
    try Directory.removeTree(folder)
    try result.get()
  }

  /// A container's program ends by itself.
  func exit(_ id: String, code: Int32, reason: String = "Error") {
    model.withLock { model in
      guard let index = model.containers.firstIndex(where: { $0.id == id }) else { return }
      model.containers[index].state = .exited
      model.containers[index].exitCode = code
      model.containers[index].reason = reason
      model.containers[index].finishedAt = 9_000_000_000
    }
  }

  // MARK: The server

  func receive(_ request: HTTPServerRequest) -> HTTPReception {
    let method = String(request.head.uri.split(separator: "/").last ?? "")
    let holder = ConnectionBudget.User(name: "a", isPrivileged: false)
    return .collect(bytesMax: 1 << 20, holder: holder) { [self] body, respond in
      let message = Array((body ?? ByteBuffer()).readableBytesView.dropFirst(5))
      do {
        let answer = try model.withLock { try Self.answer(method, message, &$0) }
        respond(Self.response(answer, status: 0, message: ""))
      } catch let failure as Failure {
        respond(Self.response(nil, status: failure.status, message: failure.message))
      } catch {
        respond(Self.response(nil, status: 13, message: "\(error)"))
      }
    }
  }

  private static func response(_ message: [UInt8]?, status: Int, message text: String) -> HTTPServerResponse {
    var framed = ByteBuffer()
    if let message {
      framed.writeInteger(UInt8(0))
      framed.writeInteger(UInt32(message.count))
      framed.writeBytes(message)
    }
    let body = framed
    var response = HTTPServerResponse(
      status: 200, headers: ["content-type": "application/grpc"],
      body: .stream(length: nil) { write in if body.readableBytes > 0 { try await write(body) } })
    response.trailers = { ["grpc-status": "\(status)", "grpc-message": text] }
    return response
  }

  func response(to problem: HTTPServerProblem, of request: HTTPServerRequest) -> HTTPServerResponse {
    HTTPServerResponse(status: 500)
  }

  func noticed(_ event: HTTPServerEvent) {}

  // MARK: The runtime

  private static func answer(_ method: String, _ bytes: [UInt8], _ model: inout Model) throws -> [UInt8] {
    if model.isBroken { throw Failure(status: 14, message: "it does not feel like it") }
    func id() throws -> String { try Calls.Text(parsing: bytes).text }
    func container(_ id: String, _ model: Model) throws -> Int {
      guard let index = model.containers.firstIndex(where: { $0.id == id }) else {
        throw Failure(status: 5, message: "no container \(id)")
      }
      return index
    }
    func matches(_ labels: [String: String], _ selector: [String: String]) -> Bool {
      selector.allSatisfy { labels[$0.key] == $0.value }
    }
    switch method {
    case "Version":
      var version = RuntimeV1.VersionResponse()
      (version.runtimeName, version.runtimeVersion) = ("fake", "1.0")
      return try version.serialized()
    case "Status":
      var status = RuntimeV1.StatusResponse()
      status.info = ["cniconfig": #"{"Networks":[{"Config":{"Plugins":[{"Network":{"type":"bridge"}}]}}]}"#]
      return try status.serialized()
    case "ImageStatus":
      let image = try Calls.ImageStatus(parsing: bytes).image.image
      return try (model.images[image] ?? .init()).serialized()
    case "RunPodSandbox":
      let config = try Calls.RunPodSandbox(parsing: bytes).config
      guard !model.sandboxes.contains(where: { $0.metadata == config.metadata }) else {
        throw Failure(status: 2, message: "failed to reserve sandbox name")
      }
      model.lastID += 1
      model.sandboxConfigs.append(config)
      var sandbox = RuntimeV1.PodSandbox()
      (sandbox.id, sandbox.metadata, sandbox.labels) = ("s\(model.lastID)", config.metadata, config.labels)
      sandbox.createdAt = Int64(model.lastID) * 1_000_000_000
      model.sandboxes.append(sandbox)
      return try Calls.Text(text: sandbox.id).serialized()
    case "PodSandboxStatus":
      let id = try Calls.Status(parsing: bytes).id
      guard let found = model.sandboxes.first(where: { $0.id == id }) else {
        throw Failure(status: 5, message: "no sandbox \(id)")
      }
      var response = RuntimeV1.PodSandboxStatusResponse()
      (response.status.id, response.status.metadata, response.status.state) = (id, found.metadata, found.state)
      (response.status.labels, response.status.createdAt) = (found.labels, found.createdAt)
      response.status.network.ip = "10.0.0.7"
      return try response.serialized()
    case "ListPodSandbox":
      let filter = try Calls.One<RuntimeV1.PodSandboxFilter>(parsing: bytes).message ?? .init()
      return try Calls.List(items: model.sandboxes.filter { matches($0.labels, filter.labelSelector) }).serialized()
    case "StopPodSandbox":
      let id = try id()
      guard let index = model.sandboxes.firstIndex(where: { $0.id == id }) else {
        throw Failure(status: 5, message: "no sandbox \(id)")
      }
      model.sandboxes[index].state = .notReady
      return []
    case "RemovePodSandbox":
      let id = try id()
      let gone = Set(model.sandboxOf.filter { $0.value == id }.keys)
      model.containers.removeAll { gone.contains($0.id) }
      model.sandboxes.removeAll { $0.id == id }
      return []
    case "CreateContainer":
      let request = try Calls.CreateContainer(parsing: bytes)
      let name = request.config.metadata
      guard !model.containers.contains(where: { $0.metadata == name && model.sandboxOf[$0.id] == request.podSandboxID })
      else { throw Failure(status: 2, message: "failed to reserve container name \"\(name.name)\"") }
      model.lastID += 1
      model.containerConfigs.append(request.config)
      var status = RuntimeV1.ContainerStatus()
      (status.id, status.metadata, status.labels) = (
        "c\(model.lastID)", request.config.metadata, request.config.labels
      )
      (status.annotations, status.createdAt) = (request.config.annotations, Int64(model.lastID) * 1_000_000_000)
      status.logPath = request.sandboxConfig.logDirectory + request.config.logPath
      model.containers.append(status)
      model.sandboxOf[status.id] = request.podSandboxID
      return try Calls.Text(text: status.id).serialized()
    case "StartContainer":
      let index = try container(try id(), model)
      model.containers[index].state = .running
      model.containers[index].startedAt = model.containers[index].createdAt
      return []
    case "ContainerStatus":
      var response = RuntimeV1.ContainerStatusResponse()
      response.status = model.containers[try container(try Calls.Status(parsing: bytes).id, model)]
      if model.silent.contains(response.status.id) { throw Failure(status: 13, message: "it is damaged") }
      return try response.serialized()
    case "ListContainers":
      let filter = try Calls.One<RuntimeV1.ContainerFilter>(parsing: bytes).message ?? .init()
      let items = model.containers.filter { matches($0.labels, filter.labelSelector) }.map { status in
        var container = RuntimeV1.Container()
        (container.id, container.metadata, container.labels) = (status.id, status.metadata, status.labels)
        (container.state, container.annotations) = (status.state, status.annotations)
        return container
      }
      return try Calls.List(items: items).serialized()
    case "StopContainer":
      let request = try Calls.StopContainer(parsing: bytes)
      let index = try container(request.containerID, model)
      model.stops.append((request.containerID, request.timeout))
      if model.containers[index].state == .running {
        model.containers[index].state = .exited
        model.containers[index].exitCode = request.timeout == 0 ? 137 : 143
        model.containers[index].finishedAt = 9_000_000_000
      }
      return []
    case "RemoveContainer":
      let id = try id()
      model.containers.removeAll { $0.id == id }
      return []
    case "Exec":
      let request = try Calls.Exec(parsing: bytes)
      _ = try container(request.containerID, model)
      model.streamsAsked.append(request.streams)
      return try Calls.Text(text: model.streams + (request.cmd.first ?? "")).serialized()
    case "Attach":
      let request = try Calls.Attach(parsing: bytes)
      _ = try container(request.containerID, model)
      model.streamsAsked.append(request.streams)
      return try Calls.Text(text: model.streams + "attach").serialized()
    case "PortForward":
      let request = try Calls.PortForward(parsing: bytes)
      return try Calls.Text(
        text: model.streams + "port-\(request.podSandboxID)-\(request.port.map(String.init).joined())"
      ).serialized()
    default: throw Failure(status: 12, message: "unknown method \(method)")
    }
  }
}
