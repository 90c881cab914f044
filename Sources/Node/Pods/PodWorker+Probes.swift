import Containers
import ControllerKit
import KubeTypes
import LinuxSystem
import Wire

extension PodWorker {
  /// Bytes of a command's output that go into an event.
  private static let outputMax = 10 << 10

  /// Begins the probes of a running container, after its `postStart` hook. Liveness and readiness wait for startup.
  func startProbes(_ run: ContainerRun, of container: Container, isAdopted: Bool) {
    // It may have ended before it was known to run.
    guard run.status == .running, !run.isEnding else { return }
    let id = run.id
    let name = container.name ?? ""
    addTask(of: id, name) { [self] in
      if !isAdopted, let hook = container.lifecycle?.postStart {
        do {
          try await runHook(hook, of: name, id: id, timeout: .seconds(3600))
        } catch {
          guard !Task.isCancelled else { return }
          await hookFailed(id, of: name, describe(error))
          return
        }
      }
      if let probe = container.startupProbe, !run.isStarted {
        guard await probeLoop(.startup, probe, container, run, isAdopted: isAdopted) else { return }
      }
      await started(id, of: name)
      await withDiscardingTaskGroup { group in
        if let probe = container.livenessProbe {
          group.addTask { _ = await self.probeLoop(.liveness, probe, container, run, isAdopted: isAdopted) }
        }
        if let probe = container.readinessProbe {
          group.addTask { _ = await self.probeLoop(.readiness, probe, container, run, isAdopted: isAdopted) }
        } else if let check = run.health {
          group.addTask { await self.healthLoop(check, of: name, run, isAdopted: isAdopted) }
        }
      }
    }
  }

  private func started(_ id: String, of name: String) {
    if containers[name]?[id]?.passedStartup() == true { wake() }
  }

  /// Whether its end is under way.
  func isStopping(_ id: String, of name: String) -> Bool { containers[name]?[id]?.stop != nil }

  private func hookFailed(_ id: String, of name: String, _ message: String) {
    if isStopping(id, of: name) { return }
    event(.warning, "FailedPostStartHook", "PostStartHook failed: \(message)", container: name)
    condemn(id, of: name, message: "FailedPostStartHook", grace: nil)
  }

  private func condemn(_ id: String, of name: String, message: String, grace: Int64?) {
    let condemnation = PodSnapshot.Condemnation(message: message, gracePeriodSeconds: grace)
    if containers[name]?[id]?.condemn(condemnation) == true { wake() }
  }

  func setReady(_ isReady: Bool, _ id: String, of name: String) {
    if containers[name]?[id]?.probed(isReady: isReady) == true { wake() }
  }

  /// Probes until the container ends, or, for startup, until it has started.
  ///
  /// - Returns: for startup: whether it has started.
  nonisolated private func probeLoop(
    _ kind: ProbeKind, _ probe: Probe, _ container: Container, _ run: ContainerRun, isAdopted: Bool
  ) async -> Bool {
    let id = run.id
    let name = container.name ?? ""
    let time = context.time
    let period: Duration = .seconds(max(1, probe.periodSeconds ?? 10))
    let timeout: Duration = .seconds(max(1, probe.timeoutSeconds ?? 1))
    var state = ProbeState(
      kind: kind, successThreshold: Int(probe.successThreshold ?? 1),
      failureThreshold: Int(probe.failureThreshold ?? 3),
      wasHealthy: kind == .readiness && isAdopted && run.isReady)
    var schedule = ProbeSchedule(
      kind: kind, period: period, asksNetwork: probe.exec == nil)
    do {
      let startedAt = run.startedAt ?? time.now()
      let delay = startedAt.adding(.seconds(probe.initialDelaySeconds ?? 0)).since(time.now())
      if delay > .zero { try await time.sleep(for: delay) }
      while !Task.isCancelled {
        let begin = time.now()
        let result = await once(probe, container, id, timeout: timeout)
        if Task.isCancelled { return false }
        let isStopping = await isStopping(id, of: name)
        // A container that is being ended need not be ended once more. Its readiness is still asked: it may refuse new
        // work in its last seconds.
        if isStopping, kind != .readiness { return false }
        let next = schedule.tried(
          isSuccess: result == .success, age: begin.since(startedAt), took: time.now().since(begin))
        switch result {
        case .success:
          switch state.succeeded() {
          case .becomeHealthy where kind == .startup: return true
          case .becomeHealthy: await setReady(true, id, of: name)
          default: break
          }
        case .failure(let message) where next.counts:
          if !isStopping {
            await event(.warning, "Unhealthy", "\(kind.rawValue) probe failed: \(message)", container: name)
          }
          switch state.failed() {
          case .becomeUnhealthy: await setReady(false, id, of: name)
          case .kill:
            let what = kind == .startup ? "startup" : "liveness"
            await condemn(
              id, of: name, message: "Container \(name) failed \(what) probe, will be restarted",
              grace: probe.terminationGracePeriodSeconds)
            return false
          default: break
          }
        case .failure: break
        }
        try await time.sleep(for: next.wait)
      }
    } catch {
      // Cancelled: the container ends or the server does.
    }
    return false
  }

  nonisolated private func once(
    _ probe: Probe, _ container: Container, _ id: String, timeout: Duration
  ) async -> ProbeResult {
    do {
      let ip = await podIPs.first ?? "127.0.0.1"
      let target = try ProbeTarget(
        probe: probe, container: container, podIP: ip, version: context.configuration.version)
      return await carryOut(target, id, timeout: timeout)
    } catch {
      return .failure(error.message)
    }
  }

  nonisolated func carryOut(_ target: ProbeTarget, _ id: String, timeout: Duration) async -> ProbeResult {
    switch target {
    case .http(let request): return await HTTPProbe.get(request, timeout: timeout)
    case .grpc(let request): return await GRPCProbe.check(request, timeout: timeout)
    case .tcp(let host, let port): return await TCPProbe.connect(host: host, port: port, timeout: timeout)
    case .exec(let command):
      do {
        let result = try await context.runtime.execSync(
          id, command: command, timeout: timeout, outputLimit: Self.outputMax)
        if result.status == .exited(0) { return .success }
        let output = String(decoding: result.stdout + result.stderr, as: UTF8.self)
        return .failure(output.isEmpty ? "command exited with a non-zero status" : output)
      } catch {
        if error.code == .timedOut {
          return .failure(
            "command timed out: \"\(command.joined(separator: " "))\" timed out after \(timeout.components.seconds)s")
        }
        return .failure(error.message)
      }
    case .sleep(let duration):
      try? await context.time.sleep(for: min(duration, timeout))
      return .success
    }
  }

  /// Runs a lifecycle hook to its end.
  nonisolated func runHook(_ hook: LifecycleHandler, of name: String, id: String, timeout: Duration) async throws {
    guard let container = await container(name) else { return }
    let target = try ProbeTarget(hook: hook, container: container, podIP: await podIPs.first ?? "127.0.0.1")
    if case .failure(let message) = await carryOut(target, id, timeout: timeout) {
      throw NodeError(.postStartHookError, message)
    }
  }
}
