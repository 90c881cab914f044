import KubeClient
import LinuxSystem
import Synchronization
import Wire

@testable import Containers
@testable import Node

/// Containers that exist in memory only. They live as long as the fake, as real ones outlive the server.
final class FakeRuntime: ContainerRuntime {
  struct Model {
    var sandboxes: [String: Sandbox] = [:]
    var containers: [String: ContainerState] = [:]
    var specs: [ContainerSpec] = []
    var sandboxSpecs: [SandboxSpec] = []
    var signals: [(id: String, signal: Int32)] = []
    var nextID = 0
    /// Containers of these names ignore SIGTERM.
    var stubborn: Set<String> = []
    /// Programs of these names cannot be started.
    var broken: Set<String> = []
    /// Programs of these names end at once, and their start returns when it is released.
    var hasty: Set<String> = []
    var heldStarts: [CheckedContinuation<Void, Never>] = []
    /// How often the next containers cannot be removed.
    var removalFailures = 0
    /// No network plugin opens ports of the host.
    var lacksPortMapping = false
    /// Sandboxes are not made before `releaseSandboxes`.
    var holdsSandboxes = false
    var heldSandboxes: [CheckedContinuation<Void, Never>] = []
    /// How often somebody began to listen for ends.
    var readers = 0
    /// How often the next sandboxes fail.
    var sandboxFailures = 0
    /// More than one live container of the same pod and name was seen.
    var twins = 0
    /// What `execSync` answers by command name; 0 otherwise.
    var exitCodes: [String: Int32] = [:]
    var execs: [[String]] = []
    /// Commands of these names run until they are released.
    var held: Set<String> = []
    var holding: [String: [CheckedContinuation<Void, Never>]] = [:]
  }

  let model = Mutex(Model())
  private let ends = Announcer<RuntimeEvent>()
  private let time: any TimeSource

  private let base: String

  /// - Parameter base: a folder for the files that containers leave.
  init(time: any TimeSource, base: String) {
    self.time = time
    self.base = base
  }

  func events() -> AsyncStream<RuntimeEvent> {
    defer { model.withLock { $0.readers += 1 } }
    return ends.listen {
      model.withLock { $0.containers.values.filter { $0.status == .exited }.map { self.event($0, signal: nil) } }
    }
  }

  private func event(_ state: ContainerState, signal: Int32?) -> RuntimeEvent {
    RuntimeEvent(
      containerID: state.id, podUID: state.podUID, name: state.name, attempt: state.attempt,
      exitCode: state.exitCode ?? 137, signal: signal, finishedAt: state.finishedAt ?? time.now(), oomKilled: false,
      isLost: state.isLost)
  }

  /// The machine restarts.
  func reboot() {
    let now = time.now()
    model.withLock { model in
      for uid in model.sandboxes.keys { model.sandboxes[uid]?.isReady = false }
      for id in model.containers.keys where model.containers[id]?.status == .running {
        model.containers[id]?.status = .exited
        model.containers[id]?.exitCode = 137
        model.containers[id]?.finishedAt = now
        model.containers[id]?.isLost = true
      }
    }
  }

  /// The container's program ends by itself.
  func exit(_ name: String, code: Int32) {
    let id = model.withLock { model in model.containers.values.first { $0.name == name && $0.status == .running }?.id }
    if let id { end(id, code: code, signal: nil) }
  }

  private func end(_ id: String, code: Int32, signal: Int32?) {
    let now = time.now()
    let event: RuntimeEvent? = model.withLock { model in
      guard var state = model.containers[id], state.status == .running else { return nil }
      state.status = .exited
      state.exitCode = code
      state.finishedAt = now
      model.containers[id] = state
      return self.event(state, signal: signal)
    }
    if let event { ends.tell(event) }
  }

  func terminationMessageFile(_ id: String) -> String { "\(base)/termination-\(id)" }

  func createSandbox(_ spec: SandboxSpec) async throws(RuntimeError) -> Sandbox {
    await withCheckedContinuation { continuation in
      let isHeld = model.withLock { model in
        if model.holdsSandboxes { model.heldSandboxes.append(continuation) }
        return model.holdsSandboxes
      }
      if !isHeld { continuation.resume() }
    }
    let now = time.now()
    let sandbox: Sandbox? = model.withLock { model in
      if model.sandboxFailures > 0 {
        model.sandboxFailures -= 1
        return nil
      }
      model.sandboxSpecs.append(spec)
      var sandbox =
        model.sandboxes[spec.podUID]
        ?? Sandbox(
          podUID: spec.podUID, name: spec.name, namespace: spec.namespace,
          ips: ["10.244.0.\(model.sandboxes.count + 2)"], networkNamespacePath: nil, createdAt: now, isReady: true)
      model.sandboxes[spec.podUID] = sandbox
      if model.lacksPortMapping {
        sandbox.unmappedPorts = spec.portMappings
        sandbox.unmappedReason = "install iptables"
      }
      return sandbox
    }
    guard let sandbox else { throw RuntimeError(.network, "plugin bridge failed") }
    return sandbox
  }

  func releaseSandboxes() {
    let held = model.withLock { model in
      model.holdsSandboxes = false
      defer { model.heldSandboxes = [] }
      return model.heldSandboxes
    }
    for continuation in held { continuation.resume() }
  }

