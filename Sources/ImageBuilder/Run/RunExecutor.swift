import Glibc
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
    /// The overlay's upper folder: the layer, unpacked.
    var folder: String?
    var cacheMounts: [String: String] = [:]
  }

  private struct Paths: Sendable {
    var folder: String
    var root: String { folder + "/rootfs" }
    var upper: String { folder + "/upper" }
    var work: String { folder + "/work" }
    /// On a tmpfs: what is in it never comes to the disk, and goes with the mount.
    var bundle: String { folder + "/bundle" }
  }

  /// - Parameter layers: what is underneath.
  func run(on layers: [Image.Layer], vertex: ProgressVertex) async throws(BuildError) -> Outcome {
    try checkPlatform()
    let lower = try await session.folders(layers)
    let (folder, number) = try await blocking { [session] () throws(BuildError) in try session.folder.newFolder() }
    let paths = Paths(folder: folder)
    var mounts = MountPreparer(session: session, folder: folder, bundle: paths.bundle)
    var opened: StepNetwork?
    do throws(BuildError) {
      try await blocking { () throws(BuildError) in try Self.mountRoot(paths, lower: lower) }
      // It comes up while the rest is made ready.
      if step.network == .default { opened = try await StepNetwork.start(in: folder, bundle: paths.bundle) }
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
        ContainerConfiguration.systemMounts.map { (path: $0, isFolder: true) }
        + prepared.mounts.map { (path: $0.mount.destination, isFolder: $0.isFolder) }
      let stubs = try await blocking { () throws(BuildError) in try MountStubs(root: paths.root, targets: targets) }
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
      mounts.release()
      let cleanup = session.folder
      await Self.uncancelled { await cleanup.killStep(number) }
      await opened?.end()
      try? await blocking { () throws(BuildError) in
        try? Mount.unmountTree(folder)
        try? Directory.removeTree(folder)
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

  private static func mountRoot(_ paths: Paths, lower: [String]) throws(BuildError) {
    try system { () throws(SystemError) in
      for name in ["rootfs", "upper", "work", "bundle"] { try Directory.create("\(paths.folder)/\(name)") }
      chmod(paths.bundle, 0o700)
      var layers = lower
      if layers.isEmpty {
        try Directory.create("\(paths.folder)/empty")
        layers = ["\(paths.folder)/empty"]
      }
      try Mount.overlay(lower: layers, upper: paths.upper, work: paths.work, target: paths.root, isVolatile: true)
      try Mount.tmpfs(target: paths.bundle, mode: 0o700, sizeMax: 64 << 20)
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
    var files = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files)
    let layout = try await blocking { [session] () throws(BuildError) in try session.folder.usableCgroups() }
    return ContainerConfiguration(
      rootPath: paths.root, arguments: step.arguments, environment: environment,
      workingDirectory: step.workingDirectory, user: user, cgroupPath: session.folder.cgroupPath(number),
      isCgroupV2: layout.mode == .v2, network: step.network == .host ? .machine : network.map { .own($0) } ?? .none,
      mounts: mounts.mounts.map(\.mount),
      openFilesMax: Int64(clamping: min(files.rlim_max, 1_048_576)), availableCapabilities: .givable)
  }

  // MARK: The process

  private func start(
    _ configuration: ContainerConfiguration, _ paths: Paths, number: Int, vertex: ProgressVertex
  ) async throws(BuildError) {
    guard !step.arguments.isEmpty else { throw BuildError(.dockerfile, "RUN has no command") }
    let json = configuration.json.serialized()
    try await blocking { () throws(BuildError) in
      try RunFiles.write(json, to: "\(paths.bundle)/config.json", mode: 0o600)
    }
    let engine = session.configuration.runtimePath
    let isRunc = (engine.split(separator: "/").last ?? "").hasPrefix("runc")
    let arguments =
      ["--root", "\(paths.bundle)/state", "--log", "\(paths.bundle)/log", "--log-format", "json"]
      + (isRunc ? [] : ["--cgroup-manager=cgroupfs"])
      + ["run", "--bundle", paths.bundle, "apus-build-\(session.folder.id)-\(number)"]
    let status: ExitStatus
    let output = OutputTail()
    do throws(SystemError) {
      let standard = try Pipe()
      let standardReader = try AsyncDescriptor(owning: standard.readEnd)
      let errors: Pipe
      do throws(SystemError) { errors = try Pipe() } catch {
        close(standard.writeEnd)
        throw error
      }
      let errorReader = try AsyncDescriptor(owning: errors.readEnd)
      let process: ProcessHandle
      do throws(SystemError) {
        process = try Subprocess.spawn(
          engine, arguments, directory: paths.bundle,
          descriptors: [.init(from: standard.writeEnd, to: 1), .init(from: errors.writeEnd, to: 2)], newSession: true)
      } catch {
        close(standard.writeEnd)
        close(errors.writeEnd)
        throw error
      }
      close(standard.writeEnd)
      close(errors.writeEnd)
      let limit = OutputLimit(session.configuration.outputMax)
      async let first: Void = Self.pass(standardReader, .stdout, to: vertex, output, limit)
      async let second: Void = Self.pass(errorReader, .stderr, to: vertex, output, limit)
      var ended = await process.wait()
      if ended == nil {
        // Cancelled: the container goes, and with it the engine that waits for it.
        let folder = session.folder
        await Self.uncancelled { await folder.killStep(number) }
        ended = await Self.uncancelled { await process.wait(deadline: .now + .seconds(10)) }
        if ended == nil {
          process.signal(SIGKILL)
          ended = await Self.uncancelled { await process.wait(deadline: .now + .seconds(5)) }
        }
      }
      // The container's processes are gone with its first one: nobody holds the pipes any more.
      standardReader.drain()
      errorReader.drain()
      _ = await (first, second)
      standardReader.close()
      errorReader.close()
      guard !Task.isCancelled, let ended else { throw SystemError("run", errno: ECANCELED) }
      status = ended
    } catch {
      if error.errno == ECANCELED || Task.isCancelled { throw .cancelled }
      if error.errno == ENOENT {
        throw BuildError(.system, "\(engine) is not installed; install the package \(engine) to run RUN")
      }
      throw BuildError(error)
    }
    if status.isSuccess { return }
    let command = step.arguments.joined(separator: " ")
    let said = await Self.engineMessage(paths)
    if let said {
      throw BuildError(
        .execution, "process \"\(command)\" could not be started: \(said)", step: title, output: output.lines)
    }
    throw BuildError(
      .execution, "process \"\(command)\" did not complete successfully: exit code: \(status.code)", step: title,
      output: output.lines)
  }

  /// Waits although the task is cancelled: what was started must end before its files go.
  private static func uncancelled<T: Sendable>(_ body: @escaping @Sendable () async -> T) async -> T {
    await Task { await body() }.value
  }

  private static func engineMessage(_ paths: Paths) async -> String? {
    try? await blocking { () throws(BuildError) -> String? in
      guard let log = try? DurableFile.read("\(paths.bundle)/log", limit: 1 << 20) else { return nil }
      return RunFiles.lastMessage(log)
    }
  }

  private static func pass(
    _ reader: AsyncDescriptor, _ stream: BuildEvent.Stream, to vertex: ProgressVertex, _ tail: OutputTail,
    _ limit: OutputLimit
  ) async {
    while let bytes = try? await reader.read(), !bytes.isEmpty {
      tail.append(bytes)
      switch limit.take(bytes.count) {
      case .all: vertex.output(stream, bytes)
      case .some(let count):
        vertex.output(stream, Array(bytes[..<count]))
        vertex.output(stream, Array("\n[output clipped, log limit \(limit.max) bytes reached]\n".utf8))
      case .none: break
      }
    }
  }

  // MARK: The layer

  private func finish(
    _ paths: Paths, lowerTree: LowerTree, stubs: MountStubs
  ) async throws(BuildError) -> Outcome {
    let session = session
    return try await blocking { () throws(BuildError) in
      try system { () throws(SystemError) in
        // Secrets go with the tmpfs.
        try Mount.unmountTree(paths.bundle)
        try Mount.unmount(paths.root)
      }
      let upper = try system { () throws(SystemError) in try DirectoryTree(paths.upper) }
      let excluded = stubs.excluded(upper: upper)
      let options = session.layerOptions(allowsDevices: true)
      let layer = try session.write(
        .upper(
          try system { () throws(SystemError) in try SourceTree(paths.upper) }, lowers: lowerTree, excluding: excluded),
        options: options)
      for path in excluded { try? upper.removeIfBelow(path) }
      try? Directory.removeTree(paths.work)
      return Outcome(layer: layer, folder: layer == nil ? nil : paths.upper)
    }
  }
}

/// Small files that need not survive: they are on a tmpfs.
enum RunFiles {
  static func write(_ bytes: [UInt8], to path: String, mode: UInt32, uid: UInt32 = 0, gid: UInt32 = 0)
    throws(BuildError)
  {
    try system { () throws(SystemError) in
      let fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
      guard fd >= 0 else { throw SystemError.last("create \(path)") }
      defer { close(fd) }
      try DurableFile.writeAll(fd, bytes, to: path)
      guard fchown(fd, uid, gid) == 0, fchmod(fd, mode) == 0 else { throw SystemError.last("chmod \(path)") }
    }
  }

  /// The last message of an engine's log: lines of JSON with `msg`.
  static func lastMessage(_ log: [UInt8]) -> String? {
    for line in log.split(separator: 0x0a).reversed() {
      if let json = try? JSON.parse(Array(line)), let message = json["msg"]?.string, !message.isEmpty,
        json["level"]?.string != "warning"
      {
        return message
      }
    }
    return nil
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
