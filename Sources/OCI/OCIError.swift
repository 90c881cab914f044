import LinuxSystem

/// Why an image cannot be found, imported, unpacked or removed. The message names the archive's member or the file, and
/// what to do.
public struct OCIError: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Code: Sendable, Equatable {
    /// No image of that name, or a blob is missing.
    case notFound
    /// A reference that is no image name.
    case invalidReference
    /// An archive, manifest or configuration that breaks its specification.
    case invalidArchive
    /// Content that is not what its digest says.
    case digestMismatch
    /// A layer's entry that leads out of the root file system.
    case unsafePath
    /// More bytes or entries than the limits allow.
    case limitExceeded
    /// Valid, but not for this program: another platform, an unknown compression.
    case unsupported
    /// A short name or a digest prefix that several images have.
    case ambiguous
    case diskFull
    /// Any other failure of a system call.
    case system
  }

  public var code: Code
  public var message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public init(_ error: SystemError) {
    if error.isDiskFull {
      self.init(.diskFull, "\(error); free some space and try again, nothing was stored")
    } else {
      self.init(.system, error.description)
    }
  }

  public var description: String { message }
}

/// Runs `body` and turns the system's error into this module's.
func system<T>(_ body: () throws(SystemError) -> T) throws(OCIError) -> T {
  do { return try body() } catch { throw OCIError(error) }
}
