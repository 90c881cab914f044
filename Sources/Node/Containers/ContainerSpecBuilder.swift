import Containers
import KubeTypes
import LinuxSystem
import OCI
import Wire

/// Translates a container of a pod and its image into what the runtime needs. Pure but for `mounts`, which the worker
/// makes with the volume manager.
struct ContainerSpecBuilder: Sendable {
  let configuration: NodeConfiguration
  /// Bytes; for the out-of-memory score.
  let nodeMemory: Int64

  /// The label that keeps a container's stop signal for a server that adopts it.
  static let stopSignalLabel = "io.kubernetes.container.stopSignal"
  /// The label with the digest of the manifest that a container was made from.
  static let imageLabel = "dev.apus.container.image"
  /// The label with the same of a container whose image is fetched while it runs.
  static let lazyImageLabel = "dev.apus.container.lazy-image"
  /// A pod's annotation; `none` leaves the health checks of its images alone.
  static let healthAnnotation = "apus.dev/healthcheck"

  /// - Parameter hostDNS: the machine's own resolver settings, as they are now.
  func sandbox(for pod: Pod, hostDNS: ResolverConfiguration) -> SandboxSpec {
    let uid = pod.metadata.uid ?? ""
    var spec = SandboxSpec(
      podUID: uid, name: pod.metadata.name ?? "", namespace: pod.metadata.namespace ?? "",
      hostname: PodDNS.kernelHostname(of: pod, clusterDomain: configuration.clusterDomain),
      cgroupParent: QualityOfService(of: pod).cgroup(podUID: uid))
    spec.fullyQualifiedName = PodDNS.fullyQualifiedName(of: pod, clusterDomain: configuration.clusterDomain)
    spec.hostNetwork = pod.spec.hostNetwork == true
    spec.hostPID = pod.spec.hostPID == true
    spec.hostIPC = pod.spec.hostIPC == true
    spec.shareProcessNamespace = pod.spec.shareProcessNamespace == true
    spec.userNamespace = pod.spec.hostUsers == false
    spec.privileged = (pod.spec.initContainers + pod.spec.containers).contains {
      $0.securityContext?.privileged == true
    }
    spec.dns = PodDNS.settings(
      for: pod, clusterDNS: configuration.clusterDNS, clusterDomain: configuration.clusterDomain, host: hostDNS)
    spec.hostAliases = pod.spec.hostAliases.map { HostAlias(ip: $0.ip ?? "", hostnames: $0.hostnames) }
    for sysctl in pod.spec.securityContext?.sysctls ?? [] { spec.sysctls[sysctl.name ?? ""] = sysctl.value ?? "" }
    if !spec.hostNetwork {
      for container in pod.spec.initContainers + pod.spec.containers {
        for port in container.ports {
          guard let hostPort = port.hostPort, hostPort > 0, let containerPort = port.containerPort else { continue }
          spec.portMappings.append(
            PortMapping(
              hostPort: Int(hostPort), containerPort: Int(containerPort),
              transport: (port.`protocol` ?? "TCP").lowercased(), hostIP: port.hostIP ?? ""))
        }
      }
    }
    return spec
  }

