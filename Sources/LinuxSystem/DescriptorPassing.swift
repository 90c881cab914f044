import CLinux
import Glibc

/// A descriptor that is closed with its owner.
public final class OwnedDescriptor: Sendable {
  public let number: Int32

  /// Takes ownership of `number`.
  public init(_ number: Int32) { self.number = number }

  deinit { close(number) }

  /// Another number for the same open file, close-on-exec. It is the caller's to close.
  public func duplicate() throws(SystemError) -> Int32 {
    let copy = fcntl(number, F_DUPFD_CLOEXEC, 3)
    guard copy >= 0 else { throw .last("dup") }
    return copy
  }
}

/// Open files that go from process to process over a connected unix socket (unix(7), `SCM_RIGHTS`).
public enum DescriptorPassing {
  /// In one message.
  public static let countMax = Int(CLINUX_PASSED_FDS_MAX)

  /// Sends bytes, at least one, and with them descriptors, which stay open here.
  public static func send(
    _ bytes: [UInt8], _ descriptors: [OwnedDescriptor], over socket: AsyncDescriptor,
    deadline: ContinuousClock.Instant
  ) async throws(SystemError) {
    precondition(!bytes.isEmpty && descriptors.count <= countMax)
    let numbers = descriptors.map(\.number)
    var sent = 0
    while sent < bytes.count {
      let result = socket.withDescriptor { fd -> Result<Int, SystemError> in
        let rest = Array(bytes[sent...])
        let count = clinux_send_fds(fd, rest, rest.count, numbers, sent == 0 ? numbers.count : 0)
        return count < 0 ? .failure(.last("send descriptors")) : .success(count)
      }
      switch result ?? .failure(SystemError("send descriptors", errno: EBADF)) {
      case .success(let count): sent += count
      case .failure(let error):
        guard error.errno == EAGAIN else { throw error }
        try await socket.ready(.writable, deadline)
      }
    }
    withExtendedLifetime(descriptors) {}
  }

  /// What comes next: some bytes, and the descriptors that were sent with them. No bytes at the end.
  /// - Throws: `EMSGSIZE` when there are more descriptors than `countMax`.
  public static func receive(
    bytesMax: Int, over socket: AsyncDescriptor, deadline: ContinuousClock.Instant
  ) async throws(SystemError) -> (bytes: [UInt8], descriptors: [OwnedDescriptor]) {
    precondition(bytesMax > 0)
    while true {
      let result = socket.withDescriptor {
        fd -> Result<(bytes: [UInt8], descriptors: [OwnedDescriptor]), SystemError> in
        var bytes = [UInt8](repeating: 0, count: bytesMax)
        var numbers = [Int32](repeating: -1, count: countMax)
        var count = 0
        let received = clinux_receive_fds(fd, &bytes, bytesMax, &numbers, &count)
        guard received >= 0 else { return .failure(.last("receive descriptors")) }
        return .success((Array(bytes.prefix(received)), numbers.prefix(count).map { OwnedDescriptor($0) }))
      }
      switch result ?? .failure(SystemError("receive descriptors", errno: EBADF)) {
      case .success(let message): return message
      case .failure(let error):
        guard error.errno == EAGAIN else { throw error }
        try await socket.ready(.readable, deadline)
      }
    }
  }

  /// The user of the process at the other end, as it was when they were connected; `nil` when that cannot be told.
  public static func peerUser(of socket: AsyncDescriptor) -> UInt32? {
    socket.withDescriptor { fd -> UInt32? in
      var user: uid_t = 0
      return clinux_peer_user(fd, &user) == 0 ? user : nil
    } ?? nil
  }

  /// The next connection of a listening socket, when there is one.
  public static func accept(_ listener: AsyncDescriptor) throws(SystemError) -> AsyncDescriptor? {
    let result = listener.withDescriptor { fd -> Result<Int32, SystemError> in
      let connection = clinux_accept(fd)
      return connection < 0 ? .failure(.last("accept")) : .success(connection)
    }
    switch result ?? .failure(SystemError("accept", errno: EBADF)) {
    case .success(let connection): return try AsyncDescriptor(owning: connection)
    case .failure(let error):
      // One that has gone again is none.
      guard [EAGAIN, ECONNABORTED, EINTR].contains(error.errno) else { throw error }
      return nil
    }
  }
}
