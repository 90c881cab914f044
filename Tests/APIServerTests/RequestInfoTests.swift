import KubeClient
import TestKit
import Testing
import Wire

@testable import APIServer

@Suite struct RequestInfoTests {
  @Test func readsResourcePaths() {
    let pod = RequestInfo(method: "GET", uri: "/api/v1/namespaces/default/pods/web-1?pretty=true")
    #expect(pod.isResourceRequest)
    #expect(pod.verb == "get")
    #expect((pod.group, pod.version, pod.resource) == ("", "v1", "pods"))
    #expect((pod.namespace, pod.name, pod.subresource) == ("default", "web-1", ""))

    let list = RequestInfo(method: "GET", uri: "/apis/apps/v1/deployments")
    #expect((list.verb, list.group, list.resource, list.namespace) == ("list", "apps", "deployments", ""))

    let watch = RequestInfo(method: "GET", uri: "/api/v1/namespaces/a/pods?watch=true&resourceVersion=7")
    #expect(watch.verb == "watch")
    #expect(watch.query["resourceVersion"] == "7")
    #expect(RequestInfo(method: "GET", uri: "/api/v1/watch/namespaces/a/pods").verb == "watch")
    #expect(RequestInfo(method: "GET", uri: "/api/v1/pods?watch=0").verb == "list")

    let status = RequestInfo(method: "PATCH", uri: "/apis/apps/v1/namespaces/a/deployments/b/status")
    #expect((status.verb, status.name, status.subresource) == ("patch", "b", "status"))
    #expect(RequestInfo(method: "DELETE", uri: "/api/v1/namespaces/a/pods").verb == "deletecollection")
  }

  @Test func aNamespaceLivesInNone() {
    let namespace = RequestInfo(method: "GET", uri: "/api/v1/namespaces/foo")
    #expect((namespace.resource, namespace.name, namespace.namespace) == ("namespaces", "foo", "foo"))
    #expect(namespace.objectNamespace == "")
    let finalize = RequestInfo(method: "PUT", uri: "/api/v1/namespaces/foo/finalize")
    #expect((finalize.resource, finalize.name, finalize.subresource) == ("namespaces", "foo", "finalize"))
  }

  @Test func otherPathsAreNoResources() {
    for path in ["/", "/version", "/api", "/api/v1", "/apis/apps/v1", "/readyz", ""] {
      let info = RequestInfo(method: "GET", uri: path)
      #expect(!info.isResourceRequest)
      #expect(info.verb == "get")
    }
  }

  @Test func decodesPercentAndRepeatedValues() {
    let info = RequestInfo(
      method: "POST", uri: "/api/v1/namespaces/a/pods/b/exec?command=sh&command=-c&command=echo%20%22x%22+y&stdout")
    #expect(info.query.all("command") == ["sh", "-c", "echo \"x\" y"])
    #expect(info.query.flag("stdout"))
    #expect(RequestInfo(method: "GET", uri: "/apis/rbac.authorization.k8s.io/v1/clusterroles/a%2Fb").name == "a/b")
  }

  @Test func survivesAnyBytes() {
    var generator = SeededGenerator(seed: 1)
    let alphabet = Array("/?&=%+aZ09.:api v1pods\u{1F600}\0".unicodeScalars)
    for _ in 0..<20_000 {
      var text = ["/api/v1/", "/apis/", "", "/"].randomElement(using: &generator) ?? ""
      for _ in 0..<Int.random(in: 0..<40, using: &generator) {
        text.unicodeScalars.append(alphabet.randomElement(using: &generator) ?? "a")
      }
      let info = RequestInfo(method: "GET", uri: text)
      _ = info.query["a"]
      #expect(!info.verb.isEmpty)
    }
  }
}

@Suite struct ContentNegotiationTests {
  @Test func takesTheFirstFormThatIsServed() throws {
    let kubectl =
      "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
    #expect(try Representation.negotiate(kubectl).shape == .table)
    #expect(try Representation.negotiate("application/vnd.kubernetes.protobuf,application/json") == .json)
    #expect(try Representation.negotiate("application/json;as=Table;v=v9;g=meta.k8s.io,application/json") == .json)
    #expect(try Representation.negotiate("application/yaml").isYAML)
    #expect(try Representation.negotiate("text/html;q=0.9,*/*;q=0.1") == .json)
    #expect(try Representation.negotiate(nil) == .json)
    #expect(
      try Representation.negotiate("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").shape
        == .partialMetadata)
  }

  @Test func protobufIsAnsweredWhereTheKindHasIt() throws {
    let type = "application/vnd.kubernetes.protobuf"
    func form(_ accept: String, _ hasProtobuf: Bool = true) throws(KubeError) -> Representation {
      try Representation.negotiate(accept, hasProtobuf: hasProtobuf)
    }
    for accept in [
      type, "\(type),application/json", "\(type), */*", "\(type);stream=watch", "application/json;q=0.5,\(type)",
    ] {
      let form = try form(accept)
      #expect(form.isProtobuf && form.shape == .object && form.contentType == type, "\(accept)")
    }
    #expect(try form("application/json,\(type)") == .json)
    #expect(try form("\(type);q=0.1,application/json") == .json)
    #expect(
      try form("\(type);as=Table;g=meta.k8s.io;v=v1,application/json;as=Table;g=meta.k8s.io;v=v1").shape == .table)
    let metadata = try form("\(type);as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json")
    #expect(metadata.isProtobuf && metadata.shape == .partialMetadata)
    // A kind that has none.
    #expect(try form("\(type),application/json", false) == .json)
    for (accept, hasProtobuf) in [(type, false), ("\(type);as=Table;g=meta.k8s.io;v=v1", true)] {
      #expect { try form(accept, hasProtobuf) } throws: { ($0 as? KubeError)?.code == 406 }
    }
  }

  @Test func refusesWhatIsNotServed() {
    #expect(throws: (any Error).self) { try Representation.negotiate("application/vnd.kubernetes.protobuf") }
    #expect(throws: (any Error).self) { try Representation.negotiate("text/html") }
  }

  @Test func aggregatedDiscoveryOnlyInTheVersionThatIsServed() {
    let accept =
      "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
      + "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
    #expect(Representation.prefersAggregatedDiscovery(accept))
    #expect(
      !Representation.prefersAggregatedDiscovery(
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"))
    #expect(!Representation.prefersAggregatedDiscovery("application/json"))
  }
}
