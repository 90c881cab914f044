import Containers
import Content
import Distribution
import Glibc
import LinuxSystem
import Logging
import OCI
import Synchronization
import Wire

/// How images start while they are still being fetched.
public struct LazyPullPolicy: Sendable, Equatable {
  /// The program that serves layers (`LazyServer`), and its arguments.
  public var command: [String]
  /// The cgroup of those processes, from the root of the hierarchies.
  public var cgroup: String
  /// A smaller layer is pulled as a whole: it costs less than the way around.
  public var layerBytesMin: Int64 = 4 << 20
  /// How long a container waits for what it reads; then the read fails.
  public var readDeadline: Duration = .seconds(60)
  /// How long a layer's table of contents may take.
  public var startDeadline: Duration = .seconds(60)

  public init(command: [String], cgroup: String) {
    self.command = command
    self.cgroup = cgroup
  }
}

/// The images of this node that run while they are fetched: starts the processes that serve them, finds those of an
/// earlier server by their records, and tells when one died that containers may need.
final class LazyImages: Sendable {
  private struct Entry {
    var record: LazyRecord
    /// Its mounts were taken away: nobody needs the process any more.
    var isReleased = false
  }

  private struct State {
    /// By the folder of the record.
    var entries: [String: Entry] = [:]
    /// Those that were begun and broke off. They are pulled as a whole.
    var broken: Set<Digest> = []
    /// What ran of their images is not ended yet, as far as is known here: a few, one for each image at most.
    var deaths: [Death] = []
  }

  /// `nil`: nothing new is started so.
  private let policy: LazyPullPolicy?
  private let store: ImageStore
  private let folder: String
  private let mounts: String
  private let lanes: BlockingLanes
  private let time: any TimeSource
  private let log: Logger
  private let state = Mutex(State())

  /// A process that died before its time: what runs of its image has lost its files.
  struct Death: Sendable, Equatable {
    var image: Digest
    /// Of its folder, when that is still here: until `buried` another server finds it, too.
    var name: String?
  }

  private let dies = Announcer<Death>()
  private let starts: PullCoordinator<LazyStart, Void>

  /// Parts of layers become blobs by a second name, which needs one file system.
  static func folder(in store: String) -> String { "\(store)/lazy" }
  static func mounts(in runDirectory: String) -> String { "\(runDirectory)/lazy" }

  init(
    policy: LazyPullPolicy?, store: ImageStore, runDirectory: String, lanes: BlockingLanes,
    time: any TimeSource = SystemClock(), log: Logger
  ) {
    self.policy = policy
    self.store = store
    folder = Self.folder(in: store.root)
    mounts = Self.mounts(in: runDirectory)
    self.lanes = lanes
    self.time = time
    self.log = log
    starts = PullCoordinator(parallelMax: .max, time: time) { try await $0.images.begin($0) }
  }

  // MARK: Looking up

  /// Whether such a layer can be fetched while it is used.
  func isLazy(_ layer: Descriptor) -> Bool {
    guard let policy else { return false }
    return layer.tocDigest != nil && layer.size >= policy.layerBytesMin && layer.size <= LazyBlob.sizeMax
  }

  var isOn: Bool { policy != nil }

  func refused(_ reference: Reference, _ error: any Error) {
    log.notice(
      "an image is pulled as a whole, since its layers cannot be served",
      metadata: ["image": "\(reference)", "reason": "\(describe(error))"])
  }

  /// Whether the image began to run so and could not go on.
  func isBroken(_ image: Digest) -> Bool { state.withLock { $0.broken.contains(image) } }
  func mended(_ image: Digest) { state.withLock { _ = $0.broken.remove(image) } }

  /// The folders of the layers that are served now.
  func folders(of image: Digest) -> [Digest: String] {
    let record = state.withLock { state in
      state.entries.values.first { $0.record.image == image && !$0.isReleased }?.record
    }
    return record?.folders ?? [:]
  }

  /// Whether folders of layers, as `folders(of:)` gave them, still have somebody who serves them.
  func serves(_ folders: [String]) -> Bool {
    if folders.isEmpty { return true }
    let served = state.withLock { state in Set(state.entries.values.flatMap(\.record.folders.values)) }
    return folders.allSatisfy { served.contains($0) }
  }

  /// Whether the image can be run: what of it is not in the store is served.
  func isComplete(_ image: Image) throws(OCIError) -> Bool {
    let missing = try store.missingLayers(of: image)
    if missing.isEmpty { return true }
    let folders = folders(of: image.digest)
    return missing.allSatisfy { folders[$0.digest] != nil }
  }

  // MARK: Starting

  /// Serves layers; returns when they are mounted. Asked for twice at the same time, by two names of an image, it is
  /// done once.
  /// - Throws: when that cannot be done: the layers have to be pulled.
  func start(
    _ image: Image, _ layers: [Image.Layer], from reference: Reference, credentials: Credentials?
  ) async throws {
    _ = try await starts.pull(
      LazyStart(images: self, image: image, layers: layers, reference: reference, credentials: credentials))
  }

