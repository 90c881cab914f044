import CLinux
import Glibc
import Synchronization

/// Serves one mount by the protocol of /dev/fuse (Linux, include/uapi/linux/fuse.h, 7.31 and later), read-only.
///
/// The kernel keeps names, attributes, pages and folders for as long as it likes, since nothing ever changes. It asks for
/// no opening and closing. The mount lives as long as somebody has it in use, also after it was taken out of the tree by
/// a lazy unmount; when this object's process ends, every call on it fails with `ENOTCONN`.
public final class FuseServer: Sendable {
  private let device: FuseDevice
  private let fileSystem: any FuseFileSystem

  /// Bytes of the largest request: no writes come.
  private static let requestMax = 64 << 10

  /// Mounts; the kernel's requests wait until `run`.
  /// - Parameters:
  ///   - target: a folder.
  ///   - source: shown in the list of mounts.
  public init(_ fileSystem: any FuseFileSystem, at target: String, source: String) throws(SystemError) {
    let fd = open("/dev/fuse", O_RDWR | O_CLOEXEC)
    guard fd >= 0 else { throw .last("open /dev/fuse") }
    device = FuseDevice(owning: fd)
    self.fileSystem = fileSystem
    // Whatever user a container's process is, it reads; the kernel checks modes and owners itself.
    try Mount.mount(
      source: source, target: target, type: "fuse", flags: [.readOnly, .noSetuid, .noDevices],
      data: "fd=\(fd),rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions")
  }

