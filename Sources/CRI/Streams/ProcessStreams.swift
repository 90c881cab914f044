import HTTP
import NIOCore
import Wire

/// The streams of a process in a container, by the protocol of remote commands (`v4.channel.k8s.io`). Letting go of them
/// closes the connection.
package final class ProcessStreams: Sendable {
  /// How the process ended; one that is attached to tells nothing but that its output has.
  package enum Ending: Sendable, Equatable {
    case ended
    case exited(code: Int32)
  }

  /// What is kept of the status.
  private static let statusMax = 64 << 10

  private let client: SPDYClient
  private let streams: [String: SPDYStream]

  init(_ client: SPDYClient, _ streams: [String: SPDYStream]) {
    self.client = client
    self.streams = streams
  }

  /// `nil` when it was not asked for, or is at its end. Each for one task.
  package func readStdout() async -> ByteBuffer? { await streams["stdout"]?.read() }
  package func readStderr() async -> ByteBuffer? { await streams["stderr"]?.read() }

  /// Suspends while the process does not read. Throws when the process reads no more.
  package func writeStdin(_ bytes: ByteBuffer) async throws { try await streams["stdin"]?.write(bytes) }

  /// The end of the process's input; output goes on.
  package func closeStdin() async throws { try await streams["stdin"]?.finish() }

  package func resize(columns: UInt16, rows: UInt16) async throws {
    try await streams["resize"]?.write(ByteBuffer(string: "{\"Width\":\(columns),\"Height\":\(rows)}\n"))
  }

  /// Suspends until the process is over and the runtime has told how; called once, when its output has been read.
  package func ending() async throws(StreamingError) -> Ending {
    var status: [UInt8] = []
    while let bytes = await streams["error"]?.read() {
      status += bytes.readableBytesView
      guard status.count <= Self.statusMax else {
        throw StreamingError(
          .invalid, "the container runtime tells of the command's end in more than \(Self.statusMax) bytes")
      }
    }
    if status.isEmpty {
      if let failure = client.failure { throw StreamingClient.explain(failure) }
      throw StreamingError(
        .closed, "the container runtime has closed the streams, and does not tell how the command ended")
    }
    return try Self.ending(status)
  }

  /// Reads a `Status`.
  static func ending(_ bytes: [UInt8]) throws(StreamingError) -> Ending {
    guard let status = try? JSON.parse(bytes, depthMax: 16), let word = status["status"]?.string else {
      throw StreamingError(.invalid, "the container runtime tells of the command's end by what is no Status")
    }
    if word == "Success" { return .ended }
    if status["reason"]?.string == "NonZeroExitCode" {
      for cause in status.at("details", "causes")?.array ?? [] where cause["reason"]?.string == "ExitCode" {
        if let code = cause["message"]?.string.flatMap({ Int32($0) }) { return .exited(code: code) }
      }
    }
    let prefix = "Internal error occurred: "
    let message = status["message"]?.string ?? "no reason is given"
    throw StreamingError(.failed, message.hasPrefix(prefix) ? String(message.dropFirst(prefix.count)) : message)
  }

  package func close() { client.close() }
}
