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

extension KernelTests {
  /// The node on real containers, with an API in memory.
  @Suite("Node") struct NodeKernelTests {}
}

/// Nothing of it is ever asked.
private final class NoTree: FuseFileSystem {
  func status(of node: UInt64) -> FuseStatus? { nil }
  func child(of folder: UInt64, named name: UnsafeRawBufferPointer) -> UInt64? { nil }
  func parent(of folder: UInt64) -> UInt64 { folder }
  func childCount(of folder: UInt64) -> Int { 0 }
  func child(of folder: UInt64, at index: Int) -> (name: [UInt8], node: UInt64) { ([], folder) }
  func target(ofLink node: UInt64) -> [UInt8] { [] }
  func attributes(of node: UInt64) -> [FileAttribute] { [] }
  var hasAttributes: Bool { false }
  var totals: (bytes: Int64, files: Int) { (0, 0) }
  func read(_ node: UInt64, offset: Int64, count: Int, _ answer: FuseAnswer) { answer.fail(EIO) }
}

/// A mount whose server never answers, as that of a file server that is gone.
private final class SilentMount {
  private let path: String
  private var server: FuseServer?

  init(at path: String) throws {
    self.path = path
    server = try FuseServer(NoTree(), at: path, source: "silent")
  }

  /// Whatever waits for it fails.
  func end() {
    guard server != nil else { return }
    server = nil
    try? Mount.unmount(path, detach: true)
  }
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

  /// H23: all blocking work shared a pool of two threads, and two such pods had them both.
  @Test("pods on a mount that never answers disturb no other pod, and can go")
  func hungMount() async throws {
    try await withHarness { machine, harness in
      putPage(harness)
      let hung = "\(machine.base)/hung"
      try Directory.create("\(hung)/below")
      let mount = try SilentMount(at: hung)
      defer { mount.end() }
      var configuration = harness.configuration
      configuration.pathDeadline = .seconds(3)
      try await harness.withNode(configuration: configuration) { node in
        func pod(_ name: String) {
          harness.createPod(name) { pod in
            pod["spec"]?["volumes"] = [["name": "v", "hostPath": ["path": .string("\(hung)/below")]]]
            pod["spec"]?["terminationGracePeriodSeconds"] = 0
            pod["spec"]?["containers"] = [
              [
                "name": "web", "image": "localhost/web:1", "command": ["/bin/sleep", "1000"],
                "volumeMounts": [["name": "v", "mountPath": "/v"]],
              ]
            ]
          }
        }
        let names = (0..<6).map { "hung\($0)" }
        for name in names { pod(name) }
        // All of them are in the kernel.
        func isHanging(_ usage: BlockingLanes.Usage) -> Bool { usage.running + usage.stuck.count == names.count }
        while !isHanging(node.context.lanes.paths.usage) { await Task.yield() }
        harness.createPod("web", webPod)
        await harness.client.waitForPod("web") { $0.isPodReady }
        let stream = try await node.exec(
          ContainerReference(namespace: "default", pod: "web", container: "web"), command: ["cat", "/www/index.html"],
          options: TerminalOptions(stdin: false, stdout: true, stderr: true, tty: false))
        #expect(try await collect(stream).stdout == "hello")
        let log = Mutex("")
        try await node.logs(
          ContainerReference(namespace: "default", pod: "web", container: "web"), options: LogOptions()
        ) { bytes in log.withLock { $0 += String(buffer: bytes) } }
        let pid = try #require(try await machine.runtime.containers().first { $0.podName == "web" }?.pid)
        kill(pid, SIGKILL)
        await harness.client.waitForPod("web") { $0.restarts() == 1 && $0.isPodReady }
        try await harness.deletePod("web")
        await harness.client.waitForNoPod("web")
        // They are told what they wait for, their threads are counted, and they can be deleted meanwhile.
        await harness.client.wait { objects in
          objects.contains { object in
            object.key.hasPrefix("events/") && object.value["reason"] == "FailedMount"
              && object.value["message"]?.string?.contains("no answer within 3.0 seconds") == true
          }
        }
        for name in names {
          try await harness.deletePod(name)
          await harness.client.waitForNoPod(name)
        }
        #expect(node.context.lanes.paths.usage.stuck.contains("open hostPath \(hung)/below"))
        // The mount goes: what hung comes back, and the path is a path again.
        mount.end()
        while !node.context.lanes.paths.usage.stuck.isEmpty { await Task.yield() }
        pod("after")
        await harness.client.waitForPod("after") { $0.isPodReady }
        try await harness.deletePod("after")
        await harness.client.waitForNoPod("after")
      }
    }
  }

  @Test("pods one after another have an address each, and go again")
  func oneAfterAnother() async throws {
    try await withHarness { _, harness in
      putPage(harness)
      try await harness.withNode { _ in
        var addresses: Set<String?> = []
        for index in 0..<15 {
          harness.createPod("p\(index)", webPod)
          await harness.client.waitForPod("p\(index)") { $0.phase == "Running" }
          addresses.insert(
            harness.client.object(Pod.resource, "default", "p\(index)")?.at("status", "podIP")?.string)
        }
        #expect(addresses.count == 15 && !addresses.contains(nil))
        for index in 0..<15 { try await harness.deletePod("p\(index)") }
        for index in 0..<15 { await harness.client.waitForNoPod("p\(index)") }
      }
    }
  }
}
