import Content
import HTTP
import NIOHTTP1
import OCI

extension RegistryClient {
  /// A part of a blob. It is not verified: who asks for parts has digests of them.
  /// - Parameters:
  ///   - range: within the blob; as large as may be kept in memory.
  ///   - size: of the blob.
  /// - Throws: `unsupported` when the registry does not send parts.
  public func blob(
    _ digest: Digest, range: Range<Int64>, size: Int64, in repository: Repository, credentials: Credentials? = nil
  ) async throws(DistributionError) -> [UInt8] {
    try check(repository)
    let count = Int(range.upperBound - range.lowerBound)
    guard count > 0, range.lowerBound >= 0, range.upperBound <= size else { return [] }
    let call = RegistryCall(
      method: .GET, registry: repository.host, repository: repository.path, path: "blobs/\(digest)",
      headers: ["accept-encoding": "identity", "range": "bytes=\(range.lowerBound)-\(range.upperBound - 1)"],
      actions: ["pull"], isReading: true, what: "a part of blob \(digest)", accepted: [200, 206])
    return try await transport.perform(call, credentials: credentials) {
      [configuration] (response, context) throws(DistributionError) in
      guard response.status == 206 else {
        throw context.invalid("it sends the whole blob and not the part that was asked for", code: .unsupported)
      }
      guard let sent = response.headers.first(name: "content-range").flatMap({ ContentRange($0) }),
        sent.first == range.lowerBound, sent.last == range.upperBound - 1, sent.total == nil || sent.total == size
      else { throw context.invalid("it sends another part of the blob than it was asked for") }
      let bytes: [UInt8]?
      do throws(HTTPClientError) {
        bytes = try await response.collect(limit: count, within: configuration.deadlines.document)
      } catch {
        throw context.error(error)
      }
      guard let bytes, bytes.count == count else {
        throw context.invalid("it sends \(bytes.map { "\($0.count)" } ?? "more") bytes instead of \(count)")
      }
      return bytes
    }
  }
}
