import CLinux
import Glibc
import Testing

@testable import LinuxSystem

/// The assumptions that failed: that a name is text, that a tree is no deeper than a path is long, and that what is
/// mounted is of another device.
@Suite struct TreeRemovalTests {
  final class Folder {
    let path: String
    init() {
      var template = Array("/tmp/apus-remove-XXXXXX".utf8CString)
      path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    }
    deinit { try? Directory.removeTree(path) }
  }

  private let folder = Folder()

  private func open(_ path: String) -> Int32 { Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }

  @Test("names that are not UTF-8", arguments: [[0xff], [0xc3, 0x28], [0x80, 0x2e, 0x2e], [0x0a, 0xed, 0xa0, 0x80]])
  func bytes(_ name: [UInt8]) throws {
    let path = "\(folder.path)/tree"
    try Directory.create("\(path)/sub")
    let name = name.map { CChar(bitPattern: $0) } + [0]
    for parent in [path, "\(path)/sub"] {
      let fd = open(parent)
      #expect(mkdirat(fd, name, 0o755) == 0)
      let inner = openat(fd, name, O_RDONLY | O_DIRECTORY)
      close(openat(inner, name, O_WRONLY | O_CREAT, 0o600))
      #expect(symlinkat("/etc", inner, "link") == 0)
      for descriptor in [fd, inner] { close(descriptor) }
    }
    try Directory.removeTree(path)
    #expect(try Directory.list(folder.path).isEmpty)
  }

  /// Deeper than a path is long, and than a process has descriptors.
  @Test("depth", arguments: [40, 3000])
  func deep(_ depth: Int) throws {
    let path = "\(folder.path)/tree"
    try Directory.create(path)
    var fd = open(path)
    for level in 0..<depth {
      #expect(mkdirat(fd, "d", 0o755) == 0)
      // Neighbours on the way: what is read again after coming back is what is left.
      if level % 100 == 0 {
        for name in ["a", "z"] {
          #expect(mkdirat(fd, name, 0o755) == 0)
          let inner = openat(fd, name, O_RDONLY | O_DIRECTORY)
          close(openat(inner, "file", O_WRONLY | O_CREAT, 0o600))
          close(inner)
        }
      }
      let next = openat(fd, "d", O_RDONLY | O_DIRECTORY)
      close(fd)
      fd = next
    }
    close(fd)
    try Directory.removeTree(path)
    #expect(try Directory.list(folder.path).isEmpty)
  }

  @Test("names as long as they can be, many in a folder")
  func wide() throws {
    let path = "\(folder.path)/tree"
    try Directory.create(path)
    let fd = open(path)
    for number in 0..<3000 {
      let name = String(repeating: "n", count: 250) + "\(10_000 + number)"
      #expect(number % 3 == 0 ? mkdirat(fd, name, 0o755) == 0 : symlinkat(name, fd, name) == 0)
    }
    close(fd)
    try Directory.removeTree(path)
    #expect(try Directory.list(folder.path).isEmpty)
  }

  @Test("a file, a link and nothing are removed as a tree is; what a link leads to stays")
  func ends() throws {
    try Directory.create("\(folder.path)/real")
    try DurableFile.write([1], to: "\(folder.path)/real/file")
    #expect(symlink("real", "\(folder.path)/link") == 0)
    try Directory.removeTree("\(folder.path)/link")
    try Directory.removeTree("\(folder.path)/none")
    try Directory.removeTree("\(folder.path)/none/below")
    try Directory.removeTree("\(folder.path)/real/file/below")
    #expect(try Directory.list("\(folder.path)/real") == ["file"])
    try Directory.removeTree("\(folder.path)/real/file")
    try Directory.removeTree("\(folder.path)/real/")
    #expect(try Directory.list(folder.path).isEmpty)
  }

  @Test("a private folder is closed also when it was open before")
  func privacy() throws {
    let path = "\(folder.path)/a"
    try Directory.create(path, mode: 0o755)
    try Directory.createPrivate(path)
    try Directory.createPrivate("\(folder.path)/b/c")
    for path in [path, "\(folder.path)/b", "\(folder.path)/b/c"] {
      #expect(try ResolvedFile(path).status.mode == 0o700, "\(path)")
    }
  }
}

/// Need root, and a mount namespace of their own.
@Suite(
  "Kernel: removal beside mounts", .serialized,
  .enabled(if: getenv("APUS_KERNEL_TESTS").map { String(cString: $0) } == "1"))
struct TreeRemovalKernelTests {
  private let folder = TreeRemovalTests.Folder()

