import KubeClient
import KubeTypes
import Schema
import Testing
import Wire

@testable import APIServer

/// The API over HTTPS: certificates, tokens, permissions, watches.
@Suite struct HTTPTests {
  private static let configMaps = Fixture.resource("configmaps")

  @Test func theAdministratorReadsWritesAndWatches() async throws {
    try await Fixture.run { fixture in
      let client = try fixture.https(try await fixture.server.start())
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
      let client = try fixture.https(port, token: token)
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
      let stranger = try fixture.https(port, token: "nonsense")
      #expect(
        await refusal { _ = try await stranger.get(Self.configMaps, namespace: "default", name: "a") }?.code == 401)
      client.close()
      stranger.close()
    }
  }

  @Test func documentsAreServed() async throws {
    try await Fixture.run { fixture in
      let client = try fixture.https(try await fixture.server.start())
      func text(_ path: String) async throws -> String {
        String(decoding: try await client.raw(path: path), as: UTF8.self)
      }
      func document(_ path: String) async throws -> JSON { try JSON.parse(try await client.raw(path: path)) }
      func names(_ list: JSON?) -> [String] { (list?.array ?? []).compactMap { $0["name"]?.string } }
      #expect(try await text("/readyz") == "ok")
      let live = try await text("/livez?verbose")
      #expect(live.contains("[+]ping ok\n") && live.hasSuffix("livez check passed\n"))
      #expect(try await text("/healthz/ping") == "ok")
      #expect(try await document("/version")["minor"] == "33")

      let core = try await document("/api")
      #expect(core["kind"] == "APIVersions" && core["versions"] == ["v1"])
      #expect(names(try await document("/apis")["groups"]).contains("apps"))
      #expect(names(try await document("/api/v1")["resources"]).contains("pods/eviction"))
      let group = try await document("/apis/apps")
      #expect(group["kind"] == "APIGroup" && group["name"] == "apps")
      #expect(names(try await document("/apis/apps/v1")["resources"]).contains("deployments"))

      let index = try await document("/openapi/v3")
      let place = try #require(index.at("paths", "api/v1", "serverRelativeURL")?.string)
      let schemas = try await document(place).at("components", "schemas")
      #expect(schemas?["io.k8s.api.core.v1.Pod"] != nil)
      for path in ["/apis/none", "/api/v1/nothing", "/nowhere"] {
        #expect(await refusal { _ = try await client.raw(path: path) }?.code == 404)
      }
      client.close()
    }
  }

  @Test func whatTheServerDoesIsCounted() async throws {
    try await Fixture.run { fixture in
      let client = try fixture.https(try await fixture.server.start())
      for name in ["a", "b", "c"] { _ = try await fixture.configMap(name) }
      func metrics() async throws -> [Substring] {
        String(decoding: try await client.raw(path: "/metrics"), as: UTF8.self).split(separator: "\n")
      }
      func value(_ series: String, _ lines: [Substring]) -> Double? {
        lines.first { $0.hasPrefix(series + " ") }.flatMap { Double($0.dropFirst(series.count + 1)) }
      }
      let before = try await metrics()
      #expect(value("apiserver_longrunning_requests{verb=\"watch\"}", before) == 0)
      #expect(value("apiserver_storage_objects{resource=\"configmaps\"}", before) == 3)
      #expect(value("apiserver_storage_objects{resource=\"deployments.apps\"}", before) == 0)
      #expect(value("apus_store_revision", before) ?? 0 >= 3)
      #expect(value("apus_store_commit_duration_seconds_count", before) ?? 0 >= 3)
      #expect(value("apus_store_watches", before) ?? 0 > 0)
      #expect(value("apiserver_unreadable_objects_total", before) == 0)

      let stream = try await client.watch(Self.configMaps, namespace: "default", options: ListOptions())
      var seen = 0
      for try await _ in stream {
        seen += 1
        if seen < 3 { continue }
        let during = try await metrics()
        #expect(value("apiserver_longrunning_requests{verb=\"watch\"}", during) == 1)
        #expect(value("apiserver_watch_events_total", during) == 3)
        #expect(
          value("apiserver_request_total{verb=\"watch\",resource=\"configmaps\",code=\"200\"}", during) == 1)
        break
      }
      client.close()
    }
  }
}
