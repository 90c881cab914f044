import CRI
import LinuxSystem
import RPC
import Wire

/// Between what the node asks of a runtime and what the Container Runtime Interface can say. Every field is carried over or
/// refused with its reason. Pure.
package enum CRITranslation {
  /// Labels as the kubelet writes them, by which `crictl` and others find pods.
  enum Label {
    static let podUID = "io.kubernetes.pod.uid"
    static let podName = "io.kubernetes.pod.name"
    static let podNamespace = "io.kubernetes.pod.namespace"
    static let containerName = "io.kubernetes.container.name"
    /// Of which server's it is: several may use one runtime, and a purge takes its own.
    static let owner = "dev.apus.owner"
  }

  /// Annotations of containers: values may be longer than those of labels.
  enum Annotation {
    static let image = "dev.apus.container.image-name"
    static let imageID = "dev.apus.container.image-id"
    static let terminationFile = "dev.apus.container.termination-file"
    /// Before the names of the node's own labels.
    static let prefix = "dev.apus.label/"
  }

  // MARK: - Sandbox

  /// - Parameters:
  ///   - attempt: how often the pod had a sandbox before.
  ///   - cgroupRoot: an absolute path.
  static func sandbox(
    _ spec: SandboxSpec, attempt: UInt32, owner: String, cgroupRoot: String
  ) throws(RuntimeError) -> RuntimeV1.PodSandboxConfig {
    guard !spec.userNamespace else {
      throw RuntimeError(
        .unsupported, "a user namespace (hostUsers: false) is not supported by this node with another container runtime"
      )
    }
    guard spec.resources == ContainerResources() else {
      throw RuntimeError(.unsupported, "limits of a whole pod are not supported by CRI: runtimes leave them aside")
    }
    guard spec.sharedMemoryLimit == 64 << 20 else {
      throw RuntimeError(.unsupported, "CRI has no size for /dev/shm: container runtimes make it with 64 MiB")
    }
    try Sysctls.check(spec)
    var config = RuntimeV1.PodSandboxConfig()
    config.metadata = .init(name: spec.name, uid: spec.podUID, namespace: spec.namespace, attempt: attempt)
    // On the host's network it is the host's.
    config.hostname = spec.hostNetwork ? "" : spec.hostname
    // Containers' logs are told from here: the node decides where each one is.
    config.logDirectory = "/"
    var dns = RuntimeV1.DNSConfig()
    dns.servers = spec.dns.nameservers
    dns.searches = spec.dns.searches
    dns.options = spec.dns.options
    config.dnsConfig = dns
    for mapping in spec.portMappings { config.portMappings.append(try port(mapping)) }
    config.labels = [
      Label.podUID: spec.podUID, Label.podName: spec.name, Label.podNamespace: spec.namespace, Label.owner: owner,
    ]
    config.linux.cgroupParent = "\(cgroupRoot)/\(spec.cgroupParent)"
    config.linux.sysctls = spec.sysctls
    config.linux.securityContext.namespaceOptions.network = spec.hostNetwork ? .node : .pod
    config.linux.securityContext.namespaceOptions.ipc = spec.hostIPC ? .node : .pod
    config.linux.securityContext.namespaceOptions.pid =
      spec.hostPID ? .node : spec.shareProcessNamespace ? .pod : .container
    config.linux.securityContext.privileged = spec.privileged
    config.linux.securityContext.seccomp = .init(.runtimeDefault)
    return config
  }

  private static func port(_ mapping: PortMapping) throws(RuntimeError) -> RuntimeV1.PortMapping {
    let transports: [String: RuntimeV1.TransportProtocol] = ["tcp": .tcp, "udp": .udp, "sctp": .sctp]
    guard let transport = transports[mapping.transport], let host = Int32(exactly: mapping.hostPort),
      let container = Int32(exactly: mapping.containerPort)
    else {
      throw RuntimeError(.invalid, "the host port \(mapping.hostPort)/\(mapping.transport) is none")
    }
    var port = RuntimeV1.PortMapping()
    port.transport = transport
    port.hostPort = host
    port.containerPort = container
    port.hostIP = mapping.hostIP
    return port
  }

  // MARK: - Container

  /// Files of the host that the runtime made for a container.
  struct Files: Sendable, Equatable {
    /// `nil` when the container has a mount of its own there.
    var hosts: String?
    /// Behind `terminationMessagePath`.
    var termination: String?
    /// Where what is `held` can be found, by the mount's place in the list.
    var held: [Int: String] = [:]
  }

  /// Of the names and values that are noted with one container. In bytes.
  private static let notesMax = 16 << 10

  static func container(
    _ spec: ContainerSpec, in sandbox: RuntimeV1.PodSandboxConfig, owner: String, files: Files
  ) throws(RuntimeError) -> RuntimeV1.ContainerConfig {
    guard spec.lowerDirectories.isEmpty else {
      throw RuntimeError(.invalid, "image \(spec.image) is not one of the container runtime's own")
    }
    guard spec.mergesGroups else {
      throw RuntimeError(
        .unsupported,
        "supplementalGroupsPolicy Strict is not supported by this node with another container runtime: the image's groups "
          + "would come beside the pod's")
    }
    guard let attempt = UInt32(exactly: spec.attempt) else {
      throw RuntimeError(.invalid, "\(spec.attempt) restarts are more than CRI can say")
    }
    guard spec.logPath.hasPrefix("/") else { throw RuntimeError(.invalid, "the log \(spec.logPath) has no full path") }
    // What is noted with a container comes back in every list of all, and a list has a bound.
    let noted = spec.labels.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
    guard noted <= notesMax else {
      throw RuntimeError(
        .unsupported,
        "image \(spec.image) has a health check of \(noted) bytes, and \(notesMax) can be kept with another container "
          + "runtime")
    }
    var config = RuntimeV1.ContainerConfig()
    config.metadata = .init(name: spec.name, attempt: attempt)
    config.image = .init(spec.imageID)
    config.command = spec.arguments
    config.workingDir = spec.workingDirectory
    for variable in spec.environment {
      let parts = variable.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      config.envs.append(.init(String(parts[0]), parts.count > 1 ? String(parts[1]) : ""))
    }
    config.mounts = try mounts(spec, files)
    config.devices = spec.devices.map {
      .init(containerPath: $0.containerPath, hostPath: $0.hostPath, permissions: $0.permissions)
    }
    config.labels = [
      Label.podUID: spec.podUID, Label.podName: spec.podName, Label.podNamespace: spec.podNamespace,
      Label.containerName: spec.name, Label.owner: owner,
    ]
    config.annotations = [Annotation.image: spec.image, Annotation.imageID: spec.imageID]
    config.annotations[Annotation.terminationFile] = files.termination
    for (name, value) in spec.labels { config.annotations[Annotation.prefix + name] = value }
    config.logPath = String(spec.logPath.drop { $0 == "/" })
    config.stdin = spec.stdin
    config.stdinOnce = spec.stdinOnce
    config.tty = spec.tty
    config.linux.resources = try resources(spec.resources)
    config.linux.resources.oomScoreAdj = Int64(spec.oomScoreAdjustment)
    config.linux.securityContext = security(spec)
    config.linux.securityContext.namespaceOptions = sandbox.linux.securityContext.namespaceOptions
    return config
  }

  private static func mounts(_ spec: ContainerSpec, _ files: Files) throws(RuntimeError) -> [RuntimeV1.Mount] {
    var mounts: [RuntimeV1.Mount] = []
    if let hosts = files.hosts { mounts.append(.init(containerPath: "/etc/hosts", hostPath: hosts)) }
    if let path = spec.terminationMessagePath, let file = files.termination {
      mounts.append(.init(containerPath: path, hostPath: file))
    }
    for (number, mount) in spec.mounts.enumerated() {
      guard case .bind(let path) = mount.source else {
        throw RuntimeError(.unsupported, "CRI has no mount of memory: \(mount.destination)")
      }
      let propagation: RuntimeV1.Mount.Propagation =
        switch mount.propagation {
        case .none: .isPrivate
        case .hostToContainer: .hostToContainer
        case .bidirectional: .bidirectional
        }
      mounts.append(
        .init(
          containerPath: mount.destination, hostPath: files.held[number] ?? path, readonly: mount.readOnly,
          propagation: propagation))
    }
    return mounts
  }

  private static func security(_ spec: ContainerSpec) -> RuntimeV1.LinuxContainerSecurityContext {
    var security = RuntimeV1.LinuxContainerSecurityContext()
    security.privileged = spec.privileged
    if !spec.addCapabilities.isEmpty || !spec.dropCapabilities.isEmpty {
      var capabilities = RuntimeV1.Capability()
      capabilities.addCapabilities = spec.addCapabilities
      capabilities.dropCapabilities = spec.dropCapabilities
      security.capabilities = capabilities
    }
    security.runAsUser = spec.runAsUser.map { .init($0) }
    if let group = spec.runAsGroup {
      security.runAsGroup = .init(group)
      // A group is said together with a user: without one in the pod it is the image's.
      if spec.runAsUser == nil {
        let user = spec.imageUser.split(separator: ":", omittingEmptySubsequences: false).first.map(String.init) ?? ""
        if let number = user.isEmpty ? 0 : Int64(user) {
          security.runAsUser = .init(number)
        } else {
          security.runAsUsername = user
        }
      }
    }
    security.supplementalGroups = spec.supplementalGroups
    security.noNewPrivs = spec.noNewPrivileges
    security.readonlyRootfs = spec.readOnlyRootFilesystem
    if !spec.privileged, !spec.unmaskedProc {
      security.maskedPaths = OCIConfiguration.maskedPaths
      security.readonlyPaths = OCIConfiguration.readOnlyPaths
    }
    security.seccomp =
      switch spec.seccomp {
      case .runtimeDefault: .init(.runtimeDefault)
      case .unconfined: .init(.unconfined)
      case .localhost(let folder, let name): .init(.localhost, localhostRef: "\(folder)/\(name)")
      }
    return security
  }

  static func resources(_ resources: ContainerResources) throws(RuntimeError) -> RuntimeV1.LinuxContainerResources {
    guard resources.pidsLimit == nil else {
      throw RuntimeError(.unsupported, "CRI has no limit of the number of processes")
    }
    var result = RuntimeV1.LinuxContainerResources()
    // As the kubelet: what asks for nothing has the least weight.
    result.cpuShares = Int64(CgroupLimits.shares(millis: resources.cpuRequestMillis ?? 0))
    result.cpuPeriod = CgroupLimits.periodMicroseconds
    if let limit = resources.cpuLimitMillis { result.cpuQuota = CgroupLimits.quota(millis: limit) }
    result.memoryLimitInBytes = resources.memoryLimitBytes ?? 0
    return result
  }

  // MARK: - What there is

  /// An image's configuration (OCI), as containerd and CRI-O tell it.
  ///
  /// - Parameter status: asked for with `verbose`.
  /// - Returns: `nil` when the runtime does not tell it.
  package static func configuration(of status: RuntimeV1.ImageStatusResponse) -> JSON? {
    guard let text = status.info["info"] else { return nil }
    return (try? JSON.parse(Array(text.utf8)))?["imageSpec"]
  }

  /// - Parameter status: of a sandbox of ours.
  static func sandbox(_ status: RuntimeV1.PodSandboxStatus) -> Sandbox {
    let ips = ([status.network.ip] + status.network.additionalIPs.map(\.ip)).filter { !$0.isEmpty }
    return Sandbox(
      podUID: status.metadata.uid, name: status.metadata.name, namespace: status.metadata.namespace, ips: ips,
      networkNamespacePath: nil, createdAt: time(status.createdAt), isReady: status.state == .ready)
  }

  /// - Parameter status: of a container of ours.
  static func container(_ status: RuntimeV1.ContainerStatus) -> ContainerState {
    // containerd says 255 and `Unknown` of a container whose end nobody saw.
    let isLost = status.state == .unknown || status.state == .exited && status.reason == "Unknown"
    let hasEnded = status.state == .exited || status.state == .unknown
    var labels: [String: String] = [:]
    for (name, value) in status.annotations where name.hasPrefix(Annotation.prefix) {
      labels[String(name.dropFirst(Annotation.prefix.count))] = value
    }
    return ContainerState(
      id: status.id, podUID: status.labels[Label.podUID] ?? "", podName: status.labels[Label.podName] ?? "",
      podNamespace: status.labels[Label.podNamespace] ?? "", name: status.metadata.name,
      attempt: Int(status.metadata.attempt), image: status.annotations[Annotation.image] ?? status.image.image,
      imageID: status.annotations[Annotation.imageID] ?? status.imageRef,
      status: hasEnded ? .exited : status.state == .running ? .running : .created, pid: nil,
      createdAt: time(status.createdAt), startedAt: status.startedAt > 0 ? time(status.startedAt) : nil,
      finishedAt: hasEnded ? time(max(status.finishedAt, status.startedAt, status.createdAt)) : nil,
      exitCode: hasEnded ? (isLost ? 137 : status.exitCode) : nil, oomKilled: status.reason == "OOMKilled",
      isLost: isLost, logPath: status.logPath,
      terminationMessageFile: status.annotations[Annotation.terminationFile], labels: labels, user: nil)
  }

  /// - Parameter state: of a container that has ended.
  static func event(_ state: ContainerState) -> RuntimeEvent {
    RuntimeEvent(
      containerID: state.id, podUID: state.podUID, name: state.name, attempt: state.attempt,
      exitCode: state.exitCode ?? 137, signal: nil, finishedAt: state.finishedAt ?? state.createdAt,
      oomKilled: state.oomKilled, isLost: state.isLost)
  }

  static func usage(_ stats: RuntimeV1.PodSandboxStats) throws(RuntimeError) -> PodUsage {
    guard let linux = stats.linux else {
      throw RuntimeError(.unsupported, "the container runtime does not say what its pods use")
    }
    var usage = PodUsage(
      pod: usage(linux.cpu, linux.memory, processes: linux.process?.processCount?.value ?? 0), containers: [:])
    // Those that have just begun, or have ended, use nothing that could be told.
    for container in linux.containers where container.cpu != nil || container.memory != nil {
      usage.containers[container.attributes.id] = Self.usage(container.cpu, container.memory, processes: 0)
    }
    return usage
  }

  private static func usage(
    _ cpu: RuntimeV1.CPUUsage?, _ memory: RuntimeV1.MemoryUsage?, processes: UInt64
  ) -> ResourceUsage {
    let workingSet = memory?.workingSetBytes?.value ?? 0
    return ResourceUsage(
      cpuNanoseconds: cpu?.usageCoreNanoSeconds?.value ?? 0, memoryBytes: memory?.usageBytes?.value ?? workingSet,
      workingSetBytes: workingSet, processes: processes)
  }

  /// - Parameter nanoseconds: since 1970.
  static func time(_ nanoseconds: Int64) -> Timestamp { Timestamp(microseconds: nanoseconds / 1000) }

  // MARK: - Failures

  static func error(_ error: RPCError, during what: String) -> RuntimeError {
    let code: RuntimeError.Code =
      switch error.status {
      case .deadlineExceeded: .timedOut
      case .notFound: .notFound
      case .invalidArgument: .invalid
      case .unimplemented: .unsupported
      default: .engine
      }
    return RuntimeError(code, "the container runtime could not \(what): \(error.message)")
  }
}
