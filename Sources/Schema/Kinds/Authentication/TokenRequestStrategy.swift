import Wire

extension KindStrategy {
  static let tokenRequest = KindStrategy(
    .v1("authentication.k8s.io", "TokenRequest"),
    defaults: { request in request.modifyOrMake("spec") { $0.setDefault("expirationSeconds", 3600) } })
}
