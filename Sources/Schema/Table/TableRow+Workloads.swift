import Wire

extension TableRow {
  func workload(_ kind: String) -> [String: JSON] {
    let template = containers(spec.at("template", "spec"))
    let desired = kind == "DaemonSet" ? count(status["desiredNumberScheduled"]) : spec["replicas"]?.int ?? 1
    let ready = count(status[kind == "DaemonSet" ? "numberReady" : "readyReplicas"])
    var cells: [String: JSON] = [
      "Containers": template.names, "Images": template.images,
      "Selector": kind == "ReplicationController"
        ? .string(labels(spec["selector"]).joined(separator: ",")) : selector(spec["selector"]),
    ]
    switch kind {
    case "Deployment":
      cells["Ready"] = .string("\(ready)/\(desired)")
      cells["Up-to-date"] = .int(count(status["updatedReplicas"]))
      cells["Available"] = .int(count(status["availableReplicas"]))
    case "StatefulSet": cells["Ready"] = .string("\(ready)/\(desired)")
    case "DaemonSet":
      cells["Desired"] = .int(desired)
      cells["Current"] = .int(count(status["currentNumberScheduled"]))
      cells["Ready"] = .int(ready)
      cells["Up-to-date"] = .int(count(status["updatedNumberScheduled"]))
      cells["Available"] = .int(count(status["numberAvailable"]))
      let nodes = labels(spec.at("template", "spec", "nodeSelector"))
      cells["Node Selector"] = .string(nodes.isEmpty ? "<none>" : nodes.joined(separator: ","))
    default:
      cells["Desired"] = .int(desired)
      cells["Current"] = .int(count(status["replicas"]))
      cells["Ready"] = .int(ready)
    }
    return cells
  }

