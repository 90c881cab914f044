import Content
import Dockerfile
import Glibc
import Layers
import LinuxSystem
import OCI
import TestKit
import Testing
import Wire

@testable import ImageBuilder

/// What a build finds again, what it must not find, and what it does when the cache is damaged.
@Suite(.timeLimit(.minutes(2))) struct BuildCacheTests {
  private let workshop: Workshop

  init() throws { workshop = try Workshop() }

  // MARK: Records

  private func cache() -> BuildCache { BuildCache(workshop.content, time: workshop.clock) }

  private func layer(_ text: String, size: Int = 0) throws -> Image.Layer {
    let bytes = Array(text.utf8) + [UInt8](repeating: 0, count: size)
    let stored = try workshop.content.storeBlob(bytes, lease: try workshop.content.lease(for: .seconds(3600)))
    return Image.Layer(
      blob: stored.digest, diffID: Digest(of: Array("diff \(text)".utf8)), size: stored.size, mediaType: MediaType.layer
    )
  }

  private func key(_ text: String) -> CacheKey { CacheKey(hex: Digest(of: Array(text.utf8)).hex) }

  private func find(_ cache: BuildCache, _ name: String) throws -> CacheRecord? {
    try cache.record(key(name)) { _ in false }
  }

  @Test func whatIsPutIsFoundByAnotherBuild() throws {
    let made = CacheRecord(layer: try layer("a"), created: workshop.clock.now())
    let nothing = CacheRecord(layer: nil, created: Timestamp(microseconds: 1_600_000_000_123_456))
    try cache().put(key("a"), made)
    try cache().put(key("nothing"), nothing)
    #expect(try find(cache(), "a") == made && find(cache(), "nothing") == nothing)
    #expect(try find(cache(), "b") == nil)
    // The same again, and another result: the last one counts.
    try cache().put(key("a"), made)
    let second = CacheRecord(layer: try layer("b"), created: workshop.clock.now())
    try cache().put(key("a"), second)
    #expect(try find(cache(), "a") == second)
  }

  /// A record whose layer has gone is none, unless the layer can be had elsewhere.
  @Test func aLayerThatIsNotHereIsNoHit() throws {
    let gone = Image.Layer(blob: Digest(of: [1]), diffID: Digest(of: [2]), size: 1, mediaType: MediaType.layer)
    let cache = cache()
    try cache.put(key("a"), CacheRecord(layer: gone, created: workshop.clock.now()))
    #expect(try find(cache, "a") == nil && find(self.cache(), "a") == nil)
    // What is imported counts for this build: whoever imports says where the layer is.
    let record = CacheRecord(layer: gone, created: workshop.clock.now())
    cache.addImported([key("b").hex: record])
    #expect(try cache.record(key("b")) { _ in true } == record)
    #expect(try find(self.cache(), "b") == nil)
    // Once the layer has been fetched, it is kept.
    let here = CacheRecord(layer: try layer("here"), created: workshop.clock.now())
    cache.addImported([key("c").hex: here, key("d").hex: here])
    #expect(try find(cache, "c") == here)
    try cache.keepImported()
    #expect(try find(self.cache(), "c") == here)
    // What was not used is not kept.
    #expect(try find(self.cache(), "d") == nil)
  }

  /// The own record goes before one that is imported, and the first import before the second.
  @Test func whoseRecordCounts() throws {
    let (own, first, second) = (
      CacheRecord(layer: try layer("own"), created: Timestamp(seconds: 1)),
      CacheRecord(layer: try layer("first"), created: Timestamp(seconds: 2)),
      CacheRecord(layer: try layer("second"), created: Timestamp(seconds: 3))
    )
    let cache = cache()
    try cache.put(key("a"), own)
    cache.addImported([key("a").hex: first, key("b").hex: first])
    cache.addImported([key("a").hex: second, key("b").hex: second])
    #expect(try find(cache, "a") == own && find(cache, "b") == first)
    #expect(cache.usedRecords == [key("a").hex: own, key("b").hex: first])
  }

  /// The file of a layer that is gone, cut or longer is noticed, and the step is done again.
  @Test(arguments: ["gone", "cut", "longer", "folder"]) func aDamagedLayerIsNoHit(damage: String) throws {
    let made = CacheRecord(layer: try layer("layer", size: 5000), created: workshop.clock.now())
    try cache().put(key("a"), made)
    let path = workshop.content.blobPath(try #require(made.layer).digest)
    switch damage {
    case "gone": unlink(path)
    case "cut":
      chmod(path, 0o600)
      truncate(path, 100)
    case "longer":
      chmod(path, 0o600)
      truncate(path, 6000)
    default:
      unlink(path)
      mkdir(path, 0o755)
    }
    #expect(try find(cache(), "a") == nil)
    try Directory.removeTree(path)
    // It can be made again.
    let again = CacheRecord(layer: try layer("layer", size: 5000), created: workshop.clock.now())
    try cache().put(key("a"), again)
    #expect(try find(cache(), "a") == again)
  }

  /// So is the record itself: a cache only saves time.
  @Test(arguments: ["gone", "cut", "other", "text"]) func aDamagedRecordIsNoHit(damage: String) throws {
    let made = CacheRecord(layer: try layer("layer"), created: workshop.clock.now())
    try cache().put(key("a"), made)
    let found = try #require(try workshop.content.manifest(.tag(key("a").tag), in: BuildCache.repository))
    let path = workshop.content.blobPath(found.digest)
    chmod(path, 0o600)
    let bytes = try DurableFile.read(path, limit: 1 << 20)
    switch damage {
    case "gone": unlink(path)
    case "cut": try DurableFile.write(Array(bytes.dropLast(5)), to: path)
    case "other": try DurableFile.write(bytes.map { $0 == 0x61 ? 0x62 : $0 }, to: path)
    default: try DurableFile.write([UInt8](repeating: 0x20, count: bytes.count), to: path)
    }
    // A process that has not read it before.
    let store = try ContentStore.open(root: workshop.content.root, time: workshop.clock)
    let cache = BuildCache(store, time: workshop.clock)
    #expect(try cache.record(key("a")) { _ in false } == nil)
    // Put again, it is found again.
    try cache.put(key("a"), made)
    #expect(try cache.record(key("a")) { _ in false } == made)
    store.close()
  }

  /// Whatever stands in the annotations: no record, or the one that was meant; never one without its layer.
  @Test func oddAnnotations() throws {
    let made = try layer("layer")
    let (created, diffID) = ("dev.apus.build.created", "dev.apus.build.diff-id")
    let whole = [created: "2024-01-02T03:04:05.000006Z", diffID: made.diffID.description]
    let record = try #require(BuildCache.record(layers: [made.descriptor], annotations: whole))
    #expect(record.layer?.diffID == made.diffID && record.layer?.digest == made.digest)
    #expect(record.created == Timestamp(rfc3339: "2024-01-02T03:04:05.000006Z"))
    #expect(BuildCache.record(layers: [], annotations: [created: whole[created]!]) != nil)
    for (layers, annotations) in [
      ([made.descriptor], [created: whole[created]!]), ([], whole), ([made.descriptor], [diffID: whole[diffID]!]),
      ([made.descriptor], whole.merging([created: "yesterday"]) { _, new in new }),
      ([made.descriptor], whole.merging([diffID: "sha256:xy"]) { _, new in new }), ([], [:]),
    ] {
      #expect(BuildCache.record(layers: layers, annotations: annotations) == nil, "\(annotations)")
    }
  }

  // MARK: Eviction

  private func tags() throws -> Set<String> {
    Set(try workshop.content.tags(in: BuildCache.repository, limit: 10_000))
  }

  /// The longest unused go, as many as are needed and a tenth more; and a record that was just used stays.
  @Test func theLongestUnusedGoFirst() throws {
    for number in 0..<10 {
      try cache().put(
        key("\(number)"), CacheRecord(layer: try layer("l\(number)", size: 10_000), created: workshop.clock.now()))
      workshop.clock.advance(days: 1)
    }
    // The oldest is looked up today.
    #expect(try find(cache(), "0") != nil)
    try cache().prune(bytesMax: 1 << 30)
    #expect(try tags().count == 10)
    try cache().prune(bytesMax: 60_000)
    let left = try tags()
    #expect(left.count == 5 && left == Set(["0", "6", "7", "8", "9"].map { key($0).tag }))
    // What was pruned takes space until the store collects it; it is not pruned for again.
    for _ in 0..<3 { try cache().prune(bytesMax: 60_000) }
    #expect(try tags() == left)
  }

  /// A layer that two records have is there once, and goes with the last one.
  @Test func aSharedLayerCountsOnce() throws {
    for number in 0..<6 {
      let record = CacheRecord(layer: try layer("l\(number)", size: 10_000), created: workshop.clock.now())
      // As COPY does it: by what is copied from, and by what is in it.
      for kind in ["early", "late"] { try cache().put(key("\(kind) \(number)"), record) }
      workshop.clock.advance(days: 1)
    }
    try cache().prune(bytesMax: 70_000)
    #expect(try tags().count == 12)
    try cache().prune(bytesMax: 40_000)
    let left = try tags()
    // Three layers are what 36,000 bytes hold.
    for number in 0..<6 {
      for kind in ["early", "late"] {
        #expect(left.contains(key("\(kind) \(number)").tag) == (number >= 3), "\(kind) \(number)")
      }
    }
  }

  @Test func nothingIsLeftWhenNothingMayBe() throws {
    try cache().prune(bytesMax: 0)
    for number in 0..<3 {
      try cache().put(key("\(number)"), CacheRecord(layer: try layer("l\(number)"), created: workshop.clock.now()))
    }
    try cache().put(key("none"), CacheRecord(layer: nil, created: workshop.clock.now()))
    try cache().prune(bytesMax: 0)
    #expect(try tags().isEmpty)
  }

  // MARK: Builds

  private let text = "FROM scratch AS app\nCOPY . /app/\nWORKDIR /app/work\nCOPY sub/x /last\n"

  private func fill() {
    workshop.write("a", "1")
    workshop.write("sub/x", "2")
    workshop.write("sub/y", "3")
  }

  private func rebuilt(_ change: (inout BuildRequest) -> Void = { _ in }) async throws -> [String] {
    let log = EventLog()
    try await workshop.build(text, log: log, change)
    let cached = Set(log.cached)
    var done: [String] = []
    for title in log.started where title.hasPrefix("[") && !title.hasPrefix("[internal") && !cached.contains(title) {
      let instruction = title.split(separator: "] ").last.map(String.init) ?? title
      if !instruction.hasPrefix("FROM") { done.append(instruction) }
    }
    return done
  }

  @Test(.enabled(if: geteuid() == 0)) func whatDoesNotMatterIsFoundAgain() async throws {
    fill()
    let all = ["COPY . /app/", "COPY sub/x /last", "WORKDIR /app/work"]
    #expect(try await rebuilt().sorted() == all)
    #expect(try await rebuilt().isEmpty)
    // Times, who owns it, and files that are written anew.
    for name in ["a", "sub/x", "sub"] {
      var times = [timespec(tv_sec: 1, tv_nsec: 0), timespec(tv_sec: 2, tv_nsec: 5)]
      #expect(utimensat(AT_FDCWD, "\(workshop.folder.path)/context/\(name)", &times, 0) == 0)
      if geteuid() == 0 { chown("\(workshop.folder.path)/context/\(name)", 12, 34) }
    }
    unlink("\(workshop.folder.path)/context/a")
    fill()
    #expect(try await rebuilt().isEmpty)
    // Tags, labels and arguments that nothing declares are not of the files.
    #expect(
      try await rebuilt {
        $0.tags = ["example/app:1"]
        $0.labels = ["a": "b"]
        $0.buildArguments = ["UNUSED": "1"]
        $0.parallelismMax = 1
      }.isEmpty)
    // A context of the same content elsewhere.
    let path = workshop.folder.path
    #expect(rename("\(path)/context", "\(path)/moved") == 0)
    #expect(try await rebuilt { $0.context = .directory("\(path)/moved") }.isEmpty)
  }

  @Test(.enabled(if: geteuid() == 0)) func whatMattersIsDoneAgain() async throws {
    fill()
    _ = try await rebuilt()
    workshop.write("a", "changed")
    #expect(try await rebuilt().sorted() == ["COPY . /app/", "COPY sub/x /last", "WORKDIR /app/work"])
    // Below a step that did not change nothing has to be.
    workshop.write("sub/x", "2", mode: 0o755)
    #expect(try await rebuilt().count == 3)
    // Back to what was: known.
    fill()
    #expect(try await rebuilt().isEmpty)
    workshop.folder.link("context/link", to: "a")
    #expect(try await rebuilt().count == 3)
    workshop.write(".dockerignore", "link\n.dockerignore\n")
    #expect(try await rebuilt().isEmpty)
    #expect(try await rebuilt { $0.compression = .zstd }.count == 3)
    #expect(try await rebuilt { $0.sourceDateEpoch = 5 }.count == 3)
    #expect(try await rebuilt { $0.platforms = ["linux/arm64"] }.count == 3)
    #expect(try await rebuilt { $0.ignoresCache = true }.count == 3)
    #expect(try await rebuilt { $0.ignoredCacheStages = ["APP"] }.count == 3)
    #expect(try await rebuilt().isEmpty)
  }

  /// The layer is gone although its record is there: the image that is built has all of its layers.
  @Test(.enabled(if: geteuid() == 0)) func aBuildOnADamagedStoreIsWhole() async throws {
    fill()
    let first = try await workshop.build(text)
    let manifest = try Manifest(
      try workshop.content.document(try #require(Digest(first.digest))), label: "the image")
    for layer in manifest.layers { #expect(unlink(workshop.content.blobPath(layer.digest)) == 0) }
    let second = try await workshop.build(text)
    #expect(try workshop.layers(second.digest).count == 3)
    #expect(try workshop.layers(second.digest).joined().contains { $0.entry.path == "last" && $0.content == [0x32] })
  }

  /// The same files by another way have the same record.
  @Test(.enabled(if: geteuid() == 0)) func historyAndTimesComeFromTheFirstBuild() async throws {
    fill()
    let first = try await workshop.build(text)
    workshop.clock.advance(days: 3)
    #expect(try await workshop.build(text).digest == first.digest)
    workshop.write("a", "other")
    #expect(try await workshop.build(text).digest != first.digest)
  }

  @Test(.enabled(if: geteuid() == 0)) func pruningHappensAtTheEndOfABuild() async throws {
    fill()
    let workshop = workshop
    _ = try await workshop.builder(cacheBytesMax: 1).build(workshop.request(text))
    #expect(try tags().isEmpty)
    #expect(try await rebuilt().count == 3)
  }
}

/// Records of another machine, as they come over the network.
@Suite struct RemoteCacheContentsTests {
  private func contents() -> RemoteCache.Contents {
    func layer(_ number: UInt8) -> Image.Layer {
      Image.Layer(
        blob: Digest(of: [number]), diffID: Digest(of: [number, 1]), size: Int64(number), mediaType: MediaType.layer,
        tocDigest: number == 2 ? Digest(of: [9]) : nil)
    }
    var contents = RemoteCache.Contents()
    contents.records = [
      "k1": CacheRecord(layer: layer(1), created: Timestamp(microseconds: 1)),
      "k2": CacheRecord(layer: layer(2), created: Timestamp(microseconds: 1_700_000_000_000_001)),
      "k3": CacheRecord(layer: layer(1), created: Timestamp(seconds: 3)),
      "none": CacheRecord(layer: nil, created: Timestamp(seconds: 4)),
    ]
    contents.mounts = [Digest(of: [7]).hex: layer(3), Digest(of: [8]).hex: layer(1)]
    return contents
  }

  @Test func layersAreNamedOnceInAnOrderThatDoesNotChange() {
    let layers = contents().layers.map(\.size)
    #expect(layers == [1, 2, 3])
    #expect(contents().json.serialized() == contents().json.serialized())
  }

  /// Each field that is missing, of another type or with another text: no cache, or one without what is damaged.
  @Test(arguments: 0..<4 as Range<UInt64>) func anyDamageIsReadOrNot(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let whole = contents()
    let bytes = whole.json.serialized()
    let parsed = try JSON.parse(bytes)
    #expect(RemoteCache.Contents(parsed) == whole)
    let replacements = Array("{}[]\",:0a-/.".utf8)
    for _ in 0..<500 {
      var damaged = bytes
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let at = Int.random(in: 0..<damaged.count, using: &random)
        if Bool.random(using: &random) {
          damaged.remove(at: at)
        } else {
          damaged[at] = replacements.randomElement(using: &random)!
        }
      }
      guard let json = try? JSON.parse(damaged), let read = RemoteCache.Contents(json) else { continue }
      // A name that becomes a folder's is nothing but a digest, whatever came.
      for name in read.mounts.keys { #expect(name.utf8.count == 64 && name.allSatisfy(\.isHexDigit), "\(name)") }
    }
  }

  @Test func whatIsOfAnotherFormIsNoCache() throws {
    for text in [
      "null", "{}", "[]", #"{"version": 2}"#, #"{"version": "1"}"#, #"{"version": 1, "records": [{}]}"#,
      #"{"version": 1, "records": [{"key": "a"}]}"#, #"{"version": 1, "records": [{"key": "a", "created": "x"}]}"#,
      #"{"version": 1, "records": [{"key": "a", "created": "2024-01-01T00:00:00Z", "layer": {}}]}"#,
      #"{"version": 1, "mounts": [{"name": "../../x"}]}"#,
    ] {
      let json = try JSON.parse(Array(text.utf8))
      #expect(RemoteCache.Contents(json) == nil, "\(text)")
    }
    let empty = try JSON.parse(Array(#"{"version": 1}"#.utf8))
    #expect(RemoteCache.Contents(empty) == RemoteCache.Contents())
  }
}

/// Every field of a step that changes its result changes its key, and no other does.
@Suite struct CacheKeyFieldTests {
  private let scope = KeyScope(platform: "linux/amd64", compression: .zstd, sourceDateEpoch: nil)

  private func runStep() throws -> RunStep {
    let plan = try plan(
      """
      FROM base
      ENV A=1
      WORKDIR /w
      USER u
      RUN --mount=type=cache,target=/c,id=i,mode=0700,uid=5,gid=6 --mount=type=tmpfs,target=/t,size=9 --mount=type=secret,id=s make x
      """)
    guard case .run(let step) = plan.steps.last?.kind else { throw BuildError(.system, "no RUN") }
    return step
  }

  @Test func ofRun() throws {
    let step = try runStep()
    func key(
      _ scope: KeyScope? = nil, base: String = "b", contents: [String] = ["", "", ""], hosts: [String] = ["h:1"],
      _ change: (inout RunStep) -> Void = { _ in }
    ) -> CacheKey {
      var step = step
      change(&step)
      return CacheKey.run(
        step, base: base, mountContents: contents, extraHosts: hosts, scope: scope ?? self.scope)
    }
    let same = key()
    #expect(key() == same)
    // What only the process sees.
    #expect(key { $0.proxies.append((name: "HTTP_PROXY", value: "x")) } == same)
    var others: [String: CacheKey] = [:]
    let changes: [(String, (inout RunStep) -> Void)] = [
      ("arguments", { $0.arguments.append("") }), ("argument", { $0.arguments[0] += " " }),
      ("script", { $0.script = ("EOF", "") }), ("script's text", { $0.script = ("EOF", "x") }),
      ("script's name", { $0.script = ("EOT", "") }), ("variable", { $0.environment[0].value += "x" }),
      ("variable's name", { $0.environment[0].name += "x" }), ("variables' order", { $0.environment.reverse() }),
      ("one variable more", { $0.environment.append((name: "", value: "")) }),
      ("folder", { $0.workingDirectory += "/" }), ("user", { $0.user = "" }), ("network", { $0.network = .none }),
      ("host's network", { $0.network = .host }), ("one mount less", { $0.mounts.removeLast() }),
      ("mounts' order", { $0.mounts.reverse() }), ("target", { $0.mounts[0].target = "/d" }),
      ("kind", { $0.mounts[1].mount.kind = .cache }), ("source", { $0.mounts[0].mount.source = "x" }),
      ("readonly", { $0.mounts[0].mount.isReadOnly.toggle() }), ("id", { $0.mounts[0].mount.id = "j" }),
      ("sharing", { $0.mounts[0].mount.sharing = .locked }), ("required", { $0.mounts[2].mount.isRequired.toggle() }),
      ("mode", { $0.mounts[0].mount.mode = 0o701 }), ("uid", { $0.mounts[0].mount.uid = 6 }),
      ("gid", { $0.mounts[0].mount.gid = 5 }), ("no gid", { $0.mounts[0].mount.gid = nil }),
      ("env", { $0.mounts[2].mount.environment = "S" }), ("size", { $0.mounts[1].mount.sizeMax = 10 }),
    ]
    for (name, change) in changes { others[name] = key(nil, change) }
    others["base"] = key(base: "c")
    others["content"] = key(contents: ["", "x", ""])
    others["content of another"] = key(contents: ["x", "", ""])
    others["hosts"] = key(hosts: ["h:2"])
    others["no hosts"] = key(hosts: [])
    var scope = scope
    scope.platform = "linux/arm64"
    others["platform"] = key(scope)
    scope = self.scope
    scope.compression = .gzip
    others["compression"] = key(scope)
    scope = self.scope
    scope.sourceDateEpoch = 0
    others["epoch"] = key(scope)
    for (name, other) in others { #expect(other != same, "\(name)") }
    #expect(Set(others.values).count == others.count)
  }

  private let copyStep = CopyStep(
    sources: [.path("a"), .document(name: "n", content: "c")], destination: "/d", origin: .step(1), chown: nil,
    chmod: nil, chmodText: nil, isLinked: false, keepsParents: false, excluded: [], isAdd: false, checksum: nil,
    unpacks: nil, keepsGitDirectory: false, fromText: "stage")

  @Test func ofCopy() {
    func key(
      _ scope: KeyScope? = nil, base: String = "b", content: String = "c", _ change: (inout CopyStep) -> Void = { _ in }
    ) -> CacheKey {
      var step = copyStep
      change(&step)
      return CacheKey.copy(step, base: base, content: content, scope: scope ?? self.scope)
    }
    let same = key()
    // What is copied is the content's part, and how the stage is called nobody's.
    #expect(key { $0.fromText = "other" } == same && key { $0.origin = .step(2) } == same)
    #expect(key { $0.sources = [.path("b")] } == same)
    var scope = scope
    scope.platform = "linux/arm64"
    let others = [
      key { $0.destination = "/d/" }, key { $0.chown = "1" }, key { $0.chmodText = "1" }, key { $0.isLinked = true },
      key { $0.isAdd = true }, key { $0.unpacks = true }, key { $0.unpacks = false }, key(base: "c"), key(base: ""),
      key(content: "d"), key(scope),
    ]
    #expect(!others.contains(same) && Set(others).count == others.count)
  }

  @Test func ofFilesThatAreNotLookedAt() {
    func origin(chain: String = "c", _ change: (inout CopyStep) -> Void = { _ in }) -> String {
      var step = copyStep
      change(&step)
      return CacheKey.origin(step, chain: chain)
    }
    let same = origin()
    #expect(origin { $0.destination = "/e" } == same && origin { $0.chown = "1" } == same)
    let others = [
      origin(chain: "d"), origin { $0.keepsParents = true }, origin { $0.excluded = ["x"] },
      origin { $0.excluded = ["x", "y"] }, origin { $0.excluded = ["xy"] }, origin { $0.sources = [.path("a")] },
      origin { $0.sources.reverse() }, origin { $0.sources[0] = .path("b") },
      origin { $0.sources[1] = .document(name: "nc", content: "") },
      origin { $0.sources[1] = .document(name: "", content: "nc") },
      origin { $0.sources = [.path("a"), .path("n")] },
    ]
    #expect(!others.contains(same) && Set(others).count == others.count)
  }

  @Test func ofFoldersAndChains() {
    func key(_ path: String, _ user: String, _ base: String) -> CacheKey {
      CacheKey.workdir(path: path, user: user, base: base, scope: scope)
    }
    #expect(Set([key("/a", "", "b"), key("/a", "b", ""), key("/", "a", "b"), key("/a", "b", "c")]).count == 4)
    #expect(key("/a", "u", "b").tag.utf8.count <= 128)
    let layers = (0..<3).map { Image.Layer(blob: Digest(of: [9]), diffID: Digest(of: [$0]), size: 1, mediaType: "x") }
    let chains = [[], [layers[0]], [layers[1]], [layers[0], layers[1]], [layers[1], layers[0]], layers].map(
      CacheKey.chain)
    #expect(Set(chains).count == chains.count)
  }

  /// Whatever the fields are, two different lists of them are different bytes.
  @Test(arguments: [1, 2, 3] as [UInt64]) func differentFieldsHaveDifferentKeys(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var seen: [CacheKey: String] = [:]
    for _ in 0..<2000 {
      var hasher = KeyHasher("test")
      var description = ""
      for _ in 0..<Int.random(in: 0...3, using: &random) {
        func word() -> String {
          String((0..<Int.random(in: 0...3, using: &random)).map { _ in Array("a:1").randomElement(using: &random)! })
        }
        let name = word()
        if Bool.random(using: &random) {
          let value = word()
          hasher.add(name, value)
          description += "\(name)=\(value.debugDescription);"
        } else {
          // A list is its count and its values, which are fields without a name.
          let values = (0..<Int.random(in: 0...2, using: &random)).map { _ in word() }
          hasher.add(name, values)
          description +=
            "\(name)=\(String(values.count).debugDescription);" + values.map { "=\($0.debugDescription);" }.joined()
        }
      }
      let key = hasher.finish()
      #expect(seen[key] ?? description == description)
      seen[key] = description
    }
  }
}
