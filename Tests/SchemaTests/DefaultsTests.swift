import Testing
import Wire

@testable import Schema

@Suite struct DefaultsTests {
  @Test func podGetsWhatKubernetesGivesIt() throws {
    let pod = try made(
      "v1", "Pod",
      """
      {"metadata":{"name":"a"},"spec":{"containers":[{"name":"c","image":"nginx","resources":{"limits":{"cpu":"1"}},
        "ports":[{"containerPort":80}],"livenessProbe":{"httpGet":{"port":80}},
        "env":[{"name":"IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}}]}],
       "volumes":[{"name":"s","secret":{"secretName":"x"}},{"name":"e"}]}}
      """)
    let spec = try #require(pod["spec"])
    let expected: [(String, JSON)] = [
      ("restartPolicy", "Always"), ("dnsPolicy", "ClusterFirst"), ("schedulerName", "default-scheduler"),
      ("terminationGracePeriodSeconds", 30), ("securityContext", [:]), ("enableServiceLinks", true),
    ]
    for (key, value) in expected { #expect(spec[key] == value, "\(key)") }
    let container = try #require(spec["containers"]?.array?.first)
    #expect(container["imagePullPolicy"] == "Always")
    #expect(container["terminationMessagePath"] == "/dev/termination-log")
    #expect(container.at("resources", "requests", "cpu") == "1")
    #expect(container["ports"]?.array?.first?["protocol"] == "TCP")
    #expect(
      container["livenessProbe"] == [
        "httpGet": ["port": 80, "path": "/", "scheme": "HTTP"], "timeoutSeconds": 1, "periodSeconds": 10,
        "successThreshold": 1, "failureThreshold": 3,
      ])
    #expect(container["env"]?.array?.first?.at("valueFrom", "fieldRef", "apiVersion") == "v1")
    #expect(spec["volumes"]?.array?[0].at("secret", "defaultMode") == 420)
    #expect(spec["volumes"]?.array?[1]["emptyDir"] == [:])
  }

  @Test(arguments: [
    ("nginx", true), ("nginx:latest", true), ("nginx:1.27", false), ("registry:5000/nginx", true),
    ("registry:5000/a/nginx:2", false), ("nginx@sha256:abc", false), ("", true),
  ])
  func pullPolicyFollowsTheTag(_ image: String, _ isAlways: Bool) {
    #expect(Defaults.pullsAlways(image) == isAlways)
  }

  @Test func templatesDoNotGetWhatOnlyPodsGet() throws {
    let deployment = try made(
      "apps/v1", "Deployment",
      """
      {"metadata":{"name":"a"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},
       "spec":{"containers":[{"name":"c","image":"i:1","resources":{"limits":{"cpu":"1"}}}]}}}}
      """)
    let spec = try #require(deployment["spec"])
    #expect(spec["replicas"] == 1 && spec["revisionHistoryLimit"] == 10 && spec["progressDeadlineSeconds"] == 600)
    #expect(
      spec["strategy"]
        == ["type": "RollingUpdate", "rollingUpdate": ["maxUnavailable": "25%", "maxSurge": "25%"]])
    let template = try #require(spec.at("template", "spec"))
    #expect(template["enableServiceLinks"] == nil && template["dnsPolicy"] == "ClusterFirst")
    #expect(template["containers"]?.array?.first?.at("resources", "requests") == nil)
  }

  @Test func otherKinds() throws {
    let service = try made(
      "v1", "Service", #"{"metadata":{"name":"s"},"spec":{"ports":[{"port":80}],"type":"NodePort"}}"#)
    #expect(
      service["spec"] == [
        "ports": [["port": 80, "protocol": "TCP", "targetPort": 80]], "type": "NodePort", "sessionAffinity": "None",
        "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster",
      ])
    #expect(try made("v1", "Secret", "{}")["type"] == "Opaque")
    let namespace = try made("v1", "Namespace", #"{"metadata":{"name":"n"}}"#)
    #expect(namespace.at("metadata", "labels", "kubernetes.io/metadata.name") == "n")
    let job = try made(
      "batch/v1", "Job", #"{"spec":{"template":{"metadata":{"labels":{"a":"b"}},"spec":{"restartPolicy":"Never"}}}}"#)
    #expect(job.at("spec", "backoffLimit") == 6 && job.at("spec", "completions") == 1)
    #expect(job.at("metadata", "labels", "a") == "b")
    let binding = try made(
      "rbac.authorization.k8s.io/v1", "RoleBinding",
      #"{"roleRef":{"kind":"Role","name":"r"},"subjects":[{"kind":"User","name":"u"}]}"#)
    #expect(binding.at("roleRef", "apiGroup") == "rbac.authorization.k8s.io")
    #expect(binding["subjects"]?.array?.first?["apiGroup"] == "rbac.authorization.k8s.io")
  }

  @Test func defaultsAreIdempotentForEveryKind() throws {
    for schema in SchemaRegistry.builtin.kinds {
      var once: JSON = ["apiVersion": .string(schema.groupVersion.description), "kind": .string(schema.kind)]
      once["metadata"] = ["name": "a"]
      once["spec"] = schema.root.field("spec") == nil ? nil : [:]
      schema.applyDefaults(&once)
      var twice = once
      schema.applyDefaults(&twice)
      #expect(once == twice, "\(schema.kind)")
      #expect(schema.decode(&twice).errors.isEmpty, "\(schema.kind)")
      #expect(schema.decode(&twice).unknownFields.isEmpty, "\(schema.kind)")
    }
  }

  @Test func requiredScalarsAreWritten() throws {
    let pod = try made(
      "v1", "Pod",
      #"{"spec":{"containers":[]},"status":{"containerStatuses":[{"name":"c","ready":true,"image":"i","restartCount":1}]}}"#
    )
    // The Python client refuses a container status without `imageID`.
    #expect(pod.at("status", "containerStatuses")?.array?.first?["imageID"] == "")
  }
}
