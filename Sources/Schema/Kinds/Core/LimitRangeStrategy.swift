import Wire

extension KindStrategy {
  static let limitRange = KindStrategy(.core("LimitRange"), defaults: Defaults.limitRange)
}

extension Defaults {
  fileprivate static func limitRange(_ range: inout JSON) {
    range.modify("spec") { spec in
      spec.modifyElements("limits") { item in
        guard item.text("type") == "Container" else { return }
        let limitMax = item.members("max")
        let limitMin = item.members("min")
        if !limitMax.isEmpty {
          item.modifyOrMake("default") { for limit in limitMax { $0.setDefault(limit.key, limit.value) } }
        }
        let limits = item.members("default")
        guard !limits.isEmpty || !limitMin.isEmpty else { return }
        item.modifyOrMake("defaultRequest") { requests in
          for limit in limits { requests.setDefault(limit.key, limit.value) }
          for limit in limitMin { requests.setDefault(limit.key, limit.value) }
        }
      }
    }
  }
}
