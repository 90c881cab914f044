import ControllerKit
import KubeTypes
import Testing
import Wire

@testable import Scheduler

private func decide(_ pod: PodInfo, _ cluster: ClusterState) -> Decision {
  var random = SeededRandom(seed: 1)
  return SchedulingCycle.decide(pod, cluster.snapshot, random: &random)
}

private func reasons(_ pod: PodInfo, _ cluster: ClusterState) -> [String: Int] {
  guard case .unschedulable(let failure) = decide(pod, cluster) else { return [:] }
  return failure.reasons
}

@Suite struct ResourceTests {
  @Test func sumsContainersAndTakesTheLargestInitContainer() {
    let pod = makePod(
      "a",
      spec: [
        "containers": [
          ["name": "a", "resources": ["requests": ["cpu": "100m", "memory": "64Mi"]]],
          ["name": "b", "resources": ["requests": ["cpu": "200m", "example.com/gpu": "1"]]],
        ],
        "initContainers": [
          ["name": "i", "resources": ["requests": ["cpu": "250m", "memory": "1Gi"]]]
        ],
        "overhead": ["cpu": "10m"],
      ])
    #expect(pod.requests.cpuMilli == 310)
    #expect(pod.requests.memory == 1 << 30)
    #expect(pod.requests.extended == ["example.com/gpu": 1])
  }

  @Test func sidecarsRunBesideEverythingAfterThem() {
    let pod = makePod(
      "a",
      spec: [
        "containers": [["name": "a", "resources": ["requests": ["cpu": "100m"]]]],
        "initContainers": [
          ["name": "s", "restartPolicy": "Always", "resources": ["requests": ["cpu": "50m"]]],
          ["name": "i", "resources": ["requests": ["cpu": "300m"]]],
        ],
      ])
    #expect(pod.requests.cpuMilli == 350)
  }

  @Test func podLevelRequestsReplaceTheSum() {
    let pod = makePod("a", requests: ["cpu": "1"], spec: ["resources": ["requests": ["cpu": "2"]]])
    #expect(pod.requests.cpuMilli == 2000)
  }

  @Test func hugeRequestsDoNotTrap() {
    let big: JSON = ["resources": ["requests": ["memory": "9223372036854775807", "cpu": "9000000000000000"]]]
    let pod = makePod("a", spec: ["containers": [big, big, big]])
    #expect(pod.requests.memory == .max)
    #expect(reasons(pod, makeCluster([nodeJSON("n")])) == ["Insufficient cpu": 1, "Insufficient memory": 1])
  }

  @Test(arguments: [
    (["cpu": "5"], ["Insufficient cpu": 1]),
    (["memory": "9Gi"], ["Insufficient memory": 1]),
    (["ephemeral-storage": "101Gi"], ["Insufficient ephemeral-storage": 1]),
    (["example.com/gpu": "1"], ["Insufficient example.com/gpu": 1]),
    (["cpu": "5", "memory": "9Gi"], ["Insufficient cpu": 1, "Insufficient memory": 1]),
    (["cpu": "4", "memory": "8Gi"], [:]),
  ])
  func fit(requests: [String: String], expected: [String: Int]) {
    #expect(reasons(makePod("a", requests: requests), makeCluster([nodeJSON("n")])) == expected)
  }

  @Test func countsPodsOnTheNode() {
    let cluster = makeCluster([nodeJSON("n", pods: "1")], [makePod("b", on: "n")])
    #expect(reasons(makePod("a"), cluster) == ["Too many pods": 1])
  }

  @Test func freesWhatARemovedPodTook() {
    var cluster = makeCluster([nodeJSON("n")], [makePod("b", requests: ["cpu": "4"], on: "n")])
    #expect(reasons(makePod("a", requests: ["cpu": "1"]), cluster) == ["Insufficient cpu": 1])
    #expect(cluster.remove("uid-default-b") == .podRemoved)
    #expect(decide(makePod("a", requests: ["cpu": "1"]), cluster) == .node("n"))
  }
}

