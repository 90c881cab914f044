import Wire

extension KindStrategy {
  static let podCertificateRequest = KindStrategy(
    .v1("certificates.k8s.io", "PodCertificateRequest"), cells: { $0.podCertificateRequest })
}

extension TableRow {
  fileprivate var podCertificateRequest: [String: JSON] {
    let state = (status["conditions"]?.array ?? []).last?["type"]
    let notes = labels(spec["unverifiedUserAnnotations"])
    return [
      "PodName": text(spec["podName"]), "ServiceAccountName": text(spec["serviceAccountName"]),
      "NodeName": text(spec["nodeName"]), "SignerName": text(spec["signerName"]), "State": text(state, or: "Pending"),
      "UnverifiedUserAnnotations": .string(notes.isEmpty ? "<none>" : notes.joined(separator: ",")),
    ]
  }
}
