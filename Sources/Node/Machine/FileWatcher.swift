import Glibc
import NIOCore
import NIOPosix
import Synchronization

/// Tells of changes in folders (`inotify(7)`), through one file descriptor for the whole node.
final class FileWatcher: Sendable {
  private struct State {
    var descriptor: Int32 = -1
    var nextID = 0
    /// By watch descriptor. Watching one folder twice gives one watch descriptor.
    var handlers: [Int32: [Int: @Sendable () -> Void]] = [:]
    var channel: (any Channel)?
  }

  private let state = Mutex(State())

  /// Ends a watch when it goes away or is cancelled.
  final class Token: Sendable {
    private let end: @Sendable () -> Void
    init(_ end: @escaping @Sendable () -> Void) { self.end = end }
    func cancel() { end() }
    deinit { end() }
  }

  /// Opens the descriptor; a node without inotify (its limit of instances is used up) works without, and says so in
  /// what `watch` returns.
  func start(on eventLoop: any EventLoop) async throws {
    let descriptor = inotify_init1(Int32(IN_NONBLOCK) | Int32(IN_CLOEXEC))
    guard descriptor >= 0 else {
      throw NodeError(.createContainerError, "inotify_init1: \(String(cString: strerror(errno)))")
    }
    state.withLock { $0.descriptor = descriptor }
    let channel = try await NIOPipeBootstrap(group: eventLoop)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(InotifyHandler { [weak self] in self?.changed($0) })
        }
      }
      .takingOwnershipOfDescriptor(input: descriptor).get()
    state.withLock { $0.channel = channel }
  }

  func stop() async {
    let channel = state.withLock { state in
      defer { state = State() }
      return state.channel
    }
    try? await channel?.close().get()
  }

  /// Calls `handler`, which must not block, after every change of a file in the folder. `nil` when the folder cannot
  /// be watched.
  func watch(_ folder: String, _ handler: @escaping @Sendable () -> Void) -> Token? {
    let key: (Int32, Int)? = state.withLock { state in
      guard state.descriptor >= 0 else { return nil }
      let mask = UInt32(IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE)
      let watch = inotify_add_watch(state.descriptor, folder, mask)
      guard watch >= 0 else { return nil }
      state.nextID += 1
      state.handlers[watch, default: [:]][state.nextID] = handler
      return (watch, state.nextID)
    }
    guard let (watch, id) = key else { return nil }
    return Token { [weak self] in
      self?.state.withLock { state in
        guard state.handlers[watch]?.removeValue(forKey: id) != nil else { return }
        if state.handlers[watch]?.isEmpty == true {
          state.handlers[watch] = nil
          inotify_rm_watch(state.descriptor, watch)
        }
      }
    }
  }

  private func changed(_ watches: [Int32]) {
    let handlers = state.withLock { state in
      // A full queue (-1) may have lost anything: everybody looks again.
      watches.contains(-1)
        ? state.handlers.values.flatMap(\.values)
        : watches.flatMap { state.handlers[$0].map { Array($0.values) } ?? [] }
    }
    for handler in handlers { handler() }
  }
}

/// Splits what the kernel writes into events (`struct inotify_event`: wd, mask, cookie, length, name).
private final class InotifyHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let report: @Sendable ([Int32]) -> Void
  private var pending = ByteBuffer()

  init(report: @escaping @Sendable ([Int32]) -> Void) { self.report = report }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var buffer = unwrapInboundIn(data)
    pending.writeBuffer(&buffer)
    var watches: [Int32] = []
    while let watch = pending.getInteger(at: pending.readerIndex, endianness: .host, as: Int32.self),
      let length = pending.getInteger(at: pending.readerIndex + 12, endianness: .host, as: UInt32.self),
      pending.readableBytes >= 16 + Int(length)
    {
      pending.moveReaderIndex(forwardBy: 16 + Int(length))
      if watches.last != watch { watches.append(watch) }
    }
    pending.discardReadBytes()
    report(watches)
  }
}
