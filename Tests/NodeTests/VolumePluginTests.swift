import Glibc
import KubeTypes
import LinuxSystem
import Testing
import Wire

@testable import Node

/// Each kind of volume, by the manager that knows none of them.
@Suite("Kinds of volumes", .timeLimit(.minutes(1)))
struct VolumePluginTests {
  private let harness: VolumeHarness

  init() throws { harness = try VolumeHarness() }

  private func folder(_ uid: String, _ name: String = "v") -> String {
    harness.configuration.volumeDirectory(uid, name)
  }

  private func mode(_ path: String) -> UInt32 {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mode & 0o7777 : 0
  }

  @Test("each source has one plugin, and what has none is refused with its name")
  func refusals() async throws {
    let plugins = VolumePlugins.all()
    #expect(Set(plugins.map(\.source)).count == plugins.count)
    let manager = harness.manager()
    func refusal(_ volume: JSON) async -> String {
      await harness.message { _ = try await manager.prepare(harness.pod("a", [volume])) }
    }
    let prefix = "MountVolume.SetUp failed for volume \"v\" : "
    #expect(
      await refusal(["name": "v", "nfs": ["server": "x"]])
        == "\(prefix)volumes of type nfs are not supported by this node")
    #expect(await refusal(["name": "v"]) == "\(prefix)volumes of type unknown are not supported by this node")
    #expect(
      await refusal(["name": "v", "persistentVolumeClaim": ["claimName": "c"]])
        == "\(prefix)persistentVolumeClaim \"c\" cannot be mounted: this node has no storage driver yet; "
        + "use emptyDir or hostPath")
    #expect(
      await refusal(["name": "v", "projected": ["sources": [["clusterTrustBundle": ["path": "x"]]]]])
        == "\(prefix)this projected source is not supported by this node")
    #expect(
      await refusal(["name": "v", "hostPath": ["path": .string("\(harness.base)/no"), "type": "File"]])
        == "\(prefix)hostPath type check failed: \(harness.base)/no is not a file")
    #expect(await refusal(["name": "v", "configMap": ["name": "no"]]) == "\(prefix)configmap \"no\" not found")
    #expect(await refusal(["name": "v", "secret": ["secretName": "no"]]) == "\(prefix)secret \"no\" not found")
    #expect(
      await refusal(["name": "v", "downwardAPI": ["items": [["path": "f", "fieldRef": ["fieldPath": "no"]]]]])
        == "\(prefix)downwardAPI item f refers to a field that does not exist")
  }

  @Test("a kind that is not listed is not known, and one of the tests' own is")
  func own() async throws {
    let pod = harness.pod("a", [["name": "e", "emptyDir": [:]], ["name": "v", "csi": ["handle": "h"]]])
    #expect(
      await harness.message { _ = try await harness.manager([]).prepare(pod) }
        .hasSuffix("volumes of type emptyDir are not supported by this node"))
    let driver = FakeDriver()
    let manager = harness.manager(VolumePlugins.all() + [FakeDriverPlugin(driver: driver)], driver: driver)
    let prepared = try await manager.prepare(pod)
    #expect(try await manager.prepare(pod) == prepared)
    #expect(Set(prepared.volumes.keys) == ["e", "v"] && prepared.refreshAt == nil)
    #expect(prepared.volumes["v"]?.path == "\(harness.configuration.mountsDirectory("a"))/v/target")
    #expect(driver.published.values.sorted() == ["h"] && driver.calls == ["stage h", "publish h"])
    #expect(manager.hasVolumes("a") && !manager.hasVolumes("b"))
    #expect(try await manager.pods() == ["a"])
    // It goes by its record: the kind is not asked, and may be gone.
    try await harness.manager(driver: driver).remove("a")
    #expect(driver.published.isEmpty && driver.violations.isEmpty && !manager.hasVolumes("a"))
  }

  @Test("a volume that cannot be undone keeps the pod's volumes, and says why")
  func cannotGo() async throws {
    let driver = FakeDriver { $0 == .unpublish ? .before : nil }
    let manager = harness.manager(VolumePlugins.all() + [FakeDriverPlugin(driver: driver)], driver: driver)
    _ = try await manager.prepare(
      harness.pod("a", [["name": "e", "emptyDir": [:]], ["name": "v", "csi": ["handle": "h"]]]))
    #expect(
      await harness.message { try await manager.remove("a") } == "UnmountVolume.TearDown failed: Failure()")
    #expect(manager.hasVolumes("a"))
  }

  @Test("emptyDir keeps what containers wrote, and is mounted once in memory")
  func emptyDir() async throws {
    let manager = harness.manager()
    let pod = harness.pod(
      "a",
      [
        ["name": "v", "emptyDir": [:]],
        ["name": "m", "emptyDir": ["medium": "Memory", "sizeLimit": "1Mi"]],
      ]
    ) { $0["securityContext"] = ["fsGroup": 4000] }
    let prepared = try await manager.prepare(pod)
    #expect(
      prepared.volumes == [
        "v": PreparedVolume(path: folder("a"), isReadOnly: false),
        "m": PreparedVolume(path: folder("a", "m"), isReadOnly: false),
      ])
    for name in ["v", "m"] {
      var status = stat()
      #expect(stat(folder("a", name), &status) == 0 && status.st_gid == 4000 && status.st_mode & 0o2070 == 0o2070)
      try DurableFile.write([1], to: "\(folder("a", name))/file")
      // The container's own, from then on.
      chmod(folder("a", name), 0o2700)
    }
    // By the next server, too.
    for manager in [manager, harness.manager()] { #expect(try await manager.prepare(pod) == prepared) }
    for name in ["v", "m"] {
      #expect(Files.exists("\(folder("a", name))/file") && mode(folder("a", name)) == 0o2700)
    }
    #expect(try MountInfo.current().filter { $0.isAtOrBelow(harness.base) }.count == 1)
    // No record: the tree tells all.
    #expect(!Files.exists(harness.configuration.mountsDirectory("a")))
    try await harness.manager().remove("a")
    #expect(!manager.hasVolumes("a"))
    #expect(try MountInfo.current().filter { $0.isAtOrBelow(harness.base) }.isEmpty)
  }

  @Test("hostPath is made by its type, and stays when the pod goes")
  func hostPath() async throws {
    let manager = harness.manager()
    let path = "\(harness.base)/host/new"
    let prepared = try await manager.prepare(
      harness.pod("a", [["name": "v", "hostPath": ["path": .string(path), "type": "DirectoryOrCreate"]]]))
    #expect(
      prepared.volumes["v"] == PreparedVolume(path: path, isReadOnly: false, hostPathType: "DirectoryOrCreate"))
    try await manager.remove("a")
    #expect(Files.isDirectory(path))
  }

  @Test("configMap, secret and downwardAPI are files that follow changes; what was damaged is made anew")
  func files() async throws {
    harness.put(.configMap, "c", ["k": "one", "gone": "x"])
    harness.put(.secret, "s", ["p": "secret"])
    let manager = harness.manager()
    var pod = harness.pod(
      "a",
      [
        ["name": "c", "configMap": ["name": "c", "defaultMode": 256]],
        ["name": "s", "secret": ["secretName": "s", "items": [["key": "p", "path": "deep/er", "mode": 288]]]],
        [
          "name": "d",
          "downwardAPI": ["items": [["path": "app", "fieldRef": ["fieldPath": "metadata.labels['app']"]]]],
        ],
        ["name": "o", "configMap": ["name": "no", "optional": true]],
      ])
    let prepared = try await manager.prepare(pod)
    let paths = prepared.volumes.mapValues(\.path)
    #expect(prepared.volumes.values.allSatisfy { $0.isReadOnly && $0.hostPathType == nil })
    let (c, s, d) = (paths["c"] ?? "", paths["s"] ?? "", paths["d"] ?? "")
    #expect(c == folder("a", "c") && d == folder("a", "d"))
    #expect(s.hasPrefix(harness.configuration.runDirectory) && Mount.isInMemory(s))
    #expect(harness.text("\(c)/k") == "one" && harness.text("\(s)/deep/er") == "secret")
    #expect(harness.text("\(d)/app") == "web" && mode("\(c)/k") == 0o400 && mode("\(s)/deep/er") == 0o440)
    #expect(Files.list(paths["o"] ?? "").filter { !$0.hasPrefix("..") }.isEmpty)

    harness.put(.configMap, "c", ["k": "two"])
    pod.json["metadata"]?["labels"] = ["app": "new"]
    #expect(try await manager.prepare(pod) == prepared)
    #expect(harness.text("\(c)/k") == "two" && !Files.exists("\(c)/gone") && harness.text("\(d)/app") == "new")

    // Whatever became of the tree: absent, empty, cut, another's.
    for harm: () throws -> Void in [
      { try Directory.removeTree(c) },
      { unlink("\(c)/..data") },
      { unlink("\(c)/k") },
      { try DurableFile.write([], to: "\(c)/..data/k") },
      { try DurableFile.write(Array("tw".utf8), to: "\(c)/..data/k") },
      { try DurableFile.write(Array("ten".utf8), to: "\(c)/..data/k") },
      { try DurableFile.write(Array("x".utf8), to: "\(c)/..data/other") },
    ] {
      try harm()
      // As a new server does it, which knows nothing of before.
      _ = try await harness.manager().prepare(pod)
      #expect(harness.text("\(c)/k") == "two" && !Files.exists("\(c)/other"))
    }
    // A reboot empties the memory.
    try Mount.unmountTree(harness.configuration.runDirectory)
    try Directory.removeTree(harness.configuration.runDirectory)
    #expect(!Files.exists("\(s)/deep/er"))
    _ = try await harness.manager().prepare(pod)
    #expect(harness.text("\(s)/deep/er") == "secret" && Mount.isInMemory(s))

    #expect(
      manager.references(of: pod) == [
        ObjectReferenceKey(kind: .configMap, namespace: "default", name: "c"),
        ObjectReferenceKey(kind: .configMap, namespace: "default", name: "no"),
        ObjectReferenceKey(kind: .secret, namespace: "default", name: "s"),
      ])
    try await manager.remove("a")
    #expect(!manager.hasVolumes("a") && !Files.exists(s))
  }

  @Test("a projected volume has all its sources, and one token until it is nearly over")
  func projected() async throws {
    harness.put(.configMap, "c", ["k": "one"])
    harness.put(.secret, "s", ["p": "secret"])
    let manager = harness.manager()
    let token: JSON = ["serviceAccountToken": ["path": "token", "expirationSeconds": 3600]]
    let all = harness.pod(
      "a",
      [
        [
          "name": "v",
          "projected": [
            "sources": [
              ["configMap": ["name": "c"]], ["secret": ["name": "s"]], token,
              ["downwardAPI": ["items": [["path": "name", "fieldRef": ["fieldPath": "metadata.name"]]]]],
            ]
          ],
        ]
      ])
    let prepared = try await manager.prepare(all)
    let path = prepared.volumes["v"]?.path ?? ""
    #expect(Mount.isInMemory(path))
    #expect(Files.list(path).filter { !$0.hasPrefix("..") } == ["k", "name", "p", "token"])
    #expect(harness.text("\(path)/token") == "token-of-default" && harness.text("\(path)/name") == "name-a")
    #expect(
      manager.references(of: all) == [
        ObjectReferenceKey(kind: .configMap, namespace: "default", name: "c"),
        ObjectReferenceKey(kind: .secret, namespace: "default", name: "s"),
      ])
    let refreshAt = try #require(prepared.refreshAt)
    #expect(refreshAt > harness.clock.now())

    // The token is known: nobody has to be asked.
    let pod = harness.pod("b", [["name": "v", "projected": ["sources": [token]]]])
    _ = try await manager.prepare(pod)
    harness.client.isAway = true
    _ = try await manager.prepare(pod)
    // It is asked for again after 80 % of its life, by another server, and for a pod whose volumes went.
    #expect(await harness.message { _ = try await harness.manager().prepare(pod) }.contains("connection refused"))
    try await manager.remove("b")
    #expect(await harness.message { _ = try await manager.prepare(pod) }.contains("connection refused"))
    harness.client.isAway = false
    _ = try await manager.prepare(pod)
    harness.client.isAway = true
    harness.clock.advance(by: refreshAt.since(harness.clock.now()))
    #expect(await harness.message { _ = try await manager.prepare(pod) }.contains("connection refused"))
    for uid in ["a", "b"] { try await manager.remove(uid) }
  }

  @Test("the memory that volumes share is mounted once for all pods, and goes with the last one")
  func memory() async throws {
    harness.put(.secret, "s", ["p": "secret"])
    let (harness, manager) = (harness, harness.manager())
    try await withThrowingTaskGroup { group in
      for uid in 0..<8 {
        group.addTask {
          _ = try await manager.prepare(harness.pod("\(uid)", [["name": "v", "secret": ["secretName": "s"]]]))
        }
      }
      try await group.waitForAll()
    }
    #expect(try MountInfo.current().filter { $0.isAtOrBelow(harness.base) }.count <= 1)
    #expect(try await manager.pods() == Set((0..<8).map { "\($0)" }))
    for uid in 0..<8 { try await harness.manager().remove("\(uid)") }
    #expect(try MountInfo.current().filter { $0.isAtOrBelow(harness.base) }.isEmpty)
    #expect(try await manager.pods().isEmpty)
  }

  @Test("what is left of pods that nobody knows goes at the next start, and nothing else")
  func orphans() async throws {
    let harness = try await NodeHarness()
    defer { harness.close() }
    let pods = "\(harness.base)/data/pods"
    let gone = "\(pods)/uid-gone"
    for folder in ["\(gone)/volumes/v", "\(gone)/volumes/m", "\(pods)/uid-a/volumes/kept"] {
      try Directory.create(folder)
      try DurableFile.write([1], to: "\(folder)/file")
    }
    try Mount.tmpfs(target: "\(gone)/volumes/m")
    // A copy that cannot be read.
    for uid in ["uid-gone", "uid-a"] { try DurableFile.write(Array("{".utf8), to: "\(pods)/\(uid)/pod.json") }
    try Directory.create("\(harness.base)/run/volumes/uid-memory/v")
    // Somebody else's.
    let foreign = ["lost+found", "uid-gone.saved", "uid-mixed"]
    for name in foreign { try Directory.create("\(pods)/\(name)") }
    for name in foreign.dropFirst() { try DurableFile.write([1], to: "\(pods)/\(name)/notes") }
    try DurableFile.write([1], to: "\(pods)/uid-mixed/pod.json")
    try DurableFile.write([1], to: "\(pods)/a-file")
    harness.createPod("a")
    try await harness.withNode { _ in
      await harness.client.waitForPod("a") { $0.isPodReady }
      while Files.exists(gone) || Files.exists("\(harness.base)/run/volumes/uid-memory") { await Task.yield() }
      #expect(Files.exists("\(pods)/uid-a/volumes/kept/file"))
      #expect(Files.exists("\(pods)/lost+found"))
      for name in foreign.dropFirst() { #expect(Files.exists("\(pods)/\(name)/notes")) }
      #expect(Files.exists("\(pods)/a-file"))
      #expect(try MountInfo.current().filter { $0.isAtOrBelow(harness.base) }.isEmpty)
      try await harness.deletePod("a")
      await harness.client.waitForNoPod("a")
    }
  }
}
