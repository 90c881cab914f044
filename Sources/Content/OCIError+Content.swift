import OCI

extension OCIError.Code {
  /// No image, repository, manifest, tag or blob of that name.
  public static let notFound = OCIError.Code("notFound")
  /// A manifest names content that is not there; `digests` says which.
  public static let missingContent = OCIError.Code("missingContent")
  /// The repository's quota does not allow more bytes. Nothing was stored.
  public static let quotaExceeded = OCIError.Code("quotaExceeded")
  /// Unfinished uploads are too many, or have too many bytes. Nothing was stored.
  public static let tooManyUploads = OCIError.Code("tooManyUploads")
  /// The tag is there already, for another manifest, and may not move or go.
  public static let tagImmutable = OCIError.Code("tagImmutable")
  /// Bytes of an upload that do not begin where the upload ends.
  public static let outOfOrder = OCIError.Code("outOfOrder")
  /// The lease ended before it was extended: what it pinned may be gone.
  public static let leaseExpired = OCIError.Code("leaseExpired")
  /// Somebody else uses it at the moment; try again.
  public static let busy = OCIError.Code("busy")
  /// A short name or a digest prefix that several images have.
  public static let ambiguous = OCIError.Code("ambiguous")
  /// The catalog or a blob is not what was written.
  public static let corrupt = OCIError.Code("corrupt")
  /// The store has been closed.
  public static let closed = OCIError.Code("closed")
}
