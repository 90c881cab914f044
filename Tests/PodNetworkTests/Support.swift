import KubeTypes
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

let cluster = ClusterAddresses(
  pods: Wire.IPv4Range("10.244.0.0/24")!, services: Wire.IPv4Range("10.96.0.0/16")!,
  machine: [IPAddress("192.0.2.7")!])

let rules = ServiceRules(nodeName: "here", cluster: cluster)

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
  _ endpoints: [(String, String)], ports: String = "[{\"name\":\"http\",\"port\":8080,\"protocol\":\"TCP\"}]"
) -> EndpointSlice {
  let list = endpoints.map { address, more in "{\"addresses\":[\"\(address)\"]\(more.isEmpty ? "" : "," + more)}" }
  return EndpointSlice(
    json: try! JSON.parse(
      "{\"addressType\":\"IPv4\",\"endpoints\":[\(list.joined(separator: ","))],\"ports\":\(ports)}"))
}

let clusterIPSpec = """
  {"type":"ClusterIP","clusterIP":"10.96.0.20","ports":[{"name":"http","port":80,"protocol":"TCP"}]}
  """

let base = NFTBase(
  bridge: "apus0", podRange: IPv4Range("10.244.0.0/24")!, serviceRange: IPv4Range("10.96.0.0/16")!,
  dnsAddress: IPv4("10.96.0.10")!, filtersBridge: true)

struct Seeded: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state ^ (state >> 29)
  }
}
