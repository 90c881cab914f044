import KubeTypes
import Routing
import Wire

/// What the names of one service stand for.
struct ServiceRecords: Sendable, Equatable {
  struct Port: Sendable, Hashable {
    /// `_http`; empty when the port has no name.
    var service: String
    /// `_tcp`
    var `protocol`: String
    var port: UInt16
    /// The label in front of the service's name; `nil` for the service itself.
    var host: String?
  }

  /// Of both families.
  var addresses: [IPAddress] = []
  var alias: DNSName?
  /// Endpoints by host name, or by address with hyphens.
  var hosts: [String: [IPAddress]] = [:]
  var ports: [Port] = []
  /// For reverse look-ups: the address and the label in front of the service's name.
  var pointers: [IPAddress: String?] = [:]

  /// Compiles a Service's route (Kubernetes DNS-Based Service Discovery, version 1.1.0).
  init(_ route: ServiceRoute) {
    alias = route.alias.map { DNSName($0) }
    addresses = route.addresses
    pointers = Dictionary(uniqueKeysWithValues: Set(route.addresses).map { ($0, nil) })
    if !route.addresses.isEmpty {
      ports = route.ports.map {
        Port(service: Self.label($0.name), protocol: Self.label($0.transport.rawValue), port: $0.number)
      }
    }
    guard !route.members.isEmpty else { return }
    var seen = Set<Port>()
    for member in route.members {
      if hosts[member.host]?.contains(member.address) != true { hosts[member.host, default: []].append(member.address) }
      pointers[member.address] = member.host
      for port in member.ports {
        let entry = Port(
          service: Self.label(port.name), protocol: Self.label(port.transport.rawValue), port: port.number,
          host: member.host)
        if seen.insert(entry).inserted { ports.append(entry) }
      }
    }
    addresses = Set(hosts.values.joined()).sorted()
  }

  private static func label(_ name: String) -> String { name.isEmpty ? "" : "_" + name }
}

/// The names of the cluster: immutable in use, changed service by service.
struct DNSZone: Sendable, Equatable {
  /// Seconds for which an answer may be kept: short, because pods come and go (CoreDNS uses 5 as well).
  static let ttl: UInt32 = 5

  let domain: DNSName
  private(set) var services: [ObjectKey: ServiceRecords] = [:]
  private var pointers: [IPAddress: DNSName] = [:]
  var namespaces: Set<String> = []

  init(domain: String) { self.domain = DNSName(domain) }

  /// What a question leads to.
  enum Outcome: Sendable, Equatable {
    case answer(DNSAnswer)
    /// The name is an alias of one outside: the rest of the answer is to be asked for there.
    case alias(DNSAnswer, target: DNSName)
    /// Not ours.
    case forward
  }

  private func name(_ key: ObjectKey, host: String? = nil) -> DNSName {
    DNSName(labels: (host.map { [$0] } ?? []) + [key.name, key.namespace, "svc"] + domain.labels)
  }

  mutating func set(_ key: ObjectKey, _ records: ServiceRecords?) {
    if let old = services[key] {
      for (address, host) in old.pointers where pointers[address] == name(key, host: host) { pointers[address] = nil }
    }
    services[key] = records
    for (address, host) in records?.pointers ?? [:] { pointers[address] = name(key, host: host) }
  }

  /// - Parameters:
  ///   - rotation: which of several addresses comes first, so that clients that take the first one spread out.
  ///   - isLocal: whether an address belongs to the pods' or services' ranges: the world must not be asked about it.
  func look(up question: DNSQuestion, rotation: Int = 0, isLocal: (IPAddress) -> Bool = { _ in false }) -> Outcome {
    if let prefix = question.name.prefix(below: domain) {
      guard question.class == 1 || question.class == DNSType.any else { return .answer(noData()) }
      return inside(prefix, question, rotation, depth: 0)
    }
    if let address = Self.reversed(question.name) {
      if let name = pointers[address] {
        guard question.type == DNSType.ptr || question.type == DNSType.any else { return .answer(noData()) }
        return .answer(DNSAnswer(answers: [DNSRecord(name: question.name, ttl: DNSZone.ttl, data: .ptr(name))]))
      }
      if isLocal(address) { return .answer(nameError()) }
    }
    return .forward
  }

  /// The address that a name below `in-addr.arpa` (RFC 1035, section 3.5) or `ip6.arpa` (RFC 3596, section 2.5) is of.
  private static func reversed(_ name: DNSName) -> IPAddress? {
    if let labels = name.prefix(below: DNSName("in-addr.arpa")), labels.count == 4 {
      return IPAddress(labels.reversed().joined(separator: "."))
    }
    guard let labels = name.prefix(below: DNSName("ip6.arpa")), labels.count == 32 else { return nil }
    var value: UInt128 = 0
    for label in labels.reversed() {
      guard label.utf8.count == 1, let digit = label.first?.hexDigitValue else { return nil }
      value = value << 4 | UInt128(digit)
    }
    return IPAddress(.ipv6, value)
  }

  /// The address that a pod's label is of: the hyphens stand for dots or for colons.
  private static func undashed(_ label: String) -> IPAddress? {
    guard !label.contains("."), !label.contains(":") else { return nil }
    let isIPv4 = label.utf8.count { $0 == UInt8(ascii: "-") } == 3 && !label.contains("--")
    return IPAddress(String(label.map { $0 == "-" ? isIPv4 ? "." : ":" : $0 }))
  }

  // MARK: Names of the cluster

