import Wire

extension Validator {
  mutating func workloads(_ kind: String, _ object: JSON, old: JSON?) {
    let path = FieldPath.of("spec")
    if kind == "ControllerRevision" {
      notNegative(.of("revision"), object["revision"])
      return
    }
    guard let spec = object["spec"] else { return required(path) }
    let before = old?["spec"]
    switch kind {
    case "Deployment":
      workload(spec, before, path, kind)
      deployment(spec, path)
    case "ReplicaSet": workload(spec, before, path, kind)
    case "DaemonSet":
      workload(spec, before, path, kind)
      rollingUpdate(spec["updateStrategy"] ?? [:], path["updateStrategy"])
    case "StatefulSet":
      workload(spec, before, path, kind)
      if let before { statefulSetUpdate(spec, before, path) }
    case "Job":
      job(spec, before, path)
      if old == nil { generatedSelector(object, path) }
    case "CronJob": cronJob(spec, path)
    default: break
    }
  }

  /// What the kinds that keep pods running have in common.
  private mutating func workload(_ spec: JSON, _ old: JSON?, _ path: FieldPath, _ kind: String) {
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

  private mutating func deployment(_ spec: JSON, _ path: FieldPath) {
    notNegative(spec, path, "progressDeadlineSeconds")
    if let deadline = spec["progressDeadlineSeconds"], let seconds = deadline.int, seconds >= 0,
      seconds <= spec["minReadySeconds"]?.int ?? 0
    {
      invalid(path["progressDeadlineSeconds"], deadline, "must be greater than minReadySeconds")
    }
    rollingUpdate(spec["strategy"] ?? [:], path["strategy"])
  }

  /// `maxSurge` and `maxUnavailable` of Deployments and DaemonSets.
  private mutating func rollingUpdate(_ strategy: JSON, _ path: FieldPath) {
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

  private mutating func statefulSetUpdate(_ spec: JSON, _ old: JSON, _ path: FieldPath) {
    let mayChange: Set<String> = [
      "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
      "persistentVolumeClaimRetentionPolicy", "minReadySeconds", "selector",
    ]
    let names = Set((spec.object?.keys ?? []) + (old.object?.keys ?? [])).subtracting(mayChange)
    if names.contains(where: { spec[$0] != old[$0] }) {
      forbidden(
        path,
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
          + "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden")
    }
  }

  private mutating func job(_ spec: JSON, _ old: JSON?, _ path: FieldPath) {
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
  private mutating func generatedSelector(_ job: JSON, _ path: FieldPath) {
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

  private mutating func jobSpec(_ spec: JSON, _ path: FieldPath) {
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

  private mutating func cronJob(_ spec: JSON, _ path: FieldPath) {
    notNegative(spec, path, "startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    let schedule = spec.text("schedule")
    if !schedule.isEmpty {
      let parts = schedule.split(separator: " ")
      let isNamed = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"].contains(schedule)
      let isEvery = schedule.hasPrefix("@every ") && GoDuration.parse(String(schedule.dropFirst(7))) != nil
      let allowed = Set("0123456789*/,-?LW#abcdefghijklmnopqrstuvwxyzABCDEFGHIJKMNOPQRSTUVXYZ".utf8)
      if schedule.contains("TZ") {
        invalid(
          path["schedule"], .string(schedule), "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
      } else if !isNamed, !isEvery,
        parts.count != 5 || !parts.allSatisfy({ $0.utf8.allSatisfy(allowed.contains) })
      {
        invalid(path["schedule"], .string(schedule), "expected exactly 5 fields, found \(parts.count): \(schedule)")
      }
    }
    if let zone = spec["timeZone"]?.string, zone.isEmpty || zone.lowercased() == "local" {
      invalid(path["timeZone"], .string(zone), "must be an explicit time zone as defined in the tz database")
    }
    let job = spec.at("jobTemplate", "spec") ?? [:]
    let here = path["jobTemplate"]["spec"]
    // Its jobs get their selectors when they are made.
    if let selector = job["selector"] { invalid(here["selector"], selector, "`selector` will be auto-generated") }
    if job["manualSelector"]?.bool == true { notSupported(here["manualSelector"], true, ["nil", "false"]) }
    jobSpec(job, here)
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
