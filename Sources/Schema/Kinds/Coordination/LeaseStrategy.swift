import Wire

extension KindStrategy {
  static let lease = KindStrategy(
    .v1("coordination.k8s.io", "Lease"),
    validate: { validator, object, _ in
      let path = FieldPath.of("spec")
      validator.atLeast(1, path["leaseDurationSeconds"], object.at("spec", "leaseDurationSeconds"))
      validator.notNegative(path["leaseTransitions"], object.at("spec", "leaseTransitions"))
    },
    cells: { ["Holder": $0.text($0.spec["holderIdentity"], or: "")] })
}
