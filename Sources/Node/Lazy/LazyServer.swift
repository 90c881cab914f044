import Containers
import Content
import Distribution
import Glibc
import Layers
import LinuxSystem
import OCI
import Synchronization
import Wire

extension BlockingLanes {
  /// The work of a process that serves layers, on its own files: decompressing, writing what came. As many reads may wait
  /// as the kernel sends.
  static let lazyLayers = BlockingLanes(
    "lazy", Limits(deadline: .seconds(600), runningMax: 4, stuckMax: 4, waitingMax: 1 << 16))
}

/// A process of its own that serves layers of an image while they are fetched (`apus lazy-layer`).
///
/// It outlives the server, which must not matter to containers. Its life is that of its mounts: it takes them out of the
/// tree when every layer is in the store, so that no new container uses them, and ends when the last one that does is
/// gone. When the mounts are taken away before, it ends likewise.
public final class LazyServer: Sendable {
  private let order: LazyOrder
  private let client: RegistryClient
  private let store: ContentStore
  private let time: any TimeSource
  private let log: LazyLog
  /// One for each mount that is over.
  private let (ends, ended) = AsyncStream.makeStream(of: Void.self)

  private init(_ order: LazyOrder, _ client: RegistryClient, _ time: any TimeSource) throws {
    self.order = order
    self.client = client
    self.time = time
    log = try LazyLog("\(order.folder)/log", time: time)
    store = try ContentStore.open(root: order.store, time: time)
  }

