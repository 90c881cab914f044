import Glibc
import LinuxSystem
import Logging
import NIOPosix

extension Registry {
  /// Takes over what the configuration file says whenever it is written or replaced, until the task is cancelled.
  ///
  /// A file that cannot be used changes nothing and is logged. Removing it brings back `base`.
  /// - Parameter base: what counts where the file says nothing.
  public func follow(configurationFile path: String, over base: RegistryConfiguration) async throws {
    let slash = path.lastIndex(of: "/")
    let folder = slash.map { String(path[..<$0]) } ?? "."
    let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
    let changes = try FolderChanges(folder.isEmpty ? "/" : folder)
    // What was written between the start and the watch.
    try await take(path, base)
    while true {
      let names = try await changes.next()
      if names.contains(name) { try await take(path, base) }
    }
  }

  private func take(_ path: String, _ base: RegistryConfiguration) async throws {
    do {
      let wanted = try await pool.runIfActive {
        access(path, F_OK) == 0 ? try RegistryConfiguration.load(path: path, over: base) : base
      }
      var current = configuration
      (current.host, current.port) = (wanted.host, wanted.port)
      (current.stateDirectory, current.threads) = (wanted.stateDirectory, wanted.threads)
      if current != wanted { try await reload(wanted) }
    } catch is CancellationError {
      throw CancellationError()
    } catch {
      logger.error("the configuration was not changed", metadata: ["error": "\(error)"])
    }
  }
}

/// Names of files of a folder that were written or moved there or away (`inotify(7)`).
private struct FolderChanges {
  private let descriptor: AsyncDescriptor

  init(_ folder: String) throws(SystemError) {
    let fd = inotify_init1(Int32(IN_NONBLOCK) | Int32(IN_CLOEXEC))
    guard fd >= 0 else { throw .last("inotify_init1") }
    let mask = UInt32(IN_CLOSE_WRITE) | UInt32(IN_MOVED_TO) | UInt32(IN_MOVED_FROM) | UInt32(IN_DELETE)
    guard inotify_add_watch(fd, folder, mask) >= 0 else {
      let error = SystemError.last("watch \(folder)")
      _ = close(fd)
      throw error
    }
    descriptor = try AsyncDescriptor(owning: fd)
  }

  func next() async throws -> Set<String> {
    let bytes: [UInt8]
    do {
      bytes = try await descriptor.read(limit: 16 << 10)
    } catch {
      // The end of the server is no failure of the watch.
      try Task.checkCancellation()
      throw error
    }
    var names = Set<String>()
    var at = 0
    // struct inotify_event: wd, mask, cookie, length of the name with its padding, name.
    while at + 16 <= bytes.count {
      let length = (0..<4).reduce(0) { $0 | Int(bytes[at + 12 + $1]) << (8 * $1) }
      let end = min(bytes.count, at + 16 + length)
      names.insert(String(decoding: bytes[(at + 16)..<end].prefix { $0 != 0 }, as: UTF8.self))
      at = end
    }
    return names
  }
}
