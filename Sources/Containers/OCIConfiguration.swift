import LinuxSystem
import Wire

/// `config.json` of one container (OCI runtime specification 1.0.2) as a value: what all containers have in common is said
/// here, whether they are of pods or of builds. Pure: everything that it needs to know of the machine is given.
package struct OCIConfiguration: Sendable {
  package struct Namespace: Sendable, Equatable {
    /// As the specification names it: `network`, `pid`.
    package var type: String
    /// Of the one to join; `nil` for a new one.
    package var path: String?

    package init(_ type: String, path: String? = nil) {
      self.type = type
      self.path = path
    }
  }

  package struct Mount: Sendable, Equatable {
    package var destination: String
    package var type: String
    package var source: String
    package var options: [String]

    package init(_ destination: String, type: String, source: String, _ options: [String]) {
      self.destination = destination
      self.type = type
      self.source = source
      self.options = options
    }
  }

  package struct Device: Sendable, Equatable {
    package var path: String
    /// `c` or `b`.
    package var type: String
    package var major: Int64
    package var minor: Int64
    package var mode: Int64
    package var uid: Int64 = 0
    package var gid: Int64 = 0
    /// Letters of `rwm`.
    package var access = "rwm"
  }

  // MARK: The process

  package var arguments: [String]
  /// `NAME=VALUE`.
  package var environment: [String]
  /// Empty for `/`.
  package var workingDirectory: String
  package var hasTerminal = false
  package var uid: UInt32
  package var gid: UInt32
  package var groups: [UInt32]
  /// `CAP_…`.
  package var capabilities: [String]
  package var noNewPrivileges = false
  /// `nil` for the engine's own.
  package var oomScoreAdjustment: Int?
  package var openFilesMax: Int64

  // MARK: What is around it

  package var rootPath: String
  package var isRootReadOnly = false
  /// With a new `uts` namespace only.
  package var hostname: String?
  package var namespaces: [Namespace]
  package var cgroupPath: String
  /// `linux.resources` without `devices`.
  package var limits: JSON = .object([:])
  package var mounts: [Mount]
  /// `rprivate`, `rslave` or `rshared`.
  package var rootPropagation = "rprivate"
  /// Nodes in `/dev` beside those that every container has.
  package var devices: [Device] = []
  /// Which of them may be used, by their `access`.
  package var usableDevices: [Device] = []
  package var allowsAllDevices = false
  /// Without what of `/proc` and `/sys` tells of the machine or changes it.
  package var masksKernel = true
  /// `linux.seccomp`.
  package var seccomp: JSON?
  package var annotations: [String: String] = [:]

  package init(
    rootPath: String, arguments: [String], environment: [String], workingDirectory: String, uid: UInt32, gid: UInt32,
    groups: [UInt32], capabilities: [String], openFilesMax: Int64, namespaces: [Namespace], cgroupPath: String,
    mounts: [Mount]
  ) {
    self.rootPath = rootPath
    self.arguments = arguments
    self.environment = environment
    self.workingDirectory = workingDirectory
    self.uid = uid
    self.gid = gid
    self.groups = groups
    self.capabilities = capabilities
    self.openFilesMax = openFilesMax
    self.namespaces = namespaces
    self.cgroupPath = cgroupPath
    self.mounts = mounts
  }

  package var json: JSON {
    var resources = limits
    resources["devices"] = .array(
      [["allow": .bool(allowsAllDevices), "access": "rwm"]]
        + usableDevices.map { device in
          [
            "allow": true, "type": .string(device.type), "major": .int(device.major), "minor": .int(device.minor),
            "access": .string(device.access),
          ]
        })
    var linux: JSON = [
      "cgroupsPath": .string(cgroupPath), "namespaces": .array(namespaces.map(Self.json)), "resources": resources,
      "rootfsPropagation": .string(rootPropagation),
    ]
    if !devices.isEmpty { linux["devices"] = .array(devices.map(Self.json)) }
    if masksKernel {
      linux["maskedPaths"] = Self.strings(Self.maskedPaths)
      linux["readonlyPaths"] = Self.strings(Self.readOnlyPaths)
    }
    linux["seccomp"] = seccomp
    var config: JSON = [
      "ociVersion": "1.0.2", "process": process,
      "root": ["path": .string(rootPath), "readonly": .bool(isRootReadOnly)],
      "mounts": .array(mounts.map(Self.json)), "linux": linux,
    ]
    config["hostname"] = hostname.map { .string($0) }
    if !annotations.isEmpty {
      config["annotations"] = .object(
        JSONObject(
          uniqueMembers: annotations.sorted { $0.key < $1.key }.map { (key: $0.key, value: .string($0.value)) }))
    }
    return config
  }

  private var process: JSON {
    let names = Self.strings(capabilities)
    var process: JSON = [
      "terminal": .bool(hasTerminal),
      "user": [
        "uid": .int(Int64(uid)), "gid": .int(Int64(gid)), "additionalGids": .array(groups.map { .int(Int64($0)) }),
      ],
      "args": Self.strings(arguments), "env": Self.strings(environment),
      "cwd": .string(workingDirectory.isEmpty ? "/" : workingDirectory),
      "capabilities": [
        "bounding": names, "effective": names, "permitted": names, "inheritable": [], "ambient": [],
      ],
      "rlimits": [["type": "RLIMIT_NOFILE", "hard": .int(openFilesMax), "soft": .int(openFilesMax)]],
      "noNewPrivileges": .bool(noNewPrivileges),
    ]
    if let oomScoreAdjustment { process["oomScoreAdj"] = .int(Int64(oomScoreAdjustment)) }
    return process
  }

  // MARK: - What every container has

  /// The folders in which every container has mounts, and which an image need not have.
  package static let systemFolders = ["/proc", "/dev", "/sys"]

  /// The mounts that every container has, but for `/dev/shm`.
  ///
  /// - Parameter writesSystem: whether what is in `/sys` may be changed.
  package static func systemMounts(writesSystem: Bool = false) -> [Mount] {
    let access = writesSystem ? "rw" : "ro"
    return [
      Mount("/proc", type: "proc", source: "proc", ["nosuid", "noexec", "nodev"]),
      Mount("/dev", type: "tmpfs", source: "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
      Mount(
        "/dev/pts", type: "devpts", source: "devpts",
        ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
      Mount("/dev/mqueue", type: "mqueue", source: "mqueue", ["nosuid", "noexec", "nodev"]),
      Mount("/sys", type: "sysfs", source: "sysfs", ["nosuid", "noexec", "nodev", access]),
      Mount("/sys/fs/cgroup", type: "cgroup", source: "cgroup", ["nosuid", "noexec", "nodev", "relatime", access]),
    ]
  }

  /// Parents before what lies in them; of two at one place the later one counts.
  package static func parentsFirst(_ mounts: [Mount]) -> [Mount] {
    let depths = mounts.enumerated().map { (depth: $1.destination.split(separator: "/").count, index: $0, mount: $1) }
    return depths.sorted { ($0.depth, $0.index) < ($1.depth, $1.index) }.map(\.mount)
  }

  static let maskedPaths = [
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
  ]
  static let readOnlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

  // MARK: - Parts

  private static func json(_ namespace: Namespace) -> JSON {
    var json: JSON = ["type": .string(namespace.type)]
    json["path"] = namespace.path.map { .string($0) }
    return json
  }

  private static func json(_ mount: Mount) -> JSON {
    [
      "destination": .string(mount.destination), "type": .string(mount.type), "source": .string(mount.source),
      "options": strings(mount.options),
    ]
  }

  private static func json(_ device: Device) -> JSON {
    [
      "path": .string(device.path), "type": .string(device.type), "major": .int(device.major),
      "minor": .int(device.minor), "fileMode": .int(device.mode), "uid": .int(device.uid), "gid": .int(device.gid),
    ]
  }

  private static func strings(_ values: [String]) -> JSON { .array(values.map { .string($0) }) }
}
