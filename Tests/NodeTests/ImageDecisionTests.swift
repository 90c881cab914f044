import Distribution
import KubeTypes
import OCI
import Testing
import Wire

@testable import Node

@Suite("Image policies")
struct ImagePolicyTests {
  @Test("policy, presence and ownership decide")
  func decisions() {
    #expect(ImagePolicy.ifNotPresent.decide("nginx", isHere: true, isOwn: false) == .use)
    #expect(ImagePolicy.ifNotPresent.decide("nginx", isHere: false, isOwn: false) == .pull)
    #expect(ImagePolicy.always.decide("nginx", isHere: true, isOwn: false) == .pull)
    #expect(ImagePolicy.always.decide("nginx", isHere: false, isOwn: false) == .pull)
    #expect(ImagePolicy.never.decide("nginx", isHere: true, isOwn: false) == .use)
    // What is our own is in the store or nowhere.
    #expect(ImagePolicy.always.decide("localhost:5000/a:1", isHere: true, isOwn: true) == .use)
    for policy in [ImagePolicy.always, .ifNotPresent] {
      guard case .fail(let error) = policy.decide("localhost:5000/a:1", isHere: false, isOwn: true) else {
        Issue.record("\(policy) must fail")
        continue
      }
      #expect(error.reason == .errImagePull)
      #expect(error.message.contains("apus build") && error.message.contains("apus image import"))
    }
    for isOwn in [true, false] {
      #expect(
        ImagePolicy.never.decide("a", isHere: false, isOwn: isOwn)
          == .fail(
            NodeError(.errImageNeverPull, "Container image \"a\" is not present with pull policy of Never")))
    }
  }
}

@Suite("Image back-off")
struct PullBackoffTests {
  private let start = Timestamp(seconds: 1_000)
  private func at(_ seconds: Int64) -> Timestamp { start.adding(.seconds(seconds)) }

  @Test("10 s, doubled up to 5 min")
  func growth() {
    var backoff = PullBackoff(now: start, message: "one")
    #expect(backoff.retryAt(now: start) == at(10))
    #expect(backoff.retryAt(now: at(9)) == at(10))
    #expect(backoff.retryAt(now: at(10)) == nil)
    var now = at(10)
    for expected: Int64 in [20, 40, 80, 160, 300, 300] {
      backoff.failed(now: now, message: "again")
      #expect(backoff.retryAt(now: now) == now.adding(.seconds(expected)))
      now = now.adding(.seconds(expected))
    }
    #expect(backoff.message == "again")
  }

  @Test("forgotten after ten minutes without a failure")
  func forgetting() {
    var backoff = PullBackoff(now: start, message: "")
    backoff.failed(now: at(10), message: "")
    backoff.failed(now: at(10 + 600), message: "")
    #expect(backoff.delay == .seconds(40))
    backoff.failed(now: at(10 + 600 + 601), message: "")
    #expect(backoff.delay == .seconds(10))
  }
}

@Suite("Pull secrets")
struct PullSecretTests {
  private func secret(_ name: String, type: String, key: String, _ text: String) -> Secret {
    Secret(json: [
      "metadata": ["name": .string(name)], "type": .string(type),
      "data": .object(JSONObject(uniqueMembers: [(key: key, value: .string(Base64.encode(Array(text.utf8))))])),
    ])
  }

  private func json(_ name: String, _ host: String, user: String) -> Secret {
    let auth = Base64.encode(Array("\(user):pw".utf8))
    return secret(
      name, type: "kubernetes.io/dockerconfigjson", key: ".dockerconfigjson",
      "{\"auths\":{\"\(host)\":{\"auth\":\"\(auth)\"}}}")
  }

