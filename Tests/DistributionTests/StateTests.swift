import HTTP
import TestKit
import Testing
import Wire

@testable import Distribution

@Suite struct RetryPolicyTests {
  private let unavailable = DistributionError(.unavailable, "", status: 503)

  @Test func backsOffWithinBounds() throws {
    let policy = RetryPolicy()
    var last: Duration = .zero
    for attempt in 1..<policy.attempts {
      let delay = try #require(policy.delay(after: unavailable, attempt: attempt, salt: 7))
      let full = min(policy.backoffMin * (1 << (attempt - 1)), policy.backoffMax)
      #expect(delay >= full / 2 && delay <= full)
      #expect(delay > last / 2)
      last = delay
    }
    #expect(policy.delay(after: unavailable, attempt: policy.attempts, salt: 7) == nil)
  }

  @Test func spreadsRequests() {
    let delays = Set((0..<50).map { RetryPolicy().delay(after: unavailable, attempt: 3, salt: $0) })
    #expect(delays.count > 20)
  }

  @Test func doesAsItIsTold() {
    func error(_ wait: Duration) -> DistributionError { DistributionError(.tooManyRequests, "", retryAfter: wait) }
    #expect(RetryPolicy().delay(after: error(.seconds(30)), attempt: 1, salt: 0) == .seconds(30))
    #expect(RetryPolicy().delay(after: error(.seconds(3600)), attempt: 1, salt: 0) == nil)
  }

  @Test func givesUpOnWhatStays() {
    for code in [.notFound, .unauthorized, .denied, .contentMismatch, .rejected, .cancelled] as [DistributionError.Code]
    {
      #expect(RetryPolicy().delay(after: DistributionError(code, ""), attempt: 1, salt: 0) == nil)
    }
  }
}

@Suite struct AuthFlowTests {
  private let host = HTTPURL(scheme: .https, host: "r.io", port: 443, path: "/v2/")
  private let user = Credentials.basic(username: "u", password: "p")
  private let scopes = ["repository:a:pull"]

  private func flow(_ credentials: Credentials?, allowsPlain: Bool = false) -> AuthFlow {
    AuthFlow(host: host, scopes: scopes, credentials: credentials) { _ in allowsPlain }
  }

  private func bearer(_ realm: String, _ scope: String? = nil) -> [AuthChallenge] {
    var parameters = ["realm": realm, "service": "s"]
    parameters["scope"] = scope
    return [AuthChallenge(scheme: "bearer", parameters: parameters)]
  }

  private func request(_ extra: [String] = [], _ credentials: Credentials? = nil) throws -> TokenRequest {
    TokenRequest(
      realm: try #require(HTTPURL("https://auth.io/token")), service: "s", scopes: scopes, extraScopes: extra,
      credentials: credentials)
  }

  @Test func anonymousTokenAndThenAFreshOne() throws {
    var flow = flow(nil)
    #expect(flow.begin(known: nil) == .send(.none))
    let challenge = bearer("https://auth.io/token", "repository:a:pull other:x:y")
    #expect(flow.challenged(challenge) == .send(.token(try request(["other:x:y"]), isFresh: false)))
    // It came from the cache and has ended: one more, and not for ever.
    #expect(flow.challenged(challenge) == .send(.token(try request(["other:x:y"]), isFresh: true)))
    #expect(flow.challenged(challenge) == .giveUp)
  }

