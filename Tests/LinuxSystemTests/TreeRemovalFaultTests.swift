import CLinux
import Glibc
import TestKit
import Testing

@testable import LinuxSystem

/// Removal of trees that nobody has foreseen, while somebody changes them, on disks that fail.
@Suite struct TreeRemovalFaultTests {
  private let folder = TestFolder()
  private var path: String { "\(folder.path)/tree" }

  /// Fills a folder at random, with names of any bytes.
  private static func fill(_ fd: Int32, depth: Int, _ random: inout SeededGenerator) {
    let bytes = (1...255).map { UInt8($0) }.filter { $0 != 0x2f }
    for _ in 0..<Int.random(in: 0...4, using: &random) {
      let name = random.bytes(1...(Int.random(in: 0..<20, using: &random) == 0 ? 255 : 8), of: bytes)
      let text = name.map { CChar(bitPattern: $0) } + [0]
      switch Int.random(in: 0..<7, using: &random) {
      case 0: close(openat(fd, text, O_WRONLY | O_CREAT, 0o000))
      case 1: symlinkat("/etc", fd, text)
      case 2: symlinkat(".", fd, text)
      case 3: mkfifoat(fd, text, 0o600)
      default:
        guard mkdirat(fd, text, 0o700) == 0 else { continue }
        let inner = openat(fd, text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        if depth > 0 { fill(inner, depth: depth - 1, &random) }
        // Also those that their owner may not enter, which stops nobody but root's own mistakes.
        if geteuid() == 0, Bool.random(using: &random) { fchmod(inner, 0) }
        close(inner)
      }
    }
  }

  @Test(arguments: 0..<25 as Range<UInt64>) func anyTreeIsRemoved(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    try Directory.create(path)
    let fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    Self.fill(fd, depth: 40, &random)
    close(fd)
    try folder.write("kept", to: "beside")
    try Directory.removeTree(path)
    #expect(try Directory.list(folder.path) == ["beside"])
    #expect(access("/etc/passwd", F_OK) == 0)
  }

  /// Each call fails once: it is told with the path, nothing stays open, and the next try removes the rest.
  @Test(arguments: [SystemCall.unlinkat, .openat2, .getdents], [EIO, EACCES, ENOMEM])
  func aFailureIsToldAndLeavesNothingOpen(call: SystemCall, failure: Int32) throws {
    let path = path
    var step = 0
    while true {
      for name in ["a/b/c", "a/d", "e"] { try folder.write("x", to: "tree/\(name)") }
      var count = 0
      let message = try SystemCalls.run(
        stoppingAt: [call],
        { () -> String? in
          do throws(SystemError) { try Directory.removeTree(path) } catch {
            return error.errno == failure ? error.operation : "another: \(error)"
          }
          return nil
        }
      ) { _ in
        defer { count += 1 }
        return count == step ? .fail(failure) : .proceed
      }
      #expect(try folder.openFiles().isEmpty)
      guard count > step else { break }
      #expect(message?.contains(path) == true && message?.hasPrefix("another") == false, "\(message ?? "none")")
      #expect(access(path, F_OK) == 0)
      step += 1
    }
    #expect(step >= 3)
    #expect(try Directory.list(folder.path).isEmpty)
  }

  /// Deep folders are opened again from below: what was moved meanwhile is not what is above.
  @Test func aDeepFolderThatIsMovedEndsTheRemoval() throws {
    let depth = 60
    try Directory.create(path)
    var deep = path
    for _ in 0..<depth { deep += "/d" }
    try Directory.create("\(deep)/x")
    try Directory.create("\(folder.path)/precious/inside")
    let (base, path) = (folder.path, path)
    let middle = path + String(repeating: "/d", count: 50)
    var isMoved = false
    let failure = try SystemCalls.run(
      stoppingAt: [.unlinkat], { code { try Directory.removeTree(path) } }
    ) { call in
      if !isMoved, call.text(1) == "x" {
        isMoved = true
        // The removal stands at the deepest folder now; a part of its way goes where it must not follow.
        #expect(rename(middle, "\(base)/precious/moved") == 0)
      }
      return .proceed
    }
    #expect(isMoved && failure == ESTALE)
    #expect(try Directory.list("\(folder.path)/precious").contains("inside"))
    #expect(try folder.openFiles().isEmpty)
    try Directory.removeTree(path)
  }

  /// Somebody who writes and exchanges all the time does not lead it out, and does not hold it for ever.
  @Test func aRaceRemovesNothingElse() throws {
    try folder.write("precious", to: "outside/file")
    for number in 0..<20 { try folder.write("x", to: "tree/\(number)/a/b") }
    let base = folder.path
    let isOver = TestThread.Result()
    let attacker = TestThread {
      var number = 0
      while !isOver.isSet {
        let name = "\(base)/tree/\(number % 20)"
        rename("\(name)/a", "\(name)/moved")
        symlink("../../outside", "\(name)/a")
        mkdir("\(base)/tree/new\(number % 7)", 0o755)
        rename("\(base)/tree/\((number + 1) % 20)", "\(name)/inside")
        number += 1
      }
    }
    // It ends, whether or not something is left.
    _ = code { try Directory.removeTree(path) }
    isOver.set()
    attacker.join()
    try Directory.removeTree(path)
    #expect(try folder.read("outside/file") == "precious")
    #expect(try Directory.list(folder.path) == ["outside"])
    #expect(try folder.openFiles().isEmpty)
  }
}
