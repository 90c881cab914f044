import Content
import Glibc
import LinuxSystem
import NIOCore
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
