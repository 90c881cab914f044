import Wire

extension SchemaRegistry {
  /// The OpenAPI 3.0 document of a group and version: every path that is served with its verbs and parameters, and every
  /// schema that they refer to. `nil` when nothing of it is served.
  ///
  /// Clients find a kind by `x-kubernetes-group-version-kind`, and merge lists by `x-kubernetes-patch-*` and
  /// `x-kubernetes-list-*`. Source: OpenAPI Specification 3.0.0; KEP 2896.
  public func openAPIv3(for groupVersion: GroupVersion) -> JSON? {
    let kinds = kinds(in: groupVersion)
    if kinds.isEmpty { return nil }
    var writer = OpenAPIWriter(registry: self)
    for kind in kinds { writer.add(kind) }
    return writer.document(title: "Kubernetes", version: groupVersion.version)
  }
}

private struct OpenAPIWriter {
  let registry: SchemaRegistry
  private var paths = JSONObject()
  private var schemas: [String: JSON] = [:]

  init(registry: SchemaRegistry) { self.registry = registry }

  func document(title: String, version: String) -> JSON {
    let sorted = schemas.sorted { $0.key < $1.key }.map { (key: $0.key, value: $0.value) }
    return [
      "openapi": "3.0.0", "info": ["title": .string(title), "version": .string(version)], "paths": .object(paths),
      "components": [
        "schemas": .object(JSONObject(uniqueMembers: sorted)),
        "securitySchemes": [
          "BearerToken": [
            "type": "apiKey", "name": "authorization", "in": "header", "description": "A bearer token.",
          ]
        ],
      ],
    ]
  }

  // MARK: - Paths

  mutating func add(_ kind: KindSchema) {
    let root = kind.groupVersion.path
    let collection = "\(root)/\(kind.isNamespaced ? "namespaces/{namespace}/" : "")\(kind.resource)"
    let item = collection + "/{name}"
    let verbs = Set(kind.verbs)
    let object = reference(kind.root)
    let list = listReference(kind)

    var operations = JSONObject()
    if verbs.contains("list") { operations["get"] = operation(kind, "list", answer: list, parameters: Self.listing) }
    if verbs.contains("create") {
      operations["post"] = operation(kind, "post", body: object, answer: object, parameters: Self.writing)
    }
    if verbs.contains("deletecollection") {
      operations["delete"] = operation(
        kind, "deletecollection", body: optionsReference(), answer: statusReference(), parameters: Self.listing)
    }
    addPath(collection, operations, kind, isItem: false)

    if kind.isNamespaced, verbs.contains("list") {
      var all = JSONObject()
      all["get"] = operation(kind, "list", answer: list, parameters: Self.listing)
      all["parameters"] = .array([Self.parameter("pretty", in: "query", "string")])
      paths["\(root)/\(kind.resource)"] = .object(all)
    }

    operations = JSONObject()
    if verbs.contains("get") { operations["get"] = operation(kind, "get", answer: object, parameters: []) }
    if verbs.contains("update") {
      operations["put"] = operation(kind, "put", body: object, answer: object, parameters: Self.writing)
    }
    if verbs.contains("patch") {
      operations["patch"] = operation(kind, "patch", answer: object, parameters: Self.writing, isPatch: true)
    }
    if verbs.contains("delete") {
      operations["delete"] = operation(
        kind, "delete", body: optionsReference(), answer: statusReference(), parameters: [])
    }
    addPath(item, operations, kind, isItem: true)

    for subresource in kind.subresourceSchemas {
      let exchanged = subresource.kind.flatMap(registry.kind) ?? kind
      let schema = reference(exchanged.root)
      var operations = JSONObject()
      for verb in subresource.verbs {
        switch verb {
        case "get": operations["get"] = operation(exchanged, "get", answer: schema, parameters: [])
        case "update":
          operations["put"] = operation(exchanged, "put", body: schema, answer: schema, parameters: Self.writing)
        case "patch":
          operations["patch"] = operation(exchanged, "patch", answer: schema, parameters: Self.writing, isPatch: true)
        case "create":
          operations["post"] = operation(exchanged, "post", body: schema, answer: schema, parameters: Self.writing)
        default: break
        }
      }
      addPath("\(item)/\(subresource.name)", operations, kind, isItem: true)
    }
  }

