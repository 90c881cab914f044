import Testing
import Wire

@testable import Schema

@Suite struct DiscoveryTests {
  private let registry = SchemaRegistry.builtin

  @Test func legacyDocuments() throws {
    #expect(registry.apiVersions(serverAddress: "127.0.0.1:6443")["versions"] == ["v1"])
    let groups = try #require(registry.apiGroupList()["groups"]?.array)
    #expect(groups.allSatisfy { $0["name"]?.string?.isEmpty == false })
    let autoscaling = try #require(groups.first { $0["name"] == "autoscaling" })
    #expect(autoscaling.at("preferredVersion", "version") == "v2" && autoscaling["versions"]?.array?.count == 2)
    #expect(registry.apiGroup("apps")?["kind"] == "APIGroup" && registry.apiGroup("none") == nil)
    let core = try #require(registry.apiResourceList(GroupVersion(group: "", version: "v1")))
    let resources = try #require(core["resources"]?.array)
    let pods = try #require(resources.first { $0["name"] == "pods" })
    #expect(pods["shortNames"] == ["po"] && pods["namespaced"] == true && pods["kind"] == "Pod")
    let eviction = try #require(resources.first { $0["name"] == "pods/eviction" })
    #expect(eviction["group"] == "policy" && eviction["kind"] == "Eviction")
    #expect(registry.apiResourceList(GroupVersion(group: "none", version: "v1")) == nil)
  }

  @Test func aggregatedDocuments() throws {
    let core = registry.aggregatedDiscovery(isCore: true)
    #expect(core["items"]?.array?.count == 1 && core["apiVersion"] == "apidiscovery.k8s.io/v2")
    let all = try #require(registry.aggregatedDiscovery(isCore: false, version: "v2beta1")["items"]?.array)
    let apps = try #require(all.first { $0.at("metadata", "name") == "apps" })
    let deployments = apps["versions"]?.array?.first?["resources"]?.array?.first { $0["resource"] == "deployments" }
    #expect(deployments?["scope"] == "Namespaced" && deployments?["subresources"]?.array?.count == 2)
    #expect(deployments?["subresources"]?.array?.first?.at("responseKind", "kind") == "Scale")
  }

  @Test func whatIsNotServedIsNotShown() {
    let groups = registry.apiGroupList { $0.group == "apps" }["groups"]?.array
    #expect(groups?.count == 1 && groups?.first?["name"] == "apps")
  }
}