  fileprivate func begin(_ start: LazyStart) async throws {
    guard let policy, let program = policy.command.first else { return }
    let image = start.image.digest
    let served = folders(of: image)
    if start.layers.allSatisfy({ served[$0.digest] != nil }) { return }
    var wanted: [LazyOrder.Layer] = []
    for layer in start.layers where !wanted.contains(where: { $0.digest == layer.digest }) {
      guard let toc = layer.tocDigest else { throw NodeError(.errImagePull, "layer \(layer.digest) is no eStargz") }
      wanted.append(LazyOrder.Layer(digest: layer.digest, size: layer.size, tocDigest: toc))
    }
    // A name of its own: an earlier process of this image may still be needed.
    let name = "\(image.hex.prefix(16))-\(String(UInt32.random(in: .min ... .max), radix: 16))"
    let order = LazyOrder(
      image: image, registry: start.reference.registry, repository: start.reference.repository,
      credentials: start.credentials, store: store.root, folder: "\(folder)/\(name)", mounts: "\(mounts)/\(name)",
      deadline: policy.readDeadline, layers: wanted)
    var child: ProcessHandle?
    do {
      try await lanes.run(nil, "make \(order.folder)") { [mounts] in
        try Directory.create(order.folder, mode: 0o700)
        // Who mounts the overlays is root: nobody else has to see the layers here.
        try Directory.create(mounts, mode: 0o700)
        guard chmod(mounts, 0o700) == 0 else { throw SystemError.last("chmod \(mounts)") }
        try Directory.create(order.mounts, mode: 0o700)
      }
      let (process, input, output) = try Self.spawn(program, policy)
      child = process
      defer {
        input.close()
        output.close()
      }
      let deadline = ContinuousClock.now + policy.startDeadline
      try await input.write(order.json.serialized(), deadline: deadline)
      input.close()
      var answer: [UInt8] = []
      while answer.last != 0x0A, answer.count < 64 << 10 {
        let part = try await output.read(deadline: deadline)
        if part.isEmpty { break }
        answer += part
      }
      let json = try? JSON.parse(answer)
      guard json?["ready"]?.bool == true, let record = LazyRecord.read(order.folder) else {
        throw NodeError(.errImagePull, json?["error"]?.string ?? "the process that serves its layers ended")
      }
      // Whoever asked may have gone while the answer came.
      try Task.checkCancellation()
      state.withLock { $0.entries[order.folder] = Entry(record: record) }
    } catch {
      // When this task was cancelled nothing in it waits any more.
      await Task { [child] in
        child?.signal(SIGKILL)
        if let child, await child.wait(deadline: .now + .seconds(5)) == nil { Task { _ = await child.wait() } }
        await cleanUp(name)
      }.value
      throw error
    }
    Task { [weak self, child, time] in
      // It is our child: somebody has to take its end. `nil` is no end: there was no descriptor to wait with.
      while await child?.wait() == nil { try? await time.sleep(for: .seconds(1)) }
      await self?.ended(order.folder)
    }
  }

