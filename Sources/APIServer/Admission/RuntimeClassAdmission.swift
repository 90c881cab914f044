import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Store
import Wire

/// A pod that asks for a RuntimeClass gets its overhead and its place, and one that asks for a class that does not exist
/// is refused: it would run without the sandbox that it counts on (KEP-585, KEP-688).
struct RuntimeClassAdmission: AdmissionStep {
  let store: Store

  private static let prefix = "node.k8s.io/runtimeclasses/"

  func admit(_ request: inout AdmissionRequest) throws(KubeError) {
    guard request.isCore("pods"), request.operation == .create, var spec = request.object["spec"] else { return }
    let overhead = spec["overhead"].flatMap { $0.object?.isEmpty == false ? $0 : nil }
    var found: JSON?
    if let name = spec["runtimeClassName"]?.string, !name.isEmpty {
      guard let entry = store.get(Self.prefix + name), let runtimeClass = try? JSON.parse(entry.value) else {
        throw request.forbidden("pod rejected: RuntimeClass \"\(name)\" not found")
      }
      found = runtimeClass
    }
    let fixed = found?.at("overhead", "podFixed")
    switch (overhead, fixed) {
    case (nil, let fixed?): spec["overhead"] = fixed
    case (let overhead?, let fixed?) where overhead != fixed:
      throw request.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    case (_?, nil):
      throw request.forbidden(
        "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
    default: break
    }
    if let scheduling = found?["scheduling"] { try merge(scheduling, into: &spec, request) }
    request.object["spec"] = spec
  }

  private func merge(_ scheduling: JSON, into spec: inout JSON, _ request: AdmissionRequest) throws(KubeError) {
    let wanted = scheduling["nodeSelector"]?.object?.members ?? []
    if !wanted.isEmpty {
      var selector = spec["nodeSelector"] ?? [:]
      for (key, value) in wanted {
        if let present = selector[key], present != value {
          throw request.forbidden(
            "conflict: runtimeClass.scheduling.nodeSelector[\(key)] = \(value.string ?? ""); "
              + "pod.spec.nodeSelector[\(key)] = \(present.string ?? "")")
        }
        selector[key] = value
      }
      spec["nodeSelector"] = selector
    }
    let tolerations = scheduling["tolerations"]?.array ?? []
    if !tolerations.isEmpty {
      let present = spec["tolerations"]?.array ?? []
      spec["tolerations"] = .array(present + tolerations.filter { !present.contains($0) })
    }
  }
}
