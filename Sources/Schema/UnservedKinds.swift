public import Wire

/// What is accepted although nothing in Apus acts on it yet: the one list, from which the warning at a creation and the
/// event come. Whoever builds a controller takes its line out.
public enum UnservedKinds {
  /// What is missing, as a sentence about one object; `nil` for what is acted on.
  ///
  /// - Parameter object: read for kinds of which only some objects are not acted on.
  public static func notice(group: String, kind: String, object: @autoclosure () -> JSON) -> String? {
    guard let entry = entries[kind], entry.group == group, entry.applies?(object()) ?? true else { return nil }
    return "no controller of apus acts on this \(kind) yet: \(entry.consequence)"
  }

  /// Group and kind of everything that `notice` may speak of.
  public static var kinds: [(group: String, kind: String)] { entries.map { ($0.value.group, $0.key) } }

  private struct Entry: Sendable {
    var group: String
    var consequence: String
    var applies: (@Sendable (JSON) -> Bool)?

    init(_ group: String, _ consequence: String, when applies: (@Sendable (JSON) -> Bool)? = nil) {
      self.group = group
      self.consequence = consequence
      self.applies = applies
    }
  }

  private static let noPods = "it gets no pods"
  private static let unlessInstalled = "unless you installed one"

  private static let entries: [String: Entry] = [
    "StatefulSet": Entry("apps", noPods),
    "DaemonSet": Entry("apps", noPods),
    "Job": Entry("batch", noPods),
    "CronJob": Entry("batch", "it makes no jobs"),
    "HorizontalPodAutoscaler": Entry("autoscaling", "it scales nothing"),
    "PodDisruptionBudget": Entry(
      "policy", "its status stays empty, and evictions of the pods that it selects are refused"),
    "ResourceQuota": Entry("", "it limits nothing"),
    "LimitRange": Entry("", "it limits nothing and sets no defaults"),
    "NetworkPolicy": Entry("networking.k8s.io", "it blocks nothing, and pods can reach one another"),
    "Ingress": Entry("networking.k8s.io", "it routes nothing, \(unlessInstalled)"),
    "PersistentVolumeClaim": Entry("", "it stays unbound, and pods that use it wait, \(unlessInstalled)"),
    "PersistentVolume": Entry("", "no claim is bound to it, \(unlessInstalled)"),
    "Service": Entry("", "a LoadBalancer gets a node port and no address, \(unlessInstalled)") {
      $0.at("spec", "type")?.string == "LoadBalancer"
    },
    "CertificateSigningRequest": Entry("certificates.k8s.io", "it can be approved, but is not signed"),
    "CustomResourceDefinition": Entry("apiextensions.k8s.io", "the kind that it defines is not served"),
    "APIService": Entry("apiregistration.k8s.io", "requests are not handed on") { $0.at("spec", "service") != nil },
    "ValidatingWebhookConfiguration": Entry("admissionregistration.k8s.io", "it is not asked"),
    "MutatingWebhookConfiguration": Entry("admissionregistration.k8s.io", "it is not asked"),
    "ValidatingAdmissionPolicy": Entry("admissionregistration.k8s.io", "it refuses nothing"),
    "ValidatingAdmissionPolicyBinding": Entry("admissionregistration.k8s.io", "it refuses nothing"),
    "MutatingAdmissionPolicy": Entry("admissionregistration.k8s.io", "it changes nothing"),
    "MutatingAdmissionPolicyBinding": Entry("admissionregistration.k8s.io", "it changes nothing"),
  ]
}
