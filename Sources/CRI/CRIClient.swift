import NIOCore
import Protobuf
import RPC

/// Asks a container runtime (containerd, CRI-O) by the Container Runtime Interface, `runtime.v1`. Every call has a deadline
/// and fails with `deadlineExceeded` when the runtime did not answer by then; what the runtime went on to do is seen by its
/// lists.
///
/// Calls run at once, over shared connections.
package final class CRIClient: Sendable {
  /// How long calls may take.
  package struct Deadlines: Sendable, Equatable {
    /// Of a question that the runtime answers out of what it knows.
    package var query: Duration = .seconds(30)
    /// Of a change: a network, a mount, a process are made or go. On top of what the call itself is given.
    package var change: Duration = .seconds(120)

    package init() {}
  }

  private let rpc: RPCClient
  private let deadlines: Deadlines

  /// - Parameter path: the runtime's socket, absolute.
  package init(unixSocket path: String, deadlines: Deadlines = Deadlines()) {
    rpc = RPCClient(unixSocket: path)
    self.deadlines = deadlines
  }

  /// Closes the idle connections. Calls in flight go on.
  package func close() { rpc.close() }

  // MARK: The runtime

  package func version() async throws(RPCError) -> RuntimeV1.VersionResponse {
    try await ask("Version", Calls.Text(text: "0.1.0"))
  }

  /// - Parameter verbose: with its configuration.
  package func status(verbose: Bool = false) async throws(RPCError) -> RuntimeV1.StatusResponse {
    try await ask("Status", Calls.RuntimeStatus(verbose: verbose))
  }

  // MARK: Sandboxes

  /// Makes a sandbox and its network.
  ///
  /// - Returns: its id.
  package func runPodSandbox(
    _ config: RuntimeV1.PodSandboxConfig, runtimeHandler: String = ""
  ) async throws(RPCError) -> String {
    let answer: Calls.Text = try await change(
      "RunPodSandbox", Calls.RunPodSandbox(config: config, runtimeHandler: runtimeHandler))
    return answer.text
  }

  /// Ends its containers and takes its network back. Idempotent.
  package func stopPodSandbox(_ id: String) async throws(RPCError) {
    let _: Calls.Nothing = try await change("StopPodSandbox", Calls.Text(text: id))
  }

  /// Removes it and its containers, also those that run. Idempotent.
  package func removePodSandbox(_ id: String) async throws(RPCError) {
    let _: Calls.Nothing = try await change("RemovePodSandbox", Calls.Text(text: id))
  }

  package func podSandboxStatus(
    _ id: String, verbose: Bool = false
  ) async throws(RPCError) -> RuntimeV1.PodSandboxStatusResponse {
    try await ask("PodSandboxStatus", Calls.Status(id: id, verbose: verbose))
  }

  package func listPodSandbox(
    _ filter: RuntimeV1.PodSandboxFilter = .init()
  ) async throws(RPCError) -> [RuntimeV1.PodSandbox] {
    let answer: Calls.List<RuntimeV1.PodSandbox> = try await ask("ListPodSandbox", Calls.One(filter))
    return answer.items
  }

  /// Resource usage of a sandbox and its containers. Runtimes older than 1.23's interface do not answer.
  package func podSandboxStats(_ id: String) async throws(RPCError) -> RuntimeV1.PodSandboxStats {
    let answer: Calls.One<RuntimeV1.PodSandboxStats> = try await ask("PodSandboxStats", Calls.Text(text: id))
    return answer.message ?? .init()
  }

  // MARK: Containers

  /// Makes a container, which does not run yet.
  ///
  /// - Parameter sandboxConfig: the one that the sandbox was made with.
  /// - Returns: its id.
  package func createContainer(
    in podSandboxID: String, _ config: RuntimeV1.ContainerConfig, sandboxConfig: RuntimeV1.PodSandboxConfig
  ) async throws(RPCError) -> String {
    let answer: Calls.Text = try await change(
      "CreateContainer",
      Calls.CreateContainer(podSandboxID: podSandboxID, config: config, sandboxConfig: sandboxConfig))
    return answer.text
  }

  package func startContainer(_ id: String) async throws(RPCError) {
    let _: Calls.Nothing = try await change("StartContainer", Calls.Text(text: id))
  }

  /// Sends the stop signal, and kills what still runs after the timeout. Returns when the container has ended. Idempotent.
  ///
  /// - Parameter timeout: zero, to kill at once.
  package func stopContainer(_ id: String, timeout: Duration) async throws(RPCError) {
    let _: Calls.Nothing = try await change(
      "StopContainer", Calls.StopContainer(containerID: id, timeout: Self.seconds(timeout)), after: timeout)
  }

  /// As `stopContainer`, without waiting longer than a deadline: `deadlineExceeded` then says that the container still runs,
  /// and the runtime kills nothing.
  package func stopContainer(_ id: String, timeout: Duration, deadline: Duration) async throws(RPCError) {
    let _: Calls.Nothing = try await call(
      .runtime, "StopContainer", Calls.StopContainer(containerID: id, timeout: Self.seconds(timeout)),
      deadline: deadline)
  }

  /// Kills it when it runs, and removes it. Idempotent.
  package func removeContainer(_ id: String) async throws(RPCError) {
    let _: Calls.Nothing = try await change("RemoveContainer", Calls.Text(text: id))
  }

  package func listContainers(
    _ filter: RuntimeV1.ContainerFilter = .init()
  ) async throws(RPCError) -> [RuntimeV1.Container] {
    let answer: Calls.List<RuntimeV1.Container> = try await ask("ListContainers", Calls.One(filter))
    return answer.items
  }

  package func containerStatus(
    _ id: String, verbose: Bool = false
  ) async throws(RPCError) -> RuntimeV1.ContainerStatusResponse {
    try await ask("ContainerStatus", Calls.Status(id: id, verbose: verbose))
  }

  package func updateContainerResources(
    _ id: String, _ resources: RuntimeV1.LinuxContainerResources
  ) async throws(RPCError) {
    let _: Calls.Nothing = try await change(
      "UpdateContainerResources", Calls.UpdateContainerResources(containerID: id, linux: resources))
  }

  /// The log was renamed away: a new one is begun at its path.
  package func reopenContainerLog(_ id: String) async throws(RPCError) {
    let _: Calls.Nothing = try await change("ReopenContainerLog", Calls.Text(text: id))
  }

  package func containerStats(_ id: String) async throws(RPCError) -> RuntimeV1.ContainerStats {
    let answer: Calls.One<RuntimeV1.ContainerStats> = try await ask("ContainerStats", Calls.Text(text: id))
    return answer.message ?? .init()
  }

  package func listContainerStats(
    _ filter: RuntimeV1.ContainerStatsFilter = .init()
  ) async throws(RPCError) -> [RuntimeV1.ContainerStats] {
    let answer: Calls.List<RuntimeV1.ContainerStats> = try await ask("ListContainerStats", Calls.One(filter))
    return answer.items
  }

  // MARK: Processes

  /// Runs a command to its end. A runtime gives no more than 16 MiB of output.
  ///
  /// - Parameter timeout: then the command is killed; in whole seconds, rounded up.
  /// - Throws: `deadlineExceeded` when the command took longer.
  package func execSync(
    _ id: String, _ command: [String], timeout: Duration
  ) async throws(RPCError) -> RuntimeV1.ExecSyncResponse {
    // Of less than a second would be none at all.
    let seconds = max(1, Self.seconds(timeout))
    return try await change(
      "ExecSync", Calls.ExecSync(containerID: id, cmd: command, timeout: seconds), after: .seconds(seconds))
  }

  /// - Returns: the URL of the runtime's own server by which the command's streams are had.
  package func exec(_ id: String, _ command: [String], _ streams: CRIStreams) async throws(RPCError) -> String {
    let answer: Calls.Text = try await ask("Exec", Calls.Exec(containerID: id, cmd: command, streams: streams))
    return answer.text
  }

  /// - Returns: the URL of the runtime's own server by which the container's streams are had.
  package func attach(_ id: String, _ streams: CRIStreams) async throws(RPCError) -> String {
    let answer: Calls.Text = try await ask("Attach", Calls.Attach(containerID: id, streams: streams))
    return answer.text
  }

  /// - Returns: the URL of the runtime's own server by which the ports are had.
  package func portForward(_ podSandboxID: String, ports: [Int32]) async throws(RPCError) -> String {
    let answer: Calls.Text = try await ask(
      "PortForward", Calls.PortForward(podSandboxID: podSandboxID, port: ports))
    return answer.text
  }

  // MARK: Images

  package func listImages() async throws(RPCError) -> [RuntimeV1.Image] {
    let answer: Calls.List<RuntimeV1.Image> = try await ask("ListImages", Calls.Nothing(), of: .images)
    return answer.items
  }

  /// - Parameters:
  ///   - image: a name, a digest or an id.
  ///   - verbose: with its configuration.
  package func imageStatus(
    _ image: String, verbose: Bool = false
  ) async throws(RPCError) -> RuntimeV1.ImageStatusResponse {
    try await ask("ImageStatus", Calls.ImageStatus(image: .init(image), verbose: verbose), of: .images)
  }

  /// Fetches an image. A pull whose task is cancelled is broken off.
  ///
  /// - Returns: the image's id, or its digest.
  package func pullImage(
    _ image: String, auth: RuntimeV1.AuthConfig? = nil, deadline: Duration
  ) async throws(RPCError) -> String {
    let answer: Calls.Text = try await call(
      .images, "PullImage", Calls.PullImage(image: .init(image), auth: auth), deadline: deadline)
    return answer.text
  }

  /// Removes the image with all its names. Idempotent.
  package func removeImage(_ image: String) async throws(RPCError) {
    let _: Calls.Nothing = try await change("RemoveImage", Calls.One(RuntimeV1.ImageSpec(image)), of: .images)
  }

  package func imageFsInfo() async throws(RPCError) -> RuntimeV1.ImageFsInfoResponse {
    try await ask("ImageFsInfo", Calls.Nothing(), of: .images)
  }

  // MARK: Calls

  private enum Service: String {
    case runtime = "runtime.v1.RuntimeService"
    case images = "runtime.v1.ImageService"
  }

  private static func method(_ name: String, of service: Service) -> RPCMethod {
    RPCMethod(service: service.rawValue, name: name)
  }

  private func ask<Answer: ProtobufMessage>(
    _ name: String, _ request: some ProtobufMessage, of service: Service = .runtime
  ) async throws(RPCError) -> Answer {
    try await call(service, name, request, deadline: deadlines.query)
  }

  private func change<Answer: ProtobufMessage>(
    _ name: String, _ request: some ProtobufMessage, of service: Service = .runtime, after given: Duration = .zero
  ) async throws(RPCError) -> Answer {
    try await call(service, name, request, deadline: given + deadlines.change)
  }

  private func call<Answer: ProtobufMessage>(
    _ service: Service, _ name: String, _ request: some ProtobufMessage, deadline: Duration
  ) async throws(RPCError) -> Answer {
    let message: [UInt8]
    do throws(ProtobufError) { message = try request.serialized() } catch {
      throw RPCError(.internalError, "\(name): \(error)", cause: error)
    }
    let answer = try await rpc.call(
      Self.method(name, of: service), ByteBuffer(bytes: message), deadline: deadline)
    return try Self.read(answer, of: name)
  }

  private static func read<Answer: ProtobufMessage>(
    _ answer: ByteBuffer, of name: String
  ) throws(RPCError) -> Answer {
    do throws(ProtobufError) { return try Answer(parsing: Array(answer.readableBytesView)) } catch {
      throw RPCError(.internalError, "the runtime's answer to \(name) cannot be read: \(error)", cause: error)
    }
  }

  /// Whole seconds, rounded up.
  private static func seconds(_ duration: Duration) -> Int64 {
    let (seconds, attoseconds) = duration.components
    return max(0, attoseconds > 0 ? seconds + 1 : seconds)
  }
}
