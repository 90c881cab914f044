import Glibc
import LinuxSystem
import NIOCore
import OCI
import Synchronization
import Testing
import Wire

@testable import Distribution

/// A clock whose sleeps end at once and move the time on.
final class InstantClock: TimeSource {
  private let state = Mutex((now: Timestamp(seconds: 1_800_000_000), sleeps: [Duration]()))

  func now() -> Timestamp { state.withLock { $0.now } }

  func sleep(for duration: Duration) async throws {
    try Task.checkCancellation()
    state.withLock { state in
      state.now = state.now.adding(duration)
      state.sleeps.append(duration)
    }
  }

  func advance(_ duration: Duration) { state.withLock { $0.now = $0.now.adding(duration) } }
  var sleeps: [Duration] { state.withLock { $0.sleeps } }
}

/// SplitMix64: the seed is all there is to know about a run.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A text made of pieces of the samples, with bytes that belong nowhere.
  mutating func text(from samples: [String]) -> String {
    var bytes: [UInt8] = []
    for _ in 0..<Int.random(in: 0...4, using: &self) {
      var piece = Array((samples.randomElement(using: &self) ?? "").utf8)
      if !piece.isEmpty, Bool.random(using: &self) {
        piece = Array(piece[Int.random(in: 0..<piece.count, using: &self)...])
      }
      if !piece.isEmpty, Bool.random(using: &self) {
        piece[Int.random(in: 0..<piece.count, using: &self)] = UInt8.random(in: 0...255, using: &self)
      }
      bytes += piece
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// A folder that is removed with the object.
final class TemporaryFolder: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/apus-distribution-XXXXXX".utf8CString)
    try #require(template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap(mkdtemp) } != nil)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { try? Directory.removeTree(path) }

  func write(_ name: String, _ text: String) throws -> String {
    let file = "\(path)/\(name)"
    if let slash = file.lastIndex(of: "/") { try Directory.create(String(file[..<slash])) }
    try DurableFile.write(Array(text.utf8), to: file)
    return file
  }
}

/// A client without proxies and certificate folders, whose waits take no time.
func makeClient(
  _ clock: InstantClock = InstantClock(), _ change: (inout RegistryClientConfiguration) -> Void = { _ in }
) -> RegistryClient {
  var configuration = RegistryClientConfiguration(hosts: RegistryHosts())
  change(&configuration)
  return RegistryClient(configuration: configuration, time: clock)
}

/// The error of a call that must fail.
func failure<Value>(
  _ body: () async throws(DistributionError) -> Value, sourceLocation: SourceLocation = #_sourceLocation
) async -> DistributionError {
  do throws(DistributionError) {
    _ = try await body()
    Issue.record("it should have failed", sourceLocation: sourceLocation)
    return DistributionError(.unsupported, "no error")
  } catch {
    return error
  }
}

extension DownloadStream {
  func collect() async throws(DistributionError) -> [UInt8] {
    var bytes: [UInt8] = []
    while let chunk = try await next() { bytes += chunk.readableBytesView }
    return bytes
  }
}

func repository(_ port: Int, _ path: String = "team/app") -> Repository {
  Repository(host: "127.0.0.1:\(port)", path: path)
}
