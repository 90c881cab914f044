import Distribution
import Glibc
import LinuxSystem
import NIOPosix
import OCI
import Synchronization
import Wire

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
    // One of few processes without which containers cannot go on: the last to be killed when memory runs out.
    let score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)
    if score >= 0 {
      _ = write(score, "-900", 4)
      _ = close(score)
    }
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
      say(["ready": true])
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

  /// The node may be gone already: then nobody reads it.
  private static func say(_ json: JSON) {
    let line = json.serialized() + [0x0A]
    _ = line.withUnsafeBytes { DurableFile.writeAll(STDOUT_FILENO, $0) }
    let null = open("/dev/null", O_RDWR)
    if null >= 0 {
      _ = dup2(null, STDOUT_FILENO)
      _ = close(null)
    }
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
    try LazyRecord(folder: order.folder, image: order.image, process: process, layers: layers).write()
    var served: [Served] = []
    for (index, layer) in order.layers.enumerated() { served.append(try await prepare(layer, index)) }
    for item in served { try await fetchUsers(item) }
    let chunks = LazyChunks()
    for (index, item) in served.enumerated() {
      let layer = LazyLayer(tree: item.tree, blob: item.blob, chunks: chunks, deadline: order.deadline) { [log] why in
        log.note("\(item.layer.digest): \(why)")
      }
      try Directory.create(order.mountPoint(index), mode: 0o755)
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
      guard let node = item.tree.node(at: path) else { continue }
      for chunk in item.tree.chunks[item.tree.nodes[node].chunks] {
        guard await item.blob.wait(for: chunk.offset..<chunk.end, within: order.deadline) else {
          throw OCIError(.notFound, "\(path) of \(item.layer.digest) does not come")
        }
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
      for item in layers {
        async let other: Void = item.blob.fetchRest()
        try await item.blob.fetchRest()
        try await other
        isComplete = await keep(item) && isComplete
      }
      // From now on the layers are unpacked from the store; those who use the mounts keep them.
      if isComplete { unmount() }
    } catch {
      log.note("fetching ended: \(error)")
    }
  }

  /// Puts a complete layer into the store.
  private func keep(_ item: Served) async -> Bool {
    guard item.blob.seal() else { return false }
    let (store, order) = (store, order)
    do {
      try await NIOThreadPool.singleton.runIfActive {
        // Only for the moment: the image's manifest refers to it.
        let lease = try store.lease(for: .seconds(600))
        _ = try store.storeBlob(file: item.blob.path, expecting: item.layer.digest, lease: lease)
        lease.release()
        unlink(item.blob.path)
      }
      log.note("\(item.layer.digest) of \(order.repository) is complete and in the store")
      return true
    } catch {
      // Each chunk that was read was right all the same. A container that starts later pulls the image as a whole.
      log.note("\(item.layer.digest) is not kept: \(describe(error))")
      return false
    }
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
