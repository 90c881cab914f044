import Glibc
import KubeClient
import KubeTypes
import LinuxSystem
import Synchronization
import Testing
import Wire

@testable import Containers
@testable import Node

/// What a pod's status and the order of its end say about containers, not about what is meant to become of them.
@Suite("A pod's life", .timeLimit(.minutes(1)))
struct PodLifeTests {
  private func withNode(_ body: (NodeHarness) async throws -> Void) async throws {
    let harness = try await NodeHarness()
    defer { harness.close() }
    try await harness.withNode { _ in try await body(harness) }
  }

  private func changeImage(_ harness: NodeHarness, _ name: String, to image: JSON) {
    guard var pod = harness.client.object(Pod.resource, "default", name) else { return }
    var containers = pod.at("spec", "containers")?.array ?? []
    containers[0]["image"] = image
    pod["spec"]?["containers"] = .array(containers)
    pod["metadata"]?["generation"] = 2
    harness.client.put(Pod.resource, "default", pod)
  }

  private func exited(_ harness: NodeHarness, _ code: Int32) { harness.fake.exit("web", code: code) }

  /// C1: an end that was decided on was taken for one that had happened.
  @Test(
    "a container whose image changed stays ready, with its old image, until it has ended",
    arguments: [
      "Always", "OnFailure", "Never",
    ])
  func imageChange(policy: String) async throws {
    try await withNode { harness in
      try await harness.importImage("localhost/web:2")
      harness.fake.model.withLock { $0.stubborn = ["web"] }
      harness.createPod("a") { $0["spec"]?["restartPolicy"] = .string(policy) }
      await harness.client.waitForPod("a") { $0.isPodReady }
      changeImage(harness, "a", to: "localhost/web:2")
      // The stop signal is sent, and its status is written for the new generation.
      await harness.client.waitForPod("a") { $0.json.at("status", "observedGeneration") == 2 }
      while harness.fake.model.withLock({ $0.signals.isEmpty }) { await Task.yield() }
      let pod = try #require(harness.pod("a"))
      #expect(pod.isPodReady && pod.condition("ContainersReady")?["status"] == "True")
      let status = try #require(pod.containerStatus("web"))
      #expect(status["image"] == "localhost/web:1" && status["ready"] == true && status["containerID"] == "crun://c1")
      // Its end is none of its own: it starts anew, also where the policy would let it be.
      exited(harness, 143)
      await harness.client.waitForPod("a") { $0.restarts() == 1 && $0.isPodReady }
      let after = try #require(harness.pod("a"))
      #expect(after.containerStatus("web")?["image"] == "localhost/web:2")
      #expect(after.phase == "Running")
    }
  }

  @Test("while the new image is not there, a pod that never restarts has not failed")
  func missingNewImage() async throws {
    try await withNode { harness in
      harness.createPod("a") { $0["spec"]?["restartPolicy"] = "Never" }
      await harness.client.waitForPod("a") { $0.isPodReady }
      changeImage(harness, "a", to: "localhost/none:1")
      await harness.client.waitForPod("a") { $0.waitingReason()?.contains("Image") == true }
      #expect(harness.pod("a")?.phase == "Running")
      #expect(harness.pod("a")?.containerStatus("web")?.at("lastState", "terminated", "exitCode") == 143)
      changeImage(harness, "a", to: "localhost/web:1")
      await harness.client.waitForPod("a") { $0.isPodReady && $0.restarts() == 1 }
    }
  }

  @Test("a container that changed while no server was there is replaced by the next one")
  func changedWhileAway() async throws {
    let harness = try await NodeHarness()
    defer { harness.close() }
    try await harness.importImage("localhost/web:2")
    try await harness.withNode { _ in
      harness.createPod("a")
      await harness.client.waitForPod("a") { $0.isPodReady }
    }
    changeImage(harness, "a", to: "localhost/web:2")
    try await harness.withNode { _ in
      await harness.client.waitForPod("a") { $0.restarts() == 1 && $0.isPodReady }
      #expect(harness.pod("a")?.containerStatus("web")?["image"] == "localhost/web:2")
    }
  }

