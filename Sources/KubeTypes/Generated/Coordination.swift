// Written by `schemac generate` from Schemas/. Change those files, not this one.

public import Schema
public import Wire

public struct Lease: KubeKind {
  public static let resource = GroupVersionResource(group: "coordination.k8s.io", version: "v1", resource: "leases")
  public static let isNamespaced = true
  public static let kind = "Lease"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: LeaseSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
}

public struct LeaseSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var holderIdentity: String? { get { json[string: "holderIdentity"] } set { json[string: "holderIdentity"] = newValue } }
  public var leaseDurationSeconds: Int64? { get { json[int: "leaseDurationSeconds"] } set { json[int: "leaseDurationSeconds"] = newValue } }
  public var acquireTime: String? { get { json[string: "acquireTime"] } set { json[string: "acquireTime"] = newValue } }
  public var renewTime: String? { get { json[string: "renewTime"] } set { json[string: "renewTime"] = newValue } }
  public var leaseTransitions: Int64? { get { json[int: "leaseTransitions"] } set { json[int: "leaseTransitions"] = newValue } }
  public var strategy: String? { get { json[string: "strategy"] } set { json[string: "strategy"] = newValue } }
  public var preferredHolder: String? { get { json[string: "preferredHolder"] } set { json[string: "preferredHolder"] = newValue } }
}
