import Wire

extension KindStrategy {
  /// As it is stored.
  static let horizontalPodAutoscaler = KindStrategy(
    GroupVersionKind(group: "autoscaling", version: "v2", kind: "HorizontalPodAutoscaler"),
    defaults: { autoscaler in
      autoscaler.modify("spec") { spec in
        spec.setDefault("minReplicas", 1)
        if spec.isAbsentOrEmpty("metrics") {
          spec["metrics"] = [
            [
              "type": "Resource",
              "resource": ["name": "cpu", "target": ["type": "Utilization", "averageUtilization": 80]],
            ]
          ]
        }
      }
    },
    validate: { validator, object, _ in validator.autoscaler(object) }, cells: { $0.autoscaler })

  static let horizontalPodAutoscalerV1 = KindStrategy(
    .v1("autoscaling", "HorizontalPodAutoscaler"),
    defaults: { autoscaler in autoscaler.modify("spec") { $0.setDefault("minReplicas", 1) } },
    validate: { validator, object, _ in validator.autoscaler(object) }, cells: { $0.autoscaler },
    conversion: .autoscalers)
}

extension Validator {
  fileprivate mutating func autoscaler(_ autoscaler: JSON) {
    let path = FieldPath.of("spec")
    let spec = autoscaler["spec"] ?? [:]
    atLeast(0, path["minReplicas"], spec["minReplicas"])
    let limit = spec["maxReplicas"]?.int ?? 0
    if limit < 1 {
      invalid(path["maxReplicas"], .int(limit), "must be greater than 0")
    } else if limit < spec["minReplicas"]?.int ?? 1 {
      invalid(path["maxReplicas"], .int(limit), "must be greater than or equal to `minReplicas`")
    }
    for field in ["kind", "name"] where spec["scaleTargetRef"]?.text(field).isEmpty ?? true {
      required(path["scaleTargetRef"][field])
    }
  }
}

extension TableRow {
  fileprivate var autoscaler: [String: JSON] {
    let target = spec["scaleTargetRef"]
    return [
      "Reference": .string("\(target?["kind"]?.string ?? "")/\(target?["name"]?.string ?? "")"),
      "Targets": "<unknown>", "MinPods": text(spec["minReplicas"], or: "<unset>"),
      "MaxPods": text(spec["maxReplicas"]), "Replicas": .string("\(count(status["currentReplicas"]))"),
    ]
  }
}

extension KindConversion {
  /// Autoscalers of `v1` know nothing but the processor: the rest is in annotations there, each the JSON of a member of
  /// `v2`, so that who reads and writes `v1` loses nothing.
  fileprivate static let autoscalers = KindConversion(
    served: .v1("autoscaling", "HorizontalPodAutoscaler"),
    storage: GroupVersionKind(group: "autoscaling", version: "v2", kind: "HorizontalPodAutoscaler"),
    resource: "horizontalpodautoscalers",
    toStorage: { object in
      var notes = Annotations(object)
      object.modify("spec") { spec in
        let percent = spec["targetCPUUtilizationPercentage"]
        spec["targetCPUUtilizationPercentage"] = nil
        let metrics = (percent.map { [processor(target: $0)] } ?? []) + notes.takeList("metrics")
        if !metrics.isEmpty { spec["metrics"] = .array(metrics) }
        spec["behavior"] = notes.take("behavior") { $0.object != nil }
      }
      object.modify("status") { status in
        let percent = status["currentCPUUtilizationPercentage"]
        status["currentCPUUtilizationPercentage"] = nil
        let metrics = (percent.map { [processor(current: $0)] } ?? []) + notes.takeList("current-metrics")
        if !metrics.isEmpty { status["currentMetrics"] = .array(metrics) }
        let conditions = notes.takeList("conditions")
        if !conditions.isEmpty { status["conditions"] = .array(conditions) }
      }
      notes.store(in: &object)
    },
    fromStorage: { object in
      var notes = Annotations(object)
      object.modify("spec") { spec in
        var metrics = spec.elements("metrics")
        spec["metrics"] = nil
        if let index = metrics.firstIndex(where: { isProcessor($0, "target") }) {
          spec["targetCPUUtilizationPercentage"] = metrics.remove(at: index).at(
            "resource", "target", "averageUtilization")
        }
        notes.put("metrics", metrics.isEmpty ? nil : .array(metrics))
        notes.put("behavior", spec["behavior"])
        spec["behavior"] = nil
      }
      object.modify("status") { status in
        var metrics = status.elements("currentMetrics")
        status["currentMetrics"] = nil
        if let index = metrics.firstIndex(where: {
          $0 == processor(current: averageUtilization($0, "current") ?? .null)
        }) {
          status["currentCPUUtilizationPercentage"] = averageUtilization(metrics.remove(at: index), "current")
        }
        notes.put("current-metrics", metrics.isEmpty ? nil : .array(metrics))
        notes.put("conditions", status["conditions"])
        status["conditions"] = nil
      }
      notes.store(in: &object)
    })

  private static func processor(target percent: JSON) -> JSON {
    [
      "type": "Resource",
      "resource": ["name": "cpu", "target": ["type": "Utilization", "averageUtilization": percent]],
    ]
  }

  /// A current metric has amounts beside the percentage; only one without them can be told by the percentage alone.
  private static func processor(current percent: JSON) -> JSON {
    ["type": "Resource", "resource": ["name": "cpu", "current": ["averageUtilization": percent]]]
  }

  private static func averageUtilization(_ metric: JSON, _ member: String) -> JSON? {
    metric.at("resource", member, "averageUtilization")
  }

  /// Whether a metric is the one that `v1` has a field for, and says no more than that field.
  private static func isProcessor(_ metric: JSON, _ member: String) -> Bool {
    averageUtilization(metric, member).map { metric == processor(target: $0) } ?? false
  }

  /// The annotations in which `v1` keeps what it has no fields for.
  private struct Annotations {
    private static let prefix = "autoscaling.alpha.kubernetes.io/"
    private var members: JSONObject

    init(_ object: JSON) { members = object.at("metadata", "annotations")?.object ?? JSONObject() }

    /// Takes the value out of its annotation; one that makes no sense stays where it is.
    mutating func take(_ name: String, where isRight: (JSON) -> Bool) -> JSON? {
      guard let text = members[Self.prefix + name]?.string, let value = try? JSON.parse(text), isRight(value) else {
        return nil
      }
      members[Self.prefix + name] = nil
      return value
    }

    mutating func takeList(_ name: String) -> [JSON] { take(name) { $0.array != nil }?.array ?? [] }

    mutating func put(_ name: String, _ value: JSON?) {
      if let value { members[Self.prefix + name] = .string(value.text) }
    }

    func store(in object: inout JSON) {
      let annotations = members
      object.modify("metadata") { $0["annotations"] = annotations.isEmpty ? nil : .object(annotations) }
    }
  }
}