  private static func spawn(
    _ program: String, _ policy: LazyPullPolicy
  ) throws(SystemError) -> (ProcessHandle, input: AsyncDescriptor, output: AsyncDescriptor) {
    // Proxies are the environment's, as for the server itself.
    var environment = Subprocess.defaultEnvironment
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"] {
      environment[name] = getenv(name).map { String(cString: $0) }
    }
    let input = try Pipe()
    let writer = try AsyncDescriptor(owning: input.writeEnd)
    defer { close(input.readEnd) }
    let output = try Pipe()
    let reader = try AsyncDescriptor(owning: output.readEnd)
    defer { close(output.writeEnd) }
    let process = try Subprocess.spawn(
      program, Array(policy.command.dropFirst()), environment: environment,
      descriptors: [.init(from: input.readEnd, to: 0), .init(from: output.writeEnd, to: 1)], newSession: true)
    // Not the server's: a service manager that ends the server leaves it alone.
    if let layout = try? CgroupLayout.current() { try? Cgroup(layout, path: policy.cgroup).adopt(process.pid) }
    return (process, writer, reader)
  }

  // MARK: Ending

  /// No container uses the image any more. What was fetched in part goes.
  func release(_ image: Digest) {
    let records = state.withLock { state in
      var records: [LazyRecord] = []
      for (folder, entry) in state.entries where entry.record.image == image {
        state.entries[folder]?.isReleased = true
        records.append(entry.record)
      }
      return records
    }
    for record in records {
      for path in record.layers.values {
        do throws(SystemError) { try Mount.unmount(path, detach: true) } catch {
          log.warning("a lazy layer stays mounted", metadata: ["path": "\(path)", "error": "\(error)"])
        }
      }
    }
  }

  private func ended(_ folder: String) async {
    guard let entry = state.withLock({ $0.entries.removeValue(forKey: folder) }) else { return }
    // A process that ends because nobody needs it takes its record with it.
    let isClean = access(folder, F_OK) != 0
    guard !isClean else { return }
    let name = String(folder.dropFirst(self.folder.count + 1))
    if entry.isReleased { await cleanUp(name) } else { broke(entry.record.image, name) }
  }

  private func broke(_ image: Digest, _ name: String?) {
    log.warning("the process that served an image's layers died", metadata: ["image": "\(image)"])
    let death = Death(image: image, name: name)
    state.withLock { state in
      state.broken.insert(image)
      if !state.deaths.contains(death) { state.deaths.append(death) }
    }
    dies.tell(death)
  }

  /// The deaths after which nobody has ended yet what ran of the image, and those to come.
  func deaths() -> AsyncStream<Death> {
    dies.listen { state.withLock { $0.deaths } }
  }

  /// What ran of the image was ended.
  func buried(_ death: Death) async {
    state.withLock { state in state.deaths.removeAll { $0 == death } }
    if let name = death.name { await cleanUp(name) }
  }

  private func cleanUp(_ name: String) async {
    let (folder, mounts) = ("\(folder)/\(name)", "\(mounts)/\(name)")
    do {
      try await lanes.run(nil, "remove \(folder)") {
        try Mount.unmountTree(mounts)
        try Directory.removeTree(mounts)
        try Directory.removeTree(folder)
      }
    } catch {
      log.warning("left of a lazy image", metadata: ["folder": "\(folder)", "error": "\(error)"])
    }
  }

  // MARK: Earlier servers

  /// Takes up what runs, and cleans up what does not run any more.
  /// - Parameters:
  ///   - used: the images of the containers that are here.
  ///   - lazy: those of them that began to run while they were fetched, and have not ended.
  func adopt(used: Set<Digest>, lazy: Set<Digest> = []) async {
    var dead: Set<Digest> = []
    let names: [String]
    do {
      names = try await lanes.run(nil, "list \(folder)") { [folder] in
        access(folder, F_OK) == 0 ? try Directory.list(folder) : []
      }
    } catch {
      // Nothing is known of what runs: nothing is ended.
      return log.warning("lazy images are not found again", metadata: ["folder": "\(folder)", "error": "\(error)"])
    }
    for name in names {
      let path = "\(folder)/\(name)"
      let record = try? await lanes.run(nil, "read \(path)") { LazyRecord.read(path) }
      if let record, let process = ProcessWatch.open(pid: record.process.pid, startTime: record.process.startTime) {
        guard record.isReady else {
          // Its server is gone, and it was told to nobody else.
          try? ProcessWatch.signal(process, SIGKILL)
          try? await process.ready(.readable, .now + .seconds(10))
          await cleanUp(name)
          continue
        }
        state.withLock { $0.entries[path] = Entry(record: record) }
        Task { [weak self, time] in
          while (try? await process.ready(.readable)) == nil { try? await time.sleep(for: .seconds(1)) }
          await self?.ended(path)
        }
        // It was begun for a container that was never made.
        if !used.contains(record.image) { release(record.image) }
      } else if let record, record.isReady {
        dead.insert(record.image)
        broke(record.image, name)
      } else {
        await cleanUp(name)
      }
    }
    let served = state.withLock { state in Set(state.entries.values.map(\.record.image)) }
    for image in lazy.subtracting(served).subtracting(dead) { broke(image, nil) }
  }

  /// Ends all such processes and takes their mounts away, for a purge.
  static func removeAll(store: String, runDirectory: String) async throws {
    let folder = Self.folder(in: store)
    let records =
      (try? await DedicatedThread.run { () throws(SystemError) in
        try Directory.list(folder).compactMap { LazyRecord.read("\(folder)/\($0)") }
      }) ?? []
    for record in records {
      guard let process = ProcessWatch.open(pid: record.process.pid, startTime: record.process.startTime) else {
        continue
      }
      try? ProcessWatch.signal(process, SIGKILL)
      try await process.ready(.readable, .now + .seconds(10))
    }
    let mounts = Self.mounts(in: runDirectory)
    try await DedicatedThread.run { () throws(SystemError) in try Mount.unmountTree(mounts) }
  }
}

/// What is started once for an image, whoever asks. Each has pulled the manifest with the own rights before.
private struct LazyStart: Sendable, Hashable {
  var images: LazyImages
  var image: Image
  var layers: [Image.Layer]
  var reference: Reference
  var credentials: Credentials?

  static func == (left: Self, right: Self) -> Bool { left.image.digest == right.image.digest }
  func hash(into hasher: inout Hasher) { hasher.combine(image.digest) }
}
