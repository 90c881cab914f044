import Containers
import ControllerKit
import KubeClient
import KubeTypes
import LinuxSystem
import Logging
import Wire

extension PodWorker {
  /// Carries out one action of the plan. What fails leaves its mark in the state, so that the next plan knows.
  func perform(_ action: PodPlan.Action) async {
    switch action {
    case .prepareVolumes: await prepareVolumes()
    case .createSandbox: await createSandbox()
    case .prepareImage(let container): prepareImage(container)
    case .start(let container, let attempt): await start(container, attempt: attempt)
    case .stop(let id, let container, let grace, let message):
      stop(id, of: container, gracePeriodSeconds: grace, message: message)
    case .terminate(let id): await terminate(id)
    case .kill(let id): await kill(id)
    case .remove(let id): await remove(id)
    case .removeSandbox: await removeSandbox()
    case .removeVolumes: await removeVolumes()
    case .finish: await finishPod()
    }
  }

  // MARK: - Volumes

  private func prepareVolumes() async {
    await record()
    hasVolumes = true
    do {
      volumes = try await context.volumes.prepare(pod)
      volumeRetry = nil
      mustRefreshVolumes = false
    } catch {
      var retry = volumeRetry ?? Retry(at: context.time.now())
      retry.failed(now: context.time.now(), using: &random)
      volumeRetry = retry
      event(.warning, error.reason.rawValue, error.message)
    }
    watchReferences()
  }

  /// Brings changed ConfigMaps, Secrets and tokens into the volumes of running containers.
  func refreshVolumes() async {
    mustRefreshVolumes = false
    do {
      volumes = try await context.volumes.prepare(pod)
    } catch {
      // What is there stays: the containers go on with the last good state.
      event(.warning, error.reason.rawValue, error.message)
      volumes?.refreshAt = context.time.now().adding(.seconds(30))
    }
  }

  private func watchReferences() {
    var keys = context.volumes.references(of: pod)
    for (container, _) in allContainers {
      keys.formUnion(ObjectReferenceKey.environment(of: container, namespace: key.namespace))
    }
    guard !keys.isEmpty else { return }
    context.references.watch(keys, for: uid) { [weak self] in
      guard let self else { return }
      Task { await self.referencesChanged() }
    }
  }

  private func removeVolumes() async {
    context.references.release(uid)
    do {
      try await context.volumes.remove(uid)
      volumes = nil
      volumeRetry = nil
      hasVolumes = false
      release()
    } catch {
      holdOn(error, during: "remove volumes")
    }
  }

  // MARK: - Sandbox

  private func createSandbox() async {
    do {
      try await requireRuntimeHandler()
      let made = try await context.runtime.createSandbox(
        context.specs.sandbox(for: pod, hostDNS: try await machineResolver()))
      sandbox = made
      sandboxRetry = nil
      if !made.unmappedPorts.isEmpty {
        let ports = made.unmappedPorts.map { "\($0.hostPort)/\($0.transport)" }.joined(separator: ", ")
        event(
          .warning, "HostPortNotSupported",
          "the pod runs without its hostPort \(ports): \(made.unmappedReason)")
      }
      release()
    } catch {
      var retry = sandboxRetry ?? Retry(at: context.time.now())
      retry.failed(now: context.time.now(), using: &random)
      sandboxRetry = retry
      event(.warning, "FailedCreatePodSandBox", "Failed to create pod sandbox: \(error.message)")
    }
  }

  /// What the machine's resolver is at this moment: a network that was joined since the server's start brought others.
  private func machineResolver() async throws(RuntimeError) -> ResolverConfiguration {
    let path = context.configuration.resolverPath
    do {
      return try await context.lanes.records.run(uid, "read \(path)") { ResolverConfiguration(file: path) }
    } catch {
      throw RuntimeError(.system, describe(error))
    }
  }

  private func removeSandbox() async {
    do {
      try await context.runtime.removeSandbox(uid)
      sandbox = nil
      sandboxRetry = nil
      await imageUnused(by: containers.values.flatMap { $0.runs.filter { !$0.isRemembered }.map(\.id) })
      for name in containers.keys { containers[name]?.sandboxRemoved(at: context.time.now()) }
      release()
    } catch {
      holdOn(error, during: "remove sandbox")
    }
  }

  // MARK: - Start

  private func start(_ name: String, attempt: Int) async {
    guard let container = container(name), intent == .run,
      let (prepared, backoff) = containers[name]?.starts(attempt: attempt, now: context.time.now())
    else { return }
    do {
      let variables = try await environment(of: container)
      let mounts = try await mounts(of: container, variables: variables)
      var spec = try context.specs.container(
        container, of: pod, attempt: attempt, image: prepared, variables: variables, mounts: mounts)
      spec.labels[CrashLoopBackoff.label] = backoff?.labelText
      try await run(spec, container, prepared, backoff)
      release()
    } catch let error as NodeError {
      startFailed(name, error)
    } catch {
      startFailed(name, NodeError(.createContainerError, describe(error)))
    }
  }

