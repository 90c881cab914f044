import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Store
import Wire

/// Objects are created only in namespaces that exist and are not on their way out; the system's namespaces stay.
struct NamespaceLifecycle: AdmissionStep {
  let store: Store

  private static let immortal: Set<String> = ["default", "kube-system", "kube-public"]

  func admit(_ request: inout AdmissionRequest) throws(KubeError) {
    if request.isCore("namespaces") {
      if request.operation == .delete, Self.immortal.contains(request.name) {
        throw request.forbidden("this namespace may not be deleted")
      }
      return
    }
    guard request.operation == .create, request.kind.isNamespaced, request.subresource.isEmpty else { return }
    guard let namespace = store.get("namespaces/\(request.namespace)") else {
      throw KubeError(
        code: 404, reason: .notFound, message: "namespaces \"\(request.namespace)\" not found",
        details: KubeError.Details(name: request.namespace, kind: "namespaces"))
    }
    if let since = namespace.header.deletionTimestamp {
      var error = request.forbidden(
        "unable to create new content in namespace \(request.namespace) because it is being terminated")
      error.details?.causes = [
        KubeError.Cause(
          reason: "NamespaceTerminating",
          message: "namespace \(request.namespace) is being terminated since \(since)", field: "metadata.namespace")
      ]
      throw error
    }
  }
}

/// Namespaces start with the finalizer of the namespace controller, the phase `Active` and their name as a label.
struct NamespaceDefaults: AdmissionStep {
  func admit(_ request: inout AdmissionRequest) throws(KubeError) {
    guard request.isCore("namespaces"), request.isStored else { return }
    if request.operation == .create {
      request.object["spec"] = ["finalizers": ["kubernetes"]]
      request.object["status"] = ["phase": "Active"]
    }
    let name = request.name
    let label = request.object.at("metadata", "labels", "kubernetes.io/metadata.name")?.string
    if !name.isEmpty, label != name {
      request.object["metadata"]?["labels"]?["kubernetes.io/metadata.name"] = .string(name)
    }
  }
}
