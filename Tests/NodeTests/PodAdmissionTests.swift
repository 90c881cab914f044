import KubeTypes
import Testing
import Wire

@testable import Node

@Suite("Admission of pods")
struct PodAdmissionTests {
  private let capacity = ["cpu": Quantity(4), "memory": Quantity(1 << 30), "pods": Quantity(2)]

  private func pod(_ name: String, cpu: String = "0", _ change: (inout JSON) -> Void = { _ in }) -> Pod {
    var json: JSON = [
      "metadata": ["name": .string(name), "namespace": "default", "uid": .string("uid-\(name)")],
      "spec": ["containers": [["name": "c", "resources": ["requests": ["cpu": .string(cpu)]]]]],
    ]
    change(&json)
    return Pod(json: json)
  }

  @Test("refuses the pod that does not fit, by the resource that is missing")
  func room() {
    var admission = PodAdmission(capacity: capacity)
    admission.add(pod("a", cpu: "2500m"))
    #expect(admission.check(pod("b", cpu: "1500m"), isCurrent: { _, _ in true }) == nil)
    let rejection = admission.check(pod("b", cpu: "1501m"), isCurrent: { _, _ in true })
    #expect(rejection?.reason == "OutOfcpu")
    #expect(
      rejection?.message
        == "Node didn't have enough resource: cpu, requested: 1501, used: 2500, capacity: 4000")
    admission.add(pod("b"))
    #expect(admission.check(pod("c"), isCurrent: { _, _ in true })?.reason == "OutOfpods")
    // An extended resource that the node knows nothing of.
    admission.remove("uid-b")
    let foreign = pod("d") { $0["spec"]?["containers"] = [["name": "c", "resources": ["requests": ["x.y/z": "9"]]]] }
    #expect(admission.check(foreign, isCurrent: { _, _ in true }) == nil)
  }

  @Test("a pod that ended or that the API deleted holds nothing")
  func release() {
    var admission = PodAdmission(capacity: capacity)
    admission.add(pod("a", cpu: "4"))
    #expect(admission.check(pod("b", cpu: "1"), isCurrent: { _, uid in uid != "uid-a" }) == nil)
    admission.update(pod("a", cpu: "4") { $0["status"] = ["phase": "Succeeded"] })
    #expect(admission.check(pod("b", cpu: "4"), isCurrent: { _, _ in true }) == nil)
  }

  @Test("a pod that ran here before is not asked again")
  func known() {
    let admission = PodAdmission(capacity: capacity)
    for status: JSON in [["startTime": "2026-01-01T00:00:00Z"], ["phase": "Failed"]] {
      #expect(admission.check(pod("a", cpu: "9") { $0["status"] = status }, isCurrent: { _, _ in true }) == nil)
    }
    #expect(admission.check(pod("a", cpu: "9"), isCurrent: { _, _ in true }) != nil)
  }

  @Test("a pod for another operating system does not run here")
  func system() {
    let admission = PodAdmission(capacity: capacity)
    func reason(_ change: (inout JSON) -> Void) -> String? {
      admission.check(pod("a", change), isCurrent: { _, _ in true })?.reason
    }
    #expect(reason { $0["spec"]?["os"] = ["name": "windows"] } == "PodOSNotSupported")
    #expect(reason { $0["spec"]?["os"] = ["name": "linux"] } == nil)
    #expect(
      reason { $0["spec"]?["nodeSelector"] = ["kubernetes.io/os": "windows"] } == "PodOSSelectorNodeLabelDoesNotMatch")
    #expect(reason { $0["spec"]?["nodeSelector"] = ["kubernetes.io/os": "linux"] } == nil)
  }

  @Test("init containers count by their peak, sidecars beside everything")
  func requests() {
    func container(_ cpu: String, isSidecar: Bool = false) -> JSON {
      var json: JSON = ["resources": ["requests": ["cpu": .string(cpu)]]]
      if isSidecar { json["restartPolicy"] = "Always" }
      return json
    }
    let pod = Pod(json: [
      "spec": [
        "initContainers": [container("3"), container("1", isSidecar: true), container("3")],
        "containers": [container("1"), container("500m")], "overhead": ["cpu": "100m"],
      ]
    ])
    #expect(PodAdmission.requests(of: pod.spec) == ["cpu": Quantity(milli: 4100), "pods": Quantity(1)])
  }
}
