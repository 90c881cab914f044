import ControllerKit
import Testing
import Wire

import struct KubeTypes.Container
import struct KubeTypes.Pod

@testable import Containers
@testable import Node
@testable import OCI

/// What a worker knows of a container, transition by transition.
@Suite("A container of a pod")
struct PodContainerTests {
  private static let scheme = "crun://"
  private static let image = PreparedImage(
    image: OCI.Image(
      names: [], digest: Digest(of: [1]), id: Digest(of: [2]), size: 1, config: ImageConfig(), layers: []),
    lowerDirectories: [], imageID: "i@1", hold: ImageHold {})

  /// Work in the background that ends when it is cancelled.
  private func work() -> Task<Void, Never> { Task { try? await Signal().wait() } }

  private let t0 = Timestamp(seconds: 1_000_000)
  private func after(_ seconds: Int64) -> Timestamp { t0.adding(.seconds(seconds)) }

  private func prepare(_ container: inout PodContainer, image: String = "i") {
    var number = 0
    container.prepares(image) { id in
      number = id
      return Task {}
    }
    _ = container.prepared(number, Self.image)
  }

  private func create(
    _ container: inout PodContainer, _ id: String, _ attempt: Int, at now: Timestamp? = nil
  ) -> CrashLoopBackoff? {
    prepare(&container)
    let backoff = container.starts(attempt: attempt, now: now ?? t0)?.backoff
    container.created(ContainerRun(id: id, attempt: attempt, image: "i", imageID: "i@1", createdAt: now ?? t0))
    return backoff
  }

  private func start(_ container: inout PodContainer, _ id: String, _ attempt: Int, at now: Timestamp? = nil) {
    let backoff = create(&container, id, attempt, at: now)
    container.started(id, at: now ?? t0, isStarted: true, isReady: true, backoff: backoff)
  }

  /// One that runs for the first time.
  private func running(_ id: String = "1") -> PodContainer {
    var container = PodContainer()
    start(&container, id, 0)
    return container
  }

  private func event(_ id: String, code: Int32 = 1, at time: Timestamp? = nil) -> RuntimeEvent {
    RuntimeEvent(
      containerID: id, podUID: "u", name: "c", attempt: 0, exitCode: code, signal: nil, finishedAt: time ?? t0,
      oomKilled: false, isLost: false)
  }

  private func end(
    _ container: inout PodContainer, _ id: String, code: Int32 = 1, message: String = "", at time: Timestamp? = nil
  ) {
    #expect(container[id]?.ends() == true)
    container[id]?.ended(event(id, code: code, at: time), message: message)
  }

  private func status(
    _ container: PodContainer, _ role: PodSnapshot.Container.Role = .main,
    _ policy: PodSnapshot.RestartPolicy? = .always, now: Timestamp? = nil
  ) -> PodStatusInput.Container {
    container.status(
      of: Container(json: ["name": "c", "image": "wanted"]), role, restartPolicy: policy, isInitializing: false,
      pod: "p_n(u)", scheme: Self.scheme, now: now ?? t0)
  }

  private func reason(_ status: PodStatusInput.Container) -> String? {
    if case .waiting(let reason, _) = status.state { reason } else { nil }
  }

  private func found(
    _ id: String, _ attempt: Int, _ status: ContainerState.Status, labels: [String: String] = [:]
  ) -> ContainerState {
    var state = ContainerState(
      id: id, podUID: "u", podName: "p", podNamespace: "n", name: "c", attempt: attempt, image: "i", imageID: "i@1",
      status: status, createdAt: t0, oomKilled: false, isLost: false, logPath: "", labels: labels)
    if status == .exited {
      state.exitCode = 1
      state.finishedAt = t0
    }
    return state
  }

  private func adopted(_ found: [ContainerState], status: JSON = [:], spec: JSON = ["name": "c"]) -> PodContainer {
    PodContainer(found: found, status: status, spec: Container(json: spec), scheme: Self.scheme, now: t0)
  }

