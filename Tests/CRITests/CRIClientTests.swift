import Glibc
import HTTP
import NIOCore
import NIOHTTP1
import NIOPosix
import Protobuf
import RPC
import Synchronization
import Testing

@testable import CRI

/// A container runtime on our own server of HTTP that knows answers and keeps questions.
private final class FakeService: HTTPRequestHandler {
  enum Reply: Sendable {
    case bytes([UInt8])
    case failure(status: Int, String)
    case never
  }

  let asked = Mutex<[(path: String, message: [UInt8])]>([])
  private let replies: [String: Reply]

  /// - Parameter replies: by `Service/Method`, without the package.
  init(_ replies: [String: Reply]) { self.replies = replies }

  func receive(_ request: HTTPServerRequest) -> HTTPReception {
    let path = request.head.uri
    let holder = ConnectionBudget.User(name: "a", isPrivileged: false)
    return .collect(bytesMax: 1 << 20, holder: holder) { [self] body, respond in
      asked.withLock { $0.append((path, Array((body ?? ByteBuffer()).readableBytesView.dropFirst(5)))) }
      switch replies[path.replacing("/runtime.v1.", with: "")] {
      case .bytes(let bytes): respond(Self.response(bytes, status: 0, message: ""))
      case .failure(let status, let message): respond(Self.response(nil, status: status, message: message))
      case .never: break
      case nil: respond(Self.response(nil, status: 12, message: "unknown method"))
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

  func run(_ body: (CRIClient) async throws -> Void) async throws {
    var template = Array("/tmp/apus-cri-XXXXXX".utf8CString)
    try #require(template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap(mkdtemp) } != nil)
    let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let server = HTTPServer(
      group: MultiThreadedEventLoopGroup.singleton, tls: nil,
      limits: HTTPServerLimits(
        connections: ConnectionBudget.Limits(total: 64, strangers: 64),
        bodies: SharedBudget.Limits(total: 8 << 20, share: 8 << 20, kept: 1 << 20)),
      drainTimeout: .seconds(5), handler: self)
    try await server.listen(unixSocket: folder + "/s")
    let client = CRIClient(unixSocket: folder + "/s")
    let result: Result<Void, any Error>
    do { result = .success(try await body(client)) } catch { result = .failure(error) }
    client.close()
    await server.shutdown()
    #expect(rmdir(folder) == 0, "the socket is gone")
    try result.get()
  }
}

@Suite(.timeLimit(.minutes(1))) struct CRIClientTests {
  private func bytes(_ body: (inout ProtobufWriter) -> Void) -> [UInt8] {
    var writer = ProtobufWriter()
    body(&writer)
    return writer.bytes
  }

  @Test func asksTheRightServiceAndReadsTheAnswer() async throws {
    let service = FakeService([
      "RuntimeService/Version": .bytes(Recorded.version),
      "RuntimeService/ListContainers": .bytes(Recorded.listContainers),
      "RuntimeService/PodSandboxStatus": .bytes(Recorded.podSandboxStatus),
      "ImageService/ImageStatus": .bytes(Recorded.imageStatus),
      "RuntimeService/RunPodSandbox": .bytes(bytes { $0.bytes(1, "sandbox-1".utf8) }),
      "RuntimeService/StopPodSandbox": .bytes([]),
      "ImageService/PullImage": .bytes(bytes { $0.bytes(1, "sha256:1".utf8) }),
    ])
    try await service.run { client in
      #expect(try await client.version().runtimeName == "containerd")
      var filter = RuntimeV1.ContainerFilter()
      filter.labelSelector = ["a": "b"]
      #expect(try await client.listContainers(filter).count == 1)
      #expect(try await client.podSandboxStatus("x", verbose: true).status.metadata.uid == "u-1")
      #expect(try await client.imageStatus("i", verbose: true).image != nil)
      #expect(try await client.runPodSandbox(.init()) == "sandbox-1")
      try await client.stopPodSandbox("x")
      var auth = RuntimeV1.AuthConfig()
      (auth.username, auth.password) = ("u", "p")
      #expect(try await client.pullImage("i", auth: auth, deadline: .seconds(30)) == "sha256:1")
    }
    let asked = service.asked.withLock { $0 }
    #expect(
      asked.map(\.path) == [
        "/runtime.v1.RuntimeService/Version", "/runtime.v1.RuntimeService/ListContainers",
        "/runtime.v1.RuntimeService/PodSandboxStatus", "/runtime.v1.ImageService/ImageStatus",
        "/runtime.v1.RuntimeService/RunPodSandbox", "/runtime.v1.RuntimeService/StopPodSandbox",
        "/runtime.v1.ImageService/PullImage",
      ])
    #expect(asked.count == 7)
    guard asked.count == 7 else { return }
    // {1: {4: {1: "a", 2: "b"}}}
    #expect(asked[1].message == [0x0A, 8, 0x22, 6, 0x0A, 1, 0x61, 0x12, 1, 0x62])
    #expect(asked[2].message == [0x0A, 1, 0x78, 0x10, 1])
    #expect(asked[3].message == [0x0A, 3, 0x0A, 1, 0x69, 0x10, 1])
    #expect(asked[6].message == [0x0A, 3, 0x0A, 1, 0x69, 0x12, 6, 0x0A, 1, 0x75, 0x12, 1, 0x70])
  }

  @Test func processesAndLimits() async throws {
    let service = FakeService([
      "RuntimeService/ExecSync": .bytes(
        bytes {
          $0.bytes(1, "out".utf8)
          $0.bytes(2, "err".utf8)
          $0.number(3, 3)
        }),
      "RuntimeService/Exec": .bytes(bytes { $0.bytes(1, "http://127.0.0.1:1/exec/a".utf8) }),
      "RuntimeService/Attach": .bytes(bytes { $0.bytes(1, "http://127.0.0.1:1/attach/a".utf8) }),
      "RuntimeService/PortForward": .bytes(bytes { $0.bytes(1, "http://127.0.0.1:1/portforward/a".utf8) }),
      "RuntimeService/StopContainer": .bytes([]), "RuntimeService/UpdateContainerResources": .bytes([]),
    ])
    try await service.run { client in
      let answer = try await client.execSync("c", ["a", "b"], timeout: .milliseconds(1500))
      #expect(String(decoding: answer.stdout, as: UTF8.self) == "out" && answer.exitCode == 3)
      #expect(String(decoding: answer.stderr, as: UTF8.self) == "err")
      _ = try await client.execSync("c", ["a"], timeout: .zero)
      let streams = CRIStreams(tty: false, stdin: true, stdout: true, stderr: true)
      #expect(try await client.exec("c", ["a"], streams) == "http://127.0.0.1:1/exec/a")
      #expect(try await client.attach("c", streams) == "http://127.0.0.1:1/attach/a")
      #expect(try await client.portForward("c", ports: [80]) == "http://127.0.0.1:1/portforward/a")
      try await client.stopContainer("c", timeout: .seconds(30))
      var limits = RuntimeV1.LinuxContainerResources()
      limits.memoryLimitInBytes = 1
      try await client.updateContainerResources("c", limits)
    }
    let id: [UInt8] = [0x0A, 1, 0x63]
    #expect(
      service.asked.withLock { $0.map(\.message) } == [
        // Seconds are rounded up, and none would be no end.
        id + [0x12, 1, 0x61, 0x12, 1, 0x62, 0x18, 2], id + [0x12, 1, 0x61, 0x18, 1],
        id + [0x12, 1, 0x61, 0x20, 1, 0x28, 1, 0x30, 1], id + [0x10, 1, 0x20, 1, 0x28, 1], id + [0x12, 1, 80],
        id + [0x10, 30], id + [0x12, 2, 0x20, 1],
      ])
  }

  @Test func failuresHaveTheRuntimesWords() async throws {
    let service = FakeService([
      "RuntimeService/ContainerStatus": .failure(status: 5, "not found"),
      "RuntimeService/Version": .bytes([0x0A, 9]), "RuntimeService/StopContainer": .never,
    ])
    try await service.run { client in
      func failure(_ body: () async throws(RPCError) -> Void) async -> RPCError? {
        do throws(RPCError) {
          try await body()
          return nil
        } catch {
          return error
        }
      }
      let missing = await failure { () throws(RPCError) in _ = try await client.containerStatus("c") }
      #expect(missing?.status == .notFound && missing?.message == "not found")
      let old = await failure { () throws(RPCError) in _ = try await client.podSandboxStats("c") }
      #expect(old?.status == .unimplemented)
      let broken = await failure { () throws(RPCError) in _ = try await client.version() }
      #expect(broken?.status == .internalError)
      #expect(broken?.message == "the runtime's answer to Version cannot be read: field 1 is cut off")
      let late = await failure { () throws(RPCError) in
        try await client.stopContainer("c", timeout: .seconds(3600), deadline: .milliseconds(20))
      }
      #expect(late?.status == .deadlineExceeded)
    }
  }
}
