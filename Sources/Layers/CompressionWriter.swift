import CZlib
import CZstd
import Glibc
import LinuxSystem
import OCI

/// Where bytes go, front to back. Used by one thread at a time.
public protocol ByteSink: AnyObject {
  func write(_ bytes: UnsafeRawBufferPointer) throws(OCIError)
}

/// A sink that knows the digest and the number of the bytes written so far.
public protocol DigestingSink: ByteSink {
  var digest: Digest { get }
  var size: Int64 { get }
}

extension ByteSink {
  public func write(_ bytes: [UInt8]) throws(OCIError) {
    let failure: OCIError? = bytes.withUnsafeBytes { buffer in
      do throws(OCIError) {
        try write(buffer)
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }
}

/// Compresses what is written to it and hands it on. Used by one thread; further threads of its own help it.
///
/// The output depends on the input, the method and the level only, never on the number of threads or on how the input
/// was cut into pieces. Memory use does not depend on the amount of data.
///
/// - gzip: blocks of 256 KiB, each compressed with the end of the one before as its dictionary and ended on a byte, are
///   put together as one gzip member, as pigz does (RFC 1951, RFC 1952).
/// - zstd: libzstd's own workers (RFC 8878), with a checksum.
public final class CompressionWriter: Encoder {
  private let encoder: any Encoder

  /// - Parameters:
  ///   - level: 1 (fast) to 9 (small) for gzip, to 19 for zstd; `nil` for the usual 6 and 3.
  ///   - threads: how many compress at the same time.
  public init(
    _ compression: Compression, level: Int? = nil, threads: Int = CompressionWriter.threadsDefault,
    to sink: any ByteSink
  ) throws(OCIError) {
    let levelMax =
      switch compression {
      case .none: Int.max
      case .gzip: 9
      case .zstd: 19
      }
    if let level, !(1...levelMax).contains(level) {
      throw OCIError(.unsupported, "the level \(level) of \(compression.rawValue) is none of 1 to \(levelMax)")
    }
    let threads = min(max(threads, 1), 64)
    encoder =
      switch compression {
      case .none: PlainEncoder(sink)
      case .gzip: try GzipEncoder(level: level ?? 6, threads: threads, to: sink)
      case .zstd: try ZstdEncoder(level: level ?? 3, threads: threads, to: sink)
      }
  }

  /// As many as the machine has processors, up to 8.
  public static let threadsDefault = min(max(sysconf(Int32(_SC_NPROCESSORS_ONLN)), 1), 8)

  public func write(_ bytes: UnsafeRawBufferPointer) throws(OCIError) { try encoder.write(bytes) }

  /// Hands on what is left. Nothing may be written afterwards.
  public func finish() throws(OCIError) { try encoder.finish() }
}

/// A sink that holds something back until it is told that no more comes.
protocol Encoder: ByteSink {
  func finish() throws(OCIError)
}

private final class PlainEncoder: Encoder {
  private let sink: any ByteSink

  init(_ sink: any ByteSink) { self.sink = sink }

  func write(_ bytes: UnsafeRawBufferPointer) throws(OCIError) { try sink.write(bytes) }
  func finish() throws(OCIError) {}
}

// MARK: Zstandard

private final class ZstdEncoder: Encoder {
  private let sink: any ByteSink
  private let context: OpaquePointer
  private let buffer: UnsafeMutableRawBufferPointer

  init(level: Int, threads: Int, to sink: any ByteSink) throws(OCIError) {
    guard let context = ZSTD_createCCtx() else { throw OCIError(.system, "libzstd cannot start: out of memory") }
    self.context = context
    self.sink = sink
    buffer = .allocate(byteCount: ZSTD_CStreamOutSize(), alignment: 16)
    _ = ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Int32(level))
    _ = ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    // The workers' output does not depend on their number, but differs from that without workers: there is always one.
    // A library without threads refuses this and works alone.
    if ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_nbWorkers, Int32(threads))) == 0 {
      // Smaller pieces than the library's own choice: less memory, and more layers that are worth a second thread.
      _ = ZSTD_CCtx_setParameter(context, ZSTD_c_jobSize, 2 << 20)
    }
  }

  deinit {
    ZSTD_freeCCtx(context)
    buffer.deallocate()
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws(OCIError) { try run(bytes, ZSTD_e_continue) }
  func finish() throws(OCIError) { try run(UnsafeRawBufferPointer(start: nil, count: 0), ZSTD_e_end) }

  private func run(_ bytes: UnsafeRawBufferPointer, _ operation: ZSTD_EndDirective) throws(OCIError) {
    var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
    while true {
      var output = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
      let left = ZSTD_compressStream2(context, &output, &input, operation)
      guard ZSTD_isError(left) == 0 else {
        throw OCIError(.system, "libzstd failed: \(String(cString: ZSTD_getErrorName(left)))")
      }
      if output.pos > 0 { try sink.write(UnsafeRawBufferPointer(rebasing: buffer[..<output.pos])) }
      if operation == ZSTD_e_end ? left == 0 : input.pos == input.size { return }
    }
  }
}

// MARK: gzip

