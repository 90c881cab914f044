import CLinux
import Glibc
import LinuxSystem
import Testing
import Wire

/// The kernel's own table, in a network namespace of the test's own.
@Suite(.enabled(if: geteuid() == 0 && access("/usr/sbin/nft", X_OK) == 0))
struct ConnectionTrackingKernelTests {
  /// What was seen of the flows: before and after one was forgotten.
  private struct Seen: Sendable {
    var before: [TrackedFlow] = []
    var after: [TrackedFlow] = []
    var setUp: Int32 = -1
  }

  @Test func flowsAreSeenAndForgotten() async throws {
    let seen = try await DedicatedThread.run { () throws(SystemError) in
      // CLONE_NEWNET
      guard clinux_unshare(0x4000_0000) == 0 else { throw .last("unshare") }
      var seen = Seen()
      // Commands that this thread starts are in its namespace. A rule about connections turns the tracking on.
      seen.setUp = system(
        """
        ip link set lo up &&
        nft 'add table ip t; add chain ip t out { type nat hook output priority -100; };
          add rule ip t out ip daddr 127.0.0.9 udp dport 53 dnat to 127.0.0.1:5353'
        """)
      for port: UInt16 in [53, 54] { try send(to: IPAddress(bytes: [127, 0, 0, 9]), port) }
      let tracking = try ConnectionTracking()
      seen.before = try tracking.flows(protocol: UInt8(IPPROTO_UDP)) { _ in true }
      for flow in seen.before where flow.original.destinationPort == 53 {
        try tracking.forget(flow)
        // Gone already.
        try tracking.forget(flow)
      }
      seen.after = try tracking.flows(protocol: UInt8(IPPROTO_UDP)) { _ in true }
      return seen
    }
    #expect(seen.setUp == 0)
    let translated = try #require(seen.before.first { $0.original.destinationPort == 53 })
    #expect(seen.before.count == 2)
    #expect(translated.original.destination.description == "127.0.0.9")
    #expect(translated.reply.source.description == "127.0.0.1" && translated.reply.sourcePort == 5353)
    #expect(seen.after.map(\.original.destinationPort) == [54])
  }

  private func send(to address: IPAddress, _ port: UInt16) throws(SystemError) {
    let fd = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    guard fd >= 0 else { throw .last("socket") }
    defer { _ = close(fd) }
    var storage = sockaddr_storage()
    let length = address.write(to: &storage, port: port)
    let sent = withUnsafePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { sendto(fd, "x", 1, 0, $0, length) }
    }
    guard sent == 1 else { throw .last("sendto") }
  }
}
