import KubeClient
import LinuxSystem
import Wire

/// Runs containers on this machine. The node's pod workers act only through this protocol, so that tests can put a
/// scripted runtime in its place.
///
/// Every call has a deadline of its own: a container engine that hangs shows up as `RuntimeError.Code.timedOut` of the
/// calls that touch it and blocks no other pod. Every `remove` is idempotent, also after a crash in its middle and after
/// a reboot. Calls for different pods run in parallel; calls for one container must come one after another.
public protocol ContainerRuntime: Sendable {
  /// Makes the pod's namespaces, network interface, cgroup, and the files that its containers share (`/etc/hosts`,
  /// `/etc/hostname`, `/etc/resolv.conf`, `/dev/shm`). Asked again for a pod that has its sandbox, it answers that one.
  func createSandbox(_ spec: SandboxSpec) async throws(RuntimeError) -> Sandbox

  /// Removes the pod's remaining containers, its interface, namespaces, cgroup and files. Idempotent.
  func removeSandbox(_ podUID: String) async throws(RuntimeError)

  /// The sandboxes that are recorded on this machine, also those made before the server's last start. One whose
  /// `isReady` is false lost its namespaces (the machine was rebooted): remove it and create it again.
  func sandboxes() async throws(RuntimeError) -> [Sandbox]

  /// Mounts the root file system and starts the engine up to, not including, the container's own program.
  func createContainer(_ spec: ContainerSpec) async throws(RuntimeError) -> ContainerHandle

  /// Runs the program of a created container.
  func startContainer(_ id: String) async throws(RuntimeError)

  /// Sends a signal to the container's first process. A container that has already ended is no error.
  func signal(_ id: String, _ signal: Int32) async throws(RuntimeError)

  /// Kills what still runs, unmounts, and removes every trace but the log file. Idempotent.
  func removeContainer(_ id: String) async throws(RuntimeError)

  /// Every container that is recorded on this machine, also those made before the server's last start.
  func containers() async throws(RuntimeError) -> [ContainerState]

  /// Begins to listen for ends of containers: first those of the containers that are here and have ended, whenever that
  /// was, then those to come. None is left out, and one may be told twice.
  func events() -> AsyncStream<RuntimeEvent>

  /// Starts a process in a running container.
  func exec(_ id: String, command: [String], options: TerminalOptions) async throws(RuntimeError) -> any ProcessStream

  /// Connects to the standard streams of the container's first process.
  func attach(_ id: String, options: TerminalOptions) async throws(RuntimeError) -> any ProcessStream

  /// Connects to a TCP port on the loopback address inside the pod's network namespace.
  func connect(podUID: String, port: Int) async throws(RuntimeError) -> any ByteStream

  /// Runs a command to its end, for probes and hooks. Output beyond `outputLimit` bytes is dropped. Throws `timedOut`
  /// when the command took longer; it is then killed.
  func execSync(_ id: String, command: [String], timeout: Duration, outputLimit: Int) async throws(RuntimeError)
    -> ProcessResult

  /// Resource usage of the pod and of each of its running containers, from their cgroups.
  func stats(podUID: String) async throws(RuntimeError) -> PodUsage

  /// Changes the limits of a running container in place.
  func updateResources(_ id: String, _ resources: ContainerResources) async throws(RuntimeError)

  /// Lets the log writer open its path anew, after the log was renamed away by rotation.
  func reopenLog(_ id: String) async throws(RuntimeError)
}

/// Why the runtime could not do what was asked.
public struct RuntimeError: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Code: String, Sendable {
    /// No such pod or container here.
    case notFound
    /// The container is not in the state that the call needs.
    case wrongState
    /// The specification cannot be carried out; trying again does not help.
    case invalid
    /// Not built, or not possible on this machine.
    case unsupported
    /// The container engine or a network plugin did not answer in time.
    case timedOut
    /// A network plugin refused.
    case network
    /// The container engine refused, for example because the program does not exist in the image.
    case engine
    /// A system call failed.
    case system
  }

  public var code: Code
  /// What is wrong, where, and, where it is known, what to do. Fit for a pod event.
  public var message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public static func timedOut(_ message: String) -> RuntimeError { RuntimeError(.timedOut, message) }
  public static func notFound(_ message: String) -> RuntimeError { RuntimeError(.notFound, message) }

  public var description: String { message }
}

// MARK: - Sandbox

/// What a pod's containers share.
public struct SandboxSpec: Sendable, Equatable {
  public var podUID: String
  public var name: String
  public var namespace: String
  /// The name inside the UTS namespace and in `/etc/hostname`; not used with `hostNetwork`.
  public var hostname: String
  /// The pod's fully qualified name for `/etc/hosts` when it has a subdomain (`host.subdomain.ns.svc.cluster.local`).
  public var fullyQualifiedName: String?
  public var hostNetwork = false
  public var hostPID = false
  public var hostIPC = false
  /// Where no process could own a pod-wide pid namespace, as with `CrunRuntime`, it is refused with `unsupported`.
  public var shareProcessNamespace = false
  /// Whether a container of the pod will be privileged: engines with a process for the sandbox must know beforehand.
  public var privileged = false
  /// A user namespace of the pod's own (`hostUsers: false`).
  public var userNamespace = false
  /// The content of `/etc/resolv.conf`.
  public var dns = ResolverConfiguration()
  public var hostAliases: [HostAlias] = []
  public var portMappings: [PortMapping] = []
  /// Namespaced sysctls in dotted form.
  public var sysctls: [String: String] = [:]
  /// The pod's cgroup below the runtime's root, for example `burstable/pod<uid>`.
  public var cgroupParent: String
  /// Limits of the pod as a whole; all `nil` for none.
  public var resources = ContainerResources()
  /// Bytes of the pod's `/dev/shm`.
  public var sharedMemoryLimit: Int64 = 64 << 20