  /// Answers until nobody has the mount in use any more. Blocks: give it a thread of its own.
  public func run() throws(SystemError) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.requestMax, alignment: 16)
    defer { buffer.deallocate() }
    while true {
      let count = Glibc.read(device.descriptor, buffer.baseAddress, buffer.count)
      if count < 0 {
        switch errno {
        case ENODEV: return
        // ENOENT: the asking process was killed before its request was read.
        case EINTR, EAGAIN, ENOENT: continue
        default: throw .last("read /dev/fuse")
        }
      }
      guard count >= MemoryLayout<fuse_in_header>.size else { continue }
      answer(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
  }

  private func answer(_ request: UnsafeRawBufferPointer) {
    let header = request.loadUnaligned(as: fuse_in_header.self)
    let body = UnsafeRawBufferPointer(rebasing: request[MemoryLayout<fuse_in_header>.size...])
    let reply = FuseReply(device: device, unique: header.unique)
    switch fuse_opcode(header.opcode) {
    case FUSE_INIT: begin(body, reply)
    case FUSE_LOOKUP: lookUp(header.nodeid, body, reply)
    case FUSE_GETATTR:
      guard let status = fileSystem.status(of: header.nodeid) else { return reply.fail(ESTALE) }
      var out = fuse_attr_out()
      out.attr_valid = Self.forever
      out.attr = Self.attributes(status, header.nodeid)
      reply.send(out)
    case FUSE_READLINK:
      fileSystem.target(ofLink: header.nodeid).withUnsafeBytes { reply.send($0) }
    case FUSE_READ: read(header, body, reply)
    case FUSE_READDIR: list(header.nodeid, body, reply, hasAttributes: false)
    case FUSE_READDIRPLUS: list(header.nodeid, body, reply, hasAttributes: true)
    case FUSE_STATFS:
      let (bytes, files) = fileSystem.totals
      var out = fuse_statfs_out()
      out.st.blocks = UInt64((bytes + 4095) / 4096)
      out.st.files = UInt64(files)
      (out.st.bsize, out.st.frsize, out.st.namelen) = (4096, 4096, 255)
      reply.send(out)
    case FUSE_GETXATTR: attribute(header.nodeid, body, reply)
    case FUSE_LISTXATTR: attributeNames(header.nodeid, body, reply)
    case FUSE_INTERRUPT:
      if let asked = body.front(fuse_interrupt_in.self) { device.interrupted(asked.unique) }
    // Nodes are never forgotten, and nobody waits for an answer.
    case FUSE_FORGET, FUSE_BATCH_FORGET: break
    case FUSE_DESTROY: reply.send(UnsafeRawBufferPointer(start: nil, count: 0))
    case FUSE_SETATTR, FUSE_MKNOD, FUSE_MKDIR, FUSE_UNLINK, FUSE_RMDIR, FUSE_RENAME, FUSE_RENAME2, FUSE_LINK,
      FUSE_SYMLINK, FUSE_WRITE, FUSE_SETXATTR, FUSE_REMOVEXATTR, FUSE_CREATE, FUSE_FALLOCATE:
      reply.fail(EROFS)
    // OPEN and OPENDIR too: the kernel then opens without asking, and keeps what it has read.
    default: reply.fail(ENOSYS)
    }
  }

  private static let forever = UInt64(365 * 24 * 3600)

  private func begin(_ body: UnsafeRawBufferPointer, _ reply: FuseReply) {
    guard let asked = body.front(fuse_init_in.self), asked.major == UInt32(FUSE_KERNEL_VERSION), asked.minor >= 31
    else { return reply.fail(EPROTO) }
    var out = fuse_init_out()
    out.major = UInt32(FUSE_KERNEL_VERSION)
    out.minor = min(asked.minor, UInt32(FUSE_KERNEL_MINOR_VERSION))
    out.max_readahead = asked.max_readahead
    let wanted =
      FUSE_ASYNC_READ | FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_CACHE_SYMLINKS
      | FUSE_NO_OPEN_SUPPORT | FUSE_NO_OPENDIR_SUPPORT | FUSE_MAX_PAGES | FUSE_POSIX_ACL
    out.flags = asked.flags & UInt32(wanted)
    // Reads that nobody waits for yet: more than the usual 12, since each may wait for the network.
    out.max_background = 64
    out.congestion_threshold = 48
    out.max_write = 4096
    out.time_gran = 1
    out.max_pages = 256
    reply.send(out)
  }

  private func lookUp(_ folder: UInt64, _ body: UnsafeRawBufferPointer, _ reply: FuseReply) {
    let name = UnsafeRawBufferPointer(rebasing: body.prefix { $0 != 0 })
    // A node of 0 says that there is nothing, and that this may be remembered.
    guard let node = fileSystem.child(of: folder, named: name) else {
      var out = fuse_entry_out()
      out.entry_valid = Self.forever
      return reply.send(out)
    }
    guard let entry = entry(node) else { return reply.fail(ESTALE) }
    reply.send(entry)
  }

  private func entry(_ node: UInt64) -> fuse_entry_out? {
    guard let status = fileSystem.status(of: node) else { return nil }
    var out = fuse_entry_out()
    out.nodeid = node
    out.entry_valid = Self.forever
    out.attr_valid = Self.forever
    out.attr = Self.attributes(status, node)
    return out
  }

  private static func attributes(_ status: FuseStatus, _ node: UInt64) -> fuse_attr {
    var attributes = fuse_attr()
    attributes.ino = node
    attributes.size = UInt64(status.size)
    attributes.blocks = UInt64((status.size + 511) / 512)
    attributes.mtime = UInt64(bitPattern: status.modified)
    attributes.mtimensec = UInt32(status.modifiedNanoseconds)
    (attributes.atime, attributes.atimensec) = (attributes.mtime, attributes.mtimensec)
    (attributes.ctime, attributes.ctimensec) = (attributes.mtime, attributes.mtimensec)
    attributes.mode = status.mode
    attributes.nlink = status.links
    attributes.uid = status.owner
    attributes.gid = status.group
    attributes.rdev = clinux_fuse_device(status.deviceMajor, status.deviceMinor)
    attributes.blksize = 4096
    return attributes
  }

  private func read(_ header: fuse_in_header, _ body: UnsafeRawBufferPointer, _ reply: FuseReply) {
    guard let asked = body.front(fuse_read_in.self), asked.size <= 1 << 20, asked.offset <= UInt64(Int64.max) else {
      return reply.fail(EINVAL)
    }
    let answer = device.pending(header.unique, process: Int32(bitPattern: header.pid))
    fileSystem.read(header.nodeid, offset: Int64(asked.offset), count: Int(asked.size), answer)
  }

  // MARK: Folders

  /// `offset` counts the names: `.`, `..`, and then the folder's.
  private func list(_ folder: UInt64, _ body: UnsafeRawBufferPointer, _ reply: FuseReply, hasAttributes: Bool) {
    guard let asked = body.front(fuse_read_in.self), asked.size <= 1 << 20 else { return reply.fail(EINVAL) }
    let count = fileSystem.childCount(of: folder)
    var bytes: [UInt8] = []
    var at = Int(clamping: asked.offset)
    while at < count + 2 {
      let (name, node): ([UInt8], UInt64) =
        switch at {
        case 0: ([UInt8(ascii: ".")], folder)
        case 1: (Array("..".utf8), fileSystem.parent(of: folder))
        default: fileSystem.child(of: folder, at: at - 2)
        }
      guard let entry = entry(node) else { return reply.fail(ESTALE) }
      let padded = (24 + name.count + 7) / 8 * 8
      guard bytes.count + padded + (hasAttributes ? MemoryLayout<fuse_entry_out>.size : 0) <= Int(asked.size) else {
        break
      }
      if hasAttributes {
        // Of the folder itself and the one above it, the kernel wants the name only.
        let out = at < 2 ? fuse_entry_out() : entry
        withUnsafeBytes(of: out) { bytes.append(contentsOf: $0) }
      }
      at += 1
      withUnsafeBytes(of: (node, UInt64(at), UInt32(name.count), (entry.attr.mode >> 12) & 15)) {
        bytes.append(contentsOf: $0)
      }
      bytes += name
      bytes += [UInt8](repeating: 0, count: padded - 24 - name.count)
    }
    bytes.withUnsafeBytes { reply.send($0) }
  }

  // MARK: Extended attributes

  private func attribute(_ node: UInt64, _ body: UnsafeRawBufferPointer, _ reply: FuseReply) {
    guard fileSystem.hasAttributes else { return reply.fail(ENOSYS) }
    guard let asked = body.front(fuse_getxattr_in.self) else { return reply.fail(EINVAL) }
    let name = body[MemoryLayout<fuse_getxattr_in>.size...].prefix { $0 != 0 }
    guard let found = fileSystem.attributes(of: node).first(where: { $0.name.utf8.elementsEqual(name) }) else {
      return reply.fail(ENODATA)
    }
    Self.send(found.value, asked.size, reply)
  }

  private func attributeNames(_ node: UInt64, _ body: UnsafeRawBufferPointer, _ reply: FuseReply) {
    guard fileSystem.hasAttributes else { return reply.fail(ENOSYS) }
    guard let asked = body.front(fuse_getxattr_in.self) else { return reply.fail(EINVAL) }
    Self.send(fileSystem.attributes(of: node).flatMap { Array($0.name.utf8) + [0] }, asked.size, reply)
  }

  /// - Parameter size: bytes that the caller has room for; 0 when it asks how many are needed.
  private static func send(_ value: [UInt8], _ size: UInt32, _ reply: FuseReply) {
    if size == 0 {
      var out = fuse_getxattr_out()
      out.size = UInt32(value.count)
      return reply.send(out)
    }
    guard value.count <= Int(size) else { return reply.fail(ERANGE) }
    value.withUnsafeBytes { reply.send($0) }
  }
}