  private func ended(_ id: String, message: String = "") -> JSON {
    [
      "terminated": [
        "exitCode": 1, "reason": "Error", "message": .string(message), "containerID": .string(Self.scheme + id),
      ]
    ]
  }

  // MARK: - Its image

  @Test("one image is got at a time; a preparation that was broken off tells nothing")
  func preparation() {
    var container = PodContainer()
    var numbers: [Int] = []
    var tasks: [Task<Void, Never>] = []
    func prepare() {
      container.prepares("i") { id in
        numbers.append(id)
        tasks.append(work())
        return tasks[tasks.count - 1]
      }
    }
    func step() -> PodSnapshot.ImageStep { container.snapshot("c", .main, sandboxCreatedAt: nil).image }
    #expect(step() == .absent)
    prepare()
    prepare()
    #expect(numbers == [1] && step() == .underway)
    container.dropPreparation()
    #expect(tasks[0].isCancelled && step() == .absent)
    prepare()
    #expect(numbers == [1, 2])
    #expect(container.prepared(1, Self.image) == nil && step() == .underway)
    #expect(container.prepared(2, Self.image) == "i" && step() == .ready)
    #expect(container.prepared(2, Self.image) == nil)
    container.dropPreparation()
    prepare()
    #expect(container.prepared(3, nil) == "i" && step() == .absent)
  }

  @Test("another image in the specification ends what was got, failed or runs for the old one")
  func specified() {
    var random = SeededRandom(seed: 1)
    var container = running()
    prepare(&container)
    container.startFailed(
      NodeError(.errImagePull, "m"), image: "i", pullBackoff: nil, now: t0, using: &random)
    container.specified("c", image: "i")
    #expect(container.preparation != nil && container.failure != nil && container.latest?.condemned == nil)
    // Enough of a pod to end it names no image.
    var nameless = running()
    nameless.specified("c", image: nil)
    #expect(nameless.latest?.condemned == nil)
    container.specified("c", image: "j")
    #expect(container.preparation == nil && container.failure == nil && container.latest?.isReplaced == true)
    #expect(container.latest?.condemned?.message == "Container c definition changed, will be restarted")
    // What failed for another reason is not mended by it.
    container.startFailed(
      NodeError(.createContainerConfigError, "m"), image: "j", pullBackoff: nil, now: t0, using: &random)
    container.specified("c", image: "k")
    #expect(container.failure != nil)
  }

  // MARK: - A start

  @Test("a start uses its image up, and needs one")
  func starts() {
    var container = PodContainer()
    #expect(container.starts(attempt: 0, now: t0) == nil)
    prepare(&container)
    #expect(container.starts(attempt: 0, now: t0) != nil)
    #expect(container.preparation == nil && container.starts(attempt: 0, now: t0) == nil)
  }

  @Test("the first start has no back-off, restarts double it, a new definition begins anew")
  func backoff() {
    var container = running()
    #expect(container.backoff == nil)
    end(&container, "1")
    start(&container, "2", 1)
    #expect(container.backoff?.delay == .seconds(10))
    end(&container, "2")
    start(&container, "3", 2, at: after(10))
    #expect(container.backoff?.delay == .seconds(20) && container.backoff?.updatedAt == after(10))
    container.specified("c", image: "j")
    end(&container, "3")
    start(&container, "4", 3, at: after(20))
    #expect(container.backoff?.delay == .seconds(10))
  }

