import KubeClient
import Testing
import Wire

@Suite struct KubeconfigTests {
  private let text = """
    apiVersion: v1
    kind: Config
    current-context: dev
    clusters:
    - name: main
      cluster:
        server: https://10.0.0.1:6443
        certificate-authority-data: Y2E=
        tls-server-name: api.test
    - name: other
      cluster: {server: "https://other", insecure-skip-tls-verify: true}
    users:
    - name: alice
      user: {client-certificate-data: Y2VydA==, client-key: alice.key}
    - name: bot
      user: {tokenFile: /var/token}
    - name: cloud
      user: {exec: {command: aws}}
    - name: half
      user: {client-certificate-data: Y2VydA==}
    contexts:
    - name: dev
      context: {cluster: main, user: alice, namespace: shop}
    - name: robot
      context: {cluster: other, user: bot}
    - name: plugin
      context: {cluster: main, user: cloud}
    - name: broken
      context: {cluster: none, user: alice}
    - name: keyless
      context: {cluster: main, user: half}
    """

  private func parse(_ text: String, context: String? = nil) throws -> Kubeconfig {
    try Kubeconfig.parse(Array(text.utf8), context: context) { name throws(KubeError) in Array("file \(name)\n".utf8) }
  }

  @Test func currentContext() throws {
    let config = try parse(text)
    #expect(
      config
        == Kubeconfig(
          context: "dev", server: "https://10.0.0.1:6443", tlsServerName: "api.test",
          certificateAuthority: Array("ca".utf8), clientCertificate: Array("cert".utf8),
          clientKey: Array("file alice.key\n".utf8), namespace: "shop"))
  }

  @Test func namedContext() throws {
    let config = try parse(text, context: "robot")
    #expect(config.server == "https://other" && config.isVerificationSkipped && config.token == "file")
    #expect(config.namespace == "default" && config.clientKey == nil)
  }

  @Test func errorsSayWhatIsWrong() {
    let table: [(String?, String)] = [
      ("plugin", "user \"cloud\" logs in by exec, which is not supported; use a certificate or token"),
      ("broken", "it has no cluster named \"none\""), ("absent", "it has no context named \"absent\""),
      ("keyless", "user \"half\" needs both client-certificate and client-key"),
    ]
    for (context, message) in table {
      let error = #expect(throws: KubeError.self) { try parse(text, context: context) }
      #expect(error?.message == message)
    }
    for bad in ["", "a: b", "[1]", "current-context: x", "current-context: [", "contexts: 3\ncurrent-context: x"] {
      #expect(throws: KubeError.self, "\(bad)") { try parse(bad) }
    }
    let error = #expect(throws: KubeError.self) { try Kubeconfig.load(path: "/nonexistent/config") }
    #expect(
      error?.message == "kubeconfig /nonexistent/config: cannot open /nonexistent/config: No such file or directory")
  }

  /// Any damage is refused or read, and never crashes.
  @Test(arguments: 1...20)
  func damagedText(seed: UInt64) {
    var state = seed &* 0x9e37_79b9_7f4a_7c15
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(bound))
    }
    for _ in 0..<200 {
      var bytes = Array(text.utf8)
      for _ in 0...random(5) { bytes[random(bytes.count)] = UInt8(random(256)) }
      _ = try? Kubeconfig.parse(Array(bytes.prefix(random(bytes.count + 1)))) { _ throws(KubeError) in [] }
    }
  }
}
