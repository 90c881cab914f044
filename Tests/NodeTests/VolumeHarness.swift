import Glibc
import KubeTypes
import LinuxSystem
import Logging
import Synchronization
import Wire

@testable import Node

/// The volumes of a node, in a folder of their own, on an API in memory.
final class VolumeHarness: Sendable {
  let base: String
  let client = FakeKubeClient()
  let clock = VirtualClock()

  init() throws {
    var template = Array("/tmp/apus-volumes-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp") }
    base = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    try? Mount.unmountTree(base)
    try? Directory.removeTree(base)
  }

  var configuration: NodeConfiguration {
    var configuration = NodeConfiguration(name: "n1", dataDirectory: "\(base)/data", runDirectory: "\(base)/run")
    configuration.nodeIPs = ["192.0.2.1"]
    return configuration
  }

  /// As a server that has just started makes it.
  func mounts(_ driver: FakeDriver?, boot: String = "boot-1") -> VolumeMounts {
    VolumeMounts(
      configuration: configuration, drivers: driver.map { [$0] } ?? [], lanes: testLanes, time: clock, bootID: boot,
      log: Logger(label: "test"), isMounted: { FakeDriver.isMounted($0) })
  }

  func manager(
    _ plugins: [any VolumePlugin] = VolumePlugins.all(), driver: FakeDriver? = nil
  ) -> VolumeManager {
    let context = VolumeContext(
      configuration: configuration, client: client, references: ReferenceStore(client: client, time: clock),
      time: clock, lanes: testLanes, allocatable: { ["cpu": Quantity(2), "memory": Quantity(1 << 30)] },
      mounts: mounts(driver))
    return VolumeManager(context, plugins: plugins)
  }

  func pod(_ uid: String, _ volumes: [JSON], spec change: (inout JSON) -> Void = { _ in }) -> Pod {
    var spec: JSON = [
      "containers": [["name": "web", "resources": ["limits": ["memory": "64Mi"]]]], "volumes": .array(volumes),
      "serviceAccountName": "default",
    ]
    change(&spec)
    return Pod(json: [
      "apiVersion": "v1", "kind": "Pod",
      "metadata": [
        "name": .string("name-\(uid)"), "namespace": "default", "uid": .string(uid), "labels": ["app": "web"],
      ],
      "spec": spec,
    ])
  }

  func put(_ kind: ObjectReferenceKey.Kind, _ name: String, _ data: [String: String]) {
    let isSecret = kind == .secret
    let members = data.sorted { $0.key < $1.key }.map {
      (key: $0.key, value: JSON.string(isSecret ? Base64.encode(Array($0.value.utf8)) : $0.value))
    }
    client.put(
      kind.resource, "default",
      [
        "apiVersion": "v1", "kind": .string(isSecret ? "Secret" : "ConfigMap"),
        "metadata": ["name": .string(name), "namespace": "default"],
        "data": .object(JSONObject(uniqueMembers: members)),
      ])
  }

  func text(_ path: String) -> String? { Files.read(path, limit: 1000).map { String(decoding: $0, as: UTF8.self) } }

  /// What a call says that fails.
  func message(_ body: () async throws -> Void) async -> String {
    do { try await body() } catch { return describe(error) }
    return ""
  }
}

/// A driver without devices: what it has staged is in memory, and what it has mounted for a pod is a folder.
final class FakeDriver: VolumeDriver {
  enum Call: String, Sendable { case stage, publish, unpublish, unstage }
  enum Fault: Sendable {
    case before
    case after
  }
  struct Failure: Error {}

  private struct World {
    var staged: Set<String> = []
    /// The handle by target.
    var published: [String: String] = [:]
    var calls: [String] = []
    var violations: [String] = []
    var phases: [MountRecord.Phase?] = []
  }

  let name = "fake.example.com"
  let needsStage: Bool
  private let world = Mutex(World())
  private let unstaging = Mutex<(@Sendable (String) async throws -> Void)?>(nil)
  /// Whether a call fails, and with or without its effect: as one that was killed.
  private let fault: @Sendable (Call) -> Fault?