@Suite struct NodeFilterTests {
  @Test(arguments: [
    (expression("zone", "In", "a", "b"), true),
    (expression("zone", "In", "b"), false),
    (expression("zone", "NotIn", "b"), true),
    (expression("missing", "NotIn", "b"), true),
    (expression("zone", "Exists"), true),
    (expression("missing", "Exists"), false),
    (expression("missing", "DoesNotExist"), true),
    (expression("zone", "DoesNotExist"), false),
    (expression("size", "Gt", "9"), true),
    (expression("size", "Gt", "10"), false),
    (expression("size", "Lt", "11"), true),
    (expression("missing", "Lt", "11"), false),
    (expression("zone", "Gt", "1"), false),
    (expression("zone", "Nonsense", "a"), false),
    (["matchFields": [["key": "metadata.name", "operator": "In", "values": ["n"]]]] as JSON, true),
    (["matchFields": [["key": "metadata.name", "operator": "In", "values": ["m"]]]] as JSON, false),
    ([:] as JSON, false),
  ])
  func requiredNodeAffinity(term: JSON, fits: Bool) {
    let cluster = makeCluster([nodeJSON("n", labels: ["zone": "a", "size": "10"])])
    let pod = makePod("a", spec: nodeAffinity(term))
    #expect(
      reasons(pod, cluster) == (fits ? [:] : ["node(s) didn't match Pod's node affinity/selector": 1]))
  }

  @Test func oneOfSeveralTermsIsEnough() {
    let cluster = makeCluster([nodeJSON("n", labels: ["zone": "a"])])
    let pod = makePod("a", spec: nodeAffinity(expression("zone", "In", "b"), expression("zone", "In", "a")))
    #expect(decide(pod, cluster) == .node("n"))
  }

  @Test func nodeSelector() {
    let cluster = makeCluster([nodeJSON("a", labels: ["disk": "ssd"]), nodeJSON("b", labels: ["disk": "hdd"])])
    #expect(decide(makePod("p", spec: ["nodeSelector": ["disk": "hdd"]]), cluster) == .node("b"))
    #expect(
      reasons(makePod("p", spec: ["nodeSelector": ["disk": "tape"]]), cluster)
        == ["node(s) didn't match Pod's node affinity/selector": 2])
  }

  @Test(arguments: [
    ([] as [JSON], false),
    ([["key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"]] as [JSON], true),
    ([["key": "dedicated", "value": "web", "effect": "NoSchedule"]] as [JSON], false),
    ([["key": "dedicated", "operator": "Exists"]] as [JSON], true),
    ([["operator": "Exists"]] as [JSON], true),
    ([["key": "dedicated", "operator": "Exists", "effect": "NoExecute"]] as [JSON], false),
  ])
  func taints(tolerations: [JSON], fits: Bool) {
    let cluster = makeCluster([
      nodeJSON("n", taints: [["key": "dedicated", "value": "db", "effect": "NoSchedule"]])
    ])
    let pod = makePod("a", spec: ["tolerations": .array(tolerations)])
    #expect(reasons(pod, cluster) == (fits ? [:] : ["node(s) had untolerated taint {dedicated: db}": 1]))
  }

  @Test func preferNoScheduleDoesNotFilter() {
    let cluster = makeCluster([nodeJSON("n", taints: [["key": "k", "effect": "PreferNoSchedule"]])])
    #expect(decide(makePod("a"), cluster) == .node("n"))
  }

  @Test func cordonedNodes() {
    let cluster = makeCluster([nodeJSON("n", unschedulable: true)])
    #expect(reasons(makePod("a"), cluster) == ["node(s) were unschedulable": 1])
    let tolerant = makePod(
      "a", spec: ["tolerations": [["key": "node.kubernetes.io/unschedulable", "operator": "Exists"]]])
    #expect(decide(tolerant, cluster) == .node("n"))
  }

  private func withPort(_ name: String, _ port: Int64, ip: String? = nil, proto: String = "TCP", on: String? = nil)
    -> PodInfo
  {
    var entry: JSON = ["containerPort": .int(port), "hostPort": .int(port), "protocol": .string(proto)]
    entry["hostIP"] = ip.map { .string($0) }
    return makePod(name, on: on, spec: ["containers": [["name": "c", "ports": [entry]]]])
  }

  @Test func hostPorts() {
    let cluster = makeCluster([nodeJSON("n")], [withPort("b", 80, ip: "10.0.0.1", on: "n")])
    let conflict = ["node(s) didn't have free ports for the requested pod ports": 1]
    #expect(reasons(withPort("a", 80), cluster) == conflict)
    #expect(reasons(withPort("a", 80, ip: "10.0.0.1"), cluster) == conflict)
    #expect(reasons(withPort("a", 80, ip: "10.0.0.2"), cluster) == [:])
    #expect(reasons(withPort("a", 80, proto: "UDP"), cluster) == [:])
    #expect(reasons(withPort("a", 81), cluster) == [:])
  }
}

