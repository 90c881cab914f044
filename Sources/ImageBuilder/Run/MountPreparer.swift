import Containers
import Content
import Dockerfile
import Glibc
import Layers
import LinuxSystem
import OCI

/// Gets ready what a step mounts: the network's files, `--mount`s, a heredoc's program.
struct MountPreparer: Sendable {
  let session: BuildSession
  /// The step's folder, on the disk.
  let folder: String
  /// The step's folder in memory.
  let bundle: String
  private(set) var mounts: [(mount: ContainerConfiguration.BindMount, isFolder: Bool)] = []
  /// From secrets: only for the process.
  private(set) var environment: [(name: String, value: String)] = []
  /// `false` for a step that has a network, and nobody in it to ask for names.
  private(set) var hasNameServer = true
  /// Where the files of cache mounts are, by name.
  private(set) var cacheMounts: [String: String] = [:]
  /// Those that were made for this step besides its root; they go with the build.
  private(set) var snapshots: [String] = []
  private var locks: [Int32] = []

  init(session: BuildSession, folder: String, bundle: String) {
    self.session = session
    self.folder = folder
    self.bundle = bundle
  }

  /// Gives locked caches back.
  mutating func release() {
    for fd in locks { close(fd) }
    locks = []
  }

  mutating func prepare(_ step: RunStep) async throws(BuildError) {
    try prepareNetworkFiles(step)
    if let script = step.script {
      try write(Array(script.content.utf8), to: "script", mode: 0o755)
      add("/dev/pipes/\(script.name)", .bind(source: "\(bundle)/script", isReadOnly: true), isFolder: false)
    }
    for (index, planned) in step.mounts.enumerated() {
      switch planned.mount.kind {
      case .secret: try prepareSecret(planned, index)
      case .ssh: try prepareAgent(planned)
      case .tmpfs:
        var options = ["mode=1777"]
        if let size = planned.mount.sizeMax, size > 0 { options.append("size=\(size)") }
        add(planned.target, .tmpfs(options: options), isFolder: true)
      case .cache: try await prepareCache(planned)
      case .bind: try await prepareBind(planned, index)
      }
    }
  }

  private mutating func add(_ target: String, _ kind: ContainerConfiguration.BindMount.Kind, isFolder: Bool) {
    mounts.append((ContainerConfiguration.BindMount(destination: target, kind: kind), isFolder))
  }

  /// Into the step's memory.
  private func write(
    _ bytes: [UInt8], to name: String, mode: UInt32, owner: (uid: UInt32, gid: UInt32)? = nil
  ) throws(BuildError) {
    try system { () throws(SystemError) in
      try RuntimeFiles.write(bytes, to: "\(bundle)/\(name)", mode: mode, owner: owner)
    }
  }

  private mutating func prepareNetworkFiles(_ step: RunStep) throws(BuildError) {
    let machine = (try? DurableFile.read(session.configuration.resolverConfiguration, limit: 1 << 20)) ?? []
    let resolver: [UInt8]
    switch step.network {
    case .none: resolver = []
    case .default: (resolver, hasNameServer) = StepNetwork.resolverConfiguration(machine)
    case .host: resolver = machine
    }
    try write(resolver, to: "resolv.conf", mode: 0o644)
    var hosts = HostsFile()
    hosts.add("127.0.0.1", ["localhost", ContainerConfiguration.hostname])
    hosts.add("::1", ["localhost", "ip6-localhost", "ip6-loopback"])
    for (host, address) in session.request.extraHosts { hosts.add(address, [host]) }
    try write(Array(hosts.text.utf8), to: "hosts", mode: 0o644)
    for name in ["resolv.conf", "hosts"] {
      add("/etc/\(name)", .bind(source: "\(bundle)/\(name)", isReadOnly: false), isFolder: false)
    }
  }

