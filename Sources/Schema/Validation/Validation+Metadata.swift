package import Wire

extension Validator {
  private static let annotationBytesMax = 256 << 10

  /// The rules of `ObjectMeta`.
  mutating func metadata(_ object: JSON, old: JSON?, kind: KindSchema) {
    let path = FieldPath.of("metadata")
    guard let metadata = object["metadata"] else {
      // What is exchanged and never stored needs no name.
      if kind.verbs != ["create"], kind.isServed { required(path["name"], "name or generateName is required") }
      return
    }
    name(metadata, path, kind)
    labels(metadata["labels"], path["labels"])
    annotations(metadata, path["annotations"])
    ownerReferences(metadata.elements("ownerReferences"), path["ownerReferences"])
    for finalizer in metadata.elements("finalizers") {
      let text = finalizer.string ?? ""
      check(path["finalizers"], text, Names.qualifiedName)
      if !text.contains("/"), !["kubernetes", "orphan", "foregroundDeletion"].contains(text) {
        invalid(
          path["finalizers"], finalizer, "name is neither a standard finalizer name nor is it fully qualified")
      }
    }
    guard let before = old?["metadata"] else { return }
    for field in ["name", "namespace", "uid", "creationTimestamp"] where before.has(field) {
      immutable(path[field], metadata[field], before[field])
    }
    if let new = metadata["generation"]?.int, let old = before["generation"]?.int, new < old {
      invalid(path["generation"], .int(new), "must not be decremented")
    }
  }

  private mutating func name(_ metadata: JSON, _ path: FieldPath, _ kind: KindSchema) {
    let rule = kind.strategy.nameProblems
    let name = metadata.text("name")
    let prefix = metadata.text("generateName")
    if !prefix.isEmpty {
      // The generated part follows: the prefix alone may end in a dash or a dot.
      check(path["generateName"], prefix) { rule($0 + "x") }
    }
    if name.isEmpty {
      if prefix.isEmpty, kind.isServed, kind.verbs != ["create"] {
        required(path["name"], "name or generateName is required")
      }
    } else {
      check(path["name"], name, rule)
    }
    let namespace = metadata.text("namespace")
    if kind.isNamespaced {
      if !namespace.isEmpty { check(path["namespace"], namespace, Names.dns1123Label) }
    } else if !namespace.isEmpty, kind.isServed {
      forbidden(path["namespace"], "not allowed on this type")
    }
  }

  /// Labels of an object or of a template.
  package mutating func labels(_ labels: JSON?, _ path: @autoclosure () -> FieldPath) {
    for member in labels?.object?.members ?? [] {
      check(path(), member.key, Names.qualifiedName)
      check(path(), member.value.string ?? "", Names.labelValue)
    }
  }

  private mutating func annotations(_ metadata: JSON, _ path: FieldPath) {
    var bytes = 0
    for member in metadata.members("annotations") {
      // Upper case is allowed in the prefix of an annotation, for the sake of old objects.
      for problem in Names.qualifiedName(member.key.lowercased()) { invalid(path, .string(member.key), problem) }
      bytes += member.key.utf8.count + (member.value.string?.utf8.count ?? 0)
    }
    if bytes > Self.annotationBytesMax { report(.tooLong(path, Self.annotationBytesMax)) }
  }

  private mutating func ownerReferences(_ references: [JSON], _ path: FieldPath) {
    var controller: String?
    for (index, reference) in references.enumerated() {
      let here = path[index]
      if GroupVersion(apiVersion: reference.text("apiVersion")) == nil {
        invalid(here["apiVersion"], .string(reference.text("apiVersion")), "version must not be empty")
      }
      for field in ["kind", "name", "uid"] where reference.text(field).isEmpty {
        invalid(here[field], "", "must not be empty")
      }
      if reference.text("apiVersion") == "v1", reference.text("kind") == "Event" {
        invalid(here, "v1, Kind=Event", "is disallowed from being an owner")
      }
      guard reference["controller"]?.bool == true else { continue }
      if let controller {
        invalid(
          path, .array(references),
          "Only one reference can have Controller set to true. Found \"true\" in references for \(controller) and "
            + reference.text("name"))
      }
      controller = reference.text("name")
    }
  }

  /// A label selector of an object; absent is fine.
  package mutating func labelSelector(_ selector: JSON?, _ path: FieldPath) {
    guard let selector else { return }
    labels(selector["matchLabels"], path["matchLabels"])
    for (index, requirement) in selector.elements("matchExpressions").enumerated() {
      let here = path["matchExpressions"][index]
      let hasValues = !requirement.elements("values").isEmpty
      switch requirement.text("operator") {
      case "In", "NotIn":
        if !hasValues { required(here["values"], "must be specified when `operator` is 'In' or 'NotIn'") }
      case "Exists", "DoesNotExist":
        if hasValues {
          forbidden(here["values"], "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        }
      default: break
      }
      if !requirement.text("key").isEmpty { check(here["key"], requirement.text("key"), Names.qualifiedName) }
      for (position, value) in requirement.elements("values").enumerated() {
        check(here["values"][position], value.string ?? "", Names.labelValue)
      }
    }
  }

  /// Whether a label selector matches labels (`metav1.LabelSelector`).
  static func matches(_ selector: JSON, _ labels: JSON?) -> Bool {
    for member in selector.members("matchLabels") where labels?[member.key] != member.value { return false }
    for requirement in selector.elements("matchExpressions") {
      let value = labels?[requirement.text("key")]
      let isListed = value.map { requirement.elements("values").contains($0) } ?? false
      switch requirement.text("operator") {
      case "In": if !isListed { return false }
      case "NotIn": if isListed { return false }
      case "Exists": if value == nil { return false }
      case "DoesNotExist": if value != nil { return false }
      default: return false
      }
    }
    return true
  }
}
