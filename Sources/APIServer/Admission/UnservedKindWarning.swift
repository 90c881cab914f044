import ControllerKit
import KubeClient
import Schema
import Wire

/// Warns whoever creates what nothing acts on, or makes it so by a change: it would wait in silence for ever.
struct UnservedKindWarning: AdmissionStep {
  func admit(_ request: inout AdmissionRequest) throws(KubeError) {
    guard request.isStored, request.subresource.isEmpty else { return }
    let (group, kind) = (request.kind.group, request.kind.kind)
    guard let notice = UnservedKinds.notice(group: group, kind: kind, object: request.object) else { return }
    if let old = request.old, UnservedKinds.notice(group: group, kind: kind, object: old) != nil { return }
    request.warnings.append(notice)
  }
}
