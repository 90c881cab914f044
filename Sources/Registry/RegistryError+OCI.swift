import Content
import Distribution
import Layers
import OCI
import Wire

extension RegistryError {
  /// What a failure of the store means to a client. Paths of this machine stay out of answers.
  init(_ error: OCIError) {
    let digests: JSON = .array(error.digests.map { .string($0.description) })
    switch error.code {
    case .notFound: self.init(.unknown, "not found", status: 404)
    case .missingContent:
      self.init(
        .manifestBlobUnknown, "manifest references a manifest or blob unknown to registry; push it first",
        detail: ["digests": digests])
    case .digestMismatch:
      self.init(.digestInvalid, "provided digest did not match uploaded content; nothing was stored")
    case .invalidArchive, .invalidReference, .invalidPlatform, .ambiguous:
      self.init(.manifestInvalid, "manifest invalid: \(error.message)")
    case .unsupported: self.init(.manifestInvalid, "manifest not supported: \(error.message)")
    case .limitExceeded: self.init(.sizeInvalid, error.message, status: 413)
    case .quotaExceeded: self.init(.denied, "quota exceeded: \(error.message)")
    case .tooManyUploads:
      self.init(.tooManyRequests, error.message, headers: [RegistryError.Header("Retry-After", "60")])
    case .tagImmutable: self.init(.denied, "tag is immutable: \(error.message)")
    case .outOfOrder: self.init(.rangeInvalid, "the chunk does not begin where the upload ends")
    case .busy: self.init(.blobUploadInvalid, "another request is working on it; try again", status: 409)
    case .diskFull: self.init(.unavailable, "no space left on the registry's disk; nothing was stored", status: 507)
    case .leaseExpired, .closed, .changed: self.init(.unavailable, "try again")
    case .corrupt:
      self.init(
        .unknown, "the registry's disk has damaged it; push it again", detail: ["digests": digests])
    // `unsafePath`, `system`, and what the store may learn to say: the log has the reason.
    default: self.init(.unknown, "the registry's storage failed; see the registry's log")
    }
    cause = error
  }

  /// What a failure of another registry means to a client of this one.
  init(_ error: DistributionError) {
    switch error.code {
    case .notFound: self.init(.manifestUnknown, "not known to the upstream registry")
    case .unauthorized, .denied:
      self.init(.denied, "the upstream registry refuses this registry's credentials")
    case .tooManyRequests:
      let seconds = error.retryAfter.map { max(1, $0.components.seconds) } ?? 60
      self.init(
        .tooManyRequests, "the upstream registry limits requests", headers: [Header("Retry-After", String(seconds))])
    case .contentMismatch, .invalidResponse:
      self.init(.unavailable, "the upstream registry's answer is not what its digest says", status: 502)
    default: self.init(.unavailable, "the upstream registry cannot be reached", status: 502)
    }
  }
}
