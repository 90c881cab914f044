import Protobuf

/// Requests, and answers that only wrap what is asked for. Nobody outside needs their names.
enum Calls {
  /// A request or an answer with nothing in it.
  struct Nothing: ProtobufMessage {
    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {}
  }

  /// The many requests with an id and nothing else, and the answers with one. Also those with a URL.
  struct Text: ProtobufMessage {
    var text = ""

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) { try fields.field(1, &text) }
  }

  /// An id or a version, and whether more is wanted.
  struct Status: ProtobufMessage {
    var id = ""
    var verbose = false

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &id)
      try fields.field(2, &verbose)
    }
  }

  struct RuntimeStatus: ProtobufMessage {
    var verbose = false

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) { try fields.field(1, &verbose) }
  }

  /// A request with one message, or an answer with one: a filter, an image, statistics.
  struct One<Message: ProtobufMessage>: ProtobufMessage {
    var message: Message?

    init() {}

    init(_ message: Message) { self.message = message }

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) { try fields.field(1, &message) }
  }

  /// An answer with a list.
  struct List<Message: ProtobufMessage>: ProtobufMessage {
    var items: [Message] = []

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) { try fields.field(1, &items) }
  }

  struct RunPodSandbox: ProtobufMessage {
    var config = RuntimeV1.PodSandboxConfig()
    var runtimeHandler = ""

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &config)
      try fields.field(2, &runtimeHandler)
    }
  }

  struct CreateContainer: ProtobufMessage {
    var podSandboxID = ""
    var config = RuntimeV1.ContainerConfig()
    var sandboxConfig = RuntimeV1.PodSandboxConfig()

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &podSandboxID)
      try fields.field(2, &config)
      try fields.field(3, &sandboxConfig)
    }
  }

  struct StopContainer: ProtobufMessage {
    var containerID = ""
    /// Seconds.
    var timeout: Int64 = 0

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &containerID)
      try fields.field(2, &timeout)
    }
  }

  struct UpdateContainerResources: ProtobufMessage {
    var containerID = ""
    var linux = RuntimeV1.LinuxContainerResources()

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &containerID)
      try fields.field(2, &linux)
    }
  }

  struct ExecSync: ProtobufMessage {
    var containerID = ""
    var cmd: [String] = []
    /// Seconds; zero for no end.
    var timeout: Int64 = 0

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &containerID)
      try fields.field(2, &cmd)
      try fields.field(3, &timeout)
    }
  }

  struct Exec: ProtobufMessage {
    var containerID = ""
    var cmd: [String] = []
    var streams = CRIStreams()

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &containerID)
      try fields.field(2, &cmd)
      try fields.field(3, &streams.tty)
      try fields.field(4, &streams.stdin)
      try fields.field(5, &streams.stdout)
      try fields.field(6, &streams.stderr)
    }
  }

  struct Attach: ProtobufMessage {
    var containerID = ""
    var streams = CRIStreams()

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &containerID)
      try fields.field(2, &streams.stdin)
      try fields.field(3, &streams.tty)
      try fields.field(4, &streams.stdout)
      try fields.field(5, &streams.stderr)
    }
  }

  struct PortForward: ProtobufMessage {
    var podSandboxID = ""
    var port: [Int32] = []

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &podSandboxID)
      try fields.field(2, &port)
    }
  }

  struct ImageStatus: ProtobufMessage {
    var image = RuntimeV1.ImageSpec()
    var verbose = false

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &image)
      try fields.field(2, &verbose)
    }
  }

  struct PullImage: ProtobufMessage {
    var image = RuntimeV1.ImageSpec()
    var auth: RuntimeV1.AuthConfig?
    var sandboxConfig: RuntimeV1.PodSandboxConfig?

    mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &image)
      try fields.field(2, &auth)
      try fields.field(3, &sandboxConfig)
    }
  }
}

/// Which streams of a process are wanted. With a terminal there is no `stderr` of its own.
package struct CRIStreams: Sendable, Equatable {
  package var tty = false
  package var stdin = false
  package var stdout = false
  package var stderr = false

  package init() {}

  package init(tty: Bool, stdin: Bool, stdout: Bool, stderr: Bool) {
    self.tty = tty
    self.stdin = stdin
    self.stdout = stdout
    self.stderr = stderr
  }
}
