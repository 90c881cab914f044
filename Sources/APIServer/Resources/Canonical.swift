import Wire

/// The stored form of an object: compact JSON with `apiVersion`, `kind` and `metadata` first, and
/// `metadata.resourceVersion` first in it. The store splices the revision between its quotes at commit.
enum Canonical {
  /// The bytes with an empty resource version, and the offset at which the revision belongs.
  static func encode(_ object: JSON) -> (bytes: [UInt8], revisionAt: Int) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(1024)
    bytes.append(literal: "{\"apiVersion\":")
    bytes.append(jsonString: object["apiVersion"]?.string ?? "")
    bytes.append(literal: ",\"kind\":")
    bytes.append(jsonString: object["kind"]?.string ?? "")
    bytes.append(literal: ",\"metadata\":{\"resourceVersion\":\"")
    let revisionAt = bytes.count
    bytes.append(UInt8(ascii: "\""))
    for (key, value) in object["metadata"]?.object?.members ?? [] where key != "resourceVersion" {
      bytes.append(UInt8(ascii: ","))
      bytes.append(jsonString: key)
      bytes.append(UInt8(ascii: ":"))
      value.serialize(into: &bytes)
    }
    bytes.append(UInt8(ascii: "}"))
    for (key, value) in object.object?.members ?? [] where key != "apiVersion" && key != "kind" && key != "metadata" {
      bytes.append(UInt8(ascii: ","))
      bytes.append(jsonString: key)
      bytes.append(UInt8(ascii: ":"))
      value.serialize(into: &bytes)
    }
    bytes.append(UInt8(ascii: "}"))
    return (bytes, revisionAt)
  }
}
