import Glibc
import KubeTypes
import LinuxSystem
import Routing
import Synchronization
import Testing
import Wire

@testable import PodNetwork

/// What the kernel makes of the rules, in a network namespace of the test's own. Needs root, nft, ip and busybox.
@Suite(.enabled(if: geteuid() == 0 && access("/usr/sbin/nft", X_OK) == 0 && access("/bin/busybox", X_OK) == 0))
struct KernelTests {
  private func run(_ script: String, files: [String: String] = [:]) async throws -> String {
    var template = Array("/tmp/apus-net-XXXXXX".utf8CString)
    let folder = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    defer { try? Directory.removeTree(folder) }
    for (name, text) in files { try DurableFile.write(Array(text.utf8), to: "\(folder)/\(name)") }
    let result = try await Subprocess.run(
      "unshare", ["-n", "-m", "-p", "-f", "--kill-child", "sh", "-euc", "cd \(folder); \(script)"],
      timeout: .seconds(180))
    let output = String(decoding: result.stdout, as: UTF8.self)
    #expect(result.status == .exited(0), "\(output) \(String(decoding: result.stderr, as: UTF8.self))")
    return output
  }

  /// In one transaction; the steps of the writer are those of `theKernelTakesASimulation`.
  private func change(_ old: RuleSet, _ new: RuleSet) -> String {
    var change = NFTChange(table: "apus")
    change.replace(old, by: new)
    return change.transactions.joined()
  }

  private let everything = """
    {"type":"NodePort","clusterIP":"10.96.0.21","externalIPs":["10.9.9.9"],"sessionAffinity":"ClientIP",
     "ports":[{"name":"http","port":80,"nodePort":30080},{"name":"dns","port":53,"protocol":"UDP","nodePort":30053}]}
    """

  @Test func theKernelTakesEveryScript() async throws {
    let ports = "[{\"name\":\"http\",\"port\":8080},{\"name\":\"dns\",\"port\":53,\"protocol\":\"UDP\"}]"
    let one = rules.compile(service(clusterIPSpec), slices: [slice([("10.244.0.2", "")])])
    let two = rules.compile(
      service(everything, name: "other"),
      slices: [slice([("10.244.0.2", ""), ("10.244.0.3", "")], ports: ports)])
    let three = rules.compile(
      service(everything, name: "other"), slices: [slice([("10.244.0.4", "")], ports: ports)])
    let unfiltered = NFTBase(bridge: "apus0", ranges: ranges, filtersBridge: false)
    _ = try await run(
      """
      # As an earlier version left it: its rules beside ours would translate twice.
      nft add table ip apus
      for step in 1 2 3 4 5 6; do nft -f $step || { echo step $step; exit 1; }; done
      nft list table inet apus
      if nft list table ip apus 2>/dev/null; then echo still there; exit 1; fi
      """,
      files: [
        "1": base.script([one, two]), "2": change(two, three), "3": change(three, two), "4": change(two, RuleSet()),
        "5": base.script([]), "6": unfiltered.script([one, two]),
      ])
  }

  /// What the writer's tests are satisfied with, the kernel takes, transaction by transaction.
  @Test func theKernelTakesASimulation() async throws {
    let tests = RuleWriterTests()
    try await tests.simulate(seed: 4, steps: 80)
    let scripts = tests.kernel.state.withLock { $0.scripts }
    let numbered = scripts.enumerated().map { ("\($0.offset)", $0.element) }
    _ = try await run(
      "for step in $(seq 0 \(scripts.count - 1)); do nft -f $step || { echo step $step; cat $step; exit 1; }; done",
      files: Dictionary(uniqueKeysWithValues: numbered))
  }

  /// What the kernel lists of a table is what was written to it, so that a start finds nothing to do.
  @Test func theKernelSaysWhatItWasGiven() async throws {
    let writer = FakeKernel()
    let tests = RuleWriterTests(kernel: writer)
    try await tests.simulate(seed: 7, steps: 12)
    let sticky = rules.compile(
      service(everything, name: "other"), slices: [slice([("10.244.0.4", ""), ("10.244.0.5", "")])])
    try await writer.apply(change(RuleSet(), sticky))
    let scripts = writer.state.withLock { $0.scripts }
    let listing = try await run(
      "for step in $(seq 0 \(scripts.count - 1)); do nft -f $step || exit 1; done; nft -j list table inet apus",
      files: Dictionary(uniqueKeysWithValues: scripts.enumerated().map { ("\($0.offset)", $0.element) }))
    let contents = try #require(NFTContents(try JSON.parse(listing)))
    let expected = try #require(try await writer.contents(of: "apus"))
    #expect(contents == expected && contents.entrances.count > 3 && !contents.hairpins.isEmpty)
  }