  init(needsStage: Bool = true, fault: @escaping @Sendable (Call) -> Fault? = { _ in nil }) {
    self.needsStage = needsStage
    self.fault = fault
  }

  static func isMounted(_ target: String) -> Bool { Files.exists(target) }

  func volume(_ handle: String) -> DriverVolume { DriverVolume(driver: name, handle: handle) }

  var staged: Set<String> { world.withLock { $0.staged } }
  /// Handles by target.
  var published: [String: String] { world.withLock { $0.published.filter { Self.isMounted($0.key) } } }
  /// What happened that must not.
  var violations: [String] { world.withLock { $0.violations } }
  var calls: [String] { world.withLock { $0.calls } }
  /// What the volume's record said at each call for a pod.
  var phases: [MountRecord.Phase?] { world.withLock { $0.phases } }

  /// Does something in the middle of the next call to undo a stage.
  func whenUnstaging(_ body: @escaping @Sendable (String) async throws -> Void) { unstaging.withLock { $0 = body } }

  /// No mount outlives the machine.
  func reboot() {
    for target in published.keys { rmdir(target) }
    world.withLock { world in
      world.staged = []
      world.published = [:]
    }
  }

  private func run(_ call: Call, _ handle: String, _ effect: () throws -> Void) throws {
    world.withLock { $0.calls.append("\(call.rawValue) \(handle)") }
    let fault = fault(call)
    if case .before = fault { throw Failure() }
    try effect()
    if case .after = fault { throw Failure() }
  }

  private func violation(_ text: String) { world.withLock { $0.violations.append(text) } }

  private func note(_ target: String) {
    let folder = DurableFile.parent(of: target)
    let parts = folder.split(separator: "/").map(String.init)
    let record = Files.read("\(folder)/record.json", limit: MountRecord.sizeMax).flatMap {
      MountRecord(bytes: $0, uid: parts[parts.count - 3], volume: parts[parts.count - 1])
    }
    world.withLock { $0.phases.append(record?.phase) }
  }

  func stage(_ volume: DriverVolume, at stage: String) async throws {
    if !Files.isDirectory(stage) { violation("\(volume.handle) is staged where no folder is") }
    try run(.stage, volume.handle) { world.withLock { _ = $0.staged.insert(volume.handle) } }
  }

  func publish(_ volume: DriverVolume, from stage: String?, at target: String) async throws {
    note(target)
    if (stage != nil) != needsStage { violation("\(volume.handle) is published from \(stage ?? "nowhere")") }
    if needsStage, !staged.contains(volume.handle) { violation("\(volume.handle) is published and not staged") }
    if let other = published[target], other != volume.handle { violation("\(target) is mounted twice") }
    try run(.publish, volume.handle) {
      try Directory.create(target)
      world.withLock { $0.published[target] = volume.handle }
    }
  }

  func unpublish(_ handle: String, at target: String) async throws {
    note(target)
    if let other = published[target], other != handle { violation("\(other) is undone as \(handle)") }
    try run(.unpublish, handle) {
      rmdir(target)
      world.withLock { $0.published[target] = nil }
    }
  }

  func unstage(_ handle: String, at stage: String) async throws {
    let body = unstaging.withLock { body in
      defer { body = nil }
      return body
    }
    try await body?(handle)
    if published.values.contains(handle) { violation("\(handle) is unstaged while it is used") }
    try run(.unstage, handle) { world.withLock { _ = $0.staged.remove(handle) } }
  }
}

/// A kind of volume that only the tests know, on a driver of theirs.
struct FakeDriverPlugin: VolumePlugin {
  let source = "csi"
  let driver: FakeDriver

  func setUp(_ request: VolumeRequest, _ context: VolumeContext) async throws -> PreparedVolume {
    let handle = request.volume.json.at("csi", "handle")?.string ?? ""
    let path = try await context.mounts.publish(driver.volume(handle), for: request)
    return PreparedVolume(path: path, isReadOnly: false)
  }
}
