import Content
import Distribution
import KubeClient
import KubeTypes
import LinuxSystem
import OCI
import Synchronization
import Testing
import Wire

@testable import Containers
@testable import Node

/// Images as the node gets them, on a registry, a runtime and an API in memory.
@Suite("Node and images", .timeLimit(.minutes(1)))
struct NodeImageTests {
  private let clock = VirtualClock()

  private func withHarness(_ body: (NodeHarness) async throws -> Void) async throws {
    let harness = try await NodeHarness(time: clock)
    defer { harness.close() }
    try await body(harness)
  }

  private func container(_ image: String, policy: String? = nil, name: String = "web") -> JSON {
    var container: JSON = ["name": .string(name), "image": .string(image)]
    if let policy { container["imagePullPolicy"] = .string(policy) }
    return container
  }

  private func createPod(
    _ harness: NodeHarness, _ name: String, _ image: String, policy: String? = nil, secrets: [String] = []
  ) {
    harness.createPod(name) { pod in
      pod["spec"]?["containers"] = [container(image, policy: policy)]
      if !secrets.isEmpty { pod["spec"]?["imagePullSecrets"] = .array(secrets.map { ["name": .string($0)] }) }
    }
  }

  /// Waits, without letting time pass, until an event with that text is there.
  private func waitForEvent(_ harness: NodeHarness, _ text: String) async {
    await harness.client.wait { objects in
      objects.contains { key, event in
        key.hasPrefix("events/") && "\(event["reason"]?.string ?? ""): \(event["message"]?.string ?? "")".contains(text)
      }
    }
  }

  private func message(_ harness: NodeHarness, _ pod: String) -> String {
    harness.pod(pod)?.containerStatus("web")?.at("state", "waiting", "message")?.string ?? ""
  }

  /// What served the image's layers ended while no server ran.
  @Test("containers whose files went with a lazy image are started again, and no others")
  func lazyOrphans() async throws {
    try await withHarness { harness in
      let image = try #require(try harness.images.image("localhost/web:1"))
      let lazy = ContainerSpecBuilder.lazyImageLabel
      try await harness.withNode { _ in
        for name in ["lost", "other", "whole"] { createPod(harness, name, "localhost/web:1") }
        for name in ["lost", "other", "whole"] { await harness.client.waitForPod(name) { $0.isPodReady } }
      }
      harness.fake.model.withLock { model in
        for (id, container) in model.containers {
          if container.podName == "lost" { model.containers[id]?.labels[lazy] = image.digest.description }
          if container.podName == "other" { model.containers[id]?.labels[lazy] = Digest(of: [9]).description }
        }
      }
      let folders = LazyImages.folder(in: harness.images.root)
      for (name, digest) in [("a-dead-one", image.digest), ("nobody-s", Digest(of: [8]))] {
        try Directory.create("\(folders)/\(name)")
        try LazyRecord(
          folder: "\(folders)/\(name)", image: digest, process: RecordedProcess(pid: 1, startTime: 1), layers: [:],
          isReady: true
        ).write()
      }
      try await harness.withNode { _ in
        await clock.running {
          for name in ["lost", "other"] {
            await harness.client.waitForPod(name) { $0.restarts() == 1 && $0.isPodReady }
          }
          while (try? Directory.list(folders)) != [] { await Task.yield() }
        }
        #expect(harness.pod("whole")?.restarts() == 0)
        #expect(harness.fake.model.withLock { $0.signals.map(\.signal) } == [9, 9])
      }
    }
  }

