import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Store
import Wire

/// The objects that a cluster starts with. What exists already is left alone, except the addresses of the API server, and
/// roles and bindings that no longer give what they should.
struct Bootstrap: Sendable {
  let client: LocalClient
  let configuration: APIServerConfiguration
  let ranges: IPRanges

  private static func core(_ resource: String) -> GroupVersionResource {
    GroupVersionResource(group: "", version: "v1", resource: resource)
  }

  /// - Parameter port: the port that the API server listens on.
  func run(port: Int) async throws {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
      try await ensure(
        Self.core("namespaces"), nil, ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(name)]])
    }
    try await ensurePolicy()
    let priorities = GroupVersionResource(group: "scheduling.k8s.io", version: "v1", resource: "priorityclasses")
    for (name, value, text) in [
      ("system-node-critical", 2_000_001_000, "Used for system critical pods that must not be moved from their node."),
      ("system-cluster-critical", 2_000_000_000, "Used for system critical pods that must run in the cluster."),
    ] {
      try await ensure(
        priorities, nil,
        [
          "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": ["name": .string(name)],
          "value": .int(Int64(value)), "description": .string(text),
        ])
    }
    try await ensureServiceRange()
    try await dropOutdatedService()
    try await ensure(
      Self.core("services"), "default",
      [
        "apiVersion": "v1", "kind": "Service",
        "metadata": [
          "name": "kubernetes", "namespace": "default",
          "labels": ["component": "apiserver", "provider": "kubernetes"],
        ],
        "spec": [
          "type": "ClusterIP", "clusterIP": .string(Self.address(ranges)), "sessionAffinity": "None",
          "ports": [["name": "https", "protocol": "TCP", "port": 443, "targetPort": .int(Int64(port))]],
        ],
      ])
    let labels: JSON = ["endpointslice.kubernetes.io/skip-mirror": "true"]
    // The Service is of the family that goes first alone, as kube-apiserver makes it.
    // A server that listens on the loopback only is out of every pod's reach: then the Service has no endpoint.
    let address = JSON.string(configuration.advertiseAddress)
    let subsets: JSON = [
      ["addresses": [["ip": address]], "ports": [["name": "https", "port": .int(Int64(port)), "protocol": "TCP"]]]
    ]
    let endpoints: JSON = [["addresses": [address], "conditions": ["ready": true]]]
    let isReachable = IPAddress(configuration.advertiseAddress).map { AddressClass($0).refusal == nil } ?? false
    try await ensure(
      Self.core("endpoints"), "default",
      [
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": ["name": "kubernetes", "namespace": "default", "labels": labels],
        "subsets": isReachable ? subsets : [],
      ], updating: "subsets")
    try await ensure(
      GroupVersionResource(group: "discovery.k8s.io", version: "v1", resource: "endpointslices"), "default",
      [
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": [
          "name": "kubernetes", "namespace": "default", "labels": ["kubernetes.io/service-name": "kubernetes"],
        ], "addressType": .string(ranges.primary.family.rawValue),
        "endpoints": isReachable ? endpoints : [],
        "ports": [["name": "https", "port": .int(Int64(port)), "protocol": "TCP"]],
      ], updating: "endpoints", "ports")
  }

  /// Creates what is missing of roles and bindings, and gives back what was taken out of them, as kube-apiserver does at its
  /// start. Side by side: each alone would wait for the disk.
  private func ensurePolicy() async throws {
    let policy =
      BootstrapPolicy.objects + configuration.identities.flatMap { BootstrapPolicy.objects(for: $0) }
      + configuration.components.flatMap { BootstrapPolicy.objects(for: $0) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (resource, object) in policy {
        group.addTask {
          try await ensure(resource, nil, object)
          try await repair(resource, object)
        }
      }
      try await group.waitForAll()
    }
  }

  private func repair(_ resource: GroupVersionResource, _ wanted: JSON) async throws {
    let name = wanted.at("metadata", "name")?.string ?? ""
    let existing = try await client.get(resource, namespace: nil, name: name).json()
    guard let patch = BootstrapPolicy.repair(of: existing, to: wanted) else {
      // To which role it binds, no update may change.
      _ = try await client.delete(resource, namespace: nil, name: name, options: DeleteOptions())
      return try await ensure(resource, nil, wanted)
    }
    guard !patch.isEmpty else { return }
    _ = try await client.patch(
      resource, namespace: nil, name: name, subresource: nil, type: .merge, body: .object(patch),
      options: WriteOptions())
  }

  private static func address(_ ranges: IPRanges) -> String { ranges.primary[ClusterAddresses.apiIndex].description }

  /// With other ranges than before, the API has another address, which no update may change; a slice's family neither.
  private func dropOutdatedService() async throws {
    let slices = GroupVersionResource(group: "discovery.k8s.io", version: "v1", resource: "endpointslices")
    let expected: [(GroupVersionResource, (JSON) -> JSON?, JSON)] = [
      (Self.core("services"), { $0.at("spec", "clusterIP") }, .string(Self.address(ranges))),
      (slices, { $0["addressType"] }, .string(ranges.primary.family.rawValue)),
    ]
    for (resource, read, value) in expected {
      guard let existing = try? await client.get(resource, namespace: "default", name: "kubernetes"),
        read(existing.json()) != value
      else { continue }
      _ = try await client.delete(resource, namespace: "default", name: "kubernetes", options: DeleteOptions())
    }
  }

  /// The ranges of cluster addresses as a ServiceCIDR. Its ranges are fixed: with another one, it is made anew.
  private func ensureServiceRange() async throws {
    let resource = GroupVersionResource(group: "networking.k8s.io", version: "v1", resource: "servicecidrs")
    let wanted: JSON = ["cidrs": .array(ranges.all.map { .string($0.description) })]
    let name = ServiceAddressRecord.rangeName
    if let existing = try? await client.get(resource, namespace: nil, name: name), existing.json()["spec"] != wanted {
      _ = try await client.delete(resource, namespace: nil, name: name, options: DeleteOptions())
    }
    try await ensure(
      resource, nil,
      [
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": ["name": .string(name)],
        "spec": wanted,
      ])
  }

  /// Creates an object; where it exists, sets the named members to what they should be.
  private func ensure(
    _ resource: GroupVersionResource, _ namespace: String?, _ object: JSON, updating members: String...
  ) async throws {
    let name = object.at("metadata", "name")?.string ?? ""
    do {
      let existing = try await client.get(resource, namespace: namespace, name: name)
      guard !members.isEmpty else { return }
      var patch = JSONObject()
      let json = existing.json()
      for member in members where json[member] != object[member] { patch[member] = object[member] }
      guard !patch.isEmpty else { return }
      _ = try await client.patch(
        resource, namespace: namespace, name: name, subresource: nil, type: .merge, body: .object(patch),
        options: WriteOptions())
    } catch let error as KubeError where error.reason == .notFound {
      do {
        _ = try await client.create(
          resource, namespace: namespace, name: name, subresource: nil, body: object, options: WriteOptions())
      } catch let error as KubeError where error.reason == .alreadyExists {}
    }
  }
}