  private mutating func addPath(_ path: String, _ operations: JSONObject, _ kind: KindSchema, isItem: Bool) {
    if operations.isEmpty { return }
    var operations = operations
    var parameters: [JSON] = []
    if isItem { parameters.append(Self.parameter("name", in: "path", "string")) }
    if kind.isNamespaced { parameters.append(Self.parameter("namespace", in: "path", "string")) }
    parameters.append(Self.parameter("pretty", in: "query", "string"))
    operations["parameters"] = .array(parameters)
    paths[path] = .object(operations)
  }

  private static let listing: [JSON] = [
    parameter("allowWatchBookmarks", in: "query", "boolean"), parameter("continue", in: "query", "string"),
    parameter("fieldSelector", in: "query", "string"), parameter("labelSelector", in: "query", "string"),
    parameter("limit", in: "query", "integer"), parameter("resourceVersion", in: "query", "string"),
    parameter("resourceVersionMatch", in: "query", "string"), parameter("sendInitialEvents", in: "query", "boolean"),
    parameter("timeoutSeconds", in: "query", "integer"), parameter("watch", in: "query", "boolean"),
  ]

  private static let writing: [JSON] = [
    parameter("dryRun", in: "query", "string"), parameter("fieldManager", in: "query", "string"),
    parameter("fieldValidation", in: "query", "string"),
  ]

  private static func parameter(_ name: String, in place: String, _ type: String) -> JSON {
    var parameter: JSONObject = [
      "name": .string(name), "in": .string(place), "schema": ["type": .string(type), "uniqueItems": true],
    ]
    if place == "path" { parameter["required"] = true }
    return .object(parameter)
  }

  private func operation(
    _ kind: KindSchema, _ action: String, body: JSON? = nil, answer: JSON, parameters: [JSON], isPatch: Bool = false
  ) -> JSON {
    func content(_ types: [String], _ schema: JSON) -> JSON {
      .object(JSONObject(uniqueMembers: types.map { (key: $0, value: ["schema": schema]) }))
    }
    var operation: JSONObject = [
      "tags": .array([.string(Self.tag(kind.groupVersion))]),
      "description": .string("\(action) \(kind.kind)"),
      "responses": [
        "200": ["description": "OK", "content": content(["application/json", "application/yaml"], answer)],
        "401": ["description": "Unauthorized"],
      ],
      "x-kubernetes-action": .string(action),
      "x-kubernetes-group-version-kind": Self.groupVersionKind(kind.groupVersionKind),
    ]
    if !parameters.isEmpty { operation["parameters"] = .array(parameters) }
    if isPatch {
      let types = [
        "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
      ]
      operation["requestBody"] = ["required": true, "content": content(types, ["type": "object"])]
    } else if let body {
      operation["requestBody"] = [
        "required": .bool(action != "delete" && action != "deletecollection"), "content": content(["*/*"], body),
      ]
    }
    return .object(operation)
  }

  private static func tag(_ groupVersion: GroupVersion) -> String {
    let group = groupVersion.group.split(separator: ".").first.map(String.init) ?? "core"
    return "\(group)_\(groupVersion.version)"
  }

  private static func groupVersionKind(_ kind: GroupVersionKind) -> JSON {
    ["group": .string(kind.group), "version": .string(kind.version), "kind": .string(kind.kind)]
  }

  // MARK: - Schemas

  private mutating func optionsReference() -> JSON { metaReference("DeleteOptions") }
  private mutating func statusReference() -> JSON { metaReference("Status") }

  private mutating func metaReference(_ name: String) -> JSON {
    registry.structure("meta.\(name)").map { reference($0) } ?? ["type": "object"]
  }

  private mutating func listReference(_ kind: KindSchema) -> JSON {
    let name = Self.name(kind.root) + "List"
    if schemas[name] == nil {
      schemas[name] = [
        "type": "object", "description": .string("A list of \(kind.kind) objects."), "required": ["items"],
        "properties": [
          "apiVersion": ["type": "string"], "kind": ["type": "string"],
          "items": ["type": "array", "items": reference(kind.root)], "metadata": metaReference("ListMeta"),
        ],
        "x-kubernetes-group-version-kind": .array([
          Self.groupVersionKind(
            GroupVersionKind(group: kind.group, version: kind.version, kind: kind.listKind))
        ]),
      ]
    }
    return Self.pointer(name)
  }

  /// A reference to a struct, whose schema is written if it is the first.
  private mutating func reference(_ structure: StructSchema) -> JSON {
    let name = Self.name(structure)
    if schemas[name] == nil {
      // Types may refer to themselves: the name is taken before the fields are written.
      schemas[name] = .null
      schemas[name] = schema(of: structure)
    }
    return Self.pointer(name)
  }

