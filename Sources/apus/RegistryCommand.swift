import ArgumentParser
import Content
import Distribution
import Glibc
import HTTP
import LinuxSystem
import Logging
import NIOSSL
import Registry
import Telemetry

/// The registry alone, for a machine that needs nothing else.
struct RegistryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "registry", abstract: "Serve the images of a data directory as an OCI registry, in the foreground.",
    discussion: """
      Speaks the OCI distribution specification 1.1 and Docker's registry API V2. `apus up` has the same registry inside;
      both may serve one data directory at the same time.

        sudo apus registry
        skopeo copy --dest-tls-verify=false dir:app docker://localhost:5000/team/app:1

      Users, rights, upstream registries, quotas and the rest are in registry.yaml in the data directory (or --config),
      and count as soon as the file is written.
      """)

  @OptionGroup var options: DataOptions

  @Option(
    help: ArgumentHelp(
      "The address to listen on (default: what the configuration says, or 127.0.0.1:5000).", valueName: "address:port"))
  var listen: String?

  @Option(help: ArgumentHelp("The certificate chain in PEM form; without it, plain HTTP.", valueName: "file"))
  var tlsCert: String?

  @Option(help: ArgumentHelp("The private key in PEM form.", valueName: "file"))
  var tlsKey: String?

  @Option(
    help: ArgumentHelp(
      "The configuration (default: registry.yaml in the data directory, if it is there).", valueName: "file"))
  var config: String?

  @Option(help: "trace, debug, info, notice, warning, error or critical.")
  var logLevel = Logger.Level.warning

  func validate() throws {
    guard (tlsCert == nil) == (tlsKey == nil) else { throw ValidationError("--tls-cert and --tls-key go together") }
    if let listen, RegistryConfiguration.address(listen) == nil {
      throw ValidationError("--listen takes address:port, not '\(listen)'")
    }
  }

  func run() async throws {
    let time = SystemClock()
    let level = logLevel
    LoggingSystem.bootstrap { StandardErrorLog(label: $0, level: level, time: time) }
    try await Terminal.reporting {
      let logger = Logger(label: "apus.registry")
      let data = try options.made
      var base = RegistryConfiguration()
      base.stateDirectory = data.path + "/registry"
      let file = config ?? data.path + "/registry.yaml"
      var configuration = base
      if config != nil || access(file, F_OK) == 0 {
        configuration = try RegistryConfiguration.load(path: file, over: base)
      }
      if let listen, let (host, port) = RegistryConfiguration.address(listen) {
        (configuration.host, configuration.port) = (host, port)
      }
      let signals = try TerminationSignal.caught()
      let content = try ContentStore.open(root: data.images, time: time)
      defer { content.close() }
      let client = try RegistryAccess.client()
      let registry = try Registry(
        configuration: configuration, content: content, client: client, tls: try tls(), time: time,
        metrics: Metrics(), logger: logger)
      let port = try await registry.start()
      let scheme = tlsCert == nil ? "http" : "https"
      let host = configuration.host.contains(":") ? "[\(configuration.host)]" : configuration.host
      Terminal.say("\(Terminal.green("the registry is ready")) at \(scheme)://\(host):\(port)/v2/")
      await withTaskGroup(of: Void.self) { group in
        group.addTask {
          do { try await registry.run() } catch {
            logger.critical("the registry ended", metadata: ["error": "\(error)"])
          }
        }
        group.addTask { [base] in
          do {
            try await registry.follow(configurationFile: file, over: base)
          } catch is CancellationError {
          } catch {
            logger.error("the configuration is not followed", metadata: ["error": "\(error)"])
          }
        }
        _ = await signals.wait()
        group.cancelAll()
        await group.waitForAll()
      }
      client.close()
    }
  }

  private func tls() throws -> NIOSSLContext? {
    guard let tlsCert, let tlsKey else { return nil }
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: try NIOSSLCertificate.fromPEMFile(tlsCert).map { .certificate($0) },
      privateKey: .privateKey(try NIOSSLPrivateKey(file: tlsKey, format: .pem)))
    configuration.minimumTLSVersion = .tlsv12
    configuration.applicationProtocols = HTTPServer.applicationProtocols
    return try NIOSSLContext(configuration: configuration)
  }
}
