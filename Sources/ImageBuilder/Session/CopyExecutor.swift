import Distribution
import Dockerfile
import Glibc
import Layers
import LinuxSystem
import NIOCore
import OCI
import Wire

/// Does a `COPY` or `ADD`: finds the files, looks the step up by their content, and writes the layer straight from where
/// they are.
struct CopyExecutor: Sendable {
  let session: BuildSession
  let copy: CopyStep
  let scope: KeyScope
  let step: Step

  func perform(
    parent: StepResult?, vertex: ProgressVertex, executor: StepExecutor
  ) async throws(BuildError) -> StepResult {
    let base = parent?.layers ?? []
    // With `--link` the layer goes on top of anything; a name of `--chown` has to be looked up in what is there.
    let isDetached = copy.isLinked && (copy.chown.map(ImageUsers.isNumeric) ?? true)
    let chain = isDetached ? "" : CacheKey.chain(base)
    var keys: [CacheKey] = []
    if case .step(let id) = copy.origin {
      // Known by the layers that are copied from, without looking into them.
      let origin = CacheKey.origin(copy, chain: CacheKey.chain(session.layers(of: id)))
      keys.append(CacheKey.copy(copy, base: chain, content: origin, scope: scope))
    } else if let known = knownContent {
      keys.append(CacheKey.copy(copy, base: chain, content: known, scope: scope))
    }
    let early = keys
    if let hit = try await executor.find(early) {
      return executor.finish(executor.known(hit, early), on: parent, vertex: vertex)
    }
    if let identity = fetchIdentity(chain, executor) {
      // What the address does not give, it gives nobody. What comes later may be for want of this build's own means.
      let isHere = Flag()
      let made = try await executor.once(
        identity, sharing: { $0.code == .network && !isHere.isSet }, keys: early, vertex: vertex
      ) { relay throws(BuildError) in
        if let hit = try await executor.find(early) { return executor.known(hit, early) }
        let gathered = try await gather(relay)
        isHere.set()
        var made = try await make(gathered, on: base, chain: chain, early: early, executor)
        made.materials = gathered.materials
        return made
      }
      return executor.finish(made, on: parent, vertex: vertex)
    }
    let gathered = try await gather(vertex)
    let key = contentKey(gathered, chain: chain)
    let made = try await executor.once(
      executor.identity(key), sharing: { _ in false }, keys: early + [key], vertex: vertex
    ) { _ throws(BuildError) in
      try await make(gathered, on: base, chain: chain, early: early, executor)
    }
    // What this build has fetched, whoever has written the layer.
    for material in gathered.materials { session.note(material) }
    return executor.finish(made, on: parent, vertex: vertex)
  }

  private func contentKey(_ gathered: Gathered, chain: String) -> CacheKey {
    CacheKey.copy(
      copy, base: chain, content: CacheKey.content(gathered.selections, sources: gathered.sources), scope: scope)
  }

  /// Makes the layer of what was found, unless the content is known.
  private func make(
    _ gathered: Gathered, on base: [Image.Layer], chain: String, early: [CacheKey], _ executor: StepExecutor
  ) async throws(BuildError) -> MadeStep {
    let key = contentKey(gathered, chain: chain)
    if let hit = try await executor.find([key]) {
      try await blocking { [session] () throws(BuildError) in
        for key in early { try session.cache.put(key, hit) }
      }
      return executor.known(hit, early + [key])
    }
    if Task.isCancelled { throw .cancelled }
    return try await executor.note(try await write(gathered, on: base), under: early + [key])
  }