  @Test func whatIsKnownIsSentAtOnce() throws {
    let realm = try #require(HTTPURL("https://auth.io/token"))
    var token = flow(user)
    #expect(
      token.begin(known: .bearer(realm: realm, service: "s")) == .send(.token(try request([], user), isFresh: false)))
    #expect(token.learned == .bearer(realm: realm, service: "s"))
    var basic = flow(user)
    #expect(basic.begin(known: .basic) == .send(.basic(user)))
    #expect(basic.challenged([AuthChallenge(scheme: "basic", parameters: [:])]) == .giveUp)
    var without = flow(nil)
    #expect(without.begin(known: .basic) == .send(.none))
  }

  @Test func basic() {
    let challenge = [AuthChallenge(scheme: "basic", parameters: ["realm": "r"])]
    var with = flow(user)
    #expect(with.begin(known: nil) == .send(.none))
    #expect(with.challenged(challenge) == .send(.basic(user)))
    #expect(with.learned == .basic)
    #expect(with.challenged(challenge) == .giveUp)
    var without = flow(nil)
    _ = without.begin(known: nil)
    #expect(without.challenged(challenge) == .giveUp)
    // An identity token is for a token service.
    var identity = flow(.identityToken("t"))
    _ = identity.begin(known: nil)
    #expect(identity.challenged(challenge) == .giveUp)
  }

  @Test func registryTokensAreFinal() {
    var flow = flow(.registryToken("t"))
    #expect(flow.begin(known: nil) == .send(.registryToken(.registryToken("t"))))
    #expect(flow.challenged(bearer("https://auth.io/token")) == .giveUp)
  }

  @Test func noStepDownToPlainHTTP() {
    var refused = flow(user)
    _ = refused.begin(known: nil)
    guard case .refuse(let why) = refused.challenged(bearer("http://auth.io/token")) else {
      Issue.record("a password would go over the wire")
      return
    }
    #expect(why.contains("auth.io"))
    var allowed = flow(user, allowsPlain: true)
    _ = allowed.begin(known: nil)
    guard case .send(.token) = allowed.challenged(bearer("http://auth.io/token")) else {
      Issue.record("it is configured")
      return
    }
    var nonsense = flow(user)
    _ = nonsense.begin(known: nil)
    guard case .refuse = nonsense.challenged(bearer("file:///etc/passwd")) else {
      Issue.record("no realm")
      return
    }
  }

  @Test func tokensAreCachedPerScopeHostAndCredentials() throws {
    let cache = TokenCache(countMax: 3)
    let now = Timestamp(seconds: 1000)
    let token = try #require(IssuedToken(Array(#"{"token":"t","expires_in":100}"#.utf8)))
    cache.put(token, for: try request([], user), host: host, now: now)
    #expect(cache.token(for: try request([], user), host: host, now: now) == "t")
    // The registry's wishes do not change what it is for.
    #expect(cache.token(for: try request(["x"], user), host: host, now: now) == "t")
    #expect(cache.token(for: try request([], nil), host: host, now: now) == nil)
    #expect(cache.token(for: try request([], .basic(username: "u", password: "q")), host: host, now: now) == nil)
    var other = host
    other.port = 5000
    #expect(cache.token(for: try request([], user), host: other, now: now) == nil)
    #expect(cache.token(for: try request([], user), host: host, now: now.adding(.seconds(90))) == nil)
    for number in 0..<20 {
      var wanted = try request([], user)
      wanted.scopes = ["\(number)"]
      cache.put(token, for: wanted, host: host, now: now.adding(.seconds(Int64(number))))
    }
    var last = try request([], user)
    last.scopes = ["19"]
    #expect(cache.token(for: last, host: host, now: now.adding(.seconds(20))) == "t")
  }
}

@Suite struct DownloadStateTests {
  @Test func wholeContent() {
    var state = DownloadState(offset: 0, expected: nil)
    #expect(state.range == nil)
    #expect(state.answered(status: 200, contentRange: nil, contentLength: 10) == .proceed)
    #expect(state.received(4) == (0, false))
    #expect(!state.isComplete)
    #expect(state.range == "bytes=4-")
    #expect(state.broke(attemptsMax: 3) == true)
    #expect(state.answered(status: 206, contentRange: "bytes 4-9/10", contentLength: 6) == .proceed)
    #expect(state.received(6) == (0, false))
    #expect(state.isComplete)
  }

  @Test func serversWithoutRanges() {
    var state = DownloadState(offset: 0, expected: 10)
    _ = state.answered(status: 200, contentRange: nil, contentLength: 10)
    _ = state.received(4)
    _ = state.broke(attemptsMax: 3)
    #expect(state.answered(status: 200, contentRange: nil, contentLength: 10) == .proceed)
    #expect(state.received(3) == (3, false))
    #expect(!state.isComplete)
    #expect(state.received(3) == (1, false))
    #expect(state.offset == 6)
    #expect(state.received(4) == (0, false))
    #expect(state.isComplete)
  }

