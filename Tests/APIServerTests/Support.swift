import ControllerKit
import Glibc
import KubeClient
import KubeTypes
import LinuxSystem
import Logging
import Schema
import Store
import Synchronization
import Telemetry
import Wire

@testable import APIServer

/// A clock that stands still until it is moved. It starts at the machine's time, which TLS checks certificates against.
final class ManualClock: TimeSource {
  private let time = Mutex(Timestamp(seconds: SystemClock().now().microseconds / 1_000_000))

  func now() -> Timestamp { time.withLock { $0 } }
  /// Until the task is cancelled: tests call what waits for the time themselves.
  func sleep(for duration: Duration) async throws { try await Task.sleep(for: .seconds(86_400)) }
  func advance(_ duration: Duration) { time.withLock { $0 = $0.adding(duration) } }
}

/// A server on a store in a folder of its own.
final class Fixture {
  let directory: String
  let clock = ManualClock()
  let metrics = Metrics()
  let kinds = KindRegistry(.builtin)
  let store: Store
  let server: APIServer
  var client: LocalClient { server.client }

  /// - Parameters:
  ///   - tokens: lines of a token file.
  ///   - disk: instead of the folder.
  init(
    options: StoreOptions = StoreOptions(), range: String = "10.96.0.0/24", pods: String = "10.244.0.0/24",
    tokens: String = "", admission: [any AdmissionStep] = [], components: [ComponentIdentity] = [],
    disk: MemoryDisk? = nil, logger: Logger = Logger(label: "test")
  ) throws {
    var template = Array("/tmp/apus-api-XXXXXX".utf8CString)
    directory = String(
      decoding: template.withUnsafeMutableBufferPointer { buffer in
        _ = mkdtemp(buffer.baseAddress!)
        return buffer.dropLast().map { UInt8(bitPattern: $0) }
      }, as: UTF8.self)
    store =
      if let disk {
        try Store.open(disk, options: options)
      } else {
        try Store.open(
          directory: directory + "/state", options: options, header: { ObjectHeader(try JSON.parse($0)) })
      }
    try DurableFile.write(Array(tokens.utf8), to: directory + "/tokens", mode: 0o600)
    var configuration = APIServerConfiguration(
      dataDirectory: directory, port: 0, advertiseAddress: "127.0.0.1", serviceRange: range, podRange: pods,
      hostname: "test", version: "0", threads: 1, tokenFile: directory + "/tokens")
    configuration.admission = admission
    configuration.components = components
    server = try APIServer(
      configuration: configuration, store: store, kinds: kinds,
      time: clock,
      metrics: metrics,
      logger: logger, nodeStreams: { _ in nil })
  }

  /// The administrator, or whoever has the token, over HTTPS.
  func https(_ port: Int, token: String? = nil) throws -> HTTPSClient {
    let pki = server.pki
    return try HTTPSClient(
      Kubeconfig(
        server: "https://127.0.0.1:\(port)", certificateAuthority: Array(pki.authority.certificate.utf8),
        clientCertificate: token == nil ? Array(pki.admin.certificate.utf8) : nil,
        clientKey: token == nil ? Array(pki.admin.privateKey.utf8) : nil, token: token))
  }

  func close() async {
    await server.shutdown()
    store.close()
    try? Directory.removeTree(directory)
  }

  /// Runs a body on a bootstrapped server and cleans up.
  static func run(
    options: StoreOptions = StoreOptions(), range: String = "10.96.0.0/24", pods: String = "10.244.0.0/24",
    tokens: String = "", admission: [any AdmissionStep] = [], components: [ComponentIdentity] = [],
    _ body: (Fixture) async throws -> Void
  ) async throws {
    let fixture = try Fixture(
      options: options, range: range, pods: pods, tokens: tokens, admission: admission, components: components)
    do {
      try await fixture.server.bootstrap(port: 6443)
      _ = try await fixture.create("serviceaccounts", ["metadata": ["name": "default"]])
      try await body(fixture)
    } catch {
      await fixture.close()
      throw error
    }
    await fixture.close()
  }

  static var reader: StoredObjectReader { StoredObjectReader(metrics: Metrics(), logger: Logger(label: "test")) }

  /// Waits until the watches have been told of everything.
  func settle() async {
    while store.deliveredRevision < store.revision { await Task.yield() }
  }

  /// Writes bytes that no request could have written.
  func put(_ key: String, _ bytes: String, namespace: String, name: String) async throws {
    let header = ObjectHeader(["metadata": ["namespace": .string(namespace), "name": .string(name)]])
    try await store.commit([.put(key, value: Array(bytes.utf8), revisionAt: 0, header: header)])
  }

  static func resource(_ name: String) -> GroupVersionResource {
    let groups = [
      "deployments": "apps", "replicasets": "apps", "poddisruptionbudgets": "policy",
      "priorityclasses": "scheduling.k8s.io", "tokenreviews": "authentication.k8s.io",
    ]
    return GroupVersionResource(group: groups[name] ?? "", version: "v1", resource: name)
  }

