import ControllerKit

/// Who each controller is, and what it asks the API for: its writes, and its reads that do not come from informers. Names
/// are those of kube-controller-manager's controllers.
extension ComponentIdentity {
  private static let change = ["create", "delete", "update"]

  static let deployments = controller(
    "deployment-controller",
    [
      .init(verbs: ["get", "patch"], group: "apps", resources: ["deployments"]),
      .init(verbs: ["update"], group: "apps", resources: ["deployments/status"]),
      .init(verbs: ["create", "delete", "get", "patch", "update"], group: "apps", resources: ["replicasets"]),
      .events,
    ])

  static let replicaSets = controller("replicaset-controller", replicas(group: "apps", "replicasets"))
  static let replicationControllers = controller(
    "replication-controller", replicas(group: "", "replicationcontrollers"))

  private static func replicas(group: String, _ resource: String) -> [CapabilityIdentity.Rule] {
    [
      .init(verbs: ["get"], group: group, resources: [resource]),
      .init(verbs: ["update"], group: group, resources: ["\(resource)/status"]),
      .init(verbs: ["create", "delete", "patch"], resources: ["pods"]), .events,
    ]
  }

  /// Contents of namespaces are of any kind.
  static let namespaces = controller(
    "namespace-controller",
    [
      .init(verbs: ["update"], resources: ["namespaces/finalize", "namespaces/status"]),
      .init(verbs: ["delete", "list"], group: "*", resources: ["*"]), .events,
    ])

  static let serviceAccounts = controller(
    "service-account-controller", [.init(verbs: ["create"], resources: ["serviceaccounts"]), .events])

  static let rootCertificates = controller(
    "root-ca-cert-publisher", [.init(verbs: ["create", "update"], resources: ["configmaps"]), .events])

  private static let slices = CapabilityIdentity.Rule(
    verbs: change, group: "discovery.k8s.io", resources: ["endpointslices"])
  static let endpointSlices = controller("endpointslice-controller", [slices, .events])
  static let endpointSliceMirrors = controller("endpointslicemirroring-controller", [slices, .events])
  static let endpoints = controller(
    "endpoint-controller", [.init(verbs: change, resources: ["endpoints"]), .events])

  /// What has owners is of any kind.
  static let garbage = controller(
    "generic-garbage-collector",
    [.init(verbs: ["delete", "get", "patch"], group: "*", resources: ["*"]), .events])

  static let podGarbage = controller(
    "pod-garbage-collector",
    [
      .init(verbs: ["get"], resources: ["nodes"]), .init(verbs: ["delete"], resources: ["pods"]),
      .init(verbs: ["patch"], resources: ["pods/status"]),
    ])

  /// Of lost nodes, their taints, and evictions by taint.
  static let nodes = controller(
    "node-controller",
    [
      .init(verbs: ["update"], resources: ["nodes", "nodes/status"]), .init(verbs: ["delete"], resources: ["pods"]),
      .init(verbs: ["patch"], resources: ["pods/status"]), .events,
    ])

  static let unservedKinds = controller("unserved-kind-reporter", [.events])
}

extension Workloads {
  /// All of this room, for the capability.
  package static let components: [ComponentIdentity] = [
    .deployments, .replicaSets, .replicationControllers, .namespaces, .serviceAccounts, .rootCertificates,
    .endpointSlices, .endpointSliceMirrors, .endpoints, .garbage, .podGarbage, .nodes, .unservedKinds,
  ]
}
