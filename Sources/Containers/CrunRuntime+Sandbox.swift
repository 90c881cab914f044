import Glibc
import LinuxSystem
import Logging
import Synchronization
import Wire

extension CrunRuntime {
  public func createSandbox(_ spec: SandboxSpec) async throws(RuntimeError) -> Sandbox {
    try Self.checkName(spec.podUID, "pod uid")
    guard !spec.shareProcessNamespace else {
      throw RuntimeError(.unsupported, "shareProcessNamespace is not supported by this node")
    }
    // Without it the pod's root would be the machine's, which is what was not wanted.
    guard !spec.userNamespace else {
      throw RuntimeError(.unsupported, "a user namespace (hostUsers: false) is not supported by this node")
    }
    try Sysctls.check(spec)
    if let existing = state.withLock({ $0.sandboxes[spec.podUID] }) {
      if isReady(existing) { return sandbox(existing, isReady: true) }
      try await removeSandbox(spec.podUID)
    }
    beginStart()
    defer { endStart() }

    var record = SandboxRecord(
      podUID: spec.podUID, name: spec.name, namespace: spec.namespace, hostname: spec.hostname,
      hostNetwork: spec.hostNetwork, hostPID: spec.hostPID, hostIPC: spec.hostIPC,
      cgroupPath: "/\(configuration.cgroupRoot)/\(spec.cgroupParent)", bootID: bootID, isComplete: false, ips: [],
      createdAt: time.now(), portMappings: spec.portMappings, networkID: spec.podUID)
    var spare: SandboxRecord?
    if !spec.hostNetwork {
      try HostPorts.check(spec.portMappings)
      // With the attachment's configuration noted first, it can be undone wherever its making is interrupted.
      let configuration = try await networkConfiguration(of: spec.podUID)
      record.network = CNI.list(configuration, for: spec.portMappings)
      spare = await takeSpare(for: spec, record.network)
      if let spare {
        (record.networkID, record.networkResult, record.ips) = (spare.networkID, spare.networkResult, spare.ips)
      }
    }
    let first = record
    state.withLock { $0.sandboxes[spec.podUID] = first }
    do throws(RuntimeError) {
      try await system(spec.podUID, "make the sandbox's folder and cgroup") { [self, spare] () throws(SystemError) in
        if let spare {
          // It is the pod's with this step: there are never two who have its network.
          try Self.move(sandboxFolder(spare.podUID), to: sandboxFolder(spec.podUID))
        } else {
          try Directory.create(sandboxFolder(spec.podUID), mode: 0o700)
        }
        try save(first)
        try Cgroup(cgroups, path: first.cgroupPath).create(Self.limits(spec.resources))
        prepareMoves()
        if !spec.hostIPC {
          let folder = sharedMemoryFolder(spec.podUID)
          try Directory.create(folder)
          try Mount.tmpfs(target: folder, mode: 0o1777, sizeMax: spec.sharedMemoryLimit)
        }
      }
      if spare == nil {
        let kinds = Self.namespaces(hostNetwork: spec.hostNetwork, hostIPC: spec.hostIPC)
        record = try await makeNamespaces(record, kinds, sysctls: spec.sysctls)
      } else {
        let path = "\(namespaceFolder(record.networkID))/\(Namespaces.Kind.uts.rawValue)"
        do throws(SystemError) { try await Namespaces.setHostname(spec.hostname, of: path) } catch {
          throw RuntimeError(.system, error.description)
        }
      }
      record.isComplete = true
      let complete = record
      try await system(spec.podUID, "write the sandbox's files") { [self] () throws(SystemError) in
        try writePodFiles(spec, ips: complete.ips)
        try save(complete)
      }
      state.withLock { $0.sandboxes[spec.podUID] = complete }
      var made = sandbox(complete, isReady: true)
      if let network = complete.network, !spec.portMappings.isEmpty, !CNI.mapsPorts(network) {
        made.unmappedPorts = spec.portMappings
        made.unmappedReason =
          "the portmap plugin needs iptables, which is not installed; install iptables, start apus again, and make the pod "
          + "anew"
      }
      return made
    } catch {
      do throws(RuntimeError) { try await removeSandbox(spec.podUID) } catch let cleanup {
        log.warning("remove a sandbox that failed", metadata: ["pod": "\(spec.podUID)", "error": "\(cleanup)"])
      }
      throw error
    }
  }

