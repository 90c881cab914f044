import KubeClient
import KubeTypes
import Schema
import Store
import Telemetry
import Testing
import Wire

@testable import APIServer

/// The tables that follow stored objects, and what they do about those that cannot be read.
@Suite struct StoredTableTests {
  private static let group = "rbac.authorization.k8s.io"

  private static func rbac(_ resource: String) -> GroupVersionResource {
    GroupVersionResource(group: group, version: "v1", resource: resource)
  }

  private static func binding(_ name: String, user: String) -> JSON {
    [
      "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
      "metadata": ["name": .string(name), "namespace": "default"],
      "subjects": [["kind": "User", "apiGroup": .string(group), "name": .string(user)]],
      "roleRef": ["apiGroup": .string(group), "kind": "ClusterRole", "name": "view"],
    ]
  }

  private static func mayRead(_ fixture: Fixture, _ user: String, namespace: String = "default") -> Bool {
    fixture.client.subresources.rbac.allows(
      AccessAttributes(user: UserInfo(name: user), verb: "get", namespace: namespace, resource: "configmaps"))
  }

  @Test func aRightThatCannotBeReadIsNoneAnyMore() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.client.create(
        Self.rbac("roles"), namespace: "default", name: nil, subresource: nil,
        body: [
          "metadata": ["name": "reader"],
          "rules": [["verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]]],
        ], options: WriteOptions())
      var bob = Self.binding("bob", user: "bob")
      bob["roleRef"]?["kind"] = "Role"
      bob["roleRef"]?["name"] = "reader"
      for body in [Self.binding("ann", user: "ann"), bob] {
        _ = try await fixture.client.create(
          Self.rbac("rolebindings"), namespace: "default", name: nil, subresource: nil, body: body,
          options: WriteOptions())
      }
      #expect(Self.mayRead(fixture, "ann") && Self.mayRead(fixture, "bob"))
      #expect(!Self.mayRead(fixture, "ann", namespace: "kube-system"))
      #expect(fixture.metrics.exposition().contains("apiserver_unreadable_objects_total 0"))

      try await fixture.put("\(Self.group)/rolebindings/default/ann", "{", namespace: "default", name: "ann")
      try await fixture.put("\(Self.group)/roles/default/reader", "[]", namespace: "default", name: "reader")
      #expect(!Self.mayRead(fixture, "ann") && !Self.mayRead(fixture, "bob"))
      #expect(fixture.metrics.exposition().contains("apiserver_unreadable_objects_total 2"))
      // Nor after a start.
      let rbac = try RBAC(store: fixture.store, reader: Fixture.reader)
      #expect(rbac.rules(for: UserInfo(name: "ann"), namespace: "default").isEmpty)
      #expect(rbac.rules(ofRole: "reader", namespace: "default") == nil)
    }
  }

  /// A role of no namespace is none, and not the ClusterRole of that name.
  @Test func aReferenceThatNoRoleCanHaveGivesNothing() {
    let role: JSON = ["roleRef": ["kind": "Role", "name": "cluster-admin"]]
    #expect(RBAC.Binding(role, namespace: "").role == nil)
    #expect(RBAC.Binding(role, namespace: "a").role == "a/cluster-admin")
    #expect(RBAC.Binding(["roleRef": ["name": "cluster-admin"]], namespace: "a").role == nil)
    #expect(RBAC.Binding(["roleRef": ["kind": "ClusterRole", "name": "b"]], namespace: "a").role == "/b")
  }

