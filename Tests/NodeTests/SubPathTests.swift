import Glibc
import KubeTypes
import LinuxSystem
import Testing
import Wire

@testable import Node

@Suite struct SubPathTests {
  private final class Folder {
    let path: String
    init() {
      var template = Array("/tmp/apus-subpath-XXXXXX".utf8CString)
      path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    }
    deinit { try? Directory.removeTree(path) }
  }

  private let folder = Folder()

  private func open(_ subPath: String, isHostPath: Bool = false) throws -> ResolvedFile {
    try SubPath.open(subPath, in: try ResolvedFile(folder.path), isHostPath: isHostPath)
  }

  private func message(_ body: () throws -> Void) -> String {
    do { try body() } catch { return (error as? NodeError)?.message ?? "\(error)" }
    return ""
  }

  @Test("the link of an init container that dangles in the volume and not where the engine stands")
  func dangling() throws {
    let target = "../../../volumes/" + String(repeating: "../", count: 12)
    #expect(symlink(target, "\(folder.path)/l") == 0)
    for subPath in ["l", "l/", "./l", "l/etc", "l/new/folder"] {
      #expect(
        message { _ = try open(subPath) }.contains("symbolic link to nothing")
          || message { _ = try open(subPath) }.contains("leads out of the volume"), "\(subPath)")
    }
    #expect(try Directory.list(folder.path) == ["l"])
  }

  @Test("what is neither folder nor file is taken from the host's own paths only")
  func kinds() throws {
    #expect(mkfifo("\(folder.path)/pipe", 0o666) == 0)
    #expect(symlink("pipe", "\(folder.path)/link") == 0)
    for subPath in ["pipe", "link"] {
      #expect(message { _ = try open(subPath) }.contains("neither a folder nor a regular file"))
      #expect(try open(subPath, isHostPath: true).status.kind == .pipe)
    }
    try DurableFile.write([], to: "\(folder.path)/file")
    #expect(message { _ = try open("file/below") }.contains("Not a directory"))
    #expect(message { _ = try open("../x") }.contains("must not contain '..'"))
    #expect(message { _ = try open("/x") }.contains("must be relative"))
    #expect(message { _ = try open(String(repeating: "x/", count: 4000)) }.contains("File name too long"))
  }

  @Test("a folder that is missing takes the volume's mode and group")
  func modes() throws {
    chmod(folder.path, 0o2770)
    let made = try open("new/deep")
    #expect(made.status.mode == 0o2770 && made.status.group == getgid())
    #expect(try open("new").status.mode == 0o2770)
    chmod(folder.path, 0o1777)
    #expect(try open("open").status.mode == 0o1777)
    chmod(folder.path, 0o750)
    #expect(try open("new/later").status.mode == 0o750)
  }

  @Test("of the host's root every path is inside, but for the links of /proc")
  func hostRoot() throws {
    let root = try HostPath.open("/", type: "Directory")
    #expect(try SubPath.open("etc/hostname", in: root, isHostPath: true).status.kind == .file)
    #expect(symlink("/etc/hostname", "\(folder.path)/absolute") == 0)
    let relative = String(folder.path.dropFirst())
    #expect(try SubPath.open("\(relative)/absolute", in: root, isHostPath: true).status.kind == .file)
    for path in ["proc/self/root", "proc/self/cwd/x"] {
      #expect(message { _ = try SubPath.open(path, in: root, isHostPath: true) }.contains("link of /proc"))
    }
    // The same folder behind another volume does not make it the host's root.
    #expect(
      message { _ = try SubPath.open("\(relative)/absolute", in: root, isHostPath: false) }
        .contains("leads out of the volume"))
  }

  @Test("a hostPath is what it was when it was checked")
  func hostPath() throws {
    let path = "\(folder.path)/data"
    #expect(message { _ = try HostPath.open(path, type: "File") }.contains("is not a file"))
    #expect(message { _ = try HostPath.open("\(path)/../x", type: "") }.contains("must not contain '..'"))
    #expect(message { _ = try HostPath.open("data", type: "") }.contains("must be absolute"))
    let held = try HostPath.open("\(path)/made//./deep", type: "DirectoryOrCreate")
    #expect(rename("\(path)/made/deep", "\(path)/moved") == 0)
    #expect(symlink("/etc", "\(path)/made/deep") == 0)
    #expect(held.status.inode == (try ResolvedFile("\(path)/moved").status.inode))
    // A link is followed, as it is the host's own.
    #expect(try HostPath.open("\(path)/made/deep", type: "Directory").status.inode == ResolvedFile("/etc").status.inode)
    #expect(try HostPath.open("\(path)/file", type: "FileOrCreate").status.mode == 0o644)
    #expect(try HostPath.open("\(path)/file", type: "FileOrCreate").status.kind == .file)
    #expect(message { _ = try HostPath.open("\(path)/file", type: "DirectoryOrCreate") }.contains("is not a directory"))
    #expect(message { _ = try HostPath.open("/proc/self/root", type: "") }.contains("hostPath"))
    #expect(try HostPath.open("/dev/null", type: "CharDevice").status.kind == .characterDevice)
  }

  @Test(
    "a file of a volume is not written above it, whatever Swift takes for a character",
    arguments: [
      "../x", "a/../x", "/x", "a//x", "./x", "..x", "a/../\u{301}x", "a/../\u{200d}/../x", "",
    ])
  func projections(_ path: String) throws {
    let volume = "\(folder.path)/volume"
    #expect(throws: SystemError.self) {
      try AtomicWriter.write(
        [path: AtomicWriter.File(bytes: [1], mode: 0o644)], to: volume, group: nil, stamp: Timestamp(microseconds: 1))
    }
    #expect(try Directory.list(folder.path).isEmpty)
  }

  @Test("who may read a token")
  func tokens() {
    func access(_ pod: JSON, _ containers: [JSON]) -> TokenAccess {
      var spec: JSON = ["containers": .array(containers)]
      if pod != .null { spec["securityContext"] = pod }
      return TokenAccess(Pod(json: ["apiVersion": "v1", "kind": "Pod", "spec": spec]), defaultMode: 0o644)
    }
    let plain: JSON = ["name": "a"]
    let other: JSON = ["name": "b", "securityContext": ["runAsUser": 2000]]
    func expected(_ owner: UInt32?, _ mode: UInt32, _ found: TokenAccess) {
      #expect(found.owner == owner && found.mode == mode, "\(found)")
    }
    expected(nil, 0o644, access(.null, [plain]))
    expected(1000, 0o600, access(["runAsUser": 1000], [plain, plain]))
    expected(nil, 0o644, access(["runAsUser": 1000], [plain, other]))
    expected(2000, 0o600, access(.null, [other, other]))
    expected(nil, 0o644, access(.null, [other, plain]))
    expected(nil, 0o600, access(["fsGroup": 5], [plain]))
    expected(1000, 0o600, access(["fsGroup": 5, "runAsUser": 1000], [plain]))
  }
}