  @Test("a start that does not come about is no restart, whatever the container did meanwhile", arguments: 0..<3)
  func abandoned(ends: Int) {
    var random = SeededRandom(seed: 1)
    var container = running()
    end(&container, "1", code: 3)
    start(&container, "2", 1)
    end(&container, "2", code: 4)
    #expect(create(&container, "3", 2)?.delay == .seconds(20))
    if ends > 0 { #expect(container["3"]?.ends() == true) }
    if ends > 1 { container["3"]?.ended(event("3"), message: "") }
    container["3"]?.abandoned()
    if ends == 1 { container["3"]?.ended(event("3"), message: "") }
    container.startFailed(
      NodeError(.runContainerError, "m"), image: "i", pullBackoff: nil, now: t0, using: &random)
    #expect(container["3"]?.ends() == false)
    #expect(container.latest?.status == .created && container.backoff?.delay == .seconds(10))
    let status = status(container)
    #expect(status.restartCount == 1 && reason(status) == "RunContainerError" && status.last?.exitCode == 4)
    container.removed("3")
    #expect(container.latest?.id == "2")
    // Of a pod that is being deleted the run before is told, not the same one twice.
    #expect(self.status(container, .main, nil).last?.exitCode == 3)
  }

  @Test("a started container is what its probes and hooks leave to ask, and its failure is over")
  func started() {
    var random = SeededRandom(seed: 1)
    var container = PodContainer()
    container.startFailed(
      NodeError(.runContainerError, "m"), image: "i", pullBackoff: nil, now: t0, using: &random)
    let backoff = create(&container, "1", 0)
    #expect(reason(status(container)) == "RunContainerError" && !container.isRunning)
    container.started("1", at: after(1), isStarted: false, isReady: false, backoff: backoff)
    #expect(container.failure == nil && container.isRunning)
    var status = status(container)
    #expect(status.state == .running(startedAt: after(1)) && !status.isStarted && !status.isReady)
    #expect(container["1"]?.passedStartup() == true && container["1"]?.passedStartup() == false)
    #expect(container["1"]?.probed(isReady: true) == true && container["1"]?.probed(isReady: true) == false)
    status = self.status(container)
    #expect(status.isStarted && status.isReady && status.image == "i")
  }

  @Test("a container that ended before its start returned runs no more")
  func hasty() {
    var container = PodContainer()
    _ = create(&container, "1", 0)
    #expect(container["1"]?.ends() == true)
    container["1"]?.ended(event("1", code: 0), message: "")
    container.started("1", at: after(1), isStarted: true, isReady: true, backoff: nil)
    #expect(container["1"]?.status == .exited && container["1"]?.startedAt == after(1))
    #expect(container["1"]?.isReady == false && container["1"]?.probed(isReady: true) == false)
  }

  @Test("failures of one kind count on, and each kind waits in its own way")
  func failures() {
    var random = SeededRandom(seed: 1)
    var container = PodContainer()
    func fail(_ reason: NodeError.Reason, _ pullBackoff: PullBackoff? = nil) -> Retry {
      container.startFailed(
        NodeError(reason, "m"), image: "i", pullBackoff: pullBackoff, now: t0, using: &random)
      return container.failure?.retry ?? Retry(at: t0)
    }
    #expect(fail(.runContainerError).failures == 1)
    let second = fail(.createContainerConfigError)
    #expect(second.failures == 2 && second.at > t0 && second.at <= after(1))
    container.retries(at: t0)
    #expect(container.failure?.retry == Retry(failures: 2, at: t0))
    #expect(fail(.errImagePull) == Retry(failures: 1, at: t0.adding(PullBackoff.reportTime)))
    #expect(fail(.imagePullBackOff, PullBackoff(now: t0, message: "")).at == after(10))
    #expect(fail(.imagePullBackOff).at == t0)
    let never = fail(.errImageNeverPull)
    #expect(never.failures == 2 && never.at >= after(10) && never.at <= after(20))
    #expect(fail(.createContainerError).failures == 1)
    #expect(container.failure?.isAboutImage == false)
  }

  // MARK: - An end

  @Test("an end counts once, with its last words, and ends the work for the container at once")
  func ends() {
    var container = running()
    let task = work()
    container["1"]?.tasks.append(task)
    #expect(container["1"]?.ends() == true && task.isCancelled && container["1"]?.tasks.isEmpty == true)
    #expect(container["1"]?.ends() == false && container.isRunning)
    container["1"]?.ended(event("1", code: 7, at: after(5)), message: "why")
    #expect(!container.isRunning && container["1"]?.isEnding == false)
    let end = container["1"]?.terminated(scheme: Self.scheme)
    #expect(end?.exitCode == 7 && end?.message == "why" && end?.finishedAt == after(5))
    #expect(container["1"]?.ends() == false)
  }

  @Test("an end that is asked for: hook, polite signal, deadly signal")
  func stops() {
    var container = running()
    #expect(container["1"]?.stops(at: after(1), gracePeriodSeconds: 30, hasHook: true) == true)
    #expect(container["1"]?.stops(at: after(2), gracePeriodSeconds: 9, hasHook: false) == false)
    #expect(
      container["1"]?.stop == PodSnapshot.Stop(since: after(1), gracePeriodSeconds: 30, isHookDone: false))
    container["1"]?.hookEnded()
    #expect(container["1"]?.stop?.isHookDone == true)
    #expect(container["1"]?.terminates(at: after(3)) == 15 && container["1"]?.stop?.terminatedAt == after(3))
    #expect(container["1"]?.kills(at: after(33)) == true && container["1"]?.stop?.killedAt == after(33))
    end(&container, "1")
    #expect(container["1"]?.terminates(at: after(40)) == nil && container["1"]?.kills(at: after(40)) == false)
    #expect(container["1"]?.stop?.killedAt == after(33))
    // Nothing runs in one that has ended already.
    var ending = running()
    #expect(ending["1"]?.ends() == true)
    #expect(ending["1"]?.stops(at: t0, gracePeriodSeconds: 30, hasHook: true) == true)
    #expect(ending["1"]?.stop?.isHookDone == true)
  }

