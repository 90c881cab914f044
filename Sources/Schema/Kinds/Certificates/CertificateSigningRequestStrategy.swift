import Wire

extension KindStrategy {
  static let certificateSigningRequest = KindStrategy(
    .v1("certificates.k8s.io", "CertificateSigningRequest"), cells: { $0.certificateSigningRequest },
    selectableFields: ["spec.signerName"])
}

extension TableRow {
  fileprivate var certificateSigningRequest: [String: JSON] {
    let conditions = (status["conditions"]?.array ?? []).compactMap { $0["type"]?.string }
    var state = conditions.isEmpty ? "Pending" : conditions.joined(separator: ",")
    if !(status["certificate"]?.string ?? "").isEmpty { state += ",Issued" }
    return [
      "SignerName": text(spec["signerName"]), "Requestor": text(spec["username"]),
      "RequestedDuration": .string(
        spec["expirationSeconds"]?.int.map { Self.human(.seconds($0)) } ?? "<none>"),
      "Condition": .string(state),
    ]
  }
}