/// gzip, also of several members: each stands for itself and can be decompressed without the others.
final class GzipEncoder: Encoder {
  private let sink: any ByteSink
  private let level: Int
  private let threads: Int
  /// For blocks that this thread compresses itself.
  private let deflater: Deflater
  /// Started with the second block: a small layer needs no threads.
  private var pool: DeflatePool?
  /// The block that is being filled.
  private var block: DeflateBlock
  /// Handed over to the pool, oldest first.
  private var running: [DeflateBlock] = []
  private var spare: [DeflateBlock] = []
  private var checksum: UInt = 0
  private var size: UInt64 = 0
  private var hasHeader = false

  init(level: Int, threads: Int, to sink: any ByteSink) throws(OCIError) {
    self.sink = sink
    self.level = level
    self.threads = threads
    deflater = try Deflater(level: level)
    block = DeflateBlock()
  }

  deinit { pool?.close() }

  func write(_ bytes: UnsafeRawBufferPointer) throws(OCIError) {
    var rest = bytes
    while !rest.isEmpty {
      // Only when more comes is it known that a full block is not the last one.
      if block.count == DeflateBlock.capacity { try submit() }
      let count = min(rest.count, DeflateBlock.capacity - block.count)
      block.append(UnsafeRawBufferPointer(rebasing: rest[..<count]))
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
  }

  func finish() throws(OCIError) {
    try endMember()
    pool?.close()
  }

  /// Whether anything was written since the last member ended.
  var isMemberEmpty: Bool { block.count == 0 && running.isEmpty && !hasHeader }

  /// Ends the member and hands it on; what is written next begins another one.
  func endMember() throws(OCIError) {
    block.isLast = true
    while !running.isEmpty { try collect() }
    deflater.compress(block)
    try emit(block)
    var trailer: [UInt8] = []
    for shift in [0, 8, 16, 24] { trailer.append(UInt8(truncatingIfNeeded: checksum >> UInt(shift))) }
    for shift in [0, 8, 16, 24] { trailer.append(UInt8(truncatingIfNeeded: size >> UInt64(shift))) }
    try sink.write(trailer)
    block.restart()
    (checksum, size, hasHeader) = (0, 0, false)
  }

  /// Gives the full block away and starts the next one.
  private func submit() throws(OCIError) {
    let next = spare.popLast() ?? DeflateBlock()
    next.start(after: block)
    if threads == 1 {
      deflater.compress(block)
      try emit(block)
      spare.append(block)
    } else {
      let pool: DeflatePool
      if let running = self.pool {
        pool = running
      } else {
        // This thread helps whenever it would have to wait.
        pool = try DeflatePool(workers: threads - 1, level: level)
        self.pool = pool
      }
      pool.submit(block)
      running.append(block)
      if running.count > threads * 2 { try collect() }
    }
    block = next
  }

  /// Waits for the oldest block and writes it.
  private func collect() throws(OCIError) {
    guard let pool else { return }
    let oldest = running.removeFirst()
    pool.wait(for: oldest, helping: deflater)
    try emit(oldest)
    spare.append(oldest)
  }

  private func emit(_ block: DeflateBlock) throws(OCIError) {
    if !hasHeader {
      hasHeader = true
      // No name and no time, which would make equal layers differ; "unknown" as the operating system, as Go writes it.
      try sink.write([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF])
    }
    guard block.outputCount > 0 else { throw OCIError(.system, "zlib failed to compress a block") }
    try sink.write(block.output)
    checksum = UInt(crc32_combine(uLong(checksum), block.checksum, Int(block.count)))
    size += UInt64(block.count)
  }
}

/// A piece of the input, and what it becomes.
///
/// `@unchecked Sendable`: it is used by the encoder's thread, or, between `DeflatePool.submit` and `wait`, by the one
/// thread that took it from the pool's queue; both hand-overs happen with the pool's mutex held.
private final class DeflateBlock: @unchecked Sendable {
  static let capacity = 256 << 10
  /// The window of deflate.
  static let dictionaryMax = 32 << 10

  /// The dictionary, and behind it the block.
  private let input = UnsafeMutableRawBufferPointer.allocate(byteCount: dictionaryMax + capacity, alignment: 16)
  /// More than deflate's worst case: stored blocks and the empty one that ends on a byte.
  let outputBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity + capacity / 8 + 256, alignment: 16)
  private var dictionaryCount = 0
  private(set) var count = 0
  var isLast = false
  var outputCount = 0
  var checksum: uLong = 0
  /// With the pool's mutex held.
  var isDone = false

  deinit {
    input.deallocate()
    outputBuffer.deallocate()
  }