  /// What others must have the same of to fetch together with this build: the addresses, and all that is done with what
  /// comes. `nil` when files of the build take part, or its agent.
  private func fetchIdentity(_ chain: String, _ executor: StepExecutor) -> StepIdentity? {
    var hasher = KeyHasher("fetch/1")
    var confidential: [String] = []
    func add(_ name: String, _ address: String) {
      let shown = RemoteSource.withoutCredentials(address)
      hasher.add(name, shown)
      if shown != address { confidential.append(address) }
    }
    var fetches = false
    for source in copy.sources {
      switch source {
      case .path: return nil
      case .document(let name, let content): hasher.add("document", [name, content])
      case .http(let url):
        fetches = true
        add("http", url)
      case .git(let reference):
        if session.request.agents["default"] != nil { return nil }
        fetches = true
        add("git", reference.remote)
        hasher.add("ref", [reference.ref, reference.subdirectory, reference.checksum].map { $0 ?? "" })
        hasher.add("has", [reference.ref, reference.subdirectory, reference.checksum].map { $0 == nil ? "" : "yes" })
        hasher.add(
          "flags", [reference.submodules, reference.keepGitDirectory].map { $0.map { $0 ? "yes" : "no" } ?? "" })
      }
    }
    guard fetches else { return nil }
    hasher.add("checksum", copy.checksum ?? "")
    hasher.add("git directory", copy.keepsGitDirectory)
    hasher.add("excluded", copy.excluded)
    // The builder's own client fetches, with its proxy and its trust: in no other process.
    return executor.identity(
      CacheKey.copy(copy, base: chain, content: hasher.finish().hex, scope: scope), confidential: confidential,
      isForAllProcesses: false)
  }

  // MARK: Finding

  private struct Gathered: Sendable {
    var selections: [Selection] = []
    var sources = CopySources(trees: [])
    var materials: [Material] = []
  }

  /// Stands for content that need not be fetched to know it.
  private var knownContent: String? {
    guard let checksum = copy.checksum, copy.sources.count == 1, case .http(let url) = copy.sources[0],
      let digest = Digest(checksum)
    else { return nil }
    session.note(.download(url, digest))
    return "http \(checksum) \(RemoteSource.fileName(of: url) ?? "")"
  }

  private func gather(_ vertex: ProgressVertex) async throws(BuildError) -> Gathered {
    var gathered = Gathered()
    let excluded =
      copy.excluded.isEmpty
      ? nil : try parsed { () throws(DockerfileError) in try DockerIgnore(patterns: copy.excluded) }
    for source in copy.sources {
      switch source {
      case .path(let path):
        if gathered.sources.trees.isEmpty { gathered.sources.trees.append(try await session.tree(copy.origin)) }
        let tree = gathered.sources.trees[0]
        let selector = Selector(tree: tree, treeIndex: 0, excluded: excluded, keepsParents: copy.keepsParents)
        let unpacks = copy.isAdd && copy.unpacks != false
        var found = try await blocking { () throws(BuildError) in
          var found = try selector.select(path)
          if unpacks {
            for index in found.indices where !found[index].isFolder {
              found[index].isArchive = found[index].items.first.map { Archive.looksLike($0, of: tree) } ?? false
            }
          }
          return found
        }
        if found.allSatisfy(\.items.isEmpty) { vertex.status("warning: no files match \(path)") }
        if found.count > 1, !FilePath.endsWithSlash(copy.destination), !copy.keepsParents {
          throw BuildError(
            .dockerfile,
            "\(path) matches \(found.count) files: the destination must be a directory and end with a /")
        }
        found.removeAll { $0.items.isEmpty && !$0.keepsPath }
        gathered.selections += found
      case .document(let name, let content):
        gathered.selections.append(try document(name, Array(content.utf8)))
      case .http(let url): try await gatherDownload(url, into: &gathered, vertex)
      case .git(let reference): try await gatherRepository(reference, into: &gathered, excluded: excluded, vertex)
      }
    }
    try await Selection.hash(&gathered.selections, gathered.sources)
    return gathered
  }

  private func document(_ name: String, _ bytes: [UInt8]) throws(BuildError) -> Selection {
    var status = stat()
    status.st_mode = S_IFREG | 0o644
    status.st_size = bytes.count
    let entry = FileEntry(path: name, status: FileStatus(status))
    return Selection(
      name: name, isFolder: false, keepsPath: false,
      items: [Selection.Item(path: "", entry: entry, content: .bytes(bytes))])
  }

