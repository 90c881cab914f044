import Glibc
import TestKit
import Testing

@testable import LinuxSystem

/// What a crash, a full disk and a disk that fails leave behind.
@Suite struct DurableFileTests {
  private let folder = TestFolder()
  private var path: String { "\(folder.path)/file" }
  private let old = Array("old".utf8)
  private let new = [UInt8](repeating: 7, count: 300_000)
  private let calls: [SystemCall] = [.openat, .write, .fchmod, .fsync, .rename, .unlink]

  private func write() -> Int32 {
    do throws(SystemError) {
      try DurableFile.write(new, to: path, mode: 0o640)
      return 0
    } catch {
      return error.errno
    }
  }

  private func isWhole() -> Bool {
    (try? DurableFile.read(path, limit: 1 << 20)).map { $0 == old || $0 == new } ?? false
  }

  /// The file before its name, its name before the answer; and at no moment half a file.
  @Test func stepsComeInTheOrderThatAPowerFailureNeeds() throws {
    try DurableFile.write(old, to: path)
    let folder = folder.path
    var steps: [String] = []
    let result = try SystemCalls.run(stoppingAt: calls, { write() }) { call in
      #expect(isWhole())
      func shown(_ path: String) -> String {
        path == folder ? "folder" : path == self.path ? "file" : path.hasPrefix("\(self.path).tmp.") ? "new" : path
      }
      switch call.call {
      case .openat: steps.append("open \(shown(call.text(1)))")
      case .rename: steps.append("rename \(shown(call.text(0))) \(shown(call.text(1)))")
      default: steps.append("\(call.call.name) \(shown(call.file()))")
      }
      return .proceed
    }
    #expect(result == 0)
    #expect(
      steps == [
        "open new", "write new", "fchmod new", "fsync new", "rename new file", "open folder", "fsync folder",
      ])
    #expect(try DurableFile.read(path, limit: 1 << 20) == new)
  }

  /// Whatever fails is told, and leaves either the old file or the new one, and nothing beside it.
  @Test(arguments: 0..<7, [EIO, ENOSPC, EDQUOT]) func whateverFailsLeavesAWholeFile(step: Int, code: Int32) throws {
    try DurableFile.write(old, to: path)
    var count = 0
    let result = try SystemCalls.run(stoppingAt: calls, { write() }) { _ in
      defer { count += 1 }
      return count == step ? .fail(code) : .proceed
    }
    #expect(count > step && result == code)
    #expect(try Directory.list(folder.path) == ["file"])
    #expect(try DurableFile.read(path, limit: 1 << 20) == (step < 5 ? old : new))
    #expect(try folder.openFiles().isEmpty)
  }

  /// A disk may take less than it is given, and a signal may come in between.
  @Test(arguments: [1, 2, 3] as [UInt64]) func writesGoOnWhereTheyWereStopped(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let path = path
    let content = random.bytes(2000...2000, of: Array(0...255))
    var interruptions = 0
    let result = try SystemCalls.run(
      stoppingAt: [.write], { (try? DurableFile.write(content, to: path)) != nil }
    ) { call in
      if Bool.random(using: &random) {
        interruptions += 1
        return .fail(EINTR)
      }
      return .answer(call.writeOnly(Int.random(in: 1...97, using: &random)))
    }
    #expect(result && interruptions > 5)
    #expect(try DurableFile.read(path, limit: 1 << 20) == content)
  }

  @Test func theModeIsExact() throws {
    for mode: UInt32 in [0o600, 0o644, 0o666, 0o4755, 0] {
      try DurableFile.write([1], to: path, mode: mode)
      #expect(try ResolvedFile(path).status.mode == mode)
    }
  }

  /// The link stays what it is not: whoever reads the path afterwards finds the file, and where it led to is not changed.
  @Test func aSymbolicLinkIsReplacedAndNotFollowed() throws {
    try folder.write("other", to: "target")
    #expect(symlink("target", path) == 0)
    try DurableFile.write(new, to: path)
    #expect(try folder.read("target") == "other")
    #expect(try DurableFile.read(path, limit: 1 << 20) == new)
  }

  @Test func aFolderIsNotReplaced() throws {
    try Directory.create("\(path)/in")
    #expect([EISDIR, ENOTEMPTY, EEXIST].contains(write()))
    #expect(try Directory.list(folder.path) == ["file"])
  }

  /// One of the contents, whole, however many write at once.
  @Test func writersDoNotMix() throws {
    let path = path
    let threads = (UInt8(0)..<8).map { number in
      TestThread {
        for _ in 0..<40 { try? DurableFile.write([UInt8](repeating: number, count: 5000 + Int(number)), to: path) }
      }
    }
    for thread in threads { thread.join() }
    let bytes = try DurableFile.read(path, limit: 1 << 20)
    #expect(bytes.count == 5000 + Int(bytes[0]) && Set(bytes).count == 1)
    #expect(try Directory.list(folder.path) == ["file"])
  }

  @Test(arguments: [0, 1, 4095, 4096, 4097, 8191, 8192, 8193, 100_000]) func limitsAreExact(size: Int) throws {
    try DurableFile.write([UInt8](repeating: 1, count: size), to: path)
    #expect(try DurableFile.read(path, limit: size).count == size)
    #expect(try DurableFile.read(path, limit: size + 1).count == size)
    if size > 0 { #expect(code { _ = try DurableFile.read(path, limit: size - 1) } == EFBIG) }
  }

  @Test func parents() {
    for (path, parent) in [
      ("/a/b", "/a"), ("/a", "/"), ("a", "."), ("a/b/c", "a/b"), ("/", "/"),
      // A slash before a combining mark is a slash.
      ("/a/\u{301}b", "/a"), ("/\u{301}b", "/"), ("a/\u{301}", "a"),
    ] {
      #expect(DurableFile.parent(of: path) == parent, "\(path)")
    }
  }
}

