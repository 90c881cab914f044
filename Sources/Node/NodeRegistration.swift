import ControllerKit
import KubeClient
import KubeTypes
import LinuxSystem
import Logging
import OCI
import RPC
import Schema
import Synchronization
import Wire

/// Keeps the Node object, its status and its Lease (KEP 589).
struct NodeRegistration: ControllerKit.Service {
  let builder: NodeStatusBuilder
  let client: any KubeClient
  let images: any NodeImages
  let lanes: BlockingLanes
  let time: any TimeSource
  let log: Logger
  /// Told when the object is there for the first time.
  let registered: @Sendable () -> Void
  let random: SeededRandom

  private static let options = WriteOptions(fieldManager: "kubelet")
  /// An unchanged status is written this often all the same (kubelet's `nodeStatusReportFrequency`).
  private static let reportInterval: Duration = .seconds(300)
  private static let leaseSeconds: Int64 = 40
  private static let leaseNamespace = "kube-node-lease"

  private var name: String { builder.configuration.name }

  func run() async throws {
    try await withThrowingDiscardingTaskGroup { group in
      group.addTask { try await keepStatus() }
      group.addTask { try await keepLease() }
    }
  }

  // MARK: - Status

  private func keepStatus() async throws {
    var backoffRandom = random
    let backoff = Backoff(first: .milliseconds(50), longest: .seconds(10))
    var failures = 0
    var written: Timestamp?
    var isFirst = true
    while true {
      try Task.checkCancellation()
      do {
        let node = try await ensure()
        let previous = node["status"] ?? [:]
        let now = time.now()
        let status = try await currentStatus(now: now, previous: previous)
        let isOld = written.map { now.since($0) >= Self.reportInterval } ?? true
        if isOld || NodeStatusBuilder.differs(status, from: previous) {
          _ = try await client.patch(
            KubeTypes.Node.resource, namespace: nil, name: name, subresource: "status", type: .strategicMerge,
            body: ["status": Self.patch(status)], options: Self.options)
          written = now
        }
        if isFirst { registered() }
        isFirst = false
        failures = 0
        try await time.sleep(for: builder.configuration.statusInterval)
      } catch let error as CancellationError {
        throw error
      } catch {
        failures += 1
        log.log(
          level: failures > 5 ? .warning : .debug, "node status not written, will retry",
          metadata: ["error": "\(describe(error))"])
        try await time.sleep(for: backoff.delay(failures: failures, using: &backoffRandom))
      }
    }
  }

  private func currentStatus(now: Timestamp, previous: JSON) async throws -> JSON {
    let directory = builder.configuration.dataDirectory
    let pressure = try await lanes.run(nil, "read the machine's state") { Pressure.read(dataDirectory: directory) }
    var problem: String?
    var list: [OCI.Image] = []
    do {
      list = try await images.list()
    } catch let error as RPCError {
      // Another container runtime is away, and runs no pods. The node's own store may be slow without being that.
      problem = "container runtime is down: \(describe(error))"
    }
    return builder.status(now: now, pressure: pressure, problem: problem, images: list, previous: previous)
  }

  /// The Node as it is in the API, made or adopted.
  private func ensure() async throws -> JSON {
    let found: JSON
    do {
      found = try await client.get(KubeTypes.Node.resource, namespace: nil, name: name).json()
    } catch let error as KubeError where error.reason == .notFound {
      do {
        return try await client.create(
          KubeTypes.Node.resource, namespace: nil, name: nil, subresource: nil, body: builder.object,
          options: Self.options
        ).json()
      } catch let error as KubeError where error.reason == .alreadyExists {
        return try await client.get(KubeTypes.Node.resource, namespace: nil, name: name).json()
      }
    }
    var changes: [JSONObject.Member] = []
    for (key, value) in builder.labels.sorted(by: { $0.key < $1.key })
    where found.at("metadata", "labels")?[key]?.string != value {
      changes.append((key: key, value: .string(value)))
    }
    var patch: JSON = [:]
    if !changes.isEmpty { patch["metadata"] = ["labels": .object(JSONObject(uniqueMembers: changes))] }
    // With other ranges than before, pods get other addresses from now on.
    let ranges = builder.ranges
    if found.at("spec", "podCIDRs") != ranges["podCIDRs"] { patch["spec"] = ranges }
    guard patch.object?.isEmpty == false else { return found }
    return try await client.patch(
      KubeTypes.Node.resource, namespace: nil, name: name, subresource: nil, type: .merge, body: patch,
      options: Self.options
    ).json()
  }

  /// Merged by their type, two addresses of one type would become one (kubelet's `fixupPatchForNodeStatusAddresses`).
  static func patch(_ status: JSON) -> JSON {
    var patch = status
    patch["addresses"] = .array((status["addresses"]?.array ?? []) + [["$patch": "replace"]])
    return patch
  }

  // MARK: - Lease

  private func keepLease() async throws {
    var failures = 0
    var backoffRandom = random
    let backoff = Backoff(first: .milliseconds(200), longest: .seconds(7))
    while true {
      try Task.checkCancellation()
      do {
        try await renewLease()
        failures = 0
        try await time.sleep(for: builder.configuration.leaseInterval)
      } catch let error as CancellationError {
        throw error
      } catch {
        failures += 1
        log.log(
          level: failures > 5 ? .warning : .debug, "node lease not renewed, will retry",
          metadata: ["error": "\(describe(error))"])
        try await time.sleep(for: backoff.delay(failures: failures, using: &backoffRandom))
      }
    }
  }

  private func renewLease() async throws {
    let spec: JSON = [
      "holderIdentity": .string(name), "leaseDurationSeconds": .int(Self.leaseSeconds),
      "renewTime": .string(time.now().rfc3339Micro),
    ]
    do {
      _ = try await client.patch(
        Lease.resource, namespace: Self.leaseNamespace, name: name, subresource: nil, type: .merge,
        body: ["spec": spec], options: Self.options)
    } catch let error as KubeError where error.reason == .notFound {
      let node = try await client.get(KubeTypes.Node.resource, namespace: nil, name: name)
      _ = try await client.create(
        Lease.resource, namespace: Self.leaseNamespace, name: nil, subresource: nil,
        body: [
          "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
          "metadata": [
            "name": .string(name), "namespace": .string(Self.leaseNamespace),
            "ownerReferences": [
              ["apiVersion": "v1", "kind": "Node", "name": .string(name), "uid": .string(node.header.uid)]
            ],
          ],
          "spec": spec,
        ], options: Self.options)
    }
  }
}
