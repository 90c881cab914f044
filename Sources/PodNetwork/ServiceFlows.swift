import Glibc
import KubeTypes
import LinuxSystem
import Logging
import Wire

/// Which UDP flows a change of services has made stale. Pure.
///
/// UDP has no end of a connection: a client that goes on sending from one port would reach an endpoint that is gone, or
/// keep missing one that has come. So the kernel has to forget every flow that the rules would not make now, whichever
/// way it came in: by the cluster address, a node port, an external address or a load balancer's.
struct ServiceFlows: Sendable {
  struct Answerer: Hashable {
    var address: IPv4
    var port: UInt16
  }

  /// Who may answer at each entrance; nobody, when it has no endpoint.
  private var answerers: [Entrance: Set<Answerer>] = [:]
  /// Entrances that no service has any more: what was translated there is stale.
  private var gone: Set<Entrance> = []
  /// Of cluster addresses: what was translated in it and is no service's any more is stale, too.
  private let range: IPv4Range?

  /// Whether there is anything to look for.
  var isEmpty: Bool { answerers.isEmpty && gone.isEmpty && range == nil }

  /// - Parameters:
  ///   - before: what the kernel had of the services that have changed.
  ///   - after: what it has now.
  ///   - range: for a start, at which nobody knows what the kernel had: the range of the cluster addresses.
  ///   - isTaken: whether some service has an entrance now.
  init(before: [RuleSet], after: [RuleSet], range: IPv4Range? = nil, isTaken: (Entrance) -> Bool) {
    self.range = range
    for rules in after {
      for (entrance, verdict) in rules.entrances where entrance.transport == .udp {
        var endpoints: [ServiceEndpoint] = []
        if case .chain(let chain) = verdict { endpoints = rules.endpoints[chain] ?? [] }
        answerers[entrance] = Set(
          endpoints.map { Answerer(address: $0.address, port: UInt16(truncatingIfNeeded: $0.port)) })
      }
    }
    for rules in before {
      for entrance in rules.entrances.keys
      where entrance.transport == .udp && answerers[entrance] == nil && !isTaken(entrance) {
        gone.insert(entrance)
      }
    }
  }

  /// - Parameter isLocal: whether an address is one of this machine, at which node ports answer.
  func isStale(_ flow: TrackedFlow, isLocal: (IPAddress) -> Bool) -> Bool {
    guard flow.protocol == UInt8(IPPROTO_UDP), let destination = IPv4(flow.original.destination),
      let source = IPv4(flow.reply.source)
    else { return false }
    var entrance = Entrance(address: destination, transport: .udp, port: flow.original.destinationPort)
    let isTranslated = source != destination || flow.reply.sourcePort != flow.original.destinationPort
    if answerers[entrance] == nil, !gone.contains(entrance) {
      if range?.contains(destination) == true { return isTranslated }
      entrance.address = nil
      guard answerers[entrance] != nil || gone.contains(entrance), isLocal(flow.original.destination) else {
        return false
      }
    }
    if let allowed = answerers[entrance] {
      return !allowed.contains(Answerer(address: source, port: flow.reply.sourcePort))
    }
    return isTranslated
  }

  /// Makes the kernel forget the stale flows.
  func forget(_ log: Logger) async {
    guard !isEmpty else { return }
    do throws(SystemError) {
      try await DedicatedThread.run("apus-flows") { () throws(SystemError) in
        let local = HostAddresses.local()
        let tracking = try ConnectionTracking()
        let stale = try tracking.flows(protocol: UInt8(IPPROTO_UDP)) { flow in
          isStale(flow) { local.contains($0) || AddressClass($0) == .loopback }
        }
        for flow in stale { try tracking.forget(flow) }
      }
    } catch {
      // Without it, clients that never change their port may miss new endpoints; the rules are as they should be.
      log.warning("stale UDP flows could not be forgotten", metadata: ["error": "\(error)"])
    }
  }
}

extension IPv4 {
  init?(_ address: IPAddress) {
    guard address.isIPv4 else { return nil }
    value = address.bytes.reduce(0) { $0 << 8 | UInt32($1) }
  }
}
