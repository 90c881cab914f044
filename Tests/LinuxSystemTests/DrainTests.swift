import Glibc
import Testing

@testable import LinuxSystem

/// What is read when a helper has ended: all that it wrote, and then the end.
@Suite(.timeLimit(.minutes(1))) struct DrainTests {
  @Test func whoDrainsBeforeTheWaitIsNotMissed() async throws {
    let pipe = try Pipe()
    defer { close(pipe.writeEnd) }
    let reader = try AsyncDescriptor(owning: pipe.readEnd)
    // Between a read that found nothing and the wait: the wait must not begin.
    reader.drain()
    try await reader.waitForInput()
    #expect(try await reader.read() == [])
  }

  @Test func whatCameBeforeIsReadAndNothingWaits() async throws {
    for round in 0..<500 {
      let pipe = try Pipe()
      defer { close(pipe.writeEnd) }
      let reader = try AsyncDescriptor(owning: pipe.readEnd)
      async let read = Self.all(reader)
      if round % 2 == 0 { await Task.yield() }
      _ = write(pipe.writeEnd, "last words", 10)
      reader.drain()
      #expect(try await read == Array("last words".utf8))
    }
  }

  private static func all(_ reader: AsyncDescriptor) async throws -> [UInt8] {
    var bytes: [UInt8] = []
    while case let part = try await reader.read(), !part.isEmpty { bytes += part }
    return bytes
  }
}
