import Containers
import LinuxSystem
import Wire

/// What a step's container is to be. Pure: everything that it needs to know of the machine is given.
struct ContainerConfiguration: Sendable {
  struct BindMount: Sendable, Equatable {
    enum Kind: Sendable, Equatable {
      case bind(source: String, isReadOnly: Bool)
      case tmpfs(options: [String])
    }
    var destination: String
    var kind: Kind
  }

  enum Network: Sendable, Equatable {
    /// Nothing but `lo`.
    case none
    /// The namespace of this path.
    case own(String)
    case machine
  }

  var rootPath: String
  var arguments: [String]
  /// `NAME=VALUE`.
  var environment: [String]
  var workingDirectory: String
  var user: ProcessUser
  var cgroupPath: String
  var isCgroupV2: Bool
  var network: Network
  var mounts: [BindMount]
  var openFilesMax: Int64
  /// What this process has to give.
  var availableCapabilities: CapabilitySet

  /// What a step's machine is called: the same everywhere, since programs write it into what they make.
  static let hostname = "apus-build"

  /// Where there is a way out a step makes no packets of its own (see `StepNetwork`), and in the machine's network it
  /// does not take the ports of services either.
  var capabilities: [String] {
    let dropped: Set<String> =
      switch network {
      case .none: []
      case .own: ["NET_RAW"]
      case .machine: ["NET_RAW", "NET_BIND_SERVICE"]
      }
    return Capabilities.standardNames(without: dropped, available: availableCapabilities)
  }

  /// Its `config.json`.
  var json: JSON {
    let names = capabilities
    var configuration = OCIConfiguration(
      rootPath: rootPath, arguments: arguments, environment: environment, workingDirectory: workingDirectory,
      uid: user.uid, gid: user.gid, groups: user.groups, capabilities: names, openFilesMax: openFilesMax,
      namespaces: namespaces, cgroupPath: cgroupPath,
      mounts: OCIConfiguration.systemMounts() + [
        OCIConfiguration.Mount(
          "/dev/shm", type: "tmpfs", source: "shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"])
      ] + OCIConfiguration.parentsFirst(mounts.map(Self.mount)))
    configuration.hostname = Self.hostname
    configuration.seccomp = ContainerSeccomp.runtimeDefault(capabilities: Set(names))
    return configuration.json
  }

  private var namespaces: [OCIConfiguration.Namespace] {
    var list = ["mount", "pid", "ipc", "uts"].map { OCIConfiguration.Namespace($0) }
    // In version 2 the container sees its own cgroup as the root.
    if isCgroupV2 { list.append(.init("cgroup")) }
    switch network {
    case .none: list.append(.init("network"))
    case .own(let path): list.append(.init("network", path: path))
    case .machine: break
    }
    return list
  }

  private static func mount(_ mount: BindMount) -> OCIConfiguration.Mount {
    switch mount.kind {
    case .bind(let source, let isReadOnly):
      OCIConfiguration.Mount(
        mount.destination, type: "bind", source: source, ["rbind", "rprivate", isReadOnly ? "ro" : "rw"])
    case .tmpfs(let options):
      OCIConfiguration.Mount(mount.destination, type: "tmpfs", source: "tmpfs", ["nosuid", "nodev"] + options)
    }
  }
}
