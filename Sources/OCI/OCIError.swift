import LinuxSystem

/// Why the store, an image or an archive cannot do what was asked. The message names the archive's member or the file, and
/// says what to do.
public struct OCIError: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Code: Sendable, Equatable {
    /// No image, repository, manifest, tag or blob of that name.
    case notFound
    /// A reference that is no image name.
    case invalidReference
    /// A text that is no platform: `os/architecture[/variant]`.
    case invalidPlatform
    /// An archive, manifest or configuration that breaks its specification.
    case invalidArchive
    /// Content that is not what its digest says. Nothing was stored.
    case digestMismatch
    /// A manifest names content that is not there; `digests` says which.
    case missingContent
    /// A file that somebody else changed while it was read. Nothing was stored.
    case changed
    /// A layer's entry that leads out of the root file system.
    case unsafePath
    /// More bytes or entries than the limits allow.
    case limitExceeded
    /// The repository's quota does not allow more bytes. Nothing was stored.
    case quotaExceeded
    /// Unfinished uploads are too many, or have too many bytes. Nothing was stored.
    case tooManyUploads
    /// The tag is there already, for another manifest, and may not move or go.
    case tagImmutable
    /// Bytes of an upload that do not begin where the upload ends.
    case outOfOrder
    /// The lease ended before it was extended: what it pinned may be gone.
    case leaseExpired
    /// Somebody else uses it at the moment; try again.
    case busy
    /// Valid, but not for this program: another platform, an unknown compression.
    case unsupported
    /// A short name or a digest prefix that several images have.
    case ambiguous
    case diskFull
    /// The catalog or a blob is not what was written.
    case corrupt
    /// The store has been closed.
    case closed
    /// Any other failure of a system call.
    case system
  }

  public var code: Code
  public var message: String
  /// For `missingContent`: what is missing, in the manifest's order.
  public var digests: [Digest]

  public init(_ code: Code, _ message: String, digests: [Digest] = []) {
    self.code = code
    self.message = message
    self.digests = digests
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
