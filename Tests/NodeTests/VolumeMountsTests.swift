import ControllerKit
import Glibc
import KubeTypes
import LinuxSystem
import Logging
import Synchronization
import Testing
import Wire

@testable import Node

/// Volumes of drivers, with their records on disk.
@Suite("Volumes that drivers mount", .timeLimit(.minutes(1)))
struct VolumeMountsTests {
  private let harness: VolumeHarness

  init() throws { harness = try VolumeHarness() }

  private func request(_ uid: String, _ name: String = "v") -> VolumeRequest {
    let pod = harness.pod(uid, [["name": .string(name)]])
    return VolumeRequest(volume: pod.spec.volumes[0], pod: pod, folder: "")
  }

  private func folder(_ uid: String, _ name: String = "v") -> String {
    "\(harness.configuration.mountsDirectory(uid))/\(name)"
  }

  /// `DRIVER/HANDLE` as they are on disk.
  private var stages: Set<String> {
    let folder = harness.configuration.stagesDirectory
    return Set(Files.list(folder).flatMap { driver in Files.list("\(folder)/\(driver)") })
  }

  @Test("a volume is staged once for two pods, published for each, and undone when both are gone")
  func life() async throws {
    let driver = FakeDriver()
    let mounts = harness.mounts(driver)
    for uid in ["a", "b"] {
      let path = try await mounts.publish(driver.volume("h"), for: request(uid))
      #expect(path == "\(folder(uid))/target" && driver.published[path] == "h")
    }
    // Nothing is done again while it is there.
    _ = try await mounts.publish(driver.volume("h"), for: request("a"))
    #expect(driver.calls == ["stage h", "publish h", "publish h"])
    #expect(driver.phases == [.begun, .begun])
    try await mounts.remove("a")
    try await mounts.removeUnusedStages()
    #expect(driver.staged == ["h"] && stages == ["h"])
    try await mounts.remove("b")
    try await mounts.removeUnusedStages()
    #expect(driver.calls.suffix(3) == ["unpublish h", "unpublish h", "unstage h"])
    #expect(driver.phases.suffix(2) == [.undoing, .undoing])
    #expect(driver.staged.isEmpty && stages.isEmpty && driver.violations.isEmpty)
    #expect(!Files.exists(harness.configuration.mountsDirectory("a")))
    // There is nothing left to undo.
    try await mounts.remove("a")
    #expect(driver.calls.count == 6)
    // From the beginning.
    _ = try await mounts.publish(driver.volume("h"), for: request("a"))
    #expect(driver.calls.suffix(2) == ["stage h", "publish h"] && driver.violations.isEmpty)
  }

  @Test("a stage that somebody begins to use while others are undone stays; one that is being undone is waited for")
  func race() async throws {
    let driver = FakeDriver()
    let mounts = harness.mounts(driver)
    for handle in ["h", "i"] {
      _ = try await mounts.publish(driver.volume(handle), for: request("a"))
    }
    try await mounts.remove("a")
    #expect(driver.staged == ["h", "i"])
    let refusal = Mutex("")
    let first = request("b")
    let second = request("b", "w")
    driver.whenUnstaging { [harness] handle in
      let other = handle == "h" ? "i" : "h"
      _ = try await mounts.publish(driver.volume(other), for: first)
      let text = await harness.message {
        _ = try await mounts.publish(driver.volume(handle), for: second)
      }
      refusal.withLock { $0 = text }
    }
    try await mounts.removeUnusedStages()
    #expect(refusal.withLock { $0 }.contains("is being mounted or unmounted for another pod"))
    #expect(driver.calls.filter { $0.hasPrefix("unstage") }.count == 1)
    #expect(driver.staged.count == 1 && driver.staged == Set(driver.published.values))
    #expect(stages == driver.staged && driver.violations.isEmpty)
  }

  @Test("a new server leaves alone what is mounted, and after a reboot mounts it again")
  func restart() async throws {
    let driver = FakeDriver()
    _ = try await harness.mounts(driver).publish(driver.volume("h"), for: request("a"))
    let next = harness.mounts(driver)
    _ = try await next.publish(driver.volume("h"), for: request("a"))
    try await next.removeUnusedStages()
    #expect(driver.calls == ["stage h", "publish h"])
    // Somebody unmounted it.
    rmdir("\(folder("a"))/target")
    _ = try await next.publish(driver.volume("h"), for: request("a"))
    #expect(driver.calls.suffix(2) == ["stage h", "publish h"])
    driver.reboot()
    _ = try await harness.mounts(driver, boot: "boot-2").publish(driver.volume("h"), for: request("a"))
    #expect(driver.calls.suffix(2) == ["stage h", "publish h"] && driver.calls.count == 6)
    #expect(driver.violations.isEmpty)
  }

