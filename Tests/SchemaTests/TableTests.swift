import Testing
import Wire

@testable import Schema

@Suite struct TableTests {
  let now = Timestamp(rfc3339: "2026-01-01T12:00:00Z")!

  func row(_ group: String, _ kind: String, _ object: JSON) throws -> [String: JSON] {
    let version = kind == "HorizontalPodAutoscaler" ? "v2" : "v1"
    let schema = try #require(
      SchemaRegistry.builtin.kind(GroupVersionKind(group: group, version: version, kind: kind)))
    let cells = schema.tableRow(object, now: now)
    #expect(cells.count == schema.tableColumns.count)
    return Dictionary(uniqueKeysWithValues: zip(schema.tableColumns.map(\.name), cells))
  }

  private func pod(_ status: JSON, deleted: Bool = false, spec: JSON = ["containers": [["name": "c"]]]) -> JSON {
    var object: JSON = [
      "metadata": ["name": "p", "creationTimestamp": "2026-01-01T11:57:00Z"], "spec": spec, "status": status,
    ]
    if deleted { object["metadata"]?["deletionTimestamp"] = "2026-01-01T11:59:00Z" }
    return object
  }

  @Test func showsARunningPod() throws {
    let row = try row(
      "", "Pod",
      pod([
        "phase": "Running", "podIP": "10.0.0.2",
        "containerStatuses": [
          [
            "ready": true, "restartCount": 2, "state": ["running": ["startedAt": "2026-01-01T11:59:00Z"]],
            "lastState": ["terminated": ["finishedAt": "2026-01-01T11:58:59Z"]],
          ]
        ],
      ]))
    #expect(row["Name"] == "p")
    #expect(row["Ready"] == "1/1")
    #expect(row["Status"] == "Running")
    #expect(row["Restarts"] == "2 (61s ago)")
    #expect(row["Age"] == "3m")
    #expect(row["IP"] == "10.0.0.2")
    #expect(row["Node"] == "<none>")
  }

  @Test func saysWhyAPodIsNotRunning() throws {
    let waiting: JSON = [
      "phase": "Pending", "containerStatuses": [["state": ["waiting": ["reason": "ImagePullBackOff"]]]],
    ]
    #expect(try row("", "Pod", pod(waiting))["Status"] == "ImagePullBackOff")
    let failed: JSON = [
      "phase": "Failed", "containerStatuses": [["state": ["terminated": ["exitCode": 3]]]],
    ]
    #expect(try row("", "Pod", pod(failed))["Status"] == "ExitCode:3")
    #expect(try row("", "Pod", pod(failed, deleted: true))["Status"] == "ExitCode:3")
    #expect(try row("", "Pod", pod(["phase": "Running"], deleted: true))["Status"] == "Terminating")
    let initializing: JSON = [
      "phase": "Pending",
      "initContainerStatuses": [
        ["name": "a", "state": ["terminated": ["exitCode": 0]]],
        ["name": "b", "state": ["waiting": ["reason": "PodInitializing"]]],
      ],
    ]
    let spec: JSON = ["initContainers": [["name": "a"], ["name": "b"]], "containers": [["name": "c"]]]
    #expect(try row("", "Pod", pod(initializing, spec: spec))["Status"] == "Init:1/2")
  }

  /// K7: how a sidecar ends when the pod is over was taken for a failed initialization.
  @Test func anEndedSidecarDoesNotHideAPodThatCompleted() throws {
    let spec: JSON = [
      "initContainers": [["name": "side", "restartPolicy": "Always"]], "containers": [["name": "c"]],
    ]
    func shown(_ side: JSON, _ main: JSON, initialized: String = "True") throws -> JSON? {
      let status: JSON = [
        "phase": "Succeeded", "conditions": [["type": "Initialized", "status": .string(initialized)]],
        "initContainerStatuses": [["name": "side", "restartCount": 3, "state": side]],
        "containerStatuses": [["name": "c", "restartCount": 0, "state": main]],
      ]
      return try row("", "Pod", pod(status, spec: spec))["Status"]
    }
    let killed: JSON = ["terminated": ["exitCode": 137, "reason": "Error"]]
    let done: JSON = ["terminated": ["exitCode": 0, "reason": "Completed"]]
    #expect(try shown(killed, done) == "Completed")
    #expect(try shown(killed, ["terminated": ["exitCode": 1, "reason": "Error"]]) == "Error")
    #expect(try shown(done, done) == "Completed")
    #expect(try shown(killed, ["waiting": ["reason": "PodInitializing"]], initialized: "False") == "Init:Error")
    // While the pod runs, a sidecar in a crash loop is what there is to know.
    #expect(
      try shown(["waiting": ["reason": "CrashLoopBackOff"]], ["running": [:]]) == "Init:CrashLoopBackOff")
  }

  @Test func countsSidecars() throws {
    let status: JSON = [
      "phase": "Running", "initContainerStatuses": [["name": "side", "ready": true, "started": true]],
      "containerStatuses": [["name": "c", "ready": true, "state": ["running": [:]]]],
    ]
    let spec: JSON = [
      "initContainers": [["name": "side", "restartPolicy": "Always"]], "containers": [["name": "c"]],
    ]
    #expect(try row("", "Pod", pod(status, spec: spec))["Ready"] == "2/2")
  }

  @Test func showsServicesAndWorkloads() throws {
    let service = try row(
      "", "Service",
      [
        "metadata": ["name": "s"],
        "spec": [
          "type": "NodePort", "clusterIP": "10.0.0.1", "selector": ["b": "2", "a": "1"],
          "ports": [["port": 80, "nodePort": 30080, "protocol": "TCP"], ["port": 53, "protocol": "UDP"]],
        ],
      ])
    #expect(service["Port(s)"] == "80:30080/TCP,53/UDP")
    #expect(service["Selector"] == "a=1,b=2")
    #expect(service["External-IP"] == "<none>")
    let deployment = try row(
      "apps", "Deployment",
      [
        "spec": [
          "replicas": 3, "selector": ["matchLabels": ["a": "b"]],
          "template": ["spec": ["containers": [["name": "one", "image": "x"], ["name": "two", "image": "y"]]]],
        ], "status": ["readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1],
      ])
    #expect(deployment["Ready"] == "1/3")
    #expect(deployment["Up-to-date"] == 2)
    #expect(deployment["Images"] == "x,y")
    #expect(deployment["Selector"] == "a=b")
  }

  @Test(arguments: [
    (Int64(0), "0s"), (119, "119s"), (120, "2m"), (330, "5m30s"), (600, "10m"), (10_799, "179m"), (11_100, "3h5m"),
    (28_800, "8h"), (172_800, "2d"), (187_200, "2d4h"), (691_200, "8d"), (64_800_000, "2y20d"), (-5, "<invalid>"),
  ])
  func writesDurations(seconds: Int64, text: String) {
    #expect(TableRow.human(.seconds(seconds)) == text)
  }

  /// Every kind has a row for an empty object: nothing in it is taken for granted.
  @Test func everyKindHasARow() {
    for kind in SchemaRegistry.builtin.kinds where !kind.columns.isEmpty {
      #expect(kind.tableRow(["metadata": ["name": "x"]], now: now).count == kind.tableColumns.count)
      #expect(!kind.tableColumns.isEmpty)
    }
  }
}