/// Brings back what a cluster cannot go on without when somebody deletes it, as kube-apiserver does with its Service and
/// the system's namespaces.
struct BootstrapKeeper: Sendable {
  let store: Store
  let time: any TimeSource
  /// Whether something is missing from the beginning.
  let isDue: Bool
  let create: @Sendable () async throws -> Void

  private static let kept: [String: Set<String>] = [
    "namespaces/": ["namespaces/kube-public", "namespaces/kube-node-lease"],
    "services/default/": ["services/default/kubernetes"],
    "endpoints/default/": ["endpoints/default/kubernetes"],
    "discovery.k8s.io/endpointslices/default/": ["discovery.k8s.io/endpointslices/default/kubernetes"],
    "networking.k8s.io/servicecidrs/": ["networking.k8s.io/servicecidrs/kubernetes"],
  ]

  /// Until the task is cancelled.
  func run() async {
    let (deletions, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    var watches: [Store.Watch] = []
    defer { for watch in watches { watch.cancel() } }
    for (prefix, keys) in Self.kept {
      guard let revision = try? store.list(prefix: prefix, limit: 1).revision,
        let watch = try? store.watch(
          prefix: prefix, after: revision,
          deliver: { signal in
            guard case .events(let events) = signal else { return }
            if events.contains(where: { $0.kind == .delete && keys.contains($0.entry.key) }) { continuation.yield() }
          })
      else { return }
      watches.append(watch)
    }
    if isDue { continuation.yield() }
    for await _ in deletions {
      // Others may not have let go yet of what it had, such as its address.
      while (try? await create()) == nil {
        do { try await time.sleep(for: .seconds(1)) } catch { return }
      }
    }
  }
}
