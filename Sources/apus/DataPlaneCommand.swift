import ArgumentParser
import ControllerKit
import Glibc
import KubeClient
import LinuxSystem
import Logging
import Telemetry

/// The node's data plane: started by the server (`DataPlaneProcess`), for nobody else.
struct DataPlaneCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: DataPlane.name, abstract: "Run the data plane, which outlives the server.", shouldDisplay: false)

  @OptionGroup var options: DataOptions
  @Option var token: String
  @Argument var parts: [String]

  /// What the server runs; `parts` of this program may be more.
  static func arguments(_ parts: [DataPlanePart], data: DataDirectory, token: String) -> [String] {
    [DataPlane.name, "--data", data.path, "--token", token] + parts.map(\.name)
  }

  func run() async throws {
    let time = SystemClock()
    LoggingSystem.bootstrap { StandardErrorLog(label: $0, level: .warning, time: time, fileBytesMax: 1 << 20) }
    try await Terminal.reporting {
      let data = try options.data
      let known = data.capabilities.flatMap(\.dataPlane)
      let wanted = try parts.map { name in
        guard let part = known.first(where: { $0.name == name }) else {
          throw Failure("there is no part '\(name)' of the data plane", code: .validationFailure)
        }
        return part
      }
      guard let record = ServerRecord.read(data.serverRecord) else {
        throw Failure("no server has run on \(data.path)", code: .noServer)
      }
      let place = data.place(owner: "")
      let identities = data.capabilities.flatMap(\.identities)
      let plane = DataPlane(wanted, place: place, settings: record.settings, time: time) { part in
        guard let identity = identities.first(where: { $0.name == part.identity }) else {
          throw Failure("there is no identity '\(part.identity)'")
        }
        return try HTTPSClient(.load(path: place.path(identity.kubeconfig)))
      }
      let forgetting = Task { await ProgramPages.forget(time) }
      defer { forgetting.cancel() }
      do {
        try await plane.run(token: token, served: Self.tellServer)
      } catch let error as FileLockError where error.isHeld {
        throw Failure("\(error)", code: ExitCode(DataPlaneProcess.heldStatus))
      }
    }
  }

  /// The server waits for a word, if one has started this and lives.
  @Sendable private static func tellServer() {
    var status = stat()
    guard fstat(DataPlaneProcess.readyDescriptor, &status) == 0, status.st_mode & S_IFMT == S_IFIFO else { return }
    var word = UInt8(ascii: "\n")
    _ = write(DataPlaneProcess.readyDescriptor, &word, 1)
    close(DataPlaneProcess.readyDescriptor)
  }
}
