import Glibc
import Layers
import LinuxSystem
import OCI
import Synchronization
import TestKit
import Testing
import Wire

@testable import Content

/// Pushes of several clients, deletions, collections, leases that end, full disks and deaths of processes, interleaved at
/// random by a seed, over two processes' views of one store; and a model of what must be there.
///
/// `APUS_STORE_SEEDS` sets how many seeds are run, `APUS_STORE_SEED` runs that one alone.
@Suite struct StoreSimulationTests {
  @Test func noSeedLosesAnything() async throws {
    try await blocking { () throws(OCIError) in StoreSimulationTests.runSeeds() }
  }

  private static func runSeeds() {
    let one = getenv("APUS_STORE_SEED").flatMap { UInt64(String(cString: $0)) }
    let count = getenv("APUS_STORE_SEEDS").flatMap { UInt64(String(cString: $0)) } ?? 40
    for seed in one.map({ $0...$0 }) ?? 1...count {
      do {
        let simulation = try StoreSimulation(seed: seed)
        do {
          try simulation.run(steps: 150)
        } catch {
          let log = simulation.log.suffix(40).joined(separator: "\n")
          Issue.record("seed \(seed), step \(simulation.step): \(error)\n\(log)")
          return
        }
      } catch {
        Issue.record("seed \(seed): \(error)")
        return
      }
    }
  }
}

/// What the model found to be wrong.
private struct Violation: Error, CustomStringConvertible {
  var description: String
}

private final class StoreSimulation {
  /// Dies, or fails, at a point that is reached after so many others.
  final class Trap: Sendable {
    private let state = Mutex<(countdown: Int, error: OCIError)?>(nil)
    /// How many calls have failed.
    let count = Mutex(0)

    func set(after count: Int, _ error: OCIError) { state.withLock { $0 = (count, error) } }
    func clear() { state.withLock { $0 = nil } }

    func reach(_ point: Faults.Point) throws(OCIError) {
      let error: OCIError? = state.withLock { state in
        guard let (countdown, error) = state else { return nil }
        // What has been committed cannot fail any more.
        if point == .afterCommit, error != Faults.crash { return nil }
        state = countdown == 0 ? nil : (countdown - 1, error)
        return countdown == 0 ? error : nil
      }
      guard let error else { return }
      count.withLock { $0 += 1 }
      throw error
    }
  }

  final class Process {
    let trap: Trap
    let store: ContentStore

    init(root: String, clock: TestClock, pause: @escaping @Sendable () -> Void) throws {
      let trap = Trap()
      self.trap = trap
      store = try ContentStore.open(
        root: root, time: clock, isDurable: false,
        faults: Faults(reach: { (point: Faults.Point) throws(OCIError) in try trap.reach(point) }, pause: pause))
    }
  }

  /// A client in the middle of a push.
  final class Push {
    var isBusy = false
    var content: Content
    var repository: Repository
    var tag: String?
    var next = 0
    /// As a builder: blobs under a lease, not linked.
    var lease: Lease?
    var leaseEnds: Int64 = 0
    /// Blobs of which it knows that they are there, and since when.
    var known: [Digest: Int64] = [:]

    init(content: Content, repository: Repository, tag: String?) {
      self.content = content
      self.repository = repository
      self.tag = tag
    }

    func startAgain() {
      lease = nil
      next = 0
      known = [:]
    }
  }

  var random: SeededGenerator
  let folder: String
  let clock = TestClock()
  var processes: [Process] = []
  var step = 0
  /// How many calls are in the middle of something.
  var depth = 0
  var isCollecting = false
  var isRunning = false
  /// What went wrong in between.
  var failure: (any Error)?
  var log: [String] = []

  let repositories = [Repository(path: "a"), Repository(path: "b/c"), Repository(host: "quay.io", path: "a")]
  let contents: [Content]
  let indexes: [[UInt8]]
  var pushes: [Push] = []
  var options = GarbageOptions()