@Suite struct DirectoryTests {
  private let folder = TestFolder()

  @Test func namesOfAnyFormAreFoundAgain() throws {
    // Each begins with something that Swift joins with the slash before it.
    for name in ["\u{301}x", "\u{200d}", "\u{fe0f}a", "\u{301}"] {
      let path = "\(folder.path)/sub/\(name)"
      try Directory.create("\(path)/deep")
      try DurableFile.write([1], to: "\(path)/\(name)")
      #expect(try DurableFile.read("\(path)/\(name)", limit: 9) == [1])
      #expect(try Directory.list("\(folder.path)/sub") == [name])
      #expect(try Directory.resolve("\(path)/../\(name)/./\(name)") == "\(path)/\(name)")
      // What else has such a name stays.
      try Directory.create("\(folder.path)/\(name)")
      try Directory.removeTree(path)
      #expect(try Directory.list("\(folder.path)/sub").isEmpty)
      #expect(try Directory.list(folder.path) == ["sub", name].sorted())
      try Directory.removeTree("\(folder.path)/\(name)/")
      #expect(try Directory.list(folder.path) == ["sub"])
    }
  }

  @Test func aLinkFromSuchANameIsFollowed() throws {
    try Directory.create("\(folder.path)/\u{301}real")
    #expect(symlink("/\(folder.path.dropFirst())/\u{301}real", "\(folder.path)/link") == 0)
    #expect(symlink("./\u{301}real", "\(folder.path)/relative") == 0)
    for name in ["link", "relative"] {
      #expect(try Directory.resolve("\(folder.path)/\(name)/x") == "\(folder.path)/\u{301}real/x")
    }
  }

  /// `/proc/self/root` and the like have a target that does not name where they lead to: it is taken as it is written.
  @Test func aLinkWithManyStepsEnds() throws {
    #expect(symlink("b", "\(folder.path)/a") == 0 && symlink("a", "\(folder.path)/b") == 0)
    #expect(code { _ = try Directory.resolve("\(folder.path)/a") } == ELOOP)
    // A farm: each link doubles the way.
    #expect(symlink(".", "\(folder.path)/l0") == 0)
    for number in 1...30 {
      #expect(symlink("l\(number - 1)/l\(number - 1)", "\(folder.path)/l\(number)") == 0)
    }
    #expect(code { _ = try Directory.resolve("\(folder.path)/l30/x") } == ELOOP)
  }

