import LinuxSystem
import Wire

/// Makes the `config.json` of a pod's container. Pure: everything that it needs to know of the machine is given.
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
    var hostDevices: [OCIConfiguration.Device]
  }

  static func build(_ spec: ContainerSpec, _ around: Surroundings, devices: [OCIConfiguration.Device]) -> JSON {
    var config = OCIConfiguration(
      rootPath: around.rootPath, arguments: spec.arguments, environment: environment(spec, around),
      workingDirectory: spec.workingDirectory, uid: around.user.uid, gid: around.user.gid,
      groups: around.user.additionalGroups, capabilities: around.capabilities, openFilesMax: around.openFilesMax,
      namespaces: namespaces(around), cgroupPath: around.cgroupPath, mounts: mounts(spec, around))
    config.hasTerminal = spec.tty
    config.noNewPrivileges = spec.noNewPrivileges
    config.oomScoreAdjustment = spec.oomScoreAdjustment
    config.isRootReadOnly = spec.readOnlyRootFilesystem
    config.limits = limits(spec.resources, limitsSwap: around.limitsSwap)
    config.rootPropagation = rootPropagation(spec)
    config.devices = spec.privileged ? around.hostDevices : devices
    config.usableDevices = devices
    config.allowsAllDevices = spec.privileged
    config.masksKernel = !spec.privileged && !spec.unmaskedProc
    if !spec.privileged {
      switch spec.seccomp {
      case .runtimeDefault: config.seccomp = ContainerSeccomp.runtimeDefault(capabilities: Set(around.capabilities))
      case .localhost: config.seccomp = around.localSeccomp
      case .unconfined: break
      }
    }
    config.annotations = spec.labels
    return config.json
  }

  private static func environment(_ spec: ContainerSpec, _ around: Surroundings) -> [String] {
    var environment = spec.environment
    func addMissing(_ name: String, _ value: String) {
      if !environment.contains(where: { $0.hasPrefix(name + "=") }) { environment.append("\(name)=\(value)") }
    }
    addMissing("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    addMissing("HOSTNAME", around.hostname)
    if spec.tty { addMissing("TERM", "xterm") }
    return environment
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

  private static func namespaces(_ around: Surroundings) -> [OCIConfiguration.Namespace] {
    var list = [OCIConfiguration.Namespace("mount")]
    if !around.hostPID { list.append(.init("pid")) }
    // In version 2 the container sees its own cgroup as the root.
    if around.cgroupMode == .v2 { list.append(.init("cgroup")) }
    for kind in Namespaces.Kind.allCases {
      guard let path = around.namespaces[kind] else { continue }
      list.append(.init(kind == .network ? "network" : kind.rawValue, path: path))
    }
    return list
  }

  private static func mounts(_ spec: ContainerSpec, _ around: Surroundings) -> [OCIConfiguration.Mount] {
    var list = OCIConfiguration.systemMounts(writesSystem: spec.privileged)
    func bind(_ destination: String, _ source: String, _ options: [String]) -> OCIConfiguration.Mount {
      OCIConfiguration.Mount(destination, type: "bind", source: source, options)
    }
    let own = Set(spec.mounts.map(\.destination))
    // Text that a container may write: never a program or a device.
    let small = ["bind", "rprivate", "nosuid", "nodev", "noexec"]
    if !own.contains("/dev/shm") {
      list.append(bind("/dev/shm", around.sharedMemory, ["rbind", "rw", "nosuid", "noexec", "nodev"]))
    }
    for file in around.files where !own.contains(file.destination) {
      list.append(bind(file.destination, file.source, small + [spec.readOnlyRootFilesystem ? "ro" : "rw"]))
    }
    list += OCIConfiguration.parentsFirst(
      spec.mounts.map { item in
        let writing = item.readOnly ? "ro" : "rw"
        switch item.source {
        case .bind(let source):
          return bind(item.destination, source, ["rbind", item.propagation.rawValue, writing])
        case .tmpfs(let limit):
          let size = limit.map { ["size=\($0)"] } ?? []
          return OCIConfiguration.Mount(
            item.destination, type: "tmpfs", source: "tmpfs", ["nosuid", "nodev", "mode=1777", writing] + size)
        }
      })
    if let file = around.terminationFile, let path = spec.terminationMessagePath, !own.contains(path) {
      list.append(bind(path, file, small + ["rw"]))
    }
    return list
  }

  private static func rootPropagation(_ spec: ContainerSpec) -> String {
    if spec.mounts.contains(where: { $0.propagation == .bidirectional }) { return "rshared" }
    if spec.mounts.contains(where: { $0.propagation == .hostToContainer }) { return "rslave" }
    return "rprivate"
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

  private static func strings(_ values: [String]) -> JSON { .array(values.map { .string($0) }) }
}
