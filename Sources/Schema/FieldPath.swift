/// Where a value stands in an object, such as `spec.containers[0].env[2].name`.
///
/// A path is a chain of steps that share their beginnings, so that validation builds text only for what is wrong.
public indirect enum FieldPath: Sendable {
  case root
  case child(FieldPath, String)
  case index(FieldPath, Int)
  /// A key that is data, such as a label: `metadata.labels[app]`.
  case key(FieldPath, String)

  public static func of(_ names: String...) -> FieldPath {
    var path = FieldPath.root
    for name in names { path = .child(path, name) }
    return path
  }

  public subscript(_ name: String) -> FieldPath { .child(self, name) }
  public subscript(_ index: Int) -> FieldPath { .index(self, index) }
  public subscript(key key: String) -> FieldPath { .key(self, key) }
}

extension FieldPath: CustomStringConvertible {
  /// As Kubernetes writes it.
  public var description: String {
    switch self {
    case .root: return ""
    case .child(let parent, let name):
      let head = parent.description
      return head.isEmpty ? name : "\(head).\(name)"
    case .index(let parent, let index): return "\(parent)[\(index)]"
    case .key(let parent, let key): return "\(parent)[\(key)]"
    }
  }
}
