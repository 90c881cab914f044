// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Schema
public import Wire

public struct BoundObjectReference: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
  public var apiVersion: String? { get { json[string: "apiVersion"] } set { json[string: "apiVersion"] = newValue } }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var uid: String? { get { json[string: "uid"] } set { json[string: "uid"] = newValue } }
}

/// TokenRequest asks for a token of a service account.
public struct TokenRequest: KubeKind {
  public static let resource = GroupVersionResource(group: "authentication.k8s.io", version: "v1", resource: "tokenrequests")
  public static let isNamespaced = true
  public static let kind = "TokenRequest"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The wanted state.
  public var spec: TokenRequestSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: TokenRequestStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct TokenRequestSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var audiences: [String] { get { json[strings: "audiences", keepsEmpty: true] } set { json[strings: "audiences", keepsEmpty: true] = newValue } }
  public var expirationSeconds: Int64? { get { json[int: "expirationSeconds"] } set { json[int: "expirationSeconds"] = newValue } }
  public var boundObjectRef: BoundObjectReference? { get { json[optionalView: "boundObjectRef"] } _modify { yield &json[optionalView: "boundObjectRef"] } }
  public var attestations: [String: JSON] { get { json[valueMap: "attestations"] } set { json[valueMap: "attestations"] = newValue } }
}

public struct TokenRequestStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var token: String? { get { json[string: "token"] } set { json[string: "token"] = newValue } }
  public var expirationTimestamp: String? { get { json[string: "expirationTimestamp"] } set { json[string: "expirationTimestamp"] = newValue } }
}

/// TokenReview answers whether a token is valid and to whom it belongs.
public struct TokenReview: KubeKind {
  public static let resource = GroupVersionResource(group: "authentication.k8s.io", version: "v1", resource: "tokenreviews")
  public static let isNamespaced = false
  public static let kind = "TokenReview"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The wanted state.
  public var spec: TokenReviewSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: TokenReviewStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct TokenReviewSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var token: String? { get { json[string: "token"] } set { json[string: "token"] = newValue } }
  public var audiences: [String] { get { json[strings: "audiences"] } set { json[strings: "audiences"] = newValue } }
}

public struct TokenReviewStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var authenticated: Bool? { get { json[bool: "authenticated"] } set { json[bool: "authenticated"] = newValue } }
  public var user: UserInfo? { get { json[optionalView: "user"] } _modify { yield &json[optionalView: "user"] } }
  public var audiences: [String] { get { json[strings: "audiences"] } set { json[strings: "audiences"] = newValue } }
  public var error: String? { get { json[string: "error"] } set { json[string: "error"] = newValue } }
}

public struct UserInfo: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var username: String? { get { json[string: "username"] } set { json[string: "username"] = newValue } }
  public var uid: String? { get { json[string: "uid"] } set { json[string: "uid"] = newValue } }
  public var groups: [String] { get { json[strings: "groups"] } set { json[strings: "groups"] = newValue } }
  public var extra: [String: JSON] { get { json[valueMap: "extra"] } set { json[valueMap: "extra"] = newValue } }
}
