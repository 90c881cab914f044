import Protobuf

extension RuntimeV1 {
  package struct ContainerMetadata: ProtobufMessage {
    package var name = ""
    /// How often the container was started before in its pod.
    package var attempt: UInt32 = 0

    package init() {}

    package init(name: String, attempt: UInt32) {
      self.name = name
      self.attempt = attempt
    }

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &name)
      try fields.field(2, &attempt)
    }
  }

  package struct KeyValue: ProtobufMessage {
    package var key = ""
    /// `bytes` in the schema since 1.36, `string` before: the same on the wire.
    package var value: [UInt8] = []

    package init() {}

    package init(_ key: String, _ value: String) {
      self.key = key
      self.value = Array(value.utf8)
    }

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &key)
      try fields.field(2, &value)
    }
  }

  package struct Mount: ProtobufMessage {
    package enum Propagation: Int32, Sendable {
      case isPrivate = 0
      case hostToContainer = 1
      case bidirectional = 2
    }

    package var containerPath = ""
    package var hostPath = ""
    package var readonly = false
    package var propagation = Propagation.isPrivate

    package init() {}

    package init(
      containerPath: String, hostPath: String, readonly: Bool = false, propagation: Propagation = .isPrivate
    ) {
      self.containerPath = containerPath
      self.hostPath = hostPath
      self.readonly = readonly
      self.propagation = propagation
    }

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &containerPath)
      try fields.field(2, &hostPath)
      try fields.field(3, &readonly)
      try fields.field(5, &propagation)
    }
  }

  package struct Device: ProtobufMessage {
    package var containerPath = ""
    package var hostPath = ""
    /// Letters of `rwm`.
    package var permissions = ""

    package init() {}

    package init(containerPath: String, hostPath: String, permissions: String) {
      self.containerPath = containerPath
      self.hostPath = hostPath
      self.permissions = permissions
    }

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &containerPath)
      try fields.field(2, &hostPath)
      try fields.field(3, &permissions)
    }
  }

  /// Limits; zero leaves one as it is.
  package struct LinuxContainerResources: ProtobufMessage {
    /// Microseconds.
    package var cpuPeriod: Int64 = 0
    /// Microseconds of each period; negative for no limit.
    package var cpuQuota: Int64 = 0
    package var cpuShares: Int64 = 0
    package var memoryLimitInBytes: Int64 = 0
    package var oomScoreAdj: Int64 = 0
    /// Files of a cgroup of version 2 and what is written there.
    package var unified: [String: String] = [:]

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &cpuPeriod)
      try fields.field(2, &cpuQuota)
      try fields.field(3, &cpuShares)
      try fields.field(4, &memoryLimitInBytes)
      try fields.field(5, &oomScoreAdj)
      try fields.field(9, &unified)
    }
  }

  /// `NET_ADMIN` style, without `CAP_`; `ALL` is understood.
  package struct Capability: ProtobufMessage {
    package var addCapabilities: [String] = []
    package var dropCapabilities: [String] = []

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &addCapabilities)
      try fields.field(2, &dropCapabilities)
    }
  }

  package struct LinuxContainerSecurityContext: ProtobufMessage {
    package var capabilities: Capability?
    package var privileged = false
    package var namespaceOptions = NamespaceOption()
    package var runAsUser: Int64Value?
    package var runAsUsername = ""
    package var readonlyRootfs = false
    package var supplementalGroups: [Int64] = []
    package var noNewPrivs = false
    package var runAsGroup: Int64Value?
    package var maskedPaths: [String] = []
    package var readonlyPaths: [String] = []
    package var seccomp: SecurityProfile?

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &capabilities)
      try fields.field(2, &privileged)
      try fields.field(3, &namespaceOptions)
      try fields.field(5, &runAsUser)
      try fields.field(6, &runAsUsername)
      try fields.field(7, &readonlyRootfs)
      try fields.field(8, &supplementalGroups)
      try fields.field(11, &noNewPrivs)
      try fields.field(12, &runAsGroup)
      try fields.field(13, &maskedPaths)
      try fields.field(14, &readonlyPaths)
      try fields.field(15, &seccomp)
    }
  }

  package struct LinuxContainerConfig: ProtobufMessage {
    package var resources = LinuxContainerResources()
    package var securityContext = LinuxContainerSecurityContext()

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &resources)
      try fields.field(2, &securityContext)
    }
  }

  package struct ContainerConfig: ProtobufMessage {
    package var metadata = ContainerMetadata()
    package var image = ImageSpec()
    /// Instead of the image's entry point.
    package var command: [String] = []
    /// Instead of the image's command.
    package var args: [String] = []
    /// Empty for the image's.
    package var workingDir = ""
    package var envs: [KeyValue] = []
    package var mounts: [Mount] = []
    package var devices: [Device] = []
    package var labels: [String: String] = [:]
    package var annotations: [String: String] = [:]
    /// Below the sandbox's `logDirectory`.
    package var logPath = ""
    package var stdin = false
    package var stdinOnce = false
    package var tty = false
    package var linux = LinuxContainerConfig()

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &metadata)
      try fields.field(2, &image)
      try fields.field(3, &command)
      try fields.field(4, &args)
      try fields.field(5, &workingDir)
      try fields.field(6, &envs)
      try fields.field(7, &mounts)
      try fields.field(8, &devices)
      try fields.field(9, &labels)
      try fields.field(10, &annotations)
      try fields.field(11, &logPath)
      try fields.field(12, &stdin)
      try fields.field(13, &stdinOnce)
      try fields.field(14, &tty)
      try fields.field(15, &linux)
    }
  }

  package enum ContainerState: Int32, Sendable {
    case created = 0
    case running = 1
    case exited = 2
    /// The runtime has lost it.
    case unknown = 3
  }

  /// An entry of a list of containers.
  package struct Container: ProtobufMessage {
    package var id = ""
    package var podSandboxID = ""
    package var metadata = ContainerMetadata()
    package var image = ImageSpec()
    package var imageRef = ""
    package var state = ContainerState.created
    /// Nanoseconds since 1970.
    package var createdAt: Int64 = 0
    package var labels: [String: String] = [:]
    package var annotations: [String: String] = [:]

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &id)
      try fields.field(2, &podSandboxID)
      try fields.field(3, &metadata)
      try fields.field(4, &image)
      try fields.field(5, &imageRef)
      try fields.field(6, &state)
      try fields.field(7, &createdAt)
      try fields.field(8, &labels)
      try fields.field(9, &annotations)
    }
  }

  package struct ContainerStatus: ProtobufMessage {
    package var id = ""
    package var metadata = ContainerMetadata()
    package var state = ContainerState.created
    /// Nanoseconds since 1970, as the two below; zero for what was not yet.
    package var createdAt: Int64 = 0
    package var startedAt: Int64 = 0
    package var finishedAt: Int64 = 0
    package var exitCode: Int32 = 0
    package var image = ImageSpec()
    package var imageRef = ""
    /// `OOMKilled`, `Completed`, `Error`, `Unknown`, or whatever the runtime says.
    package var reason = ""
    package var message = ""
    package var labels: [String: String] = [:]
    package var annotations: [String: String] = [:]
    package var mounts: [Mount] = []
    /// Absolute.
    package var logPath = ""

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &id)
      try fields.field(2, &metadata)
      try fields.field(3, &state)
      try fields.field(4, &createdAt)
      try fields.field(5, &startedAt)
      try fields.field(6, &finishedAt)
      try fields.field(7, &exitCode)
      try fields.field(8, &image)
      try fields.field(9, &imageRef)
      try fields.field(10, &reason)
      try fields.field(11, &message)
      try fields.field(12, &labels)
      try fields.field(13, &annotations)
      try fields.field(14, &mounts)
      try fields.field(15, &logPath)
    }
  }

  package struct ContainerStatusResponse: ProtobufMessage {
    package var status = ContainerStatus()
    /// With `verbose`: what the runtime likes to tell, as JSON by topic.
    package var info: [String: String] = [:]

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &status)
      try fields.field(2, &info)
    }
  }

  /// What is asked for; all of it must hold. An empty one is for everything.
  package struct ContainerFilter: ProtobufMessage {
    /// Part of the id from its beginning is enough.
    package var id = ""
    package var podSandboxID = ""
    package var labelSelector: [String: String] = [:]

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &id)
      try fields.field(3, &podSandboxID)
      try fields.field(4, &labelSelector)
    }
  }

  package struct ExecSyncResponse: ProtobufMessage {
    package var stdout: [UInt8] = []
    package var stderr: [UInt8] = []
    package var exitCode: Int32 = 0

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &stdout)
      try fields.field(2, &stderr)
      try fields.field(3, &exitCode)
    }
  }
}