@Suite struct PodAffinityTests {
  private let twoZones = [
    nodeJSON("a1", labels: ["zone": "a"]), nodeJSON("a2", labels: ["zone": "a"]),
    nodeJSON("b1", labels: ["zone": "b"]),
  ]

  @Test func antiAffinityByHost() {
    let web = { (name: String, node: String?) in
      makePod(name, labels: ["app": "web"], on: node, spec: antiAffinity(affinityTerm(app: "web")))
    }
    let cluster = makeCluster([nodeJSON("n")], [web("one", "n")])
    #expect(reasons(web("two", nil), cluster) == ["node(s) didn't match pod anti-affinity rules": 1])
    guard case .unschedulable(let failure) = decide(web("two", nil), cluster) else {
      Issue.record("it was placed")
      return
    }
    #expect(
      failure.message
        == "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules. preemption: 0/1 nodes are "
        + "available: 1 No preemption victims found for incoming pod.")
  }

  @Test func existingPodsAntiAffinityCountsToo() {
    let guarded = makePod("g", on: "a1", spec: antiAffinity(affinityTerm(app: "noisy", key: "zone")))
    let cluster = makeCluster(twoZones, [guarded])
    #expect(decide(makePod("p", labels: ["app": "noisy"]), cluster) == .node("b1"))
    let onlyZoneA = makePod("p", labels: ["app": "noisy"], spec: ["nodeSelector": ["zone": "a"]])
    #expect(
      reasons(onlyZoneA, cluster)
        == [
          "node(s) didn't satisfy existing pods anti-affinity rules": 2,
          "node(s) didn't match Pod's node affinity/selector": 1,
        ])
    #expect(reasons(makePod("p", labels: ["app": "quiet"]), cluster) == [:])
  }

  @Test func affinityFollowsAPod() {
    let cluster = makeCluster(twoZones, [makePod("db", labels: ["app": "db"], on: "b1")])
    #expect(decide(makePod("p", spec: podAffinity(affinityTerm(app: "db", key: "zone"))), cluster) == .node("b1"))
    #expect(
      reasons(makePod("p", spec: podAffinity(affinityTerm(app: "none", key: "zone"))), cluster)
        == ["node(s) didn't match pod affinity rules": 3])
  }

  @Test func theFirstOfAGroupMayGoAnywhere() {
    let cluster = makeCluster(twoZones)
    let pod = makePod("p", labels: ["app": "web"], spec: podAffinity(affinityTerm(app: "web", key: "zone")))
    guard case .node = decide(pod, cluster) else {
      Issue.record("it was not placed")
      return
    }
    let keyless = makePod("p", labels: ["app": "web"], spec: podAffinity(affinityTerm(app: "web", key: "rack")))
    #expect(reasons(keyless, cluster) == ["node(s) didn't match pod affinity rules": 3])
  }

  @Test func namespaces() {
    let other = makePod("x", namespace: "blue", labels: ["app": "web"], on: "n")
    var cluster = makeCluster([nodeJSON("n")], [other])
    _ = cluster.setNamespace("blue", labels: ["team": "b"])
    func anti(_ extra: JSONObject) -> PodInfo {
      makePod("p", spec: antiAffinity(affinityTerm(app: "web", extra: extra)))
    }
    // The pod's own namespace is meant when none is named.
    #expect(reasons(anti([:]), cluster) == [:])
    #expect(reasons(anti(["namespaces": ["blue"]]), cluster).count == 1)
    #expect(reasons(anti(["namespaces": ["red"]]), cluster) == [:])
    #expect(reasons(anti(["namespaceSelector": ["matchLabels": ["team": "b"]]]), cluster).count == 1)
    #expect(reasons(anti(["namespaceSelector": ["matchLabels": ["team": "r"]]]), cluster) == [:])
    #expect(reasons(anti(["namespaceSelector": [:]]), cluster).count == 1)
  }

  @Test func matchLabelKeysNarrowTheSelector() {
    let old = makePod("x", labels: ["app": "web", "hash": "1"], on: "n")
    let cluster = makeCluster([nodeJSON("n")], [old])
    let term = affinityTerm(app: "web", extra: ["matchLabelKeys": ["hash"]])
    let spec = antiAffinity(term)
    #expect(reasons(makePod("p", labels: ["app": "web", "hash": "2"], spec: spec), cluster) == [:])
    #expect(reasons(makePod("p", labels: ["app": "web", "hash": "1"], spec: spec), cluster).count == 1)
  }

  private func spread(_ name: String, skew: Int64, on: String? = nil, extra: JSONObject = [:]) -> PodInfo {
    var constraint: JSON = [
      "maxSkew": .int(skew), "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
      "labelSelector": ["matchLabels": ["app": "web"]],
    ]
    for (key, value) in extra.members { constraint[key] = value }
    return makePod(name, labels: ["app": "web"], on: on, spec: ["topologySpreadConstraints": [constraint]])
  }

  @Test func topologySpread() {
    let cluster = makeCluster(twoZones, [spread("1", skew: 1, on: "a1")])
    #expect(decide(spread("2", skew: 1), cluster) == .node("b1"))
    let full = makeCluster(
      [twoZones[0], twoZones[2]], [spread("1", skew: 1, on: "a1"), spread("2", skew: 1, on: "b1")])
    guard case .node = decide(spread("3", skew: 1), full) else {
      Issue.record("an even spread takes one more anywhere")
      return
    }
    let noZone = makeCluster([nodeJSON("n")])
    #expect(
      reasons(spread("2", skew: 1), noZone)
        == ["node(s) didn't match pod topology spread constraints (missing required label)": 1])
    let oneZone = makeCluster([twoZones[0]], [spread("1", skew: 1, on: "a1")])
    #expect(
      reasons(spread("2", skew: 1, extra: ["minDomains": 2]), oneZone)
        == ["node(s) didn't match pod topology spread constraints": 1])
    #expect(reasons(spread("2", skew: 1), oneZone) == [:])
  }
}