  @Test("a container that failed its liveness probe stays ready until it has ended")
  func livenessFailure() async throws {
    try await withNode { harness in
      harness.fake.model.withLock {
        $0.stubborn = ["web"]
        $0.exitCodes = ["alive": 1]
      }
      harness.createPod("a") { pod in
        pod["spec"]?["containers"] = [
          [
            "name": "web", "image": "localhost/web:1",
            "livenessProbe": ["exec": ["command": ["alive"]], "periodSeconds": 1, "failureThreshold": 1],
          ]
        ]
      }
      while harness.fake.model.withLock({ $0.signals.isEmpty }) { await Task.yield() }
      await harness.client.waitForPod("a") { $0.isPodReady }
      let status = try #require(harness.pod("a")?.containerStatus("web"))
      #expect(status["ready"] == true && status["restartCount"] == 0 && status["containerID"] == "crun://c1")
      #expect(status.at("state", "running") != nil)
      harness.fake.model.withLock { $0.exitCodes = [:] }
      exited(harness, 143)
      await harness.client.waitForPod("a") { $0.restarts() == 1 && $0.isPodReady }
      let after = try #require(harness.pod("a")?.containerStatus("web"))
      #expect(after.at("lastState", "terminated", "exitCode") == 143 && after["containerID"] != "crun://c1")
    }
  }

  @Test("a deleted pod is ready until its container says otherwise, and its readiness is asked to the end")
  func readinessWhileEnding() async throws {
    try await withNode { harness in
      harness.fake.model.withLock { $0.stubborn = ["web"] }
      harness.createPod("a") { pod in
        pod["spec"]?["containers"] = [
          [
            "name": "web", "image": "localhost/web:1",
            "readinessProbe": ["exec": ["command": ["ready"]], "periodSeconds": 1, "failureThreshold": 1],
            "livenessProbe": ["exec": ["command": ["alive"]], "periodSeconds": 1, "failureThreshold": 1],
          ]
        ]
      }
      await harness.client.waitForPod("a") { $0.isPodReady }
      try await harness.deletePod("a")
      while harness.fake.model.withLock({ $0.signals.isEmpty }) { await Task.yield() }
      #expect(harness.pod("a")?.isPodReady == true)
      harness.fake.model.withLock { $0.exitCodes = ["ready": 1, "alive": 1] }
      await harness.client.waitForPod("a") { !$0.isPodReady }
      #expect(harness.pod("a")?.containerStatus("web")?.at("state", "running") != nil)
      // That it refuses work in its end is no trouble to be told.
      #expect(!harness.client.events.contains { $0.hasPrefix("Unhealthy") })
      exited(harness, 0)
      await harness.client.waitForNoPod("a")
    }
  }

  /// K8: a sidecar's whole end waited for the others, not its stop signal alone.
  @Test("all preStop hooks begin at once, and stop signals keep their order")
  func hooks() async throws {
    try await withNode { harness in
      harness.fake.model.withLock { $0.held = ["main-hook", "side-hook"] }
      harness.createPod("a") { pod in
        func container(_ name: String, _ hook: String) -> JSON {
          [
            "name": .string(name), "image": "localhost/web:1",
            "lifecycle": ["preStop": ["exec": ["command": [.string(hook)]]]],
          ]
        }
        var side = container("side", "side-hook")
        side["restartPolicy"] = "Always"
        pod["spec"]?["initContainers"] = [side]
        pod["spec"]?["containers"] = [container("web", "main-hook")]
      }
      await harness.client.waitForPod("a") { $0.isPodReady }
      try await harness.deletePod("a")
      while harness.fake.model.withLock({ $0.execs.count }) < 2 { await Task.yield() }
      #expect(harness.fake.model.withLock { Set($0.execs) } == [["main-hook"], ["side-hook"]])
      #expect(harness.fake.model.withLock { $0.signals.isEmpty })
      // The sidecar is done with its hook first, and waits its turn all the same.
      harness.fake.release("side-hook")
      harness.fake.release("main-hook")
      await harness.client.waitForNoPod("a")
      let names = harness.fake.model.withLock { model in model.signals.map { [$0.id, "\($0.signal)"] } }
      #expect(names == [["c2", "15"], ["c1", "15"]])
    }
  }

