import Containers
import KubeTypes
import Wire

extension PodContainer {
  /// What is told of it.
  ///
  /// - Parameters:
  ///   - restartPolicy: `nil` when nothing of the pod starts again.
  ///   - isInitializing: whether the pod has init containers.
  ///   - pod: for messages.
  func status(
    of container: Container, _ role: PodSnapshot.Container.Role, restartPolicy: PodSnapshot.RestartPolicy?,
    isInitializing: Bool, pod: String, scheme: String, now: Timestamp
  ) -> PodStatusInput.Container {
    let name = container.name ?? ""
    var status = PodStatusInput.Container(
      name: name, role: role,
      state: failureState ?? .waiting(reason: isInitializing ? "PodInitializing" : "ContainerCreating", message: ""),
      last: lastEnd(scheme: scheme), restartCount: 0, image: container.image ?? "")
    guard let run = shown else { return status }
    status.restartCount = run.attempt
    // What runs, not what is asked for by now.
    if !run.image.isEmpty { status.image = run.image }
    status.imageID = run.imageID
    status.user = run.user
    status.containerID = scheme + run.id
    guard run.status == .exited else {
      status.state = .running(startedAt: run.startedAt ?? run.createdAt)
      status.isStarted = run.isStarted
      status.isReady = run.isReady
      return status
    }
    status.state = .terminated(run.terminated(scheme: scheme))
    guard let restartPolicy, run.isReplaced || Self.restarts(run, role, restartPolicy) else { return status }
    // A crash loop shows the wait, and the end as the last state.
    if let failureState {
      status.state = failureState
    } else if run.isReplaced {
      status.state = .waiting(reason: "ContainerCreating", message: "")
    } else if let finishedAt = run.finishedAt, let backoff, backoff.restartAt(finishedAt: finishedAt, now: now) != nil {
      status.isBackingOff = true
      status.state = .waiting(
        reason: NodeError.Reason.crashLoopBackOff.rawValue,
        message: "back-off \(Self.goDuration(backoff.delay)) restarting failed container=\(name) pod=\(pod)")
    } else {
      // It is about to be started.
      return status
    }
    status.last = run.terminated(scheme: scheme)
    status.isBeingReplaced = run.isReplaced
    return status
  }

  private static func restarts(
    _ run: ContainerRun, _ role: PodSnapshot.Container.Role, _ policy: PodSnapshot.RestartPolicy
  ) -> Bool {
    switch (role, policy) {
    case (.sidecar, _), (.main, .always): true
    case (.initialization, .always), (_, .onFailure): run.exitCode != 0
    case (_, .never): false
    }
  }

  private var failureState: PodStatusInput.State? {
    failure.map { .waiting(reason: $0.reason.rawValue, message: $0.message) }
  }

  /// `1m20s`, as Go prints it.
  private static func goDuration(_ duration: Duration) -> String {
    let seconds = duration.components.seconds
    return seconds < 60 ? "\(seconds)s" : "\(seconds / 60)m\(seconds % 60)s"
  }
}