  @Test("the first reason to end it stands, and it stays ready meanwhile")
  func condemned() {
    var container = running()
    let first = PodSnapshot.Condemnation(message: "one", gracePeriodSeconds: 1)
    #expect(container["1"]?.condemn(first) == true)
    #expect(container["1"]?.condemn(PodSnapshot.Condemnation(message: "two", gracePeriodSeconds: 2)) == false)
    #expect(container["1"]?.condemned == first && container["1"]?.isReady == true)
    end(&container, "1")
    var other = running()
    end(&other, "1")
    #expect(other["1"]?.condemn(first) == false)
  }

  @Test("the wait after an end is told once for each run")
  func backoffShown() {
    var container = running()
    end(&container, "1")
    start(&container, "2", 1)
    end(&container, "2", at: after(1))
    let status = status(container, now: after(2))
    #expect(status.isBackingOff && reason(status) == "CrashLoopBackOff" && status.last?.containerID == "crun://2")
    guard case .waiting(_, "back-off 10s restarting failed container=c pod=p_n(u)") = status.state else {
      Issue.record("\(status.state)")
      return
    }
    #expect(container.backoffShown() && !container.backoffShown())
    #expect(!self.status(container, now: after(11)).isBackingOff)
    start(&container, "3", 2, at: after(11))
    end(&container, "3", at: after(12))
    #expect(container.backoffShown() && !container.backoffShown())
  }

  @Test("a removed run takes its work along, and leaves the others")
  func removed() {
    var container = running()
    end(&container, "1", code: 5)
    start(&container, "2", 1)
    let task = work()
    container["2"]?.tasks.append(task)
    container.removed("2")
    #expect(task.isCancelled && container.runs.map(\.id) == ["1"])
    container.removed("2")
    container["2"]?.hookEnded()
    #expect(container.runs.map(\.id) == ["1"] && container["2"] == nil)
  }

  @Test("without its sandbox a run is remembered, as lost if it ran; what was only made never was")
  func sandboxRemoved() {
    var container = running()
    end(&container, "1", code: 5)
    start(&container, "2", 1)
    let task = work()
    container["2"]?.tasks.append(task)
    container.sandboxRemoved(at: after(9))
    #expect(task.isCancelled && container.runs.allSatisfy { $0.isRemembered && $0.status == .exited })
    #expect(container["1"]?.exitCode == 5 && container["1"]?.isLost == false)
    #expect(container["2"]?.exitCode == 137 && container["2"]?.isLost == true)
    #expect(container["2"]?.finishedAt == after(9))
    // The next start may fail: what was is not forgotten before it runs.
    _ = create(&container, "3", 2)
    container["3"]?.abandoned()
    container.sandboxRemoved(at: after(10))
    #expect(container.runs.map(\.id) == ["1", "2"] && status(container).restartCount == 1)
    // A pod that never restarts has not failed when its container was never started.
    var never = adopted([found("1", 0, .created)])
    never.sandboxRemoved(at: t0)
    #expect(never.runs.isEmpty)
  }

