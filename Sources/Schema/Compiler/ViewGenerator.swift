/// Writes the typed views of `KubeTypes`: one Swift struct per struct that is reachable from the root kinds, and one
/// computed property per field.
package struct ViewGenerator {
  /// What controllers, the scheduler and the node work with. `DeleteOptions`, and `Eviction` which holds it, are left
  /// out: `KubeClient` has a type of that name.
  package static let roots = [
    "core.Pod", "core.PodTemplate", "core.Node", "core.Namespace", "core.Service", "core.Endpoints", "core.ConfigMap",
    "core.Secret", "core.ServiceAccount", "core.Event", "core.PersistentVolume", "core.PersistentVolumeClaim",
    "core.ResourceQuota", "core.LimitRange", "core.ReplicationController", "core.Binding", "apps.Deployment",
    "apps.ReplicaSet", "apps.StatefulSet", "apps.DaemonSet", "apps.ControllerRevision", "batch.Job", "batch.CronJob",
    "discovery.EndpointSlice", "coordination.Lease", "scheduling.PriorityClass", "storage.StorageClass",
    "networking.Ingress", "networking.IngressClass", "networking.NetworkPolicy", "policy.PodDisruptionBudget",
    "autoscaling2.HorizontalPodAutoscaler", "autoscaling1.Scale", "rbac.Role", "rbac.RoleBinding",
    "rbac.ClusterRole", "rbac.ClusterRoleBinding", "authentication.TokenRequest", "authentication.TokenReview",
    "authorization.SubjectAccessReview", "authorization.SelfSubjectAccessReview",
    "certificates.CertificateSigningRequest", "meta.Status", "meta.Condition",
  ]

  private static let keywords: Set<String> = [
    "associatedtype", "break", "case", "catch", "class", "continue", "default", "defer", "do", "else", "enum",
    "extension", "fallthrough", "false", "for", "func", "guard", "if", "import", "in", "init", "inout", "internal",
    "is", "let", "nil", "operator", "private", "protocol", "public", "repeat", "return", "self", "static", "struct",
    "subscript", "super", "switch", "throw", "throws", "true", "try", "typealias", "var", "where", "while",
  ]

  /// Structs that are never absent: they read as empty.
  private static let alwaysPresent: Set<String> = ["metadata", "spec", "status", "template"]

  private let registry: SchemaRegistry
  private var declared: [(alias: String, name: String, schema: StructSchema)] = []
  private var names: [ObjectIdentifier: String] = [:]

  /// The files by name, with their texts.
  package static func files(registry: SchemaRegistry) -> [(name: String, text: String)] {
    var generator = ViewGenerator(registry: registry)
    generator.collect()
    return generator.write()
  }

  private init(registry: SchemaRegistry) { self.registry = registry }

  private mutating func collect() {
    var reached = Set<ObjectIdentifier>()
    var pending = Self.roots.compactMap { registry.structure($0) }
    while let structure = pending.popLast() {
      guard reached.insert(ObjectIdentifier(structure)).inserted else { continue }
      pending += structure.fields.compactMap(\.type.structure)
    }
    for entry in registry.structures where reached.contains(ObjectIdentifier(entry.schema)) {
      let alias = String(entry.name.prefix { $0 != "." })
      declared.append((alias: alias, name: entry.schema.name, schema: entry.schema))
    }
    // `meta` and `core` keep their names; the same name in another group gets that group in front.
    var taken = Set<String>()
    let rank = ["meta": 0, "core": 1]
    let ordered = declared.enumerated().sorted {
      (rank[$0.element.alias] ?? 2, $0.offset) < (rank[$1.element.alias] ?? 2, $1.offset)
    }
    for (_, item) in ordered {
      var name = item.name
      if !taken.insert(name).inserted {
        let group = item.alias.filter { !$0.isNumber }
        name = group.prefix(1).uppercased() + group.dropFirst() + name
        taken.insert(name)
      }
      names[ObjectIdentifier(item.schema)] = name
    }
  }

  private func write() -> [(name: String, text: String)] {
    var files: [String: String] = [:]
    for item in declared {
      let isRoot = registry.kind(kind(of: item.schema)) != nil
      // The core group is so large that its structs get files of their own.
      var file = item.alias.prefix(1).uppercased() + item.alias.dropFirst()
      if item.alias == "core", !isRoot {
        file += item.name < "F" ? "+AToE" : item.name < "N" ? "+FToM" : item.name < "Q" ? "+NToP" : "+QToZ"
      }
      files[file, default: ""] += "\n" + text(of: item.schema)
    }
    return files.sorted { $0.key < $1.key }.map { file, text in
      var head = "// Written by `schemac generate` from Schemas/. Change those files, not this one.\n"
      head += "// swift-format-ignore-file\n\n"
      // An import that is more public than its use is a warning.
      if text.contains("GroupVersionResource") { head += "public import Schema\n" }
      return (name: file + ".swift", text: head + "public import Wire\n" + text)
    }
  }

  private func kind(of structure: StructSchema) -> GroupVersionKind {
    GroupVersionKind(
      group: structure.groupVersion.group, version: structure.groupVersion.version, kind: structure.name)
  }

  private func text(of structure: StructSchema) -> String {
    let name = names[ObjectIdentifier(structure)] ?? structure.name
    let kind = registry.kind(kind(of: structure))
    let hasObjectMeta = structure.field("metadata")?.type.structure?.name == "ObjectMeta"
    var text = structure.description.isEmpty ? "" : "/// \(structure.description)\n"
    text += "public struct \(name): \(kind != nil && hasObjectMeta ? "KubeKind" : "KubeValue") {\n"
    if let kind {
      if hasObjectMeta {
        // A kind that is only exchanged at a subresource has no resource of its own; its name stands for it.
        let resource = kind.isServed ? kind.resource : kind.kind.lowercased() + "s"
        text += "  public static let resource = GroupVersionResource("
        text += "group: \"\(kind.group)\", version: \"\(kind.version)\", resource: \"\(resource)\")\n"
        text += "  public static let isNamespaced = \(kind.isNamespaced)\n"
      }
      text += "  public static let kind = \"\(kind.kind)\"\n"
    }
    text += "  public var json: JSON\n"
    text += "  public init(json: JSON) { self.json = json }\n"
    if let kind, !hasObjectMeta {
      // The kinds of `meta` are sent as members of the core group.
      text += "  public init() { json = [\"apiVersion\": \"v1\", \"kind\": \"\(kind.kind)\"] }\n"
    }
    for field in structure.fields {
      if kind != nil, field.name == "apiVersion" || field.name == "kind" { continue }
      text += property(field)
    }
    return text + "}\n"
  }

  private func property(_ field: FieldSchema) -> String {
    let name = Self.keywords.contains(field.name) ? "`\(field.name)`" : field.name
    let (type, label) = accessor(field)
    // A list or map that is always written stays when it becomes empty.
    var arguments = "\(label): \"\(field.name)\""
    if !field.omitsEmpty, type.hasPrefix("[") { arguments += ", keepsEmpty: true" }
    let access = "json[\(arguments)]"
    var text = field.description.isEmpty ? "" : "  /// \(field.description)\n"
    let isView = label == "view" || label == "optionalView"
    let mutator = isView ? "_modify { yield &\(access) }" : "set { \(access) = newValue }"
    text += "  public var \(name): \(type) { get { \(access) } \(mutator) }\n"
    return text
  }

  /// The Swift type of a property, and the label of the subscript that reads and writes it.
  private func accessor(_ field: FieldSchema) -> (type: String, label: String) {
    switch field.type {
    case .string, .time, .microTime, .duration, .bytes: return ("String?", "string")
    case .bool: return ("Bool?", "bool")
    case .int32, .int64: return ("Int64?", "int")
    case .double: return ("Double?", "double")
    case .quantity: return ("Quantity?", "quantity")
    case .intOrString: return ("IntOrString?", "intOrString")
    case .any, .object: return ("JSON?", "value")
    case .structure(let structure):
      let name = names[ObjectIdentifier(structure)] ?? structure.name
      let isPresent = Self.alwaysPresent.contains(field.name) || (!field.isPointer && field.isRequired)
      return isPresent ? (name, "view") : ("\(name)?", "optionalView")
    case .list(let element):
      switch element {
      case .string, .time, .microTime, .duration, .bytes, .quantity: return ("[String]", "strings")
      case .int32, .int64: return ("[Int64]", "ints")
      case .structure(let structure):
        return ("[\(names[ObjectIdentifier(structure)] ?? structure.name)]", "views")
      default: return ("[JSON]", "values")
      }
    case .map(let element):
      switch element {
      case .quantity: return ("[String: Quantity]", "quantities")
      case .string, .bytes, .time, .microTime, .duration: return ("[String: String]", "stringMap")
      case .structure(let structure):
        return ("[String: \(names[ObjectIdentifier(structure)] ?? structure.name)]", "viewMap")
      default: return ("[String: JSON]", "valueMap")
      }
    }
  }
}
