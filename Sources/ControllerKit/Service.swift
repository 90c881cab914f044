/// A long-lived part of the program. The composition root runs every service in one task group and stops it by
/// cancelling its task.
public protocol Service: Sendable {
  /// Runs until its task is cancelled, and then throws `CancellationError` or returns. Any other error means that the
  /// part cannot go on.
  ///
  /// It is run again after it has ended, in whatever way, and never twice at a time: a run starts with what is there, and
  /// leaves nothing of its own behind that hinders the next one.
  func run() async throws
}
