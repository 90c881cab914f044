import Glibc
import LinuxSystem
import Logging
import Routing
import Wire

/// Which UDP flows a change of services has made stale. Pure.
///
/// UDP has no end of a connection: a client that goes on sending from one port would reach an endpoint that is gone, or
/// keep missing one that has come. So the kernel has to forget every flow that the rules would not make now, whichever
/// way it came in: by the cluster address, a node port, an external address or a load balancer's.
struct ServiceFlows: Sendable {
  /// Who may answer at each entrance; nobody, when it has no endpoint.
  private var answerers: [Entrance: Set<RuleSet.Target>] = [:]
  /// Entrances that no service has any more: what was translated there is stale.
  private var gone: Set<Entrance> = []
  /// Of cluster addresses: what was translated in it and is no service's any more is stale, too.
  private let ranges: IPRanges?

  /// Whether there is anything to look for.
  var isEmpty: Bool { answerers.isEmpty && gone.isEmpty && ranges == nil }

  /// - Parameters:
  ///   - before: what the kernel had of the services that have changed.
  ///   - after: what it has now.
  ///   - ranges: for a start, at which nobody knows what the kernel had: those of the cluster addresses.
  ///   - isTaken: whether some service has an entrance now.
  init(before: [RuleSet], after: [RuleSet], ranges: IPRanges? = nil, isTaken: (Entrance) -> Bool) {
    self.ranges = ranges
    for rules in after {
      for (entrance, verdict) in rules.entrances where entrance.transport == .udp {
        var targets: [RuleSet.Target] = []
        if case .chain(let chain) = verdict { targets = rules.endpoints[chain] ?? [] }
        answerers[entrance] = Set(targets)
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
    guard flow.protocol == UInt8(IPPROTO_UDP) else { return false }
    let (destination, port) = (flow.original.destination, flow.original.destinationPort)
    let target = RuleSet.Target(address: flow.reply.source, port: flow.reply.sourcePort)
    var entrance = Entrance(address: destination, transport: .udp, port: port)
    let isTranslated = target != RuleSet.Target(address: destination, port: port)
    if answerers[entrance] == nil, !gone.contains(entrance) {
      if ranges?.contains(destination) == true { return isTranslated }
      entrance = Entrance(nodePort: port, transport: .udp, family: destination.family)
      guard answerers[entrance] != nil || gone.contains(entrance), isLocal(destination) else { return false }
    }
    if let allowed = answerers[entrance] { return !allowed.contains(target) }
    return isTranslated
  }

  /// Makes the kernel forget the stale flows.
  func forget(_ log: Logger) async {
    guard !isEmpty else { return }
    do throws(SystemError) {
      try await DedicatedThread.run("apus-flows") { () throws(SystemError) in
        let local = HostAddresses.local()
        let tracking = try ConnectionTracking()
        var stale: [TrackedFlow] = []
        for family in IPAddress.Family.allCases {
          stale += try tracking.flows(family, protocol: UInt8(IPPROTO_UDP)) { flow in
            isStale(flow) { local.contains($0) || AddressClass($0) == .loopback }
          }
        }
        for flow in stale { try tracking.forget(flow) }
      }
    } catch {
      // Without it, clients that never change their port may miss new endpoints; the rules are as they should be.
      log.warning("stale UDP flows could not be forgotten", metadata: ["error": "\(error)"])
    }
  }
}
