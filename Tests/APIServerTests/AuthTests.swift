import ControllerKit
import Cryptography
import KubeClient
import LinuxSystem
import Schema
import TestKit
import Testing
import Wire

@testable import APIServer

@Suite struct AuthTests {
  private let now = Timestamp(seconds: 1_700_000_000)

  private func claims(expiresIn: Int64 = 3600) -> TokenIssuer.Claims {
    TokenIssuer.Claims(
      id: "1", namespace: "a", serviceAccount: "b", serviceAccountUID: "u", audiences: ["x"], issuedAt: 1_700_000_000,
      expiresAt: 1_700_000_000 + expiresIn, bound: TokenIssuer.Claims.Bound(kind: "Pod", name: "p", uid: "v"))
  }

  @Test func tokensComeBackAndExpire() throws {
    let issuer = TokenIssuer(key: try P256PrivateKey(), issuer: "https://k")
    let token = try #require(issuer.sign(claims()))
    #expect(issuer.verify(token, now: now) == claims())
    #expect(issuer.verify(token, now: now.adding(.seconds(3601))) == nil)
    #expect(issuer.verify(token, now: now.adding(.seconds(-3600))) == nil)
  }

  @Test func foreignTokensAreRefused() throws {
    let issuer = TokenIssuer(key: try P256PrivateKey(), issuer: "https://k")
    let other = TokenIssuer(key: try P256PrivateKey(), issuer: "https://k")
    let token = try #require(other.sign(claims()))
    #expect(issuer.verify(token, now: now) == nil)
    let own = try #require(issuer.sign(claims()))
    var generator = SeededGenerator(seed: 5)
    let bytes = Array(own.utf8)
    for _ in 0..<300 {
      var changed = bytes
      // Not the last character: its low bits are padding.
      let index = Int.random(in: 0..<changed.count - 1, using: &generator)
      changed[index] = changed[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
      if changed == bytes { continue }
      #expect(issuer.verify(String(decoding: changed, as: UTF8.self), now: now) == nil)
    }
    for text in ["", ".", "..", "a.b.c", "e30.e30.e30"] { #expect(issuer.verify(text, now: now) == nil) }
  }

  @Test func rulesMatchAsInKubernetes() {
    func allows(_ rule: JSON, _ change: (inout AccessAttributes) -> Void) -> Bool {
      var attributes = AccessAttributes(user: .anonymous, verb: "get", group: "", resource: "pods")
      change(&attributes)
      return RBAC.Rule(rule).allows(attributes)
    }
    let pods: JSON = ["verbs": ["get"], "apiGroups": [""], "resources": ["pods"]]
    #expect(allows(pods) { _ in })
    #expect(!allows(pods) { $0.verb = "list" })
    #expect(!allows(pods) { $0.subresource = "log" })
    #expect(!allows(pods) { $0.group = "apps" })
    #expect(allows(["verbs": ["*"], "apiGroups": ["*"], "resources": ["*/log"]]) { $0.subresource = "log" })
    let named: JSON = ["verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]]
    #expect(allows(named) { $0.name = "a" })
    #expect(!allows(named) { $0.name = "b" })
    let path: JSON = ["verbs": ["get"], "nonResourceURLs": ["/healthz/*"]]
    #expect(allows(path) { ($0.isResourceRequest, $0.path) = (false, "/healthz/ping") })
    #expect(!allows(path) { ($0.isResourceRequest, $0.path) = (false, "/metrics") })
    #expect(!allows(path) { _ in })
  }

  @Test func certificatesAreKeptAndRenewed() throws {
    let directory = "/tmp/apus-pki-\(UInt64.random(in: 0 ... .max))"
    defer { try? Directory.removeTree(directory) }
    func load(_ time: Timestamp, _ name: String = "localhost") throws -> PKI {
      try PKI.load(
        directory: directory, dnsNames: [name], addresses: ["127.0.0.1", "::1"], identities: ["helper"], now: time)
    }
    let first = try load(now)
    let again = try load(now.adding(.seconds(86_400)))
    #expect(again.serving.certificate == first.serving.certificate)
    #expect(again.tokenKey.publicKey == first.tokenKey.publicKey)
    // Another name: only the serving certificate is made anew.
    let renamed = try load(now, "other")
    #expect(renamed.serving.certificate != first.serving.certificate)
    #expect(renamed.admin.certificate == first.admin.certificate)
    #expect(renamed.identities["helper"]?.certificate == first.identities["helper"]?.certificate)
    #expect(first.identities.keys.sorted() == ["helper"])
    // Near the end: both leaves, under the same authority.
    let late = try load(now.adding(.seconds(350 * 86_400)))
    #expect(late.admin.certificate != first.admin.certificate)
    #expect(late.authority.certificate == first.authority.certificate)
  }

  @Test func tokenFileIsChecked() throws {
    let tokens = try Authenticator.parseTokens("# admins\nabc,jane,1,\"system:masters,dev\"\n\n")
    #expect(tokens["abc"]?.groups == ["system:masters", "dev", "system:authenticated"])
    #expect(throws: APIServerError.self) { try Authenticator.parseTokens("abc") }
  }

  @Test func refusalsReadAsInKubernetes() {
    #expect(
      AccessAttributes(user: UserInfo(name: "x"), verb: "list", namespace: "default", resource: "pods").refusal.message
        == "pods is forbidden: User \"x\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"")
  }

  @Test func nobodyGrantsWhatTheyDoNotHave() async throws {
    try await Fixture.run { fixture in
      let group = "rbac.authorization.k8s.io"
      func create(_ resource: String, _ namespace: String?, _ body: JSON) async throws {
        _ = try await fixture.client.create(
          GroupVersionResource(group: group, version: "v1", resource: resource), namespace: namespace, name: nil,
          subresource: nil, body: body, options: WriteOptions())
      }
      try await create(
        "rolebindings", "default",
        [
          "metadata": ["name": "a"], "subjects": [["kind": "User", "apiGroup": .string(group), "name": "ann"]],
          "roleRef": ["apiGroup": .string(group), "kind": "ClusterRole", "name": "admin"],
        ])
      let step = RBACEscalation(rbac: try RBAC(store: fixture.store, reader: Fixture.reader))
      func attempt(_ kind: String, _ namespace: String, _ object: JSON, user: String = "ann") -> Int? {
        guard
          let schema = SchemaRegistry.builtin.kind(GroupVersionKind(group: group, version: "v1", kind: kind))
        else { return -1 }
        var request = AdmissionRequest(
          operation: .create, kind: schema, namespace: namespace, name: "x", subresource: "",
          context: RequestContext(user: UserInfo(name: user, groups: ["system:authenticated"])), object: object,
          old: nil)
        do {
          try step.admit(&request)
          return nil
        } catch { return error.code }
      }
      func rules(_ verbs: JSON, _ groups: JSON, _ resources: JSON) -> JSON {
        ["rules": [["verbs": verbs, "apiGroups": groups, "resources": resources]]]
      }
      func reference(_ name: String) -> JSON {
        ["roleRef": ["kind": "ClusterRole", "name": .string(name)], "subjects": []]
      }
      #expect(attempt("Role", "default", rules(["get", "delete"], [""], ["pods", "secrets"])) == nil)
      #expect(attempt("Role", "default", rules(["get"], [""], ["nodes"])) == 403)
      #expect(attempt("Role", "default", rules(["*"], ["*"], ["*"])) == 403)
      #expect(attempt("Role", "kube-system", rules(["get"], [""], ["pods"])) == 403)
      #expect(attempt("ClusterRole", "", rules(["get"], [""], ["pods"])) == 403)
      #expect(attempt("RoleBinding", "default", reference("edit")) == nil)
      #expect(attempt("RoleBinding", "default", reference("cluster-admin")) == 403)
      #expect(attempt("RoleBinding", "default", reference("none")) == 403)
      #expect(attempt("ClusterRoleBinding", "", reference("view")) == 403)
      #expect(attempt("Role", "default", ["rules": [["verbs": ["get"], "nonResourceURLs": ["/metrics"]]]]) == 403)
    }
  }
}
