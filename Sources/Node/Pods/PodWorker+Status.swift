import ControllerKit
import KubeClient
import KubeTypes
import LinuxSystem
import Logging
import Wire

extension PodWorker {
  /// What the API has now.
  func noteStatus(_ status: JSON, revision: Int64) {
    guard revision >= knownRevision else { return }
    knownStatus = status
    knownRevision = revision
    noteEnd(status)
    // Somebody else wrote after us: what we say is said once more, if it still differs.
    if revision > lastWrittenRevision, let wanted, PodStatusBuilder.differs(wanted, from: status) { lastWritten = nil }
  }

  /// Computes the status and, when it changed, has it written in the background. Changes while a write is under way
  /// make one more write.
  func publishStatus(now: Timestamp) {
    guard intent != .gone else { return }
    let status = PodStatusBuilder.build(statusInput(now: now))
    if endedPhase == nil { endedPhase = PodStatusBuilder.endedPhase(of: status) }
    precondition(
      endedPhase == nil || PodStatusBuilder.endedPhase(of: status) == endedPhase, "a pod that has ended goes on")
    assert(wanted.map { PodStatusBuilder.mayFollow(status, $0) } ?? true, "a pod's status goes back")
    wanted = status
    guard status != lastWritten, PodStatusBuilder.differs(status, from: knownStatus), statusTask == nil else { return }
    statusTask = Task {
      await writeStatus()
      statusTask = nil
    }
  }

  /// Waits until the last status is written, or cannot be.
  func flushStatus() async {
    publishStatus(now: context.time.now())
    while let task = statusTask { await task.value }
  }

  private func writeStatus() async {
    var retry = Retry(at: context.time.now())
    while intent != .gone, !Task.isCancelled, let status = wanted, status != lastWritten,
      PodStatusBuilder.differs(status, from: knownStatus)
    {
      var body = status
      // Lists that merge by key keep what is not named: addresses that are no longer ours are taken away.
      let current = Set((status["podIPs"]?.array ?? []).compactMap { $0["ip"]?.string })
      let stale = (knownStatus["podIPs"]?.array ?? []).compactMap { $0["ip"]?.string }.filter { !current.contains($0) }
      if !stale.isEmpty {
        let removals: [JSON] = stale.map { ["$patch": "delete", "ip": .string($0)] }
        body["podIPs"] = .array((status["podIPs"]?.array ?? []) + removals)
        if current.isEmpty { body["podIP"] = .null }
      }
      do {
        let object = try await context.client.patch(
          Pod.resource, namespace: key.namespace, name: key.name, subresource: "status", type: .strategicMerge,
          body: ["metadata": ["uid": .string(uid)], "status": body], options: WriteOptions(fieldManager: "kubelet"))
        lastWritten = status
        lastWrittenRevision = object.header.resourceVersion
        noteStatus(object.json()["status"] ?? [:], revision: object.header.resourceVersion)
        if isFinished { await record() }
      } catch let error as KubeError where error.reason == .notFound {
        return
      } catch let error as KubeError where error.reason == .conflict || error.reason == .invalid {
        // Another pod of the same name, or a status that the server does not take: trying again does not help.
        context.log.warning("pod status refused", metadata: ["pod": "\(key)", "error": "\(error)"])
        lastWritten = status
        return
      } catch {
        if Task.isCancelled { return }
        context.log.debug("pod status not written", metadata: ["pod": "\(key)", "error": "\(describe(error))"])
        // A pod that goes does not wait long for a status that nobody may read.
        if intent == .delete, retry.failures >= 3 { return }
        retry.failed(now: context.time.now(), using: &random)
        try? await context.time.sleep(for: max(.zero, retry.at.since(context.time.now())))
      }
    }
  }

  func statusInput(now: Timestamp) -> PodStatusInput {
    let isRunning = runs.values.contains { $0.contains { $0.status == .running } }
    let hasInit = !pod.spec.initContainers.isEmpty
    var containers: [PodStatusInput.Container] = []
    // Of a pod that ended before anything of it ran (it was rejected) no container waits any more.
    for (container, role) in allContainers where !isFinished || !runs.isEmpty {
      containers.append(status(of: container, role, now: now, hasInit: hasInit))
    }
    return PodStatusInput(
      now: now, restartPolicy: restartPolicy, hostIPs: context.configuration.nodeIPs,
      podIPs: podIPs.isEmpty && isFinished ? rememberedIPs : podIPs, startTime: startTime,
      isSandboxReady: sandbox?.isReady == true, containers: containers,
      readinessGates: pod.spec.readinessGates.compactMap(\.conditionType),
      isTerminating: intent != .run && !isRunning, failure: isRunning ? nil : failure,
      endedPhase: endedPhase, generation: pod.metadata.generation, previous: knownStatus)
  }

