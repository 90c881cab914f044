import Glibc
import Testing

@testable import LinuxSystem

/// The assumption that failed: "a name means the file that it meant before".
struct FileLockTests {
  private let base: String

  init() {
    var template = Array("/tmp/apus-lock-XXXXXX".utf8CString)
    base = String(cString: mkdtemp(&template)!)
  }

  private func cleaned(_ body: () throws -> Void) rethrows {
    defer { try? Directory.removeTree(base) }
    try body()
  }

  private func isHeld(_ path: String) -> Bool {
    do {
      _ = try FileLock.acquire(directory: path)
      return false
    } catch { return error.isHeld && error.holder == getpid() }
  }

  @Test func theErrorNamesTheHolder() throws {
    try cleaned {
      let path = base + "/lock"
      do {
        let lock = try FileLock.acquire(path)
        #expect { try FileLock.acquire(path) } throws: { error in
          let error = error as? FileLockError
          return error?.holder == getpid() && error?.isHeld == true
            && error?.description == "\(path) is locked by process \(getpid())"
        }
        #expect(FileLock.holder(of: path) == getpid())
        withExtendedLifetime(lock) {}
      }
      _ = try FileLock.acquire(path)
      #expect(FileLock.holder(of: path) == nil)
      #expect { try FileLock.acquire(base + "/none/lock") } throws: { ($0 as? FileLockError)?.errno == ENOENT }
    }
  }

  /// What others can open they can lock, and keep from us.
  @Test func othersCannotOpenIt() throws {
    try cleaned {
      let path = base + "/lock"
      close(open(path, O_CREAT | O_RDWR, 0o644))
      let lock = try FileLock.acquire(path)
      var status = stat()
      #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
      withExtendedLifetime(lock) {}
    }
  }

  @Test func aFoldersLockHoldsWhateverHappensInIt() throws {
    try cleaned {
      let folder = base + "/data"
      try Directory.create(folder + "/state")
      let lock = try FileLock.acquire(directory: folder)
      #expect(isHeld(folder))
      // Everything below it removed, and put back.
      try Directory.removeTree(folder + "/state")
      #expect(isHeld(folder))
      try Directory.create(folder + "/state")
      close(open(folder + "/lock", O_CREAT | O_RDWR, 0o600))
      #expect(isHeld(folder))
      // By other names.
      symlink(folder, base + "/link")
      #expect(isHeld(base + "/link"))
      #expect(isHeld(base + "/link/../data/./state/.."))
      #expect(isHeld("/proc/self/root" + folder))
      // Moved.
      rename(folder, base + "/moved")
      #expect(isHeld(base + "/moved"))
      // Another folder of the name is another folder.
      try Directory.create(folder)
      #expect(!isHeld(folder))
      withExtendedLifetime(lock) {}
    }
  }

  @Test func whoHoldsItIsReadFromTheKernelsList() {
    let list = """
      1: FLOCK  ADVISORY  WRITE 100 fe:00:77 0 EOF
      2: POSIX  ADVISORY  WRITE 200 fe:00:78 0 EOF
      3: FLOCK  ADVISORY  WRITE 0 fe:00:79 0 EOF
      4: FLOCK  ADVISORY  WRITE 300 fe:01:80 0 EOF
      4: -> FLOCK  ADVISORY  WRITE 301 fe:01:80 0 EOF
      5: FLOCK  ADVISORY  WRITE 400 fe:01:77 0 EOF
      """
    func holder(_ inode: UInt64, minor: UInt32 = 0) -> Int32? {
      FileLock.holder(in: list, major: 0xFE, minor: minor, inode: inode)
    }
    #expect(holder(77) == 100)
    #expect(holder(77, minor: 1) == 400)
    #expect(holder(77, minor: 2) == nil)
    #expect(holder(78) == nil)
    #expect(holder(79) == nil)
    #expect(holder(80, minor: 9) == 300)
    #expect(FileLock.holder(in: "", major: 0, minor: 0, inode: 1) == nil)
    #expect(FileLock.holder(in: "a b\n1: FLOCK x", major: 0, minor: 0, inode: 1) == nil)
  }

  @Test func aProcessThatWasKilledIsEnding() {
    func isEnding(state: String = "S (sleeping)", own: String = "0", shared: String = "0", flags: Int = 4_194_560)
      -> Bool
    {
      ProcessEnd.isUnderWay(
        status: "Name:\tapus\nState:\t\(state)\nSigPnd:\t\(own)\nShdPnd:\t\(shared)\n",
        stat: "12 (apus) up) S 1 12 12 0 -1 \(flags) 100")
    }
    #expect(!isEnding())
    #expect(!isEnding(state: "T (stopped)", own: "0000000000004000"))
    #expect(isEnding(state: "Z (zombie)"))
    #expect(isEnding(shared: "0000000000000100"))
    #expect(isEnding(own: "0000000000000100"))
    #expect(isEnding(flags: 4_194_560 | 4))
    #expect(isEnding(flags: 4_194_560 | 0x400))
    #expect(!ProcessEnd.isUnderWay(status: "", stat: ""))
    #expect(!ProcessEnd.isUnderWay(getpid()))
  }
}

struct ResolveTests {
  @Test func oneFolderHasOneName() throws {
    var template = Array("/tmp/apus-resolve-XXXXXX".utf8CString)
    let base = String(cString: mkdtemp(&template)!)
    defer { try? Directory.removeTree(base) }
    try Directory.create(base + "/real/data")
    symlink(base + "/real", base + "/link")
    symlink("real/data", base + "/relative")
    symlink("link/data", base + "/chain")
    symlink("nothing/yet", base + "/dangling")
    symlink("loop", base + "/loop")
    let data = base + "/real/data"
    for name in [
      "real/data", "real/data/", "real//data/.", "link/data", "relative", "relative/", "chain", "link/../real/data",
      "relative/../data", "chain/../../link/data",
    ] {
      #expect(try Directory.resolve("\(base)/\(name)") == data, "\(name)")
    }
    #expect(try Directory.resolve(base + "/dangling") == base + "/nothing/yet")
    #expect(try Directory.resolve(base + "/link/new/folder") == base + "/real/new/folder")
    #expect(try Directory.resolve(base + "/new/../real/data") == data)
    #expect(try Directory.resolve("/") == "/")
    #expect(try Directory.resolve("/../..") == "/")
    #expect(try Directory.resolve("tmp/../x").hasSuffix("/x"))
    #expect(throws: SystemError.self) { try Directory.resolve(base + "/loop/x") }
  }
}

struct ChecksumTests {
  @Test func itIsCRC32C() {
    // RFC 3720, appendix B.4, and the check value of the catalogues.
    #expect(Checksum(Array("123456789".utf8)).value == 0xE306_9283)
    #expect(Checksum([UInt8](repeating: 0, count: 32)).value == 0x8A91_36AA)
    #expect(Checksum([UInt8](repeating: 0xFF, count: 32)).value == 0x62A8_AB43)
    #expect(Checksum(Array(0..<32)).value == 0x46DD_794E)
    #expect(Checksum([]).value == 0)
  }

  @Test func itGoesOnWhereItWas() {
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    for cut in stride(from: 0, to: 1000, by: 37) {
      var sum = Checksum()
      sum.add(Array(bytes[..<cut]))
      sum.add(Array(bytes[cut...]))
      #expect(sum == Checksum(bytes))
    }
    var sum = Checksum()
    sum.add("schön")
    #expect(sum == Checksum(Array("schön".utf8)))
  }
}
