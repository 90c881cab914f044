import Glibc
import KubeClient
import NIOCore
import NIOPosix
import Wire

/// Reads one container's log file for `kubectl logs`.
struct LogReader: Sendable {
  static let blockSize = 64 << 10

  let path: String
  let options: LogOptions
  let now: Timestamp
  /// Whether more may be written to the file.
  let isRunning: @Sendable () async -> Bool

  /// Writes what is asked for, until the end of the file, or for `follow` until the container has ended and all of its
  /// output was read.
  ///
  /// - Parameter changes: elements after the file or the container's state changed.
  func run(changes: AsyncStream<Void>, write: @Sendable (ByteBuffer) async throws -> Void) async throws {
    var since = options.sinceTime.flatMap { Timestamp(rfc3339: $0) }
    if let seconds = options.sinceSeconds { since = now.adding(.seconds(-seconds)) }
    var formatter = CRILogFormatter(timestamps: options.timestamps, since: since, limitBytes: options.limitBytes)

    let file = try await open()
    defer { file.close() }
    var offset: Int64 = 0
    if let lines = options.tailLines, lines >= 0 { offset = try await tailOffset(of: file, lines: lines) }

    var iterator = changes.makeAsyncIterator()
    while true {
      // Asked before the read: what the container wrote before it ended is then read for certain.
      let mayGrow = options.follow ? await isRunning() : false
      while true {
        let block = try await file.read(at: offset, count: Self.blockSize)
        if block.isEmpty { break }
        offset += Int64(block.count)
        let text = formatter.feed(block[...])
        if !text.isEmpty { try await write(ByteBuffer(bytes: text)) }
        if formatter.isExhausted { return }
      }
      try Task.checkCancellation()
      guard mayGrow, await iterator.next() != nil else { return }
    }
  }

  /// Seeks from the end, so that the tail of a large log costs as much as its length.
  private func tailOffset(of file: LogFile, lines: Int64) async throws -> Int64 {
    let size = try await file.size()
    var finder = TailFinder(lines: lines, size: size)
    var end = size
    while finder.result == nil, end > 0 {
      let start = max(0, end - Int64(Self.blockSize))
      let block = try await file.read(at: start, count: Int(end - start))
      finder.feedBackwards(block[...])
      end = start
    }
    return finder.finish()
  }

  private func open() async throws -> LogFile {
    let path = path
    return try await NIOThreadPool.singleton.runIfActive {
      let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else {
        throw KubeError(
          code: 500, reason: .internalError,
          message: "failed to open log file \(path): \(String(cString: strerror(errno)))")
      }
      return LogFile(descriptor: descriptor)
    }
  }
}

/// An open log; its calls run on the thread pool for blocking work.
private struct LogFile: Sendable {
  let descriptor: Int32

  func size() async throws -> Int64 {
    let descriptor = descriptor
    return try await NIOThreadPool.singleton.runIfActive {
      var status = stat()
      guard fstat(descriptor, &status) == 0 else {
        throw KubeError(code: 500, reason: .internalError, message: "fstat of a log: \(String(cString: strerror(errno)))")
      }
      return Int64(status.st_size)
    }
  }

  /// Fewer bytes than asked for at the end of the file, none after it.
  func read(at offset: Int64, count: Int) async throws -> [UInt8] {
    let descriptor = descriptor
    return try await NIOThreadPool.singleton.runIfActive {
      var failure: Int32 = 0
      let block = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
        let result = pread(descriptor, buffer.baseAddress, count, Int(offset))
        if result < 0 { failure = errno }
        initialized = max(0, result)
      }
      guard failure == 0 else {
        throw KubeError(code: 500, reason: .internalError, message: "reading a log: \(String(cString: strerror(failure)))")
      }
      return block
    }
  }

  func close() { _ = Glibc.close(descriptor) }
}
