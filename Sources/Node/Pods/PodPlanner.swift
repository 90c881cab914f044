import Wire

/// Decides what happens next to a pod: a pure function of its snapshot.
///
/// Level-triggered: every plan follows from what is there, never from what was planned before. Each action brings the
/// pod closer to what is wanted, and planning is repeated after every change.
enum PodPlanner {
  /// How long after a deadly signal it is sent again.
  static let killInterval: Duration = .seconds(5)
  /// What a container has at least between the polite and the deadly signal, when its hook or the wait for its turn used
  /// up the grace period (kubelet's `minimumGracePeriodInSeconds`).
  static let terminationMin: Duration = .seconds(2)

  static func plan(_ snapshot: PodSnapshot) -> PodPlan {
    var plan = PodPlan()
    if snapshot.intent != .run {
      planEnd(snapshot, isDeletion: true, &plan)
    } else if snapshot.isFinished {
      planEnd(snapshot, isDeletion: false, &plan)
    } else if let deadline = snapshot.deadline, snapshot.now >= deadline {
      plan.outcome = .deadlineExceeded
      planEnd(snapshot, isDeletion: false, &plan)
    } else {
      if let deadline = snapshot.deadline { plan.wake(at: deadline) }
      if let outcome = outcome(of: snapshot) {
        plan.outcome = outcome
        planEnd(snapshot, isDeletion: false, &plan)
      } else {
        planRun(snapshot, &plan)
      }
    }
    assert(plan.actions.allSatisfy { isSound($0, for: snapshot) }, "unsound plan \(plan.actions) for \(snapshot)")
    return plan
  }

  /// What every action must be, whatever led to it.
  private static func isSound(_ action: PodPlan.Action, for snapshot: PodSnapshot) -> Bool {
    func run(_ id: String) -> PodSnapshot.Run? {
      for container in snapshot.containers {
        if let run = container.runs.first(where: { $0.id == id }) { return run }
      }
      return nil
    }
    let mayRun = snapshot.intent == .run && !snapshot.isFinished
    switch action {
    case .prepareVolumes, .createSandbox, .prepareImage: return mayRun
    case .start(let name, let attempt):
      let runs = snapshot.containers.first { $0.name == name }?.runs ?? []
      return mayRun && runs.allSatisfy { if case .exited = $0.status { $0.attempt < attempt } else { false } }
    case .stop(let id, _, _, _): return run(id)?.isRunning == true && run(id)?.stop == nil
    case .terminate(let id): return run(id)?.isRunning == true && run(id)?.stop?.terminatedAt == nil
    case .kill(let id): return run(id)?.isRunning == true
    case .remove(let id): return run(id)?.isRunning == false
    case .removeSandbox: return snapshot.sandbox != .absent
    case .removeVolumes: return snapshot.hasVolumes
    case .finish: return snapshot.intent != .run && snapshot.sandbox == .absent && !snapshot.hasVolumes
    }
  }

  // MARK: - The end

  /// Stops everything, then takes the pod apart. All `preStop` hooks begin at once; only the stop signals wait their
  /// turn, sidecars' after the others' ends and in reverse order, as long as there is time (KEP-753).
  private static func planEnd(_ snapshot: PodSnapshot, isDeletion: Bool, _ plan: inout PodPlan) {
    let running = snapshot.containers.filter { $0.runs.contains(where: \.isRunning) }
    let hasOthers = running.contains { $0.role != .sidecar }
    for container in running {
      let isTurn = container.role != .sidecar || !hasOthers && container.name == running.last?.name
      for run in container.runs where run.isRunning {
        planStop(
          run, of: container.name, grace: snapshot.gracePeriodSeconds,
          message: "Stopping container \(container.name)", isTurn: isTurn, now: snapshot.now, &plan)
      }
    }
    guard running.isEmpty else { return }
    for container in snapshot.containers {
      for run in container.runs where run.status == .created { plan.actions.append(.remove(id: run.id)) }
    }
    guard plan.actions.isEmpty else { return }
    switch snapshot.sandbox {
    case .ready, .lost: plan.actions.append(.removeSandbox)
    case .failed(let retryAt):
      // A sandbox that could not be made or removed may have left parts behind.
      if snapshot.now >= retryAt { plan.actions.append(.removeSandbox) } else { plan.wake(at: retryAt) }
    case .absent: break
    }
    guard snapshot.sandbox == .absent else { return }
    if snapshot.hasVolumes {
      if case .failed(let retryAt) = snapshot.volumes, snapshot.now < retryAt {
        plan.wake(at: retryAt)
      } else {
        plan.actions.append(.removeVolumes)
      }
      return
    }
    if isDeletion { plan.actions.append(.finish) }
  }

