// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Schema
public import Wire

public struct HTTPIngressPath: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var path: String? { get { json[string: "path"] } set { json[string: "path"] = newValue } }
  public var pathType: String? { get { json[string: "pathType"] } set { json[string: "pathType"] = newValue } }
  public var backend: IngressBackend { get { json[view: "backend"] } _modify { yield &json[view: "backend"] } }
}

public struct HTTPIngressRuleValue: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var paths: [HTTPIngressPath] { get { json[views: "paths", keepsEmpty: true] } set { json[views: "paths", keepsEmpty: true] = newValue } }
}

public struct IPBlock: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var cidr: String? { get { json[string: "cidr"] } set { json[string: "cidr"] = newValue } }
  public var except: [String] { get { json[strings: "except"] } set { json[strings: "except"] = newValue } }
}

/// Ingress routes HTTP requests from outside to services.
public struct Ingress: KubeKind {
  public static let resource = GroupVersionResource(group: "networking.k8s.io", version: "v1", resource: "ingresses")
  public static let isNamespaced = true
  public static let kind = "Ingress"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The wanted routes.
  public var spec: IngressSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: IngressStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

/// IngressBackend is where requests are sent.
public struct IngressBackend: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var service: IngressServiceBackend? { get { json[optionalView: "service"] } _modify { yield &json[optionalView: "service"] } }
  public var resource: TypedLocalObjectReference? { get { json[optionalView: "resource"] } _modify { yield &json[optionalView: "resource"] } }
}

/// IngressClass names the controller that serves ingresses of a class.
public struct IngressClass: KubeKind {
  public static let resource = GroupVersionResource(group: "networking.k8s.io", version: "v1", resource: "ingressclasses")
  public static let isNamespaced = false
  public static let kind = "IngressClass"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The wanted state.
  public var spec: IngressClassSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
}

public struct IngressClassParametersReference: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// API group of the kind that is named.
  public var apiGroup: String? { get { json[string: "apiGroup"] } set { json[string: "apiGroup"] = newValue } }
  public var kind: String? { get { json[string: "kind"] } set { json[string: "kind"] = newValue } }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var scope: String? { get { json[string: "scope"] } set { json[string: "scope"] = newValue } }
  /// Namespace of the object that is named.
  public var namespace: String? { get { json[string: "namespace"] } set { json[string: "namespace"] = newValue } }
}

public struct IngressClassSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var controller: String? { get { json[string: "controller"] } set { json[string: "controller"] = newValue } }
  public var parameters: IngressClassParametersReference? { get { json[optionalView: "parameters"] } _modify { yield &json[optionalView: "parameters"] } }
}

public struct IngressLoadBalancerIngress: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var ip: String? { get { json[string: "ip"] } set { json[string: "ip"] = newValue } }
  public var hostname: String? { get { json[string: "hostname"] } set { json[string: "hostname"] = newValue } }
  public var ports: [IngressPortStatus] { get { json[views: "ports"] } set { json[views: "ports"] = newValue } }
}

public struct IngressLoadBalancerStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var ingress: [IngressLoadBalancerIngress] { get { json[views: "ingress"] } set { json[views: "ingress"] = newValue } }
}

public struct IngressPortStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var port: Int64? { get { json[int: "port"] } set { json[int: "port"] = newValue } }
  public var `protocol`: String? { get { json[string: "protocol"] } set { json[string: "protocol"] = newValue } }
  public var error: String? { get { json[string: "error"] } set { json[string: "error"] = newValue } }
}

public struct IngressRule: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var host: String? { get { json[string: "host"] } set { json[string: "host"] = newValue } }
  public var http: HTTPIngressRuleValue? { get { json[optionalView: "http"] } _modify { yield &json[optionalView: "http"] } }
}

public struct IngressServiceBackend: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var port: ServiceBackendPort? { get { json[optionalView: "port"] } _modify { yield &json[optionalView: "port"] } }
}

public struct IngressSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Class of the ingress, which decides who serves it.
  public var ingressClassName: String? { get { json[string: "ingressClassName"] } set { json[string: "ingressClassName"] = newValue } }
  public var defaultBackend: IngressBackend? { get { json[optionalView: "defaultBackend"] } _modify { yield &json[optionalView: "defaultBackend"] } }
  /// Certificates for hosts.
  public var tls: [IngressTLS] { get { json[views: "tls"] } set { json[views: "tls"] = newValue } }
  /// Routes by host and path.
  public var rules: [IngressRule] { get { json[views: "rules"] } set { json[views: "rules"] = newValue } }
}

public struct IngressStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var loadBalancer: IngressLoadBalancerStatus? { get { json[optionalView: "loadBalancer"] } _modify { yield &json[optionalView: "loadBalancer"] } }
}

public struct IngressTLS: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var hosts: [String] { get { json[strings: "hosts"] } set { json[strings: "hosts"] = newValue } }
  public var secretName: String? { get { json[string: "secretName"] } set { json[string: "secretName"] = newValue } }
}

/// NetworkPolicy says which traffic pods may receive and send.
public struct NetworkPolicy: KubeKind {
  public static let resource = GroupVersionResource(group: "networking.k8s.io", version: "v1", resource: "networkpolicies")
  public static let isNamespaced = true
  public static let kind = "NetworkPolicy"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// The wanted state.
  public var spec: NetworkPolicySpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
}

public struct NetworkPolicyEgressRule: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var ports: [NetworkPolicyPort] { get { json[views: "ports"] } set { json[views: "ports"] = newValue } }
  public var to: [NetworkPolicyPeer] { get { json[views: "to"] } set { json[views: "to"] = newValue } }
}

public struct NetworkPolicyIngressRule: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var ports: [NetworkPolicyPort] { get { json[views: "ports"] } set { json[views: "ports"] = newValue } }
  public var from: [NetworkPolicyPeer] { get { json[views: "from"] } set { json[views: "from"] = newValue } }
}

public struct NetworkPolicyPeer: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var podSelector: LabelSelector? { get { json[optionalView: "podSelector"] } _modify { yield &json[optionalView: "podSelector"] } }
  public var namespaceSelector: LabelSelector? { get { json[optionalView: "namespaceSelector"] } _modify { yield &json[optionalView: "namespaceSelector"] } }
  public var ipBlock: IPBlock? { get { json[optionalView: "ipBlock"] } _modify { yield &json[optionalView: "ipBlock"] } }
}

public struct NetworkPolicyPort: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var `protocol`: String? { get { json[string: "protocol"] } set { json[string: "protocol"] = newValue } }
  public var port: IntOrString? { get { json[intOrString: "port"] } set { json[intOrString: "port"] = newValue } }
  public var endPort: Int64? { get { json[int: "endPort"] } set { json[int: "endPort"] = newValue } }
}

public struct NetworkPolicySpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Pods to which the policy applies; an empty selector chooses all.
  public var podSelector: LabelSelector? { get { json[optionalView: "podSelector"] } _modify { yield &json[optionalView: "podSelector"] } }
  /// Traffic that the pods may receive.
  public var ingress: [NetworkPolicyIngressRule] { get { json[views: "ingress"] } set { json[views: "ingress"] = newValue } }
  /// Traffic that the pods may send.
  public var egress: [NetworkPolicyEgressRule] { get { json[views: "egress"] } set { json[views: "egress"] = newValue } }
  /// Ingress, Egress or both.
  public var policyTypes: [String] { get { json[strings: "policyTypes"] } set { json[strings: "policyTypes"] = newValue } }
}

public struct ServiceBackendPort: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var number: Int64? { get { json[int: "number"] } set { json[int: "number"] = newValue } }
}