  @Test("the worker's end cancels its work, and changes nothing else")
  func stopWork() {
    var container = running()
    let (probe, pull) = (work(), work())
    container["1"]?.tasks.append(probe)
    container.prepares("i") { _ in pull }
    container.stopWork()
    #expect(probe.isCancelled && pull.isCancelled && container.isRunning && container.preparation == nil)
  }

  // MARK: - From before the server's start

  @Test("what was reported of a running container stays, and what nothing asks is so")
  func recall() {
    let reported: JSON = [
      "containerID": "crun://1", "started": true, "ready": true,
      "state": ["running": ["startedAt": .string(after(-9).rfc3339)]],
    ]
    let probes: JSON = ["name": "c", "startupProbe": ["exec": [:]], "readinessProbe": ["exec": [:]]]
    let known = adopted([found("1", 0, .running)], status: reported, spec: probes)
    #expect(known.latest?.isStarted == true && known.latest?.isReady == true)
    #expect(known.latest?.startedAt == after(-9))
    let unknown = adopted([found("2", 0, .running)], status: reported, spec: probes)
    #expect(unknown.latest?.isStarted == false && unknown.latest?.isReady == false)
    let plain = adopted([found("2", 0, .running)])
    #expect(plain.latest?.isStarted == true && plain.latest?.isReady == true)
    let check = HealthCheck(command: ["check"])
    let checked = adopted([found("2", 0, .running, labels: [HealthCheck.label: check.labelText])])
    #expect(checked.latest?.isReady == false && checked.latest?.health == check)
  }

  @Test("last words that were reported are known; others are to be read")
  func recalledWords() {
    let exited = [found("1", 0, .exited), found("2", 1, .exited)]
    let both = adopted(exited, status: ["state": ended("2", message: "b"), "lastState": ended("1", message: "a")])
    #expect(both.runs.map(\.message) == ["a", "b"])
    // In a crash loop the end of the last run is the last state.
    let waiting = adopted(exited, status: ["lastState": ended("2", message: "b")])
    #expect(waiting.runs.map(\.message) == [nil, "b"])
    #expect(waiting.lastEnd(scheme: Self.scheme)?.containerID == "crun://1")
    #expect(adopted([found("1", 0, .running)], status: ["state": ended("1")]).latest?.message == nil)
  }

  @Test("a back-off is that of the last run, not of one that was only made")
  func recalledBackoff() {
    var backoff = CrashLoopBackoff(now: t0)
    let first = [CrashLoopBackoff.label: backoff.labelText]
    backoff.restarted(now: after(10))
    let second = [CrashLoopBackoff.label: backoff.labelText]
    let made = adopted([found("2", 2, .created, labels: second), found("1", 1, .exited, labels: first)])
    #expect(made.runs.map(\.id) == ["1", "2"] && made.backoff?.delay == .seconds(10))
    let ran = adopted([found("1", 1, .exited, labels: first), found("2", 2, .exited, labels: second)])
    #expect(ran.backoff == backoff)
    #expect(adopted([found("1", 0, .exited)]).backoff == nil)
  }

  @Test("restarts that only the status knows of are not forgotten")
  func recalledRestarts() {
    let status: JSON = [
      "containerID": "crun://1", "restartCount": 4, "state": ["running": ["startedAt": "2026-01-01T00:00:00Z"]],
    ]
    for found in [[], [found("2", 5, .created)]] {
      let container = adopted(found, status: status)
      #expect(container.shown?.attempt == 4 && container.shown?.isRemembered == true)
      #expect(container.shown?.isLost == true && container.shown?.exitCode == 137)
    }
    // What the runtime has is the truth.
    #expect(adopted([found("1", 3, .exited)], status: status).runs.map(\.attempt) == [3])
    // One that was made is not started any more, and its end is none of a run.
    var made = adopted([found("2", 5, .created)], status: status)
    #expect(made["2"]?.ends() == false)
  }

