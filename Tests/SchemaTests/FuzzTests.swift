import TestKit
import Testing
import Wire

@testable import Schema

/// Random changes of real objects never crash the server.
@Suite struct FuzzTests {
  private static let samples: [(String, String, String)] = [
    (
      "v1", "Pod",
      """
      {"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{"a":"b"},"finalizers":["a/b"],
       "ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"x","uid":"u","controller":true}]},
       "spec":{"containers":[{"name":"c","image":"i:1","env":[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['a']"}}}],
         "ports":[{"name":"http","containerPort":80,"hostPort":80}],"resources":{"limits":{"cpu":"1"},"requests":{"cpu":"100m"}},
         "livenessProbe":{"httpGet":{"port":"http","httpHeaders":[{"name":"X","value":"y"}]}},"volumeMounts":[{"name":"v","mountPath":"/x"}]}],
        "volumes":[{"name":"v","projected":{"sources":[{"serviceAccountToken":{"path":"t"}},{"downwardAPI":{"items":[{"path":"l","fieldRef":{"fieldPath":"metadata.labels"}}]}}]}}],
        "tolerations":[{"key":"a","operator":"Exists","effect":"NoExecute","tolerationSeconds":3}],"activeDeadlineSeconds":4,
        "affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"In","values":["b"]}]}]}}},
        "schedulingGates":[{"name":"g"}]},
       "status":{"conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}
      """
    ),
    (
      "v1", "Service",
      """
      {"metadata":{"name":"s"},"spec":{"type":"NodePort","selector":{"a":"b"},"clusterIP":"10.0.0.1","clusterIPs":["10.0.0.1"],
       "ports":[{"name":"a","port":80,"targetPort":"http","nodePort":30000}],"externalIPs":["1.2.3.4"],"sessionAffinity":"ClientIP"}}
      """
    ),
    (
      "apps/v1", "Deployment",
      """
      {"metadata":{"name":"d"},"spec":{"replicas":2,"selector":{"matchExpressions":[{"key":"a","operator":"In","values":["b"]}]},
       "strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":0}},"template":{"metadata":{"labels":{"a":"b"}},
       "spec":{"containers":[{"name":"c","image":"i"}]}}}}
      """
    ),
    (
      "networking.k8s.io/v1", "Ingress",
      """
      {"metadata":{"name":"i"},"spec":{"rules":[{"host":"a.b","http":{"paths":[{"path":"/","pathType":"Prefix",
       "backend":{"service":{"name":"s","port":{"number":80}}}}]}}]}}
      """
    ),
  ]

  private static let values: [JSON] = [
    .null, true, false, 0, -1, 1, 65_536, .int(.max), .int(.min), .double(1.5), .double(1e300), "", "a", "A_b", "\u{0}",
    "25%",
    "9999999999999999999999", "1e99999", "é…", "$patch", "delete", [], [.null], [[]], ["a", 1], [:], ["a": 1],
    ["$patch": "delete"],
    ["$patch": "replace"], ["name": "c"], ["$retainKeys": ["name"]], ["$setElementOrder/containers": [["name": "c"]]],
  ]

  private func mutate(_ json: JSON, _ random: inout SeededGenerator) -> JSON {
    let value = Self.values.randomElement(using: &random) ?? .null
    switch json {
    case .object(var object) where !object.isEmpty && Int.random(in: 0..<5, using: &random) > 0:
      let at = Int.random(in: 0..<object.count, using: &random)
      switch Int.random(in: 0..<12, using: &random) {
      case 0: object[object.keys[at]] = nil
      case 1: object["x\(at)"] = value
      case 2: object["$setElementOrder/" + object.keys[at]] = value
      case 3: object["$deleteFromPrimitiveList/" + object.keys[at]] = value
      default: object.update(at: at) { $0 = mutate($0, &random) }
      }
      return .object(object)
    case .array(var elements) where !elements.isEmpty && Int.random(in: 0..<4, using: &random) > 0:
      let at = Int.random(in: 0..<elements.count, using: &random)
      switch Int.random(in: 0..<6, using: &random) {
      case 0: elements.remove(at: at)
      case 1: elements.append(elements[at])
      case 2: elements.insert(value, at: at)
      default: elements[at] = mutate(elements[at], &random)
      }
      return .array(elements)
    default: return value
    }
  }

  @Test(arguments: 0..<samples.count)
  func nothingCrashes(_ sample: Int) throws {
    let (apiVersion, name, text) = Self.samples[sample]
    let schema = try kind(apiVersion, name)
    let original = try JSON.parse(text)
    let good = try made(apiVersion, name, text)
    var random = SeededGenerator(seed: UInt64(sample) + 1)
    for round in 0..<4000 {
      var json = original
      for _ in 0..<Int.random(in: 1...5, using: &random) { json = mutate(json, &random) }
      let patch = json
      let report = schema.decode(&json)
      if report.errors.isEmpty {
        // A decoded object is stable: decoding it again finds and changes nothing.
        var again = json
        #expect(schema.decode(&again) == DecodeReport(), "seed \(sample), round \(round)")
        #expect(again == json, "seed \(sample), round \(round)")
      }
      // Even what must be refused must not bring the server down.
      schema.applyDefaults(&json)
      _ = schema.validate(json, old: nil)
      _ = schema.validate(json, old: good)
      _ = schema.validate(good, old: json)
      if let merged = try? schema.strategicMerge(patch, into: good) {
        var merged = merged
        _ = schema.decode(&merged)
      }
    }
  }
}
