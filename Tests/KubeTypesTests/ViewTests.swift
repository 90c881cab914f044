import Schema
import Testing
import Wire

@testable import KubeTypes

@Suite struct ViewTests {
  @Test func readingFields() throws {
    let pod = Pod(
      json: try JSON.parse(
        """
        {"metadata":{"name":"a","labels":{"x":"y"},"creationTimestamp":"2026-01-01T00:00:00Z"},
         "spec":{"hostNetwork":true,"containers":[{"name":"c","ports":[{"containerPort":80}],
          "resources":{"limits":{"cpu":"100m","memory":"64Mi"}},"readinessProbe":{"httpGet":{"port":"http"}}}],
          "volumes":[{"name":"v","emptyDir":{}}],"securityContext":{"supplementalGroups":[1,2]}}}
        """))
    #expect(pod.metadata.name == "a" && pod.metadata.labels == ["x": "y"])
    #expect(pod.metadata.creationTimestamp == "2026-01-01T00:00:00Z")
    #expect(pod.spec.hostNetwork == true && pod.spec.hostPID == nil)
    let container = try #require(pod.spec.containers.first)
    #expect(container.ports.first?.containerPort == 80)
    #expect(container.resources?.limits == ["cpu": Quantity(milli: 100), "memory": Quantity(64 << 20)])
    #expect(container.readinessProbe?.httpGet?.port == .string("http"))
    #expect(pod.spec.volumes.first?.emptyDir != nil && pod.spec.volumes.first?.secret == nil)
    #expect(pod.spec.securityContext?.supplementalGroups == [1, 2])
    // What is absent reads as empty.
    #expect(pod.status.phase == nil && pod.status.conditions.isEmpty)
    #expect(Pod.resource.description == "/v1, Resource=pods" || Pod.resource.resource == "pods")
  }

  @Test func writingFields() {
    var pod = Pod()
    #expect(pod.json == ["apiVersion": "v1", "kind": "Pod"])
    pod.metadata.name = "a"
    pod.metadata.labels["x"] = "y"
    pod.metadata.labels["b"] = "c"
    var container = Container()
    container.name = "c"
    container.ports = [ContainerPort()]
    container.ports[0].containerPort = 80
    container.resources = ResourceRequirements()
    container.resources?.limits["cpu"] = Quantity(milli: 1500)
    pod.spec.containers = [container]
    pod.spec.containers[0].image = "i"
    pod.status.phase = "Running"
    #expect(
      pod.json.text
        == #"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{"b":"c","x":"y"}},"spec":{"containers":["#
        + #"{"name":"c","ports":[{"containerPort":80}],"resources":{"limits":{"cpu":"1500m"}},"image":"i"}]},"status":{"phase":"Running"}}"#
    )
  }

  @Test func emptyValuesVanishAndEmptyStructsStay() {
    var pod = Pod(json: ["spec": ["volumes": [["name": "v"]], "nodeName": "n", "containers": [["name": "c"]]]])
    pod.spec.nodeName = nil
    pod.spec.volumes[0].emptyDir = EmptyDirVolumeSource()
    // `containers` is written even when it is empty, `tolerations` is not.
    pod.spec.containers = []
    pod.spec.tolerations = []
    #expect(pod.json.text == #"{"spec":{"volumes":[{"name":"v","emptyDir":{}}],"containers":[]}}"#)
    pod.spec.volumes = []
    // Touching a view without setting anything adds nothing.
    pod.status.conditions = []
    #expect(pod.json.text == #"{"spec":{"containers":[]}}"#)
  }

  @Test func unknownMembersSurvive() throws {
    var service = Service(json: try JSON.parse(#"{"spec":{"future":1,"ports":[{"port":80,"new":true}]}}"#))
    service.spec.ports[0].targetPort = "http"
    service.spec.type = "NodePort"
    #expect(
      service.json.text
        == #"{"spec":{"future":1,"ports":[{"port":80,"new":true,"targetPort":"http"}],"type":"NodePort"}}"#)
  }

  @Test func intOrString() {
    #expect(IntOrString.string("25%").scaled(of: 10, roundingUp: true) == 3)
    #expect(IntOrString.string("25%").scaled(of: 10, roundingUp: false) == 2)
    #expect(IntOrString.int(4).scaled(of: 10, roundingUp: true) == 4)
    #expect(IntOrString.string("x").scaled(of: 10, roundingUp: true) == nil)
    #expect(IntOrString.string("0%").scaled(of: 10, roundingUp: true) == 0)
    // Whatever number somebody writes, nothing traps.
    for total: Int64 in [1, 100, Int64(Int32.max)] {
      for isUp in [true, false] {
        #expect(IntOrString.string("9223372036854775807%").scaled(of: total, roundingUp: isUp) == Int64(Int32.max))
        #expect(IntOrString.string("-9223372036854775808%").scaled(of: total, roundingUp: isUp) == Int64(Int32.min))
      }
    }
    #expect(IntOrString(json: .null) == nil && IntOrString(json: 3)?.description == "3")
  }

  @Test func secretBytes() {
    var secret = Secret()
    secret.setBytes([1, 2, 3], for: "a")
    secret.setBytes([4], for: "b")
    #expect(secret.data == ["a": "AQID", "b": "BA=="])
    #expect(secret.bytes("a") == [1, 2, 3] && secret.bytes("x") == nil)
  }

  @Test func kindsOfMetaCarryTheirNames() {
    #expect(Status().json == ["apiVersion": "v1", "kind": "Status"])
    #expect(Deployment.groupVersionKind.description == "apps/v1, Kind=Deployment")
    #expect(Scale.resource.resource == "scales" && Node.isNamespaced == false)
  }

  /// Nested changes are made in place: a change of one pod in a list of many does not copy the others.
  @Test func changingIsInPlace() {
    var pod = Pod()
    pod.spec.containers = (0..<2000).map { index in
      var container = Container()
      container.name = "c\(index)"
      return container
    }
    for index in 0..<20_000 { pod.metadata.generation = Int64(index) }
    #expect(pod.metadata.generation == 19_999 && pod.spec.containers.count == 2000)
  }
}