  /// Reads the order from standard input, mounts, says so on standard output in one line of JSON, and serves. Returns
  /// when nobody uses the mounts any more.
  /// - Returns: whether the layers could be mounted.
  public static func run(client: RegistryClient, time: any TimeSource) async -> Bool {
    signal(SIGPIPE, SIG_IGN)
    let server: LazyServer
    do {
      let bytes = try await DedicatedThread.run { () throws(SystemError) in try LazyServer.readAll(STDIN_FILENO) }
      guard let order = LazyOrder(json: try JSON.parse(bytes)) else { throw NodeError(.errImagePull, "no valid order") }
      server = try LazyServer(order, client, time)
    } catch {
      say(["error": .string(describe(error))])
      return false
    }
    do {
      let blobs = try await server.mount()
      // One of few processes without which containers cannot go on: the last to be killed when memory runs out. Not
      // before: what a registry has sent is in memory in its final form only now.
      let score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)
      if score >= 0 {
        _ = write(score, "-900", 4)
        _ = close(score)
      }
      // A node that is gone has nobody who will use the mounts. Who does all the same keeps them.
      if !say(["ready": true]) { server.unmount() }
      await server.serve(blobs)
      server.unmount()
      try? Directory.removeTree(server.order.folder)
      return true
    } catch {
      say(["error": .string(describe(error))])
      server.unmount()
      try? Directory.removeTree(server.order.folder)
      return false
    }
  }

  private static func readAll(_ descriptor: Int32) throws(SystemError) -> [UInt8] {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while bytes.count <= LazyOrder.sizeMax {
      let count = read(descriptor, &buffer, buffer.count)
      if count == 0 { return bytes }
      if count < 0 {
        if errno == EINTR { continue }
        throw .last("read the order")
      }
      bytes += buffer[..<count]
    }
    throw SystemError("read the order", errno: EFBIG)
  }

  /// - Returns: whether there is somebody who can read it.
  @discardableResult private static func say(_ json: JSON) -> Bool {
    let line = json.serialized() + [0x0A]
    let failure = line.withUnsafeBytes { DurableFile.writeAll(STDOUT_FILENO, $0) }
    let null = open("/dev/null", O_RDWR)
    if null >= 0 {
      _ = dup2(null, STDOUT_FILENO)
      _ = close(null)
    }
    return failure == 0
  }

  // MARK: Mounting

  private struct Served: Sendable {
    var layer: LazyOrder.Layer
    var blob: LazyBlob
    var tree: StargzTree
  }

  private func mount() async throws -> [Served] {
    guard let start = ProcessWatch.startTime(of: getpid()) else { throw SystemError("read /proc/self", errno: ESRCH) }
    var layers: [Digest: String] = [:]
    for (index, layer) in order.layers.enumerated() { layers[layer.digest] = order.mountPoint(index) }
    // From here on this process is found again, whatever becomes of the server.
    let process = RecordedProcess(pid: getpid(), startTime: start)
    var record = LazyRecord(folder: order.folder, image: order.image, process: process, layers: layers)
    try record.write()
    var served: [Served] = []
    for (index, layer) in order.layers.enumerated() { served.append(try await prepare(layer, index)) }
    for item in served { try await fetchUsers(item) }
    let chunks = LazyChunks()
    for (index, item) in served.enumerated() {
      let layer = LazyLayer(tree: item.tree, blob: item.blob, chunks: chunks, deadline: order.deadline) { [log] why in
        log.note("\(item.layer.digest): \(why)")
      }
      try Directory.create(order.mountPoint(index), mode: 0o700)
      let server = try FuseServer(layer, at: order.mountPoint(index), source: "apus-lazy")
      DedicatedThread.start("apus-fuse") { [log, ended] in
        do throws(SystemError) { try server.run() } catch {
          // Half a root file system is worse than none: the node starts the containers anew.
          log.note("\(item.layer.digest): \(error)")
          exit(1)
        }
        ended.yield()
      }
    }
    record.isReady = true
    try record.write()
    return served
  }

  /// Fetches and verifies a layer's table of contents.
  private func prepare(_ layer: LazyOrder.Layer, _ index: Int) async throws -> Served {
    let repository = Repository(host: order.registry, path: order.repository)
    let (client, credentials) = (client, order.credentials)
    let fetch: LazyBlob.Fetch = { range in
      try await client.blob(
        layer.digest, range: range, size: layer.size, in: repository, credentials: credentials)
    }
    let footerStart = layer.size - Int64(Stargz.footerSize)
    guard footerStart > 0 else { throw OCIError(.invalidArchive, "\(layer.digest) is too small for eStargz") }
    // The first part of all: whether the registry sends parts, and what the layer is, is an answer and no second try.
    let tail = try await fetch(max(0, layer.size - LazyBlob.pieceSize)..<layer.size)
    let tocOffset = try Stargz.tocOffset(footer: Array(tail.suffix(Stargz.footerSize)), size: layer.size)
    var compressed = Array(tail.dropLast(Stargz.footerSize))
    let tailStart = layer.size - Int64(tail.count)
    if tocOffset < tailStart {
      compressed = try await fetch(tocOffset..<tailStart) + compressed
    } else {
      compressed.removeFirst(Int(tocOffset - tailStart))
    }
    let toc = try Stargz.tableOfContents(compressed, digest: layer.tocDigest)
    let tree = try StargzTree(toc, tocOffset: tocOffset)
    let blob = try LazyBlob(
      path: "\(order.folder)/\(index)", size: layer.size, time: time,
      noted: { [log] error in log.fetched(layer.digest, error) }, fetch: fetch)
    return Served(layer: layer, blob: blob, tree: tree)
  }

  /// The node looks up users before it starts a container, on a thread that must not wait for a network.
  private func fetchUsers(_ item: Served) async throws {
    for path in ["etc/passwd", "etc/group"] {
      guard let node = item.tree.node(following: path) else { continue }
      let ranges = item.tree.chunks[item.tree.nodes[node].chunks].map { $0.offset..<$0.end }
      guard await item.blob.wait(for: ranges, within: order.deadline) else {
        throw OCIError(.notFound, "\(path) of \(item.layer.digest) does not come")
      }
    }
  }

  // MARK: Serving

  private func serve(_ layers: [Served]) async {
    let fetching = Task { await fetchAll(layers) }
    var left = layers.count
    for await _ in ends {
      left -= 1
      if left == 0 { break }
    }
    fetching.cancel()
  }

  private func fetchAll(_ layers: [Served]) async {
    do {
      for item in layers where item.tree.prefetchSize > 0 {
        try await item.blob.fetchRest(of: 0..<min(item.tree.prefetchSize, item.layer.size))
      }
      var isComplete = true
      var left = layers
      var mismatches: [Digest: Int] = [:]
      var pause = Duration.seconds(1)
      while !left.isEmpty {
        var again: [Served] = []
        for item in left {
          async let other: Void = item.blob.fetchRest()
          try await item.blob.fetchRest()
          try await other
          switch await Self.keep(item.layer.digest, item.blob, item.tree, in: store, note: { [log] in log.note($0) }) {
          case .kept: log.note("\(item.layer.digest) of \(order.repository) is complete and in the store")
          case .later: again.append(item)
          case .wrong:
            mismatches[item.layer.digest, default: 0] += 1
            if mismatches[item.layer.digest] ?? 0 < Self.mismatchesMax {
              again.append(item)
            } else {
              // All that is read of it is compared; a container that starts later pulls the image as a whole.
              log.note("\(item.layer.digest) came wrong \(Self.mismatchesMax) times and is given up")
              isComplete = false
            }
          }
        }
        left = again
        if left.isEmpty { break }
        try await time.sleep(for: pause)
        pause = min(pause * 2, .seconds(600))
      }
      // From now on the layers are unpacked from the store; those who use the mounts keep them.
      if isComplete { unmount() }
    } catch {
      log.note("fetching ended: \(error)")
    }
  }

  enum Keeping: Equatable {
    case kept
    /// It is not what the manifest names: what of it is wrong, or all, has to be fetched once more.
    case wrong
    /// Something is missing, or the store cannot take it now.
    case later
  }

  /// Each costs the transfer of what was wrong and a look at all the rest.
  private static let mismatchesMax = 4

  /// Puts a complete layer into the store. What of it turns out wrong is forgotten.
  static func keep(
    _ digest: Digest, _ blob: LazyBlob, _ tree: StargzTree, in store: ContentStore,
    note: @escaping @Sendable (String) -> Void
  ) async -> Keeping {
    guard blob.seal() else { return .later }
    do {
      try await BlockingLanes.lazyLayers.run(nil, "keep \(digest)") {
        // Only for the moment: the image's manifest refers to it.
        let lease = try store.lease(for: .seconds(600))
        defer { lease.release() }
        _ = try store.storeBlob(file: blob.path, expecting: digest, lease: lease)
        unlink(blob.path)
      }
      blob.kept()
      return .kept
    } catch {
      blob.unseal()
      note("\(digest) is not kept: \(describe(error))")
      guard (error as? OCIError)?.code == .digestMismatch else { return .later }
    }
    var wrong = 0
    for chunk in tree.chunks {
      let range = chunk.offset..<chunk.end
      // What is away meanwhile is fetched again in any case.
      guard blob.has(range) else {
        wrong += 1
        continue
      }
      do {
        try await BlockingLanes.lazyLayers.run(nil, "check \(digest)") {
          _ = try chunk.content(of: BlobPart(blob, range))
        }
      } catch {
        if Task.isCancelled { return .later }
        blob.forget(range)
        wrong += 1
      }
    }
    // Headers between the chunks, then, or the table.
    if wrong == 0 { blob.forget(0..<blob.size) }
    note("\(wrong == 0 ? "all" : "\(wrong) parts") of \(digest) \(wrong == 1 ? "is" : "are") fetched again")
    return .wrong
  }

  private func unmount() {
    for index in order.layers.indices {
      try? Mount.unmount(order.mountPoint(index), detach: true)
      rmdir(order.mountPoint(index))
    }
    rmdir(order.mounts)
  }
}