  /// Connections to a node port of the loopback, one after the other for as long as the service's endpoints change again and
  /// again and every twentieth time a start takes the table over: none is lost.
  @Test func connectionsOutliveChanges() async throws {
    let spec = """
      {"type":"NodePort","clusterIP":"10.96.0.20","ports":[{"name":"http","port":80,"nodePort":30080}]}
      """
    let key = ObjectKey(namespace: "default", name: "web")
    let versions = [["10.244.0.2", "10.244.0.3"], ["10.244.0.3"], ["10.244.0.2"]].map { endpoints in
      rules.compile(service(spec), slices: [slice(endpoints.map { ($0, "") })])
    }
    let kernel = FakeKernel()
    var writer = RuleWriter(base: base, kernel: kernel)
    for step in 0..<60 {
      if step % 20 == 0 { writer = RuleWriter(base: base, kernel: kernel) }
      let changed = writer.set([key: versions[step % versions.count]])
      if step % 20 == 0 { try await writer.writeAll() } else { _ = try await writer.write(changed) }
    }
    let scripts = kernel.state.withLock { $0.scripts }
    #expect(kernel.state.withLock { $0.whole } == 1)
    let ask = """
      import os, socket, struct, subprocess, sys
      rewriting = subprocess.Popen(["sh", "-c", sys.argv[1]])
      done, reset = 0, struct.pack("ii", 1, 0)
      while rewriting.poll() is None or done < 1000:
          with socket.socket() as client:
              # What was lost once is lost for good: the kernel remembers it.
              client.settimeout(20)
              client.connect(("127.0.0.1", 30080))
              client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
              done += 1
      print("changed" if rewriting.returncode == 0 else "failed")
      """
    let output = try await run(
      """
      \(pods(true))
      nft -f 0
      for i in $(seq 50); do [ "$(get http://10.244.0.2:8080/)$(get http://10.244.0.3:8080/)" = pod2pod3 ] && break; done
      python3 ask 'for step in $(seq 1 \(scripts.count - 1)); do nft -f $step || exit 1; done'
      """,
      files: Dictionary(
        uniqueKeysWithValues: scripts.enumerated().map { ("\($0.offset)", $0.element) } + [("ask", ask)]))
    if output == "skipped\n" { return }
    #expect(output == "changed\n")
  }