  @Test func lies() {
    func answer(_ status: Int, _ range: String?, _ length: Int64?, from offset: Int64 = 0) -> DownloadState.Answer {
      var state = DownloadState(offset: offset, expected: 10)
      return state.answered(status: status, contentRange: range, contentLength: length)
    }
    for (status, range, length, offset) in [
      (200, nil, 11, 0), (200, nil, 9, 0), (206, "bytes 0-9/10", 10, 0), (206, "bytes 3-9/10", 7, 4),
      (206, "bytes 4-9/11", 6, 4), (206, "bytes 4-7/*", 4, 4), (206, nil, 6, 4), (416, nil, 0, 4), (204, nil, 0, 0),
    ] as [(Int, String?, Int64, Int64)] {
      #expect(answer(status, range, length, from: offset) != .proceed, "\(status) \(range ?? "") \(length)")
    }
    #expect(answer(206, "bytes 4-9/*", 6, from: 4) == .proceed)
    var long = DownloadState(offset: 0, expected: 10)
    _ = long.answered(status: 200, contentRange: nil, contentLength: nil)
    #expect(long.received(11).isTooMuch == true)
    var beyond = DownloadState(offset: 20, expected: nil)
    #expect(beyond.answered(status: 200, contentRange: nil, contentLength: 10) != .proceed)
  }

  @Test func progressPaysForAttempts() {
    var stuck = DownloadState(offset: 0, expected: 1 << 30)
    #expect(stuck.broke(attemptsMax: 3) == true)
    _ = stuck.received(10)
    #expect(stuck.broke(attemptsMax: 3) == true)
    #expect(stuck.broke(attemptsMax: 3) == false)
    var moving = DownloadState(offset: 0, expected: 1 << 40)
    var breaks = 0
    while moving.broke(attemptsMax: 3) {
      breaks += 1
      _ = moving.received(1 << 20)
    }
    #expect(breaks == 999)
  }

  /// Against a server that breaks wherever it likes, with and without ranges: every byte once and in order.
  @Test(arguments: UInt64(0)..<20) func simulation(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<100 {
      let size = Int64.random(in: 0...5000, using: &random)
      let knowsSize = Bool.random(using: &random)
      var state = DownloadState(offset: 0, expected: Bool.random(using: &random) ? size : nil)
      var got: Int64 = 0
      while true {
        let hasRanges = Bool.random(using: &random)
        let start = state.range != nil && hasRanges ? state.offset : 0
        let answer =
          start > 0 && start < size
          ? state.answered(
            status: 206, contentRange: "bytes \(start)-\(size - 1)/\(size)", contentLength: size - start)
          : state.answered(status: 200, contentRange: nil, contentLength: knowsSize ? size : nil)
        #expect(answer == .proceed)
        var at = start > 0 && start < size ? start : 0
        var isBroken = false
        while at < size {
          if Int.random(in: 0..<10, using: &random) == 0 {
            isBroken = true
            break
          }
          let count = min(size - at, Int64.random(in: 1...700, using: &random))
          let (drop, isTooMuch) = state.received(count)
          #expect(!isTooMuch)
          #expect(count == drop || at + drop == got, "every byte follows the one before")
          got += count - drop
          at += count
        }
        if !isBroken { break }
        _ = state.broke(attemptsMax: .max)
      }
      #expect(state.isComplete)
      #expect(got == size && state.offset == size)
    }
  }
}

@Suite struct UploadStateTests {
  private let policy = RetryPolicy()
  private let lost = DistributionError(.connectionLost, "")

  @Test func onePut() {
    var state = UploadState(size: 10, chunk: nil, hasSession: false)
    #expect(state.next == .begin)
    state.began(chunkMin: nil)
    #expect(state.next == .close(offset: 0))
    #expect(UploadState(size: 0, chunk: 4, hasSession: true).next == .close(offset: 0))
  }

  @Test func chunks() {
    var state = UploadState(size: 10, chunk: 4, hasSession: false)
    state.began(chunkMin: nil)
    #expect(state.next == .sendChunk(offset: 0, count: 4))
    state.chunkAccepted(end: 4)
    #expect(state.next == .sendChunk(offset: 4, count: 4))
    state.chunkAccepted(end: nil)
    #expect(state.next == .sendChunk(offset: 8, count: 2))
    state.chunkAccepted(end: 10)
    #expect(state.next == .close(offset: 10))
    var larger = UploadState(size: 10, chunk: 4, hasSession: false)
    larger.began(chunkMin: 7)
    #expect(larger.next == .sendChunk(offset: 0, count: 7))
  }