  private mutating func prepareSecret(_ planned: RunMount, _ index: Int) throws(BuildError) {
    let mount = planned.mount
    let id = mount.effectiveID
    guard let secret = session.request.secrets.first(where: { $0.id == id }) else {
      guard mount.isRequired else { return }
      throw BuildError(
        .notFound, "secret \(id): not found: give it with --secret id=\(id),src=FILE or id=\(id),env=NAME")
    }
    let bytes: [UInt8]
    switch secret.source {
    case .value(let value): bytes = value
    case .file(let path):
      // 500 KiB, as in BuildKit: a secret is no way to bring files in.
      do throws(SystemError) { bytes = try DurableFile.read(path, limit: 500 << 10) } catch {
        throw BuildError(.notFound, "secret \(id): \(error)")
      }
    }
    if let name = mount.environment {
      guard let value = String(validating: bytes, as: UTF8.self), !value.utf8.contains(0) else {
        throw BuildError(.invalid, "secret \(id) cannot be a variable: it is not UTF-8 text without zero bytes")
      }
      environment.append((name, value))
      // With a variable a file is made only where a target says so.
      if mount.target == nil { return }
    }
    let path = "\(bundle)/secret-\(index)"
    try write(
      bytes, to: "secret-\(index)", mode: mount.effectiveMode, owner: (uid: mount.uid ?? 0, gid: mount.gid ?? 0))
    add(planned.target, .bind(source: path, isReadOnly: true), isFolder: false)
  }

