import KubeTypes
import Wire

@testable import Scheduler

/// A pod as JSON; `spec` is laid over the default.
func podJSON(
  _ name: String, namespace: String = "default", labels: [String: String] = [:], requests: [String: String] = [:],
  on node: String? = nil, phase: String = "Pending", controller: String? = nil, spec: JSONObject = [:]
) -> JSON {
  var container: JSON = ["name": "main", "image": "web:1"]
  if !requests.isEmpty { container["resources"] = ["requests": object(requests)] }
  var podSpec: JSON = ["containers": [container], "schedulerName": "default-scheduler"]
  podSpec["nodeName"] = node.map { .string($0) }
  for (key, value) in spec.members { podSpec[key] = value }
  var metadata: JSON = [
    "name": .string(name), "namespace": .string(namespace), "uid": .string("uid-\(namespace)-\(name)"),
    "labels": object(labels),
  ]
  if let controller {
    metadata["ownerReferences"] = [
      ["kind": "ReplicaSet", "name": "rs", "uid": .string(controller), "controller": true]
    ]
  }
  return [
    "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": podSpec, "status": ["phase": .string(phase)],
  ]
}

func makePod(
  _ name: String, namespace: String = "default", labels: [String: String] = [:], requests: [String: String] = [:],
  on node: String? = nil, controller: String? = nil, spec: JSONObject = [:]
) -> PodInfo {
  PodInfo(
    Pod(
      json: podJSON(
        name, namespace: namespace, labels: labels, requests: requests, on: node, controller: controller, spec: spec)))
}

func nodeJSON(
  _ name: String, cpu: String = "4", memory: String = "8Gi", pods: String = "110", labels: [String: String] = [:],
  taints: [JSON] = [], unschedulable: Bool = false, extra: [String: String] = [:], images: [JSON] = []
) -> JSON {
  var allocatable = ["cpu": cpu, "memory": memory, "pods": pods, "ephemeral-storage": "100Gi"]
  allocatable.merge(extra) { $1 }
  var nodeLabels = labels
  nodeLabels["kubernetes.io/hostname"] = name
  var spec: JSON = ["taints": .array(taints)]
  if unschedulable { spec["unschedulable"] = true }
  return [
    "apiVersion": "v1", "kind": "Node",
    "metadata": ["name": .string(name), "uid": .string("uid-\(name)"), "labels": object(nodeLabels)],
    "spec": spec, "status": ["allocatable": object(allocatable), "images": .array(images)],
  ]
}

func object(_ map: [String: String]) -> JSON {
  .object(JSONObject(uniqueMembers: map.sorted { $0.key < $1.key }.map { (key: $0.key, value: .string($0.value)) }))
}

func makeCluster(_ nodes: [JSON], _ pods: [PodInfo] = []) -> ClusterState {
  var cluster = ClusterState()
  for node in nodes { _ = cluster.setNode(Node(json: node)) }
  for pod in pods { _ = cluster.place(pod) }
  return cluster
}

/// `app In (value)` by host or another key, for affinity and anti-affinity.
func affinityTerm(app: String, key: String = "kubernetes.io/hostname", extra: JSONObject = [:]) -> JSON {
  var term: JSON = [
    "labelSelector": ["matchExpressions": [["key": "app", "operator": "In", "values": [.string(app)]]]],
    "topologyKey": .string(key),
  ]
  for (key, value) in extra.members { term[key] = value }
  return term
}

func antiAffinity(_ terms: JSON...) -> JSONObject {
  ["affinity": ["podAntiAffinity": ["requiredDuringSchedulingIgnoredDuringExecution": .array(terms)]]]
}

func podAffinity(_ terms: JSON...) -> JSONObject {
  ["affinity": ["podAffinity": ["requiredDuringSchedulingIgnoredDuringExecution": .array(terms)]]]
}

func nodeAffinity(_ terms: JSON...) -> JSONObject {
  [
    "affinity": [
      "nodeAffinity": ["requiredDuringSchedulingIgnoredDuringExecution": ["nodeSelectorTerms": .array(terms)]]
    ]
  ]
}

func expression(_ key: String, _ operator: String, _ values: String...) -> JSON {
  [
    "matchExpressions": [
      ["key": .string(key), "operator": .string(`operator`), "values": .array(values.map { .string($0) })]
    ]
  ]
}
