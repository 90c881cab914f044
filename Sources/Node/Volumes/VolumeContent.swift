import KubeTypes
import Wire

/// Turns the keys of ConfigMaps, Secrets and the downward API into the files of a volume. Pure.
enum VolumeContent {
  /// The files of one ConfigMap or Secret.
  ///
  /// - Parameters:
  ///   - data: `nil` when the object does not exist.
  ///   - items: which keys to use and where to put them; empty for every key under its own name.
  ///   - what: the object for messages, such as `configmap "web"`.
  static func files(
    from data: [String: [UInt8]]?, items: [KeyToPath], defaultMode: Int64, isOptional: Bool, what: String
  ) throws(NodeError) -> [String: AtomicWriter.File] {
    guard let data else {
      if isOptional { return [:] }
      throw NodeError(.failedMount, "\(what) not found")
    }
    var files: [String: AtomicWriter.File] = [:]
    if items.isEmpty {
      for (key, bytes) in data {
        files[key] = AtomicWriter.File(bytes: bytes, mode: UInt32(truncatingIfNeeded: defaultMode))
      }
    }
    for item in items {
      let key = item.key ?? ""
      guard let bytes = data[key] else {
        if isOptional { continue }
        throw NodeError(.failedMount, "references non-existent \(what.prefix { $0 != " " }) key: \(key)")
      }
      files[item.path ?? key] = AtomicWriter.File(
        bytes: bytes, mode: UInt32(truncatingIfNeeded: item.mode ?? defaultMode))
    }
    return files
  }

  static func files(
    from items: [DownwardAPIVolumeFile], defaultMode: Int64, pod: Pod, place: FieldReference.Place,
    allocatable: [String: Quantity]
  ) throws(NodeError) -> [String: AtomicWriter.File] {
    var files: [String: AtomicWriter.File] = [:]
    for item in items {
      var text: String?
      if let field = item.fieldRef {
        text = FieldReference.value(field.fieldPath ?? "", pod: pod, place: place)
      } else if let field = item.resourceFieldRef,
        let container = (pod.spec.containers + pod.spec.initContainers).first(where: { $0.name == field.containerName })
      {
        text = FieldReference.resource(
          field.resource ?? "", of: container, divisor: field.divisor, allocatable: allocatable)
      }
      guard let text else {
        throw NodeError(.failedMount, "downwardAPI item \(item.path ?? "") refers to a field that does not exist")
      }
      files[item.path ?? ""] = AtomicWriter.File(
        bytes: Array(text.utf8), mode: UInt32(truncatingIfNeeded: item.mode ?? defaultMode))
    }
    return files
  }

  static func data(of configMap: ConfigMap) -> [String: [UInt8]] {
    var data = configMap.data.mapValues { Array($0.utf8) }
    for (key, _) in configMap.json["binaryData"]?.object?.members ?? [] {
      if let bytes = configMap.bytes(key) { data[key] = bytes }
    }
    return data
  }

  static func data(of secret: Secret) -> [String: [UInt8]] {
    var data: [String: [UInt8]] = [:]
    for (key, _) in secret.json["data"]?.object?.members ?? [] {
      if let bytes = secret.bytes(key) { data[key] = bytes }
    }
    return data
  }
}