/// What happened, for people: a small file, in which failures of the same kind are noted once until they are over.
private final class LazyLog: Sendable {
  private struct State {
    var lines = 0
    var failing: Set<Digest> = []
  }

  private let descriptor: Int32
  private let time: any TimeSource
  private let state = Mutex(State())
  private static let linesMax = 1000

  init(_ path: String, time: any TimeSource) throws(SystemError) {
    descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    self.time = time
    guard descriptor >= 0 else { throw .last("create \(path)") }
  }

  deinit { if descriptor >= 0 { _ = close(descriptor) } }

  func note(_ text: String) {
    let isWritten = state.withLock { state in
      state.lines += 1
      return state.lines <= Self.linesMax
    }
    guard isWritten else { return }
    let line = Array("\(time.now().rfc3339) \(text)\n".utf8)
    _ = line.withUnsafeBytes { DurableFile.writeAll(descriptor, $0) }
  }

  func fetched(_ layer: Digest, _ error: (any Error)?) {
    let isNew = state.withLock { state in
      error == nil ? state.failing.remove(layer) != nil : state.failing.insert(layer).inserted
    }
    guard isNew else { return }
    note(error.map { "\(layer) is not fetched, trying again: \(describe($0))" } ?? "\(layer) is fetched again")
  }
}
