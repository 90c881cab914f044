import Wire

extension Defaults {
  static func podTemplate(_ owner: inout JSON) {
    owner.modifyOrMake("template") { template in
      template.modifyOrMake("spec", podSpec)
    }
  }

  /// An object without labels gets those of its pods.
  static func labelsFromTemplate(_ labels: JSON?, _ object: inout JSON) {
    guard let labels, !labels.isEmptyValue else { return }
    object.modifyOrMake("metadata") { metadata in
      if metadata.isAbsentOrEmpty("labels") { metadata["labels"] = labels }
    }
  }

  static func podSpec(_ spec: inout JSON) {
    spec.modifyElements("volumes", volume)
    let isHostNetwork = spec["hostNetwork"]?.bool == true
    for list in ["initContainers", "containers", "ephemeralContainers"] {
      spec.modifyElements(list) { container in
        Defaults.container(&container)
        guard isHostNetwork, list != "ephemeralContainers" else { return }
        container.modifyElements("ports") { port in
          if port.isAbsentOrEmpty("hostPort"), let number = port["containerPort"] { port["hostPort"] = number }
        }
      }
    }
    spec.setDefault("restartPolicy", "Always")
    spec.setDefault("terminationGracePeriodSeconds", 30)
    spec.setDefault("dnsPolicy", "ClusterFirst")
    spec.setDefault("securityContext", [:])
    spec.setDefault("schedulerName", "default-scheduler")
    // The old name of the field is kept equal to the new one, as Kubernetes' conversion does.
    let account = spec.text("serviceAccountName")
    let oldAccount = spec.text("serviceAccount")
    if account.isEmpty, !oldAccount.isEmpty { spec["serviceAccountName"] = .string(oldAccount) }
    if !account.isEmpty, oldAccount != account { spec["serviceAccount"] = .string(account) }
  }

  static func container(_ container: inout JSON) {
    let image = container.text("image")
    container.setDefault("imagePullPolicy", .string(pullsAlways(image) ? "Always" : "IfNotPresent"))
    container.setDefault("terminationMessagePath", "/dev/termination-log")
    container.setDefault("terminationMessagePolicy", "File")
    container.setDefault("resources", [:])
    container.modifyElements("env") { variable in
      variable.modify("valueFrom", fieldSource)
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
      container.modify(name) { probe in
        for (key, value) in [
          ("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3),
        ]
          as [(String, Int64)]
        where probe.isAbsentOrEmpty(key) {
          probe[key] = .int(value)
        }
        probe.modify("httpGet", httpGet)
      }
    }
    container.modify("lifecycle") { lifecycle in
      for name in ["postStart", "preStop"] {
        lifecycle.modify(name) { $0.modify("httpGet", httpGet) }
      }
    }
  }

  private static func httpGet(_ action: inout JSON) {
    if action.isAbsentOrEmpty("path") { action["path"] = "/" }
    if action.isAbsentOrEmpty("scheme") { action["scheme"] = "HTTP" }
  }

  private static func fieldSource(_ source: inout JSON) {
    source.modify("fieldRef") { $0.setDefault("apiVersion", "v1") }
    source.modify("resourceFieldRef") { $0.setDefault("divisor", "0") }
  }

  /// Whether an image is named by the tag `latest`, or by neither tag nor digest.
  static func pullsAlways(_ image: String) -> Bool {
    if image.utf8.contains(UInt8(ascii: "@")) { return false }
    let last = image.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
    guard let colon = last.firstIndex(of: ":") else { return true }
    return last[last.index(after: colon)...] == "latest"
  }

  static func volume(_ volume: inout JSON) {
    // A volume without a source is an empty directory.
    if let object = volume.object, !object.members.contains(where: { $0.key != "name" && !$0.value.isNull }) {
      volume["emptyDir"] = [:]
    }
    for name in ["secret", "configMap", "downwardAPI", "projected"] {
      volume.modify(name) { $0.setDefault("defaultMode", 420) }
    }
    volume.modify("hostPath") { $0.setDefault("type", "") }
    volume.modify("downwardAPI") { $0.modifyElements("items", fieldSource) }
    volume.modify("projected") { projected in
      projected.modifyElements("sources") { source in
        source.modify("serviceAccountToken") { $0.setDefault("expirationSeconds", 3600) }
        source.modify("podCertificate") { $0.setDefault("maxExpirationSeconds", 86_400) }
        source.modify("downwardAPI") { $0.modifyElements("items", fieldSource) }
      }
    }
    volume.modify("ephemeral") { ephemeral in
      ephemeral.modify("volumeClaimTemplate") { template in
        template.modify("spec") { $0.setDefault("volumeMode", "Filesystem") }
      }
    }
    volume.modify("image") { source in
      let isLatest = pullsAlways(source.text("reference"))
      source.setDefault("pullPolicy", .string(isLatest ? "Always" : "IfNotPresent"))
    }
  }
}
