import HTTP
import KubeClient
import KubeTypes
import NIOCore
import Schema
import Store
import Synchronization
import Wire

/// The events of a watch as lines of JSON.
final class WatchResponse: Sendable {
  /// What may wait for a client: less than for the parts of this process, which always read.
  static let capacity = 4096
  static let bytesMax = 16 << 20

  let source: WatchSource
  let contentType: String
  private let encode: @Sendable (WatchNotice) -> ByteBuffer?
  private let timing = Mutex(Timing())
  private let metrics: ServiceMetrics
  private let counted: ServiceMetrics.OpenWatch

  private struct Timing {
    var isBookmarkDue = false
    var hasExpired = false
    var bookmarks: RepeatedTask?
    var end: Scheduled<Void>?
  }

  private static let bookmarkInterval = TimeAmount.seconds(60)
  /// Notices of one piece.
  private static let noticesMax = 64

  /// How long the watch lasts; `nil` for as long as both sides live.
  let endsAfter: TimeAmount?
  /// Told when notices wait.
  private let wake: WakeBox

  /// Calls whoever listens at the moment.
  final class WakeBox: Sendable {
    private let listener = Mutex<(@Sendable () -> Void)?>(nil)
    func set(_ listener: (@Sendable () -> Void)?) { self.listener.withLock { $0 = listener } }
    func call() { listener.withLock { $0 }?() }
  }

  init(
    _ service: ResourceService, _ kind: KindSchema, _ options: WatchSource.Options, contentType: String,
    endsAfter: TimeAmount?, encode: @escaping @Sendable (WatchNotice) -> ByteBuffer?
  ) throws(KubeError) {
    let box = WakeBox()
    wake = box
    self.contentType = contentType
    self.endsAfter = endsAfter
    self.encode = encode
    metrics = service.metrics
    counted = service.metrics.watch()
    var options = options
    options.capacity = Self.capacity
    options.bytesMax = Self.bytesMax
    source = WatchSource(service, kind, options, wake: { box.call() })
    try source.start()
  }

  /// The next lines: up to `limit` notices, and no more than one beyond `bytes`.
  func next(_ limit: Int, bytes: Int) -> (lines: [ByteBuffer], isEnded: Bool) {
    let (notices, isEnded) = source.take(limit, bytes: bytes)
    metrics.sent(events: notices.count)
    return (notices.compactMap(encode), isEnded)
  }

  /// About what the client is kept for.
  var waitingBytes: Int { source.waitingBytes }

  func cancel() {
    wake.set(nil)
    source.cancel()
    let (bookmarks, end) = timing.withLock { timing in
      defer { (timing.bookmarks, timing.end) = (nil, nil) }
      return (timing.bookmarks, timing.end)
    }
    bookmarks?.cancel()
    end?.cancel()
  }
}

extension WatchResponse: HTTPPulledBody {
  var length: Int? { nil }

  /// Nothing follows what waits.
  var isOverrun: Bool { source.isOver }

  func begin(on loop: any EventLoop, wake: @escaping @Sendable () -> Void) {
    self.wake.set(wake)
    let bookmarks = loop.scheduleRepeatedTask(initialDelay: Self.bookmarkInterval, delay: Self.bookmarkInterval) {
      [weak self] _ in
      self?.timing.withLock { $0.isBookmarkDue = true }
      wake()
    }
    let end = endsAfter.map { time in
      loop.scheduleTask(in: time) { [weak self] in
        self?.timing.withLock { $0.hasExpired = true }
        wake()
      }
    }
    timing.withLock { ($0.bookmarks, $0.end) = (bookmarks, end) }
  }

  func next(bytes: Int, _ allocator: ByteBufferAllocator) -> HTTPBodyPiece {
    if timing.withLock({ $0.hasExpired }) { return .end(nil) }
    let (lines, isEnded) = next(Self.noticesMax, bytes: bytes)
    var piece = lines.first
    if lines.count > 1 {
      // One chunk, one TLS record, one write for what has come together.
      var buffer = allocator.buffer(capacity: lines.reduce(0) { $0 + $1.readableBytes })
      for line in lines { buffer.writeImmutableBuffer(line) }
      piece = buffer
    }
    if isEnded { return .end(piece) }
    if let piece { return .bytes(piece) }
    let isBookmarkDue = timing.withLock { timing in
      defer { timing.isBookmarkDue = false }
      return timing.isBookmarkDue
    }
    guard isBookmarkDue, let line = source.bookmark().flatMap(encode) else { return .nothingYet }
    return .bytes(line)
  }
}

/// Encodes watch events; an event that many watch is encoded once.
final class WatchEncoder: Sendable {
  private struct Slot {
    var revision: Int64 = -1
    var name = ""
    /// The kind in whose form the line is.
    var kind: KindSchema?
    var line: ByteBuffer?
  }
  private let recent: Mutex<[Slot]>
  private static let slots = 256

  init() { recent = Mutex(Array(repeating: Slot(), count: Self.slots)) }

  func line(_ notice: WatchNotice, kind: KindSchema) -> ByteBuffer {
    switch notice {
    case .added(let entry), .modified(let entry), .deleted(let entry):
      let name = notice.name
      let index = Int(truncatingIfNeeded: entry.revision) & (Self.slots - 1)
      let known = recent.withLock { slots in
        slots[index].revision == entry.revision && slots[index].name == name && slots[index].kind === kind
          ? slots[index].line : nil
      }
      if let known { return known }
      let line = Self.line(name, entry.value)
      recent.withLock { $0[index] = Slot(revision: entry.revision, name: name, kind: kind, line: line) }
      return line
    case .bookmark(let revision, let endsInitialEvents):
      return Self.line("BOOKMARK", Self.bookmark(kind, revision, endsInitialEvents).serialized())
    case .failed(let error): return Self.line("ERROR", error.status.serialized())
    }
  }

  static func bookmark(_ kind: KindSchema, _ revision: Int64, _ endsInitialEvents: Bool) -> JSON {
    var metadata: JSONObject = ["resourceVersion": .string(String(revision)), "creationTimestamp": .null]
    if endsInitialEvents { metadata["annotations"] = ["k8s.io/initial-events-end": "true"] }
    return [
      "kind": .string(kind.kind), "apiVersion": .string(kind.groupVersion.description), "metadata": .object(metadata),
    ]
  }

  static func line(_ name: String, _ object: [UInt8]) -> ByteBuffer {
    var buffer = ByteBuffer()
    buffer.reserveCapacity(object.count + 40)
    buffer.writeStaticString("{\"type\":\"")
    buffer.writeString(name)
    buffer.writeStaticString("\",\"object\":")
    buffer.writeBytes(object)
    buffer.writeStaticString("}\n")
    return buffer
  }
}
