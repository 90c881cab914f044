public import Wire

/// The documents by which clients find out what is served.
extension SchemaRegistry {
  private func served(_ groupVersion: GroupVersion, _ isServed: (KindSchema) -> Bool) -> [KindSchema] {
    kinds(in: groupVersion).filter(isServed).sorted { $0.resource < $1.resource }
  }

  /// Group names with their served versions, in the order of discovery; the preferred version comes first.
  private func groups(_ isServed: (KindSchema) -> Bool) -> [(name: String, versions: [GroupVersion])] {
    var groups: [(name: String, versions: [GroupVersion])] = []
    for groupVersion in groupVersions where !served(groupVersion, isServed).isEmpty {
      if let at = groups.firstIndex(where: { $0.name == groupVersion.group }) {
        groups[at].versions.append(groupVersion)
      } else {
        groups.append((name: groupVersion.group, versions: [groupVersion]))
      }
    }
    return groups
  }

  /// `/api`: the versions of the core group.
  ///
  /// - Parameter serverAddress: `HOST:PORT` under which clients reach the server.
  public func apiVersions(serverAddress: String) -> JSON {
    let versions = groupVersions.filter { $0.group.isEmpty }.map { JSON.string($0.version) }
    return [
      "kind": "APIVersions", "versions": .array(versions),
      "serverAddressByClientCIDRs": [["clientCIDR": "0.0.0.0/0", "serverAddress": .string(serverAddress)]],
    ]
  }

  /// `/apis`: every named group.
  public func apiGroupList(serving isServed: (KindSchema) -> Bool = { _ in true }) -> JSON {
    let groups = groups(isServed).filter { !$0.name.isEmpty }.map { Self.group($0.name, $0.versions) }
    return ["kind": "APIGroupList", "apiVersion": "v1", "groups": .array(groups.map { .object($0) })]
  }

  /// `/apis/GROUP`; `nil` when the group is not served.
  public func apiGroup(_ name: String, serving isServed: (KindSchema) -> Bool = { _ in true }) -> JSON? {
    guard let group = groups(isServed).first(where: { $0.name == name }) else { return nil }
    let members = Self.group(group.name, group.versions).members
    return .object(
      JSONObject(uniqueMembers: [(key: "kind", value: "APIGroup"), (key: "apiVersion", value: "v1")] + members))
  }

  private static func group(_ name: String, _ versions: [GroupVersion]) -> JSONObject {
    let shown = versions.map { version -> JSON in
      ["groupVersion": .string(version.description), "version": .string(version.version)]
    }
    return ["name": .string(name), "versions": .array(shown), "preferredVersion": shown.first ?? .null]
  }

  /// `/api/v1` and `/apis/GROUP/VERSION`: the resources, sorted by name; `nil` when nothing is served there.
  public func apiResourceList(
    _ groupVersion: GroupVersion, serving isServed: (KindSchema) -> Bool = { _ in true }
  ) -> JSON? {
    let kinds = served(groupVersion, isServed)
    guard !kinds.isEmpty else { return nil }
    var resources: [JSON] = []
    for kind in kinds {
      var resource: JSON = [
        "name": .string(kind.resource), "singularName": .string(kind.singular), "namespaced": .bool(kind.isNamespaced),
        "kind": .string(kind.kind), "verbs": Self.list(kind.verbs),
      ]
      if !kind.shortNames.isEmpty { resource["shortNames"] = Self.list(kind.shortNames) }
      if !kind.categories.isEmpty { resource["categories"] = Self.list(kind.categories) }
      resources.append(resource)
      for part in kind.subresourceSchemas.sorted(by: { $0.name < $1.name }) {
        var subresource: JSON = [
          "name": .string("\(kind.resource)/\(part.name)"), "singularName": "", "namespaced": .bool(kind.isNamespaced),
        ]
        if let other = part.kind, other.groupVersion != groupVersion {
          subresource["group"] = .string(other.group)
          subresource["version"] = .string(other.version)
        }
        subresource["kind"] = .string(part.kind?.kind ?? kind.kind)
        subresource["verbs"] = Self.list(part.verbs)
        resources.append(subresource)
      }
    }
    return [
      "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": .string(groupVersion.description),
      "resources": .array(resources),
    ]
  }

  /// `/api` and `/apis` in the aggregated form (KEP-3352): every group, version and resource in one answer.
  ///
  /// - Parameters:
  ///   - isCore: whether this is the answer of `/api`.
  ///   - version: the version of the answer that the client accepts, `v2` or `v2beta1`; they differ in name only.
  public func aggregatedDiscovery(
    isCore: Bool, version: String = "v2", serving isServed: (KindSchema) -> Bool = { _ in true }
  ) -> JSON {
    let items = groups(isServed).filter { $0.name.isEmpty == isCore }.map { group -> JSON in
      let versions = group.versions.map { groupVersion -> JSON in
        [
          "version": .string(groupVersion.version),
          "resources": .array(served(groupVersion, isServed).map(Self.aggregated)), "freshness": "Current",
        ]
      }
      let metadata: JSON = isCore ? [:] : ["name": .string(group.name)]
      return ["metadata": metadata, "versions": .array(versions)]
    }
    return [
      "kind": "APIGroupDiscoveryList", "apiVersion": .string("apidiscovery.k8s.io/\(version)"), "metadata": [:],
      "items": .array(items),
    ]
  }

  private static func aggregated(_ kind: KindSchema) -> JSON {
    var resource: JSON = [
      "resource": .string(kind.resource), "responseKind": reference(kind.groupVersionKind),
      "scope": kind.isNamespaced ? "Namespaced" : "Cluster", "singularResource": .string(kind.singular),
      "verbs": list(kind.verbs),
    ]
    if !kind.shortNames.isEmpty { resource["shortNames"] = list(kind.shortNames) }
    if !kind.categories.isEmpty { resource["categories"] = list(kind.categories) }
    let parts = kind.subresourceSchemas.sorted { $0.name < $1.name }.map { part -> JSON in
      [
        "subresource": .string(part.name), "responseKind": reference(part.kind ?? kind.groupVersionKind),
        "verbs": list(part.verbs),
      ]
    }
    if !parts.isEmpty { resource["subresources"] = .array(parts) }
    return resource
  }

  private static func reference(_ kind: GroupVersionKind) -> JSON {
    ["group": .string(kind.group), "version": .string(kind.version), "kind": .string(kind.kind)]
  }

  private static func list(_ texts: [String]) -> JSON { .array(texts.map { .string($0) }) }
}
