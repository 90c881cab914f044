import Containers
import Glibc
import Layers
import LinuxSystem
import OCI
import Synchronization
import Wire

/// Runs the process of one `RUN` in a container of its own and makes a layer of what it changed.
struct RunExecutor: Sendable {
  let session: BuildSession
  let step: RunStep
  /// As a person knows it, for errors.
  let title: String
  let platform: Platform

  struct Outcome: Sendable {
    /// `nil` when nothing was changed.
    var layer: Image.Layer?
    /// The step's committed snapshot: the layer, unpacked.
    var folder: String?
    var cacheMounts: [String: String] = [:]
  }

  private struct Paths: Sendable {
    /// Of the snapshot, whose folder is the step's.
    var key: String
    var root: String
    /// On a tmpfs: what is in it never comes to the disk, and goes with the mount.
    var bundle: String
  }

  /// - Parameter layers: what is underneath.
  func run(on layers: [Image.Layer], vertex: ProgressVertex) async throws(BuildError) -> Outcome {
    try checkPlatform()
    let lower = try await session.folders(layers)
    let (folder, number) = try await blocking { [session] () throws(BuildError) in try session.folder.newFolder() }
    let (key, bundle) = (String(number), "\(folder)/bundle")
    var mounts = MountPreparer(session: session, folder: folder, bundle: bundle)
    var opened: StepNetwork?
    do throws(BuildError) {
      let root = try await blocking { [session] () throws(BuildError) in
        try Self.makeRoot(session.folder.snapshots, key, on: lower, bundle: bundle)
      }
      let paths = Paths(key: key, root: root, bundle: bundle)
      // It comes up while the rest is made ready.
      if step.network == .default { opened = try await StepNetwork.start(in: folder, bundle: bundle) }
      let network = opened
      let lowerTree = try await blocking { () throws(BuildError) in
        try stored { () throws(OCIError) in try LowerTree(lower) }
      }
      let user = try await blocking { [step] () throws(BuildError) in
        try ImageUsers(lowerTree).process(step.user)
      }
      try await mounts.prepare(step)
      let prepared = mounts
      if !prepared.hasNameServer {
        vertex.status(
          "warning: no names can be looked up: \(session.configuration.resolverConfiguration) has no name server with an "
            + "IPv4 address, and the step's network is IPv4 only; --network=host uses the machine's")
      }
      let targets =
        OCIConfiguration.systemFolders.map { (path: $0, isFolder: true) }
        + prepared.mounts.map { (path: $0.mount.destination, isFolder: $0.isFolder) }
      let stubs = try await blocking { () throws(BuildError) in try MountStubs(root: root, targets: targets)
      }
      let configuration = try await configure(
        paths, user: user, number: number, mounts: prepared, network: network?.path)
      try await network?.waitUntilReady()
      try await start(configuration, paths, number: number, vertex: vertex)
      mounts.release()
      async let closed: Void = Self.end(network)
      var outcome = try await finish(paths, lowerTree: lowerTree, stubs: stubs)
      outcome.cacheMounts = prepared.cacheMounts
      await closed
      return outcome
    } catch {
      let cleanup = session.folder
      await withoutCancellation { await cleanup.killStep(number) }
      // Not before: what still ran could write to a cache that another step has.
      mounts.release()
      await opened?.end()
      let own = mounts.snapshots
      try? await blocking { () throws(BuildError) in
        try? Mount.unmountTree(folder)
        for key in [key] + own { try? cleanup.snapshots.remove(key) }
      }
      throw error
    }
  }

  private static func end(_ network: StepNetwork?) async { await network?.end() }

  private func checkPlatform() throws(BuildError) {
    guard Platform.host.rank(of: platform) == nil else { return }
    // 32-bit programs run on a 64-bit processor of the same family.
    if Platform.host.architecture == "amd64", platform.architecture == "386" { return }
    let emulators = [
      "arm64": "aarch64", "amd64": "x86_64", "arm": "arm", "386": "i386", "ppc64le": "ppc64le", "s390x": "s390x",
      "riscv64": "riscv64", "mips64le": "mips64el", "loong64": "loongarch64",
    ]
    let name = emulators[platform.architecture] ?? platform.architecture
    let registered = try? DurableFile.read("/proc/sys/fs/binfmt_misc/qemu-\(name)", limit: 4096)
    let lines = String(decoding: registered ?? [], as: UTF8.self).split(separator: "\n")
    if lines.first == "enabled", lines.contains(where: { $0.hasPrefix("flags:") && $0.contains("F") }) { return }
    throw BuildError(
      .unsupported,
      "RUN for \(platform) cannot be run on \(Platform.host): the kernel has no emulator for it (binfmt_misc, "
        + "\"qemu-\(name)\" with the flag F); install qemu-user-static, or build this stage with "
        + "FROM --platform=$BUILDPLATFORM")
  }

  /// - Returns: where the root is.
  private static func makeRoot(
    _ snapshots: Snapshotter, _ key: String, on parent: [String], bundle: String
  ) throws(BuildError) -> String {
    try system { () throws(SystemError) in
      let root = try snapshots.prepare(key, on: parent)
      try Directory.create(bundle, mode: 0o700)
      try Mount.tmpfs(target: bundle, mode: 0o700, sizeMax: 64 << 20)
      return root
    }
  }

