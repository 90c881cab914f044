import KubeTypes
import LinuxSystem
import NIOCore
import TestKit
import Testing
import Wire

@testable import PodNetwork

@Suite struct DNSTests {
  private func zone() -> DNSZone {
    var zone = DNSZone(domain: "cluster.local")
    zone.namespaces = ["default", "other"]
    zone.set(ObjectKey(namespace: "default", name: "web"), ServiceRecords(service(clusterIPSpec), slices: []))
    let headless = service("{\"clusterIP\":\"None\",\"ports\":[{\"name\":\"http\",\"port\":80}]}", name: "db")
    zone.set(
      ObjectKey(namespace: "default", name: "db"),
      ServiceRecords(
        headless,
        slices: [
          slice([
            ("10.244.0.2", "\"hostname\":\"db-0\""), ("10.244.0.3", ""),
            ("10.244.0.4", "\"conditions\":{\"ready\":false}"),
          ])
        ]))
    for (name, target) in [
      ("out", "example.org"), ("in", "web.default.svc.cluster.local"), ("loop", "loop.default.svc.cluster.local"),
    ] {
      let alias = service("{\"type\":\"ExternalName\",\"externalName\":\"\(target)\"}", name: name)
      zone.set(ObjectKey(namespace: "default", name: name), ServiceRecords(alias, slices: []))
    }
    return zone
  }

  private func ask(_ name: String, _ type: UInt16 = DNSType.a) -> DNSZone.Outcome {
    zone().look(up: DNSQuestion(name: DNSName(name), type: type, class: 1)) { IPRange("10.244.0.0/16")!.contains($0) }
  }

  private func addresses(_ outcome: DNSZone.Outcome) -> [String]? {
    guard case .answer(let answer) = outcome, answer.code == DNSCode.noError else { return nil }
    return answer.answers.compactMap { record in
      if case .address(let address) = record.data { address.description } else { nil }
    }.sorted()
  }

  @Test func services() {
    #expect(addresses(ask("web.default.svc.cluster.local")) == ["10.96.0.20"])
    #expect(addresses(ask("WEB.Default.svc.cluster.LOCAL.")) == ["10.96.0.20"])
    #expect(addresses(ask("db.default.svc.cluster.local")) == ["10.244.0.2", "10.244.0.3"])
    #expect(addresses(ask("db-0.db.default.svc.cluster.local")) == ["10.244.0.2"])
    #expect(addresses(ask("10-244-0-3.db.default.svc.cluster.local")) == ["10.244.0.3"])
    #expect(addresses(ask("10-244-0-7.default.pod.cluster.local")) == ["10.244.0.7"])
    #expect(addresses(ask("in.default.svc.cluster.local")) == ["10.96.0.20"])
  }

