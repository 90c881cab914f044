import KubeTypes
import Wire

/// `pod-template-hash`: the label that tells the pods of a Deployment's ReplicaSets apart.
enum DeploymentHash {
  static let label = "pod-template-hash"

  /// A hash of a pod template, in ten characters that are no vowels (so that they make no words, `rand.SafeEncodeString`).
  ///
  /// It depends on what the template says and not on the order in which it says it. `collisions` is the Deployment's
  /// `status.collisionCount`: another number gives another hash.
  static func hash(_ template: PodTemplateSpec, collisions: Int64?) -> String {
    var bytes = inOrder(withoutHash(template)).serialized()
    if let collisions { bytes.append(decimal: collisions) }
    var rest: UInt64 = 0xcbf2_9ce4_8422_2325
    // The 64-bit Fowler-Noll-Vo hash (draft-eastlake-fnv).
    for byte in bytes { rest = (rest ^ UInt64(byte)) &* 0x100_0000_01b3 }
    let alphabet = Array("bcdfghjklmnpqrstvwxz2456789".unicodeScalars)
    var text = String.UnicodeScalarView()
    for _ in 0..<10 {
      text.append(alphabet[Int(rest % UInt64(alphabet.count))])
      rest /= UInt64(alphabet.count)
    }
    return String(text)
  }

  /// Whether two templates say the same, the hash label aside.
  static func isSameTemplate(_ a: PodTemplateSpec, _ b: PodTemplateSpec) -> Bool {
    withoutHash(a) == withoutHash(b)
  }

  private static func withoutHash(_ template: PodTemplateSpec) -> JSON {
    var json = template.json
    if let labels = json.at("metadata", "labels")?.object, labels[label] != nil {
      var rest = labels
      rest[label] = nil
      json["metadata"]?["labels"] = rest.isEmpty ? nil : .object(rest)
    }
    return json
  }

  /// The value with the members of its objects sorted.
  private static func inOrder(_ json: JSON) -> JSON {
    switch json {
    case .object(let object):
      let members = object.members.sorted { $0.key < $1.key }
      return .object(JSONObject(uniqueMembers: members.map { (key: $0.key, value: inOrder($0.value)) }))
    case .array(let elements): return .array(elements.map(inOrder))
    default: return json
    }
  }
}