  public init(podUID: String, name: String, namespace: String, hostname: String, cgroupParent: String) {
    self.podUID = podUID
    self.name = name
    self.namespace = namespace
    self.hostname = hostname
    self.cgroupParent = cgroupParent
  }
}

public struct HostAlias: Sendable, Equatable {
  public var ip: String
  public var hostnames: [String]

  public init(ip: String, hostnames: [String]) {
    self.ip = ip
    self.hostnames = hostnames
  }
}

public struct PortMapping: Sendable, Equatable {
  public var hostPort: Int
  public var containerPort: Int
  /// `tcp`, `udp` or `sctp`.
  public var transport: String
  /// Empty for every address of the host.
  public var hostIP: String

  public init(hostPort: Int, containerPort: Int, transport: String, hostIP: String = "") {
    self.hostPort = hostPort
    self.containerPort = containerPort
    self.transport = transport
    self.hostIP = hostIP
  }
}

public struct Sandbox: Sendable, Equatable {
  public var podUID: String
  public var name: String
  public var namespace: String
  /// Primary address first. Empty with `hostNetwork`.
  public var ips: [String]
  /// `nil` with `hostNetwork`.
  public var networkNamespacePath: String?
  public var createdAt: Timestamp
  /// False when its namespaces are gone.
  public var isReady: Bool
  /// Of a sandbox that was just made: ports of the host that are asked for and that no network plugin opens.
  public var unmappedPorts: [PortMapping] = []
  /// Why that is so, and what helps.
  public var unmappedReason = ""
}

// MARK: - Container

public struct ContainerSpec: Sendable, Equatable {
  public var podUID: String
  public var podName: String
  public var podNamespace: String
  public var name: String
  /// How often this container was started before in this pod.
  public var attempt: Int
  /// The reference from the pod and the image's id, for `ContainerState`.
  public var image: String
  public var imageID: String
  /// The parent of the root's snapshot: folders of layers, top first. At least one, and none with a runtime that has images
  /// of its own.
  public var lowerDirectories: [String]

  /// The whole command line; the first element is looked up in the container's `PATH`.
  public var arguments: [String]
  /// `NAME=value`.
  public var environment: [String]
  /// Empty for `/`. Made when it does not exist.
  public var workingDirectory = ""
  public var mounts: [ContainerMount] = []
  public var devices: [ContainerDevice] = []

  /// The image's `User` (`user`, `uid`, `user:group`), looked up in the image's `/etc/passwd` and `/etc/group`.
  public var imageUser = ""
  /// Instead of `imageUser`.
  public var runAsUser: Int64?
  public var runAsGroup: Int64?
  /// Includes `fsGroup`.
  public var supplementalGroups: [Int64] = []
  /// Whether the groups that the image gives the user come beside `supplementalGroups`.
  public var mergesGroups = true

  public var privileged = false
  /// `NET_ADMIN` style, without `CAP_`; `ALL` is understood.
  public var addCapabilities: [String] = []
  public var dropCapabilities: [String] = []
  public var noNewPrivileges = false
  public var seccomp = SeccompChoice.runtimeDefault
  /// No masked and no read-only paths in `/proc` (`procMount: Unmasked`).
  public var unmaskedProc = false
  public var readOnlyRootFilesystem = false

  public var resources = ContainerResources()
  /// By the pod's quality of service: -997 guaranteed, 2…999 burstable, 1000 best effort.
  public var oomScoreAdjustment = 0

  public var tty = false
  public var stdin = false
  /// Ends the container's input when the first attached client leaves.
  public var stdinOnce = false
  /// The signal that will ask it to end, for runtimes that send only the image's own.
  package var stopSignal = Signals.terminate
  /// The file for the CRI log format. Its folder is made.
  public var logPath: String
  /// Where the container writes why it ended; the runtime mounts a file there (`ContainerState.terminationMessageFile`).
  public var terminationMessagePath: String?
  public var labels: [String: String] = [:]

  public init(
    podUID: String, podName: String, podNamespace: String, name: String, attempt: Int, image: String, imageID: String,
    lowerDirectories: [String], arguments: [String], environment: [String], logPath: String
  ) {
    self.podUID = podUID
    self.podName = podName
    self.podNamespace = podNamespace
    self.name = name
    self.attempt = attempt
    self.image = image
    self.imageID = imageID
    self.lowerDirectories = lowerDirectories
    self.arguments = arguments
    self.environment = environment
    self.logPath = logPath
  }
}