  /// Creates and starts; the run is known before its program can end.
  private func run(
    _ spec: ContainerSpec, _ container: Container, _ prepared: PreparedImage, _ backoff: CrashLoopBackoff?
  ) async throws {
    let name = spec.name
    let handle: ContainerHandle
    do {
      handle = try await context.runtime.createContainer(spec)
    } catch {
      throw NodeError(error.code == .invalid ? .createContainerConfigError : .createContainerError, error.message)
    }
    var run = ContainerRun(
      id: handle.id, attempt: spec.attempt, image: container.image ?? "", imageID: prepared.imageID,
      createdAt: context.time.now())
    run.health = HealthCheck(label: spec.labels[HealthCheck.label])
    run.user = handle.user
    await imageUsed(by: handle.id, prepared)
    run.terminationMessageFile = handle.terminationMessageFile
    run.stopSignal = spec.stopSignal
    containers[name]?.created(run)
    event(.normal, "Created", "Created container: \(name)", container: name)
    do throws(NodeError) {
      // Who ends the containers of an image whose files went did not see one that was still being made. From here on
      // they do.
      guard context.images.isServed(prepared) else {
        throw NodeError(.createContainerError, "its image is not served any more, and is pulled as a whole")
      }
      do {
        try await context.runtime.startContainer(handle.id)
      } catch {
        throw NodeError(.runContainerError, error.message)
      }
    } catch {
      // The plan removes it.
      containers[name]?[handle.id]?.abandoned()
      throw error
    }
    let startedAt = context.time.now()
    containers[name]?.started(
      handle.id, at: startedAt, isStarted: container.startupProbe == nil && container.lifecycle?.postStart == nil,
      isReady: container.readinessProbe == nil && run.health == nil, backoff: backoff)
    event(.normal, "Started", "Started container \(name)", container: name)
    publishStatus(now: startedAt)
    if let started = containers[name]?[handle.id] { startProbes(started, of: container, isAdopted: false) }
  }

  func startFailed(_ name: String, _ error: NodeError) {
    let image = container(name)?.image ?? ""
    containers[name]?.startFailed(
      error, image: image, pullBackoff: pullBackoffs[image], now: context.time.now(), using: &random)
    announceImageFailure(error, container: name)
    event(
      .warning, "Failed", "Error: \(error.isAboutImage ? error.reason.rawValue : error.message)", container: name)
  }

  private func environment(of container: Container) async throws -> [(name: String, value: String)] {
    var builder = EnvironmentBuilder(
      place: FieldReference.Place(hostIPs: context.configuration.nodeIPs, podIPs: podIPs))
    builder.allocatable = context.allocatable()
    for key in ObjectReferenceKey.environment(of: container, namespace: key.namespace) {
      guard let object = try await configError({ try await self.context.references.get(key) }) else { continue }
      switch key.kind {
      case .configMap: builder.configMaps[key.name] = object.decode(ConfigMap.self).data
      case .secret: builder.secrets[key.name] = VolumeContent.data(of: object.decode(Secret.self))
      }
    }
    var entries: [ServiceVariables.Entry] = [
      ServiceVariables.Entry(
        name: "kubernetes", clusterIP: context.configuration.apiServerHost,
        ports: [.init(name: "https", port: context.configuration.apiServerPort, transport: "TCP")])
    ]
    if pod.spec.enableServiceLinks != false {
      entries += context.services(key.namespace).filter { !(key.namespace == "default" && $0.name == "kubernetes") }
    }
    builder.services = ServiceVariables.variables(for: entries)
    return try builder.variables(for: container, of: pod)
  }

  private func configError<Value: Sendable>(_ body: () async throws -> Value) async throws(NodeError) -> Value {
    do {
      return try await body()
    } catch {
      throw NodeError(.createContainerConfigError, describe(error))
    }
  }

  private func mounts(
    of container: Container, variables: [(name: String, value: String)]
  ) async throws(NodeError) -> [ContainerMount] {
    var result: [ContainerMount] = []
    let values = Dictionary(variables.map { ($0.name, $0.value) }) { _, new in new }
    let containerName = container.name ?? ""
    for mount in container.volumeMounts {
      let name = mount.name ?? ""
      guard let volume = volumes?.volumes[name] else {
        throw NodeError(
          .createContainerConfigError, "volume \"\(name)\" of container \(containerName) is not in the pod")
      }
      var subPath = mount.subPath ?? ""
      if let expression = mount.subPathExpr, !expression.isEmpty {
        var missing: String?
        subPath = Expansion.expand(expression) { variable in
          if values[variable] == nil { missing = variable }
          return values[variable]
        }
        if let missing {
          throw NodeError(
            .createContainerConfigError, "failed to prepare subPathExpr: variable \(missing) is not set")
        }
      }
      let held = try await resolve(subPath, in: volume)
      let propagation: ContainerMount.Propagation =
        switch mount.mountPropagation {
        case "HostToContainer": .hostToContainer
        case "Bidirectional": .bidirectional
        default: .none
        }
      result.append(
        ContainerMount(
          source: .bind(held?.label ?? volume.path), destination: mount.mountPath ?? "",
          readOnly: mount.readOnly == true || volume.isReadOnly, propagation: propagation, held: held,
          isRecursive: subPath.isEmpty))
    }
    // Outer mounts first, so that they do not hide inner ones.
    func depth(_ mount: ContainerMount) -> Int { mount.destination.split(separator: "/").count }
    return result.enumerated().sorted { (depth($0.element), $0.offset) < (depth($1.element), $1.offset) }.map(\.element)
  }

