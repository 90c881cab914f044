import HTTP
import NIOCore
import NIOHTTP1
import OCI
import Synchronization

/// A body that comes as fast as it is read, and no faster. Used by one task; letting go of it closes the connection.
public final class DownloadStream: Sendable {
  typealias Opener =
    @Sendable (_ range: String?, _ validator: String?) async throws(DistributionError) -> HTTPClientResponse

  /// `Content-Type`, empty when the server does not say.
  public let mediaType: String
  /// How many bytes the whole content has, whatever part of it is read; `nil` when the server does not say.
  public let size: Int64?
  /// `Last-Modified` as it came; `HTTPDate` reads it.
  public let lastModified: String?
  public let entityTag: String?
  /// The last component of the path that was asked in the end, after redirects; empty when it ends with a slash.
  public let lastPathComponent: String

  private struct State {
    var download: DownloadState
    var response: HTTPClientResponse?
    var hasher: DigestHasher?
    var isAtEnd = false
    var failure: DistributionError?
  }

  private let state: Mutex<State>
  private let digest: Digest?
  private let validator: String?
  private let context: RequestContext
  private let transport: RegistryTransport
  private let salt: UInt64
  private let open: Opener
  private let broke: @Sendable (DistributionError) -> Void

  /// Opens the stream.
  /// - Parameters:
  ///   - offset: where to begin; with 0 and a `digest` the content is verified.
  ///   - expected: the size of the whole content, when it is known.
  ///   - needsValidator: whether the content can change under its address: it is resumed only when the server can tell.
  ///   - open: sends the request; answers 200 or 206.
  ///   - broke: told of every break that is got over.
  init(
    context: RequestContext, transport: RegistryTransport, offset: Int64, expected: Int64?, digest: Digest?,
    needsValidator: Bool, broke: @escaping @Sendable (DistributionError) -> Void = { _ in }, open: @escaping Opener
  ) async throws(DistributionError) {
    var download = DownloadState(offset: offset, expected: expected)
    let response = try await open(download.range, nil)
    let answer = download.answered(
      status: response.status, contentRange: response.headers.first(name: "content-range"),
      contentLength: response.contentLength)
    if case .refuse(let code, let why) = answer { throw context.invalid(why, code: code) }
    mediaType = response.headers.first(name: "content-type") ?? ""
    size = download.total
    lastModified = response.headers.first(name: "last-modified")
    entityTag = response.headers.first(name: "etag")
    let components = response.url.path.split(separator: "/", omittingEmptySubsequences: false)
    lastPathComponent = components.last.map(String.init) ?? ""
    // A weak tag does not stand for the same bytes (RFC 9110, section 13.1.5).
    let strong = entityTag.flatMap { $0.hasPrefix("W/") ? nil : $0 }
    validator = needsValidator ? strong ?? lastModified : ""
    self.context = context
    self.transport = transport
    self.digest = offset == 0 ? digest : nil
    self.open = open
    self.broke = broke
    salt = transport.nextSalt()
    state = Mutex(
      State(
        download: download, response: response, hasher: offset == 0 ? digest.map { DigestHasher($0.algorithm) } : nil))
  }

  /// The next bytes; `nil` at the end, which comes only after everything has been received and verified.
  public func next() async throws(DistributionError) -> ByteBuffer? {
    do throws(DistributionError) {
      return try await nextChunk()
    } catch {
      state.withLock { state in
        state.failure = error
        state.response = nil
      }
      throw error
    }
  }

  private func nextChunk() async throws(DistributionError) -> ByteBuffer? {
    while true {
      let (response, isAtEnd, failure) = state.withLock { ($0.response, $0.isAtEnd, $0.failure) }
      if let failure { throw failure }
      if isAtEnd { return nil }
      guard let response else {
        try await reopen()
        continue
      }
      let chunk: ByteBuffer?
      do throws(HTTPClientError) {
        chunk = try await response.next()
      } catch {
        try await recover(from: context.error(error))
        continue
      }
      if let chunk {
        if let new = try take(chunk) { return new }
        continue
      }
      guard state.withLock({ $0.download.isComplete }) else {
        try await recover(from: context.error(.closed(isAnswered: true)))
        continue
      }
      try verify()
      return nil
    }
  }

  /// The new bytes of a chunk, hashed.
  private func take(_ chunk: ByteBuffer) throws(DistributionError) -> ByteBuffer? {
    let (new, isTooMuch): (ByteBuffer, Bool) = state.withLock { state in
      let (drop, isTooMuch) = state.download.received(Int64(chunk.readableBytes))
      var new = chunk
      new.moveReaderIndex(forwardBy: Int(drop))
      if !isTooMuch { new.withUnsafeReadableBytes { state.hasher?.update($0) } }
      return (new, isTooMuch)
    }
    if isTooMuch { throw context.invalid("more bytes come than there should be", code: .contentMismatch) }
    return new.readableBytes > 0 ? new : nil
  }

  private func verify() throws(DistributionError) {
    let found = state.withLock { state in
      state.isAtEnd = true
      state.response = nil
      return state.hasher?.finish()
    }
    if let digest, let found, found != digest {
      throw context.invalid("the content has the digest \(found); nothing of it is used", code: .contentMismatch)
    }
  }

  /// Waits before the next attempt, or throws when there is none.
  private func recover(from error: DistributionError) async throws(DistributionError) {
    guard error.isRetriable, validator != nil else { throw error }
    let attempts = transport.configuration.retry.attempts
    let breaks: Int? = state.withLock { state in
      state.response = nil
      return state.download.broke(attemptsMax: attempts) ? state.download.breaks : nil
    }
    guard let breaks, let delay = transport.configuration.retry.delay(after: error, attempt: breaks, salt: salt) else {
      throw error
    }
    broke(error)
    try await transport.sleep(delay)
  }

  private func reopen() async throws(DistributionError) {
    let response = try await open(state.withLock { $0.download.range }, validator.flatMap { $0.isEmpty ? nil : $0 })
    let answer = state.withLock { state in
      state.response = response
      return state.download.answered(
        status: response.status, contentRange: response.headers.first(name: "content-range"),
        contentLength: response.contentLength)
    }
    if case .refuse(let code, let why) = answer { throw context.invalid(why, code: code) }
    // `If-Range` with another version gives the whole new content, which does not continue the old one.
    guard let validator, !validator.isEmpty else { return }
    let now = response.headers.first(name: validator == lastModified ? "last-modified" : "etag")
    guard now == validator || (now == nil && response.status == 206) else {
      throw context.invalid("the content has changed during the transfer", code: .contentMismatch)
    }
  }

  /// How many bytes of the whole content have come, those before the start included.
  public var offset: Int64 { state.withLock { $0.download.offset } }
}
