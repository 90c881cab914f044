import Wire

extension Validator {
  /// - Returns: the names of the volumes, each with the kind of its source.
  mutating func volumes(_ volumes: [JSON], _ path: FieldPath) -> [String: String] {
    var kinds: [String: String] = [:]
    for (index, volume) in volumes.enumerated() {
      let here = path[index]
      let name = volume.text("name")
      if !name.isEmpty { check(here["name"], name, Names.dns1123Label) }
      let sources = (volume.object?.members ?? []).filter { $0.key != "name" }
      guard let source = sources.first else {
        required(here, "must specify a volume type")
        continue
      }
      if !name.isEmpty { kinds[name] = source.key }
      for extra in sources.dropFirst() { forbidden(here[extra.key], "may not specify more than 1 volume type") }
      self.source(source.key, source.value, here[source.key])
    }
    return kinds
  }

  private mutating func source(_ kind: String, _ source: JSON, _ path: FieldPath) {
    switch kind {
    case "secret":
      if source.text("secretName").isEmpty { required(path["secretName"]) }
      mode(source["defaultMode"], path["defaultMode"])
      items(source.elements("items"), path["items"])
    case "configMap":
      if source.text("name").isEmpty { required(path["name"]) }
      mode(source["defaultMode"], path["defaultMode"])
      items(source.elements("items"), path["items"])
    case "downwardAPI":
      mode(source["defaultMode"], path["defaultMode"])
      downwardFiles(source.elements("items"), path["items"])
    case "projected": projected(source, path)
    case "hostPath":
      if source.text("path").split(separator: "/").contains("..") {
        invalid(path["path"], .string(source.text("path")), "must not contain '..'")
      }
    case "emptyDir":
      if let limit = source["sizeLimit"], let size = Quantity(limit.string ?? ""), size < .zero {
        forbidden(path["sizeLimit"], "SizeLimit field must be a valid resource quantity")
      }
    default: break
    }
  }

  private mutating func mode(_ value: JSON?, _ path: FieldPath) {
    guard let value, let mode = value.int, !(0...0o777).contains(mode) else { return }
    invalid(path, value, "must be a number between 0 and 0777 (octal), both inclusive")
  }

  private mutating func items(_ items: [JSON], _ path: FieldPath) {
    for (index, item) in items.enumerated() {
      if !item.text("path").isEmpty { localPath(item.text("path"), path[index]["path"]) }
      mode(item["mode"], path[index]["mode"])
    }
  }

  private mutating func downwardFiles(_ items: [JSON], _ path: FieldPath) {
    for (index, item) in items.enumerated() {
      let here = path[index]
      if !item.text("path").isEmpty { localPath(item.text("path"), here["path"]) }
      mode(item["mode"], here["mode"])
      switch (item["fieldRef"], item["resourceFieldRef"]) {
      case (let field?, nil):
        fieldReference(field, here["fieldRef"], Self.volumeFields, isMapAllowed: true)
      case (nil, let resource?):
        resourceReference(resource, here["resourceFieldRef"])
        if resource.text("containerName").isEmpty { required(here["resourceFieldRef"]["containerName"]) }
      case (nil, nil): required(here, "must specify one of: `fieldRef`, `resourceFieldRef`")
      default: invalid(here, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
      }
    }
  }

  private mutating func localPath(_ text: String, _ path: FieldPath) {
    descendingPath(text, path)
    if text.hasPrefix("..") { invalid(path, .string(text), "must not start with '..'") }
  }

  /// The path of one file of a projected volume; two sources must not write the same one.
  private mutating func projectedPath(_ text: String, _ path: FieldPath, _ seen: inout Set<String>) {
    guard !text.isEmpty else { return }
    localPath(text, path)
    if !seen.insert(text).inserted { invalid(path, .string(text), "conflicting duplicate paths") }
  }

  private mutating func projected(_ volume: JSON, _ path: FieldPath) {
    mode(volume["defaultMode"], path["defaultMode"])
    var seen = Set<String>()
    for (index, entry) in volume.elements("sources").enumerated() {
      let here = path["sources"][index]
      let sources = entry.object?.members ?? []
      guard let source = sources.first else {
        required(here, "must specify a volume projection type")
        continue
      }
      for extra in sources.dropFirst() { forbidden(here[extra.key], "may not specify more than 1 volume type") }
      projection(source.key, source.value, here[source.key], &seen)
    }
  }

  private mutating func projection(_ kind: String, _ source: JSON, _ path: FieldPath, _ seen: inout Set<String>) {
    func files(_ field: String) -> [(path: FieldPath, text: String)] {
      source.elements(field).enumerated().map { (path[field][$0]["path"], $1.text("path")) }
    }
    switch kind {
    case "secret", "configMap":
      if source.text("name").isEmpty { required(path["name"]) }
      for (index, item) in source.elements("items").enumerated() { mode(item["mode"], path["items"][index]["mode"]) }
      for file in files("items") { projectedPath(file.text, file.path, &seen) }
    case "downwardAPI":
      downwardFiles(source.elements("items"), path["items"])
      for file in files("items") where !seen.insert(file.text).inserted {
        invalid(file.path, .string(file.text), "conflicting duplicate paths")
      }
    case "serviceAccountToken":
      let seconds = source["expirationSeconds"]?.int ?? 3600
      if seconds < 600 {
        invalid(path["expirationSeconds"], .int(seconds), "may not specify a duration less than 10 minutes")
      } else if seconds > 1 << 32 {
        invalid(path["expirationSeconds"], .int(seconds), "may not specify a duration larger than 2^32 seconds")
      }
      projectedPath(source.text("path"), path["path"], &seen)
    case "clusterTrustBundle": projectedPath(source.text("path"), path["path"], &seen)
    case "podCertificate":
      for field in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
        projectedPath(source.text(field), path[field], &seen)
      }
    default: break
    }
  }
}
