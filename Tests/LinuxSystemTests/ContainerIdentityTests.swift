import Testing

@testable import LinuxSystem

/// What containers of pods and of builds have in common.
@Suite struct ContainerIdentityTests {
  @Test func resolvesCapabilities() throws {
    func resolve(_ add: [String], _ drop: [String], privileged: Bool = false, last: Int = 40) throws -> [String] {
      try Capabilities.resolve(
        add: add, drop: drop, privileged: privileged, available: CapabilitySet(mask: 1 << UInt64(last + 1) - 1))
    }
    #expect(try resolve([], []).count == 14)
    #expect(try resolve(["NET_BIND_SERVICE"], ["ALL"]) == ["CAP_NET_BIND_SERVICE"])
    #expect(try resolve(["ALL"], ["cap_sys_admin"]).count == 40)
    #expect(try resolve([], [], privileged: true, last: 39).count == 40)
    #expect(try resolve(["SYS_TIME"], ["CHOWN"]).contains("CAP_SYS_TIME"))
    #expect(throws: SystemError.self) { try resolve(["FLY"], []) }
    #expect(
      Capabilities.standardNames(without: ["NET_RAW"], available: CapabilitySet(mask: .max))
        == (try resolve([], ["NET_RAW"])))
  }

  /// K21: it was taken for granted that whoever runs this may give every capability.
  @Test func givesNoCapabilityThatItDoesNotHave() throws {
    let status = "Name:\tapus\nCapEff:\t000001fffeffffff\nCapBnd:\t000001fffeffffff\nCapAmb:\t0000000000000000\n"
    let available = try #require(CapabilitySet(status: status, "CapBnd"))
    #expect(!available.contains("SYS_RESOURCE") && available.contains("SYS_ADMIN"))
    func resolve(_ add: [String], _ drop: [String] = [], privileged: Bool = false) throws -> [String] {
      try Capabilities.resolve(add: add, drop: drop, privileged: privileged, available: available)
    }
    #expect(try resolve([], privileged: true).count == 40)
    #expect(try resolve(["SYS_RESOURCE"], privileged: true).contains("CAP_SYS_RESOURCE") == false)
    #expect(try resolve(["ALL"]).count == 40)
    #expect(try resolve(["ALL"], ["SYS_RESOURCE"]).count == 40)
    #expect(try resolve([], ["SYS_RESOURCE"]).count == 14)
    let refusal = #expect(throws: SystemError.self) { try resolve(["sys_resource"]) }
    #expect(refusal?.description.contains("\"SYS_RESOURCE\" cannot be added") == true)
    // Of the fourteen, too, only what is there, in a pod and in a build.
    let one = CapabilitySet(mask: 1)
    #expect(try Capabilities.resolve(add: [], drop: [], privileged: false, available: one) == ["CAP_CHOWN"])
    #expect(Capabilities.standardNames(without: [], available: one) == ["CAP_CHOWN"])
    #expect(CapabilitySet(status: "CapBnd:\tnone\n", "CapBnd") == nil)
    #expect(CapabilitySet.ofThisProcess("CapBnd") == CapabilitySet.givable)
  }

  private let users = UserDatabase(
    passwd: Array("root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:\n".utf8),
    group: Array("root:x:0:\nweb:x:34:\nadm:x:4:web,root\nlog:x:5:web\n".utf8))

  @Test func aUserBringsItsGroups() throws {
    #expect(try users.process("") == .init(uid: 0, gid: 0, groups: [0, 4], home: "/root"))
    #expect(try users.process("web") == .init(uid: 33, gid: 34, groups: [34, 4, 5], home: "/srv"))
    #expect(try users.process("33") == .init(uid: 33, gid: 34, groups: [34, 4, 5], home: "/srv"))
    // Also beside a group that is named, as in the containers of Kubernetes.
    #expect(try users.process("web:log") == .init(uid: 33, gid: 5, groups: [5, 4], home: "/srv"))
    #expect(try users.process("web:0").groups == [0, 4, 5])
    #expect(try users.process("web:log", mergesGroups: false).groups == [5])
    #expect(try users.process("7:8") == .init(uid: 7, gid: 8, groups: [8], home: nil))
  }

  @Test func numbersOfThePodCountBeforeTheImages() throws {
    #expect(try users.process("web:log", uid: 1234).groups == [0])
    #expect(try users.process("nobody:nothing", uid: 33, gid: 7).groups == [7, 4, 5])
    #expect(try users.process("web", supplementalGroups: [99, 5]).groups == [34, 4, 5, 99])
  }

  @Test func unknownNamesAreRefused() throws {
    #expect(throws: UserDatabase.UnknownName.user("nobody")) { try users.process("nobody") }
    #expect(throws: UserDatabase.UnknownName.group("nothing")) { try users.process("web:nothing") }
    #expect(try UserDatabase().process("root:root") == .init(uid: 0, gid: 0, groups: [0], home: "/root"))
    // To the kernel the largest number means "as it is", which is root.
    #expect(throws: UserDatabase.UnknownName.self) { try users.process("4294967295") }
    #expect(throws: UserDatabase.UnknownName.self) { try users.process("0:4294967295") }
  }

  @Test func readsAndWritesResolverSettings() {
    let text =
      "# x\n; y\nnameserver 10.96.0.10\nnameserver\t192.0.2.1 \r\nnameserver\nsearch a b\noptions ndots:5 edns0\n"
    let configuration = ResolverConfiguration(parsing: Array(text.utf8))
    #expect(configuration.nameservers == ["10.96.0.10", "192.0.2.1"])
    #expect(configuration.searches == ["a", "b"] && configuration.options == ["ndots:5", "edns0"])
    #expect(
      configuration.text == "nameserver 10.96.0.10\nnameserver 192.0.2.1\nsearch a b\noptions ndots:5 edns0\n")
    #expect(ResolverConfiguration(parsing: Array(configuration.text.utf8)) == configuration)
    #expect(ResolverConfiguration(parsing: Array("domain d\nsearch e\n".utf8)).searches == ["e"])
    #expect(ResolverConfiguration(file: "/nowhere") == ResolverConfiguration())
    #expect(ResolverConfiguration().text == "")
  }
}
