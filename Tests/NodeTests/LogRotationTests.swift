import Glibc
import KubeClient
import LinuxSystem
import Logging
import NIOCore
import Synchronization
import Testing
import Wire

@testable import Containers
@testable import Node

/// A log on disk, and readers of it.
@Suite("Log rotation")
struct LogRotationTests {
  private static let time = "2026-01-02T03:04:05.123456789Z"

  private func line(_ text: String) -> String { "\(Self.time) stdout F \(text)\n" }

  private func withFolder(_ body: (String) async throws -> Void) async throws {
    var template = Array("/tmp/apus-log-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp") }
    let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { try? Directory.removeTree(folder) }
    try await body(folder)
  }

  private func put(_ text: String, _ path: String) throws { try DurableFile.write(Array(text.utf8), to: path) }

  private func read(_ path: String, tail: Int64? = nil, since: String? = nil) async throws -> String {
    var options = LogOptions()
    options.tailLines = tail
    options.sinceTime = since
    let collected = Mutex("")
    let (changes, end) = AsyncStream<Void>.makeStream()
    end.finish()
    try await LogReader(
      path: path, uid: "u", lanes: testLanes.logs, options: options, now: Timestamp(seconds: 0), isRunning: { false }
    ).run(changes: changes) { bytes in collected.withLock { $0 += String(buffer: bytes) } }
    return collected.withLock { $0 }
  }

  @Test("a log beyond its limit is moved away, the writer is told, and two files are kept")
  func rotate() async throws {
    try await withFolder { folder in
      let runtime = FakeRuntime(time: SystemClock(), base: folder)
      let path = "\(folder)/0.log"
      let spec = ContainerSpec(
        podUID: "u", podName: "p", podNamespace: "default", name: "c", attempt: 0, image: "i", imageID: "",
        lowerDirectories: [], arguments: [], environment: [], logPath: path)
      let id = try await runtime.createContainer(spec).id
      try await runtime.startContainer(id)
      let rotation = LogRotation(
        runtime: runtime, lanes: testLanes.logs, time: SystemClock(), log: Logger(label: "test"),
        sizeMax: Int64(line("one").utf8.count))

      try put(line("one"), path)
      await rotation.rotate()
      #expect(!Files.exists(LogRotation.rotated(path)))
      try put(line("one") + line("two"), path)
      await rotation.rotate()
      #expect(Files.read(path, limit: 100)?.isEmpty == true)
      #expect(try await read(path) == "one\ntwo\n")
      try put(line("three") + line("four"), path)
      #expect(try await read(path) == "one\ntwo\nthree\nfour\n")
      await rotation.rotate()
      #expect(try await read(path) == "three\nfour\n")
      // The server ended before it told the writer.
      unlink(path)
      #expect(try await read(path) == "three\nfour\n")
      await rotation.rotate()
      #expect(Files.exists(path))
      #expect(try await read(path) == "three\nfour\n")
      #expect(Files.list(folder).sorted() == ["0.log", "0.log.1"])
    }
  }

  @Test("tail and since reach into the older part")
  func tail() async throws {
    try await withFolder { folder in
      let path = "\(folder)/0.log"
      try put(line("1") + line("2") + line("3"), LogRotation.rotated(path))
      try put(line("4") + line("5"), path)
      let all = ["1", "2", "3", "4", "5"]
      for count in 0...6 {
        #expect(try await read(path, tail: Int64(count)) == all.suffix(count).map { $0 + "\n" }.joined())
      }
      #expect(try await read(path, since: "2026-01-02T03:04:05Z") == all.map { $0 + "\n" }.joined())
      #expect(try await read(path, since: "2026-01-02T03:04:06Z") == "")
    }
  }

  @Test("a follower loses nothing and reads nothing twice, also when it is two files behind")
  func follow() async throws {
    try await withFolder { folder in
      let path = "\(folder)/0.log"
      let rotated = LogRotation.rotated(path)
      try put(line("1"), path)
      var options = LogOptions()
      options.follow = true
      let (changes, change) = AsyncStream<Void>.makeStream()
      let isRunning = Mutex(true)
      let collected = Mutex("")
      let (said, say) = AsyncStream<Void>.makeStream()
      let reader = LogReader(
        path: path, uid: "u", lanes: testLanes.logs, options: options, now: Timestamp(seconds: 0)
      ) { isRunning.withLock { $0 } }
      async let end: Void = reader.run(changes: changes) { bytes in
        collected.withLock { $0 += String(buffer: bytes) }
        say.yield()
      }
      var words = said.makeAsyncIterator()
      await words.next()
      // Moved away, the writer not yet told: it goes on in the old file.
      #expect(rename(path, rotated) == 0)
      let descriptor = open(rotated, O_WRONLY | O_APPEND | O_CLOEXEC)
      let more = line("2")
      #expect(write(descriptor, more, more.utf8.count) == more.utf8.count)
      close(descriptor)
      change.yield()
      await words.next()
      #expect(collected.withLock { $0 } == "1\n2\n")
      // Two more files before it looks again.
      try put(line("3"), path)
      #expect(rename(path, rotated) == 0)
      try put(line("4"), path)
      change.yield()
      await words.next()
      await words.next()
      isRunning.withLock { $0 = false }
      change.yield()
      try await end
      #expect(collected.withLock { $0 } == "1\n2\n3\n4\n")
    }
  }
}