  private var rememberedIPs: [String] { (knownStatus["podIPs"]?.array ?? []).compactMap { $0["ip"]?.string } }

  private func status(
    of container: Container, _ role: PodSnapshot.Container.Role, now: Timestamp, hasInit: Bool
  ) -> PodStatusInput.Container {
    let name = container.name ?? ""
    var status = PodStatusInput.Container(
      name: name, role: role, state: .waiting(reason: hasInit ? "PodInitializing" : "ContainerCreating", message: ""),
      last: lastEnds[name], restartCount: 0, image: container.image ?? "")
    // One that is only made may not come to run: then it was no restart.
    if let run = latestRuns(name).last(where: { $0.status != .created }) {
      status.restartCount = run.attempt
      // What runs, not what is asked for by now.
      if !run.image.isEmpty { status.image = run.image }
      status.imageID = run.imageID
      status.user = run.user
      status.containerID = context.scheme + run.id
      switch run.status {
      case .created: break
      case .running:
        status.state = .running(startedAt: run.startedAt ?? run.createdAt)
        status.isStarted = run.isStarted
        status.isReady = run.isReady
      case .exited: status.state = .terminated(run.terminated(scheme: context.scheme))
      }
      // A crash loop shows the wait, and the end as the last state.
      if run.status == .exited, intent == .run, !isFinished, let waiting = waiting(container, role, run, now: now) {
        status.state = waiting
        status.last = run.terminated(scheme: context.scheme)
        status.isBeingReplaced = run.isReplaced
      }
    } else if let waiting = failureState(name, now: now) {
      status.state = waiting
    }
    return status
  }

  /// Why a container that ended does not run again yet; `nil` when it stays ended or is about to be started.
  private func waiting(
    _ container: Container, _ role: PodSnapshot.Container.Role, _ run: ContainerRun, now: Timestamp
  ) -> PodStatusInput.State? {
    let name = container.name ?? ""
    if run.isReplaced {
      return failureState(name, now: now) ?? .waiting(reason: "ContainerCreating", message: "")
    }
    switch (role, restartPolicy) {
    case (.sidecar, _), (.main, .always): break
    case (.initialization, .never): return nil
    case (.initialization, _), (_, .onFailure): if run.exitCode == 0 { return nil }
    default: return nil
    }
    if let state = failureState(name, now: now) { return state }
    guard let finishedAt = run.finishedAt, let backoff = backoffs[name],
      backoff.restartAt(finishedAt: finishedAt, now: now) != nil
    else { return nil }
    let message =
      "back-off \(Self.goDuration(backoff.delay)) restarting failed container=\(name) pod=\(describeIdentity())"
    if announcedBackoffs.insert(run.id).inserted {
      event(
        .warning, "BackOff", "Back-off restarting failed container \(name) in pod \(describeIdentity())",
        container: name)
    }
    return .waiting(reason: NodeError.Reason.crashLoopBackOff.rawValue, message: message)
  }

  private func failureState(_ name: String, now: Timestamp) -> PodStatusInput.State? {
    guard let failure = failures[name] else { return nil }
    return .waiting(reason: failure.reason.rawValue, message: failure.message)
  }

  /// `1m20s`, as Go prints it.
  static func goDuration(_ duration: Duration) -> String {
    let seconds = duration.components.seconds
    return seconds < 60 ? "\(seconds)s" : "\(seconds / 60)m\(seconds % 60)s"
  }

  // MARK: - Termination message

  /// Bytes of the message file, and of the log that stands in for it (`terminationMessagePolicy`).
  private static let messageMax = 4096
  private static let logMessageMax = 2048
  private static let logLinesMax: Int64 = 80

  func terminationMessage(of run: ContainerRun, container name: String, exitCode: Int32) async -> String {
    let file = run.terminationMessageFile
    let usesLog = container(name)?.terminationMessagePolicy == "FallbackToLogsOnError" && exitCode != 0
    let log = context.configuration.logPath(uid, container: name, attempt: run.attempt)
    let stored = file
    let bytes = try? await context.lanes.logs.run(uid, "read the last words of \(name)") { () -> [UInt8] in
      if let stored {
        let bytes = Files.tail(stored, limit: Self.messageMax)
        if !bytes.isEmpty { return bytes }
      }
      guard usesLog else { return [] }
      let tail = Files.tail(log, limit: 64 << 10)
      var finder = TailFinder(lines: Self.logLinesMax, size: Int64(tail.count))
      finder.feedBackwards(tail[...])
      var formatter = CRILogFormatter()
      return formatter.feed(tail[Int(finder.finish())...]).suffix(Self.logMessageMax)
    }
    return String(decoding: bytes ?? [], as: UTF8.self)
  }
}
