import Schema

/// Refusals of `k8s.io/apimachinery/pkg/api/errors` that more than the API server gives, with the wording that clients
/// show.
extension KubeError {
  package static func details(_ resource: GroupVersionResource, _ name: String, uid: String = "", causes: [Cause] = [])
    -> Details
  {
    Details(name: name, group: resource.group, kind: resource.resource, uid: uid, causes: causes)
  }

  package static func forbidden(_ resource: GroupVersionResource, _ name: String, _ why: String) -> KubeError {
    let message =
      name.isEmpty
      ? "\(resource.groupResource) is forbidden: \(why)" : "\(resource.groupResource) \"\(name)\" is forbidden: \(why)"
    return KubeError(code: 403, reason: .forbidden, message: message, details: details(resource, name))
  }

  /// `field.ErrorList` as `errors.NewInvalid` puts it.
  package static func invalid(kind: GroupVersionKind, name: String, _ errors: [FieldError]) -> KubeError {
    let causes = errors.map { Cause(reason: $0.type.rawValue, message: $0.message, field: $0.path) }
    var seen: Set<String> = []
    let texts = errors.map { "\($0.path): \($0.message)" }.filter { seen.insert($0).inserted }
    let text = texts.count == 1 ? texts[0] : "[\(texts.joined(separator: ", "))]"
    let qualified = kind.group.isEmpty ? kind.kind : "\(kind.kind).\(kind.group)"
    return KubeError(
      code: 422, reason: .invalid, message: "\(qualified) \"\(name)\" is invalid: \(text)",
      details: Details(name: name, group: kind.group, kind: kind.kind, causes: causes))
  }
}
