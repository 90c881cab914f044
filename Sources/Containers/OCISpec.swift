import LinuxSystem
import Wire

/// Builds `config.json` (OCI runtime specification 1.0.2). Pure: everything that it needs to know of the machine is
/// given.
struct OCISpec {
  /// What the container takes from its pod and its machine.
  struct Surroundings {
    var rootPath: String
    var user: ResolvedUser
    /// `CAP_…`.
    var capabilities: [String]
    var cgroupPath: String
    var cgroupMode: CgroupLayout.Mode
    /// Whether the kernel limits swap, so that a memory limit can be meant to include it.
    var limitsSwap: Bool
    var hostname: String
    /// `net`, `ipc`, `uts` to the pinned file; a kind that is missing is the host's.
    var namespaces: [Namespaces.Kind: String]
    var hostPID: Bool
    /// The host's files for `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf` and the folder for `/dev/shm`.
    var files: [(destination: String, source: String)]
    var sharedMemory: String
    /// Made by the runtime when the spec has a `terminationMessagePath`.
    var terminationFile: String?
    /// A profile that was read from the host for `SeccompChoice.localhost`.
    var localSeccomp: JSON?
    /// The most descriptors that the server may give to others.
    var openFilesMax: Int64
    /// The host's devices, for privileged containers.
    var hostDevices: [Device]
  }

  struct Device: Equatable, Sendable {
    var path: String
    /// `c` or `b`.
    var type: String
    var major: Int64
    var minor: Int64
    var mode: Int64
    var uid: Int64 = 0
    var gid: Int64 = 0
    /// Letters of `rwm`.
    var access = "rwm"
  }

  static func build(_ spec: ContainerSpec, _ around: Surroundings, devices: [Device]) -> JSON {
    var linux: JSON = [
      "cgroupsPath": .string(around.cgroupPath), "namespaces": namespaces(around),
      "resources": resources(spec, around, devices: devices), "rootfsPropagation": .string(rootPropagation(spec)),
    ]
    let nodes = spec.privileged ? around.hostDevices : devices
    if !nodes.isEmpty { linux["devices"] = .array(nodes.map(deviceNode)) }
    if !spec.privileged, !spec.unmaskedProc {
      linux["maskedPaths"] = strings(maskedPaths)
      linux["readonlyPaths"] = strings(readOnlyPaths)
    }
    if !spec.privileged {
      switch spec.seccomp {
      case .runtimeDefault: linux["seccomp"] = ContainerSeccomp.runtimeDefault(capabilities: Set(around.capabilities))
      case .localhost: linux["seccomp"] = around.localSeccomp
      case .unconfined: break
      }
    }
    var config: JSON = [
      "ociVersion": "1.0.2", "process": process(spec, around),
      "root": ["path": .string(around.rootPath), "readonly": .bool(spec.readOnlyRootFilesystem)],
      "mounts": .array(mounts(spec, around)), "linux": linux,
    ]
    if !spec.labels.isEmpty {
      config["annotations"] = .object(
        JSONObject(
          uniqueMembers: spec.labels.sorted { $0.key < $1.key }.map { (key: $0.key, value: .string($0.value)) }))
    }
    return config
  }