  @Test("an image that is not here is pulled, told in events, and pinned by its digest")
  func pull() async throws {
    try await withHarness { harness in
      harness.puller.publish("registry.test/team/app:1")
      try await harness.withNode { _ in
        createPod(harness, "a", "registry.test/team/app:1")
        await harness.client.waitForPod("a") { $0.isPodReady }
        let image = try #require(try harness.images.image("registry.test/team/app:1"))
        #expect(
          harness.pod("a")?.containerStatus("web")?["imageID"]?.string == "registry.test/team/app@\(image.digest)")
        await waitForEvent(harness, "Started: Started container web")
        let events = harness.client.events
        #expect(events.contains("Pulling: Pulling image \"registry.test/team/app:1\""))
        #expect(
          events.contains(
            "Pulled: Successfully pulled image \"registry.test/team/app:1\" in 0s (0s including waiting). "
              + "Image size: \(image.size) bytes."), "\(events)")
        #expect(harness.pins.pinned == [image.digest])

        // It is here now: the next pod needs no registry.
        createPod(harness, "b", "registry.test/team/app:1", policy: "IfNotPresent")
        await harness.client.waitForPod("b") { $0.isPodReady }
        #expect(harness.puller.calls.count == 1)
        await waitForEvent(harness, "Pulled: Container image \"registry.test/team/app:1\" already present on machine")

        try await harness.deletePod("a")
        await harness.client.waitForNoPod("a")
        #expect(harness.pins.pinned == [image.digest])
        try await harness.deletePod("b")
        await harness.client.waitForNoPod("b")
        while !harness.pins.pinned.isEmpty { await Task.yield() }
      }
    }
  }

  @Test("a wrong tag: ErrImagePull, then ImagePullBackOff from 10 s on; when the image is there, it runs")
  func backoff() async throws {
    let name = "registry.test/app:wrong"
    try await withHarness { harness in
      try await harness.withNode { _ in
        createPod(harness, "a", name)
        await harness.client.waitForPod("a") { $0.waitingReason() == "ErrImagePull" }
        #expect(message(harness, "a") == "\(name): not found")
        #expect(harness.pod("a")?.phase == "Pending")
        await waitForEvent(harness, "Failed: Failed to pull image \"\(name)\": \(name): not found")
        await waitForEvent(harness, "Failed: Error: ErrImagePull")
        harness.puller.close()
        await clock.running {
          await harness.client.waitForPod("a") { $0.waitingReason() == "ImagePullBackOff" }
        }
        #expect(message(harness, "a") == "Back-off pulling image \"\(name)\": ErrImagePull: \(name): not found")
        await clock.running { while harness.puller.waitingCount < 1 { await Task.yield() } }
        // It is tried again, and until that has failed the wait goes by the same name.
        #expect(harness.pod("a")?.waitingReason() == "ImagePullBackOff")
        await waitForEvent(harness, "BackOff: Back-off pulling image \"\(name)\"")
        await waitForEvent(harness, "Failed: Error: ImagePullBackOff")
        harness.puller.permit(1)
        await harness.client.waitForPod("a") { $0.waitingReason() == "ErrImagePull" }
        await clock.running { while harness.puller.waitingCount < 1 { await Task.yield() } }
        let times = harness.puller.calls.map(\.at)
        try #require(times.count == 3)
        #expect(times[1].since(times[0]) >= .seconds(10))
        #expect(times[2].since(times[1]) >= .seconds(20))
        harness.puller.publish(name)
        harness.puller.permit()
        await harness.client.waitForPod("a") { $0.isPodReady }
        #expect(harness.pod("a")?.restarts() == 0)
      }
    }
  }

  @Test("the failures of an image that no container names any more are forgotten")
  func forgottenFailures() async throws {
    let (one, two) = ("registry.test/one:1", "registry.test/two:1")
    try await withHarness { harness in
      try await harness.withNode { node in
        createPod(harness, "a", one)
        await harness.client.waitForPod("a") { $0.waitingReason() == "ErrImagePull" }
        var json = try #require(harness.pod("a")).json
        json["spec"]?["containers"] = [container(two)]
        harness.client.put(Pod.resource, "default", json)
        await harness.client.waitForPod("a") { pod in
          pod.containerStatus("web")?.at("state", "waiting", "message")?.string?.contains("two") == true
        }
        let worker = try #require(node.worker(namespace: "default", pod: "a"))
        // Naming it again soon shall not pull it at once.
        #expect(await worker.pullBackoffs.keys.sorted() == [one, two])
        await clock.running { while await worker.pullBackoffs[one] != nil { await Task.yield() } }
        #expect(await worker.pullBackoffs.keys.sorted() == [two])
      }
    }
  }

  @Test("pods that want the same share one pull; one without its credentials gets none")
  func sharing() async throws {
    let name = "registry.test/app:1"
    try await withHarness { harness in
      harness.puller.publish(name)
      harness.puller.close()
      try await harness.withNode { _ in
        for pod in ["a", "b", "c"] { createPod(harness, pod, name) }
        for pod in ["a", "b", "c"] {
          await harness.client.wait { objects in
            objects.contains { key, event in
              key.hasPrefix("events/") && event.at("involvedObject", "name")?.string == pod
                && event["reason"]?.string == "Pulling"
            }
          }
        }
        while harness.puller.waitingCount < 1 { await Task.yield() }
        // One of them goes: the others still wait.
        try await harness.deletePod("a")
        await harness.client.waitForNoPod("a")
        #expect(harness.puller.cancelledCount == 0)
        harness.puller.permit()
        for pod in ["b", "c"] { await harness.client.waitForPod(pod) { $0.isPodReady } }
        #expect(harness.puller.calls.count == 1)
      }
    }
  }

  @Test("deleting the last pod that waits breaks the pull off, and nothing of it is left")
  func cancellation() async throws {
    try await withHarness { harness in
      harness.puller.publish("registry.test/app:1")
      harness.puller.close()
      try await harness.withNode { _ in
        createPod(harness, "a", "registry.test/app:1")
        while harness.puller.waitingCount < 1 { await Task.yield() }
        try await harness.deletePod("a")
        await harness.client.waitForNoPod("a")
        while harness.puller.cancelledCount < 1 { await Task.yield() }
        #expect(harness.fake.model.withLock { $0.containers.isEmpty && $0.sandboxes.isEmpty })
        // The place is free again.
        harness.puller.permit()
        createPod(harness, "b", "registry.test/app:1")
        await harness.client.waitForPod("b") { $0.isPodReady }
      }
    }
  }

  @Test("while one container's image comes, the others run")
  func independence() async throws {
    try await withHarness { harness in
      harness.puller.publish("registry.test/app:1")
      harness.puller.close()
      try await harness.withNode { _ in
        harness.createPod("a") {
          $0["spec"]?["containers"] = [
            container("registry.test/app:1", name: "slow"), container("localhost/web:1", name: "web"),
          ]
        }
        await harness.client.waitForPod("a") { $0.containerStatus("web")?["ready"]?.bool == true }
        #expect(harness.pod("a")?.waitingReason("slow") == "ContainerCreating")
        harness.fake.exit("web", code: 1)
        await harness.client.waitForPod("a") { $0.restarts() == 1 }
        harness.puller.permit()
        await harness.client.waitForPod("a") { $0.isPodReady }
      }
    }
  }

  @Test("the pod's secrets are tried in order, then the node's")
  func credentials() async throws {
    let name = "registry.test/private/app:1"
    func config(_ user: String) -> String {
      "{\"auths\":{\"registry.test\":{\"auth\":\"\(Base64.encode(Array("\(user):pw".utf8)))\"}}}"
    }
    try await withHarness { harness in
      harness.puller.publish(name, for: .basic(username: "right", password: "pw"))
      for (secret, user) in [("one", "wrong"), ("two", "right")] {
        harness.client.put(
          Secret.resource, "default",
          [
            "apiVersion": "v1", "kind": "Secret", "metadata": ["name": .string(secret), "namespace": "default"],
            "type": "kubernetes.io/dockerconfigjson",
            "data": [".dockerconfigjson": .string(Base64.encode(Array(config(user).utf8)))],
          ])
      }
      try await harness.withNode { _ in
        createPod(harness, "a", name, secrets: ["one"])
        await harness.client.waitForPod("a") { $0.waitingReason() == "ErrImagePull" }
        #expect(message(harness, "a").contains("no basic auth credentials"))
        createPod(harness, "b", name, secrets: ["one", "missing", "two"])
        await harness.client.waitForPod("b") { $0.isPodReady }
        await waitForEvent(
          harness,
          "FailedToRetrieveImagePullSecret: Unable to retrieve some image pull secrets (missing); "
            + "attempting to pull the image may not succeed.")
        let users = harness.puller.calls.map(\.credentials)
        let wrong = Credentials.basic(username: "wrong", password: "pw")
        #expect(users == [wrong, wrong, .basic(username: "right", password: "pw")])
        #expect(!harness.client.events.contains { $0.contains("pw") && !$0.contains("Back-off") })
        // The image came here by another's rights; the first pod waits for its name, and now it is there (as in
        // kubelet, which asks for rights only when it pulls).
        await harness.client.waitForPod("a") { $0.isPodReady }
      }
      // The node's own credentials, read anew for each pull.
      var configuration = harness.configuration
      configuration.imageCredentialsPath = "\(harness.base)/config.json"
      harness.puller.publish("registry.test/other:1", for: .basic(username: "node", password: "pw"))
      try DurableFile.write(Array(config("node").utf8), to: "\(harness.base)/config.json")
      try await harness.withNode(configuration: configuration) { _ in
        createPod(harness, "c", "registry.test/other:1", secrets: ["one"])
        await harness.client.waitForPod("c") { $0.isPodReady }
      }
    }
  }

  @Test("Always asks the registry at each start of a container, also when the image is here")
  func always() async throws {
    let name = "registry.test/app:latest"
    try await withHarness { harness in
      harness.puller.publish(name)
      try await harness.withNode { _ in
        createPod(harness, "a", name, policy: "Always")
        await harness.client.waitForPod("a") { $0.isPodReady }
        harness.fake.exit("web", code: 1)
        await harness.client.waitForPod("a") { $0.restarts() == 1 && $0.isPodReady }
        #expect(harness.puller.calls.count == 2)
        // The store's own names are asked of nobody.
        createPod(harness, "b", "localhost/web:1", policy: "Always")
        await harness.client.waitForPod("b") { $0.isPodReady }
        #expect(harness.puller.calls.count == 2)
        let digest = try #require(try harness.images.image("localhost/web:1")).digest
        #expect(harness.pod("b")?.containerStatus("web")?["imageID"]?.string == "localhost/web@\(digest)")
      }
    }
  }

  @Test("names that cannot be, and images that must be here")
  func names() async throws {
    try await withHarness { harness in
      try await harness.withNode { _ in
        createPod(harness, "a", "Registry.test/UPPER:1")
        await harness.client.waitForPod("a") { $0.waitingReason() == "InvalidImageName" }
        #expect(message(harness, "a").hasPrefix("Failed to apply default image tag \"Registry.test/UPPER:1\": "))
        await waitForEvent(harness, "InspectFailed: Failed to apply default image tag")
        await waitForEvent(harness, "Failed: Error: InvalidImageName")
        createPod(harness, "b", "registry.test/app:1", policy: "Never")
        await harness.client.waitForPod("b") { $0.waitingReason() == "ErrImageNeverPull" }
        #expect(
          message(harness, "b") == "Container image \"registry.test/app:1\" is not present with pull policy of Never")
        await waitForEvent(harness, "ErrImageNeverPull: Container image \"registry.test/app:1\" is not present")
        #expect(harness.puller.calls.isEmpty)
        // A new image in the pod's specification is tried at once.
        harness.puller.publish("registry.test/good:1")
        var json = try #require(harness.pod("a")).json
        json["spec"]?["containers"] = [container("registry.test/good:1")]
        harness.client.put(Pod.resource, "default", json)
        await harness.client.waitForPod("a") { $0.isPodReady }
      }
    }
  }

  @Test("HEALTHCHECK of the image makes ready, and unready")
  func healthcheck() async throws {
    try await withHarness { harness in
      try await harness.importImage(
        "localhost/healthy:1",
        healthcheck: [
          "Test": ["CMD", "check", "x"], "Interval": 30_000_000_000, "Retries": 2, "StartPeriod": 60_000_000_000,
        ])
      harness.fake.model.withLock { $0.exitCodes["check"] = 1 }
      try await harness.withNode { _ in
        createPod(harness, "a", "localhost/healthy:1")
        await harness.client.waitForPod("a") { $0.containerStatus("web")?.at("state", "running") != nil }
        #expect(harness.pod("a")?.isPodReady == false)
        await clock.running(step: .milliseconds(100)) {
          while harness.fake.model.withLock({ $0.execs.count }) < 3 { await Task.yield() }
        }
        #expect(harness.pod("a")?.isPodReady == false)
        harness.fake.model.withLock { $0.exitCodes["check"] = 0 }
        await clock.running { await harness.client.waitForPod("a") { $0.isPodReady } }
        #expect(harness.fake.model.withLock { $0.execs.allSatisfy { $0 == ["check", "x"] } })
        // A probe of the pod's own takes its place.
        harness.createPod("b") {
          $0["spec"]?["containers"] = [
            [
              "name": "web", "image": "localhost/healthy:1",
              "readinessProbe": ["exec": ["command": ["own"]], "periodSeconds": 1],
            ]
          ]
        }
        await clock.running { await harness.client.waitForPod("b") { $0.isPodReady } }
        try await harness.deletePod("b")
        await clock.running { await harness.client.waitForNoPod("b") }
        harness.fake.model.withLock { $0.exitCodes["check"] = 1 }
        await clock.running { await harness.client.waitForPod("a") { !$0.isPodReady } }
        #expect(harness.pod("a")?.restarts() == 0)
        await waitForEvent(harness, "Unhealthy: Health check failed: exit 1")
        harness.fake.model.withLock { $0.exitCodes["check"] = 0 }
        await clock.running { await harness.client.waitForPod("a") { $0.isPodReady } }
      }
      // The next server knows the check from the container.
      harness.fake.model.withLock { $0.execs = [] }
      try await harness.withNode { _ in
        // The first check comes at once. The clock stands: in a running one a check that was only begun may time out.
        while harness.fake.model.withLock({ $0.execs.isEmpty }) { await Task.yield() }
        #expect(harness.pod("a")?.isPodReady == true)
        #expect(harness.pod("a")?.restarts() == 0)
        harness.createPod("c") { pod in
          pod["metadata"]?["annotations"] = ["apus.dev/healthcheck": "none"]
          pod["spec"]?["containers"] = [container("localhost/healthy:1")]
        }
        await harness.client.waitForPod("c") { $0.isPodReady }
      }
    }
  }
}