  // The model: what has been acknowledged.
  var tags: [Repository: [String: Digest]] = [:]
  /// Since when a manifest is in a repository without interruption, or was touched last.
  var manifests: [Repository: [Digest: Int64]] = [:]
  var pinned = Set<Digest>()

  init(seed: UInt64) throws {
    defer { note("seed \(seed)") }
    random = SeededGenerator(seed: seed)
    let base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
    var template = Array("\(base)/apus-store-XXXXXX".utf8CString)
    folder = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    let shared = Content("base").layers
    var contents = [
      Content("one", layers: 1, shared: shared), Content("two", layers: 1, shared: shared),
      Content("three", layers: 2), Content("four", layers: 1, shared: [shared[0]]),
    ]
    contents.append(Content("sig-one", layers: 1, subject: contents[0].manifest, type: "t/sig"))
    contents.append(Content("sig-two", layers: 1, subject: contents[1].manifest, type: "t/sig"))
    contents.append(Content("about-sig", layers: 1, subject: contents[4].manifest, type: "t/about"))
    self.contents = contents
    indexes = [Content.index([contents[0].manifest, contents[1].manifest]), Content.index([contents[2].manifest])]
    options.untaggedGrace = .seconds(7200)
    options.unreferencedGrace = .seconds(3600)
    options.trashPeriod = .seconds(3600)
    for _ in 0..<2 { processes.append(try newProcess()) }
  }

  deinit {
    processes = []
    pushes = []
    try? Directory.removeTree(folder)
  }

  /// `@unchecked Sendable`: everything runs on the one thread of the simulation.
  final class Box: @unchecked Sendable {
    weak var simulation: StoreSimulation?
  }

  func newProcess() throws -> Process {
    let box = Box()
    box.simulation = self
    return try Process(root: "\(folder)/images", clock: clock, pause: { box.simulation?.pause() })
  }

  /// Others come between.
  func pause() {
    guard depth < 3, failure == nil, isRunning else { return }
    depth += 1
    defer { depth -= 1 }
    do {
      while chance(3) { try actBetween() }
    } catch {
      failure = error
    }
  }

  func actBetween() throws {
    let process = Int.random(in: 0..<processes.count, using: &random)
    switch Int.random(in: 0..<16, using: &random) {
    case 0..<7: try advancePush(process)
    case 7: try deleteTag(process)
    case 8: try deleteManifest(process)
    case 9, 10: if !isCollecting { try collect(process) }
    case 11, 12: clock.advance(.seconds(Int.random(in: 1...4000, using: &random)))
    case 13: try changePins(process)
    case 14: try restore(process)
    default: try putIndex(process)
    }
  }

  func pick<T>(_ values: [T]) -> T { values[Int.random(in: 0..<values.count, using: &random)] }
  func chance(_ n: Int) -> Bool { Int.random(in: 0..<n, using: &random) == 0 }
  var now: Int64 { clock.now().microseconds }

  func run(steps: Int) throws {
    isRunning = true
    for step in 0..<steps {
      self.step = step
      try act()
      if let failure { throw failure }
      if step % 10 == 9 { try check() }
    }
    isRunning = false
    try quiesce()
  }

  // MARK: Steps

  func act() throws {
    let process = Int.random(in: 0..<processes.count, using: &random)
    if chance(8) {
      let isDeath = chance(2)
      processes[process].trap.set(
        after: Int.random(in: 0..<4, using: &random),
        isDeath ? Faults.crash : OCIError(.diskFull, "no space"))
    }
    switch Int.random(in: 0..<20, using: &random) {
    case 0..<10: try advancePush(process)
    case 10: try deleteTag(process)
    case 11: try deleteManifest(process)
    case 12, 13: try collect(process)
    case 14: clock.advance(.seconds(Int.random(in: 1...4000, using: &random)))
    case 15: clock.advance(.seconds(Int.random(in: 1...200, using: &random)))
    case 16: try changePins(process)
    case 17: try restore(process)
    case 18: try putIndex(process)
    default: try kill(process)
    }
    processes[process].trap.clear()
  }

