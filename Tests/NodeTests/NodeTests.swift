import Glibc
import KubeClient
import KubeTypes
import LinuxSystem
import NIOCore
import Synchronization
import Testing
import Wire

@testable import Containers
@testable import Node

/// The whole node on a runtime and an API in memory.
@Suite("Node", .timeLimit(.minutes(1)))
struct NodeTests {
  private func withHarness(_ body: (NodeHarness) async throws -> Void) async throws {
    let harness = try await NodeHarness()
    defer { harness.close() }
    try await body(harness)
  }

  @Test("a pod runs, is reported, and leaves nothing when it is deleted")
  func life() async throws {
    try await withHarness { harness in
      try await harness.withNode { node in
        harness.createPod("a")
        await harness.client.waitForPod("a") { $0.isPodReady }
        let pod = try #require(harness.pod("a"))
        #expect(pod.phase == "Running")
        let status = try #require(pod.containerStatus("web"))
        #expect(status["ready"]?.bool == true && status["started"]?.bool == true)
        #expect(status["containerID"]?.string == "crun://c1")
        #expect(status.at("state", "running", "startedAt") != nil)
        #expect(pod.json.at("status", "podIP")?.string == "10.244.0.2")
        #expect(pod.json.at("status", "hostIP")?.string == "192.0.2.1")
        #expect(pod.json.at("status", "qosClass")?.string == "BestEffort")
        let spec = try #require(harness.fake.model.withLock { $0.specs.first })
        #expect(spec.arguments == ["/bin/web"])
        #expect(spec.environment.contains("FROM_IMAGE=1"))
        #expect(spec.environment.contains("KUBERNETES_SERVICE_HOST=10.96.0.1"))
        #expect(spec.imageUser == "1000")

        try await harness.deletePod("a")
        await harness.client.waitForNoPod("a")
        #expect(harness.fake.model.withLock { $0.containers.isEmpty && $0.sandboxes.isEmpty })
        #expect(Files.list("\(harness.base)/data/pods").isEmpty)
        #expect(harness.fake.model.withLock { $0.signals.map(\.signal) } == [15])
        #expect(node.worker(namespace: "default", pod: "b") == nil)
      }
    }
  }

  @Test("the node registers itself and holds its lease")
  func registration() async throws {
    try await withHarness { harness in
      try await harness.withNode { _ in
        await harness.client.wait { objects in
          objects["nodes//n1"]?.at("status", "conditions") != nil
            && objects.contains { $0.key.hasPrefix("leases.coordination.k8s.io/kube-node-lease/n1") }
        }
        let json = try #require(harness.client.object(KubeTypes.Node.resource, nil, "n1"))
        #expect(json.at("metadata", "labels", "kubernetes.io/hostname")?.string == "n1")
        #expect(json.at("status", "capacity", "pods")?.string == "110")
        #expect(json.at("spec", "podCIDR")?.string == "10.244.0.0/24")
        let ready = json.at("status", "conditions")?.array?.first { $0["type"]?.string == "Ready" }
        #expect(ready?["status"]?.string == "True")
      }
    }
  }

  /// Merged by their type, the second address would take the first one's place.
  @Test("a node's addresses of both families are written as a whole")
  func addressesOfBothFamilies() throws {
    let status: JSON = [
      "addresses": [["type": "InternalIP", "address": "192.0.2.1"], ["type": "InternalIP", "address": "2001:db8::1"]]
    ]
    let patch = NodeRegistration.patch(status)
    #expect(patch["addresses"]?.array?.count == 3 && patch["addresses"]?.array?.last == ["$patch": "replace"])
    var configuration = NodeConfiguration(name: "n", dataDirectory: "/d", runDirectory: "/r")
    configuration.nodeIPs = ["192.0.2.1", "2001:db8::1"]
    let place = FieldReference.Place(hostIPs: configuration.nodeIPs, podIPs: ["10.244.0.7", "fd00::7"])
    let pod = Pod(json: [:])
    #expect(FieldReference.value("status.hostIP", pod: pod, place: place) == "192.0.2.1")
    #expect(FieldReference.value("status.hostIPs", pod: pod, place: place) == "192.0.2.1,2001:db8::1")
    #expect(FieldReference.value("status.podIPs", pod: pod, place: place) == "10.244.0.7,fd00::7")
  }

