import ControllerKit
import KubeTypes
import Testing
import Wire

@testable import Scheduler

/// Random pods come and go on random nodes; bindings succeed or fail late. What must hold is checked from scratch after
/// every step, with a book of its own.
@Suite struct SimulationTests {
  private struct World {
    var random: SeededRandom
    var cluster = ClusterState()
    var queue = SchedulingQueue()
    var now = Timestamp(seconds: 0)
    var capacity: [String: (cpu: Int64, pods: Int, zone: String)] = [:]
    /// Pods on a node, by uid: confirmed or being bound.
    var placed: [String: (pod: PodInfo, node: String, isConfirmed: Bool)] = [:]
    /// As they were created, without a node.
    var originals: [String: PodInfo] = [:]
    var created = 0

    mutating func pick<T>(_ elements: [T]) -> T { elements[Int.random(in: 0..<elements.count, using: &random)] }
    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
  }

  private func randomPod(_ world: inout World) -> PodInfo {
    world.created += 1
    let app = world.pick(["a", "b", "c", "d"])
    var spec: JSONObject = ["priority": .int(world.pick([0, 0, 0, 10]))]
    switch Int.random(in: 0..<6, using: &world.random) {
    case 0: spec["affinity"] = antiAffinity(affinityTerm(app: app))["affinity"]
    case 1: spec["affinity"] = antiAffinity(affinityTerm(app: world.pick(["a", "b"]), key: "zone"))["affinity"]
    case 2:
      spec["containers"] = [
        [
          "name": "c", "ports": [["containerPort": 80, "hostPort": .int(world.pick([80, 81]))]],
          "resources": ["requests": ["cpu": "100m"]],
        ]
      ]
    default: break
    }
    return makePod(
      "p\(world.created)", labels: ["app": app], requests: ["cpu": world.pick(["100m", "500m", "1", "2"])],
      spec: spec)
  }

  private func check(_ world: World, _ step: Int, _ seed: UInt64) {
    var cpu: [String: Int64] = [:]
    var pods: [String: [PodInfo]] = [:]
    for (pod, node, _) in world.placed.values {
      cpu[node, default: 0] += pod.requests.cpuMilli
      pods[node, default: []].append(pod)
    }
    for (name, capacity) in world.capacity {
      let own = pods[name] ?? []
      #expect(cpu[name] ?? 0 <= capacity.cpu, "cpu of \(name) at step \(step) with seed \(seed)")
      #expect(own.count <= capacity.pods, "pods of \(name) at step \(step) with seed \(seed)")
      #expect(world.cluster.snapshot.nodes[name]?.requested.cpuMilli == cpu[name] ?? 0, "book of \(name), seed \(seed)")
      #expect(world.cluster.snapshot.nodes[name]?.pods.count == own.count, "seed \(seed)")
      let ports = own.flatMap(\.hostPorts).map(\.port)
      #expect(Set(ports).count == ports.count, "host ports of \(name) at step \(step) with seed \(seed)")
    }
    for (pod, node, _) in world.placed.values {
      for term in pod.requiredAntiAffinity {
        for (other, otherNode, _) in world.placed.values where other.uid != pod.uid {
          let isSame =
            term.topologyKey == "zone"
            ? world.capacity[node]?.zone == world.capacity[otherNode]?.zone : node == otherNode
          let isViolated = isSame && term.matches(other, namespaceLabels: [:])
          #expect(!isViolated, "\(pod.key) and \(other.key) at step \(step) with seed \(seed)")
        }
      }
    }
  }

