import Wire

extension KindStrategy {
  static let runtimeClass = KindStrategy(
    .v1("node.k8s.io", "RuntimeClass"), validate: { $0.runtimeClass($1, old: $2) },
    cells: { ["Handler": $0.text($0.object["handler"])] })
}

extension Validator {
  fileprivate mutating func runtimeClass(_ runtimeClass: JSON, old: JSON?) {
    let handler = runtimeClass.text("handler")
    if !handler.isEmpty { check(.of("handler"), handler, Names.dns1123Label) }
    if let old { immutable(.of("handler"), runtimeClass["handler"], old["handler"]) }
    for member in runtimeClass["overhead"]?.members("podFixed") ?? [] { quantity(member, .of("overhead", "podFixed")) }
    guard let scheduling = runtimeClass["scheduling"] else { return }
    let path = FieldPath.of("scheduling")
    labels(scheduling["nodeSelector"], path["nodeSelector"])
    for (index, toleration) in scheduling.elements("tolerations").enumerated() {
      self.toleration(toleration, path["tolerations"][index])
    }
  }
}
