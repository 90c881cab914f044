import Protobuf

/// The messages of the Container Runtime Interface (`runtime.v1`, `k8s.io/cri-api`), as far as a node uses them. Names are
/// the schema's; field numbers are too. What a runtime says beyond them is skipped.
package enum RuntimeV1 {}

extension RuntimeV1 {
  package struct PodSandboxMetadata: ProtobufMessage {
    package var name = ""
    package var uid = ""
    package var namespace = ""
    /// How often the pod had a sandbox before.
    package var attempt: UInt32 = 0

    package init() {}

    package init(name: String, uid: String, namespace: String, attempt: UInt32 = 0) {
      self.name = name
      self.uid = uid
      self.namespace = namespace
      self.attempt = attempt
    }

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &name)
      try fields.field(2, &uid)
      try fields.field(3, &namespace)
      try fields.field(4, &attempt)
    }
  }

  /// Of `/etc/resolv.conf`. A sandbox without one has the host's.
  package struct DNSConfig: ProtobufMessage {
    package var servers: [String] = []
    package var searches: [String] = []
    package var options: [String] = []

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &servers)
      try fields.field(2, &searches)
      try fields.field(3, &options)
    }
  }

  package enum TransportProtocol: Int32, Sendable {
    case tcp = 0
    case udp = 1
    case sctp = 2
  }

  package struct PortMapping: ProtobufMessage {
    package var transport = TransportProtocol.tcp
    package var containerPort: Int32 = 0
    package var hostPort: Int32 = 0
    /// Empty for every address.
    package var hostIP = ""

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &transport)
      try fields.field(2, &containerPort)
      try fields.field(3, &hostPort)
      try fields.field(4, &hostIP)
    }
  }

  package enum NamespaceMode: Int32, Sendable {
    /// Shared by the pod's containers.
    case pod = 0
    case container = 1
    case node = 2
    /// That of another container.
    case target = 3
  }

  package struct NamespaceOption: ProtobufMessage {
    package var network = NamespaceMode.pod
    package var pid = NamespaceMode.pod
    package var ipc = NamespaceMode.pod

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &network)
      try fields.field(2, &pid)
      try fields.field(3, &ipc)
    }
  }

  package struct Int64Value: ProtobufMessage {
    package var value: Int64 = 0

    package init() {}

    package init(_ value: Int64) { self.value = value }

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &value)
    }
  }

  package struct UInt64Value: ProtobufMessage {
    package var value: UInt64 = 0

    package init() {}

    package init(_ value: UInt64) { self.value = value }

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &value)
    }
  }

  package struct SecurityProfile: ProtobufMessage {
    package enum ProfileType: Int32, Sendable {
      case runtimeDefault = 0
      case unconfined = 1
      case localhost = 2
    }

    package var profileType = ProfileType.runtimeDefault
    /// With `localhost`: the profile's absolute path, or for AppArmor its name.
    package var localhostRef = ""

    package init() {}

    package init(_ profileType: ProfileType, localhostRef: String = "") {
      self.profileType = profileType
      self.localhostRef = localhostRef
    }

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &profileType)
      try fields.field(2, &localhostRef)
    }
  }

  package struct LinuxSandboxSecurityContext: ProtobufMessage {
    package var namespaceOptions = NamespaceOption()
    package var privileged = false
    package var seccomp: SecurityProfile?

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &namespaceOptions)
      try fields.field(6, &privileged)
      try fields.field(9, &seccomp)
    }
  }

  package struct LinuxPodSandboxConfig: ProtobufMessage {
    /// An absolute path below the hierarchy's root, for runtimes that keep cgroups by themselves (`cgroupfs`).
    package var cgroupParent = ""
    package var securityContext = LinuxSandboxSecurityContext()
    package var sysctls: [String: String] = [:]
    package var resources: LinuxContainerResources?

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &cgroupParent)
      try fields.field(2, &securityContext)
      try fields.field(3, &sysctls)
      try fields.field(5, &resources)
    }
  }

  package struct PodSandboxConfig: ProtobufMessage {
    package var metadata = PodSandboxMetadata()
    package var hostname = ""
    /// Containers' `logPath` is below it.
    package var logDirectory = ""
    package var dnsConfig: DNSConfig?
    package var portMappings: [PortMapping] = []
    package var labels: [String: String] = [:]
    package var annotations: [String: String] = [:]
    package var linux = LinuxPodSandboxConfig()

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &metadata)
      try fields.field(2, &hostname)
      try fields.field(3, &logDirectory)
      try fields.field(4, &dnsConfig)
      try fields.field(5, &portMappings)
      try fields.field(6, &labels)
      try fields.field(7, &annotations)
      try fields.field(8, &linux)
    }
  }

  package enum PodSandboxState: Int32, Sendable {
    case ready = 0
    case notReady = 1
  }

  /// An entry of a list of sandboxes.
  package struct PodSandbox: ProtobufMessage {
    package var id = ""
    package var metadata = PodSandboxMetadata()
    package var state = PodSandboxState.ready
    /// Nanoseconds since 1970.
    package var createdAt: Int64 = 0
    package var labels: [String: String] = [:]
    package var annotations: [String: String] = [:]

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &id)
      try fields.field(2, &metadata)
      try fields.field(3, &state)
      try fields.field(4, &createdAt)
      try fields.field(5, &labels)
      try fields.field(6, &annotations)
    }
  }

  package struct PodIP: ProtobufMessage {
    package var ip = ""

    package init() {}

    package init(_ ip: String) { self.ip = ip }

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) { try fields.field(1, &ip) }
  }

  package struct PodSandboxNetworkStatus: ProtobufMessage {
    /// Empty in the host's network.
    package var ip = ""
    package var additionalIPs: [PodIP] = []

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &ip)
      try fields.field(2, &additionalIPs)
    }
  }

  package struct PodSandboxStatus: ProtobufMessage {
    package var id = ""
    package var metadata = PodSandboxMetadata()
    package var state = PodSandboxState.ready
    /// Nanoseconds since 1970.
    package var createdAt: Int64 = 0
    package var network = PodSandboxNetworkStatus()
    package var labels: [String: String] = [:]
    package var annotations: [String: String] = [:]

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &id)
      try fields.field(2, &metadata)
      try fields.field(3, &state)
      try fields.field(4, &createdAt)
      try fields.field(5, &network)
      try fields.field(7, &labels)
      try fields.field(8, &annotations)
    }
  }

  package struct PodSandboxStatusResponse: ProtobufMessage {
    package var status = PodSandboxStatus()
    /// With `verbose`: what the runtime likes to tell, as JSON by topic.
    package var info: [String: String] = [:]

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &status)
      try fields.field(2, &info)
    }
  }

  /// What is asked for; all of it must hold. An empty one is for everything.
  package struct PodSandboxFilter: ProtobufMessage {
    /// Part of the id from its beginning is enough.
    package var id = ""
    package var labelSelector: [String: String] = [:]

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &id)
      try fields.field(3, &labelSelector)
    }
  }
}
