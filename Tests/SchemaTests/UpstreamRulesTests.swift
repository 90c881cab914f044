import Testing
import Wire

@testable import Schema

/// What Kubernetes accepts and refuses, beyond what the other suites of this room look at.
@Suite struct UpstreamRulesTests {
  private static let container = #"{"name":"c","image":"i:1"}"#

  private func pod(_ spec: String) throws -> [String] {
    try problems("v1", "Pod", #"{"metadata":{"name":"p"},"spec":\#(spec)}"#)
  }

  // MARK: Volumes that a controller adds

  private func statefulSet(_ container: String, volumes: String = "[]") throws -> [String] {
    try problems(
      "apps/v1", "StatefulSet",
      #"""
      {"metadata":{"name":"db"},"spec":{"serviceName":"db","selector":{"matchLabels":{"app":"db"}},
       "template":{"metadata":{"labels":{"app":"db"}},"spec":{"volumes":\#(volumes),
        "initContainers":[{"name":"prepare","image":"i:1","volumeMounts":[{"name":"data","mountPath":"/data"}]}],
        "containers":[\#(container)]}},
       "volumeClaimTemplates":[{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],
         "resources":{"requests":{"storage":"1Gi"}}}}]}}
      """#)
  }

  @Test func claimTemplatesAreVolumesOfTheirPods() throws {
    #expect(
      try statefulSet(#"{"name":"c","image":"i:1","volumeMounts":[{"name":"data","mountPath":"/var/lib/db"}]}"#) == [])
    // As a block device; a volume of the same name gives way to the claim.
    #expect(
      try statefulSet(
        #"{"name":"c","image":"i:1","volumeDevices":[{"name":"data","devicePath":"/dev/xvda"}]}"#,
        volumes: #"[{"name":"data","emptyDir":{}}]"#) == [])
    #expect(
      try statefulSet(#"{"name":"c","image":"i:1","volumeMounts":[{"name":"other","mountPath":"/x"}]}"#)
        == ["spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"other\""])
    // Other workloads have no claim templates.
    let deployment = #"""
      {"metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},
       "spec":{"containers":[{"name":"c","image":"i:1","volumeMounts":[{"name":"data","mountPath":"/x"}]}]}}}}
      """#
    #expect(try problems("apps/v1", "Deployment", deployment).count == 1)
  }

  @Test(
    arguments: [
      (#"[{"name":"v","devicePath":"/dev/x"}]"#, #""persistentVolumeClaim":{"claimName":"c"}"#, nil),
      (#"[{"name":"v","devicePath":"/dev/x"}]"#, #""emptyDir":{}"#, "can only use volume source type of"),
      (#"[{"name":"w","devicePath":"/dev/x"}]"#, #""emptyDir":{}"#, "volumeDevices[0].name: Not found: \"w\""),
      (#"[{"name":"v","devicePath":""}]"#, #""persistentVolumeClaim":{"claimName":"c"}"#, "devicePath: Required value"),
      (
        #"[{"name":"v","devicePath":"/dev/../x"}]"#, #""persistentVolumeClaim":{"claimName":"c"}"#,
        "can not contain backsteps"
      ),
    ] as [(String, String, String?)])
  func blockDevices(devices: String, source: String, problem: String?) throws {
    let found = try pod(
      #"{"volumes":[{"name":"v",\#(source)}],"containers":[{"name":"c","image":"i:1","volumeDevices":\#(devices)}]}"#)
    if let problem { #expect(found.contains { $0.contains(problem) }) } else { #expect(found == []) }
  }

  // MARK: Names of files that users choose

  @Test(arguments: ["..data", "..", "...", "..2026", "."])
  func keysDoNotLookLikeTheVolumesOwnFolders(key: String) throws {
    for (kind, member, value) in [
      ("ConfigMap", "data", "x"), ("ConfigMap", "binaryData", "eA=="), ("Secret", "data", "eA=="),
    ] {
      let found = try problems("v1", kind, #"{"metadata":{"name":"c"},"\#(member)":{"\#(key)":"\#(value)"}}"#)
      #expect(found.count == 1 && found[0].hasPrefix("\(member)[\(key)]: Invalid value:"), "\(kind) \(found)")
    }
    #expect(try problems("v1", "Secret", #"{"metadata":{"name":"c"},"stringData":{"\#(key)":"x"}}"#).count == 1)
  }

  @Test(arguments: [".hidden", "a..b", "..-"])
  func otherDotsAreFine(key: String) throws {
    let found = try problems("v1", "ConfigMap", #"{"metadata":{"name":"c"},"data":{"\#(key)":"x"}}"#)
    #expect(found.isEmpty == !key.hasPrefix(".."))
  }

  @Test(arguments: [
    #""configMap":{"name":"m","items":[{"key":"a","path":"PATH"}]}"#,
    #""secret":{"secretName":"m","items":[{"key":"a","path":"PATH"}]}"#,
    #""downwardAPI":{"items":[{"path":"PATH","fieldRef":{"fieldPath":"metadata.name"}}]}"#,
    #""projected":{"sources":[{"configMap":{"name":"m","items":[{"key":"a","path":"PATH"}]}}]}"#,
    #""projected":{"sources":[{"secret":{"name":"m","items":[{"key":"a","path":"PATH"}]}}]}"#,
    #""projected":{"sources":[{"downwardAPI":{"items":[{"path":"PATH","fieldRef":{"fieldPath":"metadata.name"}}]}}]}"#,
    #""projected":{"sources":[{"serviceAccountToken":{"path":"PATH"}}]}"#,
    #""projected":{"sources":[{"clusterTrustBundle":{"name":"b","path":"PATH"}}]}"#,
    #""projected":{"sources":[{"podCertificate":{"signerName":"a/b","keyType":"ED25519","keyPath":"PATH"}}]}"#,
  ])
  func filesOfVolumesStayInThem(source: String) throws {
    func found(_ path: String) throws -> [String] {
      try pod(
        #"{"containers":[\#(Self.container)],"volumes":[{"name":"v",\#(source.replacing("PATH", with: path))}]}"#)
    }
    #expect(try found("a/b.txt") == [])
    for path in ["..data", "..data/x", "../x", "a/../../x", "/etc/x"] {
      #expect(try !found(path).isEmpty, "\(path)")
    }
  }

  @Test func twoSourcesDoNotWriteOneFile() throws {
    let found = try pod(
      #"""
      {"containers":[\#(Self.container)],"volumes":[{"name":"v","projected":{"sources":[
       {"configMap":{"name":"m","items":[{"key":"a","path":"x"}]}},{"serviceAccountToken":{"path":"x"}}]}}]}
      """#)
    #expect(
      found == [
        "spec.volumes[0].projected.sources[1].serviceAccountToken.path: Invalid value: \"x\": conflicting duplicate paths"
      ])
  }

  // MARK: Pods

  @Test(arguments: ["foo-", "bar..", ".a", "a//b", "UPPER", "a b", "kernel.", "-a", "net/ipv4/"])
  func sysctlsHaveNames(name: String) throws {
    let spec = #"{"containers":[\#(Self.container)],"securityContext":{"sysctls":[{"name":"\#(name)","value":"1"}]}}"#
    #expect(try pod(spec).count == 1)
  }

  @Test(arguments: [
    "net.ipv4.tcp_syncookies", "kernel.shm_rmid_forced", "net/ipv4/conf/eth0.100/forwarding", "a-b.c_d",
  ])
  func goodSysctls(name: String) throws {
    let spec = #"{"containers":[\#(Self.container)],"securityContext":{"sysctls":[{"name":"\#(name)","value":"1"}]}}"#
    #expect(try pod(spec) == [])
  }

  @Test func sysctlsOfNamespacesThatThePodHasNot() throws {
    let network = #"{"sysctls":[{"name":"net.core.somaxconn","value":"1"},{"name":"net/core/somaxconn","value":"2"}]}"#
    let found = try pod(#"{"hostNetwork":true,"containers":[\#(Self.container)],"securityContext":\#(network)}"#)
    #expect(found.contains { $0.contains("may not be specified when 'hostNetwork' is true") })
    #expect(found.contains { $0.contains("Duplicate value") })
    let memory = #"{"sysctls":[{"name":"kernel.shmmax","value":"1"}]}"#
    #expect(try pod(#"{"hostIPC":true,"containers":[\#(Self.container)],"securityContext":\#(memory)}"#).count == 1)
  }

  private func spread(_ constraints: String) throws -> [String] {
    try pod(#"{"containers":[\#(Self.container)],"topologySpreadConstraints":[\#(constraints)]}"#)
  }

  @Test func topologySpread() throws {
    let good = #""maxSkew":1,"topologyKey":"zone","labelSelector":{"matchLabels":{"a":"b"}}"#
    #expect(try spread(#"{\#(good),"whenUnsatisfiable":"DoNotSchedule","minDomains":3}"#) == [])
    #expect(
      try spread(#"{\#(good),"whenUnsatisfiable":"ScheduleAnyway","minDomains":3}"#)
        == [
          "spec.topologySpreadConstraints[0].minDomains: Invalid value: 3: can only use minDomains if "
            + "whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"
        ])
    #expect(try spread(#"{\#(good),"whenUnsatisfiable":"DoNotSchedule","minDomains":0}"#).count == 1)
    #expect(
      try spread(#"{\#(good),"whenUnsatisfiable":"DoNotSchedule"},{\#(good),"whenUnsatisfiable":"DoNotSchedule"}"#)
        == [
          "spec.topologySpreadConstraints[1].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{zone, DoNotSchedule}\""
        ])
    #expect(
      try spread(#"{\#(good),"whenUnsatisfiable":"DoNotSchedule"},{\#(good),"whenUnsatisfiable":"ScheduleAnyway"}"#)
        == [])
    #expect(try spread(#"{\#(good),"whenUnsatisfiable":"DoNotSchedule","matchLabelKeys":["a"]}"#).count == 1)
    #expect(try spread(#"{\#(good),"whenUnsatisfiable":"DoNotSchedule","matchLabelKeys":["pod-template-hash"]}"#) == [])
  }

  @Test func operatingSystems() throws {
    #expect(try pod(#"{"os":{"name":"windows"},"containers":[\#(Self.container)]}"#) == [])
    #expect(try pod(#"{"os":{"name":"plan9"},"containers":[\#(Self.container)]}"#).count == 1)
    #expect(
      try pod(
        #"{"os":{"name":"windows"},"hostPID":true,"containers":[{"name":"c","image":"i:1","securityContext":{"runAsUser":1}}]}"#
      ) == [
        "spec.hostPID: Forbidden: cannot be set for a windows pod",
        "spec.containers[0].securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
      ])
    #expect(
      try pod(
        #"{"os":{"name":"linux"},"securityContext":{"windowsOptions":{"runAsUserName":"x"}},"containers":[\#(Self.container)]}"#
      ) == ["spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"])
  }

  // MARK: Names of objects

  /// The kinds whose names are labels; all others may have dots.
  @Test func namesWithDots() throws {
    let labels: Set<String> = ["Namespace", "Service", "StatefulSet"]
    let ownRules: Set<String> = ["IPAddress"]
    for schema in SchemaRegistry.builtin.kinds where schema.isServed && !ownRules.contains(schema.kind) {
      let metadata: JSON = ["name": "simple.rc", "namespace": "default"]
      let object: JSON = ["apiVersion": .string(schema.groupVersion.description), "metadata": metadata]
      let found = schema.validate(object, old: nil).filter { $0.path == "metadata.name" }
      #expect(found.isEmpty != labels.contains(schema.kind), "\(schema.kind): \(found)")
    }
  }

  // MARK: Members that are always there

  @Test(arguments: [("v1", "Node"), ("v1", "Pod"), ("apps/v1", "Deployment"), ("v1", "Service"), ("batch/v1", "Job")])
  func specAndStatusAreAlwaysThere(apiVersion: String, name: String) throws {
    let object = try made(apiVersion, name, #"{"metadata":{"name":"n"}}"#)
    #expect(object["spec"]?.object != nil && object["status"]?.object != nil)
  }

  @Test func whatIsAPointerIsNot() throws {
    let runtimeClass = try made("node.k8s.io/v1", "RuntimeClass", #"{"metadata":{"name":"n"},"handler":"h"}"#)
    #expect(runtimeClass["overhead"] == nil && runtimeClass["scheduling"] == nil)
    #expect(try made("v1", "ConfigMap", #"{"metadata":{"name":"n"}}"#)["spec"] == nil)
  }

  // MARK: Addresses and classes

  @Test func addressesAndRanges() throws {
    func range(_ cidrs: String, old: String? = nil) throws -> [String] {
      func text(_ cidrs: String) -> String { #"{"metadata":{"name":"r"},"spec":{"cidrs":\#(cidrs)}}"# }
      return try problems("networking.k8s.io/v1", "ServiceCIDR", text(cidrs), old: old.map(text))
    }
    #expect(try range(#"["10.0.0.0/24"]"#) == [])
    #expect(try range("[]") == ["spec.cidrs: Required value: at least one CIDR required"])
    #expect(try range(#"["10.0.0.0"]"#).count == 1)
    #expect(try range(#"["10.0.0.0/24","10.1.0.0/24"]"#).count == 1)
    #expect(try range(#"["10.0.0.0/24","fd00::/112"]"#, old: #"["10.0.0.0/24"]"#) == [])
    #expect(try range(#"["10.1.0.0/24"]"#, old: #"["10.0.0.0/24"]"#).count == 1)
    func address(_ name: String, _ spec: String) throws -> [String] {
      try problems("networking.k8s.io/v1", "IPAddress", #"{"metadata":{"name":"\#(name)"},"spec":\#(spec)}"#)
    }
    #expect(try address("10.0.0.7", #"{"parentRef":{"resource":"services","namespace":"a","name":"b"}}"#) == [])
    #expect(try address("10.0.0.7", "{}") == ["spec.parentRef: Required value"])
    #expect(try address("10.0.0.07", #"{"parentRef":{"resource":"services","name":"b"}}"#).count == 1)
    #expect(
      try address("10.0.0.7", #"{"parentRef":{"resource":"","name":""}}"#)
        == ["spec.parentRef.resource: Required value", "spec.parentRef.name: Required value"])
  }

  @Test func runtimeClasses() throws {
    func found(_ rest: String, old: String? = nil) throws -> [String] {
      func text(_ rest: String) -> String { #"{"metadata":{"name":"r"},\#(rest)}"# }
      return try problems("node.k8s.io/v1", "RuntimeClass", text(rest), old: old.map(text))
    }
    #expect(try found(#""handler":"crun","overhead":{"podFixed":{"cpu":"10m"}}"#) == [])
    #expect(try found(#""handler":"not ok""#).count == 1)
    #expect(try found(#""handler":"a""#, old: #""handler":"b""#).count == 1)
    #expect(try found(#""handler":"a","overhead":{"podFixed":{"cpu":"-1"}}"#).count == 1)
    #expect(
      try found(#""handler":"a","scheduling":{"tolerations":[{"key":"a","operator":"Exists","value":"b"}]}"#).count == 1
    )
  }

  // MARK: Events

  private func event(_ text: String, _ apiVersion: String = "events.k8s.io/v1", old: String? = nil) throws -> [String] {
    func whole(_ rest: String) -> String { #"{"metadata":{"name":"e","namespace":"default"},\#(rest)}"# }
    return try problems(apiVersion, "Event", whole(text), old: old.map(whole))
  }

  private static let fields = [
    ("eventTime", #""2026-01-01T12:00:00.000000Z""#), ("type", #""Normal""#), ("reason", #""R""#), ("action", #""A""#),
    ("note", #""n""#), ("reportingController", #""example.com/c""#), ("reportingInstance", #""c-1""#),
    ("regarding", #"{"kind":"Pod","namespace":"default"}"#),
  ]

  private func report(without name: String = "") -> String {
    Self.fields.filter { $0.0 != name }.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",")
  }

  @Test func newerEventsSayWhoReportsWhat() throws {
    #expect(try event(report()) == [])
    for field in ["eventTime", "type", "action", "reason", "reportingController", "reportingInstance"] {
      #expect(try event(report(without: field)).contains { $0.hasPrefix(field) }, "\(field)")
    }
    #expect(
      try event(report() + #","deprecatedCount":1"#) == ["deprecatedCount: Invalid value: \"\": needs to be unset"])
    #expect(try event(report() + #","series":{"count":1,"lastObservedTime":"2026-01-01T12:00:00.000000Z"}"#).count == 1)
    #expect(
      try event(
        report() + #","series":{"count":2,"lastObservedTime":"2026-01-01T12:00:00.000000Z"}"#, old: report()) == [])
    #expect(
      try event(report().replacing("\"note\":\"n\"", with: "\"note\":\"m\""), old: report())
        == ["note: Invalid value: \"m\": field is immutable"])
  }

  @Test func olderEventsNeedNot() throws {
    #expect(try event(#""involvedObject":{"kind":"Pod","namespace":"default"},"message":"m""#, "v1") == [])
    #expect(try event(#""involvedObject":{"kind":"Node"}"#, "v1") == [])
    #expect(
      try event(#""involvedObject":{"kind":"Pod","namespace":"other"}"#, "v1")
        == ["involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"])
  }

  @Test func eventsHaveOneStoredForm() throws {
    let schema = try kind("events.k8s.io/v1", "Event")
    let conversion = try #require(schema.conversion)
    let served = try made(
      "events.k8s.io/v1", "Event",
      "{\"apiVersion\":\"events.k8s.io/v1\",\"kind\":\"Event\",\"metadata\":{\"name\":\"e\"},\(report())}")
    let stored = conversion.stored(served)
    #expect(stored["apiVersion"] == "v1" && stored["message"] == "n" && stored["note"] == nil)
    #expect(stored.at("involvedObject", "kind") == "Pod")
    #expect(conversion.served(stored) == served)
    let field = try #require(schema.strategy.selectableFields.first { $0.name == "regarding.name" })
    #expect(field.place.paths == [["involvedObject", "name"]])
    // Every field of the one kind is a field of the other.
    let core = try kind("v1", "Event").root
    for field in schema.root.fields {
      #expect(core.field(conversion.stored([field.name: 1]).object?.keys.first ?? "") != nil)
    }
    #expect(schema.root.fields.count == core.fields.count)
  }
}
