import ArgumentParser
import ControllerKit
import KubeClient
import LinuxSystem
import Logging
import Telemetry

/// A companion of a capability: started by the server (`CompanionProcess`), for nobody else.
struct CompanionCommand: AsyncParsableCommand {
  static let name = "companion"
  static let configuration = CommandConfiguration(
    commandName: name, abstract: "Run a process that outlives the server.", shouldDisplay: false)

  @OptionGroup var options: DataOptions
  @Option var token: String
  @Argument var companion: String

  func run() async throws {
    let time = SystemClock()
    LoggingSystem.bootstrap { StandardErrorLog(label: $0, level: .warning, time: time, fileBytesMax: 1 << 20) }
    try await Terminal.reporting {
      let data = try options.data
      guard let owner = data.capabilities.first(where: { $0.companions.contains { $0.name == companion } }),
        let wanted = owner.companions.first(where: { $0.name == companion }),
        let identity = owner.identities.first(where: { $0.name == wanted.identity })
      else { throw Failure("there is no companion '\(companion)'", code: .validationFailure) }
      guard let record = ServerRecord.read(data.serverRecord) else {
        throw Failure("no server has run on \(data.path)", code: .noServer)
      }
      let place = data.place(owner: "")
      let forgetting = Task { await ProgramPages.forget(time) }
      defer { forgetting.cancel() }
      do {
        try await wanted.run(
          CompanionContext(
            place: place, settings: record.settings,
            client: try HTTPSClient(.load(path: place.path(identity.kubeconfig))), time: time), token: token)
      } catch let error as FileLockError where error.isHeld {
        throw Failure("\(error)", code: .dataInUse)
      }
    }
  }
}