  func note(_ text: @autoclosure () -> String) {
    log.append("\(step): \(String(repeating: "  ", count: depth))\(text())")
  }

  /// Runs a call. `nil`: it failed, and has changed nothing; when the process died, what happened is not known.
  func attempt<T>(_ process: Int, _ what: String, _ body: (ContentStore) throws -> T) throws -> (
    T?, died: Bool, OCIError?
  ) {
    do {
      let value = try body(processes[process].store)
      note("\(what) on \(process)")
      return (value, false, nil)
    } catch let error as OCIError {
      if error == Faults.crash || error.code == .closed {
        note("\(what) on \(process): died")
        try kill(process)
        return (nil, true, error)
      }
      note("\(what) on \(process): \(error.code)")
      guard [.diskFull, .missingContent, .leaseExpired, .busy, .notFound].contains(error.code) else {
        throw Violation(description: "\(what): \(error)")
      }
      return (nil, false, error)
    }
  }

  func kill(_ process: Int) throws {
    note("kill \(process)")
    // Leases are of the process that died.
    for push in pushes where push.lease != nil && !push.isBusy { push.startAgain() }
    processes[process] = try newProcess()
  }

  func advancePush(_ process: Int) throws {
    if pushes.count < 5, chance(2) || pushes.allSatisfy(\.isBusy) {
      let push = Push(
        content: pick(contents), repository: pick(repositories), tag: chance(3) ? nil : pick(["x", "y", "z"]))
      if chance(3) { push.leaseEnds = 1 }
      pushes.append(push)
    }
    let idle = pushes.filter { !$0.isBusy }
    guard !idle.isEmpty else { return }
    let push = pick(idle)
    push.isBusy = true
    defer { push.isBusy = false }
    let isBuilder = push.leaseEnds > 0
    if isBuilder, push.lease == nil {
      let duration = Int.random(in: 100...6000, using: &random)
      push.lease = try processes[process].store.lease(for: .seconds(duration))
      push.leaseEnds = now + Int64(duration) * 1_000_000
    }
    if push.next == push.content.blobs.count {
      try finish(push, process, isBuilder: isBuilder)
    } else {
      try sendBlob(push, process)
    }
  }

  func finish(_ push: Push, _ process: Int, isBuilder: Bool) throws {
    let what = "put \(push.content.digest.hex.prefix(6)) \(push.tag ?? "-") in \(push.repository)"
    let (record, died, error) = try attempt(process, what) { store in
      try store.putManifest(
        push.content.manifest, mediaType: MediaType.manifest, tags: push.tag.map { [$0] } ?? [], in: push.repository,
        requiring: isBuilder ? .present : .linked)
    }
    if record != nil {
      acknowledge(push)
      push.lease?.release()
      pushes.removeAll { $0 === push }
    } else if died {
      try observe()
      // The next attempt may go by another way.
      push.startAgain()
    } else if let error, error.code == .missingContent {
      // Allowed only when what it knew has become old.
      let grace = options.unreferencedGrace.microseconds - 300_000_000
      for digest in error.digests {
        if let since = push.known[digest], isBuilder ? push.leaseEnds > now : now - since < grace {
          throw Violation(
            description: "lost \(digest) under a push that knew of it since \((now - since) / 1_000_000) s")
        }
      }
      push.startAgain()
    }
  }

