import Glibc
import Testing

@testable import LinuxSystem

@Suite struct UnixSocketTests {
  /// A folder that is removed with the test.
  private func withFolder(_ body: (String) throws -> Void) throws {
    var template = Array("/tmp/apus-socket-XXXXXX".utf8CString)
    try #require(template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap(mkdtemp) } != nil)
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { try? Directory.removeTree(path) }
    try body(path)
  }

  private func mode(_ path: String) -> UInt32? {
    var status = stat()
    return lstat(path, &status) == 0 ? status.st_mode & 0o7777 : nil
  }

  @Test func paths() {
    #expect(UnixSocket.isPath("/" + String(repeating: "a", count: 106)))
    #expect(!UnixSocket.isPath("/" + String(repeating: "a", count: 107)))
    #expect(!UnixSocket.isPath("a") && !UnixSocket.isPath("") && !UnixSocket.isPath("/a\0b"))
  }

  @Test func theFileHasItsModeAndIsRemoved() throws {
    try withFolder { folder in
      let path = folder + "/s"
      let (descriptor, file) = try UnixSocket.bind(path, mode: 0o600)
      #expect(mode(path) == 0o600)
      close(descriptor)
      UnixSocket.remove(path, file)
      #expect(mode(path) == nil)
    }
  }

  @Test func aDeadServersFileIsReplaced() throws {
    try withFolder { folder in
      let path = folder + "/s"
      let (first, old) = try UnixSocket.bind(path, mode: 0o600)
      #expect(listen(first, 1) == 0)
      let busy = #expect(throws: SystemError.self) { try UnixSocket.bind(path, mode: 0o600) }
      #expect(busy?.errno == EADDRINUSE)
      close(first)
      let (second, new) = try UnixSocket.bind(path, mode: 0o666)
      #expect(mode(path) == 0o666)
      // The old owner's name for it is another's now; the number of a file may have come back.
      UnixSocket.remove(path, old)
      #expect((mode(path) == nil) == (old == new))
      close(second)
    }
  }

  @Test func whatIsNoSocketStays() throws {
    try withFolder { folder in
      let path = folder + "/s"
      try DurableFile.write(Array("x".utf8), to: path)
      #expect(symlink(path, folder + "/link") == 0)
      for taken in [path, folder + "/link", folder] {
        let error = #expect(throws: SystemError.self) { try UnixSocket.bind(taken, mode: 0o600) }
        #expect(error?.errno == EEXIST)
      }
      #expect(try DurableFile.read(path, limit: 10) == Array("x".utf8))
      let missing = #expect(throws: SystemError.self) { try UnixSocket.bind(folder + "/none/s", mode: 0o600) }
      #expect(missing?.isMissing == true)
    }
  }
}
