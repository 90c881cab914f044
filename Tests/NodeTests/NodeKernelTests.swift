import Glibc
import KubeClient
import KubeTypes
import LinuxSystem
import NIOCore
import Synchronization
import Testing
import Wire

@testable import Node

extension KernelTests {
  /// The node on real containers, with an API in memory.
  @Suite("Node") struct NodeKernelTests {}
}

extension KernelTests.NodeKernelTests {
  private func withHarness(_ body: (RuntimeHarness, NodeHarness) async throws -> Void) async throws {
    try await RuntimeHarness.run { machine in
      let tar = try await Subprocess.run("/bin/tar", ["-C", "\(machine.base)/layer", "-c", "."], outputLimit: 16 << 20)
      let harness = try await NodeHarness(layer: tar.stdout, runtime: machine.runtime)
      defer { harness.close() }
      try await body(machine, harness)
    }
  }

  /// Serves `/www` on port 8080 with busybox.
  private func webPod(_ pod: inout JSON) {
    pod["spec"]?["securityContext"] = ["fsGroup": 2000, "runAsNonRoot": true]
    pod["spec"]?["volumes"] = [
      ["name": "www", "configMap": ["name": "www"]], ["name": "tmp", "emptyDir": [:]],
      ["name": "one", "configMap": ["name": "www"]],
    ]
    pod["spec"]?["terminationGracePeriodSeconds"] = 1
    pod["spec"]?["containers"] = [
      [
        "name": "web", "image": "localhost/web:1",
        "command": ["/bin/busybox", "httpd", "-f", "-v", "-p", "8080", "-h", "/www"],
        "ports": [["name": "http", "containerPort": 8080]],
        "volumeMounts": [
          ["name": "www", "mountPath": "/www"], ["name": "tmp", "mountPath": "/tmp"],
          ["name": "one", "mountPath": "/tmp/one.html", "subPath": "index.html"],
        ],
        "readinessProbe": ["httpGet": ["path": "/index.html", "port": "http"]],
        "livenessProbe": ["tcpSocket": ["port": 8080]],
        "securityContext": ["readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false],
      ]
    ]
  }

  private func putPage(_ harness: NodeHarness) {
    harness.client.put(
      ConfigMap.resource, "default",
      [
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "www", "namespace": "default"],
        "data": ["index.html": "hello"],
      ])
  }

  @Test("a web server runs, gets ready by its probe, has its volumes, and leaves nothing")
  func web() async throws {
    try await withHarness { _, harness in
      putPage(harness)
      try await harness.withNode { node in
        harness.createPod("web", webPod)
        await harness.client.waitForPod("web") { $0.isPodReady }
        let ip = harness.pod("web")?.json.at("status", "podIP")?.string ?? ""
        #expect(ip.hasPrefix("10.213.7."))
        let stream = try await node.exec(
          ContainerReference(namespace: "default", pod: "web", container: "web"),
          command: ["sh", "-c", "id -u; id -G; cat /www/index.html /tmp/one.html; touch /tmp/x && echo; touch /x"],
          options: TerminalOptions(stdin: false, stdout: true, stderr: true, tty: false))
        let output = try await collect(stream)
        let lines = output.stdout.split(separator: "\n")
        #expect(lines.first == "1000")
        #expect(lines.dropFirst().first?.contains("2000") == true)
        #expect(lines.last == "hellohello")
        #expect(output.stderr.contains("Read-only file system"))
        try await harness.deletePod("web")
        await harness.client.waitForNoPod("web")
      }
    }
  }

  @Test("a server that is killed and comes back finds the same containers")
  func comeback() async throws {
    try await withHarness { machine, harness in
      putPage(harness)
      try await harness.withNode { _ in
        harness.createPod("web", webPod)
        await harness.client.waitForPod("web") { $0.isPodReady }
      }
      let before = harness.pod("web")?.json["status"]
      try await machine.restart()
      try await harness.withNode(on: machine.runtime) { _ in
        harness.createPod("other", webPod)
        await harness.client.waitForPod("other") { $0.isPodReady }
        #expect(harness.pod("web")?.json["status"] == before)
        // Its process is killed: it is restarted in place.
        let pid = try #require(try await machine.runtime.containers().first { $0.podName == "web" }?.pid)
        kill(pid, SIGKILL)
        await harness.client.waitForPod("web") { $0.restarts() == 1 && $0.isPodReady }
        #expect(harness.pod("web")?.containerStatus("web")?.at("lastState", "terminated", "exitCode")?.int == 137)
      }
      try await machine.reboot()
      try await harness.withNode(on: machine.runtime) { _ in
        await harness.client.waitForPod("web") { $0.restarts() == 2 && $0.isPodReady }
        for name in ["web", "other"] {
          try await harness.deletePod(name)
          await harness.client.waitForNoPod(name)
        }
      }
    }
  }

  @Test("how long from creation to Running")
  func latency() async throws {
    try await withHarness { _, harness in
      putPage(harness)
      try await harness.withNode { _ in
        var times: [Duration] = []
        for index in 0..<15 {
          let start = ContinuousClock.now
          harness.createPod("p\(index)", webPod)
          await harness.client.waitForPod("p\(index)") { $0.phase == "Running" }
          times.append(ContinuousClock.now - start)
        }
        times.sort()
        print("created to Running: p50 \(times[times.count / 2]), longest \(times[times.count - 1])")
        for index in 0..<15 { try await harness.deletePod("p\(index)") }
        for index in 0..<15 { await harness.client.waitForNoPod("p\(index)") }
      }
    }
  }
}
