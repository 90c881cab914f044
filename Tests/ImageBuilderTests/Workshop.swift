import Content
import Distribution
import Dockerfile
import Glibc
import Layers
import LinuxSystem
import OCI
import Synchronization
import Testing
import Wire

@testable import ImageBuilder

/// A clock that stands until it is moved.
final class StandingClock: TimeSource {
  private let micros = Mutex<Int64>(1_700_000_000_000_000)

  func now() -> Timestamp { Timestamp(microseconds: micros.withLock { $0 }) }
  func advance(days: Int64) { micros.withLock { $0 += days * 86_400_000_000 } }

  /// Nobody wakes before he is cancelled.
  func sleep(for duration: Duration) async throws { try await SystemClock().sleep(for: .seconds(1 << 30)) }
}

/// The events of a build, in their order.
final class EventLog: Sendable {
  private let events = Mutex<[BuildEvent]>([])

  func add(_ event: BuildEvent) { events.withLock { $0.append(event) } }
  var all: [BuildEvent] { events.withLock { $0 } }

  private func vertices(_ wanted: (BuildEvent) -> Int?) -> [String] {
    var titles: [Int: String] = [:]
    for case .started(let vertex, let title) in all { titles[vertex] = title }
    return all.compactMap(wanted).compactMap { titles[$0] }
  }

  var started: [String] { vertices { if case .started(let vertex, _) = $0 { vertex } else { nil } } }
  var finished: [String] { vertices { if case .finished(let vertex) = $0 { vertex } else { nil } } }
  var cached: [String] { vertices { if case .cached(let vertex) = $0 { vertex } else { nil } } }
  var canceled: [String] { vertices { if case .canceled(let vertex) = $0 { vertex } else { nil } } }
  var failed: [String] { vertices { if case .failed(let vertex, _) = $0 { vertex } else { nil } } }
}

/// A member of a layer, as an archive has it.
struct Member: Equatable {
  var entry: TarEntry
  var content: [UInt8]
}

/// A builder with a store of its own, for builds that run nothing: they need no rights.
final class Workshop: Sendable {
  let folder = Folder()
  let clock = StandingClock()
  let content: ContentStore
  private let client = RegistryClient()

  init() throws {
    content = try ContentStore.open(root: "\(folder.path)/images", time: clock)
    mkdir("\(folder.path)/context", 0o755)
  }

  func builder(cacheBytesMax: Int64 = 1 << 40) -> ImageBuilder {
    var configuration = ImageBuilder.Configuration(workDirectory: "\(folder.path)/work")
    configuration.cgroupRoot = "apus-build-test"
    configuration.cacheBytesMax = cacheBytesMax
    return ImageBuilder(
      content: content, images: ImageStore(content), client: client, configuration: configuration, time: clock)
  }

  func write(_ name: String, _ content: String, mode: mode_t = 0o644) {
    folder.write("context/\(name)", content, mode: mode)
  }

  func request(_ dockerfile: String, _ change: (inout BuildRequest) -> Void = { _ in }) -> BuildRequest {
    var request = BuildRequest(
      context: .directory("\(folder.path)/context"), dockerfile: .text(Array(dockerfile.utf8), name: "Dockerfile"))
    // Layers that can be read without unpacking.
    request.compression = .none
    change(&request)
    return request
  }

  @discardableResult
  func build(
    _ dockerfile: String, log: EventLog = EventLog(), _ change: (inout BuildRequest) -> Void = { _ in }
  ) async throws(BuildError) -> BuildResult {
    try await builder().build(request(dockerfile, change)) { log.add($0) }
  }

  /// The layers of an image, from bottom to top.
  func layers(_ digest: String) throws -> [[Member]] {
    let manifest = try Manifest(try content.document(try #require(Digest(digest))), label: "the image")
    return try manifest.layers.map { try members(content.blobPath($0.digest)) }
  }

  func members(_ path: String) throws -> [Member] {
    var reader = TarReader(try FileSource(path), label: path)
    var members: [Member] = []
    while let entry = try reader.next() {
      var content: [UInt8] = []
      try reader.forEachPiece { piece in content += Array(piece) }
      members.append(Member(entry: entry, content: content))
    }
    return members
  }

  /// What is left of builds: none of them runs.
  func leftovers() -> [String] { (try? Directory.list("\(folder.path)/work/builds")) ?? [] }
}

/// Lets nothing be written into a store: the lock that its first writer needs.
final class Brake: Sendable {
  private let lock: Int32

  init(_ workshop: Workshop) {
    lock = open("\(workshop.content.root)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    flock(lock, LOCK_EX)
  }

  func release() { flock(lock, LOCK_UN) }

  deinit { close(lock) }
}

/// Waits until something has happened so often.
final class Arrivals: Sendable {
  private struct State {
    var count = 0
    var waiter: (count: Int, continuation: CheckedContinuation<Void, Never>)?
  }
  private let state = Mutex(State())

  func arrive() {
    let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
      state.count += 1
      guard let waiter = state.waiter, state.count >= waiter.count else { return nil }
      state.waiter = nil
      return waiter.continuation
    }
    waiter?.resume()
  }

  var count: Int { state.withLock { $0.count } }

  func wait(for count: Int) async {
    await withCheckedContinuation { continuation in
      let isThere = state.withLock { state in
        if state.count >= count { return true }
        state.waiter = (count, continuation)
        return false
      }
      if isThere { continuation.resume() }
    }
  }
}