  func removeSandbox(_ podUID: String) async throws(RuntimeError) {
    let ids = model.withLock { model in model.containers.values.filter { $0.podUID == podUID }.map(\.id) }
    for id in ids { end(id, code: 137, signal: 9) }
    model.withLock { model in
      for id in ids { model.containers[id] = nil }
      model.sandboxes[podUID] = nil
    }
  }

  func sandboxes() async throws(RuntimeError) -> [Sandbox] { model.withLock { Array($0.sandboxes.values) } }

  func createContainer(_ spec: ContainerSpec) async throws(RuntimeError) -> ContainerHandle {
    let now = time.now()
    return model.withLock { model in
      model.nextID += 1
      let id = "c\(model.nextID)"
      model.specs.append(spec)
      let user = ResolvedUser(
        uid: UInt32(clamping: spec.runAsUser ?? 0), gid: UInt32(clamping: spec.runAsGroup ?? 0),
        additionalGroups: spec.supplementalGroups.map { UInt32(clamping: $0) })
      model.containers[id] = ContainerState(
        id: id, podUID: spec.podUID, podName: spec.podName, podNamespace: spec.podNamespace, name: spec.name,
        attempt: spec.attempt, image: spec.image, imageID: spec.imageID, status: .created, createdAt: now,
        oomKilled: false, isLost: false, logPath: spec.logPath, labels: spec.labels,
        user: user)
      return ContainerHandle(
        id: id, podUID: spec.podUID, name: spec.name, attempt: spec.attempt,
        terminationMessageFile: spec.terminationMessagePath == nil ? nil : terminationMessageFile(id), user: user)
    }
  }

  func startContainer(_ id: String) async throws(RuntimeError) {
    let now = time.now()
    let isBroken = model.withLock { model in
      guard let state = model.containers[id], !model.broken.contains(state.name) else { return true }
      if model.containers.values.contains(where: {
        $0.podUID == state.podUID && $0.name == state.name && $0.status == .running
      }) {
        model.twins += 1
      }
      model.containers[id]?.status = .running
      model.containers[id]?.startedAt = now
      return false
    }
    if isBroken { throw RuntimeError(.engine, "executable file not found in $PATH") }
    await withCheckedContinuation { continuation in
      let isHasty = model.withLock { model in
        guard model.hasty.contains(model.containers[id]?.name ?? "") else { return false }
        model.heldStarts.append(continuation)
        return true
      }
      if isHasty { end(id, code: 0, signal: nil) } else { continuation.resume() }
    }
  }

  func releaseStarts() {
    let held = model.withLock { model in
      defer { model.heldStarts = [] }
      return model.heldStarts
    }
    for continuation in held { continuation.resume() }
  }

  func signal(_ id: String, _ signal: Int32) async throws(RuntimeError) {
    let ends = model.withLock { model in
      model.signals.append((id, signal))
      return signal == 9 || !model.stubborn.contains(model.containers[id]?.name ?? "")
    }
    if ends { end(id, code: 128 + signal, signal: signal) }
  }

  func removeContainer(_ id: String) async throws(RuntimeError) {
    let fails = model.withLock { model in
      defer { model.removalFailures = max(0, model.removalFailures - 1) }
      return model.removalFailures > 0
    }
    if fails { throw RuntimeError(.engine, "device or resource busy") }
    end(id, code: 137, signal: 9)
    model.withLock { $0.containers[id] = nil }
  }

  func containers() async throws(RuntimeError) -> [ContainerState] { model.withLock { Array($0.containers.values) } }

  func exec(_ id: String, command: [String], options: TerminalOptions) async throws(RuntimeError) -> any ProcessStream {
    throw RuntimeError(.unsupported, "not in the fake")
  }

  func attach(_ id: String, options: TerminalOptions) async throws(RuntimeError) -> any ProcessStream {
    throw RuntimeError(.unsupported, "not in the fake")
  }

  func connect(podUID: String, port: Int) async throws(RuntimeError) -> any ByteStream {
    throw RuntimeError(.unsupported, "not in the fake")
  }

  func execSync(
    _ id: String, command: [String], timeout: Duration, outputLimit: Int
  ) async throws(RuntimeError) -> ProcessResult {
    await withCheckedContinuation { continuation in
      let isHeld = model.withLock { model in
        model.execs.append(command)
        guard let name = command.first, model.held.contains(name) else { return false }
        model.holding[name, default: []].append(continuation)
        return true
      }
      if !isHeld { continuation.resume() }
    }
    let code = model.withLock { $0.exitCodes[command.first ?? ""] ?? 0 }
    return ProcessResult(status: .exited(code), stdout: [], stderr: Array("exit \(code)".utf8))
  }

  /// Lets the command end, now and later.
  func release(_ command: String) {
    let waiting = model.withLock { model in
      model.held.remove(command)
      return model.holding.removeValue(forKey: command) ?? []
    }
    for continuation in waiting { continuation.resume() }
  }

  func stats(podUID: String) async throws(RuntimeError) -> PodUsage {
    throw RuntimeError(.unsupported, "not in the fake")
  }
  func updateResources(_ id: String, _ resources: ContainerResources) async throws(RuntimeError) {}

  /// Begins an empty log, as the monitor does.
  func reopenLog(_ id: String) async throws(RuntimeError) {
    guard let path = model.withLock({ $0.containers[id]?.logPath }) else { throw .notFound(id) }
    do throws(SystemError) { try DurableFile.write([], to: path) } catch {
      throw RuntimeError(.system, error.description)
    }
  }
}
