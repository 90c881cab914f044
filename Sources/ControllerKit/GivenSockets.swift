import LinuxSystem
import Synchronization
import Wire

/// Listening sockets that this process was given at its start (`SocketActivation`), by the names of the listeners that they
/// are for.
///
/// What was given has to fit and to be used: a service manager that keeps a port on which nobody answers is a mistake that
/// nobody would find.
package final class GivenSockets: Sendable {
  private struct Given: Sendable {
    var socket: ServerSocket
    var descriptor: OwnedDescriptor
  }

  private let untaken: Mutex<[String: Given]>

  package init() { untaken = Mutex([:]) }

  /// - Parameters:
  ///   - given: no two by the same name.
  ///   - listeners: the names of all that listen in this process.
  /// - Throws: when one is for nobody, or cannot be listened on.
  package init(
    _ given: [(name: String, descriptor: OwnedDescriptor)], for listeners: [String]
  ) throws(GivenSocketError) {
    var sockets: [String: Given] = [:]
    for (name, descriptor) in given {
      guard listeners.contains(name) else {
        throw GivenSocketError(
          "a socket was given for '\(name)', and nothing that is started here listens by that name: there is "
            + listeners.joined(separator: ", "))
      }
      let socket: ServerSocket
      do { socket = try ServerSocket(adopting: descriptor) } catch {
        throw GivenSocketError("the socket that was given for '\(name)' cannot be listened on: \(error)")
      }
      guard socket.kind == .tcp else {
        throw GivenSocketError("the socket that was given for '\(name)' cannot be listened on: it is \(socket)")
      }
      let former = sockets.updateValue(Given(socket: socket, descriptor: descriptor), forKey: name)
      precondition(former == nil, "two sockets are given by the name \(name)")
    }
    untaken = Mutex(sockets)
  }

  /// Gives a socket to the one that it is for; `nil` when none was given, and the listener binds its own.
  ///
  /// - Parameters:
  ///   - host: the address that the listener is configured with.
  ///   - port: 0 for any.
  /// - Throws: when the socket is at another address.
  package func take(_ name: String, host: String, port: Int) throws(GivenSocketError) -> OwnedDescriptor? {
    guard let given = untaken.withLock({ $0.removeValue(forKey: name) }) else { return nil }
    let (socket, descriptor) = (given.socket, given.descriptor)
    guard let address = IPAddress(host) else {
      throw GivenSocketError(
        "a socket was given for '\(name)', which is configured with a name, '\(host)': give its address, \(socket.address)"
      )
    }
    guard socket.address == address, port == 0 || Int(socket.port) == port else {
      let configured = address.isIPv4 ? "\(address)" : "[\(address)]"
      throw GivenSocketError(
        "the socket that was given for '\(name)' is \(socket), and \(configured):\(port) is what it is configured with")
    }
    // All addresses are those of both families when the listener binds by itself.
    if !address.isIPv4, address.value == 0 {
      guard ServerSocket.takesBothFamilies(descriptor) else {
        throw GivenSocketError(
          "the socket that was given for '\(name)' takes IPv6 only, and [::] is all addresses (BindIPv6Only=both)")
      }
    }
    return descriptor
  }

  /// Checks, once everything listens, that nothing is left.
  package func finish() throws(GivenSocketError) {
    let left = untaken.withLock { $0.keys.sorted() }
    guard left.isEmpty else {
      throw GivenSocketError("nobody uses the sockets that were given for \(left.joined(separator: ", "))")
    }
  }
}

/// Why a socket that was given is not used.
package struct GivenSocketError: Error, Equatable, CustomStringConvertible {
  package let description: String

  init(_ description: String) { self.description = description }
}
