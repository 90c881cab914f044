import ControllerKit
import Testing
import Wire

@testable import Node

/// A machine on which everything may go wrong, driven by the planner alone: containers end at random, creation fails,
/// the runtime ignores signals, the server forgets everything that is only in its memory, the machine reboots.
private struct World {
  struct Process {
    var id: String
    var name: String
    var attempt: Int
    var isRunning: Bool
    var isCreated = false
    var code: Int32 = 0
    var finishedAt: Timestamp
    var createdAt: Timestamp
    var wasTerminated = false
  }

  var random: SeededRandom
  var now = Timestamp(seconds: 1_000_000)
  var policy: PodSnapshot.RestartPolicy
  var roles: [(String, PodSnapshot.Container.Role)]
  /// Chance in a hundred that something goes wrong.
  var trouble: Int

  // What survives the server.
  var processes: [Process] = []
  var sandboxCreatedAt: Timestamp?
  var isSandboxLost = false
  var hasVolumes = false
  var isFinished = false
  var intent = PodSnapshot.Intent.run

  // What does not.
  var areVolumesReady = false
  var volumeRetry: Timestamp?
  var sandboxRetry: Timestamp?
  var backoffs: [String: CrashLoopBackoff] = [:]
  var retries: [String: Timestamp] = [:]
  var stops: [String: PodSnapshot.Stop] = [:]
  var images: [String: PodSnapshot.ImageStep] = [:]

  var nextID = 0
  var startsAfterDeletion = 0
  var startsWithoutImage = 0
  var twins = 0
  var mainBeforeInit = 0
  /// Sidecars that were terminated out of turn although there was time.
  var outOfTurn = 0
  /// Stop signals to containers whose end had not begun, or whose hook still ran although there was time.
  var rash = 0
  var isGone = false

  mutating func fails() -> Bool { Int.random(in: 0..<100, using: &random) < trouble }

  func snapshot() -> PodSnapshot {
    var snapshot = PodSnapshot(now: now)
    snapshot.intent = intent
    snapshot.restartPolicy = policy
    snapshot.isFinished = isFinished
    snapshot.volumes = areVolumesReady ? .ready : volumeRetry.map { .failed(retryAt: $0) } ?? .absent
    snapshot.hasVolumes = hasVolumes
    if let sandboxCreatedAt {
      snapshot.sandbox = isSandboxLost ? .lost : .ready(createdAt: sandboxCreatedAt)
    } else if let sandboxRetry {
      snapshot.sandbox = .failed(retryAt: sandboxRetry)
    }
    for (name, role) in roles {
      var container = PodSnapshot.Container(name: name, role: role)
      container.backoff = backoffs[name]
      container.retryAt = retries[name]
      container.image = images[name] ?? .absent
      container.runs = processes.filter { $0.name == name }.sorted { $0.attempt < $1.attempt }.map { process in
        let status: PodSnapshot.Run.Status =
          process.isRunning
          ? .running : process.isCreated ? .created : .exited(code: process.code, at: process.finishedAt)
        return PodSnapshot.Run(
          id: process.id, attempt: process.attempt, status: status,
          isCurrent: sandboxCreatedAt.map { process.createdAt >= $0 } ?? false, stop: stops[process.id])
      }
      snapshot.containers.append(container)
    }
    return snapshot
  }