  static func process(_ spec: ContainerSpec, _ around: Surroundings) -> JSON {
    var environment = spec.environment
    func addMissing(_ name: String, _ value: String) {
      if !environment.contains(where: { $0.hasPrefix(name + "=") }) { environment.append("\(name)=\(value)") }
    }
    addMissing("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    addMissing("HOSTNAME", around.hostname)
    if spec.tty { addMissing("TERM", "xterm") }
    let capabilities = strings(around.capabilities)
    return [
      "terminal": .bool(spec.tty), "user": user(around.user), "args": strings(spec.arguments),
      "env": strings(environment), "cwd": .string(spec.workingDirectory.isEmpty ? "/" : spec.workingDirectory),
      "capabilities": [
        "bounding": capabilities, "effective": capabilities, "permitted": capabilities, "inheritable": [],
        "ambient": [],
      ],
      "rlimits": [
        ["type": "RLIMIT_NOFILE", "hard": .int(around.openFilesMax), "soft": .int(around.openFilesMax)]
      ],
      "noNewPrivileges": .bool(spec.noNewPrivileges), "oomScoreAdj": .int(Int64(spec.oomScoreAdjustment)),
    ]
  }

  /// The process of an `exec`: as the container's own, with another command line. Resource limits of the first process
  /// stay with it.
  static func execProcess(container process: JSON, command: [String], tty: Bool) -> JSON {
    var process = process
    process["args"] = strings(command)
    process["terminal"] = .bool(tty)
    process["oomScoreAdj"] = nil
    if tty, var environment = process["env"]?.array,
      !environment.contains(where: { $0.string?.hasPrefix("TERM=") ?? false })
    {
      environment.append("TERM=xterm")
      process["env"] = .array(environment)
    }
    return process
  }

  private static func user(_ user: ResolvedUser) -> JSON {
    [
      "uid": .int(Int64(user.uid)), "gid": .int(Int64(user.gid)),
      "additionalGids": .array(user.additionalGroups.map { .int(Int64($0)) }),
    ]
  }

  private static func namespaces(_ around: Surroundings) -> JSON {
    var list: [JSON] = [["type": "mount"]]
    if !around.hostPID { list.append(["type": "pid"]) }
    // In version 2 the container sees its own cgroup as the root.
    if around.cgroupMode == .v2 { list.append(["type": "cgroup"]) }
    for kind in Namespaces.Kind.allCases {
      guard let path = around.namespaces[kind] else { continue }
      list.append(["type": kind == .network ? "network" : .string(kind.rawValue), "path": .string(path)])
    }
    return .array(list)
  }

  private static func mounts(_ spec: ContainerSpec, _ around: Surroundings) -> [JSON] {
    func mount(_ destination: String, _ type: String, _ source: String, _ options: [String]) -> JSON {
      [
        "destination": .string(destination), "type": .string(type), "source": .string(source),
        "options": strings(options),
      ]
    }
    let access = spec.privileged ? "rw" : "ro"
    var list = [
      mount("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
      mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
      mount(
        "/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
      mount("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
      mount("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", access]),
      mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", access]),
    ]
    let own = Set(spec.mounts.map(\.destination))
    // Text that a container may write: never a program or a device.
    let small = ["bind", "rprivate", "nosuid", "nodev", "noexec"]
    if !own.contains("/dev/shm") {
      list.append(mount("/dev/shm", "bind", around.sharedMemory, ["rbind", "rw", "nosuid", "noexec", "nodev"]))
    }
    for file in around.files where !own.contains(file.destination) {
      list.append(
        mount(file.destination, "bind", file.source, small + [spec.readOnlyRootFilesystem ? "ro" : "rw"]))
    }
    // Parents before what lies in them.
    for item in spec.mounts.enumerated().sorted(by: {
      depth($0.element.destination, $0.offset, $1.element.destination, $1.offset)
    })
    .map(\.element) {
      let writing = item.readOnly ? "ro" : "rw"
      switch item.source {
      case .bind(let source):
        list.append(mount(item.destination, "bind", source, ["rbind", item.propagation.rawValue, writing]))
      case .tmpfs(let limit):
        let size = limit.map { ["size=\($0)"] } ?? []
        list.append(mount(item.destination, "tmpfs", "tmpfs", ["nosuid", "nodev", "mode=1777", writing] + size))
      }
    }
    if let file = around.terminationFile, let path = spec.terminationMessagePath, !own.contains(path) {
      list.append(mount(path, "bind", file, small + ["rw"]))
    }
    return list
  }

  private static func depth(_ a: String, _ first: Int, _ b: String, _ second: Int) -> Bool {
    let (x, y) = (a.split(separator: "/").count, b.split(separator: "/").count)
    return x != y ? x < y : first < second
  }

  private static func rootPropagation(_ spec: ContainerSpec) -> String {
    if spec.mounts.contains(where: { $0.propagation == .bidirectional }) { return "rshared" }
    if spec.mounts.contains(where: { $0.propagation == .hostToContainer }) { return "rslave" }
    return "rprivate"
  }

  private static func resources(_ spec: ContainerSpec, _ around: Surroundings, devices: [Device]) -> JSON {
    var resources = limits(spec.resources, limitsSwap: around.limitsSwap)
    var rules: [JSON] = [["allow": .bool(spec.privileged), "access": "rwm"]]
    for device in devices {
      rules.append([
        "allow": true, "type": .string(device.type), "major": .int(device.major), "minor": .int(device.minor),
        "access": .string(device.access),
      ])
    }
    resources["devices"] = .array(rules)
    return resources
  }

  /// `linux.resources`, also the input of `crun update`.
  static func limits(_ resources: ContainerResources, limitsSwap: Bool) -> JSON {
    var json: JSON = .object([:])
    var cpu: JSON = ["shares": .int(Int64(CgroupLimits.shares(millis: resources.cpuRequestMillis ?? 0)))]
    if let limit = resources.cpuLimitMillis {
      cpu["quota"] = .int(CgroupLimits.quota(millis: limit))
      cpu["period"] = .int(CgroupLimits.periodMicroseconds)
    }
    json["cpu"] = cpu
    if let limit = resources.memoryLimitBytes {
      var memory: JSON = ["limit": .int(limit)]
      if limitsSwap { memory["swap"] = .int(limit) }
      json["memory"] = memory
    }
    if let limit = resources.pidsLimit { json["pids"] = ["limit": .int(limit)] }
    return json
  }

  private static func deviceNode(_ device: Device) -> JSON {
    [
      "path": .string(device.path), "type": .string(device.type), "major": .int(device.major),
      "minor": .int(device.minor), "fileMode": .int(device.mode), "uid": .int(device.uid), "gid": .int(device.gid),
    ]
  }

  private static func strings(_ values: [String]) -> JSON { .array(values.map { .string($0) }) }

  static let maskedPaths = [
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
  ]
  static let readOnlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
}
