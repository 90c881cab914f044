import Testing
import Wire

@testable import Node

private let t0 = Timestamp(seconds: 1_000_000)

private func after(_ seconds: Int64) -> Timestamp { t0.adding(.seconds(seconds)) }

private func run(
  _ id: String, _ attempt: Int = 0, _ status: PodSnapshot.Run.Status = .running, isCurrent: Bool = true,
  isStarted: Bool = true, condemned: PodSnapshot.Condemnation? = nil, stop: PodSnapshot.Stop? = nil
) -> PodSnapshot.Run {
  PodSnapshot.Run(
    id: id, attempt: attempt, status: status, isCurrent: isCurrent, isStarted: isStarted, condemned: condemned,
    stop: stop)
}

private func container(
  _ name: String, _ role: PodSnapshot.Container.Role = .main, _ runs: [PodSnapshot.Run] = []
) -> PodSnapshot.Container {
  PodSnapshot.Container(name: name, role: role, runs: runs)
}

private func snapshot(_ containers: [PodSnapshot.Container], ready: Bool = true) -> PodSnapshot {
  var snapshot = PodSnapshot(now: t0)
  snapshot.containers = containers
  if ready {
    snapshot.volumes = .ready
    snapshot.hasVolumes = true
    snapshot.sandbox = .ready(createdAt: after(-100))
  }
  return snapshot
}

@Suite("PodPlanner: running")
struct PodPlannerRunTests {
  @Test("volumes and sandbox are prepared together, containers after both")
  func beginning() {
    var pod = snapshot([container("web")], ready: false)
    #expect(PodPlanner.plan(pod).actions == [.prepareVolumes, .createSandbox])
    pod.volumes = .ready
    #expect(PodPlanner.plan(pod).actions == [.createSandbox])
    pod.sandbox = .ready(createdAt: t0)
    #expect(PodPlanner.plan(pod).actions == [.start(container: "web", attempt: 0)])
  }

  @Test("a failed step waits for its time")
  func failedSteps() {
    var pod = snapshot([container("web")], ready: false)
    pod.volumes = .failed(retryAt: after(3))
    pod.sandbox = .failed(retryAt: after(2))
    let plan = PodPlanner.plan(pod)
    #expect(plan.actions.isEmpty)
    #expect(plan.wakeAt == after(2))
    pod.now = after(3)
    #expect(PodPlanner.plan(pod).actions == [.prepareVolumes, .createSandbox])
  }

  @Test("all main containers start in one plan")
  func parallel() {
    let plan = PodPlanner.plan(snapshot([container("a"), container("b")]))
    #expect(plan.actions == [.start(container: "a", attempt: 0), .start(container: "b", attempt: 0)])
  }

  @Test("a running pod needs nothing")
  func steady() {
    let plan = PodPlanner.plan(snapshot([container("a", .main, [run("1")])]))
    #expect(plan == PodPlan())
  }

  @Test("init containers run one after another, each to its end")
  func initContainers() {
    var pod = snapshot([container("i1", .initialization), container("i2", .initialization), container("web")])
    #expect(PodPlanner.plan(pod).actions == [.start(container: "i1", attempt: 0)])
    pod.containers[0].runs = [run("1")]
    #expect(PodPlanner.plan(pod).actions.isEmpty)
    pod.containers[0].runs = [run("1", 0, .exited(code: 0, at: t0))]
    #expect(PodPlanner.plan(pod).actions == [.start(container: "i2", attempt: 0)])
    pod.containers[1].runs = [run("2", 0, .exited(code: 0, at: t0))]
    #expect(PodPlanner.plan(pod).actions == [.start(container: "web", attempt: 0)])
  }

  @Test("a failed init container is tried again, or fails the pod with restartPolicy Never")
  func failedInit() {
    var pod = snapshot([
      container("i", .initialization, [run("1", 0, .exited(code: 3, at: t0))]), container("web"),
    ])
    #expect(PodPlanner.plan(pod).actions == [.start(container: "i", attempt: 1)])
    pod.restartPolicy = .never
    let plan = PodPlanner.plan(pod)
    #expect(plan.outcome == .failed)
    #expect(plan.actions == [.removeSandbox])
  }

