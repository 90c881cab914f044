import Wire

extension Validator {
  /// What the kinds that keep pods running have in common.
  mutating func workload(_ spec: JSON, _ old: JSON?, _ path: FieldPath, _ kind: String) {
    notNegative(spec, path, "replicas", "minReadySeconds", "revisionHistoryLimit")
    let template = spec["template"] ?? [:]
    if let selector = spec["selector"] {
      labelSelector(selector, path["selector"])
      if selector.isAbsentOrEmpty("matchLabels"), selector.isAbsentOrEmpty("matchExpressions") {
        invalid(path["selector"], selector, "empty selector is invalid for \(kind.lowercased())")
      } else if !Self.matches(selector, template.at("metadata", "labels")) {
        invalid(
          path["template"]["metadata"]["labels"], template.at("metadata", "labels") ?? [:],
          "`selector` does not match template `labels`")
      }
      if let before = old?["selector"] { immutable(path["selector"], selector, before) }
    } else {
      required(path["selector"])
    }
    podTemplate(template, path["template"], claims: spec.elements("volumeClaimTemplates"))
    alwaysRestarts(template, path["template"], kind)
  }

  mutating func alwaysRestarts(_ template: JSON, _ path: FieldPath, _ kind: String) {
    let policy = template.at("spec", "restartPolicy")?.string ?? "Always"
    if policy != "Always" { notSupported(path["spec"]["restartPolicy"], .string(policy), ["Always"]) }
    if template.at("spec", "activeDeadlineSeconds") != nil {
      forbidden(path["spec"]["activeDeadlineSeconds"], "activeDeadlineSeconds in \(kind) is not Supported")
    }
  }

  /// `maxSurge` and `maxUnavailable` of Deployments and DaemonSets.
  mutating func rollingUpdate(_ strategy: JSON, _ path: FieldPath) {
    let update = strategy["rollingUpdate"]
    if strategy.text("type") == "Recreate" || strategy.text("type") == "OnDelete" {
      if update != nil {
        forbidden(
          path["rollingUpdate"], "may not be specified when strategy `type` is '\(strategy.text("type"))'")
      }
      return
    }
    guard let update else {
      if strategy.text("type") == "RollingUpdate" { required(path["rollingUpdate"]) }
      return
    }
    let here = path["rollingUpdate"]
    var amounts: [Int64?] = []
    for field in ["maxUnavailable", "maxSurge"] { amounts.append(intOrPercent(update[field], here[field])) }
    if amounts == [0, 0] {
      invalid(here["maxUnavailable"], update["maxUnavailable"] ?? 0, "may not be 0 when `maxSurge` is 0")
    }
    if case .string(let text)? = update["maxUnavailable"], let percent = amounts[0], percent > 100 {
      invalid(here["maxUnavailable"], .string(text), "must not be greater than 100%")
    }
  }

  /// - Returns: the number, also of a percentage; `nil` when it is wrong.
  private mutating func intOrPercent(_ value: JSON?, _ path: FieldPath) -> Int64? {
    switch value {
    case nil: return 0
    case .int(let number)?:
      notNegative(path, value)
      return number
    case .string(let text)?:
      if text.hasSuffix("%"), let percent = Int64(text.dropLast()), percent >= 0 { return percent }
      invalid(
        path, .string(text),
        "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used "
          + "for validation is '[0-9]+%')")
      return nil
    default: return nil
    }
  }
}