extension UnsafeRawBufferPointer {
  /// The front as a structure of the protocol; `nil` when there is too little.
  fileprivate func front<Value: BitwiseCopyable>(_ type: Value.Type) -> Value? {
    count >= MemoryLayout<Value>.size ? loadUnaligned(as: type) : nil
  }
}

/// An answer that is given at once.
private struct FuseReply {
  let device: FuseDevice
  let unique: UInt64

  func send(_ bytes: UnsafeRawBufferPointer) { device.reply(unique, 0, bytes) }
  func send<Value: BitwiseCopyable>(_ value: Value) { withUnsafeBytes(of: value) { device.reply(unique, 0, $0) } }
  func fail(_ error: Int32) { device.reply(unique, error, UnsafeRawBufferPointer(start: nil, count: 0)) }
}

/// The kernel's end of a mount, and the reads that are not answered yet. There are never more than the processes that
/// wait for one, and `max_background`.
final class FuseDevice: Sendable {
  let descriptor: Int32
  private let waiting = Mutex<[UInt64: FuseAnswer]>([:])

  init(owning descriptor: Int32) { self.descriptor = descriptor }

  deinit { close(descriptor) }

  /// Without effect when the asker is gone: the device says `ENOENT` then.
  func reply(_ unique: UInt64, _ error: Int32, _ bytes: UnsafeRawBufferPointer) {
    while clinux_fuse_reply(descriptor, unique, error, bytes.baseAddress, bytes.count) < 0, errno == EINTR {}
  }

  func pending(_ unique: UInt64, process: Int32) -> FuseAnswer {
    let answer = FuseAnswer(device: self, unique: unique, process: process)
    waiting.withLock { $0[unique] = answer }
    return answer
  }

  /// Whether it is the first answer.
  func answered(_ unique: UInt64) -> Bool { waiting.withLock { $0.removeValue(forKey: unique) != nil } }

  func isWaiting(_ unique: UInt64) -> Bool { waiting.withLock { $0[unique] != nil } }

  /// A signal came for the process that waits. One that it survives does not concern the read: a program does not expect
  /// a file's read to be interrupted. One that is to die is let go.
  func interrupted(_ unique: UInt64) {
    guard let answer = waiting.withLock({ $0[unique] }) else { return }
    Task { [weak self] in
      while self?.isWaiting(unique) == true {
        if FuseDevice.isDying(answer.process) { return answer.fail(EINTR) }
        try? await Task.sleep(for: .milliseconds(200))
      }
    }
  }

  /// Whether SIGKILL waits for the thread, as it does also when another signal ends its process.
  private static func isDying(_ thread: Int32) -> Bool {
    guard let bytes = try? DurableFile.read("/proc/\(thread)/status", limit: 64 << 10) else { return true }
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
      guard line.hasPrefix("SigPnd:") || line.hasPrefix("ShdPnd:") else { continue }
      let mask = UInt64(line.dropFirst(7).filter { $0 != "\t" && $0 != " " }, radix: 16) ?? 0
      if mask & (1 << UInt64(SIGKILL - 1)) != 0 { return true }
    }
    return false
  }
}

/// A read that somebody waits for. The first answer counts.
public final class FuseAnswer: Sendable {
  private let device: FuseDevice
  private let unique: UInt64
  fileprivate let process: Int32

  fileprivate init(device: FuseDevice, unique: UInt64, process: Int32) {
    self.device = device
    self.unique = unique
    self.process = process
  }

  /// What was read: less than was asked for at the end of the file only.
  public func send(_ bytes: [UInt8]) {
    guard device.answered(unique) else { return }
    bytes.withUnsafeBytes { device.reply(unique, 0, $0) }
  }

  public func fail(_ error: Int32) {
    guard device.answered(unique) else { return }
    device.reply(unique, error, UnsafeRawBufferPointer(start: nil, count: 0))
  }

  /// Whether nobody waits any more.
  public var isOver: Bool { !device.isWaiting(unique) }
}