  @Test("a sidecar must have started before the next container, and is restarted by itself")
  func sidecar() {
    var pod = snapshot([container("proxy", .sidecar), container("web")])
    pod.restartPolicy = .never
    #expect(PodPlanner.plan(pod).actions == [.start(container: "proxy", attempt: 0)])
    pod.containers[0].runs = [run("1", isStarted: false)]
    #expect(PodPlanner.plan(pod).actions.isEmpty)
    pod.containers[0].runs = [run("1")]
    #expect(PodPlanner.plan(pod).actions == [.start(container: "web", attempt: 0)])
    pod.containers[1].runs = [run("2")]
    pod.containers[0].runs = [run("1", 0, .exited(code: 1, at: t0))]
    #expect(PodPlanner.plan(pod).actions == [.start(container: "proxy", attempt: 1)])
  }

  @Test(
    "restart by policy and exit code",
    arguments: [
      (PodSnapshot.RestartPolicy.always, Int32(0), true), (.always, 1, true), (.onFailure, 0, false),
      (.onFailure, 1, true), (.never, 0, false), (.never, 1, false),
    ])
  func restart(policy: PodSnapshot.RestartPolicy, code: Int32, isRestarted: Bool) {
    var pod = snapshot([
      container("a", .main, [run("1", 0, .exited(code: code, at: t0))]), container("b", .main, [run("2")]),
    ])
    pod.restartPolicy = policy
    let plan = PodPlanner.plan(pod)
    #expect(plan.actions == (isRestarted ? [.start(container: "a", attempt: 1)] : []))
    #expect(plan.outcome == nil)
  }

  @Test(
    "the pod's outcome",
    arguments: [
      (PodSnapshot.RestartPolicy.never, Int32(0), PodPlan.Outcome.succeeded), (.never, 2, .failed),
      (.onFailure, 0, .succeeded),
    ])
  func outcome(policy: PodSnapshot.RestartPolicy, code: Int32, expected: PodPlan.Outcome) {
    var pod = snapshot([container("a", .main, [run("1", 0, .exited(code: code, at: t0))])])
    pod.restartPolicy = policy
    let plan = PodPlanner.plan(pod)
    #expect(plan.outcome == expected)
    #expect(plan.actions == [.removeSandbox])
  }

  @Test("a crash loop waits from the end of the run")
  func crashLoop() {
    var pod = snapshot([container("a", .main, [run("1", 1, .exited(code: 1, at: t0))])])
    pod.containers[0].backoff = CrashLoopBackoff(now: after(-1))
    var plan = PodPlanner.plan(pod)
    #expect(plan.actions.isEmpty)
    #expect(plan.wakeAt == after(10))
    pod.now = after(10)
    plan = PodPlanner.plan(pod)
    #expect(plan.actions == [.start(container: "a", attempt: 2)])
  }

  @Test("a container that could not be started waits")
  func startFailure() {
    var pod = snapshot([container("a")])
    pod.containers[0].retryAt = after(5)
    let plan = PodPlanner.plan(pod)
    #expect(plan.actions.isEmpty && plan.wakeAt == after(5))
  }

  @Test("a half-made container is removed first, and its attempt used again")
  func halfMade() {
    var pod = snapshot([container("a", .main, [run("0", 0, .exited(code: 1, at: t0)), run("1", 1, .created)])])
    #expect(PodPlanner.plan(pod).actions == [.remove(id: "1")])
    pod.containers[0].runs.removeLast()
    #expect(PodPlanner.plan(pod).actions == [.start(container: "a", attempt: 1)])
  }

  @Test("two live runs of one container: the older is killed, nothing is started")
  func twins() {
    let pod = snapshot([container("a", .main, [run("0"), run("1", 1, .exited(code: 0, at: t0))])])
    #expect(PodPlanner.plan(pod).actions == [.kill(id: "0")])
  }

  @Test("one run before the present one is kept")
  func garbage() {
    let old = (0..<4).map { run("\($0)", $0, .exited(code: 0, at: t0)) }
    let plan = PodPlanner.plan(snapshot([container("a", .main, old + [run("9", 4)])]))
    #expect(plan.actions == [.remove(id: "0"), .remove(id: "1"), .remove(id: "2")])
  }

  @Test("a lost sandbox is made anew, and init containers run again")
  func reboot() {
    var pod = snapshot([
      container("i", .initialization, [run("1", 0, .exited(code: 0, at: t0))]),
      container("web", .main, [run("2", 3, .exited(code: 137, at: t0))]),
    ])
    pod.sandbox = .lost
    #expect(PodPlanner.plan(pod).actions == [.removeSandbox])
    pod.sandbox = .absent
    #expect(PodPlanner.plan(pod).actions == [.createSandbox])
    pod.sandbox = .ready(createdAt: t0)
    for index in 0..<2 { pod.containers[index].runs[0].isCurrent = false }
    #expect(PodPlanner.plan(pod).actions == [.start(container: "i", attempt: 1)])
    pod.containers[0].runs = [run("3", 1, .exited(code: 0, at: t0))]
    #expect(PodPlanner.plan(pod).actions == [.start(container: "web", attempt: 4)])
  }

