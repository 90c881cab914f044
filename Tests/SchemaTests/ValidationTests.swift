import TestKit
import Testing
import Wire

@testable import Schema

@Suite struct ValidationTests {
  private func pod(_ spec: String, metadata: String = #"{"name":"a"}"#) -> String {
    #"{"metadata":\#(metadata),"spec":\#(spec)}"#
  }

  private func errors(_ spec: String, metadata: String = #"{"name":"a"}"#) throws -> [String] {
    try problems("v1", "Pod", pod(spec, metadata: metadata))
  }

  private let container = #"{"name":"c","image":"i"}"#

  @Test func aGoodPodHasNoErrors() throws {
    #expect(
      try errors(
        """
        {"containers":[{"name":"c","image":"registry.local:5000/a/b:1","ports":[{"name":"http","containerPort":80}],
          "env":[{"name":"A_b.c-1","value":"x"},{"name":"N","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['app']"}}}],
          "envFrom":[{"secretRef":{"name":"s"}}],"volumeMounts":[{"name":"t","mountPath":"/tmp"}],
          "readinessProbe":{"httpGet":{"port":"http"}},"resources":{"requests":{"cpu":"10m"},"limits":{"cpu":"1"}},
          "securityContext":{"runAsUser":1000,"allowPrivilegeEscalation":false}}],
         "initContainers":[{"name":"i","image":"i"}],"volumes":[{"name":"t","emptyDir":{}}],
         "affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[
           {"labelSelector":{"matchLabels":{"a":"b"}},"topologyKey":"kubernetes.io/hostname"}]}},
         "tolerations":[{"operator":"Exists"}],"securityContext":{"fsGroup":1,"runAsNonRoot":true}}
        """) == [])
  }

  @Test func names() throws {
    let subdomain =
      "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
      + "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
      + "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    #expect(
      try errors("{\"containers\":[\(container)]}", metadata: #"{"name":"A_b"}"#)
        == ["metadata.name: Invalid value: \"A_b\": \(subdomain)"])
    #expect(
      try errors("{\"containers\":[\(container)]}", metadata: "{}")
        == ["metadata.name: Required value: name or generateName is required"])
    #expect(try errors("{\"containers\":[\(container)]}", metadata: #"{"generateName":"web-"}"#) == [])
    #expect(
      try problems("v1", "Service", #"{"metadata":{"name":"1a"},"spec":{"ports":[{"port":1}]}}"#)[0]
        .hasPrefix("metadata.name: Invalid value: \"1a\": a DNS-1035 label must consist of"))
    #expect(try problems("v1", "Namespace", #"{"metadata":{"name":"a.b"}}"#)[0].contains("RFC 1123 label"))
    #expect(
      try problems(
        "rbac.authorization.k8s.io/v1", "ClusterRole", #"{"metadata":{"name":"system:node/x"},"rules":[]}"#)
        == ["metadata.name: Invalid value: \"system:node/x\": may not contain '/'"])
    #expect(
      try problems("v1", "Node", #"{"metadata":{"name":"n","namespace":"x"}}"#)
        == ["metadata.namespace: Forbidden: not allowed on this type"])
    #expect(Names.dns1123Subdomain(String(repeating: "a", count: 254)) == ["must be no more than 253 bytes"])
  }

  /// Against the expressions that the messages name.
  @Test func namesAgreeWithTheirExpressions() {
    let subdomain = /[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/
    let qualified = /([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]/
    var generator = SeededGenerator(seed: 5)
    let alphabet = Array("ab0Z-.._/é")
    for _ in 0..<20_000 {
      let text = String(
        (0..<Int.random(in: 0..<9, using: &generator)).map { _ in
          alphabet.randomElement(using: &generator) ?? "a"
        })
      #expect(Names.dns1123Subdomain(text).isEmpty == (text.wholeMatch(of: subdomain) != nil), "\(text)")
      let parts = text.split(separator: "/", omittingEmptySubsequences: false)
      let isQualified =
        parts.count <= 2 && parts.last?.wholeMatch(of: qualified) != nil
        && (parts.count == 1 || parts[0].wholeMatch(of: subdomain) != nil)
      #expect(Names.qualifiedName(text).isEmpty == isQualified, "\(text)")
    }
    for count in [63, 64] {
      #expect(Names.qualifiedName(String(repeating: "a", count: count)).isEmpty == (count == 63))
      #expect(Names.qualifiedName("x/" + String(repeating: "a", count: count)).isEmpty == (count == 63))
    }
    for count in [253, 254] {
      #expect(Names.qualifiedName(String(repeating: "a", count: count) + "/x").isEmpty == (count == 253))
    }
  }

  @Test func metadata() throws {
    let found = try problems(
      "v1", "ConfigMap",
      """
      {"metadata":{"name":"a","labels":{"-x":"ok","y":"not ok"},"finalizers":["mine"],
       "ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"p","uid":"1","controller":true},
        {"apiVersion":"v1","kind":"Pod","name":"","uid":"2","controller":true}]}}
      """)
    #expect(found.count == 5)
    #expect(found[0].hasPrefix("metadata.labels: Invalid value: \"-x\": name part must consist of"))
    #expect(found[1].hasPrefix("metadata.labels: Invalid value: \"not ok\": a valid label must be an empty string"))
    #expect(found[2] == "metadata.ownerReferences[1].name: Invalid value: \"\": must not be empty")
    #expect(found[3].contains("Only one reference can have Controller set to true."))
    #expect(
      found[4]
        == "metadata.finalizers: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified"
    )
    let big = String(repeating: "x", count: 256 << 10)
    #expect(
      try problems("v1", "ConfigMap", #"{"metadata":{"name":"a","annotations":{"k":"\#(big)"}}}"#)
        == ["metadata.annotations: Too long: may not be more than 262144 bytes"])
    #expect(
      try problems(
        "v1", "ConfigMap", #"{"metadata":{"name":"b","uid":"1"}}"#, old: #"{"metadata":{"name":"b","uid":"2"}}"#)
        == ["metadata.uid: Invalid value: \"1\": field is immutable"])
  }

  @Test func containers() throws {
    #expect(try errors("{}") == ["spec.containers: Required value"])
    #expect(try errors(#"{"containers":[{"name":"c"}]}"#) == ["spec.containers[0].image: Required value"])
    #expect(try errors(#"{"containers":[{"image":"i"}]}"#) == ["spec.containers[0].name: Required value"])
    #expect(
      try errors(#"{"containers":[{"name":"c","image":"i"},{"name":"c","image":"i"}]}"#)
        == ["spec.containers[1].name: Duplicate value: \"c\""])
    #expect(
      try errors(#"{"containers":[{"name":"c","image":"i"}],"initContainers":[{"name":"c","image":"i"}]}"#)
        == ["spec.initContainers[0].name: Duplicate value: \"c\""])
    #expect(
      try errors(#"{"containers":[{"name":"c","image":"i","imagePullPolicy":"Sometimes"}],"restartPolicy":"Maybe"}"#)
        == [
          "spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", "
            + "\"IfNotPresent\", \"Never\"",
          "spec.restartPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"Never\", \"OnFailure\"",
        ])
    #expect(
      try errors(#"{"containers":[{"name":"c","image":"i","ports":[{"containerPort":0},{"containerPort":70000}]}]}"#)
        == [
          "spec.containers[0].ports[0].containerPort: Required value",
          "spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ])
    #expect(
      try errors(
        #"{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"2"},"limits":{"cpu":"1"}}}]}"#)
        == [
          "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"
        ])
  }

  @Test func volumesAndProbes() throws {
    #expect(
      try errors(#"{"containers":[{"name":"c","image":"i","volumeMounts":[{"name":"v","mountPath":"/a"}]}]}"#)
        == ["spec.containers[0].volumeMounts[0].name: Not found: \"v\""])
    #expect(
      try errors(
        #"{"containers":[\#(container)],"volumes":[{"name":"v","emptyDir":{},"hostPath":{"path":"/a/../b"}}]}"#)
        == ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"])
    #expect(
      try errors(
        #"{"containers":[\#(container)],"volumes":[{"name":"v","configMap":{"items":[{"key":"a","path":"/b"}]}}]}"#)
        == [
          "spec.volumes[0].configMap.name: Required value",
          "spec.volumes[0].configMap.items[0].path: Invalid value: \"/b\": must be a relative path",
        ])
    #expect(
      try errors(
        #"{"containers":[{"name":"c","image":"i","livenessProbe":{"periodSeconds":-1,"successThreshold":2}}]}"#)
        == [
          "spec.containers[0].livenessProbe: Required value: must specify a handler type",
          "spec.containers[0].livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
          "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ])
    #expect(
      try errors(#"{"containers":[{"name":"c","image":"i","env":[{"name":"a=b"},{"name":"x","valueFrom":{}}]}]}"#) == [
        "spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name must consist only of "
          + "printable ASCII characters other than '='",
        "spec.containers[0].env[1].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, "
          + "`configMapKeyRef` or `secretKeyRef`",
      ])
  }

  @Test func podUpdates() throws {
    let old = pod("{\"containers\":[\(container)]}")
    #expect(
      try problems(
        "v1", "Pod", pod(#"{"containers":[{"name":"c","image":"j:2","imagePullPolicy":"Always"}]}"#), old: old) == [])
    let found = try problems("v1", "Pod", pod(#"{"containers":[{"name":"c","image":"i","args":["x"]}]}"#), old: old)
    #expect(found.count == 1)
    #expect(
      found[0].hasPrefix("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"))
    #expect(found[0].hasSuffix("changed: spec.containers"))
    #expect(
      try problems(
        "v1", "Pod", pod("{\"containers\":[\(container)],\"tolerations\":[{\"operator\":\"Exists\"}]}"), old: old)
        == [])
    #expect(
      try problems(
        "v1", "Pod", old, old: pod("{\"containers\":[\(container)],\"tolerations\":[{\"operator\":\"Exists\"}]}"))
        == ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"])
    #expect(
      try problems(
        "v1", "Pod", pod("{\"containers\":[\(container)],\"nodeName\":\"n\"}"), old: old, subresource: "binding")
        == [])
  }

  @Test func workloads() throws {
    func deployment(_ selector: String, _ labels: String, _ rest: String = "", pod: String = "") -> String {
      """
      {"metadata":{"name":"d"},"spec":{\(rest)"selector":\(selector),"template":{"metadata":{"labels":\(labels)},
       "spec":{\(pod)"containers":[{"name":"c","image":"i"}]}}}}
      """
    }
    func errors(_ new: String, _ old: String? = nil) throws -> [String] {
      try problems("apps/v1", "Deployment", new, old: old)
    }
    let good = deployment(#"{"matchLabels":{"a":"b"}}"#, #"{"a":"b"}"#)
    #expect(try errors(good) == [])
    #expect(
      try errors(deployment(#"{"matchLabels":{"a":"b"}}"#, #"{"a":"c"}"#))
        == [
          "spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does not match template `labels`"
        ])
    #expect(
      try errors(deployment("{}", "{}")) == [
        "spec.selector: Invalid value: {}: empty selector is invalid for deployment"
      ])
    #expect(
      try errors(deployment(#"{"matchLabels":{"a":"c"}}"#, #"{"a":"c"}"#), good)
        == ["spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"c\"}}: field is immutable"])
    #expect(
      try errors(deployment(#"{"matchLabels":{"a":"b"}}"#, #"{"a":"b"}"#, pod: #""restartPolicy":"Never","#))
        == ["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""])
    #expect(
      try errors(
        deployment(
          #"{"matchLabels":{"a":"b"}}"#, #"{"a":"b"}"#,
          #""replicas":-1,"strategy":{"rollingUpdate":{"maxUnavailable":0,"maxSurge":"0%"}},"#))
        == [
          "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
          "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
        ])
    #expect(
      try errors(
        deployment(
          #"{"matchLabels":{"a":"b"}}"#, #"{"a":"b"}"#,
          #""strategy":{"type":"Recreate","rollingUpdate":{"maxSurge":1}},"#))
        == [
          "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"
        ])
    #expect(
      try problems("apps/v1", "Deployment", #"{"metadata":{"name":"d"}}"#).contains("spec.selector: Required value"))
  }

  @Test func jobs() throws {
    let job = #"""
      {"metadata":{"name":"j","uid":"u"},"spec":{"selector":{"matchLabels":{"batch.kubernetes.io/controller-uid":"u"}},
       "template":{"metadata":{"labels":{"batch.kubernetes.io/controller-uid":"u","controller-uid":"u",
         "batch.kubernetes.io/job-name":"j","job-name":"j"}},
        "spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}
      """#
    #expect(try problems("batch/v1", "Job", job) == [])
    // The labels by which a job finds its pods are its own, or it says that it chooses them.
    #expect(
      try problems("batch/v1", "Job", job.replacing(#""job-name":"j""#, with: #""job-name":"other""#)).count == 1)
    #expect(
      try problems("batch/v1", "Job", job.replacing(#""controller-uid":"u","#, with: ""))
        == ["spec.template.metadata.labels[controller-uid]: Required value: must be 'u'"])
    #expect(
      try problems(
        "batch/v1", "Job", job.replacing(#"{"batch.kubernetes.io/controller-uid":"u"}}"#, with: #"{"a":"b"}}"#)
      )
      .contains { $0.hasSuffix("`selector` not auto-generated") })
    #expect(
      try problems(
        "batch/v1", "Job",
        #"{"metadata":{"name":"j"},"spec":{"manualSelector":true,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}"#
      ) == [])
    #expect(
      try problems("batch/v1", "Job", job.replacing("\"restartPolicy\":\"Never\",", with: ""))
        == [
          "spec.template.spec.restartPolicy: Unsupported value: \"Always\": supported values: \"OnFailure\", \"Never\""
        ])
    #expect(
      try problems(
        "batch/v1", "CronJob",
        #"{"metadata":{"name":"j"},"spec":{"schedule":"* *","jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}}}"#
      ) == ["spec.schedule: Invalid value: \"* *\": expected exactly 5 fields, found 2: * *"])
    #expect(
      try problems(
        "batch/v1", "CronJob", #"{"metadata":{"name":"j"},"spec":{"schedule":"@daily","jobTemplate":\#(job)}}"#
      )
      .contains { $0.hasSuffix("`selector` will be auto-generated") })
  }

  @Test func services() throws {
    func errors(_ spec: String, _ old: String? = nil) throws -> [String] {
      try problems(
        "v1", "Service", #"{"metadata":{"name":"s"},"spec":\#(spec)}"#,
        old: old.map { #"{"metadata":{"name":"s"},"spec":\#($0)}"# })
    }
    #expect(try errors(#"{"ports":[{"port":80}]}"#) == [])
    #expect(try errors("{}") == ["spec.ports: Required value"])
    #expect(try errors(#"{"clusterIP":"None"}"#) == [])
    #expect(
      try errors(#"{"ports":[{"port":80},{"port":80,"name":"b"}]}"#)
        == ["spec.ports[0].name: Required value", "spec.ports[1]: Duplicate value: {\"port\":80,\"protocol\":\"TCP\"}"])
    #expect(
      try errors(#"{"ports":[{"port":0}]}"#)
        == ["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"]
        || errors(#"{"ports":[{"port":0}]}"#).count == 2)
    #expect(
      try errors(#"{"ports":[{"port":80}],"clusterIP":"10.0.0.2"}"#, #"{"ports":[{"port":80}],"clusterIP":"10.0.0.1"}"#)
        == ["spec.clusterIPs[0]: Invalid value: \"10.0.0.2\": may not change once set"])
    #expect(
      try errors(#"{"type":"ExternalName"}"#) == ["spec.externalName: Required value"])
    #expect(
      try errors(#"{"ports":[{"port":80,"nodePort":30000}]}"#)
        == ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"])
  }

  @Test func configMapsAndSecrets() throws {
    #expect(
      try problems("v1", "ConfigMap", #"{"metadata":{"name":"c"},"data":{"a/b":"x"}}"#)[0]
        .hasPrefix("data[a/b]: Invalid value: \"a/b\": a valid config key must consist of"))
    #expect(
      try problems(
        "v1", "ConfigMap", #"{"metadata":{"name":"c"},"immutable":true,"data":{"a":"2"}}"#,
        old: #"{"metadata":{"name":"c"},"immutable":true,"data":{"a":"1"}}"#)
        == ["data: Forbidden: field is immutable when `immutable` is set"])
    let big = String(repeating: "x", count: (1 << 20) + 1)
    #expect(
      try problems("v1", "ConfigMap", #"{"metadata":{"name":"c"},"data":{"a":"\#(big)"}}"#).contains {
        $0 == "[]: Too long: may not be more than 1048576 bytes"
      })
    #expect(
      try problems("v1", "Secret", #"{"metadata":{"name":"c"},"type":"kubernetes.io/tls","data":{"tls.crt":""}}"#)
        == ["data[tls.key]: Required value"])
    #expect(
      try problems(
        "v1", "Secret", #"{"metadata":{"name":"c"},"type":"a"}"#, old: #"{"metadata":{"name":"c"},"type":"b"}"#)
        == ["type: Invalid value: \"a\": field is immutable"])
  }

  @Test func otherKinds() throws {
    #expect(
      try problems(
        "discovery.k8s.io/v1", "EndpointSlice",
        #"{"metadata":{"name":"e"},"addressType":"IPv4","endpoints":[{"addresses":["1.2.3"]}]}"#)
        == ["endpoints[0].addresses[0]: Invalid value: \"1.2.3\": must be a valid IPv4 address, (e.g. 10.9.8.7)"])
    #expect(
      try problems(
        "rbac.authorization.k8s.io/v1", "Role",
        #"{"metadata":{"name":"r"},"rules":[{"apiGroups":[""],"resources":["pods"]}]}"#)
        == ["rules[0].verbs: Required value: verbs must contain at least one value"])
    #expect(
      try problems(
        "rbac.authorization.k8s.io/v1", "RoleBinding",
        #"{"metadata":{"name":"r"},"roleRef":{"kind":"Role","name":"b"}}"#,
        old: #"{"metadata":{"name":"r"},"roleRef":{"kind":"Role","name":"a"}}"#)[0].hasSuffix("cannot change roleRef"))
    #expect(
      try problems("coordination.k8s.io/v1", "Lease", #"{"metadata":{"name":"l"},"spec":{"leaseDurationSeconds":0}}"#)
        == ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than or equal to 1"])
  }

  @Test(arguments: [
    ("10.0.0.1", true), ("256.0.0.1", false), ("01.0.0.1", false), ("::1", true), ("2001:db8::ffff", true),
    ("1:2", false),
    ("::ffff:1.2.3.4", true), ("1::2::3", false), ("1:2:3:4:5:6:7:8", true), ("1:2:3:4:5:6:7:8:9", false), ("", false),
  ])
  func addresses(_ text: String, _ isAddress: Bool) {
    #expect(Names.isIPAddress(text) == isAddress)
  }

  @Test func longListsOfErrorsAreCut() throws {
    let containers = (0..<300).map { "{\"name\":\"c\($0)\"}" }.joined(separator: ",")
    #expect(try errors("{\"containers\":[\(containers)]}").count == 100)
  }
}
