import KubeClient
import Wire

/// Whom a proxy request means: `[scheme:]name[:port]`, as it stands in the path instead of a name.
struct ProxyReference: Equatable, Sendable {
  var isTLS = false
  var name: String
  /// A number, or for services a name; empty for what the object says.
  var port = ""

  /// - Throws: 400 for another form.
  init(_ text: String) throws(KubeError) {
    var parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    if parts.count == 3 {
      guard ["", "http", "https"].contains(parts[0]) else {
        throw .badRequest("invalid proxy reference \"\(text)\": the scheme is http or https")
      }
      isTLS = parts[0] == "https"
      parts.removeFirst()
    }
    guard parts.count <= 2, let name = parts.first, !name.isEmpty else {
      throw .badRequest("invalid proxy reference \"\(text)\": it reads name, name:port or scheme:name:port")
    }
    self.name = name
    if parts.count == 2 { port = parts[1] }
  }
}

/// Where a proxy request goes: the address that a pod has, and no other. Pure; the objects are the store's.
///
/// Addresses come from statuses, which somebody has written: whoever may write one must not reach by it what only the
/// server reaches.
struct ProxyTarget: Equatable, Sendable {
  var isTLS: Bool
  var host: String
  var port: Int

  /// The authority of its URL.
  var authority: String { (host.contains(":") ? "[\(host)]" : host) + ":\(port)" }
}

extension ProxyTarget {
  /// - Parameters:
  ///   - address: one of the pod's; `nil` for its first.
  ///   - node: the node that it is on.
  /// - Throws: 400 for a port that is none and for an address that is not the pod's own, 503 for a pod without one.
  init(
    pod: JSON, node: JSON, isTLS: Bool, port text: String, address: String? = nil
  ) throws(KubeError) {
    let name = pod.at("metadata", "name")?.string ?? ""
    guard let host = address ?? pod.at("status", "podIP")?.string, !host.isEmpty else {
      throw .unavailable("the pod \(name) has no address yet")
    }
    guard let ip = IPAddress(host), AddressClass(ip).refusal == nil else {
      throw .badRequest("the address \(host) of pod \(name) is not one that the server connects to")
    }
    let declared = (pod.at("spec", "containers")?.array ?? []).flatMap { $0["ports"]?.array ?? [] }
      .compactMap { $0["containerPort"]?.int }
    let number = text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) ? Int64(text) : nil
    guard let port = text.isEmpty ? declared.first ?? (isTLS ? 443 : 80) : number, (1...65535).contains(port) else {
      throw .badRequest("the port \"\(text)\" of pod \(name) is no number from 1 to 65535")
    }
    if pod.at("spec", "hostNetwork")?.bool == true {
      // Its address is the machine's: the pod is only what it says that it listens on.
      guard declared.contains(port) else {
        throw .badRequest("the pod \(name) is in the network of its node, and does not declare the port \(port)")
      }
    } else if !Self.isPodAddress(ip, of: node) {
      throw .badRequest("the address \(host) of pod \(name) is none of its node's range for pods")
    }
    self.isTLS = isTLS
    self.host = ip.description
    self.port = Int(port)
  }

  /// Within the node's range, and not the node's own address in it. Nodes of which no range is known are believed.
  private static func isPodAddress(_ address: IPAddress, of node: JSON) -> Bool {
    let own = (node.at("status", "addresses")?.array ?? []).compactMap {
      $0["address"]?.string.flatMap { IPAddress($0) }
    }
    if own.contains(address) { return false }
    var ranges = (node.at("spec", "podCIDRs")?.array ?? []).compactMap(\.string)
    if ranges.isEmpty { ranges = [node.at("spec", "podCIDR")?.string].compactMap(\.self) }
    let known = ranges.compactMap { IPRange($0) }
    if known.isEmpty { return true }
    // The first is the bridge's, which is the machine.
    return known.contains { $0.contains(address) && address != $0.base && address != $0[ClusterRanges.gatewayIndex] }
  }
}

/// The port of a service that a proxy request means, and the endpoints behind it.
enum ProxyService {
  /// - Returns: the name of the port in EndpointSlices.
  /// - Throws: 503, as upstream, for a port that the service does not have.
  static func portName(_ text: String, of service: JSON) throws(KubeError) -> String {
    guard let number = Int64(text) else { return text }
    for port in service.at("spec", "ports")?.array ?? [] where port["port"]?.int == number {
      return port["name"]?.string ?? ""
    }
    throw .unavailable(
      "no service port \(number) found for service \"\(service.at("metadata", "name")?.string ?? "")\"")
  }

  /// One endpoint that is ready.
  struct Endpoint: Equatable {
    var pod: String
    var address: String
    var port: Int
  }

  /// Those that are pods of the same namespace: others could be anything that somebody has written.
  static func endpoints(_ slices: [JSON], port name: String, namespace: String) -> [Endpoint] {
    slices.flatMap { slice -> [Endpoint] in
      let port = slice["ports"]?.array?.first { ($0["name"]?.string ?? "") == name }?["port"]?.int
      guard let port, slice["addressType"]?.string != "FQDN" else { return [] }
      return (slice["endpoints"]?.array ?? []).compactMap { endpoint in
        let reference = endpoint["targetRef"]
        guard endpoint.at("conditions", "ready")?.bool != false, reference?["kind"]?.string == "Pod",
          reference?["namespace"]?.string == namespace, let pod = reference?["name"]?.string,
          let address = endpoint["addresses"]?.array?.first?.string
        else { return nil }
        return Endpoint(pod: pod, address: address, port: Int(port))
      }
    }
  }
}