  /// Begins or continues the end of one running container.
  ///
  /// - Parameter isTurn: whether nothing that must end before it still runs.
  private static func planStop(
    _ run: PodSnapshot.Run, of name: String, grace: Int64, message: String, isTurn: Bool = true, now: Timestamp,
    _ plan: inout PodPlan
  ) {
    guard let stop = run.stop else {
      plan.actions.append(.stop(id: run.id, container: name, gracePeriodSeconds: grace, message: message))
      return
    }
    // A later deletion may shorten the grace period, never lengthen it.
    let grace: Duration = .seconds(min(stop.gracePeriodSeconds, grace))
    let deadline = stop.since.adding(grace)
    guard let terminatedAt = stop.terminatedAt else {
      if now >= deadline || stop.isHookDone && isTurn {
        plan.actions.append(.terminate(id: run.id))
      } else {
        plan.wake(at: deadline)
      }
      return
    }
    var killAt = max(deadline, terminatedAt.adding(min(grace, terminationMin)))
    if let killedAt = stop.killedAt { killAt = killedAt.adding(killInterval) }
    if now >= killAt { plan.actions.append(.kill(id: run.id)) } else { plan.wake(at: killAt) }
  }

  // MARK: - The run

  /// How the pod ended, or `nil` while something of it runs or will run.
  private static func outcome(of snapshot: PodSnapshot) -> PodPlan.Outcome? {
    guard snapshot.restartPolicy != .always else { return nil }
    if snapshot.restartPolicy == .never {
      for container in snapshot.containers where container.role == .initialization {
        if let latest = container.latest, case .exited(let code, _) = latest.status, code != 0, !latest.isReplaced,
          latest.isCurrent || snapshot.sandbox == .absent
        {
          return .failed
        }
      }
    }
    var hasFailed = false
    for container in snapshot.containers where container.role == .main {
      guard let latest = container.latest, case .exited(let code, _) = latest.status, !latest.isReplaced else {
        return nil
      }
      if code != 0 {
        if snapshot.restartPolicy == .onFailure { return nil }
        hasFailed = true
      }
    }
    return hasFailed ? .failed : .succeeded
  }