  @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64])
  func neverOverCommits(seed: UInt64) {
    var world = World(random: SeededRandom(seed: seed))
    for index in 0..<6 {
      let zone = world.pick(["x", "y", "z"])
      let cpu = Int64(world.pick([2, 4]))
      let pods = world.pick([3, 5, 110])
      world.capacity["n\(index)"] = (cpu * 1000, pods, zone)
      let json = nodeJSON("n\(index)", cpu: "\(cpu)", pods: "\(pods)", labels: ["zone": zone])
      _ = world.cluster.setNode(Node(json: json))
    }
    for step in 0..<400 {
      world.now = world.now.adding(.milliseconds(Int64.random(in: 0...200, using: &world.random)))
      switch Int.random(in: 0..<10, using: &world.random) {
      case 0...4:
        let pod = randomPod(&world)
        world.originals[pod.uid] = pod
        world.queue.add(pod, now: world.now)
      case 5, 6:
        // The API server confirms or refuses a binding.
        let open = world.placed.filter { !$0.value.isConfirmed }.keys.sorted()
        guard !open.isEmpty else { break }
        let uid = world.pick(open)
        guard let (pod, node, _) = world.placed[uid] else { break }
        if world.chance(25) {
          world.placed[uid] = nil
          let changes = world.cluster.forget(uid)
          world.queue.retry(uid, now: world.now)
          world.queue.wake(changes, now: world.now)
        } else {
          world.placed[uid]?.isConfirmed = true
          world.queue.remove(uid)
          let confirmed = PodInfo(
            Pod(json: rebuilt(pod, on: node)))
          let changes = world.cluster.place(confirmed)
          world.placed[uid]?.pod = confirmed
          world.queue.wake(changes, now: world.now)
        }
      default:
        let all = world.placed.keys.sorted()
        guard !all.isEmpty, world.chance(60) else { break }
        let uid = world.pick(all)
        if world.placed[uid]?.isConfirmed == true, world.chance(20), let original = world.originals[uid] {
          // The server came back with an older state.
          world.placed[uid] = nil
          let changes = world.cluster.unplace(uid)
          world.queue.add(original, now: world.now)
          world.queue.wake(changes, now: world.now)
          break
        }
        world.placed[uid] = nil
        world.queue.remove(uid)
        world.queue.wake(world.cluster.remove(uid), now: world.now)
      }
      world.queue.advance(to: world.now)
      while let item = world.queue.next() {
        switch SchedulingCycle.decide(item.pod, world.cluster.snapshot, random: &world.random) {
        case .node(let node):
          world.cluster.assume(item.pod, on: node)
          world.placed[item.pod.uid] = (item.pod, node, false)
        case .unschedulable(let failure):
          let changes = failure.rules.reduce(into: ClusterChange()) { $0.formUnion($1.liftedBy) }
          world.queue.reject(item.pod.uid, liftedBy: changes, now: world.now)
        }
      }
      check(world, step, seed)
    }
    #expect(world.placed.count > 3)

    // Nobody is forgotten: whoever waits at the end really fits nowhere.
    for item in world.queue.items.values where item.place != .inFlight {
      if case .waiting = item.place {
        guard case .unschedulable = SchedulingCycle.decide(item.pod, world.cluster.snapshot, random: &world.random)
        else {
          Issue.record("\(item.pod.key) waits although a node takes it, seed \(seed)")
          continue
        }
      }
    }
  }

  /// The pod as it comes back from the API server.
  private func rebuilt(_ pod: PodInfo, on node: String) -> JSON {
    var spec: JSONObject = [:]
    var anti: [JSON] = []
    for term in pod.requiredAntiAffinity {
      let apps = term.selector?.requirements.first?.values ?? []
      anti.append(affinityTerm(app: apps.first ?? "", key: term.topologyKey))
    }
    if !anti.isEmpty {
      spec["affinity"] = ["podAntiAffinity": ["requiredDuringSchedulingIgnoredDuringExecution": .array(anti)]]
    }
    if let port = pod.hostPorts.first {
      spec["containers"] = [
        [
          "name": "c", "ports": [["containerPort": 80, "hostPort": .int(port.port)]],
          "resources": ["requests": ["cpu": "100m"]],
        ]
      ]
    }
    return podJSON(
      pod.key.name, labels: pod.labels, requests: ["cpu": "\(pod.requests.cpuMilli)m"], on: node, spec: spec)
  }

  @Test func aPodIsNeverBoundTwice() async {
    await #expect(processExitsWith: .failure) {
      var cluster = makeCluster([nodeJSON("n")])
      cluster.assume(makePod("1"), on: "n")
      cluster.assume(makePod("1"), on: "n")
    }
    await #expect(processExitsWith: .failure) {
      var cluster = makeCluster([nodeJSON("n")])
      cluster.assume(makePod("1"), on: "gone")
    }
  }
}