  /// H24: what a start and a change cost, counted in entries of the index.
  @Test func aBindingCostsItsOwnSubjects() async throws {
    try await Fixture.run { fixture in
      let rbac = fixture.client.subresources.rbac
      let before = rbac.writes
      #expect(before > 0)
      let count = 3000
      let operations = (0..<count).map { number in
        let object = Self.binding("b\(number)", user: "user\(number % 7)")
        let (bytes, revisionAt) = Canonical.encode(object)
        return Store.Operation.put(
          "\(Self.group)/rolebindings/default/b\(number)", value: bytes, revisionAt: revisionAt,
          header: ObjectHeader(object))
      }
      try await fixture.store.commit(operations)
      #expect(rbac.writes == before + count)
      #expect(Self.mayRead(fixture, "user3"))
      // A start reads each once.
      #expect(try RBAC(store: fixture.store, reader: Fixture.reader).writes == before + count)
      // One more is one more, and changing it takes one out and puts one in.
      _ = try await fixture.client.create(
        Self.rbac("rolebindings"), namespace: "default", name: nil, subresource: nil,
        body: Self.binding("one", user: "user3"), options: WriteOptions())
      #expect(rbac.writes == before + count + 1)
      _ = try await fixture.client.patch(
        Self.rbac("rolebindings"), namespace: "default", name: "one", subresource: nil, type: .merge,
        body: ["metadata": ["labels": ["a": "b"]]], options: WriteOptions())
      #expect(rbac.writes == before + count + 3)
      _ = try await fixture.client.delete(
        Self.rbac("rolebindings"), namespace: "default", name: "one", options: DeleteOptions())
      #expect(rbac.writes == before + count + 4)
      #expect(Self.mayRead(fixture, "user3"))
    }
  }

  @Test func theNumbersOfAServiceThatCannotBeReadStayItsOwn() async throws {
    try await Fixture.run { fixture in
      func service(_ name: String) -> JSON {
        [
          "metadata": ["name": .string(name)],
          "spec": [
            "type": "NodePort", "clusterIP": "10.96.0.20", "ports": [["port": 80, "nodePort": 30500]],
          ],
        ]
      }
      _ = try await fixture.create("services", service("a"))
      try await fixture.put("services/default/a", "{", namespace: "default", name: "a")
      #expect(fixture.metrics.exposition().contains("apiserver_unreadable_objects_total 1"))
      let taken = await refusal { _ = try await fixture.create("services", service("b")) }
      #expect(taken?.message.contains("provided IP is already allocated") == true)
      let header = ObjectHeader(["metadata": ["namespace": "default", "name": "a"]])
      try await fixture.store.commit([
        .delete("services/default/a", finalValue: Array("{".utf8), revisionAt: 0, header: header)
      ])
      _ = try await fixture.create("services", service("b"))
    }
  }

  @Test func theDefaultPriorityIsThatOfNow() async throws {
    try await Fixture.run { fixture in
      func priority(_ pod: String) async throws -> JSON? {
        let spec = try await fixture.create("pods", Fixture.pod(pod)).json()["spec"]
        return spec?["priorityClassName"].map { [$0, spec?["priority"] ?? .null] }
      }
      func priorityClass(_ name: String, _ value: Int64) -> JSON {
        ["metadata": ["name": .string(name)], "value": .int(value), "globalDefault": true]
      }
      #expect(try await priority("a") == nil)
      _ = try await fixture.create("priorityclasses", priorityClass("high", 50))
      #expect(try await priority("b") == ["high", 50])
      // Of two the lower one.
      _ = try await fixture.create("priorityclasses", priorityClass("low", 5))
      #expect(try await priority("c") == ["low", 5])
      _ = try await fixture.patch("priorityclasses", "low", .merge, ["globalDefault": false])
      #expect(try await priority("d") == ["high", 50])
      try await fixture.delete("priorityclasses", "high")
      #expect(try await priority("e") == nil)

      var named = Fixture.pod("f")
      named["spec"]?["priorityClassName"] = "low"
      let first = named
      #expect(try await fixture.create("pods", first).json().at("spec", "priority") == 5)
      // One that cannot be read is none: what it said may have been wrong.
      try await fixture.put("scheduling.k8s.io/priorityclasses/low", "{", namespace: "", name: "low")
      named["metadata"]?["name"] = "g"
      let second = named
      #expect(await refusal { _ = try await fixture.create("pods", second) }?.code == 403)
    }
  }
}
