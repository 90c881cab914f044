import CRI
import LinuxSystem
import RPC
import Testing
import Wire

@testable import Containers

@Suite struct CRITranslationTests {
  private func sandboxSpec(_ change: (inout SandboxSpec) -> Void = { _ in }) -> SandboxSpec {
    var spec = SandboxSpec(
      podUID: "u-1", name: "p", namespace: "n", hostname: "web-0", cgroupParent: "burstable/podu-1")
    change(&spec)
    return spec
  }

  private func sandbox(
    _ change: (inout SandboxSpec) -> Void = { _ in }
  ) throws(RuntimeError) -> RuntimeV1.PodSandboxConfig {
    try CRITranslation.sandbox(sandboxSpec(change), attempt: 3, owner: "me", cgroupRoot: "/apus")
  }

  private func container(
    _ files: CRITranslation.Files = .init(), in config: RuntimeV1.PodSandboxConfig = .init(),
    _ change: (inout ContainerSpec) -> Void = { _ in }
  ) throws(RuntimeError) -> RuntimeV1.ContainerConfig {
    var spec = ContainerSpec(
      podUID: "u-1", podName: "p", podNamespace: "n", name: "c", attempt: 2, image: "web:1", imageID: "sha256:1",
      lowerDirectories: [], arguments: ["/app", "--serve"], environment: ["A=1=2", "B"], logPath: "/d/logs/c/2.log")
    change(&spec)
    return try CRITranslation.container(spec, in: config, owner: "me", files: files)
  }

  private func refusal(_ body: () throws(RuntimeError) -> Void) -> RuntimeError.Code? {
    do throws(RuntimeError) {
      try body()
      return nil
    } catch {
      return error.code
    }
  }

  // MARK: Sandboxes

