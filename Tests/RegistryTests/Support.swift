import Content
import Distribution
import Glibc
import LinuxSystem
import Logging
import NIOSSL
import OCI
import Synchronization
import Telemetry
import Testing
import Wire

@testable import Registry

/// A registry on a fresh content store, on 127.0.0.1 and a free port; gone when `use` returns.
struct TestRegistry: Sendable {
  let registry: Registry
  let content: ContentStore
  let port: Int
  let folder: String

  static func use(
    _ configure: (inout RegistryConfiguration) -> Void = { _ in }, time: any TimeSource = SystemClock(),
    folder: String? = nil, _ body: (TestRegistry) async throws -> Void
  ) async throws {
    let path = folder ?? temporaryFolder()
    defer { if folder == nil { try? Directory.removeTree(path) } }
    let content = try ContentStore.open(root: "\(path)/images", time: time)
    defer { content.close() }
    var configuration = RegistryConfiguration()
    configuration.port = 0
    configure(&configuration)
    let client = RegistryClient(time: time)
    let registry = try Registry(
      configuration: configuration, content: content, client: client, time: time, metrics: Metrics(),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    let port = try await registry.start()
    let running = Task { try await registry.run() }
    do {
      try await body(TestRegistry(registry: registry, content: content, port: port, folder: path))
    } catch {
      running.cancel()
      _ = await running.result
      throw error
    }
    running.cancel()
    _ = await running.result
  }

  static func temporaryFolder() -> String {
    var template = Array("/var/tmp/apus-registry-XXXXXX".utf8CString)
    return template.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress, let path = mkdtemp(base) else { return "/var/tmp/apus-registry" }
      return String(cString: path)
    }
  }

  /// One request on a connection of its own.
  func send(
    _ method: String, _ path: String, headers: [(String, String)] = [], body: [UInt8]? = nil
  ) async throws -> Response {
    var head = "\(method) \(path) HTTP/1.1\r\nHost: localhost:\(port)\r\nConnection: close\r\n"
    for (name, value) in headers { head += "\(name): \(value)\r\n" }
    if let body, !headers.contains(where: { $0.0 == "Transfer-Encoding" }) {
      head += "Content-Length: \(body.count)\r\n"
    }
    let bytes = Array((head + "\r\n").utf8) + (body ?? [])
    return try await Response.exchange(bytes, port: port, isHead: method == "HEAD")
  }

  /// Stores a blob by POST and PUT.
  @discardableResult
  func push(_ bytes: [UInt8], to name: String, _ algorithm: Digest.Algorithm = .sha256) async throws -> Digest {
    let digest = Digest(of: bytes, algorithm)
    let began = try await send("POST", "/v2/\(name)/blobs/uploads/", body: [])
    #expect(began.status == 202)
    let location = try #require(began["location"])
    let done = try await send("PUT", "\(location)?digest=\(digest)", body: bytes)
    #expect(done.status == 201, "\(done.text)")
    return digest
  }

  /// Stores an image of one layer.
  @discardableResult
  func pushImage(
    _ name: String, _ reference: String, seed: String = "x", subject: Descriptor? = nil, artifactType: String? = nil,
    annotations: [String: String] = [:], query: String = ""
  ) async throws -> (digest: Digest, bytes: [UInt8], response: Response) {
    let config = Array(
      "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]},\"x\":\"\(seed)\"}"
        .utf8)
    let layer = Array("layer \(seed)".utf8)
    let configDigest = try await push(config, to: name)
    let layerDigest = try await push(layer, to: name)
    let manifest = Manifest(
      config: Descriptor(mediaType: MediaType.config, digest: configDigest, size: Int64(config.count)),
      layers: [Descriptor(mediaType: MediaType.layer, digest: layerDigest, size: Int64(layer.count))],
      artifactType: artifactType, subject: subject, annotations: annotations)
    let bytes = manifest.json.serialized()
    let digest = Digest(of: bytes)
    let target = reference == "digest" ? digest.description : reference
    let response = try await send(
      "PUT", "/v2/\(name)/manifests/\(target)\(query)", headers: [("Content-Type", MediaType.manifest)], body: bytes)
    return (digest, bytes, response)
  }
}

