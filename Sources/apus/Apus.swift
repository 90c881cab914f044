import ArgumentParser
import ControllerKit

/// The `apus` command. Exit codes: 0 done, 1 failed, 64 wrong usage, 69 no server, 75 another server has the data.
@main
struct Apus: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus",
    abstract: "The cloud-native platform in one program.",
    discussion: """
      Start it, then use the clients you know:

        sudo apus up &
        export KUBECONFIG=/var/lib/apus/kubeconfig
        kubectl get nodes

      Everything Apus keeps is below one data directory (--data, or APUS_DATA).
      """,
    version: Version.apus,
    subcommands: [
      Up.self, Down.self, Status.self, Doctor.self, Kubeconfig.self, DatastoreCommand.self, VersionCommand.self,
      DataPlaneCommand.self,
    ] + Capabilities.all.flatMap(\.commands))
}

enum Version {
  /// The version of Apus itself.
  static let apus = "0.1.0"
  /// The Kubernetes version whose API it serves, as `kubectl version` shows it.
  static let kubernetes = "v1.33.0+apus.\(apus)"
}

struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

  func run() {
    print("apus \(Version.apus) (Kubernetes API \(Version.kubernetes))")
  }
}
