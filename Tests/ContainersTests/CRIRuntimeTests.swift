import CRI
import Glibc
import LinuxSystem
import Synchronization
import Testing
import Wire

@testable import Containers

/// A clock on which nothing has to be waited for.
private struct HastyTime: TimeSource {
  func now() -> Timestamp { Timestamp(seconds: 0) }

  func sleep(for duration: Duration) async throws {
    await Task.yield()
    try Task.checkCancellation()
  }
}

/// The node's other runtime, against one that is asked by CRI and exists in memory.
@Suite(.timeLimit(.minutes(1))) struct CRIRuntimeTests {
  private let fake = FakeContainerd()

  private func open(_ folder: String, owner: String = "me") async throws(RuntimeError) -> CRIRuntime {
    var configuration = CRIRuntime.Configuration(
      socketPath: "\(folder)/s", stateDirectory: "\(folder)/\(owner)", runDirectory: "\(folder)/run-\(owner)",
      owner: owner)
    configuration.cgroupRoot = "apus-test-nowhere"
    return try await CRIRuntime.open(configuration, time: HastyTime())
  }

  private func sandbox(_ uid: String) -> SandboxSpec {
    SandboxSpec(podUID: uid, name: "p", namespace: "n", hostname: "web-0", cgroupParent: "besteffort/pod\(uid)")
  }

  private func container(
    _ folder: String, _ uid: String, attempt: Int = 0, _ change: (inout ContainerSpec) -> Void = { _ in }
  ) -> ContainerSpec {
    var spec = ContainerSpec(
      podUID: uid, podName: "p", podNamespace: "n", name: "c", attempt: attempt, image: "web:1", imageID: "sha256:1",
      lowerDirectories: [], arguments: ["/app"], environment: [], logPath: "\(folder)/logs/c/\(attempt).log")
    spec.terminationMessagePath = "/dev/termination-log"
    change(&spec)
    return spec
  }

  private func refusal(_ body: () async throws(RuntimeError) -> Void) async -> RuntimeError? {
    do throws(RuntimeError) {
      try await body()
      return nil
    } catch {
      return error
    }
  }

  @Test func aNewServerFindsWhatIsThere() async throws {
    try await fake.run { folder in
      let first = try await open(folder)
      #expect(first.name == "fake" && first.version == "1.0")
      #expect(try CRIRuntime.recordedSocket(in: "\(folder)/me") == "\(folder)/s")
      let made = try await first.createSandbox(sandbox("u"))
      #expect(made.ips == ["10.0.0.7"] && made.isReady && made.podUID == "u" && made.name == "p")
      let handle = try await first.createContainer(container(folder, "u"))
      try await first.startContainer(handle.id)
      first.close()

      let second = try await open(folder)
      #expect(try await second.sandboxes() == [made])
      #expect(try await second.createSandbox(sandbox("u")) == made)
      #expect(fake.model.withLock { $0.sandboxes.count } == 1, "nothing is made twice")
      let found = try await second.containers()
      #expect(found.map(\.id) == [handle.id] && found.map(\.status) == [.running] && found.map(\.image) == ["web:1"])
      #expect(found.first?.terminationMessageFile == handle.terminationMessageFile)
      #expect(found.first?.logPath == "\(folder)/logs/c/0.log")
      let twin = await refusal { () throws(RuntimeError) in
        _ = try await second.createContainer(container(folder, "u", attempt: 1))
      }
      #expect(twin?.code == .wrongState)
      // Files of the pod are there for its containers, and go with it.
      let file = try #require(handle.terminationMessageFile)
      #expect(access(file, F_OK) == 0)
      let mounts = fake.model.withLock { $0.containerConfigs.first?.mounts ?? [] }
      #expect(mounts.map(\.containerPath) == ["/etc/hosts", "/dev/termination-log"])
      #expect(try String(decoding: DurableFile.read(mounts[0].hostPath, limit: 4096), as: UTF8.self).contains("web-0"))
      try await second.removeContainer(handle.id)
      try await second.removeContainer(handle.id)
      #expect(access(file, F_OK) != 0)
      try await second.removeSandbox("u")
      try await second.removeSandbox("u")
      #expect(try await second.sandboxes().isEmpty)
      #expect(access("\(folder)/me/pods/u", F_OK) != 0)
      second.close()
    }
  }

  /// The machine was rebooted, or the sandbox's process ended.
  @Test func aSandboxThatIsNotReadyIsMadeAnew() async throws {
    try await fake.run { folder in
      let runtime = try await open(folder)
      _ = try await runtime.createSandbox(sandbox("u"))
      fake.model.withLock { $0.sandboxes[0].state = .notReady }
      #expect(try await runtime.sandboxes().map(\.isReady) == [false])
      let container = container(folder, "u")
      let early = await refusal { () throws(RuntimeError) in _ = try await runtime.createContainer(container) }
      #expect(early?.code == .wrongState)
      #expect(try await runtime.createSandbox(sandbox("u")).isReady)
      #expect(fake.model.withLock { $0.sandboxes.map(\.metadata.attempt) } == [1], "the old one went")
      runtime.close()
    }
  }

  /// The server was killed after the sandbox was made, and before its files were.
  @Test func aSandboxWithoutItsFilesIsMadeAnew() async throws {
    try await fake.run { folder in
      let runtime = try await open(folder)
      _ = try await runtime.createSandbox(sandbox("u"))
      #expect(unlink("\(folder)/me/pods/u/hosts") == 0)
      #expect(try await runtime.sandboxes().map(\.isReady) == [false])
      #expect(try await runtime.createSandbox(sandbox("u")).isReady)
      #expect(try await runtime.sandboxes().map(\.isReady) == [true])
      #expect(fake.model.withLock { $0.sandboxes.map(\.metadata.attempt) } == [1])
      runtime.close()
    }
  }

  /// The answer of CreateContainer was lost: that a name is taken was believed to say that somebody knows its container.
  @Test func aContainerThatNobodyKnowsKeepsNoName() async throws {
    try await fake.run { folder in
      let runtime = try await open(folder)
      _ = try await runtime.createSandbox(sandbox("u"))
      let lost = try await runtime.createContainer(container(folder, "u"))
      let next = try await runtime.createContainer(container(folder, "u"))
      #expect(fake.model.withLock { $0.containers.map(\.id) } == [next.id] && next.id != lost.id)
      runtime.close()
    }
  }

  /// A runtime that has lost a container's state was believed to say that it had ended.
  @Test func whatMayLiveIsRemovedBeforeTheNextRun() async throws {
    try await fake.run { folder in
      let runtime = try await open(folder)
      _ = try await runtime.createSandbox(sandbox("u"))
      let first = try await runtime.createContainer(container(folder, "u"))
      try await runtime.startContainer(first.id)
      fake.model.withLock { $0.containers[0].state = .unknown }
      let second = try await runtime.createContainer(container(folder, "u", attempt: 1))
      #expect(fake.model.withLock { $0.containers.map(\.id) } == [second.id])
      runtime.close()
    }
  }

  @Test func oneThatIsNotToldHidesNoOther() async throws {
    try await fake.run { folder in
      let runtime = try await open(folder)
      for uid in ["u", "v"] {
        _ = try await runtime.createSandbox(sandbox(uid))
        let made = try await runtime.createContainer(container(folder, uid))
        try await runtime.startContainer(made.id)
        fake.exit(made.id, code: uid == "u" ? 1 : 2)
        if uid == "u" { fake.model.withLock { _ = $0.silent.insert(made.id) } }
      }
      var events = runtime.events().makeAsyncIterator()
      #expect(await events.next()?.exitCode == 2)
      fake.model.withLock { $0.silent = [] }
      #expect(await events.next()?.exitCode == 1)
      runtime.close()
    }
  }

  @Test func endsAreToldWheneverTheyCame() async throws {
    try await fake.run { folder in
      let runtime = try await open(folder)
      _ = try await runtime.createSandbox(sandbox("u"))
      let early = try await runtime.createContainer(container(folder, "u"))
      try await runtime.startContainer(early.id)
      fake.exit(early.id, code: 3)
      var events = runtime.events().makeAsyncIterator()
      let first = await events.next()
      #expect(first?.containerID == early.id && first?.exitCode == 3 && first?.podUID == "u" && first?.attempt == 0)
      // The runtime is away for a while.
      fake.model.withLock { $0.isBroken = true }
      async let second = { [runtime] in
        var later = runtime.events().makeAsyncIterator()
        return [await later.next(), await later.next()]
      }()
      fake.model.withLock { $0.isBroken = false }
      let late = try await runtime.createContainer(container(folder, "u", attempt: 1))
      try await runtime.startContainer(late.id)
      fake.exit(late.id, code: 137, reason: "OOMKilled")
      let told = await second
      #expect(Set(told.compactMap { $0?.containerID }) == [early.id, late.id])
      #expect(told.contains { $0?.containerID == late.id && $0?.oomKilled == true })
      runtime.close()
    }
  }

  @Test func signalsAreStops() async throws {
    try await fake.run { folder in
      let runtime = try await open(folder)
      _ = try await runtime.createSandbox(sandbox("u"))
      let one = try await runtime.createContainer(container(folder, "u"))
      try await runtime.startContainer(one.id)
      try await runtime.signal(one.id, 15)
      try await runtime.signal(one.id, 9)
      let stops = fake.model.withLock { $0.stops.map(\.timeout) }
      #expect(stops.count == 2 && stops[0] > 86_400 && stops[1] == 0)
      let missing = await refusal { () throws(RuntimeError) in try await runtime.signal("other", 9) }
      #expect(missing?.code == .notFound)
      // Another one than the image's cannot be sent: it is said before the container is made.
      let odd = container(folder, "u", attempt: 1) { $0.stopSignal = 3 }
      let refused = await refusal { () throws(RuntimeError) in _ = try await runtime.createContainer(odd) }
      #expect(refused?.code == .unsupported)
      #expect(try await runtime.containers().count == 1)
      runtime.close()
    }
  }

  @Test func whatCannotBeDoneIsSaid() async throws {
    try await fake.run { folder in
      let runtime = try await open(folder)
      var spec = sandbox("u")
      spec.portMappings = [PortMapping(hostPort: 1, containerPort: 80, transport: "sctp")]
      // The network has no plugin for ports.
      #expect(try await runtime.createSandbox(spec).unmappedPorts == spec.portMappings)
      let stats = await refusal { () throws(RuntimeError) in _ = try await runtime.stats(podUID: "u") }
      #expect(stats?.code == .unsupported, "the runtime does not know the call")
      runtime.close()
      let nobody = await refusal { () throws(RuntimeError) in
        _ = try await CRIRuntime.ask(socketPath: "\(folder)/none")
      }
      #expect(nobody?.message.contains("\(folder)/none") == true)
    }
  }

  @Test func aPurgeTakesItsOwnAlone() async throws {
    try await fake.run { folder in
      let mine = try await open(folder)
      let other = try await open(folder, owner: "other")
      for uid in ["a", "b"] { _ = try await mine.createSandbox(sandbox(uid)) }
      _ = try await other.createSandbox(sandbox("c"))
      #expect(try await mine.sandboxes().map(\.podUID) == ["a", "b"])
      var count = 0
      try await mine.removeEverything { count = $0 }
      #expect(count == 2)
      #expect(fake.model.withLock { $0.sandboxes.map(\.metadata.uid) } == ["c"])
      mine.close()
      other.close()
    }
  }
}