  private func inside(_ prefix: [String], _ question: DNSQuestion, _ rotation: Int, depth: Int) -> Outcome {
    switch prefix.last {
    case nil:
      let isAsked = question.type == DNSType.soa || question.type == DNSType.any
      return .answer(isAsked ? DNSAnswer(answers: [soa]) : noData())
    case "dns-version" where prefix.count == 1:
      let isAsked = question.type == DNSType.txt || question.type == DNSType.any
      let record = DNSRecord(name: question.name, ttl: DNSZone.ttl, data: .txt("1.1.0"))
      return .answer(isAsked ? DNSAnswer(answers: [record]) : noData())
    case "svc": return service(Array(prefix.dropLast()), question, rotation, depth: depth)
    case "pod": return .answer(pod(Array(prefix.dropLast()), question))
    default: return .answer(nameError())
    }
  }

  private func pod(_ labels: [String], _ question: DNSQuestion) -> DNSAnswer {
    guard let namespace = labels.last else { return noData() }
    guard namespaces.contains(namespace) else { return nameError() }
    switch labels.count {
    case 1: return noData()
    case 2:
      guard let address = Self.undashed(labels[0]) else { return nameError() }
      return addresses([address], question, 0)
    default: return nameError()
    }
  }

  private func service(_ labels: [String], _ question: DNSQuestion, _ rotation: Int, depth: Int) -> Outcome {
    guard let namespace = labels.last else { return .answer(noData()) }
    guard labels.count >= 2 else {
      return .answer(namespaces.contains(namespace) ? noData() : nameError())
    }
    let key = ObjectKey(namespace: namespace, name: labels[labels.count - 2])
    guard let records = services[key] else { return .answer(nameError()) }
    let rest = Array(labels.dropLast(2))
    if let alias = records.alias {
      guard rest.isEmpty else { return .answer(nameError()) }
      return follow(alias, question, rotation, depth: depth)
    }
    switch rest.count {
    case 0:
      if question.type == DNSType.srv { return .answer(srv(key, records.ports, question)) }
      return .answer(addresses(records.addresses, question, rotation))
    case 1:
      if let found = records.hosts[rest[0]] { return .answer(addresses(found, question, rotation)) }
      // `_tcp` alone is a place in the tree with nothing at it.
      return .answer(records.ports.contains { $0.protocol == rest[0] } ? noData() : nameError())
    case 2:
      let ports = records.ports.filter { $0.service == rest[0] && $0.protocol == rest[1] }
      guard !ports.isEmpty else { return .answer(nameError()) }
      guard question.type == DNSType.srv || question.type == DNSType.any else { return .answer(noData()) }
      return .answer(srv(key, ports, question))
    default: return .answer(nameError())
    }
  }

  private func follow(_ alias: DNSName, _ question: DNSQuestion, _ rotation: Int, depth: Int) -> Outcome {
    let record = DNSRecord(name: question.name, ttl: DNSZone.ttl, data: .cname(alias))
    var answer = DNSAnswer(answers: [record])
    if question.type == DNSType.cname { return .answer(answer) }
    guard let prefix = alias.prefix(below: domain) else { return .alias(answer, target: alias) }
    // Aliases of aliases, even in a circle, end here.
    guard depth < 8 else { return .answer(answer) }
    let next = DNSQuestion(name: alias, type: question.type, class: question.class)
    switch inside(prefix, next, rotation, depth: depth + 1) {
    case .answer(let more):
      answer.answers += more.answers
      answer.additionals += more.additionals
      return .answer(answer)
    case .alias(let more, let target):
      answer.answers += more.answers
      return .alias(answer, target: target)
    case .forward: return .answer(answer)
    }
  }

  private func addresses(_ all: [IPAddress], _ question: DNSQuestion, _ rotation: Int) -> DNSAnswer {
    let list = all.filter { question.type == DNSType.address($0.family) || question.type == DNSType.any }
    guard !list.isEmpty else { return noData() }
    let start = rotation % list.count
    return DNSAnswer(
      answers: (list[start...] + list[..<start]).map {
        DNSRecord(name: question.name, ttl: DNSZone.ttl, data: .address($0))
      })
  }

  private func srv(_ key: ObjectKey, _ ports: [ServiceRecords.Port], _ question: DNSQuestion) -> DNSAnswer {
    guard !ports.isEmpty else { return noData() }
    var answer = DNSAnswer()
    var seen = Set<DNSName>()
    for port in ports {
      let target = name(key, host: port.host)
      // Weights share 100 among the endpoints, as CoreDNS does.
      let weight = UInt16(max(1, 100 / ports.count))
      answer.answers.append(
        DNSRecord(
          name: question.name, ttl: DNSZone.ttl,
          data: .srv(priority: 0, weight: weight, port: port.port, target: target)))
      guard seen.insert(target).inserted else { continue }
      let found = port.host.flatMap { services[key]?.hosts[$0] } ?? services[key]?.addresses ?? []
      answer.additionals += found.map { DNSRecord(name: target, ttl: DNSZone.ttl, data: .address($0)) }
    }
    return answer
  }

  // MARK: Nothing

  private var soa: DNSRecord {
    DNSRecord(
      name: domain, ttl: DNSZone.ttl,
      data: .soa(
        primary: DNSName(labels: ["ns", "dns"] + domain.labels),
        contact: DNSName(labels: ["hostmaster"] + domain.labels), serial: 1, negativeTTL: DNSZone.ttl))
  }

  /// The name is there, a record of that type is not (RFC 2308).
  private func noData() -> DNSAnswer { DNSAnswer(authorities: [soa]) }

  private func nameError() -> DNSAnswer { DNSAnswer(code: DNSCode.nameError, authorities: [soa]) }
}
