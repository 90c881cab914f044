/// A long-lived part of the program. The composition root runs every service in one task group and stops it by
/// cancelling its task.
public protocol Service: Sendable {
  /// Runs until its task is cancelled, and then throws `CancellationError` or returns. Any other error means that the
  /// part cannot go on.
  func run() async throws
}
