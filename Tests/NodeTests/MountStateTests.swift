import ControllerKit
import Testing
import Wire

@testable import Node

/// How far a driver's volume is, transition by transition, and what comes of a crash after any of them.
@Suite("A mount of a driver")
struct MountStateTests {
  private let goal = MountRecord(uid: "u", volume: "v", driver: "d", handle: "h", phase: .published, bootID: "b")

  /// All steps up to the end.
  private func steps(_ state: inout MountState, toward goal: MountRecord?) -> [MountState.Step] {
    var steps: [MountState.Step] = []
    while let step = state.next(toward: goal), steps.count < 20 {
      steps.append(step)
      state.did(step)
    }
    return steps
  }

  private func steps(
    _ found: MountState.Found, isMounted: Bool = false, toward goal: MountRecord?
  ) -> [MountState.Step] {
    var state = MountState(found, isMounted: isMounted)
    return steps(&state, toward: goal)
  }

  private var mounting: [MountState.Step] { [.record(goal.with(.begun)), .stage, .publish, .record(goal)] }
  private var undoing: [MountState.Step] {
    [.record(goal.with(.undoing)), .unpublish(driver: "d", handle: "h"), .forget]
  }

  @Test("a new one is recorded, staged, published, and recorded again")
  func new() {
    #expect(steps(.absent, toward: goal) == mounting)
  }

  @Test("one that was begun goes on without a new record")
  func begun() {
    #expect(steps(.recorded(goal.with(.begun)), toward: goal) == Array(mounting.dropFirst()))
    #expect(steps(.recorded(goal.with(.begun)), isMounted: true, toward: goal) == Array(mounting.dropFirst()))
  }

  @Test("one that is there is left alone, if its record and the kernel both say so")
  func published() {
    #expect(steps(.recorded(goal), isMounted: true, toward: goal).isEmpty)
    #expect(steps(.recorded(goal), isMounted: false, toward: goal) == mounting)
  }

  @Test("one of another boot is mounted again")
  func reboot() {
    for phase in [MountRecord.Phase.begun, .published] {
      var old = goal.with(phase)
      old.bootID = "before"
      #expect(steps(.recorded(old), toward: goal) == mounting)
    }
  }

  @Test("one whose end was begun is ended first")
  func undoingFirst() {
    #expect(steps(.recorded(goal.with(.undoing)), toward: goal) == Array(undoing.dropFirst()) + mounting)
  }

