// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Schema
public import Wire

/// Endpoint is one address, or several that are the same, behind a service.
public struct Endpoint: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Addresses that are the same endpoint.
  public var addresses: [String] { get { json[strings: "addresses", keepsEmpty: true] } set { json[strings: "addresses", keepsEmpty: true] = newValue } }
  /// Whether the endpoint is ready, serving and terminating.
  public var conditions: EndpointConditions? { get { json[optionalView: "conditions"] } _modify { yield &json[optionalView: "conditions"] } }
  public var hostname: String? { get { json[string: "hostname"] } set { json[string: "hostname"] = newValue } }
  /// The object that the endpoint is, such as a pod.
  public var targetRef: ObjectReference? { get { json[optionalView: "targetRef"] } _modify { yield &json[optionalView: "targetRef"] } }
  public var deprecatedTopology: [String: String] { get { json[stringMap: "deprecatedTopology"] } set { json[stringMap: "deprecatedTopology"] = newValue } }
  /// Node of the endpoint.
  public var nodeName: String? { get { json[string: "nodeName"] } set { json[string: "nodeName"] = newValue } }
  public var zone: String? { get { json[string: "zone"] } set { json[string: "zone"] = newValue } }
  public var hints: EndpointHints? { get { json[optionalView: "hints"] } _modify { yield &json[optionalView: "hints"] } }
}

public struct EndpointConditions: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var ready: Bool? { get { json[bool: "ready"] } set { json[bool: "ready"] = newValue } }
  public var serving: Bool? { get { json[bool: "serving"] } set { json[bool: "serving"] = newValue } }
  public var terminating: Bool? { get { json[bool: "terminating"] } set { json[bool: "terminating"] = newValue } }
}

public struct EndpointHints: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var forZones: [ForZone] { get { json[views: "forZones"] } set { json[views: "forZones"] = newValue } }
  public var forNodes: [ForNode] { get { json[views: "forNodes"] } set { json[views: "forNodes"] = newValue } }
}

public struct DiscoveryEndpointPort: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
  public var `protocol`: String? { get { json[string: "protocol"] } set { json[string: "protocol"] = newValue } }
  public var port: Int64? { get { json[int: "port"] } set { json[int: "port"] = newValue } }
  public var appProtocol: String? { get { json[string: "appProtocol"] } set { json[string: "appProtocol"] = newValue } }
}

/// EndpointSlice lists a part of the addresses behind a service.
public struct EndpointSlice: KubeKind {
  public static let resource = GroupVersionResource(group: "discovery.k8s.io", version: "v1", resource: "endpointslices")
  public static let isNamespaced = true
  public static let kind = "EndpointSlice"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  /// IPv4, IPv6 or FQDN; it cannot be changed.
  public var addressType: String? { get { json[string: "addressType"] } set { json[string: "addressType"] = newValue } }
  /// The endpoints; at most 1000.
  public var endpoints: [Endpoint] { get { json[views: "endpoints", keepsEmpty: true] } set { json[views: "endpoints", keepsEmpty: true] = newValue } }
  /// The ports of each endpoint.
  public var ports: [DiscoveryEndpointPort] { get { json[views: "ports", keepsEmpty: true] } set { json[views: "ports", keepsEmpty: true] = newValue } }
}

public struct ForNode: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
}

public struct ForZone: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var name: String? { get { json[string: "name"] } set { json[string: "name"] = newValue } }
}
