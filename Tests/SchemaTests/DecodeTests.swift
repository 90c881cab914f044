import Testing
import Wire

@testable import Schema

@Suite struct DecodeTests {
  private func decode(_ apiVersion: String, _ name: String, _ text: String) throws -> (JSON, DecodeReport) {
    var json = try JSON.parse(text)
    let report = try kind(apiVersion, name).decode(&json)
    return (json, report)
  }

  @Test func unknownFieldsAreRemovedAndNamed() throws {
    let (json, report) = try decode(
      "apps/v1", "Deployment",
      """
      {"kind":"Deployment","foo":1,"spec":{"template":{"spec":{"foo":{},"containers":[{"name":"a","image":"b","bar":1}]}}}}
      """)
    #expect(report.unknownFields == ["foo", "spec.template.spec.foo", "spec.template.spec.containers[0].bar"])
    #expect(report.unknownFieldMessages.first == "unknown field \"foo\"")
    #expect(report.errors.isEmpty)
    #expect(
      json.text
        == #"{"kind":"Deployment","spec":{"template":{"spec":{"containers":[{"name":"a","image":"b"}]}}}}"#)
  }

  @Test func wrongTypesAreNamed() throws {
    let (_, report) = try decode(
      "apps/v1", "Deployment",
      """
      {"metadata":{"labels":{"a":1}},"spec":{"replicas":"3","paused":"no","minReadySeconds":1.5,
       "template":{"spec":{"containers":{}, "terminationGracePeriodSeconds": 99999999999}}}}
      """)
    #expect(
      report.errors.map(\.description) == [
        "metadata.labels.a: Invalid value: 1: expected a string, found a number",
        "spec.replicas: Invalid value: \"3\": expected a 32-bit whole number, found a string",
        "spec.paused: Invalid value: \"no\": expected a boolean, found a string",
        "spec.minReadySeconds: Invalid value: 1.5: expected a 32-bit whole number, found a number",
        "spec.template.spec.containers: Invalid value: \"object\": expected a list, found an object",
      ])
    #expect(report.errors.allSatisfy { $0.type == .typeInvalid })
  }

  @Test func formsAreChecked() throws {
    let (_, report) = try decode(
      "v1", "Pod",
      """
      {"metadata":{"creationTimestamp":"yesterday"},"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"x"}},
       "ports":[{"containerPort":4294967296}],"livenessProbe":{"httpGet":{"port":true}}}]}}
      """)
    #expect(
      report.errors.map(\.path) == [
        "metadata.creationTimestamp", "spec.containers[0].resources.limits.cpu",
        "spec.containers[0].ports[0].containerPort", "spec.containers[0].livenessProbe.httpGet.port",
      ])
    let (_, secret) = try decode("v1", "Secret", #"{"data":{"a":"not base64!"}}"#)
    #expect(secret.errors.map(\.path) == ["data.a"])
    // What might be a password is not repeated.
    #expect(!secret.errors.description.contains("not base64"))
  }

  @Test func nullsAndEmptyValuesGo() throws {
    let (json, report) = try decode(
      "v1", "Pod",
      """
      {"metadata":{"creationTimestamp":null,"labels":{},"annotations":{"a":null}},
       "spec":{"hostNetwork":false,"nodeName":"","volumes":[{"name":"v","emptyDir":{}}],"containers":[{"name":"c","args":[]}],
        "priority":0,"securityContext":{}},"status":null}
      """)
    #expect(report == DecodeReport())
    #expect(
      json.text
        == #"{"metadata":{"annotations":{"a":""}},"spec":{"volumes":[{"name":"v","emptyDir":{}}],"#
        + #""containers":[{"name":"c"}],"priority":0,"securityContext":{}}}"#)
  }

  @Test func timesAndQuantitiesBecomeCanonical() throws {
    let (json, _) = try decode(
      "v1", "Pod",
      """
      {"metadata":{"creationTimestamp":"2026-01-02T03:04:05.678+01:00"},
       "spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":0.5,"memory":"1024Mi","pods":1000}}}]}}
      """)
    #expect(json.at("metadata", "creationTimestamp") == "2026-01-02T02:04:05Z")
    let requests = json.at("spec", "containers")?.array?[0].at("resources", "requests")
    #expect(requests?.text == #"{"cpu":"500m","memory":"1Gi","pods":"1k"}"#)
  }

  @Test(arguments: [
    ("100m", "100m"), ("0.1", "100m"), ("1000m", "1"), ("1500m", "1500m"), ("64Mi", "64Mi"), ("512Ki", "512Ki"),
    ("1.5Gi", "1536Mi"), ("1023Ki", "1023Ki"), ("0", "0"), ("0Mi", "0"), ("1e3", "1e3"), ("1000000", "1M"),
    ("-5", "-5"), ("1Ei", "1Ei"), ("3E", "3E"), ("123456", "123456"), ("500n", "500n"),
  ])
  func quantitiesAreWrittenAsKubernetesDoes(_ text: String, _ canonical: String) {
    #expect(QuantityText.canonical(text) == canonical)
  }

  @Test func decodingTwiceChangesNothing() throws {
    let (once, _) = try decode(
      "v1", "Service",
      #"{"spec":{"ports":[{"port":80,"targetPort":"http"},{"port":81,"targetPort":81}],"selector":{"a":"b"}}}"#)
    var twice = once
    #expect(try kind("v1", "Service").decode(&twice) == DecodeReport())
    #expect(once == twice)
  }
}
