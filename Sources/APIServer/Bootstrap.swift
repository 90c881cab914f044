import ControllerKit
import KubeClient
import KubeTypes
import Logging
import Schema
import Store
import Wire

/// The objects that a cluster starts with. What exists already is left alone, except the addresses of the API server, and
/// roles and bindings that no longer give what they should.
struct Bootstrap: Sendable {
  let client: LocalClient
  let configuration: APIServerConfiguration
  let ranges: IPRanges
  let logger: Logger
  /// How often the keeper has tried since all was well; 0 at a start, which makes what a new version brings.
  var attempt = 0

  /// Whether this attempt tells of what still cannot be put right: the first, second, fourth and so on. What waits for
  /// somebody for days fills no log.
  var isTold: Bool { attempt & (attempt - 1) == 0 }

  private static func core(_ resource: String) -> GroupVersionResource {
    GroupVersionResource(group: "", version: "v1", resource: resource)
  }

  /// - Parameter port: the port that the API server listens on.
  /// - Returns: whether all roles and bindings are as they should be; those that could not be put right are in the log.
  func run(port: Int) async throws -> Bool {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
      try await ensure(
        Self.core("namespaces"), nil, ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(name)]])
    }
    let isPolicyWhole = try await ensurePolicy()
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
    return isPolicyWhole
  }

  /// Creates what is missing of roles and bindings, and gives back what was taken out of them, as kube-apiserver does at its
  /// start. Side by side: each alone would wait for the disk. One that cannot be put right is no reason not to serve.
  ///
  /// - Throws: when there is no space.
  private func ensurePolicy() async throws -> Bool {
    let policy = BootstrapPolicy.objects + Self.ownPolicy(configuration)
    return try await withThrowingTaskGroup(of: Bool.self) { group in
      for (resource, object) in policy {
        group.addTask {
          do {
            try await ensure(resource, nil, object)
            try await repair(resource, object)
            return true
          } catch let error as KubeError where error.code != 507 {
            if isTold {
              logger.error(
                "a role or binding is not as it should be",
                metadata: ["object": "\(Self.title(resource, object))", "error": "\(error)", "attempt": "\(attempt)"])
            }
            return false
          }
        }
      }
      return try await group.reduce(true) { $0 && $1 }
    }
  }

  /// What this process's own parts have their rights by.
  private static func ownPolicy(_ configuration: APIServerConfiguration) -> [(GroupVersionResource, JSON)] {
    configuration.identities.flatMap { BootstrapPolicy.objects(for: $0) }
      + configuration.components.flatMap { BootstrapPolicy.objects(for: $0) }
  }

  /// The keys of that: without it a part would stand still.
  static func ownPolicyKeys(_ configuration: APIServerConfiguration) -> Set<String> {
    Set(
      ownPolicy(configuration).map { resource, object in
        "\(resource.group)/\(resource.resource)/\(object.at("metadata", "name")?.string ?? "")"
      })
  }

  private static func title(_ resource: GroupVersionResource, _ object: JSON) -> String {
    "\(resource.resource)/\(object.at("metadata", "name")?.string ?? "")"
  }

  private func repair(_ resource: GroupVersionResource, _ wanted: JSON) async throws {
    let name = wanted.at("metadata", "name")?.string ?? ""
    let object = try await client.get(resource, namespace: nil, name: name)
    guard let repair = BootstrapPolicy.repair(of: object.json(), to: wanted) else { return }
    if repair.patch == nil, object.header.deletionTimestamp != nil { throw Self.held(object, repair) }
    // Perhaps somebody meant it.
    logger.warning(
      "a role or binding is put right; the annotation \(BootstrapPolicy.autoUpdate)=false keeps it as people make it",
      metadata: ["object": "\(Self.title(resource, wanted))", "reason": "\(repair.reason)"])
    guard let patch = repair.patch else {
      // To which role it binds, no update may change.
      _ = try await client.delete(resource, namespace: nil, name: name, options: DeleteOptions())
      if let left = try? await client.get(resource, namespace: nil, name: name) { throw Self.held(left, repair) }
      return try await ensure(resource, nil, wanted)
    }
    _ = try await client.patch(
      resource, namespace: nil, name: name, subresource: nil, type: .merge, body: .object(patch),
      options: WriteOptions())
  }

  private static func held(_ object: Object, _ repair: BootstrapPolicy.Repair) -> KubeError {
    .unavailable("\(repair.reason): it is made anew when its finalizers have let go: \(object.header.finalizers)")
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
        // Without roles that a new version brings, its controllers could not delete what fills the disk.
        _ = try await client.usingReserve().create(
          resource, namespace: namespace, name: name, subresource: nil, body: object, options: WriteOptions())
        if attempt > 0 {
          logger.warning(
            "what the cluster cannot go on without was missing, and is made",
            metadata: ["object": "\(Self.title(resource, object))"])
        }
      } catch let error as KubeError where error.reason == .alreadyExists {}
    }
  }
}

/// Brings back what a cluster cannot go on without when somebody deletes it, as kube-apiserver does with its Service and
/// the system's namespaces; roles and bindings also when somebody changes them.
struct BootstrapKeeper: Sendable {
  let store: Store
  let time: any TimeSource
  /// The keys of roles and bindings.
  let policy: Set<String>
  /// Whether something is missing from the beginning.
  let isDue: Bool
  /// - Parameter attempt: counted from 1 since everything was as it should be.
  /// - Returns: whether it is again.
  let create: @Sendable (_ attempt: Int) async throws -> Bool

  /// After what was brought back: somebody may delete it again and again.
  private static let pause = Duration.seconds(1)
  private static let pauseMax = Duration.seconds(16)

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
    let rights = ["rbac.authorization.k8s.io/clusterroles/", "rbac.authorization.k8s.io/clusterrolebindings/"]
    let followed =
      Self.kept.map { (prefix: $0, keys: $1, countsChanges: false) }
      + rights.map { (prefix: $0, keys: policy, countsChanges: true) }
    for (prefix, keys, countsChanges) in followed {
      guard let revision = try? store.list(prefix: prefix, limit: 1).revision,
        let watch = try? store.watch(
          prefix: prefix, after: revision,
          deliver: { signal in
            guard case .events(let events) = signal else { return }
            let isTouched = events.contains { event in
              (countsChanges || event.kind == .delete) && keys.contains(event.entry.key)
            }
            if isTouched { continuation.yield() }
          })
      else { return }
      watches.append(watch)
    }
    if isDue { continuation.yield() }
    for await _ in deletions {
      var pause = Self.pause
      var attempt = 1
      // Others may not have let go yet of what it had, such as its address.
      while (try? await create(attempt)) != true {
        do { try await time.sleep(for: pause) } catch { return }
        pause = min(pause * 2, Self.pauseMax)
        attempt += 1
      }
      do { try await time.sleep(for: Self.pause) } catch { return }
    }
  }
}
