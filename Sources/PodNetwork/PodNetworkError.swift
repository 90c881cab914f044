import Glibc
import LinuxSystem

/// Why the pod network cannot be set up or changed.
public struct PodNetworkError: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Code: Sendable, Equatable {
    /// An address, range or name in the configuration.
    case configuration
    /// A program (`nft`, `ip`) that failed or is missing.
    case program
    /// A DNS message that breaks RFC 1035.
    case message
  }

  public var code: Code
  public var message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }
}

/// Programs of the machine.
enum Program {
  /// Runs a program that must succeed.
  @discardableResult
  static func run(
    _ name: String, _ arguments: [String], stdin: [UInt8]? = nil, outputLimit: Int = 1 << 20
  ) async throws(PodNetworkError) -> [UInt8] {
    let result: ProcessResult
    do {
      result = try await Subprocess.run(name, arguments, stdin: stdin, outputLimit: outputLimit)
    } catch {
      let package = ["nft": "nftables", "ip": "iproute2"][name] ?? "iptables"
      guard error.errno == ENOENT else { throw PodNetworkError(.program, "\(name): \(error)") }
      throw PodNetworkError(.program, "the program \(name) is not installed; install the package \(package)")
    }
    guard result.status == .exited(0) else {
      let words = String(decoding: result.stderr.prefix(2000), as: UTF8.self)
      throw PodNetworkError(
        .program, "\(name) \(arguments.joined(separator: " ")) failed (\(result.status)): \(words)")
    }
    return result.stdout
  }
}
