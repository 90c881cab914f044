import Protobuf

extension RuntimeV1 {
  package struct VersionResponse: ProtobufMessage {
    /// Of this interface of kubelet's: `0.1.0`.
    package var version = ""
    /// `containerd`, `cri-o`.
    package var runtimeName = ""
    package var runtimeVersion = ""
    /// `v1`.
    package var runtimeAPIVersion = ""

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &version)
      try fields.field(2, &runtimeName)
      try fields.field(3, &runtimeVersion)
      try fields.field(4, &runtimeAPIVersion)
    }
  }

  package struct RuntimeCondition: ProtobufMessage {
    /// `RuntimeReady`, `NetworkReady`.
    package var type = ""
    package var status = false
    package var reason = ""
    package var message = ""

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &type)
      try fields.field(2, &status)
      try fields.field(3, &reason)
      try fields.field(4, &message)
    }
  }

  package struct RuntimeStatus: ProtobufMessage {
    package var conditions: [RuntimeCondition] = []

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &conditions)
    }
  }

  package struct StatusResponse: ProtobufMessage {
    package var status = RuntimeStatus()
    /// With `verbose`: what the runtime likes to tell, as JSON by topic.
    package var info: [String: String] = [:]

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &status)
      try fields.field(2, &info)
    }
  }
}

// MARK: - Usage

extension RuntimeV1 {
  /// Numbers that a runtime does not know are missing.
  package struct CPUUsage: ProtobufMessage {
    /// Nanoseconds since 1970.
    package var timestamp: Int64 = 0
    /// Time of all cores since the start.
    package var usageCoreNanoSeconds: UInt64Value?

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &timestamp)
      try fields.field(2, &usageCoreNanoSeconds)
    }
  }

  package struct MemoryUsage: ProtobufMessage {
    /// Nanoseconds since 1970.
    package var timestamp: Int64 = 0
    /// Without what can be dropped at once.
    package var workingSetBytes: UInt64Value?
    package var usageBytes: UInt64Value?

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &timestamp)
      try fields.field(2, &workingSetBytes)
      try fields.field(4, &usageBytes)
    }
  }

  package struct ProcessUsage: ProtobufMessage {
    /// Nanoseconds since 1970.
    package var timestamp: Int64 = 0
    package var processCount: UInt64Value?

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &timestamp)
      try fields.field(2, &processCount)
    }
  }

  package struct ContainerAttributes: ProtobufMessage {
    package var id = ""
    package var metadata = ContainerMetadata()
    package var labels: [String: String] = [:]

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &id)
      try fields.field(2, &metadata)
      try fields.field(3, &labels)
    }
  }

  package struct ContainerStats: ProtobufMessage {
    package var attributes = ContainerAttributes()
    package var cpu: CPUUsage?
    package var memory: MemoryUsage?

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &attributes)
      try fields.field(2, &cpu)
      try fields.field(3, &memory)
    }
  }

  package struct ContainerStatsFilter: ProtobufMessage {
    /// Part of the id from its beginning is enough.
    package var id = ""
    package var podSandboxID = ""
    package var labelSelector: [String: String] = [:]

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &id)
      try fields.field(2, &podSandboxID)
      try fields.field(3, &labelSelector)
    }
  }

  package struct PodSandboxAttributes: ProtobufMessage {
    package var id = ""
    package var metadata = PodSandboxMetadata()
    package var labels: [String: String] = [:]

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &id)
      try fields.field(2, &metadata)
      try fields.field(3, &labels)
    }
  }

  package struct LinuxPodSandboxStats: ProtobufMessage {
    package var cpu: CPUUsage?
    package var memory: MemoryUsage?
    package var process: ProcessUsage?
    package var containers: [ContainerStats] = []

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &cpu)
      try fields.field(2, &memory)
      try fields.field(4, &process)
      try fields.field(5, &containers)
    }
  }

  package struct PodSandboxStats: ProtobufMessage {
    package var attributes = PodSandboxAttributes()
    package var linux: LinuxPodSandboxStats?

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &attributes)
      try fields.field(2, &linux)
    }
  }
}
