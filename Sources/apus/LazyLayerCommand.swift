import ArgumentParser
import LinuxSystem
import Node

/// The process that serves an image's layers while they are fetched: started by the node, for nobody else.
struct LazyLayerCommand: AsyncParsableCommand {
  static let name = "lazy-layer"
  static let configuration = CommandConfiguration(
    commandName: name, abstract: "Serve layers of an image while they are fetched.", shouldDisplay: false)

  func run() async throws {
    guard await LazyServer.run(client: try RegistryAccess.client(), time: SystemClock()) else { throw ExitCode(1) }
  }
}