  @Test("both forms are read, other types are not")
  func forms() throws {
    let old = secret(
      "old", type: "kubernetes.io/dockercfg", key: ".dockercfg",
      "{\"registry.test\":{\"username\":\"u2\",\"password\":\"pw\"}}")
    let other = secret("other", type: "Opaque", key: ".dockerconfigjson", "not even JSON")
    let configuration = try PullSecrets.configuration(of: [json("new", "registry.test", user: "u1"), old, other])
    let reference = try Reference(parsing: "registry.test/team/app:1")
    #expect(
      configuration.credentials(for: reference) == [
        .basic(username: "u1", password: "pw"), .basic(username: "u2", password: "pw"),
      ])
    #expect(configuration.credentials(for: try Reference(parsing: "other.test/team/app:1")).isEmpty)
  }

  @Test("a broken secret is an error that names it and not what is in it")
  func broken() {
    let broken = secret("mine", type: "kubernetes.io/dockerconfigjson", key: ".dockerconfigjson", "{\"auths\": hunter2")
    #expect {
      try PullSecrets.configuration(of: [broken])
    } throws: { error in
      let text = "\(error)"
      return (error as? NodeError)?.reason == .errImagePull && text.contains("\"mine\"") && !text.contains("hunter2")
    }
  }
}

@Suite("Image collection")
struct ImageCollectionTests {
  private let now = Timestamp(seconds: 1_000_000)
  private let policy = ImageCollectionPolicy()

  private func usage(percent: Int64) -> FileSystemUsage {
    FileSystemUsage(total: 100_000, available: 100_000 - percent * 1000, inodesTotal: 0, inodesFree: 0)
  }

  private func digest(_ letter: Character) -> Digest {
    guard let digest = Digest("sha256:" + String(repeating: letter, count: 64)) else { fatalError("a digest") }
    return digest
  }

  private func image(_ name: String, _ letter: Character, pulled: Int64, used: Int64) -> ImageUses.Pulled {
    ImageUses.Pulled(
      name: name, target: digest(letter), digest: digest(letter), pulledAt: now.adding(.seconds(-pulled)),
      lastUsedAt: now.adding(.seconds(-used)))
  }

  @Test("begins at 85 percent and wants 80")
  func thresholds() {
    #expect(ImageCollection.bytesToFree(usage(percent: 84), policy) == nil)
    #expect(ImageCollection.bytesToFree(usage(percent: 85), policy) == 5000)
    #expect(ImageCollection.bytesToFree(usage(percent: 99), policy) == 19_000)
    var never = policy
    never.highThresholdPercent = 100
    #expect(ImageCollection.bytesToFree(usage(percent: 100), never) == nil)
  }

  @Test("the longest unused goes first; what is used, young, or no longer what was pulled stays")
  func candidates() {
    let images = [
      image("new", "a", pulled: 60, used: 60), image("used", "b", pulled: 9000, used: 9000),
      image("old", "c", pulled: 5000, used: 5000), image("older", "d", pulled: 8000, used: 7000),
      image("moved", "e", pulled: 8000, used: 8000), image("gone", "f", pulled: 8000, used: 8000),
    ]
    let current: [String: Digest] = [
      "new": digest("a"), "used": digest("b"), "old": digest("c"), "older": digest("d"), "moved": digest("0"),
    ]
    let names = ImageCollection.candidates(images, current: current, inUse: [digest("b")], now: now, policy).map(\.name)
    #expect(names == ["older", "old"])
  }
}

@Suite("Health checks of images")
struct HealthCheckTests {
  private func config(_ test: [String], _ change: (inout ImageConfig.Healthcheck) -> Void = { _ in }) -> ImageConfig {
    var config = ImageConfig()
    var check = ImageConfig.Healthcheck()
    check.test = test
    change(&check)
    config.healthcheck = check
    return config
  }

