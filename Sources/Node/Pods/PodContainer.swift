import Containers
import ControllerKit
import KubeTypes
import Wire

/// What the worker knows of one container of its pod, and how that changes: what a start, an end, another image or the loss
/// of the sandbox takes of a container, and what stays, is decided here and nowhere else.
///
/// Apart from IO, as `ContainerRun` is: times and random numbers come from outside, and what belongs to something that
/// goes is cancelled with it.
struct PodContainer: Sendable {
  /// How far the image of the next run is. It is got in the background, so that neither the other containers nor the pod's
  /// end wait for it.
  enum Preparation: Sendable {
    case underway(id: Int, image: String, task: Task<Void, Never>)
    case ready(image: String, PreparedImage)

    var image: String {
      switch self {
      case .underway(_, let image, _), .ready(let image, _): image
      }
    }
  }

  /// Why it could not be started the last time; until it is.
  struct Failure: Sendable, Equatable {
    var reason: NodeError.Reason
    var message: String
    var retry: Retry
    var isAboutImage: Bool
    /// The image that the container asked for.
    var image: String
  }

  /// By rising attempt. A run stays, also one that the runtime has forgotten, until the plan has it removed.
  private(set) var runs: [ContainerRun] = []
  private(set) var backoff: CrashLoopBackoff?
  private(set) var failure: Failure?
  private(set) var preparation: Preparation?
  private var lastPreparation = 0
  /// How the run before all of `runs` ended, as it was reported before the server's start.
  private var reportedEnd: PodStatusInput.Terminated?

  // MARK: - Views

  /// A run by its id; to change it, too.
  subscript(id: String) -> ContainerRun? {
    get { runs.first { $0.id == id } }
    set {
      guard let newValue, let index = runs.firstIndex(where: { $0.id == id }) else { return }
      runs[index] = newValue
    }
  }

  var latest: ContainerRun? { runs.last }

  /// The run that is told of. One that is only made may not come to run: then it was no restart.
  var shown: ContainerRun? { runs.last { $0.status != .created } }

  var isRunning: Bool { runs.contains { $0.status == .running } }

  /// How the run before the shown one ended.
  func lastEnd(scheme: String) -> PodStatusInput.Terminated? {
    let earlier = runs.lastIndex { $0.status != .created }.map { runs[..<$0] } ?? []
    return earlier.last { $0.status == .exited }?.terminated(scheme: scheme) ?? reportedEnd
  }

  /// - Parameter sandboxCreatedAt: `nil` when there is no sandbox.
  func snapshot(
    _ name: String, _ role: PodSnapshot.Container.Role, sandboxCreatedAt: Timestamp?
  ) -> PodSnapshot.Container {
    let image: PodSnapshot.ImageStep =
      switch preparation {
      case nil: .absent
      case .underway: .underway
      case .ready: .ready
      }
    return PodSnapshot.Container(
      name: name, role: role, runs: runs.map { $0.snapshot(sandboxCreatedAt: sandboxCreatedAt) }, backoff: backoff,
      retryAt: failure?.retry.at, image: image)
  }

  // MARK: - Its image

  /// Somebody begins to get its image, unless somebody does or it is there.
  ///
  /// - Parameter begin: gets a number by which `prepared` tells of the end.
  mutating func prepares(_ image: String, _ begin: (_ id: Int) -> Task<Void, Never>) {
    guard preparation == nil else { return }
    lastPreparation += 1
    preparation = .underway(id: lastPreparation, image: image, task: begin(lastPreparation))
  }

  /// Its image is there, or cannot be had.
  ///
  /// - Returns: the image's name; `nil` when that one was broken off, and perhaps another began in its place.
  mutating func prepared(_ id: Int, _ result: PreparedImage?) -> String? {
    guard case .underway(id, let image, _) = preparation else { return nil }
    preparation = result.map { .ready(image: image, $0) }
    return image
  }

  /// Breaks off what is under way and lets go what is ready.
  mutating func dropPreparation() {
    if case .underway(_, _, let task) = preparation { task.cancel() }
    preparation = nil
  }

  /// The specification names this image now: what was got, or failed, for another one counts no longer, and what runs on
  /// another one is to end.
  mutating func specified(_ name: String, image: String?) {
    if let preparation, preparation.image != image ?? "" { dropPreparation() }
    if let failure, failure.isAboutImage, failure.image != image ?? "" { self.failure = nil }
    guard let image, let run = latest, !run.image.isEmpty, run.image != image else { return }
    self[run.id]?.condemn(
      PodSnapshot.Condemnation(
        message: "Container \(name) definition changed, will be restarted", gracePeriodSeconds: nil,
        isReplacement: true))
  }

  // MARK: - A start

