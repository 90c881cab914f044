import HTTP
import KubeTypes
import NIOCore
import Wire

/// Cuts the body of a watch's answer into lines and gives the events to a stream.
enum WatchReader {
  /// The events as they come. A reader that is too far behind gets `expired`; one that lets go of the stream, or whose
  /// task is cancelled, closes the connection.
  static func events(of response: HTTPClientResponse, limits: HTTPSClient.Limits) -> WatchStream {
    let (events, continuation) = WatchStream.makeStream(bufferingPolicy: .bufferingOldest(limits.watchBacklogMax))
    let reading = Task {
      do {
        try await read(response, into: continuation, limits)
        continuation.finish()
      } catch let error as KubeError {
        continuation.finish(throwing: error)
      } catch {
        // A connection that breaks is the watch's ordinary end: the reader resumes from its last revision.
        continuation.finish()
      }
    }
    continuation.onTermination = { _ in reading.cancel() }
    return events
  }

  private static func read(
    _ response: HTTPClientResponse, into events: WatchStream.Continuation, _ limits: HTTPSClient.Limits
  ) async throws {
    var lines = LineSplitter()
    while let bytes = try await response.next() {
      lines.append(bytes.readableBytesView)
      guard lines.pendingCount <= limits.watchLineSizeMax else {
        throw KubeError(
          code: 500, reason: .internalError, message: "a watch event is larger than \(limits.watchLineSizeMax) bytes")
      }
      for line in lines.takeLines() where !line.isEmpty {
        if case .dropped = events.yield(try WatchEvent(line: line)) {
          throw KubeError(
            code: 410, reason: .expired,
            message: "the reader of the watch is more than \(limits.watchBacklogMax) events behind")
        }
      }
    }
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
