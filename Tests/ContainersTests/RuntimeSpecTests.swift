import Glibc
import LinuxSystem
import Testing
import Wire

@testable import Containers

@Suite struct RuntimeSpecTests {
  private func spec(_ change: (inout ContainerSpec) -> Void = { _ in }) -> ContainerSpec {
    var spec = ContainerSpec(
      podUID: "u", podName: "p", podNamespace: "n", name: "c", attempt: 0, image: "i", imageID: "sha256:1",
      lowerDirectories: ["/layer"], arguments: ["/app", "--serve"], environment: ["A=1"], logPath: "/log")
    change(&spec)
    return spec
  }

  private func around(_ change: (inout OCISpec.Surroundings) -> Void = { _ in }) -> OCISpec.Surroundings {
    var around = OCISpec.Surroundings(
      rootPath: "/root", user: ResolvedUser(uid: 1000, gid: 1001, additionalGroups: [7]), capabilities: ["CAP_CHOWN"],
      cgroupPath: "/apus/pod/c", cgroupMode: .hybrid, limitsSwap: true, hostname: "web-0",
      namespaces: [.network: "/run/ns/net", .ipc: "/run/ns/ipc", .uts: "/run/ns/uts"], hostPID: false,
      files: [(destination: "/etc/hosts", source: "/pod/hosts")], sharedMemory: "/run/shm/u", terminationFile: nil,
      localSeccomp: nil, openFilesMax: 4096, hostDevices: [])
    change(&around)
    return around
  }

  private func mount(_ config: JSON, _ destination: String) -> JSON? {
    config["mounts"]?.array?.first { $0["destination"]?.string == destination }
  }

  @Test func givesTheProcessWhatKubernetesPromises() throws {
    let config = OCISpec.build(
      spec {
        $0.noNewPrivileges = true; $0.oomScoreAdjustment = 999
      }, around(), devices: [])
    let process = try #require(config["process"])
    #expect(process["args"] == ["/app", "--serve"])
    #expect(process["cwd"] == "/")
    let environment = process["env"]?.array?.compactMap(\.string) ?? []
    #expect(environment.contains("A=1") && environment.contains("HOSTNAME=web-0"))
    #expect(environment.contains { $0.hasPrefix("PATH=/usr/local/sbin") })
    #expect(process.at("user", "uid") == 1000 && process.at("user", "additionalGids") == [7])
    #expect(process.at("capabilities", "bounding") == ["CAP_CHOWN"] && process.at("capabilities", "ambient") == [])
    #expect(process["noNewPrivileges"] == true && process["oomScoreAdj"] == 999 && process["terminal"] == false)
  }

  @Test func usesThePodsNamespaces() {
    let config = OCISpec.build(spec(), around(), devices: [])
    let list = config.at("linux", "namespaces")?.array ?? []
    #expect(list.contains(["type": "network", "path": "/run/ns/net"]))
    #expect(list.contains(["type": "pid"]) && list.contains(["type": "mount"]) && !list.contains(["type": "cgroup"]))
    let host = OCISpec.build(
      spec(),
      around {
        $0.namespaces = [:]; $0.hostPID = true; $0.cgroupMode = .v2
      }, devices: [])
    #expect(host.at("linux", "namespaces") == [["type": "mount"], ["type": "cgroup"]])
  }

  @Test func ordersMountsAndLetsThePodReplaceDefaults() {
    let config = OCISpec.build(
      spec {
        $0.mounts = [
          ContainerMount(source: .bind("/v/deep"), destination: "/data/deep", readOnly: true),
          ContainerMount(source: .bind("/v/data"), destination: "/data", propagation: .bidirectional),
          ContainerMount(source: .bind("/v/hosts"), destination: "/etc/hosts"),
          ContainerMount(source: .tmpfs(sizeLimit: 4096), destination: "/cache"),
        ]
      }, around(), devices: [])
    let destinations = (config["mounts"]?.array ?? []).compactMap { $0["destination"]?.string }
    #expect(destinations.firstIndex(of: "/data") ?? 99 < destinations.firstIndex(of: "/data/deep") ?? 0)
    #expect(destinations.filter { $0 == "/etc/hosts" }.count == 1)
    #expect(mount(config, "/etc/hosts")?["source"] == "/v/hosts")
    #expect(mount(config, "/data")?["options"] == ["rbind", "rshared", "rw"])
    #expect(mount(config, "/data/deep")?["options"] == ["rbind", "rprivate", "ro"])
    #expect(mount(config, "/cache")?["options"]?.array?.contains("size=4096") == true)
    #expect(config.at("linux", "rootfsPropagation") == "rshared")
    #expect(mount(config, "/dev/shm")?["source"] == "/run/shm/u")
  }

