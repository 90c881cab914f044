import Glibc

/// The service manager that started this process (systemd, or another one with its protocol).
enum ServiceManager {
  /// Tells it the state of the service, such as `READY=1`; when nobody asks for that, nothing happens.
  ///
  /// One datagram to the socket that `NOTIFY_SOCKET` names, as sd_notify(3) describes it: a path, or with `@` in front a
  /// name in the abstract namespace. A manager that cannot be reached is no reason not to serve.
  static func notify(_ state: String) {
    guard let name = getenv("NOTIFY_SOCKET").map({ String(cString: $0) }), let first = name.utf8.first,
      first == UInt8(ascii: "/") || first == UInt8(ascii: "@")
    else { return }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(name.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
    withUnsafeMutableBytes(of: &address.sun_path) { path in
      path.copyBytes(from: bytes)
      if first == UInt8(ascii: "@") { path[0] = 0 }
    }
    let length = socklen_t(
      MemoryLayout.size(ofValue: address) - MemoryLayout.size(ofValue: address.sun_path) + bytes.count)
    let socket = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard socket >= 0 else { return }
    defer { close(socket) }
    let message = Array(state.utf8)
    withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        // Never waits: a manager that does not read is not to hold up the server.
        _ = sendto(
          socket, message, message.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL), address, length)
      }
    }
  }
}
