import Containers
import Content
import ControllerKit
import Distribution
import Glibc
import KubeClient
import KubeTypes
import LinuxSystem
import Logging
import NIOPosix
import OCI
import Schema
import Synchronization
import Wire

/// Where the composition root also sees `KubeTypes.Node`, this name is not ambiguous.
public typealias NodeAgent = Node

/// Runs the pods that are bound to this node: kubelet's part of Kubernetes.
///
/// It registers the Node, watches its pods, and has one `PodWorker` for each. When its task is cancelled the containers
/// go on running, and the next `Node` on the same data directory takes them over as they are.
public final class Node: ControllerKit.Service, NodeStreams {
  let context: NodeContext
  private let configuration: NodeConfiguration
  private let client: any KubeClient
  private let runtime: any ContainerRuntime
  private let catalog: ImageCatalog
  /// The images of the program's own store.
  private let stored: ImageProvider
  private let time: any TimeSource
  private let seed: UInt64
  private let log = Logger(label: "apus.node")
  private let services: ServiceList
  private let files = FileWatcher()
  private let builder: NodeStatusBuilder

  private struct State {
    /// By uid.
    var workers: [String: PodWorker] = [:]
    /// The newest worker of each name.
    var uidByKey: [ObjectKey: String] = [:]
    /// Which pods count against the node's capacity.
    var admission: PodAdmission
    /// Containers and sandboxes that the runtime had when the node started and that no worker took over yet.
    var found: [String: Found] = [:]
    var life: Life?
  }

  private struct Found {
    var containers: [ContainerState] = []
    var sandbox: Sandbox?

    /// A container ended before its worker was there.
    mutating func ended(_ event: RuntimeEvent) {
      guard let index = containers.firstIndex(where: { $0.id == event.containerID }) else { return }
      containers[index].status = .exited
      containers[index].exitCode = event.exitCode
      containers[index].finishedAt = event.finishedAt
      containers[index].oomKilled = event.oomKilled
      containers[index].isLost = event.isLost
    }
  }

  /// What belongs to one run: a node that failed runs again, and informers and streams that have ended do not.
  private struct Life: Sendable {
    let pods: Informer
    /// Those to run, in order.
    let newWorkers: AsyncStream<PodWorker>.Continuation
  }

  /// The services of the present run.
  private final class ServiceList: Sendable {
    let informer = Mutex<Informer?>(nil)

    func list(namespace: String) -> [Object] { informer.withLock { $0 }?.list(namespace: namespace) ?? [] }
  }

  private let state: Mutex<State>

  private enum Change: Sendable {
    case pod(old: Object?, new: Object?)
    /// The informer has seen everything: what is not among it is gone.
    case synced
  }

  /// - Parameters:
  ///   - client: with the rights of a kubelet.
  ///   - images: where pulled images go, and where those that run are pinned.
  ///   - registry: asked for images that are not in the store; `nil` for none.
  ///   - time: the node's clock.
  ///   - seed: of the jitter of retries.
  public convenience init(
    configuration: NodeConfiguration, client: any KubeClient, runtime: any ContainerRuntime, images: ImageStore,
    registry: RegistryClient? = nil, time: any TimeSource, seed: UInt64
  ) {
    self.init(
      configuration: configuration, client: client, runtime: runtime, images: images,
      puller: registry.map { RegistryPuller(client: $0, content: images.content) },
      pins: images.content.pinSet("node/\(configuration.name)"), time: time, seed: seed)
  }

  /// - Parameters:
  ///   - runtime: with images of its own.
  ///   - images: the program's store, from which nothing runs.
  ///   - time: the node's clock.
  ///   - seed: of the jitter of retries.
  public convenience init(
    configuration: NodeConfiguration, client: any KubeClient, runtime: CRIRuntime, images: ImageStore,
    time: any TimeSource, seed: UInt64
  ) {
    self.init(
      configuration: configuration, client: client, runtime: runtime, images: images, puller: nil,
      pins: images.content.pinSet("node/\(configuration.name)"), time: time, seed: seed
    ) { CRIImages(client: runtime.client, credentials: $0, parallelPullsMax: $1, time: time) }
  }