  @Test func goesOnWhereTheRegistryIs() {
    var state = UploadState(size: 10, chunk: 4, hasSession: true)
    guard case .proceed = state.failed(lost, retry: policy, salt: 0) else {
      Issue.record("a lost connection is no end")
      return
    }
    #expect(state.next == .askOffset)
    state.offsetKnown(3)
    #expect(state.next == .sendChunk(offset: 3, count: 4))
    _ = state.failed(DistributionError(.rejected, "", status: 416), retry: policy, salt: 0)
    #expect(state.next == .askOffset)
    state.offsetKnown(99)
    #expect(state.next == .close(offset: 10))
  }

  @Test func looksBeforeItBeginsAgain() {
    var state = UploadState(size: 10, chunk: nil, hasSession: true)
    _ = state.failed(lost, retry: policy, salt: 0)
    #expect(state.next == .checkExistence)
    state.isMissing()
    #expect(state.next == .begin)
    var gone = UploadState(size: 10, chunk: 4, hasSession: true)
    _ = gone.failed(DistributionError(.notFound, "", status: 404), retry: policy, salt: 0)
    #expect(gone.next == .checkExistence)
  }

  @Test func tooLargeForOne() {
    var state = UploadState(size: 100 << 20, chunk: nil, hasSession: true)
    let answer = state.failed(DistributionError(.rejected, "", status: 413), retry: policy, salt: 0)
    #expect(answer == .proceed(after: .zero))
    state.began(chunkMin: nil)
    #expect(state.next == .sendChunk(offset: 0, count: UploadState.chunkFallback))
    _ = state.failed(DistributionError(.rejected, "", status: 413), retry: policy, salt: 0)
    var small = UploadState(size: 10, chunk: nil, hasSession: true)
    #expect(small.failed(DistributionError(.rejected, "", status: 413), retry: policy, salt: 0) == .fail)
  }

  @Test func endsAtLast() {
    for code in [.denied, .rejected, .cancelled, .store, .unauthorized] as [DistributionError.Code] {
      var state = UploadState(size: 10, chunk: 4, hasSession: true)
      #expect(state.failed(DistributionError(code, ""), retry: policy, salt: 0) == .fail)
    }
  }

  /// Against a registry that loses requests and answers: it ends, with every byte in its place.
  @Test(arguments: UInt64(0)..<20) func simulation(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<200 {
      let size = Int64.random(in: 0...100, using: &random)
      let chunk = Bool.random(using: &random) ? Int.random(in: 1...40, using: &random) : nil
      var state = UploadState(size: size, chunk: chunk, hasSession: false)
      var session: Int64?
      var isStored = false
      var steps = 0
      loop: while true {
        steps += 1
        #expect(steps < 10_000)
        var policy = policy
        policy.attempts = .max
        let isLost = Int.random(in: 0..<4, using: &random) == 0
        let isDone = !isLost || Bool.random(using: &random)
        switch state.next {
        case .begin:
          if isDone { session = 0 }
          if !isLost { state.began(chunkMin: nil) }
        case .checkExistence:
          if !isLost {
            if isStored { break loop }
            state.isMissing()
          }
        case .askOffset:
          guard let offset = session else {
            _ = state.failed(DistributionError(.notFound, "", status: 404), retry: policy, salt: 0)
            continue
          }
          if !isLost { state.offsetKnown(offset) }
        case .sendChunk(let offset, let count):
          guard let have = session, have == offset else {
            _ = state.failed(
              DistributionError(.rejected, "", status: session == nil ? 404 : 416), retry: policy, salt: 0)
            continue
          }
          if isDone { session = have + count }
          if !isLost { state.chunkAccepted(end: Bool.random(using: &random) ? session : nil) }
        case .close(let offset):
          guard let have = session, have == offset || chunk == nil else {
            _ = state.failed(
              DistributionError(.rejected, "", status: session == nil ? 404 : 416), retry: policy, salt: 0)
            continue
          }
          if isDone {
            isStored = true
            session = nil
          }
          if !isLost { break loop }
        }
        if isLost { #expect(state.failed(lost, retry: policy, salt: 0) != .fail) }
      }
      #expect(isStored)
    }
  }
}

@Suite struct RegistryHostsTests {
  private func bases(_ hosts: RegistryHosts, _ registry: String, isReading: Bool = true) throws -> [String] {
    try hosts.endpoints(of: registry, isReading: isReading).map { $0.base.description + $0.pathPrefix }
  }