public struct ContainerMount: Sendable, Equatable {
  public enum Source: Sendable, Equatable {
    /// A file or folder of the host, which must exist, by a path that only root names; see `held`.
    case bind(String)
    /// Memory, at most `sizeLimit` bytes.
    case tmpfs(sizeLimit: Int64?)
  }
  public enum Propagation: String, Sendable, Equatable {
    case none = "rprivate"
    case hostToContainer = "rslave"
    case bidirectional = "rshared"
  }

  public var source: Source
  public var destination: String
  public var readOnly: Bool
  public var propagation: Propagation
  /// What was looked up at the path to bind, when a pod named it: this is mounted, whatever the path means by then.
  public var held: ResolvedFile?
  /// Of what is `held`: with what is mounted below it.
  public var isRecursive: Bool

  public init(
    source: Source, destination: String, readOnly: Bool = false, propagation: Propagation = .none,
    held: ResolvedFile? = nil, isRecursive: Bool = true
  ) {
    self.source = source
    self.destination = destination
    self.readOnly = readOnly
    self.propagation = propagation
    self.held = held
    self.isRecursive = isRecursive
  }
}

/// A device node of the host that appears in the container.
public struct ContainerDevice: Sendable, Equatable {
  public var hostPath: String
  public var containerPath: String
  /// Letters of `rwm`.
  public var permissions: String

  public init(hostPath: String, containerPath: String, permissions: String = "rwm") {
    self.hostPath = hostPath
    self.containerPath = containerPath
    self.permissions = permissions
  }
}

public enum SeccompChoice: Sendable, Equatable {
  case runtimeDefault
  case unconfined
  /// A profile below this folder of the host, in the form of `linux.seccomp` in the OCI runtime specification.
  /// What only Docker's form has (`includes`, `excludes`, `archMap`) is not understood.
  case localhost(folder: String, name: String)
}

/// cgroup limits; `nil` leaves a limit as the kernel has it.
public struct ContainerResources: Sendable, Equatable {
  /// Thousandths of a CPU; the weight among neighbours.
  public var cpuRequestMillis: Int64?
  /// Thousandths of a CPU; enforced by quota.
  public var cpuLimitMillis: Int64?
  public var memoryLimitBytes: Int64?
  public var pidsLimit: Int64?

  public init(
    cpuRequestMillis: Int64? = nil, cpuLimitMillis: Int64? = nil, memoryLimitBytes: Int64? = nil,
    pidsLimit: Int64? = nil
  ) {
    self.cpuRequestMillis = cpuRequestMillis
    self.cpuLimitMillis = cpuLimitMillis
    self.memoryLimitBytes = memoryLimitBytes
    self.pidsLimit = pidsLimit
  }
}

public struct ContainerHandle: Sendable, Equatable {
  /// 64 hexadecimal digits; the `containerID` of the API is the engine's name and this one: `crun://<id>`.
  public var id: String
  public var podUID: String
  public var name: String
  public var attempt: Int
  /// The host's file behind `terminationMessagePath`.
  public var terminationMessageFile: String?
  /// Whom its first process runs as.
  package var user: ResolvedUser?
}

public struct ContainerState: Sendable, Equatable {
  public enum Status: String, Sendable, Equatable {
    case created
    case running
    case exited
  }

  public var id: String
  public var podUID: String
  public var podName: String
  public var podNamespace: String
  public var name: String
  public var attempt: Int
  public var image: String
  public var imageID: String
  public var status: Status
  /// The first process as the host sees it, while it runs.
  public var pid: Int32?
  public var createdAt: Timestamp
  public var startedAt: Timestamp?
  public var finishedAt: Timestamp?
  public var exitCode: Int32?
  public var oomKilled: Bool
  /// True when how it ended could not be learnt (the machine was rebooted, or its monitor was killed): `exitCode` is
  /// then 137 and Kubernetes' reason is `ContainerStatusUnknown`.
  public var isLost: Bool
  public var logPath: String
  /// The host's file behind `terminationMessagePath`.
  public var terminationMessageFile: String?
  public var labels: [String: String]
  /// Whom its first process runs as; `nil` of a container that an older version made.
  package var user: ResolvedUser?
}

/// A container ended.
public struct RuntimeEvent: Sendable, Equatable {
  public var containerID: String
  public var podUID: String
  public var name: String
  public var attempt: Int
  /// 128 + signal when a signal ended it.
  public var exitCode: Int32
  public var signal: Int32?
  public var finishedAt: Timestamp
  public var oomKilled: Bool
  public var isLost: Bool
}

public struct ResourceUsage: Sendable, Equatable {
  /// CPU time since the cgroup was made.
  public var cpuNanoseconds: UInt64
  /// Memory charged to the cgroup.
  public var memoryBytes: UInt64
  /// Without the file cache that can be dropped at once: what `kubectl top` shows.
  public var workingSetBytes: UInt64
  public var processes: UInt64
}

public struct PodUsage: Sendable, Equatable {
  public var pod: ResourceUsage
  /// By container id.
  public var containers: [String: ResourceUsage]
}
