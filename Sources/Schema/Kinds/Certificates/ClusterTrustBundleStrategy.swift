import Wire

extension KindStrategy {
  static let clusterTrustBundle = KindStrategy(
    .v1("certificates.k8s.io", "ClusterTrustBundle"),
    // Colons separate the name of a signer from the rest.
    nameProblems: { Names.dns1123Subdomain(String($0.map { $0 == ":" ? "." : $0 })) },
    cells: { ["SignerName": $0.text($0.spec["signerName"])] })
}