  func sendBlob(_ push: Push, _ process: Int) throws {
    let blob = push.content.blobs[push.next]
    let digest = Digest(of: blob)
    let trap = processes[process].trap
    let failures = trap.count.withLock { $0 }
    let (isThere, died, error): (Bool?, Bool, OCIError?)
    if let lease = push.lease {
      (isThere, died, error) = try attempt(process, "store \(digest.hex.prefix(6)) under a lease") { store in
        if try store.blobSize(digest) != nil, try lease.pin(digest) { return true }
        _ = try store.storeBlob(blob, expecting: digest, lease: lease)
        return true
      }
    } else {
      let way = Int.random(in: 0..<3, using: &random)
      let source = pick(repositories)
      (isThere, died, error) = try attempt(process, "upload \(digest.hex.prefix(6)) to \(push.repository)") { store in
        if way > 0, try store.isLinked(digest, in: push.repository) { return true }
        if way > 1, try store.link(digest, in: push.repository, from: source) { return true }
        let upload = try store.beginUpload(in: push.repository)
        try upload.append(blob)
        do { _ = try upload.finish(digest) } catch {
          try upload.cancel()
          throw error
        }
        return true
      }
    }
    if isThere == true {
      // On a full disk a blob that was asked for can be read, but its grace does not begin anew.
      if trap.count.withLock({ $0 }) == failures { push.known[digest] = now }
      push.next += 1
    } else if died || error?.code == .leaseExpired {
      push.startAgain()
    }
  }

  func acknowledge(_ push: Push) {
    if let tag = push.tag { move(tag, to: push.content.digest, in: push.repository) }
    manifests[push.repository, default: [:]][push.content.digest] = now
  }

  func move(_ tag: String, to digest: Digest?, in repository: Repository) {
    if let old = tags[repository]?[tag], manifests[repository]?[old] != nil { manifests[repository]?[old] = now }
    tags[repository, default: [:]][tag] = digest
  }

  func putIndex(_ process: Int) throws {
    let index = pick(indexes)
    let repository = pick(repositories)
    let (record, died, _) = try attempt(process, "index \(Digest(of: index).hex.prefix(6)) in \(repository)") { store in
      try store.putManifest(index, mediaType: MediaType.index, tags: ["i"], in: repository)
    }
    if record != nil {
      move("i", to: Digest(of: index), in: repository)
      manifests[repository, default: [:]][Digest(of: index)] = now
    }
    if died { try observe() }
  }

  func deleteTag(_ process: Int) throws {
    let repository = pick(repositories)
    guard let tag = tags[repository]?.keys.sorted().first else { return }
    let (isGone, died, _) = try attempt(process, "delete \(tag) of \(repository)") { store in
      try store.deleteTag(tag, in: repository)
    }
    if isGone == false { throw Violation(description: "the tag \(tag) of \(repository) was gone") }
    if isGone == true { move(tag, to: nil, in: repository) }
    if died { try observe() }
  }

  func deleteManifest(_ process: Int) throws {
    let repository = pick(repositories)
    guard let digest = manifests[repository]?.keys.sorted().first else { return }
    let (isGone, died, _) = try attempt(process, "delete \(digest.hex.prefix(6)) of \(repository)") { store in
      try store.deleteManifest(digest, in: repository)
    }
    if isGone != nil {
      manifests[repository]?[digest] = nil
      tags[repository] = tags[repository]?.filter { $0.value != digest }
    }
    if died { try observe() }
  }

  func restore(_ process: Int) throws {
    guard let entry = try processes[process].store.trash().first else { return }
    let (isBack, _, _) = try attempt(
      process, "restore \(entry.digest.hex.prefix(6)) in \(entry.repository.map(\.description) ?? "-")"
    ) {
      store in try store.restoreFromTrash(entry.digest, in: entry.repository)
    }
    // It brings other manifests and tags with it: the truth is looked up.
    _ = isBack
    try observe()
  }