  /// H4, H5, below the compiler: rules as an older version could have left them.
  @Test(arguments: [true, false])
  func theLoopbackIsOutOfReach(filtersBridge: Bool) async throws {
    var hostile = RuleSet()
    for (address, port) in [("127.0.0.1", 5000), ("127.0.0.2", 5000), ("10.244.0.1", 5000), ("10.96.0.10", 53)] {
      hostile.entrances[Entrance(address: IPAddress(address)!, transport: .tcp, port: UInt16(port))] = .chain("evil")
    }
    hostile.chains["evil"] = ["meta l4proto tcp dnat ip to 10.244.0.2:8080"]
    hostile.entrances[Entrance(address: IPAddress("10.96.0.66")!, transport: .tcp, port: 80)] = .chain("inward")
    hostile.chains["inward"] = ["meta l4proto tcp dnat ip to 127.0.0.1:5000"]
    // Nobody answers, on any way in.
    let empty = rules.compile(
      service(
        """
        {"type":"NodePort","clusterIP":"10.96.0.20","externalIPs":["10.9.9.9"],
         "ports":[{"name":"u","port":53,"protocol":"UDP","nodePort":30053}]}
        """), slices: [])
    let ask = """
      import socket
      for target in ("10.96.0.20", 53), ("10.9.9.9", 53), ("127.0.0.1", 30053), ("10.244.0.1", 30053):
          client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
          client.settimeout(5)
          client.connect(target)
          try:
              client.send(b"?")
              print(client.recv(9))
          except (ConnectionRefusedError, PermissionError):
              print("refused")
      """
    let base = NFTBase(bridge: "apus0", ranges: ranges, filtersBridge: filtersBridge)
    let output = try await run(
      """
      \(pods(filtersBridge))
      mkdir host; echo host >host/index.html
      busybox httpd -f -p 127.0.0.1:5000 -h $PWD/host &
      busybox httpd -f -p 10.244.0.1:5000 -h $PWD/host &
      ip addr add 10.96.0.10/32 dev apus0; busybox httpd -f -p 10.96.0.10:53 -h $PWD/host &
      ip route add 10.9.9.9 dev apus0
      nft -f full
      for i in $(seq 50); do [ "$(get http://127.0.0.1:5000/)$(get http://10.96.0.10:53/)" = hosthost ] && break; done
      echo "host: $(get http://127.0.0.1:5000/) $(get http://10.244.0.1:5000/) $(get http://10.96.0.10:53/)"
      echo "pod: $(pod http://10.244.0.1:5000/) $(pod http://10.96.0.10:53/)"
      echo "inward: $(pod http://10.96.0.66/) $(pod http://127.0.0.1:5000/)"
      python3 ask
      """, files: ["full": base.script([hostile, empty]), "ask": ask])
    if output == "skipped\n" { return }
    let lines = output.split(separator: "\n").map { $0.trimmingSpaces }
    #expect(
      Array(lines.prefix(3)) == ["host: host host host", "pod: host host", "inward: failed failed"])
    #expect(Array(lines.dropFirst(3)) == Array(repeating: "refused", count: 4))
  }

  /// Two pods, `p2` and `p3`, that serve their names on port 8080, and functions that ask: `get` on the host, `pod` in
  /// the first one.
  private func pods(_ filtersBridge: Bool) -> String {
    """
    mount -t tmpfs none /run; mkdir -p /run/netns
    if [ -e /proc/sys/net/bridge ]; then
      for program in iptables ip6tables; do echo \(filtersBridge ? 1 : 0) >/proc/sys/net/bridge/bridge-nf-call-$program; done
    elif \(filtersBridge); then echo skipped; exit 0; fi
    echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
    ip link set lo up
    ip link add apus0 type bridge
    echo 1 >/proc/sys/net/ipv4/conf/apus0/route_localnet
    ip addr add 10.244.0.1/24 dev apus0; ip link set apus0 up
    ip route add 10.96.0.0/16 dev apus0 src 10.244.0.1
    ip route add blackhole 10.96.0.0/16 metric 4096
    ip addr add fd00:10:244::1/64 dev apus0 nodad; ip addr add fd00:10:96::a/128 dev apus0 nodad
    ip route add fd00:10:96::/112 dev apus0 src fd00:10:244::1
    ip route add blackhole fd00:10:96::/112 metric 4096
    for n in 2 3; do
      ip netns add p$n
      ip link add v$n type veth peer name eth0 netns p$n
      # Hairpin, as the CNI bridge plugin is told: a packet may go out by the port that it came in by.
      ip link set v$n master apus0 up; ip link set v$n type bridge_slave hairpin on
      ip -n p$n link set lo up; ip -n p$n link set eth0 up
      ip -n p$n addr add 10.244.0.$n/24 dev eth0; ip -n p$n route add default via 10.244.0.1
      ip -n p$n addr add fd00:10:244::$n/64 dev eth0 nodad; ip -n p$n route add default via fd00:10:244::1
      mkdir www$n; echo pod$n >www$n/index.html
      ip netns exec p$n busybox httpd -f -p 8080 -h $PWD/www$n &
    done
    get() { timeout 3 busybox wget -q -O - "$@" 2>/dev/null || echo failed; }
    pod() { ip netns exec p2 timeout 3 busybox wget -q -O - "$@" 2>/dev/null || echo failed; }
    """
  }

  /// Two pods on the bridge, their service, and who reaches what.
  @Test(arguments: [true, false])
  func packetsGoWhereTheyShould(filtersBridge: Bool) async throws {
    let spec = """
      {"type":"NodePort","clusterIP":"10.96.0.20","ports":[{"name":"http","port":80,"nodePort":30080}]}
      """
    let both = rules.compile(service(spec), slices: [slice([("10.244.0.2", ""), ("10.244.0.3", "")])])
    let second = rules.compile(service(spec), slices: [slice([("10.244.0.3", "")])])
    let base = NFTBase(bridge: "apus0", ranges: ranges, filtersBridge: filtersBridge)
    let output = try await run(
      """
      \(pods(filtersBridge))
      nft -f full
      for i in $(seq 50); do [ "$(get http://10.244.0.2:8080/)$(get http://10.244.0.3:8080/)" = pod2pod3 ] && break; done
      many() { for i in $(seq 16); do "$@"; done | sort -u | tr '\\n' ' '; echo; }
      echo "host: $(many get http://10.96.0.20/)"
      echo "pod: $(many pod http://10.96.0.20/)"
      echo "local: $(many get http://127.0.0.1:30080/)"
      echo "gateway: $(many pod http://10.244.0.1:30080/)"
      echo "nobody: $(get http://10.96.0.99/) $(pod http://10.96.0.99/)"
      nft -f change
      echo "after: $(many get http://10.96.0.20/)$(many pod http://10.96.0.20/)"
      """,
      files: ["full": base.script([both]), "change": change(both, second)])
    if output == "skipped\n" { return }
    let lines = output.split(separator: "\n").map { $0.trimmingSpaces }
    #expect(
      lines == [
        "host: pod2 pod3", "pod: pod2 pod3", "local: pod2 pod3", "gateway: pod2 pod3", "nobody: failed failed",
        "after: pod3 pod3",
      ])
  }

  /// The same of IPv6, and a Service of both families: each leads to its own endpoints.
  @Test(arguments: [true, false])
  func packetsOfIPv6GoWhereTheyShould(filtersBridge: Bool) async throws {
    let spec = """
      {"type":"NodePort","clusterIP":"10.96.0.20","clusterIPs":["10.96.0.20","fd00:10:96::20"],
       "ipFamilies":["IPv4","IPv6"],"ports":[{"name":"http","port":80,"nodePort":30080}]}
      """
    func compiled(_ six: [String], _ more: String = "") -> RuleSet {
      rules.compile(
        service(spec.replacing("\"ports\"", with: more + "\"ports\"")),
        slices: [slice([("10.244.0.2", "")]), slice(six.map { ($0, "") }, addressType: "IPv6")])
    }
    let both = compiled(["fd00:10:244::2", "fd00:10:244::3"])
    let second = compiled(["fd00:10:244::3"])
    let sticky = compiled(["fd00:10:244::2", "fd00:10:244::3"], "\"sessionAffinity\":\"ClientIP\",")
    var hostile = RuleSet()
    for (address, port) in [("::1", 5000), ("fd00:10:244::1", 5000), ("fd00:10:96::a", 53)] {
      hostile.entrances[Entrance(address: IPAddress(address)!, transport: .tcp, port: UInt16(port))] = .chain("evil")
    }
    hostile.chains["evil"] = ["meta l4proto tcp dnat ip6 to [fd00:10:244::2]:8080"]
    hostile.entrances[Entrance(address: IPAddress("fd00:10:96::66")!, transport: .tcp, port: 80)] = .chain("inward")
    hostile.chains["inward"] = ["meta l4proto tcp dnat ip6 to [::1]:5000"]
    let base = NFTBase(bridge: "apus0", ranges: ranges, filtersBridge: filtersBridge)
    let output = try await run(
      """
      \(pods(filtersBridge))
      mkdir host; echo host >host/index.html
      for address in "[::1]:5000" "[fd00:10:244::1]:5000" "[fd00:10:96::a]:53"; do busybox httpd -f -p $address -h $PWD/host & done
      nft -f full
      for i in $(seq 50); do
        [ "$(get http://[fd00:10:244::2]:8080/)$(get http://[fd00:10:244::3]:8080/)$(get http://[::1]:5000/)" = pod2pod3host ] && break
      done
      many() { for i in $(seq 16); do "$@"; done | sort -u | tr '\\n' ' '; echo; }
      echo "host: $(many get http://[fd00:10:96::20]/)"
      echo "pod: $(many pod http://[fd00:10:96::20]/)"
      echo "four: $(many get http://10.96.0.20/)"
      echo "gateway: $(many get http://[fd00:10:244::1]:30080/)$(many pod http://[fd00:10:244::1]:30080/)"
      echo "nobody: $(get http://[fd00:10:96::99]/) $(pod http://[fd00:10:96::99]/) $(get http://[::1]:30080/)"
      echo "host's own: $(get http://[::1]:5000/) $(get http://[fd00:10:96::a]:53/) $(pod http://[fd00:10:244::1]:5000/)"
      echo "inward: $(pod http://[fd00:10:96::66]/) $(pod http://[::ffff:127.0.0.1]:5000/) $(pod http://[::1]:5000/)"
      nft -f second
      echo "after: $(many get http://[fd00:10:96::20]/)$(many pod http://[fd00:10:96::20]/)"
      nft -f sticky
      echo "sticky: $(many pod http://[fd00:10:96::20]/ | wc -w)"
      nft -f gone; nft list table inet apus | grep -c 'svc6\\|ep-' || true
      """,
      files: [
        "full": base.script([both, hostile]), "second": change(both, second), "sticky": change(second, sticky),
        "gone": change(sticky, RuleSet()),
      ])
    if output == "skipped\n" { return }
    let lines = output.split(separator: "\n").map { $0.trimmingSpaces }
    #expect(
      lines == [
        "host: pod2 pod3", "pod: pod2 pod3", "four: pod2", "gateway: pod2 pod3 pod2 pod3",
        "nobody: failed failed failed",
        "host's own: host host host", "inward: failed failed failed", "after: pod3 pod3", "sticky: 1", "0",
      ])
  }
}

extension StringProtocol {
  fileprivate var trimmingSpaces: String {
    split(separator: " ").joined(separator: " ")
  }
}
