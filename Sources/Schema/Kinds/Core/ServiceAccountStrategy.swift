extension KindStrategy {
  static let serviceAccount = KindStrategy(.core("ServiceAccount"), returnsDeleted: true)
}
