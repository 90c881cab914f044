package import KubeTypes
package import Wire

/// A protocol that has ports.
package enum Transport: String, Sendable, Hashable, Comparable {
  case sctp, tcp, udp

  /// By the name that the API gives it; TCP when it says none.
  package init?(_ name: String?) {
    switch name ?? "TCP" {
    case "TCP": self = .tcp
    case "UDP": self = .udp
    case "SCTP": self = .sctp
    default: return nil
    }
  }

  package static func < (a: Transport, b: Transport) -> Bool { a.rawValue < b.rawValue }
}

/// An address that a Service, or one of its slices, names and that is not translated.
package struct AddressRefusal: Sendable, Hashable, Comparable, CustomStringConvertible {
  package var address: String
  package var reason: String

  package init(address: String, reason: String) {
    self.address = address
    self.reason = reason
  }

  package var description: String { "\(address): \(reason)" }
  package static func < (a: AddressRefusal, b: AddressRefusal) -> Bool {
    (a.address, a.reason) < (b.address, b.reason)
  }
}

/// What a Service and its EndpointSlices mean for traffic and names: a plain value, made by `RouteCompiler` and read by
/// whatever carries it out (packet rules, name server). Two that are equal need nothing done.
package struct ServiceRoute: Sendable, Equatable {
  /// Where connections may go.
  package struct Endpoint: Sendable, Hashable, Comparable {
    package var address: IPAddress
    package var port: UInt16
    /// Whether it runs on this node.
    package var isLocal: Bool
    package var isReady: Bool
    /// Not ready, because it is terminating, but still answers.
    package var isServingLast: Bool

    package init(
      address: IPAddress, port: UInt16, isLocal: Bool = false, isReady: Bool = true, isServingLast: Bool = false
    ) {
      self.address = address
      self.port = port
      self.isLocal = isLocal
      self.isReady = isReady
      self.isServingLast = isServingLast
    }

    package static func < (a: Endpoint, b: Endpoint) -> Bool { (a.address, a.port) < (b.address, b.port) }
  }

  package struct Port: Sendable, Equatable {
    /// Empty when it has none.
    package var name: String
    package var transport: Transport
    package var number: UInt16
    package var nodePort: UInt16?
    /// Of all families, each once, in order.
    package var endpoints: [Endpoint]

    /// Those of a family that connections are to be sent to: the ready ones; when there are none, those that still answer
    /// while they end (KEP-1669).
    package func usable(_ family: IPAddress.Family, onlyLocal: Bool) -> [Endpoint] {
      let candidates = endpoints.filter { $0.address.family == family && ($0.isLocal || !onlyLocal) }
      let ready = candidates.filter(\.isReady)
      return ready.isEmpty ? candidates.filter(\.isServingLast) : ready
    }
  }

  /// An endpoint of a headless Service, by name.
  package struct Member: Sendable, Hashable {
    package struct Port: Sendable, Hashable {
      package var name: String
      package var transport: Transport
      package var number: UInt16
    }

    /// The endpoint's own host name, or its address with hyphens.
    package var host: String
    package var address: IPAddress
    package var ports: [Port]
  }

  package var key: ObjectKey
  /// The cluster addresses that are translated, the first family's first.
  package var addresses: [IPAddress] = []
  /// The families that node ports answer in.
  package var families: [IPAddress.Family] = []
  /// Addresses from outside that lead here.
  package var external: [IPAddress] = []
  package var ports: [Port] = []
  /// For how many seconds a client stays with an endpoint; `nil` when it does not.
  package var affinitySeconds: Int64?
  /// Whether connections from inside go to this node's endpoints only (`internalTrafficPolicy: Local`).
  package var internalIsLocal = false
  /// The same for connections from outside (`externalTrafficPolicy: Local`).
  package var externalIsLocal = false
  /// What is left out, though the Service or a slice names it.
  package var refusals: Set<AddressRefusal> = []
  /// For a headless Service: who has a name below it.
  package var members: [Member] = []
  /// The name that it stands for (`ExternalName`).
  package var alias: String?

  package init(key: ObjectKey) { self.key = key }
}

/// The routes of all Services. A value: what holds one sees it unchanged while others go on.
package struct TrafficModel: Sendable, Equatable {
  package private(set) var services: [ObjectKey: ServiceRoute] = [:]

  package init() {}

  /// Takes a Service's route; `nil` when the Service is gone.
  ///
  /// - Returns: whether anything is different now.
  package mutating func set(_ key: ObjectKey, _ route: ServiceRoute?) -> Bool {
    if services[key] == route { return false }
    services[key] = route
    return true
  }
}
