import Wire

extension JSON {
  /// A document of an image.
  /// - Parameter label: the document, for the error.
  /// - Throws: `invalidArchive`.
  package init(document bytes: [UInt8], label: String) throws(OCIError) {
    do {
      self = try JSON.parse(bytes)
    } catch {
      throw OCIError(.invalidArchive, "\(label) is not valid JSON: \(error)")
    }
  }

  /// A map of strings in the order of its keys, so that equal maps are equal bytes.
  package init(sorted map: [String: String]) {
    self = .object(
      JSONObject(uniqueMembers: map.sorted { $0.key < $1.key }.map { (key: $0.key, value: .string($0.value)) }))
  }

  /// A map of strings; members of other types are left out, and what is no object has none.
  package var strings: [String: String] {
    var result: [String: String] = [:]
    for (key, value) in object?.members ?? [] { result[key] = value.string }
    return result
  }
}