  mutating func perform(_ action: PodPlan.Action) {
    switch action {
    case .prepareVolumes:
      hasVolumes = true
      if fails() { volumeRetry = now.adding(.seconds(1)) } else { areVolumesReady = true }
    case .createSandbox:
      if intent != .run { startsAfterDeletion += 1 }
      if fails() {
        sandboxRetry = now.adding(.seconds(1))
      } else {
        sandboxCreatedAt = now
        isSandboxLost = false
        sandboxRetry = nil
      }
    case .prepareImage(let name):
      if intent != .run { startsAfterDeletion += 1 }
      if images[name] != nil { startsWithoutImage += 1 }
      images[name] = .underway
    case .start(let name, let attempt):
      if intent != .run { startsAfterDeletion += 1 }
      if images.removeValue(forKey: name) != .ready { startsWithoutImage += 1 }
      if processes.contains(where: { $0.name == name && $0.isRunning }) { twins += 1 }
      if roles.first(where: { $0.0 == name })?.1 == .main {
        for (other, role) in roles where role == .initialization {
          let isDone = processes.contains { $0.name == other && !$0.isRunning && !$0.isCreated && $0.code == 0 }
          if !isDone { mainBeforeInit += 1 }
        }
      }
      if fails() {
        retries[name] = now.adding(.seconds(2))
        if fails() { add(name, attempt, isRunning: false, isCreated: true) }
        return
      }
      retries[name] = nil
      add(name, attempt, isRunning: true, isCreated: false)
      if attempt > 0 {
        if backoffs[name] == nil {
          backoffs[name] = CrashLoopBackoff(now: now)
        } else {
          backoffs[name]?.restarted(now: now)
        }
      }
    case .stop(let id, _, let grace, _):
      stops[id] = PodSnapshot.Stop(since: now, gracePeriodSeconds: grace, isHookDone: !fails())
    case .terminate(let id):
      guard let index = processes.firstIndex(where: { $0.id == id }), let stop = stops[id] else {
        rash += 1
        return
      }
      let hasTime = now < stop.since.adding(.seconds(min(stop.gracePeriodSeconds, 30)))
      if hasTime, !stop.isHookDone { rash += 1 }
      if hasTime, intent != .run || isFinished, role(of: processes[index].name) == .sidecar {
        let others = processes.filter { $0.isRunning && $0.id != id }
        if others.contains(where: { role(of: $0.name) != .sidecar }) { outOfTurn += 1 }
      }
      stops[id]?.terminatedAt = now
      if !fails() { processes[index].wasTerminated = true }
    case .kill(let id):
      if stops[id] == nil { stops[id] = PodSnapshot.Stop(since: now, gracePeriodSeconds: 0) }
      stops[id]?.killedAt = now
      if !fails() { end(id, code: 137) }
    case .remove(let id):
      #expect(!processes.contains { $0.id == id && $0.isRunning })
      if !fails() { processes.removeAll { $0.id == id } }
    case .removeSandbox:
      if fails() { return }
      for process in processes where process.isRunning { end(process.id, code: 137) }
      processes.removeAll { $0.isCreated }
      sandboxCreatedAt = nil
      sandboxRetry = nil
    case .removeVolumes:
      if fails() {
        volumeRetry = now.adding(.seconds(1))
      } else {
        hasVolumes = false
        areVolumesReady = false
      }
    case .finish: if !fails() { isGone = true }
    }
  }

  func role(of name: String) -> PodSnapshot.Container.Role? { roles.first { $0.0 == name }?.1 }

  mutating func add(_ name: String, _ attempt: Int, isRunning: Bool, isCreated: Bool) {
    nextID += 1
    processes.append(
      Process(
        id: "\(nextID)", name: name, attempt: attempt, isRunning: isRunning, isCreated: isCreated, finishedAt: now,
        createdAt: now))
  }

  mutating func end(_ id: String, code: Int32) {
    guard let index = processes.firstIndex(where: { $0.id == id && $0.isRunning }) else { return }
    processes[index].isRunning = false
    processes[index].code = code
    processes[index].finishedAt = now
  }

  /// Something happens by itself.
  mutating func live() {
    for id in stops.keys.sorted() where !fails() { stops[id]?.isHookDone = true }
    for process in processes where process.isRunning {
      let role = role(of: process.name)
      if process.wasTerminated, !fails() {
        end(process.id, code: 143)
      } else if role == .initialization {
        end(process.id, code: fails() ? 1 : 0)
      } else if role == .main, fails() {
        end(process.id, code: Int32.random(in: 0...2, using: &random))
      }
    }
    for (name, step) in images.sorted(by: { $0.key < $1.key }) where step == .underway && Bool.random(using: &random) {
      images[name] = fails() ? nil : .ready
      retries[name] = images[name] == nil ? now.adding(.seconds(10)) : nil
    }
    if intent != .run || isFinished { images = [:] }
    if fails(), fails() { restartServer() }
    if fails(), fails(), fails() { reboot() }
  }