  /// A bind mount of the same file system has the same device number.
  @Test("a mount of the same file system is neither entered nor emptied")
  func mounts() throws {
    for name in ["tree/a", "tree/b/deep", "precious"] { try Directory.create("\(folder.path)/\(name)") }
    try DurableFile.write([1], to: "\(folder.path)/precious/file")
    try DurableFile.write([1], to: "\(folder.path)/tree/a/file")
    for target in ["tree/b/deep", "tree/a", "tree"] {
      try Mount.bind(source: "\(folder.path)/precious", target: "\(folder.path)/\(target)")
      let error = #expect(throws: SystemError.self) { try Directory.removeTree("\(folder.path)/tree") }
      #expect(error?.errno == EBUSY)
      #expect(try Directory.list("\(folder.path)/precious") == ["file"])
      try Mount.unmount("\(folder.path)/\(target)")
    }
    try Directory.create("\(folder.path)/tree/a")
    try DurableFile.write([1], to: "\(folder.path)/tree/a/target")
    try Mount.bind(source: "\(folder.path)/precious/file", target: "\(folder.path)/tree/a/target")
    #expect(throws: SystemError.self) { try Directory.removeTree("\(folder.path)/tree") }
    #expect(try DurableFile.read("\(folder.path)/precious/file", limit: 9) == [1])
    try Mount.unmountTree("\(folder.path)/tree")
    try Directory.removeTree("\(folder.path)/tree")
    #expect(try Directory.list(folder.path) == ["precious"])
  }

  @Test("what is mounted at a name that is not UTF-8 is unmounted")
  func namedByBytes() throws {
    let name: [CChar] = [CChar(bitPattern: 0xff), CChar(bitPattern: 0xfe), 0]
    try Directory.create("\(folder.path)/tree")
    let fd = open("\(folder.path)/tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    #expect(mkdirat(fd, name, 0o755) == 0)
    close(fd)
    let target = Array("\(folder.path)/tree/".utf8CString.dropLast()) + name
    #expect(apus_mount("tmpfs", target, "tmpfs", 0, nil) == 0)
    try Mount.unmountTree("\(folder.path)/tree")
    try Directory.removeTree("\(folder.path)/tree")
    #expect(try Directory.list(folder.path).isEmpty)
  }

  /// A container that was given LINUX_IMMUTABLE can do it.
  @Test("files and folders that may not be changed are removed")
  func immutable() throws {
    try Directory.create("\(folder.path)/tree/sub")
    for name in ["tree/file", "tree/sub/file"] { try DurableFile.write([1], to: "\(folder.path)/\(name)") }
    for name in ["tree/file", "tree/sub/file", "tree/sub", "tree"] {
      let fd = open("\(folder.path)/\(name)", O_RDONLY | O_CLOEXEC)
      defer { close(fd) }
      var flags: Int32 = 0
      // FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IMMUTABLE_FL; not every file system has them.
      guard ioctl(fd, 0x8008_6601, &flags) == 0 else { return }
      flags |= 0x10
      #expect(ioctl(fd, 0x4008_6602, &flags) == 0)
    }
    try Directory.removeTree("\(folder.path)/tree")
    #expect(try Directory.list(folder.path).isEmpty)
  }

  @Test("what is taken away again leaves the mounts that it was cloned from")
  func detaches() throws {
    for name in ["shared/below", "target"] { try Directory.create("\(folder.path)/\(name)") }
    defer { try? Mount.unmountTree(folder.path) }
    try Mount.tmpfs(target: "\(folder.path)/shared")
    try Mount.mount(source: "none", target: "\(folder.path)/shared", flags: .shared)
    try Directory.create("\(folder.path)/shared/below")
    try Mount.tmpfs(target: "\(folder.path)/shared/below")
    try DurableFile.write([1], to: "\(folder.path)/shared/below/file")
    try Mount.attach(try ResolvedFile("\(folder.path)/shared"), to: "\(folder.path)/target", recursive: true)
    #expect(try DurableFile.read("\(folder.path)/target/below/file", limit: 9) == [1])
    try Mount.detachTree("\(folder.path)/target")
    try Mount.detachTree("\(folder.path)/target")
    #expect(try DurableFile.read("\(folder.path)/shared/below/file", limit: 9) == [1])
    try Mount.attach(try ResolvedFile("\(folder.path)/shared"), to: "\(folder.path)/target", recursive: false)
    #expect(try Directory.list("\(folder.path)/target/below").isEmpty)
    try Mount.detachTree("\(folder.path)/target")
    #expect(try Directory.list("\(folder.path)/target").isEmpty)
  }
}
