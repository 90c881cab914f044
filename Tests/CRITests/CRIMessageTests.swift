import Protobuf
import Testing

@testable import CRI

@Suite struct CRIMessageTests {
  @Test func questionsAreWrittenAsOthersWriteThem() throws {
    var sandbox = RuntimeV1.PodSandboxConfig()
    sandbox.metadata = .init(name: "p", uid: "u-1", namespace: "default", attempt: 2)
    sandbox.hostname = "host-a"
    sandbox.logDirectory = "/"
    var dns = RuntimeV1.DNSConfig()
    (dns.servers, dns.searches, dns.options) = (["10.1.1.1"], ["a.b"], ["ndots:5"])
    sandbox.dnsConfig = dns
    var port = RuntimeV1.PortMapping()
    (port.transport, port.containerPort, port.hostPort, port.hostIP) = (.udp, 53, 5353, "127.0.0.1")
    sandbox.portMappings = [port]
    sandbox.labels = ["io.kubernetes.pod.uid": "u-1"]
    sandbox.linux.cgroupParent = "/apus/burstable/podu-1"
    sandbox.linux.securityContext.namespaceOptions.pid = .container
    sandbox.linux.securityContext.namespaceOptions.ipc = .node
    sandbox.linux.securityContext.privileged = true
    sandbox.linux.securityContext.seccomp = .init(.runtimeDefault)
    sandbox.linux.sysctls = ["net.a": "1"]
    #expect(try sandbox.serialized() == Recorded.sandboxConfig)
    #expect(try RuntimeV1.PodSandboxConfig(parsing: Recorded.sandboxConfig) == sandbox)

    var container = RuntimeV1.ContainerConfig()
    container.metadata = .init(name: "c", attempt: 1)
    container.image = .init("localhost/box:1")
    container.command = ["/bin/sh", "-c"]
    container.workingDir = "/tmp"
    container.envs = [.init("X", "y")]
    container.mounts = [
      .init(containerPath: "/data", hostPath: "/host", readonly: true, propagation: .hostToContainer)
    ]
    container.devices = [.init(containerPath: "/dev/a", hostPath: "/dev/b", permissions: "rw")]
    container.labels = ["l": "v"]
    container.annotations = ["n": "w"]
    container.logPath = "c/0.log"
    (container.stdin, container.stdinOnce, container.tty) = (true, true, true)
    container.linux.resources.cpuPeriod = 100_000
    container.linux.resources.cpuQuota = 50_000
    container.linux.resources.cpuShares = 256
    container.linux.resources.memoryLimitInBytes = 64 << 20
    container.linux.resources.oomScoreAdj = -997
    var capabilities = RuntimeV1.Capability()
    (capabilities.addCapabilities, capabilities.dropCapabilities) = (["NET_ADMIN"], ["ALL"])
    container.linux.securityContext.capabilities = capabilities
    container.linux.securityContext.namespaceOptions.pid = .container
    container.linux.securityContext.runAsUser = .init(1000)
    container.linux.securityContext.readonlyRootfs = true
    container.linux.securityContext.supplementalGroups = [7]
    container.linux.securityContext.noNewPrivs = true
    // Group 0 is not the same as none.
    container.linux.securityContext.runAsGroup = .init(0)
    container.linux.securityContext.maskedPaths = ["/proc/kcore"]
    container.linux.securityContext.readonlyPaths = ["/proc/sys"]
    container.linux.securityContext.seccomp = .init(.localhost, localhostRef: "/p.json")
    #expect(try container.serialized() == Recorded.containerConfig)
    #expect(try RuntimeV1.ContainerConfig(parsing: Recorded.containerConfig) == container)
  }

  @Test func readsWhatContainerdAnswers() throws {
    let version = try RuntimeV1.VersionResponse(parsing: Recorded.version)
    #expect(version.runtimeName == "containerd" && version.runtimeVersion == "1.6.20~ds1")
    #expect(version.version == "0.1.0" && version.runtimeAPIVersion == "v1")
    let conditions = try RuntimeV1.StatusResponse(parsing: Recorded.status).status.conditions
    #expect(conditions.map(\.type) == ["RuntimeReady", "NetworkReady"] && conditions.allSatisfy { $0.status })

    let sandbox = try RuntimeV1.PodSandboxStatusResponse(parsing: Recorded.podSandboxStatus).status
    #expect(sandbox.id.hasPrefix("e90a253ab0a3") && sandbox.id.count == 64)
    #expect(sandbox.metadata == .init(name: "p", uid: "u-1", namespace: "default"))
    #expect(sandbox.state == .ready && sandbox.network.ip == "10.88.0.2")
    #expect(sandbox.labels == ["io.kubernetes.pod.uid": "u-1"])
    #expect(sandbox.createdAt > 1_700_000_000_000_000_000)

    let image = try RuntimeV1.ImageStatusResponse(parsing: Recorded.imageStatus)
    #expect(image.image?.id.hasPrefix("sha256:a13a7691") == true && image.image?.repoDigests == [])
    #expect(image.image?.repoTags == ["localhost/box:1"] && image.image?.size == 1_997_436)
    #expect(image.info["info"]?.contains("\"imageSpec\"") == true)
    #expect(try RuntimeV1.ImageStatusResponse(parsing: []).image == nil)
    #expect(try Calls.List<RuntimeV1.Image>(parsing: Recorded.listImages).items.count == 2)
    let fileSystems = try RuntimeV1.ImageFsInfoResponse(parsing: Recorded.imageFsInfo).imageFilesystems
    #expect(fileSystems.first?.fsID.mountpoint.hasSuffix("overlayfs") == true)

    let list = try Calls.List<RuntimeV1.Container>(parsing: Recorded.listContainers).items
    #expect(list.count == 1 && list[0].state == .running && list[0].metadata == .init(name: "c", attempt: 0))
    #expect(list[0].podSandboxID == sandbox.id && list[0].labels == ["l": "v"])
    let container = try RuntimeV1.ContainerStatusResponse(parsing: Recorded.containerStatus).status
    #expect(container.state == .exited && container.exitCode == 137 && container.reason == "Error")
    #expect(container.finishedAt > container.startedAt && container.startedAt > container.createdAt)
    #expect(container.logPath.hasSuffix("/logs/c/0.log"))

    let stats = try Calls.One<RuntimeV1.PodSandboxStats>(parsing: Recorded.podSandboxStats).message
    #expect(stats?.attributes.metadata.uid == "u-1" && stats?.linux?.process?.processCount?.value == 2)
    #expect((stats?.linux?.cpu?.usageCoreNanoSeconds?.value ?? 0) > 0)
    #expect((stats?.linux?.memory?.workingSetBytes?.value ?? 0) > 0)
    #expect(stats?.linux?.containers.map(\.attributes.metadata.name) == ["c"])
  }

  /// What a broken runtime sends is read or refused.
  @Test func survivesDamage() throws {
    for recorded in [Recorded.containerStatus, Recorded.podSandboxStatus, Recorded.podSandboxStats] {
      for index in recorded.indices {
        var damaged = recorded
        damaged[index] ^= 0xFF
        _ = try? RuntimeV1.ContainerStatusResponse(parsing: damaged)
        _ = try? RuntimeV1.PodSandboxStatusResponse(parsing: damaged)
        _ = try? Calls.One<RuntimeV1.PodSandboxStats>(parsing: damaged)
        _ = try? RuntimeV1.ContainerStatusResponse(parsing: recorded.prefix(index))
      }
    }
    #expect(throws: ProtobufError.self) { try RuntimeV1.PodSandboxStatusResponse(parsing: [0x0A, 1]) }
  }
}
