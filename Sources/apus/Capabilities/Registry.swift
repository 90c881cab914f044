import Content
import ControllerKit
import Distribution
import Glibc
import HTTP
import LinuxSystem
import Logging
import NIOSSL
import Registry
import Telemetry

extension Capability {
  /// The registry of this machine's images.
  static let registry = Capability(
    name: "registry", roles: [.server], settings: ["registry"],
    refusal: { settings in
      guard let address = settings["registry"], address != "none", RegistryConfiguration.address(address) == nil else {
        return nil
      }
      return "--registry takes address:port or none, not '\(address)'"
    }, commands: [RegistryCommand.self],
    optionsBeside: { number in
      [.init(option: "--registry", value: "127.0.0.1:\(Neighbours.freePort(from: 5000 + number))")]
    },
    footprint: { _, settings in
      let address = settings["registry"].flatMap(RegistryConfiguration.address)
      return Footprint(
        entries: [.init("registry"), .init("registry.yaml", .configuration)],
        listeners: address.map { [.init(name: listenerName, port: $0.1, option: "--registry")] } ?? [])
    },
    start: { context in
      guard let (host, port) = RegistryConfiguration.address(context.setting("registry")) else {
        return CapabilityParts()
      }
      let file = context.place.path("registry.yaml")
      var base = RegistryConfiguration()
      base.stateDirectory = context.place.path("registry")
      (base.host, base.port) = (host, port)
      var configuration = base
      if access(file, F_OK) == 0 {
        configuration = try .load(path: file, over: base)
        (configuration.host, configuration.port) = (host, port)
      }
      let registry = try Registry(
        configuration: configuration, content: context.shared.require(ContentStore.self),
        client: context.shared.require(RegistryClient.self), tls: try tls(host, context), time: context.time,
        // Its own: each server's /metrics serves what that server counts.
        metrics: Metrics(), logger: Logger(label: "apus.registry"))
      return CapabilityParts(
        services: [RegistryService(registry: registry, file: file, base: base)],
        listen: {
          ["registry": try await listen(registry, on: try context.sockets.take(listenerName, host: host, port: port))]
        },
        stop: { await registry.shutdown() })
    })

  /// Clients speak plain HTTP to a registry on their own machine, and to no other.
  private static func tls(_ host: String, _ context: CapabilityContext) throws -> NIOSSLContext? {
    if host == "localhost" || host == "::1" || host.hasPrefix("127.") { return nil }
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(context.servingCertificate.utf8)).map {
        .certificate($0)
      }, privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(context.servingKey.utf8), format: .pem)))
    configuration.minimumTLSVersion = .tlsv12
    configuration.applicationProtocols = HTTPServer.applicationProtocols
    return try NIOSSLContext(configuration: configuration)
  }

  private static let listenerName = "registry"

  /// - Returns: where it listens.
  private static func listen(_ registry: Registry, on socket: OwnedDescriptor?) async throws -> String {
    do {
      return "\(registry.configuration.host):\(try await registry.start(on: socket))"
    } catch  where socket == nil {
      throw PortTaken(
        port: registry.configuration.port, instead: { "--registry 127.0.0.1:\($0), or --registry none" },
        otherwise: "the image registry \(error); give another --registry ADDRESS:PORT, or --registry none")
    }
  }
}

/// The registry under the supervisor. It has been started; its configuration counts as soon as it is written.
private struct RegistryService: ControllerKit.Service {
  let registry: Registry
  let file: String
  let base: RegistryConfiguration

  func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await registry.run() }
      group.addTask { try await registry.follow(configurationFile: file, over: base) }
      defer { group.cancelAll() }
      try await group.next()
    }
  }
}
