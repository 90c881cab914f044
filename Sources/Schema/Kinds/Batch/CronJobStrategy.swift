import Wire

extension KindStrategy {
  static let cronJob = KindStrategy(
    .v1("batch", "CronJob"),
    // The controller adds 11 characters to make the names of jobs, whose pods have it as a label.
    nameProblems: { Names.dns1123Subdomain($0) + ($0.utf8.count > 52 ? ["must be no more than 52 characters"] : []) },
    defaults: { job in
      job.modifyOrMake("spec") { spec in
        spec.setDefault("concurrencyPolicy", "Allow")
        spec.setDefault("suspend", false)
        spec.setDefault("successfulJobsHistoryLimit", 3)
        spec.setDefault("failedJobsHistoryLimit", 1)
        // The jobs get their own defaults when they are made.
        spec.modifyOrMake("jobTemplate") { $0.modifyOrMake("spec", Defaults.podTemplate) }
      }
    },
    validate: { validator, object, _ in
      let path = FieldPath.of("spec")
      guard let spec = object["spec"] else { return validator.required(path) }
      validator.cronJob(spec, path)
    },
    warn: { warner, object, old in
      if old == nil { warner.podBaseName(object) }
      let path = FieldPath.of("spec", "jobTemplate", "spec", "template")
      let template = ["spec", "jobTemplate", "spec", "template"]
      warner.template(
        template.reduce(object) { $0[$1] ?? .null }, old.map { template.reduce($0) { $0[$1] ?? .null } }, path)
    },
    cells: { $0.cronJob })
}

extension Validator {
  fileprivate mutating func cronJob(_ spec: JSON, _ path: FieldPath) {
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

extension TableRow {
  fileprivate var cronJob: [String: JSON] {
    let template = containers(spec.at("jobTemplate", "spec", "template", "spec"))
    let last = status["lastScheduleTime"]?.string
    return [
      "Schedule": text(spec["schedule"]), "Timezone": text(spec["timeZone"]),
      "Suspend": .bool(spec["suspend"]?.bool == true), "Active": .int(Int64(status["active"]?.array?.count ?? 0)),
      "Last Schedule": .string(last.map { since($0) } ?? "<none>"), "Containers": template.names,
      "Images": template.images, "Selector": selector(spec.at("jobTemplate", "spec", "selector")),
    ]
  }
}
