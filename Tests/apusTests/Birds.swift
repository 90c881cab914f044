import ControllerKit
import Glibc
import KubeClient
import KubeTypes
import LinuxSystem
import Schema
import Synchronization
import Wire

@testable import apus

/// A capability that the rest of the tree knows nothing of: nests in which a reconciler counts the eggs.
struct Birds: Sendable {
  static let nests = GroupVersionResource(group: "birds.test", version: "v1", resource: "nests")

  /// Whether it also makes an interface, a table, a mount and a cgroup, which needs root and a network namespace to itself.
  var touchesKernel = false
  /// What is left although `release` has been called.
  var remains: [String] = []
  /// Names of nests, each when its eggs have been counted.
  let counted: AsyncStream<String>
  private let count: AsyncStream<String>.Continuation
  /// The tree of the footprint that was released.
  let released = Note()

  init() { (counted, count) = AsyncStream.makeStream() }

  var capability: Capability {
    Capability(
      name: "birds", roles: [.server], settings: ["tree"], kinds: [("birds.v1", Self.declaration)],
      strategies: [Self.nestStrategy], admission: [EggLimit()],
      routes: [
        CapabilityRoute(path: "/birds/who") { request throws(KubeError) in
          guard request.method == "GET" else { throw .forbidden(Self.nests, "", "only looking is allowed") }
          return CapabilityRoute.Reply(contentType: "text/plain", body: Array(request.user.name.utf8))
        }
      ], identities: [Self.warden], components: [Self.counter],
      dataPlane: [DataPlanePart(name: "warden", identity: "warden", sockets: { _ in [] }, run: { _ in })],
      optionsBeside: { [.init(option: "--tree", value: "tree\($0)", claim: .init(.name, "tree", "tree\($0)"))] },
      footprint: footprint, start: start)
  }

  /// What the declaration cannot say.
  private static let nestStrategy = KindStrategy(
    GroupVersionKind(group: "birds.test", version: "v1", kind: "Nest"),
    validate: { validator, nest, _ in
      if nest.at("spec", "eggs")?.int == 0 { validator.invalid(.of("spec", "eggs"), 0, "a nest is made for eggs") }
    })

  private static let declaration = """
    schema birds.test/v1 as birds priority 1000 15

    kind Nest  # A nest holds eggs.
      @resource nests nest
      @subresource status get,patch,update
      @column string/name Name
      metadata meta.ObjectMeta 1 omitempty
      spec NestSpec 2 omitempty
      status NestStatus 3 omitempty

    struct NestSpec
      eggs int32 1

    struct NestStatus
      counted int32? 1 omitempty
    """

  static let warden = CapabilityIdentity(
    name: "warden",
    rules: [
      .init(verbs: ["get", "list"], group: "birds.test", resources: ["nests"]),
      .init(verbs: ["get", "post"], paths: ["/birds/who"]),
    ], kubeconfig: "birds/warden.kubeconfig")

  /// Its reconciler.
  static let counter = ComponentIdentity.controller(
    "egg-counter", [.init(verbs: ["patch"], group: "birds.test", resources: ["nests/status"])])

  private func footprint(_ place: FootprintPlace, _ settings: CapabilitySettings) -> Footprint {
    var footprint = Footprint(
      entries: [.init("birds", filled: ["eggs"]), .init("birds.yaml", .configuration)], mounts: ["birds/mounts"],
      running: ["birds"],
      checks: [
        MachineCheck("feathers") { .warning("there are none", remedy: "wait until spring") },
        .program("no-such-program", package: "nothing"),
      ],
      release: { [released] _ in released.value.withLock { $0 = settings["tree"] } },
      leftovers: { [remains] in remains })
    guard let tree = settings["tree"] else { return footprint }
    footprint.claims = [.init(.name, "tree", tree)]
    if touchesKernel {
      footprint.links = [tree]
      footprint.tables = ["inet \(tree)"]
    }
    return footprint
  }

  private func start(_ context: CapabilityContext) async throws -> CapabilityParts {
    let nests = context.informers.informer(for: Self.nests)
    let controller = Controller(
      EggCounter(client: context.clients(Self.counter), nests: nests, counted: count), informers: [nests],
      metrics: context.metrics,
      time: context.time,
      seed: context.seed)
    nests.onChange { [weak controller] _, new in
      if let new { controller?.enqueue(new.header.key) }
    }
    let (place, tree, touchesKernel) = (context.place, context.setting("tree"), touchesKernel)
    return CapabilityParts(
      services: [controller],
      prepare: {
        try Directory.createPrivate("\(place.run)/birds")
        try DurableFile.write(Array("tweet".utf8), to: "\(place.run)/birds/song")
        try Directory.createPrivate(place.path("birds"))
        try Directory.create(place.path("birds/eggs"))
        if touchesKernel { try await Self.touchKernel(place, tree) }
      })
  }

