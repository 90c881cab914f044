import Testing
import Wire

@testable import Schema

@Suite struct WarningTests {
  private func warnings(_ apiVersion: String, _ name: String, _ text: String, old: String? = nil) throws -> [String] {
    try kind(apiVersion, name).warnings(
      made(apiVersion, name, text), old: try old.map { try made(apiVersion, name, $0) })
  }

  private func pod(_ container: String, _ rest: String = "") throws -> [String] {
    try warnings(
      "v1", "Pod",
      #"{"metadata":{"name":"p"},"spec":{\#(rest)"containers":[{"name":"c","image":"i:1",\#(container)}]}}"#)
  }

  @Test func fractionsOfBytes() throws {
    #expect(
      try pod(#""resources":{"requests":{"memory":"1.1Gi","cpu":"100m"}}"#)
        == [
          "spec.containers[0].resources.requests[memory]: fractional byte value \"1181116006400m\" is invalid, must be an "
            + "integer"
        ])
    #expect(try pod(#""resources":{"limits":{"ephemeral-storage":"100m"}}"#).count == 2)
    #expect(try pod(#""resources":{"limits":{"memory":"1.5Gi"}}"#) == [])
  }

  @Test(arguments: [
    (#"{"name":"A","value":"1"},{"name":"A","value":"2"}"#, 1),
    (#"{"name":"A","value":"1"},{"name":"A","value":"$(A)2"}"#, 0),
    (#"{"name":"A","value":"1"},{"name":"A","value":"$(A)"}"#, 1),
    (#"{"name":"A","value":"1"},{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}"#, 1),
    (#"{"name":"A","value":"1"},{"name":"B","value":"1"}"#, 0),
  ])
  func variablesThatHideOthers(variables: String, count: Int) throws {
    let found = try pod(#""env":[\#(variables)]"#)
    #expect(found.count == count)
    if count > 0 {
      #expect(
        found == [
          "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply"
        ])
    }
  }

  @Test(
    arguments: [
      (#"{"containerPort":80},{"containerPort":80}"#, "duplicate"),
      (#"{"containerPort":80},{"containerPort":80,"hostPort":80}"#, "overlapping"),
      (#"{"containerPort":80},{"containerPort":80,"protocol":"UDP"}"#, nil),
      (
        #"{"containerPort":80,"hostPort":80},{"containerPort":80,"hostPort":80,"hostIP":"1.2.3.4"}"#,
        "dangerously ambiguous"
      ),
      (#"{"containerPort":80},{"containerPort":81}"#, nil),
    ] as [(String, String?)])
  func portsThatStandThereTwice(ports: String, how: String?) throws {
    #expect(
      try pod(#""ports":[\#(ports)]"#)
        == (how.map { ["spec.containers[0].ports[1]: \($0) port definition with spec.containers[0].ports[0]"] } ?? []))
  }

  /// Each of thousands of equal ports was compared with all before it, and told of.
  @Test func thousandsOfEqualPortsAreFewWarnings() throws {
    let ports = Array(repeating: #"{"containerPort":80}"#, count: 20_000).joined(separator: ",")
    #expect(try pod(#""ports":[\#(ports)]"#).count == 64)
  }

  @Test func portsOfTwoContainers() throws {
    let found = try warnings(
      "v1", "Pod",
      #"""
      {"metadata":{"name":"p"},"spec":{"initContainers":[{"name":"s","image":"i:1","ports":[{"containerPort":80}]}],
       "containers":[{"name":"c","image":"i:1","ports":[{"containerPort":80}]}]}}
      """#)
    #expect(
      found == ["spec.containers[0].ports[0]: duplicate port definition with spec.initContainers[0].ports[0]"])
  }

  @Test func templatesSayWhereTheyStand() throws {
    func deployment(_ value: String) -> String {
      #"""
      {"metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},
       "spec":{"containers":[{"name":"c","image":"i:1","env":[{"name":"A","value":"1"},{"name":"A","value":"\#(value)"}]}]}}}}
      """#
    }
    let expected = [
      "spec.template.spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply"
    ]
    #expect(try warnings("apps/v1", "Deployment", deployment("2")) == expected)
    // A change elsewhere is no reason to say it again.
    #expect(try warnings("apps/v1", "Deployment", deployment("2"), old: deployment("2")) == [])
    #expect(try warnings("apps/v1", "Deployment", deployment("3"), old: deployment("2")) == expected)
  }

  @Test func otherKinds() throws {
    #expect(
      try warnings(
        "v1", "PersistentVolumeClaim",
        #"{"metadata":{"name":"c"},"spec":{"resources":{"requests":{"storage":"1.1Gi"}}}}"#
      ).count == 1)
    #expect(
      try warnings(
        "networking.k8s.io/v1", "Ingress",
        #"{"metadata":{"name":"i","annotations":{"kubernetes.io/ingress.class":"nginx"}},"spec":{}}"#
      ).count == 1)
    let job = #""spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i:1"}]}}}"#
    #expect(try warnings("batch/v1", "Job", #"{"metadata":{"name":"a.b"},\#(job)}"#).count == 1)
    #expect(try warnings("batch/v1", "Job", #"{"metadata":{"name":"ab"},\#(job)}"#) == [])
    #expect(
      try pod(
        #""args":[]"#,
        #""topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"ScheduleAnyway"}],"#)
        == ["spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod"])
  }

  /// Nothing that is as it should be is warned of.
  @Test func plainPodsAreSilent() throws {
    #expect(try pod(#""env":[{"name":"A","value":"1"}],"ports":[{"containerPort":80}]"#) == [])
  }
}
