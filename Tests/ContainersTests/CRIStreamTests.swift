import HTTPTestKit
import KubeClient
import NIOCore
import Synchronization
import Testing
import Wire

@testable import CRI
@testable import Containers
@testable import HTTP

/// Streams of clients by a runtime that is asked by CRI, against its streaming server.
@Suite(.timeLimit(.minutes(1))) struct CRIStreamTests {
  private let fake = FakeContainerd()

  private struct Time: TimeSource {
    func now() -> Timestamp { Timestamp(seconds: 0) }
    func sleep(for duration: Duration) async throws { await Task.yield() }
  }

  /// Runs a test with a running container, and a streaming server that does with all streams of a connection what the test
  /// says.
  private func run(
    _ streamCount: Int, _ serve: @escaping @Sendable (_ word: String, _ streams: [String: SPDYStream]) async -> Void,
    _ body: (_ runtime: CRIRuntime, _ id: String) async throws -> Void
  ) async throws {
    try await fake.run { folder in
      var configuration = CRIRuntime.Configuration(
        socketPath: "\(folder)/s", stateDirectory: "\(folder)/me", runDirectory: "\(folder)/run", owner: "me")
      configuration.cgroupRoot = "apus-test-nowhere"
      let runtime = try await CRIRuntime.open(configuration, time: Time())
      _ = try await runtime.createSandbox(
        SandboxSpec(podUID: "u", name: "p", namespace: "n", hostname: "h", cgroupParent: "besteffort/podu"))
      let spec = ContainerSpec(
        podUID: "u", podName: "p", podNamespace: "n", name: "c", attempt: 0, image: "web:1", imageID: "sha256:1",
        lowerDirectories: [], arguments: ["/app"], environment: [], logPath: "\(folder)/logs/c/0.log")
      let made = try await runtime.createContainer(spec)
      try await runtime.startContainer(made.id)
      try await ScriptedServer.run({ session in
        let word = String(session.head.split(separator: " ")[1].dropFirst())
        let known = word.hasPrefix("port-") ? "portforward.k8s.io" : "v4.channel.k8s.io"
        try await session.agree("Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: \(known)")
        let connection = try SPDYConnection(.server) { try await session.output.write($0) }
        let (opened, opener) = AsyncStream<SPDYStream>.makeStream()
        await withTaskGroup(of: Void.self) { group in
          group.addTask {
            try? await connection.run(session.input) { stream in
              opener.yield(stream)
              return true
            }
            opener.finish()
          }
          var streams: [String: SPDYStream] = [:]
          for await stream in opened {
            streams[stream.header("streamtype") ?? ""] = stream
            if streams.count == streamCount { break }
          }
          await serve(word, streams)
          for stream in streams.values { stream.reset() }
          for await _ in opened {}
          group.cancelAll()
        }
      }) { port in
        fake.model.withLock { $0.streams = "http://127.0.0.1:\(port)/" }
        try await body(runtime, made.id)
      }
      runtime.close()
    }
  }

  private func collect(_ process: any ProcessStream) async throws -> (stdout: String, stderr: String, code: Int32?) {
    var (stdout, stderr) = ("", "")
    for try await part in process.output {
      switch part {
      case .stdout(let bytes): stdout += String(buffer: bytes)
      case .stderr(let bytes): stderr += String(buffer: bytes)
      case .exited(let code): return (stdout, stderr, code)
      }
    }
    return (stdout, stderr, nil)
  }

  private static func copy(_ from: SPDYStream?, _ to: SPDYStream?) async {
    while let bytes = await from?.read() { try? await to?.write(bytes) }
  }

  private static let success = ByteBuffer(string: #"{"status":"Success"}"#)

  @Test func execIsWhatTheRuntimeRuns() async throws {
    try await run(
      4,
      { word, streams in
        await Self.copy(streams["stdin"], streams["stdout"])
        try? await streams["stderr"]?.write(ByteBuffer(string: word))
        let failure = #"""
          {"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}
          """#
        try? await streams["error"]?.write(ByteBuffer(string: failure))
      }
    ) { runtime, id in
      let process = try await runtime.exec(
        id, command: ["cat"], options: TerminalOptions(stdin: true, stdout: true, stderr: true, tty: false))
      try await process.writeStdin(ByteBuffer(string: "hello"))
      try await process.closeStdin()
      let seen = try await collect(process)
      #expect(seen.stdout == "hello" && seen.stderr == "cat" && seen.code == 3)
      // What comes too late is dropped.
      try await process.writeStdin(ByteBuffer(string: "late"))
      try await process.closeStdin()
    }
  }

  /// A terminal's input ends by a character, and its two outputs are one.
  @Test func aTerminal() async throws {
    try await run(
      4,
      { _, streams in
        if let size = await streams["resize"]?.read() { try? await streams["stdout"]?.write(size) }
        await Self.copy(streams["stdin"], streams["stdout"])
        try? await streams["error"]?.write(Self.success)
      }
    ) { runtime, id in
      let process = try await runtime.exec(
        id, command: ["sh"], options: TerminalOptions(stdin: true, stdout: true, stderr: true, tty: true))
      try await process.resize(columns: 80, rows: 24)
      try await process.closeStdin()
      let seen = try await collect(process)
      #expect(seen.stdout == "{\"Width\":80,\"Height\":24}\n\u{4}" && seen.code == 0)
      #expect(
        fake.model.withLock { $0.streamsAsked } == [CRIStreams(tty: true, stdin: true, stdout: true, stderr: false)])
    }
  }

  /// Attached to, a container's output ends, and nothing is known of how it ended.
  @Test func attachEndsWithTheOutput() async throws {
    try await run(
      2,
      { _, streams in
        try? await streams["stdout"]?.write(ByteBuffer(string: "said"))
        try? await streams["error"]?.write(Self.success)
      }
    ) { runtime, id in
      let options = TerminalOptions(stdin: false, stdout: true, stderr: false, tty: false)
      let seen = try await collect(try await runtime.attach(id, options: options))
      #expect(seen.stdout == "said" && seen.code == nil)
      fake.exit(id, code: 1)
      await #expect(throws: RuntimeError(.wrongState, "container \(id) is not running")) {
        _ = try await runtime.attach(id, options: options)
      }
    }
  }

  @Test func closingEndsTheConnection() async throws {
    let ended = OneShot<Void>()
    try await run(
      2,
      { _, streams in
        while (try? await streams["stdout"]?.write(ByteBuffer(repeating: 1, count: 10_000))) != nil {}
        ended.resolve(())
      }
    ) { runtime, id in
      let process = try await runtime.exec(
        id, command: ["yes"], options: TerminalOptions(stdin: false, stdout: true, stderr: false, tty: false))
      for try await _ in process.output { break }
      await process.close()
      await ended.value
    }
  }

  @Test func failuresAreTold() async throws {
    try await run(2, { _, _ in }) { runtime, id in
      let options = TerminalOptions(stdin: false, stdout: true, stderr: false, tty: false)
      let process = try await runtime.exec(id, command: ["rude"], options: options)
      await #expect(throws: StreamingError.self) { _ = try await collect(process) }
      fake.model.withLock { $0.streams = "http://192.0.2.1:80/" }
      do throws(RuntimeError) {
        _ = try await runtime.exec(id, command: ["x"], options: options)
        Issue.record("streams are on this machine only")
      } catch {
        #expect(error.code == .engine && error.message.contains("which is not this machine"))
      }
    }
  }

  @Test func portsAreConnectedTo() async throws {
    let words = Mutex<[String]>([])
    try await run(
      2,
      { word, streams in
        words.withLock { $0.append(word) }
        if streams["data"]?.header("port") == "9" {
          try? await streams["error"]?.write(ByteBuffer(string: "nobody listens"))
        } else {
          await Self.copy(streams["data"], streams["data"])
        }
        try? await streams["error"]?.finish()
        try? await streams["data"]?.finish()
      }
    ) { runtime, _ in
      let connection = try await runtime.connect(podUID: "u", port: 8080)
      try await connection.write(ByteBuffer(string: "hello"))
      try await connection.closeWrite()
      var text = ""
      for try await bytes in connection.input { text += String(buffer: bytes) }
      #expect(text == "hello")
      await connection.close()
      let refused = try await runtime.connect(podUID: "u", port: 9)
      await #expect {
        for try await _ in refused.input {}
      } throws: { ($0 as? KubeError)?.message == "nobody listens" }
      let sandbox = fake.model.withLock { $0.sandboxes[0].id }
      #expect(words.withLock { $0 } == ["port-\(sandbox)-8080", "port-\(sandbox)-9"])
      for (uid, port) in [("none", 80), ("u", 0), ("u", 65536)] {
        await #expect(throws: RuntimeError.self) { _ = try await runtime.connect(podUID: uid, port: port) }
      }
    }
  }
}
