import Wire

extension KindStrategy {
  static let subjectAccessReview = accessReview("SubjectAccessReview")
  static let localSubjectAccessReview = accessReview("LocalSubjectAccessReview")
  static let selfSubjectAccessReview = accessReview("SelfSubjectAccessReview")

  private static func accessReview(_ kind: String) -> KindStrategy {
    KindStrategy(
      .v1("authorization.k8s.io", kind),
      validate: { validator, object, _ in
        let spec = object["spec"] ?? [:]
        guard spec.has("resourceAttributes") == spec.has("nonResourceAttributes") else { return }
        let problem = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        validator.invalid(.of("spec", "resourceAttributes"), spec["resourceAttributes"] ?? .null, problem)
      })
  }
}