  /// - Parameter runtimeImages: makes what finds the runtime's own images; `nil` for those of the store.
  init(
    configuration: NodeConfiguration, client: any KubeClient, runtime: any ContainerRuntime, images store: ImageStore,
    puller: (any ImagePuller)?, pins: any ImagePins, time: any TimeSource, seed: UInt64,
    runtimeImages: ((_ credentials: PullCredentials, _ parallelPullsMax: Int) -> any NodeImages)? = nil
  ) {
    self.configuration = configuration
    self.client = client
    self.runtime = runtime
    let catalog = ImageCatalog(store: store)
    self.catalog = catalog
    self.time = time
    self.seed = seed
    services = ServiceList()
    let facts = MachineFacts.read(dataDirectory: configuration.dataDirectory)
    builder = NodeStatusBuilder(configuration: configuration, facts: facts)
    let capacity = builder.capacity
    state = Mutex(State(admission: PodAdmission(capacity: capacity)))
    let references = ReferenceStore(client: client, time: time)
    let allServices = services
    let lanes = NodeLanes(pathDeadline: configuration.pathDeadline, log: log)
    let lazy = LazyImages(
      policy: configuration.lazyPull, store: store, runDirectory: configuration.runDirectory, lanes: lanes.images,
      time: time, log: log)
    let uses = ImageUses(
      pins: pins, lanes: lanes.images, path: configuration.pulledImagesPath, time: time, log: log
    ) { lazy.release($0) }
    let stored = ImageProvider(
      catalog: catalog, puller: puller, uses: uses, lazy: lazy, lanes: lanes.images,
      credentialsPath: configuration.imageCredentialsPath, parallelPullsMax: configuration.parallelImagePullsMax,
      time: time)
    self.stored = stored
    let credentials = PullCredentials(path: configuration.imageCredentialsPath, lanes: lanes.images)
    context = NodeContext(
      configuration: configuration, client: client, runtime: runtime,
      images: runtimeImages?(credentials, configuration.parallelImagePullsMax) ?? stored, time: time,
      events: EventRecorder(client: client, component: "kubelet", host: configuration.name, time: time),
      volumes: VolumeManager(
        VolumeContext(
          configuration: configuration, client: client, references: references, time: time, lanes: lanes,
          allocatable: { capacity },
          mounts: VolumeMounts(
            configuration: configuration, drivers: [], lanes: lanes, time: time, bootID: facts.bootID, log: log))),
      references: references, files: files, lanes: lanes,
      specs: ContainerSpecBuilder(configuration: configuration, nodeMemory: facts.memory),
      services: { namespace in allServices.list(namespace: namespace).compactMap(Self.entry) },
      allocatable: { capacity }, log: log)
  }

  private static func entry(_ object: Object) -> ServiceVariables.Entry? {
    let service = object.decode(KubeTypes.Service.self)
    guard let ip = service.spec.clusterIP, !ip.isEmpty, ip != "None" else { return nil }
    return ServiceVariables.Entry(
      name: object.header.name, clusterIP: ip,
      ports: service.spec.ports.map {
        .init(name: $0.name ?? "", port: Int($0.port ?? 0), transport: $0.`protocol` ?? "TCP")
      })
  }

  // MARK: - Life

  /// Until the task is cancelled. Throws when the runtime cannot say what runs here: acting without knowing could start
  /// a second copy of something that runs. It may run again then, as a new server would: with what is there.
  public func run() async throws {
    let pods = Informer(
      client: client, resource: Pod.resource, fieldSelector: "spec.nodeName=\(configuration.name)", time: time)
    let services = Informer(client: client, resource: KubeTypes.Service.resource, time: time)
    let (changes, changed) = AsyncStream<Change>.makeStream()
    let (newWorkers, added) = AsyncStream<PodWorker>.makeStream()
    pods.onChange { old, new in changed.yield(.pod(old: old, new: new)) }
    self.services.informer.withLock { $0 = services }
    state.withLock { state in
      state = State(
        admission: PodAdmission(capacity: builder.capacity),
        life: Life(pods: pods, newWorkers: added))
    }
    let (folder, podFolders) = (configuration.dataDirectory, configuration.podsDirectory)
    try await context.lanes.records.run(nil, "make \(folder)") {
      // What pods write is for nobody else of this machine.
      try Directory.createPrivate(folder)
      try Directory.create(podFolders, mode: 0o700)
    }
    do {
      try await files.start(on: MultiThreadedEventLoopGroup.singleton.any())
    } catch {
      log.warning(
        "changes of files are not watched: logs -f and image imports react late", metadata: ["error": "\(error)"])
    }
    let result: Result<Void, any Error>
    do {
      try await adopt()
      try await serve(pods, services, changes, changed, newWorkers)
      result = .success(())
    } catch {
      result = .failure(error)
    }
    await files.stop()
    context.references.stop()
    try result.get()
  }