  private func configure(
    _ paths: Paths, user: ProcessUser, number: Int, mounts: MountPreparer, network: String?
  ) async throws(BuildError) -> ContainerConfiguration {
    var environment = (step.environment + step.proxies).map { "\($0.name)=\($0.value)" }
    func addMissing(_ name: String, _ value: String) {
      if !environment.contains(where: { $0.hasPrefix(name + "=") }) { environment.append("\(name)=\(value)") }
    }
    if !environment.contains(where: { $0.hasPrefix("PATH=") }) { environment.append(ImageConfiguration.defaultPath) }
    addMissing("HOME", user.home ?? (user.uid == 0 ? "/root" : "/"))
    addMissing("HOSTNAME", ContainerConfiguration.hostname)
    environment += mounts.environment.map { "\($0.name)=\($0.value)" }
    let layout = try await blocking { () throws(BuildError) in
      try system { () throws(SystemError) in try OCIEngine.usableCgroups().layout }
    }
    return ContainerConfiguration(
      rootPath: paths.root, arguments: step.arguments, environment: environment,
      workingDirectory: step.workingDirectory, user: user, cgroupPath: session.folder.cgroupPath(number),
      isCgroupV2: layout.mode == .v2, network: step.network == .host ? .machine : network.map { .own($0) } ?? .none,
      mounts: mounts.mounts.map(\.mount),
      openFilesMax: OCIEngine.openFilesMax(), availableCapabilities: .givable)
  }

  // MARK: The process

  private func start(
    _ configuration: ContainerConfiguration, _ paths: Paths, number: Int, vertex: ProgressVertex
  ) async throws(BuildError) {
    guard !step.arguments.isEmpty else { throw BuildError(.dockerfile, "RUN has no command") }
    let json = configuration.json.serialized()
    try await blocking { () throws(BuildError) in
      try system { () throws(SystemError) in try RuntimeFiles.write(json, to: "\(paths.bundle)/config.json") }
    }
    let engine = OCIEngine(program: session.configuration.runtimePath, stateFolder: "\(paths.bundle)/state")
    let status: ExitStatus
    let output = OutputTail()
    let limit = OutputLimit(session.configuration.outputMax)
    let folder = session.folder
    do throws(SystemError) {
      status = try await engine.run("apus-build-\(folder.id)-\(number)", bundle: paths.bundle) {
        await folder.killStep(number)
      } output: { stream, bytes in
        Self.pass(bytes, stream == .stdout ? .stdout : .stderr, to: vertex, output, limit)
      }
    } catch {
      if error.errno == ECANCELED || Task.isCancelled { throw .cancelled }
      if error.errno == ENOENT {
        throw BuildError(
          .system, "\(engine.program) is not installed; install the package \(engine.program) to run RUN")
      }
      throw BuildError(error)
    }
    if status.isSuccess { return }
    let command = step.arguments.joined(separator: " ")
    let bundle = paths.bundle
    let said = try await blocking { () throws(BuildError) in OCIEngine.refusal(bundle: bundle) }
    if let said {
      throw BuildError(
        .execution, "process \"\(command)\" could not be started: \(said)", step: title, output: output.lines)
    }
    throw BuildError(
      .execution, "process \"\(command)\" did not complete successfully: exit code: \(status.code)", step: title,
      output: output.lines)
  }

  private static func pass(
    _ bytes: [UInt8], _ stream: BuildEvent.Stream, to vertex: ProgressVertex, _ tail: OutputTail, _ limit: OutputLimit
  ) {
    tail.append(bytes)
    switch limit.take(bytes.count) {
    case .all: vertex.output(stream, bytes)
    case .some(let count):
      vertex.output(stream, Array(bytes[..<count]))
      vertex.output(stream, Array("\n[output clipped, log limit \(limit.max) bytes reached]\n".utf8))
    case .none: break
    }
  }

  // MARK: The layer

  private func finish(
    _ paths: Paths, lowerTree: LowerTree, stubs: MountStubs
  ) async throws(BuildError) -> Outcome {
    let session = session
    return try await blocking { () throws(BuildError) in
      let changes = try system { () throws(SystemError) in
        // Secrets go with the tmpfs.
        try Mount.unmountTree(paths.bundle)
        return try session.folder.snapshots.commit(paths.key)
      }
      let upper = try system { () throws(SystemError) in try DirectoryTree(changes) }
      let excluded = stubs.excluded(upper: upper)
      let options = session.layerOptions(allowsDevices: true)
      let layer = try session.write(
        .upper(
          try system { () throws(SystemError) in try SourceTree(changes) }, lowers: lowerTree,
          excluding: excluded),
        options: options)
      // Nobody has it for a parent yet.
      for path in excluded { try? upper.removeIfBelow(path) }
      return Outcome(layer: layer, folder: layer == nil ? nil : changes)
    }
  }
}

/// The last lines of a step's output, for the error.
final class OutputTail: Sendable {
  private let bytes = Mutex<[UInt8]>([])
  private static let bytesMax = 64 << 10
  private static let linesMax = 30

  func append(_ new: [UInt8]) {
    bytes.withLock {
      $0 += new
      if $0.count > 2 * Self.bytesMax { $0.removeFirst($0.count - Self.bytesMax) }
    }
  }

  var lines: [String] {
    let text = String(decoding: bytes.withLock { $0 }, as: UTF8.self)
    return text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
      .reversed().drop { $0.isEmpty }.prefix(Self.linesMax).reversed()
  }
}

/// How much of a step's output is passed on.
final class OutputLimit: Sendable {
  enum Share { case all, some(Int), none }

  let max: Int
  private let used = Mutex(0)

  init(_ max: Int) { self.max = max }

  func take(_ count: Int) -> Share {
    used.withLock { used in
      if used > max { return .none }
      used += count
      if used <= max { return .all }
      // The one that goes over the limit passes what fits, once.
      return .some(count - (used - max))
    }
  }
}
