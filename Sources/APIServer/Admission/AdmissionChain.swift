import ControllerKit
import KubeClient

/// The rules in their order; the first refusal ends the write.
struct AdmissionChain: Sendable {
  let steps: [any AdmissionStep]

  func admit(_ request: inout AdmissionRequest) throws(KubeError) {
    for step in steps { try step.admit(&request) }
  }
}
