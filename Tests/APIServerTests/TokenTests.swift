import Cryptography
import KubeClient
import KubeTypes
import Schema
import Testing
import Wire

@testable import APIServer

/// Tokens as RFC 7519 has them, and what is told about them. The assumption that failed: that a signed token is one that
/// this server has just made.
@Suite struct TokenTests {
  private let now = Timestamp(seconds: 1_700_000_000)
  private let issuer: TokenIssuer

  init() throws { issuer = TokenIssuer(key: try P256PrivateKey(), issuer: "https://k") }

  private func token(_ change: (inout JSON) -> Void, header: JSON = ["alg": "ES256", "typ": "JWT"]) -> String {
    var payload: JSON = [
      "iss": "https://k", "aud": ["x"], "sub": "system:serviceaccount:a:b", "exp": 1_700_003_600,
      "iat": 1_700_000_000, "nbf": 1_700_000_000, "jti": "1",
      "kubernetes.io": ["namespace": "a", "serviceaccount": ["name": "b", "uid": "u"]],
    ]
    change(&payload)
    return issuer.sign(header: header, payload: payload) ?? ""
  }

  private func isGood(_ token: String, after seconds: Int64 = 0) -> Bool {
    issuer.verify(token, now: now.adding(.seconds(seconds))) != nil
  }

  @Test func theirTime() {
    #expect(isGood(token { _ in }))
    #expect(!isGood(token { $0["nbf"] = 1_700_000_300 }))
    #expect(isGood(token { $0["nbf"] = 1_700_000_300 }, after: 300), "it begins")
    #expect(!isGood(token { $0["iat"] = 1_700_000_300 }))
    #expect(isGood(token { $0["nbf"] = 1_700_000_030 }), "clocks are set back a little")
    #expect(
      isGood(token { $0["nbf"] = .double(1_699_999_999.5) }) && !isGood(token { $0["nbf"] = .double(1_700_000_100.5) }))
    #expect(isGood(token { $0["exp"] = .double(1_700_000_100.5) }, after: 99))
    #expect(!isGood(token { $0["exp"] = .double(1_700_000_100.5) }, after: 100))
    #expect(!isGood(token { $0["exp"] = 1_700_000_000 }), "on or after it has ended")
    for bad: JSON in ["1700003600", .null, true, [], .double(1e300)] {
      #expect(!isGood(token { $0["exp"] = bad }))
      #expect(!isGood(token { $0["iat"] = bad }))
      if bad != .null { #expect(!isGood(token { $0["nbf"] = bad })) }
    }
  }

  @Test func theirClaims() {
    #expect(issuer.verify(token { $0["aud"] = "x" }, now: now)?.audiences == ["x"])
    #expect(issuer.verify(token { $0["aud"] = 1 }, now: now)?.audiences == [])
    #expect(!isGood(token { $0["sub"] = "system:serviceaccount:a:admin" }))
    #expect(!isGood(token { $0["iss"] = "https://other" }))
    #expect(!isGood(token { $0["kubernetes.io"]?["pod"] = ["name": "p"] }), "half a binding is none")
    #expect(!isGood(token({ _ in }, header: ["alg": "ES256", "crit": ["exp"]])))
    #expect(!isGood(token({ _ in }, header: ["alg": "none"])))
    #expect(!isGood(token({ _ in }, header: ["alg": "HS256"])))
  }

  private func review(_ fixture: Fixture, _ token: String) async throws -> JSON {
    try await fixture.create("tokenreviews", ["spec": ["token": .string(token)]]).json()["status"] ?? .null
  }

  private func request(_ fixture: Fixture, _ spec: JSON) async throws -> String {
    try await fixture.client.create(
      Fixture.resource("serviceaccounts"), namespace: "default", name: "default", subresource: "token",
      body: ["spec": spec], options: WriteOptions()
    ).json().at("status", "token")?.string ?? ""
  }

  @Test func whatIsToldAboutThem() async throws {
    try await Fixture.run { fixture in
      func extra(_ token: String) async throws -> JSON {
        try await review(fixture, token).at("user", "extra") ?? .null
      }
      let plain = try await extra(try await request(fixture, [:]))
      #expect(plain["authentication.kubernetes.io/credential-id"]?.array?.first?.string?.hasPrefix("JTI=") == true)
      #expect(plain.object?.members.count == 1)

      let node = try await fixture.client.create(
        Fixture.resource("nodes"), namespace: nil, name: nil, subresource: nil, body: ["metadata": ["name": "n1"]],
        options: WriteOptions())
      let pod = try await fixture.create("pods", Fixture.pod("p", node: "n1"))
      let bound = try await extra(
        try await request(fixture, ["boundObjectRef": ["kind": "Pod", "apiVersion": "v1", "name": "p"]]))
      for (name, value) in [
        ("pod-name", "p"), ("pod-uid", pod.header.uid), ("node-name", "n1"), ("node-uid", node.header.uid),
      ] {
        #expect(bound["authentication.kubernetes.io/\(name)"] == [.string(value)], "\(name)")
      }
      // Bound to the node itself: it ends with the node.
      let token = try await request(fixture, ["boundObjectRef": ["kind": "Node", "apiVersion": "v1", "name": "n1"]])
      let nodes = try await extra(token)
      #expect(nodes["authentication.kubernetes.io/node-uid"] == [.string(node.header.uid)])
      #expect(nodes["authentication.kubernetes.io/pod-name"] == nil)
      _ = try await fixture.delete("nodes", "n1")
      #expect(try await review(fixture, token)["authenticated"] == false)
    }
  }

