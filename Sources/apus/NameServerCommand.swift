import ArgumentParser
import KubeClient
import LinuxSystem
import Logging
import PodNetwork
import Telemetry

/// The cluster's name server: started by the server (`NameServerProcess`), for nobody else.
struct NameServerCommand: AsyncParsableCommand {
  static let name = "name-server"
  static let configuration = CommandConfiguration(
    commandName: name, abstract: "Answer the names of the cluster.", shouldDisplay: false)

  @OptionGroup var options: DataOptions
  @Option var identity: String

  func run() async throws {
    let time = SystemClock()
    LoggingSystem.bootstrap { StandardErrorLog(label: $0, level: .warning, time: time, fileBytesMax: 1 << 20) }
    try await Terminal.reporting {
      let data = try options.data
      guard let record = ServerRecord.read(data.serverRecord) else {
        throw Failure("no server has run on \(data.path)", code: .noServer)
      }
      do {
        try await NameServer.run(
          configuration: record.network(of: data), identity: identity,
          client: HTTPSClient(.load(path: data.nameServerKubeconfig)), time: time)
      } catch let error as FileLockError where error.isHeld {
        throw Failure("\(error)", code: .dataInUse)
      }
    }
  }
}
