import ControllerKit
import KubeTypes
import Routing
import Testing
import Wire

@testable import PodNetwork

/// What a user is told of an address that his Service does not get (H4, H28).
@Suite struct ServiceProblemsTests {
  private let now = Timestamp(seconds: 1_800_000_000)

  @Test func messages() {
    let key = ObjectKey(namespace: "shop", name: "web")
    let entrance = Entrance(address: IPAddress("10.9.9.9")!, transport: .udp, port: 53)
    let list = ServiceProblem.list(
      of: key,
      conflicts: [
        (entrance, ObjectKey(namespace: "shop", name: "first")),
        (entrance, ObjectKey(namespace: "bank", name: "secret")),
      ], refusals: [AddressRefusal(address: "127.0.0.1", reason: "may not be x")], failure: "File exists")
    #expect(list.map(\.reason) == ["AddressConflict", "AddressRefused", "RulesRefused"])
    #expect(
      list[0].message
        == "10.9.9.9:53/UDP is taken by the Service first; 10.9.9.9:53/UDP is taken by a Service of another namespace")
    #expect(list[1].message == "127.0.0.1 may not be x")
    let many = (1...200).map { AddressRefusal(address: "127.0.0.\($0)", reason: "r") }
    let long = ServiceProblem.list(of: key, conflicts: [], refusals: Set(many), failure: nil)
    #expect(long[0].message.hasSuffix("; and 195 more"))
  }

  private func plan(
    _ service: KubeTypes.Service, _ problems: [ServiceProblem]
  ) -> [ServiceProblemReconciler.Action] {
    ServiceProblemReconciler.plan(.init(service: service, problems: problems, now: now)).actions
  }

  @Test func conditionsComeAndGo() throws {
    let problem = ServiceProblem(reason: "AddressConflict", message: "taken")
    #expect(plan(service(clusterIPSpec), []).isEmpty)
    let actions = plan(service(clusterIPSpec), [problem])
    guard case .tell(_, [problem])? = actions.first, case .updateStatus(let told)? = actions.last else {
      Issue.record("\(actions)")
      return
    }
    let condition = try #require(told.status.conditions.first)
    #expect(condition.type == "AddressesServed" && condition.status == "False" && condition.reason == "AddressConflict")
    // Said once.
    #expect(plan(told, [problem]).isEmpty)
    guard case .updateStatus(let served)? = plan(told, []).first else {
      Issue.record("the condition stays")
      return
    }
    #expect(served.status.conditions.first?.status == "True")
    #expect(plan(served, []).isEmpty)
  }

  @Test func theNodeSaysThatATransactionFails() throws {
    func plan(_ node: KubeTypes.Node, _ problem: String?) -> TableConditionReconciler.Action? {
      TableConditionReconciler.plan(.init(node: node, problem: problem, now: now)).actions.first
    }
    var node = KubeTypes.Node()
    node.metadata.name = "here"
    #expect(plan(node, nil) == nil)
    let failing = try #require(plan(node, "File exists"))
    #expect(failing.condition["type"] == "ServiceRulesFailing" && failing.condition["status"] == "True")
    #expect(failing.condition["message"] == "File exists")
    node.json["status"] = ["conditions": [failing.condition]]
    #expect(plan(node, "File exists") == nil)
    #expect(plan(node, nil)?.condition["status"] == "False")
  }

  /// Who had lost an address before a restart does not win it by being older, or by its name.
  @Test func theOrderAtAStart() {
    func lost(_ name: String, _ status: String?, created: String) -> Object {
      var service = service(clusterIPSpec, name: name)
      if let status {
        service.json["status"] = ["conditions": [["type": "AddressesServed", "status": .string(status)]]]
      }
      return object(service, created: created)
    }
    let order = ServiceProxy.ordered([
      lost("a", "False", created: "2026-01-01T00:00:00Z"), lost("b", nil, created: "2026-01-02T00:00:00Z"),
      lost("c", "True", created: "2026-01-01T12:00:00Z"), lost("d", nil, created: "2026-01-02T00:00:00Z"),
    ])
    #expect(order.map(\.key.name) == ["c", "b", "d", "a"])
    #expect(order.map(\.hasCondition) == [true, false, false, true])
  }
}
