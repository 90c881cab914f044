import CLinux
import Glibc
import Synchronization
import Testing

@testable import LinuxSystem

/// The assumption that failed: that a path which was checked means the same to the one who mounts it.
@Suite struct ResolvedFileTests {
  private final class Folder {
    let path: String
    init() {
      var template = Array("/tmp/apus-resolve-XXXXXX".utf8CString)
      path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    }
    deinit { try? Directory.removeTree(path) }
  }

  private let folder = Folder()

  private func volume() throws -> ResolvedFile {
    try Directory.create("\(folder.path)/volume/in/side")
    try Directory.create("\(folder.path)/outside")
    try DurableFile.write(Array("secret".utf8), to: "\(folder.path)/outside/file")
    return try ResolvedFile("\(folder.path)/volume")
  }

  private func link(_ target: String, _ name: String) {
    #expect(symlink(target, "\(folder.path)/volume/\(name)") == 0)
  }

  private func code(_ body: () throws -> Void) -> Int32? {
    do { try body() } catch { return (error as? SystemError)?.errno }
    return nil
  }

  @Test(
    "no way of writing a link leads out",
    arguments: [
      "..", "../outside", "/", "/etc", "in/../../outside", "../../../../../../../../../..", "./../outside/file",
      "in/side/../../../outside",
    ])
  func out(_ target: String) throws {
    let volume = try volume()
    link(target, "l")
    link("l", "chain")
    for path in ["l", "l/x", "chain", "in/../l", "./l/."] {
      #expect(code { _ = try ResolvedFile(path, in: volume, scope: .beneath) } == EXDEV, "\(path) -> \(target)")
      #expect(code { try volume.createFolders("\(path)/new", scope: .beneath, mode: 0o755) } == EXDEV)
    }
    #expect(try Directory.list("\(folder.path)/outside") == ["file"])
  }

  @Test("what dangles here and not elsewhere is no missing folder")
  func dangling() throws {
    let volume = try volume()
    // As many levels up as lead nowhere from here, and to a folder from where the engine stands.
    link("gone/../../../outside", "a")
    link("gone", "b")
    link("in/gone", "c")
    for path in ["a", "b", "c", "a/x", "b/x", "in/../b"] {
      #expect(code { _ = try ResolvedFile(path, in: volume, scope: .beneath) } == ENOENT)
      #expect(code { try volume.createFolders(path, scope: .beneath, mode: 0o755) } == ENOENT, "\(path)")
    }
    #expect(try Directory.list("\(folder.path)/volume") == ["a", "b", "c", "in"])
    #expect(try Directory.list("\(folder.path)/volume/in") == ["side"])
  }

  @Test("links of the kernel are not followed, in no scope")
  func magic() throws {
    let root = try ResolvedFile("/")
    for path in ["proc/self/root", "proc/self/root/etc", "proc/self/cwd", "proc/thread-self/fd/0", "proc/self/exe"] {
      for scope in [PathScope.beneath, .inRoot] {
        #expect(code { _ = try ResolvedFile(path, in: root, scope: scope) } == ELOOP, "\(path)")
      }
    }
    #expect(try ResolvedFile("proc/self/status", in: root, scope: .inRoot).status.kind == .file)
  }

  @Test("links that stay inside are followed, and in a root absolute ones, too")
  func inside() throws {
    let volume = try volume()
    try DurableFile.write([1], to: "\(folder.path)/volume/in/file")
    link("in/file", "relative")
    link("/in/file", "absolute")
    link("/../../in/file", "above")
    #expect(try ResolvedFile("relative", in: volume, scope: .beneath).contents(limit: 9) == [1])
    #expect(code { _ = try ResolvedFile("absolute", in: volume, scope: .beneath) } == EXDEV)
    for path in ["relative", "absolute", "above"] {
      #expect(try ResolvedFile(path, in: volume, scope: .inRoot).contents(limit: 9) == [1])
      #expect(code { _ = try ResolvedFile(path, in: volume, scope: .withoutLinks) } == ELOOP)
    }
    link("loop", "loop")
    #expect(code { _ = try ResolvedFile("loop", in: volume, scope: .inRoot) } == ELOOP)
  }

  @Test("folders that are made have the given mode and group, whatever the umask")
  func makes() throws {
    let volume = try volume()
    try volume.createFolders("new/deep/er", scope: .beneath, mode: 0o2775, group: getgid())
    try volume.createFolders("in/x", scope: .beneath, mode: 0o700)
    for (path, mode) in [("new", 0o2775), ("new/deep/er", 0o2775), ("in", 0o755), ("in/x", 0o700)] {
      #expect(try ResolvedFile(path, in: volume, scope: .beneath).status.mode == UInt32(mode), "\(path)")
    }
  }

  @Test("only a regular file is opened for its content")
  func contents() throws {
    let volume = try volume()
    #expect(mkfifo("\(folder.path)/volume/pipe", 0o600) == 0)
    // A pipe would wait for a writer.
    #expect(code { _ = try ResolvedFile("pipe", in: volume, scope: .inRoot).contents(limit: 9) } == EINVAL)
    #expect(code { _ = try ResolvedFile("in", in: volume, scope: .inRoot).contents(limit: 9) } == EINVAL)
  }

  /// A folder and a link out change places all the time, as a container can do it in a volume that it shares.
  @Test("a race of exchanges never opens what is outside")
  func race() async throws {
    let volume = try volume()
    try DurableFile.write(Array("mine".utf8), to: "\(folder.path)/volume/in/file")
    link("../outside", "l")
    let path = folder.path
    let isOver = Atomic<Bool>(false)
    let attacker = Thread {
      while !isOver.load(ordering: .relaxed) {
        rename("\(path)/volume/in", "\(path)/volume/kept")
        rename("\(path)/volume/l", "\(path)/volume/in")
        rename("\(path)/volume/in", "\(path)/volume/l")
        rename("\(path)/volume/kept", "\(path)/volume/in")
      }
    }
    defer {
      isOver.store(true, ordering: .relaxed)
      attacker.join()
    }
    var opened = 0
    for _ in 0..<20_000 {
      guard let file = try? ResolvedFile("in/file", in: volume, scope: .beneath) else { continue }
      opened += 1
      #expect(try file.contents(limit: 100) == Array("mine".utf8))
    }
    #expect(opened > 0)
  }
}

private final class Thread {
  private var id = pthread_t()

  init(_ body: @escaping @Sendable () -> Void) {
    final class Box {
      let body: @Sendable () -> Void
      init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    let box = Unmanaged.passRetained(Box(body))
    pthread_create(
      &id, nil,
      { pointer in
        Unmanaged<Box>.fromOpaque(pointer!).takeRetainedValue().body()
        return nil
      }, box.toOpaque())
  }

  func join() { pthread_join(id, nil) }
}