  @Test("the image of what runs first is got beside sandbox and volumes, and nothing starts without them")
  func imagesBeside() {
    var pod = snapshot([container("i", .initialization), container("web")], ready: false)
    pod.containers[0].image = .absent
    pod.containers[1].image = .absent
    #expect(PodPlanner.plan(pod).actions == [.prepareVolumes, .createSandbox, .prepareImage(container: "i")])
    pod.containers[0].image = .ready
    #expect(PodPlanner.plan(pod).actions == [.prepareVolumes, .createSandbox])
    pod.sandbox = .ready(createdAt: t0)
    #expect(PodPlanner.plan(pod).actions == [.prepareVolumes])
    pod.volumes = .ready
    #expect(PodPlanner.plan(pod).actions == [.start(container: "i", attempt: 0)])
    // Without init containers those of all that start together.
    pod = snapshot([container("a"), container("b")], ready: false)
    pod.containers[0].image = .absent
    pod.containers[1].image = .absent
    #expect(
      PodPlanner.plan(pod).actions
        == [.prepareVolumes, .createSandbox, .prepareImage(container: "a"), .prepareImage(container: "b")])
    // Of one that waits for its turn none.
    pod.volumes = .failed(retryAt: after(5))
    pod.sandbox = .failed(retryAt: after(5))
    pod.containers[0].image = .underway
    pod.containers[1].retryAt = after(9)
    #expect(PodPlanner.plan(pod).actions == [])
    #expect(PodPlanner.plan(pod).wakeAt == after(5))
  }

  @Test("a condemned container is stopped with the probe's grace period and then killed")
  func condemned() {
    let reason = PodSnapshot.Condemnation(
      message: "Container a failed liveness probe, will be restarted", gracePeriodSeconds: 5)
    var pod = snapshot([container("a", .main, [run("1", condemned: reason)])])
    #expect(
      PodPlanner.plan(pod).actions == [.stop(id: "1", container: "a", gracePeriodSeconds: 5, message: reason.message)])
    pod.containers[0].runs[0].stop = PodSnapshot.Stop(since: t0, gracePeriodSeconds: 5)
    #expect(PodPlanner.plan(pod).actions == [.terminate(id: "1")])
    pod.containers[0].runs[0].stop?.terminatedAt = t0
    #expect(PodPlanner.plan(pod).wakeAt == after(5))
    pod.now = after(5)
    #expect(PodPlanner.plan(pod).actions == [.kill(id: "1")])
    pod.containers[0].runs[0].stop?.killedAt = after(5)
    #expect(PodPlanner.plan(pod).actions.isEmpty)
    #expect(PodPlanner.plan(pod).wakeAt == after(10))
  }

  @Test("a container whose definition changed starts anew, whatever the restart policy and the back-off say")
  func replaced() {
    let reason = PodSnapshot.Condemnation(message: "m", gracePeriodSeconds: nil, isReplacement: true)
    for policy in [PodSnapshot.RestartPolicy.always, .onFailure, .never] {
      for code: Int32 in [0, 143] {
        var pod = snapshot([
          container("i", .initialization, [run("0", 0, .exited(code: 0, at: t0))]),
          container("a", .main, [run("1", 2, .exited(code: code, at: t0), condemned: reason)]),
        ])
        pod.restartPolicy = policy
        pod.containers[1].backoff = CrashLoopBackoff(now: t0)
        let plan = PodPlanner.plan(pod)
        #expect(plan.outcome == nil)
        #expect(plan.actions == [.start(container: "a", attempt: 3)])
      }
    }
  }
}