  var job: [String: JSON] {
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

  var cronJob: [String: JSON] {
    let template = containers(spec.at("jobTemplate", "spec", "template", "spec"))
    let last = status["lastScheduleTime"]?.string
    return [
      "Schedule": text(spec["schedule"]), "Timezone": text(spec["timeZone"]),
      "Suspend": .bool(spec["suspend"]?.bool == true), "Active": .int(Int64(status["active"]?.array?.count ?? 0)),
      "Last Schedule": .string(last.map { since($0) } ?? "<none>"), "Containers": template.names,
      "Images": template.images, "Selector": selector(spec.at("jobTemplate", "spec", "selector")),
    ]
  }

  /// Kinds whose cells are fields as they stand.
  func fields(of kind: String) -> [String: JSON] {
    switch kind {
    case "StorageClass":
      return [
        "Provisioner": text(object["provisioner"]), "ReclaimPolicy": text(object["reclaimPolicy"], or: "Delete"),
        "VolumeBindingMode": text(object["volumeBindingMode"], or: "<unset>"),
        "AllowVolumeExpansion": .bool(object["allowVolumeExpansion"]?.bool == true),
      ]
    case "PriorityClass":
      return [
        "Value": .int(count(object["value"])), "Global-Default": .bool(object["globalDefault"]?.bool == true),
        "PreemptionPolicy": text(object["preemptionPolicy"], or: "PreemptLowerPriority"),
      ]
    case "RuntimeClass": return ["Handler": text(object["handler"])]
    case "IngressClass":
      let parameters = spec["parameters"]
      let kind = parameters?["kind"]?.string ?? ""
      let group = parameters?["apiGroup"]?.string ?? ""
      return [
        "Controller": text(spec["controller"]),
        "Parameters": parameters == nil
          ? "<none>"
          : .string("\(kind)\(group.isEmpty ? "" : ".\(group)")/\(parameters?["name"]?.string ?? "")"),
      ]
    case "Ingress":
      let hosts = (spec["rules"]?.array ?? []).compactMap { $0["host"]?.string }
      let addresses = (status.at("loadBalancer", "ingress")?.array ?? []).compactMap {
        $0["ip"]?.string ?? $0["hostname"]?.string
      }
      let ports = (spec["tls"]?.array ?? []).isEmpty ? "80" : "80, 443"
      return [
        "Class": text(spec["ingressClassName"]), "Hosts": .string(hosts.isEmpty ? "*" : shortened(hosts)),
        "Address": .string(addresses.joined(separator: ",")), "Ports": .string(ports),
      ]
    case "PodDisruptionBudget":
      return [
        "Min Available": text(spec["minAvailable"], or: "N/A"),
        "Max Unavailable": text(spec["maxUnavailable"], or: "N/A"),
        "Allowed Disruptions": .int(count(status["disruptionsAllowed"])),
      ]
    case "HorizontalPodAutoscaler":
      let target = spec["scaleTargetRef"]
      return [
        "Reference": .string("\(target?["kind"]?.string ?? "")/\(target?["name"]?.string ?? "")"),
        "Targets": "<unknown>", "MinPods": text(spec["minReplicas"], or: "<unset>"),
        "MaxPods": text(spec["maxReplicas"]), "Replicas": .string("\(count(status["currentReplicas"]))"),
      ]
    case "Lease": return ["Holder": text(spec["holderIdentity"], or: "")]
    case "RoleBinding", "ClusterRoleBinding": return binding
    case "ResourceQuota": return quota
    case "PodTemplate":
      let template = containers(object.at("template", "spec"))
      return [
        "Containers": template.names, "Images": template.images,
        "Pod Labels": .string(labels(object.at("template", "metadata", "labels")).joined(separator: ",")),
      ]
    case "CertificateSigningRequest":
      let conditions = (status["conditions"]?.array ?? []).compactMap { $0["type"]?.string }
      var state = conditions.isEmpty ? "Pending" : conditions.joined(separator: ",")
      if !(status["certificate"]?.string ?? "").isEmpty { state += ",Issued" }
      return [
        "SignerName": text(spec["signerName"]), "Requestor": text(spec["username"]),
        "RequestedDuration": .string(
          spec["expirationSeconds"]?.int.map { Self.human(.seconds($0)) } ?? "<none>"),
        "Condition": .string(state),
      ]
    case "CSINode": return ["Drivers": .int(Int64(spec["drivers"]?.array?.count ?? 0))]
    case "CSIDriver":
      return [
        "AttachRequired": .bool(spec["attachRequired"]?.bool ?? true),
        "PodInfoOnMount": .bool(spec["podInfoOnMount"]?.bool == true),
        "StorageCapacity": .bool(spec["storageCapacity"]?.bool == true),
      ]
    case "VolumeAttachment":
      return [
        "Attacher": text(spec["attacher"]), "PV": text(spec.at("source", "persistentVolumeName"), or: ""),
        "Node": text(spec["nodeName"]), "Attached": .bool(status["attached"]?.bool == true),
      ]
    case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
      return ["Webhooks": .int(Int64(object["webhooks"]?.array?.count ?? 0))]
    case "ControllerRevision":
      let owner = (object.at("metadata", "ownerReferences")?.array ?? []).first { $0["controller"]?.bool == true }
      return [
        "Controller": .string(
          owner.map { "\(($0["kind"]?.string ?? "").lowercased())/\($0["name"]?.string ?? "")" } ?? "<none>"),
        "Revision": .int(count(object["revision"])),
      ]
    default: return machinery(of: kind)
    }
  }

  private var binding: [String: JSON] {
    let subjects = object["subjects"]?.array ?? []
    func names(_ kind: String) -> JSON {
      let found = subjects.filter { $0["kind"]?.string == kind }.map { subject in
        let name = subject["name"]?.string ?? ""
        return kind == "ServiceAccount" ? "\(subject["namespace"]?.string ?? "")/\(name)" : name
      }
      return .string(found.joined(separator: ", "))
    }
    return [
      "Role": .string("\(object.at("roleRef", "kind")?.string ?? "")/\(object.at("roleRef", "name")?.string ?? "")"),
      "Users": names("User"), "Groups": names("Group"), "ServiceAccounts": names("ServiceAccount"),
    ]
  }

  private var quota: [String: JSON] {
    var requests: [String] = []
    var limits: [String] = []
    for (name, hard) in (status["hard"] ?? spec["hard"])?.object?.members ?? [] {
      let used = text(status["used"]?[name], or: "0").string ?? ""
      let part = "\(name): \(used)/\(text(hard, or: "").string ?? "")"
      if name.hasPrefix("limits.") { limits.append(part) } else { requests.append(part) }
    }
    return [
      "Request": .string(requests.sorted().joined(separator: ", ")),
      "Limit": .string(limits.sorted().joined(separator: ", ")),
    ]
  }
}