  @Test("a pod that has ended stays ended, whatever anybody writes into its status")
  func endedForGood() async throws {
    try await withNode { harness in
      harness.createPod("a") { $0["spec"]?["restartPolicy"] = "Never" }
      await harness.client.waitForPod("a") { $0.isPodReady }
      exited(harness, 0)
      await harness.client.waitForPod("a") { $0.phase == "Succeeded" }
      for phase in ["Running", "Failed", "Pending"] {
        guard var pod = harness.client.object(Pod.resource, "default", "a") else { return }
        pod["status"]?["phase"] = .string(phase)
        harness.client.put(Pod.resource, "default", pod)
        await harness.client.waitForPod("a") { $0.phase == "Succeeded" }
      }
      #expect(harness.fake.model.withLock { $0.specs.count } == 1)
    }
  }

  @Test("what somebody writes into a status is put right, also when the node hears of it before its own write's answer")
  func writtenBetweenWriteAndAnswer() async throws {
    try await withNode { harness in
      let writes = Mutex(0)
      let client = harness.client
      client.onPatch { object in
        guard object.header.key == ObjectKey(namespace: "default", name: "a"), object.json().isPhase("Succeeded"),
          writes.withLock({ writes in
            writes += 1
            return writes <= 3
          })
        else { return }
        var pod = object.json()
        pod["status"]?["phase"] = "Failed"
        client.put(Pod.resource, "default", pod)
        // Long enough for the node's watch and worker to take it, as a rule.
        for _ in 0..<1000 { await Task.yield() }
      }
      harness.createPod("a") { $0["spec"]?["restartPolicy"] = "Never" }
      await client.waitForPod("a") { $0.isPodReady }
      exited(harness, 0)
      while writes.withLock({ $0 }) < 4 { await Task.yield() }
      await client.waitForPod("a") { $0.phase == "Succeeded" }
      client.onPatch(nil)
    }
  }

  @Test("a pod that somebody else declared ended is stopped, and kept")
  func declaredEnded() async throws {
    try await withNode { harness in
      harness.createPod("a")
      await harness.client.waitForPod("a") { $0.isPodReady }
      guard var pod = harness.client.object(Pod.resource, "default", "a") else { return }
      pod["status"]?["phase"] = "Failed"
      pod["status"]?["reason"] = "Evicted"
      harness.client.put(Pod.resource, "default", pod)
      await harness.client.waitForPod("a") { $0.containerStatus("web")?.at("state", "terminated") != nil }
      #expect(harness.pod("a")?.phase == "Failed" && harness.pod("a")?.json.at("status", "reason") == "Evicted")
      while harness.fake.model.withLock({ !$0.sandboxes.isEmpty }) { await Task.yield() }
      #expect(harness.fake.model.withLock { $0.specs.count } == 1)
    }
  }

  @Test("a restart that did not come about is none")
  func brokenRestart() async throws {
    try await withNode { harness in
      harness.createPod("a")
      await harness.client.waitForPod("a") { $0.isPodReady }
      harness.fake.model.withLock { $0.broken = ["web"] }
      exited(harness, 1)
      await harness.client.waitForPod("a") { $0.waitingReason() == "RunContainerError" }
      #expect(harness.pod("a")?.restarts() == 0)
      harness.fake.model.withLock { $0.broken = [] }
      await harness.client.waitForPod("a") { $0.isPodReady }
      #expect(harness.pod("a")?.restarts() == 1)
    }
  }

  @Test("after a reboot, a start that does not come about forgets no restart")
  func brokenStartAfterReboot() async throws {
    let harness = try await NodeHarness()
    defer { harness.close() }
    try await harness.withNode { _ in
      harness.createPod("a")
      await harness.client.waitForPod("a") { $0.isPodReady }
      exited(harness, 1)
      await harness.client.waitForPod("a") { $0.restarts() == 1 && $0.isPodReady }
    }
    harness.fake.reboot()
    harness.fake.model.withLock { $0.broken = ["web"] }
    try await harness.withNode { _ in
      await harness.client.waitForPod("a") { $0.waitingReason() == "RunContainerError" }
      #expect(harness.pod("a")?.restarts() == 1)
      harness.fake.model.withLock { $0.broken = [] }
      await harness.client.waitForPod("a") { $0.isPodReady }
      #expect(harness.pod("a")?.restarts() == 2)
    }
  }

