import Glibc

/// Sockets with a name in the file system (unix(7)).
public enum UnixSocket {
  /// What a path may have; the kernel's field for it ends with a zero byte. In bytes.
  public static let pathBytesMax = 107

  /// Who a file is, whatever happens to its name.
  public struct Identity: Sendable, Equatable {
    var device: UInt
    var inode: UInt
  }

  /// Whether a path can name a socket: absolute, short enough, and without a zero byte.
  public static func isPath(_ path: String) -> Bool {
    path.hasPrefix("/") && path.utf8.count <= pathBytesMax && !path.utf8.contains(0)
  }

  /// Makes a socket that nobody can connect to yet: the caller listens on it. Its file has the mode from the beginning of
  /// that.
  ///
  /// The file of a server that has died is replaced: it is a socket, and nobody answers there. Two servers that start at
  /// one moment are told apart by a lock of whoever starts them, not here.
  ///
  /// - Returns: the descriptor, which is the caller's and does not block, and which file it is.
  public static func bind(_ path: String, mode: UInt32) throws(SystemError) -> (descriptor: Int32, file: Identity) {
    guard isPath(path) else {
      throw SystemError("use the socket \(path)", detail: "it must be absolute and have \(pathBytesMax) bytes at most")
    }
    try clear(path)
    let descriptor = try make()
    var isNamed = false
    do throws(SystemError) {
      guard withAddress(path, { Glibc.bind(descriptor, $0, $1) }) == 0 else { throw .last("bind \(path)") }
      isNamed = true
      guard chmod(path, mode_t(mode)) == 0 else { throw .last("change the mode of \(path)") }
      guard let file = identity(path)?.file else { throw SystemError("bind \(path)", detail: "it is gone again") }
      return (descriptor, file)
    } catch {
      close(descriptor)
      if isNamed { unlink(path) }
      throw error
    }
  }

  /// A connection to whoever listens on a path.
  public static func connect(_ path: String) throws(SystemError) -> AsyncDescriptor {
    guard isPath(path) else { throw SystemError("connect to \(path)", errno: EINVAL) }
    let descriptor = try make()
    guard withAddress(path, { Glibc.connect(descriptor, $0, $1) }) == 0 else {
      let error = SystemError.last("connect to \(path)")
      close(descriptor)
      throw error
    }
    return try AsyncDescriptor(owning: descriptor)
  }

  /// Whether a descriptor is a socket that listens under a path.
  public static func isListening(_ descriptor: OwnedDescriptor, on path: String) -> Bool {
    var accepts: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    guard getsockopt(descriptor.number, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size) == 0, accepts == 1 else {
      return false
    }
    var address = sockaddr_un()
    size = socklen_t(MemoryLayout<sockaddr_un>.size)
    let isNamed = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor.number, $0, &size) == 0 }
    }
    guard isNamed, Int32(address.sun_family) == AF_UNIX else { return false }
    return withUnsafeBytes(of: address.sun_path) { $0.prefix { $0 != 0 }.elementsEqual(path.utf8) }
  }

  /// Removes the name, when it still is that file's.
  public static func remove(_ path: String, _ file: Identity) {
    if identity(path)?.file == file { unlink(path) }
  }

  /// Makes room for a socket, where what is there is one that nobody listens on.
  private static func clear(_ path: String) throws(SystemError) {
    guard let (isSocket, file) = identity(path) else { return }
    guard isSocket else { throw SystemError("bind \(path)", errno: EEXIST, detail: "it is no socket") }
    let descriptor = try make()
    defer { close(descriptor) }
    // A server with a full queue answers EAGAIN, and is there.
    let isDead = withAddress(path) { Glibc.connect(descriptor, $0, $1) } != 0 && errno == ECONNREFUSED
    guard isDead else { throw SystemError("bind \(path)", errno: EADDRINUSE, detail: "a server listens there") }
    remove(path, file)
  }

  private static func make() throws(SystemError) -> Int32 {
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let descriptor = socket(AF_UNIX, kind, 0)
    guard descriptor >= 0 else { throw .last("make a socket") }
    return descriptor
  }

  private static func identity(_ path: String) -> (isSocket: Bool, file: Identity)? {
    var status = stat()
    guard lstat(path, &status) == 0 else { return nil }
    return (
      status.st_mode & S_IFMT == S_IFSOCK, Identity(device: UInt(status.st_dev), inode: UInt(status.st_ino))
    )
  }

  private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(pathBytesMax)) }
    return withUnsafePointer(to: address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
  }
}
