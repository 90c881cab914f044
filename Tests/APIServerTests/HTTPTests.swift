import KubeClient
import KubeTypes
import Schema
import Testing
import Wire

@testable import APIServer

/// The API over HTTPS: certificates, tokens, permissions, watches.
@Suite struct HTTPTests {
  private static func client(_ fixture: Fixture, _ port: Int, token: String? = nil) throws -> HTTPSClient {
    let pki = fixture.server.pki
    return try HTTPSClient(
      Kubeconfig(
        server: "https://127.0.0.1:\(port)", certificateAuthority: Array(pki.authority.certificate.utf8),
        clientCertificate: token == nil ? Array(pki.admin.certificate.utf8) : nil,
        clientKey: token == nil ? Array(pki.admin.privateKey.utf8) : nil, token: token))
  }

  private static let configMaps = Fixture.resource("configmaps")

  @Test func theAdministratorReadsWritesAndWatches() async throws {
    try await Fixture.run { fixture in
      let client = try Self.client(fixture, try await fixture.server.start())
      let stream = try await client.watch(Self.configMaps, namespace: "default", options: ListOptions())
      for number in 0..<300 {
        _ = try await client.create(
          Self.configMaps, namespace: "default", name: nil, subresource: nil,
          body: [
            "metadata": ["name": .string("c\(number)")], "data": ["a": .string(String(repeating: "x", count: 3000))],
          ],
          options: WriteOptions())
      }
      var seen = 0
      for try await event in stream {
        guard case .added = event else { continue }
        seen += 1
        if seen == 300 { break }
      }
      // Larger than one piece.
      let list = try await client.list(Self.configMaps, namespace: nil, options: ListOptions())
      #expect(list.items.count == 300)
      let missing = await refusal { _ = try await client.get(Self.configMaps, namespace: "default", name: "none") }
      #expect(missing?.reason == .notFound)
      let strange = await refusal {
        _ = try await client.list(Self.configMaps, namespace: nil, options: ListOptions(fieldSelector: "data.a=b"))
      }
      #expect(strange?.code == 400)
      client.close()
    }
  }

  @Test func anAccountMayOnlyWhatItsRolesSay() async throws {
    try await Fixture.run { fixture in
      let port = try await fixture.server.start()
      let request = try await fixture.client.create(
        Fixture.resource("serviceaccounts"), namespace: "default", name: "default", subresource: "token", body: [:],
        options: WriteOptions()
      ).json()
      let token: String = try #require(request.at("status", "token")?.string)
      let client = try Self.client(fixture, port, token: token)
      let refused = await refusal {
        _ = try await client.list(Self.configMaps, namespace: "default", options: ListOptions())
      }
      #expect(
        refused?.message
          == "configmaps is forbidden: User \"system:serviceaccount:default:default\" cannot list resource "
          + "\"configmaps\" in API group \"\" in the namespace \"default\"")
      let bindings = GroupVersionResource(
        group: "rbac.authorization.k8s.io", version: "v1", resource: "rolebindings")
      _ = try await fixture.client.create(
        bindings, namespace: "default", name: nil, subresource: nil,
        body: [
          "metadata": ["name": "v"],
          "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"],
          "subjects": [["kind": "ServiceAccount", "name": "default", "namespace": "default"]],
        ], options: WriteOptions())
      _ = try await client.list(Self.configMaps, namespace: "default", options: ListOptions())
      #expect(
        await refusal { _ = try await client.list(Self.configMaps, namespace: nil, options: ListOptions()) }?.code
          == 403)
      let stranger = try Self.client(fixture, port, token: "nonsense")
      #expect(
        await refusal { _ = try await stranger.get(Self.configMaps, namespace: "default", name: "a") }?.code == 401)
      client.close()
      stranger.close()
    }
  }

  @Test func documentsAreServed() async throws {
    try await Fixture.run { fixture in
      let client = try Self.client(fixture, try await fixture.server.start())
      for path in ["/readyz", "/livez?verbose", "/healthz/ping", "/metrics"] {
        #expect(try await !client.raw(path: path).isEmpty)
      }
      for path in [
        "/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/openapi/v3", "/openapi/v3/api/v1", "/version",
      ] {
        _ = try JSON.parse(try await client.raw(path: path))
      }
      for path in ["/apis/none", "/api/v1/nothing", "/nowhere"] {
        #expect(await refusal { _ = try await client.raw(path: path) }?.code == 404)
      }
      client.close()
    }
  }
}
