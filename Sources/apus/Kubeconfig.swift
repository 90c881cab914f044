import ArgumentParser
import LinuxSystem

struct Kubeconfig: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kubeconfig", abstract: "Print the administrator's kubeconfig.",
    discussion: """
      It holds a private key: keep it to yourself.

        apus kubeconfig > ~/.kube/apus
        export KUBECONFIG=~/.kube/apus
      """)

  @OptionGroup var options: DataOptions

  func run() async throws {
    try await Terminal.reporting {
      let path = try options.data.kubeconfig
      do {
        print(String(decoding: try DurableFile.read(path, limit: 1 << 20), as: UTF8.self), terminator: "")
      } catch {
        throw Failure(
          "no kubeconfig at \(path) (\(error)). Start a server first: apus up --data \(try options.data.path)",
          code: .noServer)
      }
    }
  }
}