  /// Makes the namespaces of a sandbox and attaches them to its network.
  ///
  /// - Returns: the record with what the network says.
  func makeNamespaces(
    _ record: SandboxRecord, _ kinds: [Namespaces.Kind], sysctls: [String: String] = [:]
  ) async throws(RuntimeError) -> SandboxRecord {
    var record = record
    if !kinds.isEmpty {
      do throws(SystemError) {
        try await Namespaces.create(
          kinds, folder: namespaceFolder(record.networkID), hostname: record.hostname,
          // What the pod asks for itself goes before ours.
          sysctls: Self.networkSysctls(kinds).merging(sysctls) { _, asked in asked })
      } catch {
        throw RuntimeError(.system, error.description)
      }
    }
    if let configuration = record.network {
      let result = try await attach(record, configuration)
      record.networkResult = result
      record.ips = CNI.addresses(result)
    }
    return record
  }

  private func attach(_ record: SandboxRecord, _ configuration: JSON) async throws(RuntimeError) -> JSON {
    do throws(RuntimeError) { return try await network.add(attachment(record), configuration) } catch {
      // Their addresses may be what is missing: a pod needs one, and what only waits does not.
      guard !SparePool.isSpare(record.podUID), (try? await removeSpares()) == true else { throw error }
      let result = try await network.add(attachment(record), configuration)
      state.withLock { $0.spares.isOff = true }
      log.notice("no more spare sandboxes are made: a pod found no address while they had some")
      return result
    }
  }

  public func removeSandbox(_ podUID: String) async throws(RuntimeError) {
    try await removeSandbox(podUID, withNetwork: false)
  }

  /// - Parameter withNetwork: the whole network is removed afterwards, with all that it holds of this pod.
  private func removeSandbox(_ podUID: String, withNetwork: Bool) async throws(RuntimeError) {
    try Self.checkName(podUID, "pod uid")
    let remaining = state.withLock { state in state.containers.values.filter { $0.podUID == podUID }.map(\.id) }
    for id in remaining { try await removeContainer(id) }

    let record = state.withLock { $0.sandboxes[podUID] }
    if let record {
      // One that was taken, and whose folder could not be moved.
      if record.networkID != podUID { try await unmake(record) }
      try await detach(record, withNetwork: withNetwork)
      let paths = record.isTorn ? possibleCgroups(podUID) : [record.cgroupPath]
      try await system(podUID, "remove the sandbox's cgroup") { [cgroups] () throws(SystemError) in
        for path in paths { try Cgroup(cgroups, path: path).remove() }
      }
    }
    try await removeNamespaces(record?.networkID ?? podUID)
    try await system(podUID, "remove the sandbox's files") { [self] () throws(SystemError) in
      let memory = sharedMemoryFolder(podUID)
      try Mount.unmount(memory, detach: true)
      if rmdir(memory) != 0, errno != ENOENT { throw .last("remove \(memory)") }
      if let record, record.networkID != podUID, access(sandboxFolder(record.networkID), F_OK) == 0 {
        try Directory.removeTree(sandboxFolder(record.networkID))
      }
      // Last, so that an interrupted removal is found and finished.
      if access(sandboxFolder(podUID), F_OK) == 0 { try Directory.removeTree(sandboxFolder(podUID)) }
    }
    state.withLock { _ = $0.sandboxes.removeValue(forKey: podUID) }
  }

  /// Gives back what a sandbox has of the network.
  func detach(_ record: SandboxRecord, withNetwork: Bool = false) async throws(RuntimeError) {
    var configuration = record.network
    if record.isTorn {
      do throws(RuntimeError) {
        configuration = try await networkConfiguration(of: record.podUID)
      } catch {
        // The configuration may be gone with the data directory.
        guard withNetwork else { throw error }
      }
    }
    guard let configuration else { return }
    var attachment = attachment(record)
    if !Namespaces.isPinned(attachment.networkNamespace) { attachment.networkNamespace = "" }
    try await network.remove(attachment, configuration, result: record.networkResult)
  }

