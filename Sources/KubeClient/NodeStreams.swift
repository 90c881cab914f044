public import NIOCore

/// What the API server asks of the node that runs a pod. It is the kubelet's streaming API as a protocol; in one process
/// it is called directly.
///
/// Every call throws `KubeError`: `notFound` for a pod or container that is not on the node, `badRequest` for one that
/// is not in the state that the call needs (with the message that kubelet gives).
public protocol NodeStreams: Sendable {
  /// The container's log as `write` chunks, until its end, or for `follow` until the container ends or the task is
  /// cancelled. `write` suspends while the client does not read.
  func logs(
    _ container: ContainerReference, options: LogOptions, write: @escaping @Sendable (ByteBuffer) async throws -> Void
  ) async throws

  /// Starts a process in a running container.
  func exec(_ container: ContainerReference, command: [String], options: TerminalOptions) async throws
    -> any ProcessStream

  /// Connects to the container's first process.
  func attach(_ container: ContainerReference, options: TerminalOptions) async throws -> any ProcessStream

  /// Connects to a TCP port inside the pod's network namespace.
  func connect(namespace: String, pod: String, port: Int) async throws -> any ByteStream
}

public struct ContainerReference: Sendable, Hashable {
  public var namespace: String
  public var pod: String
  /// Empty for the pod's only, or its default, container.
  public var container: String

  public init(namespace: String, pod: String, container: String) {
    self.namespace = namespace
    self.pod = pod
    self.container = container
  }
}

/// `v1.PodLogOptions`.
public struct LogOptions: Sendable, Equatable {
  public var follow = false
  public var previous = false
  public var timestamps = false
  public var sinceSeconds: Int64?
  /// RFC 3339.
  public var sinceTime: String?
  public var tailLines: Int64?
  public var limitBytes: Int64?

  public init() {}
}

public struct TerminalOptions: Sendable, Equatable {
  public var stdin: Bool
  public var stdout: Bool
  public var stderr: Bool
  public var tty: Bool

  public init(stdin: Bool, stdout: Bool, stderr: Bool, tty: Bool) {
    self.stdin = stdin
    self.stdout = stdout
    self.stderr = stderr
    self.tty = tty
  }
}

public enum ProcessOutput: Sendable {
  case stdout(ByteBuffer)
  case stderr(ByteBuffer)
  /// The last element: how the process ended (128 + signal when a signal ended it).
  case exited(code: Int32)
}

/// A process's standard streams. Dropping or closing it ends an exec'd process and leaves an attached one running.
public protocol ProcessStream: Sendable {
  /// Read by one task. Finishes after `.exited`, or, for attach, when the container's output ends.
  var output: AsyncThrowingStream<ProcessOutput, any Error> { get }
  /// Suspends while the process does not read.
  func writeStdin(_ bytes: ByteBuffer) async throws
  func closeStdin() async throws
  func resize(columns: UInt16, rows: UInt16) async throws
  func close() async
}

/// A connection of bytes in both directions.
public protocol ByteStream: Sendable {
  /// Read by one task; finishes when the peer closes. Throws `KubeError` with the reason when it turns out that no connection
  /// was made, and other errors when one breaks.
  var input: AsyncThrowingStream<ByteBuffer, any Error> { get }
  func write(_ bytes: ByteBuffer) async throws
  /// No more writes; the peer sees the end of input.
  func closeWrite() async throws
  func close() async
}
