import Glibc
import Testing

@testable import LinuxSystem

@Suite struct FileSystemTests {
  private final class Folder {
    let path: String
    init() {
      var template = Array("/tmp/apus-fs-XXXXXX".utf8CString)
      path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    }
    deinit { try? Directory.removeTree(path) }
  }

  private let folder = Folder()

  @Test func writesWholeFilesOnly() throws {
    let path = "\(folder.path)/a"
    try DurableFile.write([1, 2, 3], to: path, mode: 0o640)
    try DurableFile.write([4], to: path, mode: 0o600)
    #expect(try DurableFile.read(path, limit: 10) == [4])
    var status = stat()
    #expect(stat(path, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o600)
    #expect(try Directory.list(folder.path) == ["a"])
    #expect(throws: SystemError.self) { try DurableFile.write([1], to: "\(folder.path)/no/a") }
  }

  @Test func readsUpToTheLimit() throws {
    let path = "\(folder.path)/big"
    try DurableFile.write([UInt8](repeating: 7, count: 10_000), to: path)
    #expect(try DurableFile.read(path, limit: 10_000).count == 10_000)
    let error = #expect(throws: SystemError.self) { try DurableFile.read(path, limit: 9_999) }
    #expect(error?.errno == EFBIG)
    // Files that say that they are empty.
    #expect(try !DurableFile.read("/proc/self/status", limit: 1 << 16).isEmpty)
  }

  @Test func makesAndRemovesTrees() throws {
    let path = "\(folder.path)/x/y/z"
    try Directory.create(path)
    try Directory.create(path)
    try DurableFile.write([1], to: "\(path)/f")
    #expect(symlink("/etc", "\(path)/link") == 0)
    #expect(throws: SystemError.self) { try Directory.create("\(path)/f") }
    try Directory.removeTree("\(folder.path)/x")
    try Directory.removeTree("\(folder.path)/x")
    #expect(try Directory.list(folder.path).isEmpty)
    #expect(access("/etc/passwd", F_OK) == 0)
  }

  @Test func aTreeCannotBeLeft() throws {
    try Directory.create("\(folder.path)/root")
    let tree = try DirectoryTree("\(folder.path)/root")
    try tree.createSymbolicLink("out", target: "..")
    try tree.createSymbolicLink("abs", target: "/tmp")
    for path in ["out/f", "abs/f"] {
      let error = #expect(throws: SystemError.self) { _ = try tree.createFile(path) }
      #expect(error?.errno == EXDEV)
    }
    #expect(throws: SystemError.self) { _ = try tree.createFile("a/..") }
    close(try tree.createFile("deep/er/file"))
    #expect(try tree.type(of: "deep/er/file") == .file)
    #expect(try tree.type(of: "deep/er") == .directory)
    #expect(try tree.type(of: "out") == .symbolicLink)
    #expect(try tree.type(of: "none") == nil)
    try tree.createHardLink("second", target: "deep/er/file")
    try tree.remove("deep")
    #expect(try tree.type(of: "deep") == nil)
    #expect(try Directory.list("\(folder.path)/root") == ["abs", "out", "second"])
  }

  @Test func whatLinksLeadToIsNotRemoved() throws {
    for name in ["root/real", "outside/sub"] { try Directory.create("\(folder.path)/\(name)") }
    let tree = try DirectoryTree("\(folder.path)/root")
    close(try tree.createFile("real/file"))
    try tree.createSymbolicLink("out", target: "\(folder.path)/outside")
    try tree.createSymbolicLink("in", target: "real")
    for path in ["out/sub", "in/file", "gone/file", "real/file/x"] { try tree.removeIfBelow(path) }
    #expect(try Directory.list("\(folder.path)/outside") == ["sub"])
    #expect(try tree.namesIfBelow("real") == ["file"])
    for path in ["out", "out/sub", "in", "gone", "real/file"] { #expect(try tree.namesIfBelow(path) == nil) }
    try tree.removeIfBelow("out")
    try tree.removeIfBelow("real")
    #expect(try tree.namesIfBelow("") == ["in"])
    #expect(try Directory.list("\(folder.path)/outside") == ["sub"])
    #expect(throws: SystemError.self) { try tree.removeIfBelow("a/..") }
  }

  @Test func parsesMountInfo() throws {
    let line = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue"
    let info = try #require(MountInfo(line: Array(line.utf8)))
    #expect(info.id == 36 && info.parent == 35)
    #expect(info.mountPoint == "/mnt 2")
    #expect(info.propagation == ["shared:1", "master:2"])
    #expect(info.type == "ext3")
    #expect(info.superOptions == ["rw", "errors=continue"])
    #expect(MountInfo(line: Array("36 35 98:0 / /".utf8)) == nil)
    #expect(MountInfo(line: []) == nil)
    #expect(try MountInfo.current().contains { $0.mountPoint == "/" })
    #expect(info.isAtOrBelow("/mnt 2") && !info.isAtOrBelow("/mnt"))
  }
}
