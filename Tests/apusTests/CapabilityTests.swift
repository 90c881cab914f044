import ArgumentParser
import ControllerKit
import Glibc
import KubeClient
import KubeTypes
import LinuxSystem
import Schema
import Testing
import Wire

@testable import apus

/// What a capability adds is served, and a purge removes it: with one that only this folder knows.
@Suite(.serialized) struct CapabilityTests {
  private func nest(_ name: String, eggs: Int64) -> JSON {
    [
      "apiVersion": "birds.test/v1", "kind": "Nest", "metadata": ["name": .string(name)], "spec": ["eggs": .int(eggs)],
    ]
  }

  private func refusal(_ body: () async throws -> Void) async -> String {
    do {
      try await body()
      return "not refused"
    } catch { return "\(error)" }
  }

  @Test func oneInTheListIsServedAndPurged() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    let birds = Birds()
    // The one line.
    let data = machine.data([birds.capability])
    let place = data.place(owner: "")
    let dataPlane = try await machine.serve(data, machine.options()) { record in
      #expect(record.settings == ["tree": "oak"])
      let admin = try HTTPSClient(.load(path: data.kubeconfig))
      defer { admin.close() }
      // Its kind, with defaults and validation by the declaration and the strategy, and its admission step.
      func create(_ name: String, _ eggs: Int64) async throws {
        _ = try await admin.create(
          Birds.nests, namespace: "default", name: nil, subresource: nil, body: nest(name, eggs: eggs),
          options: WriteOptions())
      }
      try await create("full", 5)
      #expect(await refusal { try await create("fuller", 6) }.contains("a nest holds five eggs"))
      #expect(await refusal { try await create("empty", 0) }.contains("a nest is made for eggs"))
      // Its reconciler.
      var counted = birds.counted.makeAsyncIterator()
      #expect(await counted.next() == "full")
      let stored = try await admin.get(Birds.nests, namespace: "default", name: "full").json()
      #expect(stored.at("status", "counted")?.int == 5)
      // Its identity, which may do just this, and its route.
      let warden = try HTTPSClient(.load(path: place.path(Birds.warden.kubeconfig)))
      defer { warden.close() }
      #expect(try await warden.list(Birds.nests, namespace: nil, options: ListOptions()).items.count == 1)
      let secrets = GroupVersionResource(group: "", version: "v1", resource: "secrets")
      #expect(
        await refusal { _ = try await warden.list(secrets, namespace: nil, options: ListOptions()) }
          .contains("\"system:apus:warden\" cannot list"))
      #expect(String(decoding: try await warden.raw(path: "/birds/who"), as: UTF8.self) == "system:apus:warden")
      #expect(String(decoding: try await admin.raw(path: "/"), as: UTF8.self).contains("/birds/who"))
      // What it has of the machine is nobody else's.
      let other = machine.data([Birds().capability], "other")
      #expect(
        await refusal { try await machine.serve(other, machine.options()) { _ in } }
          .contains("the tree oak: taken by the server of \(data.path)"))
      return try await machine.startedDataPlane()
    }
    // It outlives the server, as does what is in the run folder.
    #expect(ProcessWatch.startTime(of: dataPlane) != nil)
    #expect(access("\(place.run)/birds/song", F_OK) == 0)
    #expect(data.claims.claim(of: data.path)?.settings == ["tree": "oak"])

    try await machine.purge(data)
    #expect(birds.released.text == "oak")
    #expect(ProcessWatch.startTime(of: dataPlane) == nil)
    for path in [data.path, data.runtime] { #expect(access(path, F_OK) != 0, "\(path)") }
    #expect(data.claims.claim(of: data.path) == nil)
  }

  /// A purge says what it could not remove.
  @Test func whatRemainsIsTold() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    var birds = Birds()
    birds.remains = ["an egg"]
    let data = machine.data([birds.capability])
    try await machine.serve(data, machine.options()) { _ in _ = try await machine.startedDataPlane() }
    #expect(await refusal { try await machine.purge(data) }.contains("could not remove:\n  an egg"))
  }

  /// What people wrote before the first start is theirs; what the capability says that only a cluster fills tells of a
  /// loss; and an unknown folder is nobody's of ours.
  @Test func itsEntriesAreKnown() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    let data = machine.data([Birds().capability])
    try Directory.create(data.path)
    try DurableFile.write(Array("song: loud".utf8), to: data.path + "/birds.yaml")
    try await machine.serve(data, machine.options()) { _ in _ = try await machine.startedDataPlane() }
    try DurableFile.write([1], to: data.path + "/birds/eggs/one")
    try Directory.removeTree(data.state)
    #expect(
      await refusal { _ = try await Composition(machine.options(), data: data, time: SystemClock()) }.contains("lost"))
    try await machine.purge(data)
    #expect(try Directory.list(data.path) == ["birds.yaml"])

    let without = machine.data([], "without")
    try Directory.create(without.path + "/birds")
    #expect(await refusal { try DirectoryMark.check(without) }.contains("not Apus': birds"))
  }

  /// The server's part of everything, where no container, no network and none of their programs is wanted.
  @Test func theServerAloneTouchesNoNode() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    let data = machine.data(Capabilities.all)
    var options = Up.parseOrExit(["--role", "server", "--port", "0", "--registry", "127.0.0.1:0"]).serverOptions
    options.executable = machine.warden
    try await machine.serve(data, options) { record in
      let admin = try HTTPSClient(.load(path: data.kubeconfig))
      defer { admin.close() }
      #expect(try await admin.list(KubeTypes.Node.self).isEmpty)
      #expect(record.settings.keys.sorted() == ["registry"])
    }
    #expect(data.claims.claim(of: data.path)?.things.isEmpty == true)
    for name in ["network", "cni", "containers/containers", "node/pods", "data-plane"] {
      #expect(access("\(data.path)/\(name)", F_OK) != 0, "\(name)")
    }
    try await machine.purge(data)
    #expect(access(data.path, F_OK) != 0)
  }

  private func opened() throws -> (descriptor: OwnedDescriptor, port: UInt16) {
    let descriptor = try ServerSocket(.tcp, IPAddress(bytes: [127, 0, 0, 1]), port: 0).open()
    return (descriptor, try ServerSocket(adopting: descriptor).port)
  }

  /// Somebody else has the ports: the server cannot have bound them itself.
  @Test func socketsThatAreGivenAreServedOn() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    let data = machine.data(Capabilities.all)
    let (api, registry) = (try opened(), try opened())
    var options = Up.parseOrExit([
      "--role", "server", "--port", "\(api.port)", "--registry", "127.0.0.1:\(registry.port)",
    ]).serverOptions
    options.executable = machine.warden
    let given = [(name: "registry", descriptor: registry.descriptor), (name: "api", descriptor: api.descriptor)]
    try await machine.serve(data, options, given: given) { record in
      #expect(record.url == "https://127.0.0.1:\(api.port)")
      #expect(record.settings["registry"] == "127.0.0.1:\(registry.port)")
      let admin = try HTTPSClient(.load(path: data.kubeconfig))
      defer { admin.close() }
      #expect(try await admin.list(KubeTypes.Node.self).isEmpty)
    }
    try await machine.purge(data)
  }

  @Test func socketsThatAreForNobodyAreRefused() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    let data = machine.data(Capabilities.all)
    let descriptor = try opened().descriptor
    func refusal(_ name: String, registry: String) async -> String {
      var options = Up.parseOrExit(["--role", "server", "--port", "0", "--registry", registry]).serverOptions
      options.executable = machine.warden
      return await self.refusal {
        try await machine.serve(data, options, given: [(name: name, descriptor: descriptor)]) { _ in }
      }
    }
    #expect(await refusal("web", registry: "127.0.0.1:0").hasSuffix("there is api, registry"))
    #expect(await refusal("registry", registry: "none").hasSuffix("there is api"))
    // Nothing was made.
    #expect(access(data.path, F_OK) != 0)
  }

  @Test func aSocketAtAnotherAddressIsRefused() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    let (descriptor, port) = try opened()
    var options = machine.options()
    options.port = Int(port ^ 1)
    let data = machine.data([Birds().capability])
    let text = await refusal {
      try await machine.serve(data, options, given: [(name: "api", descriptor: descriptor)]) { _ in }
    }
    #expect(
      text
        == "the socket that was given for 'api' is tcp 127.0.0.1:\(port), and 127.0.0.1:\(port ^ 1) is what it is "
        + "configured with")
    // A start that touched nothing keeps nothing.
    #expect(data.claims.claim(of: data.path) == nil)
  }

  /// A capability that says that it listens, and does not use what it is given for that.
  @Test func whatNobodyUsesIsRefused() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    var birds = Birds().capability
    birds.footprint = { _, _ in
      Footprint(entries: [.init("birds")], listeners: [.init(name: "song", port: 0, option: "--song")])
    }
    let data = machine.data([birds])
    let given = [(name: "song", descriptor: try opened().descriptor)]
    #expect(
      await refusal { try await machine.serve(data, machine.options(), given: given) { _ in } }
        == "nobody uses the sockets that were given for song")
  }

  @Test func aNodeAloneIsRefusedWithTheReason() {
    do {
      _ = try Up.parse(["--role", "node"])
      Issue.record("not refused")
    } catch { #expect(Up.message(for: error).contains("a node cannot join a server over the network yet")) }
  }

  /// A claim of an earlier version knows less than the record.
  @Test func theRecordFillsInWhatTheClaimDoesNotSay() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    let birds = Birds()
    let data = machine.data([birds.capability])
    try await machine.serve(data, machine.options()) { _ in _ = try await machine.startedDataPlane() }
    var claim = try #require(data.claims.claim(of: data.path))
    claim.settings = [:]
    _ = try data.claims.take(claim) { _ in false }
    try await machine.purge(data)
    #expect(birds.released.text == "oak")
  }

  @Test(
    arguments: [
      ("--registry", "nowhere", "--registry takes "), ("--bridge", "a-name-that-is-too-long", "--bridge takes "),
      ("--pod-range", "x", "--pod-range, --service-range: the pod range \"x\" must be "),
      ("--container-runtime-endpoint", "tcp://x", "--container-runtime-endpoint takes unix:///path, not 'tcp://x'"),
    ])
  func optionsAreCheckedByWhoeverReadsThem(option: String, value: String, refusal: String) {
    do {
      _ = try Up.parse([option, value])
      Issue.record("not refused")
    } catch { #expect(Up.message(for: error).hasPrefix(refusal)) }
  }

  @Test(arguments: ["--lazy-pull", "--runtime=runc"])
  func anotherRuntimeTakesNoOptionsOfTheNodesOwn(option: String) {
    do {
      _ = try Up.parse(["--container-runtime-endpoint", "unix:///run/containerd/containerd.sock", option])
      Issue.record("not refused")
    } catch { #expect(Up.message(for: error).hasPrefix("\(option.prefix { $0 != "=" }) is for the node's own ")) }
  }

  /// What an earlier start had on the machine stays claimed when a later one does not use it.
  @Test func whatAnEarlierStartHadStaysClaimed() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    let data = machine.data([Birds().capability])
    try await machine.serve(data, machine.options()) { _ in _ = try await machine.startedDataPlane() }
    var options = machine.options([:])
    options.roles = []
    try await machine.serve(data, options) { record in #expect(record.settings == ["tree": "oak"]) }
    #expect(data.claims.claim(of: data.path)?.things == [.init(.name, "tree", "oak")])
    try await machine.purge(data)
  }
}

/// The same with what only root can make.
@Suite(.enabled(if: getenv("APUS_KERNEL_TESTS").map { String(cString: $0) } == "1"))
struct CapabilityKernelTests {
  @Test func linksTablesMountsAndCgroupsArePurged() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    var birds = Birds()
    birds.touchesKernel = true
    let data = machine.data([birds.capability])
    try await machine.serve(data, machine.options(["tree": "birds0"])) { _ in _ = try await machine.startedDataPlane() }
    func left() async throws -> [String] {
      let tables = String(decoding: try await Subprocess.run("nft", ["list", "tables"]).stdout, as: UTF8.self)
      return (if_nametoindex("birds0") == 0 ? [] : ["link"])
        + (tables.contains("table inet birds0") ? ["table"] : [])
        + (try MountInfo.current().contains { $0.isAtOrBelow(data.path) } ? ["mount"] : [])
        + (try CgroupLayout.current().mountPoints.contains { access("\($0)/\(data.cgroup)", F_OK) == 0 }
          ? ["cgroup"] : [])
    }
    #expect(try await left() == ["link", "table", "mount", "cgroup"])
    // Also when the data are gone and only the claim tells.
    for mount in try MountInfo.current() where mount.isAtOrBelow(data.path) {
      try Mount.unmount(mount.mountPoint, detach: true)
    }
    try Directory.removeTree(data.path)
    try await machine.purge(data)
    #expect(try await left() == [])
  }
}
