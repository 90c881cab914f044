import LinuxSystem
import OCI

extension OCIError.Code {
  /// A file that somebody else changed while it was read. Nothing was stored.
  public static let changed = OCIError.Code("changed")
  /// A layer's entry that leads out of the root file system.
  public static let unsafePath = OCIError.Code("unsafePath")
  public static let diskFull = OCIError.Code("diskFull")
  /// Any other failure of a system call.
  public static let system = OCIError.Code("system")
}

extension OCIError {
  public init(_ error: SystemError) {
    if error.isDiskFull {
      self.init(.diskFull, "\(error); free some space and try again, nothing was stored")
    } else {
      self.init(.system, error.description)
    }
  }
}

/// Runs `body` and turns the system's error into one of images.
package func system<T>(_ body: () throws(SystemError) -> T) throws(OCIError) -> T {
  do { return try body() } catch { throw OCIError(error) }
}
