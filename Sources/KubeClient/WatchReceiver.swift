import KubeTypes
import NIOCore
import NIOHTTP1
import Synchronization
import Wire

/// Cuts a watch's response into lines and gives the events to a stream. A status other than 2xx fails the call itself
/// with the `Status` in the body.
final class WatchReceiver: ResponseReceiver {
  private let limits: HTTPSClient.Limits
  private let started: AsyncThrowingStream<Void, any Error>
  private let start: AsyncThrowingStream<Void, any Error>.Continuation
  private let events: WatchStream
  private let event: WatchStream.Continuation

  private struct State {
    var refusal: Int?
    var lines = LineSplitter()
  }

  private let state = Mutex(State())

  init(limits: HTTPSClient.Limits) {
    self.limits = limits
    (started, start) = AsyncThrowingStream.makeStream(bufferingPolicy: .bufferingOldest(1))
    (events, event) = AsyncThrowingStream.makeStream(bufferingPolicy: .bufferingOldest(limits.watchBacklogMax))
  }

  /// Waits for the head of the response. Dropping the stream closes the channel.
  func stream(closing channel: any Channel) async throws -> WatchStream {
    for try await _ in started {
      event.onTermination = { _ in channel.close(promise: nil) }
      return events
    }
    throw CancellationError()
  }

  func received(_ head: HTTPResponseHead) {
    if (200..<300).contains(head.status.code) {
      start.yield()
    } else {
      state.withLock { $0.refusal = Int(head.status.code) }
    }
  }

  func received(_ body: ByteBuffer) -> Bool {
    let lines: [[UInt8]]? = state.withLock { state in
      state.lines.append(body.readableBytesView)
      if state.lines.pendingCount > limits.watchLineSizeMax { return nil }
      return state.refusal == nil ? state.lines.takeLines() : []
    }
    guard let lines else {
      failed(
        KubeError(
          code: 500, reason: .internalError, message: "a watch event is larger than \(limits.watchLineSizeMax) bytes"))
      return false
    }
    for line in lines where !line.isEmpty {
      do {
        if case .dropped = event.yield(try WatchEvent(line: line)) {
          throw KubeError(
            code: 410, reason: .expired,
            message: "the reader of the watch is more than \(limits.watchBacklogMax) events behind")
        }
      } catch {
        failed(error)
        return false
      }
    }
    return true
  }

  func finished() {
    let refusal = state.withLock { state in
      state.refusal.map { KubeError(response: state.lines.rest, httpCode: $0) }
    }
    if let refusal { return failed(refusal) }
    start.finish()
    event.finish()
  }

  func failed(_ error: any Error) {
    start.finish(throwing: error)
    // Once it runs, a connection that breaks is the watch's ordinary end: the reader resumes from its last revision.
    if error is KubeError { event.finish(throwing: error) } else { event.finish() }
  }
}

/// Collects bytes and gives back whole lines.
struct LineSplitter {
  private var bytes: [UInt8] = []
  /// How much of `bytes` is known to hold no line break.
  private var searched = 0

  var pendingCount: Int { bytes.count }
  /// What is not a whole line yet.
  var rest: [UInt8] { bytes }

  mutating func append(_ more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }

  /// The lines without their breaks.
  mutating func takeLines() -> [[UInt8]] {
    var lines: [[UInt8]] = []
    var start = 0
    var at = searched
    while at < bytes.count {
      if bytes[at] == UInt8(ascii: "\n") {
        lines.append(Array(bytes[start..<at]))
        start = at + 1
      }
      at += 1
    }
    bytes.removeFirst(start)
    searched = bytes.count
    return lines
  }
}

extension WatchEvent {
  /// Reads a `metav1.WatchEvent`; one of type `ERROR` is thrown as the `KubeError` that it carries.
  init(line: [UInt8]) throws(KubeError) {
    let json: JSON
    do {
      json = try JSON.parse(line)
    } catch {
      throw KubeError(code: 500, reason: .internalError, message: "a watch event is no JSON: \(error)")
    }
    let object = json["object"] ?? .null
    switch json["type"]?.string {
    case "ADDED": self = .added(Object(object))
    case "MODIFIED": self = .modified(Object(object))
    case "DELETED": self = .deleted(Object(object))
    case "BOOKMARK":
      self = .bookmark(resourceVersion: object.at("metadata", "resourceVersion")?.string ?? "")
    case "ERROR": throw KubeError(status: object)
    default:
      throw KubeError(
        code: 500, reason: .internalError, message: "a watch event has the unknown type \(json["type"]?.text ?? "null")"
      )
    }
  }
}