  @Test("a container that could not be started is removed, also when that fails at first")
  func failedRemoval() async throws {
    try await withNode { harness in
      harness.fake.model.withLock {
        $0.broken = ["web"]
        $0.removalFailures = 1
      }
      harness.createPod("a")
      await harness.client.waitForPod("a") { $0.waitingReason() == "RunContainerError" }
      harness.fake.model.withLock { $0.broken = [] }
      await harness.client.waitForPod("a") { $0.isPodReady }
      #expect(harness.fake.model.withLock { $0.containers.count == 1 && $0.removalFailures == 0 })
      #expect(harness.pod("a")?.restarts() == 0)
    }
  }

  @Test("last words are read although no server was there, and kept by the next ones")
  func lastWords() async throws {
    let harness = try await NodeHarness()
    defer { harness.close() }
    @Sendable func words(_ pod: Pod?) -> String? {
      pod?.containerStatus("web")?.at("lastState", "terminated", "message")?.string
    }
    try await harness.withNode { _ in
      harness.createPod("a")
      await harness.client.waitForPod("a") { $0.isPodReady }
      exited(harness, 1)
      await harness.client.waitForPod("a") { $0.restarts() == 1 && $0.isPodReady }
    }
    try DurableFile.write(Array("why".utf8), to: harness.fake.terminationMessageFile("c2"))
    harness.fake.model.withLock {
      $0.containers["c2"]?.terminationMessageFile = harness.fake.terminationMessageFile("c2")
    }
    exited(harness, 3)
    try await harness.withNode { _ in
      await harness.client.waitForPod("a") { $0.waitingReason() == "CrashLoopBackOff" }
      #expect(words(harness.pod("a")) == "why")
    }
    // They are in the status: the file is not asked again.
    unlink(harness.fake.terminationMessageFile("c2"))
    try await harness.withNode { _ in
      harness.createPod("b")
      await harness.client.waitForPod("b") { $0.isPodReady }
      #expect(words(harness.pod("a")) == "why")
    }
  }

  @Test("a container that ends while it is still being started is asked nothing")
  func hastyEnd() async throws {
    let harness = try await NodeHarness()
    defer { harness.close() }
    try await harness.withNode { node in
      harness.fake.model.withLock { $0.hasty = ["web"] }
      // A pipe that nobody writes to: who reads it waits.
      let words = harness.fake.terminationMessageFile("c1")
      #expect(mkfifo(words, 0o600) == 0)
      harness.createPod("a") { pod in
        pod["spec"]?["restartPolicy"] = "Never"
        pod["spec"]?["containers"] = [
          [
            "name": "web", "image": "localhost/web:1",
            "readinessProbe": ["exec": ["command": ["ready"]], "periodSeconds": 1],
          ]
        ]
      }
      while await node.worker(namespace: "default", pod: "a")?.containers["web"]?.latest?.isEnding != true {
        await Task.yield()
      }
      harness.fake.releaseStarts()
      await harness.client.waitForPod("a") { $0.containerStatus("web")?.at("state", "running") != nil }
      // Held up is no thread of the pool, only the one that reads.
      var writer: Int32 = -1
      while writer < 0 {
        writer = open(words, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
        await Task.yield()
      }
      close(writer)
      await harness.client.waitForPod("a") { $0.phase == "Succeeded" }
      #expect(harness.fake.model.withLock { $0.execs.isEmpty })
    }
  }

  /// K23
  @Test("the user of a container is in its status, also after a new start of the server")
  func user() async throws {
    let harness = try await NodeHarness()
    defer { harness.close() }
    let wanted: JSON = ["linux": ["uid": 1000, "gid": 3000, "supplementalGroups": [5000, 4000]]]
    try await harness.withNode { _ in
      harness.createPod("a") { pod in
        pod["spec"]?["securityContext"] = [
          "runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 4000, "supplementalGroups": [5000],
          "supplementalGroupsPolicy": "Strict",
        ]
      }
      await harness.client.waitForPod("a") { $0.isPodReady }
      #expect(harness.pod("a")?.containerStatus("web")?["user"] == wanted)
      #expect(harness.fake.model.withLock { $0.specs.last?.mergesGroups } == false)
    }
    try await harness.withNode { _ in
      exited(harness, 1)
      await harness.client.waitForPod("a") { $0.restarts() == 1 && $0.isPodReady }
      #expect(harness.pod("a")?.containerStatus("web")?["user"] == wanted)
    }
  }
}

extension JSON {
  fileprivate func isPhase(_ phase: String) -> Bool { at("status", "phase")?.string == phase }
}
