import Wire

/// Everything that decides what happens next to one pod, at one instant. Made by `PodWorker`, read by `PodPlanner`.
struct PodSnapshot: Sendable, Equatable {
  enum RestartPolicy: String, Sendable {
    case always = "Always"
    case onFailure = "OnFailure"
    case never = "Never"
  }

  /// What the API wants of the pod.
  enum Intent: Sendable, Equatable {
    case run
    /// It has a deletion timestamp.
    case delete
    /// Its object is no longer in the API.
    case gone
  }

  /// A step that must be done before containers start.
  enum Step: Sendable, Equatable {
    case absent
    case ready
    case failed(retryAt: Timestamp)
  }

  enum SandboxState: Sendable, Equatable {
    case absent
    case ready(createdAt: Timestamp)
    /// Its namespaces are gone: the machine was rebooted.
    case lost
    case failed(retryAt: Timestamp)
  }

  var now: Timestamp
  var intent: Intent = .run
  var restartPolicy: RestartPolicy = .always
  /// Seconds; what is left to containers between the polite and the deadly signal.
  var gracePeriodSeconds: Int64 = 30
  /// When the pod fails with `DeadlineExceeded`.
  var deadline: Timestamp?
  /// The pod ended before: nothing of it starts again.
  var isFinished = false
  var volumes: Step = .absent
  /// Whether anything of the volumes is on this machine, also from before the server's start.
  var hasVolumes = false
  var sandbox: SandboxState = .absent
  /// In the order of the specification, init containers first.
  var containers: [Container] = []

  /// An image that a container needs for its next run. A run uses it up: the next one asks by its policy again.
  enum ImageStep: Sendable, Equatable {
    case absent
    /// It is looked for, pulled or unpacked in the background.
    case underway
    case ready
  }

  struct Container: Sendable, Equatable {
    enum Role: Sendable, Equatable {
      /// Runs to its end before the next.
      case initialization
      /// An init container with `restartPolicy: Always` (KEP 753).
      case sidecar
      case main
    }

    var name: String
    var role: Role
    /// Known runs, by rising attempt.
    var runs: [Run] = []
    var backoff: CrashLoopBackoff?
    /// The last try to start it failed and is repeated then.
    var retryAt: Timestamp?
    /// The image of its next run.
    var image: ImageStep = .ready

    var latest: Run? { runs.last }
  }

  /// One attempt of one container.
  struct Run: Sendable, Equatable {
    enum Status: Sendable, Equatable {
      case created
      case running
      case exited(code: Int32, at: Timestamp)
    }

    var id: String
    var attempt: Int
    var status: Status
    /// Made in the present sandbox (init containers of an earlier one count as not done).
    var isCurrent = true
    /// Its startup probe, if any, has succeeded and its `postStart` hook, if any, has returned.
    var isStarted = true
    /// A probe or hook asks for its end.
    var condemned: Condemnation?
    var stop: Stop?

    var isRunning: Bool { status == .running }
    /// It ended, or ends, because its specification has changed.
    var isReplaced: Bool { condemned?.isReplacement == true }
  }

  /// Why a running container must end although the pod lives on.
  struct Condemnation: Sendable, Equatable {
    /// The `Killing` event's message.
    var message: String
    /// `terminationGracePeriodSeconds` of the probe, instead of the pod's.
    var gracePeriodSeconds: Int64?
    /// The specification has changed: the container starts anew whatever the restart policy says, as its end is none of
    /// its own.
    var isReplacement = false
  }

  /// An end under way.
  struct Stop: Sendable, Equatable {
    var since: Timestamp
    var gracePeriodSeconds: Int64
    /// Its `preStop` hook, if any, has returned.
    var isHookDone = true
    /// When the polite signal was sent.
    var terminatedAt: Timestamp?
    /// The last time that the deadly signal was sent.
    var killedAt: Timestamp?
  }
}

/// What to do next, and when to look again if nothing happens before.
struct PodPlan: Sendable, Equatable {
  enum Action: Sendable, Equatable {
    case prepareVolumes
    case createSandbox
    /// Look for the container's image, pull and unpack it. Does not wait for the end.
    case prepareImage(container: String)
    /// Create and start the container of that name.
    case start(container: String, attempt: Int)
    /// Begin the end: run the `preStop` hook. Does not wait for it.
    case stop(id: String, container: String, gracePeriodSeconds: Int64, message: String)
    /// Send the stop signal. Does not wait for the end.
    case terminate(id: String)
    /// SIGKILL.
    case kill(id: String)
    /// Remove the record of a container that does not run.
    case remove(id: String)
    case removeSandbox
    case removeVolumes
    /// Nothing is left: delete the object from the API (unless it is gone) and forget the pod.
    case finish
  }

  /// Independent of one another: they may be carried out at the same time.
  var actions: [Action] = []
  var wakeAt: Timestamp?
  /// The pod has come to its end in this instant, for this reason.
  var outcome: Outcome?

  enum Outcome: Sendable, Equatable {
    case succeeded
    case failed
    /// `activeDeadlineSeconds` is over.
    case deadlineExceeded
  }

  mutating func wake(at time: Timestamp) {
    wakeAt = wakeAt.map { min($0, time) } ?? time
  }
}