  private func serve(
    _ pods: Informer, _ services: Informer, _ changes: AsyncStream<Change>, _ changed: AsyncStream<Change>.Continuation,
    _ newWorkers: AsyncStream<PodWorker>
  ) async throws {
    // Many changes at once are looked at once.
    let (imageChanges, imagesChanged) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let imagesWatch = files.watch(catalog.store.changesFolder) { imagesChanged.yield() }
    defer { imagesWatch?.cancel() }

    try await withThrowingDiscardingTaskGroup { group in
      group.addTask { await self.run(newWorkers) }
      group.addTask { await self.followRuntime() }
      group.addTask { await self.followImages(imageChanges) }
      group.addTask { await self.followLazyImages() }
      group.addTask { try await self.imageCollector().run() }
      group.addTask { [context] in
        try await LogRotation(
          runtime: context.runtime, lanes: context.lanes.logs, time: context.time, log: context.log
        ).run()
      }
      group.addTask { try await pods.run() }
      group.addTask { try await services.run() }
      group.addTask {
        try await pods.waitUntilSynced()
        changed.yield(.synced)
      }
      group.addTask {
        try await pods.waitUntilSynced()
        await self.removeOrphanFolders(pods)
      }
      group.addTask { await self.follow(changes) }
      group.addTask { [context] in await context.volumes.run() }
      group.addTask { try await self.registration().run() }
    }
  }

  private var subject: EventSubject {
    EventSubject(kind: "Node", apiVersion: "v1", namespace: "", name: configuration.name, uid: configuration.name)
  }

  private func registration() -> NodeRegistration {
    NodeRegistration(
      builder: builder, client: client, images: context.images, lanes: context.lanes.records, time: time, log: log,
      registered: { [context, subject] in
        context.events.record(.normal, regarding: subject, reason: "NodeReady", message: "Node is ready")
      }, random: SeededRandom(seed: seed))
  }

  private func run(_ newWorkers: AsyncStream<PodWorker>) async {
    await withDiscardingTaskGroup { group in
      for await worker in newWorkers {
        group.addTask {
          await worker.run()
          if await worker.isOver, !Task.isCancelled { self.forget(worker) }
        }
      }
      group.cancelAll()
    }
  }

  /// Learns what runs here, and starts workers for the pods that are recorded on disk: they run on, and are restarted,
  /// also while the API is away.
  private func adopt() async throws {
    var found: [String: Found] = [:]
    for container in try await runtime.containers() {
      found[container.podUID, default: Found()].containers.append(container)
    }
    for sandbox in try await runtime.sandboxes() { found[sandbox.podUID, default: Found()].sandbox = sandbox }
    try await context.images.adopt(found.values.flatMap(\.containers))
    let configuration = configuration
    let records = try await context.lanes.records.run(nil, "read the records of pods") {
      PodRecord.readAll(configuration)
    }
    state.withLock { $0.found = found }
    // A record tells what a pod is, the API what was last said of it: that a container is ready must not be taken back
    // only because the server was away.
    let current = records.isEmpty ? [:] : await currentPods(within: .seconds(3))
    for record in records { _ = add(record.metadata.uid.flatMap { current[$0] } ?? record) }
    if !records.isEmpty || !found.isEmpty {
      log.info(
        "found pods from before",
        metadata: [
          "records": "\(records.count)",
          "running": "\(found.values.reduce(0) { $0 + $1.containers.count { $0.status == .running } })",
        ])
    }
  }

  /// What runs on files that nobody serves any more reads errors or stale pages: it is ended, and started again by its
  /// restart policy, on the image as a whole.
  private func followLazyImages() async {
    await withDiscardingTaskGroup { group in
      for await death in stored.lazy.deaths() {
        group.addTask { [stored] in
          // The record last: a server that is killed before leaves it to the next one.
          if await self.endContainers(of: death.image) { await stored.lazy.buried(death) }
        }
      }
    }
  }