  private mutating func prepareAgent(_ planned: RunMount) throws(BuildError) {
    let mount = planned.mount
    let id = mount.effectiveID
    guard let socket = session.request.agents[id] else {
      guard mount.isRequired else { return }
      throw BuildError(.notFound, "unset ssh forward key \(id): give it with --ssh \(id)[=SOCKET]")
    }
    var status = stat()
    guard stat(socket, &status) == 0 else {
      throw BuildError(.notFound, "--ssh \(id): \(SystemError.last("open the agent's socket \(socket)"))")
    }
    guard status.st_mode & S_IFMT == S_IFSOCK else {
      throw BuildError(
        .unsupported,
        "--ssh \(id)=\(socket): this is a file and no agent's socket; start an agent and add the key: "
          + "eval $(ssh-agent) && ssh-add \(socket)")
    }
    guard (mount.uid ?? 0) == status.st_uid || mount.uid == nil, mount.mode == nil || mount.mode == 0o600 else {
      throw BuildError(
        .unsupported,
        "RUN --mount=type=ssh with uid or mode: the agent's socket keeps its own owner and mode; "
          + "run the step as root, or give that user an agent")
    }
    add(planned.target, .bind(source: socket, isReadOnly: false), isFolder: false)
    environment.append(("SSH_AUTH_SOCK", planned.target))
  }

  // MARK: Files

  private mutating func prepareBind(_ planned: RunMount, _ index: Int) async throws(BuildError) {
    let mount = planned.mount
    let origin = planned.origin ?? .context
    let source = mount.source ?? "/"
    let tree = try await session.tree(origin)
    if tree.origin == .context {
      // The context's files as an image has them: without what is ignored, owned by root, and a copy, so that a step
      // sees one state of them.
      let copy = "\(folder)/bind-\(index)"
      let isFolder = try await blocking { () throws(BuildError) in
        try Materializer.copy(source, of: tree, to: copy)
      }
      return add(planned.target, .bind(source: copy, isReadOnly: mount.isReadOnly), isFolder: isFolder)
    }
    let (path, isFolder) = try await blocking { () throws(BuildError) in
      guard let path = try tree.resolve(source), let entry = try tree.entry(path) else {
        throw BuildError(.notFound, "\"\(source)\": not found in \(tree.label)")
      }
      return (path, entry.kind == .directory)
    }
    var host = tree.hostPath(path)
    if !mount.isReadOnly {
      // What is written goes with the build, and is in no layer.
      guard isFolder else {
        throw BuildError(.unsupported, "RUN --mount=type=bind,rw of the single file \(source): mount its folder")
      }
      let lower = host
      let key: String
      (key, host) = try await blocking { [build = session.folder] () throws(BuildError) in
        let key = String(try build.newFolder().number)
        return (key, try system { () throws(SystemError) in try build.snapshots.prepare(key, on: [lower]) })
      }
      snapshots.append(key)
    }
    add(planned.target, .bind(source: host, isReadOnly: mount.isReadOnly), isFolder: isFolder)
  }

  private mutating func prepareCache(_ planned: RunMount) async throws(BuildError) {
    let mount = planned.mount
    var initial: (tree: FileTree, path: String)?
    var from = ""
    if let origin = planned.origin {
      let tree = try await session.tree(origin)
      from = "\(mount.from ?? "")|\(mount.source ?? "/")"
      initial = (tree, mount.source ?? "/")
    }
    var hasher = KeyHasher("cache-mount/1")
    hasher.add("id", mount.effectiveID)
    hasher.add("from", from)
    let name = hasher.finish().hex
    let start = initial
    var archive: String?
    if access("\(session.folder.cacheFolder(name))/files", F_OK) != 0, let layer = session.importedMount(name) {
      try await session.fetch([layer])
      archive = try await blocking { [session] () throws(BuildError) in
        try stored { () throws(OCIError) in try session.content.soundPath(layer.digest) }
      }
    }
    let packed = archive
    let (path, lock) = try await blocking { [session] () throws(BuildError) -> (String, Int32) in
      let (path, lock) = try Self.claim(session.folder, name, sharing: mount.sharing)
      do throws(BuildError) {
        try Self.fill(path, mount: mount, from: start, archive: packed)
      } catch {
        close(lock)
        throw error
      }
      return (path, lock)
    }
    locks.append(lock)
    cacheMounts[name] = path
    add(planned.target, .bind(source: "\(path)/files", isReadOnly: mount.isReadOnly), isFolder: true)
  }

  /// The folder of a cache, with the lock that its sharing asks for. Blocks until it is free.
  private static func claim(
    _ folder: BuildFolder, _ name: String, sharing: Dockerfile.Mount.Sharing
  ) throws(BuildError) -> (path: String, lock: Int32) {
    func openLock(_ path: String) throws(BuildError) -> Int32 {
      try system { () throws(SystemError) in
        try Directory.create(path, mode: 0o700)
        let fd = open("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard fd >= 0 else { throw SystemError.last("open \(path)/lock") }
        return fd
      }
    }
    let path = folder.cacheFolder(name)
    if sharing == .private {
      // The first one that nobody uses.
      for number in 0..<1024 {
        let candidate = number == 0 ? path : "\(path).\(number)"
        let fd = try openLock(candidate)
        if flock(fd, LOCK_EX | LOCK_NB) == 0 { return (candidate, fd) }
        close(fd)
      }
      throw BuildError(.system, "1024 builds use the private cache mount at the same time")
    }
    let fd = try openLock(path)
    while flock(fd, sharing == .locked ? LOCK_EX : LOCK_SH) != 0 {
      guard errno == EINTR else {
        close(fd)
        throw BuildError(SystemError.last("lock \(path)"))
      }
    }
    return (path, fd)
  }

  private static func fill(
    _ path: String, mount: Dockerfile.Mount, from initial: (tree: FileTree, path: String)?, archive: String?
  ) throws(BuildError) {
    let files = "\(path)/files"
    if access(files, F_OK) == 0 { return }
    // Two may come here with a shared lock: each makes its own, the first rename wins.
    var template = Array("\(path)/new-XXXXXX".utf8CString)
    guard template.withUnsafeMutableBufferPointer({ $0.baseAddress.flatMap(mkdtemp) }) != nil else {
      throw BuildError(SystemError.last("create a folder in \(path)"))
    }
    let made = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    if let archive {
      _ = try stored { () throws(OCIError) in
        try ArchiveExtractor.extract(archive, into: made, label: "cache mount")
      }
    } else if let initial {
      rmdir(made)
      _ = try Materializer.copy(initial.path, of: initial.tree, to: made)
    }
    guard chown(made, mount.uid ?? 0, mount.gid ?? 0) == 0, chmod(made, mount.effectiveMode) == 0 else {
      throw BuildError(SystemError.last("chown \(made)"))
    }
    if rename(made, files) != 0 { try? Directory.removeTree(made) }
  }
}

/// Copies files of a tree to the disk.
enum Materializer {
  /// - Returns: whether it is a folder. Blocks.
  static func copy(_ source: String, of tree: FileTree, to target: String) throws(BuildError) -> Bool {
    let selector = Selector(tree: tree, treeIndex: 0, excluded: nil, keepsParents: false)
    let selections = try selector.select(source)
    guard let selection = selections.first, selections.count == 1 else {
      throw BuildError(.notFound, "\"\(source)\": not found in \(tree.label)")
    }
    let parent = FilePath.parent(target)
    try system { () throws(SystemError) in try Directory.create(parent) }
    try write(selection.items, of: tree, into: parent, as: FilePath.name(target))
    return selection.isFolder
  }

  /// Writes items into a folder of this machine.
  /// - Parameter name: what the item with the empty path is called; without it the folder stands for it.
  static func write(
    _ items: [Selection.Item], of tree: FileTree, into folder: String, as name: String = ""
  ) throws(BuildError) {
    let writer = try system { () throws(SystemError) in try DirectoryTree(folder) }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
    defer { buffer.deallocate() }
    for item in items {
      let path = FilePath.join(name, item.path)
      let status = item.entry.status
      try system { () throws(SystemError) in
        switch item.entry.kind {
        case .directory: try writer.createDirectories(path)
        case .symbolicLink: try writer.createSymbolicLink(path, target: item.entry.target)
        case .file, .socket: break
        case .pipe: try writer.createNode(path, mode: S_IFIFO | status.mode)
        case .characterDevice:
          try writer.createNode(
            path, mode: S_IFCHR | status.mode, major: status.deviceMajor, minor: status.deviceMinor)
        case .blockDevice:
          try writer.createNode(
            path, mode: S_IFBLK | status.mode, major: status.deviceMajor, minor: status.deviceMinor)
        }
      }
      if item.entry.kind == .file { try copyContent(item.entry, of: tree, to: path, writer, buffer) }
      let isContext = tree.origin == .context
      try system { () throws(SystemError) in
        try writer.setAttributes(
          path, owner: isContext ? 0 : status.owner, group: isContext ? 0 : status.group,
          mode: item.entry.kind == .symbolicLink ? nil : status.mode,
          modified: (status.modified.seconds, status.modified.nanoseconds))
        if let capability = item.capability {
          try writer.setExtendedAttribute(path, name: "security.capability", value: capability)
        }
      }
    }
  }

  private static func copyContent(
    _ entry: FileEntry, of tree: FileTree, to path: String, _ writer: DirectoryTree,
    _ buffer: UnsafeMutableRawBufferPointer
  ) throws(BuildError) {
    let input = try tree.openFile(entry)
    defer { close(input) }
    let output = try system { () throws(SystemError) in try writer.createFile(path) }
    defer { close(output) }
    while true {
      let count = read(input, buffer.baseAddress, buffer.count)
      if count == 0 { break }
      guard count > 0 else {
        if errno == EINTR { continue }
        throw BuildError(SystemError.last("read \(entry.path) in \(tree.label)"))
      }
      let failure = DurableFile.writeAll(output, UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      guard failure == 0 else { throw BuildError(SystemError("write \(path)", errno: failure)) }
    }
    try tree.checkUnchanged(input, entry)
  }
}
