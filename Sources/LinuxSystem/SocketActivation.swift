import Glibc

/// Descriptors that a service manager has opened before it started this process, each with a name (sd_listen_fds(3)).
public struct SocketActivation: Sendable, Equatable {
  /// The number of the first one; the others follow.
  public static let first: Int32 = 3
  public static let countMax = 64
  public static let variables = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]

  /// In the order of the descriptors; no two are the same. Empty when this process was given none.
  public let names: [String]

  /// What the variables say to a process. What they say to another one, which has passed them on, is not for it.
  ///
  /// - Throws: when they cannot be understood, or a descriptor has no name of its own.
  public init(environment: [String: String], processID: Int32) throws(SystemError) {
    func refusal(_ detail: String) -> SystemError { SystemError("take the sockets of LISTEN_FDS", detail: detail) }
    guard let process = environment["LISTEN_PID"], let number = environment["LISTEN_FDS"] else {
      names = []
      return
    }
    guard let receiver = Int32(process), receiver > 0 else { throw refusal("LISTEN_PID is no process: '\(process)'") }
    guard receiver == processID else {
      names = []
      return
    }
    guard let count = Int(number), (1...Self.countMax).contains(count) else {
      throw refusal("LISTEN_FDS is not a number from 1 to \(Self.countMax): '\(number)'")
    }
    guard let list = environment["LISTEN_FDNAMES"] else {
      throw refusal("LISTEN_FDNAMES does not say what they are for")
    }
    let names = list.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard names.count == count else {
      throw refusal("LISTEN_FDNAMES has \(names.count) names, and LISTEN_FDS says \(count)")
    }
    var seen = Set<String>()
    for name in names {
      guard (1...255).contains(name.utf8.count), name.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
        throw refusal("a name of LISTEN_FDNAMES is empty, too long, or has other characters than printable ones")
      }
      guard seen.insert(name).inserted else { throw refusal("two of LISTEN_FDNAMES are '\(name)'") }
    }
    self.names = names
  }

  /// Takes what this process was given. Neither descriptors nor variables reach a child from here on.
  ///
  /// To be called once, while nothing else runs: it changes the environment.
  public static func take() throws(SystemError) -> [(name: String, descriptor: OwnedDescriptor)] {
    var environment: [String: String] = [:]
    for name in variables {
      environment[name] = getenv(name).map { String(cString: $0) }
      unsetenv(name)
    }
    var taken: [(name: String, descriptor: OwnedDescriptor)] = []
    for name in try SocketActivation(environment: environment, processID: getpid()).names {
      let number = first + Int32(taken.count)
      guard fcntl(number, F_SETFD, FD_CLOEXEC) == 0 else {
        throw .last("take descriptor \(number) of LISTEN_FDS, '\(name)'")
      }
      taken.append((name, OwnedDescriptor(number)))
    }
    return taken
  }
}