@Suite struct OpenAPITests {
  /// Every reference leads to a schema of the same document.
  @Test func documentsAreClosed() throws {
    for groupVersion in SchemaRegistry.builtin.groupVersions {
      let document = try #require(SchemaRegistry.builtin.openAPIv3(for: groupVersion))
      let schemas = try #require(document.at("components", "schemas")?.object)
      var references = 0
      func walk(_ value: JSON) {
        switch value {
        case .object(let object):
          if let reference = object["$ref"]?.string {
            references += 1
            #expect(schemas[String(reference.dropFirst("#/components/schemas/".count))] != nil, "\(reference)")
          }
          for (_, value) in object.members { walk(value) }
        case .array(let elements): elements.forEach(walk)
        default: break
        }
      }
      walk(document)
      #expect(references > 0)
    }
  }

  /// kubectl refuses to validate without these.
  @Test func writesOfferFieldValidation() throws {
    let document = try #require(SchemaRegistry.builtin.openAPIv3(for: GroupVersion(group: "apps", version: "v1")))
    let patch = document.at("paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "patch")
    let names = (patch?["parameters"]?.array ?? []).compactMap { $0["name"]?.string }
    #expect(names.contains("fieldValidation") && names.contains("dryRun"))
    #expect(patch?.at("x-kubernetes-group-version-kind", "kind") == "Deployment")
  }

  @Test func fieldsTellHowTheyMerge() throws {
    let document = try #require(SchemaRegistry.builtin.openAPIv3(for: GroupVersion(group: "", version: "v1")))
    let spec = document.at("components", "schemas", "io.k8s.api.core.v1.PodSpec", "properties", "containers")
    #expect(spec?["x-kubernetes-patch-merge-key"] == "name")
    #expect(spec?["x-kubernetes-patch-strategy"] == "merge")
    #expect(spec?.at("items", "$ref") == "#/components/schemas/io.k8s.api.core.v1.Container")
  }
}

extension TableTests {
  /// The assumption that failed: that a declared column has a rule. A column without one is empty for ever.
  @Test func everyDeclaredColumnHasARule() {
    let everybodys: Set<String> = ["Name", "Age", "Created At"]
    var missing: [String] = []
    for kind in SchemaRegistry.builtin.kinds {
      let cells = kind.strategy.cells?(TableRow(object: ["metadata": ["name": "x"]], now: now)) ?? [:]
      let columns = kind.tableColumns.map(\.name).filter { !everybodys.contains($0) }
      missing += columns.filter { cells[$0] == nil }.map { "\(kind.kind): \($0)" }
    }
    #expect(missing == [])
  }

  @Test(arguments: [
    ("apiextensions.k8s.io", "CustomResourceDefinition"), ("", "LimitRange"), ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
  ])
  func showsWhenItWasCreated(group: String, kind: String) throws {
    let created = "2026-01-01T11:57:00Z"
    let cells = try row(group, kind, ["metadata": ["name": "x", "creationTimestamp": .string(created)]])
    #expect(cells["Created At"]?.string == created)
  }

  @Test func showsAddressesAndPolicies() throws {
    let address: JSON = [
      "spec": ["parentRef": ["resource": "services", "namespace": "default", "name": "web"]]
    ]
    #expect(try row("networking.k8s.io", "IPAddress", address)["ParentRef"] == "services/default/web")
    #expect(
      try row("networking.k8s.io", "ServiceCIDR", ["spec": ["cidrs": ["10.96.0.0/16"]]])["CIDRs"] == "10.96.0.0/16")
    #expect(
      try row("networking.k8s.io", "NetworkPolicy", ["spec": ["podSelector": ["matchLabels": ["a": "b"]]]])[
        "Pod-Selector"] == "a=b")
  }
}
