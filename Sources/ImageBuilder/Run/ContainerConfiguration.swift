import LinuxSystem
import Wire

/// `config.json` of a step's container (OCI runtime specification 1.0.2). Pure: everything that it needs to know of the
/// machine is given.
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

  /// The folders that every container mounts, which an image need not have.
  static let systemMounts = ["/proc", "/dev", "/sys"]

  var json: JSON {
    let names = capabilities
    let capabilities = Self.strings(names)
    var namespaces: [JSON] = [["type": "mount"], ["type": "pid"], ["type": "ipc"], ["type": "uts"]]
    // In version 2 the container sees its own cgroup as the root.
    if isCgroupV2 { namespaces.append(["type": "cgroup"]) }
    switch network {
    case .none: namespaces.append(["type": "network"])
    case .own(let path): namespaces.append(["type": "network", "path": .string(path)])
    case .machine: break
    }
    return [
      "ociVersion": "1.0.2", "hostname": .string(Self.hostname),
      "process": [
        "terminal": false,
        "user": [
          "uid": .int(Int64(user.uid)), "gid": .int(Int64(user.gid)),
          "additionalGids": .array(user.groups.map { .int(Int64($0)) }),
        ],
        "args": Self.strings(arguments), "env": Self.strings(environment),
        "cwd": .string(workingDirectory.isEmpty ? "/" : workingDirectory),
        "capabilities": [
          "bounding": capabilities, "effective": capabilities, "permitted": capabilities, "inheritable": [],
          "ambient": [],
        ],
        "rlimits": [
          ["type": "RLIMIT_NOFILE", "hard": .int(openFilesMax), "soft": .int(openFilesMax)]
        ],
        "noNewPrivileges": false,
      ],
      "root": ["path": .string(rootPath), "readonly": false],
      "mounts": .array(systemMounts + userMounts),
      "linux": [
        "cgroupsPath": .string(cgroupPath), "namespaces": .array(namespaces),
        "resources": ["devices": [["allow": false, "access": "rwm"]]], "rootfsPropagation": "rprivate",
        "maskedPaths": Self.strings(Self.maskedPaths), "readonlyPaths": Self.strings(Self.readOnlyPaths),
        "seccomp": ContainerSeccomp.runtimeDefault(capabilities: Set(names)),
      ],
    ]
  }

  private var systemMounts: [JSON] {
    [
      Self.mount("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
      Self.mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
      Self.mount(
        "/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
      Self.mount("/dev/shm", "tmpfs", "shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
      Self.mount("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
      Self.mount("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", "ro"]),
      Self.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]
  }

  /// Parents before what lies in them; of two at one place the later one counts.
  private var userMounts: [JSON] {
    let depths = mounts.enumerated().map { (depth: $1.destination.split(separator: "/").count, index: $0, mount: $1) }
    return depths.sorted { ($0.depth, $0.index) < ($1.depth, $1.index) }.map { item in
      switch item.mount.kind {
      case .bind(let source, let isReadOnly):
        Self.mount(item.mount.destination, "bind", source, ["rbind", "rprivate", isReadOnly ? "ro" : "rw"])
      case .tmpfs(let options):
        Self.mount(item.mount.destination, "tmpfs", "tmpfs", ["nosuid", "nodev"] + options)
      }
    }
  }

  private static func mount(_ destination: String, _ type: String, _ source: String, _ options: [String]) -> JSON {
    [
      "destination": .string(destination), "type": .string(type), "source": .string(source),
      "options": strings(options),
    ]
  }

  private static func strings(_ values: [String]) -> JSON { .array(values.map { .string($0) }) }

  private static let maskedPaths = [
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
  ]
  private static let readOnlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
}