  private static func namespace(_ resource: String) -> String? {
    ["namespaces", "nodes", "priorityclasses"].contains(resource) ? nil : "default"
  }

  func create(_ resource: String, _ body: JSON, dryRun: Bool = false) async throws -> Object {
    try await client.create(
      Self.resource(resource), namespace: Self.namespace(resource), name: nil, subresource: nil, body: body,
      options: WriteOptions(dryRun: dryRun))
  }

  func get(_ resource: String, _ name: String) async throws -> JSON {
    try await client.get(Self.resource(resource), namespace: Self.namespace(resource), name: name).json()
  }

  func update(_ resource: String, _ name: String, _ body: JSON, subresource: String? = nil) async throws -> JSON {
    try await client.update(
      Self.resource(resource), namespace: Self.namespace(resource), name: name, subresource: subresource, body: body,
      options: WriteOptions()
    ).json()
  }

  func patch(
    _ resource: String, _ name: String, _ type: PatchType, _ body: JSON, subresource: String? = nil
  ) async throws -> JSON {
    try await client.patch(
      Self.resource(resource), namespace: Self.namespace(resource), name: name, subresource: subresource, type: type,
      body: body, options: WriteOptions()
    ).json()
  }

  @discardableResult
  func delete(_ resource: String, _ name: String, _ options: DeleteOptions = DeleteOptions()) async throws -> JSON {
    try await client.delete(
      Self.resource(resource), namespace: Self.namespace(resource), name: name, options: options
    ).json()
  }

  func configMap(_ name: String, labels: JSON = [:]) async throws -> Object {
    try await create("configmaps", ["metadata": ["name": .string(name), "labels": labels], "data": ["a": "1"]])
  }

  static func pod(_ name: String, node: String? = nil) -> JSON {
    var pod: JSON = [
      "metadata": ["name": .string(name)], "spec": ["containers": [["name": "c", "image": "i:1"]]],
    ]
    if let node { pod["spec"]?["nodeName"] = .string(node) }
    return pod
  }

  static func deployment(_ name: String) -> JSON {
    [
      "metadata": ["name": .string(name)],
      "spec": [
        "selector": ["matchLabels": ["app": "x"]],
        "template": [
          "metadata": ["labels": ["app": "x"]], "spec": ["containers": [["name": "c", "image": "i:1"]]],
        ],
      ],
    ]
  }
}

/// Keeps what is told from warnings on, as `level message key=value …`.
final class RecordingLog: Sendable {
  let lines = Mutex<[String]>([])

  var logger: Logger { Logger(label: "test") { _ in Handler(log: self) } }

  private struct Handler: LogHandler {
    let log: RecordingLog
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.warning

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      let values = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
      log.lines.withLock { $0.append("\(event.level) \(event.message)\(values)") }
    }
  }
}

/// The refusal that a body ends with.
func refusal(_ body: () async throws -> Void) async -> KubeError? {
  do {
    try await body()
    return nil
  } catch {
    return error as? KubeError
  }
}

/// An admission step that remembers what it was asked, and refuses what the test wants refused.
final class RecordingAdmission: AdmissionStep {
  struct Seen: Sendable {
    var operation: AdmissionRequest.Operation
    var resource: String
    var subresource: String
    var name: String
    var user: String
    var fieldManager: String
    var dryRun: Bool
    var hasDeadline: Bool
    var object: JSON
    var old: JSON?
  }

  private let all = Mutex<[Seen]>([])
  private let refuses: @Sendable (Seen) -> Bool
  /// Reservations that have not ended, by resource.
  private let reserved = Mutex<[String: Int]>([:])

  init(refuses: @escaping @Sendable (Seen) -> Bool = { _ in false }) { self.refuses = refuses }

  func admit(_ request: inout AdmissionRequest) throws(KubeError) {
    let context = request.context
    let seen = Seen(
      operation: request.operation, resource: request.kind.resource, subresource: request.subresource,
      name: request.name, user: context.user.name, fieldManager: context.fieldManager, dryRun: context.dryRun,
      hasDeadline: context.deadline != nil, object: request.object, old: request.old)
    all.withLock { $0.append(seen) }
    reserved.withLock { $0[seen.resource, default: 0] += 1 }
    request.reservations.append { self.reserved.withLock { $0[seen.resource, default: 0] -= 1 } }
    if refuses(seen) { throw request.forbidden("the test says so") }
  }

  func reservations(of resource: String) -> Int { reserved.withLock { $0[resource] ?? 0 } }

  /// What was asked about one object, in order.
  func seen(_ resource: String, _ name: String) -> [Seen] {
    all.withLock { $0.filter { $0.resource == resource && $0.name == name } }
  }
}