  @Test("a container that ends is restarted and counted")
  func restart() async throws {
    try await withHarness { harness in
      try await harness.withNode { _ in
        harness.createPod("a")
        await harness.client.waitForPod("a") { $0.isPodReady }
        harness.fake.exit("web", code: 3)
        await harness.client.waitForPod("a") { $0.restarts() == 1 && $0.isPodReady }
        let last = harness.pod("a")?.containerStatus("web")?.at("lastState", "terminated")
        #expect(last?["exitCode"]?.int == 3)
        #expect(last?["reason"]?.string == "Error")
        harness.fake.exit("web", code: 0)
        await harness.client.waitForPod("a") { $0.waitingReason() == "CrashLoopBackOff" }
        let pod = try #require(harness.pod("a"))
        #expect(pod.phase == "Running")
        #expect(
          pod.containerStatus("web")?.at("state", "waiting", "message")?.string
            == "back-off 10s restarting failed container=web pod=a_default(uid-a)")
        #expect(pod.condition("Ready")?["message"]?.string == "containers with unready status: [web]")
      }
    }
  }

  @Test("a crash loop waits on after a new start of the server")
  func crashLoopAcrossServers() async throws {
    let clock = VirtualClock()
    let harness = try await NodeHarness(time: clock)
    defer { harness.close() }
    try await harness.withNode { _ in
      harness.createPod("a")
      await harness.client.waitForPod("a") { $0.isPodReady }
      harness.fake.exit("web", code: 1)
      await harness.client.waitForPod("a") { $0.restarts() == 1 && $0.isPodReady }
      harness.fake.exit("web", code: 1)
      await harness.client.waitForPod("a") { $0.waitingReason() == "CrashLoopBackOff" }
      await clock.running { await harness.client.waitForPod("a") { $0.restarts() == 2 && $0.isPodReady } }
    }
    let started = clock.now()
    try await harness.withNode { _ in
      harness.fake.exit("web", code: 1)
      await harness.client.waitForPod("a") { $0.waitingReason() == "CrashLoopBackOff" }
      #expect(
        harness.pod("a")?.containerStatus("web")?.at("state", "waiting", "message")?.string
          == "back-off 20s restarting failed container=web pod=a_default(uid-a)")
      await clock.running { await harness.client.waitForPod("a") { $0.restarts() == 3 && $0.isPodReady } }
      #expect(clock.now().since(started) >= .seconds(20))
    }
  }

  @Test("a hostPort that nobody opens is told")
  func hostPort() async throws {
    try await withHarness { harness in
      harness.fake.model.withLock { $0.lacksPortMapping = true }
      try await harness.withNode { _ in
        harness.createPod("a") {
          $0["spec"]?["containers"] = [
            ["name": "web", "image": "localhost/web:1", "ports": [["containerPort": 80, "hostPort": 8080]]]
          ]
        }
        await harness.client.waitForPod("a") { $0.isPodReady }
        await harness.client.wait { objects in
          objects.contains { key, event in
            key.hasPrefix("events/") && event["reason"]?.string == "HostPortNotSupported"
              && event["message"]?.string?.contains("hostPort 8080/tcp: ") == true
              && event["message"]?.string?.contains("install iptables") == true
          }
        }
        // It is told, and the pod runs all the same.
        let pod = try #require(harness.pod("a"))
        #expect(pod.phase == "Running" && pod.isPodReady && pod.restarts() == 0)
      }
    }
  }

  @Test("a job's pod succeeds and keeps its status")
  func completion() async throws {
    try await withHarness { harness in
      try await harness.withNode { _ in
        harness.createPod("job") { $0["spec"]?["restartPolicy"] = "Never" }
        await harness.client.waitForPod("job") { $0.isPodReady }
        harness.fake.exit("web", code: 0)
        await harness.client.waitForPod("job") { $0.phase == "Succeeded" }
        #expect(harness.pod("job")?.containerStatus("web")?.at("state", "terminated", "reason")?.string == "Completed")
        #expect(harness.pod("job")?.condition("Ready")?["reason"]?.string == "PodCompleted")
      }
      // The next server leaves it as it is.
      try await harness.withNode { _ in
        harness.createPod("other")
        await harness.client.waitForPod("other") { $0.isPodReady }
        #expect(harness.pod("job")?.phase == "Succeeded")
        try await harness.deletePod("job")
        await harness.client.waitForNoPod("job")
      }
    }
  }

  @Test("a server that starts anew takes over what runs")
  func adoption() async throws {
    try await withHarness { harness in
      try await harness.withNode { _ in
        harness.createPod("a")
        await harness.client.waitForPod("a") { $0.isPodReady }
      }
      let before = try #require(harness.pod("a"))
      // While it is away, one container ends.
      try await harness.withNode { _ in
        harness.createPod("b")
        await harness.client.waitForPod("b") { $0.isPodReady }
        let after = try #require(harness.pod("a"))
        #expect(after.containerStatus("web") == before.containerStatus("web"))
        #expect(after.json["status"] == before.json["status"])
        #expect(harness.fake.model.withLock { $0.specs.filter { $0.podName == "a" }.count } == 1)
        harness.fake.exit("web", code: 1)
        await harness.client.wait { objects in
          ["a", "b"].contains { name in objects["pods/default/\(name)"].map { Pod(json: $0).restarts() == 1 } ?? false }
        }
      }
      #expect(harness.fake.model.withLock { $0.twins } == 0)
    }
  }

  @Test("while the API is away, pods from disk run on and are restarted; orphans stay until it is back")
  func apiAway() async throws {
    try await withHarness { harness in
      try await harness.withNode { _ in
        harness.createPod("a")
        harness.createPod("orphan")
        await harness.client.waitForPod("a") { $0.isPodReady }
        await harness.client.waitForPod("orphan") { $0.isPodReady }
      }
      try await harness.deletePod("orphan", grace: 0)
      harness.client.isAway = true
      harness.fake.reboot()
      try await harness.withNode { node in
        // Both come back from the records on disk.
        while harness.fake.model.withLock({ $0.containers.values.count { $0.status == .running } }) < 2 {
          await Task.yield()
        }
        harness.client.isAway = false
        await harness.client.waitForPod("a") { $0.restarts() == 1 && $0.isPodReady }
        while harness.fake.model.withLock({ $0.sandboxes["uid-orphan"] != nil }) { await Task.yield() }
        #expect(harness.pod("a")?.isPodReady == true)
        #expect(harness.fake.model.withLock { $0.twins } == 0)
      }
    }
  }

  @Test("an image that is missing is asked for by name, and used as soon as it is imported")
  func missingImage() async throws {
    try await withHarness { harness in
      try await harness.withNode { _ in
        harness.createPod("a") { $0["spec"]?["containers"] = [["name": "web", "image": "localhost/new:1"]] }
        await harness.client.waitForPod("a") { $0.waitingReason() == "ErrImagePull" }
        let message = harness.pod("a")?.containerStatus("web")?.at("state", "waiting", "message")?.string ?? ""
        #expect(message.contains("apus image import"))
        try await harness.importImage("localhost/new:1")
        await harness.client.waitForPod("a") { $0.isPodReady }
      }
    }
  }

  @Test("configMap, secret, token and downward API appear as files and follow changes")
  func volumes() async throws {
    try await withHarness { harness in
      let configMaps = ConfigMap.resource
      harness.client.put(
        configMaps, "default",
        [
          "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "c", "namespace": "default"],
          "data": ["k": "one"],
        ])
      harness.client.put(
        Secret.resource, "default",
        [
          "apiVersion": "v1", "kind": "Secret", "metadata": ["name": "s", "namespace": "default"],
          "data": ["p": .string(Base64.encode(Array("secret".utf8)))],
        ])
      try await harness.withNode { _ in
        harness.createPod("a") { pod in
          pod["spec"]?["volumes"] = [
            ["name": "config", "configMap": ["name": "c"]], ["name": "tmp", "emptyDir": [:]],
            [
              "name": "all",
              "projected": [
                "defaultMode": 292,
                "sources": [
                  ["secret": ["name": "s"]],
                  ["serviceAccountToken": ["path": "token", "expirationSeconds": 3600]],
                  ["downwardAPI": ["items": [["path": "name", "fieldRef": ["fieldPath": "metadata.name"]]]]],
                ],
              ],
            ],
          ]
          pod["spec"]?["containers"] = [
            [
              "name": "web", "image": "localhost/web:1",
              "env": [
                ["name": "K", "valueFrom": ["configMapKeyRef": ["name": "c", "key": "k"]]],
                ["name": "IP", "valueFrom": ["fieldRef": ["fieldPath": "status.podIP"]]],
                ["name": "BOTH", "value": "$(K)-$(IP)"],
              ],
              "volumeMounts": [
                ["name": "config", "mountPath": "/config"], ["name": "all", "mountPath": "/all"],
                ["name": "tmp", "mountPath": "/tmp"],
              ],
            ]
          ]
        }
        await harness.client.waitForPod("a") { $0.isPodReady }
        let spec = try #require(harness.fake.model.withLock { $0.specs.first })
        #expect(spec.environment.contains("BOTH=one-10.244.0.2"))
        func path(_ destination: String) -> String {
          if case .bind(let path)? = spec.mounts.first(where: { $0.destination == destination })?.source {
            path
          } else {
            ""
          }
        }
        func text(_ path: String) -> String { String(decoding: Files.read(path, limit: 1000) ?? [], as: UTF8.self) }
        #expect(text(path("/config") + "/k") == "one")
        #expect(text(path("/all") + "/p") == "secret")
        #expect(text(path("/all") + "/token") == "token-of-default")
        #expect(text(path("/all") + "/name") == "a")
        #expect(spec.mounts.first { $0.destination == "/config" }?.readOnly == true)
        #expect(spec.mounts.first { $0.destination == "/tmp" }?.readOnly == false)
        harness.client.put(
          configMaps, "default",
          [
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "c", "namespace": "default"],
            "data": ["k": "two"],
          ])
        while text(path("/config") + "/k") != "two" { await Task.yield() }
        try await harness.deletePod("a")
        await harness.client.waitForNoPod("a")
        #expect(try MountInfo.current().filter { $0.mountPoint.hasPrefix(harness.base) }.isEmpty)
      }
    }
  }

  @Test("a missing ConfigMap keeps the container waiting, and its appearance starts it")
  func missingConfigMap() async throws {
    try await withHarness { harness in
      try await harness.withNode { _ in
        harness.createPod("a") { pod in
          pod["spec"]?["containers"] = [
            ["name": "web", "image": "localhost/web:1", "envFrom": [["configMapRef": ["name": "c"]]]]
          ]
        }
        await harness.client.waitForPod("a") { $0.waitingReason() == "CreateContainerConfigError" }
        #expect(
          harness.pod("a")?.containerStatus("web")?.at("state", "waiting", "message")?.string
            == "configmap \"c\" not found")
        harness.client.put(
          ConfigMap.resource, "default",
          [
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "c", "namespace": "default"],
            "data": ["K": "v"],
          ])
        await harness.client.waitForPod("a") { $0.isPodReady }
        #expect(harness.fake.model.withLock { $0.specs.last?.environment.contains("K=v") } == true)
      }
    }
  }

  @Test("init containers run first")
  func initContainers() async throws {
    try await withHarness { harness in
      try await harness.withNode { _ in
        harness.createPod("a") { $0["spec"]?["initContainers"] = [["name": "setup", "image": "localhost/web:1"]] }
        await harness.client.waitForPod("a") { $0.containerStatus("setup")?.at("state", "running") != nil }
        #expect(harness.pod("a")?.phase == "Pending")
        #expect(harness.pod("a")?.waitingReason() == "PodInitializing")
        #expect(
          harness.pod("a")?.condition("Initialized")?["message"]?.string == "containers with incomplete status: [setup]"
        )
        harness.fake.exit("setup", code: 0)
        await harness.client.waitForPod("a") { $0.isPodReady }
        #expect(harness.pod("a")?.containerStatus("setup")?["ready"]?.bool == true)
      }
    }
  }

  @Test("a program that cannot be started is reported as RunContainerError; an engine that fails once is tried again")
  func failures() async throws {
    try await withHarness { harness in
      harness.fake.model.withLock {
        $0.broken = ["web"]
        $0.sandboxFailures = 1
      }
      try await harness.withNode { _ in
        harness.createPod("a")
        await harness.client.waitForPod("a") { $0.waitingReason() == "RunContainerError" }
        harness.fake.model.withLock { $0.broken = [] }
        await harness.client.waitForPod("a") { $0.isPodReady }
        #expect(harness.pod("a")?.restarts() == 0)
        #expect(harness.client.events.contains { $0.hasPrefix("FailedCreatePodSandBox: ") })
      }
    }
  }

  @Test("exec probes decide readiness and life; a stubborn container is killed after its grace period")
  func probes() async throws {
    try await withHarness { harness in
      harness.fake.model.withLock {
        $0.exitCodes = ["check": 1]
        $0.stubborn = ["web"]
      }
      try await harness.withNode { _ in
        harness.createPod("a") { pod in
          pod["spec"]?["terminationGracePeriodSeconds"] = 1
          pod["spec"]?["containers"] = [
            [
              "name": "web", "image": "localhost/web:1",
              "readinessProbe": ["exec": ["command": ["ready"]], "periodSeconds": 1],
              "livenessProbe": ["exec": ["command": ["check"]], "periodSeconds": 1, "failureThreshold": 1],
            ]
          ]
        }
        await harness.client.waitForPod("a") { $0.restarts() == 1 }
        #expect(harness.fake.model.withLock { $0.signals.prefix(2).map(\.signal) } == [15, 9])
        #expect(harness.client.events.contains { $0 == "Unhealthy: Liveness probe failed: exit 1" })
        #expect(
          harness.client.events.contains { $0 == "Killing: Container web failed liveness probe, will be restarted" })
        harness.fake.model.withLock {
          $0.exitCodes = [:]
          $0.stubborn = []
        }
        await harness.client.waitForPod("a") { $0.isPodReady }
      }
    }
  }

  @Test("a pod of the same name waits for the end of the one before")
  func successor() async throws {
    try await withHarness { harness in
      harness.fake.model.withLock { $0.stubborn = ["web"] }
      try await harness.withNode { _ in
        harness.createPod("a", uid: "old")
        await harness.client.waitForPod("a") { $0.isPodReady }
        try await harness.deletePod("a", grace: 0)
        harness.createPod("a", uid: "new")
        await harness.client.waitForPod("a") { $0.isPodReady && $0.metadata.uid == "new" }
        let running = harness.fake.model.withLock {
          $0.containers.values.filter { $0.status == .running }.map(\.podUID)
        }
        #expect(running == ["new"])
      }
    }
  }

  @Test("a pod beyond the node's capacity fails at once, and only that one")
  func rejection() async throws {
    try await withHarness { harness in
      try await harness.withNode { _ in
        harness.createPod("big") { pod in
          pod["spec"]?["containers"] = [
            ["name": "web", "image": "localhost/web:1", "resources": ["requests": ["cpu": "100k"]]]
          ]
        }
        await harness.client.waitForPod("big") { $0.phase == "Failed" }
        let pod = try #require(harness.pod("big"))
        #expect(pod.json.at("status", "reason")?.string == "OutOfcpu")
        #expect(
          pod.json.at("status", "message")?.string?
            .hasPrefix("Pod was rejected: Node didn't have enough resource: cpu, requested: 100000000, used: 0, ")
            == true)
        #expect(pod.json.at("status", "containerStatuses") == nil)
        harness.createPod("small")
        await harness.client.waitForPod("small") { $0.isPodReady }
        #expect(harness.fake.model.withLock { $0.specs.map(\.podName) } == ["small"])
        try await harness.deletePod("big")
        await harness.client.waitForNoPod("big")
      }
    }
  }

  @Test("what a container says of its end is in its status")
  func terminationMessage() async throws {
    try await withHarness { harness in
      try await harness.withNode { _ in
        harness.createPod("a") { $0["spec"]?["restartPolicy"] = "Never" }
        await harness.client.waitForPod("a") { $0.isPodReady }
        try DurableFile.write(Array("why".utf8), to: harness.fake.terminationMessageFile("c1"))
        harness.fake.exit("web", code: 3)
        await harness.client.waitForPod("a") { $0.phase == "Failed" }
        let end = harness.pod("a")?.containerStatus("web")?.at("state", "terminated")
        #expect(end?["message"]?.string == "why" && end?["exitCode"]?.int == 3)
      }
    }
  }

  @Test("one pod's end is not waited for with another one's last words")
  func endsBesideOthers() async throws {
    try await withHarness { harness in
      try await harness.withNode { _ in
        for name in ["a", "b"] {
          harness.createPod(name) { pod in
            pod["spec"]?["containers"] = [["name": .string("of-\(name)"), "image": "localhost/web:1"]]
          }
          await harness.client.waitForPod(name) { $0.isPodReady }
        }
        // A pipe that nobody writes to: who reads it waits.
        let words = harness.fake.terminationMessageFile("c1")
        #expect(mkfifo(words, 0o600) == 0)
        harness.fake.exit("of-a", code: 3)
        harness.fake.exit("of-b", code: 4)
        await harness.client.waitForPod("b") { $0.restarts("of-b") == 1 && $0.isPodReady }
        #expect(harness.pod("a")?.restarts("of-a") == 0)
        let writer = open(words, O_WRONLY | O_CLOEXEC)
        close(writer)
        await harness.client.waitForPod("a") { $0.restarts("of-a") == 1 && $0.isPodReady }
      }
    }
  }

  @Test("an end before the pod's worker is there is not lost")
  func endWithoutAWorker() async throws {
    try await withHarness { harness in
      try await harness.withNode { _ in
        harness.createPod("a")
        await harness.client.waitForPod("a") { $0.isPodReady }
      }
      // The node knows of the pod from the API only, which is away.
      unlink(harness.configuration.recordPath("uid-a"))
      harness.client.isAway = true
      try await harness.withNode { _ in
        while harness.fake.model.withLock({ $0.readers }) < 2 { await Task.yield() }
        harness.fake.exit("web", code: 3)
        harness.client.isAway = false
        await harness.client.waitForPod("a") { $0.restarts() == 1 && $0.isPodReady }
        let last = harness.pod("a")?.containerStatus("web")?.at("lastState", "terminated")
        #expect(last?["exitCode"]?.int == 3)
      }
    }
  }

  @Test("a node that failed runs again: with the pods that are there, and with what comes")
  func runsAgain() async throws {
    try await withHarness { harness in
      let node = harness.makeNode(on: nil, harness.configuration)
      try await harness.withRuns(
        of: node,
        [
          {
            harness.createPod("a")
            await harness.client.waitForPod("a") { $0.isPodReady }
          },
          {
            harness.createPod("b")
            await harness.client.waitForPod("b") { $0.isPodReady }
            harness.fake.exit("web", code: 3)
            await harness.client.wait { objects in
              ["a", "b"].contains { objects["pods/default/\($0)"].map { Pod(json: $0).restarts() == 1 } ?? false }
            }
          },
          {
            for name in ["a", "b"] {
              try await harness.deletePod(name)
              await harness.client.waitForNoPod(name)
            }
            #expect(harness.fake.model.withLock { $0.containers.isEmpty && $0.sandboxes.isEmpty && $0.twins == 0 })
          },
        ])
    }
  }

  @Test("the machine's resolver is read for each pod: a laptop changes networks")
  func resolver() async throws {
    try await withHarness { harness in
      var configuration = harness.configuration
      configuration.resolverPath = "\(harness.base)/resolv.conf"
      try await harness.withNode(configuration: configuration) { [configuration] _ in
        for (name, server) in [("a", "192.0.2.1"), ("b", "192.0.2.2")] {
          try DurableFile.write(
            Array("nameserver \(server)\nsearch example.org\n".utf8), to: configuration.resolverPath)
          harness.createPod(name) { $0["spec"]?["dnsPolicy"] = "Default" }
          await harness.client.waitForPod(name) { $0.isPodReady }
          let dns = harness.fake.model.withLock { $0.sandboxSpecs.last?.dns }
          #expect(dns == ResolverConfiguration(nameservers: [server], searches: ["example.org"]))
        }
      }
    }
  }

  @Test("an image is got while the sandbox is being made")
  func imageBesideSandbox() async throws {
    try await withHarness { harness in
      harness.puller.publish("registry.test/team/app:1")
      harness.fake.model.withLock { $0.holdsSandboxes = true }
      try await harness.withNode { _ in
        harness.createPod("a") { pod in
          pod["spec"]?["containers"] = [["name": "web", "image": "registry.test/team/app:1"]]
        }
        await harness.client.wait { objects in
          objects.contains { $0.key.hasPrefix("events/") && $0.value["reason"]?.string == "Pulled" }
        }
        #expect(harness.fake.model.withLock { $0.sandboxes.isEmpty && $0.specs.isEmpty })
        harness.fake.releaseSandboxes()
        await harness.client.waitForPod("a") { $0.isPodReady }
        #expect(harness.puller.calls.count == 1)
      }
    }
  }

  @Test("logs of the present and the previous run")
  func logs() async throws {
    try await withHarness { harness in
      try await harness.withNode { node in
        harness.createPod("a")
        await harness.client.waitForPod("a") { $0.isPodReady }
        let reference = ContainerReference(namespace: "default", pod: "a", container: "")
        func write(_ attempt: Int, _ text: String) throws {
          let path = "\(harness.base)/data/pods/uid-a/logs/web/\(attempt).log"
          try Directory.create(String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)]))
          try DurableFile.write(Array("2026-01-02T03:04:05.1Z stdout F \(text)\n".utf8), to: path)
        }
        func read(_ options: LogOptions) async throws -> String {
          let collected = Mutex("")
          try await node.logs(reference, options: options) { bytes in
            collected.withLock { $0 += String(buffer: bytes) }
          }
          return collected.withLock { $0 }
        }
        try write(0, "first")
        #expect(try await read(LogOptions()) == "first\n")
        var previous = LogOptions()
        previous.previous = true
        await #expect(throws: KubeError.self) { try await read(previous) }
        harness.fake.exit("web", code: 1)
        await harness.client.waitForPod("a") { $0.restarts() == 1 }
        try write(1, "second")
        #expect(try await read(LogOptions()) == "second\n")
        #expect(try await read(previous) == "first\n")
        var follow = LogOptions()
        follow.follow = true
        async let followed = read(follow)
        harness.fake.exit("web", code: 0)
        #expect(try await followed == "second\n")
      }
    }
  }
}