  func removeNamespaces(_ networkID: String) async throws(RuntimeError) {
    do throws(SystemError) { try await Namespaces.remove(folder: namespaceFolder(networkID)) } catch {
      throw RuntimeError(.system, error.description)
    }
  }

  private static func move(_ folder: String, to target: String) throws(SystemError) {
    guard rename(folder, target) == 0 else { throw .last("rename \(folder) to \(target)") }
  }

  public func sandboxes() async throws(RuntimeError) -> [Sandbox] {
    var result: [Sandbox] = []
    for record in state.withLock({ $0.sandboxes.values.sorted { $0.podUID < $1.podUID } }) {
      result.append(sandbox(record, isReady: isReady(record)))
    }
    return result
  }

  /// Asks the network plugins whether the pod's interface is as they made it (CNI `CHECK`). Throws what they miss.
  public func checkNetwork(_ podUID: String) async throws(RuntimeError) {
    let record = try sandboxRecord(podUID)
    guard let configuration = record.network, let result = record.networkResult else { return }
    try await network.check(attachment(record), configuration, result: result)
  }

  /// The runtime's part of the machine, wholly: containers, sandboxes, cgroups and the run folder. For `down --purge`.
  public func removeEverything() async throws(RuntimeError) {
    for id in state.withLock({ Array($0.containers.keys) }) { try await removeContainer(id) }
    for podUID in state.withLock({ Array($0.sandboxes.keys) }) {
      try await removeSandbox(podUID, withNetwork: true)
    }
    _ = try await removeSpares(withNetwork: true)
    let root = Cgroup(cgroups, path: "/\(configuration.cgroupRoot)")
    do throws(SystemError) { try await root.kill(deadline: .now + .seconds(10)) } catch {
      throw .timedOut(error.description)
    }
    try await system(nil, "remove the runtime's folder") { [configuration] () throws(SystemError) in
      try root.remove()
      try Mount.unmountTree(configuration.runDirectory)
      try Directory.removeTree(configuration.runDirectory)
    }
  }

  func networkConfiguration(of podUID: String?) async throws(RuntimeError) -> JSON {
    try await blocking(podUID, "read the network's configuration") { [network] () throws(RuntimeError) in
      try network.configuration()
    }
  }

  private func sandbox(_ record: SandboxRecord, isReady: Bool) -> Sandbox {
    Sandbox(
      podUID: record.podUID, name: record.name, namespace: record.namespace, ips: record.ips,
      networkNamespacePath: record.hostNetwork ? nil : "\(namespaceFolder(record.networkID))/net",
      createdAt: record.createdAt, isReady: isReady)
  }

  func isReady(_ record: SandboxRecord) -> Bool {
    guard record.isComplete, record.bootID == bootID else { return false }
    return Self.namespaces(hostNetwork: record.hostNetwork, hostIPC: record.hostIPC).allSatisfy {
      Namespaces.isPinned("\(namespaceFolder(record.networkID))/\($0.rawValue)")
    }
  }

  private func possibleCgroups(_ podUID: String) -> [String] {
    PodCgroup.allCases.map { "/\(configuration.cgroupRoot)/\($0.path(podUID: podUID))" }
  }

  func attachment(_ record: SandboxRecord) -> CNI.Attachment {
    CNI.Attachment(
      id: record.networkID, podUID: record.podUID, podName: record.name, podNamespace: record.namespace,
      networkNamespace: "\(namespaceFolder(record.networkID))/net", portMappings: record.portMappings)
  }

  /// For interfaces that are made in a pod's network: the node gives out its IPv6 addresses, each once. So nobody has to
  /// wait whether another has one, which takes a second, and no pod can tell another where the world is.
  private static func networkSysctls(_ kinds: [Namespaces.Kind]) -> [String: String] {
    guard kinds.contains(.network), access("/proc/sys/net/ipv6", F_OK) == 0 else { return [:] }
    return ["net.ipv6.conf.default.accept_dad": "0", "net.ipv6.conf.default.accept_ra": "0"]
  }