  @Test func limitsAndProtects() {
    let config = OCISpec.build(
      spec {
        $0.resources = ContainerResources(
          cpuRequestMillis: 250, cpuLimitMillis: 500, memoryLimitBytes: 1 << 20, pidsLimit: 9)
      },
      around(), devices: [])
    let resources = config.at("linux", "resources")
    #expect(resources?.at("cpu", "shares") == 256 && resources?.at("cpu", "quota") == 50000)
    #expect(resources?["memory"] == ["limit": 1_048_576, "swap": 1_048_576] && resources?.at("pids", "limit") == 9)
    #expect(resources?["devices"] == [["allow": false, "access": "rwm"]])
    #expect(config.at("linux", "maskedPaths")?.array?.contains("/proc/kcore") == true)
    #expect(config.at("linux", "seccomp", "defaultAction") == "SCMP_ACT_ERRNO")

    let privileged = OCISpec.build(spec { $0.privileged = true }, around(), devices: [])
    #expect(privileged.at("linux", "maskedPaths") == nil && privileged.at("linux", "seccomp") == nil)
    #expect(privileged.at("linux", "resources", "devices") == [["allow": true, "access": "rwm"]])
    #expect(OCISpec.build(spec { $0.seccomp = .unconfined }, around(), devices: []).at("linux", "seccomp") == nil)
  }

  @Test func execsAsTheContainerRuns() {
    let config = OCISpec.build(spec(), around(), devices: [])
    let process = OCISpec.execProcess(container: config["process"] ?? .null, command: ["ls"], tty: true)
    #expect(process["args"] == ["ls"] && process["terminal"] == true && process.at("user", "uid") == 1000)
    #expect(process["env"]?.array?.contains("TERM=xterm") == true && process["oomScoreAdj"] == nil)
  }