  @Test("CMD, CMD-SHELL, NONE and nothing")
  func forms() {
    #expect(HealthCheck(config(["CMD", "/check", "now"]))?.command == ["/check", "now"])
    #expect(
      HealthCheck(config(["CMD-SHELL", "wget -q x || exit 1"]))?.command == ["/bin/sh", "-c", "wget -q x || exit 1"])
    var bash = config(["CMD-SHELL", "true"])
    bash.shell = ["/bin/bash", "-euc"]
    #expect(HealthCheck(bash)?.command == ["/bin/bash", "-euc", "true"])
    #expect(HealthCheck(config(["NONE"])) == nil)
    #expect(HealthCheck(config([])) == nil)
    #expect(HealthCheck(config(["CMD"])) == nil)
    #expect(HealthCheck(ImageConfig()) == nil)
  }

  @Test("zero means Docker's defaults")
  func defaults() {
    let check = HealthCheck(config(["CMD", "x"]))
    #expect(check?.interval == .seconds(30) && check?.timeout == .seconds(30) && check?.retries == 3)
    #expect(check?.startPeriod == .zero && check?.startInterval == .seconds(5))
  }

  @Test("a container's label brings the check back")
  func label() {
    let check = HealthCheck(
      config(["CMD-SHELL", "echo \"é\""]) {
        $0.interval = .milliseconds(1500)
        $0.timeout = .seconds(2)
        $0.startPeriod = .seconds(60)
        $0.startInterval = .seconds(1)
        $0.retries = 7
      })
    #expect(HealthCheck(label: check?.labelText) == check)
    #expect(HealthCheck(label: nil) == nil)
    #expect(HealthCheck(label: "{}") == nil)
  }

  private var check: HealthCheck {
    var check = HealthCheck(command: ["x"])
    check.interval = .seconds(10)
    return check
  }

  private func expectCount(
    _ state: inout HealthState, _ isSuccess: Bool, at seconds: Int64, counts expected: Bool,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let counts = state.checked(isSuccess: isSuccess, age: .seconds(seconds))
    #expect(counts == expected, sourceLocation: sourceLocation)
  }

  @Test("healthy by one success, unhealthy by three failures in a row, and back")
  func states() {
    var state = HealthState(check)
    #expect(state.status == .starting)
    expectCount(&state, true, at: 11, counts: false)
    #expect(state.status == .healthy)
    expectCount(&state, false, at: 21, counts: true)
    expectCount(&state, false, at: 31, counts: true)
    #expect(state.status == .healthy)
    expectCount(&state, true, at: 41, counts: false)
    for age: Int64 in [51, 61, 71] { expectCount(&state, false, at: age, counts: true) }
    #expect(state.status == .unhealthy)
    expectCount(&state, true, at: 81, counts: false)
    #expect(state.status == .healthy)
  }

  @Test("failures in the start period do not count until the first success")
  func startPeriod() {
    var check = check
    check.startPeriod = .seconds(60)
    check.retries = 1
    var state = HealthState(check)
    for age: Int64 in [0, 5, 30, 59] { expectCount(&state, false, at: age, counts: false) }
    #expect(state.status == .starting)
    var early = state
    expectCount(&state, false, at: 60, counts: true)
    #expect(state.status == .unhealthy)
    expectCount(&early, true, at: 20, counts: false)
    expectCount(&early, false, at: 21, counts: true)
    #expect(early.status == .unhealthy)
  }

  private func expectWait(
    _ state: inout HealthState, age: Duration, _ expected: Duration, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let wait = state.wait(age: age)
    #expect(wait == expected, sourceLocation: sourceLocation)
  }

  @Test("while it starts it is asked often, then at its interval")
  func intervals() {
    var check = check
    check.startPeriod = .seconds(60)
    check.startInterval = .seconds(2)
    var state = HealthState(check)
    expectWait(&state, age: .zero, .milliseconds(500))
    expectWait(&state, age: .seconds(1), .seconds(1))
    expectWait(&state, age: .seconds(2), .seconds(2))
    expectWait(&state, age: .seconds(4), .seconds(2))
    expectWait(&state, age: .seconds(60), .seconds(10))
    expectCount(&state, true, at: 5, counts: false)
    expectWait(&state, age: .seconds(5), .seconds(10))
    var adopted = HealthState(check, wasHealthy: true)
    #expect(adopted.status == .healthy)
    expectWait(&adopted, age: .seconds(1), .seconds(10))
  }
}
