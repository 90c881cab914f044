import ControllerKit
import KubeTypes
import Routing
import Synchronization
import Wire

/// The zone, kept in step with Services, EndpointSlices and Namespaces. While the API is away it stays as it was last.
final class ClusterRecords: Sendable {
  private let services: Informer
  private let slices: Informer
  private let namespaces: Informer

  private struct State {
    var model = TrafficModel()
    var zone: DNSZone
    var slices = ServiceSlices()
    var rotation = 0
  }

  private let state: Mutex<State>
  /// Names are the same on every node, and those who name an address have been judged by the API.
  private let compiler = RouteCompiler(nodeName: "", cluster: nil)

  /// - Precondition: the informers do not run yet.
  init(domain: String, informers: InformerSet) {
    state = Mutex(State(zone: DNSZone(domain: domain)))
    services = informers.informer(for: KubeTypes.Service.resource)
    slices = informers.informer(for: EndpointSlice.resource)
    namespaces = informers.informer(for: Namespace.resource)
    services.onChange { [weak self] old, new in
      if let key = (new ?? old)?.header.key { self?.rebuild(key) }
    }
    slices.onChange { [weak self] old, new in self?.sliceChanged(old, new) }
    namespaces.onChange { [weak self] old, new in
      self?.state.withLock { state in
        if let name = new?.header.name {
          state.zone.namespaces.insert(name)
        } else if let name = old?.header.name {
          state.zone.namespaces.remove(name)
        }
      }
    }
  }

  private func sliceChanged(_ old: Object?, _ new: Object?) {
    let change = ServiceSlices.Change(old, new)
    state.withLock { $0.slices.apply(change) }
    for key in change.services { rebuild(key) }
  }

  private func rebuild(_ key: ObjectKey) {
    let service = services.get(key)?.decode(KubeTypes.Service.self)
    state.withLock { state in
      let route = service.map { compiler.route($0, slices: state.slices[key]) }
      if state.model.set(key, route) { state.zone.set(key, route.map(ServiceRecords.init)) }
    }
  }

  /// `nil` for a name of the cluster while not everything is known yet: a wrong "there is none" would be remembered.
  func look(up question: DNSQuestion, isLocal: (IPAddress) -> Bool) -> DNSZone.Outcome? {
    let isComplete = services.isSynced && slices.isSynced && namespaces.isSynced
    let (zone, rotation) = state.withLock { state in
      state.rotation &+= 1
      return (state.zone, state.rotation & 0xFFFF)
    }
    let outcome = zone.look(up: question, rotation: rotation, isLocal: isLocal)
    if case .answer(let answer) = outcome, answer.answers.isEmpty, !isComplete { return nil }
    return outcome
  }
}
