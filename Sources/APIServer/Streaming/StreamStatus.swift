import KubeClient
import Wire

/// The `Status` object that ends a remote command, on its error channel (`remotecommand` protocol, version 4).
enum StreamStatus {
  static let success: JSON = ["metadata": [:], "status": "Success"]

  /// How clients learn the exit code of a command that failed.
  static func exited(code: Int32) -> JSON {
    guard code != 0 else { return success }
    return [
      "metadata": [:], "status": "Failure",
      "message": .string("command terminated with non-zero exit code: exit status \(code)"),
      "reason": "NonZeroExitCode",
      "details": ["causes": [["reason": "ExitCode", "message": .string(String(code))]]],
    ]
  }

  static func failure(_ error: any Error) -> JSON {
    let message = (error as? KubeError)?.message ?? String(describing: error)
    return [
      "metadata": [:], "status": "Failure", "message": .string("Internal error occurred: \(message)"),
      "reason": "InternalError", "details": ["causes": [["message": .string(message)]]], "code": 500,
    ]
  }
}