  private func gatherDownload(_ url: String, into gathered: inout Gathered, _ vertex: ProgressVertex)
    async throws(BuildError)
  {
    let folder = try await blocking { [session] () throws(BuildError) in try session.folder.newFolder().path }
    let fetched = try await Download.fetch(
      url, into: folder, checksum: copy.checksum, client: session.client, vertex)
    gathered.materials.append(fetched.material)
    let (path, name) = (fetched.path, fetched.name)
    guard !name.isEmpty || !FilePath.endsWithSlash(copy.destination) else {
      throw BuildError(.dockerfile, "cannot tell a file name from \(url); name the file in the destination")
    }
    let index = gathered.sources.trees.count
    let tree = try await blocking { () throws(BuildError) in
      try FileTree(folder, origin: .context, label: "the download")
    }
    gathered.sources.trees.append(tree)
    let unpacks = copy.unpacks == true
    let selection = try await blocking { () throws(BuildError) -> Selection in
      guard let entry = try tree.entry(FilePath.name(path)) else {
        throw BuildError(.system, "the download of \(url) is gone")
      }
      var selection = Selection(
        name: name, isFolder: false, keepsPath: false,
        items: [Selection.Item(path: "", entry: entry, content: .tree(index))])
      if unpacks { selection.isArchive = Archive.looksLike(selection.items[0], of: tree) }
      return selection
    }
    gathered.selections.append(selection)
  }

  private func gatherRepository(
    _ reference: RemoteSource.GitReference, into gathered: inout Gathered, excluded: DockerIgnore?,
    _ vertex: ProgressVertex
  ) async throws(BuildError) {
    let folder = try await blocking { [session] () throws(BuildError) in try session.folder.newFolder().path }
    let material = try await GitSource(
      reference: reference, agent: session.request.agents["default"], build: session.folder
    ).fetch(
      into: "\(folder)/tree", keepsGitDirectory: copy.keepsGitDirectory || reference.keepGitDirectory == true,
      checksum: copy.checksum ?? reference.checksum, vertex)
    gathered.materials.append(material)
    let index = gathered.sources.trees.count
    let found = try await blocking { () throws(BuildError) -> (FileTree, [Selection]) in
      let tree = try FileTree("\(folder)/tree", origin: .context, label: "the repository \(reference.shown)")
      let selector = Selector(tree: tree, treeIndex: index, excluded: excluded, keepsParents: false)
      return (tree, try selector.select(reference.subdirectory ?? "/"))
    }
    gathered.sources.trees.append(found.0)
    gathered.selections += found.1
  }

  // MARK: Writing

  private func write(_ gathered: Gathered, on base: [Image.Layer]) async throws(BuildError) -> Image.Layer? {
    if gathered.selections.isEmpty { return nil }
    var gathered = gathered
    let needsImage = !copy.isLinked || !(copy.chown.map(ImageUsers.isNumeric) ?? true)
    let image = needsImage ? try await session.lowerTree(base) : nil
    for index in gathered.selections.indices where gathered.selections[index].isArchive {
      try await unpack(&gathered, index)
    }
    let (now, epoch) = (session.now.microseconds / 1_000_000, session.epoch)
    let (copy, session, final) = (copy, session, gathered)
    return try await blocking { () throws(BuildError) in
      var owner: Placement.Owner?
      if let text = copy.chown {
        owner = try (image.map { image throws(BuildError) in try ImageUsers(image) } ?? ImageUsers(UserDatabase()))
          .owner(text)
      }
      let lowers = copy.isLinked ? nil : image
      var placement = Placement(destination: lowers, owner: owner, chmod: copy.chmod, now: now, epoch: epoch)
      let entries = try placement.place(final.selections, sources: final.sources, at: copy.destination)
      if entries.isEmpty { return nil }
      return try session.write(.entries(entries, lowers: lowers), options: session.layerOptions(allowsDevices: true))
    }
  }