  @Test func sandboxesAreNamedAndMarked() throws {
    let config = try sandbox {
      $0.dns.nameservers = ["10.96.0.10"]
      $0.dns.searches = ["n.svc.cluster.local"]
      $0.dns.options = ["ndots:5"]
      $0.portMappings = [PortMapping(hostPort: 8080, containerPort: 80, transport: "udp", hostIP: "127.0.0.1")]
      $0.sysctls = ["net.ipv4.ip_unprivileged_port_start": "0"]
      $0.privileged = true
    }
    #expect(config.metadata == .init(name: "p", uid: "u-1", namespace: "n", attempt: 3))
    #expect(config.hostname == "web-0" && config.logDirectory == "/")
    #expect(
      config.labels == [
        "io.kubernetes.pod.uid": "u-1", "io.kubernetes.pod.name": "p", "io.kubernetes.pod.namespace": "n",
        "dev.apus.owner": "me",
      ])
    #expect(config.dnsConfig?.servers == ["10.96.0.10"] && config.dnsConfig?.options == ["ndots:5"])
    #expect(config.dnsConfig?.searches == ["n.svc.cluster.local"])
    let port = try #require(config.portMappings.first)
    #expect(port.transport == .udp && port.hostPort == 8080 && port.containerPort == 80 && port.hostIP == "127.0.0.1")
    #expect(config.linux.cgroupParent == "/apus/burstable/podu-1")
    #expect(config.linux.sysctls == ["net.ipv4.ip_unprivileged_port_start": "0"])
    #expect(config.linux.securityContext.privileged)
  }

  @Test func sandboxesShareWhatIsAskedFor() throws {
    let own = try sandbox().linux.securityContext.namespaceOptions
    #expect(own.network == .pod && own.ipc == .pod && own.pid == .container)
    let host = try sandbox {
      $0.hostNetwork = true
      $0.hostPID = true
      $0.hostIPC = true
    }
    let shared = host.linux.securityContext.namespaceOptions
    #expect(shared.network == .node && shared.ipc == .node && shared.pid == .node)
    #expect(host.hostname.isEmpty)
    let processes = try sandbox { $0.shareProcessNamespace = true }
    #expect(processes.linux.securityContext.namespaceOptions.pid == .pod)
  }

  @Test func sandboxesThatCRIDoesNotHaveAreRefused() {
    #expect(refusal { () throws(RuntimeError) in _ = try sandbox { $0.userNamespace = true } } == .unsupported)
    #expect(
      refusal { () throws(RuntimeError) in _ = try sandbox { $0.resources.memoryLimitBytes = 1 } } == .unsupported)
    #expect(refusal { () throws(RuntimeError) in _ = try sandbox { $0.sharedMemoryLimit = 1 } } == .unsupported)
    #expect(
      refusal { () throws(RuntimeError) in _ = try sandbox { $0.sysctls = ["kernel.hostname": "x"] } } == .invalid)
    #expect(
      refusal { () throws(RuntimeError) in
        _ = try sandbox { $0.portMappings = [PortMapping(hostPort: 1, containerPort: 1, transport: "x")] }
      } == .invalid)
  }

  // MARK: Containers

  @Test func containersAreNamedAndMarked() throws {
    let config = try container {
      $0.labels = ["stop": "15"]
      $0.workingDirectory = "/srv"
      $0.devices = [ContainerDevice(hostPath: "/dev/a", containerPath: "/dev/b", permissions: "r")]
      ($0.stdin, $0.stdinOnce, $0.tty) = (true, true, true)
    }
    #expect(config.metadata == .init(name: "c", attempt: 2) && config.image.image == "sha256:1")
    #expect(config.command == ["/app", "--serve"] && config.args.isEmpty && config.workingDir == "/srv")
    #expect(config.envs == [.init("A", "1=2"), .init("B", "")])
    #expect(config.labels["io.kubernetes.container.name"] == "c" && config.labels["io.kubernetes.pod.uid"] == "u-1")
    #expect(config.labels["dev.apus.owner"] == "me")
    #expect(config.logPath == "d/logs/c/2.log")
    #expect(config.devices == [.init(containerPath: "/dev/b", hostPath: "/dev/a", permissions: "r")])
    #expect(config.stdin && config.stdinOnce && config.tty)

    var status = RuntimeV1.ContainerStatus()
    (status.id, status.metadata, status.state) = ("x", config.metadata, .running)
    (status.labels, status.annotations) = (config.labels, config.annotations)
    (status.createdAt, status.startedAt) = (1_000_000_000, 2_000_000_000)
    let state = CRITranslation.container(status)
    #expect(state.podUID == "u-1" && state.podName == "p" && state.podNamespace == "n" && state.name == "c")
    #expect(state.attempt == 2 && state.image == "web:1" && state.imageID == "sha256:1")
    #expect(state.labels == ["stop": "15"] && state.status == .running && state.exitCode == nil)
    #expect(state.createdAt == Timestamp(seconds: 1) && state.startedAt == Timestamp(seconds: 2))
  }

  @Test func mountsAreOfTheHost() throws {
    let config = try container(.init(hosts: "/s/hosts", termination: "/s/message", held: [1: "/run/binds/1"])) {
      $0.terminationMessagePath = "/dev/termination-log"
      $0.mounts = [
        ContainerMount(source: .bind("/v"), destination: "/data", readOnly: true, propagation: .bidirectional),
        ContainerMount(source: .bind("/h"), destination: "/h", propagation: .hostToContainer),
      ]
    }
    #expect(
      config.mounts == [
        .init(containerPath: "/etc/hosts", hostPath: "/s/hosts"),
        .init(containerPath: "/dev/termination-log", hostPath: "/s/message"),
        .init(containerPath: "/data", hostPath: "/v", readonly: true, propagation: .bidirectional),
        .init(containerPath: "/h", hostPath: "/run/binds/1", propagation: .hostToContainer),
      ])
    #expect(config.annotations["dev.apus.container.termination-file"] == "/s/message")
    #expect(
      refusal { () throws(RuntimeError) in
        _ = try container { $0.mounts = [ContainerMount(source: .tmpfs(sizeLimit: nil), destination: "/t")] }
      } == .unsupported)
  }

  @Test func usersAndRights() throws {
    let plain = try container().linux.securityContext
    #expect(plain.runAsUser == nil && plain.runAsGroup == nil && plain.runAsUsername.isEmpty)
    #expect(plain.capabilities == nil && !plain.privileged && plain.seccomp == .init(.runtimeDefault))
    #expect(plain.maskedPaths.contains("/proc/kcore") && plain.readonlyPaths.contains("/proc/sys"))
    #expect(plain.namespaceOptions.pid == .pod, "that of the sandbox that was given")

    let given = try container {
      ($0.runAsUser, $0.runAsGroup, $0.supplementalGroups) = (0, 5, [7])
      ($0.addCapabilities, $0.dropCapabilities) = (["NET_ADMIN"], ["ALL"])
      ($0.noNewPrivileges, $0.readOnlyRootFilesystem, $0.unmaskedProc) = (true, true, true)
      $0.seccomp = .localhost(folder: "/d/seccomp", name: "a.json")
    }.linux.securityContext
    #expect(given.runAsUser == .init(0) && given.runAsGroup == .init(5) && given.supplementalGroups == [7])
    #expect(given.capabilities?.addCapabilities == ["NET_ADMIN"] && given.capabilities?.dropCapabilities == ["ALL"])
    #expect(given.noNewPrivs && given.readonlyRootfs && given.maskedPaths.isEmpty && given.readonlyPaths.isEmpty)
    #expect(given.seccomp == .init(.localhost, localhostRef: "/d/seccomp/a.json"))
    #expect(try container { $0.privileged = true }.linux.securityContext.maskedPaths.isEmpty)
    #expect(try container { $0.seccomp = .unconfined }.linux.securityContext.seccomp == .init(.unconfined))
    #expect(refusal { () throws(RuntimeError) in _ = try container { $0.mergesGroups = false } } == .unsupported)
    let large = refusal { () throws(RuntimeError) in
      _ = try container { $0.labels["x"] = String(repeating: "x", count: 1 << 20) }
    }
    #expect(large == .unsupported)
  }

  /// CRI has no group without a user.
  @Test(
    arguments: [("", 0, ""), ("1000:5", 1000, ""), ("web", nil, "web"), ("web:staff", nil, "web")]
      as [(String, Int64?, String)])
  func aGroupComesWithTheImagesUser(_ imageUser: String, _ uid: Int64?, _ name: String) throws {
    let security = try container {
      ($0.imageUser, $0.runAsGroup) = (imageUser, 7)
    }.linux.securityContext
    #expect(security.runAsGroup == .init(7) && security.runAsUser == uid.map { .init($0) })
    #expect(security.runAsUsername == name)
  }

  @Test func limits() throws {
    let config = try container {
      $0.resources = ContainerResources(cpuRequestMillis: 250, cpuLimitMillis: 500, memoryLimitBytes: 64 << 20)
      $0.oomScoreAdjustment = -997
    }.linux.resources
    #expect(config.cpuShares == 256 && config.cpuQuota == 50_000 && config.cpuPeriod == 100_000)
    #expect(config.memoryLimitInBytes == 64 << 20 && config.oomScoreAdj == -997)
    #expect(try container().linux.resources.cpuQuota == 0)
    #expect(
      refusal { () throws(RuntimeError) in _ = try container { $0.resources.pidsLimit = 5 } } == .unsupported)
    // Layers belong to the node's own images.
    #expect(
      refusal { () throws(RuntimeError) in _ = try container { $0.lowerDirectories = ["/layer"] } } == .invalid)
  }

  // MARK: Ends

  private func status(_ change: (inout RuntimeV1.ContainerStatus) -> Void) -> RuntimeV1.ContainerStatus {
    var status = RuntimeV1.ContainerStatus()
    (status.id, status.state, status.exitCode, status.reason) = ("x", .exited, 3, "Error")
    (status.createdAt, status.startedAt, status.finishedAt) = (1_000_000_000, 2_000_000_000, 3_000_000_000)
    change(&status)
    return status
  }

  @Test func ends() {
    let ended = CRITranslation.event(CRITranslation.container(status { _ in }))
    #expect(ended.containerID == "x" && ended.exitCode == 3 && ended.finishedAt == Timestamp(seconds: 3))
    #expect(!ended.oomKilled && !ended.isLost)
    #expect(CRITranslation.container(status { $0.reason = "OOMKilled" }).oomKilled)
    // After a reboot containerd knows of no end.
    let lost = CRITranslation.container(
      status { ($0.reason, $0.exitCode, $0.finishedAt) = ("Unknown", 255, 0) })
    #expect(lost.isLost && lost.exitCode == 137 && lost.finishedAt == Timestamp(seconds: 2))
    let unknown = CRITranslation.container(status { $0.state = .unknown })
    #expect(unknown.isLost && unknown.status == .exited && unknown.exitCode == 137)
  }

  @Test func everyEndIsToldOnce() {
    func entry(_ id: String, _ state: RuntimeV1.ContainerState) -> RuntimeV1.Container {
      var container = RuntimeV1.Container()
      (container.id, container.state) = (id, state)
      return container
    }
    var ends = CRIEnds()
    #expect(ends.begin([entry("a", .running), entry("b", .exited), entry("c", .created)]) == ["b"])
    ends.found("b", CRITranslation.container(status { $0.id = "b" }))
    #expect(ends.waiting.popFirst()?.containerID == "b")
    #expect(ends.begin([entry("a", .unknown), entry("b", .exited)]) == ["a"])
    // It went before it could be looked at, or is not over after all: it is looked at again if it is seen again.
    ends.found("a", nil)
    #expect(ends.waiting.isEmpty)
    #expect(ends.begin([entry("a", .exited), entry("b", .exited)]) == ["a"])
    // What was removed is forgotten.
    #expect(ends.begin([]) == [])
    #expect(ends.begin([entry("b", .exited)]) == ["b"])
    let failures = [ends.failed(), ends.failed()]
    #expect(failures == [true, false])
    _ = ends.begin([])
    let again = ends.failed()
    #expect(again)
  }

  // MARK: Usage and failures

  @Test func usage() throws {
    var stats = RuntimeV1.PodSandboxStats()
    #expect(refusal { () throws(RuntimeError) in _ = try CRITranslation.usage(stats) } == .unsupported)
    var linux = RuntimeV1.LinuxPodSandboxStats()
    var cpu = RuntimeV1.CPUUsage()
    cpu.usageCoreNanoSeconds = .init(5)
    var memory = RuntimeV1.MemoryUsage()
    memory.workingSetBytes = .init(6)
    linux.cpu = cpu
    linux.memory = memory
    var known = RuntimeV1.ContainerStats()
    known.attributes.id = "a"
    known.cpu = cpu
    var unknown = RuntimeV1.ContainerStats()
    unknown.attributes.id = "b"
    linux.containers = [known, unknown]
    stats.linux = linux
    let usage = try CRITranslation.usage(stats)
    #expect(usage.pod == ResourceUsage(cpuNanoseconds: 5, memoryBytes: 6, workingSetBytes: 6, processes: 0))
    #expect(Array(usage.containers.keys) == ["a"])
  }

  @Test(
    arguments: [
      (.deadlineExceeded, .timedOut), (.notFound, .notFound), (.invalidArgument, .invalid),
      (.unimplemented, .unsupported), (.unknown, .engine), (.unavailable, .engine),
    ] as [(RPCStatus, RuntimeError.Code)])
  func failures(_ status: RPCStatus, _ code: RuntimeError.Code) {
    let error = CRITranslation.error(RPCError(status, "why"), during: "do it")
    #expect(error == RuntimeError(code, "the container runtime could not do it: why"))
  }
}