  func changePins(_ process: Int) throws {
    let digest = pick(contents).digest
    if pinned.contains(digest) {
      let (done, died, _) = try attempt(process, "unpin \(digest.hex.prefix(6))") { store in
        try store.pinSet("node").unpin(digest)
        return true
      }
      if done != nil || died { pinned.remove(digest) }
      if died { pinned = try processes[process].store.pinSet("node").digests() }
    } else {
      let (isThere, died, _) = try attempt(process, "pin \(digest.hex.prefix(6))") { store in
        // As the node does: it has looked the image up, and it runs from now on.
        guard try self.repositories.contains(where: { try store.manifest(.digest(digest), in: $0) != nil }) else {
          return false
        }
        return try store.pinSet("node").pin(digest)
      }
      if isThere == true { pinned.insert(digest) }
      if died { pinned = try processes[process].store.pinSet("node").digests() }
    }
  }

  func collect(_ process: Int) throws {
    var options = options
    if chance(4) { options.untaggedGrace = nil }
    isCollecting = true
    defer { isCollecting = false }
    let (report, _, _) = try attempt(process, "collect") { store in try store.collectGarbage(options) }
    if let report { note("\(report)") }
    // Deleted manifests are gone; those without a tag may be.
    try observe(collected: true)
  }

  // MARK: The truth

  /// Brings the model to the store's state where the model cannot know it: after a death in the middle of a change, and
  /// after a collection. What must not have happened is a violation all the same, and found by `check`, because tags are
  /// only taken over when the call that died was about them.
  func observe(collected: Bool = false) throws {
    let store = processes[0].store
    for repository in repositories {
      let found = try store.tags(in: repository, limit: 100)
      var now: [String: Digest] = [:]
      for tag in found { now[tag] = try store.manifest(.tag(tag), in: repository)?.digest }
      if collected {
        guard now == tags[repository] ?? [:] else {
          throw Violation(
            description: "a collection changed the tags of \(repository): \(tags[repository] ?? [:]) -> \(now)")
        }
      } else {
        tags[repository] = now
      }
      for digest in contents.map(\.digest) + indexes.map({ Digest(of: $0) }) {
        let isThere = try store.manifest(.digest(digest), in: repository) != nil
        if isThere {
          if manifests[repository]?[digest] == nil { manifests[repository, default: [:]][digest] = self.now }
        } else {
          if collected, let since = manifests[repository]?[digest] {
            guard self.now - since >= 3_600_000_000 else {
              throw Violation(
                description: "\(digest) of \(repository) was collected after \((self.now - since) / 1_000_000) s")
            }
          }
          manifests[repository]?[digest] = nil
        }
      }
    }
  }

  func content(_ digest: Digest) -> Content? { contents.first { $0.digest == digest } }

  func check() throws {
    let store = pick(processes).store
    for repository in repositories {
      for (tag, digest) in tags[repository] ?? [:] {
        guard let record = try store.manifest(.tag(tag), in: repository), record.digest == digest else {
          throw Violation(description: "\(repository):\(tag) is lost or wrong")
        }
        try checkManifest(digest, in: repository, store)
      }
      var expected: Int64 = 0
      store.manifests.remove(contents[0].digest)
      for digest in manifests[repository]?.keys.sorted() ?? [] {
        let record = try store.manifest(.digest(digest), in: repository)
        expected += record?.size ?? 0
      }
      for blob in Set(contents.flatMap(\.blobs)) {
        expected += try store.openBlob(Digest(of: blob), in: repository)?.size ?? 0
      }
      let usage = try store.usage(of: repository)
      guard usage == expected else {
        throw Violation(description: "\(repository) has \(expected) bytes, but its account says \(usage)")
      }
    }
    for digest in pinned {
      for blob in content(digest)?.blobs ?? [] where try store.document(Digest(of: blob)) != blob {
        throw Violation(description: "what runs is lost")
      }
      _ = try store.document(digest)
    }
    for push in pushes where push.lease != nil && push.leaseEnds > now {
      for digest in push.known.keys { _ = try store.document(digest) }
    }
  }

