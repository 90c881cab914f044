import Glibc
import LinuxSystem
import Synchronization
import Testing

@testable import Containers

@Suite(.timeLimit(.minutes(1))) struct OCIEngineTests {
  /// A folder with an engine that is a script, and that writes down how it was called.
  private func withEngine(_ script: String, _ body: (OCIEngine, String) async throws -> Void) async throws {
    var template = Array("/tmp/apus-engine-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp") }
    let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { try? Directory.removeTree(folder) }
    let text = "#!/bin/sh\necho \"$@\" >\(folder)/called\n\(script)\n"
    // By another process: a program that is open for writing in a child of ours, for another test, cannot be started.
    let written = try await Subprocess.run(
      "/bin/sh", ["-c", #"cat >"$0" && chmod 755 "$0""#, "\(folder)/crun"], stdin: Array(text.utf8))
    try #require(written.status.isSuccess)
    try await body(OCIEngine(program: "\(folder)/crun", stateFolder: "\(folder)/state"), folder)
  }

  private final class Output: Sendable {
    private let parts = Mutex<(out: [UInt8], error: [UInt8])>(([], []))

    func add(_ stream: OCIEngine.OutputStream, _ bytes: [UInt8]) {
      parts.withLock { if stream == .stdout { $0.out += bytes } else { $0.error += bytes } }
    }

    var texts: [String] {
      parts.withLock { [String(decoding: $0.out, as: UTF8.self), String(decoding: $0.error, as: UTF8.self)] }
    }
  }

  @Test func theEnginesLastWordIsFound() {
    let log = #"{"msg":"first","level":"error"}"# + "\n" + #"{"msg":"a warning","level":"warning"}"# + "\nno json\n"
    #expect(OCIEngine.lastMessage(Array(log.utf8)) == "first")
    #expect(OCIEngine.lastMessage([]) == nil)
  }

  @Test func onlyCrunIsToldHowCgroupsAreKept() {
    #expect(
      OCIEngine(program: "/usr/bin/crun", stateFolder: "/s").options == ["--root", "/s", "--cgroup-manager=cgroupfs"])
    #expect(OCIEngine(program: "/usr/bin/runc", stateFolder: "/s").options == ["--root", "/s"])
  }

  @Test func whatRunsToItsEndIsReadMeanwhile() async throws {
    // More than a pipe holds.
    try await withEngine("head -c 200000 /dev/zero; echo failed >&2; exit 3") { engine, folder in
      let output = Output()
      let status = try await engine.run("one", bundle: folder, end: {}, output: output.add)
      #expect(status == .exited(3))
      #expect(output.texts[0].utf8.count == 200_000 && output.texts[1] == "failed\n")
      #expect(OCIEngine.refusal(bundle: folder) == nil)
      let called = String(decoding: try DurableFile.read("\(folder)/called", limit: 4096), as: UTF8.self)
      #expect(
        called
          == "--root \(folder)/state --cgroup-manager=cgroupfs --log \(folder)/log --log-format json run --bundle \(folder) one\n"
      )
    }
  }

  @Test func anEngineThatCannotStartItSaysWhy() async throws {
    try await withEngine(#"printf '{"msg":"no such program","level":"error"}\n' >"${0%/*}/log"; exit 1"#) {
      engine, folder in
      let status = try await engine.run("one", bundle: folder, end: {}, output: { _, _ in })
      #expect(!status.isSuccess && OCIEngine.refusal(bundle: folder) == "no such program")
    }
  }

  @Test func aCancelledRunIsEndedFirst() async throws {
    try await withEngine("echo $$; exec sleep 1000") { engine, folder in
      let (begun, beginning) = AsyncStream<Int32>.makeStream()
      let pid = Mutex<Int32>(0)
      let run = Task {
        try await engine.run("one", bundle: folder) {
          kill(pid.withLock { $0 }, SIGKILL)
        } output: { _, bytes in
          let text = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first ?? ""
          if let number = Int32(text) { beginning.yield(number) }
        }
      }
      for await number in begun {
        pid.withLock { $0 = number }
        break
      }
      run.cancel()
      let error = await #expect(throws: SystemError.self) { try await run.value }
      #expect(error?.errno == ECANCELED)
      // It has ended, and was waited for.
      #expect(pid.withLock { kill($0, 0) } == -1 && errno == ESRCH)
    }
  }

  @Test func anEngineThatIsNotThereIsSaid() async {
    let engine = OCIEngine(program: "apus-no-such-engine", stateFolder: "/s")
    let error = await #expect(throws: SystemError.self) {
      try await engine.run("one", bundle: "/tmp", end: {}, output: { _, _ in })
    }
    #expect(error?.errno == ENOENT)
    #expect(throws: RuntimeError.self) { try engine.path() }
  }
}