  @Test("a driver that does not stage is asked for no stage")
  func withoutStage() async throws {
    let driver = FakeDriver(needsStage: false)
    let mounts = harness.mounts(driver)
    _ = try await mounts.publish(driver.volume("h"), for: request("a"))
    try await mounts.remove("a")
    try await mounts.removeUnusedStages()
    #expect(driver.calls == ["publish h", "unpublish h"] && driver.violations.isEmpty && stages.isEmpty)
  }

  @Test("a volume of a driver that is not there is neither mounted nor forgotten")
  func unknownDriver() async throws {
    let driver = FakeDriver()
    _ = try await harness.mounts(driver).publish(driver.volume("h"), for: request("a"))
    let without = harness.mounts(nil)
    let refusal = "this node has no storage driver fake.example.com"
    #expect(await harness.message { _ = try await without.publish(driver.volume("h"), for: request("b")) } == refusal)
    #expect(!Files.exists(folder("b")))
    #expect(await harness.message { try await without.remove("a") } == refusal)
    #expect(driver.published.count == 1)
    let mounts = harness.mounts(driver)
    try await mounts.remove("a")
    #expect(await harness.message { try await without.removeUnusedStages() } == refusal)
    #expect(stages == ["h"])
    try await mounts.removeUnusedStages()
    #expect(stages.isEmpty && driver.violations.isEmpty)
    for handle in ["", String(repeating: "/", count: 100)] {
      #expect(
        await harness.message { _ = try await mounts.publish(driver.volume(handle), for: request("b")) }
          .contains("empty or too long"))
    }
  }

  @Test("one volume that cannot go keeps no other one of the pod")
  func oneFails() async throws {
    let isBroken = Mutex(true)
    let driver = FakeDriver { call in call == .unpublish && isBroken.withLock { $0 } ? .before : nil }
    let mounts = harness.mounts(driver)
    _ = try await mounts.publish(driver.volume("h"), for: request("a", "v"))
    _ = try await mounts.publish(driver.volume("i"), for: request("a", "w"))
    await #expect(throws: FakeDriver.Failure.self) { try await mounts.remove("a") }
    #expect(driver.calls.suffix(2) == ["unpublish h", "unpublish i"] && driver.published.count == 2)
    isBroken.withLock { $0 = false }
    try await mounts.remove("a")
    #expect(driver.published.isEmpty && driver.violations.isEmpty)
  }

  @Test("what is in the place of a mount and is no mount is not removed")
  func foreignFiles() async throws {
    let driver = FakeDriver()
    let mounts = harness.mounts(driver)
    let path = try await mounts.publish(driver.volume("h"), for: request("a"))
    try DurableFile.write([1], to: "\(path)/data")
    #expect(await harness.message { try await mounts.remove("a") }.contains("Directory not empty"))
    #expect(Files.exists("\(path)/data"))
    unlink("\(path)/data")
    try await mounts.remove("a")
    #expect(!Files.exists(folder("a")))
  }

  enum Damage: String, CaseIterable, Sendable { case absent, empty, cut, flipped, old, foreign }

  private func damage(_ damage: Damage, _ path: String, old: [UInt8], foreign: [UInt8]) throws {
    let bytes = try DurableFile.read(path, limit: MountRecord.sizeMax)
    switch damage {
    case .absent: unlink(path)
    case .empty: try DurableFile.write([], to: path)
    case .cut: try DurableFile.write(Array(bytes[..<(bytes.count / 2)]), to: path)
    case .flipped:
      var bytes = bytes
      bytes[bytes.count / 2] ^= 1
      try DurableFile.write(bytes, to: path)
    case .old: try DurableFile.write(old, to: path)
    case .foreign: try DurableFile.write(foreign, to: path)
    }
  }

  @Test("a damaged record forgets nothing: its volume stays, heals, and goes", arguments: Damage.allCases)
  func damagedRecord(_ damage: Damage) async throws {
    let driver = FakeDriver()
    let first = harness.mounts(driver)
    let record = MountRecord(
      uid: "a", volume: "v", driver: driver.name, handle: "h", phase: .published, bootID: "boot-1")
    for (uid, handle) in [("a", "h"), ("b", "i")] {
      _ = try await first.publish(driver.volume(handle), for: request(uid))
    }
    let path = "\(folder("a"))/record.json"
    #expect(try DurableFile.read(path, limit: MountRecord.sizeMax) == record.bytes)
    let foreign = try DurableFile.read("\(folder("b"))/record.json", limit: MountRecord.sizeMax)
    func harm() throws {
      try self.damage(damage, path, old: record.with(.begun).bytes, foreign: foreign)
    }

    // The server starts: nothing of a running pod is undone, and its record is made anew.
    try harm()
    let next = harness.mounts(driver)
    try await next.removeUnusedStages()
    #expect(driver.staged == ["h", "i"] && driver.published.count == 2)
    _ = try await next.publish(driver.volume("h"), for: request("a"))
    #expect(try DurableFile.read(path, limit: MountRecord.sizeMax) == record.bytes)

    // It starts when the pod is gone: everything goes.
    try harm()
    let last = harness.mounts(driver)
    // Not while it is not known who uses it.
    try await harness.mounts(driver).remove("b")
    try await last.removeUnusedStages()
    #expect(driver.staged == (damage == .old ? ["h"] : ["h", "i"]))
    try await last.remove("a")
    try await last.removeUnusedStages()
    #expect(driver.published.isEmpty && driver.staged.isEmpty && stages.isEmpty)
    #expect(!Files.exists(harness.configuration.mountsDirectory("a")))
    #expect(driver.violations.isEmpty)
  }

  @Test("half a write, and folders that are no stage, hinder nothing")
  func leftovers() async throws {
    let driver = FakeDriver()
    let mounts = harness.mounts(driver)
    _ = try await mounts.publish(driver.volume("h"), for: request("a"))
    try DurableFile.write([1, 2], to: "\(folder("a"))/record.json.tmp.x7Gq2A")
    // Killed after the folder was made and before the record was there.
    try Directory.create(folder("b"))
    try Directory.create("\(harness.configuration.stagesDirectory)/d/no.stage")
    try await mounts.remove("a")
    try await mounts.remove("b")
    try await mounts.removeUnusedStages()
    #expect(driver.staged.isEmpty && driver.violations.isEmpty && stages == ["no.stage"])
    #expect(!Files.exists(harness.configuration.mountsDirectory("a")))
    #expect(!Files.exists(harness.configuration.mountsDirectory("b")))
  }

  @Test("a driver that hangs disturbs no other volume, and what it began is not forgotten")
  func hung() async throws {
    var pipe: [Int32] = [-1, -1]
    #expect(Glibc.pipe(&pipe) == 0)
    let (reader, writer) = (pipe[0], pipe[1])
    defer { close(reader) }
    let lanes = BlockingLanes("driver", .init(deadline: .milliseconds(200), runningMax: 4, stuckMax: 4))
    let driver = HangingDriver(lanes: lanes, pipe: reader)
    let mounts = VolumeMounts(
      configuration: harness.configuration, drivers: [driver], lanes: testLanes, time: harness.clock, bootID: "boot",
      log: Logger(label: "test"), isMounted: { _ in false })
    let hung = DriverVolume(driver: driver.name, handle: "hung")
    #expect(
      await harness.message { _ = try await mounts.publish(hung, for: request("a")) }.contains("no answer within"))
    _ = try await mounts.publish(DriverVolume(driver: driver.name, handle: "h"), for: request("b"))
    // The same volume of another pod is told what it waits for, and the stage is kept as long as somebody wants it.
    #expect(
      await harness.message { _ = try await mounts.publish(hung, for: request("c")) }
        .contains("an earlier call has not returned: stage hung"))
    try await mounts.removeUnusedStages()
    #expect(stages == ["h", "hung"])
    // The pods go. Whether it was staged is not known, so that this is undone.
    for uid in ["a", "c"] {
      #expect(
        await harness.message { try await mounts.remove(uid) }
          .contains("an earlier call has not returned: stage hung"))
      #expect(Files.exists("\(folder(uid))/record.json"))
    }
    close(writer)
    while !lanes.usage.stuck.isEmpty { await Task.yield() }
    for uid in ["a", "b", "c"] { try await mounts.remove(uid) }
    try await mounts.removeUnusedStages()
    #expect(stages.isEmpty)
    #expect(driver.done.withLock { $0.filter { $0 == "unstage hung" || $0 == "unstage h" }.count } == 2)
  }

  @Test("stages are undone in the background, and again when it failed")
  func background() async throws {
    let failures = Mutex(2)
    let driver = FakeDriver { call in
      guard call == .unstage else { return nil }
      return failures.withLock { left in
        left -= 1
        return left >= 0 ? .before : nil
      }
    }
    let mounts = harness.mounts(driver)
    _ = try await mounts.publish(driver.volume("h"), for: request("a"))
    let task = Task { await mounts.run() }
    try await mounts.remove("a")
    await harness.clock.running { while !driver.staged.isEmpty { await Task.yield() } }
    #expect(driver.calls.filter { $0 == "unstage h" }.count == 3)
    task.cancel()
    await task.value
  }

  // MARK: - Crashes

  /// Kills the server before or after a random call of a random driver's work, damages what it has written, and reboots;
  /// every life begins with what the last one left.
  @Test("wherever the server is killed: nothing is forgotten, mounted twice, or taken from a pod", arguments: 0..<16)
  func crashes(seed: UInt64) async throws {
    let random = Mutex(SeededRandom(seed: seed))
    func pick(_ count: Int) -> Int { random.withLock { Int.random(in: 0..<count, using: &$0) } }
    let isOver = Mutex(false)
    let kills = Mutex(0)
    var damages = 0
    let driver = FakeDriver { _ in
      if isOver.withLock({ $0 }) { return nil }
      let fault: FakeDriver.Fault? = random.withLock { random in
        switch Int.random(in: 0..<8, using: &random) {
        case 0: .before
        case 1: .after
        default: nil
        }
      }
      if fault != nil { kills.withLock { $0 += 1 } }
      return fault
    }
    let uids = ["a", "b", "c"]
    func handles(_ uid: String) -> [(name: String, handle: String)] { [("shared", "s"), ("own", "o-\(uid)")] }
    var wanted: Set<String> = []
    var boot = 0
    var old: [String: [UInt8]] = [:]
    var mounts = harness.mounts(driver, boot: "\(boot)")
    for _ in 0..<20 {
      let uid = uids[pick(uids.count)]
      do {
        switch pick(4) {
        case 0:
          wanted.remove(uid)
          try await mounts.remove(uid)
        case 1: try await mounts.removeUnusedStages()
        default:
          wanted.insert(uid)
          for (name, handle) in handles(uid) {
            _ = try await mounts.publish(driver.volume(handle), for: request(uid, name))
          }
        }
      } catch {
        #expect(error is FakeDriver.Failure, "seed \(seed): \(error)")
        if pick(6) == 0 {
          boot += 1
          driver.reboot()
        }
        mounts = harness.mounts(driver, boot: "\(boot)")
      }
      let path = "\(folder(uid, handles(uid)[pick(2)].name))/record.json"
      guard Files.exists(path) else { continue }
      let bytes = try DurableFile.read(path, limit: MountRecord.sizeMax)
      if pick(3) == 0 {
        damages += 1
        let all = Damage.allCases
        try damage(all[pick(all.count)], path, old: old[path] ?? bytes, foreign: Array("of another".utf8))
        mounts = harness.mounts(driver, boot: "\(boot)")
      }
      old[path] = bytes
    }
    #expect(kills.withLock { $0 } > 0 && damages > 0, "seed \(seed) harms nothing")
    isOver.withLock { $0 = true }
    mounts = harness.mounts(driver, boot: "\(boot)")
    var published: [String: String] = [:]
    for uid in uids {
      guard wanted.contains(uid) else {
        try await mounts.remove(uid)
        continue
      }
      for (name, handle) in handles(uid) {
        published[try await mounts.publish(driver.volume(handle), for: request(uid, name))] = handle
      }
    }
    try await mounts.removeUnusedStages()
    #expect(driver.published == published, "seed \(seed)")
    #expect(driver.staged == Set(published.values) && stages == driver.staged, "seed \(seed)")
    for uid in uids { try await mounts.remove(uid) }
    try await mounts.removeUnusedStages()
    #expect(driver.published.isEmpty && driver.staged.isEmpty && stages.isEmpty, "seed \(seed)")
    #expect(driver.violations.isEmpty, "seed \(seed): \(driver.violations)")
  }
}

/// A driver whose calls run on lanes of the volume's own, and hang for one handle until they are let go.
private final class HangingDriver: VolumeDriver {
  let name = "hanging"
  let needsStage = true
  let done = Mutex<[String]>([])
  private let lanes: BlockingLanes
  /// Read while a call hangs.
  private let pipe: Int32

  init(lanes: BlockingLanes, pipe: Int32) {
    self.lanes = lanes
    self.pipe = pipe
  }

  private func run(_ what: String, _ handle: String) async throws {
    let pipe = pipe
    try await lanes.run(handle, "\(what) \(handle)") {
      var byte: UInt8 = 0
      if handle == "hung" { _ = read(pipe, &byte, 1) }
    }
    done.withLock { $0.append("\(what) \(handle)") }
  }

  func stage(_ volume: DriverVolume, at stage: String) async throws { try await run("stage", volume.handle) }
  func publish(_ volume: DriverVolume, from stage: String?, at target: String) async throws {
    try await run("publish", volume.handle)
  }
  func unpublish(_ handle: String, at target: String) async throws { try await run("unpublish", handle) }
  func unstage(_ handle: String, at stage: String) async throws { try await run("unstage", handle) }
}
