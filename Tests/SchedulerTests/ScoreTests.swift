import ControllerKit
import KubeTypes
import Testing
import Wire

@testable import Scheduler

private func choose(_ pod: PodInfo, _ nodes: [JSON], _ pods: [PodInfo] = [], seed: UInt64 = 1) -> String? {
  var random = SeededRandom(seed: seed)
  guard case .node(let name) = SchedulingCycle.decide(pod, makeCluster(nodes, pods).snapshot, random: &random) else {
    return nil
  }
  return name
}

@Suite struct ScoreTests {
  @Test func emptierNodesWin() {
    #expect(
      choose(makePod("p", requests: ["cpu": "1"]), [nodeJSON("a"), nodeJSON("b", cpu: "8", memory: "16Gi")]) == "b")
    let busy = makePod("x", requests: ["cpu": "2", "memory": "4Gi"], on: "a")
    #expect(choose(makePod("p"), [nodeJSON("a"), nodeJSON("b")], [busy]) == "b")
  }

  @Test func balanceOfCPUAndMemory() {
    // Half of the cpu and none of the memory is used: what asks for memory makes it even.
    let cluster = makeCluster([nodeJSON("a", cpu: "4", memory: "8Gi")])
    let cycle = SchedulingCycle(pod: makePod("p", requests: ["cpu": "2", "memory": "4Gi"]), cluster: cluster.snapshot)
    let skewed = SchedulingCycle(pod: makePod("p", requests: ["cpu": "4", "memory": "1"]), cluster: cluster.snapshot)
    let node = NodeInfo(name: "none")
    #expect(cluster.snapshot.nodes["a"].map(cycle.balancedScore) == 100)
    #expect(cluster.snapshot.nodes["a"].map(skewed.balancedScore) == 50)
    #expect(cycle.leastAllocatedScore(node) == 0)
  }

  @Test func preferredNodeAffinity() {
    let preferred: JSONObject = [
      "affinity": [
        "nodeAffinity": [
          "preferredDuringSchedulingIgnoredDuringExecution": [
            ["weight": 10, "preference": expression("disk", "In", "ssd")],
            ["weight": 1, "preference": expression("disk", "In", "hdd")],
          ]
        ]
      ]
    ]
    let nodes = [nodeJSON("a", labels: ["disk": "hdd"]), nodeJSON("b", labels: ["disk": "ssd"]), nodeJSON("c")]
    #expect(choose(makePod("p", spec: preferred), nodes) == "b")
  }

  private func preferredPods(_ kind: String, _ app: String) -> JSONObject {
    [
      "affinity": [
        kind: [
          "preferredDuringSchedulingIgnoredDuringExecution": [
            ["weight": 100, "podAffinityTerm": affinityTerm(app: app)]
          ]
        ]
      ]
    ]
  }

  @Test func preferredPodAffinityBothWays() {
    let nodes = [nodeJSON("a"), nodeJSON("b")]
    let web = makePod("w", labels: ["app": "web"], on: "a")
    #expect(choose(makePod("p", spec: preferredPods("podAffinity", "web")), nodes, [web]) == "a")
    #expect(choose(makePod("p", spec: preferredPods("podAntiAffinity", "web")), nodes, [web]) == "b")
    // What the placed pod prefers counts as well.
    let lover = makePod("l", on: "a", spec: preferredPods("podAffinity", "web"))
    #expect(choose(makePod("p", labels: ["app": "web"]), nodes, [lover]) == "a")
    let hater = makePod("h", on: "a", spec: preferredPods("podAntiAffinity", "web"))
    #expect(choose(makePod("p", labels: ["app": "web"]), nodes, [hater]) == "b")
  }

  @Test func preferNoSchedule() {
    let nodes = [nodeJSON("a", taints: [["key": "k", "effect": "PreferNoSchedule"]]), nodeJSON("b")]
    #expect(choose(makePod("p"), nodes) == "b")
  }

  @Test func siblingsAreSpread() {
    let nodes = [nodeJSON("a"), nodeJSON("b", cpu: "3")]
    let sibling = makePod("1", on: "a", controller: "rs-1")
    #expect(choose(makePod("2", controller: "rs-1"), nodes, [sibling]) == "b")
  }

  @Test func softSpread() {
    let spec: JSONObject = [
      "topologySpreadConstraints": [
        [
          "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway",
          "labelSelector": ["matchLabels": ["app": "web"]],
        ]
      ]
    ]
    let nodes = [nodeJSON("a", labels: ["zone": "a"]), nodeJSON("b", labels: ["zone": "b"])]
    let placed = makePod("1", labels: ["app": "web"], on: "b", spec: spec)
    #expect(choose(makePod("2", labels: ["app": "web"], spec: spec), nodes, [placed]) == "a")
  }

  @Test func imagesThatAreThere() {
    let images: [JSON] = [["names": ["web:1"], "sizeBytes": 2_000_000_000]]
    #expect(choose(makePod("p"), [nodeJSON("a"), nodeJSON("b", images: images), nodeJSON("c")]) == "b")
  }

  @Test func tiesAreBrokenBySeed() {
    let nodes = (0..<8).map { nodeJSON("n\($0)") }
    let chosen = (0..<32).map { choose(makePod("p"), nodes, seed: $0) }
    #expect(Set(chosen).count > 4)
    #expect(chosen == (0..<32).map { choose(makePod("p"), nodes, seed: $0) })
  }

  @Test func normalisation() {
    #expect(SchedulingCycle.higherIsBetter([0, 5, 10]) == [0, 50, 100])
    #expect(SchedulingCycle.lowerIsBetter([0, 5, 10]) == [100, 50, 0])
    #expect(SchedulingCycle.betweenExtremes([-10, 0, 10]) == [0, 50, 100])
    #expect(SchedulingCycle.betweenExtremes([3, 3]) == [0, 0])
  }
}
