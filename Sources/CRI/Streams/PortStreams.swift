import HTTP
import NIOCore

/// A connection to a port in a pod, by the protocol of forwarded ports (`portforward.k8s.io`). Letting go of it closes the
/// connection.
package final class PortStreams: Sendable {
  /// What is kept of a reason.
  private static let reasonMax = 4096

  private let client: SPDYClient
  private let error: SPDYStream
  private let data: SPDYStream

  init(_ client: SPDYClient, error: SPDYStream, data: SPDYStream) {
    self.client = client
    self.error = error
    self.data = data
  }

  /// What the pod sends; `nil` at its end. For one task.
  ///
  /// - Throws: at the end, when the runtime tells that there was no connection, or the connection has broken.
  package func read() async throws(StreamingError) -> ByteBuffer? {
    if let bytes = await data.read() { return bytes }
    if Task.isCancelled { return nil }
    var reason: [UInt8] = []
    // The runtime says it before it ends the streams.
    while reason.count < Self.reasonMax, let bytes = await error.read() { reason += bytes.readableBytesView }
    if !reason.isEmpty {
      throw StreamingError(.failed, String(decoding: reason.prefix(Self.reasonMax), as: UTF8.self))
    }
    if let failure = client.failure { throw StreamingClient.explain(failure) }
    if data.isCutOff, !client.wasClosed {
      throw StreamingError(.closed, "the container runtime's streaming server broke the connection off")
    }
    return nil
  }

  /// Suspends while the pod does not read.
  package func write(_ bytes: ByteBuffer) async throws { try await data.write(bytes) }

  /// The pod sees the end of its input.
  package func closeWrite() async throws { try await data.finish() }

  package func close() { client.close() }
}
