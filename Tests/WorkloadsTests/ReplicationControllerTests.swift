import ControllerKit
import KubeTypes
import Testing
import Wire

@testable import Workloads

/// A ReplicationController goes through the rules of ReplicaSets as what it stands for.
@Suite struct ReplicationControllerTests {
  private let kind = ReplicaKind.replicationController

  private func object(_ selector: JSON = ["app": "web"]) -> Object {
    Object([
      "apiVersion": "v1", "kind": "ReplicationController",
      "metadata": ["name": "web", "namespace": "shop", "uid": "rc", "generation": 3],
      "spec": [
        "replicas": 2, "selector": selector,
        "template": ["metadata": ["labels": ["app": "web"]], "spec": ["containers": [["name": "c", "image": "i"]]]],
      ], "status": ["replicas": 0],
    ])
  }

  @Test func aViewAndBack() throws {
    let view = kind.view(object())
    #expect(view.spec.json["selector"] == ["matchLabels": ["app": "web"]])
    #expect(kind.body(view) == object().json())
    #expect(kind.selector(object())?.matches(["app": "web", "x": "y"]) == true)
    #expect(kind.selector(object())?.matches(["app": "other"]) == false)
    // One that selects everything is left alone.
    #expect(kind.selector(object([:])) == nil)
    #expect(ReplicaKind.replicaSet.body(view) == view.json)
  }

  @Test func itsPodsSayWhoseTheyAre() throws {
    let pod = ReplicaSetReconciler.pod(from: kind.view(object()), kind)
    let owner = OwnerReference(json: try #require(pod.at("metadata", "ownerReferences")?.array?.first))
    #expect(owner.kind == "ReplicationController" && owner.apiVersion == "v1" && owner.uid == "rc")
    #expect(owner.controller == true && owner.blockOwnerDeletion == true)
    #expect(pod.at("metadata", "generateName") == "web-")
    #expect(kind.owns(owner) && !ReplicaKind.replicaSet.owns(owner))
    let other = OwnerReference(json: ["apiVersion": "example.org/v1", "kind": "ReplicationController", "uid": "x"])
    #expect(!kind.owns(other))
    #expect(kind.subject(kind.view(object())).kind == "ReplicationController")
  }

  @Test func theRulesAreThoseOfReplicaSets() throws {
    let view = kind.view(object())
    let plan = ReplicaSetRules.plan(
      ReplicaSetSnapshot(
        replicaSet: view, selector: try #require(kind.selector(object())), pods: [], now: Timestamp(seconds: 1)))
    #expect(plan.actions.first == .create(count: 2, view))
    guard case .updateStatus(let told)? = plan.actions.last else {
      Issue.record("no status")
      return
    }
    #expect(kind.body(told).at("status", "observedGeneration") == 3)
    #expect(kind.body(told).at("spec", "selector") == ["app": "web"])
  }
}