@Suite("PodPlanner: ending")
struct PodPlannerEndTests {
  @Test("deletion stops, takes apart and finishes, step by step")
  func deletion() {
    var pod = snapshot([container("a", .main, [run("1")])])
    pod.intent = .delete
    #expect(
      PodPlanner.plan(pod).actions == [
        .stop(id: "1", container: "a", gracePeriodSeconds: 30, message: "Stopping container a")
      ])
    pod.containers[0].runs[0].stop = PodSnapshot.Stop(since: t0, gracePeriodSeconds: 30)
    #expect(PodPlanner.plan(pod).actions == [.terminate(id: "1")])
    pod.containers[0].runs[0].stop?.terminatedAt = t0
    #expect(PodPlanner.plan(pod).actions.isEmpty)
    #expect(PodPlanner.plan(pod).wakeAt == after(30))
    pod.containers[0].runs[0].status = .exited(code: 143, at: t0)
    #expect(PodPlanner.plan(pod).actions == [.removeSandbox])
    pod.sandbox = .absent
    #expect(PodPlanner.plan(pod).actions == [.removeVolumes])
    pod.hasVolumes = false
    #expect(PodPlanner.plan(pod).actions == [.finish])
  }

  @Test("a shorter grace period counts at once")
  func shortened() {
    let stop = PodSnapshot.Stop(since: t0, gracePeriodSeconds: 30, terminatedAt: t0)
    var pod = snapshot([container("a", .main, [run("1", stop: stop)])])
    pod.intent = .delete
    pod.gracePeriodSeconds = 1
    pod.now = after(1)
    #expect(PodPlanner.plan(pod).actions == [.kill(id: "1")])
  }

  @Test("every hook begins at once; sidecars are terminated after the others, the last one first")
  func sidecars() {
    var pod = snapshot([
      container("s1", .sidecar, [run("1")]), container("s2", .sidecar, [run("2")]),
      container("web", .main, [run("3")]),
    ])
    pod.intent = .delete
    let names: [String] = PodPlanner.plan(pod).actions.map { action in
      if case .stop(_, let name, _, _) = action { name } else { "\(action)" }
    }
    #expect(names == ["s1", "s2", "web"])
    for index in 0..<3 { pod.containers[index].runs[0].stop = .init(since: t0, gracePeriodSeconds: 30) }
    #expect(PodPlanner.plan(pod).actions == [.terminate(id: "3")])
    pod.containers[2].runs[0].stop?.terminatedAt = t0
    #expect(PodPlanner.plan(pod).actions.isEmpty)
    pod.containers[2].runs[0].status = .exited(code: 0, at: t0)
    #expect(PodPlanner.plan(pod).actions == [.terminate(id: "2")])
    pod.containers[1].runs[0].status = .exited(code: 0, at: t0)
    #expect(PodPlanner.plan(pod).actions == [.terminate(id: "1")])
  }

  @Test("a container is terminated when its hook has returned and it is its turn, not before")
  func hooks() {
    var pod = snapshot([
      container("side", .sidecar, [run("1", stop: .init(since: t0, gracePeriodSeconds: 30, isHookDone: false))]),
      container("web", .main, [run("2", stop: .init(since: t0, gracePeriodSeconds: 30, isHookDone: false))]),
    ])
    pod.intent = .delete
    #expect(PodPlanner.plan(pod).actions.isEmpty)
    #expect(PodPlanner.plan(pod).wakeAt == after(30))
    // The sidecar's hook is the first to return: it is not its turn.
    pod.containers[0].runs[0].stop?.isHookDone = true
    #expect(PodPlanner.plan(pod).actions.isEmpty)
    pod.containers[1].runs[0].stop?.isHookDone = true
    #expect(PodPlanner.plan(pod).actions == [.terminate(id: "2")])
    // The main container is gone, and the sidecar's hook goes on.
    pod.containers[1].runs[0].status = .exited(code: 0, at: t0)
    pod.containers[0].runs[0].stop?.isHookDone = false
    #expect(PodPlanner.plan(pod).actions.isEmpty)
  }

  @Test("hooks and turns share the grace period; whoever had no time left gets two seconds")
  func sharedGracePeriod() {
    var pod = snapshot([
      container("side", .sidecar, [run("1", stop: .init(since: t0, gracePeriodSeconds: 10))]),
      container("web", .main, [run("2", stop: .init(since: t0, gracePeriodSeconds: 10, isHookDone: false))]),
    ])
    pod.intent = .delete
    pod.gracePeriodSeconds = 10
    pod.now = after(10)
    #expect(PodPlanner.plan(pod).actions == [.terminate(id: "1"), .terminate(id: "2")])
    for index in 0..<2 { pod.containers[index].runs[0].stop?.terminatedAt = after(10) }
    #expect(PodPlanner.plan(pod).actions.isEmpty)
    #expect(PodPlanner.plan(pod).wakeAt == after(12))
    pod.now = after(12)
    #expect(PodPlanner.plan(pod).actions == [.kill(id: "1"), .kill(id: "2")])
    // A deletion with a shorter grace period cuts hooks and turns, too.
    for index in 0..<2 { pod.containers[index].runs[0].stop?.terminatedAt = nil }
    pod.gracePeriodSeconds = 1
    pod.now = after(1)
    #expect(PodPlanner.plan(pod).actions == [.terminate(id: "1"), .terminate(id: "2")])
    for index in 0..<2 { pod.containers[index].runs[0].stop?.terminatedAt = after(1) }
    #expect(PodPlanner.plan(pod).wakeAt == after(2))
  }

  @Test("a grace period that ends after all time ends nothing", arguments: [Int64.max, Int64.max - 1, 1 << 62])
  func endlessGracePeriod(grace: Int64) {
    var pod = snapshot([
      container("side", .sidecar, [run("1", stop: .init(since: t0, gracePeriodSeconds: grace))]),
      container("web", .main, [run("2", stop: .init(since: t0, gracePeriodSeconds: grace, isHookDone: false))]),
    ])
    pod.intent = .delete
    pod.gracePeriodSeconds = grace
    pod.deadline = t0.adding(.seconds(grace))
    #expect(PodPlanner.plan(pod).actions.isEmpty)
    pod.containers[1].runs[0].stop?.isHookDone = true
    #expect(PodPlanner.plan(pod).actions == [.terminate(id: "2")])
    pod.containers[1].runs[0].stop?.terminatedAt = t0
    #expect(PodPlanner.plan(pod).actions.isEmpty)
  }

  @Test("an init container that runs when the pod is deleted goes before the sidecars, too")
  func sidecarsOfAnInitialization() {
    var pod = snapshot([
      container("side", .sidecar, [run("1", stop: .init(since: t0, gracePeriodSeconds: 30))]),
      container("init", .initialization, [run("2", stop: .init(since: t0, gracePeriodSeconds: 30))]),
      container("web"),
    ])
    pod.intent = .gone
    #expect(PodPlanner.plan(pod).actions == [.terminate(id: "2")])
    pod.containers[1].runs[0].status = .exited(code: 0, at: t0)
    #expect(PodPlanner.plan(pod).actions == [.terminate(id: "1")])
  }

  @Test("a sidecar that a probe condemned waits for nobody")
  func condemnedSidecar() {
    let reason = PodSnapshot.Condemnation(message: "m", gracePeriodSeconds: nil)
    let side = run("1", condemned: reason, stop: .init(since: t0, gracePeriodSeconds: 30))
    let pod = snapshot([container("side", .sidecar, [side]), container("web", .main, [run("2")])])
    #expect(PodPlanner.plan(pod).actions == [.terminate(id: "1")])
  }

  @Test("a deleted pod that never started leaves at once")
  func neverStarted() {
    var pod = snapshot([container("a")], ready: false)
    pod.intent = .delete
    #expect(PodPlanner.plan(pod).actions == [.finish])
  }

  @Test("nothing starts after deletion, whatever the state")
  func noStartAfterDeletion() {
    for policy in [PodSnapshot.RestartPolicy.always, .onFailure, .never] {
      for status in [PodSnapshot.Run.Status.created, .running, .exited(code: 1, at: t0)] {
        var pod = snapshot([container("i", .initialization), container("a", .main, [run("1", 0, status)])])
        pod.restartPolicy = policy
        for intent in [PodSnapshot.Intent.delete, .gone] {
          pod.intent = intent
          let plan = PodPlanner.plan(pod)
          #expect(!plan.actions.contains { if case .start = $0 { true } else { false } })
          #expect(!plan.actions.contains(.createSandbox) && !plan.actions.contains(.prepareVolumes))
        }
      }
    }
  }

  @Test("activeDeadlineSeconds fails the pod")
  func deadline() {
    var pod = snapshot([container("a", .main, [run("1")])])
    pod.deadline = after(10)
    #expect(PodPlanner.plan(pod).wakeAt == after(10))
    pod.now = after(10)
    let plan = PodPlanner.plan(pod)
    #expect(plan.outcome == .deadlineExceeded)
    #expect(plan.actions.count == 1)
  }

  @Test("a pod that has ended is taken apart but not deleted")
  func finished() {
    var pod = snapshot([container("a", .main, [run("1", 0, .exited(code: 0, at: t0))])])
    pod.isFinished = true
    #expect(PodPlanner.plan(pod).actions == [.removeSandbox])
    pod.sandbox = .absent
    #expect(PodPlanner.plan(pod).actions == [.removeVolumes])
    pod.hasVolumes = false
    #expect(PodPlanner.plan(pod) == PodPlan())
  }
}
