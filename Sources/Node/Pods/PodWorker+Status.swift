import Containers
import ControllerKit
import KubeClient
import KubeTypes
import LinuxSystem
import Logging
import Wire

extension PodWorker {
  /// What the API has now.
  func noteStatus(_ status: JSON, revision: Int64) {
    if revision >= knownRevision {
      knownStatus = status
      knownRevision = revision
      noteEnd(status)
    }
    // Somebody else wrote after us: what we say is said once more, if it still differs. That may have been heard of before
    // the answer to our own write.
    if knownRevision > lastWrittenRevision, let wanted, PodStatusBuilder.differs(wanted, from: knownStatus) {
      lastWritten = nil
    }
  }

  /// Computes the status and, when it changed, has it written in the background. Changes while a write is under way
  /// make one more write.
  func publishStatus(now: Timestamp) {
    guard intent != .gone else { return }
    let input = statusInput(now: now)
    for container in input.containers where container.isBackingOff { tellBackoff(container.name) }
    let status = PodStatusBuilder.build(input)
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
    let isRunning = containers.values.contains(where: \.isRunning)
    // Of a pod that ended before anything of it ran (it was rejected) no container waits any more.
    let isShown = !isFinished || containers.values.contains { !$0.runs.isEmpty }
    let statuses = (isShown ? allContainers : []).map { container, role in
      (containers[container.name ?? ""] ?? PodContainer()).status(
        of: container, role, restartPolicy: intent == .run && !isFinished ? restartPolicy : nil,
        isInitializing: !pod.spec.initContainers.isEmpty, pod: describeIdentity(), scheme: context.scheme, now: now)
    }
    return PodStatusInput(
      now: now, restartPolicy: restartPolicy, hostIPs: context.configuration.nodeIPs,
      podIPs: podIPs.isEmpty && isFinished ? rememberedIPs : podIPs, startTime: startTime,
      isSandboxReady: sandbox?.isReady == true, containers: statuses,
      readinessGates: pod.spec.readinessGates.compactMap(\.conditionType),
      isTerminating: intent != .run && !isRunning, failure: isRunning ? nil : failure,
      endedPhase: endedPhase, generation: pod.metadata.generation, previous: knownStatus)
  }

  private func tellBackoff(_ name: String) {
    guard containers[name]?.backoffShown() == true else { return }
    event(
      .warning, "BackOff", "Back-off restarting failed container \(name) in pod \(describeIdentity())", container: name)
  }

  private var rememberedIPs: [String] { (knownStatus["podIPs"]?.array ?? []).compactMap { $0["ip"]?.string } }

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
