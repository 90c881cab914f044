/// Why the server cannot start or stopped. Refusals of single requests are `KubeError`s instead.
public struct APIServerError: Error, Sendable, CustomStringConvertible {
  /// What was tried and what is wrong with it, with what to do.
  public var message: String
  /// The error below, in words.
  public var cause: String

  public init(_ message: String, cause: String = "") {
    self.message = message
    self.cause = cause
  }

  public var description: String { cause.isEmpty ? message : "\(message): \(cause)" }
}
