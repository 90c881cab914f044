import ArgumentParser
import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Testing
import Wire

@testable import apus

/// The components of all capabilities, as they are put together.
@Suite(.serialized) struct ComponentTests {
  private static let components = [Composition.informerIdentity] + Capabilities.all.flatMap(\.components)
  private static let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]

  private struct Place: Hashable {
    var group: String
    /// With its subresource.
    var resource: String
  }

  /// What anybody declares, and what would give a component more than it has.
  private static var places: Set<Place> {
    var places = Set(
      components.flatMap(\.rules).flatMap { rule in rule.resources.map { Place(group: rule.group, resource: $0) } })
    places.remove(Place(group: "*", resource: "*"))
    places.formUnion(
      ["secrets", "pods", "pods/exec", "pods/eviction", "serviceaccounts/token", "nodes/proxy", "namespaces"].map {
        Place(group: "", resource: $0)
      })
    places.formUnion(
      ["roles", "clusterrolebindings"].map { Place(group: "rbac.authorization.k8s.io", resource: $0) })
    places.insert(Place(group: "of.others", resource: "things"))
    return places
  }

  private static func declares(_ component: ComponentIdentity, _ verb: String, _ place: Place) -> Bool {
    component.rules.contains { rule in
      rule.verbs.contains(verb) && (rule.group == "*" || rule.group == place.group)
        && (rule.resources == ["*"] || rule.resources.contains(place.resource))
    }
  }

  private static func review(_ component: ComponentIdentity, _ verb: String, _ place: Place) -> JSON {
    let parts = place.resource.split(separator: "/").map(String.init)
    var attributes: JSON = [
      "verb": .string(verb), "group": .string(place.group), "resource": .string(parts[0]), "namespace": "kube-system",
      "name": "x",
    ]
    if parts.count > 1 { attributes["subresource"] = .string(parts[1]) }
    return [
      "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
      "spec": [
        "user": .string(component.user.name), "groups": .array(component.user.groups.map { .string($0) }),
        "resourceAttributes": attributes,
      ],
    ]
  }

  private func options(_ machine: Machine) -> ServerOptions {
    var options = Up.parseOrExit(["--role", "server", "--port", "0", "--registry", "none"]).serverOptions
    options.executable = machine.warden
    return options
  }

  @Test func everyOneHasItsOwnName() {
    let names = Self.components.map(\.user.name)
    #expect(Set(names).count == names.count)
    #expect(Set(Self.components.map(\.role)).count == names.count)
    #expect(!Self.components.contains { $0.user.isMaster })
    // Everything at once is for nobody.
    #expect(!Self.components.flatMap(\.rules).contains { $0.verbs.contains("*") })
  }

  @Test func eachMayDoWhatItDeclaresAndNothingElse() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    let data = machine.data(Capabilities.all)
    try await machine.serve(data, options(machine)) { _ in
      let admin = try HTTPSClient(.load(path: data.kubeconfig))
      defer { admin.close() }
      let reviews = GroupVersionResource(group: "authorization.k8s.io", version: "v1", resource: "subjectaccessreviews")
      try await withThrowingTaskGroup(of: Void.self) { group in
        for component in Self.components {
          group.addTask {
            for place in Self.places {
              for verb in Self.verbs {
                let review = try await admin.create(
                  reviews, namespace: nil, name: nil, subresource: nil, body: Self.review(component, verb, place),
                  options: WriteOptions())
                let isAllowed = review.json().at("status", "allowed") == true
                #expect(
                  isAllowed == Self.declares(component, verb, place),
                  "\(component.user.name) \(verb) \(place.resource).\(place.group)")
              }
            }
          }
        }
        try await group.waitForAll()
      }
    }
    try await machine.purge(data)
  }

  /// Controllers and scheduler do their work with what they declare.
  @Test(.timeLimit(.minutes(1))) func noneIsRefusedAnything() async throws {
    let machine = try Machine()
    defer { machine.remove() }
    let data = machine.data(Capabilities.all)
    try await machine.serve(data, options(machine)) { _ in
      let admin = try HTTPSClient(.load(path: data.kubeconfig))
      defer { admin.close() }
      func core(_ resource: String) -> GroupVersionResource {
        GroupVersionResource(group: "", version: "v1", resource: resource)
      }
      func create(_ resource: GroupVersionResource, _ body: JSON, namespace: String? = "blue") async throws {
        _ = try await admin.create(
          resource, namespace: namespace, name: nil, subresource: nil, body: body, options: WriteOptions())
      }
      /// Waits for an object that fits, or with `isGone` until it has gone.
      func wait(
        for resource: GroupVersionResource, isGone: Bool = false, _ fits: (JSON) -> Bool
      ) async throws {
        let namespace = resource == core("namespaces") ? nil : "blue"
        let list = try await admin.list(resource, namespace: namespace, options: ListOptions())
        if list.items.contains(where: { fits($0.json()) }) != isGone { return }
        let events = try await admin.watch(
          resource, namespace: namespace, options: ListOptions(resourceVersion: list.resourceVersion))
        for try await event in events {
          switch event {
          case .added(let object), .modified(let object): if !isGone, fits(object.json()) { return }
          case .deleted(let object): if isGone, fits(object.json()) { return }
          case .bookmark: break
          }
        }
        Issue.record("the watch of \(resource.resource) ended")
      }
      try await create(core("namespaces"), ["metadata": ["name": "blue"]], namespace: nil)
      try await wait(for: core("serviceaccounts")) { $0.at("metadata", "name") == "default" }
      try await wait(for: core("configmaps")) { $0.at("metadata", "name") == "kube-root-ca.crt" }
      let labels: JSON = ["app": "web"]
      let template: JSON = ["metadata": ["labels": labels], "spec": ["containers": [["name": "c", "image": "i:1"]]]]
      try await create(
        core("services"), ["metadata": ["name": "web"], "spec": ["selector": labels, "ports": [["port": 80]]]])
      let deployments = GroupVersionResource(group: "apps", version: "v1", resource: "deployments")
      try await create(
        deployments,
        ["metadata": ["name": "web"], "spec": ["selector": ["matchLabels": labels], "template": template]])
      try await create(
        core("replicationcontrollers"),
        [
          "metadata": ["name": "old"],
          "spec": [
            "replicas": 1, "selector": ["app": "old"],
            "template": ["metadata": ["labels": ["app": "old"]], "spec": template["spec"] ?? .null],
          ],
        ])
      try await create(
        GroupVersionResource(group: "apps", version: "v1", resource: "statefulsets"),
        [
          "metadata": ["name": "unserved"],
          "spec": ["serviceName": "web", "selector": ["matchLabels": labels], "template": template],
        ])
      // The scheduler has been there, and found no node.
      for app in ["web", "old"] {
        try await wait(for: core("pods")) { pod in
          pod.at("metadata", "labels", "app") == .string(app)
            && pod.at("status", "conditions")?.array?.contains { $0["type"] == "PodScheduled" } == true
        }
      }
      let slices = GroupVersionResource(group: "discovery.k8s.io", version: "v1", resource: "endpointslices")
      try await wait(for: slices) { $0.at("metadata", "labels", "kubernetes.io/service-name") == "web" }
      try await wait(for: core("endpoints")) { $0.at("metadata", "name") == "web" }
      try await wait(for: deployments) { $0.at("status", "observedGeneration")?.int == 1 }
      try await wait(for: core("events")) { $0["reason"] == "NotActedOn" }
      try await wait(for: core("events")) { $0["reason"] == "FailedScheduling" }
      // The garbage collector: the ReplicaSet goes with its Deployment.
      _ = try await admin.delete(
        deployments, namespace: "blue", name: "web", options: DeleteOptions(propagationPolicy: .foreground))
      try await wait(for: deployments, isGone: true) { $0.at("metadata", "name") == "web" }
      _ = try await admin.delete(core("namespaces"), namespace: nil, name: "blue", options: DeleteOptions())
      try await wait(for: core("namespaces"), isGone: true) { $0.at("metadata", "name") == "blue" }
      let metrics = String(decoding: try await admin.raw(path: "/metrics"), as: UTF8.self)
      #expect(metrics.contains("controller_runtime_reconcile_total"))
      let refusals = metrics.split(separator: "\n").filter { $0.hasPrefix("apus_component_refusals_total{") }
      #expect(refusals.isEmpty)
    }
    try await machine.purge(data)
  }
}
