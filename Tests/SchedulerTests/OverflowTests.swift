import ControllerKit
import KubeTypes
import Testing
import Wire

@testable import Scheduler

/// Amounts come from outside, also of pods that name their node themselves and are never asked whether they fit.
@Suite struct OverflowTests {
  private let huge = [
    "cpu": "9223372036854775807", "memory": "9223372036854775807", "example.com/x": "9223372036854775807",
  ]

  @Test func sumsThatDoNotFitComeApartAgain() {
    var cluster = makeCluster([nodeJSON("n")])
    _ = cluster.place(makePod("small", requests: ["cpu": "1", "memory": "1Mi"], on: "n"))
    for name in ["a", "b", "c", "d"] { _ = cluster.place(makePod(name, requests: huge, on: "n")) }
    #expect(cluster.snapshot.nodes["n"]?.requested.cpuMilli == .max)
    for name in ["c", "a", "d", "b"] { _ = cluster.remove(makePod(name).uid) }
    #expect(cluster.snapshot.nodes["n"]?.requested.cpuMilli == 1000)
    #expect(cluster.snapshot.nodes["n"]?.requested.memory == 1 << 20)
    #expect(cluster.snapshot.nodes["n"]?.scoredCPUMilli == 1000)
    #expect(cluster.snapshot.nodes["n"]?.requested.extended["example.com/x"] ?? 0 == 0)
  }

  @Test func aPodIsWeighedOnNodesThatAreOverfull() {
    var cluster = makeCluster([nodeJSON("n"), nodeJSON("m")])
    for name in ["a", "b"] { _ = cluster.place(makePod(name, requests: huge, on: "n")) }
    var random = SeededRandom(seed: 1)
    guard case .node(let node) = SchedulingCycle.decide(makePod("p"), cluster.snapshot, random: &random) else {
      Issue.record("no node takes it")
      return
    }
    #expect(["n", "m"].contains(node))
  }

  @Test func lessThanNothingIsNothing() {
    let pod = makePod("p", requests: ["cpu": "-5", "memory": "-9223372036854775808", "example.com/x": "-1"])
    #expect(pod.requests.cpuMilli == 0 && pod.requests.memory == 0 && pod.requests.extended["example.com/x"] == 0)
  }
}