  /// Puts what is in an archive in its place.
  private func unpack(_ gathered: inout Gathered, _ index: Int) async throws(BuildError) {
    let selection = gathered.selections[index]
    guard let item = selection.items.first, case .tree(let treeIndex) = item.content else { return }
    let source = gathered.sources.trees[treeIndex]
    let folder = try await blocking { [session] () throws(BuildError) in try session.folder.newFolder().path }
    let head = try await blocking { () throws(BuildError) in try Archive.head(item, of: source) }
    let host = source.hostPath(item.entry.path)
    guard
      let path = try await Archive.readable(
        host, head: head, label: item.entry.path, folder: folder, of: session.folder)
    else {
      gathered.selections[index].isArchive = false
      return
    }
    let position = gathered.sources.trees.count
    let name = item.entry.path
    let (tree, found) = try await blocking { () throws(BuildError) -> (FileTree, [Selection]) in
      let files = "\(folder)/files"
      try system { () throws(SystemError) in try Directory.create(files) }
      let members = try stored { () throws(OCIError) in try ArchiveExtractor.extract(path, into: files, label: name) }
      let tree = try FileTree(files, origin: .image, label: "the archive \(name)")
      var found = try Selector(tree: tree, treeIndex: position, excluded: nil, keepsParents: false).select("/")
      for index in found.indices {
        found[index].isUnpacked = true
        for item in found[index].items.indices where found[index].items[item].entry.kind == .directory {
          found[index].items[item].isOnTheWay = !members.contains(found[index].items[item].path)
        }
      }
      return (tree, found)
    }
    gathered.sources.trees.append(tree)
    if let unpacked = found.first { gathered.selections[index] = unpacked }
  }
}

/// Archives that `ADD` unpacks, and that are build contexts.
enum Archive {
  /// How many bytes `looksLike` wants to see.
  static let headSize = 512

  /// Whether the file begins as an archive or as something compressed. Blocks shortly.
  static func looksLike(_ item: Selection.Item, of tree: FileTree) -> Bool {
    guard item.entry.kind == .file, let head = try? head(item, of: tree) else { return false }
    return looksLike(head)
  }

  static func looksLike(_ head: [UInt8]) -> Bool {
    guard head.count > 6 else { return false }
    if program(head) != nil || head.starts(with: [0x1F, 0x8B]) || head.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) {
      return true
    }
    return head.count >= headSize && Array(head[257..<262]) == Array("ustar".utf8)
  }

  /// Compressions that we have a program for and no library.
  private static func program(_ head: [UInt8]) -> String? {
    if head.starts(with: [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0]) { return "xz" }
    if head.starts(with: Array("BZh".utf8)) { return "bzip2" }
    return nil
  }

  /// The beginning of a file. Blocks shortly.
  static func head(_ item: Selection.Item, of tree: FileTree) throws(BuildError) -> [UInt8] {
    let fd = try tree.openFile(item.entry)
    defer { close(fd) }
    return head(fd)
  }

  static func head(_ fd: Int32) -> [UInt8] {
    var head = [UInt8](repeating: 0, count: headSize)
    let count = pread(fd, &head, head.count, 0)
    return Array(head[..<max(0, count)])
  }

  /// The path of an archive that can be unpacked; `nil` when the file is compressed, but no archive.
  ///
  /// - Parameters:
  ///   - path: on this machine.
  ///   - head: how the file begins.
  ///   - folder: where it is uncompressed when that takes a program.
  static func readable(
    _ path: String, head: [UInt8], label: String, folder: String, of build: BuildFolder
  ) async throws(BuildError) -> String? {
    var path = path
    if let program = program(head) {
      let archive = "\(folder)/archive.tar"
      try await HelperProgram.run(
        program, ["-dc"], input: path, output: .file(archive), of: build,
        missing:
          "\"\(label)\" is compressed with \(program): install the package \(program == "xz" ? "xz-utils" : program), "
          + "or compress it with gzip or zstd")
      path = archive
    }
    let archive = path
    let isArchive = try await blocking { () throws(BuildError) in ArchiveExtractor.isArchive(archive) }
    return isArchive ? archive : nil
  }
}
