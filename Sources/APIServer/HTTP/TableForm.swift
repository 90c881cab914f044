import Schema
import Wire

/// Answers as tables and as bare metadata.
enum TableForm {
  /// A `meta.k8s.io/v1 Table`.
  ///
  /// - Parameter includeObject: `None`, `Metadata` or `Object`: what each row carries besides its cells.
  static func table(
    objects: [[UInt8]], kind: KindSchema, metadata: JSONObject, includeObject: String, now: Timestamp
  ) -> JSON {
    let columns: [JSON] = kind.tableColumns.map { column in
      [
        "name": .string(column.name), "type": .string(column.type), "format": .string(column.format),
        "description": .string(column.description), "priority": .int(Int64(column.priority)),
      ]
    }
    let rows: [JSON] = objects.map { bytes in
      let object = (try? JSON.parse(bytes)) ?? .object(JSONObject())
      var row: JSONObject = ["cells": .array(kind.tableRow(object, now: now))]
      switch includeObject {
      case "None": break
      case "Object": row["object"] = object
      default: row["object"] = partialMetadata(object)
      }
      return .object(row)
    }
    var metadata = metadata
    if metadata.isEmpty, objects.count == 1,
      let version = JSON.scalar(at: ["metadata", "resourceVersion"], of: objects[0])
    {
      metadata["resourceVersion"] = .string(version)
    }
    return [
      "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": .object(metadata),
      "columnDefinitions": .array(columns), "rows": .array(rows),
    ]
  }

  static func partialMetadata(_ bytes: [UInt8]) -> JSON {
    partialMetadata((try? JSON.parse(bytes)) ?? .object(JSONObject()))
  }

  static func partialMetadata(_ object: JSON) -> JSON {
    [
      "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
      "metadata": object["metadata"] ?? .object(JSONObject()),
    ]
  }
}
