// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Schema
public import Wire

/// Lease is held by one holder for a limited time; nodes and leaders renew theirs.
public struct Lease: KubeKind {
  public static let resource = GroupVersionResource(group: "coordination.k8s.io", version: "v1", resource: "leases")
  public static let isNamespaced = true
  public static let kind = "Lease"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: LeaseSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
}

/// LeaseSpec says who holds a lease and until when.
public struct LeaseSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Who holds the lease.
  public var holderIdentity: String? { get { json[string: "holderIdentity"] } set { json[string: "holderIdentity"] = newValue } }
  /// Seconds the lease is valid after it was renewed.
  public var leaseDurationSeconds: Int64? { get { json[int: "leaseDurationSeconds"] } set { json[int: "leaseDurationSeconds"] = newValue } }
  /// When the holder got the lease.
  public var acquireTime: String? { get { json[string: "acquireTime"] } set { json[string: "acquireTime"] = newValue } }
  /// When the holder last renewed the lease.
  public var renewTime: String? { get { json[string: "renewTime"] } set { json[string: "renewTime"] = newValue } }
  /// How often the holder changed.
  public var leaseTransitions: Int64? { get { json[int: "leaseTransitions"] } set { json[int: "leaseTransitions"] = newValue } }
  public var strategy: String? { get { json[string: "strategy"] } set { json[string: "strategy"] = newValue } }
  public var preferredHolder: String? { get { json[string: "preferredHolder"] } set { json[string: "preferredHolder"] = newValue } }
}