  @Test func certificatesHaveAnIdentity() async throws {
    try await Fixture.run { fixture in
      let client = try fixture.https(try await fixture.server.start())
      let who = try await client.create(
        GroupVersionResource(group: "authentication.k8s.io", version: "v1", resource: "selfsubjectreviews"),
        namespace: nil, name: nil, subresource: nil, body: [:], options: WriteOptions()
      ).json()
      let id = who.at("status", "userInfo", "extra", "authentication.kubernetes.io/credential-id")?.array?.first?.string
      #expect(id?.hasPrefix("X509SHA256=") == true && id?.utf8.count == 75)
      client.close()
    }
  }

  // MARK: Discovery

  @Test func othersCanCheckThem() async throws {
    try await Fixture.run { fixture in
      let port = try await fixture.server.start()
      let token = try await request(fixture, [:])
      func client(_ token: String) throws -> HTTPSClient { try fixture.https(port, token: token) }
      let account = try client(token)
      let configuration = try JSON.parse(try await account.raw(path: "/.well-known/openid-configuration"))
      let issuer = "https://kubernetes.default.svc.cluster.local"
      #expect(
        configuration["issuer"]?.string == issuer && configuration["jwks_uri"]?.string == issuer + "/openid/v1/jwks")
      #expect(configuration["id_token_signing_alg_values_supported"] == ["ES256"])
      let keys = try JSON.parse(try await account.raw(path: "/openid/v1/jwks"))
      let key = try #require(keys["keys"]?.array?.first)
      // Whoever has only these documents can check the token.
      let parts = token.split(separator: ".").map(String.init)
      let header = try JSON.parse(try #require(Base64.decode(parts[0], urlSafe: true)))
      #expect(header["kid"] == key["kid"] && key["kty"] == "EC" && key["crv"] == "P-256")
      let x = try #require(Base64.decode(key["x"]?.string ?? "", urlSafe: true))
      let y = try #require(Base64.decode(key["y"]?.string ?? "", urlSafe: true))
      let publicKey = try P256PublicKey(point: [4] + x + y)
      let signature = try #require(Base64.decode(parts[2], urlSafe: true).flatMap(P256Signature.init(raw:)))
      #expect(publicKey.isValid(signature, for: Array("\(parts[0]).\(parts[1])".utf8)))
      account.close()
      // Strangers have no right to them.
      let stranger = try HTTPSClient(
        Kubeconfig(
          server: "https://127.0.0.1:\(port)",
          certificateAuthority: Array(fixture.server.pki.authority.certificate.utf8)))
      for path in ["/.well-known/openid-configuration", "/openid/v1/jwks", "/metrics"] {
        #expect(await refusal { _ = try await stranger.raw(path: path) }?.code == 403)
      }
      stranger.close()
    }
  }

  // MARK: Lists

  @Test func continueTokensAge() async throws {
    try await Fixture.run { fixture in
      for name in ["a", "b", "c", "d"] { _ = try await fixture.configMap(name, labels: ["x": "y"]) }
      func page(_ token: String) async throws -> ObjectList {
        try await fixture.client.list(
          Fixture.resource("configmaps"), namespace: "default",
          options: ListOptions(labelSelector: "x=y", limit: 1, continueToken: token))
      }
      let first = try await page("")
      fixture.clock.advance(.seconds(299))
      #expect(try await page(first.continueToken).items.map(\.header.name) == ["b"])
      fixture.clock.advance(.seconds(2))
      // Nothing was written meanwhile.
      let expired = await refusal { _ = try await page(first.continueToken) }
      #expect(expired?.code == 410 && expired?.reason == .expired)
      let inconsistent = try #require(expired?.continueToken)
      #expect(expired?.status.at("metadata", "continue")?.string == inconsistent)
      _ = try await fixture.delete("configmaps", "c")
      fixture.clock.advance(.seconds(3600))
      let second = try await page(inconsistent)
      #expect(second.items.map(\.header.name) == ["b"] && second.resourceVersion != first.resourceVersion)
      #expect(try await page(second.continueToken).items.map(\.header.name) == ["d"])
    }
  }

  @Test func tablesOfWhatNothingStores() throws {
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    #expect(try Representation.negotiate(table).shape == .table)
    #expect { try Representation.negotiate(table, hasTable: false) } throws: { ($0 as? KubeError)?.code == 406 }
    #expect(try Representation.negotiate(table + ",application/json", hasTable: false).shape == .object)
  }
}
