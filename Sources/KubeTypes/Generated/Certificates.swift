// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Schema
public import Wire

/// CertificateSigningRequest asks a signer for a certificate.
public struct CertificateSigningRequest: KubeKind {
  public static let resource = GroupVersionResource(group: "certificates.k8s.io", version: "v1", resource: "certificatesigningrequests")
  public static let isNamespaced = false
  public static let kind = "CertificateSigningRequest"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The wanted state.
  public var spec: CertificateSigningRequestSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: CertificateSigningRequestStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct CertificateSigningRequestCondition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Which aspect, in one word.
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  /// True, False or Unknown.
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  /// Why, in one word.
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  /// Why, for people.
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
  /// When the condition was last written.
  public var lastUpdateTime: String? { get { json[string: "lastUpdateTime"] } set { json[string: "lastUpdateTime"] = newValue } }
  /// When the status last changed.
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
}

public struct CertificateSigningRequestSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var request: String? { get { json[string: "request"] } set { json[string: "request"] = newValue } }
  public var signerName: String? { get { json[string: "signerName"] } set { json[string: "signerName"] = newValue } }
  public var expirationSeconds: Int64? { get { json[int: "expirationSeconds"] } set { json[int: "expirationSeconds"] = newValue } }
  public var usages: [String] { get { json[strings: "usages"] } set { json[strings: "usages"] = newValue } }
  public var username: String? { get { json[string: "username"] } set { json[string: "username"] = newValue } }
  public var uid: String? { get { json[string: "uid"] } set { json[string: "uid"] = newValue } }
  public var groups: [String] { get { json[strings: "groups"] } set { json[strings: "groups"] = newValue } }
  public var extra: [String: JSON] { get { json[valueMap: "extra"] } set { json[valueMap: "extra"] = newValue } }
}

public struct CertificateSigningRequestStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Aspects of the current state.
  public var conditions: [CertificateSigningRequestCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
  public var certificate: String? { get { json[string: "certificate"] } set { json[string: "certificate"] = newValue } }
}