  /// What a mount is of, held by its descriptor, where somebody else names the path to it: a `hostPath`, a `subPath`.
  /// `nil` for a whole volume that the node made.
  private func resolve(
    _ subPath: String, in volume: PreparedVolume
  ) async throws(NodeError) -> ResolvedFile? {
    if volume.hostPathType == nil, subPath.isEmpty { return nil }
    let path = volume.path
    let type = volume.hostPathType
    do {
      return try await context.lanes.paths.run(uid, "open \(type == nil ? "" : "hostPath ")\(path)") {
        let root = try type.map { try HostPath.open(path, type: $0) } ?? ResolvedFile(path)
        return subPath.isEmpty ? root : try SubPath.open(subPath, in: root, isHostPath: type != nil)
      }
    } catch let error as NodeError {
      throw NodeError(.createContainerConfigError, error.message)
    } catch {
      throw NodeError(.createContainerConfigError, describe(error))
    }
  }

  // MARK: - End

  /// Begins the end of a container with its `preStop` hook. The plan sees to the stop signal and to the deadline.
  private func stop(_ id: String, of name: String, gracePeriodSeconds: Int64, message: String) {
    let hook = container(name)?.lifecycle?.preStop
    let begins = containers[name]?[id]?.stops(
      at: context.time.now(), gracePeriodSeconds: gracePeriodSeconds, hasHook: hook != nil)
    guard begins == true else { return }
    event(.normal, "Killing", message, container: name)
    guard let hook, containers[name]?[id]?.stop?.isHookDone == false else { return }
    addTask(of: id, name) { [self] in
      do {
        try await runHook(hook, of: name, id: id, timeout: .seconds(gracePeriodSeconds))
      } catch {
        await event(.warning, "FailedPreStopHook", "PreStopHook failed: \(describe(error))", container: name)
      }
      await preStopHookEnded(id, of: name)
    }
  }

  private func preStopHookEnded(_ id: String, of name: String) {
    containers[name]?[id]?.hookEnded()
    wake()
  }

  private func terminate(_ id: String) async {
    guard let name = name(ofRun: id), let signal = containers[name]?[id]?.terminates(at: context.time.now()) else {
      return
    }
    do {
      try await context.runtime.signal(id, signal)
    } catch {
      context.log.warning("stop signal not sent", metadata: ["container": "\(id)", "error": "\(error)"])
    }
  }

  private func kill(_ id: String) async {
    guard let name = name(ofRun: id), containers[name]?[id]?.kills(at: context.time.now()) == true else { return }
    do {
      try await context.runtime.signal(id, Signals.kill)
    } catch {
      // Sent again after a while, as long as the container runs.
      context.log.warning("kill failed", metadata: ["container": "\(id)", "error": "\(error)"])
    }
  }

  private func remove(_ id: String) async {
    guard let name = name(ofRun: id), let run = containers[name]?[id] else { return }
    do {
      if !run.isRemembered {
        try await context.runtime.removeContainer(id)
        await imageUnused(by: [id])
      }
      containers[name]?.removed(id)
      if run.status == .exited {
        let log = context.configuration.logPath(uid, container: name, attempt: run.attempt)
        try await context.lanes.logs.run(uid, "remove \(log)") {
          for path in [log, LogRotation.rotated(log)] { try Directory.removeTree(path) }
        }
      }
      release()
    } catch {
      holdOn(error, during: "remove container \(name)")
    }
  }

  /// Nothing is left on this machine but its folder: that goes, too, and then the API may forget the pod.
  private func finishPod() async {
    if intent == .delete { await flushStatus() }
    let folder = context.configuration.podDirectory(uid)
    do {
      try await context.lanes.records.run(uid, "remove \(folder)") { try Directory.removeTree(folder) }
    } catch {
      return holdOn(error, during: "remove the pod's folder")
    }
    if intent == .delete {
      do {
        _ = try await context.client.delete(
          Pod.resource, namespace: key.namespace, name: key.name,
          options: DeleteOptions(gracePeriodSeconds: 0, preconditionUID: uid))
      } catch let error as KubeError where error.reason == .notFound || error.reason == .conflict {
        // Gone already, or another pod has the name.
      } catch {
        if intent != .gone { return holdOn(error, during: "delete from the API") }
      }
    }
    finish()
  }

  // MARK: - Background work of a container

  func addTask(of id: String, _ name: String, _ body: @escaping @Sendable () async -> Void) {
    containers[name]?[id]?.tasks.append(Task { await body() })
  }
}