  /// A pod on the host's network has the host's name too.
  static func namespaces(hostNetwork: Bool, hostIPC: Bool) -> [Namespaces.Kind] {
    (hostNetwork ? [] : [.network, .uts]) + (hostIPC ? [] : [.ipc])
  }

  static func limits(_ resources: ContainerResources) -> CgroupLimits {
    CgroupLimits(
      cpuShares: CgroupLimits.shares(millis: resources.cpuRequestMillis ?? 0),
      cpuQuota: resources.cpuLimitMillis.map { CgroupLimits.quota(millis: $0) }, memory: resources.memoryLimitBytes,
      pids: resources.pidsLimit)
  }

  /// Blocks.
  private func writePodFiles(_ spec: SandboxSpec, ips: [String]) throws(SystemError) {
    let folder = sandboxFolder(spec.podUID)
    let files = [
      ("resolv.conf", spec.dns.text),
      (
        "hostname", (spec.hostNetwork ? RuntimeFiles.readText("/proc/sys/kernel/hostname") ?? "" : spec.hostname) + "\n"
      ),
      (
        "hosts",
        spec.hostNetwork
          ? PodFiles.hosts(base: RuntimeFiles.readText("/etc/hosts") ?? "", aliases: spec.hostAliases)
          : PodFiles.hosts(spec, ips: ips)
      ),
    ]
    for (name, text) in files { try RuntimeFiles.write(Array(text.utf8), to: "\(folder)/\(name)", mode: 0o644) }
  }
}

/// The files that the kubelet manages in every container.
enum PodFiles {
  /// As the kubelet writes it for a pod of its own network.
  static func hosts(_ spec: SandboxSpec, ips: [String]) -> String {
    var file = HostsFile(
      """
      # Kubernetes-managed hosts file.
      127.0.0.1\tlocalhost
      ::1\tlocalhost ip6-localhost ip6-loopback
      fe00::0\tip6-localnet
      fe00::0\tip6-mcastprefix
      fe00::1\tip6-allnodes
      fe00::2\tip6-allrouters

      """)
    let names = (spec.fullyQualifiedName.map { [$0] } ?? []) + [spec.hostname]
    for ip in ips { file.add(ip, names) }
    add(spec.hostAliases, to: &file)
    return file.text
  }

  /// For a pod on the host's network: the host's file, and the pod's own entries.
  static func hosts(base: String, aliases list: [HostAlias]) -> String {
    var file = HostsFile("# Kubernetes-managed hosts file (host network).\n" + base + "\n")
    add(list, to: &file)
    return file.text
  }

  private static func add(_ aliases: [HostAlias], to file: inout HostsFile) {
    guard !aliases.isEmpty else { return }
    file.add(comment: "Entries added by HostAliases.")
    for alias in aliases { file.add(alias.ip, alias.hostnames) }
  }
}

/// Which sysctls belong to a pod's namespaces (kubernetes.io, "Using sysctls in a Kubernetes Cluster").
enum Sysctls {
  static func check(_ spec: SandboxSpec) throws(RuntimeError) {
    for name in spec.sysctls.keys.sorted() {
      let dotted = String(name.map { $0 == "/" ? "." : $0 })
      let ofIPC =
        [
          "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.msgmax", "kernel.msgmnb",
          "kernel.msgmni", "kernel.shm_rmid_forced",
        ].contains(dotted) || dotted.hasPrefix("fs.mqueue.")
      let ofNetwork = dotted.hasPrefix("net.")
      guard ofIPC || ofNetwork else {
        throw RuntimeError(.invalid, "sysctl \"\(name)\" is not namespaced and would change the whole machine")
      }
      if ofIPC && spec.hostIPC || ofNetwork && spec.hostNetwork {
        throw RuntimeError(.invalid, "sysctl \"\(name)\" cannot be set in a pod that shares that namespace of the host")
      }
    }
  }
}
