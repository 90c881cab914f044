import HTTPTestKit
import KubeTypes
import NIOCore
import NIOHTTP1
import Schema
import Synchronization
import TestKit
import Testing
import Wire

@testable import KubeClient

@Suite(.timeLimit(.minutes(1))) struct HTTPSClientTests {
  private let pods = GroupVersionResource(group: "", version: "v1", resource: "pods")
  private let deployments = GroupVersionResource(group: "apps", version: "v1", resource: "deployments")

  private func config(_ port: Int, host: String = "127.0.0.1") -> Kubeconfig {
    Kubeconfig(
      server: "https://\(host):\(port)", certificateAuthority: Array(TestCertificates.ca.utf8), token: "secret")
  }

  private func pod(_ name: String, _ revision: Int) -> String {
    #"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"\#(name)","namespace":"a","resourceVersion":"\#(revision)"}}"#
  }

  @Test func requestsAndAnswers() async throws {
    let server = TestServer { [pod = pod("p", 3)] request in
      request.uri.contains("limit") || request.uri.hasSuffix("/pods")
        ? .json(
          200,
          #"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9","continue":"next"},"items":[{"metadata":{"name":"x"}}]}"#
        )
        : .json(200, pod)
    }
    let client = try HTTPSClient(config(try await server.start(isTLS: true)))
    let object = try await client.get(pods, namespace: "a", name: "p")
    #expect(object.header.name == "p" && object.header.resourceVersion == 3)
    let list = try await client.list(
      pods, namespace: nil, options: ListOptions(labelSelector: "app in (a,b)", fieldSelector: "x=y", limit: 5))
    #expect(list.resourceVersion == "9" && list.continueToken == "next")
    #expect(list.items.first?.json()["kind"] == "Pod" && list.items.first?.json()["apiVersion"] == "v1")
    _ = try await client.create(
      pods, namespace: "a", name: nil, subresource: nil, body: ["k": "v"], options: WriteOptions(dryRun: true))
    _ = try await client.update(
      deployments, namespace: "a", name: "d", subresource: "status", body: [:], options: WriteOptions())
    _ = try await client.patch(
      pods, namespace: "a", name: "p", subresource: nil, type: .strategicMerge, body: ["x": nil],
      options: WriteOptions())
    _ = try await client.delete(
      pods, namespace: "a", name: "p",
      options: .init(gracePeriodSeconds: 0, propagationPolicy: .orphan, preconditionUID: "u"))

    let requests = server.requests.withLock { $0 }
    #expect(
      requests.map { "\($0.method) \($0.uri)" } == [
        "GET /api/v1/namespaces/a/pods/p",
        "GET /api/v1/pods?labelSelector=app%20in%20%28a%2Cb%29&fieldSelector=x%3Dy&limit=5",
        "POST /api/v1/namespaces/a/pods?fieldManager=apus&dryRun=All",
        "PUT /apis/apps/v1/namespaces/a/deployments/d/status?fieldManager=apus",
        "PATCH /api/v1/namespaces/a/pods/p?fieldManager=apus",
        "DELETE /api/v1/namespaces/a/pods/p",
      ])
    #expect(requests.allSatisfy { $0.headers["authorization"] == ["Bearer secret"] })
    #expect(
      requests[2].body == Array(#"{"k":"v"}"#.utf8) && requests[2].headers["content-type"] == ["application/json"])
    #expect(requests[4].headers["content-type"] == ["application/strategic-merge-patch+json"])
    #expect(
      try JSON.parse(requests[5].body) == [
        "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "propagationPolicy": "Orphan",
        "preconditions": ["uid": "u"],
      ])
    // One connection is kept and used again.
    #expect(Set(requests.map(\.connection)) == [1])
    client.close()
    await server.stop()
  }

  @Test func refusalIsDecoded() async throws {
    let server = TestServer { request in
      request.uri.contains("html")
        ? .json(502, "<html>bad gateway</html>")
        : .json(
          422,
          #"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Pod \"p\" is invalid","reason":"Invalid","details":{"name":"p","kind":"Pod","causes":[{"reason":"FieldValueRequired","message":"Required value","field":"spec.containers"}]},"code":422}"#
        )
    }
    let client = try HTTPSClient(config(try await server.start(isTLS: true)))
    let error = await #expect(throws: KubeError.self) { try await client.get(pods, namespace: "a", name: "p") }
    #expect(error?.code == 422 && error?.reason == .invalid && error?.message == "Pod \"p\" is invalid")
    #expect(error?.details?.causes.first?.field == "spec.containers")
    let other = await #expect(throws: KubeError.self) { try await client.get(pods, namespace: "a", name: "html") }
    #expect(other?.code == 502 && other?.message.contains("bad gateway") == true)
    await server.stop()
  }

  @Test func clientCertificateIsSent() async throws {
    let server = TestServer { [pod = pod("p", 1)] _ in .json(200, pod) }
    let port = try await server.start(isTLS: true, requiresClientCertificate: true)
    var config = config(port)
    config.clientCertificate = Array(TestCertificates.client.utf8)
    config.clientKey = Array(TestCertificates.clientKey.utf8)
    _ = try await HTTPSClient(config).get(pods, namespace: "a", name: "p")
    let without = try HTTPSClient(self.config(port))
    let error = await #expect(throws: KubeError.self) { try await without.get(pods, namespace: "a", name: "p") }
    #expect(error?.reason == .serviceUnavailable)
    await server.stop()
  }

  @Test func serverIsVerified() async throws {
    let server = TestServer { [pod = pod("p", 1)] _ in .json(200, pod) }
    let port = try await server.start(isTLS: true)
    // Another authority.
    var foreign = config(port)
    foreign.certificateAuthority = Array(TestCertificates.client.utf8)
    await #expect(throws: KubeError.self) { try await HTTPSClient(foreign).get(pods, namespace: "a", name: "p") }
    foreign.isVerificationSkipped = true
    _ = try await HTTPSClient(foreign).get(pods, namespace: "a", name: "p")
    await server.stop()
    // Another host than the certificate names.
    let other = config(try await server.start(isTLS: true, host: "127.0.0.2"), host: "127.0.0.2")
    await #expect(throws: KubeError.self) { try await HTTPSClient(other).get(pods, namespace: "a", name: "p") }
    var named = other
    named.tlsServerName = "api.test"
    _ = try await HTTPSClient(named).get(pods, namespace: "a", name: "p")
    await server.stop()
  }

  @Test func watchDeliversEventsAndEndsWithTheServer() async throws {
    let (chunks, feed) = AsyncStream<String>.makeStream()
    let server = TestServer { _ in .stream(chunks) }
    let client = try HTTPSClient(config(try await server.start(isTLS: true)))
    let stream = try await client.watch(
      pods, namespace: nil, options: ListOptions(resourceVersion: "5", allowWatchBookmarks: true))
    // Events do not come in whole lines.
    let text =
      #"{"type":"ADDED","object":\#(pod("a", 6))}"# + "\n" + #"{"type":"MODIFIED","object":\#(pod("a", 7))}"# + "\n"
      + #"{"type":"DELETED","object":\#(pod("a", 8))}"# + "\n"
      + #"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"12"}}}"# + "\n"
    for piece in [text.prefix(40), text.dropFirst(40).prefix(200), text.dropFirst(240)] { feed.yield(String(piece)) }
    feed.finish()
    var seen: [String] = []
    for try await event in stream {
      switch event {
      case .added(let object): seen.append("+\(object.header.resourceVersion)")
      case .modified(let object): seen.append("~\(object.header.resourceVersion)")
      case .deleted(let object): seen.append("-\(object.header.resourceVersion)")
      case .bookmark(let version): seen.append("=\(version)")
      }
    }
    #expect(seen == ["+6", "~7", "-8", "=12"])
    let uri = server.requests.withLock { $0[0].uri }
    #expect(uri == "/api/v1/pods?resourceVersion=5&allowWatchBookmarks=true&watch=true&timeoutSeconds=540")
    await server.stop()
  }

  @Test func watchErrorsAreThrown() async throws {
    let (chunks, feed) = AsyncStream<String>.makeStream()
    let server = TestServer { request in
      request.uri.contains("resourceVersion=1&")
        ? .stream(chunks) : .json(410, #"{"kind":"Status","reason":"Expired","message":"too old","code":410}"#)
    }
    let client = try HTTPSClient(config(try await server.start(isTLS: true)))
    let refused = await #expect(throws: KubeError.self) {
      try await client.watch(pods, namespace: nil, options: ListOptions(resourceVersion: "2"))
    }
    #expect(refused?.reason == .expired)
    let stream = try await client.watch(
      pods, namespace: nil, options: ListOptions(resourceVersion: "1"))
    feed.yield(#"{"type":"ERROR","object":{"kind":"Status","reason":"Expired","message":"too old","code":410}}"# + "\n")
    let error = await #expect(throws: KubeError.self) { for try await _ in stream {} }
    #expect(error?.reason == .expired && error?.code == 410)
    await server.stop()
  }

  @Test func cancellingTheReaderClosesTheWatch() async throws {
    let (chunks, feed) = AsyncStream<String>.makeStream()
    let server = TestServer { _ in .stream(chunks) }
    let client = try HTTPSClient(config(try await server.start(isTLS: true)))
    let stream = try await client.watch(pods, namespace: nil, options: ListOptions())
    feed.yield(#"{"type":"ADDED","object":\#(pod("a", 6))}"# + "\n")
    let reader = Task { for try await _ in stream {} }
    reader.cancel()
    _ = await reader.result
    let channel = server.channels.withLock { $0[0] }
    try await channel.closeFuture.get()
    await server.stop()
  }

  @Test func slowReaderOfAWatchIsCutOff() async throws {
    let (chunks, feed) = AsyncStream<String>.makeStream()
    let server = TestServer { _ in .stream(chunks) }
    var limits = HTTPSClient.Limits()
    limits.watchBacklogMax = 3
    let client = try HTTPSClient(config(try await server.start(isTLS: true)), limits: limits)
    let stream = try await client.watch(pods, namespace: nil, options: ListOptions())
    for revision in 1...10 { feed.yield(#"{"type":"ADDED","object":\#(pod("a", revision))}"# + "\n") }
    // The client closes the connection when the fourth event finds no place.
    try await server.channels.withLock { $0[0] }.closeFuture.get()
    var count = 0
    let error = await #expect(throws: KubeError.self) { for try await _ in stream { count += 1 } }
    #expect(count == 3 && error?.reason == .expired)
    await server.stop()
  }

  @Test func deadlineEndsARequest() async throws {
    let server = TestServer { _ in .hang }
    var limits = HTTPSClient.Limits()
    limits.requestTimeout = .milliseconds(50)
    let client = try HTTPSClient(config(try await server.start(isTLS: true)), limits: limits)
    let error = await #expect(throws: KubeError.self) { try await client.get(pods, namespace: "a", name: "p") }
    #expect(error?.reason == .timeout)
    let watch = await #expect(throws: KubeError.self) {
      try await client.watch(pods, namespace: nil, options: ListOptions())
    }
    #expect(watch?.reason == .timeout)
    await server.stop()
  }

  @Test func cancellationEndsARequest() async throws {
    let server = TestServer { _ in .hang }
    let client = try HTTPSClient(config(try await server.start(isTLS: true)))
    let call = Task { try await client.get(pods, namespace: "a", name: "p") }
    while server.requests.withLock({ $0.isEmpty }) { await Task.yield() }
    call.cancel()
    await #expect(throws: CancellationError.self) { try await call.value }
    await server.stop()
  }

  @Test func readIsSentAgainWhenAKeptConnectionWasClosed() async throws {
    let server = TestServer { [pod = pod("p", 1)] request in
      request.connection == 1 && request.uri.hasSuffix("/second") ? .close : .json(200, pod)
    }
    let client = try HTTPSClient(config(try await server.start(isTLS: true)))
    _ = try await client.get(pods, namespace: "a", name: "first")
    _ = try await client.get(pods, namespace: "a", name: "second")
    #expect(server.requests.withLock { $0.map(\.connection) } == [1, 1, 2])
    await server.stop()
  }

  @Test func tooLargeAnswerIsRefused() async throws {
    let server = TestServer { _ in .json(200, String(repeating: " ", count: 5000) + "{}") }
    var limits = HTTPSClient.Limits()
    limits.responseSizeMax = 4096
    let client = try HTTPSClient(config(try await server.start(isTLS: true)), limits: limits)
    let error = await #expect(throws: KubeError.self) { try await client.get(pods, namespace: "a", name: "p") }
    #expect(error?.message == "the response is larger than 4096 bytes")
    await server.stop()
  }

  @Test func unreachableServerIsNamed() async throws {
    let server = TestServer { _ in .hang }
    let port = try await server.start(isTLS: true)
    await server.stop()
    let client = try HTTPSClient(config(port))
    let error = await #expect(throws: KubeError.self) { try await client.get(pods, namespace: "a", name: "p") }
    #expect(error?.reason == .serviceUnavailable)
    #expect(error?.message.hasPrefix("cannot reach the API server at https://127.0.0.1:\(port)") == true)
  }

  @Test func badAddressesAndKeys() {
    for url in ["http://a", "https://", "https://a:b", "https://a:99999", "https://u@a", "a:6443"] {
      #expect(throws: KubeError.self, "\(url)") { try HTTPSClient(Kubeconfig(server: url)) }
    }
    #expect(throws: KubeError.self) {
      try HTTPSClient(Kubeconfig(server: "https://a", certificateAuthority: Array("nonsense".utf8)))
    }
  }

  @Test func addresses() throws {
    let table = [
      ("https://a", "a", 443, ""), ("https://a:6443/", "a", 6443, ""), ("https://[::1]:1/x/y/", "::1", 1, "/x/y"),
      ("https://10.0.0.1/p", "10.0.0.1", 443, "/p"),
    ]
    for (url, host, port, prefix) in table {
      let address = try ServerAddress(url)
      #expect(address.host == host && address.port == port && address.pathPrefix == prefix, "\(url)")
    }
  }
}

@Suite struct WatchLineTests {
  /// However the bytes are cut, the lines are the same.
  @Test(arguments: 1...20)
  func linesDoNotDependOnCuts(seed: UInt64) {
    var state = seed &* 0x9e37_79b9_7f4a_7c15
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(bound))
    }
    let bytes = (0..<500).map { _ in UInt8(random(7) == 0 ? 10 : 97 + random(20)) }
    var splitter = LineSplitter()
    var lines: [[UInt8]] = []
    var at = 0
    while at < bytes.count {
      let end = min(bytes.count, at + random(30))
      splitter.append(bytes[at..<end])
      at = end
      if random(2) == 0 { lines += splitter.takeLines() }
    }
    lines += splitter.takeLines()
    var expected = bytes.split(separator: 10, omittingEmptySubsequences: false).map(Array.init)
    let rest = expected.removeLast()
    #expect(lines == expected && splitter.rest == rest)
  }

  /// No line crashes the reader.
  @Test(arguments: 1...20)
  func anyLine(seed: UInt64) {
    var state = seed &* 0x9e37_79b9_7f4a_7c15
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(bound))
    }
    let good = Array(#"{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"3"}}}"#.utf8)
    for _ in 0..<500 {
      var line = good
      for _ in 0..<random(6) where !line.isEmpty { line[random(line.count)] = UInt8(random(256)) }
      _ = try? WatchEvent(line: Array(line.prefix(random(line.count + 1))))
    }
    #expect((try? WatchEvent(line: good)) != nil)
  }
}
