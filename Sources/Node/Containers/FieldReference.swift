import KubeTypes
import Wire

/// The pod fields that `fieldRef` and the downward API can name.
enum FieldReference {
  /// What is known of the pod's place, which its object does not say yet.
  struct Place: Sendable, Equatable {
    var hostIPs: [String]
    var podIPs: [String]
  }

  /// The value of `path`, or `nil` when no such field can be referred to.
  static func value(_ path: String, pod: Pod, place: Place) -> String? {
    if let key = subscriptKey(path, of: "metadata.labels") { return pod.metadata.labels[key] ?? "" }
    if let key = subscriptKey(path, of: "metadata.annotations") { return pod.metadata.annotations[key] ?? "" }
    switch path {
    case "metadata.name": return pod.metadata.name ?? ""
    case "metadata.namespace": return pod.metadata.namespace ?? ""
    case "metadata.uid": return pod.metadata.uid ?? ""
    case "metadata.labels": return formatMap(pod.metadata.labels)
    case "metadata.annotations": return formatMap(pod.metadata.annotations)
    case "spec.nodeName": return pod.spec.nodeName ?? ""
    case "spec.serviceAccountName": return pod.spec.serviceAccountName ?? ""
    case "status.hostIP": return place.hostIPs.first ?? ""
    case "status.hostIPs": return place.hostIPs.joined(separator: ",")
    case "status.podIP": return place.podIPs.first ?? ""
    case "status.podIPs": return place.podIPs.joined(separator: ",")
    default: return nil
    }
  }

  /// The key in `metadata.labels['key']`.
  private static func subscriptKey(_ path: String, of field: String) -> String? {
    guard path.hasPrefix(field + "['"), path.hasSuffix("']"), path.utf8.count >= field.utf8.count + 4 else {
      return nil
    }
    return String(path.dropFirst(field.count + 2).dropLast(2))
  }

  /// `key="value"` lines, sorted, values escaped as Go's `%q` does.
  static func formatMap(_ map: [String: String]) -> String {
    map.sorted { $0.key < $1.key }.map { "\($0.key)=\(quoted($0.value))" }.joined(separator: "\n")
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      default:
        if scalar.value < 0x20 || scalar.value == 0x7F {
          let hex = String(scalar.value, radix: 16)
          result += "\\x" + (hex.utf8.count < 2 ? "0" : "") + hex
        } else {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    return result + "\""
  }

  /// The value of a `resourceFieldRef`: a container's limit or request in units of `divisor`, rounded up. A limit that
  /// is not set reads as what the node has.
  static func resource(
    _ name: String, of container: Container, divisor: Quantity?, allocatable: [String: Quantity]
  ) -> String? {
    let parts = name.split(separator: ".", maxSplits: 1)
    guard parts.count == 2 else { return nil }
    let resource = String(parts[1])
    var amount: Quantity
    switch parts[0] {
    case "limits": amount = container.resources?.limits[resource] ?? allocatable[resource] ?? .zero
    case "requests": amount = container.resources?.requests[resource] ?? .zero
    default: return nil
    }
    if amount.nanos < 0 { amount = .zero }
    let unit = divisor.flatMap { $0.nanos > 0 ? $0.nanos : nil } ?? 1_000_000_000
    return "\((amount.nanos + unit - 1) / unit)"
  }
}