  /// - Returns: whether all are ended; `false` only when the server ends before.
  private func endContainers(of image: Digest) async -> Bool {
    var pause = Duration.milliseconds(250)
    while true {
      var failure: (any Error)?
      do {
        for container in try await runtime.containers() {
          // One that is only created would start without its files.
          guard container.status != .exited,
            container.labels[ContainerSpecBuilder.lazyImageLabel] == image.description
          else { continue }
          log.warning(
            "a container is ended whose image was not fetched to the end",
            metadata: ["pod": "\(container.podNamespace)/\(container.podName)", "container": "\(container.name)"])
          do { try await runtime.signal(container.id, SIGKILL) } catch { failure = error }
        }
      } catch {
        failure = error
      }
      guard let failure else { return true }
      log.warning(
        "the containers of an image that is not fetched any more are not ended, trying again",
        metadata: ["image": "\(image)", "error": "\(describe(failure))"])
      do { try await time.sleep(for: pause) } catch { return false }
      pause = min(pause * 2, .seconds(30))
    }
  }

  /// Ends the processes that serve images while they are fetched, and takes their mounts away, for a purge.
  public static func removeLazyImages(store: String, runDirectory: String) async throws {
    try await LazyImages.removeAll(store: store, runDirectory: runDirectory)
  }

  /// The node's pods by uid as the API has them; empty when it does not answer in time.
  private func currentPods(within deadline: Duration) async -> [String: Pod] {
    await withTaskGroup(of: [String: Pod].self) { [client, configuration, time] group in
      group.addTask {
        let options = ListOptions(fieldSelector: "spec.nodeName=\(configuration.name)")
        let pods = (try? await client.list(Pod.resource, namespace: nil, options: options))?.items ?? []
        return Dictionary(pods.map { ($0.header.uid, $0.decode(Pod.self)) }) { first, _ in first }
      }
      group.addTask {
        try? await time.sleep(for: deadline)
        return [:]
      }
      defer { group.cancelAll() }
      return await group.next() ?? [:]
    }
  }

  /// Makes the worker of a pod that has none.
  /// - Parameter mayReject: the pod is new, and fails when there is no room for it.
  private func add(_ pod: Pod, mayReject: Bool = false) -> PodWorker {
    let uid = pod.metadata.uid ?? ""
    let key = ObjectKey(namespace: pod.metadata.namespace ?? "", name: pod.metadata.name ?? "")
    let worker = state.withLock { state in
      if let worker = state.workers[uid] { return worker }
      guard let life = state.life else { preconditionFailure("a pod comes to a node that never ran") }
      // A pod that the API has deleted makes room at once, as the scheduler counts; its worker may still be at its end.
      let isCurrent = { (key: ObjectKey, uid: String) in life.pods.get(key)?.header.uid == uid }
      let found = state.found.removeValue(forKey: uid)
      let rejection = found == nil && mayReject ? state.admission.check(pod, isCurrent: isCurrent) : nil
      if rejection == nil { state.admission.add(pod) }
      let predecessor = state.uidByKey[key].flatMap { state.workers[$0] }
      var hash = seed
      for byte in uid.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
      let worker = PodWorker(
        context: context, pod: pod, containers: found?.containers ?? [], sandbox: found?.sandbox,
        predecessor: predecessor, rejection: rejection, seed: hash)
      state.workers[uid] = worker
      state.uidByKey[key] = uid
      life.newWorkers.yield(worker)
      return worker
    }
    return worker
  }

  private func forget(_ worker: PodWorker) {
    state.withLock { state in
      state.workers[worker.uid] = nil
      if state.uidByKey[worker.key] == worker.uid { state.uidByKey[worker.key] = nil }
      state.admission.remove(worker.uid)
    }
  }

  // MARK: - What happens

  private func follow(_ changes: AsyncStream<Change>) async {
    for await change in changes {
      switch change {
      case .pod(let old, let new):
        if let new {
          let pod = new.decode(Pod.self)
          let worker = state.withLock { state in
            state.admission.update(pod)
            return state.workers[new.header.uid]
          }
          if let worker {
            await worker.update(pod)
          } else {
            _ = add(pod, mayReject: true)
          }
        } else if let old {
          await state.withLock({ $0.workers[old.header.uid] })?.gone()
        }
      case .synced: await removeOrphans()
      }
    }
  }