  mutating func restartServer() {
    areVolumesReady = false
    volumeRetry = nil
    sandboxRetry = nil
    backoffs = [:]
    retries = [:]
    images = [:]
    stops = [:]
  }

  mutating func reboot() {
    restartServer()
    for process in processes where process.isRunning { end(process.id, code: 137) }
    if sandboxCreatedAt != nil { isSandboxLost = true }
  }

  /// One turn: plan, act, let time pass.
  mutating func turn() {
    let plan = PodPlanner.plan(snapshot())
    if plan.outcome != nil { isFinished = true }
    for action in plan.actions { perform(action) }
    for (name, _) in roles where processes.count(where: { $0.name == name && $0.isRunning }) > 1 { twins += 1 }
    live()
    let wake = plan.wakeAt ?? now.adding(.seconds(1))
    now =
      plan.actions.isEmpty
      ? max(now.adding(.milliseconds(100)), min(wake, now.adding(.seconds(30)))) : now.adding(.milliseconds(10))
  }
}

@Suite("A pod's life in simulation")
struct PodSimulationTests {
  private func world(seed: UInt64, trouble: Int) -> World {
    var random = SeededRandom(seed: seed)
    let policy = [PodSnapshot.RestartPolicy.always, .onFailure, .never].randomElement(using: &random) ?? .always
    var roles: [(String, PodSnapshot.Container.Role)] = []
    for index in 0..<Int.random(in: 0...2, using: &random) { roles.append(("init\(index)", .initialization)) }
    if Bool.random(using: &random) { roles.append(("sidecar", .sidecar)) }
    for index in 0..<Int.random(in: 1...3, using: &random) { roles.append(("main\(index)", .main)) }
    return World(random: random, policy: policy, roles: roles, trouble: trouble)
  }

  @Test("never two live runs, no start after deletion, init before main, and an end", arguments: 0..<200)
  func invariants(seed: Int) {
    var world = world(seed: UInt64(seed), trouble: 20)
    for _ in 0..<Int.random(in: 0...150, using: &world.random) { world.turn() }
    world.intent = Bool.random(using: &world.random) ? .delete : .gone
    var turns = 0
    while !world.isGone, turns < 5000 {
      world.turn()
      turns += 1
    }
    #expect(world.isGone, "seed \(seed): still there after \(turns) turns: \(world.snapshot())")
    #expect(world.twins == 0, "seed \(seed)")
    #expect(world.startsAfterDeletion == 0, "seed \(seed)")
    #expect(world.startsWithoutImage == 0, "seed \(seed)")
    #expect(world.mainBeforeInit == 0, "seed \(seed)")
    #expect(world.outOfTurn == 0, "seed \(seed)")
    #expect(world.rash == 0, "seed \(seed)")
    #expect(!world.processes.contains { $0.isRunning }, "seed \(seed)")
  }

  @Test("when the trouble ends, everything runs, or has ended by its policy", arguments: 0..<200)
  func convergence(seed: Int) {
    var world = world(seed: UInt64(seed) &+ 10_000, trouble: 25)
    for _ in 0..<100 { world.turn() }
    world.trouble = 0
    for _ in 0..<300 { world.turn() }
    if world.isFinished {
      #expect(world.policy != .always, "seed \(seed)")
      #expect(!world.processes.contains { $0.isRunning }, "seed \(seed)")
      #expect(world.sandboxCreatedAt == nil && !world.hasVolumes, "seed \(seed)")
    } else {
      for (name, role) in world.roles where role != .initialization {
        let latest = world.processes.filter { $0.name == name }.max { $0.attempt < $1.attempt }
        let isDone =
          role == .main && latest?.isRunning == false
          && (world.policy == .never || latest?.code == 0 && world.policy == .onFailure)
        #expect(latest?.isRunning == true || isDone, "seed \(seed): \(name)")
      }
    }
    // Nothing more to do.
    #expect(PodPlanner.plan(world.snapshot()).actions.isEmpty, "seed \(seed)")
  }
}
