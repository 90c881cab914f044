import Glibc
import KubeClient
import KubeTypes
import LinuxSystem
import NIOCore
import Testing
import Wire

@testable import Containers
@testable import Node

extension KernelTests {
  /// Paths that a pod names, on real containers. The assumption that failed: that the engine, which opens a path later
  /// and from elsewhere, finds there what was checked.
  @Suite("Paths") struct PathKernelTests {}
}

extension KernelTests.PathKernelTests {
  private func withHarness(_ body: (RuntimeHarness, NodeHarness) async throws -> Void) async throws {
    try await RuntimeHarness.run { machine in
      let tar = try await Subprocess.run("/bin/tar", ["-C", "\(machine.base)/layer", "-c", "."], outputLimit: 16 << 20)
      let harness = try await NodeHarness(layer: tar.stdout, runtime: machine.runtime)
      defer { harness.close() }
      try await body(machine, harness)
    }
  }

  /// A pod whose first container prepares the volume `v`, and whose second one mounts a path in it at `/m`.
  private func pod(
    _ harness: NodeHarness, _ name: String, prepare: String, volume: JSON = ["emptyDir": [:]], mount: JSON,
    user: Int64 = 0, command: String = "sleep 1000"
  ) {
    harness.createPod(name) { pod in
      var source = volume
      source["name"] = "v"
      var mount = mount
      mount["name"] = "v"
      mount["mountPath"] = "/m"
      pod["spec"]?["volumes"] = [source]
      pod["spec"]?["terminationGracePeriodSeconds"] = 0
      pod["spec"]?["securityContext"] = ["runAsUser": .int(user)]
      pod["spec"]?["initContainers"] = [
        [
          "name": "init", "image": "localhost/web:1", "command": ["/bin/sh", "-c", .string(prepare)],
          "volumeMounts": [["name": "v", "mountPath": "/v"]],
        ]
      ]
      pod["spec"]?["containers"] = [
        [
          "name": "web", "image": "localhost/web:1", "command": ["/bin/sh", "-c", .string(command)],
          "env": [["name": "WHERE", "value": "l"], ["name": "UP", "value": ".."]], "volumeMounts": [mount],
        ]
      ]
    }
  }

  private func run(_ node: NodeAgent, _ pod: String, _ script: String) async throws -> String {
    let output = try await collect(
      try await node.exec(
        ContainerReference(namespace: "default", pod: pod, container: "web"), command: ["sh", "-c", script],
        options: TerminalOptions(stdin: false, stdout: true, stderr: true, tty: false)))
    return output.stdout + output.stderr
  }

  @Test("no link, pipe or expression in a volume leads a subPath out of it")
  func subPathsStayInside() async throws {
    let up = String(repeating: "../", count: 12)
    try await withHarness { _, harness in
      try await harness.withNode { _ in
        let link = "/bin/busybox ln -s"
        pod(harness, "first", prepare: "\(link) ../../../volumes/\(up) /v/l", mount: ["subPath": "l"])
        pod(harness, "user", prepare: "\(link) ../../../volumes/\(up) /v/l", mount: ["subPath": "l"], user: 1000)
        pod(harness, "absolute", prepare: "\(link) / /v/l", mount: ["subPath": "l"])
        pod(harness, "middle", prepare: "\(link) \(up) /v/l", mount: ["subPath": "l/etc"])
        pod(harness, "new", prepare: "\(link) /tmp /v/l", mount: ["subPath": "l/a/b/c"])
        pod(
          harness, "memory", prepare: "\(link) \(up) /v/l", volume: ["emptyDir": ["medium": "Memory"]],
          mount: ["subPath": "l"])
        pod(harness, "expression", prepare: "\(link) \(up) /v/l", mount: ["subPathExpr": "$(WHERE)"])
        pod(harness, "upwards", prepare: "true", mount: ["subPathExpr": "$(UP)/$(UP)/$(UP)"])
        pod(harness, "pipe", prepare: "/bin/busybox mkfifo /v/l", mount: ["subPath": "l"])
        pod(harness, "device", prepare: "/bin/busybox mknod /v/l c 1 3", mount: ["subPath": "l"])
        pod(
          harness, "kernel", prepare: "true", volume: ["hostPath": ["path": "/"]], mount: ["subPath": "proc/1/root"])
        for name in [
          "first", "user", "absolute", "middle", "new", "memory", "expression", "upwards", "pipe", "device", "kernel",
        ] {
          await harness.client.waitForPod(name) { $0.waitingReason() == "CreateContainerConfigError" }
          #expect(harness.pod(name)?.restarts() == 0, "\(name)")
          try await harness.deletePod(name)
          await harness.client.waitForNoPod(name)
        }
        #expect(access("/tmp/a", F_OK) != 0)
      }
    }
  }

