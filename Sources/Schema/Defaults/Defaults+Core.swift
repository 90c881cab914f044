import Wire

extension Defaults {
  /// The core group.
  static func core(_ kind: String, _ object: inout JSON) {
    switch kind {
    case "Pod": pod(&object)
    case "PodTemplate": podTemplate(&object)
    case "Service": service(&object)
    case "Secret": secret(&object)
    case "Namespace": namespace(&object)
    case "Endpoints":
      object.modifyElements("subsets") { subset in
        subset.modifyElements("ports") { $0.setDefault("protocol", "TCP") }
      }
    case "Node":
      object.modify("status") { status in
        if status.isAbsentOrEmpty("allocatable"), let capacity = status["capacity"] { status["allocatable"] = capacity }
      }
    case "PersistentVolume":
      object.modifyOrMake("spec") { spec in
        spec.setDefault("persistentVolumeReclaimPolicy", "Retain")
        spec.setDefault("volumeMode", "Filesystem")
        spec.modify("hostPath") { $0.setDefault("type", "") }
      }
      object.modifyOrMake("status") { $0.setDefault("phase", "Pending") }
    case "PersistentVolumeClaim": persistentVolumeClaim(&object)
    case "ReplicationController": replicationController(&object)
    case "LimitRange": limitRange(&object)
    default: break
    }
  }

  /// `stringData` is for writing only: its texts become entries of `data`, where they win.
  private static func secret(_ secret: inout JSON) {
    secret.setDefault("type", "Opaque")
    guard let texts = secret["stringData"]?.object else { return }
    var data = secret["data"]?.object ?? JSONObject()
    for (key, text) in texts.members { data[key] = .string(Base64.encode(Array((text.string ?? "").utf8))) }
    secret["data"] = data.isEmpty ? nil : .object(data)
    secret["stringData"] = nil
  }

  private static func service(_ service: inout JSON) {
    service.modifyOrMake("spec") { spec in
      spec.setDefault("sessionAffinity", "None")
      if spec.text("sessionAffinity") == "ClientIP" {
        spec.modifyOrMake("sessionAffinityConfig") { config in
          config.modifyOrMake("clientIP") { $0.setDefault("timeoutSeconds", 10_800) }
        }
      } else {
        spec["sessionAffinityConfig"] = nil
      }
      spec.setDefault("type", "ClusterIP")
      spec.modifyElements("ports") { port in
        port.setDefault("protocol", "TCP")
        if port.isAbsentOrEmpty("targetPort"), let number = port["port"] { port["targetPort"] = number }
      }
      let type = spec.text("type")
      if type == "NodePort" || type == "LoadBalancer" { spec.setDefault("externalTrafficPolicy", "Cluster") }
      if type == "LoadBalancer" { spec.setDefault("allocateLoadBalancerNodePorts", true) }
      if type != "ExternalName" { spec.setDefault("internalTrafficPolicy", "Cluster") }
    }
    service.modifyOrMake("status") { $0.setDefault("loadBalancer", [:]) }
  }

  private static func namespace(_ namespace: inout JSON) {
    namespace.modifyOrMake("status") { $0.setDefault("phase", "Active") }
    // Lets selectors choose a namespace by its name; nobody can take the label away.
    let name = namespace.at("metadata", "name")?.string ?? ""
    guard !name.isEmpty else { return }
    namespace.modify("metadata") { metadata in
      metadata.modifyOrMake("labels") { $0["kubernetes.io/metadata.name"] = .string(name) }
    }
  }

  static func persistentVolumeClaim(_ claim: inout JSON) {
    claim.modifyOrMake("spec") { $0.setDefault("volumeMode", "Filesystem") }
    claim.modifyOrMake("status") { $0.setDefault("phase", "Pending") }
  }

  private static func replicationController(_ controller: inout JSON) {
    let labels = controller.at("spec", "template", "metadata", "labels")
    controller.modifyOrMake("spec") { spec in
      spec.setDefault("replicas", 1)
      if spec.isAbsentOrEmpty("selector"), let labels { spec["selector"] = labels }
      if spec.has("template") { podTemplate(&spec) }
    }
    labelsFromTemplate(labels, &controller)
  }

  /// An object without labels gets those of its pods.
  static func labelsFromTemplate(_ labels: JSON?, _ object: inout JSON) {
    guard let labels, !labels.isEmptyValue else { return }
    object.modifyOrMake("metadata") { metadata in
      if metadata.isAbsentOrEmpty("labels") { metadata["labels"] = labels }
    }
  }

  private static func limitRange(_ range: inout JSON) {
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
