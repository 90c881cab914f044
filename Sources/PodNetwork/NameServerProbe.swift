import Glibc
import LinuxSystem
import Wire

/// Asks the name server for a name of the cluster, as any client does.
struct NameServerProbe: Sendable {
  private static let answerDeadline = Duration.seconds(2)

  var address: String
  var port: UInt16 = 53

  /// Whether a question got no answer, or there is nobody to answer. False when it could not be asked.
  func isSilent() async -> Bool {
    guard let ip = IPAddress(address) else { return false }
    let family = ip.isIPv4 ? AF_INET : AF_INET6
    let descriptor = socket(
      family, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
    guard descriptor >= 0, let socket = try? AsyncDescriptor(owning: descriptor) else { return false }
    defer { socket.close() }
    let question = DNSServer.message(
      asking: DNSQuestion(name: DNSName("kubernetes.default.svc.cluster.local"), type: DNSType.a, class: 1))
    let isAsked = socket.withDescriptor { fd in
      Self.connect(fd, ip, port) && send(fd, question, question.count, Int32(MSG_NOSIGNAL)) == question.count
    }
    guard isAsked == true else { return false }
    guard (try? await socket.ready(.readable, .now + Self.answerDeadline)) != nil else { return true }
    // Whatever it says, it answers; a refusal of the kernel says that nobody is there.
    return socket.withDescriptor { fd -> Bool in
      var byte: UInt8 = 0
      return recv(fd, &byte, 1, Int32(MSG_DONTWAIT)) < 0
    } ?? false
  }

  /// From here on only that address's answers are received, and its refusals too.
  private static func connect(_ fd: Int32, _ ip: IPAddress, _ port: UInt16) -> Bool {
    var address = sockaddr_storage()
    let length = ip.write(to: &address, port: port)
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(fd, $0, length) == 0 }
    }
  }
}
