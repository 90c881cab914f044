import Glibc

/// A system call or a helper program that failed.
public struct SystemError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What was tried, with its object: `open /var/lib/apus/lock`.
  public var operation: String
  /// The `errno` of the call; zero when there is none.
  public var errno: Int32
  /// What else is known, such as a program's last words.
  public var detail: String

  public init(_ operation: String, errno: Int32 = 0, detail: String = "") {
    self.operation = operation
    self.errno = errno
    self.detail = detail
  }

  /// The failure of the call that has just set `errno`.
  public static func last(_ operation: String) -> SystemError {
    SystemError(operation, errno: Glibc.errno)
  }

  public var description: String {
    var text = operation
    if errno != 0 { text += ": " + String(cString: strerror(errno)) }
    if !detail.isEmpty { text += ": " + detail }
    return text
  }

  /// Whether there is nothing of that name.
  public var isMissing: Bool { errno == ENOENT || errno == ENOTDIR }

  /// Whether the disk or the quota is full.
  public var isDiskFull: Bool { errno == ENOSPC || errno == EDQUOT }
}
