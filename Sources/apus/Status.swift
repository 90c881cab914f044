import ArgumentParser
import KubeClient
import KubeTypes
import LinuxSystem
import Wire

struct Status: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show the server, its nodes and pods on one screen.",
    discussion: "Exit code 0 when the server answers, 69 when none runs on the data.")

  @OptionGroup var options: DataOptions

  func run() async throws {
    try await Terminal.reporting {
      let data = try options.data
      guard let record = ServerRecord.read(data.serverRecord), record.isAlive,
        let statistics = ProcessStatistics(record.processID)
      else {
        throw Failure("no server runs on \(data.path). Start one: apus up --data \(data.path)", code: .noServer)
      }
      let client = try HTTPSClient(.load(path: data.kubeconfig))
      let nodes: [Node]
      let pods: [Pod]
      do {
        nodes = try await client.list(Node.self)
        pods = try await client.list(Pod.self)
      } catch {
        throw Failure(
          "process \(record.processID) does not answer at \(record.url): \(error)", code: .noServer)
      }
      let uptime = SystemClock().now().since(record.startedAt)
      var rows = [
        ["version", "apus \(Version.apus), Kubernetes API \(Version.kubernetes)"],
        ["server", "\(record.url), process \(record.processID)"],
        ["registry", record.settings["registry"] ?? "none"],
        ["data", data.path],
        [
          "uptime",
          "\(GoDuration.format(.seconds(uptime.components.seconds))), ready after \(record.readyAfterMilliseconds) ms",
        ],
        ["memory", Terminal.megabytes(statistics.residentBytes)],
        ["recovery", Self.recovery(record, pods: pods)],
      ]
      for node in nodes { rows.append(["node", "\(node.metadata.name ?? "") \(Self.readiness(of: node))"]) }
      rows.append(["pods", Self.summary(of: pods)])
      print(Terminal.table(rows.map { [Terminal.bold($0[0].padded(to: 8)), $0[1]] }))
    }
  }

  /// Containers that are older than the server were taken over by it.
  private static func recovery(_ record: ServerRecord, pods: [Pod]) -> String {
    let starts = pods.flatMap { $0.status.containerStatuses }.compactMap { $0.state?.running?.startedAt }
    let adopted = starts.compactMap(Timestamp.init(rfc3339:)).filter { $0 < record.startedAt }.count
    return adopted == 0
      ? "none: no running container is older than the server"
      : "\(adopted) running containers taken over at \(record.startedAt.rfc3339)"
  }

  private static func readiness(of node: Node) -> String {
    let isReady = node.status.conditions.contains { $0.type == "Ready" && $0.status == "True" }
    return isReady ? Terminal.green("Ready") : Terminal.red("NotReady")
  }

  private static func summary(of pods: [Pod]) -> String {
    if pods.isEmpty { return "none" }
    let phases = Dictionary(grouping: pods) { $0.status.phase ?? "Pending" }
    return phases.sorted { $0.key < $1.key }.map { "\($0.value.count) \($0.key)" }.joined(separator: ", ")
  }
}

extension String {
  fileprivate func padded(to width: Int) -> String {
    self + String(repeating: " ", count: max(0, width - count))
  }
}
