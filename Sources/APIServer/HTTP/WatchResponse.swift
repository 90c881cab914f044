import HTTP
import KubeClient
import KubeTypes
import NIOCore
import Protobuf
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

/// Encodes watch events in one form; an event that many watch is encoded once.
final class WatchEncoder: Sendable {
  enum Form: Sendable {
    /// An object on a line.
    case json
    /// A `WatchEvent` behind its length, with the object in its envelope.
    case protobuf(ProtobufLayouts)
  }

  private struct Slot {
    var revision: Int64 = -1
    var name = ""
    /// The kind in whose form the line is.
    var kind: KindSchema?
    var line: ByteBuffer?
  }
  private let form: Form
  private let recent: Mutex<[Slot]>
  private static let slots = 256
  /// In bytes: of the largest that is kept.
  private static let keptMax = 64 << 10

  init(_ form: Form) {
    self.form = form
    recent = Mutex(Array(repeating: Slot(), count: Self.slots))
  }

  /// - Parameter status: the kind of errors.
  func event(_ notice: WatchNotice, kind: KindSchema, status: KindSchema?) -> ByteBuffer {
    switch notice {
    case .added(let entry), .modified(let entry), .deleted(let entry):
      let name = notice.name
      let index = Int(truncatingIfNeeded: entry.revision) & (Self.slots - 1)
      let known = recent.withLock { slots in
        slots[index].revision == entry.revision && slots[index].name == name && slots[index].kind === kind
          ? slots[index].line : nil
      }
      if let known { return known }
      let line = event(name, entry.value, kind, status: status)
      // Large ones are as many bytes as there are slots for.
      guard line.readableBytes <= Self.keptMax else { return line }
      recent.withLock { $0[index] = Slot(revision: entry.revision, name: name, kind: kind, line: line) }
      return line
    case .bookmark(let revision, let endsInitialEvents):
      return event("BOOKMARK", Self.bookmark(kind, revision, endsInitialEvents).serialized(), kind, status: status)
    case .failed(let error): return event("ERROR", error.status.serialized(), status, status: nil)
    }
  }

  /// An event of one object, or of its metadata alone.
  ///
  /// - Parameters:
  ///   - object: in JSON.
  ///   - status: as which it is told why an object cannot be written.
  func event(
    _ name: String, _ object: [UInt8], _ kind: KindSchema?, _ extent: ProtobufEncoder.Extent = .object,
    status: KindSchema?
  ) -> ByteBuffer {
    guard case .protobuf(let layouts) = form else { return Self.line(name, object) }
    do throws(ProtobufError) {
      guard let layout = kind.flatMap(layouts.of) else { throw ProtobufError("the kind has no form in protobuf") }
      return Self.frame(name, try ProtobufEncoder.envelope(object, layout, extent))
    } catch {
      // An error that cannot be written either ends with an empty frame, which says as much.
      guard let status else { return Self.frame("ERROR", []) }
      let failed = KubeError.internalError("an object cannot be written as protobuf: \(error.message)")
      return event("ERROR", failed.status.serialized(), status, status: nil)
    }
  }

  static func bookmark(_ kind: KindSchema, _ revision: Int64, _ endsInitialEvents: Bool) -> JSON {
    var metadata: JSONObject = ["resourceVersion": .string(String(revision)), "creationTimestamp": .null]
    if endsInitialEvents { metadata["annotations"] = ["k8s.io/initial-events-end": "true"] }
    return [
      "kind": .string(kind.kind), "apiVersion": .string(kind.groupVersion.description), "metadata": .object(metadata),
    ]
  }

  /// `meta.k8s.io/v1 WatchEvent` behind its length in four bytes, big-endian.
  private static func frame(_ name: String, _ object: [UInt8]) -> ByteBuffer {
    var event = ProtobufWriter(after: [], capacity: object.count + 32)
    event.bytes(1, name.utf8)
    // `RawExtension`
    let start = event.open(2)
    event.bytes(1, object)
    event.close(start)
    var buffer = ByteBuffer()
    buffer.reserveCapacity(event.bytes.count + 4)
    buffer.writeInteger(UInt32(event.bytes.count))
    buffer.writeBytes(event.bytes)
    return buffer
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
