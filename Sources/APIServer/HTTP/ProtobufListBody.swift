import HTTP
import LinuxSystem
import NIOCore
import Protobuf
import Store
import Synchronization

/// A list in protobuf on its way out.
///
/// The length of all stands before the first object. So a list is written twice when it is large: once for the lengths, and
/// then piece by piece while the client takes it, which costs no memory of its own.
final class ProtobufListBody: HTTPPulledBody {
  /// Lists of so many bytes of JSON are written once, at once.
  static let smallMax = 128 << 10
  let length: Int?
  let isOverrun = false
  let waitingBytes = 0

  private let head: [UInt8]
  private let entries: [Entry]
  private let layout: ProtobufLayout
  private let extent: ProtobufEncoder.Extent
  private let next = Mutex(0)

  private init(
    head: [UInt8], length: Int, _ entries: [Entry], _ layout: ProtobufLayout, _ extent: ProtobufEncoder.Extent
  ) {
    self.head = head
    self.length = length
    self.entries = entries
    self.layout = layout
    self.extent = extent
  }

  /// Whether it is to be written at once.
  static func isSmall(_ entries: [Entry]) -> Bool {
    var bytes = 0
    for entry in entries {
      bytes += entry.value.count
      if bytes > smallMax { return false }
    }
    return true
  }

  /// The whole list.
  ///
  /// - Parameter metadata: of the list, as a message (`ListMeta`).
  static func bytes(
    _ metadata: [UInt8], _ entries: [Entry], _ layout: ProtobufLayout, _ extent: ProtobufEncoder.Extent
  ) throws(ProtobufError) -> [UInt8] {
    var writer = ProtobufWriter(after: ProtobufEncoder.head(layout, extent, isList: true), capacity: smallMax / 2)
    let start = writer.open(2)
    writer.bytes(1, metadata)
    for entry in entries { writer.append(try item(entry, layout, extent)) }
    writer.close(start)
    writer.append(ProtobufEncoder.tail)
    return writer.bytes
  }

  private static func item(
    _ entry: Entry, _ layout: ProtobufLayout, _ extent: ProtobufEncoder.Extent
  ) throws(ProtobufError) -> [UInt8] {
    do throws(ProtobufError) { return try ProtobufEncoder.item(entry.value, layout, extent) } catch {
      throw ProtobufError("\(entry.key): \(error.message)")
    }
  }

  /// Finds out how long the list is.
  static func measured(
    _ metadata: [UInt8], _ entries: [Entry], _ layout: ProtobufLayout, _ extent: ProtobufEncoder.Extent
  ) throws(ProtobufError) -> ProtobufListBody {
    var list = ProtobufWriter()
    list.bytes(1, metadata)
    var size = list.bytes.count
    for entry in entries { size += try item(entry, layout, extent).count }
    var writer = ProtobufWriter(after: ProtobufEncoder.head(layout, extent, isList: true), capacity: 16)
    writer.key(2, length: size)
    writer.append(list.bytes)
    let length = writer.bytes.count + size - list.bytes.count + ProtobufEncoder.tail.count
    return ProtobufListBody(head: writer.bytes, length: length, entries, layout, extent)
  }

  func begin(on loop: any EventLoop, wake: @escaping @Sendable () -> Void) {}

  func next(bytes: Int, _ allocator: ByteBufferAllocator) -> HTTPBodyPiece {
    next.withLock { next in
      var buffer = allocator.buffer(capacity: min(bytes, length ?? bytes) + 4096)
      if next == 0 { buffer.writeBytes(head) }
      // Little may become of much.
      var walked = 0
      while next < entries.count, buffer.readableBytes < bytes, walked < 2 * bytes {
        // What was written once can be written again. Otherwise the answer is shorter than its head says, and cut off.
        guard let item = try? ProtobufEncoder.item(entries[next].value, layout, extent) else { return .end(nil) }
        buffer.writeBytes(item)
        walked += extent == .metadata ? item.count : entries[next].value.count
        next += 1
      }
      guard next == entries.count else { return .bytes(buffer) }
      buffer.writeBytes(ProtobufEncoder.tail)
      return .end(buffer)
    }
  }

  func cancel() {}
}

/// Where large lists are measured: on a thread of their own, one after the other, so that neither connections nor
/// controllers wait for them. The thread ends when none waits.
final class ProtobufListMeter: Sendable {
  private static let waitingMax = 64

  private struct State {
    var waiting: [@Sendable () -> Void] = []
    var isRunning = false
  }

  private let state = Mutex(State())

  /// - Returns: whether it will be done; too many wait otherwise.
  func add(_ work: @escaping @Sendable () -> Void) -> Bool {
    let (isTaken, starts) = state.withLock { state in
      guard state.waiting.count < Self.waitingMax else { return (false, false) }
      state.waiting.append(work)
      defer { state.isRunning = true }
      return (true, !state.isRunning)
    }
    if starts { DedicatedThread.start("apus-lists") { [self] in while let work = next() { work() } } }
    return isTaken
  }

  private func next() -> (@Sendable () -> Void)? {
    state.withLock { state in
      let work = state.waiting.isEmpty ? nil : state.waiting.removeFirst()
      state.isRunning = work != nil
      return work
    }
  }
}