  @Test func seccompFollowsCapabilities() {
    func names(_ capabilities: Set<String>) -> Set<String> {
      let rules = ContainerSeccomp.runtimeDefault(capabilities: capabilities)["syscalls"]?.array ?? []
      return Set(
        rules.filter { $0["action"] == "SCMP_ACT_ALLOW" && $0["args"] == nil }.flatMap { $0["names"]?.array ?? [] }
          .compactMap(\.string))
    }
    let plain = names([])
    #expect(plain.isSuperset(of: ["read", "openat2", "futex", "epoll_pwait2", "statx", "rseq", "clock_gettime"]))
    #expect(
      plain.isDisjoint(with: ["mount", "unshare", "bpf", "reboot", "clone", "init_module", "keyctl", "io_uring_setup"]))
    #expect(names(["CAP_SYS_ADMIN"]).isSuperset(of: ["mount", "setns", "clone", "clone3"]))
    #expect(names(["CAP_SYS_TIME"]).contains("clock_settime"))
  }

  @Test func looksUpUsers() throws {
    let lookup = UserLookup(
      database: UserDatabase(
        passwd: Array("root:x:0:0::/:/bin/sh\n# no\nweb:x:33:34::/srv:\nbroken\n".utf8),
        group: Array("root:x:0:\nweb:x:34:\nadm:x:4:web,root\nlog:x:5:web\n".utf8)))
    func resolve(_ user: String, _ uid: Int64? = nil, _ gid: Int64? = nil, _ more: [Int64] = []) throws -> ResolvedUser
    {
      try lookup.resolve(imageUser: user, runAsUser: uid, runAsGroup: gid, supplementalGroups: more)
    }
    #expect(try resolve("") == ResolvedUser(uid: 0, gid: 0, additionalGroups: [0, 4]))
    #expect(try resolve("web") == ResolvedUser(uid: 33, gid: 34, additionalGroups: [34, 4, 5]))
    #expect(try resolve("33:adm", nil, nil, [99, 5]) == ResolvedUser(uid: 33, gid: 4, additionalGroups: [4, 5, 99]))
    #expect(try resolve("web", 1234) == ResolvedUser(uid: 1234, gid: 0, additionalGroups: [0]))
    #expect(try resolve("web", 33, 7) == ResolvedUser(uid: 33, gid: 7, additionalGroups: [7, 4, 5]))
    // K23: `Strict` leaves out what the image's files say.
    #expect(
      try lookup.resolve(
        imageUser: "web", runAsUser: nil, runAsGroup: nil, supplementalGroups: [99], mergesGroups: false)
        == ResolvedUser(uid: 33, gid: 34, additionalGroups: [34, 99]))
    #expect(try resolve("7000:8000") == ResolvedUser(uid: 7000, gid: 8000, additionalGroups: [8000]))
    // Of an empty member list only the given ones are there beside the primary group, which is there once.
    #expect(
      try resolve("", 1000, 3000, [4000, 5000, 3000])
        == ResolvedUser(uid: 1000, gid: 3000, additionalGroups: [3000, 4000, 5000]))
    // To the kernel the largest number means "as it is", which is root.
    #expect(throws: RuntimeError.self) { try resolve("4294967295") }
    for bad in ["nobody-here", "web:nothing"] { #expect(throws: RuntimeError.self) { try resolve(bad) } }
    #expect(throws: RuntimeError.self) { try resolve("", -1) }
    #expect(throws: RuntimeError.self) { try resolve("", 1 << 32) }
  }

  /// Whoever could not be looked up would have the group 0.
  @Test func whatCannotBeReadIsNoEmptyFile() throws {
    let root = "/tmp/apus-users-\(UInt64.random(in: 0 ... .max))"
    defer { try? Directory.removeTree(root) }
    try Directory.create("\(root)/etc")
    #expect(try UserLookup(root: root).database.users.isEmpty)
    try DurableFile.write(Array("web:x:33:34::/srv:\n".utf8), to: "\(root)/etc/real")
    #expect(symlink("/etc/real", "\(root)/etc/passwd") == 0)
    #expect(try UserLookup(root: root).database.users.map(\.gid) == [34])
    #expect(symlink("/nowhere", "\(root)/etc/group") == 0)
    #expect(try UserLookup(root: root).database.groups.isEmpty)
    try DurableFile.write([UInt8](repeating: 0x61, count: (1 << 20) + 1), to: "\(root)/etc/real")
    #expect(throws: RuntimeError.self) { try UserLookup(root: root) }
    unlink("\(root)/etc/passwd")
    try Directory.create("\(root)/etc/passwd")
    #expect(throws: RuntimeError.self) { try UserLookup(root: root) }
  }

  @Test func survivesAnyPasswdFile() {
    var seed: UInt64 = 42
    func next() -> UInt64 {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return seed >> 33
    }
    let alphabet = Array(":,\n#0123456789abc\0\u{FF}".utf8)
    for _ in 0..<2000 {
      let bytes = (0..<(next() % 80)).map { _ in alphabet[Int(next() % UInt64(alphabet.count))] }
      let lookup = UserLookup(database: UserDatabase(passwd: bytes, group: bytes))
      let user = try? lookup.resolve(imageUser: "abc:a", runAsUser: nil, runAsGroup: nil, supplementalGroups: [])
      // "As it is" to the kernel: the process would stay root's.
      if let user { #expect(user.uid != .max && user.gid != .max && !user.additionalGroups.contains(.max)) }
    }
  }

  @Test func tellsPluginsWhatTheyNeed() {
    let attachment = CNI.Attachment(
      id: "u", podUID: "u", podName: "p", podNamespace: "n", networkNamespace: "/ns",
      portMappings: [PortMapping(hostPort: 80, containerPort: 8080, transport: "TCP", hostIP: "127.0.0.1")])
    let list: JSON = ["cniVersion": "1.0.0", "name": "net", "plugins": []]
    let bridge = CNI.input(attachment, list, ["type": "bridge", "mtu": 1400], previous: nil)
    #expect(bridge == ["type": "bridge", "mtu": 1400, "cniVersion": "1.0.0", "name": "net"])
    let portmap = CNI.input(
      attachment, list, ["type": "portmap", "capabilities": ["portMappings": true]], previous: ["ips": []])
    #expect(portmap["capabilities"] == nil && portmap["prevResult"] == ["ips": []])
    #expect(
      portmap.at("runtimeConfig", "portMappings")
        == [["hostPort": 80, "containerPort": 8080, "protocol": "tcp", "hostIP": "127.0.0.1"]])
    #expect(
      CNI.addresses(["ips": [["address": "10.0.0.2/24"], ["address": "fd00::2/64"], [:]]]) == ["10.0.0.2", "fd00::2"])
  }

  @Test func mapsPortsOnlyForThoseWhoHaveSome() {
    let (bridge, portmap): (JSON, JSON) = (["type": "bridge"], ["type": "portmap"])
    let list: JSON = ["name": "net", "plugins": [bridge, portmap]]
    #expect(CNI.list(list, for: []) == ["name": "net", "plugins": [bridge]])
    #expect(CNI.list(list, for: [PortMapping(hostPort: 80, containerPort: 80, transport: "TCP")]) == list)
    #expect(CNI.list(["name": "net", "plugins": [portmap]], for: []) == ["name": "net", "plugins": [portmap]])
  }

  /// Plugins that may act by the pod's name are asked when it is known.
  @Test func knowsWhichPluginsIgnoreNames() {
    let bridge: JSON = ["type": "bridge", "ipam": ["type": "host-local"]]
    #expect(CNI.ignoresNames(["plugins": [bridge]]))
    #expect(!CNI.ignoresNames(["plugins": [bridge, ["type": "tuning"]]]))
    #expect(!CNI.ignoresNames(["plugins": [["type": "bridge", "ipam": ["type": "dhcp"]]]]))
    #expect(!CNI.ignoresNames(["plugins": [["type": "calico"]]]))
  }

  @Test func keepsRecords() throws {
    var record = ContainerRecord(
      id: "i", podUID: "u", podName: "p", podNamespace: "n", name: "c", attempt: 3, image: "im", imageID: "sha",
      phase: .running, bootID: "b", process: RecordedProcess(pid: 7, startTime: .max), monitor: nil,
      createdAt: Timestamp(seconds: 1), startedAt: Timestamp(seconds: 2), finishedAt: nil, exitCode: nil, logPath: "/l",
      hasTerminationFile: true, tty: false, stdin: true, cgroupPath: "/c", labels: ["a": "b"])
    #expect(ContainerRecord(json: try JSON.parse(record.json.serialized())) == record)
    record.exitCode = 137
    record.isLost = true
    #expect(ContainerRecord(json: record.json) == record)
    #expect(ContainerRecord(json: ["id": "x"]) == nil)
    var sandbox = SandboxRecord(
      podUID: "u", name: "p", namespace: "n", hostname: "h", hostNetwork: false, hostPID: true, hostIPC: false,
      cgroupPath: "/c", bootID: "b", isComplete: true, ips: ["10.0.0.1"], createdAt: Timestamp(seconds: 1),
      portMappings: [PortMapping(hostPort: 1, containerPort: 2, transport: "udp")], network: ["name": "x"],
      networkResult: nil, networkID: "u")
    #expect(SandboxRecord(json: sandbox.json) == sandbox)
    sandbox.networkID = "spare-1"
    #expect(SandboxRecord(json: sandbox.json) == sandbox)
  }

  @Test func decidesWhatBecameOfAContainer() {
    let process = RecordedProcess(pid: 7, startTime: 1)
    func decide(
      _ phase: ContainerRecord.Phase, monitor: Bool = false, process lives: Bool = false, waits: Bool = false,
      exit: Int32? = nil
    ) -> Adoption {
      Adoption.decide(
        phase,
        Witnesses(
          process: lives ? process : nil, monitor: monitor ? process : nil, isPopulated: lives, isWaiting: waits,
          exitCode: exit))
    }
    #expect(decide(.exited) == .known && decide(.exited, exit: 3) == .known)
    #expect(decide(.creating, monitor: true, process: true) == .discard)
    #expect(decide(.running, monitor: true, process: true) == .running)
    #expect(decide(.created, monitor: true, process: true, waits: true) == .created)
    // The server died between the engine's start and the note of it.
    #expect(decide(.created, monitor: true, process: true) == .running)
    #expect(decide(.running, exit: 3) == .exited(code: 3))
    #expect(decide(.running) == .lost)
    // Its monitor is about to note how it ended.
    #expect(decide(.running, monitor: true, exit: 3) == .running)
  }

  /// The assumption that failed: that the record, or the exit file, says whether a container lives.
  @Test func whatLivesIsNeverTakenForEnded() {
    let process = RecordedProcess(pid: 7, startTime: 1)
    for phase in [ContainerRecord.Phase.created, .running, .exited] {
      for exit in [nil, 0, 1, 137] as [Int32?] {
        for waits in [true, false] {
          let watched = Witnesses(
            process: process, monitor: process, isPopulated: true, isWaiting: waits, exitCode: exit)
          #expect(Adoption.decide(phase, watched) == (waits ? .created : .running))
          var alone = watched
          alone.monitor = nil
          #expect(Adoption.decide(phase, alone) == .lost, "nobody would learn its end: it is ended")
        }
      }
    }
  }

  @Test func refusesSysctlsOfTheWholeMachine() {
    func check(_ name: String, hostNetwork: Bool = false) throws {
      var spec = SandboxSpec(podUID: "u", name: "p", namespace: "n", hostname: "h", cgroupParent: "x")
      spec.sysctls = [name: "1"]
      spec.hostNetwork = hostNetwork
      try Sysctls.check(spec)
    }
    #expect(throws: Never.self) { try check("net.core.somaxconn") }
    #expect(throws: Never.self) { try check("kernel.shmmax") }
    #expect(throws: RuntimeError.self) { try check("kernel.panic") }
    #expect(throws: RuntimeError.self) { try check("vm.swappiness") }
    #expect(throws: RuntimeError.self) { try check("net.core.somaxconn", hostNetwork: true) }
  }

  @Test func writesThePodsFiles() {
    var spec = SandboxSpec(podUID: "u", name: "p", namespace: "n", hostname: "web-0", cgroupParent: "x")
    spec.fullyQualifiedName = "web-0.web.n.svc.cluster.local"
    spec.hostAliases = [HostAlias(ip: "1.2.3.4", hostnames: ["x", "y"])]
    let hosts = PodFiles.hosts(spec, ips: ["10.0.0.5"])
    #expect(hosts.hasPrefix("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"))
    #expect(hosts.contains("10.0.0.5\tweb-0.web.n.svc.cluster.local\tweb-0\n") && hosts.hasSuffix("1.2.3.4\tx\ty\n"))
  }

  @Test func refusesNamesThatLeaveTheirFolder() {
    for bad in ["", "..", "a/b", "a\0b", String(repeating: "a", count: 300)] {
      #expect(throws: RuntimeError.self) { try CrunRuntime.checkName(bad, "pod uid") }
    }
    #expect(throws: Never.self) { try CrunRuntime.checkName("0f-1.2_A", "pod uid") }
    #expect(CrunRuntime.makeID().count == 64 && CrunRuntime.makeID() != CrunRuntime.makeID())
  }
}

@Suite struct SeccompFilterTests {
  @Test func filtersThatAreNotWholeAreNotKept() {
    var filters = SeccompFilters()
    let profile: [UInt8] = [1]
    for size in [0, 7, 9, SeccompFilters.sizeMax + 8] {
      filters.keep([UInt8](repeating: 6, count: size), of: profile)
      #expect(filters.filter(of: profile) == nil, "\(size)")
    }
    filters.keep([UInt8](repeating: 6, count: 16), of: profile)
    #expect(filters.filter(of: profile) == Base64.encode([UInt8](repeating: 6, count: 16)))
    #expect(filters.filter(of: [2]) == nil)
    // It forgets rather than grows.
    for other in 0..<100 { filters.keep([UInt8](repeating: 6, count: 8), of: [3, UInt8(other)]) }
    #expect(filters.filter(of: profile) == nil && filters.filter(of: [3, 99]) != nil)
  }
}
