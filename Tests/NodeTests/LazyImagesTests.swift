import Content
import Distribution
import Glibc
import LinuxSystem
import Logging
import OCI
import Testing
import Wire

@testable import Containers
@testable import Node

/// The node's side, with shell scripts in place of the process that serves layers.
@Suite(.timeLimit(.minutes(1))) struct LazyImagesTests {
  private static let layer = Image.Layer(
    blob: Digest(of: [1]), diffID: Digest(of: [2]), size: 10 << 20, mediaType: MediaType.layer(.gzip),
    tocDigest: Digest(of: [3]))
  private static let image = OCI.Image(layers: [layer], label: "test")

  /// Writes its record as the real one does, with its own number, and says that it is ready.
  private static let ready = """
    folder=$(sed 's/.*"folder":"\\([^"]*\\)".*/\\1/')
    printf '{"image":"\(image.digest)","process":{"pid":%d,"startTime":"%s"},"layers":{"\(layer.digest)":"/nowhere/0"},"ready":true}' \
      $$ $(cut -d' ' -f22 /proc/$$/stat) >$folder/record.json
    echo '{"ready":true}'
    """

  private final class Machine: Sendable {
    let base: String
    let store: ImageStore

    init() throws {
      var template = Array("/tmp/apus-lazy-XXXXXX".utf8CString)
      base = try #require(
        template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap(mkdtemp).map { String(cString: $0) } })
      store = try ImageStore.open(root: "\(base)/store")
    }

    deinit {
      if let layout = try? CgroupLayout.current() {
        let left = Cgroup(layout, path: cgroup)
        try? left.killBlocking(deadline: .now + .seconds(10))
        try? left.remove()
      }
      try? Directory.removeTree(base)
    }

    /// Where the processes of this machine are put.
    private var cgroup: String { base.replacing("/tmp/", with: "/") }

    func images(_ script: String?, within limit: Duration = .seconds(60)) -> LazyImages {
      var policy = script.map { LazyPullPolicy(command: ["/bin/sh", "-euc", $0], cgroup: cgroup) }
      policy?.startDeadline = limit
      return LazyImages(
        policy: policy, store: store, runDirectory: "\(base)/run",
        lanes: testLanes.images, log: Logger(label: "test"))
    }

    func start(_ images: LazyImages) async throws {
      try await images.start(
        LazyImagesTests.image, [LazyImagesTests.layer], from: try Reference(parsing: "r.example/a:1"),
        credentials: .basic(username: "u", password: "p"))
    }

    var folders: [String] { (try? Directory.list("\(base)/store/lazy")) ?? [] }

    /// Of the process that has a record.
    func process() throws -> RecordedProcess {
      try #require(folders.first.flatMap { LazyRecord.read("\(base)/store/lazy/\($0)") }).process
    }
  }

  private func until(_ check: () -> Bool) async {
    while !check() { await Task.yield() }
  }

  @Test func onlyLargeLayersWithATableAreServed() throws {
    let machine = try Machine()
    let (on, off) = (machine.images("true"), machine.images(nil))
    var descriptor = Self.layer.descriptor
    #expect(on.isLazy(descriptor) && on.isOn && !off.isLazy(descriptor) && !off.isOn)
    descriptor.size = 1 << 20
    #expect(!on.isLazy(descriptor))
    descriptor.size = 10 << 20
    descriptor.annotations = [:]
    #expect(!on.isLazy(descriptor))
    descriptor.annotations = [Descriptor.tocAnnotation: "sha256:1"]
    #expect(!on.isLazy(descriptor))
  }

  @Test func whatCannotBeServedIsSaidAndLeavesNothing() async throws {
    let machine = try Machine()
    let refused = machine.images("cat >/dev/null; echo '{\"error\":\"no parts\"}'")
    await #expect { try await machine.start(refused) } throws: { describe($0) == "no parts" }
    for script in ["exit 3", "cat >/dev/null; echo '{\"ready\":true}'", "cat >/dev/null; yes | head -c 200000"] {
      let images = machine.images(script)
      await #expect(throws: (any Error).self) { try await machine.start(images) }
      #expect(machine.folders.isEmpty && images.folders(of: Self.image.digest).isEmpty)
    }
    let silent = machine.images("exec sleep 1000", within: .milliseconds(50))
    await #expect(throws: (any Error).self) { try await machine.start(silent) }
    #expect(machine.folders.isEmpty)
  }

  @Test func aProcessThatDiesIsTold() async throws {
    let machine = try Machine()
    let images = machine.images(Self.ready + "\nexec sleep 1000")
    try await machine.start(images)
    #expect(images.folders(of: Self.image.digest) == [Self.layer.digest: "/nowhere/0/fs"])
    #expect(try images.isComplete(Self.image))
    #expect(!images.isBroken(Self.image.digest))
    let process = try machine.process()
    #expect(getsid(process.pid) == process.pid, "no signal of our terminal comes to it")
    kill(process.pid, SIGKILL)
    for await death in images.deaths() {
      #expect(death.image == Self.image.digest && death.name == machine.folders.first)
      // A server that is killed now finds it again.
      #expect(machine.folders.count == 1)
      await images.buried(death)
      break
    }
    #expect(images.isBroken(Self.image.digest) && machine.folders.isEmpty)
    #expect(images.folders(of: Self.image.digest).isEmpty)
    #expect(try !images.isComplete(Self.image))
    images.mended(Self.image.digest)
    #expect(!images.isBroken(Self.image.digest))
  }

  /// A container's root stands on what is served, too, and no longer when that is gone.
  @Test func whatIsServedIsInTheParent() async throws {
    let machine = try Machine()
    let images = machine.images(Self.ready + "\nexec sleep 1000")
    let provider = ImageProvider(
      catalog: ImageCatalog(store: machine.store), puller: nil,
      uses: ImageUses(
        pins: FakePins(), lanes: testLanes.images, path: "\(machine.base)/pulled.json", time: SystemClock(),
        log: Logger(label: "test")),
      lazy: images, lanes: testLanes.images, credentialsPath: nil, parallelPullsMax: 1, time: SystemClock())
    let local = Image.Layer(
      blob: Digest(of: [4]), diffID: Digest(of: [5]), size: 1, mediaType: MediaType.layer(.gzip))
    let found = FoundImage(
      image: Self.image, reference: try Reference(parsing: "r.example/a:1"), target: Self.image.digest)
    func refused(_ found: FoundImage) async -> Bool {
      do throws(NodeError) {
        _ = try await provider.prepare(found)
        return false
      } catch {
        return error.reason == .errImagePull && error.message.contains("is not complete any more")
      }
    }
    #expect(await refused(found), "nobody serves it yet")
    try await machine.start(images)
    let prepared = try await provider.prepare(found)
    #expect(prepared.lowerDirectories == ["/nowhere/0/fs"] && prepared.servedDirectories == ["/nowhere/0/fs"])
    #expect(prepared.isLazy && provider.isServed(prepared))
    // A layer that is neither in the store nor served.
    var other = found
    other.image.layers.append(local)
    #expect(await refused(other))

    kill(try machine.process().pid, SIGKILL)
    for await death in images.deaths() {
      await images.buried(death)
      break
    }
    #expect(await refused(found) && !provider.isServed(prepared))
  }

  /// One that ends because nobody needs it any more takes its record with it.
  @Test func anEndInOrderIsNoDeath() async throws {
    let machine = try Machine()
    let images = machine.images(Self.ready + "\nrm -r $folder")
    // The record may be gone before it is looked at.
    try? await machine.start(images)
    await until { images.folders(of: Self.image.digest).isEmpty && machine.folders.isEmpty }
    #expect(!images.isBroken(Self.image.digest))
  }

  @Test func anotherServerFindsItAgain() async throws {
    let machine = try Machine()
    let first = machine.images(Self.ready + "\nexec sleep 1000")
    try await machine.start(first)
    let process = try machine.process()
    // Without the option, too: what runs goes on.
    let second = machine.images(nil)
    await second.adopt(used: [Self.image.digest])
    #expect(second.folders(of: Self.image.digest) == [Self.layer.digest: "/nowhere/0/fs"])
    // Nobody uses it: its mounts are taken away, and it is not offered any more.
    let third = machine.images(nil)
    await third.adopt(used: [])
    #expect(third.folders(of: Self.image.digest).isEmpty)
    kill(process.pid, SIGKILL)
    for await death in second.deaths() {
      #expect(death.image == Self.image.digest)
      await second.buried(death)
      break
    }
    await until { machine.folders.isEmpty }
    #expect(!third.isBroken(Self.image.digest), "it was let go before")
  }

  @Test func whatAKilledProcessLeftIsRemoved() async throws {
    let machine = try Machine()
    // One that never was ready has no containers.
    for (name, isReady) in [("left", true), ("begun", false)] {
      let folder = "\(machine.base)/store/lazy/\(name)"
      try Directory.create(folder)
      try Directory.create("\(machine.base)/run/lazy/\(name)/0")
      try LazyRecord(
        folder: folder, image: Self.image.digest, process: RecordedProcess(pid: getpid(), startTime: 1), layers: [:],
        isReady: isReady
      ).write()
    }
    try Directory.create("\(machine.base)/store/lazy/without-a-record")
    let images = machine.images(nil)
    await images.adopt(used: [])
    #expect(machine.folders == ["left"], "as long as its containers may run")
    #expect(images.isBroken(Self.image.digest))
    for await death in images.deaths() {
      #expect(death == LazyImages.Death(image: Self.image.digest, name: "left"))
      await images.buried(death)
      break
    }
    #expect(machine.folders.isEmpty && access("\(machine.base)/run/lazy/left", F_OK) != 0)
  }

  /// The record is gone, but what ran of the image is here.
  @Test func containersWithoutAProcessAreTold() async throws {
    let machine = try Machine()
    try await machine.start(machine.images(Self.ready + "\nexec sleep 1000"))
    let process = try machine.process()
    let images = machine.images(nil)
    let other = Digest(of: [9])
    await images.adopt(used: [Self.image.digest, other], lazy: [Self.image.digest, other])
    for await death in images.deaths() {
      #expect(death == LazyImages.Death(image: other, name: nil))
      // Whoever listens anew is told of it, until it is buried.
      for await again in images.deaths() {
        #expect(again == death)
        break
      }
      await images.buried(death)
      break
    }
    #expect(!images.isBroken(Self.image.digest))
    kill(process.pid, SIGKILL)
    for await death in images.deaths() {
      await images.buried(death)
      break
    }
  }

  /// Its server was killed before it was ready: nobody knows of its mounts.
  @Test func aProcessThatIsNotReadyIsEnded() async throws {
    let machine = try Machine()
    try await machine.start(
      machine.images(Self.ready.replacing("\"ready\":true}' ", with: "\"ready\":false}' ") + "\nexec sleep 1000"))
    let process = try machine.process()
    #expect(ProcessWatch.startTime(of: process.pid) == process.startTime, "it is there to be ended")
    let images = machine.images(nil)
    await images.adopt(used: [Self.image.digest])
    #expect(ProcessWatch.startTime(of: process.pid) == nil && machine.folders.isEmpty)
    #expect(images.folders(of: Self.image.digest).isEmpty && !images.isBroken(Self.image.digest))
  }

  @Test func aStartThatIsCancelledLeavesNothing() async throws {
    let machine = try Machine()
    let images = machine.images(Self.ready.replacing("echo", with: "exec sleep 1000; echo"))
    let start = Task { try await machine.start(images) }
    await until { machine.folders.first.flatMap { LazyRecord.read("\(machine.base)/store/lazy/\($0)") } != nil }
    let process = try machine.process()
    start.cancel()
    await #expect(throws: (any Error).self) { try await start.value }
    await until { machine.folders.isEmpty }
    // Not even a zombie.
    await until { kill(process.pid, 0) != 0 }
    #expect((try? Directory.list("\(machine.base)/run/lazy"))?.isEmpty == true)
  }

  @Test func twoNamesOfAnImageAreOneStart() async throws {
    let machine = try Machine()
    let images = machine.images(Self.ready + "\nexec sleep 1000")
    async let first: Void = machine.start(images)
    async let second: Void = machine.start(images)
    try await first
    try await second
    try await machine.start(images)
    #expect(machine.folders.count == 1)
    var status = stat()
    #expect(stat("\(machine.base)/run/lazy", &status) == 0 && status.st_mode & 0o777 == 0o700)
    kill(try machine.process().pid, SIGKILL)
    for await death in images.deaths() {
      await images.buried(death)
      break
    }
  }

  @Test func aPurgeEndsAll() async throws {
    let machine = try Machine()
    try await machine.start(machine.images(Self.ready + "\nexec sleep 1000"))
    let process = try machine.process()
    try await LazyImages.removeAll(store: machine.store.root, runDirectory: "\(machine.base)/run")
    #expect(ProcessWatch.startTime(of: process.pid) == nil)
  }
}