  private static func touchKernel(_ place: FootprintPlace, _ tree: String) async throws {
    for (program, arguments) in [
      ("ip", ["link", "add", "name", tree, "type", "bridge"]), ("nft", ["add", "table", "inet", tree]),
    ] {
      let result = try await Subprocess.run(program, arguments)
      guard result.status == .exited(0) else { throw Failure("\(program): \(result.status)") }
    }
    let target = place.path("birds/mounts/one")
    try Directory.create(target)
    try Mount.mount(source: "tmpfs", target: target, type: "tmpfs", flags: [], data: "size=64k")
    for root in try CgroupLayout.current().mountPoints { try Directory.create("\(root)/\(place.cgroup)/birds") }
  }
}

/// A text that several hold.
final class Note: Sendable {
  let value = Mutex<String?>(nil)
  var text: String? { value.withLock { $0 } }
}

private struct EggLimit: AdmissionStep {
  func admit(_ request: inout AdmissionRequest) throws(KubeError) {
    guard request.kind.groupVersionResource == Birds.nests, let eggs = request.object.at("spec", "eggs")?.int else {
      return
    }
    if eggs > 5 { throw request.forbidden("a nest holds five eggs") }
  }
}

private struct EggCounter: Reconciler {
  let name = "eggs"
  let client: any KubeClient
  let nests: Informer
  let counted: AsyncStream<String>.Continuation

  func observe(_ key: ObjectKey) async throws -> Object? { nests.get(key) }

  func plan(_ nest: Object) -> Plan<Action> {
    let json = nest.json()
    let eggs = json.at("spec", "eggs")?.int ?? 0
    return Plan([json.at("status", "counted")?.int == eggs ? .tell(nest.header.name) : .count(nest.header.key, eggs)])
  }

  enum Action: Sendable, Equatable {
    case count(ObjectKey, Int64)
    case tell(String)
  }

  func apply(_ action: Action) async throws {
    switch action {
    case .tell(let name): counted.yield(name)
    case .count(let key, let eggs):
      _ = try await client.patch(
        Birds.nests, namespace: key.namespace, name: key.name, subresource: "status", type: .merge,
        body: ["status": ["counted": .int(eggs)]], options: WriteOptions())
    }
  }
}

/// A data directory, and the `/run` of a machine of its own.
struct Machine {
  let base: String
  let warden: String

  init() throws {
    var template = Array("/tmp/apus-birds-XXXXXX".utf8CString)
    base = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    // A data plane: it records itself, says so, and waits for ever.
    warden = base + "/warden.sh"
    let script = """
      #!/bin/sh
      start=$(cut -d' ' -f22 /proc/$$/stat)
      printf '{"processID":%d,"startTime":%d,"identity":"%s"}' $$ "$start" "$5" >"$3/data-plane/record.json"
      echo "$$ $6" >"$3/../started"
      exec 3<>"$3/../never"
      read line <&3
      """
    try DurableFile.write(Array(script.utf8), to: warden, mode: 0o755)
    for name in ["started", "never"] { mkfifo("\(base)/\(name)", 0o600) }
  }

  func data(_ capabilities: [Capability], _ name: String = "data") -> DataDirectory {
    var data = DataDirectory(path: "\(base)/\(name)")
    data.capabilities = capabilities
    data.runtimes = base + "/run"
    return data
  }

  func options(_ settings: CapabilitySettings = ["tree": "oak"]) -> ServerOptions {
    var options = ServerOptions()
    (options.roles, options.port, options.settings, options.executable) = ([.server], 0, settings, warden)
    return options
  }

  /// The process id of the data plane, once it says that it runs, with the warden alone.
  func startedDataPlane() async throws -> Int32 {
    let path = base + "/started"
    let text = try await DedicatedThread.run { () throws(SystemError) in try DurableFile.read(path, limit: 64) }
    let words = String(decoding: text, as: UTF8.self).split(whereSeparator: \.isWhitespace)
    guard words.count == 2, words[1] == "warden", let process = Int32(words[0]) else { throw Failure("\(words)") }
    return process
  }

  /// Runs a server for as long as the body takes.
  @discardableResult
  func serve<Value: Sendable>(
    _ data: DataDirectory, _ options: ServerOptions, given: [(name: String, descriptor: OwnedDescriptor)] = [],
    _ body: (ServerRecord) async throws -> Value
  ) async throws -> Value {
    let composition = try await Composition(options, data: data, time: SystemClock(), given: given)
    let (ready, isReady) = AsyncStream.makeStream(of: ServerRecord.self)
    let (stopped, stop) = AsyncStream.makeStream(of: Void.self)
    async let running: Void = {
      defer { isReady.finish() }
      try await composition.run(began: .now, ready: { isReady.yield($0) }, until: { for await _ in stopped {} })
    }()
    var result: Result<Value, any Error>?
    for await record in ready {
      do { result = .success(try await body(record)) } catch { result = .failure(error) }
      break
    }
    stop.finish()
    try await running
    guard let result else { throw Failure("the server ended before it was ready") }
    return try result.get()
  }

  func purge(_ data: DataDirectory) async throws {
    try await Purge(data: data, record: ServerRecord.read(data.serverRecord), plan: PurgePlan(data: data)).run()
  }

  func remove() { try? Directory.removeTree(base) }
}
