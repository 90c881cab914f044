import Wire

extension Defaults {
  static func apps(_ kind: String, _ object: inout JSON) {
    guard kind != "ControllerRevision" else { return }
    object.modifyOrMake("spec") { spec in
      switch kind {
      case "Deployment": deployment(&spec)
      case "ReplicaSet": spec.setDefault("replicas", 1)
      case "StatefulSet": statefulSet(&spec)
      case "DaemonSet": daemonSet(&spec)
      default: break
      }
      podTemplate(&spec)
    }
  }

  private static func deployment(_ spec: inout JSON) {
    spec.setDefault("replicas", 1)
    spec.modifyOrMake("strategy") { strategy in
      strategy.setDefault("type", "RollingUpdate")
      if strategy.text("type") == "RollingUpdate" {
        strategy.modifyOrMake("rollingUpdate") { update in
          update.setDefault("maxUnavailable", "25%")
          update.setDefault("maxSurge", "25%")
        }
      }
    }
    spec.setDefault("revisionHistoryLimit", 10)
    spec.setDefault("progressDeadlineSeconds", 600)
  }

  private static func statefulSet(_ spec: inout JSON) {
    spec.setDefault("podManagementPolicy", "OrderedReady")
    spec.modifyOrMake("updateStrategy") { strategy in
      strategy.setDefault("type", "RollingUpdate")
      if strategy.text("type") == "RollingUpdate" {
        strategy.modifyOrMake("rollingUpdate") { $0.setDefault("partition", 0) }
      }
    }
    spec.modifyOrMake("persistentVolumeClaimRetentionPolicy") { policy in
      policy.setDefault("whenDeleted", "Retain")
      policy.setDefault("whenScaled", "Retain")
    }
    spec.setDefault("replicas", 1)
    spec.setDefault("revisionHistoryLimit", 10)
    spec.modifyElements("volumeClaimTemplates", persistentVolumeClaim)
  }

  private static func daemonSet(_ spec: inout JSON) {
    spec.modifyOrMake("updateStrategy") { strategy in
      strategy.setDefault("type", "RollingUpdate")
      if strategy.text("type") == "RollingUpdate" {
        strategy.modifyOrMake("rollingUpdate") { update in
          update.setDefault("maxUnavailable", 1)
          update.setDefault("maxSurge", 0)
        }
      }
    }
    spec.setDefault("revisionHistoryLimit", 10)
  }

  static func batch(_ kind: String, _ object: inout JSON) {
    switch kind {
    case "Job":
      let labels = object.at("spec", "template", "metadata", "labels")
      object.modifyOrMake("spec") { spec in
        job(&spec)
        podTemplate(&spec)
      }
      labelsFromTemplate(labels, &object)
    case "CronJob":
      object.modifyOrMake("spec") { spec in
        spec.setDefault("concurrencyPolicy", "Allow")
        spec.setDefault("suspend", false)
        spec.setDefault("successfulJobsHistoryLimit", 3)
        spec.setDefault("failedJobsHistoryLimit", 1)
        // The jobs get their own defaults when they are made.
        spec.modifyOrMake("jobTemplate") { $0.modifyOrMake("spec", podTemplate) }
      }
    default: break
    }
  }

  private static func job(_ spec: inout JSON) {
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