  func start(after previous: DeflateBlock) {
    let bytes = UnsafeRawBufferPointer(previous.input)
    let end = previous.dictionaryCount + previous.count
    dictionaryCount = min(end, DeflateBlock.dictionaryMax)
    input.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[end - dictionaryCount..<end]))
    count = 0
    outputCount = 0
    isDone = false
  }

  /// Begins a member.
  func restart() {
    (dictionaryCount, count, outputCount) = (0, 0, 0)
    (isLast, isDone) = (false, false)
  }

  func append(_ bytes: UnsafeRawBufferPointer) {
    UnsafeMutableRawBufferPointer(rebasing: input[(dictionaryCount + count)...]).copyMemory(from: bytes)
    count += bytes.count
  }

  var dictionary: UnsafeMutableRawBufferPointer { .init(rebasing: input[..<dictionaryCount]) }
  var bytes: UnsafeMutableRawBufferPointer { .init(rebasing: input[dictionaryCount..<dictionaryCount + count]) }
  var output: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: outputBuffer[..<outputCount]) }
}

/// One deflate state. Used by one thread.
private final class Deflater {
  private let stream: UnsafeMutablePointer<z_stream>

  init(level: Int) throws(OCIError) {
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    // -15: the largest window, without a header of its own.
    let code = deflateInit2_(
      stream, Int32(level), Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    guard code == Z_OK else {
      stream.deallocate()
      throw OCIError(.system, "zlib cannot start: out of memory")
    }
  }

  deinit {
    deflateEnd(stream)
    stream.deallocate()
  }

  /// Leaves `outputCount` zero when zlib fails.
  func compress(_ block: DeflateBlock) {
    func pointer(_ buffer: UnsafeMutableRawBufferPointer) -> UnsafeMutablePointer<UInt8>? {
      buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
    }
    block.outputCount = 0
    let bytes = block.bytes
    block.checksum = crc32(0, pointer(bytes), UInt32(bytes.count))
    guard deflateReset(stream) == Z_OK else { return }
    let dictionary = block.dictionary
    if !dictionary.isEmpty,
      deflateSetDictionary(stream, pointer(dictionary), UInt32(dictionary.count)) != Z_OK
    {
      return
    }
    stream.pointee.next_in = pointer(bytes)
    stream.pointee.avail_in = UInt32(bytes.count)
    stream.pointee.next_out = pointer(block.outputBuffer)
    stream.pointee.avail_out = UInt32(block.outputBuffer.count)
    let code = deflate(stream, block.isLast ? Z_FINISH : Z_SYNC_FLUSH)
    guard code == (block.isLast ? Z_STREAM_END : Z_OK), stream.pointee.avail_in == 0, stream.pointee.avail_out > 0
    else {
      return
    }
    block.outputCount = block.outputBuffer.count - Int(stream.pointee.avail_out)
  }
}

/// Threads that compress blocks.
///
/// `@unchecked Sendable`: `queue` and `isClosed` are used with `mutex` held only; mutex and conditions are allocated once
/// and freed when neither the encoder nor a thread has a reference any more.
private final class DeflatePool: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let hasWork: UnsafeMutablePointer<pthread_cond_t>
  private let hasDone: UnsafeMutablePointer<pthread_cond_t>
  private var queue: [DeflateBlock] = []
  private var isClosed = false

  init(workers: Int, level: Int) throws(OCIError) {
    var boxes: [DeflaterBox] = []
    for _ in 0..<workers { boxes.append(DeflaterBox(try Deflater(level: level))) }
    mutex = .allocate(capacity: 1)
    hasWork = .allocate(capacity: 1)
    hasDone = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(hasWork, nil)
    pthread_cond_init(hasDone, nil)
    for box in boxes {
      DedicatedThread.start("apus-gzip") { self.work(box.deflater) }
    }
  }

  deinit {
    pthread_cond_destroy(hasDone)
    pthread_cond_destroy(hasWork)
    pthread_mutex_destroy(mutex)
    hasDone.deallocate()
    hasWork.deallocate()
    mutex.deallocate()
  }

  private func locked<T>(_ body: () -> T) -> T {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body()
  }

  /// Lets the threads end.
  func close() {
    locked {
      isClosed = true
      queue = []
      pthread_cond_broadcast(hasWork)
    }
  }

  func submit(_ block: DeflateBlock) {
    locked {
      queue.append(block)
      pthread_cond_signal(hasWork)
    }
  }

  /// Returns when the block is done; until then the calling thread compresses what is queued.
  func wait(for block: DeflateBlock, helping deflater: Deflater) {
    while true {
      let task: DeflateBlock? = locked {
        while !block.isDone, queue.isEmpty { pthread_cond_wait(hasDone, mutex) }
        return block.isDone ? nil : queue.removeFirst()
      }
      guard let task else { return }
      finish(task, deflater)
    }
  }

  private func finish(_ block: DeflateBlock, _ deflater: Deflater) {
    deflater.compress(block)
    locked {
      block.isDone = true
      pthread_cond_signal(hasDone)
    }
  }

  private func work(_ deflater: Deflater) {
    while true {
      let task: DeflateBlock? = locked {
        while queue.isEmpty, !isClosed { pthread_cond_wait(hasWork, mutex) }
        return queue.isEmpty ? nil : queue.removeFirst()
      }
      guard let task else { return }
      finish(task, deflater)
    }
  }

  /// `@unchecked Sendable`: it carries a deflater to the one thread that uses it.
  private final class DeflaterBox: @unchecked Sendable {
    let deflater: Deflater
    init(_ deflater: Deflater) { self.deflater = deflater }
  }
}
