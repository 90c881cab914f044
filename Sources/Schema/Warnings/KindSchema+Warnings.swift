public import Wire

extension KindSchema {
  /// What an object that may be stored probably does not mean to say; clients show it as `Warning:` (KEP-1693).
  ///
  /// - Parameter old: the stored object when this is an update.
  public func warnings(_ object: JSON, old: JSON?) -> [String] {
    var warner = Warner()
    switch (group, kind) {
    // Pods are updated often, and seldom by people.
    case ("", "Pod"): if old == nil { warner.pod(object, .root) }
    case ("", "PodTemplate"): warner.template(object["template"], old?["template"], .of("template"))
    case ("", "ReplicationController"), ("apps", "Deployment"), ("apps", "ReplicaSet"), ("apps", "DaemonSet"):
      warner.workload(object, old)
    case ("apps", "StatefulSet"):
      warner.workload(object, old)
      for (index, claim) in (object["spec"]?.elements("volumeClaimTemplates") ?? []).enumerated() where old == nil {
        warner.claim(claim["spec"], FieldPath.of("spec", "volumeClaimTemplates")[index]["spec"])
      }
    case ("batch", "Job"):
      if old == nil { warner.podBaseName(object) }
      warner.workload(object, old)
    case ("batch", "CronJob"):
      if old == nil { warner.podBaseName(object) }
      let path = FieldPath.of("spec", "jobTemplate", "spec", "template")
      let template = ["spec", "jobTemplate", "spec", "template"]
      warner.template(
        template.reduce(object) { $0[$1] ?? .null }, old.map { template.reduce($0) { $0[$1] ?? .null } }, path)
    case ("", "PersistentVolumeClaim"): if old == nil { warner.claim(object["spec"], .of("spec")) }
    case ("", "PersistentVolume"): warner.volume(object)
    case ("", "Node"): warner.node(object)
    case ("networking.k8s.io", "Ingress"): if old == nil { warner.ingress(object) }
    default: break
    }
    return warner.warnings
  }
}

/// Collects warnings about one object. The rules are those of Kubernetes (`pkg/api/*/warnings.go`).
struct Warner {
  private(set) var warnings: [String] = []

  /// More than anybody reads, and than an answer carries.
  private static let countMax = 64

  mutating func warn(_ path: FieldPath, _ text: String) {
    if warnings.count < Self.countMax { warnings.append("\(path): \(text)") }
  }

  /// A workload's pods, when they are new or have changed.
  mutating func workload(_ object: JSON, _ old: JSON?) {
    template(object.at("spec", "template"), old?.at("spec", "template"), .of("spec", "template"))
  }

  mutating func template(_ template: JSON?, _ old: JSON?, _ path: FieldPath) {
    guard let template, template.object != nil, template != old else { return }
    pod(template, path)
  }

  /// The pods of a Job are called after it.
  mutating func podBaseName(_ object: JSON) {
    let problems = Names.dns1123Label(object.at("metadata", "name")?.string ?? "")
    guard !problems.isEmpty else { return }
    warn(
      .of("metadata", "name"),
      "this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: "
        + "[\(problems.joined(separator: " "))]")
  }

  mutating func claim(_ spec: JSON?, _ path: FieldPath) {
    for list in ["requests", "limits"] {
      wholeBytes(spec?.at("resources", list), ["storage"], path["resources"][list])
    }
  }

  mutating func volume(_ volume: JSON) {
    let path = FieldPath.of("spec")
    if volume.at("spec", "persistentVolumeReclaimPolicy") == "Recycle" {
      warn(
        path["persistentVolumeReclaimPolicy"],
        "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.")
    }
    wholeBytes(volume.at("spec", "capacity"), ["storage"], path["capacity"])
  }

  mutating func node(_ node: JSON) {
    if node.at("spec", "configSource") != nil {
      warn(.of("spec", "configSource"), "the feature is no longer supported")
    }
    if node.at("spec", "externalID")?.string?.isEmpty == false {
      warn(.of("spec", "externalID"), "this field is deprecated, and is unused by Kubernetes")
    }
  }

  mutating func ingress(_ ingress: JSON) {
    guard ingress.at("metadata", "annotations", "kubernetes.io/ingress.class") != nil else { return }
    warnings.append(
      "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead")
  }

  /// Amounts of bytes that are no whole numbers, such as `1.1Gi`.
  mutating func wholeBytes(_ amounts: JSON?, _ names: [String], _ path: FieldPath) {
    for name in names {
      guard let text = amounts?[name]?.string, let quantity = Quantity(text), quantity.nanos % 1_000_000_000 != 0 else {
        continue
      }
      warn(path[key: name], "fractional byte value \"\(text)\" is invalid, must be an integer")
    }
  }
}
