import KubeClient

/// An error that no further attempt lifts: the same input leads to it again. The key waits for a change, and is looked at
/// again after the longest pause only (compare controller-runtime's `reconcile.TerminalError`).
public struct TerminalError: Error, CustomStringConvertible {
  public let cause: any Error
  /// Whether the reconciler has noted the failure and is to be asked once more at once, to say so in a status.
  public let asksAgain: Bool

  public init(_ cause: any Error, asksAgain: Bool = false) {
    self.cause = cause
    self.asksAgain = asksAgain
  }

  /// What an error that ended a visit counts as; `nil` when it can go by itself.
  ///
  /// What the API server finds malformed, invalid or too large it always will, and whom it does not let do something
  /// (`KubeError.isMissingRight`) neither. Another refusal (403) is none of these: it can depend on other objects, such as
  /// a quota or a class that is yet to come.
  public init?(from error: any Error) {
    if let terminal = error as? TerminalError {
      self = terminal
      return
    }
    guard let error = error as? KubeError,
      error.isMissingRight || [.invalid, .badRequest, .requestEntityTooLarge].contains(error.reason)
    else { return nil }
    self.init(error)
  }

  public var description: String { "\(cause)" }
}

extension KubeError {
  private static let missingRight = "MissingRight"

  /// Marks the refusal of a component of this process that has not the right to do what it tried.
  package var asMissingRight: KubeError {
    var error = self
    var details = error.details ?? Details()
    details.causes.append(Cause(reason: Self.missingRight, message: message, field: ""))
    error.details = details
    return error
  }

  /// Whether a component of this process was refused by RBAC, and not by a rule about what it wrote.
  package var isMissingRight: Bool {
    reason == .forbidden && details?.causes.contains { $0.reason == Self.missingRight } == true
  }
}
