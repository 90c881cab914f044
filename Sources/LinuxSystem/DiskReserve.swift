import Glibc

/// Space that a file keeps, to be given back when the disk is full: so that what frees space, and what has to be written
/// to go on at all, still can be.
public struct DiskReserve: Sendable {
  public let path: String
  /// Its size when it is whole.
  public let bytes: Int

  public init(path: String, bytes: Int) {
    self.path = path
    self.bytes = bytes
  }

  /// Whether the file has its size, and the disk keeps it: a file that was copied may be nothing but a hole.
  public var isWhole: Bool {
    var status = Glibc.stat()
    return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && status.st_size >= bytes
      && status.st_blocks * 512 >= bytes
  }

  /// Whether the disk has less space than the reserve's size left.
  public var isNeeded: Bool { (free ?? 0) < bytes }

  /// Takes the space when at least half as much again stays free.
  ///
  /// - Returns: whether the reserve is whole.
  public func fill() -> Bool {
    if isWhole { return true }
    guard let free, free >= bytes + bytes / 2 else { return false }
    let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard file >= 0 else { return false }
    defer { close(file) }
    guard posix_fallocate(file, 0, off_t(bytes)) == 0 else {
      ftruncate(file, 0)
      return false
    }
    return true
  }

  /// Gives the space back.
  ///
  /// - Returns: whether there was any.
  public func release() -> Bool {
    let file = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
    guard file >= 0 else { return false }
    defer { close(file) }
    var status = Glibc.stat()
    guard fstat(file, &status) == 0, status.st_size > 0 else { return false }
    return ftruncate(file, 0) == 0
  }

  /// What root may still write to the disk.
  private var free: Int? {
    var status = Glibc.statvfs()
    guard statvfs(DurableFile.parent(of: path), &status) == 0 else { return nil }
    let (bytes, isLarge) = UInt64(status.f_bfree).multipliedReportingOverflow(by: UInt64(status.f_frsize))
    return isLarge ? .max : Int(clamping: bytes)
  }
}
