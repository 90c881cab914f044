import Glibc
import KubeClient
import LinuxSystem
import NIOCore
import Wire

/// Reads one container's log for `kubectl logs`: the file and, before it, the older part that `LogRotation` moved away.
struct LogReader: Sendable {
  static let blockSize = 64 << 10

  let path: String
  /// The pod that it is of.
  let uid: String
  let lanes: BlockingLanes
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

    // Oldest first; only the last one may grow.
    var files = try await open()
    var offset: Int64 = 0
    if let lines = options.tailLines, lines >= 0 { (files, offset) = try await tail(of: files, lines: lines) }

    var iterator = changes.makeAsyncIterator()
    while true {
      // Asked before the read: what the container wrote before it ended, or to a file before it was moved away, is then
      // read for certain.
      let mayGrow = options.follow ? await isRunning() : false
      let successors = options.follow ? try await successors(of: files[files.count - 1]) : []
      for (index, file) in files.enumerated() {
        if index > 0 { offset = 0 }
        while true {
          let block = try await read(file, at: offset, count: Self.blockSize)
          if block.isEmpty { break }
          offset += Int64(block.count)
          let text = formatter.feed(block[...])
          if !text.isEmpty { try await write(ByteBuffer(bytes: text)) }
          if formatter.isExhausted { return }
        }
      }
      try Task.checkCancellation()
      files.removeFirst(files.count - 1)
      if !successors.isEmpty {
        files = successors
        offset = 0
        continue
      }
      guard mayGrow, await iterator.next() != nil else { return }
    }
  }

  private func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    do { return try await lanes.run(uid, "read \(path)", body) } catch let error as SystemError {
      throw KubeError(code: 500, reason: .internalError, message: "failed to open log file: \(error)")
    }
  }

  /// Where the last lines begin. Seeks from the end, so that the tail of a large log costs as much as its length.
  private func tail(of files: [LogFile], lines: Int64) async throws -> (files: [LogFile], offset: Int64) {
    var sizes: [Int64] = []
    for file in files { sizes.append(try await blocking { try file.size() }) }
    var finder = TailFinder(lines: lines, size: sizes.reduce(0, +))
    for (file, size) in zip(files, sizes).reversed() {
      var end = size
      while finder.result == nil, end > 0 {
        let start = max(0, end - Int64(Self.blockSize))
        let block = try await read(file, at: start, count: Int(end - start))
        finder.feedBackwards(block[...])
        end = start
      }
    }
    var offset = finder.finish()
    var first = 0
    while first < files.count - 1, offset >= sizes[first] {
      offset -= sizes[first]
      first += 1
    }
    return (Array(files[first...]), offset)
  }

  private func read(_ file: LogFile, at offset: Int64, count: Int) async throws -> [UInt8] {
    try await blocking { try file.read(at: offset, count: count) }
  }

  private func open() async throws -> [LogFile] {
    let path = path
    return try await blocking {
      let newest = try LogFile(path)
      let older = try LogFile(LogRotation.rotated(path))
      switch (older, newest) {
      // Between the two calls it may have been moved away: then it is there twice.
      case (let older?, let newest?): return older.inode == newest.inode ? [newest] : [older, newest]
      case (let only?, nil), (nil, let only?): return [only]
      case (nil, nil):
        throw KubeError(
          code: 500, reason: .internalError, message: "failed to open log file \(path): it does not exist")
      }
    }
  }

  /// What was written after a file that was moved away; nothing while it is the newest.
  private func successors(of file: LogFile) async throws -> [LogFile] {
    let path = path
    return try await blocking {
      guard let newest = try LogFile(path), newest.inode != file.inode else { return [] }
      // A slow reader may be more than one file behind.
      guard let older = try LogFile(LogRotation.rotated(path)), older.inode != file.inode, older.inode != newest.inode
      else { return [newest] }
      return [older, newest]
    }
  }
}

/// An open log. The calls block.
private final class LogFile: Sendable {
  private let descriptor: Int32
  /// No other file has it while this one is open.
  let inode: UInt64

  /// `nil` when there is no such file.
  init?(_ path: String) throws(KubeError) {
    descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      if errno == ENOENT { return nil }
      throw Self.failure("failed to open log file \(path)", errno)
    }
    do throws(KubeError) { inode = try Self.status(descriptor).inode } catch {
      _ = Glibc.close(descriptor)
      throw error
    }
  }

  deinit { _ = Glibc.close(descriptor) }

  private static func failure(_ what: String, _ number: Int32) -> KubeError {
    KubeError(code: 500, reason: .internalError, message: "\(what): \(String(cString: strerror(number)))")
  }

  private static func status(_ descriptor: Int32) throws(KubeError) -> (inode: UInt64, size: Int64) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failure("fstat of a log", errno) }
    return (UInt64(status.st_ino), Int64(status.st_size))
  }

  func size() throws(KubeError) -> Int64 { try Self.status(descriptor).size }

  /// Fewer bytes than asked for at the end of the file, none after it.
  func read(at offset: Int64, count: Int) throws(KubeError) -> [UInt8] {
    var number: Int32 = 0
    let block = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      let result = pread(descriptor, buffer.baseAddress, count, Int(offset))
      if result < 0 { number = errno }
      initialized = max(0, result)
    }
    guard number == 0 else { throw Self.failure("reading a log", number) }
    return block
  }
}