  private static func planRun(_ snapshot: PodSnapshot, _ plan: inout PodPlan) {
    if snapshot.sandbox == .lost {
      // Whatever still runs there has lost its network and cannot be reached: begin anew.
      plan.actions.append(.removeSandbox)
      return
    }
    for container in snapshot.containers { planUpkeep(container, snapshot, &plan) }

    var isReady = true
    switch snapshot.volumes {
    case .ready: break
    case .absent:
      plan.actions.append(.prepareVolumes)
      isReady = false
    case .failed(let retryAt):
      if snapshot.now >= retryAt { plan.actions.append(.prepareVolumes) } else { plan.wake(at: retryAt) }
      isReady = false
    }
    var sandboxCreatedAt: Timestamp?
    switch snapshot.sandbox {
    case .ready(let createdAt): sandboxCreatedAt = createdAt
    case .failed(let retryAt) where snapshot.now < retryAt: plan.wake(at: retryAt)
    case .absent, .failed, .lost: plan.actions.append(.createSandbox)
    }
    // What is to run first has its image got meanwhile: neither waits for the other.
    let mayStart = isReady && sandboxCreatedAt != nil
    let hasMainStarted = snapshot.containers.contains { container in
      container.role == .main && container.runs.contains { $0.isCurrent && $0.status != .created }
    }
    for container in snapshot.containers where container.role != .main {
      switch container.role {
      case .sidecar:
        planStart(container, mayRestart: true, mayStart: mayStart, snapshot, &plan)
        guard let latest = container.latest, latest.isRunning, latest.isCurrent, latest.isStarted || hasMainStarted
        else {
          if !hasMainStarted { return }
          continue
        }
      default:
        if hasMainStarted { continue }
        if let latest = container.latest, latest.isCurrent, case .exited(0, _) = latest.status { continue }
        planStart(container, mayRestart: snapshot.restartPolicy != .never, mayStart: mayStart, snapshot, &plan)
        return
      }
    }
    for container in snapshot.containers where container.role == .main {
      var mayRestart = snapshot.restartPolicy == .always
      if snapshot.restartPolicy == .onFailure, case .exited(let code, _) = container.latest?.status {
        mayRestart = code != 0
      }
      planStart(container, mayRestart: mayRestart, mayStart: mayStart, snapshot, &plan)
    }
  }

  /// Ends what a probe or hook condemned, and removes what nobody asks for any more: every run but the last two.
  private static func planUpkeep(
    _ container: PodSnapshot.Container, _ snapshot: PodSnapshot, _ plan: inout PodPlan
  ) {
    for (index, run) in container.runs.enumerated() {
      switch run.status {
      case .running:
        if index < container.runs.count - 1 {
          // Two runs of one container must never be alive together.
          plan.actions.append(.kill(id: run.id))
        } else if let condemned = run.condemned {
          planStop(
            run, of: container.name, grace: condemned.gracePeriodSeconds ?? snapshot.gracePeriodSeconds,
            message: condemned.message, now: snapshot.now, &plan)
        } else if run.stop != nil {
          // The server was asked to end it before the reason went away: an end that has begun is carried through.
          planStop(
            run, of: container.name, grace: snapshot.gracePeriodSeconds,
            message: "Stopping container \(container.name)", now: snapshot.now, &plan)
        }
      case .created: plan.actions.append(.remove(id: run.id))
      case .exited:
        if index < container.runs.count - 2 { plan.actions.append(.remove(id: run.id)) }
      }
    }
  }

  /// Starts a container that does not run, when its back-off is over.
  ///
  /// - Parameter mayStart: `false` while the sandbox or the volumes are not there: only its image is got then.
  private static func planStart(
    _ container: PodSnapshot.Container, mayRestart: Bool, mayStart: Bool, _ snapshot: PodSnapshot, _ plan: inout PodPlan
  ) {
    // A live or half-made earlier run goes first (`planUpkeep` has seen to it).
    if container.runs.contains(where: { $0.isRunning || $0.status == .created }) { return }
    var attempt = 0
    if let latest = container.latest, case .exited(_, let finishedAt) = latest.status {
      // A new sandbox runs the init containers again, whatever became of them in the old one.
      let isRerun = latest.isReplaced || !latest.isCurrent && container.role != .main
      if !mayRestart && !isRerun { return }
      attempt = latest.attempt + 1
      if latest.isCurrent, !latest.isReplaced,
        let at = container.backoff?.restartAt(finishedAt: finishedAt, now: snapshot.now)
      {
        plan.wake(at: at)
        return
      }
    }
    if let retryAt = container.retryAt, snapshot.now < retryAt {
      plan.wake(at: retryAt)
      return
    }
    switch container.image {
    case .absent: plan.actions.append(.prepareImage(container: container.name))
    case .underway: break
    case .ready: if mayStart { plan.actions.append(.start(container: container.name, attempt: attempt)) }
    }
  }
}