  /// Ends what the API no longer knows. Called only after a complete list: an API that is away says nothing about pods.
  private func removeOrphans() async {
    let (life, workers, found) = state.withLock { ($0.life, Array($0.workers.values), $0.found) }
    guard let life else { return }
    let known = Set(life.pods.list().map(\.header.uid))
    for worker in workers where !known.contains(worker.uid) { await worker.gone() }
    for (uid, found) in found where !known.contains(uid) {
      guard let pod = Self.pod(of: found, uid: uid) else { continue }
      await add(pod).gone()
    }
  }

  /// Removes the folders and volumes of pods that nothing else tells of, neither the API nor the runtime nor a copy that can
  /// be read: a server that was killed while it removed one may have left them.
  private func removeOrphanFolders(_ pods: Informer) async {
    let uids: Set<String>
    do { uids = try await context.volumes.pods() } catch {
      return log.warning("folders of pods are not looked for", metadata: ["error": "\(describe(error))"])
    }
    // Looked at after the folders: a pod whose folder is there by now was known before.
    let known = state.withLock { Set($0.workers.keys).union($0.found.keys) }.union(pods.list().map(\.header.uid))
    await withDiscardingTaskGroup { group in
      for uid in uids.subtracting(known) {
        group.addTask { [context] in
          let folder = context.configuration.podDirectory(uid)
          do {
            guard try await context.lanes.records.run(uid, "look into \(folder)", { try Self.isOfAPod(folder) }) else {
              return context.log.notice(
                "a folder among those of pods is not one of a pod", metadata: ["folder": "\(folder)"])
            }
            try await context.volumes.remove(uid)
            try await context.lanes.records.run(uid, "remove \(folder)") { try Directory.removeTree(folder) }
            context.log.notice("removed what was left of a pod that nobody knows", metadata: ["uid": "\(uid)"])
          } catch {
            context.log.warning(
              "the folder of a pod that nobody knows stays until the next start",
              metadata: ["folder": "\(folder)", "error": "\(describe(error))"])
          }
        }
      }
    }
  }

  /// Whether a folder holds nothing but what the node keeps of a pod, or is not there: somebody else's is not removed. Blocks.
  private static func isOfAPod(_ folder: String) throws -> Bool {
    var status = stat()
    if lstat(folder, &status) != 0, errno == ENOENT { return true }
    guard status.st_mode & S_IFMT == S_IFDIR, !folder.hasSuffix("/lost+found") else { return false }
    return try Directory.list(folder).allSatisfy { name in
      name.hasPrefix("pod.json") || ["volumes", "volume-subpaths", "mounts", "logs"].contains(name)
    }
  }

  /// Enough of a pod to end what is left of it.
  private static func pod(of found: Found, uid: String) -> Pod? {
    guard let name = found.containers.first?.podName ?? found.sandbox?.name,
      let namespace = found.containers.first?.podNamespace ?? found.sandbox?.namespace
    else { return nil }
    let names = Set(found.containers.map(\.name)).sorted()
    return Pod(json: [
      "apiVersion": "v1", "kind": "Pod",
      "metadata": ["name": .string(name), "namespace": .string(namespace), "uid": .string(uid)],
      "spec": ["containers": .array(names.map { ["name": .string($0)] })],
    ])
  }

  private func followRuntime() async {
    for await event in runtime.events() {
      let worker = state.withLock { state -> PodWorker? in
        if let worker = state.workers[event.podUID] { return worker }
        // The one that is to come takes over what was found.
        state.found[event.podUID]?.ended(event)
        return nil
      }
      await worker?.containerExited(event)
    }
  }

  private func followImages(_ changes: AsyncStream<Void>) async {
    for await _ in changes {
      let workers = state.withLock { Array($0.workers.values) }
      for worker in workers { await worker.imagesChanged() }
    }
  }

  private func imageCollector() -> ImageCollector {
    let folder = catalog.store.root
    return ImageCollector(
      catalog: catalog, uses: stored.uses, lanes: context.lanes.collection,
      policy: configuration.imageCollection, time: time, log: log,
      usage: { FileSystemUsage(path: folder) },
      failed: { [context, subject] message in
        context.events.record(.warning, regarding: subject, reason: "FreeDiskSpaceFailed", message: message)
      })
  }

  /// The worker of a pod by name.
  func worker(namespace: String, pod: String) -> PodWorker? {
    state.withLock { state in
      state.uidByKey[ObjectKey(namespace: namespace, name: pod)].flatMap { state.workers[$0] }
    }
  }
}
