import Wire

extension TableRow {
  /// Kinds of the server's own machinery, whose cells are fields as they stand. Each declared column has a rule, here or
  /// in `fields`: one that no rule knows would be empty for ever.
  func machinery(of kind: String) -> [String: JSON] {
    switch kind {
    case "ValidatingAdmissionPolicy": return ["Validations": .int(length(spec["validations"])), "ParamKind": paramKind]
    case "MutatingAdmissionPolicy": return ["Mutations": .int(length(spec["mutations"])), "ParamKind": paramKind]
    case "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicyBinding":
      let reference = spec["paramRef"]
      let place = reference?["namespace"]?.string.map { "\($0)/" } ?? ""
      let name = reference?["name"]?.string ?? (reference?["selector"] == nil ? "" : "*")
      return [
        "PolicyName": text(spec["policyName"]),
        "ParamRef": reference == nil ? "<unset>" : .string(place + name),
      ]
    case "APIService":
      let service = spec["service"]
      let name = service.map { "\($0["namespace"]?.string ?? "")/\($0["name"]?.string ?? "")" }
      let state = condition("Available")
      let status = state?["status"]?.string ?? "Unknown"
      let reason = state?["reason"]?.string ?? ""
      return [
        "Service": .string(name ?? "Local"),
        "Available": .string(status == "True" || reason.isEmpty ? status : "\(status) (\(reason))"),
      ]
    case "ComponentStatus":
      let state = (object["conditions"]?.array ?? []).first { $0["type"]?.string == "Healthy" }
      let status = state?["status"]?.string
      return [
        "Status": .string(status == "True" ? "Healthy" : status == "False" ? "Unhealthy" : "Unknown"),
        "Message": text(state?["message"], or: ""), "Error": text(state?["error"], or: ""),
      ]
    case "FlowSchema":
      let missing = condition("Dangling")?["status"]
      return [
        "PriorityLevel": text(spec.at("priorityLevelConfiguration", "name")),
        "MatchingPrecedence": text(spec["matchingPrecedence"]),
        "DistinguisherMethod": text(spec.at("distinguisherMethod", "type")), "MissingPL": text(missing, or: "?"),
      ]
    case "PriorityLevelConfiguration":
      let queuing = spec.at("limited", "limitResponse", "queuing")
      let shares =
        spec.at("limited", "nominalConcurrencyShares") ?? spec.at("exempt", "nominalConcurrencyShares")
      return [
        "Type": text(spec["type"]), "NominalConcurrencyShares": text(shares), "Queues": text(queuing?["queues"]),
        "HandSize": text(queuing?["handSize"]), "QueueLengthLimit": text(queuing?["queueLengthLimit"]),
      ]
    case "NetworkPolicy": return ["Pod-Selector": selector(spec["podSelector"])]
    case "IPAddress":
      let parent = spec["parentRef"]
      let parts = ["resource", "group"].compactMap { parent?[$0]?.string }.filter { !$0.isEmpty }
      let names = ["namespace", "name"].compactMap { parent?[$0]?.string }.filter { !$0.isEmpty }
      return ["ParentRef": .string((([parts.joined(separator: ".")] + names).joined(separator: "/")))]
    case "ServiceCIDR":
      return ["CIDRs": .string((spec["cidrs"]?.array ?? []).compactMap(\.string).joined(separator: ","))]
    case "ClusterTrustBundle": return ["SignerName": text(spec["signerName"])]
    case "PodCertificateRequest":
      let state = (status["conditions"]?.array ?? []).last?["type"]
      let notes = labels(spec["unverifiedUserAnnotations"])
      return [
        "PodName": text(spec["podName"]), "ServiceAccountName": text(spec["serviceAccountName"]),
        "NodeName": text(spec["nodeName"]), "SignerName": text(spec["signerName"]), "State": text(state, or: "Pending"),
        "UnverifiedUserAnnotations": .string(notes.isEmpty ? "<none>" : notes.joined(separator: ",")),
      ]
    case "CSIStorageCapacity":
      return [
        "StorageClassName": text(object["storageClassName"]), "Capacity": text(object["capacity"], or: "<unset>"),
      ]
    case "VolumeAttributesClass": return ["DriverName": text(object["driverName"])]
    case "StorageVersionMigration":
      let resource = spec["resource"]
      let parts = ["resource", "group"].compactMap { resource?[$0]?.string }.filter { !$0.isEmpty }
      let state = (status["conditions"]?.array ?? []).first { $0["status"]?.string == "True" }
      return ["Resource": .string(parts.joined(separator: ".")), "Status": text(state?["type"], or: "Pending")]
    default: return devices(of: kind)
    }
  }

  private func devices(of kind: String) -> [String: JSON] {
    switch kind {
    case "ResourceSlice":
      return [
        "Node": text(spec["nodeName"], or: ""), "Driver": text(spec["driver"]), "Pool": text(spec.at("pool", "name")),
      ]
    case "DeviceTaintRule":
      let taint = spec["taint"]
      return [
        "Key": text(taint?["key"]), "Value": text(taint?["value"], or: ""), "Effect": text(taint?["effect"]),
        "TimeAdded": text(taint?["timeAdded"], or: ""),
      ]
    case "ResourceClaim":
      var states: [String] = []
      if object.at("metadata", "deletionTimestamp") != nil { states.append("deleted") }
      states.append(status["allocation"] == nil ? "pending" : "allocated")
      if !(status["reservedFor"]?.array ?? []).isEmpty { states.append("reserved") }
      return ["State": .string(states.joined(separator: ","))]
    default: return [:]
    }
  }

  private var paramKind: JSON {
    guard let kind = spec["paramKind"] else { return "<unset>" }
    return .string("\(kind["apiVersion"]?.string ?? "")/\(kind["kind"]?.string ?? "")")
  }

  private func length(_ list: JSON?) -> Int64 { Int64(list?.array?.count ?? 0) }

  private func condition(_ type: String) -> JSON? {
    (status["conditions"]?.array ?? []).first { $0["type"]?.string == type }
  }
}