/// An answer, read to its end.
struct Response: Sendable {
  var status: Int
  var headers: [(name: String, value: String)]
  var body: [UInt8]

  subscript(name: String) -> String? { headers.first { $0.name == name.lowercased() }?.value }
  func all(_ name: String) -> [String] { headers.filter { $0.name == name.lowercased() }.map(\.value) }
  var text: String { String(decoding: body, as: UTF8.self) }
  var json: JSON { (try? JSON.parse(body)) ?? .null }
  /// The code of the first error.
  var code: String? { json["errors"]?.array?.first?["code"]?.string }

  static func exchange(_ bytes: [UInt8], port: Int, isHead: Bool) async throws -> Response {
    try await Connection.open(port: port) { wire in
      try wire.send(bytes)
      return try wire.response(isHead: isHead)
    }
  }
}

/// A blocking connection, on a thread of its own so that the server's tasks have theirs.
///
/// `@unchecked Sendable`: only the one thread that `open` starts uses it.
final class Connection: @unchecked Sendable {
  private let descriptor: Int32
  private var buffer: [UInt8] = []

  struct Failure: Error { var what: String }

  init(port: Int) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr = in_addr(s_addr: UInt32(0x7F00_0001).bigEndian)
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard result == 0 else { throw Failure(what: "connect: \(errno)") }
    // A test that goes wrong must end.
    var timeout = timeval(tv_sec: 30, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
  }

  static func open<T: Sendable>(port: Int, _ body: @escaping @Sendable (Connection) throws -> T) async throws -> T {
    let result: Result<T, any Error> = await withCheckedContinuation { continuation in
      DedicatedThread.start("test-wire") {
        let result = Result {
          let wire = try Connection(port: port)
          defer { wire.close() }
          return try body(wire)
        }
        continuation.resume(returning: result)
      }
    }
    return try result.get()
  }

  func close() { _ = Glibc.close(descriptor) }

  func send(_ text: String) throws { try send(Array(text.utf8)) }

  func send(_ bytes: [UInt8]) throws {
    var at = 0
    while at < bytes.count {
      let count = bytes[at...].withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      // The server may have answered and closed before all was sent.
      guard count > 0 else { return }
      at += count
    }
  }

  /// - Returns: `false` at the end.
  private func fill() throws -> Bool {
    var piece = [UInt8](repeating: 0, count: 64 << 10)
    let count = recv(descriptor, &piece, piece.count, 0)
    guard count >= 0 else { throw Failure(what: "recv: \(errno)") }
    buffer += piece[..<count]
    return count > 0
  }

  var isAtEnd: Bool { get throws { try buffer.isEmpty && !fill() } }

  func response(isHead: Bool = false) throws -> Response {
    let end = Array("\r\n\r\n".utf8)
    var split: Int?
    while split == nil {
      split = buffer.indices.first { buffer[$0...].starts(with: end) }
      if split == nil, try !fill() { throw Failure(what: "closed before an answer; \(buffer.count) bytes") }
    }
    let headEnd = split ?? 0
    let lines = String(decoding: buffer[..<headEnd], as: UTF8.self).split(separator: "\r\n")
    buffer.removeFirst(headEnd + 4)
    let status = Int(lines[0].split(separator: " ")[1]) ?? 0
    let headers = lines.dropFirst().map { line in
      let colon = line.firstIndex(of: ":") ?? line.endIndex
      return (
        name: line[..<colon].lowercased(),
        value: String(line[line.index(after: colon)...].drop { $0 == " " })
      )
    }
    var response = Response(status: status, headers: headers, body: [])
    if isHead || status == 204 || status == 304 || status < 200 { return response }
    let length = response["content-length"].flatMap { Int($0) } ?? 0
    while buffer.count < length, try fill() {}
    guard buffer.count >= length else { throw Failure(what: "cut after \(buffer.count) of \(length) bytes") }
    response.body = Array(buffer[..<length])
    buffer.removeFirst(length)
    return response
  }
}

/// Waits for something that comes by itself; the time limit of a suite ends it.
func until(_ isSo: () async throws -> Bool) async throws {
  while try await !isSo() {
    try Task.checkCancellation()
    await Task.yield()
  }
}