  @Test func bothFamilies() {
    var zone = DNSZone(domain: "cluster.local")
    zone.namespaces = ["default"]
    let dual = """
      {"clusterIP":"10.96.0.20","clusterIPs":["10.96.0.20","fd00:10:96::20"],"ipFamilies":["IPv4","IPv6"],
       "ports":[{"name":"http","port":80}]}
      """
    zone.set(ObjectKey(namespace: "default", name: "web"), ServiceRecords(service(dual), slices: []))
    zone.set(
      ObjectKey(namespace: "default", name: "db"),
      ServiceRecords(
        service("{\"clusterIP\":\"None\"}", name: "db"),
        slices: [
          slice([("10.244.0.2", "\"hostname\":\"db-0\"")]),
          slice([("fd00:10:244::2", "\"hostname\":\"db-0\""), ("fd00:10:244::3", "")], addressType: "IPv6"),
        ]))
    func ask(_ name: String, _ type: UInt16) -> DNSZone.Outcome {
      zone.look(up: DNSQuestion(name: DNSName(name), type: type, class: 1)) { ranges.pods.contains($0) }
    }
    let names: [(String, four: [String], six: [String])] = [
      ("web.default.svc.cluster.local", ["10.96.0.20"], ["fd00:10:96::20"]),
      ("db.default.svc.cluster.local", ["10.244.0.2"], ["fd00:10:244::2", "fd00:10:244::3"]),
      ("db-0.db.default.svc.cluster.local", ["10.244.0.2"], ["fd00:10:244::2"]),
      ("fd00-10-244--3.db.default.svc.cluster.local", [], ["fd00:10:244::3"]),
      ("fd00-10-244--7.default.pod.cluster.local", [], ["fd00:10:244::7"]),
      ("10-244-0-7.default.pod.cluster.local", ["10.244.0.7"], []),
    ]
    for (name, four, six) in names {
      #expect(addresses(ask(name, DNSType.a)) == four, "\(name)")
      #expect(addresses(ask(name, DNSType.aaaa)) == six, "\(name)")
      #expect(addresses(ask(name, DNSType.any)) == (four + six).sorted(), "\(name)")
    }
    func reverse(_ address: String) -> String {
      (IPAddress(address)?.bytes ?? []).reversed().map {
        "\(String($0 & 0xF, radix: 16)).\(String($0 >> 4, radix: 16))."
      }.joined() + "ip6.arpa"
    }
    func pointer(_ name: String) -> DNSName? {
      guard case .answer(let answer) = ask(name, DNSType.ptr), case .ptr(let name)? = answer.answers.first?.data else {
        return nil
      }
      return name
    }
    #expect(pointer(reverse("fd00:10:96::20")) == DNSName("web.default.svc.cluster.local"))
    #expect(pointer(reverse("fd00:10:244::2")) == DNSName("db-0.db.default.svc.cluster.local"))
    // The world is not asked about pods, and is about others and about what is no address.
    guard case .answer(let unknown) = ask(reverse("fd00:10:244::99"), DNSType.ptr) else {
      Issue.record("forwarded")
      return
    }
    #expect(unknown.code == DNSCode.nameError)
    #expect(ask(reverse("2001:db8::1"), DNSType.ptr) == .forward)
    #expect(ask("x" + reverse("fd00:10:244::99").dropFirst(), DNSType.ptr) == .forward)
    #expect(ask("10." + reverse("fd00:10:244::99").dropFirst(2), DNSType.ptr) == .forward)
  }

  @Test func nothing() {
    for name in [
      "no.default.svc.cluster.local", "web.none.svc.cluster.local", "x.web.default.svc.cluster.local",
      "10-244-0-7.none.pod.cluster.local", "a-b.default.pod.cluster.local", "x.cluster.local",
    ] {
      guard case .answer(let answer) = ask(name) else { Issue.record("\(name)"); continue }
      #expect(answer.code == DNSCode.nameError, "\(name)")
      #expect(answer.authorities.first?.type == DNSType.soa)
    }
    for name in [
      "svc.cluster.local", "default.svc.cluster.local", "cluster.local", "_tcp.web.default.svc.cluster.local",
    ] {
      #expect(addresses(ask(name)) == [], "\(name)")
    }
    #expect(addresses(ask("web.default.svc.cluster.local", DNSType.aaaa)) == [])
    #expect(ask("example.org") == .forward)
    #expect(ask("cluster.local.example.org") == .forward)
  }

