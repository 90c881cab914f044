import KubeClient
import Schema
import Synchronization
import Telemetry
import Wire

/// What a capability is given to start from.
package struct CapabilityContext: Sendable {
  package var place: FootprintPlace
  package var settings: CapabilitySettings
  /// The settings with which the last server on the same data ran; empty when there was none.
  package var earlierSettings: CapabilitySettings
  /// The API, as the one or the other of the capability's components, with the rights that it declares.
  package var clients: ComponentClients
  /// Run by the composition root.
  package var informers: InformerSet
  /// What is served: capabilities add and remove kinds there.
  package var kinds: KindRegistry
  /// In PEM form.
  package var rootCertificate: String
  /// The API's certificate and its private key, in PEM form, for other servers of this machine.
  package var servingCertificate: String
  package var servingKey: String
  /// The API server's.
  package var metrics: Metrics
  package var time: any TimeSource
  /// Of jitter and the like.
  package var seed: UInt64
  /// This program's file, for processes that it starts.
  package var executable: String
  /// Of Apus, and of the Kubernetes API that it serves.
  package var version: String
  package var kubernetesVersion: String
  /// Other owners whose things on the machine are this one's now.
  package var inheritedOwners: Set<String>
  /// What capabilities that stand before this one in the list made for others.
  package var shared: SharedValues
  /// What a listener of the footprint serves on when it was given a socket.
  package var sockets: GivenSockets

  package init(
    place: FootprintPlace, settings: CapabilitySettings, earlierSettings: CapabilitySettings,
    clients: @escaping ComponentClients,
    informers: InformerSet, kinds: KindRegistry, rootCertificate: String, servingCertificate: String,
    servingKey: String, metrics: Metrics, time: any TimeSource, seed: UInt64, executable: String, version: String,
    kubernetesVersion: String, inheritedOwners: Set<String>, shared: SharedValues, sockets: GivenSockets
  ) {
    self.place = place
    self.settings = settings
    self.earlierSettings = earlierSettings
    self.clients = clients
    self.informers = informers
    self.kinds = kinds
    self.rootCertificate = rootCertificate
    self.servingCertificate = servingCertificate
    self.servingKey = servingKey
    self.metrics = metrics
    self.time = time
    self.seed = seed
    self.executable = executable
    self.version = version
    self.kubernetesVersion = kubernetesVersion
    self.inheritedOwners = inheritedOwners
    self.shared = shared
    self.sockets = sockets
  }

  /// A setting that `apus up` always gives.
  package func setting(_ name: String) -> String {
    guard let value = settings[name] else { preconditionFailure("the setting \(name) is not given") }
    return value
  }
}

/// One value of each type, from the capability that makes it for those after it, such as the store of images.
package final class SharedValues: Sendable {
  private let values = Mutex<[ObjectIdentifier: any Sendable]>([:])

  package init() {}

  package func provide<Value: Sendable>(_ value: Value) {
    values.withLock { values in
      let former = values.updateValue(value, forKey: ObjectIdentifier(Value.self))
      precondition(former == nil, "two capabilities provide a \(Value.self)")
    }
  }

  /// The value must have been provided: capabilities are started in the order of their list.
  package func require<Value: Sendable>(_ type: Value.Type) -> Value {
    guard let value = values.withLock({ $0[ObjectIdentifier(type)] as? Value }) else {
      preconditionFailure("no capability before this one provides a \(type)")
    }
    return value
  }
}

/// What runs of a capability. All closures are called at most once.
package struct CapabilityParts: Sendable {
  /// Run until the server stops, each started again when it fails.
  package var services: [any Service]
  /// The node of this process, by its name.
  package var nodes: [String: any NodeStreams]
  /// Listens for others than the API's clients, before the API does: a server that cannot listen has touched nothing.
  /// - Returns: what the record and the ready line tell of it, such as `registry` and its address.
  package var listen: @Sendable () async throws -> [String: String]
  /// Throws when things of the machine cannot be this server's. It changes nothing.
  package var check: @Sendable () async throws -> Void
  /// Makes ready what the API is reached by, once its first address is bound.
  package var prepare: @Sendable () async throws -> Void
  /// Closes what is open, after all services have ended.
  package var stop: @Sendable () async -> Void

  package init(
    services: [any Service] = [], nodes: [String: any NodeStreams] = [:],
    listen: @escaping @Sendable () async throws -> [String: String] = { [:] },
    check: @escaping @Sendable () async throws -> Void = {},
    prepare: @escaping @Sendable () async throws -> Void = {}, stop: @escaping @Sendable () async -> Void = {}
  ) {
    self.services = services
    self.nodes = nodes
    self.listen = listen
    self.check = check
    self.prepare = prepare
    self.stop = stop
  }
}
