import Dockerfile
import LinuxSystem
import OCI
import TestKit
import Testing
import Wire

@testable import ImageBuilder

@Suite struct NetworkTests {
  private func translated(_ text: String) -> String {
    String(decoding: StepNetwork.resolverConfiguration(Array(text.utf8)).text, as: UTF8.self)
  }

  @Test func aResolverOnTheLoopbackIsAskedThroughTheWayOut() {
    #expect(translated("nameserver 127.0.0.53\noptions edns0\n") == "nameserver 10.0.2.3\noptions edns0\n")
    #expect(translated("nameserver ::1\nnameserver 127.0.0.1\n") == "nameserver 10.0.2.3\n")
    #expect(
      translated("# told by DHCP\nsearch a.example b.example\nnameserver\t192.0.2.1 \nnameserver 127.0.0.1")
        == "nameserver 192.0.2.1\nnameserver 10.0.2.3\nsearch a.example b.example\n")
    #expect(translated("nameserver 0.0.0.0\n") == "nameserver 10.0.2.3\n")
    #expect(translated("nameserver 2001:db8::1\nnameserver 192.0.2.1\n") == "nameserver 192.0.2.1\n")
  }

  @Test(arguments: [
    "nameserver 2001:db8::1\n", "nameserver fe80::1%eth0\nnameserver ::1\n", "nameserver ::ffff:127.0.0.1\n", "",
    "nameserver\n;nameserver 192.0.2.1\n", "nameserver 127.1\n",
  ]) func aMachineWithoutAnIPv4ResolverHasNone(_ text: String) {
    let made = StepNetwork.resolverConfiguration(Array((text + "search a.example\n").utf8))
    #expect(!made.hasServer && made.text == Array("search a.example\n".utf8))
  }

  @Test(arguments: 0..<200 as Range<UInt64>) func noTextGetsTheLoopbackThrough(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let words = [
      "nameserver", " ", "\t", "\n", "127.0.0.1", "127.1", "::1", "0.0.0.0", "10.1.2.3", "search", "#", "\r", "\u{0}",
    ]
    let text = (0..<Int.random(in: 0..<40, using: &generator)).map { _ in words.randomElement(using: &generator) ?? "" }
    for line in translated(text.joined()).split(separator: "\n") where line.hasPrefix("nameserver ") {
      let server = line.dropFirst("nameserver ".count)
      #expect(!server.hasPrefix("127.") && !server.contains(":") && !server.hasPrefix("0."), "\(text)")
    }
  }

  private func configuration(_ network: ContainerConfiguration.Network) -> JSON {
    ContainerConfiguration(
      rootPath: "/r", arguments: ["true"], environment: [], workingDirectory: "/",
      user: ProcessUser(uid: 0, gid: 0, groups: [0]), cgroupPath: "/x", isCgroupV2: true, network: network, mounts: [],
      openFilesMax: 1024, availableCapabilities: CapabilitySet(mask: .max)
    ).json
  }

  @Test func onlyTheMachinesNetworkIsNoNamespace() throws {
    func namespace(_ network: ContainerConfiguration.Network) throws -> JSON? {
      let list = try #require(configuration(network)["linux"]?["namespaces"]?.array)
      return list.first { $0["type"]?.string == "network" }
    }
    #expect(try namespace(.none) == ["type": "network"])
    #expect(try namespace(.own("/n/net")) == ["type": "network", "path": "/n/net"])
    #expect(try namespace(.machine) == nil)
  }

  @Test func noRawPacketsWhereThereIsAWayOut() {
    func has(_ name: String, _ network: ContainerConfiguration.Network) -> Bool {
      configuration(network)["process"]?["capabilities"]?["bounding"]?.array?.contains(.string(name)) ?? false
    }
    #expect(has("CAP_NET_RAW", .none) && !has("CAP_NET_RAW", .own("/n")) && !has("CAP_NET_RAW", .machine))
    #expect(has("CAP_NET_BIND_SERVICE", .own("/n")) && !has("CAP_NET_BIND_SERVICE", .machine))
  }

  @Test func aFetchedDockerfileDoesNotGiveItselfTheMachinesNetwork() throws {
    let text = "FROM a\nRUN --network=host true\n"
    var options = BuildPlanner.Options()
    #expect(throws: Never.self) { try plan(text, options: options) }
    options.allowsHostNetwork = false
    let error = #expect(throws: BuildError.self) { try plan(text, options: options) }
    #expect(error?.message.contains("--allow network.host") == true)
    #expect(throws: Never.self) { try plan("FROM a\nRUN --network=none true\nRUN true\n", options: options) }
  }

  @Test func aBaseImagesTriggerDoesNotGiveItselfTheMachinesNetwork() throws {
    let base = baseImage("base") { $0.onBuild = ["RUN --network=host true"] }
    var options = BuildPlanner.Options()
    for text in ["FROM base\n", "FROM base AS a\nFROM scratch\nCOPY --from=a / /\n", "FROM base AS a\nFROM a\n"] {
      let error = #expect(throws: BuildError.self, "\(text)") { try plan(text, options: options, images: [base]) }
      #expect(error?.message.contains("--allow network.host") == true)
    }
    // What stands in the Dockerfile itself is the Dockerfile's.
    let own = "FROM scratch AS a\nONBUILD RUN --network=host true\nFROM a\nRUN --network=host true\n"
    #expect(throws: Never.self) { try plan(own, options: options) }
    options.allowsHostNetworkInTriggers = true
    #expect(throws: Never.self) { try plan("FROM base\n", options: options, images: [base]) }
  }
}
