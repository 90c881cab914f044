import KubeTypes
import Routing
import Wire

@testable import PodNetwork

/// `spec` in JSON.
func service(_ spec: String, name: String = "web", namespace: String = "default") -> KubeTypes.Service {
  let json = try! JSON.parse(
    "{\"metadata\":{\"name\":\"\(name)\",\"namespace\":\"\(namespace)\"},\"spec\":\(spec)}")
  return KubeTypes.Service(json: json)
}

func object<K: KubeKind>(_ kind: K, created: String = "2026-01-01T00:00:00Z") -> Object {
  var json = kind.json
  json["metadata"]?["creationTimestamp"] = .string(created)
  return Object(json)
}

let ranges = try! ClusterRanges(
  pods: "10.244.0.0/24,fd00:10:244::/64", services: "10.96.0.0/16,fd00:10:96::/112")

let cluster = ClusterAddresses(pods: ranges.pods, services: ranges.services, machine: [IPAddress("192.0.2.7")!])

/// From objects to rules.
struct Rules {
  var nodeName = "here"
  var cluster: ClusterAddresses

  func compile(_ service: KubeTypes.Service, slices: [EndpointSlice]) -> RuleSet {
    ServiceRules.compile(RouteCompiler(nodeName: nodeName, cluster: cluster).route(service, slices: slices))
  }
}

let rules = Rules(cluster: cluster)

extension ServiceRecords {
  init(_ service: KubeTypes.Service, slices: [EndpointSlice]) {
    self.init(RouteCompiler(nodeName: "", cluster: nil).route(service, slices: slices))
  }
}

extension RuleSet {
  /// Element to chain.
  private func chains(_ isIncluded: (Entrance) -> Bool) -> [String: String] {
    var result: [String: String] = [:]
    for (entrance, verdict) in entrances where isIncluded(entrance) {
      if case .chain(let chain) = verdict { result[entrance.element] = chain }
    }
    return result
  }

  var serviceIPs: [String: String] { chains { $0.address != nil } }
  var nodePorts: [String: String] { chains { $0.address == nil } }
  /// Elements that nobody answers.
  var refused: [String] { entrances.filter { $0.value == .refuse }.map(\.key.element).sorted() }
}

func slice(
  _ endpoints: [(String, String)], addressType: String = "IPv4",
  ports: String = "[{\"name\":\"http\",\"port\":8080,\"protocol\":\"TCP\"}]"
) -> EndpointSlice {
  let list = endpoints.map { address, more in "{\"addresses\":[\"\(address)\"]\(more.isEmpty ? "" : "," + more)}" }
  return EndpointSlice(
    json: try! JSON.parse(
      "{\"addressType\":\"\(addressType)\",\"endpoints\":[\(list.joined(separator: ","))],\"ports\":\(ports)}"))
}

let clusterIPSpec = """
  {"type":"ClusterIP","clusterIP":"10.96.0.20","ports":[{"name":"http","port":80,"protocol":"TCP"}]}
  """

let base = NFTBase(bridge: "apus0", ranges: ranges, filtersBridge: true)
