import Schema
import Wire

/// What is served: the legacy documents (`APIGroupList`, `APIResourceList`) and the aggregated ones (KEP-3352).
enum Discovery {
  static let coreVersions: JSON = [
    "kind": "APIVersions", "versions": ["v1"],
    "serverAddressByClientCIDRs": [["clientCIDR": "0.0.0.0/0", "serverAddress": ""]],
  ]

  private static func groupNames(_ schemas: SchemaRegistry) -> [String] {
    var names: [String] = []
    for groupVersion in schemas.groupVersions where !groupVersion.group.isEmpty && !names.contains(groupVersion.group) {
      names.append(groupVersion.group)
    }
    return names
  }

  private static func versions(_ schemas: SchemaRegistry, _ group: String) -> [JSON] {
    schemas.groupVersions.filter { $0.group == group }.map {
      ["groupVersion": .string($0.description), "version": .string($0.version)]
    }
  }

  static func groups(_ schemas: SchemaRegistry) -> JSON {
    [
      "kind": "APIGroupList", "apiVersion": "v1",
      "groups": .array(
        groupNames(schemas).map { group in
          let versions = versions(schemas, group)
          return ["name": .string(group), "versions": .array(versions), "preferredVersion": versions[0]]
        }),
    ]
  }

  static func group(_ schemas: SchemaRegistry, _ group: String) -> JSON? {
    let versions = versions(schemas, group)
    guard let preferred = versions.first, !group.isEmpty else { return nil }
    return [
      "kind": "APIGroup", "apiVersion": "v1", "name": .string(group), "versions": .array(versions),
      "preferredVersion": preferred,
    ]
  }

  private static func strings(_ list: [String]) -> JSON { .array(list.map(JSON.string)) }

  static func resources(_ schemas: SchemaRegistry, _ groupVersion: GroupVersion) -> JSON {
    var resources: [JSON] = []
    for kind in schemas.kinds(in: groupVersion) {
      var entry: JSONObject = [
        "name": .string(kind.resource), "singularName": .string(kind.singular), "namespaced": .bool(kind.isNamespaced),
        "kind": .string(kind.kind), "verbs": strings(kind.verbs),
      ]
      if !kind.shortNames.isEmpty { entry["shortNames"] = strings(kind.shortNames) }
      if !kind.categories.isEmpty { entry["categories"] = strings(kind.categories) }
      resources.append(.object(entry))
      for subresource in kind.subresourceSchemas {
        var entry: JSONObject = [
          "name": .string("\(kind.resource)/\(subresource.name)"), "singularName": "",
          "namespaced": .bool(kind.isNamespaced),
        ]
        if let other = subresource.kind, other.groupVersion != groupVersion {
          entry["group"] = .string(other.group)
          entry["version"] = .string(other.version)
        }
        entry["kind"] = .string(subresource.kind?.kind ?? kind.kind)
        entry["verbs"] = strings(subresource.verbs)
        resources.append(.object(entry))
      }
    }
    return [
      "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": .string(groupVersion.description),
      "resources": .array(resources),
    ]
  }

  /// `APIGroupDiscoveryList` for `/api` or `/apis`.
  static func aggregated(_ schemas: SchemaRegistry, isCore: Bool) -> JSON {
    let groups = isCore ? [""] : groupNames(schemas)
    func kindReference(_ kind: GroupVersionKind) -> JSON {
      ["group": .string(kind.group), "version": .string(kind.version), "kind": .string(kind.kind)]
    }
    let items: [JSON] = groups.map { group in
      let versions: [JSON] = schemas.groupVersions.filter { $0.group == group }.map { groupVersion in
        let resources: [JSON] = schemas.kinds(in: groupVersion).map { kind in
          var entry: JSONObject = [
            "resource": .string(kind.resource), "responseKind": kindReference(kind.groupVersionKind),
            "scope": kind.isNamespaced ? "Namespaced" : "Cluster", "singularResource": .string(kind.singular),
            "verbs": strings(kind.verbs),
          ]
          if !kind.shortNames.isEmpty { entry["shortNames"] = strings(kind.shortNames) }
          if !kind.categories.isEmpty { entry["categories"] = strings(kind.categories) }
          if !kind.subresourceSchemas.isEmpty {
            entry["subresources"] = .array(
              kind.subresourceSchemas.map { subresource in
                [
                  "subresource": .string(subresource.name),
                  "responseKind": kindReference(subresource.kind ?? kind.groupVersionKind),
                  "verbs": strings(subresource.verbs),
                ]
              })
          }
          return .object(entry)
        }
        return ["version": .string(groupVersion.version), "resources": .array(resources), "freshness": "Current"]
      }
      var metadata: JSONObject = ["creationTimestamp": .null]
      if !group.isEmpty { metadata["name"] = .string(group) }
      return ["metadata": .object(metadata), "versions": .array(versions)]
    }
    return [
      "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": [:], "items": .array(items),
    ]
  }
}