  @Test("a subPath that stays inside is mounted, made with the volume's mode, and resolved anew at each start")
  func subPathsWork() async throws {
    try await withHarness { _, harness in
      func page(_ text: String) {
        harness.client.put(
          ConfigMap.resource, "default",
          [
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "www", "namespace": "default"],
            "data": ["index.html": .string(text)],
          ])
      }
      page("before")
      try await harness.withNode { node in
        pod(
          harness, "link", prepare: "/bin/busybox mkdir -p /v/a/b; echo in > /v/a/b/f; /bin/busybox ln -s a/b /v/l",
          mount: ["subPath": "l"])
        pod(harness, "made", prepare: "true", mount: ["subPath": "new/folder"], user: 1000)
        pod(harness, "root", prepare: "true", volume: ["hostPath": ["path": "/"]], mount: ["subPath": "etc/hostname"])
        pod(
          harness, "page", prepare: "true", volume: ["configMap": ["name": "www"]], mount: ["subPath": "index.html"])
        for name in ["link", "made", "root", "page"] { await harness.client.waitForPod(name) { $0.isPodReady } }
        #expect(try await run(node, "link", "cat /m/f") == "in\n")
        #expect(try await run(node, "made", "echo mine > /m/f; cat /m/f") == "mine\n")
        #expect(
          try await run(node, "root", "cat /m")
            == String(decoding: DurableFile.read("/etc/hostname", limit: 999), as: UTF8.self))
        #expect(try await run(node, "page", "cat /m") == "before")

        // The file that the first start mounted is removed with the change.
        page("after")
        let volume = "\(harness.base)/data/pods/uid-page/volumes/v/index.html"
        var rounds = 0
        while try DurableFile.read(volume, limit: 99) != Array("after".utf8), rounds < 3000 {
          try await Task.sleep(for: .milliseconds(10))
          rounds += 1
        }
        let pid = try #require(
          try await harness.runtime.containers().first { $0.podName == "page" && $0.name == "web" }?.pid)
        kill(pid, SIGKILL)
        await harness.client.waitForPod("page") { $0.restarts() >= 1 && $0.isPodReady }
        #expect(try await run(node, "page", "cat /m") == "after")
        for name in ["link", "made", "root", "page"] {
          try await harness.deletePod(name)
          await harness.client.waitForNoPod(name)
        }
      }
    }
  }

  @Test("what is handed to the engine is what was looked up, and is gone when the container is there")
  func handover() async throws {
    try await RuntimeHarness.run { harness in
      let base = harness.base
      for name in ["volume/a", "outside"] { try Directory.create("\(base)/\(name)") }
      try DurableFile.write(Array("mine\n".utf8), to: "\(base)/volume/a/f")
      try DurableFile.write(Array("host\n".utf8), to: "\(base)/outside/f")
      _ = try await harness.sandbox("h1")
      let held = try SubPath.open("a", in: try ResolvedFile("\(base)/volume"), isHostPath: false)
      let file = try SubPath.open("a/f", in: try ResolvedFile("\(base)/volume"), isHostPath: false)
      // What a container does between the check and the mount.
      #expect(rename("\(base)/volume/a", "\(base)/volume/b") == 0)
      #expect(symlink("\(base)/outside", "\(base)/volume/a") == 0)
      let id = try await harness.container("h1", ["sh", "-c", "cat /m/f /n; echo x > /m/new; sleep 1000"]) {
        $0.mounts = [
          ContainerMount(source: .bind(held.label), destination: "/m", held: held, isRecursive: false),
          ContainerMount(source: .bind(file.label), destination: "/n", readOnly: true, held: file, isRecursive: false),
        ]
      }
      let binds = "\(harness.configuration.runDirectory)/binds"
      #expect(try Directory.list(binds).isEmpty)
      #expect(try MountInfo.current().filter { $0.isAtOrBelow(binds) }.count == 1)
      try await harness.runtime.startContainer(id)
      var rounds = 0
      while access("\(base)/volume/b/new", F_OK) != 0, rounds < 3000 {
        try await Task.sleep(for: .milliseconds(10))
        rounds += 1
      }
      #expect(try await harness.log(id).components(of: " F mine") == 2)
      #expect(try Directory.list("\(base)/outside") == ["f"])

      // A server that was killed while it made a container.
      _ = try harness.runtime.handover.show(held, recursive: true, to: "half", number: 0)
      try await harness.restart()
      #expect(access(binds, F_OK) != 0)
      #expect(try Directory.list("\(base)/volume/b") == ["f", "new"])
    }
  }

  @Test("containers that mount the host's root do not get the mounts of others that are being made")
  func hostRoot() async throws {
    try await RuntimeHarness.run { harness in
      _ = try await harness.sandbox("r1")
      let root = try HostPath.open("/", type: "Directory")
      let other = try HostPath.open("/etc", type: "Directory")
      _ = try harness.runtime.handover.show(other, recursive: true, to: "other", number: 0)
      let id = try await harness.container("r1", ["sh", "-c", "cat /proc/mounts; sleep 1000"]) {
        $0.mounts = [
          ContainerMount(source: .bind("/"), destination: "/host", propagation: .hostToContainer, held: root)
        ]
      }
      try await harness.runtime.startContainer(id)
      let mounts = try await harness.runtime.execSync(
        id, command: ["cat", "/proc/mounts"], timeout: .seconds(5), outputLimit: 1 << 20)
      let text = String(decoding: mounts.stdout, as: UTF8.self)
      #expect(text.contains(" /host ") && text.contains(" /host/proc "))
      #expect(!text.contains("/binds"))
      try harness.runtime.handover.end("other")
      #expect(access("/etc/hostname", F_OK) == 0)
    }
  }

  @Test("a working directory, users and groups of an image lead nowhere else")
  func images() async throws {
    try await RuntimeHarness.run { harness in
      let layer = "\(harness.base)/layer"
      try Directory.create("\(harness.base)/outside")
      #expect(symlink("\(harness.base)/outside", "\(layer)/w") == 0)
      #expect(symlink("../../../../../../..\(harness.base)/outside", "\(layer)/x") == 0)
      #expect(symlink("/tmp", "\(layer)/t") == 0)
      _ = try await harness.sandbox("i1")
      for (folder, isFine) in [("/w/made", false), ("/x/made", false), ("/t/made/deep", true)] {
        let id = try? await harness.container("i1", ["sh", "-c", "pwd; sleep 1000"]) { $0.workingDirectory = folder }
        if isFine { try await harness.runtime.startContainer(try #require(id)) }
        #expect(try Directory.list("\(harness.base)/outside").isEmpty, "\(folder)")
      }
      unlink("\(layer)/etc/passwd")
      #expect(mkfifo("\(layer)/etc/passwd", 0o644) == 0)
      await #expect(throws: RuntimeError.self) { _ = try await harness.container("i1", ["sleep", "1000"]) }
      unlink("\(layer)/etc/passwd")
      // A terminal that is opened becomes the one of who opens it; a tape rewinds.
      #expect(mknod("\(layer)/etc/passwd", S_IFCHR | 0o644, 0x0500) == 0)
      await #expect(throws: RuntimeError.self) { _ = try await harness.container("i1", ["sleep", "1000"]) }
      unlink("\(layer)/etc/passwd")
      #expect(symlink("/../../../../../etc/passwd", "\(layer)/etc/passwd") == 0)
      // Its own again, which is a loop.
      await #expect(throws: RuntimeError.self) { _ = try await harness.container("i1", ["sleep", "1000"]) }
    }
  }

  /// Every path below the state and run folders, tried by a user who has nothing.
  @Test("nobody else of the machine reaches a container's files")
  func localUsers() async throws {
    try await RuntimeHarness.run { harness in
      chmod(harness.base, 0o711)
      // As an earlier server left them.
      for folder in [harness.configuration.stateDirectory, harness.configuration.runDirectory] { chmod(folder, 0o755) }
      try await harness.restart()
      _ = try await harness.sandbox("l1")
      let id = try await harness.container(
        "l1",
        [
          "sh", "-c",
          """
          /bin/busybox cp /bin/busybox /tmp/root; /bin/busybox chmod 4755 /tmp/root
          /bin/busybox mknod /tmp/disk b 8 0; /bin/busybox chmod 666 /tmp/disk; /bin/busybox mkfifo -m 666 /tmp/pipe
          /bin/busybox cp /bin/busybox /etc/hosts; /bin/busybox chmod 4755 /etc/hosts
          /bin/busybox chmod 777 / /tmp; echo ready > /dev/termination-log; echo x > /dev/shm/x; sleep 1000
          """,
        ]
      ) { $0.terminationMessagePath = "/dev/termination-log" }
      try await harness.runtime.startContainer(id)
      let folder = harness.runtime.containerFolder(id)
      var rounds = 0
      while access("\(folder)/upper/tmp/pipe", F_OK) != 0, rounds < 3000 {
        try await Task.sleep(for: .milliseconds(10))
        rounds += 1
      }
      let find = try await Subprocess.run(
        "/usr/bin/setpriv",
        [
          "--reuid=65534", "--regid=65534", "--clear-groups", "--", "/usr/bin/find",
          harness.configuration.stateDirectory, harness.configuration.runDirectory,
        ], outputLimit: 1 << 20)
      // Their names at most, and nothing in them.
      let found = Set(String(decoding: find.stdout, as: UTF8.self).split(separator: "\n").map(String.init))
      #expect(found.isSubset(of: [harness.configuration.stateDirectory, harness.configuration.runDirectory]))
      for path in [
        "\(folder)/upper/tmp/root", "\(folder)/rootfs/tmp/root", "\(folder)/upper/tmp/disk", "\(folder)/upper/tmp/pipe",
        "\(folder)/termination-log", "\(folder)/attach", "\(folder)/config.json",
        "\(harness.runtime.sandboxFolder("l1"))/hosts", "\(harness.runtime.sharedMemoryFolder("l1"))/x",
        "\(harness.runtime.namespaceFolder("l1"))/net",
      ] {
        let test = try await Subprocess.run(
          "/usr/bin/setpriv",
          ["--reuid=65534", "--regid=65534", "--clear-groups", "--", "/usr/bin/test", "-e", path])
        #expect(!test.status.isSuccess, "\(path)")
      }
    }
  }
}

extension String {
  fileprivate func components(of text: String) -> Int {
    var (count, rest) = (0, self[...])
    while let range = rest.firstRange(of: text) {
      count += 1
      rest = rest[range.upperBound...]
    }
    return count
  }
}
