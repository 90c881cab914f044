import KubeClient

/// Who asks for something, in whose name its fields are written, whether it is only tried, and until when it has to be
/// answered: one value that goes with a request through all of its steps.
package struct RequestContext: Sendable {
  package var user: Caller
  /// Who owns the fields that are written: what the client calls itself, else the program that it says it is. Empty when it
  /// says neither.
  package var fieldManager: String
  package var dryRun: Bool
  /// What has not been done by then is not done any more; `nil` for no such time.
  package var deadline: ContinuousClock.Instant?

  package init(
    user: Caller, fieldManager: String = "", dryRun: Bool = false, deadline: ContinuousClock.Instant? = nil
  ) {
    self.user = user
    self.fieldManager = fieldManager
    self.dryRun = dryRun
    self.deadline = deadline
  }
}