  @Test("another volume in its place is ended first, by its own driver")
  func other() {
    var other = goal
    other.handle = "x"
    other.driver = "y"
    #expect(
      steps(.recorded(other), isMounted: true, toward: goal)
        == [.record(other.with(.undoing)), .unpublish(driver: "y", handle: "x"), .forget] + mounting)
  }

  @Test("the end is recorded, undone, and forgotten, from whichever state")
  func end() {
    for phase in [MountRecord.Phase.begun, .published] {
      #expect(steps(.recorded(goal.with(phase)), toward: nil) == undoing)
    }
    #expect(steps(.recorded(goal.with(.undoing)), toward: nil) == Array(undoing.dropFirst()))
    #expect(steps(.absent, toward: nil).isEmpty)
  }

  @Test("what is lost is not new: its end clears the place, and its start begins anew")
  func lost() {
    #expect(steps(.lost, isMounted: true, toward: nil) == [.clear, .forget])
    #expect(steps(.lost, isMounted: true, toward: goal) == mounting)
  }

  @Test("a record is what was written, and nothing that is cut, changed, or another's")
  func records() {
    let bytes = goal.bytes
    #expect(MountRecord(bytes: bytes, uid: "u", volume: "v") == goal)
    #expect(MountRecord(bytes: bytes, uid: "x", volume: "v") == nil)
    #expect(MountRecord(bytes: bytes, uid: "u", volume: "x") == nil)
    for count in 0..<bytes.count { #expect(MountRecord(bytes: Array(bytes[..<count]), uid: "u", volume: "v") == nil) }
    for index in bytes.indices {
      for bit in 0..<8 {
        var damaged = bytes
        damaged[index] ^= 1 << UInt8(bit)
        #expect(MountRecord(bytes: damaged, uid: "u", volume: "v") == nil, "bit \(bit) of byte \(index)")
      }
    }
    #expect(MountRecord(bytes: bytes + [UInt8(ascii: " ")], uid: "u", volume: "v") == nil)
  }

  @Test("bytes that are no record are none")
  func fuzz() {
    var random = SeededRandom(seed: 8)
    let samples = [goal.bytes, goal.with(.begun).bytes, Array("0\n{}".utf8), Array("0\n".utf8), []]
    for _ in 0..<5000 {
      let sample = samples.randomElement(using: &random) ?? []
      var bytes = sample
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let at = Int.random(in: 0...bytes.count, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: bytes.insert(UInt8.random(in: 0...255, using: &random), at: at)
        case 1: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 0...8, using: &random)))
        default: if at < bytes.count { bytes[at] = UInt8.random(in: 0...255, using: &random) }
        }
      }
      if bytes != sample { #expect(MountRecord(bytes: bytes, uid: "u", volume: "v") == nil, "\(bytes)") }
    }
  }

  @Test("a stage's folder says which driver and handle it is of")
  func stageNames() throws {
    for handle in ["h", "vol-0a_1", "a/b", "..", "%41", "\u{301}", "pool@snap.1", String(repeating: "h", count: 255)] {
      let key = try #require(StageKey(DriverVolume(driver: "ebs.csi.aws.com", handle: handle)))
      let parts = key.path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
      #expect(parts.count == 2 && parts.allSatisfy { !$0.hasPrefix(".") && $0.utf8.count <= 255 }, "\(key.path)")
      #expect(StageKey(driverFolder: parts[0], folder: parts[1]) == key)
    }
    #expect(StageKey(DriverVolume(driver: "d", handle: "")) == nil)
    #expect(StageKey(DriverVolume(driver: "d", handle: String(repeating: "/", count: 86))) == nil)
    for name in ["", "%", "%4", "%4g", "%2F", "%61", "a.b", "%ff"] {
      #expect(StageKey(driverFolder: "d", folder: name) == nil, "\(name)")
    }
  }

  // MARK: - Crashes

  /// One volume's place, and a server that may die after any step, or in one: with its effect and without.
  private struct Machine {
    var disk = MountState.Found.absent
    /// Older records, any of which a disk may bring back.
    var old: [MountRecord] = []
    var isMounted = false
    var isStaged = false
    var violations: [String] = []

    mutating func apply(_ step: MountState.Step) {
      switch step {
      case .record(let record):
        if case .recorded(let before) = disk { old.append(before) }
        disk = .recorded(record)
      case .stage: isStaged = true
      case .publish:
        if disk == .absent { violations.append("mounted without a record") }
        if !isStaged { violations.append("mounted without a stage") }
        isMounted = true
      case .unpublish, .clear: isMounted = false
      case .forget:
        if isMounted { violations.append("forgotten while it is mounted") }
        disk = .absent
      }
    }
  }

  @Test("a crash after each step, damage and reboots: never forgotten, and brought to its end", arguments: 0..<300)
  func crashes(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var machine = Machine()
    var (boot, kills) = (0, 0)
    for life in 0..<20 {
      let isLast = life >= 18
      if !isLast {
        switch Int.random(in: 0..<8, using: &random) {
        case 0 where machine.disk != .absent: machine.disk = .lost
        case 1: if let record = machine.old.randomElement(using: &random) { machine.disk = .recorded(record) }
        case 2:
          boot += 1
          (machine.isMounted, machine.isStaged) = (false, false)
        default: break
        }
      }
      let isWanted = isLast ? life == 18 : Bool.random(using: &random)
      let goal =
        isWanted
        ? MountRecord(
          uid: "u", volume: "v", driver: "d", handle: "h", phase: .published, bootID: "\(boot)") : nil
      var state = MountState(machine.disk, isMounted: machine.isMounted)
      let crash = isLast ? Int.max : Int.random(in: 0..<6, using: &random)
      var count = 0
      while let step = state.next(toward: goal) {
        if count == crash {
          // Killed in it.
          kills += 1
          if Bool.random(using: &random) { machine.apply(step) }
          break
        }
        machine.apply(step)
        state.did(step)
        count += 1
        #expect(count < 20, "seed \(seed): no end")
        if count >= 20 { return }
      }
      #expect(!machine.isMounted || machine.disk != .absent, "seed \(seed): a mount is forgotten")
      if isLast, let goal { #expect(machine.isMounted && machine.disk == .recorded(goal), "seed \(seed)") }
    }
    #expect(!machine.isMounted && machine.disk == .absent, "seed \(seed)")
    #expect(machine.violations.isEmpty, "seed \(seed): \(machine.violations)")
    #expect(kills > 0, "seed \(seed) kills nothing")
  }
}
