import Containers
import Content
import ControllerKit
import Distribution
import Glibc
import LinuxSystem
import Node
import Wire

extension Capability {
  /// Runs pods on this machine.
  static let node = Capability(
    name: "node", roles: [.node],
    settings: ["nodeName", "podCIDR", "serviceCIDR", "runtime", "containerRuntimeEndpoint", "lazyPull"],
    refusal: { settings in endpointRefusal(settings) },
    // Its name does not matter here: role and binding are those of all nodes.
    components: [identity("")],
    commands: [LazyLayerCommand.self],
    footprint: { place, settings in
      Footprint(
        entries: [
          .init(
            "containers", signs: ["containers", "sandboxes", "cri"], filled: ["containers", "sandboxes", "cri/pods"]),
          .init("node", signs: ["pods"], filled: ["pods"]),
          // A docker `config.json` for the pulls of all pods.
          .init("config.json", .configuration),
        ], mounts: ["containers/containers", "node/pods", "node/stages"], running: ["ns"],
        checks: checks(place, settings), release: { note in try await release(place, settings, note) })
    },
    start: { context in
      let ranges = try ClusterRanges(pods: context.setting("podCIDR"), services: context.setting("serviceCIDR"))
      let name = context.setting("nodeName")
      var configuration = NodeConfiguration(
        name: name, dataDirectory: context.place.path("node"), runDirectory: context.place.run)
      configuration.nodeIPs = ranges.gateways.map(\.description)
      configuration.podCIDRs = ranges.pods.all.map(\.description)
      configuration.serviceCIDR = ranges.services.description
      configuration.clusterDNS = ranges.nameServers[0].description
      configuration.apiServerHost = ranges.services.primary[ClusterAddresses.apiIndex].description
      configuration.version = context.kubernetesVersion
      configuration.imageCredentialsPath = context.place.path("config.json")
      if context.setting("lazyPull") == "true" {
        configuration.lazyPull = LazyPullPolicy(
          command: [context.executable, LazyLayerCommand.name], cgroup: "/\(context.place.cgroup)/lazy")
      }
      try keepRuntime(context.place, context.settings)
      let client = context.clients(identity(name))
      let images = ImageStore(context.shared.require(ContentStore.self))
      if let socket = socket(context.settings) {
        let runtime = try await CRIRuntime.open(
          CRIRuntime.Configuration(context.place, socketPath: socket), time: context.time)
        (configuration.runtimeName, configuration.runtimeVersion) = (runtime.name, runtime.version)
        let node = NodeAgent(
          configuration: configuration, client: client, runtime: runtime, images: images, time: context.time,
          seed: context.seed)
        return CapabilityParts(services: [node], nodes: [name: node], stop: { runtime.close() })
      }
      (configuration.runtimeName, configuration.runtimeVersion) = try await engine(context.setting("runtime"))
      let runtime = try await CrunRuntime.open(
        CrunRuntime.Configuration(context.place, context.settings), time: context.time)
      let node = NodeAgent(
        configuration: configuration, client: client, runtime: runtime, images: images,
        registry: context.shared.require(RegistryClient.self), time: context.time, seed: context.seed)
      return CapabilityParts(services: [node, SpareSandboxes(runtime)], nodes: [name: node])
    })

  /// A kubelet's rights, as far as something here asks for them. RBAC cannot say "of pods that run on this node": it reads
  /// every ConfigMap and Secret, and asks for tokens of every ServiceAccount.
  private static func identity(_ name: String) -> ComponentIdentity {
    let read = ["get", "list", "watch"]
    return .node(
      name,
      [
        .init(verbs: ["create", "get", "patch"], resources: ["nodes"]),
        .init(verbs: ["patch"], resources: ["nodes/status", "pods/status"]),
        .init(verbs: ["create", "patch"], group: "coordination.k8s.io", resources: ["leases"]),
        .init(verbs: ["delete", "list", "watch"], resources: ["pods"]),
        .init(verbs: ["list", "watch"], resources: ["services"]),
        .init(verbs: read, resources: ["configmaps", "secrets"]),
        .init(verbs: ["create"], resources: ["serviceaccounts/token"]),
        .init(verbs: ["get"], group: "node.k8s.io", resources: ["runtimeclasses"]), .events,
      ])
  }

