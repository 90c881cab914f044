import KubeClient

/// Why the node could not do something for a pod.
struct NodeError: Error, Sendable, Equatable, CustomStringConvertible {
  /// A container's `waiting.reason`, or an event's reason.
  enum Reason: String, Sendable {
    case errImagePull = "ErrImagePull"
    case imagePullBackOff = "ImagePullBackOff"
    case errImageNeverPull = "ErrImageNeverPull"
    case invalidImageName = "InvalidImageName"
    case createContainerConfigError = "CreateContainerConfigError"
    case createContainerError = "CreateContainerError"
    case runContainerError = "RunContainerError"
    case createPodSandboxError = "CreatePodSandboxError"
    case failedMount = "FailedMount"
    case postStartHookError = "PostStartHookError"
    case crashLoopBackOff = "CrashLoopBackOff"
  }

  var reason: Reason
  /// What is wrong, where, and what to do; fit for an event.
  var message: String

  init(_ reason: Reason, _ message: String) {
    self.reason = reason
    self.message = message
  }

  var description: String { message }

  /// Whether it is about getting the container's image.
  var isAboutImage: Bool {
    switch reason {
    case .errImagePull, .imagePullBackOff, .errImageNeverPull, .invalidImageName: true
    default: false
    }
  }
}

/// The message of any error, without Swift's type names.
func describe(_ error: any Error) -> String {
  if let error = error as? KubeError { return error.message.isEmpty ? error.description : error.message }
  return "\(error)"
}
