import Containers
import KubeClient
import KubeTypes
import NIOCore
import Wire

extension Node {
  public func logs(
    _ container: ContainerReference, options: LogOptions, write: @escaping @Sendable (ByteBuffer) async throws -> Void
  ) async throws {
    let worker = try find(container)
    let name = try await worker.containerName(container)
    let attempt = try await worker.logAttempt(name, previous: options.previous)
    let path = configurationOfLogs.logPath(worker.uid, container: name, attempt: attempt)
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    var watch: FileWatcher.Token?
    var listener: Int?
    if options.follow {
      let folder = String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)])
      watch = context.files.watch(folder) { continuation.yield() }
      listener = await worker.listen { continuation.yield() }
    }
    let reader = LogReader(
      path: path, uid: worker.uid, lanes: context.lanes.logs, options: options, now: context.time.now()
    ) {
      await worker.isRunning(name, attempt: attempt)
    }
    let result: Result<Void, any Error>
    do {
      try await reader.run(changes: stream, write: write)
      result = .success(())
    } catch {
      result = .failure(error)
    }
    watch?.cancel()
    if let listener { await worker.stopListening(listener) }
    try result.get()
  }

  public func exec(
    _ container: ContainerReference, command: [String], options: TerminalOptions
  ) async throws -> any ProcessStream {
    let id = try await runningID(container)
    do {
      return try await context.runtime.exec(id, command: command, options: options)
    } catch {
      throw Self.translate(error)
    }
  }

  public func attach(_ container: ContainerReference, options: TerminalOptions) async throws -> any ProcessStream {
    let id = try await runningID(container)
    do {
      return try await context.runtime.attach(id, options: options)
    } catch {
      throw Self.translate(error)
    }
  }

  public func connect(namespace: String, pod: String, port: Int) async throws -> any ByteStream {
    let worker = try find(ContainerReference(namespace: namespace, pod: pod, container: ""))
    guard await worker.sandbox?.isReady == true else {
      throw KubeError(
        code: 400, reason: .badRequest, message: "unable to forward port because pod is not running: \(pod)")
    }
    do {
      return try await context.runtime.connect(podUID: worker.uid, port: port)
    } catch {
      throw Self.translate(error)
    }
  }

  // MARK: -

  private var configurationOfLogs: NodeConfiguration { context.configuration }

  private func find(_ container: ContainerReference) throws(KubeError) -> PodWorker {
    guard let worker = worker(namespace: container.namespace, pod: container.pod) else {
      throw KubeError(
        code: 404, reason: .notFound,
        message: "pod \"\(container.pod)\" not found in namespace \"\(container.namespace)\" on this node")
    }
    return worker
  }

  private func runningID(_ container: ContainerReference) async throws -> String {
    let worker = try find(container)
    let name = try await worker.containerName(container)
    guard let id = await worker.runningID(name) else {
      throw KubeError(code: 404, reason: .notFound, message: "container not found (\"\(name)\")")
    }
    return id
  }

  private static func translate(_ error: RuntimeError) -> KubeError {
    switch error.code {
    case .notFound: KubeError(code: 404, reason: .notFound, message: error.message)
    case .wrongState, .invalid, .unsupported: KubeError(code: 400, reason: .badRequest, message: error.message)
    case .timedOut: KubeError(code: 504, reason: .timeout, message: error.message)
    case .network, .engine, .system: KubeError(code: 500, reason: .internalError, message: error.message)
    }
  }
}

extension PodWorker {
  /// The container that is meant: the named one, or the pod's default or only one.
  func containerName(_ reference: ContainerReference) throws(KubeError) -> String {
    if reference.container.isEmpty {
      if let name = pod.metadata.annotations["kubectl.kubernetes.io/default-container"], container(name) != nil {
        return name
      }
      if pod.spec.containers.count == 1, let name = pod.spec.containers[0].name { return name }
      let names = allContainers.compactMap(\.container.name).joined(separator: " ")
      throw KubeError(
        code: 400, reason: .badRequest,
        message: "a container name must be specified for pod \(reference.pod), choose one of: [\(names)]")
    }
    guard container(reference.container) != nil else {
      throw KubeError(
        code: 400, reason: .badRequest,
        message: "container \(reference.container) is not valid for pod \(reference.pod)")
    }
    return reference.container
  }

  /// The attempt whose log is asked for.
  func logAttempt(_ name: String, previous: Bool) throws(KubeError) -> Int {
    guard let run = containers[name]?.shown else {
      if previous {
        throw KubeError(
          code: 400, reason: .badRequest,
          message: "previous terminated container \"\(name)\" in pod \"\(key.name)\" not found")
      }
      let failure = containers[name]?.failure
      let reason =
        failure?.reason.rawValue ?? (pod.spec.initContainers.isEmpty ? "ContainerCreating" : "PodInitializing")
      let isImage = failure?.isAboutImage == true
      throw KubeError(
        code: 400, reason: .badRequest,
        message: "container \"\(name)\" in pod \"\(key.name)\" is waiting to start: "
          + (isImage ? "trying and failing to pull image" : reason))
    }
    guard previous else { return run.attempt }
    // While a crash loop waits, the run that ended is also the one before the next.
    guard run.attempt > 0 else {
      throw KubeError(
        code: 400, reason: .badRequest,
        message: "previous terminated container \"\(name)\" in pod \"\(key.name)\" not found")
    }
    return run.attempt - 1
  }

  func isRunning(_ name: String, attempt: Int) -> Bool {
    containers[name]?.runs.contains { $0.attempt == attempt && $0.status != .exited } == true
  }

  func runningID(_ name: String) -> String? {
    containers[name]?.runs.last { $0.status == .running }?.id
  }
}
