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

  @Test(arguments: [("ip", "127.0.0.9", "127.0.0.1:5353"), ("ip6", "::1", "[::1]:5353")])
  func flowsAreSeenAndForgotten(table: String, address: String, target: String) async throws {
    let destination = try #require(IPAddress(address))
    let family = destination.family
    let seen = try await DedicatedThread.run { () throws(SystemError) in
      // CLONE_NEWNET
      guard clinux_unshare(0x4000_0000) == 0 else { throw .last("unshare") }
      var seen = Seen()
      // Commands that this thread starts are in its namespace. A rule about connections turns the tracking on.
      seen.setUp = system(
        """
        ip link set lo up &&
        nft 'add table \(table) t; add chain \(table) t out { type nat hook output priority -100; };
          add rule \(table) t out \(table) daddr \(address) udp dport 53 dnat to \(target)'
        """)
      for port: UInt16 in [53, 54] { try send(to: destination, port) }
      let tracking = try ConnectionTracking()
      seen.before = try tracking.flows(family, protocol: UInt8(IPPROTO_UDP)) { _ in true }
      for flow in seen.before where flow.original.destinationPort == 53 {
        try tracking.forget(flow)
        // Gone already.
        try tracking.forget(flow)
      }
      seen.after = try tracking.flows(family, protocol: UInt8(IPPROTO_UDP)) { _ in true }
      return seen
    }
    #expect(seen.setUp == 0)
    let translated = try #require(seen.before.first { $0.original.destinationPort == 53 })
    #expect(seen.before.count == 2)
    #expect(translated.original.destination == destination)
    #expect(target.contains(translated.reply.source.description) && translated.reply.sourcePort == 5353)
    #expect(seen.after.map(\.original.destinationPort) == [54])
  }

  private func send(to address: IPAddress, _ port: UInt16) throws(SystemError) {
    let fd = socket(address.isIPv4 ? AF_INET : AF_INET6, Int32(SOCK_DGRAM.rawValue), 0)
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