  @Test func whatIsInTheWayIsSaid() throws {
    try folder.write("x", to: "file")
    #expect(code { try Directory.create("\(folder.path)/file") } == ENOTDIR)
    #expect(code { try Directory.create("\(folder.path)/file/below") } == ENOTDIR)
    #expect(symlink("nowhere", "\(folder.path)/dangling") == 0)
    #expect(code { try Directory.create("\(folder.path)/dangling") } == ENOTDIR)
    try Directory.create("\(folder.path)/real")
    #expect(symlink("real", "\(folder.path)/link") == 0)
    try Directory.create("\(folder.path)/link")
    try Directory.create("\(folder.path)/link/below/deep", mode: 0o700)
    #expect(try Directory.list("\(folder.path)/real/below") == ["deep"])
  }

  @Test func manyMakeTheSameFolder() throws {
    let path = folder.path
    let failures = (0..<8).map { _ in
      let failed = TestThread.Result()
      let thread = TestThread {
        for number in 0..<50 {
          do { try Directory.create("\(path)/\(number)/a/b/c") } catch { failed.set() }
        }
      }
      return (thread, failed)
    }
    for (thread, _) in failures { thread.join() }
    #expect(failures.allSatisfy { !$0.1.isSet })
    #expect(try Directory.list(path).count == 50)
  }

  @Test func aDiskThatFailsIsTold() throws {
    try Directory.create("\(folder.path)/sub")
    let path = folder.path
    for call in [SystemCall.openat, .fsync] {
      let failure = try SystemCalls.run(
        stoppingAt: [call], { code { try Directory.sync(path) } }, deciding: { _ in .fail(EIO) })
      #expect(failure == EIO)
    }
    let listed = try SystemCalls.run(
      stoppingAt: [.getdents], { code { _ = try Directory.list(path) } }, deciding: { _ in .fail(EIO) })
    #expect(listed == EIO)
    #expect(try folder.openFiles().isEmpty)
  }
}

/// A reserve is worth something only when the disk really keeps it.
@Suite struct DiskReserveTests {
  private let folder = TestFolder()
  private var path: String { "\(folder.path)/reserve" }

  private func status() -> stat {
    var status = Glibc.stat()
    #expect(stat(path, &status) == 0)
    return status
  }

  @Test func itTakesItsSpaceAndGivesItBack() {
    let reserve = DiskReserve(path: path, bytes: 1 << 20)
    #expect(!reserve.isWhole && !reserve.release())
    #expect(reserve.fill() && reserve.isWhole && reserve.fill())
    #expect(status().st_size == 1 << 20 && status().st_blocks * 512 >= 1 << 20)
    #expect(status().st_mode & 0o777 == 0o600)
    #expect(reserve.release() && !reserve.isWhole && !reserve.release())
    #expect(status().st_blocks == 0)
    #expect(reserve.fill())
  }

  @Test func itIsNotTakenFromADiskThatHasTooLittle() {
    let reserve = DiskReserve(path: path, bytes: .max / 2)
    #expect(reserve.isNeeded && !reserve.fill())
    #expect(access(path, F_OK) != 0)
    #expect(!DiskReserve(path: path, bytes: 1).isNeeded)
    #expect(DiskReserve(path: "/nonexistent/reserve", bytes: 1).isNeeded)
  }

  @Test func aDiskThatBecomesFullMeanwhileKeepsNothing() throws {
    let reserve = DiskReserve(path: path, bytes: 1 << 20)
    let isFilled = try SystemCalls.run(
      stoppingAt: [.fallocate], { reserve.fill() }, deciding: { _ in .fail(ENOSPC) })
    #expect(!isFilled && !reserve.isWhole && status().st_size == 0)
  }

  /// A file of the right length that holds nothing keeps no space.
  @Test func aHoleIsNoReserve() throws {
    try folder.write("", to: "reserve")
    #expect(truncate(path, 1 << 20) == 0)
    let reserve = DiskReserve(path: path, bytes: 1 << 20)
    #expect(!reserve.isWhole)
    #expect(reserve.fill() && reserve.isWhole && status().st_blocks * 512 >= 1 << 20)
  }

  @Test func aLinkIsNotFollowed() throws {
    try folder.write("precious", to: "target")
    #expect(symlink("target", path) == 0)
    let reserve = DiskReserve(path: path, bytes: 4)
    #expect(!reserve.fill() && !reserve.release())
    #expect(try folder.read("target") == "precious")
  }
}
