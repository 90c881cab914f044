import ControllerKit
import KubeClient
import KubeTypes
import Routing
import Schema
import Synchronization
import Wire

/// What is wrong with a service's addresses, as it stands in its status.
struct ServiceProblem: Sendable, Equatable {
  /// In one word.
  var reason: String
  var message: String

  /// An answer to a person, not a log: some of many are enough.
  private static let namedMax = 5

  static func list(
    of key: ObjectKey, conflicts: [(entrance: Entrance, holder: ObjectKey)], refusals: Set<AddressRefusal>,
    failure: String?
  ) -> [ServiceProblem] {
    var result: [ServiceProblem] = []
    func add(_ reason: String, _ lines: [String]) {
      guard !lines.isEmpty else { return }
      var message = lines.prefix(namedMax).joined(separator: "; ")
      if lines.count > namedMax { message += "; and \(lines.count - namedMax) more" }
      result.append(ServiceProblem(reason: reason, message: message))
    }
    add(
      "AddressConflict",
      conflicts.map { entrance, holder in
        // What is in other namespaces is not for everybody to know.
        let who = holder.namespace == key.namespace ? "the Service \(holder.name)" : "a Service of another namespace"
        return "\(entrance) is taken by \(who)"
      })
    add("AddressRefused", refusals.sorted().map { "\($0.address) \($0.reason)" })
    add("RulesRefused", failure.map { ["the kernel does not take the rules of this Service: \($0)"] } ?? [])
    return result
  }
}

/// The problems that the proxy knows of, on their way to the API.
final class ServiceProblems: Sendable {
  private struct State {
    var services: [ObjectKey: [ServiceProblem]] = [:]
    /// `nil` while the table is what it should be.
    var table: String?
  }

  private let state = Mutex(State())

  func set(_ key: ObjectKey, _ problems: [ServiceProblem]) -> Bool {
    state.withLock { state in
      let new = problems.isEmpty ? nil : problems
      if state.services[key] == new { return false }
      state.services[key] = new
      return true
    }
  }

  func set(table problem: String?) -> Bool {
    state.withLock { state in
      if state.table == problem { return false }
      state.table = problem
      return true
    }
  }

  subscript(key: ObjectKey) -> [ServiceProblem] { state.withLock { $0.services[key] ?? [] } }
  var table: String? { state.withLock { $0.table } }
}

/// Says in a Service's status and by events when it does not get an address that it asks for.
struct ServiceProblemReconciler: Reconciler {
  let name = "service-addresses"
  static let condition = "AddressesServed"

  let client: any KubeClient
  let services: Informer
  let problems: ServiceProblems
  let events: EventRecorder
  let time: any TimeSource

  struct Snapshot: Sendable {
    var service: KubeTypes.Service
    var problems: [ServiceProblem]
    var now: Timestamp
  }

  enum Action: Sendable, Equatable {
    case tell(KubeTypes.Service, [ServiceProblem])
    case updateStatus(KubeTypes.Service)
  }

  func observe(_ key: ObjectKey) async throws -> Snapshot? {
    guard let object = services.get(key), object.header.deletionTimestamp == nil else { return nil }
    return Snapshot(service: object.decode(), problems: problems[key], now: time.now())
  }

  func plan(_ snapshot: Snapshot) -> Plan<Action> { Self.plan(snapshot) }

  static func plan(_ snapshot: Snapshot) -> Plan<Action> {
    var service = snapshot.service
    var conditions = service.status.conditions
    let isKnown = conditions.contains { $0.type == condition }
    guard isKnown || !snapshot.problems.isEmpty else { return Plan() }
    let isChanged = Conditions.set(
      condition, snapshot.problems.isEmpty ? .yes : .no,
      reason: snapshot.problems.first?.reason ?? "AsAsked",
      message: snapshot.problems.isEmpty
        ? "every address that is asked for is served" : snapshot.problems.map(\.message).joined(separator: "; "),
      now: snapshot.now, in: &conditions)
    guard isChanged else { return Plan() }
    service.status.conditions = conditions
    let status = Action.updateStatus(service)
    return Plan(snapshot.problems.isEmpty ? [status] : [.tell(service, snapshot.problems), status])
  }

  func subject(of key: ObjectKey) -> EventSubject? {
    services.get(key).map { EventSubject(KubeTypes.Service.groupVersionKind, $0.header) }
  }

  func apply(_ action: Action) async throws {
    switch action {
    case .tell(let service, let problems):
      let subject = EventSubject(service)
      for problem in problems {
        events.record(.warning, regarding: subject, reason: problem.reason, message: problem.message)
      }
    case .updateStatus(let service):
      _ = try await client.updateStatus(service, options: WriteOptions(fieldManager: "service-proxy"))
    }
  }
}

/// Says in the node's status whether the service table is what it should be.
struct TableConditionReconciler: Reconciler {
  let name = "service-table"
  static let condition = "ServiceRulesFailing"

  let client: any KubeClient
  let problems: ServiceProblems
  let events: EventRecorder
  let time: any TimeSource

  struct Snapshot: Sendable {
    var node: KubeTypes.Node
    var problem: String?
    var now: Timestamp
  }

  struct Action: Sendable, Equatable {
    var node: KubeTypes.Node
    var condition: JSON
  }

  func observe(_ key: ObjectKey) async throws -> Snapshot? {
    Snapshot(
      node: try await client.get(KubeTypes.Node.self, name: key.name), problem: problems.table, now: time.now())
  }

  func plan(_ snapshot: Snapshot) -> Plan<Action> { Self.plan(snapshot) }

  static func plan(_ snapshot: Snapshot) -> Plan<Action> {
    var conditions = snapshot.node.status.conditions.map(\.json)
    let isKnown = Conditions.find(condition, in: conditions) != nil
    guard isKnown || snapshot.problem != nil else { return Plan() }
    let isChanged = Conditions.set(
      condition, snapshot.problem == nil ? .no : .yes,
      reason: snapshot.problem == nil ? "RulesWritten" : "TransactionFailed",
      message: snapshot.problem ?? "all Services have their rules", now: snapshot.now, in: &conditions)
    guard isChanged, let written = Conditions.find(condition, in: conditions) else { return Plan() }
    return Plan([Action(node: snapshot.node, condition: written)])
  }

  func apply(_ action: Action) async throws {
    if action.condition["status"] == "True" {
      events.record(
        .warning, regarding: EventSubject(action.node), reason: "ServiceRulesFailing",
        message: action.condition["message"]?.string ?? "")
    }
    // Merged by type: the node itself writes the others.
    _ = try await client.patch(
      KubeTypes.Node.resource, namespace: nil, name: action.node.metadata.name ?? "", subresource: "status",
      type: .strategicMerge, body: ["status": ["conditions": [action.condition]]],
      options: WriteOptions(fieldManager: "service-proxy"))
  }
}