  @Test func defaults() throws {
    let hosts = RegistryHosts()
    #expect(try bases(hosts, "docker.io") == ["https://registry-1.docker.io/v2/"])
    #expect(try bases(hosts, "quay.io:8443") == ["https://quay.io:8443/v2/"])
    #expect(try bases(hosts, "localhost:5000") == ["http://localhost:5000/v2/"])
    #expect(try bases(hosts, "127.3.2.1") == ["http://127.3.2.1/v2/"])
    #expect(try bases(hosts, "[::1]:5000") == ["http://[::1]:5000/v2/"])
    #expect(try bases(hosts, "10.0.0.1:5000") == ["https://10.0.0.1:5000/v2/"])
  }

  @Test func configuration() throws {
    var hosts = RegistryHosts()
    hosts.hosts["10.0.0.1:5000"] = .init(isPlainHTTP: true)
    hosts.hosts["localhost:5000"] = .init(isPlainHTTP: false)
    hosts.hosts["localhost:5001"] = .init(tls: .init(authorities: ["/ca.pem"]))
    hosts.hosts["docker.io"] = .init(mirrors: [.init(location: "10.0.0.1:5000"), .init(location: "m.io/docker/hub")])
    #expect(try bases(hosts, "10.0.0.1:5000") == ["http://10.0.0.1:5000/v2/"])
    #expect(try bases(hosts, "localhost:5000") == ["https://localhost:5000/v2/"])
    #expect(try bases(hosts, "localhost:5001") == ["https://localhost:5001/v2/"])
    let all = ["http://10.0.0.1:5000/v2/", "https://m.io/v2/docker/hub/", "https://registry-1.docker.io/v2/"]
    #expect(try bases(hosts, "docker.io") == all)
    #expect(try bases(hosts, "docker.io", isReading: false) == ["https://registry-1.docker.io/v2/"])
  }

  @Test func nonsense() async {
    for registry in ["", "a b", "user@h", "h/x", "h:99999", "\r\n"] {
      let error = await failure { () throws(DistributionError) in
        try RegistryHosts().endpoints(of: registry, isReading: true)
      }
      #expect(error.code == .invalidURL)
    }
    var hosts = RegistryHosts()
    hosts.hosts["a.io"] = .init(mirrors: [.init(location: "https://m.io")])
    let error = await failure { () throws(DistributionError) in try hosts.endpoints(of: "a.io", isReading: true) }
    #expect(error.code == .invalidConfiguration)
  }

  @Test func stepsDownOnlyByName() throws {
    var hosts = RegistryHosts()
    hosts.hosts["plain.io"] = .init(isPlainHTTP: true)
    hosts.hosts["plain.io:81"] = .init(isPlainHTTP: false)
    for (text, isAllowed) in [
      ("http://plain.io/x", true), ("http://plain.io:8080/", true), ("http://plain.io:81/", false),
      ("http://other.io/", false), ("http://127.0.0.1/", false), ("http://localhost:5000/", false),
    ] {
      #expect(hosts.allowsStepDown(to: try #require(HTTPURL(text))) == isAllowed, "\(text)")
    }
  }

  @Test func certificateFolders() throws {
    let folder = try TemporaryFolder()
    let authority = try folder.write("localhost:5000/ca.crt", "x")
    let certificate = try folder.write("localhost:5000/client.cert", "x")
    let key = try folder.write("localhost:5000/client.key", "x")
    _ = try folder.write("localhost:5000/lonely.cert", "x")
    _ = try folder.write("empty.io/readme", "x")
    let hosts = RegistryHosts(certificateFolders: ["/nowhere", folder.path])
    #expect(try bases(hosts, "localhost:5000") == ["https://localhost:5000/v2/"])
    #expect(try bases(hosts, "localhost:5001") == ["http://localhost:5001/v2/"])
    let tls = hosts.tls(for: try #require(HTTPURL("https://localhost:5000/v2/")))
    #expect(tls == RegistryHosts.TLS(authorities: [authority], clientCertificate: certificate, clientKey: key))
    #expect(CertificateFolder.find("empty.io", in: [folder.path]) == nil)
    #expect(CertificateFolder.find("../localhost:5000", in: [folder.path]) == nil)
    #expect(CertificateFolder.find("..", in: ["\(folder.path)/empty.io"]) == nil)
  }
}