  func checkManifest(_ digest: Digest, in repository: Repository, _ store: ContentStore) throws {
    if let content = content(digest) {
      guard try store.document(digest) == content.manifest else { throw Violation(description: "manifest damaged") }
      for blob in content.blobs {
        guard try store.document(Digest(of: blob)) == blob else { throw Violation(description: "blob damaged") }
        guard let file = try store.openBlob(Digest(of: blob), in: repository), file.size == Int64(blob.count) else {
          throw Violation(description: "\(repository) lost a blob of \(digest)")
        }
      }
      // What is about it lives with it.
      for other in contents {
        let record = try ParsedManifest(
          other.manifest, mediaType: MediaType.manifest, digest: other.digest, limits: ImageLimits()
        ).record
        guard record.subject == digest, manifests[repository]?[other.digest] != nil else { continue }
        let referrers = try store.referrers(to: digest, in: repository).descriptors
        guard referrers.contains(where: { $0.digest == other.digest }) else {
          throw Violation(description: "\(repository) lost what is about \(digest)")
        }
        try checkManifest(other.digest, in: repository, store)
      }
    } else {
      for content in contents
      where indexes.contains(where: { index in
        Digest(of: index) == digest && String(decoding: index, as: UTF8.self).contains(content.digest.hex)
      }) {
        // A child that was deleted by hand is not the index's fault.
        guard manifests[repository]?[content.digest] != nil else { continue }
        try checkManifest(content.digest, in: repository, store)
      }
    }
  }

  /// Lets everything end, and looks whether exactly what is needed is left.
  func quiesce() throws {
    try check()
    pushes = []
    for index in processes.indices { try kill(index) }
    let store = processes[0].store
    for _ in 0..<4 {
      clock.advance(.seconds(24 * 3600))
      _ = try store.collectGarbage(options)
    }
    try observe(collected: true)
    try check()
    guard try store.trash().isEmpty else { throw Violation(description: "the trash is not empty") }
    var needed = Set<String>()
    func need(_ digest: Digest) {
      needed.insert(digest.hex)
      for blob in content(digest)?.blobs ?? [] { needed.insert(Digest(of: blob).hex) }
    }
    // An index keeps its children's bytes, also when somebody deleted one of them by hand.
    func needIndex(_ digest: Digest) {
      need(digest)
      for index in indexes where Digest(of: index) == digest {
        for content in contents where String(decoding: index, as: UTF8.self).contains(content.digest.hex) {
          needed.insert(content.digest.hex)
        }
      }
    }
    for repository in repositories { for digest in manifests[repository]?.keys.sorted() ?? [] { needIndex(digest) } }
    for digest in pinned { need(digest) }
    let files = Set(try Directory.list("\(folder)/images/blobs/sha256"))
    // A manifest without a tag is gone by now, unless it belongs to one that is not.
    for repository in repositories {
      for digest in manifests[repository]?.keys.sorted() ?? [] where content(digest)?.digest == digest {
        let isNamed = tags[repository]?.values.contains(digest) == true || pinned.contains(digest)
        let isMember = indexes.contains { String(decoding: $0, as: UTF8.self).contains(digest.hex) }
        let isAbout = String(decoding: content(digest)?.manifest ?? [], as: UTF8.self).contains("\"subject\"")
        guard isNamed || isMember || isAbout else {
          throw Violation(description: "\(digest) of \(repository) is kept by nothing")
        }
      }
    }
    guard files == needed else {
      throw Violation(
        description:
          "files that nobody needs: \(files.subtracting(needed)), files that are missing: \(needed.subtracting(files))")
    }
    guard try Directory.list("\(folder)/images/uploads").isEmpty else {
      throw Violation(description: "uploads are left")
    }
    let work = try Directory.list("\(folder)/images/work").filter { $0.hasPrefix("removed") }
    guard work.isEmpty else { throw Violation(description: "left in work: \(work)") }
    guard try store.scrub(olderThan: .zero).isEmpty else { throw Violation(description: "damaged blobs") }
  }
}