  private static func pointer(_ name: String) -> JSON { ["$ref": .string("#/components/schemas/\(name)")] }

  /// The name that other tools know the type by.
  private static func name(_ structure: StructSchema) -> String {
    let (group, version) = (structure.groupVersion.group, structure.groupVersion.version)
    let package =
      switch group {
      case "": "io.k8s.api.core"
      case "meta.k8s.io": "io.k8s.apimachinery.pkg.apis.meta"
      case "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions"
      case "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration"
      case _ where group.hasSuffix(".k8s.io") || !group.utf8.contains(UInt8(ascii: ".")):
        "io.k8s.api.\(group.split(separator: ".").first ?? "")"
      // Those of others could begin as one of Kubernetes' groups does.
      default: group.split(separator: ".").reversed().joined(separator: ".")
      }
    return "\(package).\(version).\(structure.name)"
  }

  private mutating func schema(of structure: StructSchema) -> JSON {
    var properties: [JSONObject.Member] = []
    for field in structure.fields.sorted(by: { $0.name < $1.name }) {
      properties.append((key: field.name, value: schema(of: field)))
    }
    var schema: JSONObject = ["type": "object"]
    if !structure.description.isEmpty { schema["description"] = .string(structure.description) }
    let required = structure.fields.filter(\.isRequired).map(\.name).sorted()
    if !required.isEmpty { schema["required"] = .array(required.map { .string($0) }) }
    schema["properties"] = .object(JSONObject(uniqueMembers: properties))
    let kind = GroupVersionKind(
      group: structure.groupVersion.group, version: structure.groupVersion.version, kind: structure.name)
    if registry.kind(kind)?.root === structure {
      schema["x-kubernetes-group-version-kind"] = .array([Self.groupVersionKind(kind)])
    }
    return .object(schema)
  }

  private mutating func schema(of field: FieldSchema) -> JSON {
    let type = schema(of: field.type)
    var schema: JSONObject
    if type["$ref"] != nil {
      // Members beside $ref are ignored (OpenAPI 3.0, Reference Object), so it stands in an allOf of its own.
      schema = ["allOf": .array([type])]
    } else {
      schema = type.object ?? JSONObject()
    }
    if !field.description.isEmpty { schema["description"] = .string(field.description) }
    if let value = field.defaultValue { schema["default"] = value }
    switch field.type {
    case .list:
      switch field.listType {
      case .atomic: schema["x-kubernetes-list-type"] = "atomic"
      case .set: schema["x-kubernetes-list-type"] = "set"
      case .map(let keys):
        schema["x-kubernetes-list-type"] = "map"
        schema["x-kubernetes-list-map-keys"] = .array(keys.map { .string($0) })
      }
    case .map where field.isAtomic, .structure where field.isAtomic: schema["x-kubernetes-map-type"] = "atomic"
    default: break
    }
    var strategies: [String] = []
    if field.patch.mergesElements { strategies.append("merge") }
    if field.patch.replaces { strategies.append("replace") }
    if field.patch.retainsKeys { strategies.append("retainKeys") }
    if !strategies.isEmpty {
      schema["x-kubernetes-patch-strategy"] = .string(strategies.sorted().joined(separator: ","))
    }
    if let key = field.patch.mergeKey { schema["x-kubernetes-patch-merge-key"] = .string(key) }
    return .object(schema)
  }

  private mutating func schema(of type: TypeSchema) -> JSON {
    switch type {
    case .string(let known):
      guard let known, !known.isOpen else { return ["type": "string"] }
      return ["type": "string", "enum": .array(known.values.sorted().map { .string($0) })]
    case .bool: return ["type": "boolean"]
    case .int32: return ["type": "integer", "format": "int32"]
    case .int64: return ["type": "integer", "format": "int64"]
    case .double: return ["type": "number", "format": "double"]
    case .bytes: return ["type": "string", "format": "byte"]
    case .quantity: return ["oneOf": [["type": "string"], ["type": "number"]]]
    case .intOrString:
      return ["oneOf": [["type": "integer"], ["type": "string"]], "format": "int-or-string"]
    case .time, .microTime: return ["type": "string", "format": "date-time"]
    case .duration: return ["type": "string"]
    case .any: return .object(JSONObject())
    case .object: return ["type": "object"]
    case .list(let element): return ["type": "array", "items": schema(of: element)]
    case .map(let value): return ["type": "object", "additionalProperties": schema(of: value)]
    case .structure(let structure): return reference(structure)
    }
  }
}