  /// A start begins. It uses the image up: the next one, also the next try of this one, asks for its image anew.
  ///
  /// - Returns: the image, and the back-off that is to count once the run is `started`; `nil` without an image.
  mutating func starts(attempt: Int, now: Timestamp) -> (image: PreparedImage, backoff: CrashLoopBackoff?)? {
    guard case .ready(_, let image) = preparation else { return nil }
    precondition(runs.allSatisfy { $0.status == .exited }, "a container starts while an older run of it lives")
    precondition(runs.allSatisfy { $0.attempt < attempt }, "a container's restarts do not count up")
    preparation = nil
    guard attempt > 0 else { return (image, backoff) }
    // What crashed was the old definition: the new one begins anew.
    guard var backoff, latest?.isReplaced != true else { return (image, CrashLoopBackoff(now: now)) }
    backoff.restarted(now: now)
    return (image, backoff)
  }

  mutating func created(_ run: ContainerRun) {
    precondition(runs.allSatisfy { $0.status == .exited }, "two runs of a container would live together")
    runs.append(run)
  }

  mutating func started(
    _ id: String, at now: Timestamp, isStarted: Bool, isReady: Bool, backoff: CrashLoopBackoff?
  ) {
    self[id]?.started(at: now, isStarted: isStarted, isReady: isReady)
    self.backoff = backoff
    failure = nil
  }

  private static let imageBackoff = Backoff(first: .seconds(10), longest: .seconds(300))

  /// It could not be started, or its image not be had. Failures of one kind count on.
  ///
  /// - Parameter pullBackoff: of the image.
  mutating func startFailed(
    _ error: NodeError, image: String, pullBackoff: PullBackoff?, now: Timestamp, using random: inout SeededRandom
  ) {
    let known = failure.flatMap { $0.isAboutImage == error.isAboutImage ? $0.retry : nil }
    var retry = known ?? Retry(at: now)
    switch error.reason {
    case .errImagePull:
      // Soon, to find the back-off and say so.
      retry.failures += 1
      retry.at = now.adding(PullBackoff.reportTime)
    case .imagePullBackOff: retry.at = pullBackoff?.retryAt(now: now) ?? now
    case _ where error.isAboutImage:
      // Only an import or another name helps; both end the wait at once.
      retry.failed(now: now, backoff: Self.imageBackoff, using: &random)
    default: retry.failed(now: now, using: &random)
    }
    failure = Failure(
      reason: error.reason, message: error.message, retry: retry, isAboutImage: error.isAboutImage, image: image)
  }

  /// What it waits for may be there: it is tried again at once.
  mutating func retries(at now: Timestamp) { failure?.retry.at = now }

  // MARK: - An end

  /// The wait after its last end is shown.
  ///
  /// - Returns: whether that is new for this run.
  mutating func backoffShown() -> Bool {
    guard let run = shown, !run.isBackoffTold else { return false }
    self[run.id]?.isBackoffTold = true
    return true
  }

  /// The runtime has removed a run, and nobody asks for it any more.
  mutating func removed(_ id: String) {
    self[id]?.stopTasks()
    runs.removeAll { $0.id == id }
  }

  /// The runtime has removed the sandbox and all that was in it. What was only made never ran.
  mutating func sandboxRemoved(at now: Timestamp) {
    runs.removeAll { $0.status == .created }
    for index in runs.indices { runs[index].forgotten(at: now) }
  }

  /// The worker ends; the container may live on.
  mutating func stopWork() {
    dropPreparation()
    for index in runs.indices { runs[index].stopTasks() }
  }
}

// MARK: - From before the server's start

extension PodContainer {
  /// What the runtime and the status know of a pod's containers, by name.
  static func adopted(
    _ found: [ContainerState], pod: Pod, scheme: String, now: Timestamp
  ) -> [String: PodContainer] {
    let status = pod.json["status"]
    let statuses = (status?["initContainerStatuses"]?.array ?? []) + (status?["containerStatuses"]?.array ?? [])
    let specs = pod.spec.initContainers + pod.spec.containers
    var result: [String: PodContainer] = [:]
    for name in Set(found.map(\.name) + specs.compactMap(\.name)) {
      result[name] = PodContainer(
        found: found.filter { $0.name == name }, status: statuses.first { $0["name"]?.string == name } ?? [:],
        spec: specs.first { $0.name == name }, scheme: scheme, now: now)
    }
    return result
  }

  /// - Parameters:
  ///   - found: what the runtime has of it.
  ///   - status: what was reported of it.
  init(found: [ContainerState], status: JSON, spec: Container?, scheme: String, now: Timestamp) {
    let found = found.sorted { $0.attempt < $1.attempt }
    for state in found {
      var run = ContainerRun(state)
      run.recall(status, scheme: scheme)
      if let spec, spec.startupProbe == nil { _ = run.passedStartup() }
      if let spec, spec.readinessProbe == nil, run.health == nil { _ = run.probed(isReady: true) }
      runs.append(run)
    }
    // What was only made counts for nothing: neither must the restarts before it be forgotten, nor is its back-off one.
    let ran = found.last { $0.status != .created }
    backoff = CrashLoopBackoff(label: ran?.labels[CrashLoopBackoff.label])
    if ran == nil, let run = ContainerRun(status: status, scheme: scheme, now: now), self[run.id] == nil {
      runs.insert(run, at: 0)
    }
    let last = PodStatusInput.Terminated(status: status.at("lastState", "terminated"))
    reportedEnd = runs.contains { scheme + $0.id == last?.containerID } ? nil : last
  }
}
