/// An API group and version, such as `apps/v1` or, for the core group, `v1`.
public struct GroupVersion: Sendable, Hashable, CustomStringConvertible {
  /// Empty for the core group.
  public var group: String
  public var version: String

  public init(group: String, version: String) {
    self.group = group
    self.version = version
  }

  /// Parses an `apiVersion`; `nil` when it has more than one `/` or an empty version.
  public init?(apiVersion: String) {
    let parts = apiVersion.split(separator: "/", omittingEmptySubsequences: false)
    switch parts.count {
    case 1 where !parts[0].isEmpty: self.init(group: "", version: String(parts[0]))
    case 2 where !parts[0].isEmpty && !parts[1].isEmpty:
      self.init(group: String(parts[0]), version: String(parts[1]))
    default: return nil
    }
  }

  /// As `apiVersion` gives it.
  public var description: String { group.isEmpty ? version : "\(group)/\(version)" }

  /// The path below which its resources are served: `/api/v1` or `/apis/GROUP/VERSION`.
  public var path: String { group.isEmpty ? "/api/\(version)" : "/apis/\(group)/\(version)" }
}

/// What an object calls itself: `apiVersion` and `kind`.
public struct GroupVersionKind: Sendable, Hashable, CustomStringConvertible {
  public var group: String
  public var version: String
  public var kind: String

  public init(group: String, version: String, kind: String) {
    self.group = group
    self.version = version
    self.kind = kind
  }

  public var groupVersion: GroupVersion { GroupVersion(group: group, version: version) }
  public var apiVersion: String { groupVersion.description }
  public var description: String { "\(apiVersion), Kind=\(kind)" }
}

/// What the URL calls a collection of objects: `apps/v1`, `deployments`.
public struct GroupVersionResource: Sendable, Hashable, CustomStringConvertible {
  public var group: String
  public var version: String
  /// The plural name in lower case.
  public var resource: String

  public init(group: String, version: String, resource: String) {
    self.group = group
    self.version = version
    self.resource = resource
  }

  public var groupVersion: GroupVersion { GroupVersion(group: group, version: version) }
  /// `deployments.apps`, or `pods` in the core group.
  public var groupResource: String { group.isEmpty ? resource : "\(resource).\(group)" }
  public var description: String { "\(groupVersion), Resource=\(resource)" }
}
