import KubeClient
import KubeTypes
import Schema
import TestKit
import Testing
import Wire

@testable import APIServer

@Suite struct SelectorTests {
  private func kind(_ resource: String, _ group: String = "") throws -> KindSchema {
    try #require(
      SchemaRegistry.builtin.resource(GroupVersionResource(group: group, version: "v1", resource: resource)))
  }

  @Test func selectsByFields() throws {
    let pod: JSON = [
      "metadata": ["name": "a", "namespace": "b"], "spec": ["nodeName": "n1"], "status": ["phase": "Running"],
    ]
    let (header, bytes) = (ObjectHeader(pod), pod.serialized())
    func matches(_ text: String) throws -> Bool {
      try FieldSelector(text, kind: kind("pods")).matches(header, bytes)
    }
    #expect(try matches("spec.nodeName=n1"))
    #expect(try matches("spec.nodeName==n1,status.phase!=Failed"))
    #expect(try !matches("spec.nodeName=n2"))
    #expect(try matches("metadata.name=a,metadata.namespace=b"))
    #expect(try matches("status.podIP="))
    #expect(try matches("status.nominatedNodeName!=x"))
    #expect(try FieldSelector("metadata.name=a", kind: kind("configmaps")).exactName == "a")
  }

  @Test func refusesUnknownFields() throws {
    let pods = try kind("pods")
    #expect { try FieldSelector("spec.foo=1", kind: pods) } throws: { error in
      (error as? KubeError)?.message.contains("field label not supported: spec.foo") == true
    }
    #expect(throws: KubeError.self) { try FieldSelector("spec.nodeName", kind: pods) }
    #expect(throws: KubeError.self) { try FieldSelector("spec.nodeName=a=b", kind: pods) }
  }

  @Test func absentFieldsHaveTheirDefaults() throws {
    let node: JSON = ["metadata": ["name": "n"], "spec": [:]]
    #expect(
      try FieldSelector("spec.unschedulable=false", kind: kind("nodes")).matches(
        ObjectHeader(node), node.serialized()))
  }

  @Test func fieldsStandWhereTheKindSays() throws {
    func matches(_ text: String, _ resource: String, _ group: String, _ object: JSON) throws -> Bool {
      try FieldSelector(text, kind: kind(resource, group)).matches(ObjectHeader(object), object.serialized())
    }
    let old: JSON = ["metadata": ["name": "e"], "involvedObject": ["name": "p"], "source": ["component": "node"]]
    let new: JSON = ["metadata": ["name": "e"], "involvedObject": ["name": "p"], "reportingComponent": "node"]
    for event in [old, new] {
      #expect(try matches("source=node,involvedObject.name=p", "events", "", event))
      #expect(try matches("regarding.name=p", "events", "events.k8s.io", event))
    }
    #expect(try matches("reportingController=node", "events", "events.k8s.io", new))
    #expect(throws: KubeError.self) { try matches("source=node", "events", "events.k8s.io", old) }
    #expect(try matches("status.successful=0", "jobs", "batch", ["metadata": ["name": "j"]]))
    #expect(
      try matches("status.successful=2", "jobs", "batch", ["metadata": ["name": "j"], "status": ["succeeded": 2]]))
    #expect(try matches("status.replicas=0", "replicasets", "apps", ["metadata": ["name": "r"]]))
    #expect(try matches("spec.hostNetwork=false", "pods", "", ["metadata": ["name": "p"]]))
  }

  @Test func continueTokensComeBack() {
    let token = ContinueToken(revision: 42, after: "pods/a/b", issuedAt: 7)
    #expect(ContinueToken(token.text) == token)
    for text in ["", "x", "e30", "%%%", "bnVsbA"] { #expect(ContinueToken(text) == nil) }
    // Whoever makes one himself chooses its numbers: an age that is reckoned from them must not overflow.
    for issuedAt in [Int64.min + 1, -1, 1 << 41, .max] {
      #expect(ContinueToken(ContinueToken(revision: 42, after: "pods/a/b", issuedAt: issuedAt).text) == nil)
    }
    #expect(ContinueToken(ContinueToken(revision: .min, after: "pods/a/b", issuedAt: 7).text) == nil)
  }
}

@Suite struct ProtobufTests {
  /// `Unknown {1: TypeMeta, 2: raw}` for an object.
  private func body(_ apiVersion: String, _ kind: String, _ raw: [UInt8]) -> [UInt8] {
    func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] { [number << 3 | 2, UInt8(bytes.count)] + bytes }
    let meta = field(1, Array(apiVersion.utf8)) + field(2, Array(kind.utf8))
    return [0x6B, 0x38, 0x73, 0x00] + field(1, meta) + field(2, raw)
  }

  @Test func readsAConfigMap() throws {
    // metadata {1: name "a", 8: creationTimestamp {}}, data {"k": "v"}, immutable true
    let raw: [UInt8] =
      [0x0A, 0x05, 0x0A, 0x01, 0x61, 0x42, 0x00] + [0x12, 0x06, 0x0A, 0x01, 0x6B, 0x12, 0x01, 0x76] + [0x20, 0x01]
    let object = try ProtobufBody.parse(body("v1", "ConfigMap", raw), .builtin)
    #expect(object.at("metadata", "name") == "a")
    #expect(object.at("metadata", "creationTimestamp") == .null)
    #expect(object["data"] == ["k": "v"])
    #expect(object["immutable"] == true)
  }

  @Test func refusesOtherBytes() {
    #expect(throws: KubeError.self) { try ProtobufBody.parse([], .builtin) }
    #expect(throws: KubeError.self) { try ProtobufBody.parse(body("v1", "Nonsense", []), .builtin) }
    #expect(throws: KubeError.self) { try ProtobufBody.parse(body("v1", "ConfigMap", [0x0A, 0x7F]), .builtin) }
  }

  @Test func survivesAnyBytes() {
    var generator = SeededGenerator(seed: 11)
    var refused = 0
    for _ in 0..<20_000 {
      let raw = (0..<Int.random(in: 0..<60, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator)
      }
      _ = try? ProtobufBody.parse(body("v1", "Pod", raw), .builtin)
      if (try? ProtobufBody.parse([0x6B, 0x38, 0x73, 0x00] + raw, .builtin)) == nil { refused += 1 }
    }
    #expect(refused > 19_000, "bytes without an order are hardly ever an object")
  }
}
