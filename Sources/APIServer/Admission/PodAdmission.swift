import ControllerKit
import KubeClient
import KubeTypes
import Store
import Wire

/// Pods run as a service account, `default` when they name none, and get its token mounted (KEP-1205).
struct ServiceAccountAdmission: AdmissionStep {
  let store: Store
  let identifiers: IdentifierSource

  private static let mountPath = "/var/run/secrets/kubernetes.io/serviceaccount"

  func admit(_ request: inout AdmissionRequest) throws(KubeError) {
    guard request.isCore("pods"), request.operation == .create else { return }
    // Static pods stand for containers that run already; they may not use accounts.
    if request.object.at("metadata", "annotations", "kubernetes.io/config.mirror") != nil { return }
    var spec = request.object["spec"] ?? .object(JSONObject())
    let name: String
    if let given = spec["serviceAccountName"]?.string, !given.isEmpty {
      name = given
    } else {
      name = "default"
      spec["serviceAccountName"] = "default"
    }
    spec["serviceAccount"] = .string(name)
    guard let account = store.get("serviceaccounts/\(request.namespace)/\(name)"),
      let accountJSON = try? JSON.parse(account.value)
    else {
      throw request.forbidden(
        "error looking up service account \(request.namespace)/\(name): serviceaccount \"\(name)\" not found")
    }
    let automounts =
      spec["automountServiceAccountToken"]?.bool ?? accountJSON["automountServiceAccountToken"]?.bool ?? true
    if automounts { mountToken(&spec) }
    if spec["imagePullSecrets"]?.array?.isEmpty ?? true,
      let secrets = accountJSON["imagePullSecrets"]?.array, !secrets.isEmpty
    {
      spec["imagePullSecrets"] = .array(secrets)
    }
    request.object["spec"] = spec
  }

  private func mountToken(_ spec: inout JSON) {
    let existing = spec["volumes"]?.array?.first { volume in
      volume["name"]?.string?.hasPrefix("kube-api-access-") == true && volume["projected"] != nil
    }?["name"]?.string
    let volumeName = existing ?? "kube-api-access-\(identifiers.suffix())"
    var isNeeded = false
    for list in ["initContainers", "containers"] {
      guard var containers = spec[list]?.array else { continue }
      for index in containers.indices {
        var mounts = containers[index]["volumeMounts"]?.array ?? []
        if mounts.contains(where: { $0["mountPath"]?.string == Self.mountPath }) { continue }
        mounts.append(["name": .string(volumeName), "readOnly": true, "mountPath": .string(Self.mountPath)])
        containers[index]["volumeMounts"] = .array(mounts)
        isNeeded = true
      }
      spec[list] = .array(containers)
    }
    guard isNeeded, existing == nil else { return }
    let volume: JSON = ["name": .string(volumeName), "projected": Self.tokenVolume]
    spec["volumes"] = .array((spec["volumes"]?.array ?? []) + [volume])
  }

  private static let tokenVolume: JSON = [
    "sources": [
      ["serviceAccountToken": ["expirationSeconds": 3607, "path": "token"]],
      ["configMap": ["name": "kube-root-ca.crt", "items": [["key": "ca.crt", "path": "ca.crt"]]]],
      [
        "downwardAPI": [
          "items": [["path": "namespace", "fieldRef": ["apiVersion": "v1", "fieldPath": "metadata.namespace"]]]
        ]
      ],
    ], "defaultMode": 420,
  ]
}

/// `spec.priority` and `spec.preemptionPolicy` follow from `spec.priorityClassName`.
struct PriorityAdmission: AdmissionStep {
  let classes: PriorityClasses

  func admit(_ request: inout AdmissionRequest) throws(KubeError) {
    guard request.isCore("pods"), request.operation == .create else { return }
    let found: PriorityClasses.PriorityClass?
    if let name = request.object.at("spec", "priorityClassName")?.string, !name.isEmpty {
      guard let named = classes[name] else { throw request.forbidden("no PriorityClass with name \(name) was found") }
      found = named
    } else {
      found = classes.globalDefault
      if let found { request.object["spec"]?["priorityClassName"] = .string(found.name) }
    }
    let priority = found?.value ?? 0
    if let given = request.object.at("spec", "priority")?.int, given != priority {
      throw request.forbidden(
        "the integer value of priority (\(given)) must not be provided in pod spec; priority admission controller "
          + "computed \(priority) from the given PriorityClass name")
    }
    request.object["spec"]?["priority"] = .int(priority)
    if request.object.at("spec", "preemptionPolicy") == nil {
      request.object["spec"]?["preemptionPolicy"] = .string(found?.preemptionPolicy ?? "PreemptLowerPriority")
    }
  }
}

/// Pods stay for five minutes on a node that is not ready or not reachable.
struct DefaultTolerations: AdmissionStep {
  func admit(_ request: inout AdmissionRequest) throws(KubeError) {
    guard request.isCore("pods"), request.operation == .create else { return }
    var tolerations = request.object.at("spec", "tolerations")?.array ?? []
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
      let isTolerated = tolerations.contains { toleration in
        let effect = toleration["effect"]?.string ?? ""
        let name = toleration["key"]?.string ?? ""
        return (name == key || (name.isEmpty && toleration["operator"]?.string == "Exists"))
          && (effect.isEmpty || effect == "NoExecute")
      }
      if !isTolerated {
        tolerations.append([
          "key": .string(key), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300,
        ])
      }
    }
    request.object["spec"]?["tolerations"] = .array(tolerations)
  }
}

/// A pod starts as `Pending` with its quality-of-service class.
struct PodStatusDefaults: AdmissionStep {
  func admit(_ request: inout AdmissionRequest) throws(KubeError) {
    guard request.isCore("pods"), request.operation == .create else { return }
    let qos = Self.qualityOfService(request.object["spec"] ?? .null)
    var status: JSON = ["phase": "Pending", "qosClass": .string(qos)]
    if request.object.at("spec", "schedulingGates")?.array?.isEmpty == false {
      status["conditions"] = [
        [
          "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
          "message": "Scheduling is blocked due to non-empty scheduling gates",
        ]
      ]
    }
    request.object["status"] = status
  }

  /// `Guaranteed` when every container's limits equal its requests for cpu and memory, `BestEffort` when none has any,
  /// else `Burstable` (`k8s.io/kubernetes/pkg/apis/core/v1/helper/qos`).
  static func qualityOfService(_ spec: JSON) -> String {
    let containers = (spec["containers"]?.array ?? []) + (spec["initContainers"]?.array ?? [])
    var hasAny = false
    var isGuaranteed = !containers.isEmpty
    for container in containers {
      for resource in ["cpu", "memory"] {
        let limit = container.at("resources", "limits", resource).flatMap(quantity)
        let request = container.at("resources", "requests", resource).flatMap(quantity) ?? limit
        if (limit ?? .zero) > .zero || (request ?? .zero) > .zero { hasAny = true }
        guard let limit, let request, limit > .zero, limit == request else {
          isGuaranteed = false
          continue
        }
      }
    }
    if !hasAny { return "BestEffort" }
    return isGuaranteed ? "Guaranteed" : "Burstable"
  }

  private static func quantity(_ json: JSON) -> Quantity? {
    switch json {
    case .string(let text): Quantity(text)
    case .int(let value): Quantity(value)
    default: nil
    }
  }
}