  @Test func srvRecords() {
    guard case .answer(let answer) = ask("_http._tcp.db.default.svc.cluster.local", DNSType.srv) else {
      Issue.record("no answer")
      return
    }
    #expect(answer.answers.count == 2)
    #expect(answer.additionals.count == 2)
    #expect(
      answer.answers.first?.data
        == .srv(priority: 0, weight: 50, port: 8080, target: DNSName("db-0.db.default.svc.cluster.local")))
    guard case .answer(let single) = ask("_http._tcp.web.default.svc.cluster.local", DNSType.srv) else { return }
    #expect(
      single.answers.first?.data
        == .srv(priority: 0, weight: 100, port: 80, target: DNSName("web.default.svc.cluster.local")))
  }

  @Test func pointers() {
    guard case .answer(let answer) = ask("20.0.96.10.in-addr.arpa", DNSType.ptr) else { Issue.record("ptr"); return }
    #expect(answer.answers.first?.data == .ptr(DNSName("web.default.svc.cluster.local")))
    guard case .answer(let host) = ask("2.0.244.10.in-addr.arpa", DNSType.ptr) else { Issue.record("ptr"); return }
    #expect(host.answers.first?.data == .ptr(DNSName("db-0.db.default.svc.cluster.local")))
    guard case .answer(let none) = ask("9.0.244.10.in-addr.arpa", DNSType.ptr) else { Issue.record("ptr"); return }
    #expect(none.code == DNSCode.nameError)
    #expect(ask("1.1.1.1.in-addr.arpa", DNSType.ptr) == .forward)
    var zone = zone()
    zone.set(ObjectKey(namespace: "default", name: "web"), nil)
    let gone = zone.look(up: DNSQuestion(name: DNSName("20.0.96.10.in-addr.arpa"), type: DNSType.ptr, class: 1))
    #expect(gone == .forward)
  }

  @Test func aliases() {
    guard case .alias(let answer, let target) = ask("out.default.svc.cluster.local") else {
      Issue.record("alias"); return
    }
    #expect(target == DNSName("example.org"))
    #expect(answer.answers.count == 1)
    // One that leads to itself ends.
    guard case .answer(let loop) = ask("loop.default.svc.cluster.local") else { Issue.record("loop"); return }
    #expect(loop.answers.count < 20)
  }

  // MARK: Messages

  private func query(_ name: String, _ type: UInt16 = DNSType.a, edns: UInt16? = nil) -> [UInt8] {
    var writer = DNSWriter()
    for value: UInt16 in [0x1234, 0x0100, 1, 0, 0, edns == nil ? 0 : 1] { writer.uint16(value) }
    writer.name(DNSName(name), isCompressed: false)
    writer.uint16(type)
    writer.uint16(1)
    if let edns {
      writer.uint8(0)
      writer.uint16(DNSType.opt)
      writer.uint16(edns)
      writer.uint32(0)
      writer.uint16(0)
    }
    return writer.bytes
  }

  @Test func encodesAndReads() throws {
    let query = try DNSQuery(query("web.default.svc.cluster.local", edns: 4096))
    #expect(query.id == 0x1234)
    #expect(query.recursionDesired)
    #expect(query.answerMax == 1232)
    guard case .answer(let answer) = ask("db.default.svc.cluster.local") else { return }
    let message = answer.message(for: query, sizeMax: 512)
    #expect(message[3] & 0xF == 0)
    #expect(message[2] & 0x84 == 0x84)
    let records = try #require(DNSServer.answers(in: message))
    #expect(records == answer.answers)
  }

  /// K9: the assumption that failed was that whoever is told TC asks again by TCP.
  @Test(arguments: [nil, 512, 1232] as [UInt16?], [1, 29, 30, 90, 5000])
  func asManyAsFit(edns: UInt16?, count: Int) throws {
    let query = try DNSQuery(query("db.default.svc.cluster.local", edns: edns))
    var answer = DNSAnswer()
    for index in 0..<count {
      answer.answers.append(
        DNSRecord(name: query.question.name, ttl: 5, data: .address(IPAddress(.ipv4, UInt128(index)))))
    }
    let short = answer.message(for: query, sizeMax: query.answerMax)
    #expect(short.count <= query.answerMax)
    let records = try #require(DNSServer.answers(in: short))
    #expect(records == Array(answer.answers.prefix(records.count)))
    let isTruncated = records.count < count
    #expect((short[2] & 0x02 != 0) == isTruncated)
    // A record of this name has 16 bytes: not one more has room.
    if isTruncated { #expect(query.answerMax - short.count < 16) }
    let whole = answer.message(for: query, sizeMax: 65535)
    #expect((whole[2] & 0x02 != 0) == (count == 5000))
    if count < 5000 { #expect(DNSServer.answers(in: whole)?.count == count) }
  }

  @Test func theEndOfAnAliasIsCutOffAndNotItsBeginning() throws {
    let query = try DNSQuery(query("out.default.svc.cluster.local"))
    let target = DNSName("db.default.svc.cluster.local")
    var answer = DNSAnswer(answers: [DNSRecord(name: query.question.name, ttl: 5, data: .cname(target))])
    answer.answers += (0..<90).map { DNSRecord(name: target, ttl: 5, data: .address(IPAddress(.ipv4, UInt128($0)))) }
    let records = try #require(DNSServer.answers(in: answer.message(for: query, sizeMax: 512)))
    #expect(records.first?.data == .cname(target))
    #expect(records.count > 20)
  }

  /// Additional records are a help: without room for them the answer is whole all the same.
  @Test func additionalRecordsGoFirst() throws {
    let query = try DNSQuery(query("_http._tcp.db.default.svc.cluster.local", DNSType.srv))
    let target = DNSName("db-0.db.default.svc.cluster.local")
    let srv = DNSRecord(
      name: query.question.name, ttl: 5, data: .srv(priority: 0, weight: 1, port: 80, target: target))
    var answer = DNSAnswer(answers: [srv])
    answer.additionals = (0..<90).map { DNSRecord(name: target, ttl: 5, data: .address(IPAddress(.ipv4, UInt128($0)))) }
    let message = answer.message(for: query, sizeMax: 512)
    #expect(message.count <= 512 && message[2] & 0x02 == 0)
    #expect(message[7] == 1 && message[11] > 10)
  }

  /// Seen in the store from before: such an endpoint has no name, or a client would be led to its own loopback (H5).
  @Test func noNameLeadsToTheLoopback() {
    let headless = service("{\"clusterIP\":\"None\",\"ports\":[{\"name\":\"http\",\"port\":80}]}", name: "db")
    let hostile = ["127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255", "10.244.0.2"]
    let records = ServiceRecords(headless, slices: [slice(hostile.map { ($0, "") })])
    #expect(records.addresses == [IPAddress("10.244.0.2")!])
    #expect(records.pointers.count == 1)
  }

  @Test func refusesWhatIsNoQuery() {
    let good = query("a.b")
    #expect(throws: PodNetworkError.self) { try DNSQuery(Array(good.prefix(11))) }
    #expect(throws: PodNetworkError.self) { try DNSQuery(Array(good.dropLast())) }
    var response = good
    response[2] |= 0x80
    #expect(throws: PodNetworkError.self) { try DNSQuery(response) }
    #expect(DNSAnswer.formatError(for: response) == nil)
    // A name that points at itself.
    var loop = Array(good.prefix(12)) + [0xC0, 12, 0, 1, 0, 1]
    #expect(throws: PodNetworkError.self) { try DNSQuery(loop) }
    loop[13] = 0
    #expect(throws: PodNetworkError.self) { try DNSQuery(loop) }
    #expect(DNSAnswer.formatError(for: good)?.count == 12)
  }

  @Test func survivesAnyBytes() throws {
    let zone = zone()
    var random = SeededGenerator(seed: 99)
    let good = [
      query("web.default.svc.cluster.local", edns: 1232), query("_http._tcp.db.default.svc.cluster.local", DNSType.srv),
      query("20.0.96.10.in-addr.arpa", DNSType.ptr),
    ]
    for round in 0..<20_000 {
      var bytes = good[round % good.count]
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: 2..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      if round % 5 == 0 { bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random))) }
      _ = DNSServer.answers(in: bytes)
      guard let query = try? DNSQuery(bytes) else { continue }
      guard case .answer(let answer) = zone.look(up: query.question) else { continue }
      let message = answer.message(for: query, sizeMax: query.answerMax)
      #expect(message.count <= query.answerMax)
      if query.question.name.labels.allSatisfy({ $0.utf8.allSatisfy { $0 < 0x80 } }), message[3] & 0xF == 0 {
        #expect(DNSServer.answers(in: message) != nil)
      }
    }
  }

  @Test func resolvConf() throws {
    let text = "# x\nnameserver 10.96.0.10\nnameserver 192.0.2.1 \nsearch a\nnameserver bad\nnameserver ::1\n"
    let servers = DNSForwarder.servers(
      ResolverConfiguration(parsing: Array(text.utf8)), excluding: ["10.96.0.10"], port: 53)
    #expect(servers.map(\.ipAddress) == ["192.0.2.1", "::1"])
  }

  @Test func anAnswerMustFit() throws {
    let asked = query("example.org")
    let loop = EmbeddedLoop.loop
    let exchange = DNSExchange(
      message: asked, server: try SocketAddress(ipAddress: "127.0.0.1", port: 53), promise: loop.makePromise())
    exchange.promise.succeed([])
    var answer = exchange.request
    #expect(exchange.accept(answer) == nil)
    answer[2] |= 0x80
    #expect(exchange.accept(answer)?.prefix(2).elementsEqual([0x12, 0x34]) == true)
    var other = answer
    other[0] ^= 1
    #expect(exchange.accept(other) == nil)
    other = answer
    other[13] ^= 1
    #expect(exchange.accept(other) == nil)
  }
}