  /// - Parameters:
  ///   - variables: from `EnvironmentBuilder`.
  func container(
    _ container: Container, of pod: Pod, attempt: Int, image prepared: PreparedImage,
    variables: [(name: String, value: String)], mounts: [ContainerMount]
  ) throws(NodeError) -> ContainerSpec {
    let image = prepared.image
    let uid = pod.metadata.uid ?? ""
    let name = container.name ?? ""
    let security = try SecuritySettings(
      pod: pod, container: container, imageUser: image.config.user,
      seccompRoot: "\(configuration.dataDirectory)/seccomp")

    // `$(VAR)` sees the container's variables, not the image's.
    let values = Dictionary(variables.map { ($0.name, $0.value) }) { _, new in new }
    func expand(_ list: [String]) -> [String] { list.map { Expansion.expand($0) { values[$0] } } }
    var arguments = expand(container.command)
    if arguments.isEmpty {
      arguments = image.config.entrypoint + (container.args.isEmpty ? image.config.cmd : expand(container.args))
    } else {
      arguments += expand(container.args)
    }
    guard !arguments.isEmpty else {
      throw NodeError(
        .createContainerError,
        "no command specified: neither the container nor image \(container.image ?? "") names one")
    }

    var spec = ContainerSpec(
      podUID: uid, podName: pod.metadata.name ?? "", podNamespace: pod.metadata.namespace ?? "", name: name,
      attempt: attempt, image: container.image ?? "", imageID: prepared.imageID,
      lowerDirectories: prepared.lowerDirectories, arguments: arguments,
      environment: environment(image: image, variables: variables, pod: pod),
      logPath: configuration.logPath(uid, container: name, attempt: attempt))
    spec.workingDirectory = container.workingDir.flatMap { $0.isEmpty ? nil : $0 } ?? image.config.workingDir
    spec.mounts = mounts
    spec.imageUser = image.config.user
    spec.runAsUser = security.runAsUser
    spec.runAsGroup = security.runAsGroup
    spec.supplementalGroups = security.supplementalGroups
    spec.mergesGroups = security.mergesGroups
    spec.privileged = security.isPrivileged
    spec.addCapabilities = security.addCapabilities
    spec.dropCapabilities = security.dropCapabilities
    spec.noNewPrivileges = security.noNewPrivileges
    spec.seccomp = security.seccomp
    spec.unmaskedProc = security.isProcUnmasked
    spec.readOnlyRootFilesystem = security.hasReadOnlyRoot

    let limits = container.resources?.limits ?? [:]
    let requests = container.resources?.requests ?? [:]
    spec.resources = ContainerResources(
      cpuRequestMillis: (requests["cpu"] ?? limits["cpu"])?.milliValue, cpuLimitMillis: limits["cpu"]?.milliValue,
      memoryLimitBytes: limits["memory"]?.value)
    let wanted = QualityOfService(of: pod).oomScoreAdjustment(
      memoryRequest: (requests["memory"] ?? limits["memory"])?.value ?? 0, nodeMemory: nodeMemory)
    spec.oomScoreAdjustment = max(wanted, QualityOfService.oomScoreAdjustmentMin)
    spec.tty = container.tty == true
    spec.stdin = container.stdin == true
    spec.stdinOnce = container.stdinOnce == true
    spec.terminationMessagePath = container.terminationMessagePath ?? "/dev/termination-log"

    let signal = container.lifecycle?.json["stopSignal"]?.string ?? image.config.stopSignal ?? "SIGTERM"
    spec.labels[Self.imageLabel] = image.digest.description
    if prepared.isLazy { spec.labels[Self.lazyImageLabel] = image.digest.description }
    // Of one that runs to its end nobody asks whether it is ready.
    let isInitial = container.restartPolicy != "Always" && pod.spec.initContainers.contains { $0.name == name }
    if container.readinessProbe == nil, !isInitial, pod.metadata.annotations[Self.healthAnnotation] != "none",
      let health = HealthCheck(image.config)
    {
      spec.labels[HealthCheck.label] = health.labelText
    }
    spec.stopSignal = Signals.number(signal) ?? Signals.terminate
    spec.labels[Self.stopSignalLabel] = "\(spec.stopSignal)"
    return spec
  }

  private func environment(image: OCI.Image, variables: [(name: String, value: String)], pod: Pod) -> [String] {
    var names: [String] = []
    var values: [String: String] = [:]
    func set(_ name: String, _ value: String) {
      if values.updateValue(value, forKey: name) == nil { names.append(name) }
    }
    set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if pod.spec.hostNetwork != true {
      set("HOSTNAME", PodDNS.kernelHostname(of: pod, clusterDomain: configuration.clusterDomain))
    }
    for entry in image.config.env {
      let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      set(String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
    }
    for variable in variables { set(variable.name, variable.value) }
    return names.map { "\($0)=\(values[$0] ?? "")" }
  }
}