  // MARK: - Another container runtime

  /// The socket of another container runtime; `nil` for the node's own.
  private static func socket(_ settings: CapabilitySettings) -> String? {
    guard let endpoint = settings["containerRuntimeEndpoint"], !endpoint.isEmpty else { return nil }
    return endpoint.hasPrefix("unix://") ? String(endpoint.dropFirst("unix://".count)) : endpoint
  }

  private static func endpointRefusal(_ settings: CapabilitySettings) -> String? {
    guard let socket = socket(settings) else { return nil }
    guard socket.hasPrefix("/") else {
      return "--container-runtime-endpoint takes unix:///path, not '\(settings["containerRuntimeEndpoint"] ?? "")'"
    }
    if settings["lazyPull"] == "true" {
      return "--lazy-pull is for the node's own images: the runtime of --container-runtime-endpoint pulls its own"
    }
    if let runtime = settings["runtime"], runtime != "crun" {
      return
        "--runtime is for the node's own containers: the runtime of --container-runtime-endpoint chooses its own programs"
    }
    return nil
  }

  /// Pods stay with the runtime that made them: another one would not see them, and start them a second time.
  private static func keepRuntime(_ place: FootprintPlace, _ settings: CapabilitySettings) throws {
    let wanted = socket(settings)
    var others = wanted == nil ? [] : ["containers/containers", "containers/sandboxes"]
    if try CRIRuntime.recordedSocket(in: place.path("containers/cri")) != wanted {
      others.append("containers/cri/pods")
    }
    let filled = try others.map { place.path($0) }.filter { try access($0, F_OK) == 0 && !Directory.list($0).isEmpty }
    guard filled.isEmpty else {
      throw Failure(
        "\(filled[0]) tells of pods that another container runtime has: start with the --container-runtime-endpoint of before, "
          + "or remove them with `apus down --purge --data \(place.data)`")
    }
  }

  private static func checks(_ place: FootprintPlace, _ settings: CapabilitySettings) -> [MachineCheck] {
    if let socket = socket(settings) { return [.containerRuntime(socket), .cgroups] }
    return [
      .program(settings["runtime"] ?? "crun", package: "crun"), .program("conmon", package: "conmon"),
      .networkPlugins(CrunRuntime.Configuration(place, settings).networkPluginDirectories), .overlay, .cgroups,
    ]
  }

  /// Name and version of the OCI runtime, as the first line of its `--version` gives them.
  private static func engine(_ path: String) async throws -> (name: String, version: String) {
    let output: ProcessResult
    do {
      output = try await Subprocess.run(path, ["--version"], timeout: .seconds(10))
    } catch {
      throw Failure("the OCI runtime \(path) does not run (\(error)). Install the package crun, or give --runtime")
    }
    let words = String(decoding: output.stdout, as: UTF8.self).split(separator: "\n").first?.split(separator: " ") ?? []
    return (words.first.map(String.init) ?? "oci", words.last.map(String.init) ?? "unknown")
  }