@Suite struct GeneralFilterTests {
  @Test func noNodes() {
    guard case .unschedulable(let failure) = decide(makePod("a"), makeCluster([])) else {
      Issue.record("there is no node")
      return
    }
    #expect(failure.message == "no nodes available to schedule pods")
    #expect(failure.rules == [.noNodes])
  }

  @Test func claims() {
    let pod = makePod("a", spec: ["volumes": [["name": "v", "persistentVolumeClaim": ["claimName": "data"]]]])
    var cluster = makeCluster([nodeJSON("n")])
    func message() -> String? {
      guard case .unschedulable(let failure) = decide(pod, cluster) else { return nil }
      return failure.message
    }
    let tail = " preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    #expect(message() == "0/1 nodes are available: persistentvolumeclaim \"data\" not found." + tail)
    _ = cluster.setClaim(ObjectKey(namespace: "default", name: "data"), isBound: false)
    #expect(message() == "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims." + tail)
    #expect(cluster.setClaim(ObjectKey(namespace: "default", name: "data"), isBound: true) == .claim)
    #expect(message() == nil)
  }

  @Test func messageCountsReasonsOverNodes() {
    let cluster = makeCluster([
      nodeJSON("a", cpu: "1"), nodeJSON("b", cpu: "1"), nodeJSON("c", unschedulable: true),
    ])
    guard case .unschedulable(let failure) = decide(makePod("p", requests: ["cpu": "2"]), cluster) else {
      Issue.record("it was placed")
      return
    }
    #expect(
      failure.message
        == "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. preemption: 0/3 nodes are "
        + "available: 3 Preemption is not helpful for scheduling.")
    #expect(failure.rules == [.resources, .nodeUnschedulable])
  }

  @Test func podsOnANodeThatIsNotKnownCountWhenItAppears() {
    var cluster = makeCluster([], [makePod("b", requests: ["cpu": "4"], on: "n")])
    #expect(cluster.setNode(Node(json: nodeJSON("n"))).contains(.nodeAdded))
    #expect(reasons(makePod("a", requests: ["cpu": "1"]), cluster) == ["Insufficient cpu": 1])
  }

  @Test func assumedPodsCountUntilForgotten() {
    var cluster = makeCluster([nodeJSON("n")])
    let first = makePod("1", requests: ["cpu": "3"])
    cluster.assume(first, on: "n")
    #expect(reasons(makePod("2", requests: ["cpu": "3"]), cluster) == ["Insufficient cpu": 1])
    #expect(cluster.forget(first.uid) == .podRemoved)
    #expect(reasons(makePod("2", requests: ["cpu": "3"]), cluster) == [:])
    cluster.assume(first, on: "n")
    _ = cluster.place(makePod("1", requests: ["cpu": "3"], on: "n"))
    // A late failure of a binding that the API server has confirmed takes nothing back.
    #expect(cluster.forget(first.uid) == [])
    #expect(cluster.snapshot.nodes["n"]?.requested.cpuMilli == 3000)
  }
}
