/// Where the cgroups of pods are below a runtime's root, as the kubelet has them: by the quality of service that a pod is
/// promised. A pod whose record is gone is in one of them.
package enum PodCgroup: String, Sendable, CaseIterable {
  case guaranteed = ""
  case burstable = "burstable/"
  case bestEffort = "besteffort/"

  package func path(podUID: String) -> String { "\(rawValue)pod\(podUID)" }
}