  /// Ends all pods. Where no node has run there is nothing to look at, and no runtime is needed.
  private static func release(
    _ place: FootprintPlace, _ settings: CapabilitySettings, _ note: @Sendable (String) -> Void
  ) async throws {
    // The settings may be gone: the folder itself tells whom its pods are with. Where it was deleted by hand, they do.
    let isGone = access(place.path("containers"), F_OK) != 0
    let folder = place.path("containers/cri/pods")
    let hasNone = try !isGone && (access(folder, F_OK) != 0 || Directory.list(folder).isEmpty)
    if !hasNone,
      let socket = try CRIRuntime.recordedSocket(in: place.path("containers/cri")) ?? (isGone ? socket(settings) : nil)
    {
      let runtime = try await CRIRuntime.open(
        CRIRuntime.Configuration(place, socketPath: socket), time: SystemClock())
      defer { runtime.close() }
      try await runtime.removeEverything { note("removing \($0) pods") }
    }
    let configuration = CrunRuntime.Configuration(place, settings)
    guard access("\(configuration.stateDirectory)/containers", F_OK) == 0 || access("\(place.run)/ns", F_OK) == 0
    else { return }
    let runtime = try await CrunRuntime.open(configuration, time: SystemClock())
    let pods = Set(try await runtime.sandboxes().map(\.podUID) + runtime.containers().map(\.podUID))
    if !pods.isEmpty { note("removing \(pods.count) pods") }
    try await NodeAgent.removeLazyImages(store: place.path("images"), runDirectory: place.run)
    try await runtime.removeEverything()
  }
}

extension CrunRuntime.Configuration {
  init(_ place: FootprintPlace, _ settings: CapabilitySettings) {
    self.init(
      stateDirectory: place.path("containers"), runDirectory: place.run,
      networkConfigurationDirectory: place.path("cni"))
    runtimePath = settings["runtime"] ?? "crun"
    cgroupRoot = place.cgroup
    spareSandboxesMax = 8
  }
}

extension CRIRuntime.Configuration {
  init(_ place: FootprintPlace, socketPath: String) {
    self.init(
      socketPath: socketPath, stateDirectory: place.path("containers/cri"), runDirectory: place.run, owner: place.owner)
    cgroupRoot = place.cgroup
  }
}

extension MachineCheck {
  fileprivate static func containerRuntime(_ socket: String) -> MachineCheck {
    MachineCheck("container runtime") {
      do {
        let (name, version) = try await CRIRuntime.ask(socketPath: socket)
        return .ok("\(name) \(version) answers at \(socket)")
      } catch {
        return .problem(
          "\(error)", remedy: "start containerd (or CRI-O), or give --container-runtime-endpoint its socket")
      }
    }
  }

  /// CNI plugins, each in the first folder that has it.
  fileprivate static func networkPlugins(_ folders: [String]) -> MachineCheck {
    MachineCheck("CNI plugins") {
      let missing = ["bridge", "host-local", "loopback"].filter { name in
        !folders.contains { access("\($0)/\(name)", X_OK) == 0 }
      }
      if missing.isEmpty { return .ok("bridge, host-local and loopback are there") }
      return .problem(
        "\(missing.joined(separator: ", ")) not in \(folders.joined(separator: " or "))",
        remedy: "apt-get install containernetworking-plugins")
    }
  }

  fileprivate static var overlay: MachineCheck {
    MachineCheck("overlay file system") {
      let known = (try? DurableFile.read("/proc/filesystems", limit: 1 << 16)) ?? []
      let names = String(decoding: known, as: UTF8.self).split { $0 == "\n" || $0 == "\t" }
      if names.contains("overlay") { return .ok("known to the kernel") }
      return .problem("the kernel knows no overlay file system", remedy: "modprobe overlay")
    }
  }

  fileprivate static var cgroups: MachineCheck {
    MachineCheck("cgroups") {
      do {
        let layout = try CgroupLayout.current()
        let left = try layout.leftoverControllers()
        if left.isEmpty { return .ok("version \(layout.mode.rawValue)") }
        return .warning(
          "\(layout.mode.rawValue): the controllers \(left.joined(separator: ", ")) have no version 1 hierarchy, which crun needs",
          remedy:
            "none is needed: `apus up` mounts them; to do without, start the kernel with systemd.unified_cgroup_hierarchy=1"
        )
      } catch {
        return .problem("\(error)", remedy: "mount -t cgroup2 none /sys/fs/cgroup")
      }
    }
  }
}
