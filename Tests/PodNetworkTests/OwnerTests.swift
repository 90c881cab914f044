import Glibc
import LinuxSystem
import NIOCore
import NIOPosix
import Testing
import Wire

@testable import PodNetwork

/// The assumption that failed: that a bridge of our name is ours.
@Suite struct BridgeOwnerTests {
  private func state(_ owner: String?, isBridge: Bool = true, hasPorts: Bool = true) -> BridgeOwner.State {
    BridgeOwner.State(owner: owner, isBridge: isBridge, hasPorts: hasPorts)
  }

  private func refusal(_ state: BridgeOwner.State, inherited: Set<String> = [], isRecorded: Bool = false) -> String? {
    BridgeOwner.refusal(state, owner: "me", inherited: inherited, isRecorded: isRecorded)
  }

  @Test func onlyOurOwnIsTaken() {
    #expect(refusal(state("me")) == nil)
    #expect(refusal(state("other"), inherited: ["other"]) == nil)
    #expect(refusal(state("other"))?.contains("--bridge") == true)
    #expect(refusal(state("other"), isRecorded: true) != nil)
    // Left by one whose data are gone.
    #expect(refusal(state("other", hasPorts: false)) == nil)
    // docker0, or a bridge that somebody made by hand, with or without ports.
    #expect(refusal(state(nil))?.contains("not made by Apus") == true)
    #expect(refusal(state(nil, hasPorts: false)) != nil)
    // An earlier version of ours set no mark.
    #expect(refusal(state(nil), isRecorded: true) == nil)
    #expect(
      refusal(state("me", isBridge: false)) != nil && refusal(state(nil, isBridge: false), isRecorded: true) != nil)
  }

  @Test func readsWhatIpSays() {
    let link = """
      [{"ifindex":2,"ifname":"apus0","linkinfo":{"info_kind":"bridge","info_data":{}},"ifalias":"apus 12ab"}]
      """
    let parsed = BridgeOwner.parse(link: Array(link.utf8), ports: Array("[{},{\"ifname\":\"veth1\"}]".utf8))
    #expect(parsed == BridgeOwner.State(owner: "12ab", isBridge: true, hasPorts: true))
    let other = "[{\"ifname\":\"apus0\",\"linkinfo\":{\"info_kind\":\"dummy\"},\"ifalias\":\"mine\"}]"
    #expect(
      BridgeOwner.parse(link: Array(other.utf8), ports: Array("[]".utf8))
        == BridgeOwner.State(owner: nil, isBridge: false, hasPorts: false))
    for damage in ["", "[", "{}", "[[]]", "[{\"ifalias\":1}]"] {
      #expect(BridgeOwner.parse(link: Array(damage.utf8), ports: Array(damage.utf8)).owner == nil)
    }
  }
}

@Suite struct PortMappingTests {
  private let pods = IPRange("10.244.0.0/24")!

  /// As `iptables-save` of a machine with two users of the plugin shows it.
  private func table(_ addresses: [String]) -> [String] {
    var rules = [
      "*nat", ":PREROUTING ACCEPT [0:0]", ":CNI-HOSTPORT-DNAT - [0:0]", ":CNI-HOSTPORT-MASQ - [0:0]",
      ":CNI-HOSTPORT-SETMARK - [0:0]",
    ]
    for index in addresses.indices { rules.append(":CNI-DN-\(index) - [0:0]") }
    rules += [
      "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
      "-A POSTROUTING -m comment --comment \"CNI portfwd requiring masquerade\" -j CNI-HOSTPORT-MASQ",
    ]
    for (index, address) in addresses.enumerated() {
      rules += [
        "-A CNI-DN-\(index) -s 127.0.0.1/32 -p tcp -m tcp --dport 80 -j CNI-HOSTPORT-SETMARK",
        "-A CNI-DN-\(index) -p tcp -m tcp --dport 80 -j DNAT --to-destination \(address):80",
        "-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment \"dnat name: \\\"x\\\" id: \\\"y\\\"\" -m multiport --dports 80 -j CNI-DN-\(index)",
      ]
    }
    return rules + ["COMMIT"]
  }

  @Test func takesOurOwnOfIPv6() throws {
    let commands = PortMappings.removal(
      table(["[fd00:10:244::5]", "[fd00:10:88::5]"]), pods: try #require(IPRange("fd00:10:244::/64")))
    #expect(commands.contains("-X CNI-DN-0") && !commands.contains("-X CNI-DN-1"))
  }

  @Test func takesOurOwnAndWhatOnlyWeNeed() {
    let commands = PortMappings.removal(table(["10.244.0.5"]), pods: pods)
    #expect(commands.contains("-X CNI-DN-0") && commands.contains("-X CNI-HOSTPORT-DNAT"))
    #expect(commands.first { $0.hasPrefix("-D PREROUTING") }?.hasSuffix("-j CNI-HOSTPORT-DNAT") == true)
    // Every jump goes before every chain.
    #expect(commands.lastIndex { $0.hasPrefix("-D") }! < commands.firstIndex { $0.hasPrefix("-X") }!)
    // What the plugin leaves behind when the last pod goes.
    #expect(PortMappings.removal(table([]), pods: pods).contains("-X CNI-HOSTPORT-MASQ"))
    #expect(PortMappings.removal(["*nat", ":PREROUTING ACCEPT [0:0]", "COMMIT"], pods: pods).isEmpty)
  }

  @Test func leavesOthersTheirs() {
    let commands = PortMappings.removal(table(["10.244.0.5", "10.88.0.7"]), pods: pods)
    #expect(commands.contains("-X CNI-DN-0"))
    #expect(!commands.contains { $0.contains("CNI-DN-1") || $0.contains("-X CNI-HOSTPORT") })
    #expect(PortMappings.removal(table(["10.88.0.7"]), pods: pods).isEmpty)
  }
}

@Suite struct NameServerProbeTests {
  @Test func tellsSilenceFromAnswers() async throws {
    // Bound, and nobody reads: as a process that was stopped.
    let silent = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelOption(.autoRead, value: false).bind(host: "127.0.0.1", port: 0).get()
    let port = UInt16(try #require(silent.localAddress?.port))
    #expect(await NameServerProbe(address: "127.0.0.1", port: port).isSilent())
    try await silent.close()
    // Nobody there.
    #expect(await NameServerProbe(address: "127.0.0.1", port: port).isSilent())
    let answering = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { $0.pipeline.addHandler(Echo()) }.bind(host: "127.0.0.1", port: 0).get()
    let other = UInt16(try #require(answering.localAddress?.port))
    #expect(await !NameServerProbe(address: "127.0.0.1", port: other).isSilent())
    try await answering.close()
    // What cannot be asked is no reason to end anybody.
    #expect(await !NameServerProbe(address: "nonsense").isSilent())
  }

  private final class Echo: ChannelInboundHandler, Sendable {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      context.writeAndFlush(wrapOutboundOut(unwrapInboundIn(data)), promise: nil)
    }
  }
}
