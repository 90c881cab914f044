import Wire

extension KindStrategy {
  static let volumeAttachment = KindStrategy(
    .v1("storage.k8s.io", "VolumeAttachment"), cells: { $0.volumeAttachment },
    metadataKeptByStatus: ["labels", "annotations", "finalizers"])
}

extension TableRow {
  fileprivate var volumeAttachment: [String: JSON] {
    [
      "Attacher": text(spec["attacher"]), "PV": text(spec.at("source", "persistentVolumeName"), or: ""),
      "Node": text(spec["nodeName"]), "Attached": .bool(status["attached"]?.bool == true),
    ]
  }
}