  @Test("the last state is the end before the one that is told of")
  func recalledLastEnd() {
    let older: JSON = ["containerID": "crun://2", "restartCount": 1, "state": ended("2"), "lastState": ended("1")]
    #expect(adopted([], status: older).lastEnd(scheme: Self.scheme)?.containerID == "crun://1")
    let waiting: JSON = [
      "containerID": "crun://2", "restartCount": 1, "state": ["waiting": [:]], "lastState": ended("2"),
    ]
    #expect(adopted([], status: waiting).lastEnd(scheme: Self.scheme) == nil)
    var container = adopted([found("2", 1, .running)], status: older)
    #expect(container.lastEnd(scheme: Self.scheme)?.containerID == "crun://1")
    end(&container, "2")
    start(&container, "3", 2)
    #expect(container.lastEnd(scheme: Self.scheme)?.containerID == "crun://2")
  }

  @Test("each container gets what is its own")
  func adoptedByName() {
    var other = found("9", 2, .running)
    other.name = "gone"
    let pod = Pod(json: [
      "spec": ["initContainers": [["name": "i"]], "containers": [["name": "c"], ["name": "d"]]],
      "status": [
        "initContainerStatuses": [["name": "i", "containerID": "crun://5", "restartCount": 1, "state": ended("5")]],
        "containerStatuses": [["name": "d", "restartCount": 0]],
      ],
    ])
    let all = PodContainer.adopted([found("1", 0, .running), other], pod: pod, scheme: Self.scheme, now: t0)
    #expect(all.mapValues { $0.runs.map(\.id) } == ["i": ["5"], "c": ["1"], "d": [], "gone": ["9"]])
  }

  // MARK: - What is told of it

  @Test("an end is told as a wait only where the container starts again")
  func waits() {
    var random = SeededRandom(seed: 1)
    func ended(_ code: Int32, replaced: Bool = false, fails: Bool = false) -> PodContainer {
      var container = running()
      if replaced { container.specified("c", image: "j") }
      end(&container, "1", code: code)
      if fails {
        container.startFailed(
          NodeError(.createContainerError, "m"), image: "i", pullBackoff: nil, now: t0, using: &random)
      }
      return container
    }
    let always: [(PodSnapshot.Container.Role, PodSnapshot.RestartPolicy)] = [
      (.main, .always), (.sidecar, .always), (.sidecar, .onFailure), (.sidecar, .never),
    ]
    for (role, policy) in always {
      #expect(reason(status(ended(0, fails: true), role, policy)) == "CreateContainerError")
    }
    let failed: [(PodSnapshot.Container.Role, PodSnapshot.RestartPolicy)] = [
      (.main, .onFailure), (.initialization, .always), (.initialization, .onFailure),
    ]
    for (role, policy) in failed {
      #expect(reason(status(ended(1, fails: true), role, policy)) == "CreateContainerError")
      #expect(reason(status(ended(0, fails: true), role, policy)) == nil)
    }
    for role in [PodSnapshot.Container.Role.main, .initialization] {
      #expect(reason(status(ended(1, fails: true), role, .never)) == nil)
      #expect(reason(status(ended(1, replaced: true), role, .never)) == "ContainerCreating")
    }
    // About to be started, or of a pod that is over.
    #expect(reason(status(ended(1))) == nil)
    #expect(reason(status(ended(1, fails: true), .main, nil)) == nil)
    let replaced = status(ended(1, replaced: true))
    #expect(replaced.isBeingReplaced && replaced.last?.exitCode == 1 && replaced.restartCount == 0)
    #expect(reason(status(PodContainer())) == "ContainerCreating" && status(PodContainer()).image == "wanted")
  }
}
