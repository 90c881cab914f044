import HTTP
import NIOCore
import Wire

/// Where a container runtime gives the streams of a process or of ports: a URL of its own server, good for one use.
///
/// A runtime is trusted with the machine's containers, and with nothing beyond the machine: a URL that leads elsewhere would
/// carry what users type and what their processes say to whoever it names. So it has to name this machine by an address.
struct StreamingAddress: Sendable, Equatable {
  var url: HTTPURL
  var endpoint: HTTPEndpoint

  /// - Parameter isOwn: whether an address is one of this machine.
  init(_ text: String, isOwn: (IPAddress) -> Bool = isOwn) throws(StreamingError) {
    guard let url = HTTPURL(text) else {
      throw StreamingError(.invalid, "the container runtime gives its streams by what is no URL of HTTP")
    }
    guard let address = url.host == "localhost" ? IPAddress("127.0.0.1") : IPAddress(url.host) else {
      throw Self.elsewhere(url, "by a name, which anybody may answer for")
    }
    let host: IPAddress
    switch AddressClass(address) {
    case .loopback: host = address
    // Of a server that listens on all addresses.
    case .unspecified: host = address.isIPv4 ? IPAddress(.ipv4, 0x7F00_0001) : IPAddress(.ipv6, 1)
    case .ordinary, .linkLocal:
      guard isOwn(address) else { throw Self.elsewhere(url, "which is not this machine") }
      host = address
    default: throw Self.elsewhere(url, "which is no address of a machine")
    }
    self.url = url
    endpoint = .address(host: host.description, port: url.port)
  }

  private static func elsewhere(_ url: HTTPURL, _ why: String) -> StreamingError {
    // Path and query hold what lets somebody in.
    StreamingError(
      .elsewhere,
      "the container runtime gives its streams at \(url.authority), \(why); let its streaming server listen on a loopback "
        + "address (containerd: stream_server_address)")
  }

  static func isOwn(_ address: IPAddress) -> Bool {
    guard let devices = try? System.enumerateDevices() else { return false }
    return devices.contains { $0.address?.ipAddress.flatMap { IPAddress($0) } == address }
  }
}

/// Why the streams of a process or a port are not there, or no longer.
package struct StreamingError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Code: Sendable, Equatable {
    /// The runtime's answer cannot be used.
    case invalid
    /// They would be on another machine.
    case elsewhere
    /// The runtime's server refuses them.
    case refused(status: Int)
    case timedOut
    /// The connection has ended.
    case closed
    /// The command could not be run, or its end could not be learnt; the port could not be reached.
    case failed
  }

  package var code: Code
  package var message: String

  package init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  package var description: String { message }
}
