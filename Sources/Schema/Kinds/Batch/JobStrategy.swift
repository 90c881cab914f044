import Wire

extension KindStrategy {
  static let job = KindStrategy(
    .v1("batch", "Job"), defaults: Defaults.job,
    validate: { validator, object, old in
      let path = FieldPath.of("spec")
      guard let spec = object["spec"] else { return validator.required(path) }
      validator.job(spec, old?["spec"], path)
      if old == nil { validator.generatedSelector(object, path) }
    },
    warn: { warner, object, old in
      if old == nil { warner.podBaseName(object) }
      warner.workload(object, old)
    },
    cells: { $0.job },
    selectableFields: [SelectableField("status.successful", at: "status.succeeded", absent: "0")],
    orphansDependents: true)
}

extension Defaults {
  fileprivate static func job(_ job: inout JSON) {
    let labels = job.at("spec", "template", "metadata", "labels")
    job.modifyOrMake("spec") { spec in
      jobSpec(&spec)
      podTemplate(&spec)
    }
    labelsFromTemplate(labels, &job)
  }

  private static func jobSpec(_ spec: inout JSON) {
    if !spec.has("completions"), !spec.has("parallelism") { spec["completions"] = 1 }
    spec.setDefault("parallelism", 1)
    let isCountedPerIndex = spec.has("backoffLimitPerIndex")
    spec.setDefault("backoffLimit", isCountedPerIndex ? .int(Int64(Int32.max)) : 6)
    spec.setDefault("completionMode", "NonIndexed")
    spec.setDefault("suspend", false)
    spec.setDefault("manualSelector", false)
    let hasFailurePolicy = spec.has("podFailurePolicy")
    spec.setDefault("podReplacementPolicy", hasFailurePolicy ? "Failed" : "TerminatingOrFailed")
    spec.modify("podFailurePolicy") { policy in
      policy.modifyElements("rules") { rule in
        rule.modifyElements("onPodConditions") { if $0.isAbsentOrEmpty("status") { $0["status"] = "True" } }
      }
    }
  }
}

extension Validator {
  fileprivate mutating func job(_ spec: JSON, _ old: JSON?, _ path: FieldPath) {
    jobSpec(spec, path)
    guard let old else { return }
    for field in [
      "selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy",
    ]
    where old.has(field) {
      immutable(path[field], spec[field], old[field])
    }
    if old.has("completions"), old.text("completionMode") != "Indexed" {
      immutable(path["completions"], spec["completions"], old["completions"])
    }
    // A suspended job that never ran may still be told where to run.
    if old["suspend"]?.bool != true { immutable(path["template"], spec["template"], old["template"]) }
  }

  /// Unless somebody chooses the selector himself, it is the one that admission made of the job's name and uid.
  fileprivate mutating func generatedSelector(_ job: JSON, _ path: FieldPath) {
    guard let spec = job["spec"], spec["manualSelector"]?.bool != true else {
      if job.at("spec", "selector") == nil { required(path["selector"]) }
      return
    }
    let labels = spec.at("template", "metadata", "labels")
    let here = path["template"]["metadata"]["labels"]
    var expected: JSON = [:]
    for (key, field) in JobLabels.all {
      let value = job.at("metadata", field)?.string ?? ""
      expected[key] = .string(value)
      switch labels?[key]?.string {
      case nil: required(here[key: key], "must be '\(value)'")
      case value?: break
      default: invalid(here[key: key], labels ?? [:], "must be '\(value)'")
      }
    }
    guard let selector = spec["selector"] else { return required(path["selector"]) }
    if !Self.matches(selector, expected) { invalid(path["selector"], selector, "`selector` not auto-generated") }
  }

  /// The specification of a Job, or of those that a CronJob makes.
  mutating func jobSpec(_ spec: JSON, _ path: FieldPath) {
    notNegative(
      spec, path, "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
      "backoffLimitPerIndex", "maxFailedIndexes")
    let template = spec["template"] ?? [:]
    podTemplate(template, path["template"])
    let policy = template.at("spec", "restartPolicy")?.string ?? ""
    if policy != "OnFailure", policy != "Never" {
      let here = path["template"]["spec"]["restartPolicy"]
      if policy.isEmpty {
        required(here, "valid values: \"OnFailure\", \"Never\"")
      } else {
        notSupported(here, .string(policy), ["OnFailure", "Never"])
      }
    }
    if let selector = spec["selector"] {
      labelSelector(selector, path["selector"])
      if !Self.matches(selector, template.at("metadata", "labels")) {
        invalid(
          path["template"]["metadata"]["labels"], template.at("metadata", "labels") ?? [:],
          "`selector` does not match template `labels`")
      }
    }
    if spec.text("completionMode") == "Indexed", !spec.has("completions") {
      required(path["completions"], "when completion mode is Indexed")
    }
  }
}

extension TableRow {
  fileprivate var job: [String: JSON] {
    let template = containers(spec.at("template", "spec"))
    let succeeded = count(status["succeeded"])
    let completions: String
    if let wanted = spec["completions"]?.int {
      completions = "\(succeeded)/\(wanted)"
    } else {
      let parallelism = spec["parallelism"]?.int ?? 1
      completions = parallelism > 1 ? "\(succeeded)/1 of \(parallelism)" : "\(succeeded)/1"
    }
    var state = "Running"
    for condition in status["conditions"]?.array ?? [] where condition["status"]?.string == "True" {
      switch condition["type"]?.string {
      case "Complete": state = "Complete"
      case "Failed": state = "Failed"
      case "Suspended": state = "Suspended"
      case "FailureTarget" where state == "Running": state = "FailureTarget"
      case "SuccessCriteriaMet" where state == "Running": state = "SuccessCriteriaMet"
      default: break
      }
    }
    if object.at("metadata", "deletionTimestamp") != nil { state = "Terminating" }
    var duration = ""
    if let start = status["startTime"]?.string.flatMap(Timestamp.init(rfc3339:)) {
      let end = status["completionTime"]?.string.flatMap(Timestamp.init(rfc3339:)) ?? now
      duration = Self.human(end.since(start))
    }
    return [
      "Status": .string(state), "Completions": .string(completions), "Duration": .string(duration),
      "Containers": template.names, "Images": template.images, "Selector": selector(spec["selector"]),
    ]
  }
}

/// The labels by which a Job finds its pods.
public enum JobLabels {
  /// Each key with the field of the Job's metadata that is its value. The keys without a prefix are the old ones.
  public static let all = [
    (key: controllerUID, field: "uid"), (key: "controller-uid", field: "uid"),
    (key: "batch.kubernetes.io/job-name", field: "name"), (key: "job-name", field: "name"),
  ]

  /// The one that the selector names.
  public static let controllerUID = "batch.kubernetes.io/controller-uid"
}
